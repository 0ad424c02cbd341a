//! Job-shop schedules: tabu search and path relinking from above, one-machine bounds from below, so
//! that each schedule says how far from the best it may be.
//!
//! The core is pure: [`solve::solve`] takes a [`problem::Problem`], and time as a question that it asks
//! now and then. [`verify`] judges schedules and shares no code with the search.

pub mod bound;
mod critical;
pub mod dispatch;
pub mod moves;
pub mod one_machine;
pub mod problem;
mod relink;
mod rng;
mod shop;
pub mod solve;
mod state;
mod tabu;
mod tardy;
pub mod text;
pub mod verify;

#[cfg(feature = "grpc")]
pub mod answer;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "grpc")]
pub mod wire;

#[cfg(test)]
mod tests;
