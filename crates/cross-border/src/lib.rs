//! Business domain cross-border: what happens to goods at a country's border.
//!
//! One capability so far: [`clearance_time`], how long a consignment will take through customs, in
//! quantiles, learned online from recorded clearances. The pure core compiles without the feature
//! `grpc`; with it, `services` gives what the gateway reaches in this process.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod clearance_time;
mod customs;

pub use customs::{Country, CustomsError, TransportMode};

/// The gRPC services of this domain, their tables migrated and their history loaded.
///
/// # Errors
/// When the store refuses.
#[cfg(feature = "grpc")]
pub async fn services(
    cx: &oaas_capability::Context,
) -> Result<Vec<oaas_capability::Registration>, oaas_store::StoreError> {
    Ok(vec![clearance_time::registration(cx).await?])
}
