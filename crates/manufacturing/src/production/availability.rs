//! Available to promise: cumulative, with look-ahead.
//!
//! What may be promised at t is the least projected balance from t on, so that a promise never takes
//! what a later reservation counts on (cumulative ATP with look-ahead; Vollmann, Berry & Whybark,
//! Manufacturing Planning and Control Systems, ch. "Master production scheduling").

use std::collections::BTreeMap;

use super::by_item::Lines;
use super::plant::{Id, Minute, Snapshot};

/// The projected balance of one item.
#[derive(Clone, Debug)]
pub struct Ledger {
    safety_stock: i128,
    on_hand: i128,
    /// What comes in (positive) and goes out (negative) at each minute, in their order.
    changes: Vec<(Minute, i128)>,
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
        Self { safety_stock: safety_stock.into(), on_hand: on_hand.into(), changes: Vec::new() }
    }

    /// The ledger of an item; what should have happened before `now` is taken to happen now.
    #[must_use]
    pub fn of(snapshot: &Snapshot, item: &Id, now: Minute) -> Self {
        Self::with_frozen(&Lines::of(snapshot, item), &BTreeMap::new(), now)
    }

    /// The same, where reservations that are frozen take their units when their supplies come in, so
    /// that nothing else can be promised from these.
    #[must_use]
    pub fn with_frozen(lines: &Lines<'_>, frozen: &BTreeMap<Id, Vec<(Minute, i64)>>, now: Minute) -> Self {
        let mut ledger = Self::new(lines.on_hand(), lines.item.map_or(0, |item| item.safety_stock));
        ledger.changes.reserve(lines.receipts.len() + lines.reserved.len());
        ledger.changes.extend(lines.receipts.iter().map(|r| (r.at.max(now), i128::from(r.quantity))));
        for reserved in &lines.reserved {
            let held = frozen.get(&reserved.id).map_or(&[][..], Vec::as_slice);
            ledger.changes.extend(held.iter().map(|(at, units)| (*at, -i128::from(*units))));
            let rest = reserved.quantity - held.iter().map(|(_, units)| units).sum::<i64>();
            ledger.changes.push((reserved.at.max(now), -i128::from(rest)));
        }
        ledger.changes.sort_unstable();
        ledger.changes.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        ledger
    }

    /// Goods come in.
    pub fn add(&mut self, at: Minute, quantity: i64) {
        self.change(at, quantity.into());
    }

    /// Goods go out.
    pub fn take(&mut self, at: Minute, quantity: i64) {
        self.change(at, -i128::from(quantity));
    }

    fn change(&mut self, at: Minute, by: i128) {
        let place = self.changes.partition_point(|(known, _)| *known < at);
        match self.changes.get_mut(place) {
            Some((known, change)) if *known == at => *change += by,
            _ => self.changes.insert(place, (at, by)),
        }
    }

    /// The balance at `at`, and the changes after it.
    fn split(&self, at: Minute) -> (i128, &[(Minute, i128)]) {
        let place = self.changes.partition_point(|(known, _)| *known <= at);
        let (before, after) = self.changes.split_at_checked(place).unwrap_or_default();
        (self.on_hand + before.iter().map(|(_, change)| change).sum::<i128>(), after)
    }

    /// The balance from `from` on, at each moment at which it changes.
    #[must_use]
    pub fn points(&self, from: Minute) -> Vec<Point> {
        let (mut balance, changes) = self.split(from);
        let mut points = vec![Point { at: from, projected: balance, available: 0 }];
        for (at, change) in changes {
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
        let (mut balance, changes) = self.split(at);
        let mut least = balance;
        for (_, change) in changes {
            balance += change;
            least = least.min(balance);
        }
        i64::try_from((least - self.safety_stock).max(0)).unwrap_or(i64::MAX)
    }

    /// The first moment from `from` on at which `quantity` may be promised.
    #[must_use]
    pub fn earliest(&self, quantity: i64, from: Minute) -> Option<Minute> {
        self.points(from).iter().find(|point| point.available >= i128::from(quantity)).map(|point| point.at)
    }
}

/// A ledger that is asked often: what is available from each change on, found by bisection.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Moments of the changes.
    times: Vec<Minute>,
    /// The least balance after so many changes and later, less the safety stock; one more than `times`.
    least: Vec<i128>,
}

impl Outlook {
    /// The outlook of a ledger.
    #[must_use]
    pub fn of(ledger: &Ledger) -> Self {
        let mut balance = ledger.on_hand - ledger.safety_stock;
        let (mut times, mut least) = (Vec::with_capacity(ledger.changes.len()), vec![balance]);
        for (at, change) in &ledger.changes {
            balance += change;
            times.push(*at);
            least.push(balance);
        }
        let mut from_here = i128::MAX;
        for least in least.iter_mut().rev() {
            from_here = from_here.min(*least);
            *least = from_here;
        }
        Self { times, least }
    }

    fn least(&self, from: Minute) -> i128 {
        let changes = self.times.partition_point(|at| *at <= from);
        self.least.get(changes).copied().unwrap_or_default()
    }
}

/// What one plan takes from an outlook.
#[derive(Clone, Debug)]
pub struct Taking<'a> {
    outlook: &'a Outlook,
    /// Moments and units, in the order of the moments.
    taken: Vec<(Minute, i128)>,
    all: i128,
}

impl<'a> Taking<'a> {
    /// Nothing is taken yet.
    #[must_use]
    pub fn from(outlook: &'a Outlook) -> Self {
        Self { outlook, taken: Vec::new(), all: 0 }
    }

    /// Goods go out.
    pub fn take(&mut self, at: Minute, quantity: i64) {
        if quantity == 0 {
            return;
        }
        let place = self.taken.partition_point(|(known, _)| *known <= at);
        self.taken.insert(place, (at, quantity.into()));
        self.all += i128::from(quantity);
    }

    /// Units that may be promised at `at`, like [`Ledger::available`].
    ///
    /// From one taking to the next the same is gone, and later more. So the least over all stretches of
    /// "least balance from its start on, less what is gone in it" is the least balance: where a later
    /// stretch has the lower balance, it has it with more gone.
    #[must_use]
    pub fn available(&self, at: Minute) -> i64 {
        let later = self.taken.partition_point(|(known, _)| *known <= at);
        let rest = self.taken.get(later..).unwrap_or_default();
        let mut gone = self.all - rest.iter().map(|(_, units)| units).sum::<i128>();
        let mut least = self.outlook.least(at) - gone;
        for (from, units) in rest {
            gone += units;
            least = least.min(self.outlook.least(*from) - gone);
        }
        i64::try_from(least.max(0)).unwrap_or(i64::MAX)
    }

    /// The first moment from `from` on at which `quantity` may be promised, like [`Ledger::earliest`]:
    /// more becomes available only where something comes in.
    #[must_use]
    pub fn earliest(&self, quantity: i64, from: Minute) -> Option<Minute> {
        if self.available(from) >= quantity {
            return Some(from);
        }
        let times = &self.outlook.times;
        let first = times.partition_point(|at| *at <= from || self.available(*at) < quantity);
        times.get(first).copied()
    }
}
