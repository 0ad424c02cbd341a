//! One plan in the making: nets level by level from the wanted item down, sizes lots, schedules
//! backward from the need, then settles from the leaves up with what is really possible.

use super::availability::Taking;
use super::bill::needed;
use super::capacity::{Booked, Schedule};
use super::cost::{Cost, Sums};
use super::demand::{PLAN_LINES_MAX, PlanError, Source};
use super::lot_rule;
use super::plan::{Choice, Node, Order, Plan, Planned, Planner, Promise, Requirement, User, rates, supply};
use super::plant::{Id, LotPolicy, Minute, Sender};

/// A plan in the making.
pub(super) struct Draft<'p, 'a> {
    planner: &'p Planner<'a>,
    choice: &'p Choice,
    schedule: Schedule,
    requirements: Vec<Requirement>,
    orders: Vec<Order>,
    /// Requirements by the place of their item.
    wanted: Vec<Vec<usize>>,
    /// Orders by the place of their item.
    opened: Vec<Vec<usize>>,
    /// Items of which more was wanted than there was, by place.
    asked: Vec<bool>,
}

/// One lot to open.
struct Lot {
    quantity: i64,
    /// When its first user wants it.
    need: Minute,
    /// When the plant that sends it may, where that is known.
    leaves: Option<Minute>,
    /// Requirements that it covers: (requirement, units).
    pegs: Vec<(usize, i64)>,
}

impl<'p, 'a> Draft<'p, 'a> {
    pub(super) fn new(planner: &'p Planner<'a>, choice: &'p Choice, targets: &[Minute]) -> Self {
        let mut draft = Self {
            planner,
            choice,
            schedule: planner.schedule.clone(),
            requirements: Vec::new(),
            orders: Vec::new(),
            wanted: vec![Vec::new(); planner.nodes.len()],
            opened: vec![Vec::new(); planner.nodes.len()],
            asked: vec![false; planner.nodes.len()],
        };
        for (index, (delivery, target)) in planner.demand.deliveries.iter().zip(targets).enumerate() {
            draft.require(0, &planner.demand.item, delivery.quantity, *target, User::Delivery(index));
        }
        draft
    }

    pub(super) fn finish(mut self) -> Result<Planned, PlanError> {
        let planner = self.planner;
        for (place, node) in planner.nodes.iter().enumerate() {
            self.net(place, node)?;
        }
        for (place, node) in planner.nodes.iter().enumerate().rev() {
            self.settle(place, node)?;
        }
        let promises = self.promise();
        // Who is moved is asked of every draft only where it has a price; else of the chosen plan.
        let priced = planner.demand.disruption_cost > 0;
        let moved = if priced { planner.peg(&mut self.requirements) } else { Vec::new() };
        let cost = self.cost(&promises, moved.len())?;
        let plan = Plan { requirements: self.requirements, orders: self.orders, promises, moved, cost };
        Ok(Planned { plan, asked: self.asked })
    }

    fn require(&mut self, place: usize, item: &Id, quantity: i64, need: Minute, user: User) -> usize {
        let index = self.requirements.len();
        if let Some(wanted) = self.wanted.get_mut(place) {
            wanted.push(index);
        }
        self.requirements.push(Requirement {
            item: item.clone(),
            quantity,
            need,
            user,
            existing: 0,
            existing_at: need,
            orders: Vec::new(),
            ready: need,
            use_at: need,
            pegs: Vec::new(),
        });
        index
    }

    /// Covers an item's requirements in the order of their needs: first from stock and open orders
    /// that are there in time, the rest from the chosen source.
    fn net(&mut self, place: usize, node: &'p Node<'a>) -> Result<(), PlanError> {
        let Some(mut wanted) = self.wanted.get(place).filter(|wanted| !wanted.is_empty()).cloned() else {
            return Ok(());
        };
        wanted.sort_by_key(|index| (self.requirements.get(*index).map(|r| r.need), *index));
        let mut ledger = Taking::from(self.planner.outlook(node));
        let source = self.choice.sources.get(place).copied().unwrap_or(Source::Reserve);
        let mut open = Vec::new();
        for index in wanted {
            let Some(requirement) = self.requirements.get_mut(index) else { continue };
            let in_time = requirement.quantity.min(ledger.available(requirement.need));
            ledger.take(requirement.need, in_time);
            requirement.existing = in_time;
            let rest = requirement.quantity - in_time;
            if rest > 0
                && let Some(asked) = self.asked.get_mut(place)
            {
                *asked = true;
            }
            if rest > 0 && source == Source::Reserve {
                let later = ledger.earliest(rest, requirement.need);
                let at = later.ok_or_else(|| PlanError::NoSource { item: node.id.clone(), missing: rest })?;
                ledger.take(at, rest);
                (requirement.existing, requirement.existing_at) = (requirement.quantity, at);
            } else if rest > 0 {
                open.push((index, rest, requirement.need));
            }
        }
        if open.is_empty() { Ok(()) } else { self.open_orders(place, node, source, &open) }
    }

    /// Sizes the lots for what is open (requirement, units, need; by need) and schedules them.
    fn open_orders(
        &mut self,
        place: usize,
        node: &Node<'a>,
        source: Source,
        open: &[(usize, i64, Minute)],
    ) -> Result<(), PlanError> {
        let (id, item) = (node.id, node.item);
        let missing = open.iter().map(|(_, units, _)| units).sum();
        let (setup, _) =
            rates(item, source).ok_or_else(|| PlanError::NoSource { item: id.clone(), missing })?;
        let policy = if self.choice.lot_for_lot { LotPolicy::LotForLot } else { item.lot.policy };
        let too_large = |what| PlanError::TooLarge { item: id.clone(), what };
        let lots = lot_rule::lots(item, setup, policy, open)
            .ok_or_else(|| too_large("quantities or costs of its lots"))?;
        let mut sender = self.planner.sender(node).filter(|_| source == Source::Transfer);
        let mut sender = sender.as_mut().map(|(sender, outlook)| (*sender, Taking::from(outlook)));
        let mut open = open.iter().copied().peekable();
        for quantity in lots {
            let (mut left, mut pegs) = (quantity, Vec::new());
            let mut need = None;
            while left > 0
                && let Some((index, units, at)) = open.peek_mut()
            {
                let covered = left.min(*units);
                pegs.push((*index, covered));
                need = need.or(Some(*at));
                left -= covered;
                *units -= covered;
                if *units == 0 {
                    open.next();
                }
            }
            let need = need.unwrap_or(self.planner.now);
            let leaves = match (&mut sender, supply(item, source)) {
                (Some((sender, taking)), Some(supply)) => {
                    let wished = (need - supply.lead_minutes).max(node.frozen_until);
                    Some(leaves(node, sender, taking, quantity, wished)?)
                }
                _ => None,
            };
            self.open_order(place, node, source, Lot { quantity, need, leaves, pegs })?;
        }
        let too_many = self.orders.len().max(self.requirements.len()) > PLAN_LINES_MAX;
        if too_many { Err(too_large("number of orders and reservations")) } else { Ok(()) }
    }

    /// Schedules one lot backward from its need, or forward from the earliest start when that
    /// fails, and requires its parts.
    fn open_order(
        &mut self,
        place: usize,
        node: &Node<'a>,
        source: Source,
        Lot { quantity, need, leaves, pegs }: Lot,
    ) -> Result<(), PlanError> {
        let number = self.orders.len();
        let (id, item, earliest) = (node.id, node.item, node.frozen_until);
        let mut operations = Vec::new();
        let (mut start, mut ready) = (need.max(earliest), need.max(earliest));
        let supply = supply(item, source);
        if let Some(supply) = supply {
            start = leaves.unwrap_or((need - supply.lead_minutes).max(earliest));
            ready = start + supply.lead_minutes;
        } else if let Some(make) = &item.make
            && !make.operations.is_empty()
        {
            let backward = self.schedule.latest(id, &make.operations, quantity, earliest, need)?;
            operations = match backward {
                Some(operations) => operations,
                None => self.schedule.earliest(id, &make.operations, quantity, earliest)?,
            };
            (start, ready) = ends(&operations).unwrap_or((start, ready));
        }
        for (index, units) in &pegs {
            if let Some(requirement) = self.requirements.get_mut(*index) {
                requirement.orders.push((number, *units));
            }
        }
        let mut parts = Vec::new();
        if source.takes_parts() {
            for (component, below) in item.bill.iter().zip(&node.parts) {
                let units = needed(component, quantity).ok_or_else(|| PlanError::TooLarge {
                    item: component.item.clone(),
                    what: "quantity of a requirement",
                })?;
                parts.push(self.require(*below, &component.item, units, start, User::Order(number)));
            }
        }
        if let Some(opened) = self.opened.get_mut(place) {
            opened.push(number);
        }
        let supplier = supply.map(|supply| supply.supplier.clone());
        let item = id.clone();
        self.orders.push(Order {
            item,
            source,
            supplier,
            set_aside: leaves.is_some(),
            quantity,
            need,
            start,
            ready,
            operations,
            pegs,
            parts,
        });
        Ok(())
    }

    /// Moves an item's orders to when their parts are really there, and says when its own
    /// requirements are.
    fn settle(&mut self, place: usize, node: &Node<'a>) -> Result<(), PlanError> {
        let (id, item) = (node.id, node.item);
        for number in self.opened.get(place).cloned().unwrap_or_default() {
            let Some(order) = self.orders.get_mut(number) else { continue };
            let parts = order.parts.iter().filter_map(|part| self.requirements.get(*part));
            let release = parts.map(|part| part.ready).max().unwrap_or(order.start);
            if release > order.start {
                let length = order.ready - order.start;
                (order.start, order.ready) = (release, release + length);
                if let (Source::Make, Some(make)) = (order.source, &item.make) {
                    self.schedule.free(&order.operations);
                    order.operations =
                        self.schedule.earliest(id, &make.operations, order.quantity, release)?;
                    (order.start, order.ready) = ends(&order.operations).unwrap_or((release, release));
                }
            }
            let start = order.start;
            for part in &order.parts {
                if let Some(part) = self.requirements.get_mut(*part) {
                    part.use_at = start;
                }
            }
        }
        for index in self.wanted.get(place).into_iter().flatten() {
            let Some(requirement) = self.requirements.get_mut(*index) else { continue };
            let orders = requirement.orders.iter().filter_map(|(number, _)| self.orders.get(*number));
            let existing = (requirement.existing > 0).then_some(requirement.existing_at);
            requirement.ready =
                orders.map(|order| order.ready).chain(existing).max().unwrap_or(requirement.need);
        }
        Ok(())
    }

    /// Promises for the deliveries, which are the first requirements.
    fn promise(&mut self) -> Vec<Promise> {
        let deliveries = self.planner.demand.deliveries.iter().zip(&mut self.requirements);
        deliveries
            .map(|(delivery, requirement)| {
                let due = delivery.due.map(|due| due.max(self.planner.now));
                let at = due.map_or(requirement.ready, |due| due.max(requirement.ready));
                requirement.use_at = at;
                Promise { at, late: delivery.due.map_or(0, |due| (requirement.ready - due).max(0)) }
            })
            .collect()
    }

    fn cost(&self, promises: &[Promise], moved: usize) -> Result<Cost, PlanError> {
        let demand = self.planner.demand;
        let mut sums = Sums::default();
        for (place, node) in self.planner.nodes.iter().enumerate() {
            let item = node.item;
            for index in self.wanted.get(place).into_iter().flatten() {
                sums.material(self.requirements.get(*index).map_or(0, |r| r.existing), item.unit_cost);
            }
            for order in self.opened.get(place).into_iter().flatten().filter_map(|n| self.orders.get(*n)) {
                sums.order(order.quantity, rates(item, order.source).unwrap_or_default());
                for (index, units) in &order.pegs {
                    let used = self.requirements.get(*index).map_or(order.ready, |r| r.use_at);
                    sums.holding(*units, used - order.ready, item.holding_micros_per_day);
                }
            }
        }
        for promise in promises {
            sums.lateness(promise.late, demand.lateness_cost_per_day.unwrap_or_default());
        }
        sums.disruption(moved, demand.disruption_cost);
        sums.cost().ok_or_else(|| PlanError::TooLarge { item: demand.item.clone(), what: "cost" })
    }
}

/// When a lot leaves the plant that sends it: as late as is in time, or when it may be promised there.
fn leaves(
    node: &Node<'_>,
    sender: &Sender,
    taking: &mut Taking<'_>,
    quantity: i64,
    wished: Minute,
) -> Result<Minute, PlanError> {
    let short = || PlanError::SenderShort {
        item: node.id.clone(),
        sender: sender.plant.clone(),
        missing: quantity - taking.available(Minute::MAX),
    };
    let at = taking.earliest(quantity, wished).ok_or_else(short)?;
    taking.take(at, quantity);
    Ok(at)
}

fn ends(operations: &[Booked]) -> Option<(Minute, Minute)> {
    Some((operations.first()?.start, operations.last()?.end))
}
