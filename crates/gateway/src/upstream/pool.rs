//! The pool: chooses an endpoint and a stream, sends, and sends again where that is safe.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use oaas_capability::{Body, BoxError};
use oaas_model::{Clock, Timestamp};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Notify;

use super::balance;
use super::budget::RetryBudget;
use super::call::{Attempt, CallCourse, Ended};
use super::config::{PoolConfig, SendOptions};
use super::connect::{self, Target};
use super::connection::{Reserved, Slot};
use super::endpoint::{Absence, Endpoint, EndpointState};
use super::error::{Phase, UpstreamError};
use super::guard::CallGuard;
use super::retry::Next;

/// Most endpoints of one pool; further ones are left out with a warning.
const ENDPOINTS_MAX: usize = 256;
/// Share of its age by which a connection's end may move either way, so that all do not end together.
const AGE_JITTER: f64 = 0.1;
/// Connections to one upstream service. Cloning is cheap and shares them; the last drop closes them.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

/// A call that got a response.
pub struct Sent {
    /// The upstream's response, untouched. Dropping its body resets the stream.
    pub response: Response<Body>,
    /// Who answered.
    pub endpoint: Arc<str>,
    /// How often the call was sent.
    pub attempts: u32,
}

pub(super) struct Shared {
    pub(super) config: PoolConfig,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    budget: RetryBudget,
    random: Mutex<SmallRng>,
    /// A connect ended or a stream became free.
    pub(super) changed: Notify,
    pub(super) waiting: AtomicUsize,
}

/// Why no stream could be had.
pub(super) struct Unavailable {
    pub(super) phase: Phase,
    pub(super) retry_after: Option<Duration>,
    pub(super) source: Option<BoxError>,
}

impl Pool {
    /// A pool that connects with its first call. Endpoints that can't be read are left out with a warning.
    #[must_use]
    pub fn new(config: PoolConfig, clock: Arc<dyn Clock>) -> Self {
        let tls = config.tls.as_ref().map(connect::connector);
        let mut endpoints = Vec::new();
        for uri in config.endpoints.iter().take(ENDPOINTS_MAX) {
            match Target::parse(uri, tls.as_ref(), config.server_name.as_deref()) {
                Ok(target) => endpoints.push(Arc::new(Endpoint::new(target, &config))),
                Err(error) => tracing::warn!(%error, "upstream endpoint left out"),
            }
        }
        if config.endpoints.len() > ENDPOINTS_MAX {
            tracing::warn!(count = config.endpoints.len(), ENDPOINTS_MAX, "upstream endpoints left out");
        }
        let random = config.seed.map_or_else(SmallRng::from_os_rng, SmallRng::seed_from_u64);
        let budget = RetryBudget::new(config.retry_percent, config.retry_reserve);
        Self(Arc::new(Shared {
            config,
            clock,
            endpoints,
            budget,
            random: Mutex::new(random),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// Sends one call.
    ///
    /// `request` has the method's path and its final gRPC headers, none that HTTP/2 forbids (RFC 9113 §8.2.2); `grpc-timeout` is set here from
    /// [`SendOptions::deadline`]. Dropping the future, or the response's body, resets the stream at once.
    ///
    /// # Errors
    /// When no response head was received; a gRPC status of the upstream is a response.
    pub fn send(
        &self,
        request: Request<Body>,
        options: SendOptions,
    ) -> impl Future<Output = Result<Sent, UpstreamError>> + use<> {
        let shared = Arc::clone(&self.0);
        shared.budget.deposit();
        // An async function would keep room for what it was given beside what it made of it.
        let mut call = CallCourse::new(request, options, &shared.config);
        async move {
            let mut last: Option<Box<Ended>> = None;
            loop {
                let guard = match shared.acquire(call.tried(), options.deadline).await {
                    Ok(guard) => guard,
                    // Where no other endpoint can be had, what the last one said is the answer.
                    Err(away) => {
                        return match last {
                            Some(last) => call.finish(*last),
                            None => Err(call.away(away)),
                        };
                    }
                };
                let ended = match call.attempt(&shared, guard).await {
                    Attempt::Answered(sent) => return Ok(sent),
                    Attempt::Ended(ended) => ended,
                };
                match call.next(&shared, &ended) {
                    Next::Stop => return call.finish(*ended),
                    Next::Transparent => {}
                    Next::Retry(wait) => Box::pin(tokio::time::sleep(wait)).await,
                }
                last = Some(ended);
            }
        }
    }

    /// The endpoints and how they do, in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointState> {
        let now = self.0.clock.now();
        self.0.endpoints.iter().map(|endpoint| endpoint.state(now)).collect()
    }
}

impl Shared {
    /// A number uniform in 0..1.
    pub(super) fn draw(&self) -> f64 {
        self.random.lock().random()
    }

    /// Takes a retry from the budget, if there is one.
    pub(super) fn withdraw(&self) -> bool {
        self.budget.withdraw()
    }

    /// The time to a deadline.
    pub(super) fn remaining(&self, deadline: Option<Timestamp>) -> Option<Duration> {
        deadline.map(|deadline| deadline.since(self.clock.now()))
    }

    /// Waits for a stream on an endpoint that was not tried, as long as a connect may take.
    async fn acquire(
        self: &Arc<Self>,
        tried: &[Arc<Endpoint>],
        deadline: Option<Timestamp>,
    ) -> Result<CallGuard, Unavailable> {
        match self.try_acquire(tried)? {
            Some(found) => Ok(found),
            // Seldom, and in its place: what it needs would make every call's future larger.
            None => Box::pin(self.wait(tried, deadline)).await,
        }
    }

    async fn wait(
        self: &Arc<Self>,
        tried: &[Arc<Endpoint>],
        deadline: Option<Timestamp>,
    ) -> Result<CallGuard, Unavailable> {
        let _waiting = Waiting::enter(self)?;
        let remaining = self.remaining(deadline);
        let longest = self.config.connect_timeout.min(remaining.unwrap_or(Duration::MAX));
        let wait = async {
            loop {
                // Registered before the look, so that what changes after the look wakes it.
                let mut changed = std::pin::pin!(self.changed.notified());
                changed.as_mut().enable();
                if let Some(found) = self.try_acquire(tried)? {
                    return Ok(found);
                }
                changed.await;
            }
        };
        let timed_out = || {
            let phase = match remaining {
                Some(remaining) if remaining <= longest => Phase::Deadline,
                _ if self.endpoints.iter().any(|endpoint| endpoint.is_connected()) => Phase::NoEndpoint,
                _ => Phase::Connect,
            };
            Err(Unavailable { phase, retry_after: None, source: None })
        };
        tokio::time::timeout(longest, wait).await.unwrap_or_else(|_| timed_out())
    }

    /// A stream now; nothing when waiting for one makes sense.
    fn try_acquire(self: &Arc<Self>, tried: &[Arc<Endpoint>]) -> Result<Option<CallGuard>, Unavailable> {
        let now = self.clock.now();
        let untried = |endpoint: &&Arc<Endpoint>| !tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
        let mut connecting = false;
        let mut wait: Option<(Timestamp, Option<Arc<str>>)> = None;
        for endpoint in self.endpoints.iter().filter(untried).filter(|endpoint| !endpoint.is_connected()) {
            match endpoint.absence(now) {
                Absence::Connect => {
                    self.spawn_connect(endpoint);
                    connecting = true;
                }
                Absence::Connecting => connecting = true,
                Absence::Wait(until, error) => {
                    if wait.as_ref().is_none_or(|(earliest, _)| until < *earliest) {
                        wait = Some((until, error));
                    }
                }
            }
        }
        // Endpoints without a connection are never candidates: nobody waits for one that reconnects while
        // another can answer. Ejected ones are better than none.
        for ejected in [false, true] {
            let of_kind =
                |endpoint: &&Arc<Endpoint>| endpoint.is_connected() && endpoint.is_ejected(now) == ejected;
            let mut candidates: Vec<&Arc<Endpoint>> =
                self.endpoints.iter().filter(untried).filter(of_kind).collect();
            while let Some(position) = self.choose(&candidates, now) {
                let endpoint = candidates.swap_remove(position);
                match endpoint.reserve() {
                    Reserved::Slot(slot) => {
                        if slot.is_borrowed() && endpoint.wants_more(self.config.connections_max, now) {
                            self.spawn_connect(endpoint);
                        }
                        return Ok(Some(self.guard(endpoint, slot, now)));
                    }
                    Reserved::Full => {
                        connecting = true;
                        if endpoint.wants_more(self.config.connections_max, now) {
                            self.spawn_connect(endpoint);
                        }
                    }
                    // Its last connection is going away: back to the start, to open another one.
                    Reserved::Closed if endpoint.is_connected() => {}
                    Reserved::Closed => match endpoint.absence(now) {
                        Absence::Connect => {
                            self.spawn_connect(endpoint);
                            connecting = true;
                        }
                        Absence::Connecting => connecting = true,
                        Absence::Wait(until, error) => wait = wait.or(Some((until, error))),
                    },
                }
            }
        }
        if connecting {
            return Ok(None);
        }
        Err(match wait {
            Some((until, error)) => Unavailable {
                phase: Phase::Connect,
                retry_after: Some(until.since(now)),
                source: error.map(|error| error.as_ref().into()),
            },
            None => Unavailable { phase: Phase::NoEndpoint, retry_after: None, source: None },
        })
    }

    fn choose(&self, candidates: &[&Arc<Endpoint>], now: Timestamp) -> Option<usize> {
        let cost = |i: usize| candidates.get(i).map_or(f64::INFINITY, |endpoint| endpoint.load.cost(now));
        balance::choose(candidates.len(), || self.draw(), cost)
    }

    fn guard(self: &Arc<Self>, endpoint: &Arc<Endpoint>, slot: Slot, now: Timestamp) -> CallGuard {
        CallGuard::new(self, endpoint, slot, now)
    }

    /// Opens a connection to an endpoint that is marked as connecting, and runs it to its end.
    fn spawn_connect(self: &Arc<Self>, endpoint: &Arc<Endpoint>) {
        let endpoint = Arc::clone(endpoint);
        let config = self.config.clone();
        let (first, age) = (self.draw(), self.draw());
        let shared: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            let opened = endpoint.target.connect(&config, first).await;
            let Some(pool) = shared.upgrade() else { return };
            let opened = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    tracing::debug!(endpoint = %endpoint.target.name, %error, "upstream connect failed");
                    endpoint.connect_failed(&error.to_string(), &config, pool.draw(), pool.clock.now());
                    pool.changed.notify_waiters();
                    return;
                }
            };
            let connection = opened.connection;
            let mut driver = opened.driver;
            endpoint.connected(Arc::clone(&connection));
            pool.changed.notify_waiters();
            let endpoint = {
                let weak = Arc::downgrade(&endpoint);
                drop((pool, endpoint));
                weak
            };
            let connection = {
                let weak = Arc::downgrade(&connection);
                drop(connection);
                weak
            };
            let forget = || {
                if let (Some(endpoint), Some(connection)) = (endpoint.upgrade(), connection.upgrade()) {
                    endpoint.forget(&connection);
                }
            };
            let life = config.connection_age_max.mul_f64(1.0 - AGE_JITTER + 2.0 * AGE_JITTER * age);
            if tokio::time::timeout(life, &mut driver).await.is_err() {
                forget();
                driver.await;
            } else {
                forget();
            }
            if let Some(pool) = shared.upgrade() {
                pool.changed.notify_waiters();
            }
        });
    }

    /// The value of `grpc-timeout` for an attempt that starts `now`; nothing when there is no time left.
    #[allow(clippy::option_option, reason = "no deadline and no time left are two answers")]
    pub(super) fn timeout(&self, deadline: Option<Timestamp>, now: Timestamp) -> Option<Option<HeaderValue>> {
        let Some(deadline) = deadline else { return Some(None) };
        let remaining = deadline.since(now).saturating_sub(self.config.deadline_margin);
        (!remaining.is_zero()).then(|| Some(SendOptions::timeout_header(remaining)))
    }
}

/// One of the calls that wait for a stream.
struct Waiting<'a>(&'a Shared);

impl<'a> Waiting<'a> {
    fn enter(shared: &'a Shared) -> Result<Self, Unavailable> {
        let waiting = shared.waiting.fetch_add(1, Ordering::AcqRel);
        let entered = Self(shared);
        if waiting >= shared.config.waiting_max {
            let source = format!("{waiting} calls wait for this upstream already").into();
            return Err(Unavailable { phase: Phase::NoEndpoint, retry_after: None, source: Some(source) });
        }
        Ok(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
