//! From the contract's messages to a problem and options.

use std::time::Duration;

use oaas_capability::Violation;
use oaas_proto::oaas::manufacturing::v1 as pb;

use super::problem::{Job, Objective, Operation, Problem};
use super::solve::Options;

/// Time of a search whose request says none.
const TIME_DEFAULT: Duration = Duration::from_secs(2);

/// A checked problem and the jobs' names.
///
/// # Errors
/// The first field that is wrong, below `problem`.
pub fn problem(message: Option<&pb::ShopProblem>) -> Result<(Problem, Vec<String>), Violation> {
    let Some(message) = message else { return Err(Violation::new("problem", "must be set")) };
    let jobs = message.jobs.iter().map(|job| Job {
        operations: job.operations.iter().map(operation).collect(),
        release: job.release,
        due: job.due,
        weight: job.weight.max(1),
    });
    let matrix = |setups: &pb::MachineSetups| setups.rows.iter().map(|row| row.times.clone()).collect();
    let problem = Problem {
        machines: index(message.machines),
        jobs: jobs.collect(),
        setups: message.setups.iter().map(matrix).collect(),
        objective: match message.objective() {
            pb::ScheduleObjective::WeightedTardiness => Objective::WeightedTardiness,
            _ => Objective::Makespan,
        },
    };
    problem.check().map_err(|wrong| Violation::new(format!("problem.{}", wrong.field), wrong.message))?;
    Ok((problem, message.jobs.iter().map(|job| job.job_id.clone()).collect()))
}

fn operation(operation: &pb::ShopOperation) -> Operation {
    Operation {
        machine: index(operation.machine),
        duration: operation.duration,
        family: index(operation.family),
    }
}

/// How to search, and for how long.
pub(super) fn options(budget: Option<&pb::SolveBudget>) -> (Options, Duration) {
    let budget = budget.copied().unwrap_or_default();
    let options = Options {
        seed: budget.seed,
        threads: index(budget.threads.max(1)),
        steps: (budget.moves > 0).then_some(budget.moves),
        ..Options::default()
    };
    let time = match budget.time_ms {
        0 => TIME_DEFAULT,
        ms => Duration::from_millis(ms.into()),
    };
    (options, time)
}

/// What is left of a call, from its `grpc-timeout` (grpc/grpc, doc/PROTOCOL-HTTP2.md: at most eight
/// digits and a unit).
pub(super) fn time_left(metadata: &tonic::metadata::MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n.saturating_mul(3_600))),
        "M" => Some(Duration::from_secs(n.saturating_mul(60))),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
