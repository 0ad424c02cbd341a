//! The newsvendor: one stock level against one random demand.
//!
//! Arrow, Harris & Marschak 1951; as a base-stock level with lead time, Snyder & Shen ch. 4.

use super::distribution::Demand;
use super::{PolicyError, not_negative, positive};

/// A stock level with its expected cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Units; whole when the demand is.
    pub level: f64,
    /// Expected cost of a period.
    pub cost: f64,
}

/// Price, cost and salvage value of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins {
    /// What a unit brings.
    pub revenue: f64,
    /// What it costs.
    pub purchase: f64,
    /// What is left of it when it isn't sold.
    pub salvage: f64,
}

/// The level with the least expected cost: surplus costs `holding` a unit, shortage `stockout`.
/// With `lead_time` periods it is an order-up-to level over the lead time and one period of review.
///
/// # Errors
/// When a number is out of its range.
pub fn newsvendor(holding: f64, stockout: f64, demand: Demand, lead_time: f64) -> Result<Level, PolicyError> {
    positive("holding cost", holding)?;
    positive("stockout cost", stockout)?;
    let demand = demand.checked()?.over(not_negative("lead time", lead_time)? + 1.0)?;
    let level = demand.quantile(stockout / (stockout + holding));
    Ok(Level { level, cost: expected(holding, stockout, &demand, level) })
}

/// The same from prices; the cost is negative: the expected profit.
///
/// # Errors
/// When a number is out of its range, or price, cost and salvage value don't fall in this order.
pub fn from_margins(margins: Margins, demand: Demand) -> Result<(Level, f64), PolicyError> {
    let Margins { revenue, purchase, salvage } = margins;
    let (over, under) = (purchase - salvage, revenue - purchase);
    if !(over > 0.0 && under > 0.0) {
        return Err(PolicyError::Domain("revenue, purchase cost and salvage value", "falling in this order"));
    }
    let mean = demand.clone().checked()?.mean();
    let level = newsvendor(over, under, demand, 0.0)?;
    Ok((level, under * mean - level.cost))
}

/// h·E(level − D)⁺ + p·E(D − level)⁺.
pub(super) fn expected(holding: f64, stockout: f64, demand: &Demand, level: f64) -> f64 {
    let shortage = demand.shortage(level);
    holding * (level - demand.mean() + shortage) + stockout * shortage
}
