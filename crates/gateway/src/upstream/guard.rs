//! What a call holds while it is on an endpoint: its place, and the judgement on how it went.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use oaas_model::{Code, Timestamp};

use super::connection::Slot;
use super::eject::{self, EjectionRule};
use super::endpoint::Endpoint;
use super::error::Phase;
use super::pool::Shared;
use super::reset;
use crate::outcome::status_in;

/// What a call holds while it is on an endpoint.
pub(super) struct CallGuard {
    shared: Arc<Shared>,
    endpoint: Arc<Endpoint>,
    slot: Slot,
    started: Timestamp,
    answered: bool,
    judged: bool,
}

impl CallGuard {
    /// Counts a call that starts at `started`.
    pub(super) fn new(
        shared: &Arc<Shared>,
        endpoint: &Arc<Endpoint>,
        slot: Slot,
        started: Timestamp,
    ) -> Self {
        endpoint.load.start();
        Self {
            shared: Arc::clone(shared),
            endpoint: Arc::clone(endpoint),
            slot,
            started,
            answered: false,
            judged: false,
        }
    }

    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(super) fn started(&self) -> Timestamp {
        self.started
    }

    pub(super) fn sender(&mut self) -> &mut h2::client::SendRequest<bytes::Bytes> {
        &mut self.slot.sender
    }

    /// The response's head is there.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        let now = self.shared.clock.now();
        self.endpoint.load.observe(now.since(self.started), now);
    }

    /// Judges by a head; one that is followed by a body is judged at its end.
    pub(super) fn judge_head(&mut self, unavailable: bool, last: bool) {
        if unavailable {
            self.failed();
        } else if last {
            self.succeeded();
        }
    }

    pub(super) fn judge_trailers(&mut self, trailers: &HeaderMap) {
        if status_in(trailers) == Some(Code::Unavailable) { self.failed() } else { self.succeeded() }
    }

    pub(super) fn judge_error(&mut self, error: &h2::Error) {
        self.judge_phase(reset::phase(error).0);
    }

    /// Judges a failure of the transport. Cancelling is no fault, nor is going away in order.
    pub(super) fn judge_phase(&mut self, phase: Phase) {
        let cancel = Phase::Reset(u32::from(h2::Reason::CANCEL));
        if matches!(phase, Phase::Reset(_) | Phase::Lost) && phase != cancel {
            self.failed();
        }
    }

    pub(super) fn succeeded(&mut self) {
        if !std::mem::replace(&mut self.judged, true) {
            self.endpoint.succeeded();
        }
    }

    fn failed(&mut self) {
        if std::mem::replace(&mut self.judged, true) {
            return;
        }
        let Shared { config, clock, endpoints, .. } = &*self.shared;
        let now = clock.now();
        self.answered = true;
        self.endpoint.load.observe(now.since(self.started).max(config.failure_penalty), now);
        let ejected = endpoints.iter().filter(|endpoint| endpoint.is_ejected(now)).count();
        let room = eject::room(endpoints.len(), ejected, config.eject_share_percent);
        let rule = EjectionRule { after: config.eject_after, base: config.eject_base, max: config.eject_max };
        if self.endpoint.failed(rule, room, now) {
            tracing::warn!(endpoint = %self.endpoint.target.name, "upstream endpoint ejected");
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        if !self.answered {
            // Given up while it waited: the endpoint is at least as slow as that, or gone.
            let now = self.shared.clock.now();
            let waited = now.since(self.started);
            if waited > self.endpoint.load.latency() {
                self.endpoint.load.observe(waited, now);
            }
            self.slot.doubt();
        }
        self.endpoint.load.finish();
        self.slot.release();
        if self.shared.waiting.load(Ordering::Acquire) > 0 {
            self.shared.changed.notify_one();
        }
    }
}
