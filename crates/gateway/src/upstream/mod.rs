//! Calls to services outside this process: a pool of HTTP/2 connections with balancing, health,
//! ejection and a retry budget.
//!
//! The data path speaks to h2 directly: it owns both halves of each stream, so that dropping a call
//! resets the upstream stream at once, and a RST_STREAM(CANCEL) is seen as what it is.

mod backoff;
mod balance;
mod budget;
mod call;
mod config;
mod connect;
mod connection;
mod eject;
mod endpoint;
mod error;
mod exchange;
mod guard;
mod pool;
mod replay;
mod reset;
mod retry;
#[cfg(test)]
mod tests;

pub use config::{PoolConfig, SendOptions};
pub use endpoint::{EndpointState, EndpointStatus};
pub use error::{Executed, Phase, UpstreamError};
pub use pool::{Pool, Sent};
pub(crate) use reset::find as http2_error;
pub use reset::{Reset, reset_code};
pub use retry::Pushback;
