//! `oaas.manufacturing.v1.ScheduleService`: searches run on threads of their own, a few at a time, and
//! end with their budget, their deadline or their caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oaas_capability::{CapabilityError, Context, Registration, invalid, validated};
use oaas_model::Clock;
use oaas_proto::oaas::manufacturing::v1 as pb;
use pb::schedule_service_server::{ScheduleService, ScheduleServiceServer};
use pb::stream_schedule_response::News;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::codegen::tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};

use super::bound::lower_bound;
use super::problem::Problem;
use super::solve::{Better, Options, SolveError, solve_telling};
use super::verify::verify;
use super::{answer, wire};

const SERVICE: &str = "oaas.manufacturing.v1.ScheduleService";
/// Threads that search at a time, of all calls: other capabilities of this process want to run too.
pub const SEARCH_THREADS_MAX: usize = 4;
/// How much before the call's deadline a search ends, so that its answer can still be judged and sent.
const MARGIN: Duration = Duration::from_millis(50);
/// News on their way to a caller; what does not fit is left out, for the next is better.
const NEWS_MAX: usize = 32;

/// The capability. It keeps nothing.
#[must_use]
pub fn service(cx: &Context) -> Registration {
    Registration::new(ScheduleServiceServer::new(Schedules::new(cx)))
}

/// The adapter.
#[derive(Clone)]
pub struct Schedules {
    clock: Arc<dyn Clock>,
    threads: Arc<Semaphore>,
}

/// A search that was admitted.
struct Search {
    problem: Problem,
    job_ids: Vec<String>,
    options: Options,
    time: Duration,
    clock: Arc<dyn Clock>,
    gone: Arc<AtomicBool>,
    _threads: OwnedSemaphorePermit,
}

/// Goes with the caller's call; then its search ends.
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Schedules {
    pub(super) fn new(cx: &Context) -> Self {
        Self { clock: Arc::clone(&cx.clock), threads: Arc::new(Semaphore::new(SEARCH_THREADS_MAX)) }
    }

    /// Checks a request and takes its threads.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn admit(
        &self,
        problem: Option<&pb::ShopProblem>,
        budget: Option<&pb::SolveBudget>,
        left: Option<Duration>,
    ) -> Result<(Search, Caller), Status> {
        let (problem, job_ids) = wire::problem(problem).map_err(|wrong| invalid(&[wrong]))?;
        let (options, time) = wire::options(budget);
        let time = left.map_or(time, |left| time.min(left.saturating_sub(MARGIN)));
        let wanted = u32::try_from(options.threads).unwrap_or(u32::MAX);
        let threads = Arc::clone(&self.threads).try_acquire_many_owned(wanted).map_err(|_| busy())?;
        let gone = Arc::new(AtomicBool::new(false));
        let caller = Caller(Arc::clone(&gone));
        let clock = Arc::clone(&self.clock);
        Ok((Search { problem, job_ids, options, time, clock, gone, _threads: threads }, caller))
    }
}

impl Search {
    /// Searches on this thread.
    fn run(self, on_better: &(dyn Fn(Better) + Sync)) -> Result<pb::Schedule, SolveError> {
        let begin = self.clock.now();
        let until = begin.plus(self.time);
        let stop = || self.gone.load(Ordering::Relaxed) || self.clock.now() >= until;
        let solution = solve_telling(&self.problem, &self.options, &stop, on_better)?;
        let took = self.clock.now().since(begin).as_millis();
        let took = u64::try_from(took).unwrap_or(u64::MAX);
        Ok(answer::schedule(&self.problem, &self.job_ids, &solution, took))
    }
}

#[tonic::async_trait]
impl ScheduleService for Schedules {
    async fn solve_schedule(
        &self,
        request: Request<pb::SolveScheduleRequest>,
    ) -> Result<Response<pb::SolveScheduleResponse>, Status> {
        let left = wire::time_left(request.metadata());
        let request = validated(request)?;
        let (search, caller) = self.admit(request.problem.as_ref(), request.budget.as_ref(), left)?;
        let found = tokio::task::spawn_blocking(move || search.run(&|_| {})).await;
        drop(caller);
        let schedule =
            found.map_err(|_| failed("the search panicked"))?.map_err(|e| failed(&e.to_string()))?;
        Ok(Response::new(pb::SolveScheduleResponse { schedule: Some(schedule) }))
    }

    type StreamScheduleStream = Telling;

    async fn stream_schedule(
        &self,
        request: Request<pb::StreamScheduleRequest>,
    ) -> Result<Response<Telling>, Status> {
        let left = wire::time_left(request.metadata());
        let request = validated(request)?;
        let (search, caller) = self.admit(request.problem.as_ref(), request.budget.as_ref(), left)?;
        let (news, queue) = mpsc::channel(NEWS_MAX);
        tokio::task::spawn_blocking(move || {
            let told = |better: Better| {
                let progress = pb::ScheduleProgress {
                    objective_value: better.value,
                    bound: better.bound,
                    moves: better.steps,
                };
                let _ = news.try_send(Ok(message(News::Progress(progress))));
            };
            let last = match search.run(&told) {
                Ok(schedule) => Ok(message(News::Schedule(schedule))),
                Err(error) => Err(failed(&error.to_string())),
            };
            // The last word waits until there is room; it fails when the caller is gone.
            let _ = news.blocking_send(last);
        });
        Ok(Response::new(Telling { queue, _caller: caller }))
    }

    async fn verify_schedule(
        &self,
        request: Request<pb::VerifyScheduleRequest>,
    ) -> Result<Response<pb::VerifyScheduleResponse>, Status> {
        let request = validated(request)?;
        let (problem, _) = wire::problem(request.problem.as_ref()).map_err(|wrong| invalid(&[wrong]))?;
        let _thread = self.threads.try_acquire().map_err(|_| busy())?;
        let judged = tokio::task::spawn_blocking(move || {
            let starts: Vec<Vec<i64>> = request.jobs.into_iter().map(|job| job.starts).collect();
            let mut verdict = verify(&problem, &starts);
            let (makespan, tardiness) = (verdict.makespan, verdict.weighted_tardiness);
            verdict.claim("makespan", request.claimed_makespan, makespan);
            verdict.claim("weighted tardiness", request.claimed_weighted_tardiness, tardiness);
            answer::verdict(&verdict, &lower_bound(&problem))
        });
        Ok(Response::new(judged.await.map_err(|_| failed("the judge panicked"))?))
    }
}

/// News of a search as a stream. It goes with its caller, and the search with it.
pub struct Telling {
    queue: mpsc::Receiver<Result<pb::StreamScheduleResponse, Status>>,
    _caller: Caller,
}

impl Stream for Telling {
    type Item = Result<pb::StreamScheduleResponse, Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.queue.poll_recv(cx)
    }
}

fn message(news: News) -> pb::StreamScheduleResponse {
    pb::StreamScheduleResponse { news: Some(news) }
}

fn busy() -> Status {
    CapabilityError {
        code: Code::ResourceExhausted,
        reason: "SOLVER_BUSY",
        service: SERVICE,
        message: format!("all {SEARCH_THREADS_MAX} search threads are at work; try again, or ask for fewer"),
        metadata: [("threads_max".to_owned(), SEARCH_THREADS_MAX.to_string())].into(),
    }
    .into()
}

fn failed(why: &str) -> Status {
    // What a caller sees is not what the log says.
    tracing::error!(why, "no schedule");
    CapabilityError {
        code: Code::Internal,
        reason: "SOLVER_FAILED",
        service: SERVICE,
        message: "the search failed; nothing of it was answered".to_owned(),
        metadata: [].into(),
    }
    .into()
}
