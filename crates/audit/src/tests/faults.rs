//! I/O errors at each of the first 500 operations, one or many in a row: nothing is acknowledged that a
//! crash could take back, nothing panics, and the journal heals when the disk does.

use std::collections::BTreeMap;

use super::*;

const OPERATIONS: u64 = 500;
const STEPS: u64 = 330;

/// What was promised: sequence to number.
#[derive(Default)]
struct Promises {
    in_file: BTreeMap<u64, u64>,
    on_disk: BTreeMap<u64, u64>,
}

/// Opens, if need be again after an error, as an operator would.
fn open(disk: &SimDisk, clock: &Arc<ManualClock>, faults: u64) -> Bench {
    for _ in 0..=faults {
        if let Ok(bench) = Bench::open(disk, clock) {
            return bench;
        }
    }
    panic!("a journal does not open after {faults} faults have passed")
}

fn run(disk: &SimDisk, clock: &Arc<ManualClock>, faults: u64) -> (Bench, Promises) {
    let mut bench = open(disk, clock, faults);
    let mut promises = Promises::default();
    for number in 0..STEPS {
        if let Ok(sequence) = bench.append(&note(number)) {
            promises.in_file.insert(sequence, number);
        }
        if number % 3 == 0 {
            let durable = bench.round().durable;
            let reached = promises.in_file.range(..=durable);
            promises.on_disk.extend(reached.map(|(sequence, number)| (*sequence, *number)));
        }
    }
    (bench, promises)
}

fn heals(bench: &mut Bench, context: &str) {
    bench.disk.fail(0..0);
    for _ in 0..11 {
        bench.round();
    }
    let sequence = bench.append(&note(STEPS)).unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(bench.round().durable >= sequence, "{context}: not durable after the fault");
    assert!(bench.writer.lock().failing.is_none(), "{context}: still failing");
    assert!(!bench.disk.abused(), "{context}: a descriptor was synced after a failure");
}

#[test]
fn a_fault_at_any_operation_loses_nothing_that_was_acknowledged() {
    let untouched = SimDisk::new(0);
    run(&untouched, &clock(), 0);
    assert!(untouched.operations() > OPERATIONS, "only {} operations", untouched.operations());

    for at in 0..OPERATIONS {
        for faults in [1, 4, 60] {
            let context = format!("{faults} faults from operation {at}");
            let disk = SimDisk::new(at);
            disk.fail(at..at + faults);
            let clock = clock();
            let (mut bench, promises) = run(&disk, &clock, faults);
            match at % 3 {
                0 => heals(&mut bench, &context),
                1 => disk.kill(),
                _ => disk.power_cut(),
            }
            let kept = if at % 3 == 2 { promises.on_disk } else { promises.in_file };
            drop(bench);
            disk.kill();
            Bench::open(&disk, &clock).unwrap_or_else(|e| panic!("{context}: {e}"));
            let found = read_notes(&disk);
            for (sequence, number) in kept {
                assert_eq!(found.get(&sequence), Some(&number), "{context}: record {sequence}");
            }
        }
    }
}

#[test]
fn a_full_disk_leaves_the_room_that_was_reserved() {
    let disk = SimDisk::new(1);
    let mut bench = Bench::open(&disk, &clock()).unwrap();
    while bench.writer.lock().prepared.is_none() {
        bench.append(&note(200)).unwrap();
        bench.round();
    }
    disk.fail_next(1);
    bench.writer.lock().prepared = None;
    bench.round();
    assert!(bench.writer.lock().failing.is_some(), "the next file could not be reserved");
    bench.append(&note(1)).expect("the current file has room");
    for _ in 0..11 {
        bench.round();
    }
    assert!(bench.writer.lock().failing.is_none(), "healed");
}
