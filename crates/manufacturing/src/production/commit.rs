//! What a plan leaves behind when it is carried out: the next decision nets against it.

use super::plan::Plan;
use super::plant::{Booking, Id, Receipt, Reserved, Snapshot};

/// Open orders, reservations and bookings of one production.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commitments {
    /// One for each order, in their sequence. Example of an id: "P-12/3".
    pub receipts: Vec<Receipt>,
    /// One for each requirement, in their sequence. Example of an id: "P-12/r3".
    pub reserved: Vec<Reserved>,
    /// Bookings with the order's index.
    pub bookings: Vec<(usize, Booking)>,
    /// What is set aside in other plants, with the order's index and the plant. Example of an id:
    /// "P-12/t3".
    pub sent: Vec<(usize, Id, Reserved)>,
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
        let sent = plan.orders.iter().enumerate().filter(|(_, order)| order.set_aside);
        let sent = sent.filter_map(|(index, order)| {
            let id = format!("{production}/t{}", index + 1).into();
            let (item, quantity, at) = (order.item.clone(), order.quantity, order.start);
            Some((index, order.supplier.clone()?, Reserved { id, item, quantity, at }))
        });
        Self {
            receipts: receipts.collect(),
            reserved: reserved.collect(),
            bookings: bookings.collect(),
            sent: sent.collect(),
        }
    }

    /// Adds them to a snapshot.
    pub fn apply(self, snapshot: &mut Snapshot) {
        snapshot.receipts.extend(self.receipts);
        snapshot.reserved.extend(self.reserved);
        snapshot.bookings.extend(self.bookings.into_iter().map(|(_, booking)| booking));
        set_aside(snapshot, self.sent);
    }
}

/// Sets aside in the sending plants what is sent from there.
pub fn set_aside(snapshot: &mut Snapshot, sent: Vec<(usize, Id, Reserved)>) {
    for (_, _, reserved) in sent {
        if let Some(sender) = snapshot.senders.get_mut(&reserved.item) {
            sender.reserved.push(reserved);
        }
    }
}
