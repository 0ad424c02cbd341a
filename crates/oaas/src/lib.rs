//! The program: settings, the process put together, the command line.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod admin;
pub mod bare;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod domains;
pub mod projector;
pub mod reload;
pub mod server;
pub mod telemetry;

mod dynamic_codec;
