//! From an item's open needs to its lots: dates and costs for the lot sizing, then the item's least,
//! multiple and largest quantity.

use super::demand::PLAN_LINES_MAX;
use super::lot::{self, Period};
use super::plant::{Item, LotPolicy, LotRule, Minute};

/// Millionths of a minor unit times minutes of a day: lot sizing adds setups to holding costs, which
/// are given a day and arise by the minute.
const LOT_COST_SCALE: i128 = 1_000_000 * 1440;

/// Lot quantities for open needs, in the order of the needs; `None` when numbers are too large.
pub(super) fn lots(
    item: &Item,
    setup: i64,
    policy: LotPolicy,
    open: &[(usize, i64, Minute)],
) -> Option<Vec<i64>> {
    let mut dates: Vec<(Minute, i64)> = Vec::new();
    for (_, units, need) in open {
        match dates.last_mut() {
            Some((at, sum)) if at == need => *sum = sum.checked_add(*units)?,
            _ => dates.push((*need, *units)),
        }
    }
    let next = dates.iter().skip(1).map(|(at, _)| *at).chain(dates.last().map(|(at, _)| *at));
    let periods: Vec<Period> = dates
        .iter()
        .zip(next)
        .map(|((at, demand), next)| Period {
            demand: *demand,
            setup: i128::from(setup) * LOT_COST_SCALE,
            unit: 0,
            hold: i128::from(item.holding_micros_per_day) * i128::from(next - at),
        })
        .collect();
    let plan = match policy {
        LotPolicy::WagnerWhitin => lot::wagner_whitin(&periods),
        LotPolicy::SilverMeal => lot::silver_meal(&periods),
        LotPolicy::LotForLot => lot::lot_for_lot(&periods),
    };
    ruled(&item.lot, &plan.ok()?.lots)
}

/// Lots under an item's least, multiple and largest quantity. What rounding adds serves the lots
/// that follow.
pub(super) fn ruled(rule: &LotRule, lots: &[i64]) -> Option<Vec<i64>> {
    let step = rule.multiple.max(1);
    let up = |units: i64| units.max(rule.min).checked_add(step - 1).map(|units| units / step * step);
    let largest = if rule.max > 0 { (rule.max / step * step).max(step) } else { i64::MAX };
    let (mut ruled, mut surplus) = (Vec::new(), 0i64);
    for lot in lots {
        let mut missing = lot - surplus.min(*lot);
        surplus -= surplus.min(*lot);
        while missing > 0 {
            let quantity = up(missing)?.min(largest);
            surplus += (quantity - missing).max(0);
            missing -= quantity;
            ruled.push(quantity);
            if ruled.len() > PLAN_LINES_MAX {
                return None;
            }
        }
    }
    Some(ruled)
}
