//! A checked problem as flat arrays: what the search reads a million times a second.

#![expect(
    clippy::indexing_slicing,
    reason = "kernel: each index is made by `Shop::new` from a checked problem and lies in arrays of its length"
)]

use super::problem::{Objective, Problem};

/// One operation with its fixed neighbours, and those on its machine in the present schedule.
/// The operation with the number `Shop::none` stands for "there is none": it ends at 0 and lasts 0.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Node {
    pub duration: i32,
    /// The job's release at its first operation, else 0.
    pub release: i32,
    /// Before it in the job.
    pub job_before: u32,
    /// After it in the job.
    pub job_after: u32,
    /// Before it on the machine.
    pub before: u32,
    /// After it on the machine.
    pub after: u32,
}

/// What lateness of a job costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lateness {
    pub last: u32,
    pub due: i32,
    pub weight: i64,
}

/// The flat problem.
#[derive(Debug)]
pub(super) struct Shop {
    /// Number of operations; also the number of the one that is none.
    pub none: u32,
    /// Nodes with no neighbours on machines yet; one more than operations.
    pub nodes: Vec<Node>,
    /// Machine of each operation.
    pub machine: Vec<u32>,
    /// Job of each operation.
    pub job: Vec<u32>,
    /// Operations of machine m stand at `offset[m]..offset[m + 1]` of a sequence.
    pub offset: Vec<u32>,
    /// First operation of each job, and one past the last job's.
    pub first: Vec<u32>,
    /// Last operation of each job.
    pub last: Vec<u32>,
    /// Jobs that may be late.
    pub lateness: Vec<Lateness>,
    pub objective: Objective,
    setups: Option<Setups>,
}

/// Setups as one table with a row for each operation's family and a last column and row of zeros.
#[derive(Debug)]
struct Setups {
    table: Vec<i32>,
    row: Vec<u32>,
    column: Vec<u32>,
}

impl Shop {
    /// Flattens a problem that was checked.
    pub fn new(problem: &Problem) -> Self {
        let n = problem.operations();
        let none = index(n);
        let mut nodes = Vec::with_capacity(n + 1);
        let (mut machine, mut job_of, mut family) = (vec![], vec![], vec![]);
        let (mut first, mut last, mut lateness) = (vec![], vec![], vec![]);
        for (j, job) in problem.jobs.iter().enumerate() {
            first.push(index(nodes.len()));
            for (o, operation) in job.operations.iter().enumerate() {
                let number = index(nodes.len());
                let is_last = o + 1 == job.operations.len();
                nodes.push(Node {
                    duration: time(operation.duration),
                    release: if o == 0 { time(job.release) } else { 0 },
                    job_before: if o == 0 { none } else { number - 1 },
                    job_after: if is_last { none } else { number + 1 },
                    before: none,
                    after: none,
                });
                machine.push(index(operation.machine));
                job_of.push(index(j));
                family.push(operation.family);
            }
            last.push(index(nodes.len()) - 1);
            if let Some(due) = job.due {
                lateness.push(Lateness { last: index(nodes.len()) - 1, due: time(due), weight: job.weight });
            }
        }
        first.push(none);
        nodes.push(Node { job_before: none, job_after: none, before: none, after: none, ..Node::default() });
        let mut offset = vec![0u32; problem.machines + 1];
        for m in &machine {
            offset[*m as usize + 1] += 1;
        }
        for m in 0..problem.machines {
            offset[m + 1] += offset[m];
        }
        let setups = problem.has_setups().then(|| Setups::new(problem, &machine, &family));
        let objective = problem.objective;
        Self { none, nodes, machine, job: job_of, offset, first, last, lateness, objective, setups }
    }

    /// Number of operations.
    pub fn operations(&self) -> usize {
        self.none as usize
    }

    pub fn machines(&self) -> usize {
        self.offset.len() - 1
    }

    pub fn jobs(&self) -> usize {
        self.last.len()
    }

    pub fn has_setups(&self) -> bool {
        self.setups.is_some()
    }

    /// Time between the end of `x` and the start of `y` on their machine; 0 when either is none.
    #[inline(always)]
    pub fn setup(&self, x: u32, y: u32) -> i32 {
        match &self.setups {
            None => 0,
            Some(setups) => setups.table[(setups.row[x as usize] + setups.column[y as usize]) as usize],
        }
    }

    /// The value of a schedule whose operations end at `ends`.
    #[inline]
    pub fn value(&self, ends: &[i32]) -> i64 {
        match self.objective {
            Objective::Makespan => i64::from(self.makespan(ends)),
            Objective::WeightedTardiness => {
                let cost = |l: &Lateness| l.weight * i64::from((ends[l.last as usize] - l.due).max(0));
                self.lateness.iter().map(cost).sum()
            }
        }
    }

    /// The operation whose end matters most: the last of all, or of the job with the costliest lateness.
    pub fn costliest(&self, ends: &[i32]) -> u32 {
        let late = |l: &&Lateness| l.weight * i64::from((ends[l.last as usize] - l.due).max(0));
        let end = |last: &&u32| ends[**last as usize];
        match self.objective {
            Objective::Makespan => self.last.iter().max_by_key(end).copied().unwrap_or(self.none),
            Objective::WeightedTardiness => {
                self.lateness.iter().max_by_key(late).map_or(self.none, |lateness| lateness.last)
            }
        }
    }

    /// Job and place within it.
    pub fn at(&self, x: u32) -> Option<(usize, usize)> {
        let job = *self.job.get(x as usize)? as usize;
        Some((job, (x - self.first[job]) as usize))
    }

    /// When the last operation ends.
    #[inline]
    pub fn makespan(&self, ends: &[i32]) -> i32 {
        self.last.iter().map(|last| ends[*last as usize]).max().unwrap_or_default()
    }
}

impl Setups {
    fn new(problem: &Problem, machine: &[u32], family: &[usize]) -> Self {
        let families = problem.setups.iter().map(Vec::len).max().unwrap_or_default();
        let width = families + 1;
        let mut table = vec![0i32; width];
        let mut base = Vec::with_capacity(problem.machines);
        for matrix in &problem.setups {
            base.push(table.len());
            for row in matrix {
                let mut wide = vec![0i32; width];
                for (cell, setup) in wide.iter_mut().zip(row) {
                    *cell = time(*setup);
                }
                table.extend(wide);
            }
        }
        let (mut row, mut column) = (vec![], vec![]);
        for (m, family) in machine.iter().zip(family) {
            let m = *m as usize;
            // A machine without a matrix has the row of zeros.
            let known = problem.setups.get(m).is_some_and(|matrix| !matrix.is_empty());
            row.push(index(if known { base[m] + family * width } else { 0 }));
            column.push(index(if known { *family } else { families }));
        }
        row.push(0);
        column.push(index(families));
        Self { table, row, column }
    }
}

/// A checked number of things, which is far below 2³².
pub(super) fn index(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A checked time, which is at most the horizon.
fn time(t: i64) -> i32 {
    i32::try_from(t).unwrap_or(i32::MAX)
}
