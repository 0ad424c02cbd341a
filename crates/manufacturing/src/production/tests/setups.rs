//! Setups that depend on the sequence: insertion against a walk by minutes, and small cases by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::production::calendar::Calendar;
use crate::production::capacity::Schedule;
use crate::production::plant::{Booking, Id, Minute, Operation, WorkCenter};
use crate::production::tests::plants::{MONDAY, plant};

const FAMILIES: [&str; 3] = ["red", "white", "blue"];

fn operation(family: &str, setup_minutes: i64, run: i64) -> [Operation; 1] {
    let (work_center, family) = ("w".into(), Some(family.into()));
    [Operation { work_center, setup_minutes, run_seconds: run * 60, run_quantity: 1, family }]
}

fn booking(start: Minute, end: Minute, family: &str, setup: i64) -> Booking {
    let (work_center, family) = ("w".into(), Some(family.into()));
    Booking { work_center, machine: 0, start: MONDAY + start, end: MONDAY + end, family, setup }
}

fn schedule(matrix: &[(&str, &str, i64)], bookings: Vec<Booking>) -> Schedule {
    let mut plant = plant();
    let setups: BTreeMap<(Id, Id), i64> =
        matrix.iter().map(|(from, to, minutes)| (((*from).into(), (*to).into()), *minutes)).collect();
    let center = WorkCenter { machines: 1, calendar: Calendar::always(), setups };
    plant.work_centers.insert("w".into(), center);
    plant.bookings = bookings;
    Schedule::of(&plant, MONDAY)
}

#[test]
fn the_same_family_needs_less_and_the_successor_is_asked_too() {
    let item = Id::from("a");
    let matrix = [("red", "red", 2), ("red", "white", 30), ("white", "red", 10), ("white", "white", 2)];
    // Red until 100; red again from 160 with a setup of 2 for red after red.
    let bookings = || vec![booking(0, 100, "red", 0), booking(160, 200, "red", 2)];
    let mut line = schedule(&matrix, bookings());
    let red = line.earliest(&item, &operation("red", 99, 40), 1, MONDAY).unwrap();
    assert_eq!((red[0].start, red[0].end, red[0].setup), (MONDAY + 100, MONDAY + 142, 2));
    // White: 30 + 20 fits into 60, but red after white would need 10 and has 2: 58 of 60, it fits.
    let mut line = schedule(&matrix, bookings());
    let white = line.earliest(&item, &operation("white", 99, 20), 1, MONDAY).unwrap();
    assert_eq!((white[0].start, white[0].minutes), (MONDAY + 100, 50));
    // One of 25 needs 55 + 8: too long, so it comes last, after red.
    let mut line = schedule(&matrix, bookings());
    let white = line.earliest(&item, &operation("white", 99, 25), 1, MONDAY).unwrap();
    assert_eq!((white[0].start, white[0].setup), (MONDAY + 200, 30));
}

fn bookings() -> impl Strategy<Value = Vec<(i64, i64, usize)>> {
    // Gap before, run, family.
    proptest::collection::vec((0i64..40, 1i64..20, 0usize..3), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Every start is tried: free minutes, the setup after the predecessor, and what the successor
    /// then needs beyond what it has.
    #[test]
    fn insertion_is_as_early_and_as_late_as_a_walk_by_minutes_finds(
        spans in bookings(), matrix in proptest::array::uniform9(0i64..12),
        family in 0usize..3, run in 1i64..25, release in 0i64..60, due in 60i64..260,
    ) {
        let setup = |from: usize, to: usize| matrix[from * 3 + to];
        let rows: Vec<(&str, &str, i64)> = (0..3)
            .flat_map(|from| (0..3).map(move |to| (from, to)))
            .map(|(from, to)| (FAMILIES[from], FAMILIES[to], setup(from, to)))
            .collect();
        let (mut at, mut busy, mut before) = (0, Vec::new(), None::<usize>);
        for (gap, length, own) in &spans {
            let needed = before.map_or(0, |before| setup(before, *own));
            let start = at + gap;
            at = start + needed + length;
            busy.push((start, at, *own, needed));
            before = Some(*own);
        }
        let taken = busy.iter().map(|(start, end, own, setup)| booking(*start, *end, FAMILIES[*own], *setup));
        let mut line = schedule(&rows, taken.collect());
        // Whether one that starts at `start` disturbs nobody; its end.
        let fits = |start: i64| {
            let before = busy.iter().rev().find(|(_, end, ..)| *end <= start);
            let length = run + before.map_or(7, |(.., own, _)| setup(*own, family));
            let end = start + length;
            let free = !busy.iter().any(|(from, to, ..)| *from < end && start < *to);
            let after = busy.iter().find(|(from, ..)| *from >= end);
            let more = after.map_or(0, |(.., own, has)| (setup(family, *own) - has).max(0));
            (free && after.is_none_or(|(from, ..)| end + more <= *from)).then_some(end)
        };
        let item = Id::from("a");
        let piece = operation(FAMILIES[family], 7, run);
        let early = line.earliest(&item, &piece, 1, MONDAY + release).unwrap();
        prop_assert_eq!(Some(early[0].start - MONDAY), (release..).find(|start| fits(*start).is_some()));
        line.free(&early);
        let late = line.latest(&item, &piece, 1, MONDAY + release, MONDAY + due).unwrap();
        let walk = (release..due).rev().find(|start| fits(*start).is_some_and(|end| end <= due));
        prop_assert_eq!(late.map(|booked| booked[0].start - MONDAY), walk);
    }
}
