//! Tier schedules: marginal slices, or one rate on everything (retroactive), and the floor.

use super::exact::{Exact, Rounding, split};
use super::line::{Line, LineKind};
use super::plan::{Measure, Pay, PaysOn, ThresholdRule, Tier, TierMode, TierSchedule, WHOLE_BP};
use super::reason::TierReached;

/// What a schedule is applied to: one sale, or a member's sales of a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Minor units.
    pub amount: i128,
    /// Units.
    pub quantity: i128,
    /// What decides the tier beside amount and quantity.
    pub beside: Beside,
}

/// What decides the tier beside amount and quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// Minor units and units of a rolling window.
    Window(i128, i128),
    /// Minor units of the baseline.
    Baseline(i128),
    /// Minor units that pass the mix filter.
    Mix(i128),
    /// Days between payment and due day.
    DaysEarly(i32),
}

/// A measure: its value is `over / under`, in the schedule's unit, and never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measured {
    over: i128,
    under: i128,
}

/// The schedule's rate on what it is applied to.
struct Reached {
    index: usize,
    tier: Tier,
    from: i128,
    to: i128,
}

impl TierSchedule {
    /// The lines that `volume` earns; `event_id` names the sale when it is one. Their sum is the exact
    /// amount rounded once. `None` beyond 128 bits.
    #[must_use]
    pub fn lines(&self, volume: Volume, event_id: Option<&str>, rule: Rounding) -> Option<Vec<Line>> {
        let mut lines = Vec::new();
        let mut parts = Vec::new();
        for Reached { index, tier, from, to } in self.reached(volume)? {
            let base = self.base_of(tier, from, to, volume);
            let exact = worth(tier.pay, base)?;
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

    /// The rounded amount of [`TierSchedule::lines`] without the lines: what is asked most.
    #[must_use]
    pub fn amount(&self, volume: Volume, rule: Rounding) -> Option<i128> {
        self.amount_of(volume, rule).map(|(amount, _)| amount)
    }

    /// The amount, and how many lines it is.
    pub(super) fn amount_of(&self, volume: Volume, rule: Rounding) -> Option<(i128, usize)> {
        let (exact, lines) = self.exact(volume)?;
        if lines == 0 {
            return Some((0, 0));
        }
        let (amount, floor) = (exact.rounded(rule), i128::from(self.floor_minor));
        Some(if amount < floor { (floor, lines + 1) } else { (amount, lines) })
    }

    /// The amount with its floor, before rounding and after.
    pub(super) fn earned(&self, volume: Volume, rule: Rounding) -> Option<(Exact, i128)> {
        let (exact, lines) = self.exact(volume)?;
        let floor = i128::from(self.floor_minor);
        if lines > 0 && exact.rounded(rule) < floor {
            return Some((Exact::share(floor, WHOLE_BP)?, floor));
        }
        Some((exact, exact.rounded(rule)))
    }

    /// The amount before rounding and floor, and how many tiers it is of.
    fn exact(&self, volume: Volume) -> Option<(Exact, usize)> {
        let (mut exact, mut lines) = (Exact::default(), 0);
        for Reached { tier, from, to, .. } in self.reached(volume)? {
            exact = exact.plus(worth(tier.pay, self.base_of(tier, from, to, volume))?)?;
            lines += 1;
        }
        Some((exact, lines))
    }

    /// The highest tier that `volume` reaches; the outer `None` is beyond 128 bits.
    pub(super) fn top(&self, volume: Volume) -> Option<Option<TierReached>> {
        let Some(Reached { tier, from, to, .. }) = self.reached(volume)?.last() else { return Some(None) };
        let base = i64::try_from(self.base_of(tier, from, to, volume)).ok()?;
        Some(Some(TierReached { threshold: tier.threshold, pay: tier.pay, base }))
    }

    /// The most that a measure can be without reaching more than `up` tiers above those that `measure`
    /// reaches; `None` when there are no more.
    pub(super) fn highest(&self, measure: i128, up: u32) -> Option<i128> {
        let at_threshold =
            self.mode == TierMode::Retroactive && self.threshold_rule == ThresholdRule::Reached;
        let begins = |tier: &Tier| i128::from(tier.threshold) - i128::from(at_threshold);
        let reached = self.tiers.iter().take_while(|tier| measure > begins(tier)).count();
        self.tiers.get(reached.saturating_add(usize::try_from(up).ok()?)).map(begins)
    }

    /// What `volume` earns when its measure, `so_far`, is expected to come to `total`: its share of what the
    /// tiers pay on that. `None` beyond 128 bits.
    pub(super) fn spread(&self, volume: Volume, so_far: i128, total: i128, rule: Rounding) -> Option<Spread> {
        let at_end = |part: i128| {
            if part == so_far {
                Some(total)
            } else {
                Some(part.checked_mul(total)?.div_euclid(so_far.max(1)))
            }
        };
        let end = Volume { amount: at_end(volume.amount)?, quantity: at_end(volume.quantity)?, ..volume };
        let Some(tier) = self.top(end)? else { return Some(Spread::default()) };
        let (exact, _) = self.exact(end)?;
        let floor = i128::from(self.floor_minor);
        let raised = exact.rounded(rule) < floor;
        let whole = if raised { Exact::share(floor, WHOLE_BP)? } else { exact };
        let flat = (self.mode == TierMode::Retroactive && !raised).then_some(tier.pay);
        let part = match flat {
            Some(Pay::Rate(rate)) => Exact::share(volume.amount, rate)?,
            Some(Pay::PerUnit(minor)) => Exact::per_unit(volume.quantity, minor)?,
            None => whole.portion(so_far, total)?,
        };
        Some(Spread { tier: Some(tier), whole: whole.rounded(rule), part, flat })
    }

    /// What a reached tier's pay is applied to: minor units, or units.
    fn base_of(&self, tier: Tier, from: i128, to: i128, volume: Volume) -> i128 {
        match (self.mode, tier.pay) {
            (TierMode::Marginal, _) => to - from,
            (TierMode::Retroactive, Pay::Rate(_)) => self.paid_on(volume),
            (TierMode::Retroactive, Pay::PerUnit(_)) => volume.quantity,
        }
    }

    /// What a retroactive rate is applied to, minor units.
    fn paid_on(&self, volume: Volume) -> i128 {
        match (self.pays_on, volume.beside) {
            (PaysOn::Part, Beside::Baseline(baseline)) => volume.amount - baseline,
            (PaysOn::Part, Beside::Mix(part)) => part,
            _ => volume.amount,
        }
    }

    /// The measure of `volume`; `None` for one that pays nothing: nothing sold, no growth, no baseline to
    /// grow from, paid late or not yet. The outer `None` is beyond 128 bits.
    fn measured(&self, volume: Volume) -> Option<Option<Measured>> {
        let whole = |over: i128| (over > 0).then_some(Measured { over, under: 1 });
        let ratio = |part: i128, of: i128| {
            if part < 0 || of <= 0 {
                return Some(None);
            }
            Some(Some(Measured { over: part.checked_mul(WHOLE_BP.into())?, under: of }))
        };
        let sold = volume.amount > 0 || volume.quantity > 0;
        Some(match (self.measure, volume.beside) {
            _ if !sold => None,
            (Measure::Amount, Beside::Window(amount, _)) => whole(amount),
            (Measure::Amount, _) => whole(volume.amount),
            (Measure::Quantity, Beside::Window(_, quantity)) => whole(quantity),
            (Measure::Quantity, _) => whole(volume.quantity),
            (Measure::Growth, Beside::Baseline(baseline)) => ratio(volume.amount - baseline, baseline)?,
            (Measure::Mix, Beside::Mix(part)) => ratio(part, volume.amount)?,
            (Measure::EarlyPayment, Beside::DaysEarly(days)) if days >= 0 && volume.amount > 0 => {
                Some(Measured { over: days.into(), under: 1 })
            }
            (Measure::Growth | Measure::Mix | Measure::EarlyPayment, _) => None,
        })
    }

    /// The tiers that pay, each with its index and the slice of the measure that it is about.
    fn reached(&self, volume: Volume) -> Option<impl Iterator<Item = Reached>> {
        let Some(measured) = self.measured(volume)? else { return Some(Either::None) };
        let begins = |tier: &Tier| i128::from(tier.threshold);
        Some(match self.mode {
            TierMode::Marginal => {
                let measure = measured.over;
                let reached =
                    self.tiers.iter().enumerate().take_while(move |(_, tier)| begins(tier) < measure);
                Either::Many(reached.map(move |(index, tier)| {
                    let end = self.tiers.get(index + 1).map_or(measure, begins);
                    Reached { index, tier: *tier, from: begins(tier), to: end.min(measure) }
                }))
            }
            TierMode::Retroactive => {
                // Thresholds are at most 10^13 and the measure's parts come from 64 bits, so this fits.
                let order = |tier: &Tier| measured.over.cmp(&begins(tier).saturating_mul(measured.under));
                let is_reached = |tier: &Tier| match self.threshold_rule {
                    ThresholdRule::Reached => order(tier).is_ge(),
                    ThresholdRule::Exceeded => order(tier).is_gt(),
                };
                let top = self.tiers.iter().enumerate().rfind(|(_, tier)| is_reached(tier));
                let to = measured.over / measured.under.max(1);
                let top = top.map(|(index, tier)| Reached { index, tier: *tier, from: begins(tier), to });
                Either::One(top.into_iter())
            }
        })
    }
}

/// What the tiers pay on an expected total, and the part of it that sales so far have earned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    /// The tier that the total reaches.
    pub tier: Option<TierReached>,
    /// What is paid on the total, minor units.
    pub whole: i128,
    /// What of it falls on the sales so far.
    pub part: Exact,
    /// What everything is paid with, when it is paid with one rate and no floor.
    pub flat: Option<Pay>,
}

/// An iterator of tiers, whichever the mode makes.
enum Either<M> {
    None,
    One(std::option::IntoIter<Reached>),
    Many(M),
}

impl<M: Iterator<Item = Reached>> Iterator for Either<M> {
    type Item = Reached;

    fn next(&mut self) -> Option<Reached> {
        match self {
            Self::None => None,
            Self::One(one) => one.next(),
            Self::Many(many) => many.next(),
        }
    }
}

fn worth(pay: Pay, base: i128) -> Option<Exact> {
    match pay {
        Pay::Rate(rate) => Exact::share(base, rate),
        Pay::PerUnit(minor) => Exact::per_unit(base, minor),
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
