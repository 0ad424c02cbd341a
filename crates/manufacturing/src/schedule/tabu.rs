//! Tabu search for the makespan, as in Zhang, Li, Rao & Guan, "A very fast TS/SA algorithm for the job
//! shop scheduling problem", Computers & Operations Research 35 (2008): the move with the best estimate
//! that does not bring back an order of two operations that was given up a short while ago.

#![expect(
    clippy::indexing_slicing,
    reason = "kernel: places come from a `State`, slots of the memory are masked to its size"
)]

use super::moves::{Block, Neighbourhood, blocks, estimate, list};
use super::rng::Rng;
use super::shop::Shop;
use super::state::{Move, State};

/// Slots of the memory, a power of two. Some hundred pairs are alive at a time; when two fall on one slot
/// the older is forgotten, which is as if its term had ended early.
const SLOTS: usize = 4_096;
/// Term of a pair, in percent of the term of an arrangement; measured on thirteen of the instances.
const TERM_PERCENT: usize = 70;
/// Steps between two looks at the clock: about half a millisecond on the largest problems.
pub(super) const LOOK_EVERY: u64 = 64;

/// What may end a search from outside: time, another thread's proof, a caller who left.
pub(super) trait Watch {
    /// Counts `steps` steps; true when it is over.
    fn is_over(&self, steps: u64) -> bool;
    /// A value at which nothing is left to gain.
    fn bound(&self) -> i64;
}

/// What a search did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effort {
    /// Moves made.
    pub steps: u64,
    /// Moves estimated.
    pub estimates: u64,
}

/// Which pairs of operations must not get back their order, and until when (Dell'Amico & Trubian,
/// "Applying tabu search to the job-shop scheduling problem", Annals of Operations Research 41, 1993).
#[derive(Debug)]
pub(super) struct Memory {
    /// Pair and step.
    slots: Vec<(u64, u64)>,
    /// Steps of this memory's life.
    pub now: u64,
}

impl Memory {
    pub fn new() -> Self {
        Self { slots: vec![(0, 0); SLOTS], now: 1 }
    }

    /// Whether the move would give any pair back the order that it had.
    #[inline]
    pub fn is_tabu(&self, state: &State, change: Move) -> bool {
        let forward = change.from < change.to;
        let x = state.sequence[change.from as usize];
        others(state, change).any(|y| {
            let pair = if forward { pair(*y, x) } else { pair(x, *y) };
            let (known, until) = self.slots[slot(pair)];
            known == pair && until > self.now
        })
    }

    /// Forbids the present order of the pairs that a move is about to change, for `term` steps after it.
    #[inline]
    pub fn forbid(&mut self, state: &State, change: Move, term: u64) {
        let forward = change.from < change.to;
        let x = state.sequence[change.from as usize];
        self.now += 1;
        for y in others(state, change) {
            let pair = if forward { pair(x, *y) } else { pair(*y, x) };
            self.slots[slot(pair)] = (pair, self.now + term);
        }
    }
}

/// The operations that the moved one passes.
#[inline]
fn others(state: &State, change: Move) -> std::slice::Iter<'_, u32> {
    let (a, b) = change.span();
    if change.from < change.to { state.sequence[a + 1..=b].iter() } else { state.sequence[a..b].iter() }
}

/// `x` before `y`, as one number that is never 0.
#[inline]
fn pair(x: u32, y: u32) -> u64 {
    u64::from(x) << 32 | u64::from(y) | 1 << 63
}

#[inline]
fn slot(pair: u64) -> usize {
    (pair.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize & (SLOTS - 1)
}

/// How long an order is tabu: between `L` and 1.4 `L` (1.5 `L` with more than two jobs a machine), after
/// Zhang et al. 2008, whose `L` = 10 + jobs / machines is for whole arrangements. A pair binds more, so
/// ours is shorter: [`TERM_PERCENT`] of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    least: u64,
    spread: usize,
}

impl Term {
    pub fn of(shop: &Shop) -> Self {
        let (jobs, machines) = (shop.jobs(), shop.machines());
        let least = (10 + jobs / machines) * TERM_PERCENT / 100;
        let most = if jobs <= 2 * machines { least * 14 / 10 } else { least * 15 / 10 };
        Self { least: least as u64, spread: most - least + 1 }
    }

    pub fn times(self, n: u64) -> Self {
        Self { least: self.least * n, spread: self.spread.saturating_mul(usize::try_from(n).unwrap_or(1)) }
    }

    pub fn most(self) -> u64 {
        self.least + self.spread as u64
    }

    pub fn draw(self, rng: &mut Rng) -> u64 {
        self.least + rng.below(self.spread) as u64
    }
}

/// The search's tools, kept from one search to the next.
#[derive(Debug)]
pub(super) struct Tabu {
    kind: Neighbourhood,
    term: Term,
    memory: Memory,
    blocks: Vec<Block>,
    moves: Vec<Move>,
    heads: Vec<i32>,
    pub effort: Effort,
}

impl Tabu {
    pub fn new(shop: &Shop, kind: Neighbourhood) -> Self {
        let (blocks, moves, heads) = (vec![], vec![], vec![]);
        let (term, memory) = (Term::of(shop), Memory::new());
        Self { kind, term, memory, blocks, moves, heads, effort: Effort::default() }
    }

    /// Improves `state` until `patience` steps brought nothing new, and leaves in `best` the topological
    /// order of the best schedule that it met. Returns its value.
    pub fn improve(
        &mut self,
        shop: &Shop,
        state: &mut State,
        patience: u64,
        rng: &mut Rng,
        watch: &dyn Watch,
        best: &mut Vec<u32>,
    ) -> i64 {
        let mut value = shop.makespan(&state.ends);
        best.clone_from(&state.order);
        let mut left = patience;
        // What was forbidden elsewhere is not forbidden here.
        self.memory.now += 2 * self.term.most();
        let mut unseen = 0;
        while left > 0 && i64::from(value) > watch.bound() {
            left -= 1;
            unseen += 1;
            if unseen == LOOK_EVERY {
                unseen = 0;
                if watch.is_over(LOOK_EVERY) {
                    break;
                }
            }
            let Some(change) = self.choose(shop, state, value, rng) else { break };
            let term = self.term.draw(rng);
            self.memory.forbid(state, change, term);
            state.apply(shop, change);
            self.effort.steps += 1;
            let now = shop.makespan(&state.ends);
            if now < value {
                value = now;
                best.clone_from(&state.order);
                left = patience;
            }
        }
        watch.is_over(unseen);
        i64::from(value)
    }

    /// The best move that is not tabu, or promises more than all before; any one when all are tabu.
    fn choose(&mut self, shop: &Shop, state: &State, best: i32, rng: &mut Rng) -> Option<Move> {
        let makespan = shop.makespan(&state.ends);
        let ending = shop.last.iter().copied().filter(|last| state.ends[*last as usize] == makespan);
        let mut end = shop.none;
        let mut seen = 0;
        for last in ending {
            seen += 1;
            if seen == 1 || rng.below(seen) == 0 {
                end = last;
            }
        }
        blocks(shop, state, end, rng, &mut self.blocks);
        self.moves.clear();
        for block in &self.blocks {
            list(shop, state, self.kind, *block, &mut self.moves);
        }
        self.effort.estimates += self.moves.len() as u64;
        let (mut chosen, mut least, mut equal) = (None, i32::MAX, 1);
        for change in &self.moves {
            let value = estimate(shop, state, *change, &mut self.heads);
            if value > least || value >= best && self.memory.is_tabu(state, *change) {
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
