//! A plan for the wire: what the YAML form says, as the contract says it.

use oaas_proto::oaas::channel::v1 as pb;

use super::super::law::Text;
use super::super::{
    Baseline, Basis, Expectation, Levels, Measure, Pay, PayeeKind, PayoutKind, PaysOn, PeriodKind, Plan,
    Projection, Rounding, SameLevel, ThresholdRule, TierMode, TierSchedule, TierScope,
};

/// The plan as the contract says it. A plan whose numbers are within their limits is read back the same.
#[must_use]
pub fn plan_to_wire(plan: &Plan, title: &Text) -> pb::Plan {
    let demands = plan.participation;
    let (kind, goods_sku, goods_unit_value_minor) = match &plan.payout.kind {
        PayoutKind::Credit => (pb::PayoutKind::Credit, String::new(), 0),
        PayoutKind::Cash => (pb::PayoutKind::Cash, String::new(), 0),
        PayoutKind::Goods { sku, unit_value_minor } => {
            (pb::PayoutKind::Goods, sku.clone(), *unit_value_minor)
        }
    };
    pb::Plan {
        plan_id: plan.plan_id.clone(),
        title: Some(pb::Text { en: title.en.clone(), zh: title.zh.clone() }),
        currency: plan.currency.to_string(),
        jurisdiction: plan.jurisdiction.clone(),
        payee_kind: match plan.payee {
            PayeeKind::Company => pb::PayeeKind::Company,
            PayeeKind::NaturalPerson => pb::PayeeKind::NaturalPerson,
        }
        .into(),
        basis: match plan.basis {
            Basis::Sales => pb::Basis::Sales,
            Basis::Headcount => pb::Basis::Headcount,
        }
        .into(),
        participation: Some(pb::Participation {
            recruitment_required: demands.recruitment_required,
            entry_fee_required: demands.entry_fee_required,
            direct_selling: demands.direct_selling,
        }),
        effective_from: plan.effective_from.to_string(),
        effective_until: plan.effective_until.map(|day| day.to_string()).unwrap_or_default(),
        period: match plan.period {
            PeriodKind::Month => pb::PeriodKind::Month,
            PeriodKind::Quarter => pb::PeriodKind::Quarter,
            PeriodKind::Year => pb::PeriodKind::Year,
        }
        .into(),
        rounding: match plan.rounding {
            Rounding::HalfUp => pb::Rounding::HalfUp,
            Rounding::HalfEven => pb::Rounding::HalfEven,
            Rounding::Down => pb::Rounding::Down,
            Rounding::Up => pb::Rounding::Up,
        }
        .into(),
        categories: plan.categories.clone(),
        tiers: plan.tiers.as_ref().map(schedule),
        levels: plan.levels.as_ref().map(levels),
        payout_min_minor: plan.payout_min_minor,
        cap_member_minor: plan.cap_member_minor,
        cap_plan_minor: plan.cap_plan_minor,
        clawback_days: signed(plan.clawback_days),
        base: Some(pb::Base {
            with_tax: plan.base.tax,
            with_freight: plan.base.freight,
            with_discounts: plan.base.discounts,
            with_returns: plan.base.returns,
        }),
        filter: plan.filter.as_ref().map(|filter| filter.source().to_owned()).unwrap_or_default(),
        cap_margin_bp: plan.cap_margin_bp.map(signed),
        payout: Some(pb::Payout {
            kind: kind.into(),
            carry_under_minor: plan.payout.carry_under_minor,
            goods_sku,
            goods_unit_value_minor,
        }),
        expectation: plan.expectation.as_ref().map(expectation),
    }
}

fn expectation(expectation: &Expectation) -> pb::Expectation {
    let total =
        |(member_id, total): (&String, &i64)| pb::MemberTotal { member_id: member_id.clone(), total: *total };
    pb::Expectation {
        projection: match expectation.projection {
            None => pb::Projection::Unspecified,
            Some(Projection::RunRate) => pb::Projection::RunRate,
            Some(Projection::PreviousPeriod) => pb::Projection::PreviousPeriod,
            Some(Projection::SamePeriodLastYear) => pb::Projection::SamePeriodLastYear,
        }
        .into(),
        less_bp: signed(expectation.less_bp),
        each_total: expectation.each.unwrap_or(0),
        members: expectation.members.iter().map(total).collect(),
        tiers_up: expectation.tiers_up.map_or(0, signed),
    }
}

fn schedule(schedule: &TierSchedule) -> pb::TierSchedule {
    let (baseline, baseline_minor) = match (schedule.measure, schedule.baseline) {
        (Measure::Growth, Baseline::PreviousPeriod) => (pb::Baseline::PreviousPeriod, 0),
        (_, Baseline::PreviousPeriod) => (pb::Baseline::Unspecified, 0),
        (_, Baseline::SamePeriodLastYear) => (pb::Baseline::SamePeriodLastYear, 0),
        (_, Baseline::Fixed(minor)) => (pb::Baseline::Fixed, minor),
    };
    pb::TierSchedule {
        measure: match schedule.measure {
            Measure::Amount => pb::Measure::Amount,
            Measure::Quantity => pb::Measure::Quantity,
            Measure::Growth => pb::Measure::Growth,
            Measure::Mix => pb::Measure::Mix,
            Measure::EarlyPayment => pb::Measure::EarlyPayment,
        }
        .into(),
        scope: match schedule.scope {
            TierScope::Period => pb::TierScope::Period,
            TierScope::Sale => pb::TierScope::Sale,
        }
        .into(),
        mode: match schedule.mode {
            TierMode::Marginal => pb::TierMode::Marginal,
            TierMode::Retroactive => pb::TierMode::Retroactive,
        }
        .into(),
        threshold_rule: match schedule.threshold_rule {
            ThresholdRule::Reached => pb::ThresholdRule::Reached,
            ThresholdRule::Exceeded => pb::ThresholdRule::Exceeded,
        }
        .into(),
        tiers: schedule
            .tiers
            .iter()
            .map(|tier| pb::Tier {
                threshold: tier.threshold,
                pay: Some(match tier.pay {
                    Pay::Rate(rate) => pb::tier::Pay::RateBp(signed(rate)),
                    Pay::PerUnit(minor) => pb::tier::Pay::UnitMinor(minor),
                }),
            })
            .collect(),
        floor_minor: schedule.floor_minor,
        window_days: signed(schedule.window_days),
        baseline: baseline.into(),
        baseline_minor,
        mix_filter: schedule.mix.as_ref().map(|filter| filter.source().to_owned()).unwrap_or_default(),
        pays_on: match schedule.pays_on {
            PaysOn::Everything => pb::PaysOn::Unspecified,
            PaysOn::Part => pb::PaysOn::Part,
        }
        .into(),
    }
}

fn levels(levels: &Levels) -> pb::plan::Levels {
    match levels {
        Levels::Fixed(rates) => pb::plan::Levels::Fixed(pb::FixedLevels {
            rates_bp: rates.iter().map(|rate| signed(*rate)).collect(),
        }),
        Levels::Differential { grades, depth_max, same_level } => {
            let (rule, rate) = match same_level {
                SameLevel::None => (pb::SameLevelRule::None, 0),
                SameLevel::Every(rate) => (pb::SameLevelRule::Every, signed(*rate)),
                SameLevel::Once(rate) => (pb::SameLevelRule::Once, signed(*rate)),
            };
            pb::plan::Levels::Differential(pb::DifferentialLevels {
                grades: grades
                    .iter()
                    .map(|(grade, rate)| pb::GradeRate { grade: grade.clone(), rate_bp: signed(*rate) })
                    .collect(),
                depth_max: i32::try_from(*depth_max).unwrap_or(i32::MAX),
                same_level: rule.into(),
                same_level_rate_bp: rate,
            })
        }
    }
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
