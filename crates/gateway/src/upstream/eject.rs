//! Passive health: an endpoint that fails several times in a row gets no calls for a while.

use std::time::Duration;

use oaas_model::Timestamp;

/// One endpoint's run of failures and its ejections.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    failures_in_row: u32,
    /// How often it was ejected of late; each time the next ejection is longer.
    times: u32,
    until: Option<Timestamp>,
}

/// The numbers, as in [`super::PoolConfig`].
#[derive(Clone, Copy, Debug)]
pub(super) struct EjectionRule {
    pub(super) after: u32,
    pub(super) base: Duration,
    pub(super) max: Duration,
}

impl Ejection {
    /// A call succeeded. An endpoint that was ejected before earns its trust back one ejection at a time.
    pub(super) fn success(&mut self) {
        self.failures_in_row = 0;
        self.times = self.times.saturating_sub(1);
    }

    /// A call failed. `room` says whether one more endpoint may be ejected. True when it was ejected now.
    pub(super) fn failure(&mut self, rule: EjectionRule, room: bool, now: Timestamp) -> bool {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        if self.failures_in_row < rule.after || !room || self.is_ejected(now) {
            return false;
        }
        self.failures_in_row = 0;
        self.times = self.times.saturating_add(1);
        self.until = Some(now.plus(rule.base.saturating_mul(self.times).min(rule.max)));
        true
    }

    /// Gets no calls at `now`.
    pub(super) fn is_ejected(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now.steady_ns < until.steady_ns)
    }
}

/// Whether one more of `count` endpoints may be ejected when `ejected` already are.
pub(super) fn room(count: usize, ejected: usize, share_percent: u32) -> bool {
    let percent = usize::try_from(share_percent).unwrap_or(100).min(100);
    // The last one is never ejected: a bad answer is better than none.
    ejected + 1 < count.max(1) && (ejected + 1) * 100 <= count * percent
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: EjectionRule =
        EjectionRule { after: 3, base: Duration::from_secs(10), max: Duration::from_secs(25) };

    fn at(s: u64) -> Timestamp {
        Timestamp { steady_ns: s * 1_000_000_000, unix_ns: 0 }
    }

    fn fail(ejection: &mut Ejection, times: u32, now: Timestamp) -> bool {
        (0..times).fold(false, |_, _| ejection.failure(RULE, true, now))
    }

    #[test]
    fn only_failures_in_a_row_eject() {
        let mut ejection = Ejection::default();
        assert!(!fail(&mut ejection, 2, at(0)));
        ejection.success();
        assert!(!fail(&mut ejection, 2, at(0)));
        assert!(fail(&mut ejection, 1, at(0)));
        assert!(ejection.is_ejected(at(9)) && !ejection.is_ejected(at(10)));
    }

    #[test]
    fn each_ejection_is_longer_up_to_the_limit_and_trust_comes_back() {
        let mut ejection = Ejection::default();
        assert!(fail(&mut ejection, 3, at(0)));
        assert!(fail(&mut ejection, 3, at(10)));
        assert!(ejection.is_ejected(at(29)) && !ejection.is_ejected(at(30)));
        assert!(fail(&mut ejection, 3, at(30)));
        assert!(ejection.is_ejected(at(54)) && !ejection.is_ejected(at(55)));
        (0..3).for_each(|_| ejection.success());
        assert!(fail(&mut ejection, 3, at(60)));
        assert!(!ejection.is_ejected(at(70)));
    }

    #[test]
    fn a_share_stays() {
        assert!(!room(1, 0, 100), "the only one");
        assert!(room(2, 0, 50) && !room(2, 1, 100));
        assert!(room(10, 4, 50) && !room(10, 5, 50));
        assert!(!room(3, 0, 10));
    }
}
