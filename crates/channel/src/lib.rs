//! The channel domain: what dealers, resellers, promoters and members earn, and coupons.
//!
//! - [`rebate`]: plans, tiers, multi-level distribution, the law's limits, the accrual ledger.
//! - [`coupon`]: batches, issuing and redeeming, exactly once.

pub mod coupon;
pub mod rebate;
