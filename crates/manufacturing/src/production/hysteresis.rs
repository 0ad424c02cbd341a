//! Hysteresis: a plan that exists is kept unless a change saves enough to be worth the unrest.
//!
//! Against the nervousness of planning systems (D. C. Steele, "The nervous MRP system: how to do
//! battle", Production and Inventory Management 16, 1975).

/// What a change must save.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hysteresis {
    /// More lateness than this, minutes over all deliveries…
    pub lateness_min: i64,
    /// …or more cost than this, minor units.
    pub cost_min: i64,
}

impl Hysteresis {
    /// Whether a change is worth it that saves so many minutes and minor units: enough of one, and
    /// nothing of the other is lost.
    #[must_use]
    pub fn is_worth(&self, lateness: i128, cost: i128) -> bool {
        let enough = lateness > i128::from(self.lateness_min) || cost > i128::from(self.cost_min);
        enough && lateness >= 0 && cost >= 0
    }
}
