//! What a plan is, and the planner that makes one for a choice of sources.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::availability::{Ledger, Outlook};
use super::bill::{BillError, Levels};
use super::by_item::{ByItem, Lines};
use super::capacity::{Booked, Schedule};
use super::cost::Cost;
use super::demand::{Demand, PlanError, Source};
use super::draft::Draft;
use super::pegging::{self, Moved, Peg, Use};
use super::plant::{Component, Id, Item, Minute, Sender, Snapshot, Supply};

/// What a requirement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// A delivery of the demand, by its index.
    Delivery(usize),
    /// An order of the plan, by its number.
    Order(usize),
}

/// Material that is needed for one use.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// Item.
    pub item: Id,
    /// Units.
    pub quantity: i64,
    /// When its user wants it.
    pub need: Minute,
    /// What for.
    pub user: User,
    /// Units that stock and open orders cover.
    pub existing: i64,
    /// When these are there.
    pub existing_at: Minute,
    /// Orders of the plan that cover the rest: (order, units).
    pub orders: Vec<(usize, i64)>,
    /// When all of it is there.
    pub ready: Minute,
    /// When it is used.
    pub use_at: Minute,
    /// The supplies behind `existing`; empty in a plan that wasn't chosen.
    pub pegs: Vec<Peg>,
}

/// One order to open.
#[derive(Clone, Debug)]
pub struct Order {
    /// Item.
    pub item: Id,
    /// Make, buy, outsource or transfer.
    pub source: Source,
    /// Who supplies it, when somebody else does.
    pub supplier: Option<Id>,
    /// A transfer from a plant that is known: the goods are set aside there until the start.
    pub set_aside: bool,
    /// Units.
    pub quantity: i64,
    /// When its first user wants it.
    pub need: Minute,
    /// When it starts.
    pub start: Minute,
    /// When the goods are there.
    pub ready: Minute,
    /// Operations in the schedule, when made.
    pub operations: Vec<Booked>,
    /// Requirements that it covers: (requirement, units).
    pub pegs: Vec<(usize, i64)>,
    /// Requirements that it has.
    pub parts: Vec<usize>,
}

impl Order {
    /// Units that no requirement of the plan takes.
    #[must_use]
    pub fn surplus(&self) -> i64 {
        self.quantity - self.pegs.iter().map(|(_, units)| units).sum::<i64>()
    }
}

/// The promise for one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// When it is ready.
    pub at: Minute,
    /// Minutes after its due time; 0 without one.
    pub late: i64,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Material needed; the first ones are the deliveries.
    pub requirements: Vec<Requirement>,
    /// Orders to open, users before parts.
    pub orders: Vec<Order>,
    /// One for each delivery.
    pub promises: Vec<Promise>,
    /// Reservations of others that are covered later than before; empty in a plan that wasn't chosen.
    pub moved: Vec<Moved>,
    /// What it costs.
    pub cost: Cost,
}

impl Plan {
    /// When the last delivery is ready.
    #[must_use]
    pub fn promise(&self) -> Minute {
        self.promises.iter().map(|promise| promise.at).max().unwrap_or_default()
    }

    /// Lateness of the latest delivery, minutes.
    #[must_use]
    pub fn late(&self) -> i64 {
        self.promises.iter().map(|promise| promise.late).max().unwrap_or_default()
    }
}

/// Where each item is to come from, and whether lots are pooled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Sources in the order of [`Planner::levels`]; reserving waits for open orders.
    pub sources: Vec<Source>,
    /// A lot for each need, whatever the item's rule says: the fastest.
    pub lot_for_lot: bool,
}

impl Choice {
    /// Takes an item from elsewhere.
    pub fn set(&mut self, place: usize, source: Source) {
        if let Some(own) = self.sources.get_mut(place) {
            *own = source;
        }
    }
}

/// An item of the bill, at its place in the order of netting.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) id: &'a Id,
    pub(super) item: &'a Item,
    /// Places of the parts of its bill.
    pub(super) parts: Vec<usize>,
    /// Nothing starts before.
    pub(super) frozen_until: Minute,
    /// What is available of it; made when it is first asked for.
    outlook: OnceCell<Outlook>,
    /// The same where it is sent from, when that plant is known.
    sender: Option<(&'a Sender, OnceCell<Outlook>)>,
}

/// A plan, and which items it wanted more of than there was.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// By place: only where this is true, the item's source matters.
    pub(super) asked: Vec<bool>,
}

/// What all plans of one decision share.
#[derive(Clone, Debug)]
pub struct Planner<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) demand: &'a Demand,
    pub(super) now: Minute,
    pub(super) levels: Levels,
    pub(super) schedule: Schedule,
    pub(super) open: ByItem<'a>,
    /// In the order of netting.
    pub(super) nodes: Vec<Node<'a>>,
}

impl<'a> Planner<'a> {
    /// Reads the bill and the state of its items.
    ///
    /// # Errors
    /// When the bill can't be used.
    pub fn new(snapshot: &'a Snapshot, demand: &'a Demand, now: Minute) -> Result<Self, PlanError> {
        let levels = Levels::of(&demand.item, |id| snapshot.items.get(id).map(|item| item.bill.as_slice()))?;
        let places: HashMap<&str, usize> =
            levels.order.iter().zip(0..).map(|((id, _), at)| (&**id, at)).collect();
        let mut nodes = Vec::with_capacity(levels.order.len());
        for (id, _) in &levels.order {
            let unknown = || BillError::Unknown { item: id.clone(), used_in: None };
            let (id, item) = snapshot.items.get_key_value(id).ok_or_else(unknown)?;
            let place = |part: &Component| places.get(&*part.item).copied();
            let parts = item.bill.iter().filter_map(place).collect();
            let frozen_until = frozen_until(snapshot, demand, id, now);
            let sender = snapshot.senders.get(id).map(|sender| (sender, OnceCell::new()));
            nodes.push(Node { id, item, parts, frozen_until, outlook: OnceCell::new(), sender });
        }
        let (schedule, open) = (Schedule::of(snapshot, now), ByItem::of(snapshot));
        Ok(Self { snapshot, demand, now, levels, schedule, open, nodes })
    }

    /// The bill's items with their low-level codes.
    #[must_use]
    pub fn levels(&self) -> &Levels {
        &self.levels
    }

    /// What is available of an item of the bill.
    pub(super) fn outlook<'s>(&self, node: &'s Node<'a>) -> &'s Outlook {
        node.outlook.get_or_init(|| self.look(self.open.get(node.id), node.frozen_until))
    }

    /// What the plant that sends an item of the bill may promise; `None` when it isn't known. The fence
    /// there holds also for a rush here.
    pub(super) fn sender<'s>(&self, node: &'s Node<'a>) -> Option<(&'a Sender, &'s Outlook)> {
        let (sender, outlook) = node.sender.as_ref()?;
        let frozen_until = self.now + sender.item.fence_minutes;
        Some((*sender, outlook.get_or_init(|| self.look(&Lines::at(sender), frozen_until))))
    }

    fn look(&self, lines: &Lines<'_>, frozen_until: Minute) -> Outlook {
        let frozen = pegging::frozen_supplies(lines, frozen_until, self.now);
        Outlook::of(&Ledger::with_frozen(lines, &frozen, self.now))
    }

    /// The plan for one choice. A plan that turns out late is made again, backward from its own
    /// promises: it then starts no earlier than it must and may use what arrives meanwhile.
    ///
    /// # Errors
    /// When a chosen source can't bring an item, or there is no capacity.
    pub fn plan(&self, choice: &Choice) -> Result<Plan, PlanError> {
        self.planned(choice).map(|planned| planned.plan)
    }

    pub(super) fn planned(&self, choice: &Choice) -> Result<Planned, PlanError> {
        let targets: Vec<Minute> = self
            .demand
            .deliveries
            .iter()
            .map(|delivery| delivery.due.unwrap_or(self.now).max(self.now))
            .collect();
        let mut first = Draft::new(self, choice, &targets).finish()?;
        let promised: Vec<Minute> = first.plan.promises.iter().map(|promise| promise.at).collect();
        if promised == targets {
            return Ok(first);
        }
        let Ok(mut again) = Draft::new(self, choice, &promised).finish() else {
            // Another source may let it succeed.
            first.asked.fill(true);
            return Ok(first);
        };
        for (a, b) in first.asked.iter_mut().zip(&mut again.asked) {
            (*a, *b) = (*a || *b, *a || *b);
        }
        Ok(if self.no_worse(&again.plan, &first.plan) { again } else { first })
    }

    /// Pegs what stock and open orders cover of `requirements`, and finds whom that moves.
    pub fn peg(&self, requirements: &mut [Requirement]) -> Vec<Moved> {
        let mut uses: BTreeMap<Id, Vec<(usize, i64, Minute)>> = BTreeMap::new();
        for (index, requirement) in requirements.iter().enumerate().filter(|(_, r)| r.existing > 0) {
            let own = uses.entry(requirement.item.clone()).or_default();
            own.push((index, requirement.existing, requirement.use_at));
        }
        let mut moved = Vec::new();
        for (id, uses) in uses {
            let frozen_until = frozen_until(self.snapshot, self.demand, &id, self.now);
            let lines = self.open.get(&id);
            let before = pegging::peg(lines, &[], frozen_until, self.now);
            let mut after = pegging::peg(lines, &uses, frozen_until, self.now);
            moved.extend(pegging::moved(lines, &before, &after));
            for (index, _, _) in uses {
                if let Some(requirement) = requirements.get_mut(index) {
                    requirement.pegs = after.remove(&Use::Requirement(index)).unwrap_or_default();
                }
            }
        }
        moved
    }

    fn no_worse(&self, plan: &Plan, than: &Plan) -> bool {
        let earlier = plan.promises.iter().zip(&than.promises).all(|(a, b)| a.at <= b.at);
        earlier && plan.cost.total() <= than.cost.total()
    }
}

/// Before this minute the item's orders and reservations are frozen for the demand.
#[must_use]
pub fn frozen_until(snapshot: &Snapshot, demand: &Demand, item: &Id, now: Minute) -> Minute {
    let fence = snapshot.items.get(item).map_or(0, |item| item.fence_minutes);
    if demand.rush { now } else { now + fence }
}

/// Who else than ourselves supplies an item from a source.
#[must_use]
pub fn supply(item: &Item, source: Source) -> Option<&Supply> {
    match source {
        Source::Reserve | Source::Make => None,
        Source::Buy => item.buy.as_ref(),
        Source::Outsource => item.outsource.as_ref(),
        Source::Transfer => item.transfer.as_ref(),
    }
}

/// Cost of an order and of a unit from a source; `None` when the item doesn't come from there.
#[must_use]
pub fn rates(item: &Item, source: Source) -> Option<(i64, i64)> {
    match source {
        Source::Reserve => None,
        Source::Make => item.make.as_ref().map(|make| (make.setup_cost, make.unit_cost)),
        Source::Buy | Source::Outsource | Source::Transfer => {
            supply(item, source).map(|supply| (supply.order_cost, supply.unit_price))
        }
    }
}
