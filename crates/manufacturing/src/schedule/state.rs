//! A schedule under search: sequences on machines, a topological order that moves keep, heads and
//! tails by longest paths.
//!
//! A move takes an operation out of its machine's sequence and puts it in elsewhere. Only the part of
//! the topological order between the two ends of the move changes; heads are computed anew from its
//! start on, tails from its end back.

#![expect(
    clippy::indexing_slicing,
    reason = "kernel: operations, places and ranks are permutations of 0..n, made by `State::new` and kept by \
              each move"
)]

use super::shop::{Node, Shop, index};

/// The operation at the place `from` of the flat sequence goes to the place `to` of the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub from: u32,
    pub to: u32,
}

impl Move {
    /// Lowest and highest place that it changes.
    #[inline]
    pub fn span(self) -> (usize, usize) {
        (self.from.min(self.to) as usize, self.from.max(self.to) as usize)
    }

    /// What undoes it.
    pub fn back(self) -> Self {
        Self { from: self.to, to: self.from }
    }
}

/// A feasible schedule: each operation as early as its neighbours allow.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Operations by machine, in their order there; `Shop::offset` parts them.
    pub sequence: Vec<u32>,
    /// Where each operation stands in `sequence`.
    pub place: Vec<u32>,
    pub nodes: Vec<Node>,
    /// A topological order of the operations, and each one's rank in it.
    pub order: Vec<u32>,
    rank: Vec<u32>,
    /// When each operation ends (head and duration); 0 for the one that is none.
    pub ends: Vec<i32>,
    /// Longest way from the start of each operation to the end of all; 0 for the one that is none.
    pub tails: Vec<i32>,
    marked: Vec<bool>,
    scratch: Vec<u32>,
}

impl State {
    /// The schedule of a sequence of operations in which none stands before one that must precede it:
    /// on each machine they run in that order.
    pub fn new(shop: &Shop, order: &[u32]) -> Self {
        let n = shop.operations();
        let mut state = Self {
            sequence: vec![0; n],
            place: vec![0; n],
            nodes: shop.nodes.clone(),
            order: order.to_vec(),
            rank: vec![0; n],
            ends: vec![0; n + 1],
            tails: vec![0; n + 1],
            marked: vec![false; n + 1],
            scratch: Vec::with_capacity(n),
        };
        state.load(shop, order);
        state
    }

    /// Becomes the schedule of another order.
    pub fn load(&mut self, shop: &Shop, order: &[u32]) {
        self.order.copy_from_slice(order);
        let mut next = shop.offset.clone();
        for (rank, x) in order.iter().enumerate() {
            self.rank[*x as usize] = index(rank);
            let place = &mut next[shop.machine[*x as usize] as usize];
            self.sequence[*place as usize] = *x;
            self.place[*x as usize] = *place;
            *place += 1;
        }
        for m in 0..shop.machines() {
            let (from, to) = (shop.offset[m] as usize, shop.offset[m + 1] as usize);
            self.link(shop, from, to, shop.none, shop.none);
        }
        self.heads(shop, 0);
        self.tails(shop, self.order.len());
    }

    /// When each operation starts.
    #[inline]
    pub fn start(&self, x: u32) -> i32 {
        self.ends[x as usize] - self.nodes[x as usize].duration
    }

    /// Makes the operations of `sequence[from..to]` neighbours, with `before` and `after` at the ends.
    fn link(&mut self, shop: &Shop, from: usize, to: usize, before: u32, after: u32) {
        let mut last = before;
        for place in from..to {
            let x = self.sequence[place];
            self.place[x as usize] = index(place);
            self.nodes[x as usize].before = last;
            if last != shop.none {
                self.nodes[last as usize].after = x;
            }
            last = x;
        }
        if last != shop.none {
            self.nodes[last as usize].after = after;
        }
        if after != shop.none {
            self.nodes[after as usize].before = last;
        }
    }

    /// Heads of the operations from a rank on.
    #[inline]
    fn heads(&mut self, shop: &Shop, from: usize) {
        let (nodes, ends) = (&self.nodes, &mut self.ends);
        for x in &self.order[from..] {
            let node = &nodes[*x as usize];
            let on_machine = ends[node.before as usize] + shop.setup(node.before, *x);
            let start = ends[node.job_before as usize].max(on_machine).max(node.release);
            ends[*x as usize] = start + node.duration;
        }
    }

    /// Tails of the operations below a rank.
    #[inline]
    fn tails(&mut self, shop: &Shop, below: usize) {
        let (nodes, tails) = (&self.nodes, &mut self.tails);
        for x in self.order[..below].iter().rev() {
            let node = &nodes[*x as usize];
            let on_machine = tails[node.after as usize] + shop.setup(*x, node.after);
            tails[*x as usize] = tails[node.job_after as usize].max(on_machine) + node.duration;
        }
    }

    /// Makes a move that keeps the schedule feasible ([`State::is_safe`]) and computes heads and tails.
    pub fn apply(&mut self, shop: &Shop, change: Move) {
        let (low, high) = self.shift(shop, change);
        self.heads(shop, low);
        self.tails(shop, high + 1);
    }

    /// Makes a move and computes heads only, for a search that needs no tails.
    pub fn apply_heads(&mut self, shop: &Shop, change: Move) {
        let (low, _) = self.shift(shop, change);
        self.heads(shop, low);
    }

    /// Changes sequence and topological order; returns the ranks between which the order changed.
    fn shift(&mut self, shop: &Shop, change: Move) -> (usize, usize) {
        let (a, b) = change.span();
        let (low, high) = (self.rank[self.sequence[a] as usize], self.rank[self.sequence[b] as usize]);
        let (low, high) = (low as usize, high as usize);
        let before = self.nodes[self.sequence[a] as usize].before;
        let after = self.nodes[self.sequence[b] as usize].after;
        let moved = self.sequence[change.from as usize];
        let forward = change.from < change.to;
        if forward {
            self.sequence[a..=b].rotate_left(1);
        } else {
            self.sequence[a..=b].rotate_right(1);
        }
        self.link(shop, a, b + 1, before, after);
        // Between the two ranks, what depends on the moved operation goes behind the rest (forward), or
        // what it depends on goes before the rest (back).
        self.scratch.clear();
        self.marked[moved as usize] = true;
        let mut write = if forward { low } else { high };
        for step in 0..=(high - low) {
            let rank = if forward { low + step } else { high - step };
            let x = self.order[rank];
            let node = &self.nodes[x as usize];
            let (one, two) = match forward {
                true => (node.job_before, node.before),
                false => (node.job_after, node.after),
            };
            // The moved operation's own neighbour stands beyond the part, or is not marked.
            if x == moved || self.marked[one as usize] || self.marked[two as usize] {
                self.marked[x as usize] = true;
                self.scratch.push(x);
            } else {
                self.order[write] = x;
                self.rank[x as usize] = index(write);
                write = if forward { write + 1 } else { write.wrapping_sub(1) };
            }
        }
        for x in &self.scratch {
            self.marked[*x as usize] = false;
            self.order[write] = *x;
            self.rank[*x as usize] = index(write);
            write = if forward { write + 1 } else { write.wrapping_sub(1) };
        }
        (low, high)
    }

    /// Whether the move leaves no cycle. Without setups it may refuse some moves that would be none.
    ///
    /// Forward, `u` behind `v`: a cycle needs a path from u's successor in the job to v, and then that
    /// successor's tail is at least v's and its own duration. Back, `v` before `u`: likewise with
    /// heads. (Balas & Vazacopoulos, "Guided local search with shifting bottleneck for job shop
    /// scheduling", Management Science 44, 1998, propositions 2.2 and 2.3.) With setups a critical arc can
    /// be longer than a path beside it, so what these refuse is looked at path by path.
    #[inline]
    pub fn is_safe(&self, shop: &Shop, change: Move) -> bool {
        let (x, end) = (self.sequence[change.from as usize], self.sequence[change.to as usize]);
        let node = &self.nodes[x as usize];
        let forward = change.from < change.to;
        let (beside, quick) = if forward {
            let next = node.job_after;
            let shorter =
                self.tails[next as usize] < self.nodes[next as usize].duration + self.tails[end as usize];
            (next, shorter)
        } else {
            let last = node.job_before;
            (last, self.start(last) < self.ends[end as usize])
        };
        if beside == shop.none {
            return true;
        }
        if beside == end {
            return false;
        }
        let (from, to) = if forward { (beside, end) } else { (end, beside) };
        quick || shop.has_setups() && !self.reaches(shop, from, to)
    }

    /// Whether there is a path.
    fn reaches(&self, shop: &Shop, from: u32, to: u32) -> bool {
        let (low, high) = (self.rank[from as usize] as usize, self.rank[to as usize] as usize);
        if high < low {
            return false;
        }
        let mut reached = vec![false; high - low + 1];
        for (i, x) in self.order[low..=high].iter().enumerate() {
            let node = &self.nodes[*x as usize];
            reached[i] = *x == from
                || [node.job_before, node.before].into_iter().any(|before| {
                    before != shop.none
                        && self.rank[before as usize] as usize >= low
                        && reached[self.rank[before as usize] as usize - low]
                });
        }
        reached[high - low]
    }
}
