//! The reference model: keeps every sample in a list and reads the rules off it; slow and plain.

use oaas_model::Timestamp;

use super::super::{BreakerPolicy, Cause, Mode, Sample, State};

/// One judged call.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at_ns: u64,
    caller: u32,
    error: bool,
    hard: bool,
    timeout: bool,
}

/// A change of state: from, to, cause, and calls, errors and timeouts in the evidence.
pub type Change = (State, State, Cause, u64, u64, u64);

/// What the model expects of a call that asks to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Counted,
    Probe,
    Uncounted,
    Refused,
    /// The ramp decides; `Model::ramped` checks the share.
    Either,
}

#[derive(Debug)]
pub struct Model {
    pub policy: BreakerPolicy,
    pub mode: Mode,
    pub state: State,
    /// Counts the phases whose results don't mix.
    pub epoch: u64,
    /// Samples of this epoch.
    seen: Vec<Seen>,
    in_flight: u32,
    since_ns: u64,
    /// Told by the breaker when it opens, since the jitter is random; bounds are checked there.
    pub until_ns: u64,
    closed_since_ns: u64,
    pub step: u32,
    ramp_asked: f64,
    ramp_passed: f64,
    trip: (u64, u64, u64),
}

impl Model {
    pub fn new(policy: BreakerPolicy) -> Self {
        Self {
            policy,
            mode: Mode::Automatic,
            state: State::Closed,
            epoch: 0,
            seen: Vec::new(),
            in_flight: 0,
            since_ns: 0,
            until_ns: 0,
            closed_since_ns: 0,
            step: 0,
            ramp_asked: 0.0,
            ramp_passed: 0.0,
            trip: (0, 0, 0),
        }
    }

    pub fn admit(&mut self, now: Timestamp) -> (Expect, Option<Change>) {
        let change = self.time_passed(now.steady_ns);
        let expect = match self.state {
            _ if self.mode == Mode::ForcedOpen => Expect::Refused,
            State::Closed => Expect::Counted,
            State::Open => Expect::Refused,
            State::HalfOpen => {
                let begun = u32::try_from(self.seen.len()).unwrap() + self.in_flight;
                if begun < self.policy.probes && self.in_flight < self.policy.probes_in_flight {
                    self.in_flight += 1;
                    Expect::Probe
                } else {
                    Expect::Refused
                }
            }
            State::Ramping => {
                let part = (now.steady_ns - self.since_ns) as f64 / self.policy.ramp.as_nanos() as f64;
                self.ramp_asked += self.policy.ramp_from + (1.0 - self.policy.ramp_from) * part;
                Expect::Either
            }
        };
        let observed = self.mode == Mode::Observe && expect == Expect::Refused;
        (if observed { Expect::Uncounted } else { expect }, change)
    }

    /// Whether the ramp let a call pass: in all it lets the sum of the shares pass, the first call
    /// sooner.
    pub fn ramped(&mut self, passed: bool) {
        self.ramp_passed += if passed { 1.0 } else { 0.0 };
        let owed = self.ramp_asked + 1.0 - self.policy.ramp_from - self.ramp_passed;
        assert!((-1e-6..1.0 + 1e-6).contains(&owed), "ramp owes {owed} calls");
    }

    pub fn gone(&mut self, epoch: u64) {
        if epoch == self.epoch && self.state == State::HalfOpen {
            self.in_flight -= 1;
        }
    }

    pub fn record(&mut self, epoch: u64, caller: u32, sample: Sample, now: Timestamp) -> Option<Change> {
        if epoch != self.epoch {
            return None;
        }
        if sample == Sample::Nothing {
            self.gone(epoch);
            return None;
        }
        self.seen.push(Seen {
            at_ns: now.steady_ns,
            caller,
            error: matches!(sample, Sample::Error { .. }),
            hard: matches!(sample, Sample::Error { hard: true, .. }),
            timeout: sample == Sample::Timeout,
        });
        match self.state {
            State::HalfOpen => {
                self.in_flight -= 1;
                self.judge(now.steady_ns)
            }
            _ if self.mode == Mode::ForcedClosed => None,
            _ => self.trip(now.steady_ns),
        }
    }

    pub fn force(&mut self, mode: Mode, now: Timestamp) -> Option<Change> {
        let (from, was) = (self.state, self.mode);
        let evidence = self.evidence(now.steady_ns);
        let (calls, errors, timeouts) = count(evidence.iter().copied());
        self.mode = mode;
        match mode {
            Mode::ForcedOpen => {
                self.enter(State::Open, now.steady_ns);
                self.trip = (calls, errors, timeouts);
            }
            Mode::ForcedClosed if from != State::Closed => {
                self.step = 0;
                self.closed_since_ns = now.steady_ns;
                self.enter(State::Closed, now.steady_ns);
            }
            Mode::Automatic | Mode::Observe if was == Mode::ForcedOpen => {
                self.enter(State::Open, now.steady_ns);
                self.until_ns = now.steady_ns;
            }
            _ => {}
        }
        // Probes are no evidence of the window.
        let shown = if from == State::HalfOpen { (0, 0, 0) } else { (calls, errors, timeouts) };
        if mode == Mode::ForcedOpen {
            self.trip = shown;
        }
        (from != self.state).then_some((from, self.state, Cause::ByHand, shown.0, shown.1, shown.2))
    }

    /// Calls, errors and timeouts that the breaker should show.
    pub fn shown(&self, now: Timestamp) -> (u64, u64, u64) {
        match self.state {
            State::Open | State::HalfOpen => self.trip,
            State::Closed | State::Ramping => count(self.evidence(now.steady_ns).iter().copied()),
        }
    }

    /// The last 30 s (to a slot) and at least the last 200 calls, none older than 20 min.
    fn evidence(&self, now_ns: u64) -> Vec<Seen> {
        let slot_ns = self.policy.window.as_nanos() as u64 / 30;
        let age_max_ns = self.policy.age_max.as_nanos() as u64;
        let (mut evidence, mut back) = (Vec::new(), 0);
        for seen in self.seen.iter().rev() {
            back += 1;
            let recent = seen.at_ns / slot_ns + 30 > now_ns / slot_ns;
            let among_last = back <= self.policy.calls_min && now_ns - seen.at_ns <= age_max_ns;
            if !recent && !among_last {
                break;
            }
            evidence.push(*seen);
        }
        evidence
    }

    fn trip(&mut self, now_ns: u64) -> Option<Change> {
        let evidence = self.evidence(now_ns);
        let (calls, errors, timeouts) = count(evidence.iter().copied());
        let cause = if self.row_trips(&evidence) {
            Cause::HardFailures
        } else if calls >= u64::from(self.policy.calls_min)
            && self.errors_over(calls, errors)
            && !self.blamed(&evidence, |seen| seen.error, Self::errors_over)
        {
            Cause::ErrorRate
        } else if timeouts >= u64::from(self.policy.timeouts_min)
            && self.timeouts_over(calls, timeouts)
            && !self.blamed(&evidence, |seen| seen.timeout, Self::timeouts_over)
        {
            Cause::TimeoutRate
        } else {
            return None;
        };
        Some(self.open(cause, (calls, errors, timeouts), now_ns))
    }

    fn errors_over(&self, calls: u64, errors: u64) -> bool {
        errors as f64 / calls as f64 > self.policy.error_rate_max
    }

    fn timeouts_over(&self, calls: u64, timeouts: u64) -> bool {
        timeouts as f64 / calls as f64 >= self.policy.timeout_rate_max
    }

    fn row_trips(&self, evidence: &[Seen]) -> bool {
        let row: Vec<u32> = self.seen.iter().rev().take_while(|s| s.hard).map(|s| s.caller).collect();
        let one = row.first().copied().filter(|caller| *caller != 0 && row.iter().all(|c| c == caller));
        let rest = evidence.iter().filter(|seen| Some(seen.caller) != one).count();
        let spoken_for = one.is_some() && rest >= self.policy.probes as usize;
        row.len() >= self.policy.hard_failures as usize && !spoken_for
    }

    /// Whether there is an application with 80 % of the failures, and 20 calls or more of others that
    /// fare well.
    fn blamed(&self, evidence: &[Seen], bad: fn(&Seen) -> bool, over: fn(&Self, u64, u64) -> bool) -> bool {
        let failures = evidence.iter().filter(|seen| bad(seen)).count();
        (1..=8).any(|caller| {
            let own = evidence.iter().filter(|seen| seen.caller == caller && bad(seen)).count();
            let rest = evidence.iter().filter(|seen| seen.caller != caller).count();
            let bad_rest = failures - own;
            let well = bad_rest <= self.policy.probe_failures_max as usize
                || !over(self, rest as u64, bad_rest as u64);
            own * 5 >= failures * 4 && rest >= self.policy.probes as usize && well
        })
    }

    fn judge(&mut self, now_ns: u64) -> Option<Change> {
        let (calls, errors, timeouts) = count(self.seen.iter().copied());
        let max = u64::from(self.policy.probe_failures_max);
        let full = calls >= u64::from(self.policy.probes);
        let failed = errors + timeouts;
        let fails_without = |caller| {
            let (calls, errors, timeouts) = count(self.seen.iter().copied().filter(|s| s.caller != caller));
            (calls, errors + timeouts)
        };
        let worst = (1..=8).min_by_key(|caller| fails_without(*caller).1).unwrap();
        let (rest, rest_failed) = fails_without(worst);
        let counts = (calls, errors, timeouts);
        if failed <= max {
            full.then(|| self.ramp(counts, now_ns))
        } else if rest == 0 || rest_failed > max || (failed - rest_failed) * 5 < failed * 4 {
            Some(self.open(Cause::ProbesFailed, counts, now_ns))
        } else if full && rest >= u64::from(self.policy.probes / 4) {
            Some(self.ramp(counts, now_ns))
        } else if full {
            Some(self.open(Cause::ProbesFailed, counts, now_ns))
        } else {
            None
        }
    }

    fn time_passed(&mut self, now_ns: u64) -> Option<Change> {
        let elapsed = u128::from(now_ns - self.since_ns);
        let (calls, errors, timeouts) = count(self.seen.iter().copied());
        match self.state {
            _ if self.mode == Mode::ForcedOpen => None,
            State::Open if now_ns >= self.until_ns => {
                self.enter(State::HalfOpen, now_ns);
                let (calls, errors, timeouts) = self.trip;
                Some((State::Open, State::HalfOpen, Cause::OpenElapsed, calls, errors, timeouts))
            }
            State::HalfOpen if elapsed >= self.policy.half_open_max.as_nanos() => {
                let counts = (calls, errors, timeouts);
                Some(if calls > 0 && errors + timeouts == 0 && self.in_flight == 0 {
                    self.ramp(counts, now_ns)
                } else {
                    self.open(Cause::ProbesUndecided, counts, now_ns)
                })
            }
            State::Ramping if elapsed >= self.policy.ramp.as_nanos() => {
                let (calls, errors, timeouts) = count(self.evidence(now_ns).iter().copied());
                self.state = State::Closed;
                self.closed_since_ns = now_ns;
                Some((State::Ramping, State::Closed, Cause::RampEnded, calls, errors, timeouts))
            }
            _ => None,
        }
    }

    fn open(&mut self, cause: Cause, counts: (u64, u64, u64), now_ns: u64) -> Change {
        let closed_for = u128::from(now_ns - self.closed_since_ns);
        if self.state == State::Closed && closed_for >= self.policy.open_max.as_nanos() {
            self.step = 0;
        }
        self.step += 1;
        let from = self.state;
        self.enter(State::Open, now_ns);
        self.trip = counts;
        (from, State::Open, cause, counts.0, counts.1, counts.2)
    }

    fn ramp(&mut self, counts: (u64, u64, u64), now_ns: u64) -> Change {
        self.enter(State::Ramping, now_ns);
        (self.ramp_asked, self.ramp_passed) = (0.0, 0.0);
        (State::HalfOpen, State::Ramping, Cause::ProbesPassed, counts.0, counts.1, counts.2)
    }

    fn enter(&mut self, state: State, now_ns: u64) {
        self.state = state;
        self.epoch += 1;
        self.seen.clear();
        self.in_flight = 0;
        self.since_ns = now_ns;
    }
}

fn count(seen: impl Iterator<Item = Seen>) -> (u64, u64, u64) {
    seen.fold((0, 0, 0), |(calls, errors, timeouts), seen| {
        (calls + 1, errors + u64::from(seen.error), timeouts + u64::from(seen.timeout))
    })
}
