//! How likely an inspection is: pooled Beta priors, each level of the consignment drawn to the one above it.
//!
//! The mean of a level is (m·p + k)/(m + n), p that of the level above, m = 20 cases (the Beta-binomial
//! model of Gelman et al., "Bayesian Data Analysis", 3rd ed. 2013, ch. 5, with a set strength); k and n are the
//! decayed numbers of inspected and of all shipments of which it is known.

use std::collections::HashMap;

use super::model::weight_of_age;
use super::{Factor, Observation, Traits};

/// Before the first record: one in ten, with the weight of ten cases.
const PRIOR: (f64, f64) = (1.0, 9.0);
/// Weight of the level above, in cases.
const STRENGTH: f64 = 20.0;
/// Values that are kept of one level; further ones count with the level above.
const VALUES_MAX: usize = 50_000;
/// From broad to narrow.
const LEVELS: [Factor; 5] =
    [Factor::Country, Factor::ImporterTier, Factor::Office, Factor::HsChapter, Factor::HsOffice];

/// What the records say of inspections.
#[derive(Clone, Debug, Default)]
pub(super) struct Inspections {
    all: Count,
    levels: [HashMap<Box<str>, Count>; LEVELS.len()],
}

/// Decayed numbers as of the fit.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    known: f64,
    inspected: f64,
}

/// What an inspection means for a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inspection {
    /// How likely it is; 1 or 0 when the consignment says so.
    pub probability: f64,
    /// Shipments of the stage of which it is known, decayed.
    pub n: f64,
    /// By what it multiplies 1 + hours.
    pub times: f64,
}

impl Inspections {
    /// Counts what is known of `observations` at `as_of_ms`, also of those still under way.
    pub(super) fn count<'a>(observations: impl Iterator<Item = &'a Observation>, as_of_ms: i64) -> Self {
        let mut counted = Self::default();
        for observation in observations {
            counted.add(&observation.traits, weight_of_age((as_of_ms - observation.start_ms) as f64));
        }
        counted
    }

    /// One more shipment.
    pub(super) fn add(&mut self, traits: &Traits, weight: f64) {
        let Some(inspected) = traits.inspected else { return };
        let one = |count: &mut Count| {
            count.known += weight;
            count.inspected += if inspected { weight } else { 0.0 };
        };
        one(&mut self.all);
        for (level, counts) in LEVELS.into_iter().zip(&mut self.levels) {
            let Some(value) = value(level, traits) else { continue };
            if counts.len() < VALUES_MAX || counts.contains_key(value.as_str()) {
                one(counts.entry(value.into()).or_default());
            }
        }
    }

    /// How likely an inspection of such a consignment is.
    pub(super) fn probability(&self, traits: &Traits) -> f64 {
        let mut mean = (PRIOR.0 + self.all.inspected) / (PRIOR.0 + PRIOR.1 + self.all.known);
        for (level, counts) in LEVELS.into_iter().zip(&self.levels) {
            let count = value(level, traits).and_then(|value| counts.get(value.as_str()));
            let count = count.copied().unwrap_or_default();
            mean = (STRENGTH * mean + count.inspected) / (STRENGTH + count.known);
        }
        mean
    }

    /// Shipments of which it is known.
    pub(super) fn known(&self) -> f64 {
        self.all.known
    }
}

/// Each value within its country.
fn value(level: Factor, traits: &Traits) -> Option<String> {
    Some(format!("{} {}", traits.destination, level.level(traits)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Country;

    fn traits(country: &str, office: &str, inspected: Option<bool>) -> Traits {
        Traits { office: office.to_owned(), inspected, ..Traits::to(Country::parse(country).unwrap()) }
    }

    /// By hand: all (1 + 12)/(10 + 60); China (20 p + 12)/(20 + 40); Shanghai (20 p + 8)/(20 + 10).
    #[test]
    fn each_level_is_drawn_to_the_one_above() {
        let mut seen = Inspections::default();
        for (country, office, inspected, times) in [
            ("CN", "A", true, 8),
            ("CN", "A", false, 2),
            ("CN", "B", true, 4),
            ("CN", "B", false, 26),
            ("DE", "C", false, 20),
        ] {
            for _ in 0..times {
                seen.add(&traits(country, office, Some(inspected)), 1.0);
            }
        }
        seen.add(&traits("CN", "A", None), 1.0);
        let all = 13.0 / 70.0;
        let china = (20.0 * all + 12.0) / 60.0;
        let close = |country, office, expected: f64| {
            let got = seen.probability(&traits(country, office, None));
            assert!((got - expected).abs() < 1e-12, "{country} {office}: {got}, not {expected}");
        };
        close("ZZ", "", all);
        close("CN", "", china);
        close("CN", "A", (20.0 * china + 8.0) / 30.0);
        close("CN", "new", china);
        // An office's number is its country's own.
        close("DE", "A", 20.0 * all / 40.0);
        assert_eq!(seen.known(), 60.0);
        assert!((Inspections::default().probability(&traits("CN", "A", None)) - 0.1).abs() < 1e-12);
    }
}
