//! What is open in a plant, item by item: one pass over it, so that nobody searches all of it for each
//! item.

use std::collections::HashMap;

use super::plant::{Id, Item, Receipt, Reserved, Sender, Snapshot};

/// What is open of one item.
#[derive(Clone, Debug, Default)]
pub struct Lines<'a> {
    /// Master data and stock; `None` when the item isn't known.
    pub item: Option<&'a Item>,
    /// Open orders that bring it, in their order.
    pub receipts: Vec<&'a Receipt>,
    /// What is set aside of it, in its order.
    pub reserved: Vec<&'a Reserved>,
}

impl<'a> Lines<'a> {
    /// Of one item alone; for several, [`ByItem`] is cheaper.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, item: &Id) -> Self {
        Self {
            item: snapshot.items.get(item),
            receipts: snapshot.receipts.iter().filter(|receipt| receipt.item == *item).collect(),
            reserved: snapshot.reserved.iter().filter(|reserved| reserved.item == *item).collect(),
        }
    }

    /// Of an item where it is sent from.
    #[must_use]
    pub fn at(sender: &'a Sender) -> Self {
        Self {
            item: Some(&sender.item),
            receipts: sender.receipts.iter().collect(),
            reserved: sender.reserved.iter().collect(),
        }
    }

    /// Units on hand.
    #[must_use]
    pub fn on_hand(&self) -> i64 {
        self.item.map_or(0, |item| item.on_hand)
    }
}

/// Of all items that are known or open.
#[derive(Clone, Debug)]
pub struct ByItem<'a> {
    lines: HashMap<&'a str, Lines<'a>>,
    none: Lines<'a>,
}

impl<'a> ByItem<'a> {
    /// Sorts a plant's open orders and reservations by their items.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut lines: HashMap<&str, Lines<'a>> = HashMap::with_capacity(snapshot.items.len());
        for (id, item) in &snapshot.items {
            lines.insert(id, Lines { item: Some(item), ..Lines::default() });
        }
        for receipt in &snapshot.receipts {
            lines.entry(&receipt.item).or_default().receipts.push(receipt);
        }
        for reserved in &snapshot.reserved {
            lines.entry(&reserved.item).or_default().reserved.push(reserved);
        }
        Self { lines, none: Lines::default() }
    }

    /// What is open of an item.
    #[must_use]
    pub fn get(&self, item: &str) -> &Lines<'a> {
        self.lines.get(item).unwrap_or(&self.none)
    }
}
