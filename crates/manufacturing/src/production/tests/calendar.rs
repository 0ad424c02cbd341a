//! Working time and room in the schedule.

use std::collections::BTreeMap;

use jiff::civil::date;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use crate::production::calendar::{Calendar, CalendarError, Hours};
use crate::production::capacity::Schedule;
use crate::production::plant::{Booking, DAY, Id, Minute, Operation, WorkCenter};
use crate::production::tests::plants::{MONDAY, plant};

const EARLY: Hours = Hours { from: 480, to: 720 };
const LATE: Hours = Hours { from: 780, to: 1020 };

/// Monday to Friday, 8 to 12 and 13 to 17.
fn office(exceptions: BTreeMap<jiff::civil::Date, Vec<Hours>>) -> Calendar {
    let shifts: Vec<(u32, Hours)> = (1..=5).flat_map(|day| [(day, LATE), (day, EARLY)]).collect();
    Calendar::new(TimeZone::UTC, &shifts, exceptions).unwrap()
}

#[test]
fn nights_breaks_and_weekends_have_no_length() {
    let time = office(BTreeMap::new()).expand(MONDAY, MONDAY + 14 * DAY);
    assert_eq!(time.total(), 10 * 480);
    assert_eq!(time.begin_of(0), Some(MONDAY + 480));
    // The last minute before lunch, the first after it.
    assert_eq!(time.end_of(240), Some(MONDAY + 720));
    assert_eq!(time.begin_of(240), Some(MONDAY + 780));
    // Friday evening to Monday morning.
    assert_eq!(time.end_of(5 * 480), Some(MONDAY + 4 * DAY + 1020));
    assert_eq!(time.begin_of(5 * 480), Some(MONDAY + 7 * DAY + 480));
    assert_eq!(time.worked_before(MONDAY + 5 * DAY), 5 * 480);
    assert_eq!(time.begin_of(10 * 480), None);
}

#[test]
fn a_holiday_is_closed_and_a_make_up_day_is_open() {
    // 2026-11-23 is a Monday; the Saturday of that week is worked instead.
    let days = BTreeMap::from([(date(2026, 11, 23), vec![]), (date(2026, 11, 28), vec![EARLY])]);
    let time = office(days).expand(MONDAY, MONDAY + 7 * DAY);
    assert_eq!(time.total(), 4 * 480 + 240);
    assert_eq!(time.begin_of(0), Some(MONDAY + DAY + 480));
    assert_eq!(time.end_of(time.total()), Some(MONDAY + 5 * DAY + 720));
}

#[test]
fn shifts_follow_the_wall_clock_through_daylight_saving() {
    // New York, 2026-11-01: clocks go back at 2:00, so 0:00 to 8:00 lasts nine hours.
    let zone = TimeZone::get("America/New_York").unwrap();
    let night = Hours { from: 0, to: 480 };
    let calendar = Calendar::new(zone, &[(7, night)], BTreeMap::new()).unwrap();
    let sunday =
        date(2026, 11, 1).at(4, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp().as_second() / 60;
    let time = calendar.expand(sunday, sunday + DAY);
    assert_eq!(time.total(), 9 * 60);
    assert_eq!(time.begin_of(0), Some(sunday));
}

#[test]
fn shifts_of_a_day_may_touch_but_not_overlap() {
    let touching = [(1, Hours { from: 0, to: 600 }), (1, Hours { from: 600, to: 1440 })];
    assert!(Calendar::new(TimeZone::UTC, &touching, BTreeMap::new()).is_ok());
    let overlapping = [(1, Hours { from: 0, to: 601 }), (1, Hours { from: 600, to: 1440 })];
    let error = Calendar::new(TimeZone::UTC, &overlapping, BTreeMap::new()).unwrap_err();
    assert_eq!(error.to_string(), "hours overlap on weekday 1");
    let empty = Calendar::new(TimeZone::UTC, &[(1, Hours { from: 9, to: 9 })], BTreeMap::new());
    assert_eq!(empty.unwrap_err(), CalendarError::Span { from: 9, to: 9 });
}

fn schedule(machines: usize, calendar: Calendar, bookings: Vec<Booking>) -> Schedule {
    let mut plant = plant();
    plant.work_centers.insert("w".into(), WorkCenter { machines, calendar, setups: [].into() });
    plant.bookings = bookings;
    Schedule::of(&plant, MONDAY)
}

fn operation(minutes: i64) -> [Operation; 1] {
    [Operation {
        work_center: "w".into(),
        setup_minutes: minutes,
        run_seconds: 0,
        run_quantity: 1,
        family: None,
    }]
}

fn booking(machine: usize, start: Minute, end: Minute) -> Booking {
    Booking {
        work_center: "w".into(),
        machine,
        start: MONDAY + start,
        end: MONDAY + end,
        family: None,
        setup: 0,
    }
}

#[test]
fn an_operation_goes_into_the_first_gap_that_holds_it() {
    let item = Id::from("a");
    let mut line = schedule(1, Calendar::always(), vec![booking(0, 10, 20), booking(0, 25, 60)]);
    let first = line.earliest(&item, &operation(5), 1, MONDAY + 12).unwrap();
    assert_eq!((first[0].start, first[0].end), (MONDAY + 20, MONDAY + 25));
    let second = line.earliest(&item, &operation(5), 1, MONDAY + 12).unwrap();
    assert_eq!(second[0].start, MONDAY + 60);
    line.free(&first);
    assert_eq!(line.earliest(&item, &operation(5), 1, MONDAY + 12).unwrap(), first);
}

#[test]
fn backward_takes_the_last_gap_and_gives_up_before_the_release() {
    let item = Id::from("a");
    let mut line = schedule(1, Calendar::always(), vec![booking(0, 10, 20), booking(0, 25, 60)]);
    let late = line.latest(&item, &operation(5), 1, MONDAY, MONDAY + 59).unwrap().unwrap();
    assert_eq!(late[0].start, MONDAY + 20);
    let early = line.latest(&item, &operation(8), 1, MONDAY, MONDAY + 59).unwrap().unwrap();
    assert_eq!(early[0].start, MONDAY + 2);
    assert_eq!(line.latest(&item, &operation(8), 1, MONDAY, MONDAY + 59).unwrap(), None);
}

#[test]
fn the_second_machine_takes_what_the_first_cannot() {
    let item = Id::from("a");
    let mut line = schedule(2, Calendar::always(), vec![booking(0, 0, 100)]);
    let booked = line.earliest(&item, &operation(50), 1, MONDAY).unwrap();
    assert_eq!((booked[0].machine, booked[0].start), (1, MONDAY));
}

#[test]
fn an_operation_pauses_at_the_end_of_a_shift() {
    let item = Id::from("a");
    let mut line = schedule(1, office(BTreeMap::new()), vec![]);
    let friday = MONDAY + 4 * DAY + 960;
    let booked = line.earliest(&item, &operation(120), 1, friday).unwrap();
    assert_eq!((booked[0].start, booked[0].end), (friday, MONDAY + 7 * DAY + 540));
}

proptest! {
    /// First fit against a walk minute by minute.
    #[test]
    fn room_is_as_early_and_as_late_as_a_walk_by_minutes_finds(
        spans in proptest::collection::vec((0i64..200, 1i64..20), 0..12),
        minutes in 1i64..25, release in 0i64..100, due in 100i64..220,
    ) {
        let bookings: Vec<Booking> = spans.iter().map(|(at, length)| booking(0, *at, at + length)).collect();
        let free = |at: i64| !spans.iter().any(|(from, length)| (*from..from + length).contains(&at));
        let fits = |from: i64| (from..from + minutes).all(free);
        let item = Id::from("a");
        let mut line = schedule(1, Calendar::always(), bookings);
        let late = line.latest(&item, &operation(minutes), 1, MONDAY + release, MONDAY + due).unwrap();
        let walk = (release..=due - minutes).rev().find(|from| fits(*from));
        prop_assert_eq!(late.as_ref().map(|booked| booked[0].start - MONDAY), walk);
        line.free(&late.unwrap_or_default());
        let early = line.earliest(&item, &operation(minutes), 1, MONDAY + release).unwrap();
        prop_assert_eq!(Some(early[0].start - MONDAY), (release..).find(|from| fits(*from)));
    }
}
