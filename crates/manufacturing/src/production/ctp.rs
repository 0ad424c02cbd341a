//! Capable to promise: of a plan, what is promised from what there is and what from what will be made
//! or ordered, by when, and what stands in the way of an earlier date.
//!
//! ATP and CTP as in Vollmann, Berry & Whybark, Manufacturing Planning and Control Systems; the chain
//! is the critical path of the plan, from the delivery down to what can't start earlier.

use super::availability::Ledger;
use super::by_item::Lines;
use super::demand::{Demand, Source};
use super::pegging;
use super::plan::{Order, Plan, User, frozen_until};
use super::plant::{Id, Minute, Snapshot};

/// Most steps of a chain: as many as a bill has levels.
const STEPS_MAX: usize = super::bill::LEVELS_MAX as usize;

/// What a date depends on in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Nothing: it is there when wanted.
    None,
    /// Stock or an open order that comes then.
    OpenOrder(Id),
    /// The lead time of a supplier, subcontractor or other plant for this item.
    LeadTime(Id),
    /// Capacity of a work centre.
    Capacity(Id),
    /// The frozen fence of this item.
    Fence(Id),
    /// The plant that sends this item promises it no earlier.
    Sender(Id),
}

/// What one delivery is promised from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capable {
    /// Units from stock and open orders.
    pub available: i64,
    /// When these are there.
    pub available_at: Minute,
    /// Units from orders of this plan.
    pub capable: i64,
    /// When these are there; `None` when there are none.
    pub capable_at: Option<Minute>,
    /// What an earlier date would need.
    pub limit: Limit,
    /// Orders of the plan from the delivery down to what limits it, by their numbers from 0.
    pub chain: Vec<usize>,
}

/// For each delivery of the demand.
#[must_use]
pub fn capable(snapshot: &Snapshot, demand: &Demand, plan: &Plan, now: Minute) -> Vec<Capable> {
    let requirements = plan.requirements.iter().filter(|r| matches!(r.user, User::Delivery(_)));
    let deliveries = demand.deliveries.iter().zip(requirements);
    deliveries
        .map(|(delivery, requirement)| {
            let orders = || requirement.orders.iter().filter_map(|(index, _)| plan.orders.get(*index));
            let pegged = requirement.pegs.iter().map(|peg| peg.at).max();
            let mut capable = Capable {
                available: requirement.existing,
                available_at: pegged.unwrap_or(requirement.existing_at),
                capable: requirement.quantity - requirement.existing,
                capable_at: orders().map(|order| order.ready).max(),
                limit: Limit::None,
                chain: Vec::new(),
            };
            let wanted = delivery.due.unwrap_or(now).max(now);
            let waits = requirement.existing > 0 && capable.available_at > wanted;
            if waits && capable.capable_at.is_none_or(|at| at < capable.available_at) {
                capable.limit = Limit::OpenOrder(requirement.item.clone());
            } else if capable.capable_at.is_some() {
                (capable.chain, capable.limit) = chain(snapshot, demand, plan, &requirement.orders, now);
            }
            capable
        })
        .collect()
}

/// The orders that determine when the last of `covers` is ready, and why the deepest isn't earlier.
fn chain(
    snapshot: &Snapshot,
    demand: &Demand,
    plan: &Plan,
    covers: &[(usize, i64)],
    now: Minute,
) -> (Vec<usize>, Limit) {
    let last = |covers: &[(usize, i64)]| {
        let ready = |index: &usize| plan.orders.get(*index).map(|order| order.ready);
        covers.iter().map(|(index, _)| *index).max_by_key(|index| (ready(index), *index))
    };
    let (mut steps, mut limit, mut next) = (Vec::new(), Limit::None, last(covers));
    while let Some(number) = next.filter(|_| steps.len() < STEPS_MAX) {
        let Some(order) = plan.orders.get(number) else { break };
        steps.push(number);
        let parts = order.parts.iter().filter_map(|part| plan.requirements.get(*part));
        let slowest = parts.max_by_key(|part| part.ready).filter(|part| part.ready >= order.start);
        let fence = frozen_until(snapshot, demand, &order.item, now);
        limit = match (order.source, order.operations.first()) {
            _ if fence > now && order.start <= fence => Limit::Fence(order.item.clone()),
            _ if order.set_aside && waits(snapshot, plan, order, now) => Limit::Sender(order.item.clone()),
            (Source::Make, Some(first)) => Limit::Capacity(first.work_center.clone()),
            _ => Limit::LeadTime(order.item.clone()),
        };
        let Some(part) = slowest else { break };
        next = last(&part.orders);
        if next.is_none() {
            limit = if part.ready > now { Limit::OpenOrder(part.item.clone()) } else { limit };
        }
    }
    (steps, limit)
}

/// Whether the sender couldn't promise what leaves by an order's start a minute earlier.
fn waits(snapshot: &Snapshot, plan: &Plan, order: &Order, now: Minute) -> bool {
    let Some(sender) = snapshot.senders.get(&order.item).filter(|_| order.start > now) else { return false };
    let lines = Lines::at(sender);
    let frozen = pegging::frozen_supplies(&lines, now + sender.item.fence_minutes, now);
    let own = plan.orders.iter().filter(|other| other.set_aside && other.item == order.item);
    let leaving = own.filter(|other| other.start <= order.start).map(|other| other.quantity).sum();
    Ledger::with_frozen(&lines, &frozen, now).available(order.start - 1) < leaving
}
