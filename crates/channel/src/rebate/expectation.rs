//! What the sales of an open period are expected to come to: stated in the plan, or projected by a
//! method that the plan names. IFRS 15 calls a rebate for volume variable consideration (paragraphs 50
//! to 53); `less` and `tiers_up` are for its constraint (paragraphs 56 to 58).

use std::collections::{BTreeMap, HashMap};

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::calculate::{CalculateError, selected};
use super::facts::{NetSale, days};
use super::period::Period;
use super::plan::{Measure, Plan, TierSchedule, WHOLE_BP};

/// Members whose totals a plan may state.
pub const STATED_MAX: usize = 500;
/// Largest total that is stated or projected, in the schedule's measure: as the largest cap.
pub const TOTAL_MAX: i64 = 1_000_000_000_000_000;

/// How an open period of a plan is accrued: at the tier that is expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// How the total of a member is projected of whom nothing is stated.
    pub projection: Option<Projection>,
    /// What is not counted of the sales that a projection adds to those so far, basis points.
    pub less_bp: u32,
    /// The total of each member of whom nothing else is stated, in the schedule's measure.
    pub each: Option<i64>,
    /// The totals of single members, in the schedule's measure.
    pub members: BTreeMap<String, i64>,
    /// At most so many tiers above the one that is reached; `None` for any.
    pub tiers_up: Option<u32>,
}

/// A method of projecting a member's sales to the end of the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Projection {
    /// Sales so far × days of the period ÷ days gone.
    RunRate,
    /// Sales so far ÷ the share that the same days had of the period before.
    PreviousPeriod,
    /// Sales so far ÷ the share that the same days had of the same period a year before.
    SamePeriodLastYear,
}

/// How an expected total was arrived at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It is stated for this member.
    StatedForMember,
    /// It is stated for each member.
    StatedForEach,
    /// By the days that are gone.
    RunRate {
        /// Sales of the days gone.
        counted: i128,
        /// Days gone.
        gone: i128,
        /// Days of the period.
        days: i128,
    },
    /// By the share that the same days had of an earlier period.
    Share {
        /// Sales of the days gone.
        counted: i128,
        /// The earlier period's sales on the same days.
        same: i128,
        /// The earlier period's sales.
        whole: i128,
        /// The earlier period, as far as it is compared with.
        earlier: Period,
    },
}

/// What a member's sales of the period are expected to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// In the schedule's measure; never less than `so_far`.
    pub total: i128,
    /// The sales so far, in the schedule's measure.
    pub so_far: i128,
    /// How it was arrived at.
    pub arrived: Arrived,
    /// What that gave, before anything was taken off.
    pub first: i128,
    /// What was taken off of the sales that are yet to come, basis points.
    pub less_bp: u32,
    /// So many tiers above the reached one held it down; `None` when they did not.
    pub held_to: Option<u32>,
}

/// The days of an open period that a projection goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Horizon {
    first: Date,
    as_of: Date,
    gone: i128,
    days: i128,
    /// The earlier period, and its days like those gone.
    earlier: Option<(Period, Period)>,
}

/// What a member sold on the days gone, and in the earlier period.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    counted: i128,
    same: i128,
    whole: i128,
}

impl Plan {
    /// The earlier period whose sales an accrual of `period` looks at to project them.
    #[must_use]
    pub fn projects_from(&self, period: Period) -> Option<Period> {
        match self.expectation.as_ref()?.projection? {
            Projection::RunRate => None,
            Projection::PreviousPeriod => Some(self.period.before(period)),
            Projection::SamePeriodLastYear => Some(self.period.year_before(period)),
        }
    }

    /// The days by which `period` is projected on `as_of`; `None` when it is over.
    pub(super) fn horizon(&self, period: Period, as_of: Date) -> Option<Horizon> {
        let first = period.start.max(self.effective_from);
        let last = self.effective_until.map_or(period.end, |until| until.min(period.end));
        if as_of > last {
            return None;
        }
        let length = |first: Date, last: Date| i128::from(days(first, last).unwrap_or(-1)) + 1;
        let gone = length(first, as_of).max(0);
        let earlier = self.projects_from(period).map(|earlier| {
            let alike = |day: Date| {
                let offset = days(period.start, day).unwrap_or(0);
                earlier.start.checked_add(offset.days()).map_or(earlier.end, |day| day.min(earlier.end))
            };
            let end = if last == period.end { earlier.end } else { alike(last) };
            let whole = Period { start: alike(first), end };
            (whole, Period { end: alike(as_of), ..whole })
        });
        Some(Horizon { first, as_of, gone, days: length(first, last), earlier })
    }
}

impl TierSchedule {
    /// What the schedule measures of an amount and a quantity.
    pub(super) fn of(&self, amount: i128, quantity: i128) -> i128 {
        if self.measure == Measure::Quantity { quantity } else { amount }
    }
}

impl Horizon {
    /// What each member sold on the days gone and in the earlier period.
    pub(super) fn seen<'f>(
        &self,
        plan: &Plan,
        schedule: &TierSchedule,
        net: &[NetSale<'f>],
    ) -> Result<HashMap<&'f str, Seen>, CalculateError> {
        let mut seen: HashMap<&str, Seen> = HashMap::new();
        for sale in net {
            let on = sale.sale.occurred_on;
            let gone = self.first <= on && on <= self.as_of;
            let whole = self.earlier.is_some_and(|(whole, _)| whole.holds(on));
            if !(gone || whole) || !selected(sale, plan.selects(sale.sale))? {
                continue;
            }
            let Some(seller) = sale.sale.chain.first() else { continue };
            let measure = schedule.of(sale.amount_minor.into(), sale.quantity.into());
            let member = seen.entry(&seller.member_id).or_default();
            if gone {
                member.counted += measure;
            }
            if whole {
                member.whole += measure;
            }
            if self.earlier.is_some_and(|(_, same)| same.holds(on)) {
                member.same += measure;
            }
        }
        Ok(seen)
    }
}

impl Expectation {
    /// What a member's sales of the period are expected to come to; `None` when nothing is stated and
    /// nothing can be projected.
    pub(super) fn of(
        &self,
        schedule: &TierSchedule,
        member_id: &str,
        so_far: i128,
        horizon: &Horizon,
        seen: Seen,
    ) -> Option<Expected> {
        let (arrived, first) = self.arrive(member_id, horizon, seen)?;
        let first = first.min(TOTAL_MAX.into());
        let projected = matches!(arrived, Arrived::RunRate { .. } | Arrived::Share { .. });
        let less_bp = if projected { self.less_bp.min(WHOLE_BP) } else { 0 };
        let to_come = (first - so_far).max(0) * i128::from(WHOLE_BP - less_bp) / i128::from(WHOLE_BP);
        let wanted = so_far + to_come;
        let highest = self.tiers_up.and_then(|up| Some((up, schedule.highest(so_far, up)?)));
        let (total, held_to) = match highest {
            Some((up, highest)) if wanted > highest => (highest.max(so_far), Some(up)),
            _ => (wanted, None),
        };
        Some(Expected { total, so_far, arrived, first, less_bp, held_to })
    }

    fn arrive(&self, member_id: &str, horizon: &Horizon, seen: Seen) -> Option<(Arrived, i128)> {
        if let Some(total) = self.members.get(member_id) {
            return Some((Arrived::StatedForMember, i128::from(*total)));
        }
        let Seen { counted, same, whole } = seen;
        match (self.projection, horizon.earlier) {
            (None, _) => self.each.map(|total| (Arrived::StatedForEach, i128::from(total))),
            // Nothing on the same days says nothing on the rest: the days gone have to do.
            (Some(_), Some((earlier, _))) if same > 0 => {
                let total = counted.saturating_mul(whole) / same;
                Some((Arrived::Share { counted, same, whole, earlier }, total))
            }
            (Some(_), _) if horizon.gone > 0 => {
                let Horizon { gone, days, .. } = *horizon;
                Some((Arrived::RunRate { counted, gone, days }, counted.saturating_mul(days) / gone))
            }
            (Some(_), _) => None,
        }
    }
}
