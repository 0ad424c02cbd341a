//! One record a call, admitted or refused; wraps all that can refuse. No refusal of its own but
//! AUDIT_UNAVAILABLE in place of an answer whose record can't be written.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body_util::BodyExt as _;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::Body;
use crate::answer::AnswerBody;
use crate::conclusion::{Conclusion, Durable};
use crate::gate::Governed;
use crate::header;
use crate::outcome::status_in;
use crate::rescue;

/// Puts the audit above what is below.
#[derive(Clone, Copy, Debug)]
pub struct AuditLayer;

/// The audit.
#[derive(Clone, Copy, Debug)]
pub struct Audit<S> {
    inner: S,
}

impl<S> Layer<S> for AuditLayer {
    type Service = Audit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Audit { inner }
    }
}

impl<S> Service<Governed> for Audit<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = AuditFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        let conclusion = Conclusion::new(Arc::clone(&governed.call));
        AuditFuture { conclusion: Some(conclusion), inner: self.inner.call(governed), last: None }
    }
}

pin_project! {
    /// The answer; when this is dropped before its end, the record says CANCELLED.
    pub struct AuditFuture<F> {
        conclusion: Option<Conclusion>,
        last: Option<(Durable, Response<Body>)>,
        #[pin]
        inner: F,
    }
}

impl<F> Future for AuditFuture<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.last.is_none() {
            let Ok(mut response) = ready!(this.inner.poll(cx));
            let Some(mut conclusion) = this.conclusion.take() else { return Poll::Pending };
            response.headers_mut().insert(header::CALL_ID, conclusion.call().id_header());
            conclusion.call().capture_encoding(response.headers().get(header::GRPC_ENCODING));
            let Some(code) = status_in(response.headers()) else {
                conclusion.mark_degraded(response.headers_mut());
                let body = |inner| AnswerBody::new(inner, conclusion).boxed_unsync();
                return Poll::Ready(Ok(response.map(body)));
            };
            // Trailers only: this head is the end of the call, and a body behind it would be unwatched.
            let mut response = response.map(|_| crate::empty_body());
            conclusion.mark_origin(response.headers_mut());
            let retry_after = crate::answer::pushback(response.headers());
            let durable = conclusion.conclude(code, retry_after);
            *this.conclusion = Some(conclusion);
            *this.last = Some((durable, response));
        }
        let Some((durable, _)) = this.last.as_mut() else { return Poll::Pending };
        let written = ready!(Pin::new(durable).poll(cx));
        let answer = this.last.take().map(|(_, response)| response);
        Poll::Ready(Ok(match (written, answer, this.conclusion.as_ref()) {
            (Err(rejection), _, Some(conclusion)) => rescue::response(conclusion.call(), &rejection),
            (_, Some(response), _) => response,
            (_, None, _) => Response::new(crate::empty_body()),
        }))
    }
}
