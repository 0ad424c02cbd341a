//! A finite horizon of random demand: for each period a reorder point and an order-up-to level.
//!
//! Stochastic dynamic program of H. Scarf, "The optimality of (S,s) policies in the dynamic inventory
//! problem" (1960), in the form of Snyder & Shen §4.4: normal demand is rounded to whole units, stock
//! levels are whole units, and demand beyond six standard deviations is left out.

use super::distribution::Demand;
use super::newsvendor::expected;
use super::{PolicyError, normal, not_negative, positive};

/// Most periods.
pub const PERIODS_MAX: usize = 60;
/// Most stock levels of the grid.
pub const LEVELS_MAX: i64 = 20_000;
/// Most levels × demands × periods: about a second.
const WORK_MAX: usize = 300_000_000;
/// Standard deviations of a period's demand that are looked at: beyond them it is less than 1e-8 likely.
const SPREAD: f64 = 6.0;

/// What such a plan is for; the same in all periods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// Periods, 1 to [`PERIODS_MAX`].
    pub periods: usize,
    /// Cost of an order.
    pub setup: f64,
    /// Price of a unit.
    pub purchase: f64,
    /// Keeping a unit to the next period.
    pub holding: f64,
    /// A unit short at the end of a period.
    pub stockout: f64,
    /// A unit left, and a unit short, after the last period.
    pub terminal: (f64, f64),
    /// Mean and standard deviation of a period's demand.
    pub demand: (f64, f64),
    /// What a cost of the next period counts today, above 0 and at most 1.
    pub discount: f64,
    /// Stock before the first period, units.
    pub stock: i64,
}

/// Levels of one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Order when the stock is at or below this.
    pub reorder_point: i64,
    /// Order up to this.
    pub order_up_to: i64,
}

/// Levels for each period, and the expected cost of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// First period first.
    pub levels: Vec<Levels>,
    /// Expected discounted cost.
    pub cost: f64,
}

/// The optimum.
///
/// # Errors
/// When a number is out of its range, or the grid would be too large.
pub fn optimum(terms: &Terms) -> Result<Plan, PolicyError> {
    within(terms, SPREAD)
}

/// The same with demand cut at so many standard deviations.
pub(super) fn within(terms: &Terms, spread: f64) -> Result<Plan, PolicyError> {
    let Terms { setup, purchase, holding, stockout, terminal, discount, .. } = *terms;
    not_negative("setup cost", setup)?;
    not_negative("purchase price", purchase)?;
    positive("holding cost", holding)?;
    positive("stockout cost", stockout)?;
    not_negative("terminal holding cost", terminal.0)?;
    not_negative("terminal stockout cost", terminal.1)?;
    let (mean, sd) = (positive("demand mean", terms.demand.0)?, positive("demand sd", terms.demand.1)?);
    if !(discount > 0.0 && discount <= 1.0 && (1..=PERIODS_MAX).contains(&terms.periods)) {
        return Err(PolicyError::Domain("discount and periods", "above 0 to 1, and 1 to 60"));
    }
    let grid = Grid::of(terms, mean, sd)?;
    let masses = masses(mean, sd, spread);
    if grid.count.saturating_mul(masses.len()).saturating_mul(terms.periods) > WORK_MAX {
        return Err(PolicyError::TooLarge(WORK_MAX));
    }
    let demand = Demand::Normal { mean, sd };
    let mut after: Vec<f64> =
        grid.levels().map(|x| terminal.0 * x.max(0.0) + terminal.1 * (-x).max(0.0)).collect();
    let mut levels = Vec::with_capacity(terms.periods);
    for _ in 0..terms.periods {
        // Cost from a level after ordering, without the order itself.
        let from: Vec<f64> = grid
            .levels()
            .enumerate()
            .map(|(at, y)| {
                let later: f64 = masses.iter().map(|(d, share)| share * grid.at(&after, at, *d)).sum();
                purchase * y + expected(holding, stockout, &demand, y) + discount * later
            })
            .collect();
        let best = from.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
        let (top, least) = best.map_or((0, 0.0), |(at, cost)| (at, *cost));
        // Below the best level ordering pays where it saves more than the setup.
        let orders = from.iter().take(top).rposition(|cost| setup + least < *cost);
        let level = |at: usize| grid.low + i64::try_from(at).unwrap_or_default();
        levels.push(Levels { reorder_point: orders.map_or(grid.low - 1, level), order_up_to: level(top) });
        after = grid
            .levels()
            .zip(&from)
            .enumerate()
            .map(|(at, (x, stay))| {
                let order = if at < top { setup + least } else { f64::INFINITY };
                order.min(*stay) - purchase * x
            })
            .collect();
    }
    levels.reverse();
    let at = usize::try_from(terms.stock - grid.low).ok();
    let cost = at.and_then(|at| after.get(at)).copied();
    Ok(Plan { levels, cost: cost.ok_or(PolicyError::Domain("stock", "within the range of the plan"))? })
}

/// The whole stock levels that the program looks at.
struct Grid {
    low: i64,
    count: usize,
}

impl Grid {
    fn of(terms: &Terms, mean: f64, sd: f64) -> Result<Self, PolicyError> {
        let cycle = (2.0 * terms.setup * mean * (terms.holding + terms.stockout)
            / (terms.holding * terms.stockout))
            .sqrt();
        #[allow(clippy::cast_possible_truncation, reason = "compared with the limit right below")]
        let (low, high) =
            ((-(mean + 10.0 * sd + cycle)).floor() as i64, (mean + 10.0 * sd + 2.0 * cycle).ceil() as i64);
        let (low, high) = (low.min(terms.stock), high.max(terms.stock));
        match usize::try_from(high.saturating_sub(low).saturating_add(1)) {
            Ok(count) if high - low < LEVELS_MAX => Ok(Self { low, count }),
            _ => Err(PolicyError::TooLarge(usize::try_from(LEVELS_MAX).unwrap_or(usize::MAX))),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "levels are below 2^52")]
    fn levels(&self) -> impl Iterator<Item = f64> + '_ {
        (self.low..).take(self.count).map(|level| level as f64)
    }

    /// The value `down` levels below the one at `at`; below the grid it goes on as a straight line.
    fn at(&self, values: &[f64], at: usize, down: u32) -> f64 {
        let down = down as usize;
        if let Some(value) = at.checked_sub(down).and_then(|at| values.get(at)) {
            return *value;
        }
        let (first, second) = (values.first().copied(), values.get(1).copied());
        let (first, second) = (first.unwrap_or_default(), second.unwrap_or_default());
        let below = u32::try_from(down - at).map_or(f64::from(u32::MAX), f64::from);
        first + (first - second) * below
    }
}

/// Whole demands with the probability that normal demand rounds to them.
fn masses(mean: f64, sd: f64, spread: f64) -> Vec<(u32, f64)> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the grid's limit")]
    let (low, high) =
        ((mean - spread * sd).round().max(0.0) as u32, (mean + spread * sd).round().max(0.0) as u32);
    let above = |x: f64| normal::above((x - mean) / sd);
    (low..=high).map(|d| (d, above(f64::from(d) - 0.5) - above(f64::from(d) + 0.5))).collect()
}
