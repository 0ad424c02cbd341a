//! The frame of the layers that decide at once, before the call goes on: no future of their own, no allocation.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::Body;
use crate::call::Call;
use crate::rejection::Rejection;

/// A call and its request on the way down the stack.
pub struct Governed {
    /// The call.
    pub call: Arc<Call>,
    /// Its request.
    pub request: Request<Body>,
}

/// A decision that needs nothing but the call and the request's head.
pub trait Gate: Clone {
    /// Lets the call go on, or says why not.
    ///
    /// # Errors
    /// The rejection.
    fn decide(&self, call: &Arc<Call>, request: &mut Request<Body>) -> Result<(), Box<Rejection>>;
}

/// Puts a [`Gate`] before what is below.
#[derive(Clone, Copy, Debug)]
pub struct GateLayer<G>(pub G);

/// A [`Gate`] and what is below it.
#[derive(Clone, Copy, Debug)]
pub struct Gated<G, S> {
    gate: G,
    inner: S,
}

impl<G: Clone, S> Layer<S> for GateLayer<G> {
    type Service = Gated<G, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { gate: self.0.clone(), inner }
    }
}

impl<G, S> Service<Governed> for Gated<G, S>
where
    G: Gate,
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>>,
{
    type Response = Response<Body>;
    type Error = Box<Rejection>;
    type Future = GateFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut governed: Governed) -> Self::Future {
        match self.gate.decide(&governed.call, &mut governed.request) {
            Ok(()) => GateFuture::Open { inner: self.inner.call(governed) },
            Err(rejection) => GateFuture::Shut { rejection: Some(rejection) },
        }
    }
}

pin_project! {
    /// What is below, or the rejection.
    #[project = GateFutureProjection]
    pub enum GateFuture<F> {
        /// The call went on.
        Open { #[pin] inner: F },
        /// The call was refused.
        Shut { rejection: Option<Box<Rejection>> },
    }
}

impl<F> Future for GateFuture<F>
where
    F: Future<Output = Result<Response<Body>, Box<Rejection>>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            GateFutureProjection::Open { inner } => inner.poll(cx),
            GateFutureProjection::Shut { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection)),
                None => Poll::Pending,
            },
        }
    }
}
