//! Neighbourhoods of a schedule: which operations of a critical block may change places, and an
//! estimate of the makespan after it.
//!
//! N5: the first two and the last two of a block (Nowicki & Smutnicki, "A fast taboo search algorithm
//! for the job shop problem", Management Science 42, 1996). N6: any operation of the block right behind
//! its last or right before its first (Balas & Vazacopoulos 1998). N7: also the first and the last into
//! the inside (Zhang, Li, Guan & Rao, "A tabu search algorithm with a new neighborhood structure for the
//! job shop scheduling problem", Computers & Operations Research 34, 2007).

#![expect(
    clippy::indexing_slicing,
    reason = "kernel: places and operations come from a `State`, whose arrays have their length"
)]

use super::rng::Rng;
use super::shop::Shop;
use super::state::{Move, State};

/// Which moves are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Neighbourhood {
    /// Nowicki & Smutnicki 1996.
    N5,
    /// Balas & Vazacopoulos 1998.
    N6,
    /// Zhang et al. 2007.
    #[default]
    N7,
}

/// Operations that follow one another on a machine and on a critical path: the places of the first and
/// the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub first: u32,
    pub last: u32,
    /// Its first operation starts at 0.
    pub opens: bool,
    /// Nothing follows it.
    pub closes: bool,
}

/// Finds the blocks of two and more on one critical path to `end`, chance deciding where paths part.
pub(super) fn blocks(shop: &Shop, state: &State, end: u32, rng: &mut Rng, found: &mut Vec<Block>) {
    found.clear();
    let (mut x, mut last) = (end, end);
    let mut closes = true;
    loop {
        let node = &state.nodes[x as usize];
        let start = state.ends[x as usize] - node.duration;
        let by_job = node.job_before != shop.none && state.ends[node.job_before as usize] == start;
        let by_machine = node.before != shop.none
            && state.ends[node.before as usize] + shop.setup(node.before, x) == start;
        let on_machine = by_machine && (!by_job || rng.next() & 1 == 0);
        if on_machine {
            x = node.before;
            continue;
        }
        let opens = !by_job && start == 0;
        if x != last {
            let (first, last) = (state.place[x as usize], state.place[last as usize]);
            found.push(Block { first, last, opens, closes });
        }
        if !by_job {
            return;
        }
        x = node.job_before;
        last = x;
        closes = false;
    }
}

/// Lists the moves of a block that keep the schedule feasible.
///
/// In the block that opens the critical path nothing is gained before its first operation, in the one
/// that closes it nothing behind its last; with setups the order within matters too.
pub(super) fn list(shop: &Shop, state: &State, kind: Neighbourhood, block: Block, moves: &mut Vec<Move>) {
    let Block { first: s, last: t, opens, closes } = block;
    let whole = shop.has_setups();
    let (front, back) = (whole || !opens, whole || !closes);
    let mut push = |from: u32, to: u32| {
        let change = Move { from, to };
        if state.is_safe(shop, change) {
            moves.push(change);
        }
    };
    if t == s + 1 {
        if front || back {
            push(s, t);
        }
        return;
    }
    if kind == Neighbourhood::N5 {
        if front {
            push(s, s + 1);
        }
        if back {
            push(t - 1, t);
        }
        return;
    }
    if back {
        for x in s..t {
            push(x, t);
        }
    }
    if front {
        for x in s + 1..=t {
            push(x, s);
        }
    }
    if kind == Neighbourhood::N7 {
        // The swaps of neighbours at both ends are among those above.
        if front {
            for to in s + 2..t {
                push(s, to);
            }
        }
        if back {
            for to in s + 1..t - 1 {
                push(t, to);
            }
        }
    }
}

/// Estimates the makespan after a move: the longest path through an operation that it shifts, by the
/// heads and tails of all others as they are (Taillard, "Parallel taboo search techniques for the job
/// shop scheduling problem", ORSA Journal on Computing 6, 1994; Balas & Vazacopoulos 1998).
#[inline]
pub(super) fn estimate(shop: &Shop, state: &State, change: Move, heads: &mut Vec<i32>) -> i32 {
    let (a, b) = change.span();
    let span = &state.sequence[a..=b];
    let (before, after) = (state.nodes[span[0] as usize].before, state.nodes[span[b - a] as usize].after);
    let x = state.sequence[change.from as usize];
    let forward = change.from < change.to;
    let others = if forward { &span[1..] } else { &span[..b - a] };
    heads.clear();

    let (mut last, mut end) = (before, state.ends[before as usize]);
    let mut head = |y: u32| {
        let node = &state.nodes[y as usize];
        let start = (end + shop.setup(last, y)).max(state.ends[node.job_before as usize]).max(node.release);
        (last, end) = (y, start + node.duration);
        start
    };
    let mut own = 0;
    if !forward {
        own = head(x);
    }
    for y in others {
        heads.push(head(*y));
    }
    if forward {
        own = head(x);
    }

    let (mut next, mut rest) = (after, state.tails[after as usize]);
    let mut tail = |y: u32| {
        let node = &state.nodes[y as usize];
        rest = (rest + shop.setup(y, next)).max(state.tails[node.job_after as usize]) + node.duration;
        next = y;
        rest
    };
    let mut longest = 0;
    if forward {
        longest = own + tail(x);
    }
    for (y, start) in others.iter().zip(heads.iter()).rev() {
        longest = longest.max(start + tail(*y));
    }
    if !forward {
        longest = longest.max(own + tail(x));
    }
    longest
}

/// The operations of one critical path to `end`, last to first; where two meet, `by_job` chooses.
pub(super) fn walk(shop: &Shop, state: &State, end: u32, mut by_job: impl FnMut() -> bool) -> Vec<u32> {
    let mut path = Vec::new();
    let mut x = end;
    while x != shop.none {
        path.push(x);
        let node = &state.nodes[x as usize];
        let start = state.ends[x as usize] - node.duration;
        let (job, machine) = (node.job_before, node.before);
        let job_holds = job != shop.none && state.ends[job as usize] == start;
        let machine_holds =
            machine != shop.none && state.ends[machine as usize] + shop.setup(machine, x) == start;
        x = match (job_holds, machine_holds) {
            (true, true) if by_job() => job,
            (_, true) => machine,
            (true, false) => job,
            (false, false) => shop.none,
        };
    }
    path
}
