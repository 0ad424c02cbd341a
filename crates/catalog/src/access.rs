//! What a caller may see and call; asked by the gateway's admission, reflection and the catalog service
//! alike, so that they agree.

use std::sync::Arc;

use oaas_model::Reason;

use crate::callers::{Application, Role, Subscription, SubscriptionState};
use crate::service::{MethodEntry, ServiceEntry, Visibility};
use crate::snapshot::{Plan, Snapshot};

/// A call that may be made.
#[derive(Clone, Debug)]
pub struct Access {
    /// Under which plan; none where no subscription is needed (the platform's own services).
    pub plan: Option<Arc<Plan>>,
}

/// A call that may not be made, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// METHOD_UNKNOWN, CREDENTIALS_MISSING or one of the subscription reasons.
    pub reason: Reason,
}

impl Snapshot {
    /// Whether `caller` (none: anonymous) may learn that `service` exists.
    #[must_use]
    pub fn visible(&self, service: &ServiceEntry, caller: Option<&Application>) -> bool {
        match (service.visibility, caller) {
            (Visibility::Public, _) => true,
            (_, None) => false,
            (Visibility::Internal, Some(_)) => true,
            (Visibility::Private, Some(caller)) => {
                caller.subscriptions.contains_key(&service.name) || caller.roles.contains(&Role::Operator)
            }
            (Visibility::Operators, Some(caller)) => caller.roles.contains(&Role::Operator),
        }
    }

    /// Whether `caller` may call `method` at `unix_ms`, and under which plan.
    ///
    /// # Errors
    /// The refusal that the caller gets. What may not be seen is METHOD_UNKNOWN, as if it weren't there.
    pub fn access(&self, method: &MethodEntry, caller: &Application, unix_ms: i64) -> Result<Access, Denied> {
        let denied = |reason| Err(Denied { reason });
        let Some(service) = self.service(&method.service) else {
            return denied(Reason::MethodUnknown);
        };
        if !self.visible(service, Some(caller)) {
            return denied(Reason::MethodUnknown);
        }
        let Some(subscription) = caller.subscription(service) else {
            return match service.visibility {
                // The platform's own services and what is public need no subscription.
                Visibility::Operators | Visibility::Public => Ok(Access { plan: None }),
                _ => denied(Reason::SubscriptionRequired),
            };
        };
        if let Some(reason) = not_in_force(subscription, unix_ms) {
            return denied(reason);
        }
        let Some(plan) = self.plans.get(&subscription.plan) else {
            return denied(Reason::SubscriptionRequired);
        };
        match plan.methods.get(&service.name) {
            Some(methods) if !methods.contains(&method.name) => denied(Reason::MethodNotInPlan),
            _ => Ok(Access { plan: Some(Arc::clone(plan)) }),
        }
    }
}

fn not_in_force(subscription: &Subscription, unix_ms: i64) -> Option<Reason> {
    match subscription.state {
        SubscriptionState::Pending => Some(Reason::SubscriptionPending),
        SubscriptionState::Suspended => Some(Reason::SubscriptionSuspended),
        SubscriptionState::Active => subscription
            .expires_unix_ms
            .filter(|expires| *expires <= unix_ms)
            .map(|_| Reason::SubscriptionExpired),
    }
}
