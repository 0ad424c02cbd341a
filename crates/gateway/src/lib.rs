//! The governed call. The way of a call is in [`stack`]; what a call is, in [`call`].

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod alert;
pub mod auth;
pub mod bound;
pub mod breaker;
pub mod call;
pub mod degrade;
pub mod edge;
pub mod gateway;
pub mod lanes;
pub mod metrics;
pub mod outcome;
pub mod platform;
pub mod rejection;
pub mod rescue;
pub mod shared;
pub mod stack;
pub mod upstream;

mod answer;
mod buffer;
mod conclusion;
pub mod exposition;
mod fetch;
mod frames;
mod gate;
pub mod header;
mod idempotency;
mod layer;
mod limits;
mod metadata;
mod request_body;
mod stake;
mod trace_context;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
pub use oaas_capability::{Body, BoxError};

pub use gateway::{Gateway, Parts};
pub use shared::{Settings, Shared};

fn empty_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full_body(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
