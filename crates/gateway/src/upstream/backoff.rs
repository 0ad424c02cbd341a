//! Exponential waits with jitter.

use std::time::Duration;

/// The wait after `failures` failures in a row: `base` doubled each time up to `max`, half of it fixed and
/// half drawn, so that many callers do not come back together ("equal jitter", M. Brooker, "Exponential
/// Backoff And Jitter", AWS Architecture Blog, 2015).
///
/// `draw` is uniform in 0..1.
pub(super) fn wait(base: Duration, max: Duration, failures: u32, draw: f64) -> Duration {
    let doubled = base.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    let whole = doubled.min(max);
    whole / 2 + whole.mul_f64(draw.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_limit_and_keeps_half() {
        let (base, max) = (Duration::from_millis(100), Duration::from_secs(1));
        assert_eq!(wait(base, max, 1, 0.0), Duration::from_millis(50));
        assert_eq!(wait(base, max, 1, 1.0), Duration::from_millis(100));
        assert_eq!(wait(base, max, 3, 1.0), Duration::from_millis(400));
        assert_eq!(wait(base, max, 5, 1.0), max);
        assert_eq!(wait(base, max, 4_000, 1.0), max);
    }
}
