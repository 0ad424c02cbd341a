//! The start and the end of a journal: folder, lock, instance name, recovery, the first file; the last
//! record.

use std::any::Any;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use oaas_model::{CallId, Timestamp};

use crate::appendable::encoded;
use crate::disk::Disk;
use crate::journal::JournalOptions;
use crate::open_calls::written_off;
use crate::pass::install;
use crate::record::Administration;
use crate::record::audit_record::Event;
use crate::recover::{Recovered, Recovery, recover};
use crate::segment::{INSTANCE_BYTES_MAX, UNFINISHED};
use crate::writer::Writer;
use crate::{JournalError, RECORD_BYTES_MAX};

/// Smallest file: two records with a short decision trail.
const SEGMENT_BYTES_MIN: u64 = 4096;
/// Largest file: it is read whole at a start.
const SEGMENT_BYTES_MAX: u64 = 1 << 30;
const LOCK_FILE: &str = "lock";
const INSTANCE_FILE: &str = "instance";

pub(crate) struct Started {
    pub writer: Writer,
    pub recovery: Recovery,
    pub lock: Box<dyn Any + Send + Sync>,
}

/// Opens the folder, reads its end, and begins a new file with what was not proven to be on the disk.
pub(crate) fn start(
    disk: Arc<dyn Disk>,
    options: &JournalOptions,
    now: Timestamp,
) -> Result<Started, JournalError> {
    if options.segment_bytes < SEGMENT_BYTES_MIN {
        return Err(JournalError::SegmentBytes(options.segment_bytes, SEGMENT_BYTES_MIN));
    }
    let dir = &options.dir;
    disk.create_dir(dir).map_err(|e| JournalError::io("make", dir, e))?;
    let lock = disk.lock(&dir.join(LOCK_FILE)).map_err(|e| match e.kind() {
        ErrorKind::WouldBlock => JournalError::Locked(dir.clone()),
        _ => JournalError::io("lock", dir, e),
    })?;
    let instance = instance(&*disk, dir, options.instance.as_deref())?;
    let recovered = recover(&*disk, dir)?;
    let segment_bytes = options.segment_bytes.min(SEGMENT_BYTES_MAX);
    let mut writer = Writer::new(disk, dir.clone(), segment_bytes, instance);
    writer.mapped = options.mapped;
    begin(&mut writer, &recovered, now)?;
    Ok(Started { writer, recovery: recovered.report, lock })
}

fn begin(writer: &mut Writer, recovered: &Recovered, now: Timestamp) -> Result<(), JournalError> {
    let Recovered { report, last_unix_ms, durable, unproven } = recovered;
    writer.next_sequence = report.last_sequence + 1;
    writer.durable = *durable;
    writer.last_unix_ms = *last_unix_ms;
    let mut initial = unproven.clone();
    let mut events = vec![opened(report)];
    let ids: Vec<[u8; 16]> = report.written_off.iter().map(|id| *CallId::as_bytes(id)).collect();
    events.extend(written_off(&ids, "unknown", "process_end", RECORD_BYTES_MAX / 4));
    let mut records = 0;
    for event in &events {
        writer.encode_own(&mut initial, writer.next_sequence + records, event, now);
        records += 1;
    }
    let (own, own_records) = writer.own_records(writer.next_sequence + records, now)?;
    initial.extend_from_slice(&own);
    let first_sequence = durable + 1;
    let current =
        writer.making(first_sequence, initial, None, now).make().map_err(|not_made| not_made.error)?;
    install(writer, current, records + own_records);
    Ok(())
}

fn opened(report: &Recovery) -> Event {
    administration(
        "journal.open",
        [
            ("segments", report.segments.to_string()),
            ("last_sequence", report.last_sequence.to_string()),
            ("torn_bytes", report.torn_bytes.to_string()),
            ("written_off", report.written_off.len().to_string()),
        ],
    )
}

fn administration<const N: usize>(action: &str, details: [(&str, String); N]) -> Event {
    Event::Administration(Administration {
        actor: "oaas".to_owned(),
        action: action.to_owned(),
        subject: "journal".to_owned(),
        details: details.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<HashMap<_, _>>(),
    })
}

/// The last record. It says up to where all was on the disk, so that later damage is told from a torn tail.
pub(crate) fn append_close(writer: &parking_lot::Mutex<Writer>, now: Timestamp) {
    crate::pass::sync(writer, now);
    let closed = administration("journal.close", []);
    let mut writer = writer.lock();
    if let Err(error) = encoded(&closed, |closed| writer.append(closed, now)) {
        tracing::warn!(%error, "the journal's last record was not written");
    }
    writer.closed = true;
}

/// Gives the room behind the last record back.
pub(crate) fn seal(writer: &mut Writer) {
    if let Some(current) = writer.current.take()
        && writer.tail.is_empty()
        && writer.syncing.is_empty()
    {
        let _ = current.file.truncate(current.used);
    }
    if let Some(prepared) = writer.prepared.take() {
        let _ = writer.disk.remove(&prepared.path);
    }
}

/// The name kept in the folder; at the first start the given one, or one by chance.
fn instance(disk: &dyn Disk, dir: &Path, given: Option<&str>) -> Result<String, JournalError> {
    let path = dir.join(INSTANCE_FILE);
    let name = match disk.read(&path) {
        Ok(bytes) => return checked(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => match given {
            Some(given) => checked(given.to_owned())?,
            None => by_chance(),
        },
        Err(error) => return Err(JournalError::io("read", &path, error)),
    };
    let unfinished = dir.join(format!("{INSTANCE_FILE}{UNFINISHED}"));
    let file = disk.open(&unfinished, true).map_err(|e| JournalError::io("make", &unfinished, e))?;
    file.write_at(name.as_bytes(), 0).map_err(|e| JournalError::io("write", &unfinished, e))?;
    file.sync().map_err(|e| JournalError::io("sync", &unfinished, e))?;
    disk.rename(&unfinished, &path).map_err(|e| JournalError::io("rename", &unfinished, e))?;
    disk.sync_dir(dir).map_err(|e| JournalError::io("sync", dir, e))?;
    Ok(name)
}

fn checked(name: String) -> Result<String, JournalError> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=INSTANCE_BYTES_MAX).contains(&name.len()) && name.bytes().all(good) {
        Ok(name)
    } else {
        Err(JournalError::Instance(name))
    }
}

/// "i-" and the last 32 bits of a UUIDv7, which are random.
fn by_chance() -> String {
    let text = CallId::fresh().to_string();
    format!("i-{}", text.get(text.len().saturating_sub(8)..).unwrap_or("1"))
}
