//! The economic order quantity and its relatives under constant demand.
//!
//! F. W. Harris 1913; with planned backorders and finite production rate after E. W. Taft 1918; price
//! breaks after Hadley & Whitin 1963. Formulas and notation: L. V. Snyder, Z.-J. M. Shen, Fundamentals
//! of Supply Chain Theory, 2nd ed. 2019, ch. 3. Costs are for one unit of time, the one of the rate.

use super::{PolicyError, not_negative, positive};

/// Most price breaks.
pub const BREAKS_MAX: usize = 100;

/// What all variants have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Eoq {
    /// Cost of an order or a setup, 0 or more.
    pub setup: f64,
    /// Keeping a unit for one unit of time, more than 0.
    pub holding: f64,
    /// Units a unit of time, more than 0.
    pub rate: f64,
}

/// An order quantity with its cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// Units an order.
    pub quantity: f64,
    /// Cost of a unit of time.
    pub cost: f64,
}

/// Which units a price break is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discount {
    /// The price of the break holds for all units of the order.
    AllUnits,
    /// The price of the break holds for the units beyond it.
    Incremental,
}

/// A price from a quantity on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Break {
    /// Least quantity; the first break's is 0.
    pub from: f64,
    /// Price of a unit.
    pub price: f64,
}

impl Eoq {
    /// Itself, when its numbers are in their ranges.
    ///
    /// # Errors
    /// When they aren't.
    pub fn checked(self) -> Result<Self, PolicyError> {
        not_negative("setup cost", self.setup)?;
        positive("holding cost", self.holding)?;
        positive("demand rate", self.rate)?;
        Ok(self)
    }

    /// √(2Kλ/h).
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn plain(self) -> Result<Quantity, PolicyError> {
        let Self { setup, holding, rate } = self.checked()?;
        let quantity = (2.0 * setup * rate / holding).sqrt();
        Ok(Quantity { quantity, cost: quantity * holding })
    }

    /// With backorders at `stockout` a unit and unit of time, and the share of the demand that waits.
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn with_backorders(self, stockout: f64) -> Result<(Quantity, f64), PolicyError> {
        let Self { setup, holding, rate } = self.checked()?;
        positive("stockout cost", stockout)?;
        let quantity = (2.0 * setup * rate * (holding + stockout) / (holding * stockout)).sqrt();
        let share = holding / (holding + stockout);
        Ok((Quantity { quantity, cost: quantity * holding * (1.0 - share) }, share))
    }

    /// With goods that come in at `production` units a unit of time: the economic production quantity.
    ///
    /// # Errors
    /// When a number is out of its range, or production isn't faster than demand.
    pub fn with_production_rate(self, production: f64) -> Result<Quantity, PolicyError> {
        self.checked()?;
        if !production.is_finite() || production <= self.rate {
            return Err(PolicyError::Domain("production rate", "more than the demand rate"));
        }
        Self { holding: self.holding * (1.0 - self.rate / production), ..self }.plain()
    }
}

/// The best quantity under price breaks, with holding at `holding_share` of the price for a unit of
/// time. The cost contains the goods.
///
/// # Errors
/// When a number is out of its range, or the breaks don't rise from 0.
pub fn with_discounts(
    setup: f64,
    holding_share: f64,
    rate: f64,
    discount: Discount,
    breaks: &[Break],
) -> Result<Quantity, PolicyError> {
    not_negative("setup cost", setup)?;
    positive("holding share", holding_share)?;
    positive("demand rate", rate)?;
    let rising = breaks.windows(2).all(|pair| matches!(pair, [a, b] if a.from < b.from));
    let from_zero = breaks.first().is_some_and(|first| first.from == 0.0);
    if !rising || !from_zero || breaks.len() > BREAKS_MAX {
        return Err(PolicyError::Domain("price breaks", "at most 100 and rising from 0"));
    }
    let ends = breaks.iter().skip(1).map(|next| next.from).chain([f64::INFINITY]);
    // What the units below a break cost more than at its own price.
    let mut extra = 0.0;
    let mut before: Option<Break> = None;
    let mut best: Option<Quantity> = None;
    for (own, end) in breaks.iter().zip(ends) {
        positive("price", own.price)?;
        let holding = holding_share * own.price;
        if let (Discount::Incremental, Some(before)) = (discount, before) {
            extra += (before.price - own.price) * own.from;
        }
        before = Some(*own);
        let ideal = (2.0 * (setup + extra) * rate / holding).sqrt();
        if !ideal.is_finite() || (ideal >= end && discount == Discount::Incremental) {
            continue;
        }
        // Within its own range; a range without a least point at its end is served by the next one.
        let quantity = match discount {
            Discount::AllUnits if ideal >= end => continue,
            Discount::AllUnits => ideal.max(own.from),
            Discount::Incremental if ideal < own.from => continue,
            Discount::Incremental => ideal,
        };
        let ordering = if quantity > 0.0 { (setup + extra) * rate / quantity } else { 0.0 };
        let cost = own.price * rate + ordering + holding * quantity / 2.0 + holding_share * extra / 2.0;
        if best.is_none_or(|known| cost < known.cost) {
            best = Some(Quantity { quantity, cost });
        }
    }
    best.ok_or(PolicyError::Domain("price breaks", "such that a larger quantity costs no less"))
}
