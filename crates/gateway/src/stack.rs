//! The way of a call, top to bottom in the order of the request.
//!
//! Each layer is a file in `layer/`; above it stands what it decides and which refusal it can give.
//! What happens at the end of a call is in `conclusion.rs`, once for all of them.

use std::convert::Infallible;

use http::Response;
use tower::{Service, ServiceBuilder};

use crate::Body;
use crate::gate::{GateLayer, Governed};
use crate::layer::admit::Admit;
use crate::layer::audit::AuditLayer;
use crate::layer::authenticate::Authenticate;
use crate::layer::breaker::BreakerLayer;
use crate::layer::deadline::DeadlineLayer;
use crate::layer::idempotency::IdempotencyLayer;
use crate::layer::intent::IntentLayer;
use crate::layer::quota::QuotaLayer;
use crate::layer::rate_limit::RateLimit;
use crate::layer::rescue::RescueLayer;
use crate::layer::shed::Shed;
use crate::layer::trace::TraceLayer;
use crate::layer::upstream::Upstream;

/// The stack; `edge` is above it and opens the [`crate::call::Call`] that all layers share.
///
/// The layers have no state, so that a call can take the whole stack with it for nothing; what calls share is
/// in [`crate::call::Call::shared`].
pub fn stack() -> impl Service<Governed, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
+ Copy
+ Send
+ 'static {
    ServiceBuilder::new()
        // One span a call, joined to the caller's trace.
        .layer(TraceLayer)
        // One record a call, admitted or refused; wraps all that can refuse.
        .layer(AuditLayer)
        // The only place where a refusal becomes a gRPC status.
        .layer(RescueLayer)
        // Is this process full?                          UNAVAILABLE / OVERLOADED
        .layer(GateLayer(Shed))
        // Who calls?                                     UNAUTHENTICATED
        .layer(GateLayer(Authenticate))
        // In the catalog, visible, subscribed?           UNIMPLEMENTED / PERMISSION_DENIED
        .layer(GateLayer(Admit))
        // Within the caller's rate and concurrency?      RESOURCE_EXHAUSTED + RetryInfo
        .layer(GateLayer(RateLimit))
        // min(grpc-timeout, catalog), the whole stream.  DEADLINE_EXCEEDED
        // It also covers the layers that read a whole request, which its caller may trickle in.
        .layer(DeadlineLayer)
        // Is the idempotency key another call's?         ABORTED / IN_FLIGHT, INVALID_ARGUMENT / KEY_REUSED
        .layer(IdempotencyLayer)
        // Is the capability healthy?                     a degraded answer, or UNAVAILABLE / CIRCUIT_OPEN
        .layer(BreakerLayer)
        // Within the period's calls, the money at stake? RESOURCE_EXHAUSTED
        .layer(QuotaLayer)
        // The journal's word that the call will be made. UNAVAILABLE / AUDIT_UNAVAILABLE
        .layer(IntentLayer)
        // A capability in this process, or a balanced connection to another one.
        .service(Upstream)
}

#[cfg(test)]
mod tests;
