//! Dynamic pegging: which supply covers which use, first needed from first available, and which
//! reservations of others a new one pushes to a later supply.

use std::collections::BTreeMap;

use super::by_item::Lines;
use super::plant::{Id, Minute};

/// What covers a use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cover {
    /// Stock on hand.
    Stock,
    /// An order that was open already.
    Receipt(Id),
    /// An order of this plan, by its number.
    Order(usize),
}

/// One supply behind one use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peg {
    /// What covers it.
    pub cover: Cover,
    /// Units.
    pub quantity: i64,
    /// When the supply is there.
    pub at: Minute,
}

/// A use of an item: somebody else's reservation, or a requirement of this plan by its number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A reservation of another production.
    Reserved(Id),
    /// A requirement of this plan.
    Requirement(usize),
}

/// A reservation of another production that is covered later than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The reservation. Example: "P-12/r3".
    pub id: Id,
    /// Its item.
    pub item: Id,
    /// When its last unit was there before.
    pub before: Minute,
    /// When its last unit is there now.
    pub after: Minute,
    /// When it is used.
    pub needed: Minute,
}

/// Covers of the uses of one item.
pub type Pegs = BTreeMap<Use, Vec<Peg>>;

/// Pegs an item's reservations, and `new` uses (number, units, moment) with them, to what is on hand
/// and on order. The uses are served in the order of their moments, reservations that are used before
/// `frozen_until` first: these keep what covers them.
#[must_use]
pub fn peg(lines: &Lines<'_>, new: &[(usize, i64, Minute)], frozen_until: Minute, now: Minute) -> Pegs {
    let mut supplies = vec![(now, Cover::Stock, lines.on_hand())];
    supplies.extend(lines.receipts.iter().map(|r| (r.at.max(now), Cover::Receipt(r.id.clone()), r.quantity)));
    supplies.sort();
    let mut uses: Vec<(bool, Minute, Use, i64)> = lines
        .reserved
        .iter()
        .map(|r| (r.at >= frozen_until, r.at.max(now), Use::Reserved(r.id.clone()), r.quantity))
        .collect();
    uses.extend(new.iter().map(|(number, units, at)| (true, *at, Use::Requirement(*number), *units)));
    uses.sort();

    let mut pegs = Pegs::new();
    let mut supplies = supplies.into_iter().filter(|supply| supply.2 > 0).peekable();
    for (_, _, user, mut open) in uses {
        while open > 0
            && let Some((at, cover, left)) = supplies.peek_mut()
        {
            let quantity = open.min(*left);
            pegs.entry(user.clone()).or_default().push(Peg { cover: cover.clone(), quantity, at: *at });
            open -= quantity;
            *left -= quantity;
            if *left == 0 {
                supplies.next();
            }
        }
    }
    pegs
}

/// What covers the reservations that are used before `frozen_until`: moments and units by reservation.
#[must_use]
pub fn frozen_supplies(
    lines: &Lines<'_>,
    frozen_until: Minute,
    now: Minute,
) -> BTreeMap<Id, Vec<(Minute, i64)>> {
    if frozen_until <= now {
        return BTreeMap::new();
    }
    let pegs = peg(lines, &[], frozen_until, now);
    let own = lines.reserved.iter().filter(|r| r.at < frozen_until);
    own.filter_map(|reserved| {
        let pegs = pegs.get(&Use::Reserved(reserved.id.clone()))?;
        Some((reserved.id.clone(), pegs.iter().map(|peg| (peg.at, peg.quantity)).collect()))
    })
    .collect()
}

/// Reservations of others that are covered later in `after` than in `before`.
#[must_use]
pub fn moved(lines: &Lines<'_>, before: &Pegs, after: &Pegs) -> Vec<Moved> {
    let last = |pegs: &Pegs, user: &Use| pegs.get(user).and_then(|pegs| pegs.iter().map(|peg| peg.at).max());
    let own = lines.reserved.iter();
    own.filter_map(|reserved| {
        let user = Use::Reserved(reserved.id.clone());
        let (before, after) = (last(before, &user)?, last(after, &user)?);
        let (id, item) = (reserved.id.clone(), reserved.item.clone());
        (after > before).then_some(Moved { id, item, before, after, needed: reserved.at })
    })
    .collect()
}
