//! The two records of a call as drafts: they borrow what they say from the call, and their bytes are made
//! without an allocation. Fields, units and examples are those of the messages in `record.proto`.

mod encode;
#[cfg(test)]
mod tests;

use crate::record;

/// Most numbers of one step; the breaker's refusal has as many.
pub const NUMBERS_MAX: usize = 4;

/// Who called what ([`record::CallHead`]). What is empty or `None` is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// UUIDv7.
    pub call_id: [u8; 16],
    /// Application of the caller; empty when it was not established.
    pub application: &'a str,
    /// On whose behalf; empty when the credential does not say.
    pub on_behalf_of: &'a str,
    /// Canonical method path.
    pub method: &'a str,
    /// Catalog version that decided.
    pub catalog_version: &'a str,
    /// Plan of the subscription; empty when none was reached.
    pub plan: &'a str,
    /// Peer address.
    pub peer: &'a str,
    /// W3C trace id.
    pub trace_id: Option<[u8; 16]>,
    /// Digest of the idempotency key, its first 16 bytes.
    pub idempotency_key_digest: Option<[u8; 16]>,
}

/// What one stage decided ([`record::Decision`]). Made and copied without an allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    stage: &'static str,
    verdict: &'static str,
    /// The first `count`, sorted by name, each name once.
    numbers: [(&'static str, f64); NUMBERS_MAX],
    count: usize,
}

impl Step {
    /// A step with its numbers, in any order; of two with the same name the later one counts. More than
    /// [`NUMBERS_MAX`] don't compile.
    #[must_use]
    pub fn new<const N: usize>(
        stage: &'static str,
        verdict: &'static str,
        numbers: &[(&'static str, f64); N],
    ) -> Self {
        const { assert!(N <= NUMBERS_MAX, "more numbers than a step has room for") };
        let mut step = Self { stage, verdict, numbers: [("", 0.0); NUMBERS_MAX], count: 0 };
        numbers.iter().for_each(|number| step.put(*number));
        step
    }

    fn put(&mut self, number: (&'static str, f64)) {
        match self.numbers().binary_search_by_key(&number.0, |(name, _)| name) {
            Ok(at) => self.numbers.iter_mut().skip(at).take(1).for_each(|place| *place = number),
            Err(at) => {
                self.count += 1;
                if let Some(moved) = self.numbers.get_mut(at..self.count) {
                    moved.rotate_right(1);
                    moved.iter_mut().take(1).for_each(|place| *place = number);
                }
            }
        }
    }

    /// The stage.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        self.stage
    }

    /// What it decided.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        self.verdict
    }

    /// Its numbers, sorted by name.
    #[must_use]
    pub fn numbers(&self) -> &[(&'static str, f64)] {
        self.numbers.get(..self.count).unwrap_or_default()
    }
}

/// The word that a call will be made ([`record::Intent`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Intent<'a> {
    /// Who calls what.
    pub head: Head<'a>,
    /// What the stages above decided.
    pub decisions: &'a [Step],
    /// Deadline that the upstream gets, milliseconds; 0 means none.
    pub deadline_ms: u32,
    /// Money that the request puts at stake.
    pub stakes: &'a [record::Stake],
}

/// How a call ended ([`record::Outcome`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome<'a> {
    /// Who called what.
    pub head: Head<'a>,
    /// gRPC status code, 0 to 16.
    pub status: u32,
    /// Refusal reason when the gateway made the status, else empty.
    pub reason: &'a str,
    /// Who made the status: "upstream" or "gateway".
    pub origin: &'a str,
    /// Whether the capability did the work: "true", "false" or "unknown".
    pub executed: &'a str,
    /// Whether the answer was a degraded one.
    pub degraded: bool,
    /// Upstream endpoint.
    pub endpoint: &'a str,
    /// Attempts made, 1 without retries.
    pub attempts: u32,
    /// From the first header byte to the end of the answer, microseconds.
    pub elapsed_us: u64,
    /// Request messages.
    pub request_messages: u64,
    /// Request bytes, payloads alone.
    pub request_bytes: u64,
    /// Response messages.
    pub response_messages: u64,
    /// Response bytes, payloads alone.
    pub response_bytes: u64,
    /// Digest of the request, its first 16 bytes; or empty.
    pub request_digest: &'a [u8],
    /// Digest of the response, its first 16 bytes; or empty.
    pub response_digest: &'a [u8],
    /// Units to charge.
    pub units: u64,
    /// Price of the call, millionths of the currency's major unit.
    pub price_micros: i64,
    /// ISO 4217 code of the price; empty when free.
    pub currency: &'a str,
    /// What the stages that judge at the end decided.
    pub decisions: &'a [Step],
}

impl From<&Head<'_>> for record::CallHead {
    fn from(head: &Head<'_>) -> Self {
        Self {
            call_id: head.call_id.to_vec(),
            application: head.application.to_owned(),
            on_behalf_of: head.on_behalf_of.to_owned(),
            method: head.method.to_owned(),
            catalog_version: head.catalog_version.to_owned(),
            plan: head.plan.to_owned(),
            peer: head.peer.to_owned(),
            trace_id: head.trace_id.map(Vec::from).unwrap_or_default(),
            idempotency_key_digest: head.idempotency_key_digest.map(Vec::from).unwrap_or_default(),
        }
    }
}

impl From<&Step> for record::Decision {
    fn from(step: &Step) -> Self {
        Self {
            stage: step.stage.to_owned(),
            verdict: step.verdict.to_owned(),
            numbers: step.numbers().iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        }
    }
}

impl From<&Intent<'_>> for record::Intent {
    fn from(intent: &Intent<'_>) -> Self {
        Self {
            head: Some((&intent.head).into()),
            decisions: intent.decisions.iter().map(Into::into).collect(),
            deadline_ms: intent.deadline_ms,
            stakes: intent.stakes.to_vec(),
        }
    }
}

impl From<&Outcome<'_>> for record::Outcome {
    fn from(outcome: &Outcome<'_>) -> Self {
        Self {
            head: Some((&outcome.head).into()),
            status: outcome.status,
            reason: outcome.reason.to_owned(),
            origin: outcome.origin.to_owned(),
            executed: outcome.executed.to_owned(),
            degraded: outcome.degraded,
            endpoint: outcome.endpoint.to_owned(),
            attempts: outcome.attempts,
            elapsed_us: outcome.elapsed_us,
            request_messages: outcome.request_messages,
            request_bytes: outcome.request_bytes,
            response_messages: outcome.response_messages,
            response_bytes: outcome.response_bytes,
            request_digest: outcome.request_digest.to_vec(),
            response_digest: outcome.response_digest.to_vec(),
            units: outcome.units,
            price_micros: outcome.price_micros,
            currency: outcome.currency.to_owned(),
            decisions: outcome.decisions.iter().map(Into::into).collect(),
        }
    }
}
