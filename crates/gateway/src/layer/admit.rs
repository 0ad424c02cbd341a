//! Is it in the catalog, visible to and subscribed by this caller? UNIMPLEMENTED / PERMISSION_DENIED.

use std::sync::Arc;

use http::Request;
use oaas_model::Reason;

use crate::Body;
use crate::call::Call;
use crate::gate::Gate;
use crate::rejection::{Rejection, Retry};

/// Admits calls that the catalog lets this caller make.
#[derive(Clone, Copy, Debug)]
pub struct Admit;

impl Gate for Admit {
    fn decide(&self, call: &Arc<Call>, _: &mut Request<Body>) -> Result<(), Box<Rejection>> {
        // Unknown and hidden must read the same, so both are refused here with the same words.
        let Some(entry) = call.entry() else {
            return Err(denied(call, Reason::MethodUnknown));
        };
        let plan = match call.application() {
            Some(application) => {
                call.snapshot()
                    .access(entry, application, call.arrived.unix_ms())
                    .map_err(|refused| denied(call, refused.reason))?
                    .plan
            }
            // Without a credential only what the catalog opens to everybody came this far.
            None => None,
        };
        call.decided("admit", plan.as_ref().map_or("open", |_| "subscribed"), &[]);
        if let Some(plan) = plan {
            call.admitted(plan);
        }
        Ok(())
    }
}

fn denied(call: &Call, reason: Reason) -> Box<Rejection> {
    let (path, service) = (call.path(), call.service_name());
    let message = match reason {
        Reason::MethodUnknown => format!("method {path} is not known"),
        Reason::SubscriptionPending => format!("the subscription to {service} waits for its approval"),
        Reason::SubscriptionSuspended => format!("the subscription to {service} is suspended"),
        Reason::SubscriptionExpired => format!("the subscription to {service} has expired"),
        Reason::MethodNotInPlan => format!("the plan of the subscription does not cover {path}"),
        _ => format!("no subscription to {service}"),
    };
    let mut rejection = Rejection::new(reason, "admit", message).retry(Retry::Never);
    if reason != Reason::MethodUnknown {
        rejection.resource = Some(("oaas.catalog.v1.Service", service.to_owned()));
    }
    Box::new(rejection)
}
