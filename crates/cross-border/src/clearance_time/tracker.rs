//! The online quantile tracker: for each quantile an offset on the log scale that follows what came true,
//! θ ← θ + γ(τ − 1{z ≤ q + θ}) (Gibbs & Candès, "Adaptive Conformal Inference Under Distribution Shift",
//! NeurIPS 2021; Angelopoulos, Candès & Tibshirani, "Conformal PID Control", NeurIPS 2023).
//!
//! Labels arrive late, and those of the fast come first. So a label is taken, from a heap, when the forecast
//! time is over and not when the shipment ends: from then on it is known of each shipment whether the
//! quantile held.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

use super::forecast::{LOG_HOURS_MAX, PROBABILITIES};
use super::offices::OfficeTime;

/// Labels that wait for their moment, 20,000 shipments' worth; further ones are not taken.
const PENDING_MAX: usize = 9 * 20_000;
/// Lanes with offsets of their own; further ones have those of all.
const LANES_MAX: usize = 20_000;
/// No offset goes beyond this, a factor of e².
const OFFSET_MAX: f64 = 2.0;

/// Something for each of the quantiles at [`PROBABILITIES`], on the scale log(1 + hours).
pub(super) type Levels = [f64; 9];

/// The tracker of one stage.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    /// γ; 0 when nothing is followed.
    step: f64,
    /// Labels that are due before this were taken by the fit.
    from_ms: i64,
    all: Levels,
    /// What is added for a lane.
    lanes: HashMap<Box<str>, Levels>,
    pending: BinaryHeap<Reverse<Label>>,
    /// Labels taken.
    taken: u64,
}

/// How a tracker stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tracked {
    /// By how much a label moves its quantile's offset; 0 where following did not pay.
    pub step: f64,
    /// Labels taken: nine a shipment.
    pub labels: u64,
    /// Added to the quantiles of all lanes, on the scale log(1 + hours).
    pub offsets: [f64; 9],
}

/// What a shipment says of one quantile, and from when on.
#[derive(Clone, Debug)]
struct Label {
    due_ms: i64,
    level: usize,
    lane: Option<Box<str>>,
    /// The quantile without offsets.
    quantile: f64,
    /// What came true; of a shipment still under way, what it has reached.
    z: f64,
}

/// A shipment's forecast without offsets, and what came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome<'a> {
    pub lane: Option<&'a str>,
    pub start_ms: i64,
    pub quantiles: &'a Levels,
    /// log(1 + hours); of one still under way, so far.
    pub z: f64,
    pub finished: bool,
    /// In which the hours pass.
    pub time: &'a OfficeTime,
}

impl Tracker {
    /// One that has seen nothing, and takes labels due from `from_ms` on.
    pub(super) fn new(step: f64, from_ms: i64) -> Self {
        let all = [0.0; 9];
        Self { step, from_ms, all, lanes: HashMap::new(), pending: BinaryHeap::new(), taken: 0 }
    }

    /// How it stands.
    pub(super) fn state(&self) -> Tracked {
        Tracked { step: self.step, labels: self.taken, offsets: self.all }
    }

    /// From now on, labels due before `from_ms` are not taken again.
    pub(super) fn settle(&mut self, from_ms: i64) {
        self.advance(from_ms);
        self.from_ms = from_ms;
    }

    /// What to add to the quantiles of a lane.
    pub(super) fn offsets(&self, lane: Option<&str>) -> Levels {
        let mut offsets = self.all;
        if let Some(own) = lane.and_then(|lane| self.lanes.get(lane)) {
            for (offset, own) in offsets.iter_mut().zip(own) {
                *offset += own;
            }
        }
        offsets
    }

    /// Takes the labels that are due at `now_ms`.
    pub(super) fn advance(&mut self, now_ms: i64) {
        while self.pending.peek().is_some_and(|Reverse(label)| label.due_ms <= now_ms) {
            if let Some(Reverse(label)) = self.pending.pop() {
                self.take(label);
            }
        }
    }

    /// Puts a shipment's labels on the heap. Those of a shipment under way are known of the quantiles that
    /// it has outlasted.
    pub(super) fn observe(&mut self, outcome: &Outcome<'_>) {
        if self.step <= 0.0 {
            return;
        }
        let offsets = self.offsets(outcome.lane);
        for (level, (quantile, offset)) in outcome.quantiles.iter().zip(offsets).enumerate() {
            let forecast = quantile + offset;
            let due_ms = outcome.time.after(outcome.start_ms, forecast.clamp(0.0, LOG_HOURS_MAX).exp_m1());
            let known = outcome.finished || outcome.z > forecast;
            if !known || due_ms < self.from_ms || self.pending.len() >= PENDING_MAX {
                continue;
            }
            let lane = outcome.lane.map(Into::into);
            self.pending.push(Reverse(Label { due_ms, level, lane, quantile: *quantile, z: outcome.z }));
        }
    }

    fn take(&mut self, label: Label) {
        let now = self.offsets(label.lane.as_deref());
        let (Some(probability), Some(offset)) = (PROBABILITIES.get(label.level), now.get(label.level)) else {
            return;
        };
        let held = label.z <= label.quantile + offset;
        let moved = self.step * (probability - if held { 1.0 } else { 0.0 });
        let moves = |levels: &mut Levels| {
            if let Some(offset) = levels.get_mut(label.level) {
                *offset = (*offset + moved).clamp(-OFFSET_MAX, OFFSET_MAX);
            }
        };
        moves(&mut self.all);
        self.taken += 1;
        let Some(lane) = label.lane else { return };
        // As wide a step for the lane as for all: a lane with few labels stays near the others by itself.
        if self.lanes.len() < LANES_MAX || self.lanes.contains_key(&lane) {
            moves(self.lanes.entry(lane).or_default());
        }
    }
}

impl Ord for Label {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due_ms, self.level, &self.lane)
            .cmp(&(other.due_ms, other.level, &other.lane))
            .then(self.quantile.total_cmp(&other.quantile))
            .then(self.z.total_cmp(&other.z))
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Label {}

#[cfg(test)]
mod tests {
    use super::*;

    const QUANTILES: Levels = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8];

    fn outcome(time: &OfficeTime, z: f64, finished: bool) -> Outcome<'_> {
        Outcome { lane: Some("a"), start_ms: 0, quantiles: &QUANTILES, z, finished, time }
    }

    /// By hand: a step of 0.01 on a case between the fifth and the sixth quantile.
    #[test]
    fn a_label_moves_its_quantile_by_the_rule() {
        let mut tracker = Tracker::new(0.01, 0);
        tracker.observe(&outcome(&OfficeTime::default(), 1.45, true));
        tracker.advance(i64::MAX);
        for (level, offset) in tracker.offsets(None).into_iter().enumerate() {
            let held = if level >= 5 { 1.0 } else { 0.0 };
            let expected = 0.01 * (PROBABILITIES[level] - held);
            assert!((offset - expected).abs() < 1e-12, "{level}: {offset}");
        }
        assert_eq!(tracker.offsets(Some("a"))[0], 2.0 * tracker.offsets(None)[0]);
        assert_eq!((tracker.state().step, tracker.state().labels), (0.01, 9));
    }

    #[test]
    fn a_label_waits_until_its_forecast_time_is_over() {
        let mut tracker = Tracker::new(0.01, 0);
        // It ended soon; that the slowest quantile holds counts no sooner than that of a slow one fails.
        tracker.observe(&outcome(&OfficeTime::default(), 0.1, true));
        let hour = |z: f64| (z.exp_m1() * 3_600_000.0) as i64;
        tracker.advance(hour(1.0) - 1);
        assert_eq!(tracker.state().labels, 0);
        tracker.advance(hour(1.0));
        assert_eq!(tracker.state().labels, 1);
        tracker.advance(hour(1.8));
        assert_eq!(tracker.state().labels, 9);
    }

    #[test]
    fn one_under_way_counts_where_it_has_outlasted_the_forecast() {
        let mut tracker = Tracker::new(0.01, 0);
        tracker.observe(&outcome(&OfficeTime::default(), 1.25, false));
        tracker.advance(i64::MAX);
        assert_eq!(tracker.state().labels, 3);
        assert!(tracker.offsets(None)[..3].iter().all(|offset| *offset > 0.0));
        assert_eq!(tracker.offsets(None)[3..], [0.0; 6]);
    }

    #[test]
    fn what_the_fit_has_taken_is_not_taken_again() {
        let mut tracker = Tracker::new(0.01, 0);
        tracker.observe(&outcome(&OfficeTime::default(), 1.45, true));
        tracker.settle(i64::MAX / 2);
        let before = tracker.offsets(None);
        tracker.observe(&outcome(&OfficeTime::default(), 1.45, true));
        tracker.advance(i64::MAX);
        assert_eq!(tracker.offsets(None), before);
    }

    /// However wrong the quantiles are, in the long run each holds as often as it says: the miss is at
    /// most (range of θ + γ)/(γ n) (Angelopoulos et al. 2023, proposition 1).
    #[test]
    fn in_the_long_run_each_quantile_holds_as_often_as_it_says() {
        let mut tracker = Tracker::new(0.02, 0);
        let n = 4000;
        let mut held = [0; 9];
        for i in 0..n {
            let z = 0.6 + f64::from(i * 37 % 101) / 101.0;
            for (count, (q, offset)) in held.iter_mut().zip(QUANTILES.iter().zip(tracker.offsets(None))) {
                *count += i32::from(z <= q + offset);
            }
            tracker.observe(&Outcome { lane: None, ..outcome(&OfficeTime::default(), z, true) });
            tracker.advance(i64::MAX);
        }
        for (count, probability) in held.into_iter().zip(PROBABILITIES) {
            let share = f64::from(count) / f64::from(n);
            assert!((share - probability).abs() < (1.0 + 0.02) / (0.02 * f64::from(n)) + 0.005, "{share}");
        }
    }
}
