//! Is this process full? UNAVAILABLE / OVERLOADED. Is the metadata? RESOURCE_EXHAUSTED / METADATA_TOO_LARGE.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, Request};
use oaas_model::Reason;

use crate::Body;
use crate::call::Call;
use crate::gate::Gate;
use crate::rejection::{Rejection, Retry};
use crate::shared::Settings;

/// How long a client should wait that came when the process was full.
const PUSHBACK: Duration = Duration::from_millis(200);

/// What each header counts besides its name and value (RFC 9113 §6.5.2, SETTINGS_MAX_HEADER_LIST_SIZE).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Refuses calls beyond the number that this process takes at once, and too much metadata.
#[derive(Clone, Copy, Debug)]
pub struct Shed;

impl Gate for Shed {
    fn decide(&self, call: &Arc<Call>, request: &mut Request<Body>) -> Result<(), Box<Rejection>> {
        let limit = call.shared.settings.calls_in_flight_max;
        let before = call.shared.metrics.in_flight.fetch_add(1, Ordering::AcqRel);
        call.at_end(|call, _| {
            call.shared.metrics.in_flight.fetch_sub(1, Ordering::AcqRel);
        });
        if before < limit {
            return metadata(request.headers(), &call.shared.settings);
        }
        let message = format!("{limit} calls are in flight, as many as this process takes");
        Err(Box::new(
            Rejection::new(Reason::Overloaded, "shed", message)
                .retry(Retry::After(PUSHBACK))
                .fact("limit", limit),
        ))
    }
}

fn metadata(headers: &HeaderMap, settings: &Settings) -> Result<(), Box<Rejection>> {
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES).sum();
    let (what, size, limit) = if headers.len() > settings.header_fields_max {
        ("fields", headers.len(), settings.header_fields_max)
    } else if bytes > settings.header_list_bytes_max {
        ("bytes", bytes, settings.header_list_bytes_max)
    } else {
        return Ok(());
    };
    let message = format!("metadata of {size} {what}, at most {limit}");
    Err(Box::new(
        Rejection::new(Reason::MetadataTooLarge, "shed", message)
            .retry(Retry::Never)
            .fact("unit", what)
            .fact("limit", limit)
            .fact("size", size),
    ))
}
