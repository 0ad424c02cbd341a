//! Lot sizing over a known demand: exact (Wagner–Whitin), rolling (Silver–Meal), lot for lot.
//!
//! Sources: H. M. Wagner, T. M. Whitin, "Dynamic version of the economic lot size model", Management
//! Science 5 (1958); A. Wagelmans, S. van Hoesel, A. Kolen, "Economic lot sizing: an O(n log n)
//! algorithm that runs in linear time in the Wagner–Whitin case", Operations Research 40 (1992);
//! E. A. Silver, H. C. Meal, Production and Inventory Management 14 (1973).

use thiserror::Error;

/// Most periods of one call.
pub const PERIODS_MAX: usize = 20_000;
/// Largest sum of the demand, so that all products stay within 128 bits.
pub const DEMAND_MAX: i64 = 10_000_000_000;
/// Largest sum of all setups, in the caller's unit.
pub const COST_MAX: i128 = 100_000_000_000_000_000_000_000_000;
/// Largest cost of a unit, made and kept over all periods, in the caller's unit.
pub const UNIT_COST_MAX: i128 = 100_000_000_000_000_000;

/// One period with its demand and costs; costs are in any one integer unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// Units that leave in this period.
    pub demand: i64,
    /// Cost of having a lot in this period.
    pub setup: i128,
    /// Cost of making a unit in this period.
    pub unit: i128,
    /// Cost of carrying a unit from this period to the next.
    pub hold: i128,
}

/// Lots by period, and what they cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LotPlan {
    /// Units made in each period; 0 for no lot.
    pub lots: Vec<i64>,
    /// Setup, unit and holding cost of all periods.
    pub cost: i128,
}

/// Why lots can't be sized.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LotError {
    /// A negative demand or cost.
    #[error("period {0} has a negative demand or cost")]
    Negative(usize),
    /// More than the method is made for.
    #[error("lot sizing takes at most {PERIODS_MAX} periods, {DEMAND_MAX} units and costs up to its limits")]
    TooLarge,
}

/// The cheapest lots: O(T log T), exact.
///
/// With the unit's cost from period t on, c(t) = unit(t) + Σ hold(t..), and D(t) the demand from t to
/// the end, the cheapest way to serve t.. is G(t) = min over u > t of setup(t) + c(t)·(D(t) − D(u)) +
/// G(u), and G(t+1) when t has no demand. The minimum over u is a tangent of slope c(t) to the lower
/// convex hull of the points (D(u), G(u)), found by bisection.
///
/// # Errors
/// When a number is negative or too large.
pub fn wagner_whitin(periods: &[Period]) -> Result<LotPlan, LotError> {
    check(periods)?;
    let mut hull: Vec<Point> = vec![Point { x: 0, y: 0, period: periods.len() }];
    // For each period the first one that its lot doesn't serve; `None` for no lot.
    let mut until: Vec<Option<usize>> = vec![None; periods.len()];
    let (mut after, mut left, mut unit_kept) = (0i128, 0i128, 0i128);
    for (t, (period, choice)) in periods.iter().zip(&mut until).enumerate().rev() {
        unit_kept += period.hold;
        let unit = period.unit + unit_kept;
        left += i128::from(period.demand);
        let mut best = (period.demand == 0).then_some(after);
        if let Some(point) = tangent(&hull, unit) {
            let cost = period.setup + unit * (left - point.x) + point.y;
            if best.is_none_or(|known| cost < known) {
                (best, *choice) = (Some(cost), Some(point.period));
            }
        }
        after = best.ok_or(LotError::TooLarge)?;
        push(&mut hull, Point { x: left, y: after, period: t });
    }
    let mut lots = vec![0; periods.len()];
    let mut t = 0;
    while let Some(choice) = until.get(t) {
        let end = choice.unwrap_or(t + 1);
        if let (Some(end), Some(lot)) = (*choice, lots.get_mut(t)) {
            *lot = periods.iter().take(end).skip(t).map(|period| period.demand).sum();
        }
        t = end;
    }
    with_cost(periods, lots)
}

/// The rule of Silver and Meal: a lot grows while its cost a period falls.
///
/// # Errors
/// When a number is negative or too large.
pub fn silver_meal(periods: &[Period]) -> Result<LotPlan, LotError> {
    check(periods)?;
    let mut lots = vec![0; periods.len()];
    let mut t = 0;
    while let Some(first) = periods.get(t) {
        if first.demand == 0 {
            t += 1;
            continue;
        }
        let (mut cost, mut kept, mut carried, mut span) = (first.setup, first.hold, first.demand, 1i128);
        let mut end = t + 1;
        while let Some(period) = periods.get(end) {
            let longer = cost + kept * i128::from(period.demand);
            // cost / span is the present cost a period; compared without division.
            if longer * span > cost * (span + 1) {
                break;
            }
            (cost, span, carried) = (longer, span + 1, carried + period.demand);
            kept += period.hold;
            end += 1;
        }
        if let Some(lot) = lots.get_mut(t) {
            *lot = carried;
        }
        t = end;
    }
    with_cost(periods, lots)
}

/// A lot for each period with demand.
///
/// # Errors
/// When a number is negative or too large.
pub fn lot_for_lot(periods: &[Period]) -> Result<LotPlan, LotError> {
    check(periods)?;
    with_cost(periods, periods.iter().map(|period| period.demand).collect())
}

/// What `lots` cost; `None` when they leave a demand unserved or there is not one for each period.
#[must_use]
pub fn cost(periods: &[Period], lots: &[i64]) -> Option<i128> {
    if periods.len() != lots.len() {
        return None;
    }
    let (mut stock, mut cost) = (0i128, 0i128);
    for (period, lot) in periods.iter().zip(lots) {
        let lot = i128::from(*lot);
        stock += lot - i128::from(period.demand);
        if stock < 0 || lot < 0 {
            return None;
        }
        cost += lot * period.unit + stock * period.hold + if lot > 0 { period.setup } else { 0 };
    }
    Some(cost)
}

fn with_cost(periods: &[Period], lots: Vec<i64>) -> Result<LotPlan, LotError> {
    let cost = cost(periods, &lots).ok_or(LotError::TooLarge)?;
    Ok(LotPlan { lots, cost })
}

fn check(periods: &[Period]) -> Result<(), LotError> {
    let negative = |p: &Period| p.demand < 0 || p.setup < 0 || p.unit < 0 || p.hold < 0;
    if let Some(at) = periods.iter().position(negative) {
        return Err(LotError::Negative(at));
    }
    let demand = periods.iter().map(|p| i128::from(p.demand)).sum::<i128>();
    let kept = periods.iter().fold(0i128, |sum, p| sum.saturating_add(p.hold));
    let unit = periods.iter().map(|p| p.unit).max().unwrap_or_default().saturating_add(kept);
    let setup = periods.iter().fold(0i128, |sum, p| sum.saturating_add(p.setup));
    let fits = periods.len() <= PERIODS_MAX
        && demand <= i128::from(DEMAND_MAX)
        && unit <= UNIT_COST_MAX
        && setup <= COST_MAX;
    if fits { Ok(()) } else { Err(LotError::TooLarge) }
}

/// The state "served from `period` on": x = demand from there, y = its least cost.
#[derive(Clone, Copy, Debug)]
struct Point {
    x: i128,
    y: i128,
    period: usize,
}

/// The hull's point with the least y − slope·x; of equals the one furthest to the left.
fn tangent(hull: &[Point], slope: i128) -> Option<Point> {
    // Along the hull the edges' slopes rise; bisect to the first edge that rises as much as `slope`.
    let (mut low, mut high) = (0, hull.len().saturating_sub(1));
    while low < high {
        let middle = (low + high) / 2;
        let (a, b) = (hull.get(middle)?, hull.get(middle + 1)?);
        if b.y - a.y < slope * (b.x - a.x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    hull.get(low).copied()
}

/// Adds a point to the right of a lower convex hull.
fn push(hull: &mut Vec<Point>, point: Point) {
    if let Some(last) = hull.last_mut()
        && last.x == point.x
    {
        // Serving nothing more can only be dearer or equal; keep the cheaper of the two.
        if point.y < last.y {
            hull.pop();
        } else {
            return;
        }
    }
    while let [.., a, b] = hull.as_slice() {
        // b stays only when it lies below the line from a to the new point.
        if (b.y - a.y) * (point.x - a.x) < (point.y - a.y) * (b.x - a.x) {
            break;
        }
        hull.pop();
    }
    hull.push(point);
}
