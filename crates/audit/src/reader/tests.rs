//! The reader at the tail of a file that is being written, and its views.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::*;
use crate::frame::{FRAME_HEAD_BYTES, Stamp, encode};
use crate::record::{Administration, CallHead, Refusal};
use crate::segment::{HEADER_BYTES, Header};
use crate::view::EventView;

const ROOM: u64 = 1024 * 1024;

/// A journal file as a writer leaves it that stores its bytes one by one: reserved zeros, then records.
struct Written {
    folder: tempfile::TempDir,
    file: File,
    end: u64,
    sequence: u64,
}

fn path_of(dir: &Path, unix_ms: u64, first_sequence: u64) -> PathBuf {
    dir.join(SegmentName { unix_ms, first_sequence }.file_name())
}

impl Written {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = Self::begin(folder.path(), 1_764_000_000_000, 1);
        Self { folder, file, end: HEADER_BYTES as u64, sequence: 1 }
    }

    fn begin(dir: &Path, unix_ms: u64, first_sequence: u64) -> File {
        let path = path_of(dir, unix_ms, first_sequence);
        let file = OpenOptions::new().create_new(true).write(true).open(path).unwrap();
        let header = Header {
            first_sequence,
            created_unix_ns: 1,
            durable_sequence: first_sequence - 1,
            instance: "i-1".into(),
        };
        file.write_all_at(&header.encode(), 0).unwrap();
        file.set_len(ROOM).unwrap();
        file
    }

    /// The later file, in which the journal goes on.
    fn turn(&mut self) {
        self.file = Self::begin(self.folder.path(), 1_764_000_000_001, self.sequence);
        self.end = HEADER_BYTES as u64;
    }

    /// The next record's entry, and where it goes.
    fn next(&mut self, application: &str) -> (Vec<u8>, u64) {
        let head = Some(CallHead { application: application.into(), ..CallHead::default() });
        let event = Event::Refusal(Refusal { head, ..Refusal::default() });
        self.next_event(&event)
    }

    fn next_event(&mut self, event: &Event) -> (Vec<u8>, u64) {
        let mut entry = Vec::new();
        let instance = "i-1".to_owned();
        let (sequence, durable_sequence) = (self.sequence, self.sequence - 1);
        let mut field = Vec::new();
        event.encode(&mut field);
        let stamp = Stamp { sequence, instance: &instance, time_unix_ns: 5, durable_sequence };
        encode(&mut entry, stamp, &field);
        let offset = self.end;
        self.end += entry.len() as u64;
        self.sequence += 1;
        (entry, offset)
    }

    fn write(&mut self, application: &str) {
        let (entry, offset) = self.next(application);
        self.file.write_all_at(&entry, offset).unwrap();
    }

    fn records(&self) -> Records {
        Reader::open(self.folder.path()).unwrap().records()
    }
}

/// The applications of the refusals that can be read now.
fn read(records: &mut Records) -> Vec<String> {
    let mut read = Vec::new();
    while let Some(view) = records.next_view() {
        let EventView::Refusal(refusal) = view.unwrap().event else { panic!("not a refusal") };
        read.push(String::from_utf8_lossy(refusal.head.unwrap().application).into_owned());
    }
    read
}

#[test]
fn a_record_that_is_under_way_is_not_there_yet_and_never_damage() {
    let mut written = Written::new();
    written.write("first");
    let mut records = written.records();
    assert_eq!(read(&mut records), ["first"]);
    let (entry, offset) = written.next("second");
    let body = &entry[FRAME_HEAD_BYTES..];
    // The body comes first, its head last.
    for length in 0..=body.len() {
        written.file.write_all_at(&body[..length], offset + FRAME_HEAD_BYTES as u64).unwrap();
        assert_eq!(read(&mut records), [""; 0], "{length} bytes of the body");
    }
    written.file.write_all_at(&entry[..FRAME_HEAD_BYTES], offset).unwrap();
    assert_eq!(read(&mut records), ["second"]);

    // The head is there, and not all of the body; also for who reads the file anew.
    let (entry, offset) = written.next("third");
    for length in 0..entry.len() {
        written.file.write_all_at(&entry[..length], offset).unwrap();
        assert_eq!(read(&mut records), [""; 0], "{length} bytes");
        assert_eq!(read(&mut written.records()), ["first", "second"]);
    }
    written.file.write_all_at(&entry, offset).unwrap();
    written.write("fourth");
    assert_eq!(read(&mut records), ["third", "fourth"]);
}

#[test]
fn a_broken_record_is_damage_as_soon_as_a_later_one_stands_behind_it() {
    let mut written = Written::new();
    written.write("first");
    let (mut entry, offset) = written.next("second");
    entry[FRAME_HEAD_BYTES + 5] ^= 1;
    written.file.write_all_at(&entry, offset).unwrap();
    let mut records = written.records();
    assert_eq!(read(&mut records), ["first"]);
    written.write("third");
    let error = records.next_view().unwrap().unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { offset: at, sequence: 2, .. } if *at == offset),
        "{error}"
    );
    assert!(records.next_view().is_none(), "after an error it is over");

    // A length that reaches over all that was written hides nothing.
    let mut long = entry;
    long[2] ^= 1;
    written.file.write_all_at(&long, offset).unwrap();
    let mut records = written.records();
    assert!(records.next_view().unwrap().is_ok());
    assert!(records.next_view().unwrap().is_err());
}

#[test]
fn a_broken_end_of_a_file_that_has_a_later_one_is_damage() {
    let mut written = Written::new();
    written.write("first");
    let (entry, offset) = written.next("second");
    written.file.write_all_at(&entry[..entry.len() - 1], offset).unwrap();
    let mut records = written.records();
    assert_eq!(read(&mut records), ["first"]);
    written.turn();
    let error = records.next_view().unwrap().unwrap_err();
    assert!(matches!(error, JournalError::Damaged { sequence: 2, .. }), "{error}");
}

#[test]
fn views_go_on_in_the_next_file_and_are_those_of_the_records() {
    let mut written = Written::new();
    let mut records = written.records();
    let mut expected = Vec::new();
    for number in 0..3000u32 {
        // Long enough that records lie across the edges of what is read at once.
        let application = format!("{number}-{}", "x".repeat(number as usize % 700));
        let room = written.end + 1000 < ROOM;
        if !room {
            written.turn();
        }
        written.write(&application);
        expected.push(application);
    }
    assert_eq!(read(&mut records), expected);
    assert!(Reader::open(written.folder.path()).unwrap().segments().unwrap().len() > 1);
    let mut views = written.records();
    for entry in written.records() {
        assert_eq!(views.next_view().unwrap().unwrap(), RecordView::of(&entry.unwrap().record));
    }
    assert!(views.next_view().is_none());
    let mut after = Reader::open(written.folder.path()).unwrap().records_after(2990).unwrap();
    assert_eq!(after.next_view().unwrap().unwrap().sequence, 2991);
    assert_eq!(read(&mut after).len(), 9);
}

#[test]
fn a_good_checksum_over_no_record_is_an_error_with_its_place() {
    let mut written = Written::new();
    written.write("first");
    let event = Event::Administration(Administration { actor: "oaas".into(), ..Administration::default() });
    let (mut entry, offset) = written.next_event(&event);
    // The event's field says that it is longer than it is.
    let at = entry.iter().rposition(|byte| *byte == 0x7a).unwrap();
    entry[at + 1] += 1;
    let crc = crc32c::crc32c(&entry[FRAME_HEAD_BYTES..]);
    entry[4..8].copy_from_slice(&crc.to_le_bytes());
    written.file.write_all_at(&entry, offset).unwrap();
    let mut records = written.records();
    assert!(records.next_view().unwrap().is_ok());
    let error = records.next_view().unwrap().unwrap_err();
    assert!(
        matches!(&error, JournalError::Damaged { offset: at, sequence: 2, .. } if *at == offset),
        "{error}"
    );
    assert!(records.next_view().is_none());
    assert!(written.records().nth(1).unwrap().is_err());
}
