//! A process with capabilities alone: each service by its path, without the gateway's rules. Gateways of
//! the same installation call it, so let nobody else reach it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use oaas_capability::{Body, CallContext, LocalService, Registration};
use oaas_model::{CallId, Code};
use tower::Service;

/// Capabilities by service name.
#[derive(Clone)]
pub struct Bare {
    services: Arc<HashMap<&'static str, LocalService>>,
}

impl Bare {
    /// Serves these.
    #[must_use]
    pub fn new(registrations: Vec<Registration>) -> Self {
        Self { services: Arc::new(registrations.into_iter().map(|r| (r.name, r.service)).collect()) }
    }
}

impl Service<Request<Body>> for Bare {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let name = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let Some(mut service) = self.services.get(name).cloned() else {
            return Box::pin(std::future::ready(Ok(unimplemented())));
        };
        // The gateway in front says who calls, and strips what clients say of themselves.
        let said = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
        let context = CallContext {
            call_id: said("oaas-call-id").and_then(|id| id.parse().ok()).unwrap_or_else(CallId::fresh),
            application: said("oaas-application").unwrap_or_default().to_owned(),
        };
        request.extensions_mut().insert(context);
        service.call(request)
    }
}

fn unimplemented() -> Response<Body> {
    let body = http_body_util::Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(Code::Unimplemented.header()));
    response
}
