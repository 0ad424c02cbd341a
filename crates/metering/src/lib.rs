//! Quotas (calls in a calendar period), budgets (money at stake in a sliding window) and usage, exact on
//! one instance.
//!
//! Two sides, so that a crash loses no unit and counts none twice. The *live* side ([`Meters::take_quota`],
//! [`Meters::reserve`]) decides about calls, in memory, without IO. The *journal* side
//! ([`Meters::observe`]) sums the audit records as they were written; only these sums are stored, in one
//! transaction with the mark of the last record in them. A start loads the sums and replays the records
//! behind the mark ([`Meters::replay`]), which gives exactly the calls that have an intent.
//!
//! Around it: open, replay all records behind the mark, serve. Each second note the last record that is on
//! the disk, observe the records from [`Meters::mark`] on, flush with the noted one. A method whose records
//! are sampled has no exact quota or budget across a crash.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod batch;
mod budget;
mod calendar;
mod live;
mod meters;
mod names;
mod projection;
mod quota;
mod settlement;
mod tables;
mod usage;

#[cfg(test)]
mod tests;

pub use budget::{
    BudgetCause, BudgetError, BudgetExhausted, BudgetInvalid, BudgetKey, BudgetLimit, LEASE,
    LEASES_PER_KEY_MAX, Settle, WINDOW_MAX, WINDOW_PARTS,
};
pub use live::{
    APPLICATIONS_MAX, BUDGET_KEYS_MAX, BUDGET_KEYS_PER_APPLICATION_MAX, Reservation,
    SERVICES_PER_APPLICATION_MAX,
};
pub use meters::{Mark, Meters, Observing};
pub use projection::ObserveError;
pub use quota::{Period, QuotaCause, QuotaExhausted, QuotaKey, QuotaLimit, QuotaTaken};
pub use settlement::Ended;
pub use usage::{BudgetUsage, CallUsage, DayUsage, QuotaUsage, Usage};
