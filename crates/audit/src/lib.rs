//! The call journal: two records a call, one a refusal, in append-only files with group commit; what a
//! start does after a crash; how to read it while it is written; and each call explained in words.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod appendable;
mod disk;
pub mod draft;
mod error;
mod explain;
mod frame;
mod journal;
#[cfg_attr(not(target_os = "linux"), path = "unmapped.rs")]
mod mapped;
mod open_calls;
mod pass;
mod reader;
mod recover;
mod segment;
mod segment_reader;
mod start;
mod tally;
mod view;
mod writer;

pub use appendable::Appendable;
pub use disk::{Disk, DiskFile, SystemDisk};
pub use error::JournalError;
pub use explain::explain;
pub use frame::{FRAME_HEAD_BYTES, RECORD_BYTES_MAX};
pub use journal::{DurableAppend, Journal, JournalHealth, JournalOptions};
pub use oaas_proto::oaas::audit::v1 as record;
pub use reader::{Entry, Filter, Reader, Records};
pub use recover::Recovery;
pub use view::{
    CallIds, EventView, HeadView, IntentView, OutcomeView, RecordView, RefusalSumView, RefusalView,
    StakeView, Stakes, Text, WrittenOffView,
};

#[cfg(test)]
mod tests;
