//! Time as an argument: the only place that reads the machine's clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment on both clocks: the steady one for intervals, the wall for people and calendars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Nanoseconds since the clock was made; never goes back.
    pub steady_ns: u64,
    /// Nanoseconds since 1970-01-01T00:00:00Z; may jump when the machine's clock is set.
    pub unix_ns: i64,
}

impl Timestamp {
    /// Time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(&self, earlier: Self) -> Duration {
        Duration::from_nanos(self.steady_ns.saturating_sub(earlier.steady_ns))
    }

    /// Whole Unix milliseconds.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        self.unix_ns.div_euclid(1_000_000)
    }

    /// This moment and `duration` more, on both clocks.
    #[must_use]
    pub fn plus(&self, duration: Duration) -> Self {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            steady_ns: self.steady_ns.saturating_add(ns),
            unix_ns: self.unix_ns.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX)),
        }
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The moment it is.
    fn now(&self) -> Timestamp;
}

/// How long the wall clock may go unread: one that is set shows so much later.
const WALL_EVERY_NS: u64 = 50_000_000;

/// The machine's clocks. A call asks for the time a dozen times, so the wall clock is read only now and then,
/// and is the steady one with a difference in between.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
    /// Wall clock less steady clock, nanoseconds.
    difference_ns: AtomicI64,
    /// When that was looked at, on the steady side.
    looked_ns: AtomicU64,
}

impl SystemClock {
    /// A clock whose steady side starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn new() -> Self {
        let clock =
            Self { origin: Instant::now(), difference_ns: AtomicI64::new(0), looked_ns: AtomicU64::new(0) };
        clock.look(0);
        clock
    }

    #[allow(clippy::disallowed_methods, reason = "this is the clock")]
    fn look(&self, steady_ns: u64) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ns = i64::try_from(unix.as_nanos()).unwrap_or(i64::MAX);
        self.difference_ns.store(unix_ns.saturating_sub_unsigned(steady_ns), Ordering::Relaxed);
        self.looked_ns.store(steady_ns, Ordering::Relaxed);
    }

    /// The same, shared.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let steady_ns = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if steady_ns.saturating_sub(self.looked_ns.load(Ordering::Relaxed)) >= WALL_EVERY_NS {
            self.look(steady_ns);
        }
        let difference_ns = self.difference_ns.load(Ordering::Relaxed);
        Timestamp { steady_ns, unix_ns: difference_ns.saturating_add_unsigned(steady_ns) }
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    steady_ns: AtomicU64,
    unix_at_zero_ns: i64,
}

impl ManualClock {
    /// A clock that shows `unix_ns` on the wall and zero on the steady side.
    #[must_use]
    pub fn at_unix_ns(unix_ns: i64) -> Self {
        Self { steady_ns: AtomicU64::new(0), unix_at_zero_ns: unix_ns }
    }

    /// Moves both sides on.
    pub fn advance(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.steady_ns.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let steady_ns = self.steady_ns.load(Ordering::SeqCst);
        let gone = i64::try_from(steady_ns).unwrap_or(i64::MAX);
        Timestamp { steady_ns, unix_ns: self.unix_at_zero_ns.saturating_add(gone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "compared with the machine's own")]
    fn the_wall_clock_is_followed_between_two_looks() {
        let clock = SystemClock::new();
        let apart = (0..8).map(|_| {
            std::thread::sleep(Duration::from_millis(20));
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            (i128::from(clock.now().unix_ns) - i128::try_from(wall.as_nanos()).unwrap()).abs()
        });
        // A busy machine may put us aside between any two reads, but not each time.
        let apart = apart.min().unwrap();
        assert!(apart < 2_000_000, "{apart} ns from the wall clock");
    }
}
