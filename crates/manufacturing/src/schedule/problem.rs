//! A job shop: jobs with operations in a fixed order, each on one machine, with what may be asked of
//! them: release and due dates, weights, setups between families.

use thiserror::Error;

/// Most jobs of a problem.
pub const JOBS_MAX: usize = 500;
/// Most machines of a problem.
pub const MACHINES_MAX: usize = 200;
/// Most operations of a problem: one step of the search stays well below a tenth of a millisecond.
pub const OPERATIONS_MAX: usize = 5_000;
/// Most families of setups of a problem: with [`MACHINES_MAX`] matrices they stay within 52 MB.
pub const FAMILIES_MAX: usize = 256;
/// Latest release or due date, and the largest sum of all durations, setups and releases: twice that
/// fits into 32 bits, so the search counts in `i32`.
pub const HORIZON_MAX: i64 = 500_000_000;
/// Largest weight of a job: a weighted tardiness of [`JOBS_MAX`] jobs at the horizon fits into 64 bits.
pub const WEIGHT_MAX: i64 = 1_000_000;

/// What is to be small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// When the last job ends (C_max).
    #[default]
    Makespan,
    /// Σ weight · max(0, end − due date) over the jobs that have a due date.
    WeightedTardiness,
}

/// One step of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// The machine, an index.
    pub machine: usize,
    /// How long, in any one unit of time; at least 1 on a machine with setups.
    pub duration: i64,
    /// Family for setups, an index into the machine's matrix.
    pub family: usize,
}

/// Operations that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// In their order; one machine may come more than once.
    pub operations: Vec<Operation>,
    /// Nothing of the job starts earlier.
    pub release: i64,
    /// When it should be ready; `None` is never late.
    pub due: Option<i64>,
    /// What a unit of time of lateness costs.
    pub weight: i64,
}

impl Default for Job {
    fn default() -> Self {
        Self { operations: Vec::new(), release: 0, due: None, weight: 1 }
    }
}

/// A whole shop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// How many machines there are.
    pub machines: usize,
    /// The jobs.
    pub jobs: Vec<Job>,
    /// For each machine the time between the end of an operation and the start of the next one, by
    /// their families: `setups[machine][before][after]`. Empty for none; a machine's matrix may be empty.
    /// The first operation of a machine needs no setup. Only neighbours on a machine count, so the
    /// matrix need not keep the triangle inequality.
    pub setups: Vec<Vec<Vec<i64>>>,
    /// What is to be small.
    pub objective: Objective,
}

/// Why a problem is none. The field is named as in the contract.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {message}")]
pub struct ProblemError {
    /// The field. Example: "jobs[3].operations[0].machine".
    pub field: String,
    /// What it must be.
    pub message: String,
}

fn wrong(field: impl Into<String>, message: impl Into<String>) -> ProblemError {
    ProblemError { field: field.into(), message: message.into() }
}

impl Problem {
    /// Number of operations.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.jobs.iter().map(|job| job.operations.len()).sum()
    }

    /// The time that `machine` needs between two families.
    #[must_use]
    pub fn setup(&self, machine: usize, before: usize, after: usize) -> i64 {
        let cell = self.setups.get(machine).and_then(|rows| rows.get(before)).and_then(|row| row.get(after));
        cell.copied().unwrap_or_default()
    }

    /// Whether any setup takes time.
    #[must_use]
    pub fn has_setups(&self) -> bool {
        self.setups.iter().flatten().flatten().any(|setup| *setup > 0)
    }

    /// Checks everything that the solver relies on.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn check(&self) -> Result<(), ProblemError> {
        if !(1..=MACHINES_MAX).contains(&self.machines) {
            return Err(wrong("machines", format!("must be 1 to {MACHINES_MAX}, not {}", self.machines)));
        }
        if !(1..=JOBS_MAX).contains(&self.jobs.len()) {
            return Err(wrong("jobs", format!("must be 1 to {JOBS_MAX}, not {}", self.jobs.len())));
        }
        if self.operations() > OPERATIONS_MAX {
            let operations = self.operations();
            return Err(wrong("jobs", format!("have {operations} operations; the most is {OPERATIONS_MAX}")));
        }
        for (j, job) in self.jobs.iter().enumerate() {
            self.check_job(&format!("jobs[{j}]"), job)?;
        }
        if self.objective == Objective::WeightedTardiness && self.jobs.iter().all(|job| job.due.is_none()) {
            return Err(wrong("jobs", "have no due date, so nothing can be late"));
        }
        self.check_setups()?;
        self.check_horizon()
    }

    fn check_job(&self, field: &str, job: &Job) -> Result<(), ProblemError> {
        if job.operations.is_empty() {
            return Err(wrong(format!("{field}.operations"), "must have at least one operation"));
        }
        for (name, time) in [("release", job.release), ("due", job.due.unwrap_or_default())] {
            if !(0..=HORIZON_MAX).contains(&time) {
                return Err(wrong(
                    format!("{field}.{name}"),
                    format!("must be 0 to {HORIZON_MAX}, not {time}"),
                ));
            }
        }
        if !(1..=WEIGHT_MAX).contains(&job.weight) {
            let text = format!("must be 1 to {WEIGHT_MAX}, not {}", job.weight);
            return Err(wrong(format!("{field}.weight"), text));
        }
        for (o, operation) in job.operations.iter().enumerate() {
            let field = format!("{field}.operations[{o}]");
            if operation.machine >= self.machines {
                let text = format!("must be below {}, not {}", self.machines, operation.machine);
                return Err(wrong(format!("{field}.machine"), text));
            }
            let rows = self.setups.get(operation.machine).map_or(0, Vec::len);
            // Start times alone do not say in which order operations without a duration are set up.
            let least = i64::from(rows > 0);
            if !(least..=HORIZON_MAX).contains(&operation.duration) {
                let text = format!("must be {least} to {HORIZON_MAX}, not {}", operation.duration);
                return Err(wrong(format!("{field}.duration"), text));
            }
            if rows > 0 && operation.family >= rows {
                let text = format!(
                    "must be below {rows}, the families of machine {}, not {}",
                    operation.machine, operation.family
                );
                return Err(wrong(format!("{field}.family"), text));
            }
        }
        Ok(())
    }

    fn check_setups(&self) -> Result<(), ProblemError> {
        if !self.setups.is_empty() && self.setups.len() != self.machines {
            let text = format!("must be none or one for each of the {} machines", self.machines);
            return Err(wrong("setups", text));
        }
        for (m, matrix) in self.setups.iter().enumerate() {
            if matrix.len() > FAMILIES_MAX {
                return Err(wrong(
                    format!("setups[{m}]"),
                    format!("must have at most {FAMILIES_MAX} families"),
                ));
            }
            for (row_number, row) in matrix.iter().enumerate() {
                let field = format!("setups[{m}][{row_number}]");
                if row.len() != matrix.len() {
                    let text = format!("must have {} times, not {}", matrix.len(), row.len());
                    return Err(wrong(field, text));
                }
                if let Some(time) = row.iter().find(|time| !(0..=HORIZON_MAX).contains(*time)) {
                    return Err(wrong(field, format!("must be 0 to {HORIZON_MAX}, not {time}")));
                }
            }
        }
        Ok(())
    }

    /// Even one operation after the other, each with the longest setup, must end by the horizon.
    fn check_horizon(&self) -> Result<(), ProblemError> {
        let release = self.jobs.iter().map(|job| job.release).max().unwrap_or_default();
        let longest: Vec<i64> = (0..self.machines)
            .map(|m| self.setups.get(m).into_iter().flatten().flatten().copied().max().unwrap_or_default())
            .collect();
        let operations = self.jobs.iter().flat_map(|job| &job.operations);
        let total = operations.fold(release, |sum, operation| {
            let setup = longest.get(operation.machine).copied().unwrap_or_default();
            sum.saturating_add(operation.duration).saturating_add(setup)
        });
        if total > HORIZON_MAX {
            let text = format!(
                "durations, setups and the latest release add up to {total}; the most is {HORIZON_MAX}; use a coarser unit of time"
            );
            return Err(wrong("jobs", text));
        }
        Ok(())
    }
}
