//! Lower bounds: what no schedule can beat, so that each one can say its gap.
//!
//! A machine alone, with the work of each job before it as head and after it as tail, is a relaxation
//! of the shop. Setups are left out, which only lowers the bound.

use super::one_machine::{self, Task};
use super::problem::{Objective, Problem};

/// Tasks that the exact bounds of all machines may look at together: a fifth of a second, 100 MB.
const WORK_MAX: usize = 2_000_000;

/// Which relaxation gave the bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoundSource {
    /// A job alone, without waiting (for tardiness: all jobs, each alone).
    #[default]
    Job,
    /// A machine alone, with preemption (for tardiness: Chu's bound).
    MachinePreemptive,
    /// A machine alone, solved exactly.
    MachineExact,
}

/// A lower bound of the objective and where it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// No schedule is better.
    pub value: i64,
    /// The relaxation.
    pub source: BoundSource,
    /// The machine that gave it, when it was one.
    pub machine: Option<usize>,
}

/// The best bound of a problem that was checked.
#[must_use]
pub fn lower_bound(problem: &Problem) -> Bound {
    match problem.objective {
        Objective::Makespan => makespan(problem),
        Objective::WeightedTardiness => tardiness(problem),
    }
}

fn makespan(problem: &Problem) -> Bound {
    let jobs = problem.jobs.iter().map(|job| job.release + work(job));
    let mut best = Bound { value: jobs.max().unwrap_or_default(), ..Bound::default() };
    let mut raise = |value, source, machine| {
        if value > best.value {
            best = Bound { value, source, machine: Some(machine) };
        }
    };
    let machines: Vec<Vec<Task>> = (0..problem.machines).map(|m| tasks(problem, m)).collect();
    for (m, tasks) in machines.iter().enumerate() {
        raise(one_machine::jackson_preemptive(tasks), BoundSource::MachinePreemptive, m);
    }
    for (m, tasks) in machines.iter().enumerate() {
        let nodes = WORK_MAX / problem.machines.max(1) / tasks.len().max(1);
        raise(one_machine::carlier_within(tasks, nodes).bound, BoundSource::MachineExact, m);
    }
    best
}

fn work(job: &super::problem::Job) -> i64 {
    job.operations.iter().map(|operation| operation.duration).sum()
}

/// The operations of a machine with the work of their jobs before and after.
fn tasks(problem: &Problem, machine: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    for job in &problem.jobs {
        let (mut head, mut tail) = (job.release, work(job));
        for operation in &job.operations {
            tail -= operation.duration;
            if operation.machine == machine {
                tasks.push(Task { head, duration: operation.duration, tail });
            }
            head += operation.duration;
        }
    }
    tasks
}

/// Each job alone; and for each machine the bound of Chu, "A branch-and-bound algorithm to minimize
/// total tardiness with different release dates", Naval Research Logistics 39 (1992): the k-th end of
/// the preemptive schedule by shortest remaining time against the k-th due date, at the least weight.
fn tardiness(problem: &Problem) -> Bound {
    let alone = problem.jobs.iter().map(|job| {
        let late = job.due.map_or(0, |due| (job.release + work(job) - due).max(0));
        job.weight * late
    });
    let mut best = Bound { value: alone.sum(), ..Bound::default() };
    for machine in 0..problem.machines {
        let value = chu(problem, machine);
        if value > best.value {
            best = Bound { value, source: BoundSource::MachinePreemptive, machine: Some(machine) };
        }
    }
    best
}

/// Chu's bound of the jobs with a due date that visit the machine, each with its last operation there.
fn chu(problem: &Problem, machine: usize) -> i64 {
    let (mut tasks, mut dues, mut weight) = (Vec::new(), Vec::new(), i64::MAX);
    for job in &problem.jobs {
        let Some(due) = job.due else { continue };
        let (mut head, mut tail, mut found) = (job.release, work(job), None);
        for operation in &job.operations {
            tail -= operation.duration;
            if operation.machine == machine {
                found = Some((head, operation.duration, due - tail));
            }
            head += operation.duration;
        }
        let Some((head, duration, due)) = found else { continue };
        tasks.push((head, duration));
        dues.push(due);
        weight = weight.min(job.weight);
    }
    dues.sort_unstable();
    let late = shortest_remaining(tasks).into_iter().zip(dues).map(|(end, due)| (end - due).max(0));
    late.sum::<i64>().saturating_mul(if weight == i64::MAX { 0 } else { weight })
}

/// When tasks (head, duration) end that run by shortest remaining time, with preemption, in order. No
/// other schedule has its k-th end earlier, for any k.
fn shortest_remaining(mut tasks: Vec<(i64, i64)>) -> Vec<i64> {
    use std::cmp::Reverse;
    tasks.sort_unstable();
    let mut coming = tasks.into_iter().peekable();
    let mut ready = std::collections::BinaryHeap::new();
    let (mut now, mut ends) = (0i64, Vec::new());
    loop {
        if ready.is_empty() {
            let Some((head, _)) = coming.peek() else { return ends };
            now = now.max(*head);
        }
        while let Some((_, duration)) = coming.next_if(|(head, _)| *head <= now) {
            ready.push(Reverse(duration));
        }
        let Some(Reverse(left)) = ready.pop() else { continue };
        let run = coming.peek().map_or(left, |(head, _)| left.min(head - now));
        now += run;
        if run < left {
            ready.push(Reverse(left - run));
        } else {
            ends.push(now);
        }
    }
}
