//! The finite schedule: bookings of machines, and the earliest or latest room for an operation.
//!
//! What is booked stays where it is; a new operation goes into a gap (insertion into a fixed
//! schedule; compare Kis & Hertz, "A lower bound for the job insertion problem", 2003).

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
    /// Working minutes.
    pub minutes: i64,
    /// The same on the work centre's axis.
    slot: Slot,
}

/// An interval of a machine on the axis of working minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    from: i64,
    to: i64,
}

#[derive(Clone, Debug)]
struct Center {
    time: Arc<WorkingTime>,
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
            centers.insert(id.clone(), Center { time, machines: vec![Vec::new(); center.machines.max(1)] });
        }
        for booking in &snapshot.bookings {
            let Some(center) = centers.get_mut(&booking.work_center) else { continue };
            let from = center.time.worked_before(booking.start);
            let to = center.time.worked_before(booking.end);
            if let Some(machine) = center.machines.get_mut(booking.machine)
                && from < to
            {
                machine.push(Slot { from, to });
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
            let minutes = operation.minutes(quantity);
            let center = self.center(item, operation)?;
            let Some(found) = center.first_room(from, minutes) else {
                self.free(&booked);
                return Err(PlanError::NoCapacity { work_center: operation.work_center.clone(), minutes });
            };
            let next = center.book(&operation.work_center, found, minutes);
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
            let minutes = operation.minutes(quantity);
            let center = self.center(item, operation)?;
            let Some(found) = center.last_room(release, until, minutes) else {
                self.free(&booked);
                return Ok(None);
            };
            let next = center.book(&operation.work_center, found, minutes);
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
    /// The earliest room over all machines: (machine, first working minute).
    fn first_room(&self, release: Minute, minutes: i64) -> Option<(usize, i64)> {
        let from = self.time.worked_before(release);
        let starts = self.machines.iter().enumerate().map(|(machine, busy)| {
            let mut start = from;
            for slot in busy.iter().skip(busy.partition_point(|slot| slot.to <= from)) {
                if slot.from - start >= minutes {
                    break;
                }
                start = start.max(slot.to);
            }
            (start, machine)
        });
        let (start, machine) = starts.min()?;
        (start.checked_add(minutes)? <= self.time.total()).then_some((machine, start))
    }

    /// The latest room over all machines that ends by `due`: (machine, first working minute).
    fn last_room(&self, release: Minute, due: Minute, minutes: i64) -> Option<(usize, i64)> {
        let (floor, until) = (self.time.worked_before(release), self.time.worked_before(due));
        let starts = self.machines.iter().enumerate().map(|(machine, busy)| {
            let mut end = until;
            for slot in busy.iter().take(busy.partition_point(|slot| slot.from < until)).rev() {
                if end - slot.to >= minutes {
                    break;
                }
                end = end.min(slot.from);
            }
            (end.saturating_sub(minutes), std::cmp::Reverse(machine))
        });
        let (start, machine) = starts.max()?;
        (start >= floor).then_some((machine.0, start))
    }

    fn book(&mut self, id: &Id, (machine, from): (usize, i64), minutes: i64) -> Booked {
        let slot = Slot { from, to: from + minutes };
        if let Some(busy) = self.machines.get_mut(machine) {
            let at = busy.partition_point(|other| *other < slot);
            busy.insert(at, slot);
        }
        // Both are on the axis, because the room was found there.
        let start = self.time.begin_of(slot.from).unwrap_or(Minute::MAX);
        let end = self.time.end_of(slot.to).unwrap_or(Minute::MAX);
        Booked { work_center: id.clone(), machine, start, end, minutes, slot }
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
