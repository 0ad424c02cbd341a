//! The edge against real clients in this process.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use oaas_capability::{Body, BoxError};
use rustls_pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::service_fn;

use super::*;
use crate::upstream::{Pool, PoolConfig, SendOptions};

const SOON: Duration = Duration::from_secs(10);
const MS: Duration = Duration::from_millis(1);

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

struct Edge {
    addr: SocketAddr,
    counters: Arc<EdgeCounters>,
    drain: Drain,
    task: JoinHandle<DrainReport>,
}

fn limits() -> EdgeLimits {
    EdgeLimits { drain_wait: Duration::ZERO, drain_grace: SOON, seed: Some(7), ..EdgeLimits::default() }
}

async fn start(limits: EdgeLimits, tls: Option<ReloadableTls>) -> Edge {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (context, drain) = (EdgeContext::default(), Drain::new());
    let counters = Arc::clone(&context.counters);
    let seen = drain.clone();
    let service = service_fn(move |request| answer(request, seen.clone()));
    let served = serve(listener, tls, limits, context, service, drain.clone());
    Edge { addr, counters, drain, task: tokio::spawn(served) }
}

/// Answers by path: `/peer` says who calls, `/slow` takes 300 ms, `/never` forever, `/endless` ends when it
/// is cut.
fn answer(request: Request<Body>, drain: Drain) -> Answer {
    Box::pin(async move {
        let peer = Arc::clone(&request.extensions().get::<Arrival>().unwrap().peer);
        let path = request.uri().path().to_owned();
        let text = match path.as_str() {
            "/peer" => format!("{} {}", peer.tls, peer.san_uris.join(",")),
            "/slow" => {
                sleep(MS * 300).await;
                String::new()
            }
            "/never" => std::future::pending().await,
            _ => String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap(),
        };
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let frames = vec![Ok::<_, BoxError>(Frame::data(Bytes::from(text))), Ok(Frame::trailers(trailers))];
        let body = futures_util::stream::iter(frames);
        let body = if path == "/endless" {
            let first = futures_util::StreamExt::take(body, 1);
            let cut = futures_util::stream::poll_fn(move |_| match drain.is_cut() {
                true => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::from_iter([(
                    "grpc-status".parse().unwrap(),
                    "14".parse().unwrap(),
                )]))))),
                false => Poll::Pending,
            });
            let endless = futures_util::StreamExt::chain(first, cut);
            StreamBody::new(endless).boxed_unsync()
        } else {
            StreamBody::new(body).boxed_unsync()
        };
        Ok(Response::new(body))
    })
}

impl Edge {
    fn count(&self, counter: impl Fn(&EdgeCounters) -> &AtomicU64) -> u64 {
        counter(&self.counters).load(Ordering::SeqCst)
    }

    async fn counts(&self, what: &str, counter: impl Fn(&EdgeCounters) -> &AtomicU64) {
        let wait = async {
            while self.count(&counter) == 0 {
                sleep(MS * 5).await;
            }
        };
        assert!(timeout(SOON, wait).await.is_ok(), "never counted: {what}");
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    async fn http2(&self) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
        let (sender, connection) = h2::client::handshake(self.tcp().await).await.unwrap();
        (sender, tokio::spawn(connection))
    }
}

fn get(path: &str) -> Request<()> {
    let request = Request::post(format!("http://edge{path}")).header("content-type", "application/grpc");
    request.body(()).unwrap()
}

async fn call(sender: &SendRequest<Bytes>, request: Request<()>) -> Result<(StatusCode, String), h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let response = sender.send_request(request, true)?.0.await?;
    let (head, mut body) = response.into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        text.extend(data);
    }
    Ok((head.status, String::from_utf8(text).unwrap()))
}

/// Reads until the peer closes; the time it took is not over `within`.
async fn closed(mut tcp: impl tokio::io::AsyncRead + Unpin, within: Duration) {
    let mut rest = Vec::new();
    let read = timeout(within, tcp.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "still open after {within:?}");
}

#[tokio::test]
async fn both_versions_on_one_port_and_a_probe() {
    let edge = start(limits(), None).await;
    let (sender, _connection) = edge.http2().await;
    assert_eq!(call(&sender, get("/peer")).await.unwrap(), (StatusCode::OK, "false ".to_owned()));
    let probe = Request::get("http://edge/").body(()).unwrap();
    let (status, text) = call(&sender, probe).await.unwrap();
    assert!(status == StatusCode::OK && !text.is_empty());
    let mut tcp = edge.tcp().await;
    tcp.write_all(b"GET / HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(SOON, tcp.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("gRPC"), "{answer}");
    assert_eq!(edge.count(|c| &c.probes), 2);
    assert_eq!(edge.count(|c| &c.connections_accepted), 2);
}

#[tokio::test]
async fn slow_openings_are_closed() {
    let short = EdgeLimits { preface: MS * 100, first_headers: MS * 200, ..limits() };
    let edge = start(short, None).await;
    let mut slow = edge.tcp().await;
    slow.write_all(b"PRI * HT").await.unwrap();
    closed(slow, SOON).await;
    assert_eq!(edge.count(|c| &c.preface_timeouts), 1);
    let (sender, connection) = edge.http2().await;
    let _ = timeout(SOON, connection).await.expect("no headers in time");
    drop(sender);
    assert_eq!(edge.count(|c| &c.first_headers_timeouts), 1);
    // HTTP/1.1 whose header never ends.
    let mut slow = edge.tcp().await;
    slow.write_all(b"POST /peer HTTP/1.1\r\nhost:").await.unwrap();
    closed(slow, SOON).await;
    assert_eq!(edge.count(|c| &c.first_headers_timeouts), 2);
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_stay() {
    let edge = start(EdgeLimits { idle: MS * 120, ..limits() }, None).await;
    let (sender, connection) = edge.http2().await;
    // Longer in flight than the idle time, twice.
    assert!(call(&sender, get("/slow")).await.is_ok());
    assert!(call(&sender, get("/slow")).await.is_ok());
    assert_eq!(edge.count(|c| &c.idle_closed), 0);
    let ended = timeout(SOON, connection).await.expect("closed").unwrap();
    assert!(ended.is_ok(), "told with GOAWAY(NO_ERROR): {ended:?}");
    assert_eq!(edge.count(|c| &c.idle_closed), 1);
}

#[tokio::test]
async fn old_connections_go_away_and_are_cut_after_the_grace() {
    let edge = start(EdgeLimits { age_max: MS * 150, age_grace: MS * 400, ..limits() }, None).await;
    let (sender, connection) = edge.http2().await;
    assert!(call(&sender, get("/slow")).await.is_ok(), "begun before the age, finished after");
    assert!(timeout(SOON, connection).await.expect("closed").unwrap().is_ok());
    assert_eq!((edge.count(|c| &c.aged), edge.count(|c| &c.aged_cut)), (1, 0));
    let (sender, _connection) = edge.http2().await;
    assert!(timeout(SOON, call(&sender, get("/never"))).await.expect("cut").is_err());
    assert_eq!(edge.count(|c| &c.aged_cut), 1);
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let edge = start(EdgeLimits { connections_max: 2, ..limits() }, None).await;
    let (one, two) = (edge.http2().await, edge.http2().await);
    assert!(call(&one.0, get("/peer")).await.is_ok() && call(&two.0, get("/peer")).await.is_ok());
    closed(edge.tcp().await, SOON).await;
    assert_eq!((edge.count(|c| &c.connections_over_limit), edge.count(|c| &c.connections_open)), (1, 2));
    drop(one);
    let free = async {
        while edge.count(|c| &c.connections_open) == 2 {
            sleep(MS * 5).await;
        }
    };
    timeout(SOON, free).await.expect("room again");
    let three = edge.http2().await;
    assert!(call(&three.0, get("/peer")).await.is_ok());
}

#[tokio::test]
async fn descriptors_are_kept_spare() {
    let edge = start(EdgeLimits { spare_descriptors: u64::MAX, ..limits() }, None).await;
    closed(edge.tcp().await, SOON).await;
    assert_eq!(edge.count(|c| &c.connections_over_descriptors), 1);
}

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let edge = start(limits(), None).await;
    let (sender, _connection) = edge.http2().await;
    let with = |count: usize| {
        let mut request = get("/peer");
        (1..count).for_each(|n| {
            request
                .headers_mut()
                .append(http::HeaderName::try_from(format!("x-{n}")).unwrap(), "1".parse().unwrap());
        });
        assert_eq!(request.headers().len(), count);
        request
    };
    // Those of a gRPC call are the gateway's to count.
    assert_eq!(call(&sender, with(129)).await.unwrap().0, StatusCode::OK);
    let mut plain = with(129);
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(call(&sender, plain).await.unwrap().0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(edge.count(|c| &c.header_fields_over_limit), 1);
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_end_the_connection() {
    let edge = start(EdgeLimits { early_resets_max: 50, ..limits() }, None).await;
    let (calm, _connection) = edge.http2().await;
    let (sender, connection) = edge.http2().await;
    let flood = async {
        while let Ok(mut sender) = sender.clone().ready().await {
            let Ok((response, _)) = sender.send_request(get("/never"), true) else { break };
            sleep(MS).await;
            drop(response);
        }
    };
    timeout(SOON, flood).await.expect("refused in the end");
    let _ = timeout(SOON, connection).await.expect("closed");
    // Resets that come before the edge has looked at their stream are HTTP/2's own to count.
    assert_eq!(edge.count(|c| &c.early_reset_floods) + edge.count(|c| &c.excessive), 1);
    assert!(call(&calm, get("/peer")).await.is_ok(), "others go on");
}

#[tokio::test]
async fn floods_of_idle_frames_end_the_connection() {
    let edge = start(EdgeLimits { idle_frames_per_second: 100, ..limits() }, None).await;
    for frame in [&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8][..], &[0, 0, 0, 4, 0, 0, 0, 0, 0][..]]
    {
        let before = edge.count(|c| &c.idle_frame_floods);
        let tcp = edge.tcp().await;
        let (read, mut write) = tcp.into_split();
        write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let flood = async {
            for _ in 0..1_000 {
                if write.write_all(frame).await.is_err() {
                    break;
                }
            }
        };
        tokio::join!(flood, async {
            let mut read = read;
            let mut sink = [0; 4096];
            while matches!(timeout(SOON, read.read(&mut sink)).await.expect("closed"), Ok(n) if n > 0) {}
        });
        assert_eq!(edge.count(|c| &c.idle_frame_floods), before + 1);
    }
}

#[tokio::test]
async fn a_continuation_flood_is_counted() {
    let edge = start(limits(), None).await;
    let mut tcp = edge.tcp().await;
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // HEADERS without END_HEADERS, then CONTINUATION without an end.
    let _ = tcp.write_all(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]).await;
    let mut frame = vec![0, 0x40, 0, 9, 0, 0, 0, 0, 1];
    frame.extend(b"\x00\x01a\x7f\x80\x7f".iter().chain([b'x'; 0x4000 - 6].iter()));
    while tcp.write_all(&frame).await.is_ok() {}
    let wait = async {
        while edge.count(|c| &c.excessive) + edge.count(|c| &c.protocol_errors) == 0 {
            sleep(MS * 5).await;
        }
    };
    timeout(SOON, wait).await.expect("counted");
}

/// A certificate authority, and what it signs.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    fn sign(&self, names: Vec<rcgen::SanType>) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self, client: ClientCertificates) -> ServerTls {
        let (certificate, key) = self.sign(vec![rcgen::SanType::DnsName("localhost".try_into().unwrap())]);
        ServerTls { certificate_pem: certificate.into(), key_pem: key.into(), client }
    }

    fn client(&self, uri: Option<&str>) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let Some(uri) = uri else { return Arc::new(builder.with_no_client_auth()) };
        let (certificate, key) = self.sign(vec![
            rcgen::SanType::DnsName("ignored".try_into().unwrap()),
            rcgen::SanType::URI(uri.try_into().unwrap()),
        ]);
        let chain = vec![rustls_pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
    }
}

async fn over_tls(edge: &Edge, tls: Arc<rustls::ClientConfig>) -> Option<String> {
    let uri = format!("https://localhost:{}", edge.addr.port()).parse().unwrap();
    let config = PoolConfig { tls: Some(tls), connect_timeout: SOON, ..PoolConfig::new(vec![uri]) };
    let pool = Pool::new(config, oaas_model::SystemClock::shared());
    let request = get("/peer").map(|()| http_body_util::Empty::new().map_err(|e| match e {}).boxed_unsync());
    let sent = pool.send(request, SendOptions::default()).await.ok()?;
    let body = sent.response.into_body().collect().await.unwrap();
    Some(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn mutual_tls_tells_who_calls_and_is_reloaded() {
    let authority = Authority::new();
    let pem: Vec<u8> = authority.certificate.pem().into();
    let tls = ReloadableTls::new(&authority.server(ClientCertificates::Required(pem.clone()))).unwrap();
    let edge = start(limits(), Some(tls.clone())).await;
    let warehouse = "spiffe://example.com/warehouse";
    assert_eq!(over_tls(&edge, authority.client(Some(warehouse))).await, Some(format!("true {warehouse}")));
    assert_eq!(over_tls(&edge, authority.client(None)).await, None, "a certificate is required");
    let stranger = Authority::new();
    let mut foreign = (*authority.client(None)).clone();
    foreign.client_auth_cert_resolver =
        Arc::clone(&stranger.client(Some(warehouse)).client_auth_cert_resolver);
    assert_eq!(over_tls(&edge, Arc::new(foreign)).await, None, "signed by somebody else");
    edge.counts("the handshakes", |c| &c.tls_failed).await;

    tls.replace(&authority.server(ClientCertificates::Optional(pem))).unwrap();
    assert_eq!(over_tls(&edge, authority.client(None)).await, Some("true ".to_owned()));
    assert!(
        tls.replace(&ServerTls { key_pem: Vec::new(), ..authority.server(ClientCertificates::None) })
            .is_err()
    );
    assert_eq!(over_tls(&edge, authority.client(None)).await, Some("true ".to_owned()), "the old one stays");
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_ended() {
    let tls = ReloadableTls::new(&Authority::new().server(ClientCertificates::None)).unwrap();
    let edge = start(EdgeLimits { tls_handshake: MS * 100, ..limits() }, Some(tls)).await;
    closed(edge.tcp().await, SOON).await;
    assert_eq!(edge.count(|c| &c.tls_timeouts), 1);
}

#[tokio::test]
async fn a_drain_under_load_loses_no_call() {
    let (old, new) = (start(limits(), None).await, start(limits(), None).await);
    // As behind a balancer: where nobody listens any more, the other one is asked.
    let uris = [&old, &new].map(|edge| format!("http://{}", edge.addr).parse().unwrap()).to_vec();
    let pool = Pool::new(PoolConfig::new(uris), oaas_model::SystemClock::shared());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    let request = get("/echo")
                        .map(|()| http_body_util::Full::from("x").map_err(|e| match e {}).boxed_unsync());
                    let sent = pool.send(request, SendOptions::default()).await.unwrap();
                    let body = sent.response.into_body().collect().await.unwrap();
                    assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
                    sleep(MS).await;
                }
            })
        })
        .collect();
    sleep(MS * 60).await;
    old.drain.start();
    let report = timeout(SOON, old.task).await.expect("left").unwrap();
    assert_eq!(report.calls_cut, 0);
    assert!(report.connections > 0, "it was in use");
    for task in tasks {
        task.await.unwrap();
    }
    assert!(TcpStream::connect(old.addr).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_drain_finishes_calls_and_cuts_the_endless_with_a_status() {
    let edge = start(EdgeLimits { drain_grace: MS * 600, ..limits() }, None).await;
    let (sender, _connection) = edge.http2().await;
    let slow = tokio::spawn({
        let sender = sender.clone();
        async move { call(&sender, get("/slow")).await }
    });
    let endless = sender.clone().ready().await.unwrap().send_request(get("/endless"), true).unwrap().0;
    let mut endless = endless.await.unwrap().into_body();
    let mut never = get("/never");
    never.headers_mut().remove("content-type");
    let never = sender.clone().ready().await.unwrap().send_request(never, true).unwrap().0;
    sleep(MS * 50).await;
    edge.drain.start();
    assert!(edge.drain.is_started());
    assert!(slow.await.unwrap().is_ok(), "in flight at the drain");
    // What has no head yet gets one; the other is asked for its last words.
    let head = timeout(SOON, never).await.unwrap().unwrap();
    assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
    while let Some(data) = endless.data().await {
        data.unwrap();
    }
    let trailers = endless.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "14");
    assert!(edge.drain.is_cut());
    let report = timeout(SOON, edge.task).await.unwrap().unwrap();
    assert_eq!(report, DrainReport { connections: 1, calls: 3, calls_cut: 2 });
    assert_eq!(edge.counters.drain_cut_calls.load(Ordering::SeqCst), 2);
    assert_eq!(edge.counters.calls_open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed() {
    let short = EdgeLimits { keep_alive_interval: MS * 100, keep_alive_timeout: MS * 100, ..limits() };
    let edge = start(short, None).await;
    let mut tcp = edge.tcp().await;
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    closed(tcp, SOON).await;
    assert_eq!(edge.count(|c| &c.keep_alive_timeouts), 1);
}

#[test]
fn every_counter_has_a_name_and_a_meaning() {
    let counters = EdgeCounters::default();
    counters.aged.fetch_add(3, Ordering::Relaxed);
    let read = counters.read();
    assert!(read.iter().all(|(_, _, meaning)| meaning.ends_with('.') && !meaning.starts_with(' ')));
    assert!(read.contains(&("aged", 3, "Connections that were told to go away because of their age.")));
}
