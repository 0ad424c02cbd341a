//! Evidence by application, so that one application's poison requests don't cut the others off.

use super::policy::BreakerPolicy;
use super::window::{Caller, Counts, Slots, Verdict};

/// Applications that one breaker tells apart at a time. A failing one takes the place of the quietest
/// one without failures; were all of them failing, the trouble would not be one application's.
pub(super) const APPLICATIONS_MAX: usize = 32;

/// An application is to blame when so many of a hundred failures are its own.
const BLAME_PERCENT: u64 = 80;

/// The counts of each application in the window.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    tallies: Vec<(Caller, Slots)>,
}

impl Tallies {
    /// Counts a call that ended in slot `slot`; nothing when its caller is not told apart.
    pub fn add(&mut self, slot: u64, caller: Caller, verdict: Verdict) {
        if caller == 0 {
            return;
        }
        if let Some((_, slots)) = self.tallies.iter_mut().find(|(known, _)| *known == caller) {
            slots.add(slot, verdict);
            return;
        }
        if self.tallies.len() >= APPLICATIONS_MAX && !self.make_room(slot, verdict) {
            return;
        }
        let mut slots = Slots::at(slot);
        slots.add(slot, verdict);
        self.tallies.push((caller, slots));
    }

    /// The counts of the application with the most failures.
    pub fn worst(&mut self, slot: u64, failures: fn(&Counts) -> u64) -> Counts {
        self.tallies.iter_mut().map(|(_, slots)| slots.sum(slot)).max_by_key(failures).unwrap_or_default()
    }

    /// The counts of one application.
    pub fn of(&mut self, slot: u64, caller: Caller) -> Counts {
        let found = self.tallies.iter_mut().find(|(known, _)| *known == caller);
        found.map(|(_, slots)| slots.sum(slot)).unwrap_or_default()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.tallies.clear();
    }

    /// Frees a place: one that is empty by now, or for a failure the quietest without failures.
    fn make_room(&mut self, slot: u64, verdict: Verdict) -> bool {
        self.tallies.retain_mut(|(_, slots)| slots.sum(slot).calls > 0);
        if self.tallies.len() < APPLICATIONS_MAX {
            return true;
        }
        if verdict == Verdict::Good {
            return false;
        }
        let healthy = self.tallies.iter_mut().enumerate().filter_map(|(index, (_, slots))| {
            let counts = slots.sum(slot);
            (counts.errors + counts.timeouts == 0).then_some((counts.calls, index))
        });
        let Some((_, index)) = healthy.min() else { return false };
        self.tallies.swap_remove(index);
        true
    }
}

/// Whether one application alone is to blame for `all`: nearly all failures are its own (`worst`),
/// and the rest of the callers, enough of them to speak for the capability, fare well.
///
/// Enough to speak is as many calls as a half-open breaker asks for (`probes`); to fare well is to be
/// within the limit, or to fail no more often than probes may. With no other callers nobody speaks
/// for the capability, and a service with one single caller trips as it should.
pub(super) fn one_to_blame(
    policy: &BreakerPolicy,
    all: Counts,
    worst: Counts,
    failures: fn(&Counts) -> u64,
    over: fn(&BreakerPolicy, u64, u64) -> bool,
) -> bool {
    let rest = all.minus(worst);
    let rest_fares_well =
        failures(&rest) <= u64::from(policy.probe_failures_max) || !over(policy, failures(&rest), rest.calls);
    is_concentrated(all, worst, failures) && rest.calls >= u64::from(policy.probes.max(1)) && rest_fares_well
}

/// Whether nearly all failures are those of `worst`.
pub(super) fn is_concentrated(all: Counts, worst: Counts, failures: fn(&Counts) -> u64) -> bool {
    failures(&worst).saturating_mul(100) >= failures(&all).saturating_mul(BLAME_PERCENT)
}

/// The caller with most of the failures among single calls, where one has more than half of them
/// (Boyer and Moore's majority vote, 1981: one pass, no table); else any that fails, or nobody.
pub(super) fn majority(
    calls: impl Iterator<Item = (Caller, Verdict)>,
    failures: fn(&Counts) -> u64,
) -> Option<Caller> {
    let (mut candidate, mut votes) = (None, 0u32);
    for (caller, verdict) in calls {
        let mut counts = Counts::default();
        counts.add(verdict);
        if failures(&counts) == 0 {
            continue;
        }
        if votes == 0 {
            candidate = Some(caller);
        }
        votes = if candidate == Some(caller) { votes.saturating_add(1) } else { votes.saturating_sub(1) };
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_a_failing_application_finds_a_place_in_it() {
        let errors: fn(&Counts) -> u64 = |counts| counts.errors;
        let mut tallies = Tallies::default();
        for caller in 1..=1_000 {
            tallies.add(1, caller, Verdict::Good);
        }
        assert_eq!(tallies.tallies.len(), APPLICATIONS_MAX);
        for _ in 0..3 {
            tallies.add(2, 5_000, Verdict::Error);
        }
        assert_eq!(tallies.tallies.len(), APPLICATIONS_MAX);
        assert_eq!(tallies.worst(2, errors), Counts { calls: 3, errors: 3, timeouts: 0 });
        // What is out of the window makes room for anybody.
        tallies.add(60, 6_000, Verdict::Good);
        assert_eq!(tallies.tallies.len(), 1);
        // Where all fail, one more has no place, and nobody is to blame anyway.
        for caller in 1..=40 {
            tallies.add(60, caller, Verdict::Error);
        }
        assert_eq!(tallies.tallies.len(), APPLICATIONS_MAX);
        assert_eq!(tallies.of(60, 40), Counts::default());
    }

    #[test]
    fn the_majority_of_failures_is_found_among_any_number_of_callers() {
        let errors: fn(&Counts) -> u64 = |counts| counts.errors;
        let calls = (0..1_000u32).map(|n| if n % 3 == 0 { (n, Verdict::Error) } else { (n, Verdict::Good) });
        let poison = (0..400).map(|_| (9_999, Verdict::Error));
        assert_eq!(majority(calls.chain(poison), errors), Some(9_999));
        assert_eq!(majority([(1, Verdict::Good), (1, Verdict::Timeout)].into_iter(), errors), None);
    }
}
