//! Dispatch rules: a first schedule in a moment. Each time the operations that can start earliest are
//! compared by a rule (non-delay schedules; Pinedo, "Scheduling", 5th ed., chapter 14).

#![expect(
    clippy::indexing_slicing,
    reason = "kernel: operations, jobs and machines are indices of the `Shop`, whose arrays have their length"
)]

use super::rng::Rng;
use super::shop::Shop;

/// What goes first among the operations that can start now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Shortest processing time.
    Spt,
    /// Longest processing time.
    Lpt,
    /// Most work remaining in the job.
    Mwkr,
    /// Least work remaining in the job.
    Lwkr,
    /// Most operations remaining in the job.
    Mopnr,
    /// First in, first out: longest waiting for its machine.
    Fifo,
    /// Earliest due date of the job.
    Edd,
    /// Least slack to the due date for each remaining operation.
    SlackPerOperation,
}

impl Rule {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::Spt,
        Self::Lpt,
        Self::Mwkr,
        Self::Lwkr,
        Self::Mopnr,
        Self::Fifo,
        Self::Edd,
        Self::SlackPerOperation,
    ];

    /// As people call it. Example: "MWKR".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spt => "SPT",
            Self::Lpt => "LPT",
            Self::Mwkr => "MWKR",
            Self::Lwkr => "LWKR",
            Self::Mopnr => "MOPNR",
            Self::Fifo => "FIFO",
            Self::Edd => "EDD",
            Self::SlackPerOperation => "S/OPN",
        }
    }
}

/// An operation that could be next, as a rule sees it.
struct Candidate {
    duration: i64,
    /// Work of the job from it on.
    work: i64,
    /// Operations of the job from it on.
    operations: i64,
    /// When the job came to the machine.
    ready: i64,
    due: i64,
    start: i64,
}

impl Candidate {
    /// The smallest goes first.
    fn rank(&self, rule: Rule) -> i64 {
        match rule {
            Rule::Spt => self.duration,
            Rule::Lpt => -self.duration,
            Rule::Mwkr => -self.work,
            Rule::Lwkr => self.work,
            Rule::Mopnr => -self.operations,
            Rule::Fifo => self.ready,
            Rule::Edd => self.due,
            // In 1/64 of a unit, so that the quotient keeps an order.
            Rule::SlackPerOperation => (self.due - self.start - self.work) * 64 / self.operations.max(1),
        }
    }
}

/// The order in which a rule starts the operations.
pub(super) fn by_rule(shop: &Shop, rule: Rule) -> Vec<u32> {
    dispatch(shop, true, |candidate| candidate.rank(rule))
}

/// An order by chance. Three of four times among what can start earliest; else among all that could be
/// next, since the best schedule may let a machine wait.
pub(super) fn by_chance(shop: &Shop, rng: &mut Rng) -> Vec<u32> {
    let eager = rng.below(4) > 0;
    dispatch(shop, eager, |_| i64::try_from(rng.next() >> 1).unwrap_or_default())
}

fn dispatch(shop: &Shop, eager: bool, mut rank: impl FnMut(&Candidate) -> i64) -> Vec<u32> {
    let jobs = shop.jobs();
    let mut next: Vec<u32> = shop.first[..jobs].to_vec();
    let mut ready: Vec<i64> = next.iter().map(|x| i64::from(shop.nodes[*x as usize].release)).collect();
    let mut free = vec![(0i64, shop.none); shop.machines()];
    let mut due = vec![i64::from(i32::MAX); jobs];
    for lateness in &shop.lateness {
        due[shop.job[lateness.last as usize] as usize] = i64::from(lateness.due);
    }
    let mut work: Vec<i64> = (0..jobs)
        .map(|j| {
            let operations = shop.first[j] as usize..=shop.last[j] as usize;
            shop.nodes[operations].iter().map(|node| i64::from(node.duration)).sum()
        })
        .collect();
    let mut order = Vec::with_capacity(shop.operations());
    while order.len() < shop.operations() {
        let mut best: Option<(i64, i64, usize)> = None;
        for j in 0..jobs {
            let x = next[j];
            if x > shop.last[j] {
                continue;
            }
            let (until, last) = free[shop.machine[x as usize] as usize];
            let start = ready[j].max(until + i64::from(shop.setup(last, x)));
            if eager && best.is_some_and(|(earliest, ..)| start > earliest) {
                continue;
            }
            let candidate = Candidate {
                duration: i64::from(shop.nodes[x as usize].duration),
                work: work[j],
                operations: i64::from(shop.last[j] - x) + 1,
                ready: ready[j],
                due: due[j],
                start,
            };
            let rank = rank(&candidate);
            let start = if eager { start } else { 0 };
            if best.is_none_or(|(earliest, least, _)| (start, rank) < (earliest, least)) {
                best = Some((start, rank, j));
            }
        }
        let Some((_, _, j)) = best else { break };
        let x = next[j];
        let (until, last) = free[shop.machine[x as usize] as usize];
        let start = ready[j].max(until + i64::from(shop.setup(last, x)));
        let duration = i64::from(shop.nodes[x as usize].duration);
        ready[j] = start + duration;
        free[shop.machine[x as usize] as usize] = (start + duration, x);
        work[j] -= duration;
        next[j] += 1;
        order.push(x);
    }
    order
}
