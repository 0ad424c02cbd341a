//! Torn tails at every byte, flipped bits before them, and the calls that a crash leaves open.

use oaas_model::CallId;

use super::*;

/// Five notes: two on the disk and known to be, three that no one was told are safe.
fn five() -> (SimDisk, Arc<ManualClock>, std::path::PathBuf) {
    let (disk, clock) = (SimDisk::new(3), clock());
    let mut bench = Bench::open(&disk, &clock).unwrap();
    bench.append(&note(1)).unwrap();
    bench.append(&note(2)).unwrap();
    bench.round();
    for number in 3..6 {
        bench.append(&note(number)).unwrap();
    }
    let file = disk.journal_files().pop().unwrap();
    (disk, clock, file)
}

/// Where each record of a file begins, and the end.
fn offsets(disk: &SimDisk, file: &Path) -> Vec<usize> {
    let bytes = disk.read(file).unwrap();
    let mut at = crate::segment::HEADER_BYTES;
    let mut offsets = vec![at];
    while let crate::frame::Parsed::Entry(body) = crate::frame::parse(&bytes[at..]) {
        at += crate::frame::framed(body);
        offsets.push(at);
    }
    offsets
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_and_the_rest_stays() {
    let (disk, clock, file) = five();
    let offsets = offsets(&disk, &file);
    let [.., start, _, end] = offsets[..] else { panic!("records: {offsets:?}") };
    for cut in start..end {
        for zeros in [true, false] {
            let torn = disk.fork();
            torn.tamper(&file, |bytes| if zeros { bytes[cut..].fill(0) } else { bytes.truncate(cut) });
            let whole = offsets.iter().filter(|offset| **offset <= cut).count() - 1;
            let bench = Bench::open(&torn, &clock).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
            assert_eq!(bench.recovery.last_sequence, u64::try_from(whole).unwrap(), "cut at {cut}");
            // The journal's own first two records, then the notes.
            let notes: Vec<u64> = read_notes(&torn).into_values().collect();
            let expected: Vec<u64> = (1..).take(whole - 2).collect();
            assert_eq!(notes, expected, "cut at {cut}");
        }
    }
}

#[test]
fn a_flipped_bit_before_the_tail_is_refused_with_file_and_offset() {
    let (disk, clock, file) = five();
    let offsets = offsets(&disk, &file);
    // All up to the second note was on the disk, and the records behind it say so.
    for bit in 0..offsets[4] * 8 {
        let damaged = disk.fork();
        damaged.tamper(&file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        match Bench::open(&damaged, &clock).map(|_| ()) {
            Err(JournalError::Damaged { file: named, offset, .. }) => {
                let start = offsets.iter().rev().find(|offset| **offset <= bit / 8).copied().unwrap_or(0);
                assert_eq!((named, offset), (file.clone(), u64::try_from(start).unwrap()), "bit {bit}");
            }
            Err(JournalError::Format { .. }) if bit / 8 < 12 => {}
            other => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn a_bit_flipped_after_an_orderly_end_is_refused_up_to_the_last_record() {
    let (disk, clock, file) = five();
    let bench = Bench::open(&disk, &clock).unwrap();
    let last = disk.journal_files().pop().unwrap();
    assert_ne!(last, file);
    crate::start::append_close(&bench.writer, bench.now());
    crate::pass::sync(&bench.writer, bench.now());
    crate::start::seal(&mut bench.writer.lock());
    let offsets = offsets(&disk, &last);
    let close = offsets[offsets.len() - 2];
    for byte in 0..close {
        let damaged = disk.fork();
        damaged.tamper(&last, |bytes| bytes[byte] ^= 0x10);
        assert!(Bench::open(&damaged, &clock).is_err(), "byte {byte}");
    }
}

#[test]
fn calls_that_a_crash_leaves_open_are_written_off_once() {
    let (disk, clock) = (SimDisk::new(5), clock());
    let bench = Bench::open(&disk, &clock).unwrap();
    for id in 1..=3 {
        bench.append(&intent(id)).unwrap();
    }
    bench.append(&outcome(2)).unwrap();
    let files = disk.journal_files().len();
    let mut bench = bench;
    while disk.journal_files().len() < files + 3 {
        bench.append(&note(100)).unwrap();
        bench.round();
    }
    drop(bench);
    disk.kill();
    let ids = |ids: &[u8]| ids.iter().map(|id| CallId::from_slice(&[*id; 16]).unwrap()).collect::<Vec<_>>();
    let bench = Bench::open(&disk, &clock).unwrap();
    assert_eq!(bench.recovery.written_off, ids(&[1, 3]));
    drop(bench);
    assert_eq!(Bench::open(&disk, &clock).unwrap().recovery.written_off, []);
    let written_off = read_records(&disk)
        .into_iter()
        .filter_map(|record| match record.event {
            Some(Event::WrittenOff(it)) => Some((it.call_ids, it.executed, it.cause)),
            _ => None,
        })
        .collect::<Vec<_>>();
    let expected = vec![vec![1; 16], vec![3; 16]];
    assert_eq!(written_off, [(expected, "unknown".to_owned(), "process_end".to_owned())]);
}

#[test]
fn a_record_that_is_too_large_is_refused_and_nothing_is_written() {
    let (disk, clock) = (SimDisk::new(5), clock());
    let bench = Bench::open(&disk, &clock).unwrap();
    let actor = "x".repeat(5000);
    let large = Event::Administration(crate::record::Administration { actor, ..Default::default() });
    assert!(matches!(bench.append(&large), Err(JournalError::TooLarge { .. })));
    let sequence = bench.append(&note(1)).unwrap();
    assert_eq!(read_notes(&disk).into_iter().collect::<Vec<_>>(), [(sequence, 1)]);
}
