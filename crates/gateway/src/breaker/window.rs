//! The evidence of one breaker: the calls of the last 30 s, and at least the last 200 of them.
//!
//! Two memories with one purpose. The latest `calls_min` calls are kept one by one, exact to the
//! nanosecond; all calls are also counted in thirty slots of a thirtieth of the window each. When the
//! slots hold `calls_min` calls or more, they are the evidence; else the latest calls are, which then
//! contain all of the slots. So counts are always exact counts of whole calls, memory is bounded at
//! any rate, and the only granularity is the far edge of the window: a call that ended 29/30 of it
//! ago or less is in, one that ended a whole window ago is out.

use std::collections::VecDeque;

use super::policy::{BreakerPolicy, CALLS_MIN_LIMIT};
use super::tally::{Tallies, majority};

/// Slots of a window.
pub(super) const SLOTS: u64 = 30;
/// The same, as the length of an array.
pub(super) const SLOTS_LEN: usize = 30;

/// Which application made a call; zero when that is not told apart. A digest, not the name: two
/// applications that share one count as one.
pub(super) type Caller = u32;

/// What a judged call was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    Error,
    Timeout,
}

/// Numbers of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub calls: u64,
    pub errors: u64,
    pub timeouts: u64,
}

impl Counts {
    pub fn add(&mut self, verdict: Verdict) {
        self.calls = self.calls.saturating_add(1);
        match verdict {
            Verdict::Good => {}
            Verdict::Error => self.errors = self.errors.saturating_add(1),
            Verdict::Timeout => self.timeouts = self.timeouts.saturating_add(1),
        }
    }

    fn remove(&mut self, verdict: Verdict) {
        self.calls = self.calls.saturating_sub(1);
        match verdict {
            Verdict::Good => {}
            Verdict::Error => self.errors = self.errors.saturating_sub(1),
            Verdict::Timeout => self.timeouts = self.timeouts.saturating_sub(1),
        }
    }

    /// These without `other`.
    pub fn minus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(other.calls),
            errors: self.errors.saturating_sub(other.errors),
            timeouts: self.timeouts.saturating_sub(other.timeouts),
        }
    }
}

/// Counts in slots of time; the last is the current one.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    slots: [Counts; SLOTS_LEN],
    sum: Counts,
    /// Number of the current slot since the clock was made.
    head: u64,
}

impl Slots {
    pub fn at(head: u64) -> Self {
        Self { slots: [Counts::default(); SLOTS_LEN], sum: Counts::default(), head }
    }

    /// The counts of the window that ends with slot `head`.
    pub fn sum(&mut self, head: u64) -> Counts {
        self.advance(head);
        self.sum
    }

    pub fn add(&mut self, head: u64, verdict: Verdict) {
        self.advance(head);
        self.sum.add(verdict);
        if let Some(slot) = self.slots.get_mut(position(head)) {
            slot.add(verdict);
        }
    }

    fn advance(&mut self, head: u64) {
        let steps = head.saturating_sub(self.head);
        if steps >= SLOTS {
            *self = Self::at(head);
            return;
        }
        for step in 1..=steps {
            if let Some(slot) = self.slots.get_mut(position(self.head + step)) {
                self.sum = self.sum.minus(std::mem::take(slot));
            }
        }
        self.head = self.head.max(head);
    }
}

fn position(slot: u64) -> usize {
    usize::try_from(slot % SLOTS).unwrap_or_default()
}

/// One call of the latest.
#[derive(Clone, Copy, Debug)]
struct Call {
    at_ns: u64,
    caller: Caller,
    verdict: Verdict,
}

/// What of a policy gives the window its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    slot_ns: u64,
    calls_min: usize,
    age_max_ns: u64,
}

impl Shape {
    fn of(policy: &BreakerPolicy) -> Self {
        let window_ns = u64::try_from(policy.window.as_nanos()).unwrap_or(u64::MAX);
        let age_max_ns = u64::try_from(policy.age_max.as_nanos()).unwrap_or(u64::MAX);
        let calls_min = policy.calls_min.clamp(1, CALLS_MIN_LIMIT);
        Self {
            slot_ns: (window_ns / SLOTS).max(1),
            calls_min: usize::try_from(calls_min).unwrap_or(1),
            age_max_ns: age_max_ns.max(window_ns),
        }
    }
}

/// The evidence; see the head of this file.
#[derive(Debug)]
pub(super) struct Window {
    shape: Shape,
    latest: VecDeque<Call>,
    latest_sum: Counts,
    slots: Slots,
    tallies: Tallies,
    /// Latest moment seen. Callers read the clock before they wait for the lock, so that moments can
    /// arrive out of order by a little; they count as this one then.
    now_ns: u64,
}

impl Window {
    pub fn new(policy: &BreakerPolicy) -> Self {
        Self {
            shape: Shape::of(policy),
            latest: VecDeque::new(),
            latest_sum: Counts::default(),
            slots: Slots::at(0),
            tallies: Tallies::default(),
            now_ns: 0,
        }
    }

    /// Takes the shape that `policy` gives, after a reload. The slots are counted anew from the
    /// latest calls when their width has changed.
    pub fn reshape(&mut self, policy: &BreakerPolicy) {
        let shape = Shape::of(policy);
        if shape == self.shape {
            return;
        }
        let recount = shape.slot_ns != self.shape.slot_ns;
        self.shape = shape;
        self.shrink(shape.calls_min);
        if recount {
            self.slots = Slots::at(0);
            self.tallies.clear();
            for call in &self.latest {
                let slot = call.at_ns / shape.slot_ns;
                self.slots.add(slot, call.verdict);
                self.tallies.add(slot, call.caller, call.verdict);
            }
        }
    }

    /// Counts a call that ended at `now_ns`.
    pub fn add(&mut self, now_ns: u64, caller: Caller, verdict: Verdict) {
        let now_ns = self.tick(now_ns);
        self.shrink(self.shape.calls_min.saturating_sub(1));
        self.latest.push_back(Call { at_ns: now_ns, caller, verdict });
        self.latest_sum.add(verdict);
        let slot = now_ns / self.shape.slot_ns;
        self.slots.add(slot, verdict);
        self.tallies.add(slot, caller, verdict);
    }

    /// The evidence at `now_ns`.
    pub fn counts(&mut self, now_ns: u64) -> Counts {
        let now_ns = self.tick(now_ns);
        let recent = self.slots.sum(now_ns / self.shape.slot_ns);
        if recent.calls >= self.calls_min() { recent } else { self.latest_sum }
    }

    /// The part of the evidence that comes from the application with most of the failures of the kind
    /// that `failures` reads; nothing when applications are not told apart. Where no application has
    /// more than half of them, it is the part of any one.
    pub fn worst(&mut self, now_ns: u64, failures: fn(&Counts) -> u64) -> Counts {
        let now_ns = self.tick(now_ns);
        let slot = now_ns / self.shape.slot_ns;
        if self.slots.sum(slot).calls >= self.calls_min() {
            return self.tallies.worst(slot, failures);
        }
        let calls = self.latest.iter().map(|call| (call.caller, call.verdict));
        match majority(calls, failures) {
            None | Some(0) => Counts::default(),
            Some(caller) => self.share_of(now_ns, caller),
        }
    }

    /// The part of the evidence that comes from `caller`.
    pub fn share_of(&mut self, now_ns: u64, caller: Caller) -> Counts {
        let now_ns = self.tick(now_ns);
        let slot = now_ns / self.shape.slot_ns;
        if self.slots.sum(slot).calls >= self.calls_min() {
            return self.tallies.of(slot, caller);
        }
        let mut counts = Counts::default();
        for call in self.latest.iter().filter(|call| call.caller == caller) {
            counts.add(call.verdict);
        }
        counts
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.latest.clear();
        self.latest_sum = Counts::default();
        self.slots = Slots::at(0);
        self.tallies.clear();
    }

    /// Fewest calls that let the error rate speak.
    pub fn calls_min(&self) -> u64 {
        u64::try_from(self.shape.calls_min).unwrap_or(u64::MAX)
    }

    /// Moves on to `now_ns` and drops what is too old.
    fn tick(&mut self, now_ns: u64) -> u64 {
        self.now_ns = self.now_ns.max(now_ns);
        let oldest = self.now_ns.saturating_sub(self.shape.age_max_ns);
        while self.latest.front().is_some_and(|call| call.at_ns < oldest) {
            self.drop_oldest();
        }
        self.now_ns
    }

    fn shrink(&mut self, len: usize) {
        while self.latest.len() > len {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(call) = self.latest.pop_front() {
            self.latest_sum.remove(call.verdict);
        }
    }
}
