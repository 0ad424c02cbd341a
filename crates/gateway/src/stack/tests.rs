//! Calls through the whole stack to a capability that behaves as a test tells it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use oaas_audit::record::audit_record::Event;
use oaas_capability::LocalService;
use oaas_model::Reason;
use tower::util::BoxCloneSyncService;
use tower::{Service as _, service_fn};

use crate::breaker::Mode;
use crate::frames::encode;
use crate::platform::tests::fixture::{Fixture, REBATE};
use crate::{Body, buffer};

/// Unary, answered by the last good answer while its breaker is open.
const GET_PLAN: &str = "/oaas.channel.v1.RebateService/GetPlan";

/// A capability that answers each request with `answer`.
fn answering(answer: fn() -> Response<Body>) -> LocalService {
    BoxCloneSyncService::new(service_fn(move |request: Request<Body>| async move {
        let _ = request.into_body().collect().await;
        Ok::<_, Infallible>(answer())
    }))
}

fn ok() -> Response<Body> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    grpc(buffer::again(encode(b"plan"), Some(trailers)))
}

fn grpc(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn endless() -> Body {
    let parts = futures_util::stream::repeat_with(|| Ok(Frame::data(encode(b"more"))));
    StreamBody::new(parts).boxed_unsync()
}

/// The answer's head, and its body to the end.
async fn call(fixture: &Fixture, timeout: &'static str, body: Body) -> (HeaderMap, Bytes, HeaderMap) {
    let mut request = Request::post(GET_PLAN).header("content-type", "application/grpc");
    request = request.header("grpc-timeout", timeout);
    let request = request.body(tonic::body::Body::new(body.map_err(tonic::Status::from_error))).unwrap();
    let (head, body) = fixture.channel("shop").call(request).await.unwrap().into_parts();
    let collected = tokio::time::timeout(Duration::from_secs(5), body.collect()).await;
    let collected = collected.expect("the answer has an end").unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    (head.headers, collected.to_bytes(), trailers)
}

fn message() -> Body {
    buffer::again(encode(b""), None)
}

#[tokio::test]
async fn a_request_that_trickles_in_ends_with_its_deadline_and_gives_all_back() {
    let fixture = Fixture::with(answering(ok)).await;
    let trickle = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, _>>());
    let (head, ..) = call(&fixture, "50m", trickle.boxed_unsync()).await;
    assert_eq!(head["grpc-status"], "4");
    let shared = fixture.gateway.shared();
    assert_eq!(shared.metrics.in_flight.load(std::sync::atomic::Ordering::Acquire), 0);
    let events = fixture.events();
    let refused = events.iter().find_map(|event| match event {
        Event::Refusal(refusal) => Some(&*refusal.reason),
        _ => None,
    });
    assert_eq!(refused, Some(Reason::DeadlineExpired.as_str()));
    assert!(!events.iter().any(|event| matches!(event, Event::Intent(_))));
}

#[tokio::test]
async fn a_degraded_answer_has_an_outcome_and_no_refusal() {
    let fixture = Fixture::with(answering(ok)).await;
    let shared = fixture.gateway.shared();
    let (_, good, _) = call(&fixture, "5S", message()).await;
    shared.breakers.get(REBATE, None).force(Mode::ForcedOpen, shared.clock.now());
    let (head, degraded, trailers) = call(&fixture, "5S", message()).await;
    assert_eq!((&degraded, &head["oaas-degraded"]), (&good, &HeaderValue::from_static("last-good")));
    assert_eq!(
        (&trailers["grpc-status"], &trailers["oaas-origin"]),
        (&"0".parse().unwrap(), &"gateway".parse().unwrap())
    );
    let events = fixture.events();
    let outcomes: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Outcome(outcome) => Some((outcome.degraded, &*outcome.executed, outcome.units)),
            _ => None,
        })
        .collect();
    assert_eq!(outcomes, [(false, "true", 0), (true, "false", 0)]);
    assert!(!events.iter().any(|event| matches!(event, Event::Refusal(_))));
}

#[tokio::test]
async fn nothing_comes_behind_a_head_with_a_status() {
    let fixture = Fixture::with(answering(|| {
        let mut response = Response::new(endless());
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
        response
    }))
    .await;
    let (head, body, trailers) = call(&fixture, "5S", message()).await;
    assert_eq!((&head["grpc-status"], body.len(), trailers.len()), (&HeaderValue::from_static("0"), 0, 0));
}

#[tokio::test]
async fn a_capability_can_not_speak_for_the_gateway() {
    let fixture = Fixture::with(answering(|| {
        let mut trailers = HeaderMap::new();
        for (name, value) in [("grpc-status", "5"), ("oaas-degraded", "static"), ("x-mine", "7")] {
            trailers.insert(name, HeaderValue::from_static(value));
        }
        grpc(buffer::again(Bytes::new(), Some(trailers)))
    }))
    .await;
    let (_, _, trailers) = call(&fixture, "5S", message()).await;
    assert!(!trailers.contains_key("oaas-degraded"));
    assert_eq!(
        (&trailers["oaas-origin"], &trailers["x-mine"]),
        (&"upstream".parse().unwrap(), &"7".parse().unwrap())
    );
}
