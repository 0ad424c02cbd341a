//! Small shops of all kinds against the best of all schedules; long searches against the judge.

use std::sync::atomic::{AtomicI64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::schedule::bound::lower_bound;
use crate::schedule::moves::Neighbourhood;
use crate::schedule::problem::{Job, Objective, Operation, Problem};
use crate::schedule::solve::{Options, Solution, solve, solve_telling};
use crate::schedule::verify::verify;

/// The best value of all semi-active schedules, by giving each operation its turn in each order.
fn brute(problem: &Problem) -> i64 {
    fn go(
        problem: &Problem,
        next: &mut Vec<usize>,
        ready: &[i64],
        free: &[Option<(i64, usize)>],
        best: &mut i64,
    ) {
        if next.iter().zip(&problem.jobs).all(|(n, job)| *n == job.operations.len()) {
            let late = |(job, end): (&Job, &i64)| job.weight * job.due.map_or(0, |due| (end - due).max(0));
            let value = match problem.objective {
                Objective::Makespan => ready.iter().copied().max().unwrap(),
                Objective::WeightedTardiness => problem.jobs.iter().zip(ready).map(late).sum(),
            };
            *best = (*best).min(value);
            return;
        }
        for j in 0..problem.jobs.len() {
            let Some(operation) = problem.jobs[j].operations.get(next[j]).copied() else { continue };
            let m = operation.machine;
            let from = free[m].map_or(0, |(end, family)| end + problem.setup(m, family, operation.family));
            let end = ready[j].max(from) + operation.duration;
            let (mut ready, mut free) = (ready.to_vec(), free.to_vec());
            (ready[j], free[m]) = (end, Some((end, operation.family)));
            next[j] += 1;
            go(problem, next, &ready, &free, best);
            next[j] -= 1;
        }
    }
    let release: Vec<i64> = problem.jobs.iter().map(|job| job.release).collect();
    let mut best = i64::MAX;
    go(problem, &mut vec![0; problem.jobs.len()], &release, &vec![None; problem.machines], &mut best);
    best
}

/// Shops of up to `jobs` jobs, with releases, dues, weights, setups and machines that come twice.
fn shops(jobs: usize, operations: usize, machines: usize) -> impl Strategy<Value = Problem> {
    let operation = (0..machines, 0i64..10, 0usize..3).prop_map(|(machine, duration, family)| Operation {
        machine,
        duration,
        family,
    });
    let job =
        (prop::collection::vec(operation, 1..=operations), 0i64..12, prop::option::of(0i64..40), 1i64..5)
            .prop_map(|(operations, release, due, weight)| Job { operations, release, due, weight });
    let matrix = prop::collection::vec(prop::collection::vec(0i64..8, 3), 3);
    let setups = prop_oneof![Just(vec![]), prop::collection::vec(matrix, machines)];
    (prop::collection::vec(job, 1..=jobs), setups, any::<bool>()).prop_map(
        move |(mut jobs, setups, tardy)| {
            let objective = if tardy { Objective::WeightedTardiness } else { Objective::Makespan };
            // On a machine with setups each operation takes time.
            for operation in
                jobs.iter_mut().flat_map(|job| &mut job.operations).filter(|_| !setups.is_empty())
            {
                operation.duration = operation.duration.max(1);
            }
            if jobs.iter().all(|job| job.due.is_none()) {
                jobs[0].due = Some(5);
            }
            Problem { machines, jobs, setups, objective }
        },
    )
}

fn search(problem: &Problem, steps: u64, seed: u64) -> Solution {
    let options = Options { steps: Some(steps), seed, ..Options::default() };
    solve(problem, &options, &|| false).unwrap()
}

proptest! {
    // The same shops each time: a search promises the best of none, and reaches it on these.
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1996), ..ProptestConfig::with_cases(200) })]

    #[test]
    fn small_shops_are_solved_to_the_best_of_all(problem in shops(3, 3, 2)) {
        let best = brute(&problem);
        prop_assert!(lower_bound(&problem).value <= best, "a bound above the best");
        let found = search(&problem, 6_000, 1);
        prop_assert!(found.value >= best, "the brute force or the judge is wrong");
        prop_assert_eq!(found.value, best);
        prop_assert!(!found.is_proved() || found.gap() == 0.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_found_is_a_schedule_and_above_the_bound(problem in shops(12, 6, 4), seed in 0u64..4) {
        let found = search(&problem, 3_000, seed);
        let verdict = verify(&problem, &found.starts);
        prop_assert!(verdict.is_feasible(), "{:?}", verdict.violations);
        let value = match problem.objective {
            Objective::Makespan => verdict.makespan,
            Objective::WeightedTardiness => verdict.weighted_tardiness,
        };
        prop_assert_eq!(found.value, value);
        prop_assert!(found.value >= found.bound.value);
        prop_assert!((0.0..=1.0).contains(&found.gap()));
        let rule = found.facts.rule.unwrap().1;
        prop_assert!(found.value <= rule);
        critical_path_is_tight(&problem, &found);
    }
}

/// Each operation of the path starts when the one before it lets it, and the last ends the objective.
fn critical_path_is_tight(problem: &Problem, found: &Solution) {
    let operation = |i: usize| {
        let at = found.critical_path[i];
        (problem.jobs[at.job].operations[at.operation], found.starts[at.job][at.operation], at)
    };
    for i in 1..found.critical_path.len() {
        let ((a, start_a, at_a), (b, start_b, at_b)) = (operation(i - 1), operation(i));
        let same = a.machine == b.machine;
        let setup = if same { problem.setup(a.machine, a.family, b.family) } else { 0 };
        let either = [start_a + a.duration, start_a + a.duration + setup];
        assert!(either.contains(&start_b), "{at_a} does not hold {at_b}");
    }
    let (_, first, at) = operation(0);
    assert!(first == 0 || first == problem.jobs[at.job].release);
    if problem.objective == Objective::Makespan {
        let (last, start, _) = operation(found.critical_path.len() - 1);
        assert_eq!(start + last.duration, found.makespan);
    }
}

fn shop(jobs: usize, machines: usize) -> Problem {
    // A fixed shop without a library of chance: machines in turns, durations by a congruence.
    let job = |j: usize| {
        let operation = |o: usize| Operation {
            machine: (o * (j % (machines - 1) + 1) + j) % machines,
            duration: i64::try_from((j * 37 + o * 61 + j * o * 13) % 97 + 1).unwrap(),
            family: 0,
        };
        Job { operations: (0..machines).map(operation).collect(), ..Job::default() }
    };
    Problem { machines, jobs: (0..jobs).map(job).collect(), ..Problem::default() }
}

#[test]
fn one_thread_and_a_budget_of_steps_give_one_schedule_for_a_seed() {
    let problem = shop(12, 7);
    let (a, b) = (search(&problem, 40_000, 7), search(&problem, 40_000, 7));
    assert_eq!((a.starts, a.value, a.facts.steps), (b.starts, b.value, b.facts.steps));
}

#[test]
fn threads_share_the_budget_and_the_best() {
    let problem = shop(12, 7);
    let options = Options { threads: 3, steps: Some(60_000), ..Options::default() };
    let found = solve(&problem, &options, &|| false).unwrap();
    assert!(verify(&problem, &found.starts).is_feasible());
    assert!(found.facts.steps <= 60_000 + 3 * 64, "{}", found.facts.steps);
}

#[test]
fn better_schedules_are_told_one_after_the_other_and_a_stop_ends_at_once() {
    let problem = shop(12, 7);
    let told = AtomicI64::new(i64::MAX);
    let on_better = |better: crate::schedule::solve::Better| {
        assert!(better.value < told.swap(better.value, Ordering::SeqCst));
    };
    let options = Options { steps: Some(20_000), ..Options::default() };
    let found = solve_telling(&problem, &options, &|| false, &on_better).unwrap();
    assert_eq!(told.load(Ordering::SeqCst), found.value);
    let at_once = solve(&problem, &Options::default(), &|| true).unwrap();
    assert!(at_once.facts.steps <= 64);
    assert!(at_once.value <= at_once.facts.rule.unwrap().1);
}

#[test]
fn every_neighbourhood_finds_schedules() {
    let problem = shop(10, 6);
    for neighbourhood in [Neighbourhood::N5, Neighbourhood::N6, Neighbourhood::N7] {
        let options = Options { steps: Some(20_000), neighbourhood, ..Options::default() };
        let found = solve(&problem, &options, &|| false).unwrap();
        assert!(found.value < found.facts.rule.unwrap().1, "{neighbourhood:?}");
    }
}

#[test]
fn what_is_no_problem_is_refused_by_its_field() {
    type Spoil = fn(&mut Problem);
    let cases: [(&str, Spoil); 9] = [
        ("machines", |p| p.machines = 0),
        ("jobs", |p| p.jobs.clear()),
        ("jobs[1].operations", |p| p.jobs[1].operations.clear()),
        ("jobs[0].operations[2].machine", |p| p.jobs[0].operations[2].machine = 99),
        ("jobs[0].operations[2].duration", |p| p.jobs[0].operations[2].duration = -1),
        ("jobs[2].weight", |p| p.jobs[2].weight = 0),
        ("jobs[2].release", |p| p.jobs[2].release = -1),
        ("setups", |p| p.setups = vec![vec![]]),
        ("jobs", |p| p.jobs[0].release = 500_000_000),
    ];
    for (field, spoil) in cases {
        let mut problem = shop(4, 3);
        spoil(&mut problem);
        assert_eq!(problem.check().unwrap_err().field, field);
    }
    let mut problem = shop(4, 3);
    problem.setups = vec![vec![vec![0, 1], vec![0]], vec![], vec![]];
    assert_eq!(problem.check().unwrap_err().field, "setups[0][1]");
    let mut problem = shop(4, 3);
    problem.objective = Objective::WeightedTardiness;
    assert_eq!(problem.check().unwrap_err().field, "jobs");
}
