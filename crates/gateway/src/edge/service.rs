//! What happens to a request between HTTP and the stack: the probe, the header count, the peer.

use std::convert::Infallible;
use std::future::{poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use oaas_capability::Body;
use tokio::time::sleep;
use tower::Service;

use super::body::{self, EdgeBody};
use super::connection::{CUT_FLUSH, CallCount, Connection};
use super::counters::EdgeCounters;

/// What `GET /` says.
const PROBE: &str = "oaas gateway: gRPC is spoken here\n";

/// What answers a request.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Response<EdgeBody>, Infallible>> + Send>>;

/// Answers one request; counts it as in flight until its response's body is at its end.
///
/// What can be decided at once is, so that the future holds only what waits. It is boxed where it is made,
/// since HTTP/2 moves what it is given many times.
pub(super) fn answer<S, F>(
    connection: &Arc<Connection>,
    mut service: S,
    request: Request<Incoming>,
) -> Answering
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = F> + Send + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let call = CallCount::start(connection);
    let counters = connection.counters();
    if request.method() == Method::GET && request.uri().path() == "/" {
        EdgeCounters::add(&counters.probes);
        return whole(body::text(StatusCode::OK, PROBE), call);
    }
    let grpc = speaks_grpc(&request);
    if !grpc && request.headers().len() > connection.limits().header_fields_max {
        EdgeCounters::add(&counters.header_fields_over_limit);
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return whole(body::text(status, "too many header fields\n"), call);
    }
    if grpc && request.version() < Version::HTTP_2 {
        let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
        return whole(body::text(status, "gRPC needs HTTP/2\n"), call);
    }
    let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    request.extensions_mut().insert(call.arrival());
    let cut = call.cut();
    Box::pin(async move {
        let response = tokio::select! {
            // The answer first: a gRPC call that is cut says so itself, and may have a record to write.
            biased;
            response = async {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(request).await
            } => response?,
            () = async {
                cut.await;
                if grpc {
                    Box::pin(sleep(CUT_FLUSH / 2)).await;
                }
            } => body::text(StatusCode::SERVICE_UNAVAILABLE, "the process stops\n"),
        };
        Ok(response.map(|body| EdgeBody::new(body, call, grpc)))
    })
}

fn whole(response: Response<Body>, call: CallCount) -> Answering {
    Box::pin(ready(Ok(response.map(|body| EdgeBody::new(body, call, false)))))
}

fn speaks_grpc<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
