//! gRPC's length-prefixed messages, counted across DATA frames that don't align with them.

use bytes::{Buf as _, Bytes};

use crate::outcome::Traffic;

/// A message's flag byte and big-endian length (grpc/grpc, doc/PROTOCOL-HTTP2.md).
pub const PREFIX_BYTES: usize = 5;

/// Counts messages and bytes, and digests what passes.
#[derive(Debug)]
pub struct FrameCounter {
    limit: u32,
    messages: u64,
    bytes: u64,
    prefix: [u8; PREFIX_BYTES],
    prefix_filled: usize,
    payload_left: u64,
    digest: Digest,
}

/// BLAKE3 of what passed. Its state is 2 KiB large, and most unary calls are one DATA frame each way: that is
/// kept by reference, and the state made with the second.
#[derive(Debug)]
enum Digest {
    None,
    One(Bytes),
    Many(Box<blake3::Hasher>),
}

impl Digest {
    fn update(&mut self, data: &Bytes) {
        match self {
            Self::None => *self = Self::One(data.clone()),
            Self::One(first) => {
                let mut hasher = Box::new(blake3::Hasher::new());
                hasher.update(first).update(data);
                *self = Self::Many(hasher);
            }
            Self::Many(hasher) => {
                hasher.update(data);
            }
        }
    }

    fn finish(&self) -> blake3::Hash {
        match self {
            Self::None => blake3::hash(&[]),
            Self::One(data) => blake3::hash(data),
            Self::Many(hasher) => hasher.finalize(),
        }
    }
}

/// What is wrong with a message's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// It declares more than the limit.
    TooLarge {
        /// The limit, bytes.
        limit: u32,
        /// What the message declares, bytes.
        size: u32,
    },
    /// Its flag is neither 0 nor 1.
    Flag(u8),
}

impl FrameCounter {
    /// A counter for one side of a call whose messages may have `limit` bytes. A stream's first frame is not
    /// kept: it may be open for days.
    #[must_use]
    pub fn new(limit: u32, is_stream: bool) -> Self {
        Self {
            limit,
            messages: 0,
            bytes: 0,
            prefix: [0; PREFIX_BYTES],
            prefix_filled: 0,
            payload_left: 0,
            digest: if is_stream { Digest::Many(Box::default()) } else { Digest::None },
        }
    }

    /// Takes note of `data`.
    ///
    /// # Errors
    /// When a message's prefix is bad; it is seen before its payload came.
    pub fn feed(&mut self, data: &Bytes) -> Result<(), BadFrame> {
        self.digest.update(data);
        let mut rest: &[u8] = data;
        while !rest.is_empty() {
            if self.payload_left > 0 {
                let step = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(rest.len());
                rest.advance(step);
                self.payload_left -= step as u64;
                continue;
            }
            let wanted = PREFIX_BYTES - self.prefix_filled;
            let (head, tail) = rest.split_at(wanted.min(rest.len()));
            for (slot, byte) in self.prefix.iter_mut().skip(self.prefix_filled).zip(head) {
                *slot = *byte;
            }
            self.prefix_filled += head.len();
            rest = tail;
            if self.prefix_filled == PREFIX_BYTES {
                self.prefix_filled = 0;
                let [flag, a, b, c, d] = self.prefix;
                if flag > 1 {
                    return Err(BadFrame::Flag(flag));
                }
                let size = u32::from_be_bytes([a, b, c, d]);
                if size > self.limit {
                    return Err(BadFrame::TooLarge { limit: self.limit, size });
                }
                self.messages += 1;
                self.bytes += u64::from(size);
                self.payload_left = u64::from(size);
            }
        }
        Ok(())
    }

    /// Messages so far.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// What passed so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let mut digest = [0; 16];
        if self.messages > 0 {
            let whole = self.digest.finish();
            for (slot, byte) in digest.iter_mut().zip(whole.as_bytes()) {
                *slot = *byte;
            }
        }
        Traffic { messages: self.messages, bytes: self.bytes, digest }
    }
}

/// One uncompressed message with its prefix.
#[must_use]
pub fn encode(payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(PREFIX_BYTES + payload.len());
    frame.push(0);
    frame.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(payload);
    frame.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_the_frames_are_cut() {
        let wire: Vec<u8> = [&encode(b"hello")[..], &encode(b""), &encode(&[7; 300])].concat();
        for size in 1..=wire.len() {
            for is_stream in [false, true] {
                let mut counter = FrameCounter::new(300, is_stream);
                for part in wire.chunks(size) {
                    counter.feed(&Bytes::copy_from_slice(part)).unwrap();
                }
                let traffic = counter.traffic();
                assert_eq!((traffic.messages, traffic.bytes), (3, 305));
                assert_eq!(traffic.digest, blake3::hash(&wire).as_bytes()[..16]);
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_seen_at_its_prefix() {
        let mut counter = FrameCounter::new(299, false);
        let wire = encode(&[7; 300]);
        assert_eq!(counter.feed(&wire.slice(..4)), Ok(()));
        assert_eq!(counter.feed(&wire.slice(4..5)), Err(BadFrame::TooLarge { limit: 299, size: 300 }));
    }
}
