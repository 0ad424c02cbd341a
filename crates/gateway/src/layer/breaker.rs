//! Is the capability healthy? Over 5 % errors or 3 % timeouts: the degraded answer, or UNAVAILABLE /
//! CIRCUIT_OPEN. Two breakers judge a call: the service's, and the one of this application on it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response};
use oaas_catalog::Degraded;
use oaas_model::Reason;
use tower::{Layer, Service};

use crate::breaker::{Admission, Breaker, BreakerPolicy, Permit, Refused, classify};
use crate::call::Call;
use crate::gate::{GateFuture, Governed};
use crate::rejection::{Rejection, Retry};
use crate::shared::Shared;
use crate::{Body, buffer, degrade, full_body};

/// Puts the breakers before what is below.
#[derive(Clone)]
pub struct BreakerLayer {
    pub shared: Arc<Shared>,
}

/// The breakers and what is below them.
#[derive(Clone)]
pub struct Breaking<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Layer<S> for BreakerLayer {
    type Service = Breaking<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaking { shared: Arc::clone(&self.shared), inner }
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
        let refused = permits(&self.shared, &call).err();
        match (&method.entry.degraded, refused) {
            (Degraded::LastGood { age_max }, refused) => {
                let (shared, inner, age_max) = (Arc::clone(&self.shared), self.inner.clone(), *age_max);
                Right(Box::pin(last_good(shared, inner, governed, refused, age_max)))
            }
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
            (Degraded::None, Some(refused)) => {
                Left(GateFuture::Shut { rejection: Some(open(&call, &refused)) })
            }
        }
    }
}

/// The path that a call takes instead of its own (a request extension).
#[derive(Clone, Debug)]
pub struct Substitute(pub Arc<str>);

/// Takes a permit of both breakers, and leaves for the end of the call to give them back with its outcome.
fn permits(shared: &Arc<Shared>, call: &Arc<Call>) -> Result<(), Refused> {
    let Some(method) = call.method() else { return Ok(()) };
    let application = call.application();
    let now = shared.clock.now();
    let own = application.map(|a| shared.breakers.get(&method.entry.service, Some(&a.id)));
    let own_permit = match &own {
        Some(breaker) => Some(permit(shared, call, breaker, &method.policy, now)?),
        None => None,
    };
    let service_permit = match permit(shared, call, &method.breaker, &method.policy, now) {
        Ok(permit) => permit,
        Err(refused) => {
            if let (Some(breaker), Some(permit)) = (&own, own_permit) {
                breaker.give_back(permit);
            }
            return Err(refused);
        }
    };
    let (shared, service, policy) = (Arc::clone(shared), Arc::clone(&method.breaker), method.policy.clone());
    call.decided("breaker", "allowed", &[]);
    call.at_end(move |call, outcome| {
        let now = shared.clock.now();
        let catalog_deadline = call.deadline().map(|deadline| deadline.catalog);
        let sample = classify(outcome, catalog_deadline, &policy);
        if let (Some(breaker), Some(permit)) = (own, own_permit) {
            let transition = breaker.record(&policy, permit, sample.clone(), now);
            shared.announce(call.service_name(), call.application().map(|a| Arc::clone(&a.id)), transition);
        }
        let transition = service.record(&policy, service_permit, sample, now);
        shared.announce(call.service_name(), None, transition);
    });
    Ok(())
}

fn permit(
    shared: &Arc<Shared>,
    call: &Call,
    breaker: &Arc<Breaker>,
    policy: &BreakerPolicy,
    now: oaas_model::Timestamp,
) -> Result<Permit, Refused> {
    let (admission, transition) = breaker.admit(policy, now);
    shared.announce(call.service_name(), None, transition);
    match admission {
        Admission::Allowed(permit) => Ok(permit),
        Admission::Refused(refused) => {
            let numbers = [
                ("error_rate", refused.error_rate),
                ("threshold", refused.threshold),
                ("calls", refused.calls as f64),
                ("retry_after_ms", refused.retry_after.as_millis() as f64),
            ];
            call.decided("breaker", "refused", &numbers);
            Err(refused)
        }
    }
}

fn open(call: &Call, refused: &Refused) -> Box<Rejection> {
    let service = call.service_name();
    let message = format!("the breaker of {service} is open: {}", refused.cause);
    Box::new(
        Rejection::new(Reason::CircuitOpen, "breaker", message)
            .retry(Retry::After(refused.retry_after))
            .fact("cause", &refused.cause)
            .fact("error_rate", format!("{:.4}", refused.error_rate))
            .fact("threshold", format!("{:.4}", refused.threshold))
            .fact("calls", refused.calls)
            .fact("scope", "service"),
    )
}

fn substitute(call: &Call, path: &Arc<str>) -> Option<Substitute> {
    call.bound.method(path).map(|_| Substitute(Arc::clone(path)))
}

/// With an open breaker the last good answer to the same request, else the call, whose answer is kept.
async fn last_good<S>(
    shared: Arc<Shared>,
    mut inner: S,
    governed: Governed,
    refused: Option<Refused>,
    age_max: std::time::Duration,
) -> Answer
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>>,
{
    let call = governed.call;
    let limit = call.entry().map_or(0, |entry| entry.request_bytes_max);
    let (parts, body) = governed.request.into_parts();
    let (frames, trailers) = buffer::whole(body, limit).await?;
    let key = degrade::request_key(&call.path, call.application().as_ref().map(|a| &*a.id), &frames);
    match refused {
        Some(refused) => match shared.last_good.get(&call.path, key, age_max, shared.clock.now()) {
            Some(frames) => {
                call.set_degraded("last-good");
                Ok(answered(frames))
            }
            None => Err(open(&call, &refused)),
        },
        None => {
            call.capture(key);
            let request = http::Request::from_parts(parts, buffer::again(frames, trailers));
            inner.call(Governed { call, request }).await
        }
    }
}

/// A good unary answer made here: its frames, then OK.
fn answered(frames: Bytes) -> Response<Body> {
    let mut response = Response::new(full_body(frames));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    response
}
