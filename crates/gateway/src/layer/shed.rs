//! Is this process full? UNAVAILABLE / OVERLOADED.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use oaas_model::Reason;

use crate::Body;
use crate::call::Call;
use crate::gate::Gate;
use crate::rejection::{Rejection, Retry};
use crate::shared::Shared;

/// How long a client should wait that came when the process was full.
const PUSHBACK: Duration = Duration::from_millis(200);

/// Refuses calls beyond the number that this process takes at once.
#[derive(Clone)]
pub struct Shed {
    pub shared: Arc<Shared>,
}

impl Gate for Shed {
    fn decide(&self, call: &Arc<Call>, _: &mut Request<Body>) -> Result<(), Box<Rejection>> {
        let limit = self.shared.settings.calls_in_flight_max;
        let before = self.shared.metrics.in_flight.fetch_add(1, Ordering::AcqRel);
        let shared = Arc::clone(&self.shared);
        call.at_end(move |_, _| {
            shared.metrics.in_flight.fetch_sub(1, Ordering::AcqRel);
        });
        if before < limit {
            return Ok(());
        }
        let message = format!("{limit} calls are in flight, as many as this process takes");
        Err(Box::new(
            Rejection::new(Reason::Overloaded, "shed", message)
                .retry(Retry::After(PUSHBACK))
                .fact("limit", limit),
        ))
    }
}
