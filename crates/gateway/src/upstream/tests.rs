//! The pool against real HTTP/2 servers in this process.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use oaas_capability::{Body, BoxError};
use oaas_model::{Code, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::*;

const SOON: Duration = Duration::from_secs(10);
/// Rule 10 of the gateway's correctness rules.
const CANCEL_WITHIN: Duration = Duration::from_millis(100);

/// One call at the test server.
struct Call {
    /// Calls of all connections before it.
    number: usize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

/// A server on a free port that counts.
struct Server {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Http2 {
    settings: h2::server::Builder,
    /// Calls of a connection after which it goes away.
    goaway_after: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        Self { settings: h2::server::Builder::new(), goaway_after: usize::MAX }
    }
}

impl Server {
    async fn start<F, Fut>(http2: Http2, handler: F) -> Self
    where
        F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            addr: listener.local_addr().unwrap(),
            connections: Arc::default(),
            calls: Arc::default(),
            open: Arc::default(),
        };
        let (connections, calls, open) =
            (Arc::clone(&server.connections), Arc::clone(&server.calls), Arc::clone(&server.open));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (http2, handler, calls, open) =
                    (http2.clone(), handler.clone(), Arc::clone(&calls), Arc::clone(&open));
                open.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let mut connection = http2.settings.handshake::<_, Bytes>(tcp).await.unwrap();
                    let mut here = 0;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let number = calls.fetch_add(1, Ordering::SeqCst);
                        tokio::spawn(handler(Call { number, request, respond }));
                        here += 1;
                        if here == http2.goaway_after {
                            connection.graceful_shutdown();
                        }
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    fn uri(&self) -> http::Uri {
        format!("http://{}", self.addr).parse().unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Call {
    /// Reads the request to its end and answers "pong" and OK.
    async fn pong(mut self) {
        while let Some(Ok(data)) = self.request.body_mut().data().await {
            let _ = self.request.body_mut().flow_control().release_capacity(data.len());
        }
        let Ok(mut stream) = self.respond.send_response(Response::new(()), false) else { return };
        let _ = stream.send_data(Bytes::from_static(b"pong"), false);
        let _ = stream.send_trailers(status("0"));
    }

    /// Answers with a status alone.
    fn refuse(mut self, status_code: &'static str, pushback: Option<&'static str>) {
        let mut response = Response::new(());
        *response.headers_mut() = status(status_code);
        if let Some(pushback) = pushback {
            response.headers_mut().insert("grpc-retry-pushback-ms", pushback.parse().unwrap());
        }
        let _ = self.respond.send_response(response, true);
    }
}

fn status(code: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())])
}

fn pool(config: PoolConfig) -> Pool {
    Pool::new(PoolConfig { seed: Some(7), ..config }, SystemClock::shared())
}

fn pool_of(servers: &[&Server]) -> Pool {
    pool(PoolConfig::new(servers.iter().map(|server| server.uri()).collect()))
}

fn request() -> Request<Body> {
    with_body(
        Full::new(Bytes::from_static(b"\0\0\0\0\x04ping")).map_err(|never| match never {}).boxed_unsync(),
    )
}

fn with_body(body: Body) -> Request<Body> {
    let mut request = Request::post("/test.v1.EchoService/Echo").body(body).unwrap();
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    request.headers_mut().insert("te", "trailers".parse().unwrap());
    request
}

/// A body of which the test says when it goes on.
fn open_body() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
        let next: Option<Bytes> = receiver.recv().await;
        next.map(|data| (Ok::<_, BoxError>(Frame::data(data)), receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

const READ: SendOptions = SendOptions { idempotent: true, deadline: None, max_attempts: 4 };
const WRITE: SendOptions = SendOptions { idempotent: false, ..READ };

async fn outcome(sent: Sent) -> (Bytes, Option<Code>) {
    let head = reset::grpc_status(sent.response.headers());
    let body = sent.response.into_body().collect().await.unwrap();
    let code = head.or_else(|| body.trailers().and_then(reset::grpc_status));
    (body.to_bytes(), code)
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(SOON, wait).await.is_ok(), "never: {what}");
}

#[tokio::test]
async fn trailers_come_through_and_trailers_only_stays_so() {
    let server = Server::start(Http2::default(), |call| async move {
        if call.number == 0 { call.pong().await } else { call.refuse("5", None) }
    })
    .await;
    let pool = pool_of(&[&server]);
    let sent = pool.send(request(), WRITE).await.unwrap();
    assert_eq!((sent.attempts, &*sent.endpoint), (1, format!("http://{}", server.addr).as_str()));
    assert!(reset::grpc_status(sent.response.headers()).is_none());
    assert_eq!(outcome(sent).await, (Bytes::from_static(b"pong"), Some(Code::Ok)));
    let sent = pool.send(request(), WRITE).await.unwrap();
    assert!(http_body::Body::is_end_stream(sent.response.body()), "one head, nothing after it");
    assert_eq!(outcome(sent).await, (Bytes::new(), Some(Code::NotFound)));
    assert_eq!(server.connections(), 1);
}

/// Starts a server that tells when its stream is reset, and how.
async fn reset_teller(answer: bool) -> (Server, mpsc::Receiver<Reason>) {
    let (tell, told) = mpsc::channel(1);
    let server = Server::start(Http2::default(), move |mut call| {
        let tell = tell.clone();
        async move {
            let reason = if answer {
                let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
                std::future::poll_fn(|cx| stream.poll_reset(cx)).await
            } else {
                std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await
            };
            tell.send(reason.unwrap()).await.unwrap();
        }
    })
    .await;
    (server, told)
}

#[tokio::test]
async fn dropping_the_call_before_the_head_resets_the_stream() {
    let (server, mut told) = reset_teller(false).await;
    let pool = pool_of(&[&server]);
    for body in [request(), with_body(open_body().1)] {
        let before = server.calls();
        let task = tokio::spawn({
            let pool = pool.clone();
            async move { pool.send(body, WRITE).await.map(|_| ()) }
        });
        eventually("the call arrives", || server.calls() > before).await;
        task.abort();
        let reason = timeout(CANCEL_WITHIN, told.recv()).await.expect("in time");
        assert_eq!(reason, Some(Reason::CANCEL));
    }
}

#[tokio::test]
async fn dropping_the_body_resets_the_stream_even_when_the_upload_is_stuck() {
    let (server, mut told) = reset_teller(true).await;
    let pool = pool_of(&[&server]);
    let (sender, body) = open_body();
    // More than the server's window, which it never opens.
    sender.send(Bytes::from(vec![0; 200_000])).await.unwrap();
    let sent = pool.send(with_body(body), WRITE).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    drop(sent);
    let reason = timeout(CANCEL_WITHIN, told.recv()).await.expect("in time");
    assert_eq!(reason, Some(Reason::CANCEL));
}

#[tokio::test]
async fn a_caller_that_breaks_off_cancels_the_call() {
    let (server, mut told) = reset_teller(false).await;
    let (sender, start) = open_body();
    sender.send(Bytes::from_static(b"half")).await.unwrap();
    let break_off = futures_util::stream::once(async move {
        sleep(Duration::from_millis(50)).await;
        drop(sender);
        Err::<Frame<Bytes>, BoxError>("gone".into())
    });
    let start = http_body_util::BodyStream::new(start).take(1);
    let body = StreamBody::new(start.chain(break_off)).boxed_unsync();
    let error = pool_of(&[&server]).send(with_body(body), READ).await.err().unwrap();
    assert_eq!((error.phase, error.code(), error.attempts), (Phase::RequestBody, Code::Cancelled, 1));
    assert_eq!(timeout(SOON, told.recv()).await.unwrap(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn both_directions_flow_at_once() {
    let server = Server::start(Http2::default(), |mut call| async move {
        let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = call.request.body_mut().data().await {
            let _ = call.request.body_mut().flow_control().release_capacity(data.len());
            stream.send_data(data, false).unwrap();
        }
        stream.send_trailers(status("0")).unwrap();
    })
    .await;
    let (sender, body) = open_body();
    let sent = pool_of(&[&server]).send(with_body(body), WRITE).await.unwrap();
    let mut body = sent.response.into_body();
    for text in ["one", "two", "three"] {
        sender.send(Bytes::from(text)).await.unwrap();
        let frame = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    drop(sender);
    let trailers = timeout(SOON, body.frame()).await.unwrap().unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(reset::grpc_status(&trailers), Some(Code::Ok));
}

#[tokio::test]
async fn a_dead_endpoint_is_avoided() {
    let server = Server::start(Http2::default(), Call::pong).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    // Bound and listening, but never speaking HTTP/2.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uris = vec![
        format!("http://{dead}").parse().unwrap(),
        server.uri(),
        format!("http://{}", mute.local_addr().unwrap()).parse().unwrap(),
    ];
    let pool = pool(PoolConfig::new(uris));
    for _ in 0..100 {
        let sent = timeout(SOON, pool.send(request(), WRITE)).await.expect("waits for nobody").unwrap();
        assert_eq!(sent.attempts, 1);
        assert_eq!(outcome(sent).await.1, Some(Code::Ok));
    }
    let states = pool.endpoints();
    assert_eq!(states[0].status, EndpointStatus::Waiting);
    assert!(states[0].last_error.is_some() && states[0].connect_failures > 0);
    assert_eq!(states[1].status, EndpointStatus::Ready);
    assert_eq!(states[2].status, EndpointStatus::Connecting);
}

#[tokio::test]
async fn nobody_there_fails_soon_and_provably_unexecuted() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let pool = pool(PoolConfig::new(vec![format!("http://{dead}").parse().unwrap()]));
    let error = timeout(SOON, pool.send(request(), WRITE)).await.unwrap().err().unwrap();
    assert_eq!(
        (error.phase, error.executed, error.code()),
        (Phase::Connect, Executed::False, Code::Unavailable)
    );
    assert!(error.retry_after.is_some() && error.source.is_some());
    let none = Pool::new(PoolConfig::default(), SystemClock::shared());
    assert_eq!(none.send(request(), WRITE).await.err().unwrap().phase, Phase::NoEndpoint);
}

#[tokio::test]
async fn an_endpoint_that_fails_in_a_row_is_ejected() {
    let good = Server::start(Http2::default(), Call::pong).await;
    let bad = Server::start(Http2::default(), |call| async move { call.refuse("14", None) }).await;
    let config = PoolConfig {
        // Equal costs, so that only the ejection keeps calls away.
        failure_penalty: Duration::ZERO,
        ..PoolConfig::new(vec![good.uri(), bad.uri()])
    };
    let pool = pool(config);
    for _ in 0..200 {
        outcome(pool.send(request(), WRITE).await.unwrap()).await;
    }
    assert_eq!(pool.endpoints()[1].status, EndpointStatus::Ejected);
    assert_eq!(bad.calls(), 5, "ejected after five in a row");
}

#[tokio::test]
async fn retries_keep_to_their_budget() {
    let refuse = |call: Call| async move { call.refuse("14", None) };
    let (one, two) =
        (Server::start(Http2::default(), refuse).await, Server::start(Http2::default(), refuse).await);
    let config = PoolConfig {
        retry_backoff: Duration::from_micros(10),
        eject_after: u32::MAX,
        ..PoolConfig::new(vec![one.uri(), two.uri()])
    };
    let pool = pool(config);
    let calls = 500;
    for _ in 0..calls {
        let sent = pool.send(request(), READ).await.unwrap();
        assert_eq!(outcome(sent).await.1, Some(Code::Unavailable), "the upstream's own answer");
    }
    let made = one.calls() + two.calls();
    assert!(made > calls, "some were retried: {made}");
    assert!(made <= calls + calls / 10 + 10, "{made} of at most a tenth more, and the reserve");
}

#[tokio::test]
async fn idempotent_calls_are_retried_elsewhere_unless_told_not_to() {
    let good = Server::start(Http2::default(), Call::pong).await;
    let bad = Server::start(Http2::default(), |call| async move {
        let previous = call.request.headers().contains_key("grpc-previous-rpc-attempts");
        assert!(!previous, "a retry never comes to the same endpoint");
        call.refuse("14", None);
    })
    .await;
    let never = Server::start(Http2::default(), |call| async move { call.refuse("14", Some("-1")) }).await;
    let config =
        |uris| PoolConfig { eject_after: u32::MAX, failure_penalty: Duration::ZERO, ..PoolConfig::new(uris) };
    let both = pool(config(vec![good.uri(), bad.uri()]));
    // Before the budget's reserve is used up.
    while bad.calls() < 5 {
        let sent = both.send(request(), READ).await.unwrap();
        assert!(sent.attempts <= 2);
        assert_eq!(outcome(sent).await.1, Some(Code::Ok));
    }
    let told = pool(config(vec![good.uri(), never.uri()]));
    while never.calls() < 5 {
        let before = never.calls();
        let sent = told.send(request(), READ).await.unwrap();
        let expect = if never.calls() > before { Code::Unavailable } else { Code::Ok };
        assert_eq!((sent.attempts, outcome(sent).await.1), (1, Some(expect)));
    }
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_once_whatever_the_method() {
    let once = Server::start(Http2::default(), |mut call| async move {
        if call.number == 0 { call.respond.send_reset(Reason::REFUSED_STREAM) } else { call.pong().await }
    })
    .await;
    let sent = pool_of(&[&once]).send(request(), WRITE).await.unwrap();
    assert_eq!((sent.attempts, outcome(sent).await), (2, (Bytes::from_static(b"pong"), Some(Code::Ok))));

    let always =
        Server::start(
            Http2::default(),
            |mut call| async move { call.respond.send_reset(Reason::REFUSED_STREAM) },
        )
        .await;
    let error = pool_of(&[&always]).send(request(), WRITE).await.err().unwrap();
    assert_eq!((error.attempts, error.executed, error.code()), (2, Executed::False, Code::Unavailable));
    assert_eq!((error.phase, always.calls()), (Phase::Reset(7), 2));
}

#[tokio::test]
async fn other_resets_are_told_apart_and_not_repeated() {
    for (reason, code) in [
        (Reason::CANCEL, Code::Cancelled),
        (Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (Reason::INTERNAL_ERROR, Code::Internal),
    ] {
        let server =
            Server::start(Http2::default(), move |mut call| async move { call.respond.send_reset(reason) })
                .await;
        let error = pool_of(&[&server]).send(request(), READ).await.err().unwrap();
        assert_eq!(
            (error.code(), error.executed, error.attempts),
            (code, Executed::Unknown, 1),
            "{reason:?}"
        );
    }
    // After the head it is the body that says so.
    let server = Server::start(Http2::default(), |mut call| async move {
        let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
        sleep(Duration::from_millis(20)).await;
        stream.send_reset(Reason::CANCEL);
    })
    .await;
    let sent = pool_of(&[&server]).send(request(), READ).await.unwrap();
    let error = sent.response.into_body().collect().await.unwrap_err();
    assert_eq!(reset_code(&error).unwrap().code, Code::Cancelled);
}

#[tokio::test]
async fn going_away_under_load_loses_no_call() {
    let http2 = Http2 { goaway_after: 20, ..Http2::default() };
    let (one, two) = (Server::start(http2.clone(), Call::pong).await, Server::start(http2, Call::pong).await);
    for options in [READ, WRITE] {
        let pool = pool_of(&[&one, &two]);
        let before = one.connections() + two.connections();
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for _ in 0..50 {
                        let sent = pool.send(request(), options).await.unwrap();
                        assert_eq!(outcome(sent).await.1, Some(Code::Ok));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(one.connections() + two.connections() - before >= 20, "connections did go away");
    }
    assert_eq!(one.calls() + two.calls(), 1_600, "none was executed twice");
}

#[tokio::test]
async fn a_full_connection_opens_another_one_up_to_the_limit() {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(2);
    let release = Arc::new(Notify::new());
    let hold = Arc::clone(&release);
    let server = Server::start(Http2 { settings, ..Http2::default() }, move |call| {
        let hold = Arc::clone(&hold);
        async move {
            hold.notified().await;
            call.pong().await;
        }
    })
    .await;
    let pool = pool(PoolConfig { connections_max: 3, ..PoolConfig::new(vec![server.uri()]) });
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { outcome(pool.send(request(), WRITE).await.unwrap()).await.1 })
        })
        .collect();
    eventually("six calls are there", || server.calls() == 6).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!((server.calls(), server.connections()), (6, 3), "the others wait");
    for _ in 0..8 {
        release.notify_one();
        sleep(Duration::from_millis(5)).await;
    }
    for task in tasks {
        assert_eq!(timeout(SOON, task).await.unwrap().unwrap(), Some(Code::Ok));
    }
    assert_eq!((server.calls(), server.connections()), (8, 3));
}

#[tokio::test]
async fn a_proxy_that_cancels_much_keeps_its_connection() {
    let server = Server::start(Http2::default(), |mut call| async move {
        let Ok(mut stream) = call.respond.send_response(Response::new(()), false) else { return };
        // Data that is under way when the reset comes.
        while stream.send_data(Bytes::from_static(&[0; 1_000]), false).is_ok() {
            tokio::task::yield_now().await;
            if stream.poll_reset(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready() {
                return;
            }
        }
    })
    .await;
    let pool = pool_of(&[&server]);
    for _ in 0..1_500 {
        drop(pool.send(request(), WRITE).await.unwrap());
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_reader_that_stops_holds_back_the_upstream() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let server = Server::start(Http2::default(), move |mut call| {
        let count = Arc::clone(&count);
        async move {
            let mut stream = call.respond.send_response(Response::new(()), false).unwrap();
            loop {
                stream.reserve_capacity(1_000);
                match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(Ok(room)) => {
                        stream.send_data(Bytes::from(vec![0; room.min(1_000)]), false).unwrap();
                        count.fetch_add(room.min(1_000), Ordering::SeqCst);
                    }
                    _ => return,
                }
            }
        }
    })
    .await;
    let sent = pool_of(&[&server]).send(request(), WRITE).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    let held = taken.load(Ordering::SeqCst);
    assert!((32 * 1024..=64 * 1024).contains(&held), "one window, not more: {held}");
    let mut body = sent.response.into_body();
    let mut read = 0;
    while read < 200_000 {
        read += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
    }
}

#[tokio::test]
async fn an_old_connection_is_renewed_and_its_calls_finish() {
    let server = Server::start(Http2::default(), |call| async move {
        sleep(Duration::from_millis(if call.number == 0 { 400 } else { 0 })).await;
        call.pong().await;
    })
    .await;
    let config =
        PoolConfig { connection_age_max: Duration::from_millis(200), ..PoolConfig::new(vec![server.uri()]) };
    let pool = pool(config);
    let long = tokio::spawn({
        let pool = pool.clone();
        async move { outcome(pool.send(request(), WRITE).await.unwrap()).await.1 }
    });
    sleep(Duration::from_millis(300)).await;
    assert_eq!(outcome(pool.send(request(), WRITE).await.unwrap()).await.1, Some(Code::Ok));
    assert_eq!(server.connections(), 2);
    assert_eq!(long.await.unwrap(), Some(Code::Ok));
    eventually("the old one closes", || server.open.load(Ordering::SeqCst) == 1).await;
    drop(pool);
    eventually("dropping the pool closes all", || server.open.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn the_upstream_hears_the_time_that_remains() {
    let (tell, mut told) = mpsc::channel(1);
    let server = Server::start(Http2::default(), move |call| {
        let tell = tell.clone();
        async move {
            let timeout = call.request.headers().get_all("grpc-timeout").iter().cloned().collect::<Vec<_>>();
            tell.send(timeout).await.unwrap();
            call.pong().await;
        }
    })
    .await;
    let clock = SystemClock::shared();
    let pool = Pool::new(PoolConfig::new(vec![server.uri()]), Arc::clone(&clock));
    let mut stale = request();
    stale.headers_mut().insert("grpc-timeout", "99S".parse().unwrap());
    let deadline = Some(clock.now().plus(Duration::from_secs(2)));
    pool.send(stale, SendOptions { deadline, ..WRITE }).await.unwrap();
    let heard = told.recv().await.unwrap();
    assert_eq!(heard.len(), 1);
    let us: u64 = heard[0].to_str().unwrap().trim_end_matches('u').parse().unwrap();
    assert!((1_000_000..=1_995_000).contains(&us), "less than the caller's two seconds: {us}");

    let late = SendOptions { deadline: Some(clock.now()), ..WRITE };
    let error = pool.send(request(), late).await.err().unwrap();
    assert_eq!((error.phase, error.executed), (Phase::Deadline, Executed::False));
    assert_eq!(server.calls(), 1);
}

/// A relay that stops passing bytes on when told to, as a machine that lost its power does.
async fn relay(to: SocketAddr) -> (SocketAddr, Arc<std::sync::atomic::AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&silent);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
            let silent = Arc::clone(&told);
            tokio::spawn(async move {
                let passing = tokio::io::copy_bidirectional(&mut near, &mut far);
                let stop = async {
                    while !silent.load(Ordering::SeqCst) {
                        sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! { _ = passing => return, () = stop => {} }
                // Nothing is closed and nothing answers.
                std::future::pending::<()>().await;
            });
        }
    });
    (addr, silent)
}

#[tokio::test]
async fn a_peer_that_fell_silent_is_found_by_the_first_call_that_was_given_up() {
    let server = Server::start(Http2::default(), Call::pong).await;
    let (addr, silent) = relay(server.addr).await;
    let config = PoolConfig {
        keep_alive_timeout: Duration::from_millis(100),
        ..PoolConfig::new(vec![format!("http://{addr}").parse().unwrap()])
    };
    let pool = pool(config);
    outcome(pool.send(request(), WRITE).await.unwrap()).await;
    silent.store(true, Ordering::SeqCst);
    sleep(Duration::from_millis(20)).await;
    let given_up = timeout(Duration::from_millis(50), pool.send(request(), WRITE)).await;
    assert!(given_up.is_err(), "nobody answers");
    silent.store(false, Ordering::SeqCst);
    eventually("the dead connection is dropped", || pool.endpoints()[0].connections == 0).await;
    assert_eq!(outcome(pool.send(request(), WRITE).await.unwrap()).await.1, Some(Code::Ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_place_is_given_back_whatever_the_caller_does() {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(4);
    let http2 = Http2 { settings, goaway_after: 50 };
    let server = Server::start(http2, |mut call| async move {
        match call.number % 5 {
            0 => call.refuse("14", None),
            1 => call.respond.send_reset(Reason::INTERNAL_ERROR),
            2 => sleep(Duration::from_millis(3)).await,
            _ => call.pong().await,
        }
    })
    .await;
    let pool = pool(PoolConfig { connections_max: 2, ..PoolConfig::new(vec![server.uri()]) });
    let tasks: Vec<_> = (0..32u64)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for n in 0..50u64 {
                    let patience = Duration::from_micros((task * 7 + n * 131) % 4_000);
                    if let Ok(Ok(sent)) = timeout(patience, pool.send(request(), READ)).await
                        && n % 3 > 0
                    {
                        let _ = sent.response.into_body().collect().await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    eventually("no call is in flight", || pool.endpoints()[0].in_flight == 0).await;
    // As many at once as there are places, none of which may have been lost.
    let last: Vec<_> = (0..16)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.send(request(), READ).await.map(|sent| sent.attempts) })
        })
        .collect();
    for call in last {
        let ended = timeout(SOON, call).await.expect("nobody waits for ever").unwrap();
        assert!(!ended.is_err_and(|error| error.phase == Phase::NoEndpoint), "a place was lost");
    }
}
