//! The solver: bound, dispatch rules, tabu search, path relinking; by one thread or several.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use thiserror::Error;

use super::bound::{Bound, lower_bound};
use super::dispatch::{Rule, by_chance, by_rule};
use super::moves::Neighbourhood;
use super::problem::{Objective, Problem, ProblemError};
use super::relink::{Elite, Member};
use super::rng::Rng;
use super::shop::Shop;
use super::state::State;
use super::tabu::{Effort, Tabu, Watch};
use super::tardy::Tardy;
use super::verify::{At, verify};

/// Most threads of one solve.
pub const THREADS_MAX: usize = 16;
/// Schedules in the elite set (Peng et al. 2015: 30).
pub const ELITE: usize = 30;
/// Steps without a better schedule that end a tabu search (Peng et al. 2015: 12,500).
pub const PATIENCE: u64 = 12_500;
/// Likewise for the schedules on a path, of which the best is searched further.
const PATIENCE_ON_PATH: u64 = 500;
/// A step for weighted tardiness takes about ten times as long, so its elite set is smaller and its
/// searches are shorter: a third of what the options say. Measured as the term in `tardy`.
const TARDY_PART: usize = 3;
/// Newcomers in a row that the elite set refuses before it is made anew.
const REFUSED_MAX: usize = 60;

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// With one thread and a budget of steps the same seed gives the same schedule.
    pub seed: u64,
    /// Threads, 1 to [`THREADS_MAX`].
    pub threads: usize,
    /// Most moves of all threads together; `None` leaves the end to the caller's stop.
    pub steps: Option<u64>,
    /// Moves that are tried.
    pub neighbourhood: Neighbourhood,
    /// Size of the elite set.
    pub elite: usize,
    /// Steps without a better schedule that end a tabu search.
    pub patience: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            threads: 1,
            steps: None,
            neighbourhood: Neighbourhood::N7,
            elite: ELITE,
            patience: PATIENCE,
        }
    }
}

/// A schedule with what is known of it.
#[derive(Clone, Debug, Default)]
pub struct Solution {
    /// When each operation starts: `starts[job][operation]`.
    pub starts: Vec<Vec<i64>>,
    /// The objective's value.
    pub value: i64,
    /// When the last operation ends.
    pub makespan: i64,
    /// Σ weight · max(0, end − due date).
    pub weighted_tardiness: i64,
    /// What no schedule can beat.
    pub bound: Bound,
    /// Operations that hold the end: each moves it when it takes longer.
    pub critical_path: Vec<At>,
    /// How it was found.
    pub facts: Facts,
}

impl Solution {
    /// Whether nothing better exists.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.value <= self.bound.value
    }

    /// How far the value may be from the best, as a share of the value; 0 when proved.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn gap(&self) -> f64 {
        if self.is_proved() { 0.0 } else { (self.value - self.bound.value) as f64 / self.value as f64 }
    }
}

/// What the search did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// The best of the eight rules, and its value.
    pub rule: Option<(Rule, i64)>,
    /// Moves made.
    pub steps: u64,
    /// Moves estimated.
    pub estimates: u64,
    /// Paths walked between schedules of the elite set.
    pub paths: u64,
    /// Times that the elite set was made anew.
    pub renewals: u64,
    /// Steps when the schedule was found.
    pub found_at_step: u64,
}

/// Why there is no schedule.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SolveError {
    /// The problem is none.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// A number of threads that there can't be.
    #[error("threads must be 1 to {THREADS_MAX}, not {0}")]
    Threads(usize),
    /// The judge refused the search's own schedule.
    #[error("the schedule that was found is none: {0}")]
    Refused(String),
}

/// A better schedule, told while the search goes on.
#[derive(Clone, Copy, Debug)]
pub struct Better {
    /// The objective's value.
    pub value: i64,
    /// What no schedule can beat.
    pub bound: i64,
    /// Steps so far.
    pub steps: u64,
}

/// Ends a search from outside: true when it is time. Asked from all threads, about every 64 steps.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);
/// Is told of each better schedule, from all threads.
pub type OnBetter<'a> = &'a (dyn Fn(Better) + Sync);

/// Finds a schedule: the best that is found until `stop` says so, the budget is used up, or the bound is
/// reached.
///
/// # Errors
/// When the problem or the options are none. A schedule that the judge refuses is never returned.
pub fn solve(problem: &Problem, options: &Options, stop: Stop<'_>) -> Result<Solution, SolveError> {
    solve_telling(problem, options, stop, &|_| {})
}

/// [`solve`], telling of each better schedule on the way.
///
/// # Errors
/// As [`solve`].
pub fn solve_telling(
    problem: &Problem,
    options: &Options,
    stop: Stop<'_>,
    on_better: OnBetter<'_>,
) -> Result<Solution, SolveError> {
    problem.check()?;
    if !(1..=THREADS_MAX).contains(&options.threads) {
        return Err(SolveError::Threads(options.threads));
    }
    let shop = Shop::new(problem);
    let mut options = *options;
    if problem.objective == Objective::WeightedTardiness {
        options.elite /= TARDY_PART;
        options.patience /= TARDY_PART as u64;
    }
    let search = Search {
        shop: &shop,
        options: &options,
        bound: lower_bound(problem),
        stop,
        on_better,
        best: AtomicI64::new(i64::MAX),
        steps: AtomicU64::new(0),
        over: AtomicBool::new(false),
        shared: Mutex::new(Shared {
            best: None,
            elite: Elite::new(options.elite.max(2)),
            facts: Facts::default(),
        }),
    };
    search.by_rules();
    if options.threads == 1 {
        search.run(0);
    } else {
        std::thread::scope(|scope| {
            for number in 0..options.threads {
                let search = &search;
                scope.spawn(move || search.run(number as u64));
            }
        });
    }
    search.finish(problem)
}

/// What the threads of one solve share.
struct Search<'a> {
    shop: &'a Shop,
    options: &'a Options,
    bound: Bound,
    stop: Stop<'a>,
    on_better: OnBetter<'a>,
    best: AtomicI64,
    steps: AtomicU64,
    over: AtomicBool,
    shared: Mutex<Shared>,
}

struct Shared {
    best: Option<Member>,
    elite: Elite,
    facts: Facts,
}

impl Watch for Search<'_> {
    fn is_over(&self, steps: u64) -> bool {
        let steps = self.steps.fetch_add(steps, Ordering::Relaxed) + steps;
        if self.over.load(Ordering::Relaxed) {
            return true;
        }
        let over = self.options.steps.is_some_and(|most| steps >= most)
            || self.best.load(Ordering::Relaxed) <= self.bound.value
            || (self.stop)();
        if over {
            self.over.store(true, Ordering::Relaxed);
        }
        over
    }

    fn bound(&self) -> i64 {
        self.bound.value
    }
}

impl Search<'_> {
    /// The eight rules; the best is the first schedule.
    fn by_rules(&self) {
        for rule in Rule::ALL {
            let state = State::new(self.shop, &by_rule(self.shop, rule));
            let value = self.shop.value(&state.ends);
            let mut shared = self.shared.lock();
            if shared.facts.rule.is_none_or(|(_, least)| value < least) {
                shared.facts.rule = Some((rule, value));
            }
            drop(shared);
            self.keep(&Member::of(self.shop, &state, value));
        }
    }

    /// Remembers the member when it is the best so far.
    fn keep(&self, member: &Member) {
        if member.value >= self.best.load(Ordering::Relaxed) {
            return;
        }
        let mut shared = self.shared.lock();
        if shared.best.as_ref().is_none_or(|best| member.value < best.value) {
            self.best.store(member.value, Ordering::Relaxed);
            let steps = self.steps.load(Ordering::Relaxed);
            shared.facts.found_at_step = steps;
            shared.best = Some(member.clone());
            (self.on_better)(Better { value: member.value, bound: self.bound.value, steps });
        }
    }

    /// One thread's work.
    fn run(&self, number: u64) {
        let mut rng = Rng::new(self.options.seed, number);
        let mut worker = Worker {
            search: self,
            state: None,
            method: Method::of(self.shop, self.options),
            order: Vec::new(),
        };
        // Not within the condition: its lock would be held through the block.
        let first = self.shared.lock().best.clone().filter(|_| number == 0);
        if let Some(first) = first {
            let member = worker.improve(&first.order, self.options.patience, &mut rng);
            self.shared.lock().elite.offer(member);
        }
        while !self.is_over(0) {
            let pair = {
                let shared = self.shared.lock();
                if shared.elite.is_full() { shared.elite.pair(&mut rng) } else { None }
            };
            let member = match pair {
                None => worker.improve(&by_chance(self.shop, &mut rng), self.options.patience, &mut rng),
                Some((from, to)) => worker.relink(&from, &to, &mut rng),
            };
            let mut shared = self.shared.lock();
            shared.elite.offer(member);
            if shared.elite.renew(REFUSED_MAX) {
                shared.facts.renewals += 1;
            }
        }
        let Effort { steps, estimates } = worker.method.effort();
        let mut shared = self.shared.lock();
        shared.facts.steps += steps;
        shared.facts.estimates += estimates;
    }

    fn finish(self, problem: &Problem) -> Result<Solution, SolveError> {
        let shop = self.shop;
        let shared = self.shared.into_inner();
        let Some(best) = shared.best else { return Err(SolveError::Refused("there is none".to_owned())) };
        let mut starts = Vec::with_capacity(problem.jobs.len());
        let mut early = best.early.iter().map(|start| i64::from(*start));
        for job in &problem.jobs {
            starts.push(early.by_ref().take(job.operations.len()).collect());
        }
        let mut verdict = verify(problem, &starts);
        let found = match problem.objective {
            Objective::Makespan => verdict.makespan,
            Objective::WeightedTardiness => verdict.weighted_tardiness,
        };
        verdict.claim("value", Some(best.value), found);
        if let Some(violation) = verdict.violations.first() {
            return Err(SolveError::Refused(violation.to_string()));
        }
        Ok(Solution {
            starts,
            value: best.value,
            makespan: verdict.makespan,
            weighted_tardiness: verdict.weighted_tardiness,
            bound: self.bound,
            critical_path: super::critical::path(shop, &best.order),
            facts: shared.facts,
        })
    }
}

/// The tabu search of the objective.
enum Method {
    Makespan(Tabu),
    Tardiness(Tardy),
}

impl Method {
    fn of(shop: &Shop, options: &Options) -> Self {
        match shop.objective {
            Objective::Makespan => Self::Makespan(Tabu::new(shop, options.neighbourhood)),
            Objective::WeightedTardiness => Self::Tardiness(Tardy::new(shop)),
        }
    }

    fn improve(
        &mut self,
        shop: &Shop,
        state: &mut State,
        patience: u64,
        rng: &mut Rng,
        watch: &dyn Watch,
        best: &mut Vec<u32>,
    ) -> i64 {
        match self {
            Self::Makespan(tabu) => tabu.improve(shop, state, patience, rng, watch, best),
            Self::Tardiness(tardy) => tardy.improve(shop, state, patience, rng, watch, best),
        }
    }

    fn effort(&self) -> Effort {
        match self {
            Self::Makespan(tabu) => tabu.effort,
            Self::Tardiness(tardy) => tardy.effort,
        }
    }
}

/// One thread's tools.
struct Worker<'a> {
    search: &'a Search<'a>,
    state: Option<State>,
    method: Method,
    order: Vec<u32>,
}

impl Worker<'_> {
    /// Searches from an order, and returns the best that was met.
    fn improve(&mut self, order: &[u32], patience: u64, rng: &mut Rng) -> Member {
        let shop = self.search.shop;
        let state = self.state.get_or_insert_with(|| State::new(shop, order));
        state.load(shop, order);
        let value = self.method.improve(shop, state, patience, rng, self.search, &mut self.order);
        state.load(shop, &self.order);
        let member = Member::of(shop, state, value);
        self.search.keep(&member);
        member
    }

    /// Walks from one schedule to the other, looks a little into what lies between, and searches from
    /// the best of it.
    fn relink(&mut self, from: &Member, to: &Member, rng: &mut Rng) -> Member {
        self.search.shared.lock().facts.paths += 1;
        let late = rng.below(2) == 1;
        let mut best: Option<Member> = None;
        for share in [200, 300, 400, 500, 600, 700, 800] {
            let order = from.towards(to, share, late);
            let member = self.improve(&order, PATIENCE_ON_PATH, rng);
            if best.as_ref().is_none_or(|best| member.value < best.value) {
                best = Some(member);
            }
            if self.search.is_over(0) {
                break;
            }
        }
        let order = best.map_or_else(|| from.order.clone(), |best| best.order);
        self.improve(&order, self.search.options.patience, rng)
    }
}
