//! From a solution and a verdict to the contract's messages.

use oaas_proto::oaas::manufacturing::v1 as pb;

use super::bound::{Bound, BoundSource};
use super::problem::{Objective, Problem};
use super::solve::Solution;
use super::verify::{At, Verdict, Violation};

/// The schedule of a solution; `job_ids` in the order of the problem, `time_ms` that the search took.
#[must_use]
pub fn schedule(problem: &Problem, job_ids: &[String], solution: &Solution, time_ms: u64) -> pb::Schedule {
    let setups = setups(problem, &solution.starts);
    let mut jobs = Vec::with_capacity(problem.jobs.len());
    for (j, (job, starts)) in problem.jobs.iter().zip(&solution.starts).enumerate() {
        let operations: Vec<pb::ScheduledOperation> = job
            .operations
            .iter()
            .zip(starts)
            .enumerate()
            .map(|(o, (operation, start))| pb::ScheduledOperation {
                machine: small(operation.machine),
                start: *start,
                end: start + operation.duration,
                setup: setups.get(j).and_then(|job| job.get(o)).copied().unwrap_or_default(),
                critical: solution.critical_path.contains(&At { job: j, operation: o }),
            })
            .collect();
        let end = operations.last().map_or(0, |operation| operation.end);
        let job_id = job_ids.get(j).filter(|id| !id.is_empty());
        jobs.push(pb::ScheduledJob {
            job_id: job_id.cloned().unwrap_or_else(|| format!("job {j}")),
            operations,
            due: job.due,
            tardiness: job.due.map_or(0, |due| (end - due).max(0)),
        });
    }
    let facts = &solution.facts;
    pb::Schedule {
        jobs,
        machines: small(problem.machines),
        objective: objective(problem.objective).into(),
        objective_value: solution.value,
        makespan: solution.makespan,
        weighted_tardiness: solution.weighted_tardiness,
        bound: Some(bound(&solution.bound)),
        gap: solution.gap(),
        proved: solution.is_proved(),
        critical_path: solution.critical_path.iter().copied().map(place).collect(),
        effort: Some(pb::ScheduleEffort {
            rule: facts.rule.map_or(String::new(), |(rule, _)| rule.name().to_owned()),
            rule_value: facts.rule.map_or(0, |(_, value)| value),
            moves: facts.steps,
            estimates: facts.estimates,
            paths: facts.paths,
            found_at_move: facts.found_at_step,
            time_ms,
        }),
    }
}

/// The time that each operation's machine needs just before it, by job and operation.
fn setups(problem: &Problem, starts: &[Vec<i64>]) -> Vec<Vec<i64>> {
    let mut machines: Vec<Vec<(i64, usize, usize, usize)>> = vec![Vec::new(); problem.machines];
    let mut setups = Vec::with_capacity(problem.jobs.len());
    for (j, (job, starts)) in problem.jobs.iter().zip(starts).enumerate() {
        setups.push(vec![0; job.operations.len()]);
        for (o, (operation, start)) in job.operations.iter().zip(starts).enumerate() {
            if let Some(machine) = machines.get_mut(operation.machine) {
                machine.push((*start, j, o, operation.family));
            }
        }
    }
    for (m, machine) in machines.iter_mut().enumerate() {
        machine.sort_unstable();
        for pair in machine.windows(2) {
            let [(.., before), (_, job, operation, after)] = pair else { continue };
            if let Some(setup) = setups.get_mut(*job).and_then(|job| job.get_mut(*operation)) {
                *setup = problem.setup(m, *before, *after);
            }
        }
    }
    setups
}

/// The judge's verdict.
pub(super) fn verdict(verdict: &Verdict, lower: &Bound) -> pb::VerifyScheduleResponse {
    pb::VerifyScheduleResponse {
        feasible: verdict.is_feasible(),
        violations: verdict.violations.iter().map(violation).collect(),
        violations_total: verdict.violations_total as u64,
        makespan: verdict.makespan,
        weighted_tardiness: verdict.weighted_tardiness,
        bound: Some(bound(lower)),
    }
}

fn violation(violation: &Violation) -> pb::ScheduleViolation {
    use pb::ScheduleViolationKind as Kind;
    let (kind, operation, before, machine, earliest) = match violation {
        Violation::Jobs { .. } => (Kind::Shape, None, None, None, None),
        Violation::Operations { job, .. } => {
            (Kind::Shape, Some(At { job: *job, operation: 0 }), None, None, None)
        }
        Violation::Release { at, release, .. } => (Kind::Release, Some(*at), None, None, Some(*release)),
        Violation::Order { at, earliest, .. } => (Kind::Order, Some(*at), None, None, Some(*earliest)),
        Violation::Machine { machine, before, after, earliest, .. } => {
            (Kind::Machine, Some(*after), Some(*before), Some(*machine), Some(*earliest))
        }
        Violation::Claim { .. } => (Kind::Claim, None, None, None, None),
    };
    pb::ScheduleViolation {
        kind: kind.into(),
        operation: operation.map(place),
        before: before.map(place),
        machine: machine.map(small),
        earliest,
        message: violation.to_string(),
    }
}

fn bound(bound: &Bound) -> pb::ScheduleBound {
    let method = match bound.source {
        BoundSource::Job => pb::BoundMethod::Job,
        BoundSource::MachinePreemptive => pb::BoundMethod::MachinePreemptive,
        BoundSource::MachineExact => pb::BoundMethod::MachineExact,
    };
    pb::ScheduleBound { value: bound.value, method: method.into(), machine: bound.machine.map(small) }
}

fn objective(objective: Objective) -> pb::ScheduleObjective {
    match objective {
        Objective::Makespan => pb::ScheduleObjective::Makespan,
        Objective::WeightedTardiness => pb::ScheduleObjective::WeightedTardiness,
    }
}

fn place(at: At) -> pb::OperationRef {
    pb::OperationRef { job: small(at.job), operation: small(at.operation) }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
