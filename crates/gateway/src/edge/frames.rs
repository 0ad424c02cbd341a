//! Floods of frames that do nothing: PING, SETTINGS, PRIORITY, empty DATA (CVE-2019-9512, -9515, -9518).
//!
//! HTTP/2 libraries answer or skip such frames one by one and never tire. This meter reads only the frame
//! headers that go by, nine bytes each, and ends the connection when there are too many.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use oaas_model::{Clock, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;
use super::counters::EdgeCounters;

/// Bytes before the first frame.
const PREFACE_LEN: usize = 24;
/// Bytes of a frame's header (RFC 9113 §4.1).
const HEADER_LEN: usize = 9;
const END_STREAM: u8 = 0x1;

/// Counts idle frames in the bytes of one direction, against a rate.
#[derive(Debug)]
pub(super) struct FrameMeter {
    /// Payload bytes to pass over.
    skip: usize,
    header: Vec<u8>,
    /// Idle frames that may still come.
    tokens: u64,
    per_second: u64,
    filled: Timestamp,
}

impl FrameMeter {
    /// Allows `per_second` idle frames a second, and as many at once.
    pub(super) fn new(per_second: u32, now: Timestamp) -> Self {
        let per_second = u64::from(per_second);
        let header = Vec::with_capacity(HEADER_LEN);
        Self { skip: PREFACE_LEN, header, tokens: per_second, per_second, filled: now }
    }

    /// Bytes went by. False when it is too much.
    pub(super) fn feed(&mut self, mut bytes: &[u8], now: impl Fn() -> Timestamp) -> bool {
        let mut idle = 0u64;
        while !bytes.is_empty() {
            let step = if self.skip > 0 { self.skip } else { HEADER_LEN - self.header.len() };
            let (taken, rest) = bytes.split_at(step.min(bytes.len()));
            bytes = rest;
            if self.skip > 0 {
                self.skip -= taken.len();
                continue;
            }
            self.header.extend_from_slice(taken);
            if let &[a, b, c, kind, flags, ..] = self.header.as_slice()
                && self.header.len() == HEADER_LEN
            {
                self.skip = (usize::from(a) << 16) | (usize::from(b) << 8) | usize::from(c);
                self.header.clear();
                idle += u64::from(is_idle(kind, flags, self.skip));
            }
        }
        idle == 0 || self.take(idle, now())
    }

    fn take(&mut self, idle: u64, now: Timestamp) -> bool {
        let gone = now.since(self.filled);
        let earned = u64::try_from(gone.as_nanos().saturating_mul(self.per_second.into()) / 1_000_000_000)
            .unwrap_or(u64::MAX);
        // Counted on only where a whole token was earned, so that fractions are not lost.
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(self.per_second);
            self.filled = now;
        }
        let enough = self.tokens >= idle;
        self.tokens = self.tokens.saturating_sub(idle);
        enough
    }
}

fn is_idle(kind: u8, flags: u8, length: usize) -> bool {
    match kind {
        // DATA and CONTINUATION are idle when empty; an empty DATA that ends a stream is not.
        0 => length == 0 && flags & END_STREAM == 0,
        9 => length == 0,
        // HEADERS, RST_STREAM, PUSH_PROMISE, GOAWAY, WINDOW_UPDATE have their own limits.
        1 | 3 | 5 | 7 | 8 => false,
        _ => true,
    }
}

/// A connection's stream whose incoming frames are metered.
pub(super) struct Metered<T> {
    io: T,
    meter: FrameMeter,
    clock: Arc<dyn Clock>,
    connection: Arc<Connection>,
}

impl<T> Metered<T> {
    pub(super) fn new(io: T, connection: &Arc<Connection>, clock: Arc<dyn Clock>) -> Self {
        let meter = FrameMeter::new(connection.limits().idle_frames_per_second, clock.now());
        Self { io, meter, clock, connection: Arc::clone(connection) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if this.meter.feed(new, || this.clock.now()) {
            return Poll::Ready(Ok(()));
        }
        EdgeCounters::add(&this.connection.counters().idle_frame_floods);
        Poll::Ready(Err(io::Error::other("too many frames without use")))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(9 + payload, 6);
        bytes
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp { steady_ns: ms * 1_000_000, unix_ns: 0 }
    }

    /// Frames until the meter says no.
    fn until_refused(frame: &[u8]) -> usize {
        let mut meter = FrameMeter::new(100, at(0));
        assert!(meter.feed(&[0; PREFACE_LEN], || at(0)));
        (0..1_000).take_while(|_| meter.feed(frame, || at(0))).count()
    }

    #[test]
    fn only_frames_without_use_count() {
        assert_eq!(until_refused(&frame(6, 0, 8)), 100, "PING");
        assert_eq!(until_refused(&frame(4, 0, 6)), 100, "SETTINGS");
        assert_eq!(until_refused(&frame(2, 0, 5)), 100, "PRIORITY");
        assert_eq!(until_refused(&frame(0, 0, 0)), 100, "empty DATA");
        assert_eq!(until_refused(&frame(0xbe, 0, 3)), 100, "unknown");
        assert_eq!(until_refused(&frame(0, END_STREAM, 0)), 1_000, "DATA that ends a stream");
        assert_eq!(until_refused(&frame(0, 0, 300)), 1_000, "DATA");
        assert_eq!(until_refused(&frame(1, 4, 40)), 1_000, "HEADERS");
        assert_eq!(until_refused(&frame(8, 0, 4)), 1_000, "WINDOW_UPDATE");
    }

    #[test]
    fn a_rate_below_the_limit_goes_on_for_ever() {
        let mut meter = FrameMeter::new(100, at(0));
        assert!(meter.feed(&[0; PREFACE_LEN], || at(0)));
        assert!((0..10_000).all(|n| meter.feed(&frame(6, 0, 8), || at(n * 10))));
        assert!(!(0..10_000).all(|n| meter.feed(&frame(6, 0, 8), || at(100_000 + n * 9))));
    }

    proptest! {
        #[test]
        fn where_reads_break_makes_no_difference(
            frames in proptest::collection::vec((0u8..12, 0u8..2, 0usize..40), 0..60),
            cuts in proptest::collection::vec(1usize..50, 1..20),
        ) {
            let idle = frames.iter().filter(|(kind, flags, len)| is_idle(*kind, *flags, *len)).count();
            let mut bytes = vec![0; PREFACE_LEN];
            frames.iter().for_each(|(kind, flags, len)| bytes.extend(frame(*kind, *flags, *len)));
            let mut meter = FrameMeter::new(1_000, at(0));
            let mut cuts = cuts.iter().cycle();
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                prop_assert!(meter.feed(now, || at(0)));
                rest = later;
            }
            prop_assert_eq!(meter.tokens, 1_000 - idle as u64);
        }
    }
}
