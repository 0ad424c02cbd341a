//! The circuit breaker: is this capability healthy enough to be called?
//!
//! Closed lets all calls through and watches them; a trip opens it; after a while it is half-open and
//! lets a few probes through; when they fare well it ramps up to all calls again. Two breakers stand
//! before each call, one of the service and one of the (service, application) pair; [`Gates`] asks
//! both. Everything here takes the time as an argument and does no IO.
//!
//! # One application can't trip the breaker for the others
//!
//! Three things together: a call that the application's own breaker refuses never reaches the
//! service's; what a client caused counts for nothing ([`classify`]); and the service's breaker stays
//! as it is while one application alone is to blame: when it made at least 80 % of the failures, and
//! the other callers' calls in the evidence are at least `probes` and within the limit by themselves
//! (seven hard failures in a row of one application are held likewise). The same is asked of the
//! probes of a half-open breaker. A service whose only caller sees it fail has nobody to speak for it
//! and trips; one that fails for two applications has no one to blame and trips.

mod classify;
mod gates;
mod policy;
mod probing;
mod registry;
mod state;
mod tally;
mod transition;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oaas_model::Timestamp;
use parking_lot::Mutex;

pub use classify::{Ending, Sample, classify};
pub use gates::{Changes, Gates, Pass, Scope};
pub use policy::{BreakerPolicy, CALLS_MIN_LIMIT};
pub use registry::{APPLICATION_BREAKERS_MAX, Breakers};
pub use transition::{Cause, Mode, State, Transition};

use state::{Core, Passage};

/// The breaker of one key. Cheap to share; its lock is held for well under a microsecond, and a closed
/// breaker admits without it.
#[derive(Debug)]
pub struct Breaker {
    core: Arc<Mutex<Core>>,
    /// Generation of the permits that a closed breaker gives; 0 while it isn't closed.
    door: AtomicU64,
}

/// The answer to a call that asks to pass.
#[derive(Debug)]
pub enum Admission {
    /// It may; the permit comes back with the call's end.
    Allowed(Permit),
    /// It may not.
    Refused(Refused),
}

/// Why a call may not pass, with the numbers that the refusal names.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// State of the breaker.
    pub state: State,
    /// What tripped it last.
    pub cause: Cause,
    /// When to try again: the time to half-open, or a guess where there is no such time.
    pub retry_after: Duration,
    /// The share that was too large at the trip: of timeouts where they were the cause, else of
    /// errors. 0 to 1.
    pub error_rate: f64,
    /// The limit of that share. 0 to 1.
    pub threshold: f64,
    /// Calls in the evidence at the trip.
    pub calls: u64,
}

/// The right to make one call. Dropped without a record, it gives a probe's slot back and counts for
/// nothing.
#[derive(Debug)]
#[must_use = "a call's end is recorded with its permit"]
pub struct Permit {
    generation: u64,
    caller: u32,
    slot: Option<ProbeSlot>,
}

/// One of the calls that a half-open breaker has in flight.
#[derive(Debug)]
struct ProbeSlot {
    core: Arc<Mutex<Core>>,
    generation: u64,
    held: bool,
}

impl ProbeSlot {
    /// Leaves the slot to be settled by a record.
    fn settle(mut self) {
        self.held = false;
    }
}

impl Drop for ProbeSlot {
    fn drop(&mut self) {
        if self.held {
            self.core.lock().probe_gone(self.generation);
        }
    }
}

/// A breaker as people and metrics see it.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerSnapshot {
    /// State. An open breaker whose time is over stays open until the next call comes to probe it.
    pub state: State,
    /// How it is run.
    pub mode: Mode,
    /// Calls in the evidence; of an open or half-open breaker the evidence of its trip.
    pub calls: u64,
    /// Errors among them.
    pub errors: u64,
    /// Timeouts among them.
    pub timeouts: u64,
    /// When it lets the first probe through; nothing when it isn't open, or is forced open.
    pub half_open_at: Option<Timestamp>,
    /// What tripped it last; nothing when it is closed.
    pub cause: Option<Cause>,
    /// How often it has tripped since it was made.
    pub trips: u64,
}

impl Breaker {
    /// A closed breaker; `seed` makes the jitter of its open times.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let core = Core::new(seed);
        let door = AtomicU64::new(core.door());
        Self { core: Arc::new(Mutex::new(core)), door }
    }

    /// Asks for one call to pass, at `now`, without saying whose. All such calls count as one
    /// application's, so nobody is to blame apart.
    pub fn admit(&self, policy: &BreakerPolicy, now: Timestamp) -> (Admission, Option<Transition>) {
        self.admit_caller(policy, 0, now)
    }

    /// Asks for one call of `application` to pass, at `now`.
    pub fn admit_for(
        &self,
        policy: &BreakerPolicy,
        application: &str,
        now: Timestamp,
    ) -> (Admission, Option<Transition>) {
        self.admit_caller(policy, gates::caller(application), now)
    }

    fn admit_caller(
        &self,
        policy: &BreakerPolicy,
        caller: u32,
        now: Timestamp,
    ) -> (Admission, Option<Transition>) {
        let generation = self.door.load(Ordering::Acquire);
        if generation != 0 {
            return (Admission::Allowed(Permit { generation, caller, slot: None }), None);
        }
        let mut core = self.core.lock();
        let (passage, transition) = core.admit(policy, now);
        self.door.store(core.door(), Ordering::Release);
        let generation = core.generation();
        let admission = match passage {
            Passage::Counted => Admission::Allowed(Permit { generation, caller, slot: None }),
            Passage::Probe => {
                let slot = ProbeSlot { core: Arc::clone(&self.core), generation, held: true };
                Admission::Allowed(Permit { generation, caller, slot: Some(slot) })
            }
            Passage::Uncounted => Admission::Allowed(Permit { generation: 0, caller, slot: None }),
            Passage::Refused(refused) => Admission::Refused(refused),
        };
        (admission, transition)
    }

    /// The refusal that every call would get now, without asking for one to pass: the breaker is open
    /// and its time is not over.
    #[must_use]
    pub fn refusal(&self, policy: &BreakerPolicy, now: Timestamp) -> Option<Refused> {
        if self.door.load(Ordering::Acquire) != 0 {
            return None;
        }
        self.core.lock().refusal(policy, now)
    }

    /// Records how a call ended. A late result, of a call that was let through before the breaker last
    /// changed its state, counts for nothing.
    pub fn record(
        &self,
        policy: &BreakerPolicy,
        mut permit: Permit,
        sample: Sample,
        now: Timestamp,
    ) -> Option<Transition> {
        if let Some(slot) = permit.slot.take() {
            slot.settle();
        }
        let mut core = self.core.lock();
        let transition = core.record(policy, permit.generation, permit.caller, sample, now);
        self.door.store(core.door(), Ordering::Release);
        transition
    }

    /// Takes back the permit of a call that ended with no judgement; dropping it does the same.
    pub fn give_back(&self, permit: Permit) {
        drop(permit);
    }

    /// Sets by hand how the breaker is run. From forced open back to automatic, the next call is a
    /// probe.
    pub fn force(&self, mode: Mode, now: Timestamp) -> Option<Transition> {
        let mut core = self.core.lock();
        let transition = core.force(mode, now);
        self.door.store(core.door(), Ordering::Release);
        transition
    }

    /// Whether it lets every call through, by hand, whatever the evidence.
    #[must_use]
    pub fn passes_all(&self) -> bool {
        matches!(self.core.lock().mode(), Mode::ForcedClosed | Mode::Observe)
    }

    /// The breaker at `now`.
    #[must_use]
    pub fn snapshot(&self, policy: &BreakerPolicy, now: Timestamp) -> BreakerSnapshot {
        self.core.lock().snapshot(policy, now)
    }

    /// Whether nothing would be lost if this breaker were forgotten: closed, run automatically, and
    /// the last call recorded before `before_ns` on the steady clock. Says when that was.
    fn idle_since(&self, before_ns: u64) -> Option<u64> {
        let core = self.core.lock();
        core.is_plain().then(|| core.touched_ns()).filter(|touched| *touched < before_ns)
    }
}
