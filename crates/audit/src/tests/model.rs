//! Random appends, syncs, faults, kills and power cuts against a list of what must be there.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(u64),
    Round,
    Fail(u64),
    Kill,
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0..2000u64).prop_map(Step::Append),
        10 => Just(Step::Round),
        2 => (1..12u64).prop_map(Step::Fail),
        1 => Just(Step::Kill),
        1 => Just(Step::PowerCut),
    ]
}

/// What was promised: notes by sequence, and up to where they are on the disk.
#[derive(Default)]
struct Model {
    notes: BTreeMap<u64, u64>,
    durable: u64,
}

impl Model {
    /// After a crash: all that had to stay is there, and goes on to be the truth.
    fn check(&mut self, disk: &SimDisk, power: bool) {
        let found = read_notes(disk);
        for (sequence, number) in &self.notes {
            if !power || *sequence <= self.durable {
                assert_eq!(found.get(sequence), Some(number), "record {sequence}");
            } else if let Some(other) = found.get(sequence) {
                assert_eq!(other, number, "record {sequence} became another");
            }
        }
        self.notes = found;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_there(seed: u64, steps in prop::collection::vec(step(), 1..200)) {
        let (disk, clock) = (SimDisk::new(seed), clock());
        let mut bench = Bench::open(&disk, &clock).unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(number) => {
                    if let Ok(sequence) = bench.append(&note(number)) {
                        model.notes.insert(sequence, number);
                    }
                }
                Step::Round => model.durable = bench.round().durable,
                Step::Fail(count) => disk.fail_next(count),
                Step::Kill | Step::PowerCut => {
                    let power = matches!(step, Step::PowerCut);
                    drop(bench);
                    if power { disk.power_cut() } else { disk.kill() }
                    bench = Bench::open(&disk, &clock).unwrap();
                    model.check(&disk, power);
                    model.durable = bench.writer.lock().durable;
                }
            }
        }
        prop_assert!(!disk.abused(), "a descriptor was synced after a failure");
        disk.kill();
        drop(bench);
        Bench::open(&disk, &clock).unwrap();
        model.check(&disk, false);
    }
}
