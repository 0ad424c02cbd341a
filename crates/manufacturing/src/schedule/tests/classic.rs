//! The instances that everybody knows. ft06 and la01 are short enough to stand here; the others are
//! read from the data folder.

use std::path::PathBuf;

use crate::schedule::problem::{Job, Operation, Problem};
use crate::schedule::solve::{Options, Solution, solve};
use crate::schedule::text::read;
use crate::schedule::verify::verify;

/// H. Fisher & G. L. Thompson, "Probabilistic learning combinations of local job-shop scheduling
/// rules", in Industrial Scheduling (1963): 6 × 6, optimum 55.
const FT06: &str = "6 6
2 1 0 3 1 6 3 7 5 3 4 6
1 8 2 5 4 10 5 10 0 10 3 4
2 5 3 4 5 8 0 9 1 1 4 7
1 5 0 5 2 5 3 3 4 8 5 9
2 9 1 3 4 5 5 4 0 3 3 1
1 3 3 3 5 9 0 10 4 4 2 1";

fn search(problem: &Problem, steps: u64) -> Solution {
    solve(problem, &Options { steps: Some(steps), ..Options::default() }, &|| false).unwrap()
}

#[test]
fn ft06_is_55() {
    let problem = read(FT06, "ft06").unwrap();
    let found = search(&problem, 50_000);
    assert_eq!(found.value, 55);
    assert!(verify(&problem, &found.starts).is_feasible());
    // Machines alone show 52 (Carlier), so the proof is open.
    assert_eq!((found.bound.value, found.is_proved()), (52, false));
}

#[test]
fn the_known_optima_are_reached() {
    let folder = std::env::var_os("OAAS_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = folder.join("jobshop/instances.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!(
            "SKIPPED: {} is not there; set OAAS_TEST_DATA to the folder of the test data",
            path.display()
        );
        return;
    };
    let instances: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, optimum) in [("la01", 666), ("la06", 926), ("la11", 1_222), ("la17", 784), ("la23", 1_032)] {
        let problem = instance(&instances[name]);
        let found = search(&problem, 400_000);
        assert_eq!(found.value, optimum, "{name}");
        assert!(found.bound.value <= optimum, "{name}");
        assert!(verify(&problem, &found.starts).is_feasible(), "{name}");
    }
}

fn instance(json: &serde_json::Value) -> Problem {
    let rows = |name: &str| -> Vec<Vec<i64>> { serde_json::from_value(json[name].clone()).unwrap() };
    let jobs =
        rows("duration_matrix").into_iter().zip(rows("machines_matrix")).map(|(durations, machines)| {
            let operations = durations.into_iter().zip(machines).map(|(duration, machine)| Operation {
                machine: usize::try_from(machine).unwrap(),
                duration,
                family: 0,
            });
            Job { operations: operations.collect(), ..Job::default() }
        });
    let jobs: Vec<Job> = jobs.collect();
    let machines = jobs.iter().flat_map(|job| &job.operations).map(|o| o.machine + 1).max().unwrap();
    Problem { machines, jobs, ..Problem::default() }
}
