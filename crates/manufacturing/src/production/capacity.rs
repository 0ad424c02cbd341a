//! The finite schedule: bookings of machines, and the earliest or latest room for an operation.
//!
//! What is booked stays where it is; a new operation goes into a gap (insertion into a fixed
//! schedule; compare Kis & Hertz, "A lower bound for the job insertion problem", 2003). Setups may
//! depend on the sequence: the operation gets the setup from its predecessor's family, and the gap
//! must also hold what its successor needs more than it has reserved, when the matrix keeps the
//! triangle inequality (Allahverdi et al., "A survey of scheduling problems with setup times", 2008).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::calendar::WorkingTime;
use super::demand::{HORIZON, PlanError};
use super::plant::{Id, Minute, Operation, Snapshot};

/// One operation in the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Where.
    pub work_center: Id,
    /// Machine, from 0.
    pub machine: usize,
    /// First minute.
    pub start: Minute,
    /// Minute after the last; breaks of the calendar lie in between.
    pub end: Minute,
    /// Working minutes, setup included.
    pub minutes: i64,
    /// Working minutes of setup at its start.
    pub setup: i64,
    /// Setup family.
    pub family: Option<Id>,
    /// The same on the work centre's axis.
    slot: Slot,
}

/// An interval of a machine on the axis of working minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    from: i64,
    to: i64,
    /// Setup family, as the centre numbers it.
    family: u32,
    /// Setup at its start.
    setup: i64,
}

/// Setup minutes of a work centre by numbers of families; 0 is "no family".
#[derive(Clone, Debug, Default)]
struct Setups {
    numbers: BTreeMap<Id, u32>,
    minutes: BTreeMap<(u32, u32), i64>,
}

impl Setups {
    fn of(matrix: &BTreeMap<(Id, Id), i64>) -> Self {
        let mut setups = Self::default();
        for ((from, to), minutes) in matrix {
            let pair = (setups.add(from), setups.add(to));
            setups.minutes.insert(pair, *minutes);
        }
        setups
    }

    fn add(&mut self, family: &Id) -> u32 {
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX - 1) + 1;
        *self.numbers.entry(family.clone()).or_insert(next)
    }

    fn number(&self, family: Option<&Id>) -> u32 {
        family.and_then(|family| self.numbers.get(family)).copied().unwrap_or(0)
    }

    fn between(&self, from: u32, to: u32) -> Option<i64> {
        self.minutes.get(&(from, to)).copied()
    }
}

/// What is looked for room for.
struct Piece<'a> {
    operation: &'a Operation,
    quantity: i64,
    family: u32,
}

/// Room that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    machine: usize,
    slot: Slot,
}

#[derive(Clone, Debug)]
struct Center {
    time: Arc<WorkingTime>,
    setups: Arc<Setups>,
    /// Busy intervals of each machine, sorted, not overlapping.
    machines: Vec<Vec<Slot>>,
}

/// All work centres with what is booked on them. Cloned for each trial; the axes are shared.
#[derive(Clone, Debug)]
pub struct Schedule {
    centers: BTreeMap<Id, Center>,
}

impl Schedule {
    /// The schedule of a snapshot from `now` to the horizon.
    #[must_use]
    pub fn of(snapshot: &Snapshot, now: Minute) -> Self {
        let mut centers: BTreeMap<Id, Center> = BTreeMap::new();
        for (id, center) in &snapshot.work_centers {
            let time = Arc::new(center.calendar.expand(now, now + HORIZON));
            let setups = Arc::new(Setups::of(&center.setups));
            let machines = vec![Vec::new(); center.machines.max(1)];
            centers.insert(id.clone(), Center { time, setups, machines });
        }
        for booking in &snapshot.bookings {
            let Some(center) = centers.get_mut(&booking.work_center) else { continue };
            let from = center.time.worked_before(booking.start);
            let to = center.time.worked_before(booking.end);
            let (family, setup) = (center.setups.number(booking.family.as_ref()), booking.setup);
            if let Some(machine) = center.machines.get_mut(booking.machine)
                && from < to
            {
                machine.push(Slot { from, to, family, setup });
            }
        }
        for machine in centers.values_mut().flat_map(|center| &mut center.machines) {
            merge(machine);
        }
        Self { centers }
    }

    /// Books `operations` one after the other as early as there is room from `release` on.
    ///
    /// # Errors
    /// When a work centre is unknown or has no room within the horizon; then nothing is booked.
    pub fn earliest(
        &mut self,
        item: &Id,
        operations: &[Operation],
        quantity: i64,
        release: Minute,
    ) -> Result<Vec<Booked>, PlanError> {
        let mut booked = Vec::with_capacity(operations.len());
        let mut from = release;
        for operation in operations {
            let center = self.center(item, operation)?;
            let Some(found) = center.first_room(from, &center.piece(operation, quantity)) else {
                self.free(&booked);
                let minutes = operation.minutes(quantity, operation.setup_minutes);
                return Err(PlanError::NoCapacity { work_center: operation.work_center.clone(), minutes });
            };
            let next = center.book(operation, found);
            from = next.end;
            booked.push(next);
        }
        Ok(booked)
    }

    /// Books `operations` so that the last ends by `due` and each is as late as there is room;
    /// `None`, and nothing booked, when that would start before `release`.
    ///
    /// # Errors
    /// When a work centre is unknown.
    pub fn latest(
        &mut self,
        item: &Id,
        operations: &[Operation],
        quantity: i64,
        release: Minute,
        due: Minute,
    ) -> Result<Option<Vec<Booked>>, PlanError> {
        let mut booked = Vec::with_capacity(operations.len());
        let mut until = due;
        for operation in operations.iter().rev() {
            let center = self.center(item, operation)?;
            let Some(found) = center.last_room(release, until, &center.piece(operation, quantity)) else {
                self.free(&booked);
                return Ok(None);
            };
            let next = center.book(operation, found);
            until = next.start;
            booked.push(next);
        }
        booked.reverse();
        Ok(Some(booked))
    }

    /// Takes operations out again.
    pub fn free(&mut self, booked: &[Booked]) {
        for operation in booked {
            let machines = self.centers.get_mut(&operation.work_center).map(|center| &mut center.machines);
            if let Some(machine) = machines.and_then(|machines| machines.get_mut(operation.machine)) {
                machine.retain(|slot| *slot != operation.slot);
            }
        }
    }

    fn center(&mut self, item: &Id, operation: &Operation) -> Result<&mut Center, PlanError> {
        self.centers.get_mut(&operation.work_center).ok_or_else(|| PlanError::WorkCenterUnknown {
            item: item.clone(),
            work_center: operation.work_center.clone(),
        })
    }
}

impl Center {
    fn piece<'a>(&self, operation: &'a Operation, quantity: i64) -> Piece<'a> {
        Piece { operation, quantity, family: self.setups.number(operation.family.as_ref()) }
    }

    /// Setup of a piece after `before`, and its whole length with it.
    fn length(&self, before: Option<&Slot>, piece: &Piece<'_>) -> (i64, i64) {
        let known = before.and_then(|slot| self.setups.between(slot.family, piece.family));
        let setup = known.unwrap_or(piece.operation.setup_minutes);
        (setup, piece.operation.minutes(piece.quantity, setup))
    }

    /// What must stay free before `after` when a piece comes directly before it: the setup that it
    /// then needs beyond what it has reserved.
    fn more(&self, piece: &Piece<'_>, after: &Slot) -> i64 {
        self.setups.between(piece.family, after.family).map_or(0, |setup| (setup - after.setup).max(0))
    }

    /// The earliest room over all machines.
    fn first_room(&self, release: Minute, piece: &Piece<'_>) -> Option<Room> {
        let from = self.time.worked_before(release);
        let rooms = self.machines.iter().enumerate().map(|(machine, busy)| {
            let skipped = busy.partition_point(|slot| slot.to <= from);
            let mut before = skipped.checked_sub(1).and_then(|last| busy.get(last));
            let (mut start, (mut setup, mut length)) = (from, self.length(before, piece));
            for slot in busy.iter().skip(skipped) {
                if slot.from - start >= length.saturating_add(self.more(piece, slot)) {
                    break;
                }
                (start, before) = (start.max(slot.to), Some(slot));
                (setup, length) = self.length(before, piece);
            }
            let to = start.saturating_add(length);
            Room { machine, slot: Slot { from: start, to, family: piece.family, setup } }
        });
        // The first to be done; with equal lengths the first to start.
        let room = rooms.min_by_key(|room| (room.slot.to, room.slot.from, room.machine))?;
        (room.slot.to <= self.time.total()).then_some(room)
    }

    /// The latest room over all machines that ends by `due`.
    fn last_room(&self, release: Minute, due: Minute, piece: &Piece<'_>) -> Option<Room> {
        let (floor, until) = (self.time.worked_before(release), self.time.worked_before(due));
        let rooms = self.machines.iter().enumerate().map(|(machine, busy)| {
            let kept = busy.partition_point(|slot| slot.from < until);
            let limit = |after: Option<&Slot>| {
                after.map_or(until, |slot| until.min(slot.from - self.more(piece, slot)))
            };
            let mut end = limit(busy.get(kept));
            let mut rest = busy.iter().take(kept).rev().peekable();
            let (mut setup, mut length) = self.length(rest.peek().copied(), piece);
            while let Some(slot) = rest.next() {
                if end - slot.to >= length {
                    break;
                }
                end = limit(Some(slot));
                (setup, length) = self.length(rest.peek().copied(), piece);
            }
            let from = end.saturating_sub(length);
            Room { machine, slot: Slot { from, to: end, family: piece.family, setup } }
        });
        let room = rooms.max_by_key(|room| (room.slot.from, std::cmp::Reverse(room.machine)))?;
        (room.slot.from >= floor).then_some(room)
    }

    fn book(&mut self, operation: &Operation, Room { machine, slot }: Room) -> Booked {
        if let Some(busy) = self.machines.get_mut(machine) {
            let at = busy.partition_point(|other| *other < slot);
            busy.insert(at, slot);
        }
        // Both are on the axis, because the room was found there.
        let start = self.time.begin_of(slot.from).unwrap_or(Minute::MAX);
        let end = self.time.end_of(slot.to).unwrap_or(Minute::MAX);
        let (minutes, setup, family) = (slot.to - slot.from, slot.setup, operation.family.clone());
        Booked {
            work_center: operation.work_center.clone(),
            machine,
            start,
            end,
            minutes,
            setup,
            family,
            slot,
        }
    }
}

/// Sorts, and joins what overlaps (after a calendar was changed under old bookings).
fn merge(busy: &mut Vec<Slot>) {
    busy.sort_unstable();
    busy.dedup_by(|next, kept| {
        let joined = next.from < kept.to;
        if joined {
            kept.to = kept.to.max(next.to);
        }
        joined
    });
}
