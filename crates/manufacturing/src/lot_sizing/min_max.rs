//! (s, S), minimum and maximum: at each review, at or below s, order up to S.
//!
//! Demand in whole units: the exact algorithm of Y.-S. Zheng and A. Federgruen, "Finding optimal (s,S)
//! policies is about as simple as evaluating a single policy", Operations Research 39 (1991). Normal
//! demand: the power approximation of R. Ehrhardt and C. Mosier, Management Science 30 (1984), in the
//! form of Snyder & Shen §4.4.4, which leaves out the paper's cap for small orders. Costs are for one
//! period.

use super::distribution::{Demand, Table};
use super::{PolicyError, not_negative, positive};

/// Most units between s and S: the renewal function takes time with its square.
const SPAN_MAX: usize = 5_000;

/// What such a policy is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Cost of an order.
    pub setup: f64,
    /// Keeping a unit for one period.
    pub holding: f64,
    /// A unit short for one period.
    pub stockout: f64,
    /// Demand of one period.
    pub demand: Demand,
    /// Whole periods from the order to the goods; 0: at once.
    pub lead_time: f64,
}

/// Minimum and maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinMax {
    /// Order at or below this inventory position.
    pub min: f64,
    /// Order up to this.
    pub max: f64,
    /// Expected cost of a period; `None` for an approximation that doesn't say.
    pub cost: Option<f64>,
}

/// The optimum for demand in whole units, the power approximation for normal demand.
///
/// # Errors
/// When a number is out of its range, or minimum and maximum are too far apart.
pub fn min_max(terms: &Terms) -> Result<MinMax, PolicyError> {
    positive("setup cost", terms.setup)?;
    positive("holding cost", terms.holding)?;
    positive("stockout cost", terms.stockout)?;
    not_negative("lead time", terms.lead_time)?;
    let demand = terms.demand.clone().checked()?;
    match demand {
        Demand::Normal { mean, sd } => power(terms, mean, positive("demand standard deviation", sd)?),
        Demand::Poisson { .. } | Demand::Discrete(_) => exact(terms, &demand),
        Demand::LogNormal { .. } => Err(PolicyError::Domain("demand", "normal, Poisson or discrete")),
    }
}

/// Expected visits of a unit below S before the next order, and the expected periods to it.
struct Renewal {
    masses: Vec<f64>,
    visits: Vec<f64>,
    periods: Vec<f64>,
}

impl Renewal {
    fn of(demand: &Demand) -> Result<Self, PolicyError> {
        let masses = Table::of(demand).masses;
        let none = masses.first().copied().unwrap_or_default();
        if none >= 1.0 {
            return Err(PolicyError::Domain("demand", "sometimes more than 0"));
        }
        let first = 1.0 / (1.0 - none);
        Ok(Self { masses, visits: vec![first], periods: vec![0.0, first] })
    }

    /// Makes the tables so long that they hold `span`.
    fn grow(&mut self, span: usize) -> Result<(), PolicyError> {
        if span > SPAN_MAX {
            return Err(PolicyError::TooLarge(SPAN_MAX));
        }
        let first = self.visits.first().copied().unwrap_or_default();
        while self.visits.len() < span {
            let pairs = self.masses.iter().skip(1).zip(self.visits.iter().rev());
            let next = first * pairs.map(|(mass, visits)| mass * visits).sum::<f64>();
            let periods = self.periods.last().copied().unwrap_or_default() + next;
            self.visits.push(next);
            self.periods.push(periods);
        }
        Ok(())
    }

    /// Cost of a period with minimum `min` and maximum `max`, where a period that begins at level y
    /// costs `level(y)`.
    fn cost(
        &mut self,
        setup: f64,
        min: i64,
        max: i64,
        level: impl Fn(i64) -> f64,
    ) -> Result<f64, PolicyError> {
        let span = usize::try_from(max - min).unwrap_or_default();
        self.grow(span)?;
        let levels = (min + 1..=max).rev().map(level);
        let sum: f64 = self.visits.iter().zip(levels).map(|(visits, cost)| visits * cost).sum();
        let periods = self.periods.get(span).copied().unwrap_or(f64::NAN);
        Ok((setup + sum) / periods)
    }
}

fn exact(terms: &Terms, demand: &Demand) -> Result<MinMax, PolicyError> {
    let wait = demand.clone().over(terms.lead_time + 1.0)?;
    let table = Table::of(&wait);
    let level = |y: i64| table.expected(terms.holding, terms.stockout, y);
    let mut renewal = Renewal::of(demand)?;
    #[allow(clippy::cast_possible_truncation, reason = "a quantile of the demand, far below 2^52")]
    let best = wait.quantile(terms.stockout / (terms.stockout + terms.holding)) as i64;
    let (mut min, mut max) = (best - 1, best);
    let mut cost = renewal.cost(terms.setup, min, max, level)?;
    while cost > level(min) {
        min -= 1;
        cost = renewal.cost(terms.setup, min, max, level)?;
    }
    let mut next = max + 1;
    while level(next) <= cost {
        if renewal.cost(terms.setup, min, next, level)? < cost {
            max = next;
            while renewal.cost(terms.setup, min, max, level)? <= level(min + 1) {
                min += 1;
            }
            cost = renewal.cost(terms.setup, min, max, level)?;
        }
        next += 1;
    }
    #[allow(clippy::cast_precision_loss, reason = "levels are below 2^52")]
    Ok(MinMax { min: min as f64, max: max as f64, cost: Some(cost) })
}

fn power(terms: &Terms, mean: f64, sd: f64) -> Result<MinMax, PolicyError> {
    let Terms { setup, holding, stockout, lead_time, .. } = *terms;
    let (centre, spread) = (mean * (lead_time + 1.0), sd * (lead_time + 1.0).sqrt());
    let order = 1.30
        * mean.powf(0.494)
        * (setup / holding).powf(0.506)
        * (1.0 + spread * spread / (mean * mean)).powf(0.116);
    let z = (order / spread * holding / stockout).sqrt();
    let min = 0.973 * centre + spread * (0.183 / z + 1.063 - 2.192 * z);
    Ok(MinMax { min, max: min + order, cost: None })
}
