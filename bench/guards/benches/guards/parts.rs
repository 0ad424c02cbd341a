//! The parts of a call that are counted by themselves: journal, breaker, limiter, catalog.

use std::hint::black_box;
use std::sync::Arc;

use oaas_audit::Journal;
use oaas_audit::draft::{Head, Intent, Outcome, Step};
use oaas_gateway::breaker::{BreakerPolicy, Breakers, Sample};
use oaas_model::{Clock as _, ManualClock};
use tempfile::TempDir;

use crate::OPERATIONS;
use crate::governed::{APPLICATION, BETWEEN, Governed, METHOD, SERVICE, journal, sync};

/// The two records of a call, as drafts.
pub struct Records {
    journal: Journal,
    clock: Arc<ManualClock>,
    calls: u64,
    _folder: TempDir,
}

impl Records {
    pub fn new() -> Self {
        let (journal, clock, folder) = journal();
        let mut records = Self { journal, clock, calls: 0, _folder: folder };
        for _ in 0..2 {
            records.append_all();
            sync(&records.journal);
        }
        records
    }

    /// An intent and its outcome, each time.
    pub fn append_all(&mut self) {
        for _ in 0..OPERATIONS {
            self.clock.advance(BETWEEN);
            self.calls += 1;
            self.append(u128::from(self.calls).to_be_bytes());
        }
    }

    fn append(&self, call_id: [u8; 16]) {
        let head = Head {
            call_id,
            application: APPLICATION,
            method: METHOD,
            catalog_version: "c-0123456789ab",
            plan: "guards",
            peer: "127.0.0.1:50412",
            ..Head::default()
        };
        let decisions = [
            Step::new("authenticate", "allowed", &[]),
            Step::new("rate_limit", "allowed", &[("in_flight", 1.0), ("concurrency", 20_000.0)]),
            Step::new("breaker", "allowed", &[]),
            Step::new("quota", "allowed", &[("remaining", 999_999.0)]),
        ];
        let intent = Intent { head, decisions: &decisions, deadline_ms: 5_000, stakes: &[] };
        self.journal.append(intent).unwrap();
        let outcome = Outcome {
            head,
            origin: "upstream",
            executed: "true",
            endpoint: "local",
            attempts: 1,
            elapsed_us: 57,
            request_messages: 1,
            request_bytes: 90,
            response_messages: 1,
            response_bytes: 90,
            units: 1,
            ..Outcome::default()
        };
        self.journal.append(outcome).unwrap();
    }
}

/// The two breakers of a healthy call.
pub struct Healthy {
    breakers: Breakers,
    policy: BreakerPolicy,
    clock: ManualClock,
}

impl Healthy {
    pub fn new() -> Self {
        let clock = ManualClock::at_unix_ns(0);
        let mut healthy = Self { breakers: Breakers::new(7), policy: BreakerPolicy::default(), clock };
        healthy.pass_all();
        healthy
    }

    /// Looked up, asked, and told that the call ended well.
    pub fn pass_all(&mut self) {
        for _ in 0..OPERATIONS {
            self.clock.advance(BETWEEN);
            let now = self.clock.now();
            let gates = self.breakers.gates(SERVICE, Some(APPLICATION));
            let (pass, _) = gates.admit(&self.policy, now);
            black_box(gates.record(&self.policy, pass.unwrap(), Sample::Success, now));
        }
    }
}

/// Rate and calls at once, of a caller that is within both.
pub fn limit_all(governed: &Governed) {
    let shared = governed.gateway().shared();
    let bound = shared.bound.load();
    let application = &bound.snapshot.callers.applications[APPLICATION];
    let plan = &bound.snapshot.plans["guards"];
    for _ in 0..OPERATIONS {
        let limiter = shared.limits.of(&application.id, SERVICE, plan.rate, plan.concurrency);
        black_box(limiter.rate(shared.clock.now()));
        black_box(limiter.enter());
        limiter.leave();
    }
}

/// The method by its path, and what the caller may do with it.
pub fn look_up_all(governed: &Governed) {
    let shared = governed.gateway().shared();
    let bound = shared.bound.load();
    let application = &bound.snapshot.callers.applications[APPLICATION];
    let unix_ms = shared.clock.now().unix_ms();
    for _ in 0..OPERATIONS {
        let method = bound.method(black_box(METHOD)).unwrap();
        black_box(bound.snapshot.access(&method.entry, application, unix_ms).unwrap());
    }
}
