//! The audit journal's word that the call will be made. UNAVAILABLE / AUDIT_UNAVAILABLE: no journal, no call.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::Response;
use oaas_audit::JournalError;
use oaas_audit::draft;
use oaas_catalog::AuditMode;
use oaas_model::Reason;
use tower::{Layer, Service};

use crate::Body;
use crate::call::{Call, Intent};
use crate::gate::{GateFuture, Governed};
use crate::rejection::{Rejection, Retry};
use crate::shared::Shared;

/// How long a client should wait while the journal is away.
const PUSHBACK: Duration = Duration::from_secs(5);

/// Puts the intent before what is below.
#[derive(Clone, Copy, Debug)]
pub struct IntentLayer;

/// The intent, and what is below it.
#[derive(Clone, Copy, Debug)]
pub struct Intending<S> {
    inner: S,
}

impl<S> Layer<S> for IntentLayer {
    type Service = Intending<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Intending { inner }
    }
}

type BoxAnswer = Pin<Box<dyn Future<Output = Result<Response<Body>, Box<Rejection>>> + Send>>;

impl<S> Service<Governed> for Intending<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Box<Rejection>;
    type Future = Either<GateFuture<S::Future>, BoxAnswer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        let call = &governed.call;
        match call.entry().map_or(AuditMode::Standard, |entry| entry.audit) {
            AuditMode::Sampled(one_in) if !call.shared.samples(one_in) => {
                call.set_intent(Intent::Sampled);
                Either::Left(GateFuture::Open { inner: self.inner.call(governed) })
            }
            AuditMode::Sampled(_) | AuditMode::Standard => {
                match with_intent(call, |intent| call.shared.journal.append(intent)) {
                    Ok(_) => {
                        call.set_intent(Intent::Written);
                        Either::Left(GateFuture::Open { inner: self.inner.call(governed) })
                    }
                    Err(error) => {
                        Either::Left(GateFuture::Shut { rejection: Some(unavailable(&call.shared, &error)) })
                    }
                }
            }
            AuditMode::Strict => {
                let mut inner = self.inner.clone();
                Either::Right(Box::pin(async move {
                    let call = &governed.call;
                    let durable = with_intent(call, |intent| call.shared.journal.durably(intent));
                    // Said before it is so: should the caller leave meanwhile, the intent gets its outcome.
                    call.set_intent(Intent::Written);
                    if let Err(error) = durable.await {
                        call.set_intent(Intent::None);
                        return Err(unavailable(&call.shared, &error));
                    }
                    inner.call(governed).await
                }))
            }
        }
    }
}

fn with_intent<T>(call: &Call, write: impl FnOnce(draft::Intent<'_>) -> T) -> T {
    let deadline_ms = call
        .deadline()
        .map_or(0, |deadline| u32::try_from(deadline.at.since(call.arrived).as_millis()).unwrap_or(u32::MAX));
    let stakes = call.stakes();
    call.record(|head, decisions| write(draft::Intent { head, decisions, deadline_ms, stakes: &stakes }))
}

fn unavailable(shared: &Shared, error: &JournalError) -> Box<Rejection> {
    shared.metrics.audit_unavailable.fetch_add(1, Ordering::Relaxed);
    tracing::error!(%error, "no intent can be written; the call is not made");
    let message = "the journal can't take the record without which this call must not be made";
    Box::new(Rejection::new(Reason::AuditUnavailable, "intent", message).retry(Retry::After(PUSHBACK)))
}
