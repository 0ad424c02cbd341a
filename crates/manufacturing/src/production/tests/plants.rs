//! Small plants for tests.

use oaas_model::Currency;

use crate::production::calendar::Calendar;
use crate::production::demand::{Delivery, Demand};
use crate::production::plant::{
    Component, DAY, Id, Item, Making, Minute, Operation, Receipt, Reserved, Snapshot, Supply, WorkCenter,
};

/// Monday, 2026-11-23T00:00Z.
pub const MONDAY: Minute = 20_780 * DAY;

/// A plant with nothing in it.
pub fn plant() -> Snapshot {
    Snapshot {
        currency: Currency::CNY,
        items: [].into(),
        work_centers: [].into(),
        receipts: vec![],
        reserved: vec![],
        bookings: vec![],
        senders: [].into(),
    }
}

pub fn supply(days: i64, order_cost: i64, unit_price: i64) -> Option<Supply> {
    Some(Supply { supplier: "s".into(), lead_minutes: days * DAY, order_cost, unit_price })
}

/// Made on a work centre, so many seconds a unit.
pub fn make(work_center: &str, run_seconds: i64, setup_cost: i64, unit_cost: i64) -> Option<Making> {
    let operation = Operation {
        work_center: work_center.into(),
        setup_minutes: 0,
        run_seconds,
        run_quantity: 1,
        family: None,
    };
    Some(Making { operations: vec![operation], setup_cost, unit_cost })
}

pub fn part(item: &str, quantity: i64) -> Component {
    Component { item: item.into(), quantity, per: 1, scrap_basis_points: 0 }
}

pub fn center(machines: usize) -> WorkCenter {
    WorkCenter { machines, calendar: Calendar::always(), setups: [].into() }
}

pub fn receipt(id: &str, item: &str, quantity: i64, at: Minute) -> Receipt {
    Receipt { id: id.into(), item: item.into(), quantity, at }
}

pub fn reserved(id: &str, item: &str, quantity: i64, at: Minute) -> Reserved {
    Reserved { id: id.into(), item: item.into(), quantity, at }
}

pub fn demand(item: &str, deliveries: &[(i64, Option<Minute>)]) -> Demand {
    Demand {
        item: item.into(),
        deliveries: deliveries
            .iter()
            .map(|(quantity, due)| Delivery { quantity: *quantity, due: *due })
            .collect(),
        sources_allowed: vec![],
        lateness_cost_per_day: None,
        disruption_cost: 0,
        on_time_only: false,
        rush: false,
    }
}

/// A plant of one item.
pub fn with(id: &str, item: Item) -> Snapshot {
    let mut plant = plant();
    plant.items.insert(Id::from(id), item);
    plant
}
