//! The accept loop: who gets in, and how everybody leaves.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use oaas_capability::Body;
use oaas_model::{Clock, SystemClock};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::Service;

use super::connection::{self, CUT_FLUSH};
use super::counters::EdgeCounters;
use super::drain::{Drain, DrainReport, Phase};
use super::limits::EdgeLimits;
use super::tls::ReloadableTls;
use super::unread::Streams;
use crate::lanes::Lanes;

/// HTTP/1.1: time for one request's header, which is also how long a kept-alive connection may be quiet.
const HTTP1_HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// HTTP/1.1: smallest read buffer that hyper takes.
const HTTP1_BUFFER_MIN: usize = 8 * 1024;
/// Bytes buffered for sending on a stream beyond the client's window.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Largest HTTP/2 frame that is read.
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// What the edge is given besides its numbers.
#[derive(Clone)]
pub struct EdgeContext {
    /// Where it counts.
    pub counters: Arc<EdgeCounters>,
    /// The time, for rates.
    pub clock: Arc<dyn Clock>,
    /// Where connections are served; by default where [`serve`] runs.
    pub lanes: Lanes,
}

impl Default for EdgeContext {
    fn default() -> Self {
        Self { counters: Arc::default(), clock: SystemClock::shared(), lanes: Lanes::default() }
    }
}

/// What all connections of an edge share.
pub(super) struct EdgeState {
    pub(super) limits: EdgeLimits,
    pub(super) tls: Option<ReloadableTls>,
    pub(super) counters: Arc<EdgeCounters>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) http1: auto::Builder<Streams>,
    pub(super) http2: auto::Builder<Streams>,
    /// Open connections of this edge; the counters may be shared with others.
    open: AtomicUsize,
}

/// Serves connections until the drain is over.
///
/// Each request carries a [`super::Arrival`] extension. `GET /` is answered here, everything else by `service`.
pub async fn serve<S, F>(
    listener: TcpListener,
    tls: Option<ReloadableTls>,
    limits: EdgeLimits,
    context: EdgeContext,
    service: S,
    drain: Drain,
) -> DrainReport
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = F>
        + Clone
        + Send
        + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let lanes = context.lanes.clone();
    let mut random = limits.seed.map_or_else(SmallRng::from_os_rng, SmallRng::seed_from_u64);
    let edge = Arc::new(EdgeState::new(limits, tls, context));
    let descriptors_max = descriptor_limit().map(|limit| limit.saturating_sub(edge.limits.spare_descriptors));
    let mut connections = JoinSet::new();
    let mut left = std::pin::pin!(async {
        drain.started().await;
        sleep(edge.limits.drain_wait).await;
    });
    loop {
        tokio::select! {
            () = &mut left => break,
            accepted = listener.accept() => {
                if let Some((tcp, addr)) = admit(accepted, &edge, descriptors_max).await {
                    let open = Open::count(&edge);
                    let (edge, service, phase) = (Arc::clone(&edge), service.clone(), drain.subscribe());
                    let draw = random.random();
                    let place = lanes.place();
                    let lane = place.handle.clone().unwrap_or_else(Handle::current);
                    // Its readiness is to be told there too.
                    let Ok(tcp) = tcp.into_std() else { continue };
                    connections.spawn_on(
                        async move {
                            match TcpStream::from_std(tcp) {
                                Ok(tcp) => connection::run(tcp, addr, edge, service, phase, draw).await,
                                Err(error) => tracing::warn!(%error, "a connection can't be served"),
                            }
                            drop((open, place));
                        },
                        &lane,
                    );
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    leave(&edge, connections, &drain).await
}

/// Tells everybody to go, waits for the grace, and ends the rest.
async fn leave(edge: &EdgeState, mut connections: JoinSet<()>, drain: &Drain) -> DrainReport {
    let calls_open =
        || usize::try_from(edge.counters.calls_open.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
    let mut report =
        DrainReport { connections: edge.open.load(Ordering::Acquire), calls: calls_open(), calls_cut: 0 };
    drain.advance(Phase::GoingAway);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(edge.limits.drain_grace, all).await.is_ok() {
        return report;
    }
    report.calls_cut = calls_open();
    drain.advance(Phase::Cut);
    let rest = async { while connections.join_next().await.is_some() {} };
    if timeout(CUT_FLUSH * 2, rest).await.is_err() {
        connections.shutdown().await;
    }
    report
}

/// A connection that may come in; the others are closed and counted.
async fn admit(
    accepted: io::Result<(TcpStream, SocketAddr)>,
    edge: &EdgeState,
    descriptors_max: Option<u64>,
) -> Option<(TcpStream, SocketAddr)> {
    let (tcp, addr) = match accepted {
        Ok(accepted) => accepted,
        Err(error) => {
            EdgeCounters::add(&edge.counters.accept_errors);
            // The peer's own doing is over with it; anything else, such as no free descriptor, is not.
            let peers = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
            if !peers.contains(&error.kind()) {
                tracing::warn!(%error, "accept failed");
                sleep(edge.limits.accept_backoff).await;
            }
            return None;
        }
    };
    EdgeCounters::add(&edge.counters.connections_accepted);
    if edge.open.load(Ordering::Acquire) >= edge.limits.connections_max {
        EdgeCounters::add(&edge.counters.connections_over_limit);
        return None;
    }
    // The system gives out the lowest free number, so a high one means that few are left.
    let number = u64::try_from(tcp.as_raw_fd()).unwrap_or(0);
    if descriptors_max.is_some_and(|max| number >= max) {
        EdgeCounters::add(&edge.counters.connections_over_descriptors);
        return None;
    }
    Some((tcp, addr))
}

/// Counts a connection as open while it lives.
struct Open(Arc<EdgeState>);

impl Open {
    fn count(edge: &Arc<EdgeState>) -> Self {
        edge.open.fetch_add(1, Ordering::AcqRel);
        EdgeCounters::add(&edge.counters.connections_open);
        Self(Arc::clone(edge))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        EdgeCounters::sub(&self.0.counters.connections_open);
    }
}

impl EdgeState {
    fn new(limits: EdgeLimits, tls: Option<ReloadableTls>, context: EdgeContext) -> Self {
        let mut http = auto::Builder::new(Streams);
        let header_list = usize::try_from(limits.header_list_max).unwrap_or(usize::MAX);
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HTTP1_HEADER_TIMEOUT)
            // One more, so that the answer to too many comes from the edge and is counted.
            .max_headers(limits.header_fields_max.saturating_add(1))
            .max_buf_size(header_list.max(HTTP1_BUFFER_MIN));
        http.http2()
            .timer(TokioTimer::new())
            // No gRPC client reads it.
            .auto_date_header(false)
            .keep_alive_interval(limits.keep_alive_interval)
            .keep_alive_timeout(limits.keep_alive_timeout)
            .max_concurrent_streams(limits.streams_max)
            .initial_stream_window_size(limits.stream_window)
            .initial_connection_window_size(limits.connection_window)
            .max_header_list_size(limits.header_list_max)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(limits.pending_reset_streams_max)
            .max_local_error_reset_streams(limits.error_reset_streams_max);
        Self {
            http1: http.clone().http1_only(),
            http2: http.http2_only(),
            limits,
            tls,
            counters: context.counters,
            clock: context.clock,
            open: AtomicUsize::new(0),
        }
    }
}

/// How many files this process may open, where the system says so.
fn descriptor_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
