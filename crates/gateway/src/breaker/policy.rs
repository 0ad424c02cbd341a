//! The numbers of a breaker, as the catalog sets them for a service.

use std::time::Duration;

/// Most calls that a breaker remembers one by one; a larger `calls_min` is taken as this.
pub const CALLS_MIN_LIMIT: u32 = 2_000;

/// Numbers of one breaker. The defaults are the platform's rule: over 5 % errors or from 3 %
/// timeouts a capability is degraded.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Share of calls that may fail; the breaker trips *above* it. 0 to 1.
    pub error_rate_max: f64,
    /// Share of calls that may time out; the breaker trips *from* it on. 0 to 1.
    pub timeout_rate_max: f64,
    /// Fewest timeouts that can trip.
    pub timeouts_min: u32,
    /// All calls that ended in this time are evidence.
    pub window: Duration,
    /// At least so many of the latest calls are evidence, and with fewer the error rate says nothing.
    pub calls_min: u32,
    /// Calls older than this are never evidence; not less than `window`.
    pub age_max: Duration,
    /// So many hard failures in a row trip at once; 0 switches this off.
    pub hard_failures: u32,
    /// How long the breaker stays open the first time.
    pub open: Duration,
    /// How long it stays open at most, each time twice as long as before; jitter comes on top.
    pub open_max: Duration,
    /// Share by which the open time varies to both sides, so that gateways don't probe in step. 0 to 1.
    pub jitter: f64,
    /// Judged calls that a half-open breaker decides on.
    pub probes: u32,
    /// Of these, so many at the same time.
    pub probes_in_flight: u32,
    /// Failed probes with which it still closes.
    pub probe_failures_max: u32,
    /// How long it may stay half-open.
    pub half_open_max: Duration,
    /// Share of calls that is let through right after closing. 0 to 1.
    pub ramp_from: f64,
    /// How long it takes from there to all calls; zero for no ramp.
    pub ramp: Duration,
    /// Whether RESOURCE_EXHAUSTED from the upstream is an error.
    pub count_resource_exhausted: bool,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            error_rate_max: 0.05,
            timeout_rate_max: 0.03,
            timeouts_min: 10,
            window: Duration::from_secs(30),
            calls_min: 200,
            age_max: Duration::from_secs(20 * 60),
            hard_failures: 7,
            open: Duration::from_secs(10),
            open_max: Duration::from_secs(120),
            jitter: 0.2,
            probes: 20,
            probes_in_flight: 5,
            probe_failures_max: 1,
            half_open_max: Duration::from_secs(60),
            ramp_from: 0.1,
            ramp: Duration::from_secs(10),
            count_resource_exhausted: false,
        }
    }
}

impl BreakerPolicy {
    /// Whether `errors` of `calls` are too many. `errors / calls` is the double nearest to the true
    /// quotient, and so is a limit written in decimals; the comparison is therefore exact (20 of 400
    /// is not above 0.05), which `errors > limit * calls` would not be.
    pub(super) fn errors_trip(&self, errors: u64, calls: u64) -> bool {
        calls > 0 && rate(errors, calls) > self.error_rate_max
    }

    /// Whether `timeouts` of `calls` are too many, their fewest number aside.
    pub(super) fn timeouts_trip(&self, timeouts: u64, calls: u64) -> bool {
        timeouts > 0 && calls > 0 && rate(timeouts, calls) >= self.timeout_rate_max
    }

    /// How long the breaker stays open when it trips for the `step`-th time in succession (from 0);
    /// `unit` is a random number in [0, 1).
    pub(super) fn open_for(&self, step: u32, unit: f64) -> Duration {
        let doubled = self.open.saturating_mul(1u32.checked_shl(step).unwrap_or(u32::MAX));
        let plain = doubled.min(self.open_max.max(self.open));
        let jitter = if self.jitter.is_finite() { self.jitter.clamp(0.0, 1.0) } else { 0.0 };
        let factor = 1.0 + jitter * (2.0 * unit - 1.0);
        Duration::try_from_secs_f64(plain.as_secs_f64() * factor).unwrap_or(plain)
    }

    /// The share of calls to let through, `elapsed` after closing.
    pub(super) fn ramp_share(&self, elapsed: Duration) -> f64 {
        if elapsed >= self.ramp {
            return 1.0;
        }
        let from = if self.ramp_from.is_finite() { self.ramp_from.clamp(0.0, 1.0) } else { 1.0 };
        from + (1.0 - from) * (elapsed.as_secs_f64() / self.ramp.as_secs_f64())
    }
}

/// `part` of `whole`; zero of nothing is zero. Counts stay far below 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts of calls in a window stay far below 2^53")]
pub(super) fn rate(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
