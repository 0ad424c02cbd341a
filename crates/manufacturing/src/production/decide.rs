//! The decision: one plan for each source of the wanted item, the sources of its parts improved one
//! at a time, the best plan chosen, and the reason.

use super::demand::{Delivery, Demand, PlanError, Source};
use super::explain::{self, Text};
use super::plan::{Choice, Node, Plan, Planned, Planner, rates};
use super::plant::{Component, Id, Minute, Snapshot};

/// Most plans that are made for one source of the wanted item.
pub const TRIALS_MAX: usize = 48;
/// Most orders and reservations that these plans have together; a large plan gets fewer trials.
const WORK_MAX: usize = 100_000;
/// Rounds over all parts with more than one source.
const ROUNDS_MAX: usize = 3;
/// Roll-up of standard costs: parts of a minor unit.
const COST_SCALE: i128 = 1_000_000;

/// Why the decision is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Stock and open orders cover the demand in time.
    StockCovers,
    /// No other source is able and allowed.
    OnlySource,
    /// The only source that is in time.
    OnlyInTime,
    /// The earliest, when none is in time or it is wanted as soon as possible.
    Earliest,
    /// The cheapest of those that serve the dates equally well, or with lateness at its price.
    Cheapest,
}

/// How a source fared.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// This one it is.
    Chosen,
    /// Possible, and another one is better.
    Possible,
    /// Not possible.
    Impossible(PlanError),
    /// The item doesn't come from there.
    Undefined,
    /// The demand doesn't allow it.
    NotAllowed,
    /// Nothing is missing.
    NotNeeded,
}

/// One source in comparison.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// The source.
    pub source: Source,
    /// How it fared.
    pub verdict: Verdict,
    /// Its plan, when it has one.
    pub plan: Option<Plan>,
}

/// A decision with its proof.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Where the goods come from.
    pub source: Source,
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub explanation: Text,
    /// The plan to carry out.
    pub plan: Plan,
    /// All sources, in the order of [`Source::ALL`].
    pub alternatives: Vec<Alternative>,
    /// The bill's items with their low-level codes.
    pub levels: Vec<(Id, u32)>,
}

/// Decides how `demand` is supplied, as of `now`.
///
/// # Errors
/// When the bill can't be used, no source can bring the item, or none by the due time and the demand
/// wants nothing later.
pub fn decide(snapshot: &Snapshot, demand: &Demand, now: Minute) -> Result<Decision, PlanError> {
    decide_by(snapshot, demand, now, true)
}

/// The same; without `skips` a plan is also made where it is known to be the same as another.
pub(super) fn decide_by(
    snapshot: &Snapshot,
    demand: &Demand,
    now: Minute,
    skips: bool,
) -> Result<Decision, PlanError> {
    let planner = Planner::new(snapshot, demand, now)?;
    let base = cheapest_sources(&planner);
    let search = Search { snapshot, demand, now, base, planner: &planner, skips };
    let mut alternatives = Vec::with_capacity(Source::ALL.len());
    for source in Source::ALL {
        let covered = alternatives.iter().any(|done: &Alternative| {
            done.source == Source::Reserve && done.plan.as_ref().is_some_and(|plan| search.delay(plan) == 0)
        });
        alternatives.push(if covered {
            bare(source, Verdict::NotNeeded)
        } else {
            search.alternative(source)
        });
    }
    let in_question =
        |a: &&Alternative| a.plan.as_ref().is_some_and(|plan| !demand.on_time_only || plan.late() == 0);
    let best = alternatives
        .iter()
        .filter(in_question)
        .min_by_key(|a| a.plan.as_ref().map(|plan| search.key(plan)))
        .map(|a| a.source);
    let Some(source) = best else { return Err(refusal(&alternatives, demand)) };
    let reason = search.reason(source, &alternatives);
    let mut plan = None;
    for alternative in alternatives.iter_mut().filter(|a| a.source == source) {
        alternative.verdict = Verdict::Chosen;
        plan = alternative.plan.clone();
    }
    let Some(mut plan) = plan else { return Err(refusal(&alternatives, demand)) };
    plan.moved = planner.peg(&mut plan.requirements);
    let explanation = explain::decision(snapshot, source, reason, &plan, &alternatives);
    let levels = planner.levels().order.clone();
    Ok(Decision { source, reason, explanation, plan, alternatives, levels })
}

/// The error when no source will do: the earliest late promise, or the first source's own error.
fn refusal(alternatives: &[Alternative], demand: &Demand) -> PlanError {
    let late =
        alternatives.iter().filter_map(|a| a.plan.as_ref()).map(|plan| (plan.late(), plan.promise())).min();
    if let Some((late_minutes, promise)) = late {
        return PlanError::Late { promise, late_minutes };
    }
    // What was wrong with a source that exists says more than "stock is too low".
    let own = alternatives.iter().rev().find_map(|a| match &a.verdict {
        Verdict::Impossible(error) => Some(error.clone()),
        _ => None,
    });
    let missing = demand.deliveries.iter().map(|delivery| delivery.quantity).sum();
    own.unwrap_or_else(|| PlanError::NoSource { item: demand.item.clone(), missing })
}

fn bare(source: Source, verdict: Verdict) -> Alternative {
    Alternative { source, verdict, plan: None }
}

struct Search<'s, 'a> {
    snapshot: &'a Snapshot,
    demand: &'a Demand,
    now: Minute,
    base: Choice,
    planner: &'s Planner<'a>,
    skips: bool,
}

impl Search<'_, '_> {
    fn alternative(&self, source: Source) -> Alternative {
        let allowed = &self.demand.sources_allowed;
        // What stock covers in time is reserved whatever the demand allows.
        let waits = |plan: &Plan| source == Source::Reserve && self.delay(plan) > 0;
        let not_allowed = !allowed.is_empty() && !allowed.contains(&source);
        if not_allowed && source != Source::Reserve {
            return bare(source, Verdict::NotAllowed);
        }
        let item = self.snapshot.items.get(&self.demand.item);
        if source != Source::Reserve && item.is_none_or(|item| rates(item, source).is_none()) {
            return bare(source, Verdict::Undefined);
        }
        match self.best(source) {
            Ok(plan) if not_allowed && waits(&plan) => bare(source, Verdict::NotAllowed),
            Ok(plan) => Alternative { source, verdict: Verdict::Possible, plan: Some(plan) },
            Err(_) if not_allowed => bare(source, Verdict::NotAllowed),
            Err(error) => bare(source, Verdict::Impossible(error)),
        }
    }

    /// The best plan found with `source` for the wanted item: start from the cheapest standard cost,
    /// then change one part's source at a time and keep what is better (coordinate descent); last,
    /// when it is late, without pooling of lots.
    fn best(&self, source: Source) -> Result<Plan, PlanError> {
        let mut choice = self.base.clone();
        choice.set(0, source);
        let mut best = self.planner.planned(&choice);
        if source == Source::Reserve {
            return best.map(|planned| planned.plan);
        }
        let size = best.as_ref().map_or(1, |known| known.plan.orders.len() + known.plan.requirements.len());
        let trials_max = TRIALS_MAX.min(WORK_MAX / size.max(1));
        let mut trials = 1;
        for _ in 0..ROUNDS_MAX {
            let mut better = false;
            for (place, node) in self.planner.nodes.iter().enumerate().skip(1) {
                for option in self.options(node) {
                    let Some(known) = choice.sources.get(place).copied() else { continue };
                    if known == option || trials >= trials_max {
                        continue;
                    }
                    trials += 1;
                    // Where nothing is asked of the source, another one gives the same plan.
                    let matters = best.as_ref().map_or(true, |best| best.asked.get(place) == Some(&true));
                    if !matters && self.skips {
                        continue;
                    }
                    choice.set(place, option);
                    if self.improve(&mut best, &choice) {
                        better = true;
                    } else {
                        choice.set(place, known);
                    }
                }
            }
            if !better {
                break;
            }
        }
        if best.as_ref().is_ok_and(|known| self.delay(&known.plan) > 0) {
            choice.lot_for_lot = true;
            self.improve(&mut best, &choice);
        }
        best.map(|planned| planned.plan)
    }

    fn improve(&self, best: &mut Result<Planned, PlanError>, choice: &Choice) -> bool {
        let Ok(other) = self.planner.planned(choice) else { return false };
        let better = best.as_ref().map_or(true, |known| self.key(&other.plan) < self.key(&known.plan));
        if better {
            *best = Ok(other);
        }
        better
    }

    /// Sources that a part may come from; waiting only where something is on order.
    fn options(&self, node: &Node<'_>) -> impl Iterator<Item = Source> + use<> {
        let waiting = !self.planner.open.get(node.id).receipts.is_empty();
        let able = Source::ALL
            .map(|source| rates(node.item, source).is_some() || (source == Source::Reserve && waiting));
        Source::ALL.into_iter().zip(able).filter(|(_, able)| *able).map(|(source, _)| source)
    }

    /// Minutes that the deliveries are later than wanted, all together; for one that is wanted as
    /// soon as possible they count from now.
    fn delay(&self, plan: &Plan) -> i128 {
        let deliveries = self.demand.deliveries.iter().zip(&plan.promises);
        deliveries
            .map(|(Delivery { due, .. }, promise)| match due {
                Some(_) => i128::from(promise.late),
                None => i128::from(promise.at - self.now),
            })
            .sum()
    }

    /// Less is better: with a price for lateness the cost, else the delay and then the cost.
    fn key(&self, plan: &Plan) -> (i128, i128, i128) {
        let (delay, cost) = (self.delay(plan), plan.cost.total());
        if self.demand.lateness_cost_per_day.is_some() { (0, cost, delay) } else { (delay, cost, 0) }
    }

    fn reason(&self, chosen: Source, alternatives: &[Alternative]) -> Reason {
        let able = || alternatives.iter().filter_map(|a| Some((a.source, a.plan.as_ref()?)));
        let Some((_, plan)) = able().find(|(source, _)| *source == chosen) else { return Reason::OnlySource };
        let others = || able().filter(|(source, _)| *source != chosen).map(|(_, plan)| plan);
        if chosen == Source::Reserve && self.delay(plan) == 0 {
            Reason::StockCovers
        } else if others().next().is_none() {
            Reason::OnlySource
        } else if plan.late() == 0 && others().all(|other| other.late() > 0) {
            Reason::OnlyInTime
        } else if others().all(|other| self.delay(other) > self.delay(plan))
            && others().any(|other| other.cost.total() < plan.cost.total())
        {
            Reason::Earliest
        } else {
            Reason::Cheapest
        }
    }
}

/// For each item the source with the least standard cost of a unit, rolled up from its parts; setup
/// and order costs and stock are left to the plans.
fn cheapest_sources(planner: &Planner<'_>) -> Choice {
    let nodes = &planner.nodes;
    let mut choice = Choice { sources: vec![Source::Reserve; nodes.len()], lot_for_lot: false };
    let mut costs: Vec<i128> = vec![0; nodes.len()];
    for (place, node) in nodes.iter().enumerate().rev() {
        let item = node.item;
        let parts = item
            .bill
            .iter()
            .zip(&node.parts)
            .map(|(part, below)| part_cost(part, costs.get(*below).copied().unwrap_or_default()));
        let parts: i128 = parts.fold(0, i128::saturating_add);
        let cost = |source: Source| {
            let (_, unit) = rates(item, source)?;
            let material = if source.takes_parts() { parts } else { 0 };
            Some((material.saturating_add(i128::from(unit) * COST_SCALE), source))
        };
        let cheapest = Source::ALL.into_iter().filter_map(cost).min();
        if let Some(own) = costs.get_mut(place) {
            *own = cheapest.map_or(i128::from(item.unit_cost) * COST_SCALE, |(cost, _)| cost);
        }
        choice.set(place, cheapest.map_or(Source::Reserve, |(_, source)| source));
    }
    choice
}

/// Cost of a component for one unit of its parent, at the cost of its own unit.
fn part_cost(part: &Component, unit: i128) -> i128 {
    let kept = (10_000 - part.scrap_basis_points.clamp(0, 9_999)).max(1);
    unit.saturating_mul(part.quantity.into()).saturating_mul(10_000)
        / (i128::from(part.per.max(1)) * i128::from(kept))
}
