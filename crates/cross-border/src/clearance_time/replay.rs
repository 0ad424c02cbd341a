//! How a fit sets its tracker: the newest shipments once more, in their order, each forecast by a model of
//! what was known before it. Steps compete, none among them, and the one that would have lost least stays:
//! where what comes is like what was, following it only adds noise.

use std::borrow::Cow;
use std::sync::Arc;

use super::forecast::{LOG_HOURS_MAX, PROBABILITIES};
use super::tracker::{Levels, Outcome, Tracker};
use super::{Factor, HOUR_MS, Model, Observation};

const DAY_MS: i64 = 24 * 3_600_000;
/// Shipments that are replayed: several times the memory of the slowest step.
const REPLAYED_MAX: usize = 4000;
/// What a model of the replay learns from: the newest before it.
const KNOWN_MAX: usize = 20_000;
/// Fewer than these say nothing of a step.
const REPLAYED_MIN: usize = 200;
/// A model a month, for at most three years.
const ORIGIN_MS: i64 = 30 * DAY_MS;
const ORIGINS_MAX: i64 = 36;
/// The first model has a quarter to learn from.
const WARM_UP_MS: i64 = 90 * DAY_MS;
/// The steps: 0.01 is that of the papers, with half and twice of it.
const STEPS: [f64; 4] = [0.0, 0.005, 0.01, 0.02];

impl Tracker {
    /// The tracker as the fit's moment finds it. `used` is what was known of `model`'s stage.
    pub(super) fn replay(model: &Model, used: &[&Observation]) -> Self {
        let as_of = model.fitted_at_ms;
        let mut used = used.to_vec();
        // By all that tells two apart, so that the order of arrival is nothing.
        used.sort_by(|a, b| {
            let lane = |o: &&Observation| Factor::Lane.level(&o.traits).map(Cow::into_owned);
            let by_time = a.start_ms.cmp(&b.start_ms).then(a.hours.total_cmp(&b.hours));
            by_time.then_with(|| lane(a).cmp(&lane(b)))
        });
        let first = used.first().map_or(as_of, |o| o.start_ms);
        let newest = used.get(used.len().saturating_sub(REPLAYED_MAX)).map_or(as_of, |o| o.start_ms);
        let from = newest.max(first.saturating_add(WARM_UP_MS)).max(as_of - ORIGINS_MAX * ORIGIN_MS);
        let replayed = used.len() - used.partition_point(|o| o.start_ms < from);
        if replayed < REPLAYED_MIN {
            return Self::new(0.0, as_of);
        }
        let mut rivals = STEPS.map(|step| Rival { tracker: Self::new(step, 0), lost: 0.0 });
        let mut origin = from;
        while origin < as_of {
            let next = origin.saturating_add(ORIGIN_MS);
            let then = model.fit_effects(&known_before(&used, origin), origin);
            let begun = used.iter().skip_while(|o| o.start_ms < origin).take_while(|o| o.start_ms < next);
            for observation in begun {
                let lane = Factor::Lane.level(&observation.traits);
                let quantiles = then.log_quantiles(&observation.traits, origin);
                let time = model.offices.time(&observation.traits);
                let outcome = Outcome {
                    lane: lane.as_deref(),
                    start_ms: observation.start_ms,
                    quantiles: &quantiles,
                    z: observation.z(&time),
                    finished: observation.finished,
                    time: &time,
                };
                for rival in &mut rivals {
                    rival.meet(&outcome);
                }
            }
            origin = next;
        }
        let best = rivals.into_iter().min_by(|a, b| a.lost.total_cmp(&b.lost)).map(|rival| rival.tracker);
        let mut best = best.unwrap_or_else(|| Self::new(0.0, as_of));
        best.settle(as_of);
        best
    }
}

struct Rival {
    tracker: Tracker,
    /// Pinball loss over all quantiles, hours.
    lost: f64,
}

impl Rival {
    fn meet(&mut self, outcome: &Outcome<'_>) {
        self.tracker.advance(outcome.start_ms);
        let offsets = self.tracker.offsets(outcome.lane);
        self.lost += loss(outcome, &offsets);
        self.tracker.observe(outcome);
    }
}

/// Of a shipment under way, the part that is certain: by how much it has outlasted a quantile.
fn loss(outcome: &Outcome<'_>, offsets: &Levels) -> f64 {
    let hours = outcome.z.exp_m1();
    let of_level = |((p, quantile), offset): ((&f64, &f64), &f64)| {
        let forecast = (quantile + offset).clamp(0.0, LOG_HOURS_MAX).exp_m1();
        if hours >= forecast {
            p * (hours - forecast)
        } else if outcome.finished {
            (1.0 - p) * (forecast - hours)
        } else {
            0.0
        }
    };
    PROBABILITIES.iter().zip(outcome.quantiles).zip(offsets).map(of_level).sum()
}

/// What was known at `origin` of observations that are in the order of their start.
fn known_before(used: &[&Observation], origin: i64) -> Vec<Observation> {
    let begun = used.get(..used.partition_point(|o| o.start_ms < origin)).unwrap_or_default();
    let newest = begun.get(begun.len().saturating_sub(KNOWN_MAX)..).unwrap_or_default();
    newest
        .iter()
        .map(|&observation| {
            let mut then = observation.clone();
            let age = (origin - then.start_ms) as f64 / HOUR_MS;
            if then.hours >= age {
                (then.hours, then.finished) = (age, false);
                // Nor was it known then that it would be inspected.
                if then.traits.inspected.is_some() {
                    then.traits = Arc::new(then.traits.before_inspection().into_owned());
                }
            }
            then
        })
        .collect()
}
