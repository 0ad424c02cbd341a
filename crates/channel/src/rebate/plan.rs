//! What a plan says, and whether it is well formed.

use jiff::civil::Date;
use oaas_model::Currency;

use super::exact::Rounding;
use super::expectation::Expectation;
use super::facts::Sale;
use super::filter::{EvaluateError, Filter};
use super::law::Text;
use super::period::{Period, PeriodKind};

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
/// Largest threshold of growth or mix, basis points: a thousandfold.
pub const RATIO_MAX: i64 = 10_000_000;
/// Longest rolling window, days: three years.
pub const WINDOW_DAYS_MAX: u32 = 1_096;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field. Example: "tiers.tiers[1].threshold".
    pub field: String,
    /// What is wrong, lower case; the same in both languages where only English is known.
    pub text: Text,
}

impl Problem {
    /// A problem with `field`, in English.
    pub fn new(field: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { field: field.into(), text: Text { en: text.clone(), zh: text } }
    }

    /// A problem with `field`, in English and Chinese.
    pub fn both(field: impl Into<String>, en: impl Into<String>, zh: impl Into<String>) -> Self {
        Self { field: field.into(), text: Text { en: en.into(), zh: zh.into() } }
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
    /// What of a sale is the base of the rebate.
    pub base: Base,
    /// Categories that count; empty for all.
    pub categories: Vec<String>,
    /// Which of these sales count; `None` for all.
    pub filter: Option<Filter>,
    /// What the seller gets by volume.
    pub tiers: Option<TierSchedule>,
    /// What an open period is expected to come to; `None` for one that is accrued as reached.
    pub expectation: Option<Expectation>,
    /// What the chain above each sale gets.
    pub levels: Option<Levels>,
    /// Smaller amounts are not paid; zero for none. Minor units.
    pub payout_min_minor: i64,
    /// Most for one member in a period. Minor units.
    pub cap_member_minor: Option<i64>,
    /// Most for all members in a period. Minor units.
    pub cap_plan_minor: Option<i64>,
    /// Most for all members in a period, basis points of the margin of the sales that count.
    pub cap_margin_bp: Option<u32>,
    /// Days after its sale within which a return is clawed back; zero for always.
    pub clawback_days: u32,
    /// How a settled amount is paid.
    pub payout: Payout,
}

/// What of a sale is the base of the rebate: its amount net of tax, freight, discounts and returns, and
/// what the plan adds again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// Tax is part of the base.
    pub tax: bool,
    /// Freight is part of the base.
    pub freight: bool,
    /// Discounts are not taken off.
    pub discounts: bool,
    /// Returns are not taken off.
    pub returns: bool,
}

/// How a settled amount is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payout {
    /// In what.
    pub kind: PayoutKind,
    /// A smaller amount is not paid but carried to the next period; zero for none. Minor units.
    pub carry_under_minor: i64,
}

/// In what a settled amount is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PayoutKind {
    /// A credit on later invoices.
    #[default]
    Credit,
    /// Money.
    Cash,
    /// Whole units of goods; what is left over is carried.
    Goods {
        /// The goods.
        sku: String,
        /// What one unit counts for, minor units.
        unit_value_minor: i64,
    },
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
    /// Growth of the net amount over the schedule's baseline, basis points.
    Growth,
    /// Share of the net amount that passes the schedule's mix filter, basis points.
    Mix,
    /// Days between payment and due day, each sale on its own.
    EarlyPayment,
}

/// What growth is measured against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Baseline {
    /// The member's net amount in the period before.
    #[default]
    PreviousPeriod,
    /// The member's net amount in the same period of the year before.
    SamePeriodLastYear,
    /// The same amount for every member, minor units.
    Fixed(i64),
}

/// What the reached rate of a growth or mix schedule is applied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaysOn {
    /// The member's whole net amount of the period.
    #[default]
    Everything,
    /// Only the growth over the baseline, or only what passes the mix filter.
    Part,
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
    /// The tier is decided by the sales of so many days up to the period's last (rolling); zero for the
    /// period's own.
    pub window_days: u32,
    /// What growth is measured against.
    pub baseline: Baseline,
    /// The sales whose share a mix schedule measures.
    pub mix: Option<Filter>,
    /// What a growth or mix rate is applied to.
    pub pays_on: PaysOn,
}

impl TierSchedule {
    /// Days before and in `period` whose sales the schedule looks at beside the period's own.
    #[must_use]
    pub fn looks_back(&self, kind: PeriodKind, period: Period) -> Option<Period> {
        if self.window_days > 0 {
            return Some(period.ending_with(self.window_days));
        }
        match (self.measure, self.baseline) {
            (Measure::Growth, Baseline::PreviousPeriod) => Some(kind.before(period)),
            (Measure::Growth, Baseline::SamePeriodLastYear) => Some(kind.year_before(period)),
            _ => None,
        }
    }
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

    /// The tiers that a member's sales of the period decide together; `None` for a plan without.
    #[must_use]
    pub fn period_tiers(&self) -> Option<&TierSchedule> {
        self.tiers.as_ref().filter(|schedule| schedule.scope == TierScope::Period)
    }

    /// Whether sales of `day` earn.
    #[must_use]
    pub fn in_force_on(&self, day: Date) -> bool {
        day >= self.effective_from && self.effective_until.is_none_or(|until| day <= until)
    }

    /// Whether the plan looks at a sale of this kind, whenever it was.
    ///
    /// # Errors
    /// A filter that says nothing on this sale.
    pub fn selects(&self, sale: &Sale) -> Result<bool, EvaluateError> {
        if !(self.categories.is_empty() || self.categories.contains(&sale.category)) {
            return Ok(false);
        }
        self.filter.as_ref().map_or(Ok(true), |filter| filter.passes(sale))
    }

    /// Whether a return so many days after its sale is taken off.
    #[must_use]
    pub fn claws_back(&self, days: i32) -> bool {
        let within = u32::try_from(days).is_ok_and(|days| days <= self.clawback_days);
        !self.base.returns && (self.clawback_days == 0 || within)
    }

    /// The days whose sales a calculation of `period` looks at: the period's own, and others that
    /// decide the tier. They do not overlap.
    #[must_use]
    pub fn looks_at(&self, period: Period) -> Vec<Period> {
        let back = self.tiers.as_ref().and_then(|schedule| schedule.looks_back(self.period, period));
        match back {
            Some(back) if back.end >= period.start => {
                vec![Period { start: back.start.min(period.start), end: period.end }]
            }
            Some(back) => vec![back, period],
            None => vec![period],
        }
    }
}
