//! Traces and logs leave over OTLP, joined to the caller's trace; the upstream gets the context on.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::client::frame;
use crate::platform::{fresh_key, platform};
use crate::upstream::{READ, Upstream, until};

const TRACE: [u8; 16] =
    [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36];
const PARENT: [u8; 8] = [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that keeps what is sent to it: path and body.
async fn collector() -> (std::net::SocketAddr, Arc<Mutex<Vec<(String, Bytes)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let posts = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&posts);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let posts = Arc::clone(&shared);
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let posts = Arc::clone(&posts);
                    tokio::spawn(async move {
                        let (parts, mut body) = request.into_parts();
                        let mut whole = BytesMut::new();
                        while let Some(Ok(data)) = body.data().await {
                            let _ = body.flow_control().release_capacity(data.len());
                            whole.extend_from_slice(&data);
                        }
                        posts.lock().push((parts.uri.path().to_owned(), whole.freeze()));
                        let response =
                            Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                        let mut stream = respond.send_response(response, false).unwrap();
                        stream.send_data(frame(0, b""), false).unwrap();
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", HeaderValue::from_static("0"));
                        stream.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    (address, posts)
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_span_joins_the_callers_trace_and_the_upstream_gets_the_context() {
    let upstream = Upstream::start().await;
    let (address, posts) = collector().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "", &[])
        .app("traced", &key, &["*:internal"])
        .set("TELEMETRY__OTLP", &format!("http://{address}"))
        .set("TELEMETRY__TRACE_RATIO", "0")
        // The tests beside this one log into the same subscriber.
        .set("TELEMETRY__LOG", "off,oaas::reload=info")
        .start()
        .await;
    let exporters = oaas::telemetry::start(&platform.config.telemetry).unwrap();
    let client = platform.client().await;
    let call = |name: &'static str, parent: Option<&'static str>| {
        let mut call = client.call(READ).key(&key).header("x-key", name).header("tracestate", "vendor=1");
        if let Some(parent) = parent {
            call = call.header("traceparent", parent);
        }
        call.message(b"").send()
    };
    assert_eq!(call("joined", Some(TRACEPARENT)).await.status(), 0);
    let seen = upstream.with_key("joined").unwrap();
    let passed = seen.text("traceparent").unwrap();
    assert!(passed.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{passed}");
    assert!(
        !passed.contains("00f067aa0ba902b7"),
        "the upstream's parent is the caller's, not our span: {passed}"
    );
    assert!(passed.ends_with("-01"));
    assert_eq!(seen.text("tracestate"), Some("vendor=1"));
    let unsampled = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00";
    assert_eq!(call("unsampled", Some(unsampled)).await.status(), 0);
    assert_eq!(upstream.with_key("unsampled").unwrap().text("traceparent"), Some(unsampled));
    assert_eq!(call("malformed", Some("00-nonsense")).await.status(), 0);
    // A reload is a line in the log.
    let old = platform.version();
    platform.rewrite("catalog/echo/echo.yaml", &upstream.catalog("tags: [logged]", &[]));
    platform.reloaded(&old).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    tokio::task::spawn_blocking(|| exporters.shutdown()).await.unwrap();
    let has = |path: &str, part: &[u8]| {
        posts.lock().iter().any(|(own, body)| own.contains(path) && contains(body, part))
    };
    until("the collector has spans", || has("TraceService/Export", b"it.echo.v1.EchoService/Read")).await;
    assert!(has("TraceService/Export", &TRACE), "the caller's trace");
    assert!(has("TraceService/Export", &PARENT), "the caller's span as the parent");
    assert!(has("TraceService/Export", b"oaas.call_id") && has("TraceService/Export", b"traced"));
    assert!(!has("TraceService/Export", &[0xaa; 16]), "a call that its caller does not sample was traced");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(
        posts.lock().iter().any(|(path, _)| path.contains("LogsService/Export")),
        "no logs were exported"
    );
}

/// Rule 21 of a gRPC proxy: what a caller invents must not become a label.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_know_catalogued_methods_only() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "", &[])
        .app("shop", &key, &["*:internal"])
        .set("ADMIN", "127.0.0.1:0")
        .start()
        .await;
    let client = platform.client().await;
    assert_eq!(client.call(READ).key(&key).message(b"x").send().await.status(), 0);
    for n in 0..20 {
        let path = format!("/invented.v1.Service/Method{n}");
        assert_eq!(client.call(&path).key(&key).message(b"").send().await.status(), 12);
    }
    let metrics = scrape(platform.server.as_ref().unwrap().admin.unwrap()).await;
    let ok = format!("oaas_calls_total{{method=\"{READ}\",code=\"OK\"}} 1\n");
    let unknown = "oaas_calls_total{method=\"unknown\",code=\"UNIMPLEMENTED\"} 20\n";
    assert!(metrics.contains(&ok) && metrics.contains(unknown), "{metrics}");
    assert!(!metrics.contains("invented"), "{metrics}");
}

async fn scrape(address: std::net::SocketAddr) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
