//! Bodies at the edge: one that counts its call until the end, and the edge's own short answers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use oaas_capability::{Body, BoxError};
use oaas_model::Reason;
use pin_project_lite::pin_project;
use tokio::sync::futures::OwnedNotified;

use super::connection::CallCount;
use crate::rejection::{Executed, Rejection, Retry};
use crate::rescue;

pin_project! {
    /// A response body that ends early, with a status, when a drain cuts it.
    pub(super) struct EdgeBody {
        inner: Option<Body>,
        #[pin]
        cut: OwnedNotified,
        call: Option<CallCount>,
        // What a call that is cut hears; only where it speaks gRPC.
        farewell: Option<Duration>,
    }
}

impl EdgeBody {
    pub(super) fn new(inner: Body, mut call: CallCount, farewell: Option<Duration>) -> Self {
        let cut = call.cut();
        if inner.is_end_stream() {
            call.finish();
        }
        let call = (!inner.is_end_stream()).then_some(call);
        Self { inner: Some(inner), cut, call, farewell }
    }
}

impl http_body::Body for EdgeBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(next) = Pin::new(&mut *inner).poll_frame(cx) {
            let ended = match &next {
                Some(Ok(frame)) => frame.is_trailers() || inner.is_end_stream(),
                Some(Err(_)) | None => true,
            };
            if ended && let Some(mut call) = this.call.take() {
                call.finish();
            }
            return Poll::Ready(next);
        }
        if this.cut.poll(cx).is_pending() {
            return Poll::Pending;
        }
        // Dropping what is inside resets the upstream.
        *this.inner = None;
        if let Some(mut call) = this.call.take() {
            call.cut_off();
        }
        Poll::Ready(Some(match this.farewell.take() {
            Some(pushback) => Ok(Frame::trailers(draining(pushback))),
            None => Err("the server is shutting down".into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// Trailers of a call that a drain ends.
fn draining(pushback: Duration) -> HeaderMap {
    let rejection = Rejection::new(Reason::Draining, "edge", "the server is shutting down")
        .executed(Executed::Unknown)
        .retry(Retry::After(pushback));
    rescue::edge_trailers(&rejection)
}

/// The answer to a request with too many header fields.
pub(super) fn too_many_fields(grpc: bool, count: usize, max: usize) -> Response<Body> {
    if !grpc {
        return text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many header fields\n");
    }
    let message = format!("METADATA_TOO_LARGE: {count} header fields, at most {max}");
    let rejection = Rejection::new(Reason::MetadataTooLarge, "edge", message)
        .retry(Retry::Never)
        .fact("limit", max)
        .fact("size", count);
    trailers_only(rescue::edge_trailers(&rejection))
}

fn trailers_only(headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The answer to a call that a drain ends before it had one.
pub(super) fn cut(grpc: bool, pushback: Duration) -> Response<Body> {
    if grpc {
        return trailers_only(draining(pushback));
    }
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(pushback.as_secs().max(1)));
    response
}

/// A short text of the edge itself.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("oaas-origin", HeaderValue::from_static("gateway"));
    response
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
