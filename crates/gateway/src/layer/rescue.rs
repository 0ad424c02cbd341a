//! Makes the status of every refusal: below it layers raise a typed `Rejection`, above it are only responses.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::Body;
use crate::call::Call;
use crate::gate::Governed;
use crate::rejection::Rejection;
use crate::rescue;

/// Puts the rescue above what is below.
#[derive(Clone, Copy, Debug)]
pub struct RescueLayer;

/// The rescue.
#[derive(Clone, Copy, Debug)]
pub struct Rescue<S> {
    inner: S,
}

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Rescue { inner }
    }
}

impl<S> Service<Governed> for Rescue<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RescueFuture<S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        RescueFuture { call: Arc::clone(&governed.call), inner: self.inner.call(governed) }
    }
}

pin_project! {
    /// The answer, or the status of the refusal.
    pub struct RescueFuture<F> {
        call: Arc<Call>,
        #[pin]
        inner: F,
    }
}

impl<F> Future for RescueFuture<F>
where
    F: Future<Output = Result<Response<Body>, Box<Rejection>>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        // A request that the gateway itself cut off ends with our reason, whatever the upstream made of it.
        let rejection = match (this.call.aborted(), answer) {
            (Some(aborted), _) => Box::new(aborted.clone()),
            (None, Err(rejection)) => rejection,
            (None, Ok(response)) => return Poll::Ready(Ok(response)),
        };
        let response = rescue::response(this.call, &rejection);
        this.call.rejected(rejection);
        Poll::Ready(Ok(response))
    }
}
