//! The retry budget: retries never exceed a share of the calls, so that they can't feed an overload.

use std::sync::atomic::{AtomicI64, Ordering};

/// One retry, in the bucket's unit.
const RETRY: i64 = 100;

/// A token bucket that each call fills a little and each retry empties by one.
#[derive(Debug)]
pub(super) struct RetryBudget {
    /// Hundredths of a retry.
    tokens: AtomicI64,
    per_call: i64,
    cap: i64,
}

impl RetryBudget {
    /// `percent` retries for a hundred calls, `reserve` retries at most saved up and there from the start.
    pub(super) fn new(percent: u32, reserve: u32) -> Self {
        let cap = i64::from(reserve) * RETRY;
        Self { tokens: AtomicI64::new(cap), per_call: i64::from(percent), cap }
    }

    /// A call was made.
    pub(super) fn deposit(&self) {
        // The common case is a full bucket: no write then, so that cores do not fight for the line.
        if self.tokens.load(Ordering::Relaxed) < self.cap {
            let _ = self.tokens.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                (tokens < self.cap).then(|| (tokens + self.per_call).min(self.cap))
            });
        }
    }

    /// May a retry be made? Takes its token.
    pub(super) fn withdraw(&self) -> bool {
        self.tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                (tokens >= RETRY).then_some(tokens - RETRY)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_more_than_the_share_and_the_reserve(
            percent in 0u32..50,
            reserve in 0u32..20,
            steps in proptest::collection::vec(any::<bool>(), 0..500),
        ) {
            let budget = RetryBudget::new(percent, reserve);
            let (mut calls, mut retries) = (0i64, 0i64);
            for call in steps {
                if call {
                    budget.deposit();
                    calls += 1;
                } else if budget.withdraw() {
                    retries += 1;
                }
                prop_assert!(retries * RETRY <= calls * i64::from(percent) + i64::from(reserve) * RETRY);
            }
        }
    }

    #[test]
    fn a_hundred_calls_earn_ten_retries() {
        let budget = RetryBudget::new(10, 10);
        while budget.withdraw() {}
        (0..99).for_each(|_| budget.deposit());
        assert_eq!((0..20).filter(|_| budget.withdraw()).count(), 9);
    }
}
