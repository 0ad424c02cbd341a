//! One client connection: its counts, its clocks, and the reasons for which it ends.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use oaas_capability::{Body, BoxError};
use oaas_model::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tower::Service;

use super::accept::EdgeState;
use super::counters::EdgeCounters;
use super::drain::Phase;
use super::frames::Metered;
use super::limits::EdgeLimits;
use super::preface::{self, Prefixed, Version};
use super::service;
use super::tls;
use super::unread::Streams;
use super::{Arrival, PeerInfo};
use crate::lanes;

/// Looks at an idle connection within its idle time; it is closed after one more than these quiet ones.
const IDLE_LOOKS: u32 = 4;
/// Time for the last words of calls that are cut.
pub(super) const CUT_FLUSH: Duration = Duration::from_millis(500);
/// Time for the GOAWAY of a connection that is closed without calls in flight.
const CLOSE_FLUSH: Duration = Duration::from_secs(1);

/// What a connection's calls and its clocks share.
pub(super) struct Connection {
    edge: Arc<EdgeState>,
    peer: Arc<PeerInfo>,
    in_flight: AtomicU64,
    requests: AtomicU64,
    early_resets: AtomicU64,
    first_request: Notify,
    flooded: Notify,
    cut: Arc<Notify>,
    is_cut: AtomicBool,
}

impl Connection {
    fn new(edge: &Arc<EdgeState>, peer: PeerInfo) -> Arc<Self> {
        Arc::new(Self {
            edge: Arc::clone(edge),
            peer: Arc::new(peer),
            in_flight: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            early_resets: AtomicU64::new(0),
            first_request: Notify::new(),
            flooded: Notify::new(),
            cut: Arc::new(Notify::new()),
            is_cut: AtomicBool::new(false),
        })
    }

    pub(super) fn limits(&self) -> &EdgeLimits {
        &self.edge.limits
    }

    pub(super) fn counters(&self) -> &EdgeCounters {
        &self.edge.counters
    }
}

/// One call in flight. Dropped before its end, it was given up by the client.
pub(super) struct CallCount {
    connection: Arc<Connection>,
    started: Timestamp,
    finished: bool,
}

impl CallCount {
    pub(super) fn start(connection: &Arc<Connection>) -> Self {
        if connection.requests.fetch_add(1, Ordering::AcqRel) == 0 {
            connection.first_request.notify_one();
        }
        connection.in_flight.fetch_add(1, Ordering::AcqRel);
        lanes::began();
        EdgeCounters::add(&connection.counters().calls_open);
        let started = connection.edge.clock.now();
        Self { connection: Arc::clone(connection), started, finished: false }
    }

    /// What the call's request says of its coming.
    pub(super) fn arrival(&self) -> Arrival {
        Arrival { peer: Arc::clone(&self.connection.peer), at: self.started }
    }

    /// Told when a drain ends the call.
    pub(super) fn cut(&self) -> OwnedNotified {
        Arc::clone(&self.connection.cut).notified_owned()
    }

    /// The response went out to its end, which may be the one that a drain made.
    pub(super) fn finish(&mut self) {
        self.finished = true;
        if self.connection.is_cut.load(Ordering::Acquire) {
            EdgeCounters::add(&self.connection.counters().drain_cut_calls);
        }
    }
}

impl Drop for CallCount {
    fn drop(&mut self) {
        let Connection { edge, in_flight, requests, early_resets, flooded, .. } = &*self.connection;
        in_flight.fetch_sub(1, Ordering::AcqRel);
        lanes::ended();
        EdgeCounters::sub(&edge.counters.calls_open);
        let limits = &edge.limits;
        if self.finished || edge.clock.now().since(self.started) >= limits.early_reset_within {
            return;
        }
        let early = early_resets.fetch_add(1, Ordering::AcqRel) + 1;
        if early >= limits.early_resets_max && early * 2 > requests.load(Ordering::Acquire) {
            flooded.notify_one();
        }
    }
}

/// Serves one accepted connection to its end.
pub(super) async fn run<S, F>(
    tcp: TcpStream,
    addr: SocketAddr,
    edge: Arc<EdgeState>,
    service: S,
    mut phase: watch::Receiver<Phase>,
    draw: f64,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = F>
        + Clone
        + Send
        + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    // Small frames must not wait for the client's delayed acknowledgement.
    let _ = tcp.set_nodelay(true);
    let leaving = phase.clone();
    let opened = async {
        let Some(tls) = &edge.tls else {
            let peer = PeerInfo::new(addr, Arc::from([]), false);
            return open(tcp, peer, &edge).await.map(|(io, version, peer)| (Io::Plain(io), version, peer));
        };
        let handshake = TlsAcceptor::from(tls.current()).accept(tcp);
        match timeout(edge.limits.tls_handshake, handshake).await {
            Ok(Ok(stream)) => {
                let san_uris = tls::san_uris(stream.get_ref().1);
                let peer = PeerInfo::new(addr, san_uris, true);
                let opened = open(stream, peer, &edge).await;
                opened.map(|(io, version, peer)| (Io::Tls(Box::new(io)), version, peer))
            }
            Ok(Err(error)) => {
                tracing::debug!(%addr, %error, "tls handshake failed");
                EdgeCounters::add(&edge.counters.tls_failed);
                None
            }
            Err(_) => {
                EdgeCounters::add(&edge.counters.tls_timeouts);
                None
            }
        }
    };
    // Nothing is lost with a connection that has not sent a request yet.
    let opened = tokio::select! {
        opened = opened => opened,
        () = reached(leaving, Phase::GoingAway) => None,
    };
    match opened {
        Some((Io::Plain(io), version, peer)) => {
            serve(io, version, peer, &edge, service, &mut phase, draw).await;
        }
        Some((Io::Tls(io), version, peer)) => {
            serve(*io, version, peer, &edge, service, &mut phase, draw).await;
        }
        None => {}
    }
}

enum Io {
    Plain(Prefixed<TcpStream>),
    Tls(Box<Prefixed<tokio_rustls::server::TlsStream<TcpStream>>>),
}

/// Reads which HTTP it is, in time.
async fn open<T: AsyncRead + Unpin>(
    io: T,
    peer: PeerInfo,
    edge: &EdgeState,
) -> Option<(Prefixed<T>, Version, PeerInfo)> {
    match timeout(edge.limits.preface, preface::read(io)).await {
        Ok(Ok((version, io))) => Some((io, version, peer)),
        Ok(Err(_)) => None,
        Err(_) => {
            EdgeCounters::add(&edge.counters.preface_timeouts);
            None
        }
    }
}

async fn serve<T, S, F>(
    io: Prefixed<T>,
    version: Version,
    peer: PeerInfo,
    edge: &Arc<EdgeState>,
    service: S,
    phase: &mut watch::Receiver<Phase>,
    draw: f64,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = F>
        + Clone
        + Send
        + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let connection = Connection::new(edge, peer);
    let shared = Arc::clone(&connection);
    let answer = service_fn(move |request| service::answer(&shared, service.clone(), request));
    match version {
        Version::Http1 => {
            let http = edge.http1.serve_connection(TokioIo::new(io), answer);
            watch_over(std::pin::pin!(http), &connection, phase, draw).await;
        }
        Version::Http2 => {
            let io = Metered::new(io, &connection, Arc::clone(&edge.clock));
            let http = edge.http2.serve_connection(TokioIo::new(io), answer);
            watch_over(std::pin::pin!(http), &connection, phase, draw).await;
        }
    }
}

/// An HTTP connection that can be told to go away.
trait Http: Future<Output = Result<(), BoxError>> {
    fn go_away(self: Pin<&mut Self>);
}

impl<I, S, B> Http for auto::Connection<'_, I, S, Streams>
where
    S: hyper::service::Service<Request<hyper::body::Incoming>, Response = Response<B>>,
    S::Future: 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body + 'static,
    B::Error: Into<BoxError>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    Streams: auto::HttpServerConnExec<S::Future, B>,
{
    fn go_away(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Runs a connection until it ends or one of its clocks does.
async fn watch_over(
    mut http: Pin<&mut impl Http>,
    connection: &Arc<Connection>,
    phase: &mut watch::Receiver<Phase>,
    draw: f64,
) {
    let (limits, counters) = (connection.limits(), connection.counters());
    let first_headers = async {
        if timeout(limits.first_headers, connection.first_request.notified()).await.is_ok() {
            pending::<()>().await;
        }
    };
    let life = limits.age_max.mul_f64((1.0 + limits.age_jitter * (2.0 * draw - 1.0)).max(0.0));
    let mut first_headers = std::pin::pin!(first_headers);
    let mut idle = std::pin::pin!(idle(connection, limits.idle));
    let mut age = std::pin::pin!(sleep(life));
    let mut end = std::pin::pin!(sleep(Duration::ZERO));
    let (mut leaving, mut aged) = (false, false);
    loop {
        tokio::select! {
            ended = http.as_mut() => return ended.unwrap_or_else(|error| count_error(&error, counters)),
            () = &mut first_headers, if !leaving => {
                return EdgeCounters::add(&counters.first_headers_timeouts);
            }
            () = connection.flooded.notified() => {
                return EdgeCounters::add(&counters.early_reset_floods);
            }
            () = &mut idle, if !leaving => {
                EdgeCounters::add(&counters.idle_closed);
                leaving = true;
                http.as_mut().go_away();
                end.as_mut().reset(Instant::now() + CLOSE_FLUSH);
            }
            () = &mut age, if !leaving => {
                EdgeCounters::add(&counters.aged);
                (leaving, aged) = (true, true);
                http.as_mut().go_away();
                end.as_mut().reset(Instant::now() + limits.age_grace);
            }
            () = reached(phase.clone(), Phase::GoingAway), if !leaving || aged => {
                http.as_mut().go_away();
                // From here on the accept loop's clock counts: it says when the grace is over.
                return until_cut(http, connection, phase).await;
            }
            () = &mut end, if leaving => {
                if aged && connection.in_flight.load(Ordering::Acquire) > 0 {
                    EdgeCounters::add(&counters.aged_cut);
                }
                return;
            }
        }
    }
}

/// Runs a connection that a drain told to go away: to its end, or to the end of the grace.
async fn until_cut(
    mut http: Pin<&mut impl Http>,
    connection: &Arc<Connection>,
    phase: &mut watch::Receiver<Phase>,
) {
    tokio::select! {
        ended = http.as_mut() => {
            return ended.unwrap_or_else(|error| count_error(&error, connection.counters()));
        }
        () = reached(phase.clone(), Phase::Cut) => {
            connection.is_cut.store(true, Ordering::Release);
            connection.cut.notify_waiters();
        }
    }
    let _ = timeout(CUT_FLUSH, http).await;
}

/// Returns when the drain has come to `wanted`.
async fn reached(mut phase: watch::Receiver<Phase>, wanted: Phase) {
    if phase.wait_for(|phase| *phase >= wanted).await.is_err() {
        // Every handle of the drain is gone: there will be none.
        pending::<()>().await;
    }
}

/// Returns when no call was in flight for as long as `limit`, or up to a quarter longer.
async fn idle(connection: &Connection, limit: Duration) {
    let look = limit / IDLE_LOOKS;
    let (mut quiet, mut requests) = (0, 0);
    let mut next = Instant::now();
    while quiet <= IDLE_LOOKS {
        next += look;
        sleep_until(next).await;
        let seen = connection.requests.load(Ordering::Acquire);
        let still = connection.in_flight.load(Ordering::Acquire) == 0 && seen == requests;
        quiet = if still { quiet + 1 } else { 0 };
        requests = seen;
    }
}

fn count_error(error: &BoxError, counters: &EdgeCounters) {
    if let Some(http) = error.downcast_ref::<hyper::Error>() {
        if http.is_timeout() {
            return EdgeCounters::add(&counters.keep_alive_timeouts);
        }
        if http.is_parse() {
            return EdgeCounters::add(&counters.protocol_errors);
        }
    }
    match crate::upstream::http2_error(&**error) {
        Some(error) if error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => {
            EdgeCounters::add(&counters.excessive);
        }
        Some(error) if error.is_library() => EdgeCounters::add(&counters.protocol_errors),
        _ => {}
    }
}
