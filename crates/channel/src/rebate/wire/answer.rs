//! What the core found, for the wire.

use oaas_model::Currency;
use oaas_proto::oaas::channel::v1 as pb;

use super::super::law::{self, Finding, Severity};
use super::super::{
    Arrived, Change, Cliff, LedgerLine, Line, LineKind, Outcome, Pay, PayoutKind, Period, Plan, Reason,
    Rounding, Settled, Simulated, Simulation, Standing, TierReached, explain, explain_standing,
};

/// Findings for the wire.
pub fn findings(findings: &[Finding]) -> Vec<pb::Finding> {
    findings
        .iter()
        .map(|finding| pb::Finding {
            severity: match finding.severity {
                Severity::Info => pb::Severity::Info,
                Severity::Warn => pb::Severity::Warn,
                Severity::Block => pb::Severity::Block,
            }
            .into(),
            code: finding.code.to_owned(),
            field: finding.field.to_owned(),
            message: Some(text(finding.message.clone())),
            article: finding.article.map(article),
        })
        .collect()
}

fn article(article: &law::Article) -> pb::Article {
    let both = |en: &str, zh: &str| Some(pb::Text { en: en.to_owned(), zh: zh.to_owned() });
    pb::Article {
        title: both(article.title_en, article.title_zh),
        summary: both(article.summary_en, article.summary_zh),
        in_force_from: article.from.to_string(),
        in_force_until: article.until.map(|day| day.to_string()).unwrap_or_default(),
        source: article.source.to_owned(),
    }
}

/// A cliff for the wire; `None` beyond 64 bits.
pub fn cliff(cliff: &Cliff, rule: Rounding) -> Option<pb::Cliff> {
    let rate = |pay: Pay| if let Pay::Rate(rate) = pay { i32::try_from(rate).ok() } else { Some(0) };
    Some(pb::Cliff {
        threshold: cliff.threshold,
        rate_below_bp: cliff.below.map_or(Some(0), rate)?,
        rate_from_bp: rate(cliff.from)?,
        jump_minor: i64::try_from(cliff.jump.map_or(0, |jump| jump.rounded(rule))).ok()?,
    })
}

/// An outcome for the wire; `None` when an amount is beyond 64 bits.
pub fn outcome(plan: &Plan, outcome: &Outcome) -> Option<pb::CalculateRebateResponse> {
    let members = outcome.members.iter().map(|(member_id, member)| {
        let lines = member.lines.iter().map(|l| line(plan, l)).collect::<Option<_>>()?;
        Some(pb::MemberRebate {
            member_id: member_id.clone(),
            amount_minor: i64::try_from(member.amount).ok()?,
            currency: plan.currency.to_string(),
            lines,
        })
    });
    Some(pb::CalculateRebateResponse {
        plan_id: plan.plan_id.clone(),
        plan_version: 0,
        period_start: outcome.period.start.to_string(),
        period_end: outcome.period.end.to_string(),
        base_minor: i64::try_from(outcome.base).ok()?,
        total_minor: i64::try_from(outcome.total).ok()?,
        currency: plan.currency.to_string(),
        sales_counted: i32::try_from(outcome.sales_counted).ok()?,
        sales_left_out: i32::try_from(outcome.sales_left_out).ok()?,
        members: members.collect::<Option<_>>()?,
        lines_left_off: i32::try_from(outcome.lines_left_off).ok()?,
        findings: Vec::new(),
    })
}

fn line(plan: &Plan, line: &Line) -> Option<pb::RebateLine> {
    let (kind, level) = match line.kind {
        LineKind::Tier { .. } => (pb::LineKind::Tier, 0),
        LineKind::Expected { .. } => (pb::LineKind::ExpectedTier, 0),
        LineKind::ExpectedLimit { .. } => (pb::LineKind::ExpectedLimit, 0),
        LineKind::Floor { .. } => (pb::LineKind::Floor, 0),
        LineKind::Level { level, .. } => (pb::LineKind::Level, level),
        LineKind::SameLevel { level } => (pb::LineKind::SameLevel, level),
        LineKind::PayoutMinimum { .. } => (pb::LineKind::PayoutMinimum, 0),
        LineKind::MemberCap { .. } => (pb::LineKind::MemberCap, 0),
        LineKind::PlanCap { .. } => (pb::LineKind::PlanCap, 0),
        LineKind::MarginCap { .. } => (pb::LineKind::MarginCap, 0),
    };
    let (rate_bp, unit_minor) = match line.pay {
        Some(Pay::Rate(rate)) => (i32::try_from(rate).ok()?, 0),
        Some(Pay::PerUnit(minor)) => (0, minor),
        None => (0, 0),
    };
    Some(pb::RebateLine {
        kind: kind.into(),
        event_id: line.event_id.clone().unwrap_or_default(),
        level: i32::try_from(level).ok()?,
        base: i64::try_from(line.base).ok()?,
        rate_bp,
        unit_minor,
        amount_minor: i64::try_from(line.amount).ok()?,
        explanation: Some(text(explain(plan, line))),
    })
}

/// A ledger line for the wire.
pub fn ledger_line(line: &LedgerLine, detail: Option<&pb::LineDetail>, currency: Currency) -> pb::LedgerLine {
    let entry = &line.entry;
    let true_up_minor = detail.map_or(0, |detail| detail.true_up_minor);
    let expected = detail.and_then(|detail| detail.expected.clone());
    let said = expected.as_ref().and_then(|expected| expected.explanation.clone());
    let said = said.map(|text| law::Text { en: text.en, zh: text.zh });
    pb::LedgerLine {
        sequence: entry.sequence,
        plan_id: entry.plan_id.clone(),
        plan_version: entry.plan_version,
        period_start: entry.period_start.to_string(),
        member_id: entry.member_id.clone(),
        amount_minor: entry.amount_minor,
        balance_minor: entry.balance_minor,
        currency: currency.to_string(),
        posted_at_ms: entry.posted_at_ms,
        facts_sha256: hex(&entry.facts),
        previous_sha256: hex(&line.previous),
        line_sha256: hex(&line.hash),
        explanation: Some(text(entry.explain(currency, true_up_minor, said.as_ref()))),
        detail_sha256: entry.detail.as_ref().map(|hash| hex(hash)).unwrap_or_default(),
        tier_before: detail.and_then(|detail| detail.tier_before),
        tier: detail.and_then(|detail| detail.tier),
        true_up_minor,
        expected_before: detail.and_then(|detail| detail.expected_before.clone()),
        expected,
    }
}

/// What a ledger line rests on, for the wire and for the store; `None` beyond 64 bits.
pub fn detail(
    plan: &Plan,
    reason: &Reason,
    expected_before: Option<pb::ExpectedTotal>,
) -> Option<pb::LineDetail> {
    let standing = reason.standing.as_ref();
    let expected = standing.filter(|standing| standing.outlook.is_some());
    Some(pb::LineDetail {
        lines: reason.lines.iter().map(|l| line(plan, l)).collect::<Option<_>>()?,
        lines_left_off: i32::try_from(reason.lines_left_off).ok()?,
        amount_minor: i64::try_from(reason.amount).ok()?,
        event_ids: reason.event_ids.clone(),
        event_count: i32::try_from(reason.event_count).ok()?,
        tier_before: reason.tier_before.and_then(tier),
        tier: standing.and_then(|standing| standing.tier).and_then(tier),
        true_up_minor: reason.true_up,
        expected_before,
        expected: expected.map(|standing| expected_total(plan, standing).ok_or(())).transpose().ok()?,
        tier_base: i64::try_from(standing.map_or(0, |standing| standing.so_far)).ok()?,
        tier_minor: i64::try_from(standing.map_or(0, |standing| standing.accrued)).ok()?,
    })
}

fn expected_total(plan: &Plan, standing: &Standing) -> Option<pb::ExpectedTotal> {
    let outlook = standing.outlook.as_ref()?;
    Some(pb::ExpectedTotal {
        total: i64::try_from(outlook.expected.total).ok()?,
        by: match outlook.expected.arrived {
            Arrived::StatedForMember => pb::ExpectedBy::StatedForMember,
            Arrived::StatedForEach => pb::ExpectedBy::StatedForEach,
            Arrived::RunRate { .. } => pb::ExpectedBy::RunRate,
            Arrived::Share { .. } => pb::ExpectedBy::Share,
        }
        .into(),
        so_far: i64::try_from(standing.so_far).ok()?,
        tier: outlook.tier.and_then(tier),
        whole_minor: i64::try_from(outlook.whole).ok()?,
        earned_minor: i64::try_from(standing.accrued).ok()?,
        explanation: explain_standing(plan, standing).map(text),
    })
}

fn tier(tier: TierReached) -> Option<pb::TierReached> {
    let (rate_bp, unit_minor) = match tier.pay {
        Pay::Rate(rate) => (i32::try_from(rate).ok()?, 0),
        Pay::PerUnit(minor) => (0, minor),
    };
    Some(pb::TierReached { threshold: tier.threshold, rate_bp, unit_minor, base: tier.base })
}

/// A statement for the wire and for the store.
pub fn statement(
    plan: &Plan,
    period: Period,
    member_id: &str,
    settled: &Settled,
    settled_at_ms: i64,
) -> pb::Statement {
    let Settled { account, paid, units, carried } = *settled;
    let (kind, sku) = match &plan.payout.kind {
        PayoutKind::Credit => (pb::PayoutKind::Credit, String::new()),
        PayoutKind::Cash => (pb::PayoutKind::Cash, String::new()),
        PayoutKind::Goods { sku, .. } => (pb::PayoutKind::Goods, sku.clone()),
    };
    pb::Statement {
        plan_id: plan.plan_id.clone(),
        period_start: period.start.to_string(),
        member_id: member_id.to_owned(),
        opening_minor: account.opening,
        accrued_minor: account.accrued,
        adjusted_minor: account.adjusted,
        paid_minor: paid,
        carried_minor: carried,
        currency: plan.currency.to_string(),
        payout_kind: kind.into(),
        goods_sku: sku,
        goods_units: units,
        settled_at_ms,
        explanation: Some(text(settled.explain(&plan.payout, plan.currency))),
    }
}

/// Members that win, and members that lose, that an answer lists.
const CHANGES_MAX: usize = 100;

/// A simulation for the wire; `None` beyond 64 bits.
pub fn simulation(draft: &Plan, simulation: &Simulation) -> Option<pb::SimulatePlanResponse> {
    let narrow = |minor: i128| i64::try_from(minor).ok();
    let sum = |of: fn(&Simulated) -> i128| narrow(simulation.periods.iter().map(of).sum());
    let change = |change: &Change| {
        Some(pb::MemberChange {
            member_id: change.member_id.clone(),
            draft_minor: narrow(change.draft)?,
            against_minor: narrow(change.against)?,
            change_minor: narrow(change.change())?,
        })
    };
    let winners = simulation.changes.iter().filter(|change| change.change() > 0);
    let losers = simulation.changes.iter().rev().filter(|change| change.change() < 0);
    let count = |changes: usize| i32::try_from(changes).unwrap_or(i32::MAX);
    let (winner_count, loser_count) = (winners.clone().count(), losers.clone().count());
    let periods = simulation.periods.iter().map(|one| {
        Some(pb::SimulatedPeriod {
            period_start: one.period.start.to_string(),
            base_minor: narrow(one.base)?,
            draft_minor: narrow(one.draft)?,
            against_minor: narrow(one.against)?,
        })
    });
    let cliffs = simulation.cliffs.iter().map(|exposure| {
        let (nearest_member_id, lacks) = exposure.nearest.clone().unwrap_or_default();
        Some(pb::CliffExposure {
            cliff: Some(cliff(&exposure.cliff, draft.rounding)?),
            just_below: count(exposure.just_below),
            over: count(exposure.over),
            nearest_member_id,
            nearest_lacks: narrow(lacks)?,
        })
    });
    Some(pb::SimulatePlanResponse {
        draft_minor: sum(|one| one.draft)?,
        against_minor: sum(|one| one.against)?,
        base_minor: sum(|one| one.base)?,
        currency: draft.currency.to_string(),
        periods: periods.collect::<Option<_>>()?,
        winners: winners.take(CHANGES_MAX).map(change).collect::<Option<_>>()?,
        losers: losers.take(CHANGES_MAX).map(change).collect::<Option<_>>()?,
        winner_count: count(winner_count),
        loser_count: count(loser_count),
        same_count: count(simulation.changes.len() - winner_count - loser_count),
        cliffs: cliffs.collect::<Option<_>>()?,
        findings: Vec::new(),
    })
}

fn text(text: law::Text) -> pb::Text {
    pb::Text { en: text.en, zh: text.zh }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
