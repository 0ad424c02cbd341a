//! Tests of lot sizing and policies.

mod dynamic;
#[cfg(feature = "grpc")]
mod grpc;
mod policies;
mod textbook;
