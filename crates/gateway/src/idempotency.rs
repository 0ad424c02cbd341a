//! Idempotency keys: one call at a time for each, and one request.
//!
//! A caller that repeats a write names it with `idempotency-key`. The gateway keeps repeats from running
//! beside one another and from carrying another request under an old key; that a repeat finds the first
//! one's result is the capability's part, which has the state (docs/decisions/idempotency-keys.md).

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use oaas_model::Timestamp;
use parking_lot::Mutex;
use prost_reflect::{DynamicMessage, MapKey, Value};

/// Keys of finished calls that are remembered; the oldest make room.
pub const FINISHED_MAX: usize = 100_000;
/// How long a finished call's key is remembered.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A key of one application for one method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 16]);

impl Key {
    /// The key whose digest is `digest`.
    #[must_use]
    pub fn new(application: &str, method: &str, digest: &[u8; 16]) -> Self {
        let mut hasher = blake3::Hasher::new();
        // Neither a method nor a digest can be taken for a part of the name before it.
        for part in [application.as_bytes(), method.as_bytes(), digest] {
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(part);
        }
        Self(short(&hasher))
    }
}

/// What stands against a call with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A call with this key runs, until then at most.
    InFlight {
        /// Its deadline.
        until: Timestamp,
    },
    /// The key was used for another request.
    Reused,
}

#[derive(Clone, Copy, Debug)]
enum Use {
    /// What the key was used for before stands again when the call does nothing.
    Running {
        until: Timestamp,
        before: Option<Finished>,
    },
    Finished(Finished),
}

#[derive(Clone, Copy, Debug)]
struct Finished {
    request: [u8; 16],
    at: Timestamp,
}

/// The keys that run or ran. Running ones are as many as calls in flight, finished ones [`FINISHED_MAX`].
#[derive(Debug, Default)]
pub struct Keys(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    uses: HashMap<Key, Use>,
    finished: VecDeque<(Timestamp, Key)>,
}

impl Keys {
    /// Starts a call that must be over at `until`.
    ///
    /// # Errors
    /// When the key is another call's.
    pub fn start(&self, key: Key, request: &[u8; 16], now: Timestamp, until: Timestamp) -> Result<(), Taken> {
        let mut state = self.0.lock();
        let before = match state.uses.get(&key) {
            Some(Use::Running { until, .. }) => return Err(Taken::InFlight { until: *until }),
            Some(Use::Finished(before)) => Some(*before).filter(|before| now.since(before.at) < KEPT),
            None => None,
        };
        if before.is_some_and(|before| before.request != *request) {
            return Err(Taken::Reused);
        }
        state.uses.insert(key, Use::Running { until, before });
        Ok(())
    }

    /// Ends a call that may have done its work: the key is this request's from now on.
    pub fn finish(&self, key: Key, request: [u8; 16], now: Timestamp) {
        let mut state = self.0.lock();
        state.keep(key, Finished { request, at: now });
        while state
            .finished
            .front()
            .is_some_and(|(at, _)| state.finished.len() > FINISHED_MAX || now.since(*at) >= KEPT)
        {
            let Some((then, old)) = state.finished.pop_front() else { break };
            if matches!(state.uses.get(&old), Some(Use::Finished(finished)) if finished.at == then) {
                state.uses.remove(&old);
            }
        }
    }

    /// Ends a call that did nothing: the key is as free as before.
    pub fn forget(&self, key: Key) {
        let mut state = self.0.lock();
        if let Some(Use::Running { before: Some(before), .. }) = state.uses.remove(&key) {
            state.keep(key, before);
        }
    }
}

impl State {
    fn keep(&mut self, key: Key, finished: Finished) {
        self.uses.insert(key, Use::Finished(finished));
        self.finished.push_back((finished.at, key));
    }
}

/// Digest of a request's message: the same for equal messages, in whatever order their maps were written.
#[must_use]
pub fn digest(message: &DynamicMessage) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    message_into(&mut hasher, message);
    short(&hasher)
}

/// Digest of a request that can't be read here.
#[must_use]
pub fn digest_of_bytes(frames: &[u8]) -> [u8; 16] {
    short(blake3::Hasher::new().update(frames))
}

fn short(hasher: &blake3::Hasher) -> [u8; 16] {
    let mut digest = [0; 16];
    hasher.finalize_xof().fill(&mut digest);
    digest
}

fn message_into(hasher: &mut blake3::Hasher, message: &DynamicMessage) {
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_unstable_by_key(|(field, _)| field.number());
    hasher.update(b"{");
    for (field, value) in fields {
        hasher.update(&field.number().to_le_bytes());
        value_into(hasher, value);
    }
    for unknown in message.unknown_fields() {
        let mut bytes = Vec::new();
        unknown.encode(&mut bytes);
        bytes_into(hasher, b'u', &bytes);
    }
    hasher.update(b"}");
}

fn value_into(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Message(message) => message_into(hasher, message),
        Value::List(values) => {
            hasher.update(b"[");
            values.iter().for_each(|value| value_into(hasher, value));
            hasher.update(b"]");
        }
        Value::Map(entries) => {
            let mut digests: Vec<[u8; 32]> = entries
                .iter()
                .map(|(key, value)| {
                    let mut entry = blake3::Hasher::new();
                    value_into(&mut entry, &key_value(key));
                    value_into(&mut entry, value);
                    *entry.finalize().as_bytes()
                })
                .collect();
            digests.sort_unstable();
            bytes_into(hasher, b'm', &digests.concat());
        }
        Value::String(text) => bytes_into(hasher, b's', text.as_bytes()),
        Value::Bytes(bytes) => bytes_into(hasher, b'b', bytes),
        Value::Bool(flag) => bytes_into(hasher, b'?', &[u8::from(*flag)]),
        Value::I32(n) | Value::EnumNumber(n) => bytes_into(hasher, b'i', &n.to_le_bytes()),
        Value::I64(n) => bytes_into(hasher, b'i', &n.to_le_bytes()),
        Value::U32(n) => bytes_into(hasher, b'i', &n.to_le_bytes()),
        Value::U64(n) => bytes_into(hasher, b'i', &n.to_le_bytes()),
        Value::F32(x) => bytes_into(hasher, b'f', &x.to_bits().to_le_bytes()),
        Value::F64(x) => bytes_into(hasher, b'f', &x.to_bits().to_le_bytes()),
    }
}

fn key_value(key: &MapKey) -> Value {
    key.clone().into()
}

fn bytes_into(hasher: &mut blake3::Hasher, kind: u8, bytes: &[u8]) {
    hasher.update(&[kind]);
    hasher.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;

    const KEY: Key = Key([1; 16]);

    fn at(seconds: u64) -> Timestamp {
        Timestamp { steady_ns: 0, unix_ns: 0 }.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_key_is_one_call_at_a_time_and_one_request() {
        let keys = Keys::default();
        keys.start(KEY, &[1; 16], at(0), at(5)).unwrap();
        let running = Err(Taken::InFlight { until: at(5) });
        assert_eq!(keys.start(KEY, &[1; 16], at(1), at(6)), running);
        assert_eq!(keys.start(KEY, &[2; 16], at(1), at(6)), running);
        keys.finish(KEY, [1; 16], at(2));
        assert_eq!(keys.start(KEY, &[2; 16], at(3), at(8)), Err(Taken::Reused));
        // The same request may come again, as often as it likes.
        for second in [3, 4] {
            keys.start(KEY, &[1; 16], at(second), at(9)).unwrap();
            keys.finish(KEY, [1; 16], at(second));
        }
        assert_eq!(keys.start(KEY, &[2; 16], at(5), at(9)), Err(Taken::Reused));
        // Nor does a repeat that was refused further down set the key free.
        keys.start(KEY, &[1; 16], at(5), at(9)).unwrap();
        keys.forget(KEY);
        assert_eq!(keys.start(KEY, &[2; 16], at(6), at(9)), Err(Taken::Reused));
        let day = at(4).plus(KEPT);
        keys.start(KEY, &[2; 16], day, day).unwrap();
        keys.forget(KEY);
        keys.start(KEY, &[3; 16], day, day).unwrap();
    }

    #[test]
    fn the_oldest_keys_make_room_and_running_ones_stay() {
        let keys = Keys::default();
        keys.start(KEY, &[0; 16], at(0), at(0)).unwrap();
        let key = |n: usize| {
            Key::new("app", "/a.B/C", &blake3::hash(&n.to_le_bytes()).as_bytes()[..16].try_into().unwrap())
        };
        for n in 0..FINISHED_MAX + 10 {
            keys.start(key(n), &[1; 16], at(0), at(0)).unwrap();
            keys.finish(key(n), [1; 16], at(0));
        }
        assert_eq!(keys.0.lock().uses.len(), FINISHED_MAX + 1);
        assert_eq!(keys.start(key(9), &[2; 16], at(0), at(0)), Ok(()));
        assert_eq!(keys.start(key(10), &[2; 16], at(0), at(0)), Err(Taken::Reused));
        assert_eq!(keys.start(KEY, &[0; 16], at(0), at(0)), Err(Taken::InFlight { until: at(0) }));
    }

    #[test]
    fn keys_of_others_are_others() {
        let digest = [7; 16];
        let all = [("a", "/b"), ("a/", "b"), ("b", "/a"), ("a", "/c")];
        for (i, one) in all.iter().enumerate() {
            for (j, two) in all.iter().enumerate() {
                let same = Key::new(one.0, one.1, &digest) == Key::new(two.0, two.1, &digest);
                assert_eq!(same, i == j, "{one:?} {two:?}");
            }
        }
    }

    #[test]
    fn the_order_of_a_map_is_no_difference_and_all_else_is() {
        let pool =
            DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: vec![file()] }).unwrap();
        let descriptor = pool.get_message_by_name("google.protobuf.Struct").unwrap();
        let decode = |bytes: &[u8]| digest(&DynamicMessage::decode(descriptor.clone(), bytes).unwrap());
        // fields { key: "a" value { bool_value: true } } and the same with "b" and false.
        let a = [0x0a, 7, 0x0a, 1, b'a', 0x12, 2, 0x20, 1];
        let b = [0x0a, 7, 0x0a, 1, b'b', 0x12, 2, 0x20, 0];
        let mut other = b;
        other[8] = 1;
        assert_eq!(decode(&[a, b].concat()), decode(&[b, a].concat()));
        assert_ne!(decode(&[a, b].concat()), decode(&[a, other].concat()));
        assert_ne!(decode(&a), decode(&b));
        assert_ne!(decode(&a), decode(&[&a[..], &[0x50, 1]].concat()), "an unknown field is one too");
    }

    fn file() -> FileDescriptorProto {
        DescriptorPool::global()
            .get_file_by_name("google/protobuf/struct.proto")
            .unwrap()
            .file_descriptor_proto()
            .clone()
    }
}
