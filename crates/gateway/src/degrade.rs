//! The last good answers of capabilities, for when their breaker is open.
//!
//! Unary answers only, as the frames that went over the wire. What is given out says how old it is;
//! the catalog says how old it may be.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use oaas_model::Timestamp;
use parking_lot::Mutex;

/// Answers that are kept at a time.
pub const ANSWERS_MAX: usize = 16_384;
/// Bytes of all answers together.
pub const ANSWERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one answer, frame header and all.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Parts of the store that are locked apart.
const SHARDS: usize = 16;
/// Bytes of a gRPC frame before its message: one for compression, four for the length (grpc/grpc,
/// doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message).
const FRAME_HEAD: usize = 5;

/// Which answer: a method and the digest of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerKey {
    method: Arc<str>,
    digest: [u8; 32],
}

impl AnswerKey {
    /// The key for a digest that was made elsewhere. It must cover all that the answer depends on;
    /// see [`AnswerKey::of`].
    #[must_use]
    pub fn new(method: Arc<str>, digest: [u8; 32]) -> Self {
        Self { method, digest }
    }

    /// The answer to `request` (its frames, as sent) of `application` on behalf of `user` (empty:
    /// nobody). Both are part of the key because upstreams are told who calls and may answer each
    /// differently: nobody is ever given another's answer.
    #[must_use]
    pub fn of(method: Arc<str>, application: &str, user: &str, request: &[Bytes]) -> Self {
        let mut hasher = blake3::Hasher::new();
        // The lengths first, so that names and request can't be taken for one another.
        for name in [application, user] {
            hasher.update(&u64::try_from(name.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(name.as_bytes());
        }
        for part in request {
            hasher.update(part);
        }
        Self { method, digest: *hasher.finalize().as_bytes() }
    }
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One gRPC frame, as the upstream sent it.
    pub frame: Bytes,
    /// The answer's `grpc-encoding`, if it had one.
    pub encoding: Option<HeaderValue>,
    /// When it was given.
    pub at: Timestamp,
}

impl Answer {
    /// Whether a client with this `grpc-accept-encoding` can read it.
    #[must_use]
    pub fn is_readable(&self, accept_encoding: Option<&HeaderValue>) -> bool {
        if self.frame.first() == Some(&0) {
            return true;
        }
        let wanted = self.encoding.as_ref().and_then(|value| value.to_str().ok());
        let accepted = accept_encoding.and_then(|value| value.to_str().ok());
        match (wanted, accepted) {
            (Some(wanted), Some(accepted)) => accepted.split(',').any(|name| name.trim() == wanted),
            _ => false,
        }
    }
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKept {
    /// Larger than one answer may be.
    #[error("answer of {bytes} bytes is over the limit of {ANSWER_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not exactly one whole frame.
    #[error("answer of {bytes} bytes is not one gRPC frame")]
    NotOneFrame {
        /// Its size.
        bytes: usize,
    },
}

/// The last good answers. Each of sixteen parts holds its share of the limits; the oldest answers make
/// room.
#[derive(Debug)]
pub struct LastGood {
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for LastGood {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

#[derive(Debug, Default)]
struct Shard {
    answers: HashMap<AnswerKey, (u64, Answer)>,
    /// Keys in the order of their answers.
    order: BTreeMap<u64, AnswerKey>,
    next: u64,
    bytes: usize,
}

impl LastGood {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a good answer in the place of the one before.
    ///
    /// # Errors
    /// When it is too large, or anything but one whole frame.
    pub fn put(
        &self,
        key: AnswerKey,
        frame: Bytes,
        encoding: Option<HeaderValue>,
        now: Timestamp,
    ) -> Result<(), NotKept> {
        let bytes = frame.len();
        if bytes > ANSWER_BYTES_MAX {
            return Err(NotKept::TooLarge { bytes });
        }
        if !is_one_frame(&frame) {
            return Err(NotKept::NotOneFrame { bytes });
        }
        if let Some(shard) = self.shard(&key) {
            shard.lock().put(key, Answer { frame, encoding, at: now });
        }
        Ok(())
    }

    /// The last good answer, no older than `age_max`.
    #[must_use]
    pub fn get(&self, key: &AnswerKey, age_max: Duration, now: Timestamp) -> Option<Answer> {
        let shard = self.shard(key)?.lock();
        shard.answers.get(key).map(|(_, answer)| answer).filter(|a| now.since(a.at) <= age_max).cloned()
    }

    /// How many answers are kept, and their bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.shards
            .iter()
            .map(|shard| shard.lock())
            .fold((0, 0), |(answers, bytes), shard| (answers + shard.answers.len(), bytes + shard.bytes))
    }

    fn shard(&self, key: &AnswerKey) -> Option<&Mutex<Shard>> {
        let [first, ..] = key.digest;
        self.shards.get(usize::from(first) % SHARDS)
    }
}

impl Shard {
    fn put(&mut self, key: AnswerKey, answer: Answer) {
        // A slice of a large buffer would keep all of it alive.
        let answer = Answer { frame: Bytes::copy_from_slice(&answer.frame), ..answer };
        let number = self.next;
        self.next = self.next.saturating_add(1);
        self.bytes = self.bytes.saturating_add(answer.frame.len());
        if let Some((old, before)) = self.answers.insert(key.clone(), (number, answer)) {
            self.order.remove(&old);
            self.bytes = self.bytes.saturating_sub(before.frame.len());
        }
        self.order.insert(number, key);
        while self.bytes > ANSWERS_BYTES_MAX / SHARDS || self.answers.len() > ANSWERS_MAX / SHARDS {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some((_, gone)) = self.answers.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(gone.frame.len());
            }
        }
    }
}

fn is_one_frame(frame: &[u8]) -> bool {
    let Some((&[compressed, a, b, c, d], message)) = frame.split_first_chunk::<FRAME_HEAD>() else {
        return false;
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    compressed <= 1 && usize::try_from(length).is_ok_and(|length| length == message.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Timestamp {
        Timestamp { steady_ns: s * 1_000_000_000, unix_ns: 0 }
    }

    fn frame(message: &[u8]) -> Bytes {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend(message);
        bytes.into()
    }

    fn key(application: &str, request: &str) -> AnswerKey {
        AnswerKey::of("/a.B/C".into(), application, "", &[Bytes::copy_from_slice(request.as_bytes())])
    }

    #[test]
    fn the_last_answer_is_given_up_to_its_age() {
        let store = LastGood::new();
        store.put(key("shop", "x"), frame(b"one"), None, at(1)).unwrap();
        store.put(key("shop", "x"), frame(b"two"), None, at(2)).unwrap();
        let get = |age_s, now_s| {
            store.get(&key("shop", "x"), Duration::from_secs(age_s), at(now_s)).map(|answer| answer.frame)
        };
        assert_eq!(get(10, 12), Some(frame(b"two")));
        assert_eq!(get(10, 13), None);
        assert_eq!(store.size(), (1, 8));
    }

    #[test]
    fn another_request_method_or_application_has_its_own_answer() {
        let store = LastGood::new();
        store.put(key("shop", "x"), frame(b"one"), None, at(1)).unwrap();
        let age = Duration::from_secs(9);
        assert_eq!(store.get(&key("shop", "y"), age, at(1)), None);
        assert_eq!(store.get(&key("market", "x"), age, at(1)), None);
        // Name and request don't run into one another.
        assert_ne!(key("shop", "x"), key("sho", "px"));
        let other = AnswerKey::of("/a.B/D".into(), "shop", "", &[Bytes::from_static(b"x")]);
        assert_eq!(store.get(&other, age, at(1)), None);
        // How the request was cut into parts does not matter.
        let parts = [Bytes::from_static(b"x"), Bytes::from_static(b"y")];
        assert_eq!(AnswerKey::of("/a.B/C".into(), "shop", "", &parts), key("shop", "xy"));
        // Each user of an application has an answer of their own.
        let of_user = |user| AnswerKey::of("/a.B/C".into(), "shop", user, &[Bytes::from_static(b"x")]);
        assert_eq!(store.get(&of_user("one"), age, at(1)), None);
        assert_ne!(of_user("one"), of_user("two"));
    }

    #[test]
    fn only_one_whole_small_frame_is_kept() {
        let store = LastGood::new();
        let twice = [frame(b"one"), frame(b"two")].concat();
        for bad in
            [Bytes::new(), Bytes::from(twice), frame(b"one").slice(..7), Bytes::from_static(&[2, 0, 0, 0, 0])]
        {
            let bytes = bad.len();
            let refused = store.put(key("shop", "x"), bad, None, at(1));
            assert_eq!(refused, Err(NotKept::NotOneFrame { bytes }));
        }
        let large = frame(&vec![7; ANSWER_BYTES_MAX - FRAME_HEAD + 1]);
        assert_eq!(
            store.put(key("shop", "x"), large, None, at(1)),
            Err(NotKept::TooLarge { bytes: ANSWER_BYTES_MAX + 1 })
        );
        assert!(
            store.put(key("shop", "x"), frame(&vec![7; ANSWER_BYTES_MAX - FRAME_HEAD]), None, at(1)).is_ok()
        );
    }

    #[test]
    fn limits_hold_and_the_oldest_make_room() {
        let store = LastGood::new();
        let message = vec![1; 100 * 1024];
        for n in 0..2_000 {
            store.put(key("shop", &n.to_string()), frame(&message), None, at(n)).unwrap();
        }
        let (answers, bytes) = store.size();
        assert!(bytes <= ANSWERS_BYTES_MAX && bytes == answers * (message.len() + FRAME_HEAD));
        let age = Duration::from_secs(10_000);
        assert!(store.get(&key("shop", "1999"), age, at(2_000)).is_some());
        assert!(store.get(&key("shop", "0"), age, at(2_000)).is_none());
        for n in 0..3 * ANSWERS_MAX {
            store.put(key("market", &n.to_string()), frame(b""), None, at(3_000)).unwrap();
        }
        assert!(store.size().0 <= ANSWERS_MAX);
    }

    #[test]
    fn compressed_answers_go_to_clients_that_can_read_them() {
        let store = LastGood::new();
        let gzip = HeaderValue::from_static("gzip");
        let mut bytes = frame(b"one").to_vec();
        bytes[0] = 1;
        store.put(key("shop", "x"), bytes.into(), Some(gzip), at(1)).unwrap();
        let answer = store.get(&key("shop", "x"), Duration::from_secs(1), at(1)).unwrap();
        assert!(answer.is_readable(Some(&HeaderValue::from_static("identity, gzip"))));
        assert!(!answer.is_readable(Some(&HeaderValue::from_static("identity"))));
        assert!(!answer.is_readable(None));
        let plain = Answer { frame: frame(b"one"), encoding: None, at: at(1) };
        assert!(plain.is_readable(None));
    }
}
