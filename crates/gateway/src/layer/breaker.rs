//! Is the capability healthy? Over 5 % errors or 3 % timeouts: the degraded answer, or UNAVAILABLE /
//! CIRCUIT_OPEN. Two breakers judge a call: the service's, and the one of this application on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use oaas_catalog::Degraded;
use oaas_model::{Code, Reason};
use tower::{Layer, Service};

use crate::bound::BoundMethod;
use crate::breaker::{Ending, Refused, Scope, classify};
use crate::call::Call;
use crate::degrade::AnswerKey;
use crate::gate::{GateFuture, Governed};
use crate::outcome::{Failure, Origin, Outcome};
use crate::rejection::{Rejection, Retry};
use crate::{Body, buffer, header};

/// How much before the deadline that it was given an upstream may end a call: gRPC's C core keeps time in
/// whole milliseconds, and was seen up to one early (247.1 ms of 248).
const UPSTREAM_ROUNDING: Duration = Duration::from_millis(3);

/// Puts the breakers before what is below.
#[derive(Clone, Copy, Debug)]
pub struct BreakerLayer;

/// The breakers and what is below them.
#[derive(Clone, Copy, Debug)]
pub struct Breaking<S> {
    inner: S,
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaking<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaking { inner }
    }
}

type Answer = Result<Response<Body>, Box<Rejection>>;
type BoxAnswer = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl<S> Service<Governed> for Breaking<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Box<Rejection>;
    type Future = futures_util::future::Either<GateFuture<S::Future>, BoxAnswer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        use futures_util::future::Either::{Left, Right};
        let call = Arc::clone(&governed.call);
        let Some(method) = call.method() else {
            return Left(GateFuture::Open { inner: self.inner.call(governed) });
        };
        if let Degraded::LastGood { age_max } = method.entry.degraded {
            return Right(Box::pin(last_good(self.inner.clone(), governed, age_max)));
        }
        let refused = permits(&call).err();
        match (&method.entry.degraded, refused) {
            (_, None) => Left(GateFuture::Open { inner: self.inner.call(governed) }),
            (Degraded::Message(message), Some(_)) => {
                call.set_degraded("static");
                let answer = answered(crate::frames::encode(message));
                Right(Box::pin(std::future::ready(Ok(answer))))
            }
            (Degraded::Method(path), Some(refused)) => match substitute(&call, path) {
                Some(substitute) => {
                    call.set_degraded("substitute");
                    let mut governed = governed;
                    governed.request.extensions_mut().insert(substitute);
                    Left(GateFuture::Open { inner: self.inner.call(governed) })
                }
                None => Left(GateFuture::Shut { rejection: Some(open(&call, &refused)) }),
            },
            (Degraded::None | Degraded::LastGood { .. }, Some(refused)) => {
                Left(GateFuture::Shut { rejection: Some(open(&call, &refused)) })
            }
        }
    }
}

/// The path that a call takes instead of its own (a request extension).
#[derive(Clone, Debug)]
pub struct Substitute(pub Arc<str>);

/// Asks the call's breakers, and leaves for the end of the call to tell them how it went.
fn permits(call: &Arc<Call>) -> Result<(), (Scope, Refused)> {
    let (Some(method), shared) = (call.method(), &call.shared) else { return Ok(()) };
    let gates = shared.breakers.gates(&method.entry.service, call.application().map(|a| &*a.id));
    let (admission, changes) = gates.admit(&method.policy, shared.clock.now());
    shared.announce(call, &changes);
    match admission {
        Ok(pass) => {
            call.decided("breaker", "allowed", &[]);
            call.at_end(move |call, outcome| {
                let (Some(BoundMethod { policy, .. }), shared) = (call.method(), &call.shared) else {
                    return;
                };
                let sample = classify(policy, &ending(call, outcome));
                let changes = gates.record(policy, pass, sample, outcome.at);
                shared.announce(call, &changes);
            });
            Ok(())
        }
        Err((scope, refused)) => {
            let numbers = [
                ("error_rate", refused.error_rate),
                ("threshold", refused.threshold),
                ("calls", refused.calls as f64),
                ("retry_after_ms", refused.retry_after.as_secs_f64() * 1e3),
            ];
            call.decided("breaker", "refused", &numbers);
            Err((scope, refused))
        }
    }
}

/// The end of a call as its breakers want to know it.
fn ending(call: &Call, outcome: &Outcome) -> Ending {
    let deadline = call.deadline();
    let catalog = deadline.map_or(Duration::MAX, |deadline| deadline.catalog);
    let shorter = deadline.and_then(|deadline| deadline.client).is_some_and(|client| client < catalog);
    Ending {
        code: outcome.code,
        by_gateway: outcome.origin == Origin::Gateway,
        by_client: outcome.reason == Some(Reason::CallerCancelled)
            || (outcome.code == Code::DeadlineExceeded && (shorter || outcome.unread)),
        request_open: !call.request_complete(),
        connect_failed: outcome.failure == Some(Failure::Connect),
        reset: outcome.failure == Some(Failure::Reset),
        no_status: outcome.failure == Some(Failure::NoStatus),
        elapsed: outcome.elapsed,
        deadline: catalog,
        deadline_margin: crate::metadata::MARGIN.saturating_add(UPSTREAM_ROUNDING),
        retry_after: outcome.retry_after,
    }
}

fn open(call: &Call, (scope, refused): &(Scope, Refused)) -> Box<Rejection> {
    let service = call.service_name();
    let message = format!("the breaker of {service} is open: {}", refused.cause.text(call.lang));
    Box::new(
        Rejection::new(Reason::CircuitOpen, "breaker", message)
            .retry(Retry::After(refused.retry_after))
            .fact("cause", refused.cause)
            .fact("error_rate", format!("{:.4}", refused.error_rate))
            .fact("threshold", format!("{:.4}", refused.threshold))
            .fact("calls", refused.calls)
            .fact("scope", scope.as_str()),
    )
}

fn substitute(call: &Call, path: &Arc<str>) -> Option<Substitute> {
    call.bound.method(path).map(|_| Substitute(Arc::clone(path)))
}

/// With an open breaker the last good answer to the same request, else the call, whose answer is kept. The
/// breaker is asked when the request is there: who trickles it in must not hold a probe meanwhile.
async fn last_good<S>(mut inner: S, governed: Governed, age_max: Duration) -> Answer
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>>,
{
    let call = governed.call;
    let shared = &call.shared;
    let limit = call.entry().map_or(0, |entry| entry.request_bytes_max);
    let (parts, body) = governed.request.into_parts();
    let (frames, trailers) = buffer::whole(body, limit, &shared.requests).await?;
    let application = call.application().map_or_else(String::new, |a| a.id.to_string());
    let user = call.on_behalf_of().unwrap_or_default();
    let key = AnswerKey::of(Arc::from(call.path()), &application, user, std::slice::from_ref(&frames));
    let Err(refused) = permits(&call) else {
        call.capture(key);
        let request = http::Request::from_parts(parts, buffer::again(frames, trailers));
        return inner.call(Governed { call, request }).await;
    };
    let accepted = parts.headers.get(header::GRPC_ACCEPT_ENCODING);
    match shared.last_good.get(&key, age_max, shared.clock.now()).filter(|a| a.is_readable(accepted)) {
        Some(answer) => {
            call.set_degraded("last-good");
            let mut response = answered(answer.frame);
            if let Some(encoding) = answer.encoding {
                response.headers_mut().insert(header::GRPC_ENCODING, encoding);
            }
            Ok(response)
        }
        None => Err(open(&call, &refused)),
    }
}

/// A good unary answer made here: its frames, then OK.
fn answered(frames: Bytes) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert(header::GRPC_STATUS, HeaderValue::from_static(Code::Ok.header()));
    let mut response = Response::new(buffer::again(frames, Some(trailers)));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}
