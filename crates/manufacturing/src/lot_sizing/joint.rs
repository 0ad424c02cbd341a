//! Joint replenishment: items that share the cost of an order, each ordered every m-th time.
//!
//! E. A. Silver, "A simple method of determining order quantities in joint replenishments under
//! deterministic demand", Management Science 22 (1976); then cycle and multiples are improved in turn
//! until neither changes (S. K. Goyal, 1974), which never costs more.

use super::{PolicyError, not_negative, positive};

/// Most items.
pub const ITEMS_MAX: usize = 1_000;
/// Largest multiple.
const MULTIPLE_MAX: f64 = 1_000_000.0;
/// Rounds of improvement; each lowers the cost, a handful is usual.
const ROUNDS_MAX: u32 = 100;

/// One item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// Cost of having it in an order.
    pub setup: f64,
    /// Keeping a unit for one unit of time.
    pub holding: f64,
    /// Units a unit of time.
    pub rate: f64,
}

/// The common cycle and each item's multiple of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// Time between orders.
    pub cycle: f64,
    /// Item i is in every `multiples[i]`-th order.
    pub multiples: Vec<f64>,
    /// Cost of a unit of time.
    pub cost: f64,
}

/// Cycle and multiples for items that share `shared` an order.
///
/// # Errors
/// When a number is out of its range.
pub fn joint_replenishment(shared: f64, items: &[Item]) -> Result<Joint, PolicyError> {
    not_negative("shared setup cost", shared)?;
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(PolicyError::Domain("items", "1 to 1,000"));
    }
    for item in items {
        positive("setup cost of an item", item.setup)?;
        positive("holding cost", item.holding)?;
        positive("demand rate", item.rate)?;
    }
    let ratio = |item: &Item| item.setup / (item.holding * item.rate);
    let base = items.iter().copied().min_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let base = base.ok_or(PolicyError::Domain("items", "1 to 1,000"))?;
    let unit = (shared + base.setup) / (base.holding * base.rate);
    let mut multiples: Vec<f64> = items.iter().map(|item| whole(ratio(item) / unit)).collect();
    // The base item is in every order.
    if let Some((_, first)) =
        items.iter().zip(&mut multiples).min_by(|a, b| ratio(a.0).total_cmp(&ratio(b.0)))
    {
        *first = 1.0;
    }
    let mut best = with(shared, items, multiples);
    for _ in 0..ROUNDS_MAX {
        let cycle = best.cycle;
        let multiples = items.iter().map(|item| whole(2.0 * ratio(item) / (cycle * cycle))).collect();
        let next = with(shared, items, multiples);
        if next.cost >= best.cost - best.cost * 1e-12 {
            break;
        }
        best = next;
    }
    Ok(best)
}

/// The m ≥ 1 with m·(m − 1) ≤ `square` ≤ m·(m + 1): the best whole number for an ideal of √`square`.
fn whole(square: f64) -> f64 {
    let mut m = square.sqrt().floor().clamp(1.0, MULTIPLE_MAX);
    if m * (m + 1.0) < square {
        m += 1.0;
    }
    m
}

/// The best cycle for given multiples.
#[must_use]
pub fn with(shared: f64, items: &[Item], multiples: Vec<f64>) -> Joint {
    let setups = items.iter().zip(&multiples).map(|(item, m)| item.setup / m).sum::<f64>() + shared;
    let holding: f64 = items.iter().zip(&multiples).map(|(item, m)| m * item.holding * item.rate).sum();
    Joint { cycle: (2.0 * setups / holding).sqrt(), cost: (2.0 * setups * holding).sqrt(), multiples }
}
