//! A gRPC service of bare HTTP/2 that misbehaves on demand: each request says in `x-behave` what is to
//! happen to it, so that tests run beside one another.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use oaas_model::Timestamp;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::client::frame;
use crate::platform::now;

/// The service's contract. All messages are the same, so that any method can stand in for another.
const PROTO: &str = r#"
syntax = "proto3";
package it.echo.v1;
message Echo {
  string text = 1;
  bytes data = 2;
  int64 amount_minor = 3;
  string batch = 4;
}
service EchoService {
  rpc Read(Echo) returns (Echo);
  rpc Write(Echo) returns (Echo);
  rpc Collect(stream Echo) returns (Echo);
  rpc Spread(Echo) returns (stream Echo);
  rpc Chat(stream Echo) returns (stream Echo);
  rpc Small(Echo) returns (Echo);
  rpc Other(Echo) returns (Echo);
}
"#;

/// Where the catalog finds the descriptors.
pub const DESCRIPTORS: &str = "echo.binpb";
pub const READ: &str = "/it.echo.v1.EchoService/Read";
pub const WRITE: &str = "/it.echo.v1.EchoService/Write";
pub const COLLECT: &str = "/it.echo.v1.EchoService/Collect";
pub const SPREAD: &str = "/it.echo.v1.EchoService/Spread";
pub const CHAT: &str = "/it.echo.v1.EchoService/Chat";
pub const SMALL: &str = "/it.echo.v1.EchoService/Small";

/// The encoded descriptors.
pub fn descriptors() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.proto");
    std::fs::write(&path, PROTO).unwrap();
    prost::Message::encode_to_vec(&protox::compile([&path], [folder.path()]).unwrap())
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How the caller reset the stream, and when.
    pub reset: Option<(Reason, Timestamp)>,
    /// The whole request came.
    pub complete: bool,
    /// Bytes of the answer that HTTP/2 had room for.
    pub sent: usize,
}

impl Seen {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The running service.
pub struct Upstream {
    pub address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    /// Attempts by `x-key`.
    attempts: Mutex<HashMap<String, u32>>,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same over TLS.
    pub async fn start_tls(config: rustls::ServerConfig) -> Self {
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => connection(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, state, accepting }
    }

    /// Everything that came, in its order.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().clone()
    }

    /// The last request with this value of `x-key`.
    pub fn with_key(&self, key: &str) -> Option<Seen> {
        self.seen().into_iter().rev().find(|seen| seen.text("x-key") == Some(key))
    }

    /// How many requests came with this value of `x-key`.
    pub fn count(&self, key: &str) -> usize {
        self.state.seen.lock().iter().filter(|seen| seen.text("x-key") == Some(key)).count()
    }

    /// Bytes of the answer to this request that are on their way.
    pub fn sent(&self, key: &str) -> usize {
        self.with_key(key).map_or(0, |seen| seen.sent)
    }

    /// Its catalog file; `service` and `methods` are YAML, the second one by method name.
    pub fn catalog(&self, service: &str, methods: &[(&str, &str)]) -> String {
        catalog(&[self.address], service, methods)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The catalog file of the service at `endpoints`.
pub fn catalog(endpoints: &[SocketAddr], service: &str, methods: &[(&str, &str)]) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|address| format!("\"http://{address}\"")).collect();
    let own = [
        ("Read", "effect: read, idempotent: true"),
        ("Write", "effect: write"),
        ("Collect", "effect: read"),
        ("Spread", "effect: read"),
        ("Chat", "effect: read"),
        ("Small", "effect: read, request_bytes_max: 1000, response_bytes_max: 1000"),
        ("Other", "effect: read"),
    ];
    let lines: Vec<String> = own
        .iter()
        .map(|(name, plain)| {
            let given = methods.iter().find(|(method, _)| method == name).map_or(*plain, |(_, yaml)| yaml);
            format!("  {name}: {{ {given} }}\n")
        })
        .collect();
    format!(
        "service: it.echo.v1.EchoService\n\
         title: {{ en: Echo, zh: 回声 }}\n\
         summary: {{ en: Says it again., zh: 再说一遍。 }}\n\
         owner: team@example.com\n\
         domain: echo\n\
         stage: beta\n\
         upstream:\n  endpoints: [{}]\n  descriptors: {{ file: {DESCRIPTORS} }}\n\
         {service}\nmethods:\n{}",
        endpoints.join(", "),
        lines.concat()
    )
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let Ok(mut connection) = h2::server::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .max_concurrent_streams(1_000)
        .handshake::<_, Bytes>(stream)
        .await
    else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(exchange(request, respond, Arc::clone(&state)));
    }
}

/// What a request asks for.
struct Wish(Vec<String>);

impl Wish {
    fn of(headers: &HeaderMap) -> Self {
        let text = headers.get("x-behave").map_or("", |value| value.to_str().unwrap());
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    fn has(&self, word: &str) -> bool {
        self.0.iter().any(|own| own == word)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).map(|text| text.parse().unwrap())
    }
}

async fn exchange(request: Request<RecvStream>, respond: SendResponse<Bytes>, state: Arc<State>) {
    let (parts, body) = request.into_parts();
    let index = {
        let mut seen = state.seen.lock();
        seen.push(Seen {
            path: parts.uri.path().to_owned(),
            headers: parts.headers.clone(),
            body: Bytes::new(),
            reset: None,
            complete: false,
            sent: 0,
        });
        seen.len() - 1
    };
    let attempt = parts.headers.get("x-key").map_or(1, |key| {
        let mut attempts = state.attempts.lock();
        let count = attempts.entry(key.to_str().unwrap().to_owned()).or_default();
        *count += 1;
        *count
    });
    let wish = Wish::of(&parts.headers);
    Exchange { wish, attempt, index, state, encoding: parts.headers.get("grpc-encoding").cloned() }
        .run(body, respond)
        .await;
}

struct Exchange {
    wish: Wish,
    attempt: u32,
    index: usize,
    state: Arc<State>,
    encoding: Option<HeaderValue>,
}

impl Exchange {
    async fn run(self, mut body: RecvStream, mut respond: SendResponse<Bytes>) {
        let wish = &self.wish;
        // `fail=N` holds for the first N attempts of a key alone.
        let failing = wish.number("fail").is_none_or(|most| u64::from(self.attempt) <= most);
        if let Some(code) = wish.number("reset").filter(|_| failing) {
            respond.send_reset(Reason::from(u32::try_from(code).unwrap()));
            return;
        }
        if let Some(ms) = wish.number("delay") {
            let asleep = tokio::time::sleep(Duration::from_millis(ms));
            tokio::select! {
                () = asleep => {}
                reset = poll_fn(|cx| respond.poll_reset(cx)) => return self.was_reset(reset),
            }
        }
        if wish.has("hang") {
            let read = self.read(&mut body);
            let reset = tokio::select! {
                () = async { read.await; std::future::pending::<()>().await } => return,
                reset = poll_fn(|cx| respond.poll_reset(cx)) => reset,
            };
            return self.was_reset(reset);
        }
        if let Some(status) = wish.number("http") {
            self.read(&mut body).await;
            let mut response = Response::builder().status(u16::try_from(status).unwrap());
            if let Some(grpc) = wish.text("status") {
                response = response.header("grpc-status", grpc);
            }
            let _ = respond.send_response(response.body(()).unwrap(), true);
            return;
        }
        if let Some(status) = wish.text("trailers-only").filter(|_| failing) {
            self.read(&mut body).await;
            let mut response = head(None);
            response.headers_mut().extend(self.trailers(status));
            let _ = respond.send_response(response, true);
            return;
        }
        let mut response = head(self.encoding.clone());
        if wish.has("html") {
            response.headers_mut().insert("content-type", HeaderValue::from_static("text/html"));
        }
        if wish.has("spoof") {
            response.headers_mut().insert("oaas-origin", HeaderValue::from_static("gateway"));
            response.headers_mut().insert("oaas-degraded", HeaderValue::from_static("spoofed"));
        }
        let Ok(down) = respond.send_response(response, false) else { return };
        self.answer(body, down).await;
    }

    async fn answer(&self, mut body: RecvStream, mut down: SendStream<Bytes>) {
        let wish = &self.wish;
        if let Some(times) = wish.number("times") {
            self.read(&mut body).await;
            let flag = u8::try_from(wish.number("flag").unwrap_or(0)).unwrap();
            let message = frame(flag, &vec![7; usize::try_from(wish.number("size").unwrap_or(3)).unwrap()]);
            for _ in 0..times {
                if let Some(ms) = wish.number("every") {
                    tokio::select! {
                        () = tokio::time::sleep(Duration::from_millis(ms)) => {}
                        reset = poll_fn(|cx| down.poll_reset(cx)) => return self.was_reset(reset),
                    }
                }
                if self.send_all(&mut down, message.clone()).await.is_err() {
                    let reset = poll_fn(|cx| down.poll_reset(cx)).await;
                    return self.was_reset(reset);
                }
            }
        } else {
            // An echo, part by part as it comes.
            let mut whole = BytesMut::new();
            loop {
                let part = tokio::select! {
                    part = body.data() => part,
                    reset = poll_fn(|cx| down.poll_reset(cx)) => return self.was_reset(reset),
                };
                match part {
                    Some(Ok(data)) => {
                        let _ = body.flow_control().release_capacity(data.len());
                        whole.extend_from_slice(&data);
                        self.note(|seen| seen.body = whole.clone().freeze());
                        if self.send_all(&mut down, data).await.is_err() {
                            return;
                        }
                    }
                    Some(Err(error)) => return self.was_reset(error.reason().ok_or(error)),
                    None => break,
                }
            }
            self.note(|seen| seen.complete = true);
        }
        if let Some(code) = wish.number("reset-late") {
            // What was sent before it should arrive before it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            down.send_reset(Reason::from(u32::try_from(code).unwrap()));
            return;
        }
        if wish.has("stall") {
            let reset = poll_fn(|cx| down.poll_reset(cx)).await;
            return self.was_reset(reset);
        }
        if wish.has("no-status") {
            let _ = down.send_data(Bytes::new(), true);
            return;
        }
        let mut trailers = self.trailers(wish.text("status").unwrap_or("0"));
        if wish.has("no-grpc-status") {
            trailers.remove("grpc-status");
        }
        let _ = down.send_trailers(trailers);
    }

    fn trailers(&self, status: &str) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            trailers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).unwrap());
        };
        set("grpc-status", status);
        set("x-trailer", "bye");
        if status != "0" {
            set("grpc-message", "as you wished");
            set("grpc-status-details-bin", "CAUSBnN0cmFuZw");
        }
        if let Some(ms) = self.wish.text("pushback") {
            set("grpc-retry-pushback-ms", ms);
        }
        if self.wish.has("spoof") {
            set("oaas-origin", "gateway");
        }
        trailers
    }

    async fn read(&self, body: &mut RecvStream) {
        let mut whole = BytesMut::new();
        while let Some(Ok(data)) = body.data().await {
            let _ = body.flow_control().release_capacity(data.len());
            whole.extend_from_slice(&data);
        }
        self.note(|seen| {
            seen.body = whole.freeze();
            seen.complete = true;
        });
    }

    async fn send_all(&self, down: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), ()> {
        while !data.is_empty() {
            down.reserve_capacity(data.len());
            match poll_fn(|cx| down.poll_capacity(cx)).await {
                Some(Ok(capacity)) => {
                    let part = data.split_to(capacity.min(data.len()));
                    self.note(|seen| seen.sent += part.len());
                    down.send_data(part, false).map_err(drop)?;
                }
                _ => return Err(()),
            }
        }
        Ok(())
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.state.seen.lock()[self.index]);
    }

    fn was_reset(&self, reset: Result<Reason, h2::Error>) {
        let reason = reset.unwrap_or(Reason::INTERNAL_ERROR);
        self.note(|seen| seen.reset = Some((reason, now())));
    }
}

fn head(encoding: Option<HeaderValue>) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("x-head", HeaderValue::from_static("hello"));
    if let Some(encoding) = encoding {
        headers.insert("grpc-encoding", encoding);
    }
    response
}

/// Waits until `what` holds; says which thing did not come true.
pub async fn until<F>(what: &str, mut holds: F)
where
    F: FnMut() -> bool,
{
    for _ in 0..1_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

/// A closed port.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
