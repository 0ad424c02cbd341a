//! From a model to an answer: quantiles, the evidence behind them, and what drives them.

use super::calendar::Opening;
use super::inspection::Inspection;
use super::model::Effect;
use super::offices::OfficeTime;
use super::priors::{COUNTRY_PRIOR_SOURCE, GLOBAL_PRIOR_SOURCE};
use super::shape::Shape;
use super::tracker::Tracked;
use super::{Factor, HOUR_MS, Model, Stage, Traits, priors};

/// The quantiles of every answer.
pub const PROBABILITIES: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Cases from which a lane or a country is evidence of its own.
pub(super) const CASES_MIN: f64 = 8.0;
/// Drivers named in an answer.
const DRIVERS_MAX: usize = 6;
/// An effect below this (a tenth of a percent) drives nothing.
const DRIVER_MIN: f64 = 0.001;
/// Log times beyond this would be over a thousand years.
pub(super) const LOG_HOURS_MAX: f64 = 16.0;
/// Points of the quasi-random sum of stages.
const SUM_POINTS: usize = 2048;

/// On which evidence a forecast rests mainly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fallback {
    /// Clearances of the same lane.
    Lane,
    /// Clearances into the same country.
    Country,
    /// The country's published figure.
    CountryPrior,
    /// All clearances of the stage, or its prior.
    Global,
}

/// Cases behind a forecast, each weighing half after a half-life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Where the forecast mainly rests.
    pub fallback: Fallback,
    /// Of the same lane.
    pub n_lane: f64,
    /// Into the same country.
    pub n_country: f64,
    /// Of the stage.
    pub n_stage: f64,
}

/// A trait's part in a forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct Driver {
    /// Which factor.
    pub factor: Factor,
    /// Its value. Example: "CNSHA".
    pub value: String,
    /// By what it multiplies 1 + hours.
    pub times: f64,
    /// Cases with this value, decayed.
    pub n: f64,
    /// How far their own factor was drawn to its prior: 0 not at all, 1 wholly.
    pub shrunk: f64,
}

/// The time that a stage will take.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// Which stage.
    pub stage: Stage,
    /// Elapsed hours at [`PROBABILITIES`], never falling.
    pub quantiles: [f64; 9],
    /// The hours of them in which the office works.
    pub worked: [f64; 9],
    /// How the office works; `None` for round the clock.
    pub opening: Option<Opening>,
    /// What it rests on.
    pub evidence: Evidence,
    /// What moves it away from the middle of all, strongest first.
    pub drivers: Vec<Driver>,
    /// What an inspection would mean; `None` where none was recorded.
    pub inspection: Option<Inspection>,
    time: LogTime,
    office: OfficeTime,
    begins_ms: i64,
}

/// A forecast taken apart: (1 + base) × the factors = 1 + middle.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The forecast.
    pub forecast: Forecast,
    /// The middle of all consignments, hours of the office's time blown up to the whole of the time.
    pub base_hours: f64,
    /// Every factor that is known of the consignment, in the order of [`Factor::ALL`].
    pub factors: Vec<Driver>,
    /// The middle of such consignments, without inspection and tracker.
    pub middle_hours: f64,
    /// exp of the standard deviation of what the factors leave open.
    pub spread: f64,
    /// The tracker, with the offsets of this consignment's lane.
    pub tracked: Tracked,
}

/// A distribution of log(1 + hours).
#[derive(Clone, Debug)]
struct LogTime {
    center: f64,
    scale: f64,
    shape: Shape,
    /// The tracker's, at [`PROBABILITIES`].
    offsets: [f64; 9],
}

impl LogTime {
    /// One of the two, the first with `probability`.
    fn mixed(probability: f64, with: &Self, without: &Self) -> Self {
        let below = |z: f64| {
            let of = |time: &Self| time.shape.probability((z - time.center) / time.scale);
            probability * of(with) + (1.0 - probability) * of(without)
        };
        let ends = |p: f64| [with.log(p), without.log(p)];
        let [low, high] = [
            ends(0.0).into_iter().fold(f64::INFINITY, f64::min),
            ends(1.0).into_iter().fold(f64::NEG_INFINITY, f64::max),
        ];
        Self { center: 0.0, scale: 1.0, shape: Shape::from_distribution(below, low, high), offsets: [0.0; 9] }
    }

    fn hours(&self, probability: f64) -> f64 {
        self.log(probability).clamp(0.0, LOG_HOURS_MAX).exp_m1()
    }

    /// At [`PROBABILITIES`]; sorted, since offsets may cross (Chernozhukov, Fernández-Val & Galichon,
    /// "Quantile and Probability Curves Without Crossing", Econometrica 78, 2010).
    fn quantiles(&self) -> [f64; 9] {
        let mut hours = PROBABILITIES.map(|p| self.hours(p));
        hours.sort_unstable_by(f64::total_cmp);
        hours
    }

    fn log(&self, probability: f64) -> f64 {
        self.center + self.scale * self.shape.quantile(probability) + self.offset(probability)
    }

    /// Between the tracked quantiles by straight lines, beyond them that of the outermost.
    fn offset(&self, probability: f64) -> f64 {
        let position = (probability * 10.0 - 1.0).clamp(0.0, 8.0);
        let below = position.floor();
        let at = |i: f64| self.offsets.get(i as usize).copied().unwrap_or_default();
        at(below) + (position - below) * (at((below + 1.0).min(8.0)) - at(below))
    }
}

impl Evidence {
    /// Cases at the fallback level; 0 for a prior.
    #[must_use]
    pub fn n_effective(&self) -> f64 {
        match self.fallback {
            Fallback::Lane => self.n_lane,
            Fallback::Country => self.n_country,
            Fallback::CountryPrior => 0.0,
            Fallback::Global => self.n_stage,
        }
    }

    /// Where the prior is from, when the forecast rests on one.
    #[must_use]
    pub fn prior_source(&self) -> Option<&'static str> {
        match self.fallback {
            Fallback::CountryPrior => Some(COUNTRY_PRIOR_SOURCE),
            Fallback::Global if self.n_stage < CASES_MIN => Some(GLOBAL_PRIOR_SOURCE),
            _ => None,
        }
    }
}

impl Model {
    /// What this model says at `now_ms` of a consignment whose stage begins then.
    #[must_use]
    pub fn forecast(&self, traits: &Traits, now_ms: i64) -> Forecast {
        self.forecast_from(traits, now_ms, now_ms)
    }

    /// The same of one whose stage begins at `begins_ms`: over a holiday it takes longer by the clock.
    #[must_use]
    pub fn forecast_from(&self, traits: &Traits, now_ms: i64, begins_ms: i64) -> Forecast {
        let (mut time, inspection) = self.mixture(traits, now_ms);
        let effects: Vec<_> = self.effects(traits, now_ms).collect();
        time.offsets = self.tracker.offsets(Factor::Lane.level(traits).as_deref());
        let (quantiles, office) = (time.quantiles(), self.offices.time(traits));
        Forecast {
            stage: self.stage,
            quantiles: quantiles.map(|hours| office.elapsed(begins_ms, hours)),
            worked: quantiles.map(|hours| office.worked(hours)),
            opening: office.opening(),
            evidence: self.evidence(traits, now_ms),
            drivers: drivers(effects),
            inspection,
            time,
            office,
            begins_ms,
        }
    }

    /// The same forecast, taken apart.
    #[must_use]
    pub fn explain(&self, traits: &Traits, now_ms: i64, begins_ms: i64) -> Explanation {
        let offsets = self.tracker.offsets(Factor::Lane.level(traits).as_deref());
        Explanation {
            forecast: self.forecast_from(traits, now_ms, begins_ms),
            base_hours: self.mu.exp_m1(),
            factors: self.effects(traits, now_ms).map(driver).collect(),
            middle_hours: self.center(traits, now_ms).exp_m1(),
            spread: self.sigma2.sqrt().exp(),
            tracked: Tracked { offsets, ..self.tracked() },
        }
    }

    fn time(&self, traits: &Traits, effects: &[(Factor, std::borrow::Cow<'_, str>, Effect)]) -> LogTime {
        let center = self.mu + effects.iter().map(|(_, _, effect)| effect.value).sum::<f64>();
        // What is not known of the effects widens the band.
        let open: f64 = effects.iter().map(|(_, _, effect)| effect.variance).sum();
        let scale = (1.0 + open / self.sigma2).sqrt();
        let lane = Factor::Lane.level(traits).and_then(|lane| self.lane_shapes.get(lane.as_ref()));
        let shape = lane
            .or_else(|| self.country_shapes.get(traits.destination.code()))
            .unwrap_or(&self.shape)
            .clone();
        LogTime { center, scale, shape, offsets: [0.0; 9] }
    }

    /// The time with and without an inspection, each as likely as it is; when the consignment says which, or
    /// nothing was recorded of inspections, the one time there is.
    fn mixture(&self, traits: &Traits, now_ms: i64) -> (LogTime, Option<Inspection>) {
        let plain = |traits: &Traits| self.time(traits, &self.effects(traits, now_ms).collect::<Vec<_>>());
        let n = self.inspections.known() * self.decay(now_ms);
        if n <= 0.0 {
            return (plain(traits), None);
        }
        let [with, without] =
            [true, false].map(|yes| plain(&Traits { inspected: Some(yes), ..traits.clone() }));
        let times = (with.center - without.center).exp();
        let probability = match traits.inspected {
            Some(yes) => f64::from(u8::from(yes)),
            None => self.inspections.probability(traits),
        };
        let time = match traits.inspected {
            Some(true) => with,
            Some(false) => without,
            None => LogTime::mixed(probability, &with, &without),
        };
        (time, Some(Inspection { probability, n, times }))
    }

    /// The quantiles of log(1 + hours) without the tracker's offsets, before it is known whether there is an
    /// inspection.
    pub(super) fn log_quantiles(&self, traits: &Traits, now_ms: i64) -> [f64; 9] {
        let (time, _) = self.mixture(&traits.before_inspection(), now_ms);
        PROBABILITIES.map(|p| time.log(p))
    }

    /// Name of the method, the moment of the fit in Unix milliseconds, and the clearances learned since.
    #[must_use]
    pub fn version(&self) -> (&'static str, i64, u64) {
        (super::METHOD, self.fitted_at_ms, self.learned)
    }

    fn evidence(&self, traits: &Traits, now_ms: i64) -> Evidence {
        let n_lane = self.cases(Factor::Lane, traits, now_ms);
        let n_country = self.cases(Factor::Country, traits, now_ms);
        let n_stage = self.weight * self.decay(now_ms);
        let fallback = if n_lane >= CASES_MIN {
            Fallback::Lane
        } else if n_country >= CASES_MIN {
            Fallback::Country
        } else if priors::published(self.stage, traits.destination).is_some() {
            Fallback::CountryPrior
        } else {
            Fallback::Global
        };
        Evidence { fallback, n_lane, n_country, n_stage }
    }
}

/// Quantiles at [`PROBABILITIES`] of the sum of several stages' elapsed hours, taken as independent: quasi-random
/// points of a Halton sequence (Numer. Math. 2, 1960), so the answer is the same every time. Each stage begins
/// when the one before it ends, the first when it was forecast to. `None` for fewer than two forecasts.
#[must_use]
pub fn sum_quantiles(parts: &[Forecast]) -> Option<[f64; 9]> {
    const BASES: [usize; 4] = [2, 3, 5, 7];
    if parts.len() < 2 || parts.len() > BASES.len() {
        return None;
    }
    let first = parts.first()?;
    // In one office's time hours add up, and the clock is asked once.
    let together = parts.iter().all(|part| part.office.same_as(&first.office));
    let mut sums: Vec<f64> = (1..=SUM_POINTS)
        .map(|i| {
            let hours = parts.iter().zip(BASES).map(|(part, base)| (part, radical_inverse(i, base)));
            let hours = hours.map(|(part, point)| (part, part.time.hours(point)));
            if together {
                return first.office.elapsed(first.begins_ms, hours.map(|(_, hours)| hours).sum());
            }
            hours.fold(0.0, |sum, (part, hours)| {
                let begins_ms = first.begins_ms.saturating_add((sum * HOUR_MS) as i64);
                sum + part.office.elapsed(begins_ms, hours)
            })
        })
        .collect();
    sums.sort_unstable_by(f64::total_cmp);
    Some(PROBABILITIES.map(|p| {
        let at = (p * SUM_POINTS as f64) as usize;
        sums.get(at).copied().unwrap_or_default()
    }))
}

/// The digits of `i` in `base`, mirrored at the point: 6 in base 2 is 0.011.
fn radical_inverse(mut i: usize, base: usize) -> f64 {
    let (mut unit, mut value) = (1.0, 0.0);
    while i > 0 {
        unit /= base as f64;
        value += unit * (i % base) as f64;
        i /= base;
    }
    value
}

fn drivers(effects: Vec<(Factor, std::borrow::Cow<'_, str>, Effect)>) -> Vec<Driver> {
    let mut strong: Vec<_> = effects.into_iter().filter(|(_, _, e)| e.value.abs() >= DRIVER_MIN).collect();
    strong.sort_by(|(_, _, a), (_, _, b)| b.value.abs().total_cmp(&a.value.abs()));
    strong.truncate(DRIVERS_MAX);
    strong.into_iter().map(driver).collect()
}

fn driver((factor, value, effect): (Factor, std::borrow::Cow<'_, str>, Effect)) -> Driver {
    Driver {
        factor,
        value: value.into_owned(),
        times: effect.value.exp(),
        n: effect.n,
        shrunk: effect.shrunk,
    }
}
