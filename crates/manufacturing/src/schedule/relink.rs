//! The elite set and the paths between its schedules (path relinking).
//!
//! B. Peng, Z. Lü & T. C. E. Cheng, "A tabu search/path relinking algorithm to solve the job shop
//! scheduling problem", Computers & Operations Research 53 (2015). Their path swaps neighbours on
//! machines and repairs what becomes infeasible. Ours goes through topological orders: each operation
//! moves from its start in the one schedule to its start in the other, all at the same pace, and the
//! order of these moments is the schedule on the way. Two operations change places at most once, and
//! those that have one order in both schedules keep it, so each schedule on the way is feasible.

#![expect(
    clippy::indexing_slicing,
    reason = "kernel: operations and machines are indices of the `Shop`, whose arrays have their length"
)]

use super::rng::Rng;
use super::shop::Shop;
use super::state::State;

/// A schedule of the elite set.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub value: i64,
    /// A topological order.
    pub order: Vec<u32>,
    /// Starts as early as may be, by operation.
    pub early: Vec<i32>,
    /// Starts as late as may be without a later end of all.
    pub late: Vec<i32>,
    /// Place in its machine's sequence, by operation.
    pub place: Vec<u32>,
}

impl Member {
    pub fn of(shop: &Shop, state: &State, value: i64) -> Self {
        let makespan = shop.makespan(&state.ends);
        let operations = 0..shop.none;
        Self {
            value,
            order: state.order.clone(),
            early: operations.clone().map(|x| state.start(x)).collect(),
            late: operations.map(|x| makespan - state.tails[x as usize]).collect(),
            place: state.place.clone(),
        }
    }

    /// The schedule `share` of a thousand on the way to `other`.
    pub fn towards(&self, other: &Self, share: i64, late: bool) -> Vec<u32> {
        let (from, to) = if late { (&self.late, &other.late) } else { (&self.early, &other.early) };
        let moment = |x: u32| {
            let x = x as usize;
            (1_000 - share) * i64::from(from[x]) + share * i64::from(to[x])
        };
        let mut order = self.order.clone();
        order.sort_by_cached_key(|x| moment(*x));
        order
    }
}

/// The best schedules so far, no two alike.
#[derive(Debug)]
pub(super) struct Elite {
    members: Vec<Member>,
    size: usize,
    /// Newcomers in a row that were not taken.
    refused: usize,
}

impl Elite {
    pub fn new(size: usize) -> Self {
        Self { members: Vec::with_capacity(size), size, refused: 0 }
    }

    pub fn is_full(&self) -> bool {
        self.members.len() >= self.size
    }

    /// Two different members.
    pub fn pair(&self, rng: &mut Rng) -> Option<(Member, Member)> {
        let n = self.members.len();
        if n < 2 {
            return None;
        }
        let a = rng.below(n);
        let b = (a + 1 + rng.below(n - 1)) % n;
        Some((self.members[a].clone(), self.members[b].clone()))
    }

    /// Takes a newcomer while there is room, then in the place of the worst when it is better; none twice.
    pub fn offer(&mut self, newcomer: Member) {
        self.refused += 1;
        if self.members.iter().any(|m| m.value == newcomer.value && m.place == newcomer.place) {
            return;
        }
        if !self.is_full() {
            self.members.push(newcomer);
            self.refused = 0;
            return;
        }
        let worst = self.members.iter_mut().max_by_key(|member| member.value);
        if let Some(worst) = worst.filter(|worst| newcomer.value < worst.value) {
            *worst = newcomer;
            self.refused = 0;
        }
    }

    /// Forgets all but the best when `patience` newcomers in a row were refused.
    pub fn renew(&mut self, patience: usize) -> bool {
        if self.refused < patience {
            return false;
        }
        self.refused = 0;
        self.members.sort_by_key(|member| member.value);
        self.members.truncate(1);
        true
    }
}
