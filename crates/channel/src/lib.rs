//! The channel domain: what dealers, resellers, promoters and members earn, and coupons.
//!
//! - [`rebate`]: plans, tiers, multi-level distribution, the law's limits, the accrual ledger.
//! - [`coupon`]: batches, issuing and redeeming, exactly once.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod coupon;
pub mod rebate;

/// The services of the domain, over tables of their own in the context's store.
///
/// # Errors
/// When the tables can't be made.
#[cfg(feature = "grpc")]
pub async fn services(
    cx: &oaas_capability::Context,
) -> Result<Vec<oaas_capability::Registration>, oaas_store::StoreError> {
    Ok(vec![
        oaas_capability::Registration::new(rebate::grpc::server(cx).await?),
        oaas_capability::Registration::new(coupon::grpc::server(cx).await?),
    ])
}
