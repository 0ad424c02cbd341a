//! One attempt on one stream: the request goes up, the response comes down, and dropping either side of it
//! resets the stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use oaas_capability::{Body, BoxError};
use tokio::task::AbortHandle;

use super::guard::CallGuard;
use super::replay::ReplayBody;

/// Why an attempt has no response.
pub(super) enum AttemptError {
    /// The caller's body broke off.
    RequestBody(BoxError),
    /// h2 refused to send, or the stream ended before its head.
    Stream(h2::Error),
}

/// The response's head, and what is left to do on the stream.
pub(super) struct Answer {
    head: Response<()>,
    recv: RecvStream,
    upload: Option<Upload>,
}

/// A request whose head is on its way.
pub(super) struct Started {
    response: ResponseFuture,
    upload: Option<Upload>,
}

/// Sends the request's head.
pub(super) fn start(
    guard: &mut CallGuard,
    request: Request<()>,
    body: &ReplayBody,
) -> Result<Started, AttemptError> {
    let empty = body.is_end_stream();
    let (response, stream) = guard.sender().send_request(request, empty).map_err(AttemptError::Stream)?;
    Ok(Started { response, upload: (!empty).then_some(Upload { stream, chunk: None }) })
}

impl Started {
    /// Waits for the response's head; meanwhile the body goes up.
    pub(super) async fn answer(&mut self, body: &mut ReplayBody) -> Result<Answer, AttemptError> {
        let head = poll_fn(|cx| {
            if let Some(running) = self.upload.as_mut() {
                match running.poll(body, cx) {
                    Poll::Ready(Err(UploadError::Body(error))) => {
                        running.stream.send_reset(Reason::CANCEL);
                        return Poll::Ready(Err(AttemptError::RequestBody(error)));
                    }
                    // Where the stream broke, the response says how, or is there before all was read.
                    Poll::Ready(Ok(()) | Err(UploadError::Stream)) => self.upload = None,
                    Poll::Pending => {}
                }
            }
            Pin::new(&mut self.response).poll(cx).map_err(AttemptError::Stream)
        })
        .await?;
        let (parts, recv) = head.into_parts();
        Ok(Answer { head: Response::from_parts(parts, ()), recv, upload: self.upload.take() })
    }
}

impl Answer {
    pub(super) fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    pub(super) fn status(&self) -> http::StatusCode {
        self.head.status()
    }

    /// The head ends the stream.
    pub(super) fn is_trailers_only(&self) -> bool {
        self.recv.is_end_stream()
    }

    /// The response for the caller. What the caller has still to send goes up in a task of its own from here,
    /// since the caller may send and read at a different pace.
    pub(super) fn into_response(self, guard: Option<CallGuard>, mut body: ReplayBody) -> Response<Body> {
        let Self { head, recv, upload } = self;
        let ended = recv.is_end_stream();
        let pump = (!ended).then_some(upload).flatten().map(|mut upload| {
            body.commit();
            tokio::spawn(async move {
                let ended = poll_fn(|cx| upload.poll(&mut body, cx)).await;
                if matches!(ended, Err(UploadError::Body(_))) {
                    upload.stream.send_reset(Reason::CANCEL);
                }
            })
            .abort_handle()
        });
        let down = Download { recv, data_done: false, ended, guard: guard.filter(|_| !ended), pump };
        head.map(|()| down.boxed_unsync())
    }
}

/// The request body's way up.
struct Upload {
    stream: SendStream<Bytes>,
    /// Read from the caller and waiting for window. Never more than one.
    chunk: Option<Bytes>,
}

enum UploadError {
    Body(BoxError),
    Stream,
}

impl Upload {
    fn poll(&mut self, body: &mut ReplayBody, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(Err(UploadError::Stream));
            }
            if self.chunk.is_some() {
                ready!(self.poll_window(cx))?;
            }
            if let Some(chunk) = self.chunk.take() {
                let last = body.is_end_stream();
                self.send(chunk, last)?;
                if last {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => {
                        self.stream.reserve_capacity(data.len());
                        self.chunk = Some(data);
                    }
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.stream.reserve_capacity(0);
                            let sent = self.stream.send_trailers(trailers);
                            return Poll::Ready(sent.map_err(|_| UploadError::Stream));
                        }
                    }
                },
                Some(Err(error)) => return Poll::Ready(Err(UploadError::Body(error))),
                None => return Poll::Ready(self.send(Bytes::new(), true)),
            }
        }
    }

    /// Waits until the peer takes at least a part of the chunk.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(UploadError::Stream)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, data: Bytes, last: bool) -> Result<(), UploadError> {
        self.stream.send_data(data, last).map_err(|_| UploadError::Stream)
    }
}

/// The response body's way down. Read only when the caller has window, so h2 holds back the upstream.
struct Download {
    recv: RecvStream,
    data_done: bool,
    ended: bool,
    /// Frees the stream's place and judges the endpoint; gone at the end of the stream.
    guard: Option<CallGuard>,
    pump: Option<AbortHandle>,
}

impl Download {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while !self.data_done {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    self.recv.flow_control().release_capacity(data.len())?;
                    // Empty frames carry nothing, except the end, which is told by itself.
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_done = true,
            }
        }
        match ready!(self.recv.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.guard = None;
        self.stop_pump();
    }

    fn stop_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.abort();
        }
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match ready!(this.poll_next(cx)) {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    if let Some(guard) = &mut this.guard {
                        guard.judge_trailers(trailers);
                    }
                    this.end();
                } else if this.recv.is_end_stream() {
                    if let Some(guard) = &mut this.guard {
                        guard.succeeded();
                    }
                    this.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            // "Stop sending, all has been said" (RFC 9113 §8.1): an end, though without a status.
            Some(Err(error)) if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) => {
                this.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                if let Some(guard) = &mut this.guard {
                    guard.judge_error(&error);
                }
                this.end();
                Poll::Ready(Some(Err(Box::new(error))))
            }
            None => {
                if let Some(guard) = &mut this.guard {
                    guard.succeeded();
                }
                this.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        if self.ended { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.stop_pump();
    }
}
