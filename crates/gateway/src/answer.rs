//! The body of an answer on its way out: the one place that sees how a call ends.
//!
//! It passes frames on as they are, and holds the last one back until the call is concluded: the
//! outcome of a gRPC call is known only here, because `grpc-status` comes in the trailers. It also
//! keeps the deadline over the whole stream, the size limits, and turns a broken stream into a status.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame};
use oaas_model::{Code, Reason, Timestamp};
use tokio::time::Sleep;

use crate::conclusion::{Conclusion, Durable};
use crate::frames::BadFrame;
use crate::outcome::status_in;
use crate::rejection::{Executed, Rejection, Retry};
use crate::upstream::Pushback;
use crate::{Body, BoxError, edge, header, metadata, rescue};

/// The body of an answer.
pub struct AnswerBody {
    inner: Option<Body>,
    conclusion: Conclusion,
    timer: Option<Pin<Box<Sleep>>>,
    /// When something last moved, and how many request messages there were then.
    moved: (Timestamp, u64),
    /// Since when the client has a part that it may not have read yet.
    handed: Option<Timestamp>,
    last: Option<(Durable, HeaderMap)>,
    over: bool,
}

impl AnswerBody {
    /// Watches over `inner`, the body of an answer whose head carried no status.
    #[must_use]
    pub fn new(inner: Body, conclusion: Conclusion) -> Self {
        // Only a stream is looked at for silence.
        let is_stream = conclusion.call().entry().is_some_and(|entry| entry.is_streaming());
        let moved = if is_stream { conclusion.shared().clock.now() } else { conclusion.call().arrived };
        Self {
            inner: Some(inner),
            conclusion,
            timer: None,
            moved: (moved, 0),
            handed: None,
            last: None,
            over: false,
        }
    }

    /// The upstream ended its answer.
    fn ended(&mut self, mut trailers: HeaderMap) {
        metadata::from_upstream(&mut trailers);
        if let Some(aborted) = self.conclusion.call().aborted().cloned() {
            return self.cut(aborted);
        }
        let Some(code) = status_in(&trailers) else {
            let message = "the upstream ended its answer without a status";
            return self.cut(
                Rejection::new(Reason::UpstreamNoStatus, "upstream", message)
                    .executed(Executed::Unknown)
                    .fact("phase", "no_status"),
            );
        };
        self.finish(code, trailers);
    }

    /// The gateway ends the answer; dropping the inner body resets the upstream's stream.
    fn cut(&mut self, rejection: Rejection) {
        let trailers = rescue::trailers(self.conclusion.call(), &rejection);
        let code = rejection.code;
        self.conclusion.call().rejected(rejection);
        self.finish(code, trailers);
    }

    fn finish(&mut self, code: Code, mut trailers: HeaderMap) {
        self.inner = None;
        self.timer = None;
        self.conclusion.mark_origin(&mut trailers);
        let durable = self.conclusion.conclude(code, pushback(&trailers));
        self.last = Some((durable, trailers));
    }

    /// The stream broke, or our own side of it did.
    fn broke(&mut self, error: &BoxError) {
        let rejection = self
            .conclusion
            .call()
            .aborted()
            .cloned()
            .unwrap_or_else(|| crate::layer::upstream::broken(error));
        self.cut(rejection);
    }

    /// What the next timer is for: the deadline of the call, or the idle limit of a stream.
    fn due(&self, now: Timestamp) -> Result<Option<Duration>, Box<Rejection>> {
        let call = self.conclusion.call();
        let mut due = None;
        if let Some(deadline) = call.deadline() {
            if deadline.at <= now {
                return Err(Box::new(crate::layer::deadline::passed(call, now)));
            }
            due = Some(deadline.at.since(now));
        }
        if let Some(idle) = call.entry().filter(|e| e.is_streaming()).map(|e| e.stream.idle) {
            let silent = now.since(self.moved.0);
            if silent >= idle {
                return Err(Box::new(crate::layer::deadline::idle(idle)));
            }
            let left = idle.saturating_sub(silent);
            due = Some(due.map_or(left, |due| due.min(left)));
        }
        Ok(due)
    }

    /// Hands out a part. From now on the client has to read, and the stream's task keeps the time.
    fn hand_out(&mut self) -> Result<(), Box<Rejection>> {
        self.handed = Some(self.moved.0);
        if let Some(time) = self.due(self.moved.0)? {
            edge::read_within(time);
        }
        Ok(())
    }

    /// The client asks for more: it has read what it was given.
    fn asked(&mut self) {
        if let Some(since) = self.handed.take() {
            let now = self.conclusion.shared().clock.now();
            self.conclusion.unread_for(now.since(since));
        }
        edge::nothing_to_read();
    }

    fn watch_time(&mut self, cx: &mut Context<'_>) {
        loop {
            let now = self.conclusion.shared().clock.now();
            let sent = self.conclusion.call().request_messages();
            if sent != self.moved.1 {
                self.moved = (now, sent);
            }
            match self.due(now) {
                Err(rejection) => return self.cut(*rejection),
                Ok(None) => return,
                Ok(Some(wait)) => {
                    let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(wait)));
                    if timer.as_mut().poll(cx).is_pending() {
                        return;
                    }
                    self.timer = None;
                }
            }
        }
    }

    fn pass(&mut self, data: &Bytes) -> Result<(), Box<Rejection>> {
        self.moved.0 = self.conclusion.shared().clock.now();
        self.conclusion.feed(data).map_err(|bad| Box::new(bad_answer(bad)))?;
        self.hand_out()
    }
}

fn bad_answer(bad: BadFrame) -> Rejection {
    match bad {
        BadFrame::TooLarge { limit, size } => {
            let message = format!("a response message of {size} bytes is over the limit of {limit}");
            Rejection::new(Reason::ResponseTooLarge, "audit", message)
                .executed(Executed::True)
                .retry(Retry::Never)
                .fact("limit", limit)
                .fact("size", size)
        }
        BadFrame::Flag(flag) => {
            crate::layer::upstream::protocol(format!("a response message has the flag {flag}, not 0 or 1"))
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        this.asked();
        if this.over {
            return Poll::Ready(None);
        }
        if this.last.is_none() {
            let Some(inner) = this.inner.as_mut() else { return Poll::Ready(None) };
            match Pin::new(inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => match this.pass(&data) {
                        Ok(()) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        Err(rejection) => this.cut(*rejection),
                    },
                    Err(frame) => this.ended(frame.into_trailers().unwrap_or_default()),
                },
                Poll::Ready(Some(Err(error))) => this.broke(&error),
                Poll::Ready(None) => this.ended(HeaderMap::new()),
                Poll::Pending => {
                    if let Some(aborted) = this.conclusion.call().aborted().cloned() {
                        this.cut(aborted);
                    } else if this.conclusion.shared().drain.is_cut() {
                        this.cut(crate::layer::deadline::cut(this.conclusion.call()));
                    } else {
                        this.watch_time(cx);
                    }
                    if this.last.is_none() {
                        return Poll::Pending;
                    }
                }
            }
        }
        let Some((durable, _)) = this.last.as_mut() else { return Poll::Pending };
        let written = ready!(Pin::new(durable).poll(cx));
        this.over = true;
        let trailers = match (written, this.last.take()) {
            (Err(rejection), _) => rescue::trailers(this.conclusion.call(), &rejection),
            (Ok(()), Some((_, trailers))) => trailers,
            (Ok(()), None) => HeaderMap::new(),
        };
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

impl Drop for AnswerBody {
    /// A stream that nobody reads is dropped when its time is over, and so is one that its client left.
    fn drop(&mut self) {
        if self.last.is_none()
            && self.handed.is_some()
            && let Err(rejection) = {
                self.asked();
                self.due(self.conclusion.shared().clock.now())
            }
        {
            self.conclusion.abandon(*rejection);
        }
    }
}

/// What the status asks for before the next try, if it says so.
#[must_use]
pub fn pushback(headers: &HeaderMap) -> Option<Duration> {
    debug_assert!(headers.contains_key(header::GRPC_STATUS));
    match Pushback::read(headers) {
        Pushback::After(wait) => Some(wait),
        Pushback::Silent | Pushback::Never => None,
    }
}
