//! The schedules: against brute force, published values and a judge that knows nothing of the search.

mod bounds;
mod classic;
#[cfg(feature = "grpc")]
mod grpc;
mod random;
mod text;
mod verify;
