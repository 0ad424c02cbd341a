//! The additive model of one stage: z = log(1 + hours) = μ + βx + Σ effects + ε.
//!
//! Each level of each factor has an effect, drawn to its prior by n/(n + σ²/τ²) (empirical Bayes: Efron &
//! Morris, J. Am. Stat. Assoc. 70, 1975; Gelman & Hill, "Data Analysis Using Regression and
//! Multilevel/Hierarchical Models", 2007, ch. 12). x is the country's published figure. Cases weigh half
//! after every half-life, reckoned forward from the fit (Cormode et al., "Forward Decay", ICDE 2009).

use std::collections::HashMap;
use std::sync::Arc;

use super::inspection::Inspections;
use super::offices::{OfficeTime, Offices};
use super::priors::{self, StagePrior};
use super::shape::Shape;
use super::tracker::{Outcome, Tracked, Tracker};
use super::{Factor, HOUR_MS, Stage, Traits};

/// Name of the method in answers; another number when answers to the same records change.
pub const METHOD: &str = "additive-2";
/// After this long a case weighs half.
const HALF_LIFE_MS: f64 = 365.0 * 24.0 * 3_600_000.0;
/// Different values of one factor that a model keeps; further ones count as unseen.
const LEVELS_MAX: usize = 100_000;
/// Variances don't fall below this, so that ratios of them stay finite.
pub(super) const VARIANCE_MIN: f64 = 1e-4;

/// One stage of one shipment, finished or still under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Which stage.
    pub stage: Stage,
    /// When it began, Unix milliseconds.
    pub start_ms: i64,
    /// How long it took, or has taken so far.
    pub hours: f64,
    /// Whether it has ended.
    pub finished: bool,
    /// The consignment.
    pub traits: Arc<Traits>,
}

impl Observation {
    /// log(1 + hours) in the office's time.
    pub(super) fn z(&self, time: &OfficeTime) -> f64 {
        let end_ms = self.start_ms.saturating_add((self.hours * HOUR_MS) as i64);
        let hours = if time.opening().is_some() { time.hours(self.start_ms, end_ms) } else { self.hours };
        hours.max(0.0).ln_1p()
    }
}

/// What is believed of one stage.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) stage: Stage,
    pub(super) prior: StagePrior,
    pub(super) fitted_at_ms: i64,
    pub(super) learned: u64,
    pub(super) mu: f64,
    pub(super) beta: f64,
    pub(super) sigma2: f64,
    /// Weight of all cases, as of the fit.
    pub(super) weight: f64,
    /// By [`Factor::index`].
    pub(super) factors: Vec<Effects>,
    /// Of all residuals, of each country's and of each lane's that has enough.
    pub(super) shape: Shape,
    pub(super) country_shapes: HashMap<Box<str>, Shape>,
    pub(super) lane_shapes: HashMap<Box<str>, Shape>,
    pub(super) tracker: Tracker,
    pub(super) offices: Offices,
    /// Of the release alone.
    pub(super) inspections: Inspections,
}

/// The effects of one factor's levels.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    /// Variance between levels.
    pub tau2: f64,
    pub levels: HashMap<Box<str>, Level>,
}

/// What the cases say of one level: their weight, and the weighted sum of what the others left to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub weight: f64,
    pub sum: f64,
}

/// A level's part in one forecast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    /// On the log scale.
    pub value: f64,
    /// Cases behind it, decayed.
    pub n: f64,
    /// How far it was drawn to its prior: 1 wholly.
    pub shrunk: f64,
    /// Variance that is left of it.
    pub variance: f64,
}

impl Model {
    /// The model before the first clearance: the priors alone.
    #[must_use]
    pub fn prior(stage: Stage, as_of_ms: i64) -> Self {
        let prior = StagePrior::of(stage);
        let tau2 = |factor| if factor == Factor::Country { prior.tau2_country } else { TAU2_PRIOR };
        Self {
            stage,
            prior,
            fitted_at_ms: as_of_ms,
            learned: 0,
            mu: prior.mu,
            beta: prior.beta,
            sigma2: prior.sigma2,
            weight: 0.0,
            factors: Factor::ALL
                .iter()
                .map(|&factor| Effects { tau2: tau2(factor), levels: HashMap::new() })
                .collect(),
            shape: Shape::normal(prior.sigma2.sqrt()),
            country_shapes: HashMap::new(),
            lane_shapes: HashMap::new(),
            tracker: Tracker::new(0.0, as_of_ms),
            offices: Offices::default(),
            inspections: Inspections::default(),
        }
    }

    /// Learns one finished clearance at `now_ms` without a refit: one pass of backfitting for this case
    /// alone. One that is still under way is left to the next fit.
    pub fn learn(&mut self, observation: &Observation, now_ms: i64) {
        if !observation.finished || observation.stage != self.stage {
            return;
        }
        self.track(observation, now_ms);
        let traits = &observation.traits;
        let weight = self.case_weight(observation.start_ms);
        let mut rest = observation.z(&self.offices.time(traits)) - self.center(traits, now_ms);
        for factor in Factor::ALL {
            let Some(name) = factor.level_of(self.stage, traits) else { continue };
            let before = self.effect(factor, &name, traits, now_ms).value;
            let Some(effects) = self.factors.get_mut(factor.index()) else { continue };
            if effects.levels.len() >= LEVELS_MAX && !effects.levels.contains_key(name.as_ref()) {
                continue;
            }
            let level = effects.levels.entry(name.as_ref().into()).or_default();
            level.sum += weight * (rest + before);
            level.weight += weight;
            rest -= self.effect(factor, &name, traits, now_ms).value - before;
        }
        if self.stage == Stage::DeclarationToRelease {
            self.inspections.add(traits, weight);
        }
        self.weight += weight;
        self.learned += 1;
    }

    /// Lets the tracker see at `now_ms` what became of a finished observation. [`Model::learn`] does it too.
    pub fn track(&mut self, observation: &Observation, now_ms: i64) {
        if !observation.finished || observation.stage != self.stage {
            return;
        }
        let quantiles = self.log_quantiles(&observation.traits, now_ms);
        let time = self.offices.time(&observation.traits);
        let lane = Factor::Lane.level(&observation.traits);
        self.tracker.observe(&Outcome {
            lane: lane.as_deref(),
            start_ms: observation.start_ms,
            quantiles: &quantiles,
            z: observation.z(&time),
            finished: true,
            time: &time,
        });
        self.tracker.advance(now_ms);
    }

    /// How the tracker stands.
    #[must_use]
    pub fn tracked(&self) -> Tracked {
        self.tracker.state()
    }

    /// Takes what the tracker was told before and is due at `now_ms`.
    pub fn advance(&mut self, now_ms: i64) {
        self.tracker.advance(now_ms);
    }

    /// The middle of the log times of such consignments.
    pub(super) fn center(&self, traits: &Traits, now_ms: i64) -> f64 {
        self.mu + self.effects(traits, now_ms).map(|(_, _, effect)| effect.value).sum::<f64>()
    }

    /// The effects of the consignment's known traits.
    pub(super) fn effects<'a>(
        &'a self,
        traits: &'a Traits,
        now_ms: i64,
    ) -> impl Iterator<Item = (Factor, std::borrow::Cow<'a, str>, Effect)> + 'a {
        Factor::ALL.into_iter().filter_map(move |factor| {
            let name = factor.level_of(self.stage, traits)?;
            let effect = self.effect(factor, &name, traits, now_ms);
            Some((factor, name, effect))
        })
    }

    /// The cases of one level, decayed to `now_ms`.
    pub(super) fn cases(&self, factor: Factor, traits: &Traits, now_ms: i64) -> f64 {
        let level = factor.level(traits).and_then(|name| self.level(factor, &name));
        level.map_or(0.0, |level| level.weight * self.decay(now_ms))
    }

    /// What is left at `now_ms` of a weight at the fit.
    pub(super) fn decay(&self, now_ms: i64) -> f64 {
        1.0 / self.case_weight(now_ms)
    }

    fn effect(&self, factor: Factor, name: &str, traits: &Traits, now_ms: i64) -> Effect {
        let figure = priors::published(self.stage, traits.destination);
        let country = factor == Factor::Country;
        let prior = if country { self.beta * figure.unwrap_or(0.0) } else { 0.0 };
        let Some(effects) = self.factors.get(factor.index()) else {
            return Effect { value: prior, n: 0.0, shrunk: 1.0, variance: 0.0 };
        };
        let tau2 = if country && figure.is_none() { self.tau2_unpublished() } else { effects.tau2 };
        let level = effects.levels.get(name).copied().unwrap_or_default();
        let n = level.weight * self.decay(now_ms);
        let own = n / (n + self.sigma2 / tau2);
        let value = if level.weight > 0.0 { prior + own * (level.sum / level.weight - prior) } else { prior };
        // A factor that no case had tells nothing, not even how far its levels lie apart.
        let open = country || !effects.levels.is_empty();
        Effect { value, n, shrunk: 1.0 - own, variance: if open { tau2 * (1.0 - own) } else { 0.0 } }
    }

    fn level(&self, factor: Factor, name: &str) -> Option<Level> {
        self.factors.get(factor.index())?.levels.get(name).copied()
    }

    /// Variance between countries, of one without a published figure where others have one.
    fn tau2_unpublished(&self) -> f64 {
        let fitted = self.factors.get(Factor::Country.index()).map_or(0.0, |effects| effects.tau2);
        if self.prior.beta > 0.0 { self.prior.tau2_unknown.max(fitted) } else { fitted }
    }

    /// The weight of a case of `start_ms`, where one of the fit's moment weighs 1.
    fn case_weight(&self, start_ms: i64) -> f64 {
        weight_of_age((self.fitted_at_ms - start_ms) as f64)
    }
}

/// Variance between the levels of a factor before there are any.
pub(super) const TAU2_PRIOR: f64 = 0.05;

/// The weight of a case that began `age_ms` before the fit; over 1 for a later one.
pub(super) fn weight_of_age(age_ms: f64) -> f64 {
    // Sixty half-lives either way are for ever.
    (-age_ms / HALF_LIFE_MS).clamp(-60.0, 60.0).exp2()
}
