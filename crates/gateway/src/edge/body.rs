//! Bodies at the edge: one that counts its call until the end, and the edge's own short answers.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use oaas_capability::{Body, BoxError};
use pin_project_lite::pin_project;
use tokio::sync::futures::OwnedNotified;

use super::connection::CallCount;

pin_project! {
    /// A response body that is asked once more when a drain cuts it: a call says then why it ends.
    pub(super) struct EdgeBody {
        inner: Body,
        #[pin]
        cut: OwnedNotified,
        call: Option<CallCount>,
        grpc: bool,
    }
}

impl EdgeBody {
    pub(super) fn new(inner: Body, mut call: CallCount, grpc: bool) -> Self {
        let cut = call.cut();
        if inner.is_end_stream() {
            call.finish();
        }
        let call = (!inner.is_end_stream()).then_some(call);
        Self { inner, cut, call, grpc }
    }
}

impl http_body::Body for EdgeBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if this.call.is_none() {
            return Poll::Ready(None);
        }
        let mut next = Pin::new(&mut *this.inner).poll_frame(cx);
        if next.is_pending() && this.cut.as_mut().poll(cx).is_ready() {
            next = Pin::new(&mut *this.inner).poll_frame(cx);
            if next.is_pending() && !*this.grpc {
                next = Poll::Ready(Some(Err("the process stops".into())));
            }
        }
        let next = ready!(next);
        let ended = match &next {
            Some(Ok(frame)) => frame.is_trailers() || this.inner.is_end_stream(),
            Some(Err(_)) | None => true,
        };
        if ended && let Some(mut call) = this.call.take() {
            call.finish();
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.call.is_none() || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
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
