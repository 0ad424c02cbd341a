//! Lot sizing and single-item stock policies: how much to make or order at a time, and when.
//!
//! [`dynamic`] sizes lots over known demand and puts the methods side by side; the other modules are
//! the classical policies under constant or random demand. All is pure. Costs of the policies are
//! expectations, so they are `f64` in any one unit of money; amounts that are paid stay integers
//! (see [`dynamic`]).

pub mod distribution;
pub mod dynamic;
pub mod eoq;
pub mod horizon;
pub mod joint;
pub mod min_max;
pub mod newsvendor;
pub mod normal;
pub mod reorder_point;
pub mod unreliable;

#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "grpc")]
mod wire;

#[cfg(test)]
mod tests;

use thiserror::Error;

/// Why a policy can't be computed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PolicyError {
    /// A number is outside what the model is about.
    #[error("{0} must be {1}")]
    Domain(&'static str, &'static str),
    /// The search would be longer than its limit.
    #[error("the policy would be beyond {0} steps of one unit; use a larger unit")]
    TooLarge(usize),
}

/// `value`, when it is finite and more than zero.
pub(crate) fn positive(name: &'static str, value: f64) -> Result<f64, PolicyError> {
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err(PolicyError::Domain(name, "more than 0")) }
}

/// `value`, when it is finite and not negative.
pub(crate) fn not_negative(name: &'static str, value: f64) -> Result<f64, PolicyError> {
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err(PolicyError::Domain(name, "0 or more")) }
}
