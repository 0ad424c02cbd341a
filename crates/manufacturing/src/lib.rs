//! Production and engineering: what to reserve, make, buy or subcontract, by when, and at what cost.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod lot_sizing;
pub mod production;
pub mod schedule;

/// Starts the domain: migrates its tables and returns its services.
///
/// # Errors
/// When the store refuses a migration.
#[cfg(feature = "grpc")]
pub async fn services(
    cx: &oaas_capability::Context,
) -> Result<Vec<oaas_capability::Registration>, oaas_store::StoreError> {
    let lot_sizing = lot_sizing::grpc::service();
    Ok(vec![production::grpc::service(cx).await?, lot_sizing, schedule::grpc::service(cx)])
}
