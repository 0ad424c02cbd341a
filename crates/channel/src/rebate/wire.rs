//! From the wire to the core and back. What the contract's own rules can't say is checked here, with
//! the path of the field.

use jiff::civil::Date;
use oaas_capability::Violation;
use oaas_model::Currency;
use oaas_proto::oaas::channel::v1 as pb;

use super::law::{self, Finding, Severity};
use super::ledger::LedgerLine;
use super::{
    Basis, ChainMember, Cliff, Levels, Line, LineKind, Measure, Outcome, Participation, Pay, PayeeKind,
    PeriodKind, Plan, Problem, Rounding, Sale, SaleReturn, SameLevel, ThresholdRule, Tier, TierMode,
    TierSchedule, TierScope, explain,
};

/// Length of a day such as 2026-03-31; the other forms of ISO 8601 are not taken.
const DAY_LEN: usize = 10;

/// Violations found on the way, with the path of the message that is read.
pub struct Reader {
    path: String,
    violations: Vec<Violation>,
}

impl Reader {
    /// A reader of the message at `path`.
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), violations: Vec::new() }
    }

    /// What was read, unless something was not as it must be.
    ///
    /// # Errors
    /// All violations.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Vec<Violation>> {
        match read {
            Some(read) if self.violations.is_empty() => Ok(read),
            _ if self.violations.is_empty() => Err(vec![Violation::new(self.path, "is missing")]),
            _ => Err(self.violations),
        }
    }

    fn wrong<T>(&mut self, field: &str, description: impl Into<String>) -> Option<T> {
        let separator = if self.path.is_empty() { "" } else { "." };
        self.violations.push(Violation::new(format!("{}{separator}{field}", self.path), description));
        None
    }

    /// A day.
    pub fn day(&mut self, field: &str, text: &str) -> Option<Date> {
        match text.parse() {
            Ok(day) if text.len() == DAY_LEN => Some(day),
            _ => self.wrong(field, format!("{text:?} is not a day such as 2026-03-31")),
        }
    }

    fn currency(&mut self, field: &str, code: &str) -> Option<Currency> {
        Currency::parse(code).map_or_else(|error| self.wrong(field, error.to_string()), Some)
    }

    fn rate(&mut self, field: &str, rate: i32) -> Option<u32> {
        u32::try_from(rate).map_or_else(|_| self.wrong(field, format!("must be 0 to 10000, is {rate}")), Some)
    }

    fn known<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        value.or_else(|| self.wrong(field, "must be one of the values that the contract names"))
    }

    /// A plan.
    pub fn plan(&mut self, plan: &pb::Plan) -> Option<Plan> {
        // Each field is read before the first missing one ends the reading: all violations at once.
        let currency = self.currency("currency", &plan.currency);
        let payee = self.known("payee_kind", payee(plan.payee_kind()));
        let basis = self.known("basis", basis(plan.basis()));
        let effective_from = self.day("effective_from", &plan.effective_from);
        let effective_until = match plan.effective_until.as_str() {
            "" => None,
            text => self.day("effective_until", text),
        };
        let period = self.known("period", period(plan.period()));
        let rounding = self.known("rounding", rounding(plan.rounding()));
        let tiers = plan.tiers.as_ref().map(|schedule| self.schedule(schedule));
        let levels = plan.levels.as_ref().map(|levels| self.levels(levels));
        let clawback_days = u32::try_from(plan.clawback_days)
            .map_or_else(|_| self.wrong("clawback_days", "must be 0 to 3650"), Some);
        let demands = plan.participation.unwrap_or_default();
        Some(Plan {
            plan_id: plan.plan_id.clone(),
            currency: currency?,
            jurisdiction: plan.jurisdiction.clone(),
            payee: payee?,
            basis: basis?,
            participation: Participation {
                recruitment_required: demands.recruitment_required,
                entry_fee_required: demands.entry_fee_required,
                direct_selling: demands.direct_selling,
            },
            effective_from: effective_from?,
            effective_until,
            period: period?,
            rounding: rounding?,
            categories: plan.categories.clone(),
            tiers: flat(tiers)?,
            levels: flat(levels)?,
            payout_min_minor: plan.payout_min_minor,
            cap_member_minor: plan.cap_member_minor,
            cap_plan_minor: plan.cap_plan_minor,
            clawback_days: clawback_days?,
        })
    }

    fn schedule(&mut self, schedule: &pb::TierSchedule) -> Option<TierSchedule> {
        let measure = self.known("tiers.measure", measure(schedule.measure()));
        let scope = self.known("tiers.scope", scope(schedule.scope()));
        let mode = self.known("tiers.mode", mode(schedule.mode()));
        let rule = self.known("tiers.threshold_rule", threshold_rule(schedule.threshold_rule()));
        let tiers: Vec<_> =
            schedule.tiers.iter().enumerate().map(|(index, tier)| self.tier(index, tier)).collect();
        Some(TierSchedule {
            measure: measure?,
            scope: scope?,
            mode: mode?,
            threshold_rule: rule?,
            tiers: tiers.into_iter().collect::<Option<_>>()?,
            floor_minor: schedule.floor_minor,
        })
    }

    fn tier(&mut self, index: usize, tier: &pb::Tier) -> Option<Tier> {
        let field = format!("tiers.tiers[{index}]");
        let pay = match tier.pay {
            Some(pb::tier::Pay::RateBp(rate)) => Pay::Rate(self.rate(&format!("{field}.rate_bp"), rate)?),
            Some(pb::tier::Pay::UnitMinor(minor)) => Pay::PerUnit(minor),
            None => return self.wrong(&field, "must have rate_bp or unit_minor"),
        };
        Some(Tier { threshold: tier.threshold, pay })
    }

    fn levels(&mut self, levels: &pb::plan::Levels) -> Option<Levels> {
        match levels {
            pb::plan::Levels::Fixed(fixed) => {
                let rates = fixed.rates_bp.iter().enumerate();
                let read = rates.map(|(index, rate)| self.rate(&format!("fixed.rates_bp[{index}]"), *rate));
                read.collect::<Option<_>>().map(Levels::Fixed)
            }
            pb::plan::Levels::Differential(levels) => self.differential(levels),
        }
    }

    fn differential(&mut self, levels: &pb::DifferentialLevels) -> Option<Levels> {
        let grades = levels.grades.iter().enumerate().map(|(index, grade)| {
            let rate = self.rate(&format!("differential.grades[{index}].rate_bp"), grade.rate_bp)?;
            Some((grade.grade.clone(), rate))
        });
        let grades = grades.collect::<Option<Vec<_>>>()?;
        let extra = self.rate("differential.same_level_rate_bp", levels.same_level_rate_bp)?;
        let depth_max = usize::try_from(levels.depth_max).unwrap_or(0);
        let same_level = match levels.same_level() {
            pb::SameLevelRule::Unspecified | pb::SameLevelRule::None if extra > 0 => {
                return self.wrong("differential.same_level_rate_bp", "is not paid: same_level says none");
            }
            pb::SameLevelRule::Unspecified | pb::SameLevelRule::None => SameLevel::None,
            pb::SameLevelRule::Every => SameLevel::Every(extra),
            pb::SameLevelRule::Once => SameLevel::Once(extra),
        };
        Some(Levels::Differential { grades, depth_max, same_level })
    }

    /// A sale in the currency of the plan.
    pub fn sale(&mut self, sale: &pb::Sale, plan_currency: Currency) -> Option<Sale> {
        let occurred_on = self.day("occurred_on", &sale.occurred_on);
        self.same_currency(&sale.currency, plan_currency);
        let chain = sale
            .chain
            .iter()
            .map(|member| ChainMember { member_id: member.member_id.clone(), grade: member.grade.clone() });
        Some(Sale {
            event_id: sale.event_id.clone(),
            occurred_on: occurred_on?,
            amount_minor: sale.amount_minor,
            quantity: sale.quantity,
            category: sale.category.clone(),
            chain: chain.collect(),
        })
    }

    /// A return in the currency of the plan.
    pub fn sale_return(&mut self, fact: &pb::SaleReturn, plan_currency: Currency) -> Option<SaleReturn> {
        let occurred_on = self.day("occurred_on", &fact.occurred_on);
        self.same_currency(&fact.currency, plan_currency);
        Some(SaleReturn {
            event_id: fact.event_id.clone(),
            sale_event_id: fact.sale_event_id.clone(),
            occurred_on: occurred_on?,
            amount_minor: fact.amount_minor,
            quantity: fact.quantity,
        })
    }

    fn same_currency(&mut self, code: &str, plan_currency: Currency) {
        if code != plan_currency.code() {
            let _: Option<()> =
                self.wrong("currency", format!("must be the plan's, {plan_currency}, is {code:?}"));
        }
    }
}

/// Absent stays absent; what was there and could not be read ends the reading.
fn flat<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// The core's problems as violations below `prefix`.
pub fn violations(prefix: &str, problems: &[Problem]) -> Vec<Violation> {
    problems.iter().map(|p| Violation::new(format!("{prefix}{}", p.field), p.text.clone())).collect()
}

fn payee(kind: pb::PayeeKind) -> Option<PayeeKind> {
    match kind {
        pb::PayeeKind::Unspecified => None,
        pb::PayeeKind::Company => Some(PayeeKind::Company),
        pb::PayeeKind::NaturalPerson => Some(PayeeKind::NaturalPerson),
    }
}

fn basis(basis: pb::Basis) -> Option<Basis> {
    match basis {
        pb::Basis::Unspecified => None,
        pb::Basis::Sales => Some(Basis::Sales),
        pb::Basis::Headcount => Some(Basis::Headcount),
    }
}

fn period(kind: pb::PeriodKind) -> Option<PeriodKind> {
    match kind {
        pb::PeriodKind::Unspecified => None,
        pb::PeriodKind::Month => Some(PeriodKind::Month),
        pb::PeriodKind::Quarter => Some(PeriodKind::Quarter),
        pb::PeriodKind::Year => Some(PeriodKind::Year),
    }
}

fn rounding(rule: pb::Rounding) -> Option<Rounding> {
    match rule {
        pb::Rounding::Unspecified => None,
        pb::Rounding::HalfUp => Some(Rounding::HalfUp),
        pb::Rounding::HalfEven => Some(Rounding::HalfEven),
        pb::Rounding::Down => Some(Rounding::Down),
        pb::Rounding::Up => Some(Rounding::Up),
    }
}

fn measure(measure: pb::Measure) -> Option<Measure> {
    match measure {
        pb::Measure::Unspecified => None,
        pb::Measure::Amount => Some(Measure::Amount),
        pb::Measure::Quantity => Some(Measure::Quantity),
    }
}

fn scope(scope: pb::TierScope) -> Option<TierScope> {
    match scope {
        pb::TierScope::Unspecified => None,
        pb::TierScope::Period => Some(TierScope::Period),
        pb::TierScope::Sale => Some(TierScope::Sale),
    }
}

fn mode(mode: pb::TierMode) -> Option<TierMode> {
    match mode {
        pb::TierMode::Unspecified => None,
        pb::TierMode::Marginal => Some(TierMode::Marginal),
        pb::TierMode::Retroactive => Some(TierMode::Retroactive),
    }
}

fn threshold_rule(rule: pb::ThresholdRule) -> Option<ThresholdRule> {
    match rule {
        pb::ThresholdRule::Unspecified => None,
        pb::ThresholdRule::Reached => Some(ThresholdRule::Reached),
        pb::ThresholdRule::Exceeded => Some(ThresholdRule::Exceeded),
    }
}

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
        LineKind::Floor { .. } => (pb::LineKind::Floor, 0),
        LineKind::Level { level, .. } => (pb::LineKind::Level, level),
        LineKind::SameLevel { level } => (pb::LineKind::SameLevel, level),
        LineKind::PayoutMinimum { .. } => (pb::LineKind::PayoutMinimum, 0),
        LineKind::MemberCap { .. } => (pb::LineKind::MemberCap, 0),
        LineKind::PlanCap { .. } => (pb::LineKind::PlanCap, 0),
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
pub fn ledger_line(line: &LedgerLine, currency: Currency) -> pb::LedgerLine {
    let entry = &line.entry;
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
        explanation: Some(text(entry.explain(currency))),
    }
}

fn text(text: law::Text) -> pb::Text {
    pb::Text { en: text.en, zh: text.zh }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
