//! The pure parts: the sliding window, the calendar counts, the limits of keys, the store's sums.

use std::time::Duration;

use oaas_audit::RecordView;
use oaas_model::{Clock as _, ManualClock, Timestamp};
use oaas_proto::oaas::audit::v1 as record;
use oaas_store::Store;
use proptest::prelude::*;
use record::audit_record::Event;

use crate::budget::{Budget, LEASE_MS};
use crate::live::{BUDGET_KEYS_PER_APPLICATION_MAX, Live};
use crate::projection::{ObserveError, Projection, Source};
use crate::quota::Calls;
use crate::*;

const START_MS: i64 = 1_800_000_000_000;

fn at(unix_ms: i64) -> Timestamp {
    Timestamp { steady_ns: 0, unix_ns: unix_ms * 1_000_000 }
}

fn limit(amount_minor: i64, window_ms: u64) -> BudgetLimit {
    BudgetLimit { amount_minor, window: Duration::from_millis(window_ms) }
}

fn money(key: &str) -> BudgetKey<'_> {
    BudgetKey { application: "a", budget: "b", key }
}

proptest! {
    /// Whatever is asked when, no window holds more than the limit, and nothing is refused that would fit
    /// into a window that is one part longer.
    #[test]
    fn no_window_holds_more_than_its_limit(
        window_ms in 1u64..400_000,
        events in prop::collection::vec((0i64..20_000, 0i64..400, any::<bool>()), 1..300),
    ) {
        let (mut budget, most) = (Budget::default(), limit(1000, window_ms));
        let window = i64::try_from(window_ms).unwrap();
        let part = (window + WINDOW_PARTS - 1) / WINDOW_PARTS;
        let mut spent: Vec<(i64, i64)> = Vec::new();
        let mut now = START_MS;
        for (wait, amount, moves) in events {
            now += wait;
            match budget.reserve(&most, amount, at(now)) {
                Ok(lease) if moves => {
                    budget.settle(lease, Settle::Spent, now);
                    spent.push((now, amount));
                }
                Ok(lease) => budget.settle(lease, Settle::Released, now),
                Err(refused) => {
                    let longer: i64 =
                        spent.iter().filter(|(t, _)| *t > now - 61 * part).map(|(_, amount)| amount).sum();
                    prop_assert!(longer + amount > 1000, "refused {amount} beside {longer}");
                    prop_assert_eq!(refused.cause, BudgetCause::Used);
                    prop_assert!(refused.used <= 1000 && refused.used <= longer);
                }
            }
            let within: i64 = spent.iter().filter(|(t, _)| *t > now - window).map(|(_, amount)| amount).sum();
            prop_assert!(within <= 1000, "{within} within the window");
        }
    }

    /// The moment that a refusal names is the first at which the same amount fits.
    #[test]
    fn the_named_moment_is_the_first_that_fits(
        window_ms in 60u64..1_000_000,
        spends in prop::collection::vec((0i64..2000, 1i64..400, any::<bool>()), 3..30),
        amount in 1i64..=1000,
    ) {
        let (mut budget, most) = (Budget::default(), limit(1000, window_ms));
        let mut now = START_MS;
        for (wait, amount, settles) in spends {
            now += wait;
            if let Ok(lease) = budget.reserve(&most, amount, at(now)) && settles {
                budget.settle(lease, Settle::Spent, now);
            }
        }
        if let Err(refused) = budget.reserve(&most, amount, at(now)) {
            let frees = refused.frees_at_unix_ms;
            prop_assert!(budget.reserve(&most, amount, at(frees - 1)).is_err());
            prop_assert!(budget.reserve(&most, amount, at(frees)).is_ok());
        }
    }

    /// A longer or shorter window never lets go earlier than its own length.
    #[test]
    fn another_window_keeps_what_is_younger_than_itself(
        windows in prop::collection::vec(60u64..600_000, 2..6),
        amounts in prop::collection::vec((0i64..3000, 1i64..50), 1..40),
    ) {
        let mut budget = Budget::default();
        let mut spent = Vec::new();
        let mut now = START_MS;
        let shortest = i64::try_from(*windows.iter().min().unwrap()).unwrap();
        for ((wait, amount), window) in amounts.into_iter().zip(windows.into_iter().cycle()) {
            now += wait;
            let lease = budget.reserve(&limit(i64::MAX, window), amount, at(now)).unwrap();
            budget.settle(lease, Settle::Spent, now);
            spent.push((now, amount));
            let young: i64 = spent.iter().filter(|(t, _)| *t > now - shortest).map(|(_, a)| a).sum();
            prop_assert!(budget.usage().1 >= young);
        }
    }
}

#[test]
fn amounts_and_windows_that_make_no_sense_are_refused() {
    let live = Live::default();
    let error = live.reserve(money("k"), &limit(100, 1000), -1, at(START_MS)).unwrap_err();
    assert_eq!(error, BudgetError::Invalid(BudgetInvalid::Negative(-1)));
    assert_eq!(error.to_string(), "amount must not be negative, is -1 minor units");
    for window in [Duration::ZERO, WINDOW_MAX + Duration::from_millis(1)] {
        let limit = BudgetLimit { amount_minor: 1, window };
        let error = live.reserve(money("k"), &limit, 1, at(START_MS)).unwrap_err();
        assert_eq!(error, BudgetError::Invalid(BudgetInvalid::Window(window)));
    }
}

#[test]
fn sums_beyond_64_bits_are_kept() {
    let mut budget = Budget::default();
    for _ in 0..3 {
        budget.spend(i64::MAX, START_MS);
    }
    let refused = budget.reserve(&limit(i64::MAX, 1000), i64::MAX, at(START_MS)).unwrap_err();
    assert_eq!((refused.used, refused.cause), (i64::MAX, BudgetCause::Used));
    budget.advance(START_MS + 2000);
    assert!(budget.reserve(&limit(i64::MAX, 1000), i64::MAX, at(START_MS + 2000)).is_ok());
}

#[test]
fn an_amount_above_the_limit_never_fits() {
    let mut budget = Budget::default();
    let refused = budget.reserve(&limit(100, 60_000), 101, at(START_MS)).unwrap_err();
    assert_eq!(refused.cause, BudgetCause::AboveLimit);
    assert_eq!(refused.to_string(), "101 are more than the limit of 100");
}

#[test]
fn an_unsettled_reservation_is_held_for_its_lease_and_then_spent() {
    let mut budget = Budget::default();
    let most = limit(100, 60_000);
    let lease = budget.reserve(&most, 100, at(START_MS)).unwrap();
    // Far behind the window, and still held.
    assert!(budget.reserve(&most, 1, at(START_MS + LEASE_MS - 1)).is_err());
    assert_eq!(budget.usage(), (Some(most), 0, 100));
    budget.advance(START_MS + LEASE_MS);
    assert_eq!(budget.usage(), (Some(most), 100, 0));
    // Too late to be released, and it is not spent twice.
    budget.settle(lease, Settle::Released, START_MS + LEASE_MS + 1);
    assert_eq!(budget.usage(), (Some(most), 100, 0));
    assert!(budget.reserve(&most, 100, at(START_MS + LEASE_MS + 62_000)).is_ok());
}

#[test]
fn a_clock_that_goes_back_frees_nothing() {
    let mut budget = Budget::default();
    let most = limit(100, 60_000);
    let lease = budget.reserve(&most, 100, at(START_MS)).unwrap();
    budget.settle(lease, Settle::Spent, START_MS - 3_600_000);
    assert!(budget.reserve(&most, 1, at(START_MS - 3_600_000)).is_err());
    assert!(budget.reserve(&most, 1, at(START_MS + 59_999)).is_err());
}

#[test]
fn a_quota_begins_anew_with_its_period() {
    let mut calls = Calls::default();
    let shanghai = |calls, period| QuotaLimit { calls, period, utc_offset_minutes: 480 };
    // 2027-01-15T08:00:00Z is 16:00 in Shanghai, a Friday.
    let (now, midnight) = (START_MS, START_MS + 8 * 3_600_000);
    let day = shanghai(2, Period::Day);
    assert_eq!(calls.take(&day, at(now)), Ok(QuotaTaken { remaining: 1, resets_at_unix_ms: midnight }));
    assert_eq!(calls.take(&day, at(midnight - 1)).unwrap().remaining, 0);
    let refused = calls.take(&day, at(midnight - 1)).unwrap_err();
    assert_eq!((refused.limit, refused.used, refused.resets_at_unix_ms), (2, 2, midnight));
    assert_eq!(refused.to_string(), "2 of 2 calls are used");
    assert_eq!(calls.take(&day, at(midnight)).unwrap().remaining, 1);
    // The same calls under a plan that counts weeks, then months.
    assert_eq!(calls.take(&shanghai(4, Period::Week), at(midnight)).unwrap().remaining, 0);
    assert_eq!(calls.take(&shanghai(4, Period::Month), at(midnight)).unwrap_err().used, 4);
    calls.give_back(&day, at(now));
    assert_eq!(calls.take(&shanghai(4, Period::Month), at(midnight)).unwrap().remaining, 0);
    assert_eq!(calls.usage(midnight).unwrap().1, 4);
}

#[test]
fn new_keys_are_refused_when_there_is_no_room_and_running_ones_stay() {
    let (live, most) = (Live::default(), limit(10, 60_000));
    for key in 0..BUDGET_KEYS_PER_APPLICATION_MAX {
        let reservation = live.reserve(money(&key.to_string()), &most, 10, at(START_MS)).unwrap();
        reservation.settle(Settle::Spent, START_MS);
    }
    let Err(BudgetError::Exhausted(refused)) = live.reserve(money("new"), &most, 1, at(START_MS + 60_000))
    else {
        panic!("there is no room for another key");
    };
    assert_eq!(refused.cause, BudgetCause::TooManyKeys);
    live.sweep(START_MS + 60_000);
    let Err(BudgetError::Exhausted(running)) = live.reserve(money("0"), &most, 1, at(START_MS + 60_000))
    else {
        panic!("a running window was forgotten");
    };
    assert_eq!(running.used, 10);
    let other = BudgetKey { application: "other", ..money("new") };
    assert!(live.reserve(other, &most, 1, at(START_MS)).is_ok());
    assert!(live.reserve(money("new"), &most, 1, at(START_MS + 61_000)).is_ok());
}

fn intent(sequence: u64, call: u8, unix_ms: i64, amount_minor: i64) -> record::AuditRecord {
    let head = Some(head(call));
    let stake = record::Stake { budget: "b".into(), key: "k".into(), amount_minor, currency: "CNY".into() };
    written(
        sequence,
        unix_ms,
        Event::Intent(record::Intent { head, stakes: vec![stake], ..Default::default() }),
    )
}

fn head(call: u8) -> record::CallHead {
    let (application, method) = ("a".into(), "/s/M".into());
    record::CallHead { call_id: vec![call; 16], application, method, ..Default::default() }
}

fn written(sequence: u64, unix_ms: i64, event: Event) -> record::AuditRecord {
    let time_unix_ns = unix_ms * 1_000_000;
    record::AuditRecord {
        sequence,
        instance: "i-1".into(),
        time_unix_ns,
        event: Some(event),
        ..Default::default()
    }
}

#[test]
fn records_are_taken_in_their_order_and_once() {
    let (live, mut projection) = (Live::default(), Projection::default());
    projection.add(&RecordView::of(&intent(7, 1, START_MS, 5)), Source::Own, &live).unwrap();
    let gap = projection.add(&RecordView::of(&intent(9, 2, START_MS, 5)), Source::Own, &live).unwrap_err();
    assert_eq!(gap, ObserveError::Gap { instance: "i-1".into(), expected: 8, sequence: 9 });
    assert_eq!(gap.to_string(), "record 9 of i-1 came where 8 was expected");
    projection.add(&RecordView::of(&intent(7, 3, START_MS, 5)), Source::Own, &live).unwrap();
    // The same call under another sequence.
    projection.add(&RecordView::of(&intent(8, 1, START_MS, 5)), Source::Own, &live).unwrap();
    assert_eq!(*projection.mark(), Mark { instance: "i-1".into(), sequence: 8 });
    let batches = projection.take_covered(&projection.mark().clone());
    assert_eq!(batches.iter().flat_map(|b| b.calls.values()).sum::<i64>(), 1);
}

#[test]
fn what_is_not_on_the_disk_is_not_stored() {
    let (live, mut projection) = (Live::default(), Projection::default());
    let durable = |sequence| Mark { instance: "i-1".into(), sequence };
    projection.add(&RecordView::of(&intent(1, 1, START_MS, 5)), Source::Own, &live).unwrap();
    projection.add(&RecordView::of(&intent(2, 2, START_MS, 5)), Source::Own, &live).unwrap();
    assert!(projection.take_covered(&durable(1)).is_empty());
    projection.add(&RecordView::of(&intent(3, 3, START_MS, 5)), Source::Own, &live).unwrap();
    let stored = projection.take_covered(&durable(2));
    assert_eq!(stored.iter().map(|batch| batch.mark.sequence).collect::<Vec<_>>(), [2]);
    projection.put_back(stored);
    let stored = projection.take_covered(&durable(3));
    assert_eq!(stored.iter().map(|batch| batch.mark.sequence).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn a_flush_that_fails_is_made_up_for_and_none_is_stored_twice() {
    let store = Store::in_memory().await.unwrap();
    let clock = std::sync::Arc::new(ManualClock::at_unix_ns(START_MS * 1_000_000));
    let (meters, mark) = Meters::open(&store, clock.clone()).await.unwrap();
    assert_eq!(mark, Mark::default());
    meters.observe(&RecordView::of(&intent(1, 1, START_MS, 5))).unwrap();
    let outcome =
        record::Outcome { head: Some(head(1)), units: 3, executed: "true".into(), ..Default::default() };
    meters.observe(&RecordView::of(&written(2, START_MS, Event::Outcome(outcome)))).unwrap();
    let call =
        CallUsage { application: "a", method: "/s/M", status: 0, units: 1, price_micros: 20, currency: "" };
    meters.record_usage(&call, clock.now());
    sqlx::query("ALTER TABLE metering_day RENAME TO hidden").execute(store.pool()).await.unwrap();
    meters.flush(meters.mark()).await.unwrap_err();
    sqlx::query("ALTER TABLE hidden RENAME TO metering_day").execute(store.pool()).await.unwrap();
    meters.flush(meters.mark()).await.unwrap();
    meters.flush(meters.mark()).await.unwrap();

    let day = START_MS / 86_400_000;
    let usage = meters.usage_by_day(Some("a"), day, day).await.unwrap();
    assert_eq!(usage.len(), 1);
    assert_eq!((usage[0].calls, usage[0].units, usage[0].price_micros), (2, 4, 20));
    let (again, mark) = Meters::open(&store, clock.clone()).await.unwrap();
    assert_eq!(mark, Mark { instance: "i-1".into(), sequence: 2 });
    let most = limit(5, 60_000);
    assert!(
        matches!(again.reserve(money("k"), &most, 1, clock.now()), Err(BudgetError::Exhausted(e)) if e.used == 5)
    );

    // A commit that succeeded and was reported as failed: the same batches come again.
    let (live, mut projection) = (Live::default(), Projection::default());
    projection.add(&RecordView::of(&intent(1, 9, START_MS, 5)), Source::Own, &live).unwrap();
    let store = Store::in_memory().await.unwrap();
    crate::tables::migrate(&store).await.unwrap();
    let batches = projection.take_covered(&projection.mark().clone());
    crate::tables::add(&store, &batches, START_MS).await.unwrap();
    crate::tables::add(&store, &batches, START_MS).await.unwrap();
    assert_eq!(crate::tables::load(&store, START_MS).await.unwrap().calls[0].3, 1);
}

#[test]
fn an_end_means_the_same_for_gateway_and_journal() {
    let ended = |status, executed: &str, degraded| {
        Ended::from(&record::Outcome { status, executed: executed.into(), degraded, ..Default::default() })
    };
    for (end, settle, gives_back) in [
        (ended(0, "true", false), Settle::Spent, false),
        (ended(9, "true", false), Settle::Released, false),
        (ended(4, "unknown", false), Settle::Spent, false),
        (ended(14, "false", false), Settle::Released, true),
        (ended(0, "false", true), Settle::Released, false),
        (Ended::REFUSED, Settle::Released, true),
    ] {
        assert_eq!((end.settle(), end.gives_quota_back()), (settle, gives_back), "{end:?}");
    }
}

#[test]
fn journals_that_take_turns_go_on_where_each_of_them_was() {
    let (live, mut projection) = (Live::default(), Projection::default());
    let of = |instance: &str, sequence| record::AuditRecord {
        instance: instance.into(),
        ..intent(sequence, u8::try_from(sequence).unwrap(), START_MS, 0)
    };
    let mut add = |instance: &str, sequence| {
        projection
            .add(&RecordView::of(&of(instance, sequence)), Source::Own, &live)
            .map(|()| projection.mark().clone())
    };
    for (instance, sequence) in
        [("i-1", 3), ("i-1", 4), ("", 9), ("i-2", 7), ("i-1", 5), ("i-2", 8), ("", 10)]
    {
        assert_eq!(add(instance, sequence), Ok(Mark { instance: instance.into(), sequence }));
    }
    // Known already: nothing changes.
    for (instance, sequence) in [("i-1", 5), ("i-2", 7), ("", 10), ("i-1", 1)] {
        assert_eq!(add(instance, sequence), Ok(Mark { instance: String::new(), sequence: 10 }));
    }
    for (instance, expected) in [("i-1", 6), ("i-2", 9), ("", 11)] {
        let gap = ObserveError::Gap { instance: instance.into(), expected, sequence: 20 };
        assert_eq!(add(instance, 20), Err(gap));
    }
}

#[test]
fn a_call_that_goes_on_keeps_its_names_through_many_batches() {
    let (live, mut projection) = (Live::default(), Projection::default());
    let covered = Mark { instance: "i-1".into(), sequence: u64::MAX };
    projection.add(&RecordView::of(&intent(1, 1, START_MS, 5)), Source::Own, &live).unwrap();
    for sequence in 2..40 {
        // Other names come first in each batch, so that numbers are others too.
        let head = Some(record::CallHead { application: format!("other-{sequence}"), ..head(99) });
        let refusal = Event::Refusal(record::Refusal { head, ..Default::default() });
        projection.add(&RecordView::of(&written(sequence, START_MS, refusal)), Source::Own, &live).unwrap();
        let opened: usize = projection.take_covered(&covered).iter().map(|batch| batch.opened.len()).sum();
        assert_eq!(opened, usize::from(sequence == 2), "written down once");
    }
    let outcome = record::Outcome { head: Some(head(1)), executed: "false".into(), ..Default::default() };
    projection
        .add(&RecordView::of(&written(40, START_MS, Event::Outcome(outcome))), Source::Own, &live)
        .unwrap();
    let batch = projection.take_covered(&covered).remove(0);
    let (key, calls) = batch.calls.iter().next().unwrap();
    assert_eq!((batch.names.text(key.application), batch.names.text(key.service), *calls), ("a", "s", -1));
    assert_eq!((batch.closed.len(), batch.opened.len()), (1, 0));
}

#[test]
fn a_call_is_counted_where_the_live_side_says_at_that_moment() {
    let (live, mut projection) = (Live::default(), Projection::default());
    let key = QuotaKey { application: "a", service: "s" };
    let mut expected = std::collections::BTreeMap::new();
    let mut sequence = 0;
    let mut count = |point: i64| {
        sequence += 1;
        let call = u8::try_from(sequence).unwrap();
        projection.add(&RecordView::of(&intent(sequence, call, START_MS, 0)), Source::Own, &live).unwrap();
        *expected.entry(point).or_insert(0) += 1;
        assert_eq!(projection.points(), expected, "call {sequence}");
    };
    // Without a limit: the last minute of the hour.
    let last_minute = START_MS + 3_540_000;
    count(last_minute);
    count(last_minute);
    for utc_offset_minutes in [345, 480, -60, 345] {
        let limit = QuotaLimit { calls: 10, period: Period::Day, utc_offset_minutes };
        live.take_quota(key, &limit, at(START_MS)).unwrap();
        let day = crate::calendar::Span::of_day(utc_offset_minutes, START_MS).start;
        count(day);
        count(day);
    }
    // Nothing of the key counts any more, and it is forgotten.
    live.sweep(START_MS + 41 * 86_400_000);
    count(last_minute);
}

#[test]
fn names_that_no_sum_has_are_limited_too() {
    let (live, mut projection) = (Live::default(), Projection::default());
    let nowhere = Mark { instance: "i-1".into(), sequence: 0 };
    let mut refused = None;
    for call in 0..1_000_000u64 {
        let stake = |number| record::Stake { key: format!("{call}-{number}"), ..Default::default() };
        let stakes = (0..50).map(stake).collect();
        let begins = record::Intent { head: Some(head(1)), stakes, ..Default::default() };
        let ends = record::Outcome { head: Some(head(1)), executed: "false".into(), ..Default::default() };
        let add = |projection: &mut Projection, sequence, event| {
            projection.add(&RecordView::of(&written(sequence, START_MS, event)), Source::Own, &live)
        };
        let added = add(&mut projection, 2 * call + 1, Event::Intent(begins))
            .and_then(|()| add(&mut projection, 2 * call + 2, Event::Outcome(ends)));
        if call % 100 == 0 {
            assert!(projection.take_covered(&nowhere).is_empty());
        }
        if let Err(error) = added {
            refused = Some((call, error));
            break;
        }
    }
    let (calls, error) = refused.expect("a limit");
    assert!(matches!(error, ObserveError::Full(500_000..510_000)), "{error}");
    assert!((9000..=10_000).contains(&calls), "{calls}");
}
