//! Whether a plan is well formed. The law is looked at elsewhere.

use super::plan::{
    Baseline, Basis, CAP_MINOR_MAX, DEPTH_MAX, GRADES_MAX, Levels, Measure, Pay, PayoutKind, PaysOn, Plan,
    Problem, RATIO_MAX, SameLevel, TIERS_MAX, TierMode, TierSchedule, TierScope, UNIT_MINOR_MAX, WHOLE_BP,
    WINDOW_DAYS_MAX,
};

impl Plan {
    /// What is not well formed; empty for a plan that can be calculated. The law is looked at elsewhere.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.basis == Basis::Headcount {
            problems.push(Problem::new("basis", "pay by headcount is not offered: use sales"));
        }
        if self.effective_until.is_some_and(|until| until < self.effective_from) {
            problems.push(Problem::new("effective_until", "must not be before effective_from"));
        }
        if self.tiers.is_none() && self.levels.is_none() {
            problems.push(Problem::new("tiers", "a plan needs tiers, levels or both: it would pay nothing"));
        }
        if let Some(schedule) = &self.tiers {
            check_schedule(schedule, &mut problems);
        }
        if let Some(levels) = &self.levels {
            check_levels(levels, &mut problems);
        }
        self.check_payout(&mut problems);
        let payout = self.payout_max_bp();
        if payout > WHOLE_BP {
            let text = format!("together pay up to {payout} basis points of a sale, more than all of it");
            problems.push(Problem::new("tiers and levels", text));
        }
        check_limits(self, &mut problems);
        problems
    }

    fn check_payout(&self, problems: &mut Vec<Problem>) {
        if self.base.returns && self.clawback_days > 0 {
            let text = "says when returns are clawed back, and the base says that they never are";
            problems.push(Problem::new("clawback_days", text));
        }
        if let Some(rate) = self.cap_margin_bp {
            check_rate("cap_margin_bp", rate, problems);
        }
        let carry = self.payout.carry_under_minor;
        if !(0..=CAP_MINOR_MAX).contains(&carry) {
            let text = format!("must be 0 to {CAP_MINOR_MAX}, is {carry}");
            problems.push(Problem::new("payout.carry_under_minor", text));
        }
        if let PayoutKind::Goods { sku, unit_value_minor } = &self.payout.kind {
            if sku.is_empty() {
                problems.push(Problem::new("payout.goods_sku", "must name the goods"));
            }
            if !(1..=CAP_MINOR_MAX).contains(unit_value_minor) {
                let text = format!("must be 1 to {CAP_MINOR_MAX}, is {unit_value_minor}");
                problems.push(Problem::new("payout.goods_unit_value_minor", text));
            }
        }
    }
}

fn check_schedule(schedule: &TierSchedule, problems: &mut Vec<Problem>) {
    let count = schedule.tiers.len();
    if count == 0 || count > TIERS_MAX {
        problems.push(Problem::new("tiers.tiers", format!("must be 1 to {TIERS_MAX}, are {count}")));
    }
    check_measure(schedule, problems);
    let mut below = None;
    for (index, tier) in schedule.tiers.iter().enumerate() {
        let field = format!("tiers.tiers[{index}]");
        if tier.threshold < 0 || below.is_some_and(|below| tier.threshold <= below) {
            let text = format!("must ascend from 0, is {}", tier.threshold);
            problems.push(Problem::new(format!("{field}.threshold"), text));
        }
        below = Some(tier.threshold);
        if matches!(schedule.measure, Measure::Growth | Measure::Mix) && tier.threshold > RATIO_MAX {
            let text = format!("is in basis points, at most {RATIO_MAX}, is {}", tier.threshold);
            problems.push(Problem::new(format!("{field}.threshold"), text));
        }
        match (schedule.measure, schedule.mode, tier.pay) {
            (measure, _, Pay::PerUnit(_)) if measure != Measure::Quantity => problems.push(Problem::new(
                format!("{field}.unit_minor"),
                "only tiers by quantity pay by the unit: use rate_bp, or measure the quantity",
            )),
            (Measure::Quantity, TierMode::Marginal, Pay::Rate(_)) => problems.push(Problem::new(
                format!("{field}.rate_bp"),
                "a slice of units has no amount of its own: use unit_minor, or the retroactive mode",
            )),
            (_, _, Pay::Rate(rate)) => check_rate(&format!("{field}.rate_bp"), rate, problems),
            (_, _, Pay::PerUnit(minor)) if !(0..=UNIT_MINOR_MAX).contains(&minor) => {
                let text = format!("must be 0 to {UNIT_MINOR_MAX}, is {minor}");
                problems.push(Problem::new(format!("{field}.unit_minor"), text));
            }
            (_, _, Pay::PerUnit(_)) => {}
        }
    }
}

/// What goes together: measure, scope, mode, window, baseline, mix and what is paid on.
fn check_measure(schedule: &TierSchedule, problems: &mut Vec<Problem>) {
    let mut wrong = |field: &str, text: &str| problems.push(Problem::new(format!("tiers.{field}"), text));
    let ratio = matches!(schedule.measure, Measure::Growth | Measure::Mix);
    let (period, retroactive) = (schedule.scope == TierScope::Period, schedule.mode == TierMode::Retroactive);
    if ratio && !(period && retroactive) {
        wrong("mode", "growth and mix need the period as scope and the retroactive mode");
    }
    if schedule.measure == Measure::EarlyPayment && (period || !retroactive) {
        wrong("mode", "early payment needs the sale as scope and the retroactive mode");
    }
    if schedule.window_days > 0 && (ratio || !period || !retroactive) {
        let text = "a rolling window needs amount or quantity, the period as scope and the retroactive mode";
        wrong("window_days", text);
    }
    if schedule.window_days > WINDOW_DAYS_MAX {
        wrong("window_days", &format!("must be 0 to {WINDOW_DAYS_MAX}, is {}", schedule.window_days));
    }
    match schedule.baseline {
        Baseline::PreviousPeriod => {}
        _ if schedule.measure != Measure::Growth => wrong("baseline", "is for growth only"),
        Baseline::Fixed(minor) if !(1..=CAP_MINOR_MAX).contains(&minor) => {
            wrong("baseline_minor", &format!("must be 1 to {CAP_MINOR_MAX}, is {minor}"));
        }
        Baseline::Fixed(_) | Baseline::SamePeriodLastYear => {}
    }
    match (schedule.measure == Measure::Mix, &schedule.mix) {
        (true, None) => wrong("mix_filter", "is missing: a mix is the share of the sales that pass it"),
        (false, Some(_)) => wrong("mix_filter", "is for the measure mix only"),
        _ => {}
    }
    if schedule.pays_on == PaysOn::Part && !ratio {
        wrong("pays_on", "a part is paid for growth and mix only");
    }
}

fn check_levels(levels: &Levels, problems: &mut Vec<Problem>) {
    match levels {
        Levels::Fixed(rates) => {
            if rates.is_empty() || rates.len() > DEPTH_MAX {
                let text = format!("must be 1 to {DEPTH_MAX}, are {}", rates.len());
                problems.push(Problem::new("fixed.rates_bp", text));
            }
            for (index, rate) in rates.iter().enumerate() {
                check_rate(&format!("fixed.rates_bp[{index}]"), *rate, problems);
            }
        }
        Levels::Differential { grades, depth_max, same_level } => {
            if grades.is_empty() || grades.len() > GRADES_MAX {
                let text = format!("must be 1 to {GRADES_MAX}, are {}", grades.len());
                problems.push(Problem::new("differential.grades", text));
            }
            for (index, (grade, rate)) in grades.iter().enumerate() {
                let field = format!("differential.grades[{index}]");
                check_rate(&format!("{field}.rate_bp"), *rate, problems);
                if grades.iter().take(index).any(|(before, _)| before == grade) {
                    problems.push(Problem::new(format!("{field}.grade"), format!("{grade:?} stands twice")));
                }
            }
            if !(1..=DEPTH_MAX).contains(depth_max) {
                let text = format!("must be 1 to {DEPTH_MAX}, is {depth_max}");
                problems.push(Problem::new("differential.depth_max", text));
            }
            if let SameLevel::Every(rate) | SameLevel::Once(rate) = same_level {
                check_rate("differential.same_level_rate_bp", *rate, problems);
            }
        }
    }
}

fn check_rate(field: &str, rate: u32, problems: &mut Vec<Problem>) {
    if rate > WHOLE_BP {
        problems.push(Problem::new(field, format!("must be 0 to {WHOLE_BP}, is {rate}")));
    }
}

fn check_limits(plan: &Plan, problems: &mut Vec<Problem>) {
    let floor = plan.tiers.as_ref().map_or(0, |schedule| schedule.floor_minor);
    for (field, amount) in [("tiers.floor_minor", floor), ("payout_min_minor", plan.payout_min_minor)] {
        if !(0..=CAP_MINOR_MAX).contains(&amount) {
            problems.push(Problem::new(field, format!("must be 0 to {CAP_MINOR_MAX}, is {amount}")));
        }
        if let Some(cap) = plan.cap_member_minor.filter(|cap| amount > *cap) {
            let text = format!("is {amount}, over cap_member_minor, which is {cap}");
            problems.push(Problem::new(field, text));
        }
    }
    for (field, cap) in [("cap_member_minor", plan.cap_member_minor), ("cap_plan_minor", plan.cap_plan_minor)]
    {
        if let Some(cap) = cap.filter(|cap| !(1..=CAP_MINOR_MAX).contains(cap)) {
            problems.push(Problem::new(field, format!("must be 1 to {CAP_MINOR_MAX}, is {cap}")));
        }
    }
}
