//! The frame of a capability: what it is given ([`Context`]), what it returns ([`Registration`]),
//! and how its own errors become gRPC statuses.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod error;
mod registration;

use std::sync::Arc;

use oaas_model::{Clock, SystemClock};
use oaas_store::Store;

pub use error::{CapabilityError, Violation, invalid, validated};
pub use registration::{Body, BoxError, CallContext, LocalService, Registration};

/// What every capability is given when its domain is started.
#[derive(Clone)]
pub struct Context {
    /// The database; a capability uses tables of its own only.
    pub store: Store,
    /// The time; a core gets `now` as an argument, never the clock.
    pub clock: Arc<dyn Clock>,
}

impl Context {
    /// A context with an empty database in memory; for tests.
    ///
    /// # Errors
    /// When the database engine refuses.
    pub async fn in_memory() -> Result<Self, oaas_store::StoreError> {
        Ok(Self { store: Store::in_memory().await?, clock: SystemClock::shared() })
    }
}
