//! One application can't cut the others off, and a broken service is cut off all the same.

use std::sync::Arc;

use super::*;

const SERVICE: &str = "oaas.channel.v1.RebateService";

/// Calls of applications through both breakers; says what came of each.
struct World {
    breakers: Breakers,
    policy: BreakerPolicy,
}

impl World {
    fn new() -> Self {
        Self { breakers: Breakers::new(1), policy: BreakerPolicy::default() }
    }

    fn call(&self, application: &str, sample: Sample, now: Timestamp) -> Result<Changes, Scope> {
        let gates = self.breakers.gates(SERVICE, Some(application));
        let (pass, mut changes) = gates.admit(&self.policy, now);
        let pass = pass.map_err(|(scope, _)| scope)?;
        let ended = gates.record(&self.policy, pass, sample, now);
        changes.service = ended.service.or(changes.service);
        changes.application = ended.application.or(changes.application);
        Ok(changes)
    }

    fn state(&self, application: Option<&str>, now: Timestamp) -> State {
        self.breakers.get(SERVICE, application).snapshot(&self.policy, now).state
    }
}

#[test]
fn one_applications_poison_opens_only_its_own() {
    // Soft and hard poison, at a tenth, a half and nine tenths of all calls.
    for sample in [ERROR, HARD, Sample::Timeout] {
        for poison_of_ten in [1, 5, 9] {
            let world = World::new();
            for n in 0..20_000u32 {
                let now = at(f64::from(n) * 0.01);
                if n >= 400 && n % 10 < poison_of_ten {
                    let _ = world.call("poison", sample, now);
                } else {
                    world.call("shop", Sample::Success, now).expect("the shop is served");
                }
                assert_eq!(world.state(None, now), State::Closed, "{sample:?} {poison_of_ten} {n}");
            }
            let trips = world.breakers.get(SERVICE, Some("poison")).snapshot(&world.policy, at(200.0)).trips;
            assert!(trips > 0, "{sample:?} {poison_of_ten}");
        }
    }
}

#[test]
fn one_applications_poison_is_found_among_hundreds_of_callers() {
    // Few calls (the latest 200 are the evidence) and many (the slots are).
    for calls_per_s in [3.0, 100.0] {
        let world = World::new();
        let mut refused = 0;
        for n in 0..20_000u32 {
            let now = at(f64::from(n) / calls_per_s);
            if n >= 1_000 && n % 3 == 0 {
                refused += u32::from(world.call("poison", ERROR, now).is_err());
            } else {
                let name = format!("app-{}", n % 251);
                world.call(&name, Sample::Success, now).expect("the others are served");
            }
        }
        assert_eq!(world.state(None, at(20_000.0 / calls_per_s)), State::Closed);
        assert!(refused > 5_000, "{refused}");
    }
}

#[test]
fn a_service_that_fails_for_all_trips_however_many_call() {
    for (applications, sample) in [
        (1, ERROR),
        (2, ERROR),
        (3, HARD),
        (40, ERROR),
        (100, HARD),
        (1, Sample::Timeout),
        (40, Sample::Timeout),
    ] {
        let world = World::new();
        let tripped = (0..20_000u32).map(|n| (n, f64::from(n) / 200.0)).find(|(n, now)| {
            let sample = if *now < 40.0 { Sample::Success } else { sample };
            let name = format!("app-{}", n % applications);
            world.call(&name, sample, at(*now)).is_ok_and(|changes| changes.service.is_some())
        });
        let after = tripped.unwrap().1 - 40.0;
        assert!((0.0..=2.0).contains(&after), "{applications} applications: after {after} s");
    }
}

#[test]
fn a_single_caller_speaks_for_the_service() {
    let world = World::new();
    let changes: Vec<_> = (0..7).map(|_| world.call("only", HARD, at(1.0)).unwrap()).collect();
    let last = changes.last().unwrap();
    assert_eq!(last.service.map(|t| t.cause), Some(Cause::HardFailures));
    assert_eq!(last.application.map(|t| t.cause), Some(Cause::HardFailures));
    assert_eq!(world.call("only", Sample::Success, at(1.0)), Err(Scope::Service));
    assert_eq!(world.call("another", Sample::Success, at(1.0)), Err(Scope::Service));
}

#[test]
fn poison_among_the_probes_does_not_keep_the_service_open() {
    let world = World::new();
    for _ in 0..7 {
        world.call("shop", HARD, at(0.0)).unwrap();
    }
    // By now every other call is poison, soft, so that its own breaker needs long to see it.
    let mut closed = None;
    for n in 0..40_000u32 {
        let now = at(f64::from(n) * 0.05);
        let _ = match n % 2 {
            0 => world.call("shop", Sample::Success, now),
            _ => world.call("poison", ERROR, now),
        };
        if world.state(None, now) == State::Closed {
            closed = Some(n);
            break;
        }
    }
    assert!(closed.is_some_and(|n| n < 10_000), "{closed:?}");
}

#[test]
fn cancels_and_tiny_deadlines_of_one_caller_do_nothing() {
    let world = World::new();
    for n in 0..5_000u32 {
        let changes = world.call("weapon", Sample::Nothing, at(f64::from(n) * 0.001)).unwrap();
        assert_eq!(changes, Changes::default());
    }
    assert_eq!(world.breakers.get(SERVICE, None).snapshot(&world.policy, at(5.0)).calls, 0);
}

#[test]
fn a_refusal_of_one_breaker_uses_up_nothing_of_the_other() {
    let world = World::new();
    for _ in 0..7 {
        world.call("shop", HARD, at(0.0)).unwrap();
    }
    let application = world.breakers.get(SERVICE, Some("shop"));
    application.force(Mode::ForcedClosed, at(0.0));
    application.force(Mode::Automatic, at(0.0));
    let service = world.breakers.get(SERVICE, None);
    let half_open_at = service.snapshot(&world.policy, at(0.0)).half_open_at.unwrap();
    let gates = world.breakers.gates(SERVICE, Some("shop"));
    // Five probes of the service in flight; the sixth call is refused by it, many times.
    let passes: Vec<_> = (0..5).map(|_| gates.admit(&world.policy, half_open_at).0.unwrap()).collect();
    for _ in 0..100 {
        let (refused, _) = gates.admit(&world.policy, half_open_at);
        assert_eq!(refused.unwrap_err().0, Scope::Service);
    }
    drop(passes);
    for _ in 0..20 {
        world.call("shop", Sample::Success, half_open_at).unwrap();
    }
    assert_eq!(world.state(None, half_open_at), State::Ramping);
}

#[test]
fn the_registry_finds_lists_and_forgets() {
    let breakers = Breakers::new(1);
    assert!(breakers.find(SERVICE).is_none());
    let service = breakers.get(SERVICE, None);
    assert!(Arc::ptr_eq(&service, &breakers.get(SERVICE, None)));
    assert!(Arc::ptr_eq(&service, &breakers.find(SERVICE).unwrap()));
    let shop = breakers.get(SERVICE, Some("shop"));
    let _ = breakers.get(SERVICE, Some("market"));
    let _ = breakers.get("oaas.a.v1.AService", Some("shop"));
    let keys: Vec<_> = breakers.list().into_iter().map(|(service, app, _)| (service, app)).collect();
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(
        keys,
        [
            ("oaas.a.v1.AService".to_owned(), some("shop")),
            (SERVICE.to_owned(), None),
            (SERVICE.to_owned(), some("market")),
            (SERVICE.to_owned(), some("shop")),
        ]
    );
    let policy = BreakerPolicy::default();
    call(&shop, &policy, Sample::Success, at(100.0));
    shop.force(Mode::Observe, at(100.0));
    drop(shop);
    assert_eq!(breakers.sweep(&policy, at(1_200.0)), 0);
    assert_eq!(breakers.sweep(&policy, at(1_200.1)), 2);
    // What somebody set by hand stays, and the service's too.
    assert_eq!(breakers.sweep(&policy, at(9_999.0)), 0);
    assert_eq!(breakers.list().len(), 2);
}

#[test]
fn the_number_of_breakers_is_bounded_and_open_ones_stay() {
    let breakers = Breakers::new(1);
    let policy = BreakerPolicy { hard_failures: 1, ..BreakerPolicy::default() };
    call(&breakers.get(SERVICE, Some("open")), &policy, HARD, at(1.0));
    for n in 0..APPLICATION_BREAKERS_MAX + 5_000 {
        let _ = breakers.get(SERVICE, Some(&n.to_string()));
    }
    assert!(breakers.list().len() <= APPLICATION_BREAKERS_MAX);
    assert_eq!(breakers.get(SERVICE, Some("open")).snapshot(&policy, at(1.0)).state, State::Open);
}
