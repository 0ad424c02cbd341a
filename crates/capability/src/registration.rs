//! A capability as the gateway reaches it in the same process: a tower service, no socket between.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

/// Any error of a body or a connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message body on its way through the platform: data frames and trailers, undecoded.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// A gRPC service in this process.
pub type LocalService = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Who calls, as the gateway tells a capability in the same process (a request extension).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// The call's id, for logs and events.
    pub call_id: oaas_model::CallId,
    /// The calling application.
    pub application: String,
}

/// One gRPC service that a domain offers.
#[derive(Clone)]
pub struct Registration {
    /// Full gRPC name. Example: "oaas.channel.v1.RebateService".
    pub name: &'static str,
    /// The service.
    pub service: LocalService,
}

impl Registration {
    /// Registers a server that tonic generated, under the name that it has.
    pub fn new<S>(server: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<tonic::body::Body>, Error = Infallible>
            + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let service = server.map_response(|response: Response<tonic::body::Body>| {
            response.map(|body| {
                use http_body_util::BodyExt as _;
                body.map_err(Into::into).boxed_unsync()
            })
        });
        Self { name: S::NAME, service: BoxCloneSyncService::new(service) }
    }
}
