//! The platform's own services: health, reflection, the catalog, breakers by hand. They are in the
//! catalog like any other, and are called through the stack.

mod breakers;
mod catalog;
mod health;
mod projection;
mod reflection;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use oaas_capability::{CapabilityError, Registration};
use oaas_catalog::{Application, Snapshot};
use tonic::{Code, Request, Status};

use crate::bound::Bound;
use crate::breaker::BreakerPolicy;
use crate::call::Call;
use crate::shared::Shared;

pub use health::WATCHERS_MAX;
pub use projection::{PROJECTIONS_MAX, Projection, ProjectionError, Projections};

/// The platform's services; they hold the process weakly, because it holds them.
#[must_use]
pub fn registrations(shared: &Weak<Shared>) -> Vec<Registration> {
    let mut all =
        vec![health::registration(shared), catalog::registration(shared), breakers::registration(shared)];
    all.extend(reflection::registrations());
    all
}

/// Who asks, and by which version of the catalog: those of the very call that carries the request.
struct Asker {
    call: Arc<Call>,
    /// None: anonymous.
    application: Option<Arc<Application>>,
}

impl Asker {
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let call = request.extensions().get::<Arc<Call>>();
        let call =
            call.ok_or_else(|| Status::internal("a platform service is called through the gateway"))?;
        Ok(Self { application: call.application().cloned(), call: Arc::clone(call) })
    }

    fn snapshot(&self) -> &Snapshot {
        self.call.snapshot()
    }

    fn application(&self) -> Option<&Application> {
        self.application.as_deref()
    }
}

/// The process, while it is not being taken apart.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
fn process(shared: &Weak<Shared>) -> Result<Arc<Shared>, Status> {
    shared.upgrade().ok_or_else(|| Status::unavailable("the process is about to stop"))
}

/// The answer of `server` to a name that the caller can't know: hidden, or never there.
fn unknown_service(server: &'static str, name: &str) -> Status {
    CapabilityError {
        code: Code::NotFound,
        reason: "SERVICE_UNKNOWN",
        service: server,
        message: format!("no service {name}"),
        metadata: HashMap::from([("service".to_owned(), name.to_owned())]),
    }
    .into()
}

/// The policy of a service's breaker: that of its first method, or the platform's rule for a service that
/// the catalog no longer has.
fn policy(bound: &Bound, service: &str) -> BreakerPolicy {
    let service = bound.snapshot.service(service);
    let mut methods = service.into_iter().flat_map(|service| service.methods.values());
    let method = methods.find_map(|method| bound.method(&method.path));
    method.map_or_else(BreakerPolicy::default, |method| method.policy.clone())
}
