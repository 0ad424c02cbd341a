//! Available to promise: cumulative, with look-ahead.
//!
//! What may be promised at t is the least projected balance from t on, so that a promise never takes
//! what a later reservation counts on (cumulative ATP with look-ahead; Vollmann, Berry & Whybark,
//! Manufacturing Planning and Control Systems, ch. "Master production scheduling").

use std::collections::BTreeMap;

use super::plant::{Id, Minute, Snapshot};

/// The projected balance of one item.
#[derive(Clone, Debug)]
pub struct Ledger {
    safety_stock: i128,
    on_hand: i128,
    /// What comes in (positive) and goes out (negative) at each minute.
    changes: BTreeMap<Minute, i128>,
}

/// What holds from one moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The moment.
    pub at: Minute,
    /// Projected balance.
    pub projected: i128,
    /// Available to promise.
    pub available: i128,
}

impl Ledger {
    /// A ledger with stock on hand.
    #[must_use]
    pub fn new(on_hand: i64, safety_stock: i64) -> Self {
        Self { safety_stock: safety_stock.into(), on_hand: on_hand.into(), changes: BTreeMap::new() }
    }

    /// The ledger of an item; what should have happened before `now` is taken to happen now.
    #[must_use]
    pub fn of(snapshot: &Snapshot, item: &Id, now: Minute) -> Self {
        let known = snapshot.items.get(item);
        let mut ledger =
            Self::new(known.map_or(0, |item| item.on_hand), known.map_or(0, |item| item.safety_stock));
        for receipt in snapshot.receipts.iter().filter(|receipt| receipt.item == *item) {
            ledger.add(receipt.at.max(now), receipt.quantity);
        }
        for reserved in snapshot.reserved.iter().filter(|reserved| reserved.item == *item) {
            ledger.take(reserved.at.max(now), reserved.quantity);
        }
        ledger
    }

    /// Goods come in.
    pub fn add(&mut self, at: Minute, quantity: i64) {
        *self.changes.entry(at).or_default() += i128::from(quantity);
    }

    /// Goods go out.
    pub fn take(&mut self, at: Minute, quantity: i64) {
        *self.changes.entry(at).or_default() -= i128::from(quantity);
    }

    /// The balance from `from` on, at each moment at which it changes.
    #[must_use]
    pub fn points(&self, from: Minute) -> Vec<Point> {
        let start = self.on_hand + self.changes.range(..=from).map(|(_, change)| change).sum::<i128>();
        let mut points = vec![Point { at: from, projected: start, available: 0 }];
        let mut balance = start;
        for (at, change) in self.changes.range(from.saturating_add(1)..) {
            balance += change;
            points.push(Point { at: *at, projected: balance, available: 0 });
        }
        let mut least = i128::MAX;
        for point in points.iter_mut().rev() {
            least = least.min(point.projected);
            point.available = (least - self.safety_stock).max(0);
        }
        points
    }

    /// Units that may be promised at `at`.
    #[must_use]
    pub fn available(&self, at: Minute) -> i64 {
        let available = self.points(at).first().map_or(0, |point| point.available);
        i64::try_from(available).unwrap_or(i64::MAX)
    }

    /// The first moment from `from` on at which `quantity` may be promised.
    #[must_use]
    pub fn earliest(&self, quantity: i64, from: Minute) -> Option<Minute> {
        self.points(from).iter().find(|point| point.available >= i128::from(quantity)).map(|point| point.at)
    }
}
