//! What a plan says, and whether it is well formed.

use jiff::civil::Date;
use oaas_model::Currency;

use super::exact::Rounding;
use super::period::PeriodKind;

/// The whole in basis points.
pub const WHOLE_BP: u32 = 10_000;
/// Tiers in a schedule.
pub const TIERS_MAX: usize = 50;
/// Positions of the chain that a plan can pay.
pub const DEPTH_MAX: usize = 10;
/// Grades in a differential distribution.
pub const GRADES_MAX: usize = 20;
/// Largest payment for one unit, minor units.
pub const UNIT_MINOR_MAX: i64 = 1_000_000_000;
/// Largest cap, minor units; far over what 64 bits need, so that totals always fit.
pub const CAP_MINOR_MAX: i64 = 1_000_000_000_000_000;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field. Example: "tiers.tiers[1].threshold".
    pub field: String,
    /// What is wrong, lower case.
    pub text: String,
}

impl Problem {
    /// A problem with `field`.
    pub fn new(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self { field: field.into(), text: text.into() }
    }
}

/// A rebate or commission plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name.
    pub plan_id: String,
    /// Currency of all amounts.
    pub currency: Currency,
    /// ISO 3166-1 code of the country whose law is looked at.
    pub jurisdiction: String,
    /// Who is paid.
    pub payee: PayeeKind,
    /// What is counted.
    pub basis: Basis,
    /// What taking part demands.
    pub participation: Participation,
    /// First day on which sales count.
    pub effective_from: Date,
    /// Last day on which sales count; `None` for no end.
    pub effective_until: Option<Date>,
    /// The period over which sales are summed.
    pub period: PeriodKind,
    /// How exact amounts become minor units.
    pub rounding: Rounding,
    /// Categories that count; empty for all.
    pub categories: Vec<String>,
    /// What the seller gets by volume.
    pub tiers: Option<TierSchedule>,
    /// What the chain above each sale gets.
    pub levels: Option<Levels>,
    /// Smaller amounts are not paid; zero for none. Minor units.
    pub payout_min_minor: i64,
    /// Most for one member in a period. Minor units.
    pub cap_member_minor: Option<i64>,
    /// Most for all members in a period. Minor units.
    pub cap_plan_minor: Option<i64>,
    /// Days after its sale within which a return is clawed back; zero for always.
    pub clawback_days: u32,
}

/// Who is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayeeKind {
    /// Companies.
    Company,
    /// Natural persons.
    NaturalPerson,
}

/// What a plan counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Net sales.
    Sales,
    /// People recruited; never paid.
    Headcount,
}

/// What taking part demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Participation {
    /// Members must recruit others.
    pub recruitment_required: bool,
    /// Members must pay a fee or buy goods.
    pub entry_fee_required: bool,
    /// Members are direct sellers of a licensed company.
    pub direct_selling: bool,
}

/// What a tier pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pay {
    /// Basis points of the amount.
    Rate(u32),
    /// Minor units for each unit.
    PerUnit(i64),
}

/// One tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Where it begins, in the schedule's measure.
    pub threshold: i64,
    /// What it pays.
    pub pay: Pay,
}

/// What decides the tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Net amount, minor units.
    Amount,
    /// Net quantity, units.
    Quantity,
}

/// What the tiers are applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierScope {
    /// A member's sales of the period together.
    Period,
    /// Each sale.
    Sale,
}

/// How a tier's rate is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierMode {
    /// Each rate on its slice.
    Marginal,
    /// The reached rate on everything.
    Retroactive,
}

/// When a retroactive threshold is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdRule {
    /// At it or above.
    Reached,
    /// Above it.
    Exceeded,
}

/// A tier schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierSchedule {
    /// What decides the tier.
    pub measure: Measure,
    /// What the tiers are applied to.
    pub scope: TierScope,
    /// Marginal or retroactive.
    pub mode: TierMode,
    /// When a threshold is reached.
    pub threshold_rule: ThresholdRule,
    /// Tiers, thresholds ascending.
    pub tiers: Vec<Tier>,
    /// Smallest amount once the first tier is reached; zero for none. Minor units.
    pub floor_minor: i64,
}

/// What a member gets whose rate is the highest below it again (平级).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameLevel {
    /// Nothing.
    None,
    /// These basis points, every such member.
    Every(u32),
    /// These basis points, only the nearest such member.
    Once(u32),
}

/// Multi-level distribution of a sale over its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Levels {
    /// Basis points for each position, the seller first.
    Fixed(Vec<u32>),
    /// Basis points for each grade, paid as differences (级差).
    Differential {
        /// Grade and basis points.
        grades: Vec<(String, u32)>,
        /// Positions that may be paid.
        depth_max: usize,
        /// The same-level policy.
        same_level: SameLevel,
    },
}

impl Levels {
    /// Positions of the chain that can get something, the seller included.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self {
            Self::Fixed(rates) => rates.iter().rposition(|rate| *rate > 0).map_or(0, |last| last + 1),
            Self::Differential { depth_max, .. } => *depth_max,
        }
    }

    /// Most that one sale can cost, basis points.
    #[must_use]
    pub fn payout_max_bp(&self) -> u32 {
        match self {
            Self::Fixed(rates) => rates.iter().fold(0, |sum, rate| sum.saturating_add(*rate)),
            Self::Differential { grades, depth_max, same_level } => {
                let top = grades.iter().map(|(_, rate)| *rate).max().unwrap_or(0);
                let others = u32::try_from(depth_max.saturating_sub(1)).unwrap_or(u32::MAX);
                top.saturating_add(match same_level {
                    SameLevel::None => 0,
                    SameLevel::Every(rate) => rate.saturating_mul(others),
                    SameLevel::Once(rate) => rate.saturating_mul(others.min(1)),
                })
            }
        }
    }
}

impl Plan {
    /// Most that a unit of sales can cost, basis points; payments by the unit are not in it.
    #[must_use]
    pub fn payout_max_bp(&self) -> u32 {
        let tiers = self.tiers.iter().flat_map(|schedule| &schedule.tiers);
        let top = tiers.map(|tier| if let Pay::Rate(rate) = tier.pay { rate } else { 0 }).max();
        top.unwrap_or(0).saturating_add(self.levels.as_ref().map_or(0, Levels::payout_max_bp))
    }

    /// Whether a sale of this day and category counts.
    #[must_use]
    pub fn counts(&self, day: Date, category: &str) -> bool {
        day >= self.effective_from
            && self.effective_until.is_none_or(|until| day <= until)
            && (self.categories.is_empty() || self.categories.iter().any(|counted| counted == category))
    }

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
        let payout = self.payout_max_bp();
        if payout > WHOLE_BP {
            let text = format!("together pay up to {payout} basis points of a sale, more than all of it");
            problems.push(Problem::new("tiers and levels", text));
        }
        check_limits(self, &mut problems);
        problems
    }
}

fn check_schedule(schedule: &TierSchedule, problems: &mut Vec<Problem>) {
    let count = schedule.tiers.len();
    if count == 0 || count > TIERS_MAX {
        problems.push(Problem::new("tiers.tiers", format!("must be 1 to {TIERS_MAX}, are {count}")));
    }
    let mut below = None;
    for (index, tier) in schedule.tiers.iter().enumerate() {
        let field = format!("tiers.tiers[{index}]");
        if tier.threshold < 0 || below.is_some_and(|below| tier.threshold <= below) {
            let text = format!("must ascend from 0, is {}", tier.threshold);
            problems.push(Problem::new(format!("{field}.threshold"), text));
        }
        below = Some(tier.threshold);
        match (schedule.measure, schedule.mode, tier.pay) {
            (Measure::Amount, _, Pay::PerUnit(_)) => problems.push(Problem::new(
                format!("{field}.unit_minor"),
                "tiers by amount pay a rate: use rate_bp, or measure the quantity",
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
