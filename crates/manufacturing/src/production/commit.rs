//! What a plan leaves behind when it is carried out: the next decision nets against it.

use super::plan::Plan;
use super::plant::{Booking, Receipt, Reserved, Snapshot};

/// Open orders, reservations and bookings of one production.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commitments {
    /// One for each order, in their sequence. Example of an id: "P-12/3".
    pub receipts: Vec<Receipt>,
    /// One for each requirement, in their sequence. Example of an id: "P-12/r3".
    pub reserved: Vec<Reserved>,
    /// Bookings with the order's index.
    pub bookings: Vec<(usize, Booking)>,
}

impl Commitments {
    /// What `plan` commits under the id of its production.
    #[must_use]
    pub fn of(production: &str, plan: &Plan) -> Self {
        let receipts = (1..).zip(&plan.orders).map(|(number, order)| Receipt {
            id: format!("{production}/{number}").into(),
            item: order.item.clone(),
            quantity: order.quantity,
            at: order.ready,
        });
        let reserved = (1..).zip(&plan.requirements).map(|(number, requirement)| Reserved {
            id: format!("{production}/r{number}").into(),
            item: requirement.item.clone(),
            quantity: requirement.quantity,
            at: requirement.use_at,
        });
        let bookings = plan.orders.iter().enumerate().flat_map(|(index, order)| {
            order.operations.iter().map(move |operation| {
                let booking = Booking {
                    work_center: operation.work_center.clone(),
                    machine: operation.machine,
                    start: operation.start,
                    end: operation.end,
                    family: operation.family.clone(),
                    setup: operation.setup,
                };
                (index, booking)
            })
        });
        Self { receipts: receipts.collect(), reserved: reserved.collect(), bookings: bookings.collect() }
    }

    /// Adds them to a snapshot.
    pub fn apply(self, snapshot: &mut Snapshot) {
        snapshot.receipts.extend(self.receipts);
        snapshot.reserved.extend(self.reserved);
        snapshot.bookings.extend(self.bookings.into_iter().map(|(_, booking)| booking));
    }
}
