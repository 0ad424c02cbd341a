//! What the end of a call means for what it took: one rule for the gateway, which settles at once, and
//! for the journal, which is read later.

use oaas_audit::{OutcomeView, WrittenOffView};
use oaas_proto::oaas::audit::v1::Outcome;

use crate::Settle;

/// How a call ended, as far as meters care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// gRPC status code, 0 to 16.
    pub status: u32,
    /// Whether the capability did the work; `None` when nobody knows.
    pub executed: Option<bool>,
    /// Whether the answer was a degraded one.
    pub degraded: bool,
}

impl Ended {
    /// A call that was refused before it was made.
    pub const REFUSED: Self = Self { status: 0, executed: Some(false), degraded: false };

    /// The end that an outcome tells of.
    pub(crate) fn of_outcome(outcome: &OutcomeView<'_>) -> Self {
        Self { status: outcome.status, executed: executed(outcome.executed), degraded: outcome.degraded }
    }

    /// The end that is written of calls whose end nobody saw.
    pub(crate) fn of_written_off(calls: &WrittenOffView<'_>) -> Self {
        Self { status: 0, executed: executed(calls.executed), degraded: false }
    }

    /// Money may have moved unless it certainly did not: the work was not done, or it failed.
    #[must_use]
    pub fn settle(&self) -> Settle {
        match self.executed {
            Some(false) => Settle::Released,
            Some(true) if self.status != 0 => Settle::Released,
            _ => Settle::Spent,
        }
    }

    /// Whether the call was never made and so is given back. A degraded answer is one that was used.
    #[must_use]
    pub fn gives_quota_back(&self) -> bool {
        self.executed == Some(false) && !self.degraded
    }
}

impl From<&Outcome> for Ended {
    fn from(outcome: &Outcome) -> Self {
        Self {
            status: outcome.status,
            executed: executed(outcome.executed.as_bytes()),
            degraded: outcome.degraded,
        }
    }
}

/// Reads the record's word; "unknown", and any that is not known here, is nobody's knowledge.
fn executed(word: &[u8]) -> Option<bool> {
    match word {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}
