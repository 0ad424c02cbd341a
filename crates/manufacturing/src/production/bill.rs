//! Bills of materials: low-level codes, cycles, and exact quantities.
//!
//! An item's low-level code is the deepest level at which it is used, so that all its requirements
//! are known before it is netted (Orlicky, Material Requirements Planning, 1975).

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::plant::{Component, Id, QUANTITY_MAX};

/// Most items in one bill, all levels.
pub const ITEMS_MAX: usize = 2_000;
/// Most levels.
pub const LEVELS_MAX: u32 = 64;
/// Basis points of the whole.
const WHOLE: i128 = 10_000;

/// What is wrong with a bill.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BillError {
    /// An item is part of itself.
    #[error("bill of materials has a cycle: {}", path.join(" -> "))]
    Cycle {
        /// The cycle, first and last the same.
        path: Vec<String>,
    },
    /// An item is used that isn't there.
    #[error("item {item} is not known{}", used_in.as_ref().map(|p| format!("; {p} is made of it")).unwrap_or_default())]
    Unknown {
        /// The item.
        item: Id,
        /// Which item uses it; `None` for the wanted item itself.
        used_in: Option<Id>,
    },
    /// More items or levels than a plan holds.
    #[error("bill of materials of {item} has more than {ITEMS_MAX} items or {LEVELS_MAX} levels")]
    TooLarge {
        /// The wanted item.
        item: Id,
    },
}

/// The items of one bill with their low-level codes, users before what they use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Items in the order in which they are netted.
    pub order: Vec<(Id, u32)>,
}

impl Levels {
    /// The low-level codes of `top` and all that it is made of; `parts` gives an item's bill, or
    /// `None` when the item isn't known.
    ///
    /// # Errors
    /// When an item is missing, part of itself, or the bill is too large.
    pub fn of<'a>(top: &Id, parts: impl Fn(&Id) -> Option<&'a [Component]>) -> Result<Self, BillError> {
        let mut users: BTreeMap<Id, usize> = BTreeMap::from([(top.clone(), 0)]);
        let mut found = vec![(top.clone(), None::<Id>)];
        let mut next = 0;
        while let Some((item, used_in)) = found.get(next).cloned() {
            next += 1;
            let bill = parts(&item).ok_or(BillError::Unknown { item: item.clone(), used_in })?;
            for component in bill {
                let seen = users.contains_key(&component.item);
                *users.entry(component.item.clone()).or_default() += 1;
                if !seen {
                    found.push((component.item.clone(), Some(item.clone())));
                }
            }
            if found.len() > ITEMS_MAX {
                return Err(BillError::TooLarge { item: top.clone() });
            }
        }
        // Kahn's order: an item is ready when all its users have been placed.
        let mut codes = BTreeMap::from([(top.clone(), 0u32)]);
        let mut ready = if users.get(top) == Some(&0) { vec![top.clone()] } else { Vec::new() };
        let mut placed = 0;
        while let Some(item) = ready.pop() {
            placed += 1;
            let code = codes.get(&item).copied().unwrap_or_default();
            if code > LEVELS_MAX {
                return Err(BillError::TooLarge { item: top.clone() });
            }
            for component in parts(&item).unwrap_or_default() {
                let deepest = codes.entry(component.item.clone()).or_default();
                *deepest = (*deepest).max(code + 1);
                if let Some(left) = users.get_mut(&component.item) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(component.item.clone());
                    }
                }
            }
        }
        if placed < found.len() {
            let path = cycle(found.iter().map(|(item, _)| item), &parts).unwrap_or_default();
            return Err(BillError::Cycle { path });
        }
        let mut order: Vec<(Id, u32)> = codes.into_iter().collect();
        order.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        Ok(Self { order })
    }
}

/// A cycle among `items`, first and last the same; `None` when there is none.
pub fn cycle<'a, 'b>(
    items: impl IntoIterator<Item = &'b Id>,
    parts: &impl Fn(&Id) -> Option<&'a [Component]>,
) -> Option<Vec<String>> {
    let mut clean: BTreeSet<Id> = BTreeSet::new();
    for start in items {
        // A path and, for each of its items, the parts that are still to be walked.
        let mut path: Vec<(Id, Vec<Id>)> = vec![(start.clone(), uses(start, parts))];
        while let Some((item, left)) = path.last_mut() {
            let Some(part) = left.pop() else {
                clean.insert(item.clone());
                path.pop();
                continue;
            };
            if let Some(at) = path.iter().position(|(id, _)| *id == part) {
                let ids = path.iter().skip(at).map(|(id, _)| id.to_string());
                return Some(ids.chain([part.to_string()]).collect());
            }
            if !clean.contains(&part) {
                let below = uses(&part, parts);
                path.push((part, below));
            }
        }
    }
    None
}

fn uses<'a>(item: &Id, parts: &impl Fn(&Id) -> Option<&'a [Component]>) -> Vec<Id> {
    parts(item).unwrap_or_default().iter().map(|component| component.item.clone()).collect()
}

/// Units of a part that `parent` units need: ⌈parent · quantity / per / (1 − scrap)⌉, exact; `None`
/// when that is more than [`QUANTITY_MAX`].
#[must_use]
pub fn needed(component: &Component, parent: i64) -> Option<i64> {
    let kept = WHOLE - i128::from(component.scrap_basis_points.clamp(0, 9_999));
    let wanted = i128::from(parent) * i128::from(component.quantity) * WHOLE;
    let per = i128::from(component.per.max(1)) * kept;
    let units = (wanted + per - 1) / per;
    i64::try_from(units).ok().filter(|units| *units <= QUANTITY_MAX)
}
