//! A breakdown that is over early: what moves back, and what may not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::production::availability::Ledger;
use crate::production::demand::Demand;
use crate::production::event::{Event, Impact, Policy, impact};
use crate::production::hysteresis::Hysteresis;
use crate::production::open_plant::{OpenDelivery, OpenPlant, UsedBy};
use crate::production::plant::{Booking, Id, Item, Minute};
use crate::production::repair::Outage;
use crate::production::tests::event::{due, line, open};
use crate::production::tests::plants::{MONDAY, center, make};

fn down(from: Minute, until: Minute) -> Outage {
    let (from, until) = (MONDAY + from, MONDAY + until);
    Outage { work_center: "line".into(), machine: None, from, until }
}

/// Carries an event out, as the store does.
fn apply(open: &mut OpenPlant, event: &Event, hit: &Impact) {
    for order in &hit.orders {
        let own = open.orders.get_mut(&order.id).unwrap();
        (own.start, own.ready) = (order.after.start, order.after.ready);
        own.operations.clone_from(&order.after.operations);
        for receipt in open.snapshot.receipts.iter_mut().filter(|receipt| receipt.id == order.id) {
            receipt.at = order.after.ready;
        }
    }
    for promise in &hit.promises {
        let same = |d: &&mut OpenDelivery| {
            (&d.production, d.index) == (&promise.delivery.production, promise.delivery.index)
        };
        open.deliveries.iter_mut().find(same).unwrap().promise = promise.after;
    }
    for reserved in &mut open.snapshot.reserved {
        reserved.at = match &open.uses[&reserved.id] {
            UsedBy::Order(order) => open.orders[order].start,
            UsedBy::Delivery(place) => open.deliveries[*place].promise,
        };
    }
    if let Event::Breakdown(outage) = event {
        for machine in 0..open.snapshot.work_centers["line"].machines {
            let (work_center, start, end) = (outage.work_center.clone(), outage.from, outage.until);
            let booking = Booking { work_center, machine, start, end, family: None, setup: 0 };
            open.outages.push(booking.clone());
            open.snapshot.bookings.push(booking);
        }
    }
}

fn after_breakdown(mut open: OpenPlant, outage: Outage) -> OpenPlant {
    let event = Event::Breakdown(outage);
    let hit = impact(&open, &event, &Policy::default(), 90, MONDAY).unwrap();
    apply(&mut open, &event, &hit);
    open
}

fn repaired(open: &OpenPlant, at: Minute, policy: &Policy) -> Impact {
    impact(open, &Event::Repaired(down(at, 9_999)), policy, 90, MONDAY).unwrap()
}

fn starts(impact: &Impact) -> Vec<(&str, Minute, Minute)> {
    impact.orders.iter().map(|o| (&*o.id, o.after.start - MONDAY, o.after.ready - MONDAY)).collect()
}

#[test]
fn what_was_late_is_in_time_again_and_nothing_is_earlier_than_it_must() {
    // 600 to 720, 720 to 840 and 4,880 to 5,000; down from 500 to 2,000, so the first two are late.
    let plant = open(line(0), &[due(2, 720), due(2, 840), due(2, 5_000)]);
    let open = after_breakdown(plant, down(500, 2_000));
    assert_eq!(open.deliveries[0].promise - MONDAY, 2_120);
    let hit = repaired(&open, 550, &Policy::default());
    assert_eq!(starts(&hit), [("P-1/1", 600, 720), ("P-2/1", 720, 840)]);
    let promises: Vec<Minute> = hit.promises.iter().map(|promise| promise.after - MONDAY).collect();
    assert_eq!(promises, [720, 840]);
    // Twice 1,400 minutes at a minor unit a minute.
    assert_eq!(hit.cost, [-2_800, 0, 0]);
    // It is 900 and repaired at 1,000: both are as early as can be and still late.
    let over = Event::Repaired(down(1_000, 9_999));
    let hit = impact(&open, &over, &Policy::default(), 90, MONDAY + 900).unwrap();
    assert_eq!(starts(&hit), [("P-1/1", 1_000, 1_120), ("P-2/1", 1_120, 1_240)]);
}

#[test]
fn what_gains_less_than_the_hysteresis_stays() {
    let open = after_breakdown(open(line(0), &[due(2, 720)]), down(500, 2_000));
    let keep =
        Policy { hysteresis: Hysteresis { lateness_min: 1_400, cost_min: 1_400 }, ..Policy::default() };
    let hit = repaired(&open, 550, &keep);
    assert!(hit.orders.is_empty() && hit.promises.is_empty());
    let worth = Policy { hysteresis: Hysteresis { lateness_min: 1_399, cost_min: 1_400 }, ..keep };
    assert_eq!(starts(&repaired(&open, 550, &worth)), [("P-1/1", 600, 720)]);
    // A move that costs more than the lateness that it saves isn't worth it either.
    let dear = Policy { disruption_cost: 1_401, ..Policy::default() };
    assert!(repaired(&open, 550, &dear).orders.is_empty());
}

#[test]
fn what_runs_through_the_outage_ends_earlier_by_what_it_lasts_less() {
    // 600 to 720; from 660 on down for 1,000.
    let open = after_breakdown(open(line(0), &[due(2, 720)]), down(660, 1_660));
    assert_eq!(open.orders["P-1/1"].ready - MONDAY, 1_720);
    let hit = repaired(&open, 700, &Policy::default());
    assert_eq!(starts(&hit), [("P-1/1", 600, 760)]);
    assert_eq!(hit.promises[0].after - MONDAY, 760);
}

#[test]
fn within_the_fence_and_under_way_nothing_moves() {
    let mut open = after_breakdown(open(line(3), &[due(2, 720)]), down(500, 2_000));
    let fenced = Policy { fence: true, ..Policy::default() };
    assert!(repaired(&open, 550, &fenced).orders.is_empty());
    assert_eq!(repaired(&open, 550, &Policy::default()).orders.len(), 1);
    open.orders.get_mut("P-1/1").unwrap().under_way = true;
    assert!(repaired(&open, 550, &Policy::default()).orders.is_empty());
}

#[test]
fn a_machine_that_is_not_out_of_order_can_not_be_repaired() {
    let open = open(line(0), &[due(2, 720)]);
    assert!(impact(&open, &Event::Repaired(down(0, 1)), &Policy::default(), 90, MONDAY).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// No machine is booked twice, nothing is in what is left of the outage, parts are there, nothing
    /// gets later, only promises that were changed or late change, and whoever moves serves one.
    #[test]
    fn a_lifted_breakdown_harms_nobody(
        demands in proptest::collection::vec((1i64..8, 100i64..4_000), 1..12),
        machines in 1usize..3, from in 0i64..3_000, length in 50i64..1_500, share in 0i64..100,
        fence_days in 0i64..3, fence in any::<bool>(),
    ) {
        let mut snapshot = line(fence_days);
        snapshot.work_centers.insert("line".into(), center(machines));
        let frame = Item { make: make("line", 1_200, 0, 1), ..Item::default() };
        snapshot.items.insert("frame".into(), frame);
        let demands: Vec<Demand> = demands.iter().map(|(quantity, at)| due(*quantity, *at)).collect();
        let open = after_breakdown(open(snapshot, &demands), down(from, from + length));
        let at = from + length * share / 100;
        let policy = Policy { fence, ..Policy::default() };
        let hit = repaired(&open, at, &policy);
        let mut after = open.clone();
        apply(&mut after, &Event::Repaired(down(at, 9_999)), &hit);
        let left = (MONDAY + from, MONDAY + at);
        let mut slots: BTreeMap<(Id, usize), Vec<(Minute, Minute)>> = BTreeMap::new();
        for (id, order) in &after.orders {
            let before = &open.orders[id];
            prop_assert!(order.ready <= before.ready, "{} is later", id);
            prop_assert!(order.start >= MONDAY);
            let fenced = fence && before.start < MONDAY + open.snapshot.items[&before.item].fence_minutes;
            prop_assert!(!fenced || order.start == before.start, "{} is frozen", id);
            let mut last = order.start;
            for (old, new) in before.operations.iter().zip(&order.operations) {
                prop_assert!(new.start >= last);
                last = new.end;
                let runs = new.start < left.0 && new.end > left.0;
                prop_assert!(runs || new.end <= left.0 || new.start >= left.1, "{} in the outage", id);
                prop_assert!(new.end - new.start <= old.end - old.start);
                slots.entry((new.work_center.clone(), new.machine)).or_default().push((new.start, new.end));
            }
        }
        for (machine, mut slots) in slots {
            slots.sort_unstable();
            prop_assert!(slots.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{:?}: {:?}", machine, slots);
        }
        // Nobody's use is before what it gets: the balance never falls below zero.
        for id in after.snapshot.items.keys() {
            let ledger = Ledger::of(&after.snapshot, id, MONDAY);
            prop_assert!(ledger.points(MONDAY).iter().all(|point| point.projected >= 0), "{} is short", id);
        }
        for promise in &hit.promises {
            let (was, due) = (&promise.delivery, promise.delivery.due.unwrap());
            prop_assert!(promise.after < was.promise && (was.promise > due || was.promise > was.first));
            prop_assert!(promise.after >= due.min(was.first));
        }
        let ran = |id: &Id| {
            let runs = |own: &Booking| own.start < left.0 && own.end > left.0;
            open.orders[id].operations.iter().any(runs)
        };
        prop_assert!(!hit.promises.is_empty() || hit.orders.iter().all(|order| ran(&order.id)));
    }
}
