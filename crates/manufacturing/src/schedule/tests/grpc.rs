//! The adapter: answers, refusals, and that searches end with their caller and their deadline.

use std::sync::Arc;
use std::time::Duration;

use oaas_capability::Context;
use oaas_model::{Clock, Timestamp};
use oaas_proto::google::rpc;
use oaas_proto::oaas::manufacturing::v1 as pb;
use pb::schedule_service_server::ScheduleService as _;
use pb::stream_schedule_response::News;
use prost::Message as _;
use tokio_stream::StreamExt as _;
use tonic::codegen::tokio_stream;
use tonic::{Code, Request, Status};

use crate::schedule::grpc::{SEARCH_THREADS_MAX, Schedules};

/// A clock on which each look takes a millisecond.
#[derive(Default)]
struct Looks(std::sync::atomic::AtomicU64);

impl Clock for Looks {
    fn now(&self) -> Timestamp {
        let ms = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Timestamp { steady_ns: ms * 1_000_000, unix_ns: 0 }
    }
}

async fn service() -> Schedules {
    let cx = Context::in_memory().await.unwrap();
    Schedules::new(&Context { clock: Arc::new(Looks::default()), ..cx })
}

/// A shop that no bound closes, so that a search goes on until it is stopped.
fn shop() -> pb::ShopProblem {
    let job = |j: u32| pb::ShopJob {
        operations: (0..7)
            .map(|o| pb::ShopOperation {
                machine: (o * (j % 6 + 1) + j) % 7,
                duration: i64::from((j * 37 + o * 61 + j * o * 13) % 97 + 1),
                family: 0,
            })
            .collect(),
        ..Default::default()
    };
    pb::ShopProblem { machines: 7, jobs: (0..12).map(job).collect(), ..Default::default() }
}

fn solve(budget: pb::SolveBudget) -> pb::SolveScheduleRequest {
    pb::SolveScheduleRequest { problem: Some(shop()), budget: Some(budget) }
}

fn endless() -> pb::StreamScheduleRequest {
    let budget = pb::SolveBudget { time_ms: 60_000, threads: 4, ..Default::default() };
    pb::StreamScheduleRequest { problem: Some(shop()), budget: Some(budget) }
}

fn reason(status: &Status) -> String {
    let status = rpc::Status::decode(status.details()).unwrap();
    rpc::ErrorInfo::decode(&*status.details[0].value).unwrap().reason
}

#[tokio::test]
async fn an_answer_is_judged_feasible_by_the_other_method() {
    let service = service().await;
    let request = solve(pb::SolveBudget { moves: 5_000, ..Default::default() });
    let answer = service.solve_schedule(Request::new(request)).await.unwrap().into_inner();
    let schedule = answer.schedule.unwrap();
    assert_eq!(schedule.objective_value, schedule.makespan);
    assert!(schedule.gap > 0.0 && !schedule.proved && !schedule.critical_path.is_empty());
    assert_eq!(schedule.jobs[3].job_id, "job 3");
    let starts = |job: &pb::ScheduledJob| pb::JobStarts {
        starts: job.operations.iter().map(|operation| operation.start).collect(),
    };
    let mut request = pb::VerifyScheduleRequest {
        problem: Some(shop()),
        jobs: schedule.jobs.iter().map(starts).collect(),
        claimed_makespan: Some(schedule.makespan),
        claimed_weighted_tardiness: None,
    };
    let verdict = service.verify_schedule(Request::new(request.clone())).await.unwrap().into_inner();
    assert!(verdict.feasible, "{:?}", verdict.violations);
    assert_eq!(verdict.bound, schedule.bound);

    request.jobs[2].starts[0] = -1;
    request.claimed_makespan = Some(1);
    let verdict = service.verify_schedule(Request::new(request)).await.unwrap().into_inner();
    assert!(!verdict.feasible);
    let kinds: Vec<_> = verdict.violations.iter().map(pb::ScheduleViolation::kind).collect();
    assert!(kinds.contains(&pb::ScheduleViolationKind::Release), "{kinds:?}");
    assert!(kinds.contains(&pb::ScheduleViolationKind::Claim), "{kinds:?}");
}

#[tokio::test]
async fn a_search_ends_before_the_deadline_of_its_call() {
    let service = service().await;
    let mut request = Request::new(solve(pb::SolveBudget { time_ms: 60_000, ..Default::default() }));
    request.metadata_mut().insert("grpc-timeout", "150m".parse().unwrap());
    let answer = service.solve_schedule(request).await.unwrap().into_inner();
    // The clock of this test goes on by a millisecond at each look.
    let effort = answer.schedule.unwrap().effort.unwrap();
    assert!((100..=110).contains(&effort.time_ms), "{effort:?}");
}

#[tokio::test]
async fn no_more_searches_than_threads_and_a_caller_who_leaves_frees_them() {
    let service = service().await;
    let budget = pb::SolveBudget { threads: 1, moves: 64, ..Default::default() };
    let mut stream = service.stream_schedule(Request::new(endless())).await.unwrap().into_inner();
    assert!(matches!(stream.next().await.unwrap().unwrap().news, Some(News::Progress(_))));
    let status = service.solve_schedule(Request::new(solve(budget))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "SOLVER_BUSY"));
    drop(stream);
    // The search sees it within 64 moves of each thread; then its threads are free.
    for _ in 0..1_000 {
        if service.solve_schedule(Request::new(solve(budget))).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the search of a caller who left still holds {SEARCH_THREADS_MAX} threads");
}

#[tokio::test]
async fn a_stream_tells_better_and_better_values_and_then_the_schedule() {
    let service = service().await;
    let budget = pb::SolveBudget { moves: 20_000, ..Default::default() };
    let request = pb::StreamScheduleRequest { problem: Some(shop()), budget: Some(budget) };
    let mut stream = service.stream_schedule(Request::new(request)).await.unwrap().into_inner();
    let (mut told, mut schedule) = (i64::MAX, None);
    while let Some(message) = stream.next().await {
        assert!(schedule.is_none(), "nothing follows the schedule");
        match message.unwrap().news.unwrap() {
            News::Progress(progress) => {
                assert!(progress.objective_value < told && progress.bound <= progress.objective_value);
                told = progress.objective_value;
            }
            News::Schedule(found) => schedule = Some(found),
        }
    }
    assert!(schedule.unwrap().objective_value <= told);
}

#[tokio::test]
async fn bad_problems_name_their_fields() {
    type Spoil = fn(&mut pb::ShopProblem);
    let cases: [(&str, Spoil); 5] = [
        ("problem.jobs[1].operations[2].machine", |p| p.jobs[1].operations[2].machine = 7),
        ("problem.jobs[0].operations[0].duration", |p| p.jobs[0].operations[0].duration = -1),
        ("problem.setups", |p| p.setups = vec![pb::MachineSetups::default(); 3]),
        ("problem.jobs", |p| p.objective = pb::ScheduleObjective::WeightedTardiness.into()),
        ("problem.machines", |p| p.machines = 0),
    ];
    let service = service().await;
    for (field, spoil) in cases {
        let mut problem = shop();
        spoil(&mut problem);
        let request = pb::SolveScheduleRequest { problem: Some(problem), budget: None };
        let status = service.solve_schedule(Request::new(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(field), "{field}: {}", status.message());
    }
}
