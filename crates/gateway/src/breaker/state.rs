//! The state machine of one breaker, without its lock.

use std::time::Duration;

use oaas_model::Timestamp;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::classify::Sample;
use super::policy::{BreakerPolicy, rate};
use super::probing::{Decision, Probing};
use super::tally::one_to_blame;
use super::transition::{Cause, Mode, State, Transition};
use super::window::{self, Caller, Counts, Window};
use super::{BreakerSnapshot, Refused};

/// Longest open time that an upstream's `RetryInfo` can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);
/// What a call is told that comes while probes are under way, or is not in the ramp's share.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// What a call that asks to pass gets.
pub(super) enum Passage {
    /// It passes and is evidence.
    Counted,
    /// It passes as a probe.
    Probe,
    /// It passes and is no evidence: observed only.
    Uncounted,
    Refused(Refused),
}

#[derive(Debug)]
enum Phase {
    Closed {
        since: Timestamp,
    },
    Open {
        until: Timestamp,
    },
    HalfOpen(Probing),
    Ramping {
        since: Timestamp,
        /// Share of a call that is saved up; a call passes for a whole one.
        credit: f64,
    },
}

/// What the last trip rests on.
#[derive(Clone, Copy, Debug)]
struct Trip {
    cause: Cause,
    counts: Counts,
    rate: f64,
    threshold: f64,
}

/// Hard failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    len: u32,
    caller: Caller,
    mixed: bool,
}

#[derive(Debug)]
pub(super) struct Core {
    mode: Mode,
    phase: Phase,
    /// Grows with each change after which the results of earlier calls say nothing any more.
    generation: u64,
    window: Window,
    row: Row,
    trip: Trip,
    trips: u64,
    /// Trips in succession, for the open time to double.
    step: u32,
    rng: SmallRng,
    touched_ns: u64,
    /// The limits of the last policy seen, for changes by hand.
    limits: (f64, f64),
}

impl Core {
    pub fn new(seed: u64) -> Self {
        let policy = BreakerPolicy::default();
        let since = Timestamp { steady_ns: 0, unix_ns: 0 };
        Self {
            mode: Mode::Automatic,
            phase: Phase::Closed { since },
            generation: 1,
            window: Window::new(&policy),
            row: Row::default(),
            trip: Trip { cause: Cause::ByHand, counts: Counts::default(), rate: 0.0, threshold: 0.0 },
            trips: 0,
            step: 0,
            rng: SmallRng::seed_from_u64(seed),
            touched_ns: 0,
            limits: (policy.error_rate_max, policy.timeout_rate_max),
        }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation while every call passes and is counted; else 0.
    pub fn door(&self) -> u64 {
        if matches!(self.phase, Phase::Closed { .. }) { self.generation } else { 0 }
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn is_plain(&self) -> bool {
        self.mode == Mode::Automatic && matches!(self.phase, Phase::Closed { .. })
    }

    pub fn touched_ns(&self) -> u64 {
        self.touched_ns
    }

    pub fn admit(&mut self, policy: &BreakerPolicy, now: Timestamp) -> (Passage, Option<Transition>) {
        self.see(policy, now);
        let transition = self.on_time(policy, now);
        let passage = match self.pass(policy, now) {
            Passage::Refused(_) if self.mode == Mode::Observe => Passage::Uncounted,
            passage => passage,
        };
        (passage, transition)
    }

    /// The refusal while nothing but time can change it.
    pub fn refusal(&self, policy: &BreakerPolicy, now: Timestamp) -> Option<Refused> {
        match self.phase {
            _ if self.mode == Mode::Observe => None,
            _ if self.mode == Mode::ForcedOpen => Some(self.refused(State::Open, policy.open_max)),
            Phase::Open { until } if now.steady_ns < until.steady_ns => {
                Some(self.refused(State::Open, until.since(now)))
            }
            _ => None,
        }
    }

    pub fn record(
        &mut self,
        policy: &BreakerPolicy,
        generation: u64,
        caller: Caller,
        sample: Sample,
        now: Timestamp,
    ) -> Option<Transition> {
        if generation != self.generation {
            return None;
        }
        self.see(policy, now);
        let (verdict, hard, retry_after) = match sample {
            Sample::Success => (window::Verdict::Good, false, None),
            Sample::Error { hard, retry_after } => (window::Verdict::Error, hard, retry_after),
            Sample::Timeout => (window::Verdict::Timeout, false, None),
            Sample::Nothing => {
                self.probe_gone(generation);
                return None;
            }
        };
        if let Phase::HalfOpen(probing) = &mut self.phase {
            let decision = probing.judge(policy, caller, verdict);
            let counts = probing.judged;
            return match decision {
                Decision::Wait => None,
                Decision::Pass => Some(self.ramp(policy, counts, now)),
                Decision::Fail => Some(self.open(policy, Cause::ProbesFailed, counts, retry_after, now)),
            };
        }
        self.window.add(now.steady_ns, caller, verdict);
        self.count_row(caller, hard);
        if self.mode == Mode::ForcedClosed {
            return None;
        }
        let (cause, counts) = self.trip_cause(policy, now)?;
        Some(self.open(policy, cause, counts, retry_after, now))
    }

    /// A probe of `generation` ended with no judgement.
    pub fn probe_gone(&mut self, generation: u64) {
        if generation == self.generation
            && let Phase::HalfOpen(probing) = &mut self.phase
        {
            probing.give_back();
        }
    }

    pub fn force(&mut self, mode: Mode, now: Timestamp) -> Option<Transition> {
        let from = self.state();
        let was = std::mem::replace(&mut self.mode, mode);
        let counts = self.window.counts(now.steady_ns);
        match mode {
            Mode::ForcedOpen => {
                let until = Timestamp { steady_ns: u64::MAX, unix_ns: i64::MAX };
                self.trip = self.trip_of(Cause::ByHand, counts, self.limits);
                self.enter(Phase::Open { until });
            }
            Mode::ForcedClosed if from != State::Closed => {
                self.step = 0;
                self.enter(Phase::Closed { since: now });
            }
            Mode::Automatic | Mode::Observe if was == Mode::ForcedOpen => {
                self.enter(Phase::Open { until: now });
            }
            _ => {}
        }
        let to = self.state();
        (from != to).then(|| self.transition(from, Cause::ByHand, counts, now))
    }

    pub fn snapshot(&mut self, policy: &BreakerPolicy, now: Timestamp) -> BreakerSnapshot {
        self.window.reshape(policy);
        let state = self.state();
        let tripped = matches!(state, State::Open | State::HalfOpen);
        let counts = if tripped { self.trip.counts } else { self.window.counts(now.steady_ns) };
        BreakerSnapshot {
            state,
            mode: self.mode,
            calls: counts.calls,
            errors: counts.errors,
            timeouts: counts.timeouts,
            half_open_at: match self.phase {
                Phase::Open { until } if self.mode != Mode::ForcedOpen => Some(until),
                _ => None,
            },
            cause: (state != State::Closed).then_some(self.trip.cause),
            trips: self.trips,
        }
    }

    fn see(&mut self, policy: &BreakerPolicy, now: Timestamp) {
        self.window.reshape(policy);
        self.touched_ns = self.touched_ns.max(now.steady_ns);
        self.limits = (policy.error_rate_max, policy.timeout_rate_max);
    }

    fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen(_) => State::HalfOpen,
            Phase::Ramping { .. } => State::Ramping,
        }
    }

    /// The changes that time alone makes; they are made when a call comes.
    fn on_time(&mut self, policy: &BreakerPolicy, now: Timestamp) -> Option<Transition> {
        match &self.phase {
            _ if self.mode == Mode::ForcedOpen => None,
            Phase::Open { until } if now.steady_ns >= until.steady_ns => {
                self.enter(Phase::HalfOpen(Probing::new(now)));
                Some(self.transition(State::Open, Cause::OpenElapsed, self.trip.counts, now))
            }
            Phase::HalfOpen(probing) if now.since(probing.since) >= policy.half_open_max => {
                let counts = probing.judged;
                Some(if probing.passes_at_end() {
                    self.ramp(policy, counts, now)
                } else {
                    self.open(policy, Cause::ProbesUndecided, counts, None, now)
                })
            }
            Phase::Ramping { since, .. } if now.since(*since) >= policy.ramp => {
                // Calls that the ramp let through are evidence as they were: same generation.
                self.phase = Phase::Closed { since: now };
                let counts = self.window.counts(now.steady_ns);
                Some(self.transition(State::Ramping, Cause::RampEnded, counts, now))
            }
            _ => None,
        }
    }

    fn pass(&mut self, policy: &BreakerPolicy, now: Timestamp) -> Passage {
        if let Some(refused) = self.refusal(policy, now) {
            return Passage::Refused(refused);
        }
        match &mut self.phase {
            Phase::Closed { .. } => return Passage::Counted,
            Phase::HalfOpen(probing) => {
                if probing.take(policy) {
                    return Passage::Probe;
                }
            }
            Phase::Ramping { since, credit } => {
                *credit += policy.ramp_share(now.since(*since));
                if *credit >= 1.0 {
                    *credit -= 1.0;
                    return Passage::Counted;
                }
            }
            Phase::Open { .. } => {}
        }
        Passage::Refused(self.refused(self.state(), RETRY_SOON))
    }

    fn refused(&self, state: State, retry_after: Duration) -> Refused {
        let Trip { cause, counts, rate, threshold } = self.trip;
        Refused { state, cause, retry_after, error_rate: rate, threshold, calls: counts.calls }
    }

    fn count_row(&mut self, caller: Caller, hard: bool) {
        if !hard {
            self.row = Row::default();
            return;
        }
        if self.row.len == 0 {
            self.row.caller = caller;
        }
        self.row.mixed |= self.row.caller != caller;
        self.row.len = self.row.len.saturating_add(1);
    }

    fn trip_cause(&mut self, policy: &BreakerPolicy, now: Timestamp) -> Option<(Cause, Counts)> {
        let now_ns = now.steady_ns;
        let counts = self.window.counts(now_ns);
        if policy.hard_failures > 0
            && self.row.len >= policy.hard_failures
            && !self.row_to_blame(policy, now_ns)
        {
            return Some((Cause::HardFailures, counts));
        }
        let errors: fn(&Counts) -> u64 = |counts| counts.errors;
        if counts.calls >= self.window.calls_min() && policy.errors_trip(counts.errors, counts.calls) {
            let worst = self.window.worst(now_ns, errors);
            if !one_to_blame(policy, counts, worst, errors, BreakerPolicy::errors_trip) {
                return Some((Cause::ErrorRate, counts));
            }
        }
        let timeouts: fn(&Counts) -> u64 = |counts| counts.timeouts;
        if counts.timeouts >= u64::from(policy.timeouts_min)
            && policy.timeouts_trip(counts.timeouts, counts.calls)
        {
            let worst = self.window.worst(now_ns, timeouts);
            if !one_to_blame(policy, counts, worst, timeouts, BreakerPolicy::timeouts_trip) {
                return Some((Cause::TimeoutRate, counts));
            }
        }
        None
    }

    /// Whether the hard failures in a row are one application's, while others' calls are in the
    /// evidence too.
    fn row_to_blame(&mut self, policy: &BreakerPolicy, now_ns: u64) -> bool {
        if self.row.mixed || self.row.caller == 0 {
            return false;
        }
        let own = self.window.share_of(now_ns, self.row.caller);
        let rest = self.window.counts(now_ns).minus(own);
        rest.calls >= u64::from(policy.probes.max(1))
    }

    /// Opens, for twice as long as the time before when the breaker did not stay closed for the
    /// longest open time in between.
    fn open(
        &mut self,
        policy: &BreakerPolicy,
        cause: Cause,
        counts: Counts,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Transition {
        let from = self.state();
        if let Phase::Closed { since } = self.phase
            && now.since(since) >= policy.open_max
        {
            self.step = 0;
        }
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let time = policy.open_for(self.step, self.rng.random::<f64>()).max(asked);
        self.step = self.step.saturating_add(1);
        self.trips = self.trips.saturating_add(1);
        self.trip = match cause {
            Cause::ProbesFailed | Cause::ProbesUndecided => Trip {
                cause,
                counts,
                rate: rate(counts.errors + counts.timeouts, counts.calls),
                threshold: rate(u64::from(policy.probe_failures_max), u64::from(policy.probes)),
            },
            _ => self.trip_of(cause, counts, (policy.error_rate_max, policy.timeout_rate_max)),
        };
        self.enter(Phase::Open { until: now.plus(time) });
        self.transition(from, cause, counts, now)
    }

    fn trip_of(&self, cause: Cause, counts: Counts, limits: (f64, f64)) -> Trip {
        let (rate, threshold) = match cause {
            Cause::TimeoutRate => (rate(counts.timeouts, counts.calls), limits.1),
            _ => (rate(counts.errors, counts.calls), limits.0),
        };
        Trip { cause, counts, rate, threshold }
    }

    fn ramp(&mut self, policy: &BreakerPolicy, counts: Counts, now: Timestamp) -> Transition {
        // The first call passes; after it, each has to save up.
        let credit = 1.0 - policy.ramp_share(Duration::ZERO);
        self.enter(Phase::Ramping { since: now, credit });
        self.transition(State::HalfOpen, Cause::ProbesPassed, counts, now)
    }

    /// Begins a phase in which the results of earlier calls say nothing.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation = self.generation.saturating_add(1);
        self.window.clear();
        self.row = Row::default();
    }

    fn transition(&self, from: State, cause: Cause, counts: Counts, at: Timestamp) -> Transition {
        Transition {
            from,
            to: self.state(),
            mode: self.mode,
            cause,
            calls: counts.calls,
            errors: counts.errors,
            timeouts: counts.timeouts,
            error_rate_max: self.limits.0,
            timeout_rate_max: self.limits.1,
            at,
        }
    }
}
