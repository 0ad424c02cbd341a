//! Leaving without losing a call: the handle that starts it, and its phases.

use std::sync::Arc;

use tokio::sync::watch;

/// Starts and shows a drain; clones share it.
#[derive(Clone, Debug)]
pub struct Drain(Arc<watch::Sender<Phase>>);

/// Where the edge is on its way out. Only ever moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// As always.
    Serving,
    /// Connections are still accepted, while balancers learn of it.
    Leaving,
    /// No more connections; those that are open were told to go away.
    GoingAway,
    /// The grace is over: what is in flight ends now.
    Cut,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that were open when clients were told to go away.
    pub connections: usize,
    /// Calls that were in flight then.
    pub calls: usize,
    /// Calls that did not finish within the grace; they heard UNAVAILABLE with a pushback.
    pub calls_cut: usize,
}

impl Drain {
    /// A handle for a server that serves.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    /// Starts the drain. The second time it does nothing.
    pub fn start(&self) {
        self.advance(Phase::Leaving);
    }

    /// The drain has begun: health says NOT_SERVING.
    #[must_use]
    pub fn is_started(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// The grace is over: a call whose body is dropped now was cut by us, not by its client.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        *self.0.borrow() >= Phase::Cut
    }

    /// Waits for the drain to begin.
    pub async fn started(&self) {
        // The sender lives in `self`, so the wait can't fail.
        let _ = self.0.subscribe().wait_for(|phase| *phase >= Phase::Leaving).await;
    }

    pub(super) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let moves = *phase < to;
            if moves {
                *phase = to;
            }
            moves
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}
