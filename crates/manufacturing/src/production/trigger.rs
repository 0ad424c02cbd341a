//! Replenishment rules: which items are to be made or ordered now without being asked.
//!
//! The inventory position is what is on hand and on order less what is reserved (E. A. Silver, D. F.
//! Pyke, D. J. Thomas, Inventory and Production Management in Supply Chains, ch. 6). A dead band below
//! the level is the hysteresis: the rule doesn't fire for a few units.

use super::availability::Ledger;
use super::plant::{DAY, Id, Minute, QUANTITY_MAX, Snapshot};

/// When to replenish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At or below the point, order a quantity, as often as lifts the position above the point.
    ReorderPoint {
        /// Position, units.
        point: i64,
        /// Units, at least 1.
        quantity: i64,
    },
    /// At or below the minimum, order up to the maximum.
    MinMax {
        /// Position, units.
        min: i64,
        /// Position, units; more than `min`.
        max: i64,
    },
    /// When the position covers fewer days than wanted, order up to more days.
    DaysOfCover {
        /// Demand of a day, thousandths of a unit, at least 1.
        milli_per_day: i64,
        /// Days to have at least.
        days: i64,
        /// Days to order up to.
        target_days: i64,
    },
    /// When the balance falls below the safety stock within a horizon, order what is missing.
    OrderDriven {
        /// Minutes to look ahead.
        horizon: Minute,
    },
}

/// What made a rule fire, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that is promised is not covered.
    Shortage,
    /// Reservations within the horizon are not covered with safety stock.
    OrderDriven,
    /// The reorder point.
    ReorderPoint,
    /// The minimum.
    MinMax,
    /// The days of cover.
    DaysOfCover,
}

/// What a rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Item.
    pub item: Id,
    /// Why.
    pub kind: Kind,
    /// It fires.
    pub fired: bool,
    /// It would, but the position is within the dead band.
    pub held: bool,
    /// Inventory position, units.
    pub position: i64,
    /// Level at or below which it fires, units.
    pub level: i64,
    /// Units to make or order; 0 when it doesn't fire.
    pub quantity: i64,
    /// When they are needed; `None` for as soon as possible.
    pub need: Option<Minute>,
}

/// What the rule of an item says, as of `now`.
#[must_use]
pub fn evaluate(snapshot: &Snapshot, item: &Id, rule: Rule, dead_band: i64, now: Minute) -> Finding {
    let points = Ledger::of(snapshot, item, now).points(now);
    let units = |balance: i128| i64::try_from(balance).unwrap_or(QUANTITY_MAX);
    let position = points.last().map_or(0, |point| units(point.projected));
    let finding = |kind, level: i64, quantity: i64, need| Finding {
        item: item.clone(),
        kind,
        fired: false,
        held: false,
        position,
        level,
        quantity: quantity.clamp(0, QUANTITY_MAX),
        need,
    };
    // The deepest balance until `end`, and when it first falls below `floor`.
    let below = |floor: i64, end: Minute| {
        let seen = || points.iter().filter(move |point| point.at <= end);
        let least = seen().map(|point| units(point.projected)).min().unwrap_or(0);
        let at = seen().find(|point| point.projected < i128::from(floor)).map(|point| point.at);
        (floor - least, at)
    };
    let (short, at) = below(0, Minute::MAX);
    let (kind, level, quantity, need) = match rule {
        Rule::ReorderPoint { point, quantity } => {
            // Above the point, not at it.
            let missing = point + 1 - position;
            let times = missing / quantity + i64::from(missing % quantity > 0);
            (Kind::ReorderPoint, point, times.saturating_mul(quantity), None)
        }
        Rule::MinMax { min, max } => (Kind::MinMax, min, max - position, None),
        Rule::DaysOfCover { milli_per_day, days, target_days } => {
            let cover = |days: i64| units((i128::from(milli_per_day) * i128::from(days) + 999) / 1000);
            // Fewer days than wanted: below the cover, so at or below one unit less.
            (Kind::DaysOfCover, cover(days) - 1, cover(target_days) - position, None)
        }
        Rule::OrderDriven { horizon } => {
            let safety = snapshot.items.get(item).map_or(0, |item| item.safety_stock);
            let (missing, at) = below(safety, now + horizon);
            (Kind::OrderDriven, safety, missing, at.filter(|at| *at > now))
        }
    };
    let mut found = finding(kind, level, quantity, need);
    let reached = if let Rule::OrderDriven { .. } = rule { quantity > 0 } else { position <= level };
    let far = if let Rule::OrderDriven { .. } = rule {
        quantity > dead_band
    } else {
        position <= level - dead_band
    };
    (found.fired, found.held) = (reached && far, reached && !far);
    if !found.fired && short > 0 {
        // The dead band is for comfort; what is promised is made in any case.
        let more = if found.held { found.quantity.max(short) } else { short };
        found = Finding { fired: true, ..finding(Kind::Shortage, 0, more, at.filter(|at| *at > now)) };
    }
    if !found.fired && !found.held {
        found.quantity = 0;
    }
    found
}

/// The most urgent first: shortages, then by when they are needed, then by how far below the level.
pub fn sort(findings: &mut [Finding]) {
    let key = |f: &Finding| {
        (!f.fired, f.kind, f.need.unwrap_or_default() / DAY, f.position - f.level, f.item.clone())
    };
    findings.sort_by_key(key);
}
