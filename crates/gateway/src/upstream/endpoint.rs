//! One upstream address with its connections, its load and its health.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oaas_model::Timestamp;
use parking_lot::Mutex;

use super::backoff;
use super::balance::Load;
use super::config::PoolConfig;
use super::connect::Target;
use super::connection::{Connection, Reserved};
use super::eject::{Ejection, EjectionRule};
use crate::lanes;

/// How an endpoint does, for listings.
#[derive(Clone, Debug)]
pub struct EndpointState {
    /// The endpoint as it was configured.
    pub endpoint: Arc<str>,
    /// What the pool does with it.
    pub status: EndpointStatus,
    /// Open connections.
    pub connections: usize,
    /// Calls in flight.
    pub in_flight: usize,
    /// Latency average to the response head; peaks count at once.
    pub latency: Duration,
    /// Failed connects in a row.
    pub connect_failures: u32,
    /// What the last failed connect said.
    pub last_error: Option<Arc<str>>,
}

/// What the pool does with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointStatus {
    /// Gets calls.
    Ready,
    /// Has no connection yet, or no more.
    Idle,
    /// A connection is being opened.
    Connecting,
    /// Connects failed; the next one comes after a wait.
    Waiting,
    /// Failed too often in a row; gets no calls for a while.
    Ejected,
}

pub(super) struct Endpoint {
    pub(super) target: Target,
    pub(super) load: Load,
    ejection: Mutex<Ejection>,
    connections: Mutex<Connections>,
    /// Length of the list of connections, to look at without the lock.
    open: AtomicUsize,
}

#[derive(Default)]
struct Connections {
    open: Vec<Arc<Connection>>,
    connecting: bool,
    failures: u32,
    retry_at: Option<Timestamp>,
    last_error: Option<Arc<str>>,
}

/// Where an endpoint without a connection stands.
pub(super) enum Absence {
    /// Somebody connects already.
    Connecting,
    /// The caller has to connect: the endpoint is marked as connecting.
    Connect,
    /// Not before this moment, because of this.
    Wait(Timestamp, Option<Arc<str>>),
}

impl Endpoint {
    pub(super) fn new(target: Target, config: &PoolConfig) -> Self {
        Self {
            target,
            load: Load::new(config.latency_initial, config.latency_decay),
            ejection: Mutex::default(),
            connections: Mutex::default(),
            open: AtomicUsize::new(0),
        }
    }

    /// Has a connection that took calls when last looked at.
    pub(super) fn is_connected(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    pub(super) fn is_ejected(&self, now: Timestamp) -> bool {
        self.ejection.lock().is_ejected(now)
    }

    /// A stream on the first connection of this lane that has room, else on one of another lane. The first, not
    /// the least busy: calls that go out together are written together.
    pub(super) fn reserve(&self) -> Reserved {
        let lane = lanes::current();
        let mut held = self.connections.lock();
        let (mut closed, mut found) = (false, Reserved::Closed);
        for own in [true, false] {
            for connection in held.open.iter().filter(|open| (open.lane() == lane) == own) {
                match connection.reserve() {
                    Reserved::Closed => closed = true,
                    reserved => found = reserved,
                }
                if matches!(found, Reserved::Slot(_)) {
                    break;
                }
            }
            if matches!(found, Reserved::Slot(_)) {
                break;
            }
        }
        if closed {
            held.open.retain(|connection| connection.is_open());
            self.open.store(held.open.len(), Ordering::Release);
        }
        found
    }

    /// What to do about an endpoint without a connection.
    pub(super) fn absence(&self, now: Timestamp) -> Absence {
        let mut held = self.connections.lock();
        match held.retry_at {
            _ if held.connecting => Absence::Connecting,
            Some(at) if now.steady_ns < at.steady_ns => Absence::Wait(at, held.last_error.clone()),
            _ => {
                held.connecting = true;
                Absence::Connect
            }
        }
    }

    /// Whether the caller should open a further connection because those of its lane are full, or there is
    /// none; marks the endpoint.
    pub(super) fn wants_more(&self, connections_max: usize, now: Timestamp) -> bool {
        let mut held = self.connections.lock();
        let wait = held.retry_at.is_some_and(|at| now.steady_ns < at.steady_ns);
        let lane = lanes::current();
        let own = held.open.iter().filter(|connection| connection.lane() == lane).count();
        if held.connecting || wait || own >= connections_max {
            return false;
        }
        held.connecting = true;
        true
    }

    /// A connect came about.
    pub(super) fn connected(&self, connection: Arc<Connection>) {
        let mut held = self.connections.lock();
        held.open.push(connection);
        held.connecting = false;
        held.failures = 0;
        held.retry_at = None;
        held.last_error = None;
        self.open.store(held.open.len(), Ordering::Release);
    }

    /// A connect failed.
    pub(super) fn connect_failed(&self, error: &str, config: &PoolConfig, draw: f64, now: Timestamp) {
        let mut held = self.connections.lock();
        held.connecting = false;
        held.failures = held.failures.saturating_add(1);
        let wait = backoff::wait(config.reconnect_base, config.reconnect_max, held.failures, draw);
        held.retry_at = Some(now.plus(wait));
        held.last_error = Some(error.into());
    }

    /// A connection ended or takes no more calls.
    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        connection.retire();
        let mut held = self.connections.lock();
        held.open.retain(|open| !Arc::ptr_eq(open, connection));
        self.open.store(held.open.len(), Ordering::Release);
    }

    /// A call was answered.
    pub(super) fn succeeded(&self) {
        self.ejection.lock().success();
    }

    /// A call failed by the endpoint's fault; true when that ejected it.
    pub(super) fn failed(&self, rule: EjectionRule, room: bool, now: Timestamp) -> bool {
        self.ejection.lock().failure(rule, room, now)
    }

    pub(super) fn state(&self, now: Timestamp) -> EndpointState {
        let ejected = self.is_ejected(now);
        let held = self.connections.lock();
        let connections = held.open.iter().filter(|connection| connection.is_open()).count();
        let status = match held.retry_at {
            _ if ejected => EndpointStatus::Ejected,
            _ if connections > 0 => EndpointStatus::Ready,
            _ if held.connecting => EndpointStatus::Connecting,
            Some(at) if now.steady_ns < at.steady_ns => EndpointStatus::Waiting,
            _ => EndpointStatus::Idle,
        };
        EndpointState {
            endpoint: Arc::clone(&self.target.name),
            status,
            connections,
            in_flight: self.load.pending(),
            latency: self.load.latency(),
            connect_failures: held.failures,
            last_error: held.last_error.clone(),
        }
    }
}
