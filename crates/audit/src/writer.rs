//! The state behind the journal's mutex: where the next record goes, what is not yet on the disk, and
//! what to do when the disk fails. It never syncs under the mutex, except a file that it just made;
//! `pass.rs` does, on the journal's own thread.

use std::path::PathBuf;
use std::sync::Arc;

use oaas_model::Timestamp;

use crate::JournalError;
use crate::appendable::Encoded;
use crate::disk::{Disk, DiskFile};
use crate::frame::{self, FRAME_HEAD_BYTES, RECORD_BYTES_MAX, Stamp};
use crate::open_calls::OpenCallSet;
use crate::record::audit_record::Event;
use crate::segment::{HEADER_BYTES, Header, SegmentName, UNFINISHED};

/// Most bytes that may wait for the disk; they are kept so that a failed sync loses nothing.
pub(crate) const UNSYNCED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most full files that may wait for their last sync; with files of the usual size the limit above comes first.
pub(crate) const RETIRED_MAX: usize = 256;

/// A file that takes records.
pub(crate) struct Current {
    pub file: Arc<dyn DiskFile>,
    pub path: PathBuf,
    /// Length of what is written, header included.
    pub used: u64,
    /// Length that is reserved.
    pub capacity: u64,
}

/// A file that is full and waits for its last sync.
pub(crate) struct Retired {
    pub file: Arc<dyn DiskFile>,
    pub used: u64,
}

/// A file whose room is reserved, for when the current one is full.
pub(crate) struct Prepared {
    pub file: Arc<dyn DiskFile>,
    pub path: PathBuf,
    pub capacity: u64,
}

pub(crate) struct Writer {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub segment_bytes: u64,
    /// Whether files are written as memory.
    pub mapped: bool,
    pub instance: String,
    /// Sequence that the next record gets.
    pub next_sequence: u64,
    /// This and all before are on the disk.
    pub durable: u64,
    /// Time in the name of the newest file, so that names only grow.
    pub last_unix_ms: u64,
    /// `None` while the disk fails.
    pub current: Option<Current>,
    pub retired: Vec<Retired>,
    pub prepared: Option<Prepared>,
    /// Entries that a sync is bringing to the disk, and those written since it began.
    pub syncing: Vec<u8>,
    pub tail: Vec<u8>,
    /// Since when something waits for the disk.
    pub unsynced_since: Option<Timestamp>,
    /// Since when, and with what, the disk fails.
    pub failing: Option<(Timestamp, String)>,
    pub open_calls: OpenCallSet,
    /// No more records: the journal was closed.
    pub closed: bool,
}

impl Writer {
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, segment_bytes: u64, instance: String) -> Self {
        Self {
            disk,
            dir,
            segment_bytes,
            mapped: false,
            instance,
            next_sequence: 1,
            durable: 0,
            last_unix_ms: 0,
            current: None,
            retired: Vec::new(),
            prepared: None,
            syncing: Vec::new(),
            tail: Vec::new(),
            unsynced_since: None,
            failing: None,
            open_calls: OpenCallSet::default(),
            closed: false,
        }
    }

    /// Writes one record. On return it is in the file, not yet on the disk.
    pub fn append(&mut self, event: Encoded<'_>, now: Timestamp) -> Result<u64, JournalError> {
        if self.closed {
            return Err(JournalError::Closed);
        }
        let waiting = self.syncing.len() + self.tail.len();
        if waiting > UNSYNCED_BYTES_MAX {
            return Err(JournalError::Behind { bytes: waiting, max: UNSYNCED_BYTES_MAX });
        }
        // The entry is made where it has to stay until it is on the disk.
        let mut start = self.tail.len();
        self.encode_at_tail(event, now)?;
        if !self.fits(self.tail.len() - start) {
            self.tail.truncate(start);
            self.rotate(now)?;
            start = self.tail.len();
            self.encode_at_tail(event, now)?;
        }
        let sequence = self.write(start, now)?;
        self.open_calls.follow(event.effect);
        Ok(sequence)
    }

    /// Appends the next entry to the tail, or leaves the tail as it was.
    fn encode_at_tail(&mut self, event: Encoded<'_>, now: Timestamp) -> Result<(), JournalError> {
        let start = self.tail.len();
        let mut tail = std::mem::take(&mut self.tail);
        let bytes = self.encode(&mut tail, self.next_sequence, event.bytes, now);
        self.tail = tail;
        let max = self.record_bytes_max();
        if bytes > max {
            self.tail.truncate(start);
            return Err(JournalError::TooLarge { bytes, max });
        }
        Ok(())
    }

    /// Appends the entry of an event to `entries`. Returns the record's length.
    fn encode(&self, entries: &mut Vec<u8>, sequence: u64, event: &[u8], now: Timestamp) -> usize {
        let stamp = Stamp {
            sequence,
            instance: &self.instance,
            time_unix_ns: now.unix_ns,
            durable_sequence: self.durable,
        };
        frame::encode(entries, stamp, event)
    }

    /// The same for the journal's own records.
    pub fn encode_own(&self, entries: &mut Vec<u8>, sequence: u64, event: &Event, now: Timestamp) -> usize {
        let mut bytes = Vec::new();
        event.encode(&mut bytes);
        self.encode(entries, sequence, &bytes, now)
    }

    /// Two records fit into every file, also behind the list of open calls that a file begins with.
    fn record_bytes_max(&self) -> usize {
        let segment_bytes = usize::try_from(self.segment_bytes).unwrap_or(usize::MAX);
        let room = segment_bytes.saturating_sub(HEADER_BYTES + 2 * FRAME_HEAD_BYTES);
        RECORD_BYTES_MAX.min(room / 2)
    }

    fn fits(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        // With no file there is nothing to rotate: `write` gives the error.
        self.current.as_ref().is_none_or(|current| current.used.saturating_add(bytes) <= current.capacity)
    }

    /// Writes the entry that stands in the tail from `start` on; when that fails, it is taken out again.
    fn write(&mut self, start: usize, now: Timestamp) -> Result<u64, JournalError> {
        let Some(current) = self.current.as_mut() else {
            self.tail.truncate(start);
            return Err(self.failing_error());
        };
        let entry = self.tail.get(start..).unwrap_or_default();
        if let Err(error) = current.file.write_at(entry, current.used) {
            let error = JournalError::io("write", &current.path, error);
            self.tail.truncate(start);
            self.fail(&error, now);
            self.abandon_files();
            return Err(error);
        }
        current.used = current.used.saturating_add(u64::try_from(entry.len()).unwrap_or(u64::MAX));
        self.unsynced_since.get_or_insert(now);
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Ok(sequence)
    }

    /// Goes on in a new file, which begins with the list of open calls.
    fn rotate(&mut self, now: Timestamp) -> Result<(), JournalError> {
        if self.retired.len() >= RETIRED_MAX {
            let bytes = self.syncing.len() + self.tail.len();
            return Err(JournalError::Behind { bytes, max: UNSYNCED_BYTES_MAX });
        }
        let (own, records) = self.own_records(self.next_sequence, now)?;
        let prepared = self.prepared.take();
        let making = self.making(self.next_sequence, own.clone(), prepared, now);
        match making.make() {
            Ok(made) => {
                let full = self.current.replace(made);
                self.retired.extend(full.map(|full| Retired { file: full.file, used: full.used }));
                self.tail.extend_from_slice(&own);
                self.next_sequence += records;
                self.open_calls.forget_withdrawn();
                Ok(())
            }
            Err(NotMade { error, named }) => {
                self.fail(&error, now);
                if named {
                    // The old file counts up to the new one's first sequence only: no more records there.
                    self.abandon_files();
                }
                Err(error)
            }
        }
    }

    /// The records that the journal puts at the start of a file, and how many they are.
    pub fn own_records(&self, first_sequence: u64, now: Timestamp) -> Result<(Vec<u8>, u64), JournalError> {
        let mut entries = Vec::new();
        let mut records = 0;
        let max = self.record_bytes_max();
        for event in self.open_calls.events(max) {
            let bytes = self.encode_own(&mut entries, first_sequence + records, &event, now);
            if bytes > max {
                return Err(JournalError::TooLarge { bytes, max });
            }
            records += 1;
        }
        Ok((entries, records))
    }

    /// The making of the next file, to be done with or without the mutex.
    pub fn making(
        &mut self,
        first_sequence: u64,
        initial: Vec<u8>,
        prepared: Option<Prepared>,
        now: Timestamp,
    ) -> Making {
        let unix_ms = u64::try_from(now.unix_ms()).unwrap_or(0).max(self.last_unix_ms.saturating_add(1));
        self.last_unix_ms = unix_ms;
        let header = Header {
            first_sequence,
            created_unix_ns: now.unix_ns,
            durable_sequence: self.durable,
            instance: self.instance.clone(),
        };
        Making {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            name: SegmentName { unix_ms, first_sequence },
            header,
            initial,
            prepared,
            segment_bytes: self.segment_bytes,
            mapped: self.mapped,
        }
    }

    /// Notes that the disk fails; the first time counts.
    pub fn fail(&mut self, error: &JournalError, now: Timestamp) {
        let since = self.failing.as_ref().map_or(now, |(since, _)| *since);
        self.failing = Some((since, error.to_string()));
    }

    /// Leaves the files in which something is not on the disk. What they hold of it is kept in memory, and
    /// none of them is ever written or synced again.
    pub fn abandon_files(&mut self) {
        self.current = None;
        self.retired.clear();
    }

    pub fn failing_error(&self) -> JournalError {
        JournalError::Failing(self.failing.as_ref().map_or_else(String::new, |(_, error)| error.clone()))
    }
}

/// A file in the making. It gets its name when its header and first records are on the disk, so a file
/// with a name is whole.
pub(crate) struct Making {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    name: SegmentName,
    header: Header,
    initial: Vec<u8>,
    prepared: Option<Prepared>,
    segment_bytes: u64,
    mapped: bool,
}

impl Making {
    pub fn make(self) -> Result<Current, NotMade> {
        let mut start = self.header.encode();
        start.extend_from_slice(&self.initial);
        let used = u64::try_from(start.len()).unwrap_or(u64::MAX);
        // Where much is copied, at least half a file of room must remain behind it.
        let capacity = self.segment_bytes.max(used.saturating_add(self.segment_bytes / 2));
        let path = self.dir.join(self.name.file_name());
        let prepared = match self.prepared {
            Some(prepared) if prepared.capacity >= capacity => prepared,
            _ => {
                let unfinished = path.with_extension(format!("journal{UNFINISHED}"));
                prepare(&*self.disk, unfinished, capacity)?
            }
        };
        let Prepared { file, path: unfinished, capacity } = prepared;
        let made = file
            .write_at(&start, 0)
            .map_err(|e| JournalError::io("write", &path, e))
            .and_then(|()| file.sync().map_err(|e| JournalError::io("sync", &path, e)))
            .and_then(|()| {
                self.disk.rename(&unfinished, &path).map_err(|e| JournalError::io("rename", &path, e))
            });
        if let Err(error) = made {
            // Only space is at stake: what remains is removed at the next start.
            let _ = self.disk.remove(&unfinished);
            return Err(NotMade { error, named: false });
        }
        match self.disk.sync_dir(&self.dir) {
            Ok(()) => {
                if self.mapped {
                    file.map();
                }
                Ok(Current { file, path, used, capacity })
            }
            Err(error) => Err(NotMade { error: JournalError::io("sync", &self.dir, error), named: true }),
        }
    }
}

/// Why a file was not made.
pub(crate) struct NotMade {
    pub error: JournalError,
    /// It has its name all the same, so that readers see it.
    pub named: bool,
}

impl From<JournalError> for NotMade {
    fn from(error: JournalError) -> Self {
        Self { error, named: false }
    }
}

/// Makes a file and reserves its room.
pub(crate) fn prepare(disk: &dyn Disk, path: PathBuf, capacity: u64) -> Result<Prepared, JournalError> {
    let file = disk.open(&path, true).map_err(|e| JournalError::io("make", &path, e))?;
    match file.preallocate(capacity) {
        Ok(()) => Ok(Prepared { file, path, capacity }),
        Err(error) => {
            let _ = disk.remove(&path);
            Err(JournalError::io("reserve room for", &path, error))
        }
    }
}
