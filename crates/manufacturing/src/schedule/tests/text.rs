//! The text form: what is read, and where errors are.

use crate::schedule::text::read;

#[test]
fn reads_jobs_and_machines() {
    let problem = read("# two by two\n2 2\n0 3 1 2\n\n1 4\t0 1\n", "x.txt").unwrap();
    assert_eq!(problem.machines, 2);
    let jobs: Vec<Vec<(usize, i64)>> = problem
        .jobs
        .iter()
        .map(|job| job.operations.iter().map(|o| (o.machine, o.duration)).collect())
        .collect();
    assert_eq!(jobs, [vec![(0, 3), (1, 2)], vec![(1, 4), (0, 1)]]);
}

#[test]
fn an_error_names_file_line_and_column() {
    for (text, place) in [
        ("", "x.txt:1:1: "),
        ("2\n0 1\n", "x.txt:1:2: "),
        ("2 2\n0 3 1\n", "x.txt:2:6: "),
        ("2 2\n0 3 2 2\n0 1 1 1\n", "x.txt:2:5: "),
        ("2 2\n0 3  x 2\n", "x.txt:2:6: "),
        ("2 2\n0 -1 1 2\n", "x.txt:2:3: "),
        ("1 2\n0 1 1 2\n0 1 1 2\n", "x.txt:3:1: "),
        ("3 2\n0 1 1 2\n0 1 1 2\n", "x.txt:3:1: "),
        ("1000000 2\n", "x.txt:1:1: "),
        ("1 1\n0 99999999999999999999\n", "x.txt:2:3: "),
    ] {
        let error = read(text, "x.txt").unwrap_err().to_string();
        assert!(error.starts_with(place), "{text:?}: {error}");
    }
}
