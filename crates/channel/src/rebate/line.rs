//! One amount of a calculation with what it came from.

use super::exact::Exact;
use super::plan::Pay;

/// What a line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A tier: its slice, or everything at its rate.
    Tier {
        /// Where the tier begins, in the schedule's measure.
        from: i128,
        /// Where it or the measure ends.
        to: i128,
    },
    /// What sales so far have earned of what the tiers pay on an expected total.
    Expected {
        /// Where the expected tier begins, in the schedule's measure.
        from: i128,
        /// The expected total.
        total: i128,
        /// The sales so far.
        so_far: i128,
        /// What the tiers pay on the total, minor units.
        whole: i128,
    },
    /// What the smallest payout and the caps are expected to take off, as far as it is accrued.
    ExpectedLimit {
        /// Expected for the whole period, minor units.
        whole: i128,
        /// What is left of that, minor units.
        limited: i128,
    },
    /// What raises a tier amount to its floor.
    Floor {
        /// The floor, minor units.
        floor: i128,
    },
    /// A share by position or by difference of grades.
    Level {
        /// Position, 1 for the seller.
        level: usize,
        /// The member's own rate, basis points.
        own_bp: u32,
        /// The highest rate below, basis points.
        below_bp: u32,
    },
    /// A same-level share.
    SameLevel {
        /// Position, 1 for the seller.
        level: usize,
    },
    /// Under the smallest payout.
    PayoutMinimum {
        /// The smallest payout, minor units.
        least: i128,
    },
    /// Over the member's cap.
    MemberCap {
        /// The cap, minor units.
        cap: i128,
    },
    /// Over the plan's cap.
    PlanCap {
        /// The cap, minor units.
        cap: i128,
    },
    /// Over the plan's share of the margin.
    MarginCap {
        /// The cap, minor units.
        cap: i128,
        /// Margin of the sales that counted, minor units.
        margin: i128,
        /// The share, basis points.
        rate_bp: u32,
    },
}

/// One amount with what it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it stands for.
    pub kind: LineKind,
    /// The sale that it is for; `None` for a period's sales together.
    pub event_id: Option<String>,
    /// What the rate is applied to, or what an adjustment adjusts: minor units or units.
    pub base: i128,
    /// What is paid on the base; `None` for adjustments.
    pub pay: Option<Pay>,
    /// The amount before rounding; `None` for adjustments.
    pub exact: Option<Exact>,
    /// Minor units.
    pub amount: i128,
}

impl Line {
    /// A line that brings `base` up or down by `amount`.
    #[must_use]
    pub fn adjustment(kind: LineKind, event_id: Option<&str>, base: i128, amount: i128) -> Self {
        Self { kind, event_id: event_id.map(str::to_owned), base, pay: None, exact: None, amount }
    }
}
