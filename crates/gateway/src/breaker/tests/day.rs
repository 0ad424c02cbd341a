//! A healthy service over a simulated day.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{BreakerPolicy, ERROR, HARD, Sample, at_ns, call};
use crate::breaker::Breaker;

/// One call in a hundred fails. At 6.7 calls/s the evidence is just 200 calls, which is where chance
/// is strongest: there, 11 of them fail together once in about five days (binomial), which is the
/// price of seeing a sparse service's trouble at all; a catalog that minds sets `calls_min` to 400.
#[test]
fn a_healthy_service_does_not_trip_in_a_day() {
    for (calls_per_s, calls_min) in [(0.19, 200), (6.7, 400), (20.0, 200), (50.0, 200)] {
        let policy = BreakerPolicy { calls_min, ..BreakerPolicy::default() };
        let breaker = Breaker::new(1);
        let mut rng = SmallRng::seed_from_u64(7);
        let (mut now_s, mut calls) = (0.0f64, 0u64);
        while now_s < 86_400.0 {
            // Calls come at random (Poisson), and half of the failures are hard.
            now_s += -(1.0 - rng.random::<f64>()).ln() / calls_per_s;
            let sample = match rng.random_range(0..200) {
                0 => HARD,
                1 => ERROR,
                _ => Sample::Success,
            };
            let trip = call(&breaker, &policy, sample, at_ns((now_s * 1e9) as u64));
            assert_eq!(trip, None, "at {calls_per_s} calls/s, after {now_s} s");
            calls += 1;
        }
        assert!(calls as f64 > 86_000.0 * calls_per_s * 0.98);
    }
}
