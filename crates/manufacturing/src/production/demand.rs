//! What is wanted, what a plan looks like, and why there may be none.

use thiserror::Error;

use super::bill::BillError;
use super::plant::{DAY, Id, Minute};

/// How far ahead a delivery may be due.
pub const DUE_AHEAD_MAX: Minute = 730 * DAY;
/// How far ahead the planner looks for capacity: a year beyond the last due time.
pub const HORIZON: Minute = DUE_AHEAD_MAX + 365 * DAY;
/// Most requirements and most orders of one plan; more means a bill or a lot limit gone wrong.
pub const PLAN_LINES_MAX: usize = 20_000;

/// Where goods come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// Stock and orders that are open already, if need be by waiting for them.
    Reserve,
    /// Own production.
    Make,
    /// A supplier.
    Buy,
    /// A subcontractor who works on our material.
    Outsource,
    /// Another plant or warehouse of ours.
    Transfer,
}

impl Source {
    /// All, in the order in which equals are preferred.
    pub const ALL: [Self; 5] = [Self::Reserve, Self::Make, Self::Buy, Self::Outsource, Self::Transfer];

    /// Whether an order from there takes the parts of the bill.
    #[must_use]
    pub fn takes_parts(self) -> bool {
        matches!(self, Self::Make | Self::Outsource)
    }
}

/// One delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Units, 1 to [`super::plant::QUANTITY_MAX`].
    pub quantity: i64,
    /// When it must be ready; `None` is as soon as possible and never late.
    pub due: Option<Minute>,
}

/// What is wanted, and by which measure to decide.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The item.
    pub item: Id,
    /// One delivery, or a call-off schedule.
    pub deliveries: Vec<Delivery>,
    /// Sources that the item itself may come from; empty for all.
    pub sources_allowed: Vec<Source>,
    /// A day of lateness of a delivery, minor units; `None`: dates first, then cost.
    pub lateness_cost_per_day: Option<i64>,
    /// Moving one reservation of another production, minor units.
    pub disruption_cost: i64,
    /// Rather no plan than a late one.
    pub on_time_only: bool,
    /// The frozen fence doesn't hold for it.
    pub rush: bool,
}

/// Why there is no plan.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// The bill of materials can't be used.
    #[error(transparent)]
    Bill(#[from] BillError),
    /// Nothing can bring the item.
    #[error("item {item} has too little stock and no source: {missing} units are missing")]
    NoSource {
        /// Item.
        item: Id,
        /// Units that nothing covers.
        missing: i64,
    },
    /// The plant that sends the item has too little of it.
    #[error("plant {sender} has too little of item {item} to send: {missing} units are missing")]
    SenderShort {
        /// Item.
        item: Id,
        /// Sending plant.
        sender: Id,
        /// Units of the lot that it can't promise.
        missing: i64,
    },
    /// A routing names a work centre that isn't there.
    #[error("item {item} is made on work centre {work_center}, which is not known")]
    WorkCenterUnknown {
        /// Item.
        item: Id,
        /// Work centre.
        work_center: Id,
    },
    /// A work centre has no room for a lot within the horizon.
    #[error("work centre {work_center} has no {minutes} free working minutes within the horizon")]
    NoCapacity {
        /// Work centre.
        work_center: Id,
        /// Working minutes of the operation.
        minutes: i64,
    },
    /// A quantity, a cost or the number of orders is beyond what a plan holds.
    #[error("the plan for item {item} is too large: {what}")]
    TooLarge {
        /// Item at which it became too large.
        item: Id,
        /// What is too large.
        what: &'static str,
    },
    /// The dates can't be kept, and the demand doesn't want later ones.
    #[error("not feasible by the due time: the earliest promise is {late_minutes} minutes late")]
    Late {
        /// The earliest promise for the whole demand.
        promise: Minute,
        /// Lateness of the latest delivery, minutes.
        late_minutes: i64,
    },
}
