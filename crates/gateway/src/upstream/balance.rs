//! Which endpoint: power of two choices (M. Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", IEEE TPDS 12(10), 2001) over a peak-sensitive latency average times the calls in flight, as
//! in Twitter's Finagle ("Peak EWMA").

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oaas_model::Timestamp;
use parking_lot::Mutex;

/// What is known about one endpoint's load.
#[derive(Debug)]
pub(super) struct Load {
    pending: AtomicUsize,
    latency: Mutex<Latency>,
    decay_ns: f64,
}

#[derive(Clone, Copy, Debug)]
struct Latency {
    ns: f64,
    at: Option<Timestamp>,
}

impl Load {
    pub(super) fn new(initial: Duration, decay: Duration) -> Self {
        let latency = Latency { ns: initial.as_nanos() as f64, at: None };
        Self {
            pending: AtomicUsize::new(0),
            latency: Mutex::new(latency),
            decay_ns: decay.as_nanos().max(1) as f64,
        }
    }

    /// A call goes out.
    pub(super) fn start(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// A call is over.
    pub(super) fn finish(&self) {
        let _ = self.pending.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    }

    /// Calls in flight.
    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// A latency was measured. A higher one counts at once, a lower one bit by bit.
    pub(super) fn observe(&self, latency: Duration, now: Timestamp) {
        let ns = latency.as_nanos() as f64;
        let mut held = self.latency.lock();
        held.ns = match held.at {
            None => ns,
            Some(_) if ns > held.ns => ns,
            Some(at) => {
                let weight = (-(now.since(at).as_nanos() as f64) / self.decay_ns).exp();
                held.ns * weight + ns * (1.0 - weight)
            }
        };
        held.at = Some(now);
    }

    /// The latency average as it stands.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_nanos(self.latency.lock().ns as u64)
    }

    /// The cost of one more call here. An average that nothing refreshes fades, so that a once slow endpoint
    /// is tried again.
    pub(super) fn cost(&self, now: Timestamp) -> f64 {
        let held = *self.latency.lock();
        let faded = held
            .at
            .map_or(held.ns, |at| held.ns * (-(now.since(at).as_nanos() as f64) / self.decay_ns).exp());
        (faded + 1.0) * (self.pending() as f64 + 1.0)
    }
}

/// The cheaper of two that are drawn from `count` candidates; `draw` is uniform in 0..1, `cost` by position.
pub(super) fn choose(
    count: usize,
    mut draw: impl FnMut() -> f64,
    cost: impl Fn(usize) -> f64,
) -> Option<usize> {
    if count <= 1 {
        return (count == 1).then_some(0);
    }
    let first = position(draw(), count);
    // Drawn from the others, so that it never meets itself.
    let second = (first + 1 + position(draw(), count - 1)) % count;
    Some(if cost(second) < cost(first) { second } else { first })
}

fn position(draw: f64, count: usize) -> usize {
    ((draw * count as f64) as usize).min(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Timestamp {
        Timestamp { steady_ns: ms * 1_000_000, unix_ns: 0 }
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let load = Load::new(MS * 30, Duration::from_secs(10));
        load.observe(MS * 10, at(0));
        load.observe(MS * 500, at(1));
        assert_eq!(load.latency(), MS * 500);
        load.observe(MS * 10, at(2));
        assert!(load.latency() > MS * 499, "one fast answer does not clear a peak");
        assert!(load.cost(at(60_000)) < load.cost(at(2)) / 100.0, "nothing refreshed it for a minute");
    }

    #[test]
    fn calls_in_flight_multiply_the_cost() {
        let load = Load::new(MS, Duration::from_secs(10));
        let alone = load.cost(at(0));
        load.start();
        assert!((load.cost(at(0)) / alone - 2.0).abs() < 1e-9);
        load.finish();
        load.finish();
        assert_eq!(load.pending(), 0);
    }

    proptest! {
        #[test]
        fn the_dearest_of_three_or_more_is_never_chosen(
            count in 2usize..9, a in 0.0f64..1.0, b in 0.0f64..1.0, dear in 0usize..9,
        ) {
            let dear = dear % count;
            let mut draws = [a, b].into_iter();
            let chosen = choose(count, || draws.next().unwrap(), |i| if i == dear { 2.0 } else { 1.0 }).unwrap();
            prop_assert!(chosen < count && chosen != dear);
        }
    }

    #[test]
    fn nothing_to_choose_from() {
        assert_eq!(choose(0, || 0.5, |_| 1.0), None);
        assert_eq!(choose(1, || 0.5, |_| 1.0), Some(0));
    }
}
