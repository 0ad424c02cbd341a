//! The pool against real HTTP/2 servers in this process.

mod connections;
mod retries;
mod streams;

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
use crate::outcome::status_in;

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
    let head = status_in(sent.response.headers());
    let body = sent.response.into_body().collect().await.unwrap();
    let code = head.or_else(|| body.trailers().and_then(status_in));
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
