//! Leaving without losing a call: the handle that starts it, and its phases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Starts and shows a drain; clones share it.
#[derive(Clone, Debug)]
pub struct Drain(Arc<State>);

#[derive(Debug)]
struct State {
    phase: watch::Sender<Phase>,
    /// The last phase again: calls ask for it each time they wait.
    cut: AtomicBool,
}

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
        Self(Arc::new(State { phase: watch::Sender::new(Phase::Serving), cut: AtomicBool::new(false) }))
    }

    /// Starts the drain. The second time it does nothing.
    pub fn start(&self) {
        self.advance(Phase::Leaving);
    }

    /// The drain has begun: health says NOT_SERVING.
    #[must_use]
    pub fn is_started(&self) -> bool {
        *self.0.phase.borrow() >= Phase::Leaving
    }

    /// The grace is over: what is in flight ends now, and was not left by its client.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// Waits for the drain to begin.
    pub async fn started(&self) {
        // The sender lives in `self`, so the wait can't fail.
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase >= Phase::Leaving).await;
    }

    pub(super) fn advance(&self, to: Phase) {
        if to == Phase::Cut {
            self.0.cut.store(true, Ordering::Release);
        }
        self.0.phase.send_if_modified(|phase| {
            let moves = *phase < to;
            if moves {
                *phase = to;
            }
            moves
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}
