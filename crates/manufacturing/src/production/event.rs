//! Events: what a rush order, a breakdown, a late supply or a loss does to open orders and promises.
//!
//! The way: change what the event changes, plan what is new (the rush order, or what replaces a loss),
//! repair the schedule ([`super::repair`]), deal the supplies anew when that saves more than the
//! hysteresis, and say what moved. Nothing is written.

use std::collections::BTreeMap;

use super::bill::BillError;
use super::commit::Commitments;
use super::decide::{Decision, decide};
use super::demand::{Delivery, Demand, PlanError};
use super::hysteresis::Hysteresis;
use super::lift;
use super::open_plant::{OpenDelivery, OpenOrder, OpenPlant};
use super::plant::{DAY, Id, Minute};
use super::repair::{Deal, Outage, Placed, Repaired, Terms, Uncovered, repair};

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// An order that is made before others, for the customer's order that is named.
    Rush(Demand, String),
    /// A machine that doesn't work.
    Breakdown(Outage),
    /// An open order that comes at another time, with all its items.
    Late(Id, Minute),
    /// Units of an item of an open order that are lost.
    Loss {
        /// Open order.
        id: Id,
        /// Item.
        item: Id,
        /// Units.
        units: i64,
    },
    /// Machines that work again: what is out of order there is so no longer from `from` on.
    Repaired(Outage),
}

/// By which measure an event is answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Whether the items' frozen fences hold.
    pub fence: bool,
    /// Moving one order, minor units.
    pub disruption_cost: i64,
    /// Supplies are dealt anew only when that is worth it.
    pub hysteresis: Hysteresis,
}

/// An order that moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedOrder {
    /// Order.
    pub id: Id,
    /// Where it was.
    pub before: OpenOrder,
    /// Where it is.
    pub after: Placed,
    /// It starts within the frozen fence.
    pub inside_fence: bool,
}

/// A promise that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedPromise {
    /// Delivery as it was.
    pub delivery: OpenDelivery,
    /// When it is ready now.
    pub after: Minute,
}

/// A plan that the event needs.
#[derive(Clone, Debug)]
pub struct NewPlan {
    /// Production that it becomes.
    pub production: Id,
    /// What it is for.
    pub demand: Demand,
    /// The decision.
    pub decision: Decision,
    /// It replaces a loss, so that its goods go to those who miss them.
    pub replaces: bool,
}

/// What an event does.
#[derive(Clone, Debug)]
pub struct Impact {
    /// Orders that move, by their new starts.
    pub orders: Vec<MovedOrder>,
    /// Promises that change.
    pub promises: Vec<ChangedPromise>,
    /// What nothing covers.
    pub uncovered: Vec<Uncovered>,
    /// What is opened.
    pub plans: Vec<NewPlan>,
    /// Supplies were dealt anew.
    pub dealt_anew: bool,
    /// Added lateness, new orders, moved orders; minor units.
    pub cost: [i128; 3],
}

/// Computes what `event` does to the plant. Productions that it opens are named `P-<number>` from
/// `next_number` on.
///
/// # Errors
/// When the event names something that isn't open, the rush order can't be planned, or there is no
/// room within the horizon.
pub fn impact(
    open: &OpenPlant,
    event: &Event,
    policy: &Policy,
    next_number: i64,
    now: Minute,
) -> Result<Impact, PlanError> {
    if let Event::Repaired(over) = event {
        return repaired(open, over, policy, now);
    }
    let (mut changed, mut plans) = (open.clone(), Vec::new());
    let mut terms = Terms { fence: policy.fence, ..Terms::default() };
    match event {
        Event::Breakdown(outage) => terms.outage = Some(outage.clone()),
        Event::Repaired(_) => {}
        Event::Late(id, at) => {
            known(open, id)?;
            terms.ready_at.insert(id.clone(), *at);
        }
        Event::Loss { id, item, units } => {
            known(open, id)?;
            let lines = changed.snapshot.receipts.iter_mut();
            for receipt in lines.filter(|receipt| receipt.id == *id && receipt.item == *item) {
                receipt.quantity = (receipt.quantity - units).max(0);
            }
            plans = replacements(open, &changed, policy, next_number, now);
        }
        Event::Rush(demand, _) => {
            // Machines of what may move are free for it; material that is promised isn't.
            let demand = Demand { rush: demand.rush || !policy.fence, ..demand.clone() };
            let stays = changed.booked(|order| order.under_way || frozen(open, order, policy.fence, now));
            let decision = decide(&stays, &demand, now)?;
            let production = format!("P-{next_number}").into();
            plans.push(NewPlan { production, demand, decision, replaces: false });
        }
    }
    let reference = if let Event::Rush(_, reference) = event { reference.as_str() } else { "" };
    for new in &plans {
        let own = (!new.replaces).then_some((&new.demand, reference));
        changed.open(&new.production, &new.decision.plan, own);
    }
    let (deal, repaired, dealt_anew) = best_deal(&changed, &terms, policy, now)?;
    let orders = moved(open, &changed, &repaired, now);
    let promises = promises(&changed, &repaired);
    let new_orders = plans.iter().map(|new| {
        let cost = &new.decision.plan.cost;
        cost.total() - i128::from(cost.lateness)
    });
    let moves = orders.iter().filter(|order| !order.before.pinned).count();
    let cost = [
        lateness_cost(&changed, &repaired),
        new_orders.sum(),
        i128::try_from(moves).unwrap_or_default() * i128::from(policy.disruption_cost),
    ];
    Ok(Impact { orders, promises, uncovered: deal.uncovered().to_vec(), plans, dealt_anew, cost })
}

/// What moves earlier when machines work again.
fn repaired(open: &OpenPlant, over: &Outage, policy: &Policy, now: Minute) -> Result<Impact, PlanError> {
    let unknown = || BillError::Unknown { item: over.work_center.clone(), used_in: None };
    let (changed, placed) = lift::shorten(open, over, now).ok_or_else(unknown)?;
    let deal = Deal::of(&changed.snapshot, now);
    let lifted = lift::lift(&changed, placed, &deal, policy, now);
    let orders = moved(open, &changed, &lifted, now);
    let moves = i128::try_from(orders.len()).unwrap_or_default() * i128::from(policy.disruption_cost);
    let cost = [lateness_cost(&changed, &lifted), 0, moves];
    let (promises, uncovered) = (promises(&changed, &lifted), lifted.uncovered);
    Ok(Impact { orders, promises, uncovered, plans: Vec::new(), dealt_anew: false, cost })
}

fn known(open: &OpenPlant, id: &Id) -> Result<(), PlanError> {
    let found = open.snapshot.receipts.iter().any(|receipt| receipt.id == *id);
    let unknown = || PlanError::Bill(BillError::Unknown { item: id.clone(), used_in: None });
    if found { Ok(()) } else { Err(unknown()) }
}

fn frozen(open: &OpenPlant, order: &OpenOrder, fence: bool, now: Minute) -> bool {
    let minutes = open.snapshot.items.get(&order.item).map_or(0, |item| item.fence_minutes);
    fence && order.start < now + minutes
}

/// Plans for what a loss leaves uncovered that was covered before, item by item; an item that nothing
/// brings stays uncovered.
fn replacements(
    open: &OpenPlant,
    changed: &OpenPlant,
    policy: &Policy,
    next_number: i64,
    now: Minute,
) -> Vec<NewPlan> {
    let before = Deal::of(&open.snapshot, now);
    let missed_before = |id: &Id| {
        before.uncovered().iter().filter(|use_| use_.id == *id).map(|use_| use_.quantity).sum::<i64>()
    };
    let mut missing: BTreeMap<Id, Vec<Delivery>> = BTreeMap::new();
    for uncovered in Deal::of(&changed.snapshot, now).uncovered() {
        let quantity = uncovered.quantity - missed_before(&uncovered.id);
        if quantity > 0 {
            let delivery = Delivery { quantity, due: Some(uncovered.at) };
            missing.entry(uncovered.item.clone()).or_default().push(delivery);
        }
    }
    let (mut snapshot, mut plans) = (changed.booked(|_| true), Vec::new());
    for (number, (item, deliveries)) in (next_number..).zip(missing) {
        let demand = Demand {
            item,
            deliveries,
            sources_allowed: Vec::new(),
            lateness_cost_per_day: None,
            disruption_cost: 0,
            on_time_only: false,
            rush: !policy.fence,
        };
        let Ok(decision) = decide(&snapshot, &demand, now) else { continue };
        let production: Id = format!("P-{number}").into();
        Commitments::of(&production, &decision.plan).apply(&mut snapshot);
        plans.push(NewPlan { production, demand, decision, replaces: true });
    }
    plans
}

/// Each use keeps what it was to get, unless another deal, made with the times after the event, saves
/// more than the hysteresis and costs no more.
fn best_deal(
    changed: &OpenPlant,
    terms: &Terms,
    policy: &Policy,
    now: Minute,
) -> Result<(Deal, Repaired, bool), PlanError> {
    let no_room = || {
        let center = terms.outage.as_ref().map(|outage| outage.work_center.clone());
        PlanError::NoCapacity { work_center: center.unwrap_or_else(|| "".into()), minutes: 0 }
    };
    let deal = Deal::of(&changed.snapshot, now);
    let kept = repair(changed, &deal, terms, now).ok_or_else(no_room)?;
    let mut snapshot = changed.snapshot.clone();
    for receipt in &mut snapshot.receipts {
        let placed = kept.orders.get(&receipt.id).map(|placed| placed.ready);
        receipt.at = terms.ready_at.get(&receipt.id).copied().or(placed).unwrap_or(receipt.at);
    }
    let other = Deal::of(&snapshot, now);
    let Some(anew) = repair(changed, &other, terms, now) else { return Ok((deal, kept, false)) };
    let saved = lateness(changed, &kept) - lateness(changed, &anew);
    let saved_cost = lateness_cost(changed, &kept) - lateness_cost(changed, &anew);
    if policy.hysteresis.is_worth(saved, saved_cost) {
        return Ok((other, anew, true));
    }
    Ok((deal, kept, false))
}

/// Minutes by which all deliveries are later than due, or than promised where they have no due time.
fn lateness(open: &OpenPlant, repaired: &Repaired) -> i128 {
    let late = |(delivery, at): (&OpenDelivery, &Minute)| {
        i128::from((at - delivery.due.unwrap_or(delivery.promise)).max(0))
    };
    open.deliveries.iter().zip(&repaired.promises).map(late).sum()
}

/// What the added lateness costs, minor units.
fn lateness_cost(open: &OpenPlant, repaired: &Repaired) -> i128 {
    let added = |(delivery, at): (&OpenDelivery, &Minute)| {
        let due = delivery.due.unwrap_or(delivery.promise);
        let late = (at - due).max(0) - (delivery.promise - due).max(0);
        i128::from(late) * i128::from(delivery.lateness_cost_per_day) / i128::from(DAY)
    };
    open.deliveries.iter().zip(&repaired.promises).map(added).sum()
}

fn moved(open: &OpenPlant, changed: &OpenPlant, repaired: &Repaired, now: Minute) -> Vec<MovedOrder> {
    let pairs = changed.orders.iter().filter_map(|(id, before)| Some((id, before, repaired.orders.get(id)?)));
    let mut moved: Vec<MovedOrder> = pairs
        .filter(|(_, before, after)| {
            (before.start, before.ready) != (after.start, after.ready)
                || before.operations != after.operations
        })
        .map(|(id, before, after)| MovedOrder {
            id: id.clone(),
            before: before.clone(),
            after: after.clone(),
            inside_fence: before.under_way || frozen(open, before, true, now),
        })
        .collect();
    moved.sort_by_key(|order| (order.after.start, order.id.clone()));
    moved
}

fn promises(open: &OpenPlant, repaired: &Repaired) -> Vec<ChangedPromise> {
    let pairs = open.deliveries.iter().zip(&repaired.promises);
    let changed = pairs.filter(|(delivery, after)| delivery.promise != **after);
    changed.map(|(delivery, after)| ChangedPromise { delivery: delivery.clone(), after: *after }).collect()
}
