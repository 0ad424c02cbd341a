//! Rebates and commissions: what a plan pays for the net sales of a period.
//!
//! [`calculate`] is the whole of it: a pure function of plan, period and facts. Recording, accrual
//! and claw-back are that function, applied again, and the difference posted to the ledger.
//! Plan grammar: tiers as in the Odoo community's `agreement_rebate` (global, line, section total =
//! retroactive, section prorated = marginal) and differential commission (级差).

mod accrue;
mod book;
mod calculate;
mod exact;
mod expectation;
mod explain;
mod facts;
pub mod filter;
#[cfg(feature = "grpc")]
pub mod grpc;
mod incremental;
pub mod law;
mod ledger;
mod levels;
mod limits;
mod line;
mod period;
mod plan;
mod plan_check;
mod reason;
#[cfg(feature = "grpc")]
mod refusal;
mod settle;
mod simulate;
#[cfg(feature = "grpc")]
mod store;
mod sums;
#[cfg(test)]
mod tests;
mod tiers;
mod tree;
#[cfg(feature = "grpc")]
mod wire;
pub mod yaml;

pub use accrue::{Accrued, Outlook, Standing, accrue};
pub use calculate::{CalculateError, Detail, LINES_MAX, MemberOutcome, Outcome, calculate};
pub use exact::{Exact, Rounding, SCALE, apportion, split};
pub use expectation::{Arrived, Expectation, Expected, Projection, STATED_MAX, TOTAL_MAX};
pub use explain::{explain, explain_standing, measured_as};
pub use facts::{
    ATTRIBUTES_MAX, ChainMember, FACTS_MAX, Facts, NetSale, PROBLEMS_MAX, Parts, Payment, Sale, SaleReturn,
};
pub use filter::Filter;
pub use incremental::{Changed, Fact, Incremental};
pub use ledger::{Difference, Entry, Hash, LedgerLine, NO_HASH, differences, facts_digest, first_broken};
pub use levels::LevelsError;
pub use line::{Line, LineKind};
pub use period::{Period, PeriodKind};
pub use plan::{
    Base, Baseline, Basis, Levels, Measure, Participation, Pay, PayeeKind, Payout, PayoutKind, PaysOn, Plan,
    Problem, SameLevel, ThresholdRule, Tier, TierMode, TierSchedule, TierScope,
};
pub use reason::{Before, REASON_LINES_MAX, Reason, TierReached, facts_of, true_up};
pub use settle::{Account, Settled, settle};
pub use simulate::{Change, Exposure, PERIODS_MAX, Simulated, Simulation, simulate};
pub use tiers::{Beside, Cliff, Volume};
pub use tree::{MOVES_MAX, Move, MoveError, Tree};
#[cfg(feature = "grpc")]
pub use wire::plan_to_wire;
