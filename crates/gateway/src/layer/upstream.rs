//! A capability in this process, or a balanced connection to another one. UNAVAILABLE when it is away.

use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use oaas_capability::{CallContext, LocalService};
use oaas_model::{Code, Reason, Timestamp};
use tower::Service;

use super::breaker::Substitute;
use super::deadline;
use crate::bound::Target;
use crate::call::Call;
use crate::gate::Governed;
use crate::metadata;
use crate::outcome::{from_http, status_in};
use crate::rejection::{Executed, Rejection, Retry};
use crate::request_body::RequestBody;
use crate::upstream::{Phase, SendOptions, Sent, UpstreamError, reset_code};
use crate::{Body, BoxError, empty_body, header};

/// Of an upstream's content type, what a refusal shows.
const CONTENT_TYPE_CHARS_MAX: usize = 64;

/// The end of the stack.
#[derive(Clone, Copy, Debug)]
pub struct Upstream;

type Answer = Result<Response<Body>, Box<Rejection>>;
type BoxAnswer = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Service<Governed> for Upstream {
    type Response = Response<Body>;
    type Error = Box<Rejection>;
    type Future = BoxAnswer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        forward(governed)
    }
}

/// What can be done at once is done here, so that the future holds only what the way there and back needs.
fn forward(governed: Governed) -> BoxAnswer {
    let Governed { call, mut request } = governed;
    let substitute = request.extensions_mut().remove::<Substitute>();
    let method = match &substitute {
        Some(Substitute(path)) => call.bound.method(path),
        None => call.method(),
    };
    let Some(method) = method else {
        let message = format!("no method {}", call.path());
        return refused(Rejection::new(Reason::MethodUnknown, "upstream", message));
    };
    metadata::towards_upstream(request.headers_mut(), &call, method);
    // Also the method's own path is set: what the client sent may have a query behind it.
    *request.uri_mut() = method.uri.clone();
    call.count_request(&method.entry);
    let request = request.map(|body| RequestBody::new(body, Arc::clone(&call)).boxed_unsync());
    match &method.target {
        Target::Local(service) => {
            let service = service.clone();
            Box::pin(local(service, call, request))
        }
        Target::Remote(pool) => {
            let options = SendOptions {
                idempotent: method.entry.idempotent,
                deadline: call.deadline().map(|deadline| deadline.at),
                ..SendOptions::default()
            };
            Box::pin(pool.send(request, options).map(move |sent| remote(sent, &call)))
        }
        Target::Missing => {
            let message =
                format!("{} runs in another process, and no address is set for it", method.service.name);
            refused(away(message).fact("phase", "no_endpoint"))
        }
    }
}

fn refused(rejection: Rejection) -> BoxAnswer {
    Box::pin(ready(Err(Box::new(rejection))))
}

async fn local(mut service: LocalService, call: Arc<Call>, mut request: Request<Body>) -> Answer {
    call.sent_to(Arc::clone(&call.shared.local), 1);
    if let Some(deadline) = call.deadline() {
        let left = deadline.at.since(call.shared.clock.now()).saturating_sub(metadata::MARGIN);
        request.headers_mut().insert(header::GRPC_TIMEOUT, SendOptions::timeout_header(left));
    }
    // The platform's own services answer by what this very call may see.
    request.extensions_mut().insert(Arc::clone(&call));
    request.extensions_mut().insert(CallContext {
        call_id: call.id,
        application: call.application().map_or_else(String::new, |a| a.id.to_string()),
    });
    // A capability that panics takes its own call with it, not the connection of others.
    match AssertUnwindSafe(service.call(request)).catch_unwind().await {
        Ok(Ok(response)) => as_grpc(response),
        Ok(Err(never)) => match never {},
        Err(_) => {
            tracing::error!(method = %call.path(), call_id = %call.id, "the capability panicked");
            let mut response = Response::new(empty_body());
            response
                .headers_mut()
                .insert(header::GRPC_STATUS, HeaderValue::from_static(Code::Internal.header()));
            let message = HeaderValue::from_static("the capability failed; the call id leads to its log");
            response.headers_mut().insert(header::GRPC_MESSAGE, message);
            as_grpc(response)
        }
    }
}

/// What comes of what the pool says.
fn remote(sent: Result<Sent, UpstreamError>, call: &Call) -> Answer {
    match sent {
        Ok(sent) => {
            call.sent_to(sent.endpoint, sent.attempts);
            as_grpc(sent.response)
        }
        Err(error) => {
            call.sent_to(error.endpoint.clone().unwrap_or_else(|| Arc::from("")), error.attempts);
            Err(failed(call, &error, call.shared.clock.now()).into())
        }
    }
}

/// Makes a gRPC answer of what an upstream sent: its status stands; without one, the HTTP status decides.
fn as_grpc(mut response: Response<Body>) -> Answer {
    metadata::from_upstream(response.headers_mut());
    if response.status() == StatusCode::OK || status_in(response.headers()).is_some() {
        if status_in(response.headers()).is_none() && !is_grpc(response.headers()) {
            return Err(Box::new(not_grpc(response.headers())));
        }
        *response.status_mut() = StatusCode::OK;
        return Ok(response);
    }
    let status = response.status();
    let mut answer = Response::new(empty_body());
    let headers: &mut HeaderMap = answer.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::GRPC_STATUS, HeaderValue::from_static(from_http(status).header()));
    if let Ok(message) = HeaderValue::from_str(&format!("the upstream answered HTTP {}", status.as_u16())) {
        headers.insert(header::GRPC_MESSAGE, message);
    }
    Ok(answer)
}

/// Whether a head promises gRPC (grpc/grpc, doc/PROTOCOL-HTTP2.md, Response-Headers).
fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|value| value.starts_with(b"application/grpc"))
}

fn not_grpc(headers: &HeaderMap) -> Rejection {
    let shown = headers.get(http::header::CONTENT_TYPE).map_or("none".into(), |value| {
        String::from_utf8_lossy(value.as_bytes()).chars().take(CONTENT_TYPE_CHARS_MAX).collect::<String>()
    });
    let message = format!("the upstream answered with content-type {shown}, not with gRPC");
    protocol(message).fact("content_type", shown)
}

/// The upstream broke the protocol; what it did before is not known.
#[must_use]
pub fn protocol(message: impl Into<String>) -> Rejection {
    Rejection::new(Reason::UpstreamProtocol, "upstream", message).executed(Executed::Unknown)
}

/// The stream of an answer broke.
#[must_use]
pub fn broken(error: &BoxError) -> Rejection {
    let rejection = away(format!("the answer broke off: {error}")).executed(Executed::Unknown);
    match reset_code(error) {
        Some(reset) => rejection.code(reset.code).fact("phase", "reset").fact("http2_code", reset.http2_code),
        None => rejection.fact("phase", "lost"),
    }
}

/// What a call without an answer ends with: the deadline's word when that was over, else the upstream is away.
fn failed(call: &Call, error: &UpstreamError, now: Timestamp) -> Rejection {
    match (error.phase, error.executed) {
        (Phase::Deadline, crate::upstream::Executed::False) => deadline::expired(call, now),
        (Phase::Deadline, crate::upstream::Executed::Unknown) => deadline::passed(call, now),
        _ => unavailable(error),
    }
}

fn unavailable(error: &UpstreamError) -> Rejection {
    let executed = match error.executed {
        crate::upstream::Executed::False => Executed::False,
        crate::upstream::Executed::Unknown => Executed::Unknown,
    };
    let rejection = away(error.to_string())
        .code(error.code())
        .executed(executed)
        .fact("phase", error.phase.as_str())
        .fact("attempts", error.attempts);
    match error.retry_after {
        Some(wait) => rejection.retry(Retry::After(wait)),
        None => rejection,
    }
}

fn away(message: String) -> Rejection {
    Rejection::new(Reason::UpstreamUnavailable, "upstream", message)
}
