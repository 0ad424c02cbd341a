//! What the journal's own thread does, one round at a time and without the thread, so that tests can do
//! it step by step: sync what waits, go on in a new file after a failure, reserve room ahead.

use std::sync::Arc;
use std::time::Duration;

use oaas_model::Timestamp;
use parking_lot::Mutex;
use tracing::{error, info};

use crate::JournalError;
use crate::disk::DiskFile;
use crate::segment::UNFINISHED;
use crate::writer::{Current, NotMade, Prepared, Retired, Writer, prepare};

/// Between two attempts to go on after a failure. Calls are refused meanwhile; an alert is due in 10 s.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How far the journal is; who waits for the disk watches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// This record and all before are on the disk.
    pub durable: u64,
    /// The disk failed with this record and all before that are not durable.
    pub failed: u64,
    /// Nothing more will happen.
    pub closed: bool,
}

/// The rounds' own memory.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    failed: u64,
    retry_at: Option<Timestamp>,
}

impl Rounds {
    /// One round. Nobody else syncs a file, so a failed sync can't be taken for a good one.
    pub fn round(&mut self, writer: &Mutex<Writer>, now: Timestamp) -> Progress {
        sync(writer, now);
        let closing = writer.lock().closed;
        if closing || self.retry_at.is_none_or(|at| now >= at) {
            match go_on(writer, now) {
                Ok(()) => self.retry_at = None,
                Err(failure) => {
                    error!(error = %failure, "journal can't be written");
                    self.retry_at = Some(now.plus(RETRY_INTERVAL));
                }
            }
        }
        let writer = writer.lock();
        if writer.current.is_none() {
            self.failed = writer.next_sequence.saturating_sub(1);
        }
        Progress { durable: writer.durable, failed: self.failed, closed: false }
    }
}

/// Brings to the disk what was written until now.
pub(crate) fn sync(writer: &Mutex<Writer>, now: Timestamp) {
    let Some(job) = begin_sync(&mut writer.lock()) else { return };
    let result =
        job.retired.iter().map(|retired| &retired.file).chain([&job.file]).try_for_each(|f| f.sync());
    let mut guard = writer.lock();
    match result {
        Ok(()) => {
            guard.durable = guard.durable.max(job.through);
            guard.syncing.clear();
            guard.unsynced_since = (!guard.tail.is_empty()).then_some(now);
            drop(guard);
            for retired in job.retired {
                // The room behind the last record is given back; only space is at stake.
                let _ = retired.file.truncate(retired.used);
            }
        }
        Err(source) => {
            let failure = JournalError::io("sync", &guard.dir, source);
            guard.fail(&failure, now);
            guard.abandon_files();
        }
    }
}

struct SyncJob {
    retired: Vec<Retired>,
    file: Arc<dyn DiskFile>,
    through: u64,
}

fn begin_sync(writer: &mut Writer) -> Option<SyncJob> {
    let file = Arc::clone(&writer.current.as_ref()?.file);
    if writer.tail.is_empty() {
        return None;
    }
    std::mem::swap(&mut writer.tail, &mut writer.syncing);
    let retired = std::mem::take(&mut writer.retired);
    Some(SyncJob { retired, file, through: writer.next_sequence.saturating_sub(1) })
}

/// Makes a new file after a failure; reserves the next one when the current is half full.
fn go_on(writer: &Mutex<Writer>, now: Timestamp) -> Result<(), JournalError> {
    let mut guard = writer.lock();
    let half_full = guard.current.as_ref().map(|current| current.used > current.capacity / 2);
    match half_full {
        None => {
            drop(guard);
            replace(writer, now)
        }
        Some(half_full) if guard.prepared.is_none() && (half_full || guard.failing.is_some()) => {
            let (disk, capacity) = (Arc::clone(&guard.disk), guard.segment_bytes);
            let path = guard.dir.join(format!("next{UNFINISHED}"));
            drop(guard);
            let prepared = prepare(&*disk, path, capacity);
            reserved(&mut writer.lock(), prepared, now)
        }
        Some(_) => {
            guard.failing = None;
            Ok(())
        }
    }
}

fn reserved(
    writer: &mut Writer,
    prepared: Result<Prepared, JournalError>,
    now: Timestamp,
) -> Result<(), JournalError> {
    match prepared {
        Ok(prepared) => {
            writer.prepared = Some(prepared);
            if writer.current.is_some() {
                writer.failing = None;
            }
            Ok(())
        }
        Err(failure) => {
            writer.fail(&failure, now);
            Err(failure)
        }
    }
}

/// Copies what is not on the disk to a new file and goes on there. Nothing is appended meanwhile, since
/// there is no file to append to.
fn replace(writer: &Mutex<Writer>, now: Timestamp) -> Result<(), JournalError> {
    let (making, records) = {
        let mut guard = writer.lock();
        let Writer { syncing, tail, .. } = &mut *guard;
        syncing.append(tail);
        let (own, records) = guard.own_records(guard.next_sequence, now)?;
        let mut initial = guard.syncing.clone();
        initial.extend_from_slice(&own);
        let first_sequence = guard.durable.saturating_add(1);
        let prepared = guard.prepared.take();
        (guard.making(first_sequence, initial, prepared, now), records)
    };
    let made = making.make();
    let mut guard = writer.lock();
    match made {
        Ok(current) => {
            info!(file = %current.path.display(), copied_bytes = guard.syncing.len(), "journal goes on in a new file");
            install(&mut guard, current, records);
            Ok(())
        }
        Err(NotMade { error, .. }) => {
            guard.fail(&error, now);
            Err(error)
        }
    }
}

/// Takes a file whose records are all on the disk.
pub(crate) fn install(writer: &mut Writer, current: Current, own_records: u64) {
    writer.current = Some(current);
    writer.next_sequence += own_records;
    writer.durable = writer.next_sequence.saturating_sub(1);
    writer.syncing.clear();
    writer.unsynced_since = None;
    writer.failing = None;
    writer.open_calls.forget_withdrawn();
}
