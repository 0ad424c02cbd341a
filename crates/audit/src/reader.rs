//! Reads a journal's folder, also while another process writes it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oaas_model::CallId;

use crate::JournalError;
use crate::disk::{Disk, SystemDisk};
use crate::frame;
use crate::record::AuditRecord;
use crate::record::audit_record::Event;
use crate::segment::{SegmentName, segments};
use crate::segment_reader::{Next, SegmentReader};
use crate::view::RecordView;

#[cfg(test)]
mod tests;

/// A record may be written this long after its call's arrival, milliseconds; a search that has found
/// nothing by then ends.
const ARRIVAL_TO_RECORD_MS_MAX: i64 = 10 * 60 * 1000;

/// A record and where it stands.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record.
    pub record: AuditRecord,
    /// Its file.
    pub file: Arc<Path>,
    /// Where its length stands in the file, bytes from the start.
    pub offset: u64,
}

/// A name can be so much ahead of its file's making, milliseconds: names only grow, also when many files are
/// made at once.
const NAME_AHEAD_MS_MAX: u64 = 100;

/// A journal's folder, for reading.
#[derive(Clone, Debug)]
pub struct Reader {
    dir: PathBuf,
}

impl Reader {
    /// The journal in this folder. Takes no lock, changes nothing.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, JournalError> {
        let reader = Self { dir: dir.into() };
        reader.segments()?;
        Ok(reader)
    }

    /// All records, oldest first. At the end the iterator answers `None`, and goes on when it is asked
    /// again after more was written.
    #[must_use]
    pub fn records(&self) -> Records {
        self.records_from(None)
    }

    /// The records that are written from now on, asked for as with [`Reader::records`].
    ///
    /// # Errors
    /// When what is there can't be read.
    pub fn follow(&self) -> Result<Records, JournalError> {
        let mut records = self.records_from(self.segments()?.last().copied());
        for entry in records.by_ref() {
            entry?;
        }
        Ok(records)
    }

    /// The records from (about) a time on: those of the file that was current then, and later.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn records_since(&self, unix_ms: u64) -> Result<Records, JournalError> {
        let all = self.segments()?;
        let unix_ms = unix_ms.saturating_sub(NAME_AHEAD_MS_MAX);
        let index = all.partition_point(|name| name.unix_ms <= unix_ms).saturating_sub(1);
        Ok(self.records_from(all.get(index).copied()))
    }

    /// The records behind this sequence, asked for as with [`Reader::records`]; files that end before it are
    /// not opened.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn records_after(&self, sequence: u64) -> Result<Records, JournalError> {
        let start = self.segments()?.into_iter().rfind(|name| name.first_sequence <= sequence + 1);
        let mut records = self.records_from(start);
        records.seen = sequence;
        Ok(records)
    }

    /// The last `count` records that pass the filter, oldest first.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn last(&self, count: usize, filter: &Filter) -> Result<Vec<Entry>, JournalError> {
        let all = self.segments()?;
        let mut found = Vec::new();
        for (index, name) in all.iter().enumerate().rev() {
            if found.len() >= count {
                break;
            }
            let mut records = self.records_from(Some(*name));
            records.until = all.get(index + 1).copied();
            let mut own = records.collect::<Result<Vec<_>, _>>()?;
            own.retain(|entry| filter.passes(&entry.record));
            own.append(&mut found);
            found = own;
        }
        found.drain(..found.len().saturating_sub(count));
        Ok(found)
    }

    /// The records of one call, in their order: an intent and an outcome, a refusal, or what became of it
    /// otherwise. The id's time names the file. Empty when there is none (or no more).
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn find(&self, call: CallId) -> Result<Vec<AuditRecord>, JournalError> {
        let id = call.as_bytes();
        let mut search = Search { id, found: Vec::new(), listed: None };
        let late_ms =
            i64::try_from(call.unix_ms()).unwrap_or(i64::MAX).saturating_add(ARRIVAL_TO_RECORD_MS_MAX);
        let mut records = self.records_since(call.unix_ms())?;
        while records.advance()?
            && let Some((_, reader)) = &records.current
        {
            let peek = frame::peek(reader.body()).ok_or_else(|| reader.unreadable())?;
            // Few records have the id's bytes in them; the others need not be decoded.
            let wanted = peek.event_tag == OPEN_CALLS_TAG || contains(reader.body(), id);
            let over = if wanted { search.take(reader.entry()?.record) } else { search.pass_by() };
            if over || (search.found.is_empty() && peek.time_unix_ns / 1_000_000 > late_ms) {
                break;
            }
        }
        Ok(search.found)
    }

    /// The sums and gaps that may have counted a call which has no record of its own.
    ///
    /// # Errors
    /// When a file can't be read or is damaged.
    pub fn counts_at(&self, call: CallId) -> Result<Vec<AuditRecord>, JournalError> {
        let arrival_ms = i64::try_from(call.unix_ms()).unwrap_or(i64::MAX);
        let spans = |first_ns: i64, last_ns: i64| {
            (first_ns / 1_000_000..=last_ns / 1_000_000 + 1).contains(&arrival_ms)
        };
        let mut found = Vec::new();
        for entry in self.records_since(call.unix_ms())? {
            let record = entry?.record;
            let (covers, later) = match &record.event {
                Some(Event::RefusalSum(sum)) => (spans(sum.first_time_unix_ns, sum.last_time_unix_ns), false),
                Some(Event::Gap(gap)) => (spans(gap.first_time_unix_ns, gap.last_time_unix_ns), false),
                _ => (false, record.time_unix_ns / 1_000_000 > arrival_ms + ARRIVAL_TO_RECORD_MS_MAX),
            };
            if covers {
                found.push(record);
            }
            if later {
                break;
            }
        }
        Ok(found)
    }

    fn segments(&self) -> Result<Vec<SegmentName>, JournalError> {
        SystemDisk
            .list(&self.dir)
            .map(|names| segments(&names))
            .map_err(|e| JournalError::io("list", &self.dir, e))
    }

    fn records_from(&self, start: Option<SegmentName>) -> Records {
        Records { reader: self.clone(), start, until: None, current: None, seen: 0, failed: false }
    }
}

/// One call's records as they come by.
struct Search<'a> {
    id: &'a [u8],
    found: Vec<AuditRecord>,
    /// Whether the list of open calls that is going by has the call.
    listed: Option<bool>,
}

impl Search<'_> {
    /// A record that is not a list of open calls goes by. `true` when the list before it was complete and
    /// no longer had the call.
    fn pass_by(&mut self) -> bool {
        self.listed.take() == Some(false) && !self.found.is_empty()
    }

    /// Looks at a record; `true` when no later one can belong to the call.
    fn take(&mut self, record: AuditRecord) -> bool {
        if let Some(Event::OpenCalls(open)) = &record.event {
            let here = open.call_ids.iter().any(|id| id == self.id);
            self.listed = Some(here || self.listed.unwrap_or(false));
            return false;
        }
        let over = self.pass_by();
        let ends = match &record.event {
            Some(Event::Intent(intent)) if head_is(intent.head.as_ref(), self.id) => false,
            Some(Event::Outcome(outcome)) if head_is(outcome.head.as_ref(), self.id) => true,
            Some(Event::Refusal(refusal)) if head_is(refusal.head.as_ref(), self.id) => true,
            Some(Event::WrittenOff(calls)) if calls.call_ids.iter().any(|id| id == self.id) => true,
            _ => return over,
        };
        self.found.push(record);
        ends || over
    }
}

/// Number of the field `open_calls` in `AuditRecord`.
const OPEN_CALLS_TAG: u32 = 16;

/// Whether the bytes of an id stand anywhere in a record.
fn contains(body: &[u8], id: &[u8; 16]) -> bool {
    let [first, ..] = id;
    let mut rest = body;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        let from = rest.get(at..).unwrap_or_default();
        if from.starts_with(id) {
            return true;
        }
        rest = from.get(1..).unwrap_or_default();
    }
    false
}

fn head_is(head: Option<&crate::record::CallHead>, id: &[u8]) -> bool {
    head.is_some_and(|head| head.call_id == id)
}

/// Which records are wanted; what is `None` lets all pass.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Application of the caller, exactly.
    pub application: Option<String>,
    /// A method path, or a service, with or without the leading slash.
    pub method: Option<String>,
    /// Reason of a refusal or outcome. Example: "RATE_LIMITED".
    pub reason: Option<String>,
    /// Written at this time or later, nanoseconds since 1970.
    pub since_unix_ns: Option<i64>,
    /// Written before this time, nanoseconds since 1970.
    pub until_unix_ns: Option<i64>,
}

impl Filter {
    /// Whether a record is wanted.
    #[must_use]
    pub fn passes(&self, record: &AuditRecord) -> bool {
        let facts = Facts::of(record);
        self.since_unix_ns.is_none_or(|since| record.time_unix_ns >= since)
            && self.until_unix_ns.is_none_or(|until| record.time_unix_ns < until)
            && self.application.as_deref().is_none_or(|wanted| facts.application == Some(wanted))
            && self.reason.as_deref().is_none_or(|wanted| facts.reason == Some(wanted))
            && self.method.as_deref().is_none_or(|wanted| facts.method.is_some_and(|it| names(wanted, it)))
    }
}

/// `wanted` is the method `path`, or its service.
fn names(wanted: &str, path: &str) -> bool {
    let (wanted, path) = (wanted.trim_start_matches('/'), path.trim_start_matches('/'));
    wanted == path || path.split_once('/').is_some_and(|(service, _)| service == wanted)
}

struct Facts<'a> {
    application: Option<&'a str>,
    method: Option<&'a str>,
    reason: Option<&'a str>,
}

impl<'a> Facts<'a> {
    fn of(record: &'a AuditRecord) -> Self {
        let (head, reason) = match &record.event {
            Some(Event::Intent(intent)) => (intent.head.as_ref(), None),
            Some(Event::Outcome(outcome)) => (outcome.head.as_ref(), Some(outcome.reason.as_str())),
            Some(Event::Refusal(refusal)) => (refusal.head.as_ref(), Some(refusal.reason.as_str())),
            Some(Event::RefusalSum(sum)) => {
                let (application, method) = (Some(sum.application.as_str()), Some(sum.service.as_str()));
                return Self { application, method, reason: Some(&sum.reason) };
            }
            Some(Event::Gap(gap)) => {
                return Self { application: None, method: Some(&gap.method), reason: None };
            }
            _ => (None, None),
        };
        let application = head.map(|head| head.application.as_str());
        Self { application, method: head.map(|head| head.method.as_str()), reason }
    }
}

/// The records of a journal, file by file. See [`Reader::records`].
#[derive(Debug)]
pub struct Records {
    reader: Reader,
    start: Option<SegmentName>,
    /// Stop before this file.
    until: Option<SegmentName>,
    current: Option<(SegmentName, SegmentReader)>,
    /// Highest sequence that was given out.
    seen: u64,
    failed: bool,
}

impl Records {
    /// The next record as the meters see it: nothing is decoded that they don't need, nothing allocated.
    /// Otherwise as the iterator: `None` at the end, and again later; after an error it is over.
    #[inline]
    pub fn next_view(&mut self) -> Option<Result<RecordView<'_>, JournalError>> {
        if let Err(error) = self.step()? {
            return Some(Err(error));
        }
        let (_, reader) = self.current.as_ref()?;
        match RecordView::decode(reader.body()) {
            Some(view) => Some(Ok(view)),
            None => {
                self.failed = true;
                Some(Err(reader.unreadable()))
            }
        }
    }

    /// Goes to the next record, unless an error came before; `None` when there is none.
    fn step(&mut self) -> Option<Result<(), JournalError>> {
        if self.failed {
            return None;
        }
        match self.advance() {
            Ok(there) => there.then_some(Ok(())),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }

    /// Goes to the next record; whether there is one.
    fn advance(&mut self) -> Result<bool, JournalError> {
        loop {
            let Some((name, reader)) = &mut self.current else {
                if !self.open_next(None)? {
                    return Ok(false);
                }
                continue;
            };
            match reader.next() {
                Next::Record(sequence) if sequence <= self.seen => {}
                Next::Record(sequence) => {
                    self.seen = sequence;
                    return Ok(true);
                }
                Next::End | Next::Broken(_) if reader.at_limit() => {
                    let name = *name;
                    if !self.open_next(Some(name))? {
                        return Ok(false);
                    }
                }
                stuck => {
                    let name = *name;
                    // Written on meanwhile? Then the next file says where this one ends.
                    let limit = limit_after(&self.reader.segments()?, name);
                    if limit.is_some() && limit != reader.limit() {
                        reader.set_limit(limit);
                        continue;
                    }
                    return match stuck {
                        Next::Broken(error) => Err(error),
                        _ if limit.is_some() => Err(reader.ends_early()),
                        _ => Ok(false),
                    };
                }
            }
        }
    }

    fn open_next(&mut self, after: Option<SegmentName>) -> Result<bool, JournalError> {
        let all = self.reader.segments()?;
        let next = match (after, self.start) {
            (Some(after), _) => all.iter().find(|name| **name > after),
            (None, Some(start)) => all.iter().find(|name| **name >= start),
            (None, None) => all.first(),
        };
        let Some(&name) = next else { return Ok(false) };
        if self.until.is_some_and(|until| name >= until) {
            return Ok(false);
        }
        let path: Arc<Path> = self.reader.dir.join(name.file_name()).into();
        let file = File::open(&path).map_err(|e| JournalError::io("open", &path, e))?;
        let reader = SegmentReader::open(file, path, limit_after(&all, name))?;
        self.current = Some((name, reader));
        Ok(true)
    }
}

impl Iterator for Records {
    type Item = Result<Entry, JournalError>;

    /// After an error the iterator is over.
    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.step()? {
            return Some(Err(error));
        }
        let (_, reader) = self.current.as_ref()?;
        let entry = reader.entry();
        self.failed = entry.is_err();
        Some(entry)
    }
}

/// The sequence at which a file stops to count: the lowest that a later one begins with.
fn limit_after(all: &[SegmentName], name: SegmentName) -> Option<u64> {
    all.iter().filter(|later| **later > name).map(|later| later.first_sequence).min()
}
