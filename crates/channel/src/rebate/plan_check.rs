//! Whether a plan is well formed. The law is looked at elsewhere.

use super::expectation::{Expectation, STATED_MAX, TOTAL_MAX};
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
            let en = "pay by headcount is not offered: use sales";
            problems.push(Problem::both("basis", en, "不提供按人头计酬：请用 sales"));
        }
        if self.effective_until.is_some_and(|until| until < self.effective_from) {
            let en = "must not be before effective_from";
            problems.push(Problem::both("effective_until", en, "不得早于生效首日"));
        }
        if self.tiers.is_none() && self.levels.is_none() {
            let en = "a plan needs tiers, levels or both: it would pay nothing";
            problems.push(Problem::both("tiers", en, "计划须有档位或层级，否则什么都不支付"));
        }
        if let Some(schedule) = &self.tiers {
            check_schedule(schedule, &mut problems);
        }
        if let Some(levels) = &self.levels {
            check_levels(levels, &mut problems);
        }
        if let Some(expectation) = &self.expectation {
            self.check_expectation(expectation, &mut problems);
        }
        self.check_payout(&mut problems);
        let payout = self.payout_max_bp();
        if payout > WHOLE_BP {
            let en = format!("together pay up to {payout} basis points of a sale, more than all of it");
            let zh = format!("合计最多支付销售额的 {payout} 个基点，超过其全部");
            problems.push(Problem::both("tiers and levels", en, zh));
        }
        check_limits(self, &mut problems);
        problems
    }

    /// A total is expected of the sales of a period by amount or quantity, and of nothing else.
    fn check_expectation(&self, expectation: &Expectation, problems: &mut Vec<Problem>) {
        let mut wrong = |field: &str, en: &str, zh: &str| {
            let dot = if field.is_empty() { "" } else { "." };
            problems.push(Problem::both(format!("expectation{dot}{field}"), en, zh));
        };
        match &self.tiers {
            Some(schedule) if matches!(schedule.measure, Measure::Amount | Measure::Quantity) => {
                if schedule.scope == TierScope::Sale {
                    let en = "each sale decides its own tier: there is no total to expect";
                    wrong("", en, "每笔销售自定档位，没有可预计的合计");
                }
                if schedule.window_days > 0 {
                    let en = "the tier of a rolling window is decided by days before the period too: it is accrued as reached";
                    wrong("", en, "滚动期间的档位还取决于期间之前的销售：按已达档位计提");
                }
            }
            Some(_) => {
                let en = "growth, mix and early payment are accrued as reached: a total decides amounts and quantities only";
                wrong("", en, "增长、占比与提前付款按已达档位计提：合计只决定金额与数量的档位");
            }
            None => wrong(
                "",
                "levels have no tier to expect: they are earned sale by sale",
                "层级没有可预计的档位：逐笔计得",
            ),
        }
        let projected = expectation.projection.is_some();
        if !projected && expectation.each.is_none() && expectation.members.is_empty() {
            wrong(
                "",
                "expects nothing: name a projection, or state totals",
                "未预计任何内容：请指明推算方法或写明合计",
            );
        }
        if projected && expectation.each.is_some() {
            let en = "is stated for each member, and a projection says the same of each";
            wrong("each_total", en, "已为每个成员写明合计，又指明了推算方法");
        }
        if expectation.less_bp > 0 && !projected {
            wrong(
                "less_bp",
                "is taken off a projection, and none is named",
                "从推算中扣减，而未指明推算方法",
            );
        }
        let count = expectation.members.len();
        let tiers_up = expectation.tiers_up.map(usize::try_from).map(|up| up.unwrap_or(usize::MAX));
        let totals =
            expectation.members.iter().map(|(id, total)| (format!("expectation.members.{id}"), *total));
        let each = expectation.each.map(|total| ("expectation.each_total".to_owned(), total));
        for (field, total) in each.into_iter().chain(totals) {
            if !(1..=TOTAL_MAX).contains(&total) {
                problems.push(outside(&field, 1, TOTAL_MAX, total));
            }
        }
        if count > STATED_MAX {
            problems.push(outside("expectation.members", 0, STATED_MAX, count));
        }
        if let Some(up) = tiers_up.filter(|up| !(1..=TIERS_MAX).contains(up)) {
            problems.push(outside("expectation.tiers_up", 1, TIERS_MAX, up));
        }
        check_rate("expectation.less_bp", expectation.less_bp, problems);
    }

    fn check_payout(&self, problems: &mut Vec<Problem>) {
        if self.base.returns && self.clawback_days > 0 {
            let en = "says when returns are clawed back, and the base says that they never are";
            problems.push(Problem::both("clawback_days", en, "规定了退货追回期限，而基数规定退货不扣除"));
        }
        if let Some(rate) = self.cap_margin_bp {
            check_rate("cap_margin_bp", rate, problems);
        }
        let carry = self.payout.carry_under_minor;
        if !(0..=CAP_MINOR_MAX).contains(&carry) {
            problems.push(outside("payout.carry_under_minor", 0, CAP_MINOR_MAX, carry));
        }
        if let PayoutKind::Goods { sku, unit_value_minor } = &self.payout.kind {
            if sku.is_empty() {
                problems.push(Problem::both("payout.goods_sku", "must name the goods", "须写明货品"));
            }
            if !(1..=CAP_MINOR_MAX).contains(unit_value_minor) {
                let field = "payout.goods_unit_value_minor";
                problems.push(outside(field, 1, CAP_MINOR_MAX, *unit_value_minor));
            }
        }
    }
}

fn check_schedule(schedule: &TierSchedule, problems: &mut Vec<Problem>) {
    let count = schedule.tiers.len();
    if count == 0 || count > TIERS_MAX {
        problems.push(outside("tiers.tiers", 1, TIERS_MAX, count));
    }
    check_measure(schedule, problems);
    let mut below = None;
    for (index, tier) in schedule.tiers.iter().enumerate() {
        let field = format!("tiers.tiers[{index}]");
        if tier.threshold < 0 || below.is_some_and(|below| tier.threshold <= below) {
            let (en, zh) = (
                format!("must ascend from 0, is {}", tier.threshold),
                format!("须从 0 起递增，实为 {}", tier.threshold),
            );
            problems.push(Problem::both(format!("{field}.threshold"), en, zh));
        }
        below = Some(tier.threshold);
        if matches!(schedule.measure, Measure::Growth | Measure::Mix) && tier.threshold > RATIO_MAX {
            let (en, zh) = (
                format!("is in basis points, at most {RATIO_MAX}, is {}", tier.threshold),
                format!("以基点计，最多 {RATIO_MAX}，实为 {}", tier.threshold),
            );
            problems.push(Problem::both(format!("{field}.threshold"), en, zh));
        }
        match (schedule.measure, schedule.mode, tier.pay) {
            (measure, _, Pay::PerUnit(_)) if measure != Measure::Quantity => problems.push(Problem::both(
                format!("{field}.unit_minor"),
                "only tiers by quantity pay by the unit: use rate_bp, or measure the quantity",
                "只有按数量的档位可按件支付：请用比例，或按数量计量",
            )),
            (Measure::Quantity, TierMode::Marginal, Pay::Rate(_)) => problems.push(Problem::both(
                format!("{field}.rate_bp"),
                "a slice of units has no amount of its own: use unit_minor, or the retroactive mode",
                "按数量的分段没有自己的金额：请按件支付，或对全额适用",
            )),
            (_, _, Pay::Rate(rate)) => check_rate(&format!("{field}.rate_bp"), rate, problems),
            (_, _, Pay::PerUnit(minor)) if !(0..=UNIT_MINOR_MAX).contains(&minor) => {
                problems.push(outside(&format!("{field}.unit_minor"), 0, UNIT_MINOR_MAX, minor));
            }
            (_, _, Pay::PerUnit(_)) => {}
        }
    }
}

/// What goes together: measure, scope, mode, window, baseline, mix and what is paid on.
fn check_measure(schedule: &TierSchedule, problems: &mut Vec<Problem>) {
    let mut wrong =
        |field: &str, en: &str, zh: &str| problems.push(Problem::both(format!("tiers.{field}"), en, zh));
    let ratio = matches!(schedule.measure, Measure::Growth | Measure::Mix);
    let (period, retroactive) = (schedule.scope == TierScope::Period, schedule.mode == TierMode::Retroactive);
    if ratio && !(period && retroactive) {
        let en = "growth and mix need the period as scope and the retroactive mode";
        wrong("mode", en, "增长与占比须按期间、对全额适用");
    }
    if schedule.measure == Measure::EarlyPayment && (period || !retroactive) {
        let en = "early payment needs the sale as scope and the retroactive mode";
        wrong("mode", en, "提前付款须按每笔销售、对全额适用");
    }
    if schedule.window_days > 0 && (ratio || !period || !retroactive) {
        let en = "a rolling window needs amount or quantity, the period as scope and the retroactive mode";
        wrong("window_days", en, "滚动期间须按金额或数量、按期间、对全额适用");
    }
    if schedule.window_days > WINDOW_DAYS_MAX {
        let days = schedule.window_days;
        let en = format!("must be 0 to {WINDOW_DAYS_MAX}, is {days}");
        wrong("window_days", &en, &format!("须为 0 至 {WINDOW_DAYS_MAX}，实为 {days}"));
    }
    match schedule.baseline {
        Baseline::PreviousPeriod => {}
        _ if schedule.measure != Measure::Growth => wrong("baseline", "is for growth only", "仅用于增长"),
        Baseline::Fixed(minor) if !(1..=CAP_MINOR_MAX).contains(&minor) => {
            let en = format!("must be 1 to {CAP_MINOR_MAX}, is {minor}");
            wrong("baseline_minor", &en, &format!("须为 1 至 {CAP_MINOR_MAX}，实为 {minor}"));
        }
        Baseline::Fixed(_) | Baseline::SamePeriodLastYear => {}
    }
    match (schedule.measure == Measure::Mix, &schedule.mix) {
        (true, None) => wrong(
            "mix_filter",
            "is missing: a mix is the share of the sales that pass it",
            "缺失：占比是通过该筛选的销售所占的比例",
        ),
        (false, Some(_)) => wrong("mix_filter", "is for the measure mix only", "仅用于占比"),
        _ => {}
    }
    if schedule.pays_on == PaysOn::Part && !ratio {
        wrong("pays_on", "a part is paid for growth and mix only", "仅增长与占比可就部分支付");
    }
}

fn check_levels(levels: &Levels, problems: &mut Vec<Problem>) {
    match levels {
        Levels::Fixed(rates) => {
            if rates.is_empty() || rates.len() > DEPTH_MAX {
                problems.push(outside("fixed.rates_bp", 1, DEPTH_MAX, rates.len()));
            }
            for (index, rate) in rates.iter().enumerate() {
                check_rate(&format!("fixed.rates_bp[{index}]"), *rate, problems);
            }
        }
        Levels::Differential { grades, depth_max, same_level } => {
            if grades.is_empty() || grades.len() > GRADES_MAX {
                problems.push(outside("differential.grades", 1, GRADES_MAX, grades.len()));
            }
            for (index, (grade, rate)) in grades.iter().enumerate() {
                let field = format!("differential.grades[{index}]");
                check_rate(&format!("{field}.rate_bp"), *rate, problems);
                if grades.iter().take(index).any(|(before, _)| before == grade) {
                    let (en, zh) = (format!("{grade:?} stands twice"), format!("{grade:?} 出现两次"));
                    problems.push(Problem::both(format!("{field}.grade"), en, zh));
                }
            }
            if !(1..=DEPTH_MAX).contains(depth_max) {
                problems.push(outside("differential.depth_max", 1, DEPTH_MAX, *depth_max));
            }
            if let SameLevel::Every(rate) | SameLevel::Once(rate) = same_level {
                check_rate("differential.same_level_rate_bp", *rate, problems);
            }
        }
    }
}

/// A number that is not within its limits.
fn outside<T: std::fmt::Display>(field: &str, least: T, most: T, is: T) -> Problem {
    let en = format!("must be {least} to {most}, is {is}");
    Problem::both(field, en, format!("须为 {least} 至 {most}，实为 {is}"))
}

fn check_rate(field: &str, rate: u32, problems: &mut Vec<Problem>) {
    if rate > WHOLE_BP {
        problems.push(outside(field, 0, WHOLE_BP, rate));
    }
}

fn check_limits(plan: &Plan, problems: &mut Vec<Problem>) {
    let floor = plan.tiers.as_ref().map_or(0, |schedule| schedule.floor_minor);
    for (field, amount) in [("tiers.floor_minor", floor), ("payout_min_minor", plan.payout_min_minor)] {
        if !(0..=CAP_MINOR_MAX).contains(&amount) {
            problems.push(outside(field, 0, CAP_MINOR_MAX, amount));
        }
        if let Some(cap) = plan.cap_member_minor.filter(|cap| amount > *cap) {
            let en = format!("is {amount}, over cap_member_minor, which is {cap}");
            problems.push(Problem::both(field, en, format!("为 {amount}，超过单个成员上限 {cap}")));
        }
    }
    for (field, cap) in [("cap_member_minor", plan.cap_member_minor), ("cap_plan_minor", plan.cap_plan_minor)]
    {
        if let Some(cap) = cap.filter(|cap| !(1..=CAP_MINOR_MAX).contains(cap)) {
            problems.push(outside(field, 1, CAP_MINOR_MAX, cap));
        }
    }
}
