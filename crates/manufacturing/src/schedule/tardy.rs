//! Tabu search for weighted tardiness: neighbours on the critical paths of late jobs change places, and
//! each such schedule is computed in full.
//!
//! Only an arc of a critical path of a late job can make it less late (S. Mati, S. Dauzère-Pérès &
//! C. Lahlou, "A general approach for optimizing regular criteria in the job-shop scheduling problem",
//! European Journal of Operational Research 212, 2011). They estimate from tails to each job; we
//! compute the heads anew, which is exact and takes no tails.

#![expect(
    clippy::indexing_slicing,
    reason = "kernel: operations come from a `State`, whose arrays have their length"
)]

use super::moves::walk;
use super::rng::Rng;
use super::shop::Shop;
use super::state::{Move, State};
use super::tabu::{Effort, LOOK_EVERY, Memory, Term, Watch};

/// Moves computed in one step; beyond it chance decides which late jobs are looked at.
const CANDIDATES_MAX: usize = 64;

/// Times the term of the search for the makespan: here each step changes one pair only, and the same
/// value returns often. Measured on seven of the instances of Singer & Pinedo.
const TERM_TIMES: u64 = 2;

/// The search's tools, kept from one search to the next.
#[derive(Debug)]
pub(super) struct Tardy {
    term: Term,
    memory: Memory,
    moves: Vec<Move>,
    late: Vec<u32>,
    /// Step at which the arc into an operation was listed.
    listed: Vec<u64>,
    pub effort: Effort,
}

impl Tardy {
    pub fn new(shop: &Shop) -> Self {
        Self {
            term: Term::of(shop).times(TERM_TIMES),
            memory: Memory::new(),
            moves: vec![],
            late: vec![],
            listed: vec![0; shop.operations()],
            effort: Effort::default(),
        }
    }

    /// As [`super::tabu::Tabu::improve`].
    pub fn improve(
        &mut self,
        shop: &Shop,
        state: &mut State,
        patience: u64,
        rng: &mut Rng,
        watch: &dyn Watch,
        best: &mut Vec<u32>,
    ) -> i64 {
        let mut value = shop.value(&state.ends);
        best.clone_from(&state.order);
        let mut left = patience;
        self.memory.now += self.term.most() * 2;
        let mut unseen = 0;
        while left > 0 && value > watch.bound() {
            left -= 1;
            unseen += 1;
            if unseen == LOOK_EVERY {
                unseen = 0;
                if watch.is_over(LOOK_EVERY) {
                    break;
                }
            }
            let Some(change) = self.choose(shop, state, value, rng) else { break };
            self.memory.forbid(state, change, self.term.draw(rng));
            state.apply_heads(shop, change);
            self.effort.steps += 1;
            let now = shop.value(&state.ends);
            if now < value {
                value = now;
                best.clone_from(&state.order);
                left = patience;
            }
        }
        watch.is_over(unseen);
        value
    }

    /// Swaps of neighbours on a critical path of each late job.
    fn list(&mut self, shop: &Shop, state: &State, rng: &mut Rng) {
        self.moves.clear();
        self.late.clear();
        let late = shop.lateness.iter().filter(|l| state.ends[l.last as usize] > l.due);
        self.late.extend(late.map(|l| l.last));
        while !self.late.is_empty() && self.moves.len() < CANDIDATES_MAX {
            let last = self.late.swap_remove(rng.below(self.late.len()));
            let path = walk(shop, state, last, || rng.next() & 1 == 0);
            for (x, before) in path.iter().zip(path.iter().skip(1)) {
                // The paths of two jobs may share an arc.
                let listed = std::mem::replace(&mut self.listed[*x as usize], self.memory.now);
                if state.nodes[*x as usize].before != *before || listed == self.memory.now {
                    continue;
                }
                let place = state.place[*x as usize];
                let change = Move { from: place, to: place - 1 };
                if state.is_safe(shop, change) {
                    self.moves.push(change);
                }
            }
        }
    }

    fn choose(&mut self, shop: &Shop, state: &mut State, best: i64, rng: &mut Rng) -> Option<Move> {
        self.list(shop, state, rng);
        self.effort.estimates += self.moves.len() as u64;
        let (mut chosen, mut least, mut equal) = (None, i64::MAX, 1);
        for change in &self.moves {
            let tabu = self.memory.is_tabu(state, *change);
            state.apply_heads(shop, *change);
            let value = shop.value(&state.ends);
            state.apply_heads(shop, change.back());
            if value > least || tabu && value >= best {
                continue;
            }
            if value < least {
                (chosen, least, equal) = (Some(*change), value, 1);
            } else {
                equal += 1;
                if rng.below(equal) == 0 {
                    chosen = Some(*change);
                }
            }
        }
        chosen.or_else(|| self.moves.get(rng.below(self.moves.len())).copied())
    }
}
