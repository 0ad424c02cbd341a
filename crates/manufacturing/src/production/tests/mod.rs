//! Tests of the core against published figures, brute force and invariants, and of the adapter
//! against concurrency and crashes.

mod bill;
mod calendar;
mod decide;
mod event;
#[cfg(feature = "grpc")]
mod events_grpc;
mod fence;
#[cfg(feature = "grpc")]
mod grpc;
mod lift;
mod lot;
mod net;
mod plants;
mod search;
#[cfg(feature = "grpc")]
mod service_figures;
mod setups;
mod transfer;
#[cfg(feature = "grpc")]
mod transfers_grpc;
mod trigger;
