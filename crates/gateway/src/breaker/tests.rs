//! What a breaker does at its limits, and over its life.

mod callers;
mod day;
mod model;
mod random;

use std::time::Duration;

use oaas_model::{Code, Timestamp};

use super::*;

const ERROR: Sample = Sample::Error { hard: false, retry_after: None };
const HARD: Sample = Sample::Error { hard: true, retry_after: None };

fn at_ns(steady_ns: u64) -> Timestamp {
    Timestamp { steady_ns, unix_ns: i64::try_from(steady_ns).unwrap() }
}

fn at(seconds: f64) -> Timestamp {
    at_ns((seconds * 1e9) as u64)
}

fn allowed(admission: (Admission, Option<Transition>)) -> Permit {
    match admission.0 {
        Admission::Allowed(permit) => permit,
        Admission::Refused(refused) => panic!("refused: {refused:?}"),
    }
}

fn refused(admission: (Admission, Option<Transition>)) -> Refused {
    match admission.0 {
        Admission::Allowed(_) => panic!("allowed"),
        Admission::Refused(refused) => refused,
    }
}

/// One call that begins and ends at once.
fn call(breaker: &Breaker, policy: &BreakerPolicy, sample: Sample, now: Timestamp) -> Option<Transition> {
    let permit = allowed(breaker.admit(policy, now));
    breaker.record(policy, permit, sample, now)
}

/// `bad` of `calls`, the bad ones last, all in one second from `from` on. Says where it tripped.
fn batch(breaker: &Breaker, calls: u32, bad: u32, sample: Sample, from: f64) -> Option<(u32, Transition)> {
    batch_of(&BreakerPolicy::default(), breaker, calls, bad, sample, from)
}

fn batch_of(
    policy: &BreakerPolicy,
    breaker: &Breaker,
    calls: u32,
    bad: u32,
    sample: Sample,
    from: f64,
) -> Option<(u32, Transition)> {
    (0..calls).find_map(|n| {
        let sample = if n < calls - bad { Sample::Success } else { sample };
        let now = at(from + f64::from(n) / f64::from(calls));
        call(breaker, policy, sample, now).map(|transition| (n + 1, transition))
    })
}

/// A breaker that has just opened at second 0, and when it lets a probe through.
fn open_breaker(policy: &BreakerPolicy) -> (Breaker, Timestamp) {
    let breaker = Breaker::new(1);
    let trip = (0..policy.hard_failures).find_map(|_| call(&breaker, policy, HARD, at(0.0)));
    assert_eq!(trip.map(|t| (t.to, t.cause)), Some((State::Open, Cause::HardFailures)));
    let half_open_at = breaker.snapshot(policy, at(0.0)).half_open_at.unwrap();
    (breaker, half_open_at)
}

#[test]
fn twenty_of_four_hundred_stays_closed_and_twenty_one_trips() {
    // Judged at 400 calls, so that it is exactly these numbers that decide.
    let policy = BreakerPolicy { calls_min: 400, ..BreakerPolicy::default() };
    assert_eq!(batch_of(&policy, &Breaker::new(1), 400, 20, ERROR, 0.0), None);
    let (n, trip) = batch_of(&policy, &Breaker::new(1), 400, 21, ERROR, 0.0).unwrap();
    assert_eq!((n, trip.calls, trip.errors, trip.cause), (400, 400, 21, Cause::ErrorRate));
    assert_eq!((trip.from, trip.to), (State::Closed, State::Open));
    // With the defaults the next error after 20 of 400 trips.
    let breaker = Breaker::new(1);
    assert_eq!(batch(&breaker, 400, 20, ERROR, 0.0), None);
    let trip = call(&breaker, &BreakerPolicy::default(), ERROR, at(1.0)).unwrap();
    assert_eq!((trip.calls, trip.errors), (401, 21));
    // Of 200, 10 are 5 %, and 11 are more.
    assert_eq!(batch(&Breaker::new(1), 200, 10, ERROR, 0.0), None);
    assert!(batch(&Breaker::new(1), 200, 11, ERROR, 0.0).is_some());
}

#[test]
fn fewer_calls_than_the_minimum_say_nothing_about_errors() {
    assert_eq!(batch(&Breaker::new(1), 199, 199, ERROR, 0.0), None);
    let (n, _) = batch(&Breaker::new(1), 300, 300, ERROR, 0.0).unwrap();
    assert_eq!(n, 200);
}

#[test]
fn timeouts_trip_from_three_percent_on_and_from_ten() {
    // 9 of 200 are 4.5 %, and fewer than ten.
    assert_eq!(batch(&Breaker::new(1), 200, 9, Sample::Timeout, 0.0), None);
    let (_, trip) = batch(&Breaker::new(1), 200, 10, Sample::Timeout, 0.0).unwrap();
    assert_eq!((trip.cause, trip.timeouts, trip.errors), (Cause::TimeoutRate, 10, 0));
    // 12 of 400 are exactly 3 %.
    assert_eq!(batch(&Breaker::new(1), 400, 11, Sample::Timeout, 0.0), None);
    assert_eq!(batch(&Breaker::new(1), 400, 12, Sample::Timeout, 0.0).unwrap().0, 400);
    // Ten timeouts are evidence of their own, before there are 200 calls.
    assert_eq!(batch(&Breaker::new(1), 40, 40, Sample::Timeout, 0.0).unwrap().0, 10);
}

#[test]
fn evidence_is_the_last_thirty_seconds_and_at_least_two_hundred_calls() {
    let policy = BreakerPolicy { hard_failures: 0, ..BreakerPolicy::default() };
    let breaker = Breaker::new(1);
    let calls = |now| breaker.snapshot(&policy, at(now)).calls;
    // 1,000 calls at second 0.5: they count as long as they are in the slots, then the last 200 do.
    for _ in 0..1_000 {
        call(&breaker, &policy, Sample::Success, at(0.5));
    }
    assert_eq!((calls(0.5), calls(29.9), calls(30.0)), (1_000, 1_000, 200));
    assert_eq!((calls(1_200.5), calls(1_200.6)), (200, 0));
    // Of sparse calls, too: at 6 in 30 s the last 200 are 1,000 s.
    let breaker = Breaker::new(1);
    for n in 0..300 {
        call(&breaker, &policy, Sample::Success, at(f64::from(n) * 5.0));
    }
    assert_eq!(breaker.snapshot(&policy, at(1_495.0)).calls, 200);
    assert_eq!(breaker.snapshot(&policy, at(2_695.0)).calls, 1);
}

#[test]
fn a_sparse_service_that_fails_trips_within_its_last_two_hundred_calls() {
    // 500,000 calls a month are one in 5.2 s; every tenth fails, softly.
    let (breaker, policy) = (Breaker::new(1), BreakerPolicy::default());
    let trip = (0..400).find_map(|n| {
        let sample = if n % 10 == 9 { ERROR } else { Sample::Success };
        call(&breaker, &policy, sample, at(f64::from(n) * 5.2))
    });
    assert_eq!(trip.map(|t| (t.calls, t.errors)), Some((200, 20)));
}

#[test]
fn seven_hard_failures_in_a_row_trip_and_an_answer_between_them_breaks_the_row() {
    let (breaker, policy) = (Breaker::new(1), BreakerPolicy::default());
    for sample in [HARD, HARD, HARD, HARD, HARD, HARD, ERROR, HARD, HARD, HARD, HARD, HARD, HARD] {
        assert_eq!(call(&breaker, &policy, sample, at(1.0)), None);
    }
    assert_eq!(call(&breaker, &policy, HARD, at(1.0)).map(|t| t.cause), Some(Cause::HardFailures));
}

#[test]
fn a_service_that_breaks_is_cut_off_within_two_seconds_at_200_calls_a_second() {
    for (sample, most) in [(HARD, 0.05), (ERROR, 2.0), (Sample::Timeout, 2.0)] {
        let (breaker, policy) = (Breaker::new(1), BreakerPolicy::default());
        let tripped = (0..16_000).map(|n| f64::from(n) / 200.0).find(|now| {
            let sample = if *now < 60.0 { Sample::Success } else { sample };
            call(&breaker, &policy, sample, at(*now)).is_some()
        });
        let after = tripped.unwrap() - 60.0;
        assert!((0.0..=most).contains(&after), "{sample:?} after {after} s");
    }
}

#[test]
fn an_open_breaker_refuses_with_the_numbers_of_its_trip() {
    let breaker = Breaker::new(1);
    let policy = BreakerPolicy { calls_min: 400, ..BreakerPolicy::default() };
    batch_of(&policy, &breaker, 400, 21, ERROR, 0.0).unwrap();
    let half_open_at = breaker.snapshot(&policy, at(1.0)).half_open_at.unwrap();
    let refused = refused(breaker.admit(&policy, at(2.0)));
    assert_eq!(refused.retry_after, half_open_at.since(at(2.0)));
    assert_eq!((refused.state, refused.cause, refused.calls), (State::Open, Cause::ErrorRate, 400));
    assert_eq!((refused.error_rate, refused.threshold), (0.0525, 0.05));
    assert_eq!(breaker.refusal(&policy, at(2.0)), Some(refused));
}

#[test]
fn open_times_double_up_to_the_most_and_jitter_stays_in_its_bounds() {
    let policy = BreakerPolicy::default();
    let (mut least, mut most) = (f64::MAX, f64::MIN);
    for seed in 0..300 {
        let breaker = Breaker::new(seed);
        let mut now = at(0.0);
        let mut trip = (0..7).find_map(|_| call(&breaker, &policy, HARD, at(0.0)));
        for plain in [10.0, 20.0, 40.0, 80.0, 120.0, 120.0, 120.0] {
            assert_eq!(trip.take().map(|t| t.to), Some(State::Open));
            let until = breaker.snapshot(&policy, now).half_open_at.unwrap();
            let factor = until.since(now).as_secs_f64() / plain;
            (least, most) = (least.min(factor), most.max(factor));
            now = until;
            trip = (0..2).find_map(|_| call(&breaker, &policy, ERROR, now));
        }
    }
    assert!((0.8..0.81).contains(&least) && (1.19..=1.2).contains(&most), "{least} to {most}");
}

#[test]
fn a_longer_retry_info_of_the_upstream_wins_up_to_a_limit() {
    let policy = BreakerPolicy { hard_failures: 1, jitter: 0.0, ..BreakerPolicy::default() };
    for (asked_s, open_s) in [(3, 10), (45, 45), (86_400, 900)] {
        let breaker = Breaker::new(1);
        let sample = Sample::Error { hard: true, retry_after: Some(Duration::from_secs(asked_s)) };
        call(&breaker, &policy, sample, at(0.0)).unwrap();
        let refused = refused(breaker.admit(&policy, at(0.0)));
        assert_eq!(refused.retry_after, Duration::from_secs(open_s));
    }
}

#[test]
fn the_probe_budget_holds_however_many_wait() {
    let policy = BreakerPolicy::default();
    let (breaker, now) = open_breaker(&policy);
    assert_eq!(breaker.admit(&policy, at_ns(now.steady_ns - 1)).1, None);
    let (mut sent, mut flying) = (0, Vec::new());
    for round in 0..4 {
        for waiting in 0..1_000 {
            let (admission, transition) = breaker.admit(&policy, now);
            assert_eq!(transition.is_some(), round == 0 && waiting == 0);
            if let Admission::Allowed(permit) = admission {
                sent += 1;
                flying.push(permit);
            }
        }
        assert_eq!((flying.len(), sent), (5, 5 * (round + 1)));
        let closed = flying.drain(..).filter_map(|p| breaker.record(&policy, p, Sample::Success, now)).last();
        assert_eq!(closed.map(|t| (t.to, t.cause, t.calls)).is_some(), round == 3);
    }
    assert_eq!(breaker.snapshot(&policy, now).state, State::Ramping);
}

#[test]
fn the_probe_budget_holds_between_threads() {
    let policy = BreakerPolicy::default();
    let (breaker, now) = open_breaker(&policy);
    let sent: usize = std::thread::scope(|scope| {
        let ask = || {
            let permits = (0..1_000).filter_map(|_| match breaker.admit(&policy, now).0 {
                Admission::Allowed(permit) => Some(permit),
                Admission::Refused(_) => None,
            });
            permits.collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        // Joined before any permit is dropped.
        let permits: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        permits.iter().map(Vec::len).sum()
    });
    assert_eq!(sent, 5);
}

#[test]
fn permits_that_are_dropped_give_their_slot_back() {
    let policy = BreakerPolicy::default();
    let (breaker, now) = open_breaker(&policy);
    for _ in 0..100 {
        let permits: Vec<_> = (0..5).map(|_| allowed(breaker.admit(&policy, now))).collect();
        assert_eq!(refused(breaker.admit(&policy, now)).state, State::HalfOpen);
        for (n, permit) in permits.into_iter().enumerate() {
            match n % 3 {
                0 => drop(permit),
                1 => breaker.give_back(permit),
                _ => assert_eq!(breaker.record(&policy, permit, Sample::Nothing, now), None),
            }
        }
    }
    // None of these counted: it still takes twenty.
    let changes: Vec<_> = (0..20).filter_map(|_| call(&breaker, &policy, Sample::Success, now)).collect();
    assert_eq!(changes.iter().map(|t| (t.to, t.calls)).collect::<Vec<_>>(), [(State::Ramping, 20)]);
}

#[test]
fn one_failed_probe_is_forgiven_and_two_open_again() {
    let policy = BreakerPolicy::default();
    let (breaker, now) = open_breaker(&policy);
    assert_eq!(call(&breaker, &policy, Sample::Timeout, now), None);
    let changes: Vec<_> = (0..19).filter_map(|_| call(&breaker, &policy, Sample::Success, now)).collect();
    assert_eq!(changes.iter().map(|t| t.cause).collect::<Vec<_>>(), [Cause::ProbesPassed]);

    let (breaker, now) = open_breaker(&policy);
    assert_eq!(call(&breaker, &policy, Sample::Timeout, now), None);
    let trip = call(&breaker, &policy, ERROR, now).unwrap();
    assert_eq!((trip.from, trip.to, trip.cause), (State::HalfOpen, State::Open, Cause::ProbesFailed));
    assert_eq!((trip.calls, trip.errors, trip.timeouts), (2, 1, 1));
    assert_eq!(breaker.snapshot(&policy, now).trips, 2);
}

#[test]
fn sixty_seconds_without_a_decision_open_again() {
    let policy = BreakerPolicy::default();
    let (breaker, now) = open_breaker(&policy);
    let _hanging = allowed(breaker.admit(&policy, now));
    call(&breaker, &policy, Sample::Success, now);
    let before = now.plus(Duration::from_nanos(59_999_999_999));
    assert_eq!(breaker.admit(&policy, before).1, None);
    let (admission, transition) = breaker.admit(&policy, now.plus(Duration::from_secs(60)));
    assert!(matches!(admission, Admission::Refused(_)));
    assert_eq!(transition.map(|t| (t.to, t.cause)), Some((State::Open, Cause::ProbesUndecided)));
}

#[test]
fn a_service_with_too_few_calls_to_fill_the_budget_closes_on_those_it_has() {
    let policy = BreakerPolicy::default();
    let (breaker, now) = open_breaker(&policy);
    call(&breaker, &policy, Sample::Success, now);
    let later = now.plus(Duration::from_secs(100));
    let (admission, transition) = breaker.admit(&policy, later);
    assert!(matches!(admission, Admission::Allowed(_)));
    assert_eq!(transition.map(|t| (t.to, t.calls)), Some((State::Ramping, 1)));
}

#[test]
fn late_results_of_earlier_generations_count_for_nothing() {
    let policy = BreakerPolicy::default();
    let breaker = Breaker::new(1);
    let mut early: Vec<_> = (0..100).map(|_| allowed(breaker.admit(&policy, at(0.0)))).collect();
    for _ in 0..7 {
        call(&breaker, &policy, HARD, at(0.0));
    }
    let now = breaker.snapshot(&policy, at(0.0)).half_open_at.unwrap();
    let probe = allowed(breaker.admit(&policy, now));
    for permit in early.drain(..50) {
        assert_eq!(breaker.record(&policy, permit, HARD, now), None);
    }
    assert_eq!(breaker.snapshot(&policy, now).state, State::HalfOpen);
    assert_eq!(breaker.record(&policy, probe, Sample::Success, now), None);
    let closed = (0..19).find_map(|_| call(&breaker, &policy, Sample::Success, now));
    assert_eq!(closed.map(|t| t.to), Some(State::Ramping));
    for permit in early {
        assert_eq!(breaker.record(&policy, permit, HARD, now), None);
    }
    assert_eq!(breaker.snapshot(&policy, now).calls, 0);
}

#[test]
fn the_ramp_lets_a_growing_share_through() {
    let policy = BreakerPolicy::default();
    let (breaker, start) = open_breaker(&policy);
    for _ in 0..20 {
        call(&breaker, &policy, Sample::Success, start);
    }
    let mut shares = Vec::new();
    for second in 0..10u64 {
        let mut passed = 0u32;
        for n in 0..1_000u64 {
            let now = start.plus(Duration::from_millis(second * 1_000 + n));
            match breaker.admit(&policy, now).0 {
                Admission::Allowed(permit) => {
                    passed += 1;
                    breaker.record(&policy, permit, Sample::Success, now);
                }
                Admission::Refused(refused) => assert_eq!(refused.state, State::Ramping),
            }
        }
        shares.push(passed);
    }
    // 10 % to 100 % in a line: the middle of second n is 0.1 + 0.9 × (n + 0.5) / 10.
    for (second, passed) in (0u32..).zip(&shares) {
        let expected = 100.0 + 900.0 * (f64::from(second) + 0.5) / 10.0;
        assert!((f64::from(*passed) - expected).abs() <= 2.0, "second {second}: {passed} of {expected}");
    }
    let (_, transition) = breaker.admit(&policy, start.plus(Duration::from_secs(10)));
    let passed = u64::from(shares.iter().sum::<u32>());
    assert_eq!(transition.map(|t| (t.to, t.calls)), Some((State::Closed, passed)));
}

#[test]
fn forced_modes_hold_whatever_the_evidence_says() {
    let policy = BreakerPolicy::default();
    let breaker = Breaker::new(1);
    let opened = breaker.force(Mode::ForcedOpen, at(0.0)).unwrap();
    assert_eq!((opened.from, opened.to, opened.cause), (State::Closed, State::Open, Cause::ByHand));
    let answer = refused(breaker.admit(&policy, at(1e6)));
    assert_eq!((answer.cause, breaker.snapshot(&policy, at(1e6)).half_open_at), (Cause::ByHand, None));

    let closed = breaker.force(Mode::ForcedClosed, at(1e6)).unwrap();
    assert_eq!((closed.from, closed.to), (State::Open, State::Closed));
    for _ in 0..500 {
        assert_eq!(call(&breaker, &policy, HARD, at(1e6)), None);
    }
    let snapshot = breaker.snapshot(&policy, at(1e6));
    assert_eq!((snapshot.state, snapshot.errors), (State::Closed, 500));
    // Back to its own judgement: what it saw meanwhile counts.
    assert_eq!(breaker.force(Mode::Automatic, at(1e6)), None);
    assert_eq!(call(&breaker, &policy, HARD, at(1e6)).map(|t| t.to), Some(State::Open));

    breaker.force(Mode::ForcedOpen, at(2e6));
    assert_eq!(breaker.force(Mode::Automatic, at(2e6)), None);
    let (admission, transition) = breaker.admit(&policy, at(2e6));
    assert!(matches!(admission, Admission::Allowed(Permit { slot: Some(_), .. })));
    assert_eq!(transition.map(|t| t.to), Some(State::HalfOpen));
}

#[test]
fn observing_tells_of_trips_and_lets_every_call_pass() {
    let policy = BreakerPolicy::default();
    let breaker = Breaker::new(1);
    breaker.force(Mode::Observe, at(0.0));
    let mut states = Vec::new();
    for n in 0..2_000 {
        // Broken for the first 50 s, then healthy.
        let now = at(f64::from(n) * 0.05);
        let sample = if n < 1_000 { HARD } else { Sample::Success };
        let (admission, change) = breaker.admit(&policy, now);
        states.extend(change.map(|t| (t.to, t.mode)));
        let Admission::Allowed(permit) = admission else { panic!("refused at {n}") };
        states.extend(breaker.record(&policy, permit, sample, now).map(|t| (t.to, t.mode)));
    }
    assert_eq!(states.first(), Some(&(State::Open, Mode::Observe)));
    assert_eq!(states.last(), Some(&(State::Closed, Mode::Observe)));
}

#[test]
fn a_reload_takes_effect_on_what_was_seen() {
    let breaker = Breaker::new(1);
    let policy = BreakerPolicy { hard_failures: 0, ..BreakerPolicy::default() };
    for n in 0..300 {
        call(&breaker, &policy, if n < 285 { Sample::Success } else { ERROR }, at(f64::from(n) * 0.01));
    }
    let narrower = BreakerPolicy { calls_min: 100, ..policy.clone() };
    assert_eq!(breaker.snapshot(&narrower, at(3.0)).calls, 300);
    assert_eq!(breaker.snapshot(&narrower, at(100.0)).calls, 100);
    let shorter = BreakerPolicy { window: Duration::from_secs(1), calls_min: 50, ..policy };
    assert_eq!(breaker.snapshot(&shorter, at(100.0)).calls, 50);
    assert_eq!(call(&breaker, &shorter, ERROR, at(100.0)).map(|t| t.cause), Some(Cause::ErrorRate));
}

#[test]
fn absurd_policies_do_not_break_the_machine() {
    let zero = Duration::ZERO;
    let policy = BreakerPolicy {
        error_rate_max: f64::NAN,
        timeout_rate_max: f64::NAN,
        window: zero,
        calls_min: 0,
        age_max: zero,
        hard_failures: 1,
        open: Duration::MAX,
        open_max: zero,
        jitter: f64::INFINITY,
        probes: 0,
        probes_in_flight: 0,
        half_open_max: zero,
        ramp_from: f64::NAN,
        ramp: zero,
        ..BreakerPolicy::default()
    };
    let breaker = Breaker::new(1);
    for n in 0..1_000u64 {
        if let Admission::Allowed(permit) = breaker.admit(&policy, at_ns(n)).0 {
            let sample = if n % 3 == 0 { HARD } else { Sample::Success };
            breaker.record(&policy, permit, sample, at_ns(n));
        }
    }
    assert_eq!(breaker.snapshot(&policy, at_ns(1_000)).state, State::Open);
}

#[test]
fn endings_count_as_the_design_says() {
    let deadline = Duration::from_secs(2);
    let base = Ending { deadline, ..Ending::default() };
    let code = |code| Ending { code, ..base };
    let late = Ending { elapsed: deadline, ..code(Code::DeadlineExceeded) };
    let early = Ending { elapsed: deadline - Duration::from_millis(5), ..late };
    let hard = Ending { code: Code::Unavailable, by_gateway: true, ..base };
    for (what, ending, sample) in [
        ("ok", base, Sample::Success),
        ("a business error", code(Code::FailedPrecondition), Sample::Success),
        ("bad input", code(Code::InvalidArgument), Sample::Success),
        ("not implemented", code(Code::Unimplemented), Sample::Success),
        ("unknown", code(Code::Unknown), ERROR),
        ("internal", code(Code::Internal), ERROR),
        ("data loss", code(Code::DataLoss), ERROR),
        ("unavailable", code(Code::Unavailable), HARD),
        ("full", code(Code::ResourceExhausted), Sample::Nothing),
        ("the catalog's deadline, by us", Ending { by_gateway: true, ..late }, Sample::Timeout),
        ("the catalog's deadline, by it", late, Sample::Timeout),
        ("its own shorter deadline", early, Sample::Nothing),
        (
            "the deadline that we handed on",
            Ending { deadline_margin: Duration::from_millis(10), ..early },
            Sample::Timeout,
        ),
        ("the client's deadline", Ending { by_client: true, ..late }, Sample::Nothing),
        ("a request that trickled in", Ending { request_open: true, ..late }, Sample::Nothing),
        ("a cancel", Ending { by_client: true, ..code(Code::Cancelled) }, Sample::Nothing),
        (
            "a cancel that made no status",
            Ending { by_client: true, no_status: true, ..base },
            Sample::Nothing,
        ),
        ("our refusal", Ending { by_gateway: true, ..code(Code::ResourceExhausted) }, Sample::Nothing),
        ("our own fault", Ending { by_gateway: true, ..code(Code::Internal) }, Sample::Nothing),
        ("no connection", Ending { connect_failed: true, ..hard }, HARD),
        ("a reset", Ending { reset: true, ..hard }, HARD),
        ("no status", Ending { no_status: true, ..hard }, HARD),
    ] {
        assert_eq!(classify(&BreakerPolicy::default(), &ending), sample, "{what}");
    }
    let counting = BreakerPolicy { count_resource_exhausted: true, ..BreakerPolicy::default() };
    assert_eq!(classify(&counting, &code(Code::ResourceExhausted)), ERROR);
    let asked = Ending { retry_after: Some(deadline), ..code(Code::Unavailable) };
    let sample = Sample::Error { hard: true, retry_after: Some(deadline) };
    assert_eq!(classify(&BreakerPolicy::default(), &asked), sample);
}
