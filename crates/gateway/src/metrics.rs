//! Counters of the hot path as plain atomics; Prometheus scrapes them through a collector (see `exposition.rs`).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use oaas_model::{Reason, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::outcome::Outcome;

/// Upper bounds of the latency buckets, microseconds: four a decade from 100 µs to 100 s.
pub const BOUNDS_US: [u64; 25] = [
    100,
    178,
    316,
    562,
    1_000,
    1_780,
    3_160,
    5_620,
    10_000,
    17_800,
    31_600,
    56_200,
    100_000,
    178_000,
    316_000,
    562_000,
    1_000_000,
    1_780_000,
    3_160_000,
    5_620_000,
    10_000_000,
    17_800_000,
    31_600_000,
    56_200_000,
    100_000_000,
];
/// Minutes that the recent latencies reach back.
const RECENT_MINUTES: u64 = 5;

type Buckets = [u64; BOUNDS_US.len() + 1];

/// Counters of the process.
#[derive(Default)]
pub struct Metrics {
    /// Calls in flight.
    pub in_flight: AtomicUsize,
    /// Calls that were refused because no intent could be written.
    pub audit_unavailable: AtomicU64,
    /// Requests that are no gRPC calls.
    pub not_grpc: AtomicU64,
    /// Catalog versions applied.
    pub reloads: AtomicU64,
    /// Catalog versions refused.
    pub reloads_failed: AtomicU64,
    methods: RwLock<HashMap<Arc<str>, Arc<MethodMetrics>>>,
    /// Calls of paths that are not in the catalog share one name.
    unknown: Arc<MethodMetrics>,
}

/// Counters of one method.
#[derive(Default)]
pub struct MethodMetrics {
    /// Ends by gRPC status.
    pub by_code: [AtomicU64; 17],
    /// Refusals by reason, in the order of [`Reason::ALL`].
    pub by_reason: Mutex<HashMap<Reason, u64>>,
    /// Degraded answers.
    pub degraded: AtomicU64,
    /// Latencies, each in its bucket; the last has no bound.
    pub latency: [AtomicU64; BOUNDS_US.len() + 1],
    /// Their sum, microseconds.
    pub latency_sum_us: AtomicU64,
    recent: Mutex<Recent>,
}

/// Latencies by minute, for "how is it doing now".
#[derive(Default)]
struct Recent {
    minutes: [(u64, Buckets); RECENT_MINUTES as usize],
}

impl Metrics {
    /// The counters of `path`, which the catalog has.
    pub fn of(&self, path: &Arc<str>) -> Arc<MethodMetrics> {
        if let Some(found) = self.methods.read().get(path) {
            return Arc::clone(found);
        }
        Arc::clone(self.methods.write().entry(Arc::clone(path)).or_default())
    }

    /// The counters of everything else.
    #[must_use]
    pub fn unknown(&self) -> Arc<MethodMetrics> {
        Arc::clone(&self.unknown)
    }

    /// All counters with their label, the unknown last.
    #[must_use]
    pub fn all(&self) -> Vec<(Arc<str>, Arc<MethodMetrics>)> {
        let mut all: Vec<_> =
            self.methods.read().iter().map(|(path, m)| (Arc::clone(path), Arc::clone(m))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.push((Arc::from("unknown"), self.unknown()));
        all
    }
}

impl MethodMetrics {
    /// Counts the end of a call.
    pub fn count(&self, outcome: &Outcome) {
        if let Some(counter) = self.by_code.get(usize::from(outcome.code.number())) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(reason) = outcome.reason {
            *self.by_reason.lock().entry(reason).or_default() += 1;
        }
        if outcome.degraded {
            self.degraded.fetch_add(1, Ordering::Relaxed);
        }
        let us = u64::try_from(outcome.elapsed.as_micros()).unwrap_or(u64::MAX);
        self.latency_sum_us.fetch_add(us, Ordering::Relaxed);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(counter) = self.latency.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.recent.lock().count(bucket, minute(outcome.at));
    }

    /// A quantile of the last minutes' latencies: the upper bound of its bucket. None without calls.
    #[must_use]
    pub fn recent_quantile(&self, quantile: f64, now: Timestamp) -> Option<Duration> {
        self.recent.lock().quantile(quantile, minute(now))
    }
}

/// A quantile of the last minutes' latencies of several methods together, as [`MethodMetrics::recent_quantile`]
/// gives it for one.
#[must_use]
pub fn recent_quantile_of<'m>(
    methods: impl IntoIterator<Item = &'m MethodMetrics>,
    quantile: f64,
    now: Timestamp,
) -> Option<Duration> {
    let mut sum = Buckets::default();
    for method in methods {
        method.recent.lock().add_to(&mut sum, minute(now));
    }
    quantile_in(&sum, quantile)
}

fn minute(now: Timestamp) -> u64 {
    // Minute 0 marks a slot that was never used.
    now.steady_ns / 60_000_000_000 + 1
}

impl Recent {
    fn count(&mut self, bucket: usize, minute: u64) {
        let slot = usize::try_from(minute % RECENT_MINUTES).unwrap_or(0);
        let Some((of, buckets)) = self.minutes.get_mut(slot) else { return };
        if *of != minute {
            *of = minute;
            *buckets = Buckets::default();
        }
        if let Some(count) = buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    fn add_to(&self, sum: &mut Buckets, minute: u64) {
        let fresh = |of: &u64| *of > 0 && of.saturating_add(RECENT_MINUTES) > minute;
        for (_, buckets) in self.minutes.iter().filter(|(of, _)| fresh(of)) {
            for (total, count) in sum.iter_mut().zip(buckets) {
                *total += count;
            }
        }
    }

    fn quantile(&self, quantile: f64, minute: u64) -> Option<Duration> {
        let mut sum = Buckets::default();
        self.add_to(&mut sum, minute);
        quantile_in(&sum, quantile)
    }
}

fn quantile_in(buckets: &Buckets, quantile: f64) -> Option<Duration> {
    let calls: u64 = buckets.iter().sum();
    let rank = (quantile * calls as f64).ceil().max(1.0);
    let mut seen = 0;
    for (count, bound) in buckets.iter().zip(BOUNDS_US.iter().chain([&u64::MAX])) {
        seen += count;
        if calls > 0 && seen as f64 >= rank {
            return Some(Duration::from_micros(*bound));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_forget_what_is_older_than_five_minutes() {
        let mut recent = Recent::default();
        (0..99).for_each(|_| recent.count(0, 1));
        recent.count(4, 1);
        assert_eq!(recent.quantile(0.5, 1), Some(Duration::from_micros(100)));
        assert_eq!(recent.quantile(0.995, 5), Some(Duration::from_micros(1_000)));
        assert_eq!(recent.quantile(0.5, 6), None);
        recent.count(1, 6);
        assert_eq!(recent.quantile(0.99, 6), Some(Duration::from_micros(178)));
    }
}
