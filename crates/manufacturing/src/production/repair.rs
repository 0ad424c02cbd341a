//! Repairing a schedule: what must move moves later, the rest stays.
//!
//! Affected-operations rescheduling (R. J. Abumaizar, J. A. Svestka, "Rescheduling job shops under
//! random disruptions", Int. J. Production Research 35, 1997): operations are placed in the order of
//! the earliest moments at which they could be, which is where they were for all that nothing
//! touches. Nothing moves earlier. Setups stay as they were booked.

use std::collections::BTreeMap;

use super::by_item::ByItem;
use super::calendar::WorkingTime;
use super::demand::HORIZON;
use super::open_plant::{OpenOrder, OpenPlant, UsedBy};
use super::pegging::{self, Cover, Use};
use super::plant::{Booking, Id, Minute, Snapshot};

/// Passes until nothing changes any more; each carries a delay at least one order further.
const PASSES_MAX: usize = 300;
/// Passes after which an order's bound never falls again, so that they can't go round in a circle.
const FREE_PASSES: usize = 100;

/// A machine that doesn't work for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Where.
    pub work_center: Id,
    /// Machine, from 0; `None` for all.
    pub machine: Option<usize>,
    /// From this minute.
    pub from: Minute,
    /// Up to this minute.
    pub until: Minute,
}

/// What a repair has to respect.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// A machine that doesn't work.
    pub outage: Option<Outage>,
    /// Open orders whose goods come then, whatever their operations say.
    pub ready_at: BTreeMap<Id, Minute>,
    /// Whether the items' frozen fences hold.
    pub fence: bool,
}

/// Where an order is after the repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// When it starts.
    pub start: Minute,
    /// When the goods are there.
    pub ready: Minute,
    /// Its operations.
    pub operations: Vec<Booking>,
}

/// Units of a use that nothing covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// Reservation.
    pub id: Id,
    /// Item.
    pub item: Id,
    /// Units.
    pub quantity: i64,
    /// When it was to be used.
    pub at: Minute,
}

/// A repaired plant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// All open orders.
    pub orders: BTreeMap<Id, Placed>,
    /// When each delivery is ready, in their order; never before its promise.
    pub promises: Vec<Minute>,
    /// What nothing covers.
    pub uncovered: Vec<Uncovered>,
}

/// Which supplies each use gets: by use, its item and the supplies.
#[derive(Clone, Debug, Default)]
pub struct Deal {
    supplies: BTreeMap<Id, (Id, Vec<Cover>)>,
    uncovered: Vec<Uncovered>,
}

impl Deal {
    /// First needed, first served, with the open orders' times as `snapshot` has them.
    #[must_use]
    pub fn of(snapshot: &Snapshot, now: Minute) -> Self {
        let mut deal = Self::default();
        let mut items: Vec<&Id> = snapshot.reserved.iter().map(|reserved| &reserved.item).collect();
        items.sort();
        items.dedup();
        let open = ByItem::of(snapshot);
        for item in items {
            let lines = open.get(item);
            let mut pegs = pegging::peg(lines, &[], now, now);
            for reserved in &lines.reserved {
                let own = pegs.remove(&Use::Reserved(reserved.id.clone())).unwrap_or_default();
                let quantity = reserved.quantity - own.iter().map(|peg| peg.quantity).sum::<i64>();
                if quantity > 0 {
                    let (id, item, at) = (reserved.id.clone(), reserved.item.clone(), reserved.at);
                    deal.uncovered.push(Uncovered { id, item, quantity, at });
                }
                let covers = own.into_iter().map(|peg| peg.cover).collect();
                deal.supplies.insert(reserved.id.clone(), (item.clone(), covers));
            }
        }
        deal
    }

    /// When the last of what a use gets is there, by the moments of open orders (item, order); `None`
    /// when none of it comes from these.
    #[must_use]
    pub fn arrival(&self, id: &Id, ready: impl Fn(&Id, &Id) -> Option<Minute>) -> Option<Minute> {
        let (item, covers) = self.supplies.get(id)?;
        let order = |cover: &Cover| if let Cover::Receipt(id) = cover { ready(item, id) } else { None };
        covers.iter().filter_map(order).max()
    }

    /// Open orders that a use gets something of.
    pub fn orders(&self, id: &Id) -> impl Iterator<Item = &Id> {
        let covers = self.supplies.get(id).map_or(&[][..], |(_, covers)| covers.as_slice());
        covers.iter().filter_map(|cover| if let Cover::Receipt(id) = cover { Some(id) } else { None })
    }

    /// Uses that nothing covers.
    #[must_use]
    pub fn uncovered(&self) -> &[Uncovered] {
        &self.uncovered
    }
}

/// Repairs a plant; `None` when there is no room within the horizon.
#[must_use]
pub fn repair(open: &OpenPlant, deal: &Deal, terms: &Terms, now: Minute) -> Option<Repaired> {
    let shop = Shop::of(open, terms, now);
    let mut parts: BTreeMap<&Id, Vec<&Id>> = BTreeMap::new();
    for (reservation, used_by) in &open.uses {
        if let UsedBy::Order(order) = used_by {
            parts.entry(order).or_default().push(reservation);
        }
    }
    // One order of another system may bring several items.
    let lines = open.snapshot.receipts.iter().map(|r| ((&r.item, &r.id), r.at));
    let receipts: BTreeMap<(&Id, &Id), Minute> = lines.collect();
    let mut known: BTreeMap<Id, Placed> = BTreeMap::new();
    for (id, order) in &open.orders {
        let (start, ready, operations) = (order.start, order.ready, order.operations.clone());
        known.insert(id.clone(), Placed { start, ready, operations });
    }
    // When what covers a use is there, as far as is known.
    let material = |known: &BTreeMap<Id, Placed>, reservation: &Id| {
        let ready = |item: &Id, id: &Id| {
            let own = known.get(id).map(|placed| placed.ready);
            let own = own.or_else(|| receipts.get(&(item, id)).copied());
            terms.ready_at.get(id).copied().or(own)
        };
        deal.arrival(reservation, ready).unwrap_or(now)
    };
    let mut bounds: BTreeMap<&Id, Minute> = BTreeMap::new();
    for pass in 0..PASSES_MAX {
        let bound = |id: &Id, order: &OpenOrder| {
            let reservations = parts.get(id).map_or(&[][..], Vec::as_slice);
            let parts = reservations.iter().map(|reservation| material(&known, reservation)).max();
            order.start.max(parts.unwrap_or(order.start))
        };
        for (id, order) in &open.orders {
            let known = bounds.entry(id).or_insert(order.start);
            let own = bound(id, order);
            *known = if pass < FREE_PASSES { own } else { (*known).max(own) };
        }
        let orders =
            open.orders.iter().map(|(id, order)| (id, order, bounds.get(id).copied().unwrap_or(order.start)));
        let next = shop.place(orders.collect(), terms)?;
        if next == known {
            let promises = promises(open, |reservation| material(&known, reservation));
            return Some(Repaired { orders: known, promises, uncovered: deal.uncovered.clone() });
        }
        known = next;
    }
    None
}

fn promises(open: &OpenPlant, material: impl Fn(&Id) -> Minute) -> Vec<Minute> {
    let mut promises: Vec<Minute> = open.deliveries.iter().map(|delivery| delivery.promise).collect();
    for (reservation, used_by) in &open.uses {
        if let UsedBy::Delivery(index) = used_by
            && let Some(promise) = promises.get_mut(*index)
        {
            *promise = (*promise).max(material(reservation));
        }
    }
    promises
}

/// Machine by work centre and number.
type Machine = (Id, usize);

/// An operation that goes on after an outage.
struct Running<'a> {
    booking: &'a Booking,
    slot: (i64, i64),
}

/// The machines with what can't move, on their axes of working minutes.
struct Shop<'a> {
    open: &'a OpenPlant,
    now: Minute,
    times: BTreeMap<Id, WorkingTime>,
    /// Bookings of nobody who is open, and the outage.
    fixed: BTreeMap<Machine, Vec<(i64, i64)>>,
    outage: Option<(&'a Outage, i64, i64)>,
}

impl<'a> Shop<'a> {
    fn of(open: &'a OpenPlant, terms: &'a Terms, now: Minute) -> Self {
        let centers = open.snapshot.work_centers.iter();
        let times: BTreeMap<Id, WorkingTime> =
            centers.map(|(id, center)| (id.clone(), center.calendar.expand(now, now + HORIZON))).collect();
        let mut fixed: BTreeMap<Machine, Vec<(i64, i64)>> = BTreeMap::new();
        for booking in &open.snapshot.bookings {
            if let Some(time) = times.get(&booking.work_center) {
                let slot = (time.worked_before(booking.start), time.worked_before(booking.end));
                fixed.entry((booking.work_center.clone(), booking.machine)).or_default().push(slot);
            }
        }
        let mut outage = None;
        if let Some(own) = &terms.outage
            && let Some(time) = times.get(&own.work_center)
        {
            let slot = (time.worked_before(own.from), time.worked_before(own.until));
            let count = open.snapshot.work_centers.get(&own.work_center).map_or(1, |center| center.machines);
            for machine in (0..count).filter(|machine| own.machine.is_none_or(|own| own == *machine)) {
                fixed.entry((own.work_center.clone(), machine)).or_default().push(slot);
            }
            outage = Some((own, slot.0, slot.1));
        }
        Self { open, now, times, fixed, outage }
    }

    /// The slot of a booking on its axis.
    fn slot(&self, booking: &Booking) -> (i64, i64) {
        let time = self.times.get(&booking.work_center);
        time.map_or((0, 0), |time| (time.worked_before(booking.start), time.worked_before(booking.end)))
    }

    fn hit(&self, booking: &Booking, (from, to): (i64, i64)) -> bool {
        self.outage.is_some_and(|(outage, down, up)| {
            let here = outage.work_center == booking.work_center;
            here && outage.machine.is_none_or(|machine| machine == booking.machine) && from < up && down < to
        })
    }

    /// An operation that runs when its machine breaks down, with the time that it then takes.
    fn running<'b>(&self, booking: &'b Booking) -> Option<Running<'b>> {
        let ((_, down, up), (start, end)) = (self.outage?, self.slot(booking));
        (start < down).then_some(Running { booking, slot: (start, end + (up - down)) })
    }

    /// Whether an order stays where it is as long as it can.
    fn is_frozen(&self, order: &OpenOrder, fence: bool) -> bool {
        let item = self.open.snapshot.items.get(&order.item);
        let until = self.now + item.map_or(0, |item| item.fence_minutes);
        order.under_way || order.pinned || (fence && order.start < until)
    }

    /// Places all orders, each not before its bound.
    fn place(
        &self,
        mut orders: Vec<(&Id, &'a OpenOrder, Minute)>,
        terms: &Terms,
    ) -> Option<BTreeMap<Id, Placed>> {
        let mut busy = self.fixed.clone();
        // What runs when a machine breaks down goes on afterwards; the others make room for that.
        let mut running: Vec<Running<'_>> = Vec::new();
        for (_, order, _) in orders.iter().filter(|(_, order, bound)| *bound <= order.start) {
            let hit = order.operations.iter().find(|own| self.hit(own, self.slot(own)));
            running.extend(hit.and_then(|own| self.running(own)));
        }
        for Running { booking, slot } in &running {
            busy.entry((booking.work_center.clone(), booking.machine)).or_default().push(*slot);
        }
        let crowded = |own: &Booking| {
            let (from, to) = self.slot(own);
            let here = running.iter().filter(|other| {
                other.booking.work_center == own.work_center && other.booking.machine == own.machine
            });
            here.filter(|other| other.booking != own).any(|other| from < other.slot.1 && other.slot.0 < to)
        };
        // Frozen orders that nothing forces keep their machines from the others.
        let forced = |order: &OpenOrder, bound: Minute| {
            let hit = |own: &Booking| self.hit(own, self.slot(own)) || crowded(own);
            bound > order.start || order.operations.iter().any(hit)
        };
        let stays =
            |order: &OpenOrder, bound: Minute| self.is_frozen(order, terms.fence) && !forced(order, bound);
        for (_, order, _) in orders.iter().filter(|(_, order, bound)| stays(order, *bound)) {
            for own in &order.operations {
                busy.entry((own.work_center.clone(), own.machine)).or_default().push(self.slot(own));
            }
        }
        orders.sort_by_key(|(id, order, bound)| (*bound, order.start, order.ready, (*id).clone()));
        let mut placed = BTreeMap::new();
        for (id, order, bound) in orders {
            let mut own = if stays(order, bound) {
                Placed { start: order.start, ready: order.ready, operations: order.operations.clone() }
            } else {
                self.place_order(order, bound, &running, &mut busy)?
            };
            if let Some(at) = terms.ready_at.get(id) {
                own.ready = *at;
            }
            placed.insert(id.clone(), own);
        }
        Some(placed)
    }

    fn place_order(
        &self,
        order: &OpenOrder,
        bound: Minute,
        running: &[Running<'_>],
        busy: &mut BTreeMap<Machine, Vec<(i64, i64)>>,
    ) -> Option<Placed> {
        if order.operations.is_empty() {
            let ready = bound + (order.ready - order.start);
            return Some(Placed { start: bound, ready, operations: Vec::new() });
        }
        let (mut operations, mut from) = (Vec::with_capacity(order.operations.len()), bound);
        for own in &order.operations {
            let goes_on = running.iter().find(|other| other.booking == own && bound <= order.start);
            let placed = match goes_on {
                Some(Running { slot, .. }) => {
                    let end = self.times.get(&own.work_center)?.end_of(slot.1)?;
                    Booking { end, ..own.clone() }
                }
                None => self.place_operation(own, from.max(own.start), busy)?,
            };
            from = placed.end;
            operations.push(placed);
        }
        let start = operations.first().map_or(bound, |first| first.start);
        Some(Placed { start, ready: from, operations })
    }

    /// The first room from `from` on, on the own machine or, where that is earlier, on a like one.
    fn place_operation(
        &self,
        own: &Booking,
        from: Minute,
        busy: &mut BTreeMap<Machine, Vec<(i64, i64)>>,
    ) -> Option<Booking> {
        let (time, (start, end)) = (self.times.get(&own.work_center)?, self.slot(own));
        if start >= end {
            // Done, or no working time is left of it.
            return Some(Booking { end: own.end.max(from), ..own.clone() });
        }
        let bound = time.worked_before(from).max(start);
        let machine = (own.work_center.clone(), own.machine);
        let count = self.open.snapshot.work_centers.get(&own.work_center).map_or(1, |center| center.machines);
        let key = |number: usize| (own.work_center.clone(), number);
        let mut best = (first_room(busy.get(&machine), bound, end - start), false, own.machine);
        if best.0 > start {
            for number in (0..count).filter(|number| *number != own.machine) {
                // On another machine it may push nobody, so what is booked there blocks it.
                let mut taken = busy.get(&key(number)).cloned().unwrap_or_default();
                taken.extend(self.originals(&key(number)));
                best = best.min((first_room(Some(&taken), bound, end - start), true, number));
            }
        }
        let (at, _, number) = best;
        let to = at + (end - start);
        busy.entry(key(number)).or_default().push((at, to));
        let moved = at > start || number != own.machine;
        if !moved {
            return Some(own.clone());
        }
        Some(Booking { machine: number, start: time.begin_of(at)?, end: time.end_of(to)?, ..own.clone() })
    }

    /// Where the open orders' operations were on a machine.
    fn originals(&self, machine: &Machine) -> impl Iterator<Item = (i64, i64)> + '_ {
        let (center, number) = machine.clone();
        let bookings = self.open.orders.values().flat_map(|order| &order.operations);
        bookings.filter(move |b| b.work_center == center && b.machine == number).map(|b| self.slot(b))
    }
}

/// The first start from `bound` on at which `length` minutes are free.
pub(super) fn first_room(busy: Option<&Vec<(i64, i64)>>, bound: i64, length: i64) -> i64 {
    let mut taken: Vec<(i64, i64)> = busy.map_or_else(Vec::new, |busy| {
        busy.iter().copied().filter(|(from, to)| from < to && *to > bound).collect()
    });
    taken.sort_unstable();
    let mut start = bound;
    for (from, to) in taken {
        if from - start >= length {
            break;
        }
        start = start.max(to);
    }
    start
}
