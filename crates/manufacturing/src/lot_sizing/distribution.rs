//! Random demand: quantile and the expected shortage and surplus of a stock level.

use super::{PolicyError, normal, not_negative, positive};

/// Largest mean of a Poisson demand: its tables stay below a megabyte.
pub const POISSON_MEAN_MAX: f64 = 20_000.0;
/// Most values of a discrete demand.
pub const VALUES_MAX: usize = 10_000;
/// Largest value of a discrete demand: its tables stay below some megabytes.
pub const VALUE_MAX: u32 = 100_000;

/// Demand of one period, or of a time of known length.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// Normal.
    Normal {
        /// Units, more than 0.
        mean: f64,
        /// Units, 0 or more.
        sd: f64,
    },
    /// Poisson, in whole units.
    Poisson {
        /// Units, more than 0.
        mean: f64,
    },
    /// Its logarithm is normal.
    LogNormal {
        /// Mean of the logarithm.
        mu: f64,
        /// Standard deviation of the logarithm, more than 0.
        sigma: f64,
    },
    /// Whole units with their probabilities, ascending; these add up to 1.
    Discrete(Vec<(u32, f64)>),
}

impl Demand {
    /// Itself, when its numbers make a distribution.
    ///
    /// # Errors
    /// When they don't.
    pub fn checked(self) -> Result<Self, PolicyError> {
        match &self {
            Self::Normal { mean, sd } => {
                positive("demand mean", *mean)?;
                not_negative("demand standard deviation", *sd)?;
            }
            Self::Poisson { mean } => {
                if positive("demand mean", *mean)? > POISSON_MEAN_MAX {
                    return Err(PolicyError::Domain("mean of a Poisson demand", "at most 20,000"));
                }
            }
            Self::LogNormal { mu, sigma } => {
                positive("sigma", *sigma)?;
                if !mu.is_finite() || mu.abs() > 100.0 || *sigma > 10.0 {
                    return Err(PolicyError::Domain("mu", "between -100 and 100, and sigma at most 10"));
                }
            }
            Self::Discrete(values) => {
                let rising = values.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0));
                let shares = values.iter().all(|(_, share)| (0.0..=1.0).contains(share));
                let sum: f64 = values.iter().map(|(_, share)| share).sum();
                let whole = (sum - 1.0).abs() < 1e-6;
                let low = values.last().is_some_and(|(last, _)| *last <= VALUE_MAX);
                if !low || values.len() > VALUES_MAX || !rising || !shares || !whole {
                    let rule = "ascending up to 100,000, and their probabilities must add up to 1";
                    return Err(PolicyError::Domain("values of a discrete demand", rule));
                }
            }
        }
        Ok(self)
    }

    /// Demand of `periods` independent periods, for a normal or a Poisson demand.
    ///
    /// # Errors
    /// For another one, when it is not exactly one period.
    pub fn over(self, periods: f64) -> Result<Self, PolicyError> {
        match self {
            Self::Normal { mean, sd } => {
                Self::Normal { mean: mean * periods, sd: sd * periods.sqrt() }.checked()
            }
            Self::Poisson { mean } => Self::Poisson { mean: mean * periods }.checked(),
            one if (periods - 1.0).abs() < 1e-12 => Ok(one),
            _ => Err(PolicyError::Domain("lead time", "0 unless demand is normal or Poisson")),
        }
    }

    /// Mean, units.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Normal { mean, .. } | Self::Poisson { mean } => *mean,
            Self::LogNormal { mu, sigma } => (mu + sigma * sigma / 2.0).exp(),
            Self::Discrete(values) => values.iter().map(|(value, share)| f64::from(*value) * share).sum(),
        }
    }

    /// Whether it comes in whole units.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Poisson { .. } | Self::Discrete(_))
    }

    /// The least level that covers the demand with probability `share`.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        match self {
            Self::Normal { mean, sd } => mean + sd * normal::quantile(share),
            Self::LogNormal { mu, sigma } => (mu + sigma * normal::quantile(share)).exp(),
            Self::Poisson { .. } | Self::Discrete(_) => {
                let (mut sum, mut last) = (0.0, 0.0);
                for (value, own) in self.masses() {
                    (sum, last) = (sum + own, f64::from(value));
                    // What is left of rounding must not push the level up by one.
                    if sum >= share - 1e-12 {
                        break;
                    }
                }
                last
            }
        }
    }

    /// E(D − level)⁺.
    #[must_use]
    pub fn shortage(&self, level: f64) -> f64 {
        match self {
            Self::Normal { mean, sd } if *sd > 0.0 => sd * normal::loss((level - mean) / sd),
            Self::Normal { mean, .. } => (mean - level).max(0.0),
            Self::LogNormal { mu, sigma } if level > 0.0 => {
                let z = (level.ln() - mu) / sigma;
                self.mean() * normal::above(z - sigma) - level * normal::above(z)
            }
            Self::LogNormal { .. } => self.mean() - level,
            Self::Poisson { .. } | Self::Discrete(_) => {
                let short = |(value, share): (u32, f64)| (f64::from(value) - level).max(0.0) * share;
                self.masses().into_iter().map(short).sum()
            }
        }
    }

    /// E(level − D)⁺.
    #[must_use]
    pub fn surplus(&self, level: f64) -> f64 {
        level - self.mean() + self.shortage(level)
    }

    /// Values and probabilities of a demand in whole units, from 0 on without gaps for Poisson; empty
    /// for the others. Beyond twelve standard deviations a Poisson demand is left out.
    #[must_use]
    pub fn masses(&self) -> Vec<(u32, f64)> {
        match self {
            Self::Discrete(values) => values.clone(),
            Self::Poisson { mean } => {
                let last = mean + 12.0 * mean.sqrt() + 30.0;
                let (mut masses, mut log, mut value) = (Vec::new(), -mean, 0u32);
                while f64::from(value) <= last {
                    masses.push((value, log.exp()));
                    value += 1;
                    log += (mean / f64::from(value)).ln();
                }
                masses
            }
            Self::Normal { .. } | Self::LogNormal { .. } => Vec::new(),
        }
    }
}

/// Shortages of a demand in whole units at whole levels, computed once from the top down, so that
/// small ones keep their digits.
#[derive(Clone, Debug)]
pub struct Table {
    mean: f64,
    /// P(D = d) for d from 0 on.
    pub masses: Vec<f64>,
    /// E(D − level)⁺ for levels from 0 on.
    shortages: Vec<f64>,
}

impl Table {
    /// The table of a demand in whole units; empty for another one.
    #[must_use]
    pub fn of(demand: &Demand) -> Self {
        let values = demand.masses();
        let count = values.last().map_or(0, |(last, _)| *last as usize + 1);
        let mut masses = vec![0.0; count];
        for (value, share) in values {
            if let Some(mass) = masses.get_mut(value as usize) {
                *mass = share;
            }
        }
        let mut shortages = vec![0.0; count];
        let (mut above, mut shortage) = (0.0, 0.0);
        for (mass, place) in masses.iter().zip(&mut shortages).rev() {
            *place = shortage;
            above += mass;
            shortage += above;
        }
        Self { mean: demand.mean(), masses, shortages }
    }

    /// h·E(level − D)⁺ + p·E(D − level)⁺.
    #[must_use]
    pub fn expected(&self, holding: f64, stockout: f64, level: i64) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "levels are below 2^52")]
        let units = level as f64;
        let shortage = match usize::try_from(level) {
            Ok(level) => self.shortages.get(level).copied().unwrap_or_default(),
            Err(_) => self.mean - units,
        };
        holding * (units - self.mean + shortage) + stockout * shortage
    }
}
