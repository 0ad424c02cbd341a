//! The journal against a simulated disk: faults, power cuts, kills, torn tails, flipped bits.

mod counts;
mod faults;
mod handle;
#[cfg(target_os = "linux")]
mod memory;
mod model;
mod reading;
mod sim_disk;
mod tails;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oaas_model::{Clock, ManualClock, Timestamp};
use parking_lot::Mutex;

use crate::appendable::encoded;
use crate::journal::JournalOptions;
use crate::pass::{Progress, Rounds};
use crate::record::audit_record::Event;
use crate::record::{Administration, AuditRecord, CallHead, Intent, Outcome};
use crate::recover::Recovery;
use crate::start::{Started, start};
use crate::writer::Writer;
use crate::{Disk, JournalError, Reader};
use sim_disk::SimDisk;

const START_UNIX_NS: i64 = 1_764_000_000_000_000_000;
const DIR: &str = "/journal";

/// A journal without its thread, on a simulated disk.
struct Bench {
    disk: SimDisk,
    clock: Arc<ManualClock>,
    writer: Mutex<Writer>,
    rounds: Rounds,
    recovery: Recovery,
}

impl Bench {
    fn open(disk: &SimDisk, clock: &Arc<ManualClock>) -> Result<Self, JournalError> {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let Started { writer, recovery, lock: _ } = start(shared, &options(), clock.now())?;
        let (disk, clock) = (disk.clone(), Arc::clone(clock));
        Ok(Self { disk, clock, writer: Mutex::new(writer), rounds: Rounds::default(), recovery })
    }

    fn append(&self, event: &Event) -> Result<u64, JournalError> {
        encoded(event, |event| self.writer.lock().append(event, self.clock.now()))
    }

    fn round(&mut self) -> Progress {
        self.clock.advance(Duration::from_millis(100));
        self.rounds.round(&self.writer, self.clock.now())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn options() -> JournalOptions {
    JournalOptions {
        dir: DIR.into(),
        segment_bytes: 4096,
        instance: Some("i-test".to_owned()),
        ..JournalOptions::default()
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at_unix_ns(START_UNIX_NS))
}

/// A record that says a number, of some length.
fn note(number: u64) -> Event {
    let subject = number.to_string();
    let action = "n".repeat(usize::try_from(number % 300).unwrap());
    Event::Administration(Administration { actor: "test".into(), action, subject, ..Default::default() })
}

/// The number of such a record.
fn noted(record: &AuditRecord) -> Option<u64> {
    match &record.event {
        Some(Event::Administration(it)) if it.actor == "test" => it.subject.parse().ok(),
        _ => None,
    }
}

fn head(id: u8, application: &str, method: &str) -> CallHead {
    CallHead {
        call_id: vec![id; 16],
        application: application.into(),
        method: method.into(),
        ..CallHead::default()
    }
}

fn intent(id: u8) -> Event {
    Event::Intent(Intent { head: Some(head(id, "shop", "/a.B/C")), ..Intent::default() })
}

fn outcome(id: u8) -> Event {
    Event::Outcome(Outcome { head: Some(head(id, "shop", "/a.B/C")), ..Outcome::default() })
}

/// What a reader sees of the disk: the notes by their sequence. Sequences have no holes.
fn read_notes(disk: &SimDisk) -> BTreeMap<u64, u64> {
    read_records(disk).iter().filter_map(|record| Some((record.sequence, noted(record)?))).collect()
}

fn read_records(disk: &SimDisk) -> Vec<AuditRecord> {
    let folder = tempfile::tempdir().unwrap();
    disk.dump(folder.path());
    read_folder(folder.path())
}

fn read_folder(dir: &Path) -> Vec<AuditRecord> {
    let records: Vec<_> = Reader::open(dir).unwrap().records().map(|e| e.unwrap().record).collect();
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.sequence, u64::try_from(index).unwrap() + 1, "no holes, no doubles");
    }
    records
}
