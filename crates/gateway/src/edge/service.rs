//! What happens to a request between HTTP and the stack: the probe, the header count, the peer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use oaas_capability::Body;
use tower::Service;

use super::body::{self, EdgeBody};
use super::connection::{CallCount, Connection};
use super::counters::EdgeCounters;

/// What `GET /` says.
const PROBE: &str = "oaas gateway: gRPC is spoken here\n";

/// Answers one request; counts it as in flight until its response's body is at its end.
pub(super) async fn answer<S, F>(
    connection: Arc<Connection>,
    mut service: S,
    request: Request<Incoming>,
) -> Result<Response<EdgeBody>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let mut call = CallCount::start(&connection);
    let counters = connection.counters();
    if request.method() == Method::GET && request.uri().path() == "/" {
        EdgeCounters::add(&counters.probes);
        return Ok(whole(body::text(StatusCode::OK, PROBE), call));
    }
    let grpc = speaks_grpc(&request);
    let (fields, fields_max) = (request.headers().len(), connection.limits().header_fields_max);
    if fields > fields_max {
        EdgeCounters::add(&counters.header_fields_over_limit);
        return Ok(whole(body::too_many_fields(grpc, fields, fields_max), call));
    }
    let pushback = connection.limits().drain_pushback;
    let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
    request.extensions_mut().insert(connection.peer().clone());
    let response = tokio::select! {
        biased;
        response = async {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        } => response?,
        () = call.cut() => {
            call.cut_off();
            return Ok(whole(body::cut(grpc, pushback), call));
        }
    };
    Ok(response.map(|body| EdgeBody::new(body, call, grpc.then_some(pushback))))
}

fn whole(response: Response<Body>, call: CallCount) -> Response<EdgeBody> {
    response.map(|body| EdgeBody::new(body, call, None))
}

fn speaks_grpc<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
