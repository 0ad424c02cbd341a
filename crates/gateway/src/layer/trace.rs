//! One span a call, joined to the caller's trace; made only for calls that are sampled.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _,
};
use opentelemetry::{KeyValue, global};
use tower::{Layer, Service};

use crate::Body;
use crate::call::Call;
use crate::gate::Governed;

/// Puts the span around what is below.
#[derive(Clone, Copy, Debug)]
pub struct TraceLayer;

/// The span and what is below it.
#[derive(Clone, Copy, Debug)]
pub struct Traced<S> {
    inner: S,
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Traced { inner }
    }
}

impl<S> Service<Governed> for Traced<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        if governed.call.shared.traces(&governed.call.trace) {
            open(&governed.call);
        }
        self.inner.call(governed)
    }
}

/// Opens the span; it ends with the call.
fn open(call: &Arc<Call>) {
    let tracer = global::tracer("oaas");
    // Calls of paths that are not in the catalog share one name.
    let name = call
        .entry()
        .map_or_else(|| "unknown".to_owned(), |entry| entry.path.trim_start_matches('/').to_owned());
    let builder = tracer.span_builder(name).with_kind(SpanKind::Server);
    let mut span = match (call.trace.trace_id(), call.trace.span_id()) {
        (Some(trace_id), Some(span_id)) => {
            let flags = if call.trace.sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
            let parent = SpanContext::new(
                TraceId::from_bytes(trace_id),
                SpanId::from_bytes(span_id),
                flags,
                true,
                TraceState::default(),
            );
            let context = opentelemetry::Context::new().with_remote_span_context(parent);
            builder.start_with_context(&tracer, &context)
        }
        _ => builder.start_with_context(&tracer, &opentelemetry::Context::new()),
    };
    let made = span.span_context();
    call.set_span(made.trace_id().to_bytes(), made.span_id().to_bytes(), made.is_sampled());
    call.at_end(move |call, outcome| {
        span.set_attribute(KeyValue::new("rpc.system", "grpc"));
        span.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(outcome.code.number())));
        span.set_attribute(KeyValue::new("oaas.call_id", call.id.to_string()));
        if let Some(application) = call.application() {
            span.set_attribute(KeyValue::new("oaas.application", application.id.to_string()));
        }
        if let Some(reason) = outcome.reason {
            span.set_attribute(KeyValue::new("oaas.reason", reason.as_str()));
            span.set_status(Status::error(reason.as_str()));
        }
        span.end();
    });
}
