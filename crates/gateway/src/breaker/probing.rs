//! The probes of a half-open breaker: how many may be under way, and what they decide.

use oaas_model::Timestamp;

use super::policy::BreakerPolicy;
use super::tally::is_concentrated;
use super::window::{Caller, Counts, Verdict};

/// The rest of the callers can overrule one application's failed probes with a quarter of the probes.
const REST_SHARE: u32 = 4;

/// What the probes say so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Wait,
    Pass,
    Fail,
}

/// One time of being half-open.
#[derive(Debug)]
pub(super) struct Probing {
    pub since: Timestamp,
    pub judged: Counts,
    in_flight: u32,
    /// By application; no longer than the judged probes are many.
    tallies: Vec<(Caller, Counts)>,
}

impl Probing {
    pub fn new(since: Timestamp) -> Self {
        Self { since, judged: Counts::default(), in_flight: 0, tallies: Vec::new() }
    }

    /// Takes a slot for one more probe, if there is one: judged probes and those under way stay
    /// within the budget together, so that it holds however many callers wait.
    pub fn take(&mut self, policy: &BreakerPolicy) -> bool {
        let begun = self.judged.calls.saturating_add(u64::from(self.in_flight));
        let free = begun < u64::from(policy.probes.max(1)) && self.in_flight < policy.probes_in_flight.max(1);
        if free {
            self.in_flight += 1;
        }
        free
    }

    /// Gives a slot back whose call came to no judgement.
    pub fn give_back(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts a judged probe and says what all of them decide.
    pub fn judge(&mut self, policy: &BreakerPolicy, caller: Caller, verdict: Verdict) -> Decision {
        self.give_back();
        self.judged.add(verdict);
        if caller != 0 {
            match self.tallies.iter_mut().find(|(known, _)| *known == caller) {
                Some((_, counts)) => counts.add(verdict),
                None => {
                    let mut counts = Counts::default();
                    counts.add(verdict);
                    self.tallies.push((caller, counts));
                }
            }
        }
        self.decide(policy)
    }

    /// The decision when the time is over. So few calls that the budget was never filled are no
    /// reason to stay degraded: then those that came decide. A probe that still hangs, a failure, or
    /// no judged probe at all leave it undecided.
    pub fn passes_at_end(&self) -> bool {
        self.judged.calls > 0 && failed(&self.judged) == 0 && self.in_flight == 0
    }

    fn decide(&self, policy: &BreakerPolicy) -> Decision {
        let failures_max = u64::from(policy.probe_failures_max);
        let full = self.judged.calls >= u64::from(policy.probes.max(1));
        if failed(&self.judged) <= failures_max {
            return if full { Decision::Pass } else { Decision::Wait };
        }
        let worst = self.tallies.iter().map(|(_, counts)| *counts).max_by_key(failed).unwrap_or_default();
        let rest = self.judged.minus(worst);
        if rest.calls == 0 || failed(&rest) > failures_max || !is_concentrated(self.judged, worst, failed) {
            return Decision::Fail;
        }
        match full {
            false => Decision::Wait,
            true if rest.calls >= u64::from((policy.probes / REST_SHARE).max(1)) => Decision::Pass,
            true => Decision::Fail,
        }
    }
}

fn failed(counts: &Counts) -> u64 {
    counts.errors + counts.timeouts
}
