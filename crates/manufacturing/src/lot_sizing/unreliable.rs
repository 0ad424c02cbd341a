//! Unreliable supply: disruptions that come and go, and yields that vary.
//!
//! Snyder & Shen, Fundamentals of Supply Chain Theory, 2nd ed. 2019, ch. 9: economic order quantity
//! with disruptions (Parlar & Berkin 1991, corrected by Berk & Arreola-Risa 1994), stock against
//! disruptions (Tomlin 2006), additive and multiplicative yield (Yano & Lee 1995).

use super::eoq::{Eoq, Quantity};
use super::newsvendor::Level;
use super::{PolicyError, not_negative, positive};

/// Steps of a search by the golden section: 1e-12 of the first interval.
const STEPS: u32 = 60;
/// Longest disruption that the cost of a stock level looks at, periods.
const PERIODS_MAX: u32 = 100_000;

/// Exponential times up and down of a supplier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disruption {
    /// Disruptions a unit of time while the supplier delivers.
    pub rate: f64,
    /// Recoveries a unit of time while he doesn't.
    pub recovery: f64,
}

/// The quantity when the supplier may be down at the moment of the order, in lost sales of `stockout`
/// a unit; exact, by search.
///
/// # Errors
/// When a number is out of its range.
pub fn eoq_with_disruptions(
    eoq: Eoq,
    stockout: f64,
    disruption: Disruption,
) -> Result<Quantity, PolicyError> {
    let start = eoq.plain()?.quantity;
    positive("stockout cost", stockout)?;
    positive("disruption rate", disruption.rate)?;
    positive("recovery rate", disruption.recovery)?;
    let cost = |quantity: f64| {
        let Disruption { rate, recovery } = disruption;
        let cycle = quantity / eoq.rate;
        let down = rate / (rate + recovery) * (1.0 - (-(rate + recovery) * cycle).exp()) / recovery;
        let kept = eoq.holding * quantity * cycle / 2.0;
        (eoq.setup + kept + stockout * eoq.rate * down) / (cycle + down)
    };
    // It orders more than with a sure supplier, and less than the time of many recoveries more.
    let most = start + 100.0 * eoq.rate * (1.0 / disruption.recovery + stockout / eoq.holding);
    let quantity = least(start * 0.5, most, cost);
    Ok(Quantity { quantity, cost: cost(quantity) })
}

/// Stock for a constant `demand` a period when each period the supplier fails with probability
/// `failure` and, once down, comes back with probability `recovery`.
///
/// # Errors
/// When a number is out of its range.
pub fn stock_with_disruptions(
    holding: f64,
    stockout: f64,
    demand: f64,
    failure: f64,
    recovery: f64,
) -> Result<Level, PolicyError> {
    positive("holding cost", holding)?;
    positive("stockout cost", stockout)?;
    positive("demand", demand)?;
    let share = |x: f64| x.is_finite() && x > 0.0 && x < 1.0;
    if !share(failure) || !share(recovery) {
        return Err(PolicyError::Domain("probability", "between 0 and 1"));
    }
    let down = failure / (failure + recovery);
    let wanted = stockout / (stockout + holding);
    let mut periods = 0u32;
    // P(at most so many periods since the last good one).
    while 1.0 - down * (1.0 - recovery).powf(f64::from(periods)) < wanted - 1e-12 {
        periods += 1;
        if periods >= PERIODS_MAX {
            return Err(PolicyError::TooLarge(PERIODS_MAX as usize));
        }
    }
    let level = demand * f64::from(periods + 1);
    // Σ over the length n of a disruption; what is beyond the level is a geometric sum.
    let mut cost = holding * (level - demand) * (1.0 - down);
    let mut probability = down * recovery;
    for n in 1..=periods {
        cost += probability * holding * (level - demand * f64::from(n + 1));
        probability *= 1.0 - recovery;
    }
    cost += stockout * demand * probability / (recovery * recovery);
    Ok(Level { level, cost })
}

/// How much of an order arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Yield {
    /// The order plus a random number of units, independent of its size.
    Additive {
        /// Mean, units; negative for a loss.
        mean: f64,
        /// Standard deviation, units.
        sd: f64,
    },
    /// The order times a random share.
    Multiplicative {
        /// Mean share, more than 0.
        mean: f64,
        /// Standard deviation of the share.
        sd: f64,
    },
}

/// The quantity to order when the yield is random.
///
/// # Errors
/// When a number is out of its range.
pub fn eoq_with_yield(eoq: Eoq, yields: Yield) -> Result<Quantity, PolicyError> {
    let Eoq { setup, holding, rate } = eoq.checked()?;
    match yields {
        Yield::Additive { mean, sd } => {
            not_negative("yield standard deviation", sd)?;
            let arrives = (2.0 * setup * rate / holding + sd * sd).sqrt();
            if !mean.is_finite() || arrives < mean {
                return Err(PolicyError::Domain("yield mean", "less than the quantity that arrives"));
            }
            Ok(Quantity { quantity: arrives - mean, cost: holding * arrives })
        }
        Yield::Multiplicative { mean, sd } => {
            positive("yield mean", mean)?;
            not_negative("yield standard deviation", sd)?;
            let square = mean * mean + sd * sd;
            let quantity = (2.0 * setup * rate / (holding * square)).sqrt();
            Ok(Quantity { quantity, cost: holding * square * quantity / mean })
        }
    }
}

/// The order for a known `demand` when its yield differs by something uniform in `low` to `high`.
///
/// # Errors
/// When a number is out of its range.
pub fn order_with_yield(
    holding: f64,
    stockout: f64,
    demand: f64,
    (low, high): (f64, f64),
) -> Result<Level, PolicyError> {
    positive("holding cost", holding)?;
    positive("stockout cost", stockout)?;
    not_negative("demand", demand)?;
    if !low.is_finite() || !high.is_finite() || low >= high {
        return Err(PolicyError::Domain("yield", "a range from low to high"));
    }
    let share = holding / (holding + stockout);
    let level = demand - (low + share * (high - low));
    // Below demand with probability `share`; both triangles of the uniform density.
    let width = high - low;
    let cost = (stockout * share * share + holding * (1.0 - share) * (1.0 - share)) * width / 2.0;
    Ok(Level { level, cost })
}

/// The least point of a function with one valley, by the golden section.
pub(super) fn least(mut low: f64, mut high: f64, value: impl Fn(f64) -> f64) -> f64 {
    let part = (5f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = (high - part * (high - low), low + part * (high - low));
    let (mut at_a, mut at_b) = (value(a), value(b));
    for _ in 0..STEPS {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - part * (high - low);
            at_a = value(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + part * (high - low);
            at_b = value(b);
        }
    }
    f64::midpoint(low, high)
}
