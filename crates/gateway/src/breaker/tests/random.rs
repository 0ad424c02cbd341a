//! The breaker against the reference model, on random sequences.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::super::{Admission, Breaker, BreakerPolicy, Mode, Permit, Sample, State, Transition};
use super::at_ns;
use super::model::{Change, Expect, Model};

/// Steps of the normal run; OAAS_BREAKER_STEPS sets more.
const STEPS: u64 = 150_000;
/// Steps with one policy and one seed.
const RUN: u64 = 3_000;

#[test]
fn equals_the_reference_model() {
    let steps = std::env::var("OAAS_BREAKER_STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(STEPS);
    let mut reached = [0u64; 4];
    let mut trips = 0;
    for seed in 0..steps / RUN {
        let mut run = Run::new(seed);
        for _ in 0..RUN {
            run.step();
            reached[run.model.state as usize] += 1;
        }
        let (policy, now) = (run.model.policy.clone(), at_ns(run.now_ns));
        trips += run.breaker.snapshot(&policy, now).trips;
    }
    // The sequences are of use only if they come everywhere.
    assert!(reached.iter().all(|n| *n > steps / 100), "{reached:?}");
    assert!(trips > steps / 1_000, "{trips} trips");
}

struct Run {
    rng: SmallRng,
    breaker: Breaker,
    model: Model,
    now_ns: u64,
    /// In flight: the permit, the model's epoch when it was given, and the caller.
    permits: Vec<(Permit, u64, u32)>,
    callers: u32,
    /// Of a thousand calls: errors of caller 1, errors of the others, timeouts.
    bad: (u32, u32, u32),
    pace_ns: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let policy = BreakerPolicy {
            calls_min: [5, 40, 200][rng.random_range(0..3)],
            timeouts_min: rng.random_range(1..12),
            hard_failures: rng.random_range(3..9),
            window: Duration::from_secs(rng.random_range(3..60)),
            age_max: Duration::from_secs(rng.random_range(60..1200)),
            probes: rng.random_range(4..21),
            probes_in_flight: rng.random_range(1..6),
            probe_failures_max: rng.random_range(0..3),
            ramp_from: rng.random_range(0.0..0.5),
            ..BreakerPolicy::default()
        };
        Self {
            breaker: Breaker::new(seed),
            model: Model::new(policy),
            now_ns: rng.random_range(0..1 << 40),
            permits: Vec::new(),
            callers: rng.random_range(0..5),
            bad: (0, 0, 0),
            pace_ns: 1,
            rng,
        }
    }

    fn step(&mut self) {
        if self.rng.random_ratio(1, 200) {
            // A new weather: how fast calls come, and how they fare.
            self.pace_ns = 10u64.pow(self.rng.random_range(6..10));
            let bad = [0, 5, 20, 60, 400, 1000];
            let pick = |rng: &mut SmallRng| bad[rng.random_range(0..bad.len())];
            self.bad = (pick(&mut self.rng), pick(&mut self.rng), pick(&mut self.rng) / 4);
        }
        self.now_ns += self.rng.random_range(0..self.pace_ns);
        if self.rng.random_ratio(1, 500) {
            self.now_ns += self.rng.random_range(0..400_000_000_000);
        }
        match self.rng.random_range(0..1_000) {
            0..500 => self.admit(),
            500..980 => self.finish(),
            980..997 => self.drop_one(),
            _ => self.force(),
        }
        let snapshot = self.breaker.snapshot(&self.model.policy, at_ns(self.now_ns));
        assert_eq!(snapshot.state, self.model.state);
        let shown = self.model.shown(at_ns(self.now_ns));
        assert_eq!((snapshot.calls, snapshot.errors, snapshot.timeouts), shown);
    }

    fn admit(&mut self) {
        let caller = if self.callers == 0 { 0 } else { self.rng.random_range(1..=self.callers) };
        let now = at_ns(self.now_ns);
        let (expect, change) = self.model.admit(now);
        let (admission, transition) = self.breaker.admit_caller(&self.model.policy, caller, now);
        self.same(change, transition);
        let permit = match admission {
            Admission::Allowed(permit) => Some(permit),
            Admission::Refused(refused) => {
                assert_eq!(refused.state, self.model.state);
                None
            }
        };
        // An observed call that would have been refused passes, and counts for nothing.
        let counted = permit.as_ref().is_some_and(|p| p.generation != 0);
        match expect {
            Expect::Either => {
                self.model.ramped(counted);
                assert!(permit.is_some() || self.model.mode != Mode::Observe);
            }
            Expect::Refused => assert!(permit.is_none()),
            Expect::Probe => assert!(permit.as_ref().is_some_and(|p| p.slot.is_some())),
            Expect::Counted | Expect::Uncounted => {
                assert!(permit.as_ref().is_some_and(|p| p.slot.is_none()));
                assert_eq!(counted, expect == Expect::Counted);
            }
        }
        if let Some(permit) = permit {
            let epoch = if counted { self.model.epoch } else { u64::MAX };
            self.permits.push((permit, epoch, caller));
        }
    }

    fn finish(&mut self) {
        if self.permits.is_empty() {
            return;
        }
        let (permit, epoch, caller) = self.permits.swap_remove(self.rng.random_range(0..self.permits.len()));
        let errors = if caller == 1 { self.bad.0 } else { self.bad.1 };
        let sample = if self.rng.random_ratio(errors, 1_000) {
            Sample::Error { hard: self.rng.random(), retry_after: None }
        } else if self.rng.random_ratio(self.bad.2, 1_000) {
            Sample::Timeout
        } else if self.rng.random_ratio(1, 50) {
            Sample::Nothing
        } else {
            Sample::Success
        };
        let now = at_ns(self.now_ns);
        let change = self.model.record(epoch, caller, sample, now);
        let transition = self.breaker.record(&self.model.policy, permit, sample, now);
        self.same(change, transition);
    }

    fn drop_one(&mut self) {
        if self.permits.is_empty() {
            return;
        }
        let (permit, epoch, _) = self.permits.swap_remove(self.rng.random_range(0..self.permits.len()));
        self.model.gone(epoch);
        drop(permit);
    }

    fn force(&mut self) {
        let modes = [Mode::Automatic, Mode::Automatic, Mode::ForcedOpen, Mode::ForcedClosed, Mode::Observe];
        let mode = modes[self.rng.random_range(0..modes.len())];
        let now = at_ns(self.now_ns);
        let change = self.model.force(mode, now);
        let transition = self.breaker.force(mode, now);
        self.same(change, transition);
    }

    fn same(&mut self, change: Option<Change>, transition: Option<Transition>) {
        let got = transition.map(|t| (t.from, t.to, t.cause, t.calls, t.errors, t.timeouts));
        assert_eq!(got, change);
        let now = at_ns(self.now_ns);
        let snapshot = self.breaker.snapshot(&self.model.policy, now);
        if change.is_some_and(|change| change.1 == State::Open)
            && let Some(until) = snapshot.half_open_at
        {
            let plain = (10.0 * 2f64.powi(self.model.step as i32 - 1)).min(120.0);
            let open_s = until.since(now).as_secs_f64();
            assert!((0.8 * plain..=1.2 * plain).contains(&open_s), "open for {open_s}, not {plain}");
            self.model.until_ns = until.steady_ns;
        }
    }
}
