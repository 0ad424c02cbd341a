//! Alerts to a webhook that listens on a port of this machine.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::breaker::{Cause, Mode};

type Posts = mpsc::Receiver<(http::request::Parts, Value)>;

/// A receiver that answers with each of `answers` in turn, the last one from then on.
async fn receiver(answers: &'static [u16], tls: Option<TlsAcceptor>) -> (u16, Posts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, posts) = mpsc::channel(64);
    let turn = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (sender, turn) = (sender.clone(), Arc::clone(&turn));
            match tls.clone() {
                None => serve(stream, answers, sender, turn).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answers, sender, turn).await;
                    }
                }
            }
        }
    });
    (port, posts)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(
    stream: S,
    answers: &'static [u16],
    posts: mpsc::Sender<(http::request::Parts, Value)>,
    turn: Arc<AtomicUsize>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (posts, turn) = (posts.clone(), Arc::clone(&turn));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            posts.send((parts, serde_json::from_slice(&body).unwrap())).await.unwrap();
            let turn = turn.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let mut response = Response::new(Full::new(Bytes::new()));
            *response.status_mut() = StatusCode::from_u16(answers[turn]).unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn config(port: u16) -> WebhookConfig {
    WebhookConfig {
        backoff: Duration::from_millis(1),
        ..WebhookConfig::new("on-call", &format!("http://127.0.0.1:{port}/hook?team=a"))
    }
}

fn change(to: State, unix_s: i64) -> Alert {
    let transition = Transition {
        from: State::Closed,
        to,
        mode: Mode::Automatic,
        cause: Cause::ErrorRate,
        calls: 400,
        errors: 21,
        timeouts: 0,
        error_rate_max: 0.05,
        timeout_rate_max: 0.03,
        at: Timestamp { steady_ns: 0, unix_ns: unix_s * 1_000_000_000 },
    };
    Alert::of_transition("oaas.channel.v1.RebateService", Some("shop"), &transition)
}

#[tokio::test]
async fn a_post_has_alertmanagers_form() {
    let (port, mut posts) = receiver(&[200], None).await;
    let (alerts, worker) = Alerts::new(vec![Webhook::new(config(port)).unwrap()]);
    let worker = tokio::spawn(worker.run());
    alerts.raise(change(State::Open, 1_700_000_000));
    let (parts, body) = posts.recv().await.unwrap();
    assert_eq!((parts.method.as_str(), parts.uri.to_string().as_str()), ("POST", "/hook?team=a"));
    assert_eq!(parts.headers["content-type"], "application/json");
    assert_eq!(parts.headers["host"], format!("127.0.0.1:{port}"));
    let labels = json!({
        "alertname": "CircuitBreakerOpen", "severity": "warning",
        "service": "oaas.channel.v1.RebateService", "application": "shop",
    });
    assert_eq!(body["version"], "4");
    assert_eq!((&body["status"], &body["receiver"]), (&json!("firing"), &json!("on-call")));
    assert_eq!(body["commonLabels"], labels);
    let alert = &body["alerts"][0];
    assert_eq!((&alert["status"], &alert["labels"]), (&json!("firing"), &labels));
    assert_eq!(alert["startsAt"], "2023-11-14T22:13:20Z");
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    let annotations = &alert["annotations"];
    assert_eq!((&annotations["errors"], &annotations["calls"]), (&json!("21"), &json!("400")));
    assert_eq!(
        (&annotations["reason"], &annotations["error_rate_max"]),
        (&json!("ERROR_RATE"), &json!("0.05"))
    );

    // The resolution is of the same alert, and says when it began.
    alerts.raise(change(State::Closed, 1_700_000_060));
    let (_, body) = posts.recv().await.unwrap();
    let resolved = &body["alerts"][0];
    assert_eq!((&body["status"], &resolved["status"]), (&json!("resolved"), &json!("resolved")));
    assert_eq!((&resolved["labels"], &resolved["fingerprint"]), (&labels, &alert["fingerprint"]));
    assert_eq!(resolved["startsAt"], "2023-11-14T22:13:20Z");
    assert_eq!(resolved["endsAt"], "2023-11-14T22:14:20Z");

    // The worker ends when nobody can raise any more.
    drop(alerts);
    worker.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_is_away_is_tried_again() {
    let (port, mut posts) = receiver(&[503, 429, 200], None).await;
    let webhook = Webhook::new(config(port)).unwrap();
    webhook.post(Bytes::from_static(b"{}")).await.unwrap();
    for _ in 0..3 {
        posts.recv().await.unwrap();
    }
    assert!(posts.try_recv().is_err());
}

#[tokio::test]
async fn tries_end_and_a_refusal_is_not_tried_again() {
    let (port, mut posts) = receiver(&[500], None).await;
    let error = Webhook::new(config(port)).unwrap().post(Bytes::from_static(b"{}")).await.unwrap_err();
    assert!(matches!(error, WebhookError::Refused { status } if status == 500), "{error}");
    for _ in 0..5 {
        posts.recv().await.unwrap();
    }
    assert!(posts.try_recv().is_err());

    let (port, mut posts) = receiver(&[400], None).await;
    Webhook::new(config(port)).unwrap().post(Bytes::from_static(b"{}")).await.unwrap_err();
    posts.recv().await.unwrap();
    assert!(posts.try_recv().is_err());

    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = Webhook::new(config(port)).unwrap().post(Bytes::from_static(b"{}")).await.unwrap_err();
    assert!(matches!(error, WebhookError::Connection { .. }), "{error}");
}

#[tokio::test]
async fn https_trusts_what_it_is_told_to() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let (port, mut posts) = receiver(&[200], Some(TlsAcceptor::from(Arc::new(server)))).await;
    let trusted = WebhookConfig {
        url: format!("https://localhost:{port}/"),
        roots_pem: key.cert.pem().into_bytes(),
        attempts_max: 1,
        ..config(port)
    };
    Webhook::new(trusted.clone()).unwrap().post(Bytes::from_static(b"{}")).await.unwrap();
    assert!(posts.recv().await.is_some());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let untrusted = WebhookConfig { roots_pem: other.cert.pem().into_bytes(), ..trusted };
    let error = Webhook::new(untrusted).unwrap().post(Bytes::from_static(b"{}")).await.unwrap_err();
    assert!(matches!(error, WebhookError::Connection { .. }), "{error}");
}

#[test]
fn unusable_configurations_are_refused_by_name() {
    for url in ["", "/hook", "ftp://a/b", "http://", "http://user:secret@a/"] {
        let error = Webhook::new(WebhookConfig::new("on-call", url)).unwrap_err();
        assert!(matches!(error, WebhookError::Url { .. }), "{url}: {error}");
    }
    let config = WebhookConfig { roots_pem: b"none".to_vec(), ..WebhookConfig::new("on-call", "https://a/") };
    let error = Webhook::new(config).unwrap_err().to_string();
    assert_eq!(error, "webhook on-call: no trusted certificates for https: there are none");
}

#[test]
fn a_webhooks_secret_headers_are_in_no_debug_output() {
    let mut config = config(1);
    config.headers.insert("authorization", http::HeaderValue::from_static("Bearer hunter2"));
    let shown = format!("{:?}", Webhook::new(config).unwrap());
    assert!(shown.contains("authorization") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn subscribers_see_alerts_and_a_full_queue_holds_nobody_up() {
    let webhook = Webhook::new(config(1)).unwrap();
    // The worker never runs: the queue fills.
    let (alerts, _worker) = Alerts::new(vec![webhook]);
    let mut events = alerts.subscribe();
    for n in 0..ALERTS_QUEUED_MAX + 5 {
        alerts.raise(change(State::Open, i64::try_from(n).unwrap()));
        assert_eq!(events.recv().await.unwrap().at.unix_ms(), i64::try_from(n).unwrap() * 1_000);
    }
    assert_eq!(alerts.dropped(), 5);
}
