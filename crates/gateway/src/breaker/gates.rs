//! The two breakers before a call: the application's own and the service's.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use oaas_model::Timestamp;

use super::window::Caller;
use super::{Admission, Breaker, BreakerPolicy, Permit, Refused, Sample, Transition};

/// Whose breaker refused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The service's: everybody is refused.
    Service,
    /// The one of the service and this application.
    Application,
}

impl Scope {
    /// As refusals and metrics write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Application => "application",
        }
    }
}

/// The breakers of one call.
#[derive(Clone, Debug)]
pub struct Gates {
    pub(super) service: Arc<Breaker>,
    /// None for an anonymous caller.
    pub(super) application: Option<Arc<Breaker>>,
    pub(super) caller: Caller,
}

/// The permits of one call. Dropped without a record, it counts for nothing.
#[derive(Debug)]
#[must_use = "a call's end is recorded with its pass"]
pub struct Pass {
    service: Permit,
    application: Option<Permit>,
}

/// The changes of state that one call brought about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Changes {
    /// Of the service's breaker.
    pub service: Option<Transition>,
    /// Of the application's breaker.
    pub application: Option<Transition>,
}

impl Gates {
    /// Asks both breakers for one call to pass.
    ///
    /// An open service is seen first, so that it uses up nothing of the application's; then the
    /// application's breaker decides before the service's, so that a call that it refuses is none of
    /// the service's business.
    ///
    /// # Errors
    /// The refusal, and whose it is.
    pub fn admit(&self, policy: &BreakerPolicy, now: Timestamp) -> (Result<Pass, (Scope, Refused)>, Changes) {
        let mut changes = Changes::default();
        if let Some(mut refused) = self.service.refusal(policy, now) {
            // A call passes when both are over it, so the longer wait is the true one.
            let own = self.application.as_ref().and_then(|breaker| breaker.refusal(policy, now));
            let longer = own.map_or(refused.retry_after, |own| own.retry_after.max(refused.retry_after));
            refused.retry_after = longer;
            return (Err((Scope::Service, refused)), changes);
        }
        let mut application = None;
        if let Some(breaker) = &self.application {
            let (admission, change) = breaker.admit_caller(policy, self.caller, now);
            changes.application = change;
            match admission {
                Admission::Allowed(permit) => application = Some(permit),
                // By hand for the whole service is by hand for each of its callers.
                Admission::Refused(_) if self.service.passes_all() => {}
                Admission::Refused(refused) => return (Err((Scope::Application, refused)), changes),
            }
        }
        let (admission, change) = self.service.admit_caller(policy, self.caller, now);
        changes.service = change;
        match admission {
            Admission::Allowed(service) => (Ok(Pass { service, application }), changes),
            Admission::Refused(refused) => (Err((Scope::Service, refused)), changes),
        }
    }

    /// Records with both how the call ended.
    pub fn record(&self, policy: &BreakerPolicy, pass: Pass, sample: Sample, now: Timestamp) -> Changes {
        let mut changes = Changes::default();
        if let (Some(breaker), Some(permit)) = (&self.application, pass.application) {
            changes.application = breaker.record(policy, permit, sample, now);
        }
        changes.service = self.service.record(policy, pass.service, sample, now);
        changes
    }
}

/// The digest by which breakers tell applications apart; never 0.
pub(super) fn caller(application: &str) -> Caller {
    let digest = foldhash::quality::FixedState::default().hash_one(application);
    let [a, b, c, d, ..] = digest.to_le_bytes();
    Caller::from_le_bytes([a, b, c, d]).max(1)
}
