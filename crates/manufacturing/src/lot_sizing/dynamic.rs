//! Lots over a known demand, method by method, each with what it costs.
//!
//! Beside the methods of [`crate::production::lot`]: part-period balancing (J. J. DeMatteis, "An
//! economic lot-sizing technique I", IBM Systems Journal 7, 1968), least unit cost, a fixed quantity,
//! and the economic order quantity of the average demand (F. W. Harris 1913), as a quantity and as a
//! number of periods. Money is integer, in the unit of the caller.

use crate::production::lot::{self, LotError, LotPlan, Period};

/// How lots are sized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The cheapest lots of all (Wagner & Whitin 1958).
    WagnerWhitin,
    /// A lot grows while its cost a period falls (Silver & Meal 1973).
    SilverMeal,
    /// A lot covers the periods whose holding cost comes nearest to its setup cost.
    PartPeriod,
    /// A lot grows while its cost a unit falls.
    LeastUnitCost,
    /// A lot for each period with demand.
    LotForLot,
    /// Multiples of the economic order quantity of the average demand.
    EconomicQuantity,
    /// The demand of as many periods as the economic order quantity covers on average.
    PeriodOrderQuantity,
    /// Multiples of a given quantity, at least 1.
    Fixed(i64),
}

impl Method {
    /// Those that need nothing but the periods, in the order in which equals are preferred.
    pub const ALL: [Self; 7] = [
        Self::WagnerWhitin,
        Self::SilverMeal,
        Self::PartPeriod,
        Self::LeastUnitCost,
        Self::LotForLot,
        Self::EconomicQuantity,
        Self::PeriodOrderQuantity,
    ];

    /// The lots of this method and what they cost.
    ///
    /// # Errors
    /// When a number is negative or too large.
    pub fn size(self, periods: &[Period]) -> Result<LotPlan, LotError> {
        match self {
            Self::WagnerWhitin => lot::wagner_whitin(periods),
            Self::SilverMeal => lot::silver_meal(periods),
            Self::LotForLot => lot::lot_for_lot(periods),
            Self::PartPeriod => spans(periods, part_period),
            Self::LeastUnitCost => spans(periods, least_unit_cost),
            Self::EconomicQuantity => multiples(periods, economic_quantity(periods)),
            Self::PeriodOrderQuantity => {
                let (quantity, total) = (economic_quantity(periods), demand(periods));
                let count = i64::try_from(periods.len()).unwrap_or(i64::MAX);
                // Rounded to the nearest whole number of periods, at least one.
                let cover = (2 * i128::from(quantity) * i128::from(count) + i128::from(total))
                    / (2 * i128::from(total.max(1)));
                let cover = usize::try_from(cover).unwrap_or(usize::MAX).max(1);
                spans(periods, |rest| cover.min(rest.len()))
            }
            Self::Fixed(quantity) => multiples(periods, quantity.max(1)),
        }
    }
}

/// The parts of a plan's cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Setups of its lots.
    pub setup: i128,
    /// Units made.
    pub units: i128,
    /// Stock carried from period to period.
    pub holding: i128,
    /// Lots.
    pub lots: usize,
    /// Units that are left after the last period.
    pub left: i64,
}

/// What a plan's cost is made of. `lots` has an entry for each period.
#[must_use]
pub fn parts(periods: &[Period], lots: &[i64]) -> Parts {
    let (mut parts, mut stock) = (Parts::default(), 0i64);
    for (period, lot) in periods.iter().zip(lots) {
        stock += lot - period.demand;
        parts.units += i128::from(*lot) * period.unit;
        parts.holding += i128::from(stock) * period.hold;
        if *lot > 0 {
            parts.setup += period.setup;
            parts.lots += 1;
        }
    }
    Parts { left: stock, ..parts }
}

fn demand(periods: &[Period]) -> i64 {
    periods.iter().fold(0, |sum, period| sum.saturating_add(period.demand))
}

/// √(2·K·λ / h) with averages over the periods, to the nearest unit; the whole demand when holding
/// is free, and at least 1.
fn economic_quantity(periods: &[Period]) -> i64 {
    let (setup, hold) = periods.iter().fold((0i128, 0i128), |sum, period| {
        (sum.0.saturating_add(period.setup), sum.1.saturating_add(period.hold))
    });
    let total = demand(periods);
    if hold <= 0 {
        return total.max(1);
    }
    // The number of periods cancels out of K/h, and λ is the total by the number of periods.
    #[allow(clippy::cast_precision_loss, reason = "a rule of thumb: 15 digits are plenty")]
    let quantity = (2.0 * (setup as f64 / hold as f64) * total as f64 / periods.len().max(1) as f64).sqrt();
    #[allow(clippy::cast_possible_truncation, reason = "clamped to the range")]
    let quantity = quantity.round().clamp(1.0, 9e15) as i64;
    quantity.min(total.max(1))
}

/// Lots that each cover the first `cover(rest)` periods of the rest; the rest starts with demand.
fn spans(periods: &[Period], cover: impl Fn(&[Period]) -> usize) -> Result<LotPlan, LotError> {
    // Checks the numbers, and has the shape of the answer.
    let mut lots = lot::lot_for_lot(periods)?.lots;
    let (mut rest, mut slots) = (periods, lots.as_mut_slice());
    while let Some(first) = rest.first() {
        let covered = if first.demand == 0 { 1 } else { cover(rest).clamp(1, rest.len()) };
        let (lot, after) = rest.split_at_checked(covered).unwrap_or((rest, &[]));
        let (own, others) = std::mem::take(&mut slots).split_at_mut_checked(covered).unwrap_or_default();
        own.fill(0);
        if let Some(own) = own.first_mut() {
            *own = demand(lot);
        }
        (rest, slots) = (after, others);
    }
    let cost = lot::cost(periods, &lots).ok_or(LotError::TooLarge)?;
    Ok(LotPlan { lots, cost })
}

/// Covers the periods whose holding cost comes nearest to the setup; of equals the shorter.
fn part_period(rest: &[Period]) -> usize {
    let Some(first) = rest.first() else { return 0 };
    let (mut holding, mut kept, mut covered) = (0i128, first.hold, 1);
    for period in rest.iter().skip(1) {
        let longer = holding + kept * i128::from(period.demand);
        if longer > first.setup {
            return covered + usize::from(longer - first.setup < first.setup - holding);
        }
        (holding, covered) = (longer, covered + 1);
        kept += period.hold;
    }
    covered
}

/// Covers periods while the cost of a unit doesn't rise.
fn least_unit_cost(rest: &[Period]) -> usize {
    let Some(first) = rest.first() else { return 0 };
    let (mut cost, mut units, mut kept, mut covered) = (first.setup, first.demand, first.hold, 1);
    for period in rest.iter().skip(1) {
        let longer = cost + kept * i128::from(period.demand);
        let more = units + period.demand;
        if longer * i128::from(units) > cost * i128::from(more) {
            break;
        }
        (cost, units, covered) = (longer, more, covered + 1);
        kept += period.hold;
    }
    covered
}

/// As few multiples of `quantity` as are needed, each in the period in which stock runs out.
fn multiples(periods: &[Period], quantity: i64) -> Result<LotPlan, LotError> {
    let mut lots = lot::lot_for_lot(periods)?.lots;
    let mut stock = 0i64;
    for (period, lot) in periods.iter().zip(&mut lots) {
        let missing = (period.demand - stock).max(0);
        let times = missing / quantity + i64::from(missing % quantity > 0);
        *lot = times.checked_mul(quantity).ok_or(LotError::TooLarge)?;
        stock = stock.checked_add(*lot - period.demand).ok_or(LotError::TooLarge)?;
    }
    let cost = lot::cost(periods, &lots).ok_or(LotError::TooLarge)?;
    Ok(LotPlan { lots, cost })
}
