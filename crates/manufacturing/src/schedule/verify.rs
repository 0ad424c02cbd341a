//! The judge of schedules, written from the definition of the problem: it knows start times and
//! nothing of how they were found, and shares no code with the search.

use std::fmt;

use super::problem::Problem;

/// Most violations that are listed; more are counted.
pub const VIOLATIONS_MAX: usize = 100;

/// An operation: job and place within it, both indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At {
    /// The job.
    pub job: usize,
    /// The place within the job.
    pub operation: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job {} operation {}", self.job, self.operation)
    }
}

/// What a schedule breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Start times are given for another number of jobs than there are.
    Jobs { given: usize, wanted: usize },
    /// Start times are given for another number of operations than a job has.
    Operations { job: usize, given: usize, wanted: usize },
    /// The job starts before its release.
    Release { at: At, start: i64, release: i64 },
    /// An operation starts before the one before it in its job has ended.
    Order { at: At, start: i64, earliest: i64 },
    /// An operation starts before the machine is free of the one before it, or set up after it.
    Machine { machine: usize, before: At, after: At, start: i64, earliest: i64, setup: i64 },
    /// A value that was claimed is not the schedule's.
    Claim { what: &'static str, claimed: i64, found: i64 },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jobs { given, wanted } => write!(f, "{given} jobs are scheduled, and there are {wanted}"),
            Self::Operations { job, given, wanted } => {
                write!(f, "job {job} has {given} start times and {wanted} operations")
            }
            Self::Release { at, start, release } => {
                write!(f, "{at} starts at {start}, before its job's release at {release}")
            }
            Self::Order { at, start, earliest } => {
                write!(f, "{at} starts at {start}, before the operation before it ends at {earliest}")
            }
            Self::Machine { machine, before, after, start, earliest, setup } => write!(
                f,
                "{after} starts at {start} on machine {machine}, which is ready for it at {earliest}, after {before} and a setup of {setup}"
            ),
            Self::Claim { what, claimed, found } => write!(f, "the {what} is {found}, not {claimed}"),
        }
    }
}

/// What the judge found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The first [`VIOLATIONS_MAX`].
    pub violations: Vec<Violation>,
    /// All of them.
    pub violations_total: usize,
    /// When the last operation ends.
    pub makespan: i64,
    /// Σ weight · max(0, end − due date).
    pub weighted_tardiness: i64,
}

impl Verdict {
    /// Whether the schedule may be run.
    #[must_use]
    pub fn is_feasible(&self) -> bool {
        self.violations_total == 0
    }

    fn add(&mut self, violation: Violation) {
        self.violations_total += 1;
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(violation);
        }
    }

    /// Adds a violation when a claimed value is not what was found.
    pub fn claim(&mut self, what: &'static str, claimed: Option<i64>, found: i64) {
        if let Some(claimed) = claimed.filter(|claimed| *claimed != found) {
            self.add(Violation::Claim { what, claimed, found });
        }
    }
}

/// Judges start times, `starts[job][operation]`, of a problem that was checked.
#[must_use]
pub fn verify(problem: &Problem, starts: &[Vec<i64>]) -> Verdict {
    let mut verdict = Verdict::default();
    if starts.len() != problem.jobs.len() {
        verdict.add(Violation::Jobs { given: starts.len(), wanted: problem.jobs.len() });
    }
    // For each machine what runs there: start, end, family, which.
    let mut loads: Vec<Vec<(i64, i64, usize, At)>> = vec![Vec::new(); problem.machines];
    for (j, (job, times)) in problem.jobs.iter().zip(starts).enumerate() {
        if times.len() != job.operations.len() {
            let (given, wanted) = (times.len(), job.operations.len());
            verdict.add(Violation::Operations { job: j, given, wanted });
        }
        let mut ready = job.release;
        for (o, (operation, start)) in job.operations.iter().zip(times.iter().copied()).enumerate() {
            let at = At { job: j, operation: o };
            if start < ready {
                verdict.add(match o {
                    0 => Violation::Release { at, start, release: job.release },
                    _ => Violation::Order { at, start, earliest: ready },
                });
            }
            ready = start.saturating_add(operation.duration);
            if let Some(load) = loads.get_mut(operation.machine) {
                load.push((start, ready, operation.family, at));
            }
        }
        verdict.makespan = verdict.makespan.max(ready);
        let late = job.due.map_or(0, |due| ready.saturating_sub(due).max(0));
        verdict.weighted_tardiness =
            verdict.weighted_tardiness.saturating_add(late.saturating_mul(job.weight));
    }
    for (machine, load) in loads.iter_mut().enumerate() {
        load.sort_by_key(|(start, end, ..)| (*start, *end));
        for pair in load.windows(2) {
            let [(_, end, from, before), (start, _, to, after)] = pair else { continue };
            let matrix = problem.setups.get(machine);
            let setup = matrix.and_then(|m| m.get(*from)).and_then(|row| row.get(*to)).copied().unwrap_or(0);
            let earliest = end.saturating_add(setup);
            if *start < earliest {
                let (before, after, start) = (*before, *after, *start);
                verdict.add(Violation::Machine { machine, before, after, start, earliest, setup });
            }
        }
    }
    verdict
}
