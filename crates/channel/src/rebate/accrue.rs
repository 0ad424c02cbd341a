//! The accrual of a period: the calculation of what is there, or, while the period is open and the plan
//! says what is expected of it, the part that sales so far have earned of what the whole period is
//! expected to pay. So the cost is spread evenly over the sales. Once the period is over it is the
//! calculation, whatever was expected.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::book::Book;
use super::calculate::{CalculateError, Detail, Earned, Outcome, at_sale, counted_in, earn, outcome};
use super::exact::Exact;
use super::expectation::{Expectation, Expected, Horizon};
use super::facts::{Facts, NetSale};
use super::limits::{limit, limited};
use super::line::{Line, LineKind};
use super::period::Period;
use super::plan::{Plan, TierSchedule};
use super::reason::TierReached;
use super::sums::Sums;
use super::tiers::Spread;

/// What a period is accrued at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accrued {
    /// The amounts with their lines.
    pub outcome: Outcome,
    /// How the members who sold stand in the tiers of the period; empty for a plan without such.
    pub standings: BTreeMap<String, Standing>,
}

/// How a member stands in the tiers of a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The sales so far, in the schedule's measure.
    pub so_far: i128,
    /// What the tiers have earned on them, before limits and levels.
    pub exact: Exact,
    /// The same, minor units.
    pub accrued: i128,
    /// The tier that is reached.
    pub tier: Option<TierReached>,
    /// What is expected; `None` for what is accrued as reached.
    pub outlook: Option<Outlook>,
}

/// What the whole period is expected to come to for a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The total, and how it was arrived at.
    pub expected: Expected,
    /// The tier that it reaches.
    pub tier: Option<TierReached>,
    /// What the tiers pay on it, minor units.
    pub whole: i128,
}

/// What `plan` is accrued at for the period that holds `day`, as seen on `as_of`. Without that day, or
/// when it is past the period, it is what [`calculate`](super::calculate) says.
///
/// # Errors
/// As [`calculate`](super::calculate).
pub fn accrue(
    plan: &Plan,
    day: Date,
    facts: &Facts,
    as_of: Option<Date>,
    detail: Detail<'_>,
) -> Result<Accrued, CalculateError> {
    let (period, net) = counted_in(plan, day, facts, detail)?;
    let mut book = Book::new(detail);
    let earned = earn(plan, period, &net, &mut book)?;
    let mut standings = BTreeMap::new();
    if let Some(schedule) = plan.period_tiers() {
        let open = as_of.and_then(|as_of| Some((plan.expectation.as_ref()?, plan.horizon(period, as_of)?)));
        let seen = open.as_ref().map(|(_, horizon)| horizon.seen(plan, schedule, &net)).transpose()?;
        let seen = seen.unwrap_or_default();
        for (member_id, sums) in &earned.sums {
            let so_far = so_far(schedule, sums);
            let expected = open.as_ref().and_then(|(expectation, horizon): &(&Expectation, Horizon)| {
                let seen = seen.get(member_id).copied().unwrap_or_default();
                expectation.of(schedule, member_id, so_far, horizon, seen)
            });
            let standing = match expected.filter(|_| so_far > 0) {
                Some(expected) => {
                    foreseen(plan, schedule, sums, expected, |line| book.post(member_id, line))?
                }
                None => {
                    let volume = sums.volume(schedule);
                    book.post_tiers(member_id, schedule, volume, None, plan.rounding)?;
                    as_reached(plan, schedule, sums)?
                }
            };
            standings.insert((*member_id).to_owned(), standing);
        }
    }
    if standings.values().any(|standing| standing.outlook.is_some()) {
        limit_expected(plan, period, &net, &earned, &standings, &mut book)?;
    } else {
        limit(plan, earned.margin, &mut book)?;
    }
    Ok(Accrued { outcome: outcome(period, &earned, net.len(), book)?, standings })
}

fn so_far(schedule: &TierSchedule, sums: &Sums) -> i128 {
    let volume = sums.volume(schedule);
    schedule.of(volume.amount, volume.quantity)
}

fn as_reached(plan: &Plan, schedule: &TierSchedule, sums: &Sums) -> Result<Standing, CalculateError> {
    let volume = sums.volume(schedule);
    let standing = || {
        let (exact, accrued) = schedule.earned(volume, plan.rounding)?;
        let tier = schedule.top(volume)?;
        Some(Standing { so_far: so_far(schedule, sums), exact, accrued, tier, outlook: None })
    };
    standing().ok_or(CalculateError::Overflow)
}

/// The standing of a member of whom a total is expected; its line is posted.
fn foreseen(
    plan: &Plan,
    schedule: &TierSchedule,
    sums: &Sums,
    expected: Expected,
    post: impl FnOnce(Line) -> Result<(), CalculateError>,
) -> Result<Standing, CalculateError> {
    let (volume, so_far, total) = (sums.volume(schedule), expected.so_far, expected.total);
    let spread = schedule.spread(volume, so_far, total, plan.rounding).ok_or(CalculateError::Overflow)?;
    let Spread { tier, whole, part, flat } = spread;
    let accrued = part.rounded(plan.rounding);
    if let Some(tier) = tier {
        let base = match flat {
            Some(super::plan::Pay::PerUnit(_)) => volume.quantity,
            Some(super::plan::Pay::Rate(_)) => volume.amount,
            None => so_far,
        };
        let kind = LineKind::Expected { from: tier.threshold.into(), total, so_far, whole };
        post(Line { kind, event_id: None, base, pay: flat, exact: Some(part), amount: accrued })?;
    }
    let reached = schedule.top(volume).ok_or(CalculateError::Overflow)?;
    let outlook = Some(Outlook { expected, tier, whole });
    Ok(Standing { so_far, exact: part, accrued, tier: reached, outlook })
}

/// Posts what the smallest payout and the caps are expected to take off of the whole period, in the
/// proportion in which that is accrued. Levels and margin of a member's sales grow as its sales do.
fn limit_expected<'f>(
    plan: &Plan,
    period: Period,
    net: &[NetSale<'f>],
    earned: &Earned<'f>,
    standings: &BTreeMap<String, Standing>,
    book: &mut Book<'f, '_>,
) -> Result<(), CalculateError> {
    let caps = [plan.cap_member_minor, plan.cap_plan_minor];
    if plan.payout_min_minor == 0 && caps.iter().all(Option::is_none) && plan.cap_margin_bp.is_none() {
        return Ok(());
    }
    let mut whole: BTreeMap<&str, i128> = BTreeMap::new();
    for (member_id, standing) in standings {
        let tiers = standing.outlook.as_ref().map_or(standing.accrued, |outlook| outlook.whole);
        whole.insert(member_id, tiers);
    }
    let mut margin = 0i128;
    for sale in net {
        let on = sale.sale.occurred_on;
        let Some(seller) = sale.sale.chain.first() else { continue };
        let counts = period.holds(on) && plan.in_force_on(on) && earned.sums.contains_key(&*seller.member_id);
        if !counts || !super::calculate::selected(sale, plan.selects(sale.sale))? {
            continue;
        }
        let expected = standings.get(&seller.member_id).and_then(|standing| standing.outlook.as_ref());
        let (total, so_far) = expected.map_or((1, 1), |o| (o.expected.total, o.expected.so_far));
        let at_end = |part: i128| {
            part.checked_mul(total)
                .and_then(|product| product.checked_div_euclid(so_far))
                .ok_or(CalculateError::Overflow)
        };
        margin += at_end(sale.margin_minor.into())?;
        let levels = plan.levels.iter().map(|levels| levels.amounts(sale, plan.rounding));
        for amounts in levels {
            for (member_id, amount) in amounts.map_err(|error| at_sale(sale, error))? {
                *whole.entry(member_id).or_default() += at_end(amount)?;
            }
        }
    }
    let whole: Vec<(&str, i128)> = whole.into_iter().collect();
    let left = limited(plan, margin, &whole).ok_or(CalculateError::Overflow)?;
    let left: BTreeMap<&str, (i128, i128)> =
        whole.into_iter().zip(left).map(|((id, whole), left)| (id, (whole, left))).collect();
    for (member_id, amount) in book.amounts() {
        let Some((whole, limited)) = left.get(member_id).copied().filter(|(whole, left)| left < whole) else {
            continue;
        };
        let share = amount.checked_mul(limited).and_then(|product| product.checked_div(whole));
        let taken = share.ok_or(CalculateError::Overflow)? - amount;
        if taken != 0 {
            let kind = LineKind::ExpectedLimit { whole, limited };
            book.post(member_id, Line::adjustment(kind, None, amount, taken))?;
        }
    }
    Ok(())
}
