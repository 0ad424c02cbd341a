//! The calls under way: those that have an intent and no outcome. Each file begins with their list, so
//! that a start after a crash finds them in the last file alone.

use std::collections::HashSet;

use crate::record::audit_record::Event;
use crate::record::{CallHead, OpenCalls, WrittenOff};

/// Most calls that are followed; a process takes fewer in flight. Beyond it a call is not listed.
const OPEN_CALLS_MAX: usize = 262_144;
/// Most ids in one record.
const IDS_PER_RECORD_MAX: usize = 4096;
/// An id as a field of a record: tag, length, 16 bytes.
const ID_FIELD_BYTES: usize = 18;
/// Room for the other fields of a record, instance name included.
const OTHER_FIELDS_BYTES: usize = 160;

type Id = [u8; 16];

#[derive(Default)]
pub(crate) struct OpenCallSet {
    open: HashSet<Id>,
    /// Calls whose intent was written and could not be made durable, so that they were refused.
    withdrawn: Vec<Id>,
}

impl OpenCallSet {
    pub fn follow(&mut self, event: &Event) {
        match event {
            Event::Intent(intent) if self.open.len() < OPEN_CALLS_MAX => {
                self.open.extend(intent.head.as_ref().and_then(id_of));
            }
            Event::Outcome(outcome) => self.end(outcome.head.as_ref()),
            Event::Refusal(refusal) => self.end(refusal.head.as_ref()),
            _ => {}
        }
    }

    fn end(&mut self, head: Option<&CallHead>) {
        if let Some(id) = head.and_then(id_of) {
            self.open.remove(&id);
        }
    }

    /// The call was refused although its intent is in the file.
    pub fn withdraw(&mut self, head: Option<&CallHead>) {
        if let Some(id) = head.and_then(id_of)
            && self.open.remove(&id)
        {
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

fn id_of(head: &CallHead) -> Option<Id> {
    head.call_id.as_slice().try_into().ok()
}
