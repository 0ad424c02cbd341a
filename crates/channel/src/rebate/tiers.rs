//! Tier schedules: marginal slices, or one rate on everything (retroactive), and the floor.

use super::calculate::{Line, LineKind};
use super::exact::{Exact, Rounding, split};
use super::plan::{Measure, Pay, ThresholdRule, Tier, TierMode, TierSchedule};

/// What a schedule is applied to: one sale, or a member's sales of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Minor units.
    pub amount: i128,
    /// Units.
    pub quantity: i128,
}

impl TierSchedule {
    /// The lines that `volume` earns; `event_id` names the sale when it is one. Their sum is the exact
    /// amount rounded once. `None` beyond 128 bits.
    #[must_use]
    pub fn lines(&self, volume: Volume, event_id: Option<&str>, rule: Rounding) -> Option<Vec<Line>> {
        let mut lines = Vec::new();
        let mut parts = Vec::new();
        for (index, tier, from, to) in self.reached(volume) {
            let base = match (self.mode, tier.pay) {
                (TierMode::Marginal, _) => to - from,
                (TierMode::Retroactive, Pay::Rate(_)) => volume.amount,
                (TierMode::Retroactive, Pay::PerUnit(_)) => volume.quantity,
            };
            let exact = match tier.pay {
                Pay::Rate(rate) => Exact::share(base, rate)?,
                Pay::PerUnit(minor) => Exact::per_unit(base, minor)?,
            };
            parts.push((index, exact));
            lines.push(Line {
                kind: LineKind::Tier { from, to },
                event_id: event_id.map(str::to_owned),
                base,
                pay: Some(tier.pay),
                exact: Some(exact),
                amount: 0,
            });
        }
        for (line, amount) in lines.iter_mut().zip(split(&parts, rule)?) {
            line.amount = amount;
        }
        let sum: i128 = lines.iter().map(|line| line.amount).sum();
        let floor = i128::from(self.floor_minor);
        if !lines.is_empty() && sum < floor {
            lines.push(Line::adjustment(LineKind::Floor { floor }, event_id, sum, floor - sum));
        }
        Some(lines)
    }

    /// The tiers that pay, each with its index and the slice of the measure that it is about.
    fn reached(&self, volume: Volume) -> Vec<(usize, Tier, i128, i128)> {
        let measure = match self.measure {
            Measure::Amount => volume.amount,
            Measure::Quantity => volume.quantity,
        };
        if measure <= 0 {
            return Vec::new();
        }
        let begins = |tier: &Tier| i128::from(tier.threshold);
        match self.mode {
            TierMode::Marginal => self
                .tiers
                .iter()
                .enumerate()
                .take_while(|(_, tier)| begins(tier) < measure)
                .map(|(index, tier)| {
                    let end = self.tiers.get(index + 1).map_or(measure, begins);
                    (index, *tier, begins(tier), end.min(measure))
                })
                .collect(),
            TierMode::Retroactive => {
                let is_reached = |tier: &Tier| match self.threshold_rule {
                    ThresholdRule::Reached => measure >= begins(tier),
                    ThresholdRule::Exceeded => measure > begins(tier),
                };
                let top = self.tiers.iter().enumerate().rfind(|(_, tier)| is_reached(tier));
                top.map(|(index, tier)| (index, *tier, begins(tier), measure)).into_iter().collect()
            }
        }
    }
}

/// A point where a retroactive schedule pays a jump: one more unit of sales, a step in money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cliff {
    /// Threshold, in the schedule's measure.
    pub threshold: i64,
    /// What is paid just below; `None` below the first tier.
    pub below: Option<Pay>,
    /// What is paid from there.
    pub from: Pay,
    /// Size of the step in exact money; `None` when it hangs on the amount that goes with a quantity.
    pub jump: Option<Exact>,
}

impl TierSchedule {
    /// The jumps of a retroactive schedule, ascending; none for a marginal one.
    #[must_use]
    pub fn cliffs(&self) -> Vec<Cliff> {
        if self.mode == TierMode::Marginal {
            return Vec::new();
        }
        let below = std::iter::once(None).chain(self.tiers.iter().map(|tier| Some(tier.pay)));
        let pairs = below.zip(&self.tiers).filter(|(_, tier)| tier.threshold > 0);
        pairs
            .filter(|(below, tier)| *below != Some(tier.pay))
            .map(|(below, tier)| {
                let worth = |pay: Pay| match (self.measure, pay) {
                    (Measure::Amount, Pay::Rate(rate)) => Exact::share(i128::from(tier.threshold), rate),
                    (Measure::Quantity, Pay::PerUnit(minor)) => {
                        Exact::per_unit(i128::from(tier.threshold), minor)
                    }
                    _ => None,
                };
                let before = below.map_or(Some(Exact::default()), worth);
                let jump = worth(tier.pay).zip(before).and_then(|(from, before)| from.minus(before));
                Cliff { threshold: tier.threshold, below, from: tier.pay, jump }
            })
            .collect()
    }
}
