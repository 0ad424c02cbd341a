//! Lifting an outage early: orders move earlier only where that mends a promise that was changed or is
//! late, into what is free, and no earlier than it must be.
//!
//! Delivery by delivery, the dearest first: what covers it is put as late as is in time, its parts by
//! then, and where that fails as early as its parts allow; all of it is taken back when the delivery
//! gains less than the hysteresis. Nobody else moves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::bill::LEVELS_MAX;
use super::calendar::WorkingTime;
use super::demand::HORIZON;
use super::event::Policy;
use super::open_plant::{OpenDelivery, OpenOrder, OpenPlant, UsedBy};
use super::plant::{Booking, DAY, Id, Minute};
use super::repair::{Deal, Outage, Placed, Repaired, first_room};

/// Most orders that are tried for all deliveries together, so that a plant full of late orders is
/// answered too; the deliveries that come after that stay as they are.
const TRIES_MAX: usize = 20_000;

/// Machine by work centre and number.
type Machine = (Id, usize);

/// The plant with an outage over from `outage.from` on, and where that puts orders that run: what ran
/// through the outage ends earlier by what it lasts less. `None` when no outage is touched.
#[must_use]
pub fn shorten(open: &OpenPlant, over: &Outage, now: Minute) -> Option<(OpenPlant, BTreeMap<Id, Placed>)> {
    let mut changed = open.clone();
    let mut placed: BTreeMap<Id, Placed> =
        open.orders.iter().map(|(id, order)| (id.clone(), as_it_is(order))).collect();
    let touched = |down: &Booking| {
        down.work_center == over.work_center
            && over.machine.is_none_or(|machine| machine == down.machine)
            && down.end > over.from
    };
    let time = open.snapshot.work_centers.get(&over.work_center)?.calendar.expand(now, now + HORIZON);
    let mut any = false;
    for down in open.outages.iter().filter(|down| touched(down)) {
        any = true;
        if let Some(at) = changed.snapshot.bookings.iter().position(|booking| booking == down) {
            changed.snapshot.bookings.swap_remove(at);
        }
        let left = Booking { end: over.from, ..down.clone() };
        if left.start < left.end {
            changed.snapshot.bookings.push(left);
        }
        let less = time.worked_before(down.end) - time.worked_before(over.from.max(down.start));
        for own in placed.values_mut() {
            let last = own.operations.len();
            let same = |one: &Booking| one.work_center == down.work_center && one.machine == down.machine;
            for (number, one) in (1..).zip(&mut own.operations) {
                if same(one)
                    && one.start < down.start
                    && one.end > down.start
                    && let Some(end) = time.end_of(time.worked_before(one.end) - less)
                {
                    one.end = end.max(now);
                    if number == last {
                        own.ready = one.end;
                    }
                }
            }
        }
    }
    any.then_some((changed, placed))
}

/// Moves orders earlier, from where they are `placed`.
#[must_use]
pub fn lift(
    open: &OpenPlant,
    placed: BTreeMap<Id, Placed>,
    deal: &Deal,
    policy: &Policy,
    now: Minute,
) -> Repaired {
    let mut lift = Lift::of(open, placed, deal, policy.fence, now);
    let mut uses: BTreeMap<usize, Vec<&Id>> = BTreeMap::new();
    for (reservation, used_by) in &open.uses {
        if let UsedBy::Delivery(place) = used_by {
            uses.entry(*place).or_default().push(reservation);
        }
    }
    let mut promises: Vec<Minute> = open.deliveries.iter().map(|delivery| delivery.promise).collect();
    let wanted = open.deliveries.iter().enumerate();
    let mut wanted: Vec<(usize, &OpenDelivery, Minute)> =
        wanted.filter_map(|(place, delivery)| Some((place, delivery, target(delivery)?))).collect();
    wanted.sort_by_key(|(place, own, target)| (Reverse(own.lateness_cost_per_day), *target, *place));
    for (place, delivery, target) in &wanted {
        let own = uses.get(place).map_or(&[][..], Vec::as_slice);
        let mark = lift.log.len();
        for order in own.iter().flat_map(|reservation| deal.orders(reservation)) {
            lift.pull(order, *target, 0);
        }
        let after = lift.there(own).max(*target).min(delivery.promise);
        let moved: BTreeSet<&Id> = lift.log.iter().skip(mark).map(|(id, _)| id).collect();
        let moves = i128::try_from(moved.len()).unwrap_or_default() * i128::from(policy.disruption_cost);
        let saved = lateness_cost(delivery, delivery.promise) - lateness_cost(delivery, after) - moves;
        if !policy.hysteresis.is_worth((delivery.promise - after).into(), saved) {
            lift.undo(mark);
        }
    }
    // What was moved for one may serve another, and what runs ends earlier.
    for (place, delivery, target) in wanted {
        let own = uses.get(&place).map_or(&[][..], Vec::as_slice);
        if let Some(promise) = promises.get_mut(place) {
            *promise = lift.there(own).max(target).min(delivery.promise);
        }
    }
    Repaired { orders: lift.placed, promises, uncovered: deal.uncovered().to_vec() }
}

/// By when a delivery would be as good as it should: due when it is late, as first promised when that
/// was changed; `None` when nothing is to be mended.
fn target(delivery: &OpenDelivery) -> Option<Minute> {
    match delivery.due {
        Some(due) if delivery.promise > due => Some(due),
        _ => (delivery.promise > delivery.first).then_some(delivery.first),
    }
}

/// What lateness after the due time costs, minor units.
fn lateness_cost(delivery: &OpenDelivery, at: Minute) -> i128 {
    let late = i128::from((at - delivery.due.unwrap_or(at)).max(0));
    late * i128::from(delivery.lateness_cost_per_day) / i128::from(DAY)
}

fn as_it_is(order: &OpenOrder) -> Placed {
    Placed { start: order.start, ready: order.ready, operations: order.operations.clone() }
}

struct Lift<'a> {
    open: &'a OpenPlant,
    deal: &'a Deal,
    fence: bool,
    now: Minute,
    times: BTreeMap<&'a Id, WorkingTime>,
    /// Taken slots of each machine, sorted by their begin.
    busy: BTreeMap<Machine, Vec<(i64, i64)>>,
    /// Reservations of each order's parts.
    parts: BTreeMap<&'a Id, Vec<&'a Id>>,
    receipts: BTreeMap<(&'a Id, &'a Id), Minute>,
    placed: BTreeMap<Id, Placed>,
    /// Where orders were before each move.
    log: Vec<(Id, Placed)>,
    tries: usize,
}

impl<'a> Lift<'a> {
    fn of(
        open: &'a OpenPlant,
        placed: BTreeMap<Id, Placed>,
        deal: &'a Deal,
        fence: bool,
        now: Minute,
    ) -> Self {
        let centers = open.snapshot.work_centers.iter();
        let times = centers.map(|(id, center)| (id, center.calendar.expand(now, now + HORIZON))).collect();
        let mut parts: BTreeMap<&Id, Vec<&Id>> = BTreeMap::new();
        for (reservation, used_by) in &open.uses {
            if let UsedBy::Order(order) = used_by {
                parts.entry(order).or_default().push(reservation);
            }
        }
        let receipts = open.snapshot.receipts.iter().map(|r| ((&r.item, &r.id), r.at)).collect();
        let (busy, log) = (BTreeMap::new(), Vec::new());
        let mut lift =
            Self { open, deal, fence, now, times, busy, parts, receipts, placed, log, tries: TRIES_MAX };
        let own: Vec<Booking> = lift.placed.values().flat_map(|placed| placed.operations.clone()).collect();
        lift.occupy(&open.snapshot.bookings);
        lift.occupy(&own);
        lift
    }

    /// When the last of what some uses get is there.
    fn there(&self, reservations: &[&Id]) -> Minute {
        let ready = |item: &Id, id: &Id| {
            let own = self.placed.get(id).map(|placed| placed.ready);
            own.or_else(|| self.receipts.get(&(item, id)).copied())
        };
        let at = reservations.iter().filter_map(|reservation| self.deal.arrival(reservation, ready));
        at.max().unwrap_or(self.now)
    }

    /// Tries to have an order ready by `need`, or else earlier than it is, with its parts.
    fn pull(&mut self, id: &Id, need: Minute, level: u32) {
        let (Some(order), Some(old)) = (self.open.orders.get(id), self.placed.get(id).cloned()) else {
            return;
        };
        let Some(floor) = self.floor(id, order, &old) else { return };
        if old.ready <= need || level > LEVELS_MAX || self.tries == 0 {
            return;
        }
        self.tries -= 1;
        let mark = self.log.len();
        let parts = self.parts.get(id).cloned().unwrap_or_default();
        let late = self.without(&old, |lift| lift.latest(&old, floor, need));
        let by = late.as_ref().map_or((need - (old.ready - old.start)).max(floor), |late| late.start);
        if let Some(late) = late {
            self.set(id, late);
        }
        for part in parts.iter().flat_map(|reservation| self.deal.orders(reservation)) {
            self.pull(part, by, level + 1);
        }
        let there = if parts.is_empty() { floor } else { self.there(&parts).max(floor) };
        let Some(present) = self.placed.get(id).cloned() else { return };
        if present != old && there <= present.start {
            return;
        }
        let early = self.without(&present, |lift| lift.earliest(&old, there));
        match early.filter(|early| early.ready < old.ready) {
            Some(early) => self.set(id, early),
            None => self.undo(mark),
        }
    }

    /// The first minute at which an order may start; `None` when it can't move.
    fn floor(&self, id: &Id, order: &OpenOrder, placed: &Placed) -> Option<Minute> {
        let item = self.open.snapshot.items.get(&order.item);
        let frozen = self.now + item.map_or(0, |item| item.fence_minutes);
        // What somebody else sends comes no earlier because a machine of ours works again.
        let external = placed.operations.is_empty() && !self.parts.contains_key(id);
        // What runs through what is left of an outage is as long as that.
        let through = |own: &Booking| {
            self.open.snapshot.bookings.iter().any(|down| {
                (&down.work_center, down.machine) == (&own.work_center, own.machine)
                    && own.start < down.end
                    && down.start < own.end
            })
        };
        if order.under_way || order.pinned || external || (self.fence && placed.start < frozen) {
            return None;
        }
        if placed.operations.iter().any(through) {
            return None;
        }
        Some(if self.fence { frozen } else { self.now })
    }

    /// As late as is in time.
    fn latest(&mut self, old: &Placed, floor: Minute, need: Minute) -> Option<Placed> {
        if old.operations.is_empty() {
            let start = need - (old.ready - old.start);
            return (start >= floor).then(|| Placed { start, ready: need, operations: Vec::new() });
        }
        let (mut operations, mut until) = (Vec::with_capacity(old.operations.len()), need);
        for own in old.operations.iter().rev() {
            let time = self.times.get(&own.work_center)?;
            let (from, to) = slot(time, own).filter(|slot| slot.0 < slot.1)?;
            let (low, high) = (time.worked_before(floor), time.worked_before(until));
            let rooms = self.machines(own).map(|machine| {
                let key = (own.work_center.clone(), machine);
                let start = last_room(self.busy.get(&key).map_or(&[], Vec::as_slice), high, to - from);
                (start, machine == own.machine, Reverse(machine))
            });
            let (start, _, Reverse(machine)) = rooms.max().filter(|room| room.0 >= low)?;
            let placed = at(time, own, machine, start, to - from)?;
            until = placed.start;
            operations.push(placed);
        }
        operations.reverse();
        let (start, ready) = (operations.first()?.start, operations.last()?.end);
        Some(Placed { start, ready, operations })
    }

    /// As early as there is room from `from` on.
    fn earliest(&mut self, old: &Placed, from: Minute) -> Option<Placed> {
        if old.operations.is_empty() {
            let ready = from + (old.ready - old.start);
            return Some(Placed { start: from, ready, operations: Vec::new() });
        }
        let (mut operations, mut from) = (Vec::with_capacity(old.operations.len()), from);
        for own in &old.operations {
            let time = self.times.get(&own.work_center)?;
            let (begin, end) = slot(time, own).filter(|slot| slot.0 < slot.1)?;
            let bound = time.worked_before(from);
            let rooms = self.machines(own).map(|machine| {
                let start =
                    first_room(self.busy.get(&(own.work_center.clone(), machine)), bound, end - begin);
                (start, machine != own.machine, machine)
            });
            let (start, _, machine) = rooms.min()?;
            let placed = at(time, own, machine, start, end - begin)?;
            from = placed.end;
            operations.push(placed);
        }
        Some(Placed { start: operations.first()?.start, ready: from, operations })
    }

    fn machines(&self, own: &Booking) -> std::ops::Range<usize> {
        0..self.open.snapshot.work_centers.get(&own.work_center).map_or(1, |center| center.machines)
    }

    /// Looks for room as if an order weren't there.
    fn without<T>(&mut self, placed: &Placed, look: impl FnOnce(&mut Self) -> T) -> T {
        self.vacate(&placed.operations);
        let found = look(self);
        self.occupy(&placed.operations);
        found
    }

    fn set(&mut self, id: &Id, placed: Placed) {
        if let Some(old) = self.exchange(id, placed) {
            self.log.push((id.clone(), old));
        }
    }

    fn exchange(&mut self, id: &Id, placed: Placed) -> Option<Placed> {
        let operations = placed.operations.clone();
        let old = self.placed.insert(id.clone(), placed);
        if let Some(old) = &old {
            self.vacate(&old.operations);
        }
        self.occupy(&operations);
        old
    }

    fn undo(&mut self, mark: usize) {
        while self.log.len() > mark
            && let Some((id, old)) = self.log.pop()
        {
            self.exchange(&id, old);
        }
    }

    fn occupy(&mut self, bookings: &[Booking]) {
        for booking in bookings {
            let Some(slot) = self.times.get(&booking.work_center).and_then(|time| slot(time, booking)) else {
                continue;
            };
            let busy = self.busy.entry((booking.work_center.clone(), booking.machine)).or_default();
            busy.insert(busy.partition_point(|other| *other < slot), slot);
        }
    }

    fn vacate(&mut self, bookings: &[Booking]) {
        for booking in bookings {
            let slot = self.times.get(&booking.work_center).and_then(|time| slot(time, booking));
            let busy = self.busy.get_mut(&(booking.work_center.clone(), booking.machine));
            if let (Some(slot), Some(busy)) = (slot, busy)
                && let Ok(place) = busy.binary_search(&slot)
            {
                busy.remove(place);
            }
        }
    }
}

/// The slot of a booking on its axis.
fn slot(time: &WorkingTime, booking: &Booking) -> Option<(i64, i64)> {
    Some((time.worked_before(booking.start), time.worked_before(booking.end)))
}

fn at(time: &WorkingTime, own: &Booking, machine: usize, start: i64, length: i64) -> Option<Booking> {
    let (start, end) = (time.begin_of(start)?, time.end_of(start + length)?);
    Some(Booking { machine, start, end, ..own.clone() })
}

/// The last start at which `length` minutes are free and over by `until`; it may lie before the axis.
fn last_room(busy: &[(i64, i64)], until: i64, length: i64) -> i64 {
    let mut end = until;
    // By their begins from the last one on; what ran through an outage may overlap it.
    for (from, to) in busy.iter().rev() {
        if *from < end && *to > end - length && from < to {
            end = *from;
        }
    }
    end - length
}
