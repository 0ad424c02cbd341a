//! What a draft of a plan would pay beside another one: cost, winners, losers, and who stands just
//! below a cliff.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::calculate::{CalculateError, Detail, Outcome, calculate};
use super::facts::Facts;
use super::period::Period;
use super::plan::{Measure, Plan, TierScope};
use super::tiers::Cliff;

/// Periods that one simulation takes.
pub const PERIODS_MAX: usize = 24;

/// One period under both plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// The period.
    pub period: Period,
    /// Net sales that counted under the draft, minor units.
    pub base: i128,
    /// What the draft pays, minor units.
    pub draft: i128,
    /// What the other plan pays, minor units.
    pub against: i128,
}

/// What a member gets under both plans, minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Member.
    pub member_id: String,
    /// Under the draft.
    pub draft: i128,
    /// Under the other plan.
    pub against: i128,
}

impl Change {
    /// The difference, minor units.
    #[must_use]
    pub fn change(&self) -> i128 {
        self.draft - self.against
    }
}

/// A cliff and who stands around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The cliff.
    pub cliff: Cliff,
    /// Member-periods in the tenth below the threshold.
    pub just_below: usize,
    /// Member-periods at the threshold or above.
    pub over: usize,
    /// Who stands nearest below, and what it lacks, in the schedule's measure.
    pub nearest: Option<(String, i128)>,
}

/// What a draft means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// The periods.
    pub periods: Vec<Simulated>,
    /// All members: who wins most first, who loses most last.
    pub changes: Vec<Change>,
    /// The draft's cliffs; only for tiers by amount or quantity over the period itself.
    pub cliffs: Vec<Exposure>,
}

/// Simulates `draft`, and beside it `against`, over `facts` in `count` periods of the draft from the one
/// that holds `day`. The draft is looked at as if it were in force in all of them.
///
/// # Errors
/// As the calculation of either plan.
pub fn simulate(
    draft: &Plan,
    against: Option<&Plan>,
    day: Date,
    count: usize,
    facts: &Facts,
) -> Result<Simulation, CalculateError> {
    let mut periods = Vec::new();
    let mut members: BTreeMap<String, (i128, i128)> = BTreeMap::new();
    let mut cliffs: Vec<Exposure> =
        cliffs_of(draft).map(|cliff| Exposure { cliff, just_below: 0, over: 0, nearest: None }).collect();
    let mut period = draft.period.around(day);
    for _ in 0..count.clamp(1, PERIODS_MAX) {
        let in_force = always(draft, period);
        let outcome = calculate(&in_force, period.start, facts, Detail::Nobody)?;
        let other = match against {
            Some(plan) => Some(during(plan, period, facts)?),
            None => None,
        };
        for (id, member) in &outcome.members {
            members.entry(id.clone()).or_default().0 += member.amount;
        }
        for (id, amount) in other.iter().flatten() {
            members.entry(id.clone()).or_default().1 += amount;
        }
        expose(&in_force, period, facts, &mut cliffs)?;
        periods.push(simulated(&outcome, other.iter().flatten().map(|(_, amount)| amount).sum()));
        period = draft.period.around(period.end.checked_add(1.day()).unwrap_or(period.end));
    }
    let mut changes: Vec<Change> = members
        .into_iter()
        .map(|(member_id, (draft, against))| Change { member_id, draft, against })
        .collect();
    // Stable, so that equal changes stay in the order of the ids.
    changes.sort_by_key(|change| std::cmp::Reverse(change.change()));
    Ok(Simulation { periods, changes, cliffs })
}

fn simulated(outcome: &Outcome, against: i128) -> Simulated {
    Simulated { period: outcome.period, base: outcome.base, draft: outcome.total, against }
}

/// The plan as if it were in force in the whole period.
fn always(plan: &Plan, period: Period) -> Plan {
    Plan { effective_from: plan.effective_from.min(period.start), effective_until: None, ..plan.clone() }
}

/// What another plan pays each member in the periods of its own that end in `period`: a yearly plan
/// beside a monthly draft pays with its last month.
fn during(plan: &Plan, period: Period, facts: &Facts) -> Result<Vec<(String, i128)>, CalculateError> {
    let mut paid = Vec::new();
    let mut own = plan.period.around(period.start);
    while own.end <= period.end {
        let outcome = calculate(&always(plan, own), own.start, facts, Detail::Nobody)?;
        paid.extend(outcome.members.into_iter().map(|(id, member)| (id, member.amount)));
        let Ok(next) = own.end.checked_add(1.day()) else { break };
        own = plan.period.around(next);
    }
    Ok(paid)
}

fn cliffs_of(plan: &Plan) -> impl Iterator<Item = Cliff> {
    let counted = plan.tiers.as_ref().filter(|schedule| {
        schedule.scope == TierScope::Period
            && schedule.window_days == 0
            && matches!(schedule.measure, Measure::Amount | Measure::Quantity)
    });
    counted.into_iter().flat_map(|schedule| schedule.cliffs())
}

/// Counts who stands around the cliffs in `period`.
fn expose(plan: &Plan, period: Period, facts: &Facts, cliffs: &mut [Exposure]) -> Result<(), CalculateError> {
    let Some(schedule) = plan.tiers.as_ref().filter(|_| !cliffs.is_empty()) else { return Ok(()) };
    let mut measures: BTreeMap<&str, i128> = BTreeMap::new();
    for sale in facts.net(plan).map_err(CalculateError::FactsInvalid)? {
        let counts = period.holds(sale.sale.occurred_on) && plan.selects(sale.sale).unwrap_or(false);
        let Some(seller) = sale.sale.chain.first().filter(|_| counts) else { continue };
        *measures.entry(&seller.member_id).or_default() += match schedule.measure {
            Measure::Quantity => i128::from(sale.quantity),
            _ => i128::from(sale.amount_minor),
        };
    }
    for exposure in cliffs {
        let threshold = i128::from(exposure.cliff.threshold);
        for (member, measure) in &measures {
            let lacks = threshold - measure;
            if lacks <= 0 {
                exposure.over += 1;
                continue;
            }
            exposure.just_below += usize::from(lacks * 10 <= threshold);
            if exposure.nearest.as_ref().is_none_or(|(_, least)| lacks < *least) {
                exposure.nearest = Some(((*member).to_owned(), lacks));
            }
        }
    }
    Ok(())
}
