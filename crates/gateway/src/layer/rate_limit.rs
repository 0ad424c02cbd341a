//! Within the caller's rate and concurrency? RESOURCE_EXHAUSTED with the exact wait.

use std::sync::Arc;

use http::Request;
use oaas_model::Reason;

use crate::Body;
use crate::call::Call;
use crate::gate::Gate;
use crate::limits::{Limiter, Verdict};
use crate::rejection::{Rejection, Retry};

/// Refuses calls beyond the plan's rate, and beyond its calls at once.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit;

impl Gate for RateLimit {
    fn decide(&self, call: &Arc<Call>, _: &mut Request<Body>) -> Result<(), Box<Rejection>> {
        let (plan, application) = (call.plan(), call.application());
        let service = call.service_name();
        let shadow = plan.is_some_and(|plan| plan.shadow);
        let limits = &call.shared.limits;
        let limiter = match (plan, application) {
            (Some(plan), Some(application)) => {
                limits.of(&application.id, service, plan.rate, plan.concurrency)
            }
            // The platform's own services need no plan: modest limits for each application, and on each
            // method for all strangers together.
            (None, Some(application)) => limits.platform(&application.id),
            (_, None) => limits.strangers(call.path()),
        };
        if let Verdict::Wait(wait) = limiter.rate(call.arrived) {
            let limit = limiter.per_second();
            call.decided("rate_limit", verdict(shadow), &[("per_second", f64::from(limit))]);
            if !shadow {
                let message = format!("more than {limit} calls a second to this service");
                let mut rejection = Rejection::new(Reason::RateLimited, "rate_limit", message)
                    .retry(Retry::After(wait))
                    .fact("limit_per_second", limit);
                rejection.quota = Some(subject(call, "calls a second"));
                return Err(Box::new(rejection));
            }
        }
        enter(call, limiter, shadow)
    }
}

fn enter(call: &Arc<Call>, limiter: Arc<Limiter>, shadow: bool) -> Result<(), Box<Rejection>> {
    let (entered, in_flight, limit) = limiter.enter();
    call.at_end(move |_, _| limiter.leave());
    call.decided(
        "rate_limit",
        if entered { "allowed" } else { verdict(shadow) },
        &[("in_flight", f64::from(in_flight)), ("concurrency", f64::from(limit))],
    );
    if entered || shadow {
        return Ok(());
    }
    let message = format!("more than {limit} calls at once to this service");
    let mut rejection =
        Rejection::new(Reason::ConcurrencyLimited, "rate_limit", message).fact("limit_concurrency", limit);
    // No clock says when a call in flight ends; a moment is the honest hint.
    rejection.retry = Retry::After(std::time::Duration::from_millis(100));
    rejection.quota = Some(subject(call, "calls at once"));
    Err(Box::new(rejection))
}

fn verdict(shadow: bool) -> &'static str {
    if shadow { "shadow" } else { "refused" }
}

fn subject(call: &Call, what: &str) -> (String, String) {
    let application = call.application().map_or_else(|| "anonymous".to_owned(), |a| a.id.to_string());
    (format!("application:{application}"), format!("{what} to {}", call.service_name()))
}
