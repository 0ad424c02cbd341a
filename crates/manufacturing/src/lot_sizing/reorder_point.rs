//! (r, Q): when the inventory position falls to r, order Q; continuous review.
//!
//! Normal demand: the exact cost, convex in both (Y.-S. Zheng, "On properties of stochastic inventory
//! systems", Management Science 38, 1992). Poisson demand: the exact algorithm of A. Federgruen and
//! Y.-S. Zheng, "An efficient algorithm for computing an optimal (r,Q) policy", Operations Research
//! 40 (1992). Costs are for one unit of time.

use super::distribution::{Demand, Table};
use super::unreliable::least;
use super::{PolicyError, normal, not_negative, positive};

/// Most units of an order of Poisson demand.
const QUANTITY_MAX: usize = 100_000;
/// Steps of a bisection: double precision of any interval.
const STEPS: u32 = 200;

/// What such a policy is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Cost of an order.
    pub setup: f64,
    /// Keeping a unit for one unit of time.
    pub holding: f64,
    /// A unit short for one unit of time.
    pub stockout: f64,
    /// Demand of one unit of time, normal or Poisson.
    pub demand: Demand,
    /// Units of time from the order to the goods, more than 0 for normal demand.
    pub lead_time: f64,
}

/// Reorder point and order quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReorderPoint {
    /// Order when the inventory position is here.
    pub reorder_point: f64,
    /// Order so much.
    pub quantity: f64,
    /// Expected cost of a unit of time.
    pub cost: f64,
}

/// The optimum.
///
/// # Errors
/// When a number is out of its range, or the demand is neither normal nor Poisson.
pub fn optimum(terms: &Terms) -> Result<ReorderPoint, PolicyError> {
    positive("setup cost", terms.setup)?;
    positive("holding cost", terms.holding)?;
    positive("stockout cost", terms.stockout)?;
    match &terms.demand.clone().checked()? {
        Demand::Normal { mean, sd } => {
            positive("lead time", terms.lead_time)?;
            normal_demand(terms, *mean, positive("demand standard deviation", *sd)?)
        }
        Demand::Poisson { mean } => {
            not_negative("lead time", terms.lead_time)?;
            poisson_demand(terms, *mean)
        }
        _ => Err(PolicyError::Domain("demand", "normal or Poisson")),
    }
}

/// Cost of any reorder point and quantity under normal demand of `mean` and `sd` a unit of time.
#[must_use]
pub fn cost(terms: &Terms, mean: f64, sd: f64, reorder_point: f64, quantity: f64) -> f64 {
    let Terms { setup, holding, stockout, lead_time, .. } = *terms;
    let (centre, spread) = (mean * lead_time, sd * lead_time.sqrt());
    let z = |y: f64| (y - centre) / spread;
    let over = |y: f64| spread * spread * normal::second_loss(z(y));
    let average = holding * (reorder_point + quantity / 2.0 - centre);
    let short = over(reorder_point) - over(reorder_point + quantity);
    (setup * mean + (holding + stockout) * short) / quantity + average
}

fn normal_demand(terms: &Terms, mean: f64, sd: f64) -> Result<ReorderPoint, PolicyError> {
    let (centre, spread) = (mean * terms.lead_time, sd * terms.lead_time.sqrt());
    let level_cost = |y: f64| {
        let short = spread * normal::loss((y - centre) / spread);
        terms.holding * (y - centre) + (terms.holding + terms.stockout) * short
    };
    // For a quantity the best reorder point has equal costs at both ends (Zheng 1992).
    let best_for = |quantity: f64| {
        let (mut low, mut high) = (centre - 10.0 * spread - quantity, centre + 10.0 * spread);
        for _ in 0..STEPS {
            let middle = f64::midpoint(low, high);
            if level_cost(middle) > level_cost(middle + quantity) { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    };
    let value = |quantity: f64| cost(terms, mean, sd, best_for(quantity), quantity);
    let Terms { setup, holding, stockout, .. } = *terms;
    let start = (2.0 * setup * mean * (holding + stockout) / (holding * stockout)).sqrt();
    // Between the quantity for certain demand and √(1 + p/h) times that, plus the spread (Zheng 1992).
    let quantity = least(start * 0.9, start * 2.0 + 6.0 * spread, value);
    let reorder_point = best_for(quantity);
    Ok(ReorderPoint { reorder_point, quantity, cost: cost(terms, mean, sd, reorder_point, quantity) })
}

fn poisson_demand(terms: &Terms, mean: f64) -> Result<ReorderPoint, PolicyError> {
    let wait = Demand::Poisson { mean: (mean * terms.lead_time).max(1e-9) }.checked()?;
    let table = Table::of(&wait);
    let level_cost = |y: i64| table.expected(terms.holding, terms.stockout, y);
    #[allow(clippy::cast_possible_truncation, reason = "a quantile of the demand, far below 2^52")]
    let mut low = wait.quantile(terms.stockout / (terms.stockout + terms.holding)) as i64;
    let (mut high, mut count) = (low, 1usize);
    // The levels in use are low..=high; each next one is the cheaper neighbour, while it is below
    // the average that it joins.
    let mut sum = terms.setup * mean + level_cost(low);
    let (mut below, mut above) = (level_cost(low - 1), level_cost(high + 1));
    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^52")]
    while below.min(above) < sum / count as f64 {
        if below < above {
            (low, sum) = (low - 1, sum + below);
            below = level_cost(low - 1);
        } else {
            (high, sum) = (high + 1, sum + above);
            above = level_cost(high + 1);
        }
        count += 1;
        if count > QUANTITY_MAX {
            return Err(PolicyError::TooLarge(QUANTITY_MAX));
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^52")]
    let (reorder_point, quantity) = ((low - 1) as f64, count as f64);
    Ok(ReorderPoint { reorder_point, quantity, cost: sum / quantity })
}
