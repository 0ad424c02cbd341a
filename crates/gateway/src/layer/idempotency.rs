//! Is the idempotency key another call's? ABORTED / IN_FLIGHT, INVALID_ARGUMENT / KEY_REUSED.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, Response};
use oaas_catalog::{Effect, MethodEntry};
use oaas_metering::Settle;
use oaas_model::Reason;
use tower::{Layer, Service};

use crate::call::Call;
use crate::gate::Governed;
use crate::idempotency::{self, Key, Taken};
use crate::rejection::{Rejection, Retry};
use crate::{Body, buffer, stake};

/// The longest wait that a repeat is told: most calls are over long before their deadline.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// The shortest.
const WAIT_MIN: Duration = Duration::from_millis(20);

/// Puts the check of idempotency keys before what is below.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyLayer;

/// The check of idempotency keys, and what is below it.
#[derive(Clone, Copy, Debug)]
pub struct Idempotent<S> {
    inner: S,
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotent<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Idempotent { inner }
    }
}

type Answer = Result<Response<Body>, Box<Rejection>>;

impl<S> Service<Governed> for Idempotent<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Box<Rejection>;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Answer> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        let call = &governed.call;
        let (Some(digest), Some(entry), Some(application)) =
            (&call.idempotency_key_digest, call.entry(), call.application())
        else {
            return Either::Left(self.inner.call(governed));
        };
        if entry.effect != Effect::Write || entry.is_streaming() {
            return Either::Left(self.inner.call(governed));
        }
        let (key, entry) = (Key::new(&application.id, call.path(), digest), Arc::clone(entry));
        Either::Right(Box::pin(alone(self.inner.clone(), governed, key, entry)))
    }
}

/// Makes the call when its key is free, or the same request's.
async fn alone<S>(mut inner: S, governed: Governed, key: Key, entry: Arc<MethodEntry>) -> Answer
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>>,
{
    let Governed { call, request } = governed;
    let shared = &call.shared;
    let (parts, body) = request.into_parts();
    let (frames, trailers) = buffer::whole(body, entry.request_bytes_max, &shared.requests).await?;
    let digest = digest(&frames, &parts.headers, &entry);
    let now = shared.clock.now();
    let until = call.deadline().map_or(now, |deadline| deadline.at);
    if let Err(taken) = shared.idempotency.start(key, &digest, now, until) {
        call.decided("idempotency", "refused", &[]);
        return Err(Box::new(refused(taken, now)));
    }
    call.decided("idempotency", "allowed", &[]);
    call.at_end(move |Call { shared, .. }, outcome| match outcome.ended().settle() {
        Settle::Released => shared.idempotency.forget(key),
        _ => shared.idempotency.finish(key, digest, shared.clock.now()),
    });
    let request = http::Request::from_parts(parts, buffer::again(frames, trailers));
    inner.call(Governed { call, request }).await
}

/// The request's digest: of its message where that can be read, so that a repeat may be written anew.
fn digest(frames: &Bytes, headers: &HeaderMap, entry: &MethodEntry) -> [u8; 16] {
    buffer::only_message(frames, headers, entry.request_bytes_max)
        .and_then(|message| stake::decode(entry.descriptor.input(), message))
        .map_or_else(|_| idempotency::digest_of_bytes(frames), |message| idempotency::digest(&message))
}

fn refused(taken: Taken, now: oaas_model::Timestamp) -> Rejection {
    match taken {
        Taken::InFlight { until } => {
            let message = "a call with this idempotency key is under way";
            let wait = until.since(now).clamp(WAIT_MIN, WAIT_MAX);
            Rejection::new(Reason::IdempotencyInFlight, "idempotency", message).retry(Retry::After(wait))
        }
        Taken::Reused => {
            let message = "this idempotency key was used for another request";
            Rejection::new(Reason::IdempotencyKeyReused, "idempotency", message).retry(Retry::Never)
        }
    }
}
