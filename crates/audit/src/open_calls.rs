//! The calls under way: those that have an intent and no outcome. Each file begins with their list, so
//! that a start after a crash finds them in the last file alone.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use crate::appendable::{Effect, Id};
use crate::record::audit_record::Event;
use crate::record::{OpenCalls, WrittenOff};

/// Most calls that are followed; a process takes fewer in flight. Beyond it a call is not listed.
const OPEN_CALLS_MAX: usize = 262_144;
/// Most ids in one record.
const IDS_PER_RECORD_MAX: usize = 4096;
/// An id as a field of a record: tag, length, 16 bytes.
const ID_FIELD_BYTES: usize = 18;
/// Room for the other fields of a record, instance name included.
const OTHER_FIELDS_BYTES: usize = 160;

#[derive(Default)]
pub(crate) struct OpenCallSet {
    open: HashSet<Id, BuildHasherDefault<IdHasher>>,
    /// Calls whose intent was written and could not be made durable, so that they were refused.
    withdrawn: Vec<Id>,
}

impl OpenCallSet {
    pub fn follow(&mut self, effect: Effect) {
        match effect {
            Effect::Begins(id) if self.open.len() < OPEN_CALLS_MAX => self.open.extend(id),
            Effect::Ends(Some(id)) => {
                self.open.remove(&id);
            }
            _ => {}
        }
    }

    /// The call was refused although its intent is in the file.
    pub fn withdraw(&mut self, id: Id) {
        if self.open.remove(&id) {
            self.withdrawn.push(id);
        }
    }

    /// The withdrawn calls were written off.
    pub fn forget_withdrawn(&mut self) {
        self.withdrawn.clear();
    }

    /// What a file begins with: the withdrawn calls written off, and the open ones, in records of at most
    /// `bytes_max`.
    pub fn events(&self, bytes_max: usize) -> Vec<Event> {
        let mut events = written_off(&self.withdrawn, "false", "journal_failure", bytes_max);
        let per_record = ids_per_record(bytes_max);
        let ids: Vec<Vec<u8>> = self.open.iter().map(|id| id.to_vec()).collect();
        events.extend(
            ids.chunks(per_record).map(|chunk| Event::OpenCalls(OpenCalls { call_ids: chunk.to_vec() })),
        );
        if ids.is_empty() {
            events.push(Event::OpenCalls(OpenCalls::default()));
        }
        events
    }
}

/// Records that write these calls off.
pub(crate) fn written_off(ids: &[Id], executed: &str, cause: &str, bytes_max: usize) -> Vec<Event> {
    ids.chunks(ids_per_record(bytes_max))
        .map(|chunk| {
            Event::WrittenOff(WrittenOff {
                call_ids: chunk.iter().map(|id| id.to_vec()).collect(),
                executed: executed.to_owned(),
                cause: cause.to_owned(),
            })
        })
        .collect()
}

fn ids_per_record(bytes_max: usize) -> usize {
    (bytes_max.saturating_sub(OTHER_FIELDS_BYTES) / ID_FIELD_BYTES).clamp(1, IDS_PER_RECORD_MAX)
}

/// Hashes an id by its last eight bytes. The set holds ids that this process made itself for the calls
/// that it took, and of a UUIDv7 these bytes are a counter and chance; so nobody outside can choose ids
/// that fall together. (Ids read from files go through `recover`, which has its own set.)
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        /// 2^64 by the golden ratio, odd: carries the chance of the low bits into the high ones, which
        /// the table looks at as well (Knuth, The Art of Computer Programming 3, 6.4).
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        if let Some(last) = bytes.last_chunk::<8>() {
            self.0 = u64::from_be_bytes(*last).wrapping_mul(SPREAD);
        }
    }

    /// The length of the id, which is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
