//! What a member's sales add up to, and what decides its tier.

use super::calculate::{CalculateError, selected};
use super::facts::NetSale;
use super::plan::{Baseline, Measure, TierSchedule};
use super::tiers::{Beside, Volume};

/// What a member's sales of the period add up to, and what decides the tier beside them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    amount: i128,
    quantity: i128,
    window: (i128, i128),
    baseline: i128,
    mix: i128,
}

impl Sums {
    /// Adds a sale that earns, or that is looked at beside the period's own, or both.
    pub(super) fn add(
        &mut self,
        schedule: &TierSchedule,
        sale: &NetSale<'_>,
        earns: bool,
        looked_at: bool,
    ) -> Result<(), CalculateError> {
        let (amount, quantity) = (i128::from(sale.amount_minor), i128::from(sale.quantity));
        if looked_at && schedule.window_days > 0 {
            self.window.0 += amount;
            self.window.1 += quantity;
        } else if looked_at {
            self.baseline += amount;
        }
        if earns {
            self.amount += amount;
            self.quantity += quantity;
            if let Some(mix) = &schedule.mix
                && selected(sale, mix.passes(sale.sale))?
            {
                self.mix += amount;
            }
        }
        Ok(())
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            amount: self.amount + other.amount,
            quantity: self.quantity + other.quantity,
            window: (self.window.0 + other.window.0, self.window.1 + other.window.1),
            baseline: self.baseline + other.baseline,
            mix: self.mix + other.mix,
        }
    }

    pub(super) fn less(&self, other: &Self) -> Self {
        Self {
            amount: self.amount - other.amount,
            quantity: self.quantity - other.quantity,
            window: (self.window.0 - other.window.0, self.window.1 - other.window.1),
            baseline: self.baseline - other.baseline,
            mix: self.mix - other.mix,
        }
    }

    pub(super) fn volume(&self, schedule: &TierSchedule) -> Volume {
        let beside = match (schedule.measure, schedule.baseline) {
            _ if schedule.window_days > 0 => Beside::Window(self.window.0, self.window.1),
            (Measure::Growth, Baseline::Fixed(minor)) => Beside::Baseline(minor.into()),
            (Measure::Growth, _) => Beside::Baseline(self.baseline),
            (Measure::Mix, _) => Beside::Mix(self.mix),
            _ => Beside::Nothing,
        };
        Volume { amount: self.amount, quantity: self.quantity, beside }
    }
}
