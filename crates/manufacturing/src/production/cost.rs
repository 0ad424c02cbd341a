//! What a plan costs, exactly: summed in millionths of a minor unit, rounded once for each part, so
//! that the parts add up to the total.

use super::plant::{DAY, Minute};

/// Millionths in a minor unit.
const MICROS: i128 = 1_000_000;

/// A cost by its parts, minor units; [`Cost::total`] is their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Stock and open orders used up, at standard cost.
    pub material: i64,
    /// Units made, bought or subcontracted.
    pub units: i64,
    /// Setups and order costs.
    pub setup: i64,
    /// Keeping what is ready before its use.
    pub holding: i64,
    /// Lateness at the demand's price.
    pub lateness: i64,
    /// Moved reservations at the demand's price.
    pub disruption: i64,
}

impl Cost {
    /// The sum of the parts.
    #[must_use]
    pub fn total(&self) -> i128 {
        [self.material, self.units, self.setup, self.holding, self.lateness, self.disruption]
            .into_iter()
            .map(i128::from)
            .sum()
    }
}

/// The sums behind a [`Cost`], in millionths of a minor unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    material: i128,
    units: i128,
    setup: i128,
    holding: i128,
    lateness: i128,
    disruption: i128,
}

impl Sums {
    pub(super) fn material(&mut self, quantity: i64, unit_cost: i64) {
        self.material += i128::from(quantity) * i128::from(unit_cost) * MICROS;
    }

    pub(super) fn order(&mut self, quantity: i64, (setup, unit_cost): (i64, i64)) {
        self.units += i128::from(quantity) * i128::from(unit_cost) * MICROS;
        self.setup += i128::from(setup) * MICROS;
    }

    pub(super) fn holding(&mut self, quantity: i64, kept: Minute, micros_per_day: i64) {
        let kept = i128::from(kept.max(0)) * i128::from(micros_per_day);
        self.holding += (i128::from(quantity) * kept) / i128::from(DAY);
    }

    pub(super) fn lateness(&mut self, late: Minute, per_day: i64) {
        self.lateness += i128::from(late.max(0)) * i128::from(per_day) * MICROS / i128::from(DAY);
    }

    pub(super) fn disruption(&mut self, moved: usize, each: i64) {
        self.disruption += i128::try_from(moved).unwrap_or_default() * i128::from(each) * MICROS;
    }

    /// The cost with each part rounded to the nearest minor unit, halves up; `None` when a part or
    /// the total is beyond 64 bits.
    pub(super) fn cost(&self) -> Option<Cost> {
        let minor = |micros: i128| i64::try_from((micros + MICROS / 2).div_euclid(MICROS)).ok();
        let cost = Cost {
            material: minor(self.material)?,
            units: minor(self.units)?,
            setup: minor(self.setup)?,
            holding: minor(self.holding)?,
            lateness: minor(self.lateness)?,
            disruption: minor(self.disruption)?,
        };
        i64::try_from(cost.total()).ok().map(|_| cost)
    }
}
