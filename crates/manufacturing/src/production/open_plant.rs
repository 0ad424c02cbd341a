//! What is under way in a plant: open orders with their operations, what uses what, and promises.

use std::collections::BTreeMap;

use super::commit::{Commitments, set_aside};
use super::demand::Demand;
use super::plan::{Plan, User};
use super::plant::{Booking, Id, Minute, Snapshot};

/// An open order of a production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// What it brings.
    pub item: Id,
    /// When it starts.
    pub start: Minute,
    /// When the goods are there.
    pub ready: Minute,
    /// It has begun.
    pub under_way: bool,
    /// It was just planned for the event, and others make room for it.
    pub pinned: bool,
    /// Its operations in sequence; none when somebody else works.
    pub operations: Vec<Booking>,
}

/// What a reservation is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsedBy {
    /// An open order.
    Order(Id),
    /// A delivery, by its place in [`OpenPlant::deliveries`].
    Delivery(usize),
}

/// A delivery that was promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDelivery {
    /// Production. Example: "P-12".
    pub production: Id,
    /// Index of the delivery in it, from 0.
    pub index: u32,
    /// The customer's order.
    pub reference: String,
    /// When it is due.
    pub due: Option<Minute>,
    /// When it is promised now.
    pub promise: Minute,
    /// When it was promised first.
    pub first: Minute,
    /// What a day of lateness costs, minor units.
    pub lateness_cost_per_day: i64,
}

/// A plant with all that is open in it.
#[derive(Clone, Debug)]
pub struct OpenPlant {
    /// All items and work centres, open orders and reservations. Its bookings are those that belong to
    /// no open order.
    pub snapshot: Snapshot,
    /// Open orders by id. Example: "P-12/3".
    pub orders: BTreeMap<Id, OpenOrder>,
    /// What each reservation is for; one that isn't here is for something that doesn't move.
    pub uses: BTreeMap<Id, UsedBy>,
    /// Deliveries.
    pub deliveries: Vec<OpenDelivery>,
    /// Machines that don't work; among the bookings of the snapshot too.
    pub outages: Vec<Booking>,
}

impl OpenPlant {
    /// The snapshot with the bookings of those orders that `stays` lets stay.
    #[must_use]
    pub fn booked(&self, stays: impl Fn(&OpenOrder) -> bool) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        let orders = self.orders.values().filter(|order| stays(order));
        snapshot.bookings.extend(orders.flat_map(|order| order.operations.iter().cloned()));
        snapshot
    }

    /// Adds a plan that was made for an event, under the id of its production. What replaces a loss
    /// has no delivery of its own (`demand` is `None`): its goods go to those who miss them.
    pub fn open(&mut self, production: &Id, plan: &Plan, demand: Option<(&Demand, &str)>) {
        let commitments = Commitments::of(production, plan);
        for (order, receipt) in plan.orders.iter().zip(&commitments.receipts) {
            let open = OpenOrder {
                item: order.item.clone(),
                start: order.start,
                ready: order.ready,
                under_way: false,
                pinned: true,
                operations: Vec::new(),
            };
            self.orders.insert(receipt.id.clone(), open);
        }
        for (index, booking) in commitments.bookings {
            let id = commitments.receipts.get(index).map(|receipt| &receipt.id);
            if let Some(order) = id.and_then(|id| self.orders.get_mut(id)) {
                order.operations.push(booking);
            }
        }
        for (requirement, reserved) in plan.requirements.iter().zip(commitments.reserved) {
            let used_by = match (requirement.user, demand) {
                (User::Order(index), _) => {
                    commitments.receipts.get(index).map(|receipt| UsedBy::Order(receipt.id.clone()))
                }
                (User::Delivery(_), None) => continue,
                (User::Delivery(index), Some((demand, reference))) => {
                    let promise = plan.promises.get(index).map_or(requirement.use_at, |promise| promise.at);
                    self.deliveries.push(OpenDelivery {
                        production: production.clone(),
                        index: u32::try_from(index).unwrap_or(u32::MAX),
                        reference: reference.to_owned(),
                        due: demand.deliveries.get(index).and_then(|delivery| delivery.due),
                        promise,
                        first: promise,
                        lateness_cost_per_day: demand.lateness_cost_per_day.unwrap_or_default(),
                    });
                    Some(UsedBy::Delivery(self.deliveries.len() - 1))
                }
            };
            self.uses.extend(used_by.map(|used_by| (reserved.id.clone(), used_by)));
            self.snapshot.reserved.push(reserved);
        }
        self.snapshot.receipts.extend(commitments.receipts);
        set_aside(&mut self.snapshot, commitments.sent);
    }
}
