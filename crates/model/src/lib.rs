//! The shared kernel: nouns that three or more crates use. No serde, no async, no IO.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod call_id;
mod clock;
mod code;
mod lang;
mod money;
mod reason;
mod reason_text;

pub use call_id::CallId;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use code::Code;
pub use lang::Lang;
pub use money::{Currency, Money, MoneyError};
pub use reason::Reason;
