//! Limits are exact under threads: not one call and not one fen too many or too few.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use oaas_metering::{BudgetKey, BudgetLimit, Meters, Period, QuotaKey, QuotaLimit, Settle};
use oaas_model::{Clock as _, ManualClock};
use oaas_store::Store;

const THREADS: u64 = 8;

async fn meters() -> (Meters, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_unix_ns(1_800_000_000_000_000_000));
    let store = Store::in_memory().await.unwrap();
    (Meters::open(&store, clock.clone()).await.unwrap().0, clock)
}

#[tokio::test]
async fn eight_threads_take_exactly_the_quota() {
    let (meters, clock) = meters().await;
    let limit = QuotaLimit { calls: 20_000, period: Period::Day, utc_offset_minutes: 480 };
    let (taken, given) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (meters, clock, taken, given) = (&meters, &clock, &taken, &given);
            scope.spawn(move || {
                let key = QuotaKey { application: "a", service: "s" };
                for turn in 0..10_000 {
                    if meters.take_quota(key, &limit, clock.now()).is_err() {
                        continue;
                    }
                    taken.fetch_add(1, Ordering::Relaxed);
                    if (turn + thread) % 3 == 0 {
                        meters.give_back_quota(key, &limit, clock.now());
                        given.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let used = taken.into_inner() - given.into_inner();
    assert_eq!(meters.usage(Some("a"), clock.now()).quotas[0].used, used);
    // All that is left can be taken, and not one more.
    let key = QuotaKey { application: "a", service: "s" };
    for _ in used..limit.calls {
        meters.take_quota(key, &limit, clock.now()).unwrap();
    }
    assert_eq!(meters.take_quota(key, &limit, clock.now()).unwrap_err().used, limit.calls);
}

#[tokio::test]
async fn eight_threads_reserve_exactly_the_budget() {
    let (meters, clock) = meters().await;
    let limit = BudgetLimit { amount_minor: 100_000, window: Duration::from_secs(3600) };
    let key = BudgetKey { application: "a", budget: "coupon-face-value", key: "BATCH-11-11" };
    let spent = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (meters, clock, spent) = (&meters, &clock, &spent);
            scope.spawn(move || {
                for turn in 0..4000u64 {
                    let amount = i64::try_from((turn * 7 + thread) % 13).unwrap();
                    let Ok(reservation) = meters.reserve(key, &limit, amount, clock.now()) else { continue };
                    let settle = if turn % 4 == 0 { Settle::Released } else { Settle::Spent };
                    meters.settle(reservation, settle, clock.now());
                    if settle == Settle::Spent {
                        spent.fetch_add(amount, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let spent = spent.into_inner();
    let usage = meters.usage(None, clock.now()).budgets.remove(0);
    assert_eq!((usage.spent_minor, usage.held_minor), (spent, 0));
    let rest = limit.amount_minor - spent;
    assert!(rest >= 0);
    let last = meters.reserve(key, &limit, rest, clock.now()).unwrap();
    assert!(meters.reserve(key, &limit, 1, clock.now()).is_err());
    meters.settle(last, Settle::Spent, clock.now());
}
