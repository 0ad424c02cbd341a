//! The body of a request on its way to the capability: counted, and held to the method's size limit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::call::Call;
use crate::frames::BadFrame;
use crate::rejection::{Executed, Rejection};
use crate::{Body, BoxError, buffer, metadata};

/// A request's body, undecoded.
pub struct RequestBody {
    inner: Body,
    call: Arc<Call>,
}

impl RequestBody {
    /// Counts `inner` for `call`.
    #[must_use]
    pub fn new(inner: Body, call: Arc<Call>) -> Self {
        Self { inner, call }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let mut frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(trailers) = frame.as_mut().and_then(|f| f.as_mut().ok()).and_then(Frame::trailers_mut) {
            metadata::trailers_towards_upstream(trailers);
        }
        if let Some(Err(_)) = &frame {
            // Seen here before anywhere else; without it the upstream would be blamed for the broken call.
            this.call.abort(buffer::broken_off().executed(Executed::Unknown));
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(bad) = this.call.feed_request(data)
        {
            let rejection = match bad {
                BadFrame::TooLarge { limit, size } => {
                    buffer::too_large(limit, usize::try_from(size).unwrap_or(usize::MAX))
                }
                BadFrame::Flag(flag) => {
                    let why = format!("a message has the flag {flag}, not 0 or 1");
                    Rejection::invalid("upstream", "body", why).executed(Executed::Unknown)
                }
            };
            this.call.abort(rejection.clone());
            return Poll::Ready(Some(Err(Box::new(rejection))));
        }
        if frame.is_none() || this.inner.is_end_stream() {
            this.call.request_ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Request};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;
    use crate::platform::tests::fixture::Fixture;

    #[tokio::test]
    async fn trailers_tell_nobody_who_calls() {
        let fixture = Fixture::start().await;
        let (parts, ()) = Request::new(()).into_parts();
        let call = Call::open(&parts, None, Arc::clone(fixture.gateway.shared()));
        let mut trailers = HeaderMap::new();
        trailers.insert("oaas-application", "operator".parse().unwrap());
        trailers.insert("x-checksum", "7".parse().unwrap());
        let frames = futures_util::stream::iter([Ok(Frame::trailers(trailers))]);
        let body = RequestBody::new(StreamBody::new(frames).boxed_unsync(), call);
        let passed = body.collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(passed.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["x-checksum"]);
    }
}
