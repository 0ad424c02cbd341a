//! The plant as the planner sees it: items with their sources and bills, work centres, stock, open
//! orders, what is reserved and what is booked.

use std::collections::BTreeMap;
use std::sync::Arc;

use oaas_model::Currency;

use super::calendar::Calendar;

/// Id of an item, a work centre, a supplier, an order.
pub type Id = Arc<str>;

/// Minutes since 1970-01-01T00:00Z; the planner's grain of time.
pub type Minute = i64;

/// Minutes of a day.
pub const DAY: Minute = 1440;

/// Largest quantity of one requirement or lot, units.
pub const QUANTITY_MAX: i64 = 1_000_000_000;

/// How an item's net requirements become lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LotPolicy {
    /// Least setup and holding cost, exact.
    #[default]
    WagnerWhitin,
    /// Least cost a period, lot by lot.
    SilverMeal,
    /// A lot for each date.
    LotForLot,
}

/// Lot sizing of an item; 0 means "no such rule".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LotRule {
    /// Method.
    pub policy: LotPolicy,
    /// Least quantity of a lot.
    pub min: i64,
    /// A lot is a multiple of this.
    pub multiple: i64,
    /// Largest quantity of a lot.
    pub max: i64,
}

/// One step of a routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Where.
    pub work_center: Id,
    /// Working minutes to set up a lot.
    pub setup_minutes: i64,
    /// Working seconds for `run_quantity` units.
    pub run_seconds: i64,
    /// Units that `run_seconds` is said for, at least 1.
    pub run_quantity: i64,
    /// Setup family: what the work centre's matrix says of it goes before `setup_minutes`.
    pub family: Option<Id>,
}

impl Operation {
    /// Working minutes of a lot with a setup of so many, at least 1.
    #[must_use]
    pub fn minutes(&self, quantity: i64, setup: i64) -> i64 {
        let per = i128::from(self.run_quantity.max(1)) * 60;
        let run = (i128::from(quantity) * i128::from(self.run_seconds) + per - 1) / per;
        i64::try_from(run).unwrap_or(i64::MAX).saturating_add(setup).max(1)
    }
}

/// Own production of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Making {
    /// Routing in sequence; empty when it takes no time (a kit, a phantom).
    pub operations: Vec<Operation>,
    /// Setting up a lot, minor units.
    pub setup_cost: i64,
    /// Working a unit, without material, minor units.
    pub unit_cost: i64,
}

/// Purchase or subcontracting of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Who.
    pub supplier: Id,
    /// Minutes from the order to the goods.
    pub lead_minutes: Minute,
    /// Cost of an order, minor units.
    pub order_cost: i64,
    /// Price of a unit, minor units.
    pub unit_price: i64,
}

/// One part in a bill of materials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The part.
    pub item: Id,
    /// Units of the part for `per` units of the parent.
    pub quantity: i64,
    /// Units of the parent, at least 1.
    pub per: i64,
    /// Share of what is issued that is lost, basis points below 10,000.
    pub scrap_basis_points: i64,
}

/// Something that is stocked, made or bought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Standard cost of a unit in stock, minor units.
    pub unit_cost: i64,
    /// Keeping a unit for a day, millionths of a minor unit.
    pub holding_micros_per_day: i64,
    /// Stock that is never promised.
    pub safety_stock: i64,
    /// The frozen fence: minutes from now within which no new order starts and no reservation changes
    /// its supply, unless the demand is a rush.
    pub fence_minutes: Minute,
    /// Lot sizing.
    pub lot: LotRule,
    /// Own production, when there is one.
    pub make: Option<Making>,
    /// Purchase, when there is one.
    pub buy: Option<Supply>,
    /// Subcontracting with our material, when there is one.
    pub outsource: Option<Supply>,
    /// Another plant or warehouse that sends it, when there is one.
    pub transfer: Option<Supply>,
    /// What it is made of.
    pub bill: Vec<Component>,
    /// Units on hand.
    pub on_hand: i64,
}

/// A group of like machines with one calendar.
#[derive(Clone, Debug)]
pub struct WorkCenter {
    /// How many, at least 1.
    pub machines: usize,
    /// When they work.
    pub calendar: Calendar,
    /// Setup minutes from one family to another; a pair that isn't there takes the operation's own.
    pub setups: BTreeMap<(Id, Id), i64>,
}

/// An open order that will bring goods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id. Example: "PO-7" or "P-12/3".
    pub id: Id,
    /// What it brings.
    pub item: Id,
    /// How much.
    pub quantity: i64,
    /// When.
    pub at: Minute,
}

/// Material that another production has set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Its id. Example: "P-12/r3".
    pub id: Id,
    /// What.
    pub item: Id,
    /// How much.
    pub quantity: i64,
    /// When it is used.
    pub at: Minute,
}

/// Time of a machine that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Work centre.
    pub work_center: Id,
    /// Machine, from 0.
    pub machine: usize,
    /// From this minute.
    pub start: Minute,
    /// Up to this minute.
    pub end: Minute,
    /// Setup family of what is made.
    pub family: Option<Id>,
    /// Working minutes of setup at its start.
    pub setup: i64,
}

/// Another plant that sends an item, and what is open of the item there.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The plant.
    pub plant: Id,
    /// The item as it is there: stock, safety stock and fence count.
    pub item: Item,
    /// Open orders there.
    pub receipts: Vec<Receipt>,
    /// What is set aside there.
    pub reserved: Vec<Reserved>,
}

/// All that a decision rests on, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Currency of all amounts.
    pub currency: Currency,
    /// Items by id; at least the wanted one and all that it is made of.
    pub items: BTreeMap<Id, Item>,
    /// Work centres by id.
    pub work_centers: BTreeMap<Id, WorkCenter>,
    /// Open orders.
    pub receipts: Vec<Receipt>,
    /// What is set aside.
    pub reserved: Vec<Reserved>,
    /// What is booked.
    pub bookings: Vec<Booking>,
    /// Senders by the item that they send; a transfer from a plant that isn't known has none.
    pub senders: BTreeMap<Id, Sender>,
}
