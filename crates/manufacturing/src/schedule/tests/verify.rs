//! The judge: finds each kind of fault, by name.

use crate::schedule::problem::{Job, Objective, Operation, Problem};
use crate::schedule::verify::{At, Violation, verify};

fn operation(machine: usize, duration: i64) -> Operation {
    Operation { machine, duration, family: 0 }
}

/// Two jobs on two machines; a setup of 2 from family 0 to 1 and none back, on machine 0.
fn problem() -> Problem {
    let mut second = Job { operations: vec![operation(0, 4), operation(1, 1)], ..Job::default() };
    second.operations[0].family = 1;
    (second.release, second.due, second.weight) = (1, Some(9), 3);
    Problem {
        machines: 2,
        jobs: vec![Job { operations: vec![operation(0, 3), operation(1, 2)], ..Job::default() }, second],
        setups: vec![vec![vec![0, 2], vec![0, 0]], vec![]],
        objective: Objective::Makespan,
    }
}

fn at(job: usize, operation: usize) -> At {
    At { job, operation }
}

#[test]
fn a_feasible_schedule_has_its_values() {
    let verdict = verify(&problem(), &[vec![0, 3], vec![5, 9]]);
    assert!(verdict.is_feasible(), "{:?}", verdict.violations);
    assert_eq!((verdict.makespan, verdict.weighted_tardiness), (10, 3));
}

#[test]
fn each_fault_is_named() {
    let setup =
        Violation::Machine { machine: 0, before: at(0, 0), after: at(1, 0), start: 4, earliest: 5, setup: 2 };
    let overlap = Violation::Machine {
        machine: 1,
        before: at(0, 1),
        after: at(1, 1),
        start: 9,
        earliest: 10,
        setup: 0,
    };
    let cases = [
        (vec![vec![0, 3], vec![4, 9]], setup),
        (vec![vec![0, 8], vec![5, 9]], overlap),
        (vec![vec![4, 7], vec![0, 4]], Violation::Release { at: at(1, 0), start: 0, release: 1 }),
        (vec![vec![-1, 3], vec![5, 9]], Violation::Release { at: at(0, 0), start: -1, release: 0 }),
        (vec![vec![0, 2], vec![5, 9]], Violation::Order { at: at(0, 1), start: 2, earliest: 3 }),
        (vec![vec![0, 3]], Violation::Jobs { given: 1, wanted: 2 }),
        (vec![vec![0, 3], vec![5]], Violation::Operations { job: 1, given: 1, wanted: 2 }),
    ];
    for (starts, wanted) in cases {
        let verdict = verify(&problem(), &starts);
        assert_eq!(verdict.violations, [wanted], "{starts:?}");
        assert!(!verdict.is_feasible());
    }
}

#[test]
fn a_claim_that_is_wrong_is_a_violation() {
    let mut verdict = verify(&problem(), &[vec![0, 3], vec![5, 9]]);
    verdict.claim("makespan", Some(10), 10);
    verdict.claim("makespan", None, 10);
    assert!(verdict.is_feasible());
    verdict.claim("makespan", Some(9), 10);
    assert_eq!(verdict.violations, [Violation::Claim { what: "makespan", claimed: 9, found: 10 }]);
}
