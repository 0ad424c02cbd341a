//! What happens at a start: the last files are read, a torn tail is left out, damage before it is
//! refused, and the calls that were under way when the process ended are found.
//!
//! Torn or damaged? Each record says up to where the journal was on the disk when it was written. Where
//! something later says so of the broken place, it was on the disk and has changed since: damage. Where
//! nothing does, no one was ever told that it is safe: a torn tail, also if single pages of what was
//! written after it have reached the disk.
//!
//! No file is mended. What was read and not proven to be on the disk is copied, byte for byte, to the
//! start of the next file, which is synced before it counts; the older file then counts up to there only.
//! So nothing rests on syncing pages whose sync may have failed before the crash.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use oaas_model::CallId;
use prost::Message;
use tracing::warn;

use crate::JournalError;
use crate::disk::Disk;
use crate::frame::{self, Parsed};
use crate::record::AuditRecord;
use crate::record::audit_record::Event;
use crate::segment::{HEADER_BYTES, Header, SegmentName, UNFINISHED, segments};

/// What a start found.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    /// Files in the folder.
    pub segments: usize,
    /// Records that were read (the last files only).
    pub records: u64,
    /// Sequence of the last record; 0 in a new journal.
    pub last_sequence: u64,
    /// Bytes of a torn tail that no longer count.
    pub torn_bytes: u64,
    /// Calls that had an intent and no outcome when the process ended; they are now written off, and
    /// whether the capability did their work is unknown.
    pub written_off: Vec<CallId>,
}

/// The recovery and what the writer goes on from.
#[derive(Default)]
pub(crate) struct Recovered {
    pub report: Recovery,
    /// Time in the name of the last file.
    pub last_unix_ms: u64,
    /// Highest sequence that is proven to be on the disk.
    pub durable: u64,
    /// The entries behind it, to be copied.
    pub unproven: Vec<u8>,
}

/// Reads the last files of the folder.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path) -> Result<Recovered, JournalError> {
    let names = disk.list(dir).map_err(|e| JournalError::io("list", dir, e))?;
    for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|e| JournalError::io("remove", &path, e))?;
    }
    let all = segments(&names);
    let Some(last) = all.last() else { return Ok(Recovered::default()) };
    let mut recovered = Recovered { last_unix_ms: last.unix_ms, ..Recovered::default() };
    let report = &mut recovered.report;
    report.segments = all.len();

    let chain = load_unproven(disk, dir, &all)?;
    let mut open = HashSet::new();
    recovered.durable = chain.last().map_or(0, |last| last.header.durable_sequence);
    report.last_sequence = chain.last().map_or(0, |last| last.header.first_sequence.saturating_sub(1));
    for (index, loaded) in chain.iter().enumerate() {
        let walk = walk(loaded, limit(&chain, index), |record, _| {
            report.records += 1;
            report.last_sequence = record.sequence;
            recovered.durable = recovered.durable.max(record.durable_sequence);
            follow_open_calls(&mut open, record);
        });
        give_room_back(disk, loaded, walk.end);
        if let Some(found) = walk.fault {
            refuse_damage(&chain, index, &walk, found)?;
            report.torn_bytes = torn_bytes(&chain, index, walk.end);
            warn!(file = %loaded.path.display(), offset = walk.end, bytes = report.torn_bytes, found, "torn journal tail");
            break;
        }
    }
    recovered.unproven = unproven(&chain, recovered.durable);
    report.written_off = open.iter().filter_map(|id| CallId::from_slice(id)).collect();
    report.written_off.sort_unstable();
    Ok(recovered)
}

/// The sequence at which a file stops to count: the lowest that a later one begins with.
fn limit(chain: &[Loaded], index: usize) -> Option<u64> {
    chain.iter().skip(index + 1).map(|later| later.header.first_sequence).min()
}

/// Refuses to go on where something behind a fault says that it was on the disk.
fn refuse_damage(
    chain: &[Loaded],
    index: usize,
    walk: &Walk,
    found: &'static str,
) -> Result<(), JournalError> {
    let Some(loaded) = chain.get(index) else { return Ok(()) };
    if durable_after(chain, index, walk.end) < walk.next_sequence {
        return Ok(());
    }
    let offset = u64::try_from(walk.end).unwrap_or(u64::MAX);
    Err(JournalError::Damaged { file: loaded.path.clone(), offset, sequence: walk.next_sequence, found })
}

/// The entries behind `durable`, up to the first fault.
fn unproven(chain: &[Loaded], durable: u64) -> Vec<u8> {
    let mut entries = Vec::new();
    for (index, loaded) in chain.iter().enumerate() {
        let walk = walk(loaded, limit(chain, index), |record, entry| {
            if record.sequence > durable {
                entries.extend_from_slice(entry);
            }
        });
        if walk.fault.is_some() {
            break;
        }
    }
    entries
}

/// Bytes from `offset` of a file to the last that was written, and those of the files behind it.
fn torn_bytes(chain: &[Loaded], index: usize, offset: usize) -> u64 {
    let own = chain.get(index).map_or(0, |torn| torn.written().saturating_sub(offset));
    let later = chain.iter().skip(index + 1).map(|later| later.written().saturating_sub(HEADER_BYTES));
    u64::try_from(own + later.sum::<usize>()).unwrap_or(u64::MAX)
}

/// Cuts the room that was reserved and never written. Only space is at stake, so a failure is no error.
fn give_room_back(disk: &dyn Disk, loaded: &Loaded, end: usize) {
    let written = loaded.written().max(end);
    if written < loaded.bytes.len()
        && let Ok(file) = disk.open(&loaded.path, false)
        && let Err(error) = file.truncate(u64::try_from(written).unwrap_or(u64::MAX))
    {
        warn!(file = %loaded.path.display(), %error, "reserved room not given back");
    }
}

/// A file as it was read.
struct Loaded {
    path: PathBuf,
    header: Header,
    bytes: Vec<u8>,
}

impl Loaded {
    /// Length without the zeros at the end.
    fn written(&self) -> usize {
        let mut end = self.bytes.len();
        for page in self.bytes.rchunks(PAGE_BYTES) {
            if !is_clear(page) {
                let last = page.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                return end - page.len() + last + 1;
            }
            end -= page.len();
        }
        0
    }
}

const PAGE_BYTES: usize = 4096;

/// Whether all bytes are zero; a page at a time, for most of a file may be.
fn is_clear(bytes: &[u8]) -> bool {
    const ZEROS: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
    bytes.chunks(PAGE_BYTES).all(|page| ZEROS.starts_with(page))
}

fn load(disk: &dyn Disk, dir: &Path, name: SegmentName) -> Result<Loaded, JournalError> {
    let path = dir.join(name.file_name());
    let bytes = disk.read(&path).map_err(|e| JournalError::io("read", &path, e))?;
    let header = Header::decode(&bytes, &path)?;
    if header.first_sequence != name.first_sequence {
        let found = "a header with another sequence than the file's name";
        return Err(JournalError::Damaged { file: path, offset: 0, sequence: name.first_sequence, found });
    }
    Ok(Loaded { path, header, bytes })
}

/// The last file, and those before it that hold records which were not on the disk when it was begun.
/// The writer bounds how many these are.
fn load_unproven(disk: &dyn Disk, dir: &Path, all: &[SegmentName]) -> Result<Vec<Loaded>, JournalError> {
    let mut chain = Vec::new();
    let mut durable = u64::MAX;
    for &name in all.iter().rev() {
        let loaded = load(disk, dir, name)?;
        if durable == u64::MAX {
            durable = loaded.header.durable_sequence;
        }
        let reaches_proven = name.first_sequence <= durable.saturating_add(1);
        chain.push(loaded);
        if reaches_proven {
            break;
        }
    }
    chain.reverse();
    Ok(chain)
}

struct Walk {
    /// Offset behind the last good record.
    end: usize,
    next_sequence: u64,
    fault: Option<&'static str>,
}

/// Visits the records of a file up to `limit` (the next file's first), the end, or the first fault.
fn walk(loaded: &Loaded, limit: Option<u64>, mut visit: impl FnMut(&AuditRecord, &[u8])) -> Walk {
    let mut end = HEADER_BYTES;
    let mut next_sequence = loaded.header.first_sequence;
    let fault = loop {
        if limit.is_some_and(|limit| next_sequence >= limit) {
            break None;
        }
        let rest = loaded.bytes.get(end..).unwrap_or_default();
        match frame::parse(rest) {
            Parsed::Entry(body) => match AuditRecord::decode(body) {
                Ok(record) if record.sequence == next_sequence => {
                    let length = frame::framed(body);
                    visit(&record, rest.get(..length).unwrap_or_default());
                    end += length;
                    next_sequence += 1;
                }
                Ok(_) => break Some("a record with another sequence"),
                Err(_) => break Some("a record that can't be read"),
            },
            Parsed::Clear if !is_clear(rest) => break Some("a hole"),
            Parsed::Clear if limit.is_some() => break Some("the end of the file"),
            Parsed::Clear => break None,
            Parsed::Short => break Some("a record that is cut off"),
            Parsed::Bad(found) => break Some(found),
        }
    };
    Walk { end, next_sequence, fault }
}

/// Keeps the set of calls that have an intent and no end.
fn follow_open_calls(open: &mut HashSet<Vec<u8>>, record: &AuditRecord) {
    match &record.event {
        Some(Event::Intent(intent)) => {
            open.extend(intent.head.as_ref().map(|head| head.call_id.clone()));
        }
        Some(Event::Outcome(outcome)) => {
            outcome.head.as_ref().map(|head| open.remove(&head.call_id));
        }
        Some(Event::Refusal(refusal)) => {
            refusal.head.as_ref().map(|head| open.remove(&head.call_id));
        }
        Some(Event::OpenCalls(calls)) => open.extend(calls.call_ids.iter().cloned()),
        Some(Event::WrittenOff(calls)) => calls.call_ids.iter().for_each(|id| {
            open.remove(id);
        }),
        _ => {}
    }
}

/// The highest sequence that anything behind a broken place says to have been on the disk.
fn durable_after(chain: &[Loaded], index: usize, offset: usize) -> u64 {
    let mut highest = 0;
    for (at, loaded) in chain.iter().enumerate().skip(index) {
        let from = if at == index {
            offset
        } else {
            highest = highest.max(loaded.header.durable_sequence);
            HEADER_BYTES
        };
        highest = highest.max(durable_within(loaded.bytes.get(from..).unwrap_or_default()));
    }
    highest
}

/// Looks for whole records at any offset. A record begins with the tag of its sequence, so that few
/// offsets need their checksum computed.
fn durable_within(bytes: &[u8]) -> u64 {
    const SEQUENCE_TAG: u8 = 0x08;
    let mut highest = 0;
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > frame::FRAME_HEAD_BYTES) {
        at += 1;
        if rest.get(frame::FRAME_HEAD_BYTES) != Some(&SEQUENCE_TAG) {
            continue;
        }
        if let Parsed::Entry(body) = frame::parse(rest)
            && let Ok(record) = AuditRecord::decode(body)
        {
            highest = highest.max(record.durable_sequence);
            at += frame::framed(body) - 1;
        }
    }
    highest
}
