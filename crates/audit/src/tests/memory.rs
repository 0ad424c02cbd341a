//! Files written as memory: the same bytes as by system calls, whole records for who reads meanwhile.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::mapped::Mapped;
use crate::{Journal, SystemDisk};

/// Three windows and a piece that is no whole page.
const RESERVED: u64 = 3 * 1024 * 1024 + 1234;

fn file_of(length: u64) -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(length).unwrap();
    file
}

/// Around the borders of pages and windows, and anywhere.
fn offset() -> impl Strategy<Value = u64> {
    let border = (0..=3u64, 0..5u64).prop_map(|(window, page)| window * 1024 * 1024 + page * 4096);
    prop_oneof![
        (border, 0..40u64).prop_map(|(border, before)| border.saturating_sub(before)),
        0..RESERVED + 5000,
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..20usize, 8 => 20..2000usize, 1 => 900_000..1_200_000usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_system_calls_write_the_same_bytes(
        writes in prop::collection::vec((offset(), length(), any::<u8>()), 1..40),
    ) {
        let (one, other) = (file_of(RESERVED), file_of(RESERVED));
        let mut mapped = Mapped::anywhere(RESERVED);
        let mut stored = 0;
        for (offset, length, seed) in writes {
            let bytes: Vec<u8> = (0..length).map(|at| seed.wrapping_add(u8::try_from(at % 251).unwrap())).collect();
            if mapped.write(&one, &bytes, offset) {
                stored += 1;
            } else {
                // Beyond the room, or longer than a window.
                prop_assert!(offset + u64::try_from(length).unwrap() > RESERVED || length > 900_000);
                one.write_all_at(&bytes, offset).unwrap();
            }
            other.write_all_at(&bytes, offset).unwrap();
        }
        let read = |file: &File| {
            let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        prop_assert!(read(&one) == read(&other), "after {} stores", stored);
    }
}

#[test]
fn only_file_systems_that_keep_their_promise_are_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let proc = File::open("/proc/self/stat").unwrap();
    assert!(Mapped::of(&proc, 4096).is_none());
    // Without a reservation nothing is mapped, wherever the file is.
    let file = SystemDisk.open(&folder.path().join("f"), true).unwrap();
    file.map();
    file.write_at(b"some bytes", 3).unwrap();
    file.preallocate(100_000).unwrap();
    file.map();
    file.write_at(b"others", 50_000).unwrap();
    file.truncate(50_006).unwrap();
    file.write_at(b"behind the cut", 50_006).unwrap();
    let bytes = std::fs::read(folder.path().join("f")).unwrap();
    assert_eq!(&bytes[..13], b"\0\0\0some bytes");
    assert_eq!(&bytes[50_000..], b"othersbehind the cut");
}

#[test]
fn a_page_that_cant_be_had_is_an_answer_and_no_signal() {
    let file = file_of(RESERVED);
    let mut mapped = Mapped::anywhere(RESERVED);
    assert!(mapped.write(&file, b"there", 0));
    // The room behind is gone, as when somebody cuts the file.
    file.set_len(128 * 1024).unwrap();
    assert!(!mapped.write(&file, b"not there", 512 * 1024));
    assert!(mapped.write(&file, b"there as well", 64 * 1024));
}

/// Records that a follower sees while they are written.
const FOLLOWED: u64 = 200_000;

#[test]
fn a_follower_of_a_mapped_journal_sees_whole_records_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        dir: folder.path().into(),
        segment_bytes: 3 * 1024 * 1024,
        ..JournalOptions::default()
    };
    let (journal, _) = Journal::open(options, clock()).unwrap();
    let mut records = Reader::open(folder.path()).unwrap().records();
    let taken = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..FOLLOWED {
                let mut appended = journal.append(note(number));
                while matches!(appended, Err(JournalError::Behind { .. })) {
                    std::thread::sleep(Duration::from_millis(10));
                    appended = journal.append(note(number));
                }
                taken.store(appended.unwrap(), Ordering::Release);
            }
        });
        let (mut next, mut numbers) = (1, 0);
        while numbers < FOLLOWED {
            // What was taken before one looks is there when one looks.
            let there = taken.load(Ordering::Acquire);
            for entry in records.by_ref() {
                let record = entry.unwrap().record;
                assert_eq!(record.sequence, next);
                next += 1;
                if let Some(number) = noted(&record) {
                    assert_eq!(number, numbers);
                    numbers += 1;
                }
            }
            assert!(next > there, "record {there} was taken, and {next} is not to be seen");
        }
    });
}

#[test]
fn an_entry_is_whole_when_its_length_shows() {
    const ENTRY: usize = 3000;
    let mut folder = tempfile::NamedTempFile::new().unwrap();
    folder.write_all(&vec![0; 8 * 1024 * 1024]).unwrap();
    let length = 8 * 1024 * 1024;
    std::thread::scope(|scope| {
        let writer = folder.reopen().unwrap();
        scope.spawn(move || {
            let mut mapped = Mapped::anywhere(length);
            let mut offset = 0;
            while offset + 3000 <= length {
                assert!(mapped.write(&writer, &[0xa5; ENTRY], offset));
                offset += 3000;
            }
        });
        let reader = folder.as_file();
        let mut entry = [0; ENTRY];
        let mut offset = 0;
        while offset + 3000 <= length {
            reader.read_exact_at(&mut entry, offset).unwrap();
            if entry[..4] == [0xa5; 4] {
                // The bytes came in one copy whose order the system chooses; a second one decides.
                reader.read_exact_at(&mut entry, offset).unwrap();
                assert!(entry == [0xa5; ENTRY], "entry at {offset}");
                offset += 3000;
            }
        }
    });
}
