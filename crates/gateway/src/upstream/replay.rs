//! A request body that can be sent again as long as what went out is small enough to keep.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use oaas_capability::{Body, BoxError};

/// Most frames that are kept; many tiny ones would cost more than their bytes say.
const FRAMES_MAX: usize = 64;

/// The body and what was read of it so far.
pub(super) struct ReplayBody {
    body: Body,
    kept: Vec<Kept>,
    kept_bytes: usize,
    bytes_max: usize,
    /// Frames of `kept` that this attempt has sent.
    sent: usize,
    /// The caller's body is at its end.
    ended: bool,
    /// Something went out that was not kept.
    lost: bool,
}

#[derive(Clone)]
enum Kept {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl ReplayBody {
    /// A body of which up to `bytes_max` bytes are kept.
    pub(super) fn new(body: Body, bytes_max: usize) -> Self {
        let ended = body.is_end_stream();
        Self { body, kept: Vec::new(), kept_bytes: 0, bytes_max, sent: 0, ended, lost: false }
    }

    /// Starts over. False when that is not possible any more.
    pub(super) fn rewind(&mut self) -> bool {
        self.sent = 0;
        !self.lost
    }

    /// From now on there is no second attempt: what was kept may go as it is sent.
    pub(super) fn commit(&mut self) {
        self.lost = true;
        self.kept.drain(..self.sent.min(self.kept.len()));
        self.sent = 0;
    }

    /// Nothing is left to send.
    pub(super) fn is_end_stream(&self) -> bool {
        self.sent >= self.kept.len() && (self.ended || self.body.is_end_stream())
    }

    /// The next frame, from what was kept or from the caller.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(kept) = self.kept.get(self.sent).cloned() {
            self.sent += 1;
            return Poll::Ready(Some(Ok(match kept {
                Kept::Data(data) => Frame::data(data),
                Kept::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.keep(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.lost = true;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.lost {
            return;
        }
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return,
        };
        if let Kept::Data(data) = &kept {
            self.kept_bytes = self.kept_bytes.saturating_add(data.len());
        }
        if self.kept_bytes > self.bytes_max || self.kept.len() >= FRAMES_MAX {
            self.lost = true;
            self.kept = Vec::new();
            self.sent = 0;
        } else {
            self.kept.push(kept);
            self.sent = self.kept.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    fn body(chunks: &[&'static str]) -> Body {
        let frames: Vec<Result<Frame<Bytes>, BoxError>> =
            chunks.iter().map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))).collect();
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    }

    fn read(replay: &mut ReplayBody, frames: usize) -> String {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut text = String::new();
        for _ in 0..frames {
            match replay.poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
                }
                _ => break,
            }
        }
        text
    }

    #[test]
    fn starts_over_in_the_middle_and_at_the_end() {
        let mut replay = ReplayBody::new(body(&["a", "b", "c"]), 16);
        assert_eq!(read(&mut replay, 2), "ab");
        assert!(replay.rewind());
        assert_eq!(read(&mut replay, 9), "abc");
        assert!(replay.rewind());
        assert_eq!(read(&mut replay, 9), "abc");
        assert!(replay.is_end_stream());
    }

    #[test]
    fn too_much_to_keep_is_sent_once_and_whole() {
        let mut replay = ReplayBody::new(body(&["aaaa", "bbbb", "cccc"]), 7);
        assert_eq!(read(&mut replay, 9), "aaaabbbbcccc");
        assert!(!replay.rewind());
    }

    #[test]
    fn after_the_commit_the_rest_still_goes_out() {
        let mut replay = ReplayBody::new(body(&["a", "b", "c"]), 16);
        assert_eq!(read(&mut replay, 2), "ab");
        assert!(replay.rewind());
        assert_eq!(read(&mut replay, 1), "a");
        replay.commit();
        assert_eq!(read(&mut replay, 9), "bc");
        assert!(!replay.rewind());
    }
}
