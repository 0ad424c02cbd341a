//! The production trigger: nets a demand over its bill of materials against stock and open orders,
//! sizes the lots, puts them into the finite schedule, compares the sources and says why.
//!
//! The core is pure: [`decide::decide`] takes a [`plant::Snapshot`], a [`demand::Demand`] and the
//! minute it is. `store` and `grpc` are the adapters.

pub mod availability;
pub mod bill;
pub mod by_item;
pub mod calendar;
pub mod capacity;
pub mod commit;
pub mod cost;
pub mod ctp;
pub mod decide;
pub mod demand;
mod draft;
pub mod event;
pub mod explain;
pub mod hysteresis;
pub mod lift;
pub mod lot;
mod lot_rule;
pub mod open_plant;
pub mod pegging;
pub mod plan;
pub mod plant;
pub mod repair;
pub mod trigger;

#[cfg(feature = "grpc")]
mod answer;
#[cfg(feature = "grpc")]
mod event_wire;
#[cfg(feature = "grpc")]
mod failure;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "grpc")]
mod master_data;
#[cfg(feature = "grpc")]
mod open_store;
#[cfg(feature = "grpc")]
mod progress;
#[cfg(feature = "grpc")]
mod reschedule;
#[cfg(feature = "grpc")]
mod review;
#[cfg(feature = "grpc")]
mod senders;
#[cfg(feature = "grpc")]
mod store;
#[cfg(feature = "grpc")]
mod triggers;
#[cfg(feature = "grpc")]
mod wire;

#[cfg(test)]
mod tests;
