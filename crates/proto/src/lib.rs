//! The contract as Rust: generated messages, clients and servers of every `.proto` of the
//! repository, and the descriptor set that they came from. No hand-written logic.

#![allow(clippy::all, clippy::disallowed_methods, clippy::disallowed_types, missing_docs)]

include!(concat!(env!("OUT_DIR"), "/mod.rs"));

/// The encoded `google.protobuf.FileDescriptorSet` of all files, with comments and custom options.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub mod validate;

pub use validate::{Validate, Violation};
