//! Rates (GCRA, by governor) and calls at once, for each application and service.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use oaas_catalog::RateLimit;
use oaas_model::{Clock, Timestamp};
use parking_lot::RwLock;

/// Keys that are kept; beyond it the idle ones are swept. Keys exist for authenticated applications, and for
/// the catalogued methods that need no credential.
const KEYS_MAX: usize = 200_000;
/// A key that was not used for so long is idle.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// What an application without a plan may do with the platform's own services.
const PLATFORM_RATE: RateLimit = RateLimit { per_second: 100, burst: 200 };
/// Calls that it may have in flight there: streams (watches, reflection) are rare and may stay for long.
const PLATFORM_AT_ONCE: u32 = 200;
/// What all callers without a credential together may do with one method.
const STRANGERS_RATE: RateLimit = RateLimit { per_second: 500, burst: 1000 };
/// Calls that they may have in flight there, so that nobody fills the process without a credential.
const STRANGERS_AT_ONCE: u32 = 500;

type Gcra = RateLimiter<NotKeyed, InMemoryState, TimeOfCall, NoOpMiddleware<Nanos>>;

/// All limiters of the process.
pub struct Limits {
    clock: Arc<dyn Clock>,
    keyed: RwLock<Keyed>,
}

/// Limiters by application and service. Names are those of the callers' file and the catalog, so nobody can
/// choose them to collide.
#[derive(Default)]
struct Keyed {
    by_application: Map<Arc<str>, Map<Box<str>, Arc<Limiter>>>,
    count: usize,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The limits of one application on one service.
pub struct Limiter {
    rate: Option<RateLimit>,
    concurrency: Option<u32>,
    gcra: Option<Gcra>,
    in_flight: AtomicU32,
    used_ns: AtomicU64,
}

/// What a rate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Come back after exactly this long.
    Wait(Duration),
}

impl Limits {
    /// No limiter yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, keyed: RwLock::default() }
    }

    /// The limiter of `application` on `service`; made anew when the plan's numbers changed.
    pub fn of(
        &self,
        application: &Arc<str>,
        service: &str,
        rate: Option<RateLimit>,
        concurrency: Option<u32>,
    ) -> Arc<Limiter> {
        let fits = |limiter: &&Arc<Limiter>| limiter.rate == rate && limiter.concurrency == concurrency;
        if let Some(limiter) = self.keyed.read().get(application, service).filter(fits) {
            return Arc::clone(limiter);
        }
        let mut keyed = self.keyed.write();
        if let Some(limiter) = keyed.get(application, service).filter(fits) {
            return Arc::clone(limiter);
        }
        if keyed.count >= KEYS_MAX {
            keyed.sweep(self.clock.now());
        }
        let fresh = Arc::new(Limiter::new(rate, concurrency));
        keyed.put(application, service, Arc::clone(&fresh));
        fresh
    }

    /// The limiter of `application` on the platform's own services.
    pub fn platform(&self, application: &Arc<str>) -> Arc<Limiter> {
        self.of(application, "", Some(PLATFORM_RATE), Some(PLATFORM_AT_ONCE))
    }

    /// The one limiter of all callers without a credential on a method that the catalog opens to them. By
    /// method, so that streams held open can't keep health checks out.
    pub fn strangers(&self, method: &str) -> Arc<Limiter> {
        self.of(&Arc::from(""), method, Some(STRANGERS_RATE), Some(STRANGERS_AT_ONCE))
    }
}

impl Keyed {
    fn get(&self, application: &str, service: &str) -> Option<&Arc<Limiter>> {
        self.by_application.get(application)?.get(service)
    }

    fn put(&mut self, application: &Arc<str>, service: &str, limiter: Arc<Limiter>) {
        let services = self.by_application.entry(Arc::clone(application)).or_default();
        let before = services.insert(service.into(), limiter);
        self.count += usize::from(before.is_none());
    }

    /// Drops limiters that are idle: they would be full again anyway.
    fn sweep(&mut self, now: Timestamp) {
        let idle_ns = u64::try_from(IDLE.as_nanos()).unwrap_or(u64::MAX);
        let stays = |limiter: &Limiter| {
            limiter.in_flight.load(Ordering::Relaxed) > 0
                || now.steady_ns.saturating_sub(limiter.used_ns.load(Ordering::Relaxed)) < idle_ns
        };
        self.by_application.retain(|_, services| {
            services.retain(|_, limiter| stays(limiter));
            !services.is_empty()
        });
        self.count = self.by_application.values().map(HashMap::len).sum();
    }
}

impl Limiter {
    fn new(rate: Option<RateLimit>, concurrency: Option<u32>) -> Self {
        // Its time begins before that of the call that it is made for.
        STEADY_NS.set(0);
        let gcra = rate.map(|rate| {
            let one = NonZeroU32::MIN;
            let quota = Quota::per_second(NonZeroU32::new(rate.per_second).unwrap_or(one))
                .allow_burst(NonZeroU32::new(rate.burst).unwrap_or(one));
            RateLimiter::direct_with_clock(quota, TimeOfCall)
        });
        Self { rate, concurrency, gcra, in_flight: AtomicU32::new(0), used_ns: AtomicU64::new(0) }
    }

    /// Takes one call that came at `now` from the rate.
    pub fn rate(&self, now: Timestamp) -> Verdict {
        let Some(gcra) = &self.gcra else { return Verdict::Pass };
        // Calls of several lanes may be looked at in another order than they came: time stands still then, or
        // the second to be looked at would be told to wait for longer than a period.
        let now = self.used_ns.fetch_max(now.steady_ns, Ordering::Relaxed).max(now.steady_ns);
        STEADY_NS.set(now);
        match gcra.check() {
            Ok(()) => Verdict::Pass,
            Err(not_until) => Verdict::Wait(not_until.wait_time_from(Nanos::from(now))),
        }
    }

    /// Calls a second that the rate allows.
    #[must_use]
    pub fn per_second(&self) -> u32 {
        self.rate.map_or(0, |rate| rate.per_second)
    }

    /// Counts a call in flight: whether it is within the limit, how many there are now, and the limit
    /// (0: none). Give it back with [`Limiter::leave`] in either case.
    pub fn enter(&self) -> (bool, u32, u32) {
        let now = self.in_flight.fetch_add(1, Ordering::AcqRel) + 1;
        match self.concurrency {
            Some(limit) => (now <= limit, now, limit),
            None => (true, now, 0),
        }
    }

    /// Gives a call in flight back.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

thread_local! {
    /// When the call came that is checked on this thread.
    static STEADY_NS: Cell<u64> = const { Cell::new(0) };
}

/// governor asks a clock for the time of a call; the call has it.
#[derive(Clone)]
struct TimeOfCall;

impl GovernorClock for TimeOfCall {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(STEADY_NS.get())
    }
}

#[cfg(test)]
mod tests {
    use oaas_model::ManualClock;

    use super::*;

    #[test]
    fn never_above_rate_and_burst_and_the_wait_is_exact() {
        let clock = Arc::new(ManualClock::at_unix_ns(0));
        let limits = Limits::new(clock.clone());
        let rate = Some(RateLimit { per_second: 10, burst: 5 });
        let app: Arc<str> = "a".into();
        let limiter = limits.of(&app, "s", rate, None);
        let passed = (0..100).filter(|_| limiter.rate(clock.now()) == Verdict::Pass).count();
        assert_eq!(passed, 5);
        let Verdict::Wait(wait) = limiter.rate(clock.now()) else { panic!("must wait") };
        assert_eq!(wait, Duration::from_millis(100));
        clock.advance(wait - Duration::from_nanos(1));
        assert!(matches!(limiter.rate(clock.now()), Verdict::Wait(_)));
        clock.advance(Duration::from_nanos(1));
        assert_eq!(limiter.rate(clock.now()), Verdict::Pass);
        assert!(Arc::ptr_eq(&limiter, &limits.of(&app, "s", rate, None)));
        assert!(!Arc::ptr_eq(&limiter, &limits.of(&app, "s", None, None)));
    }

    #[test]
    fn who_came_earlier_and_is_looked_at_later_waits_no_longer_than_a_period() {
        let clock = Arc::new(ManualClock::at_unix_ns(0));
        let limits = Limits::new(clock.clone());
        let limiter = limits.of(&"a".into(), "s", Some(RateLimit { per_second: 1, burst: 1 }), None);
        let earlier = clock.now();
        clock.advance(Duration::from_micros(185));
        assert_eq!(limiter.rate(clock.now()), Verdict::Pass);
        assert_eq!(limiter.rate(earlier), Verdict::Wait(Duration::from_secs(1)));
        // A limiter is made after the call came that it is made for.
        let arrived = clock.now();
        clock.advance(Duration::from_micros(150));
        let limiter = limits.of(&"b".into(), "s", Some(RateLimit { per_second: 1, burst: 1 }), None);
        assert_eq!(limiter.rate(arrived), Verdict::Pass);
        assert_eq!(limiter.rate(arrived), Verdict::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn calls_at_once_are_given_back() {
        let limits = Limits::new(Arc::new(ManualClock::at_unix_ns(0)));
        let limiter = limits.of(&"a".into(), "s", None, Some(2));
        assert!(limiter.enter().0 && limiter.enter().0);
        assert_eq!(limiter.enter(), (false, 3, 2));
        limiter.leave();
        limiter.leave();
        assert!(limiter.enter().0);
    }

    #[test]
    fn strangers_and_streams_on_the_platform_have_an_end() {
        let limits = Limits::new(Arc::new(ManualClock::at_unix_ns(0)));
        let reflection = limits.strangers("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
        for _ in 0..STRANGERS_AT_ONCE {
            assert!(reflection.enter().0);
        }
        assert!(!reflection.enter().0);
        assert!(limits.strangers("/grpc.health.v1.Health/Check").enter().0);
        let one = limits.platform(&"one".into());
        for _ in 0..PLATFORM_AT_ONCE {
            assert!(one.enter().0);
        }
        assert!(!one.enter().0 && limits.platform(&"other".into()).enter().0);
    }
}
