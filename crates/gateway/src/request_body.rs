//! The body of a request on its way to the capability: counted, and held to the method's size limit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::call::Call;
use crate::rejection::Executed;
use crate::{Body, BoxError, buffer};

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
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(Err(_)) = &frame {
            // Seen here before anywhere else; without it the upstream would be blamed for the broken call.
            this.call.abort(buffer::broken_off().executed(Executed::Unknown));
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(over) = this.call.feed_request(data)
        {
            let rejection = buffer::too_large(over.limit, usize::try_from(over.size).unwrap_or(usize::MAX));
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
