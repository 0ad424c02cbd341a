//! Events: small cases by hand, and what must hold after any repair.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::production::decide::decide;
use crate::production::demand::{Demand, Source};
use crate::production::event::{Event, Impact, Policy, impact};
use crate::production::hysteresis::Hysteresis;
use crate::production::open_plant::{OpenPlant, UsedBy};
use crate::production::plant::{DAY, Id, Item, Minute, Snapshot};
use crate::production::repair::{Deal, Outage, Repaired, Terms, repair};
use crate::production::tests::plants::{MONDAY, center, demand, make, part, plant, receipt, supply};

/// Carries decisions out, one production each, and forgets that they are new.
pub fn open(snapshot: Snapshot, demands: &[Demand]) -> OpenPlant {
    let (orders, uses) = (BTreeMap::new(), BTreeMap::new());
    let mut open = OpenPlant { snapshot, orders, uses, deliveries: vec![], outages: vec![] };
    for (number, demand) in (1..).zip(demands) {
        let decision = decide(&open.booked(|_| true), demand, MONDAY).unwrap();
        open.open(&format!("P-{number}").into(), &decision.plan, Some((demand, "SO")));
    }
    open.orders.values_mut().for_each(|order| order.pinned = false);
    open
}

/// A line on which a unit takes an hour; frames come from a supplier in two days.
pub fn line(fence_days: i64) -> Snapshot {
    let mut plant = plant();
    plant.work_centers.insert("line".into(), center(1));
    let bike = Item {
        make: make("line", 3_600, 0, 10),
        bill: vec![part("frame", 1)],
        fence_minutes: fence_days * DAY,
        ..Item::default()
    };
    plant.items.insert("bike".into(), bike);
    let frame = Item { on_hand: 100, buy: supply(2, 0, 5), ..Item::default() };
    plant.items.insert("frame".into(), frame);
    plant
}

pub fn due(quantity: i64, at: Minute) -> Demand {
    Demand {
        lateness_cost_per_day: Some(1_440),
        rush: true,
        ..demand("bike", &[(quantity, Some(MONDAY + at))])
    }
}

fn starts(impact: &Impact) -> Vec<(&str, Minute, Minute)> {
    impact.orders.iter().map(|o| (&*o.id, o.after.start - MONDAY, o.after.ready - MONDAY)).collect()
}

fn outage(from: Minute, until: Minute) -> Event {
    let (from, until) = (MONDAY + from, MONDAY + until);
    Event::Breakdown(Outage { work_center: "line".into(), machine: None, from, until })
}

fn lost(id: &str, units: i64) -> Event {
    Event::Loss { id: id.into(), item: "frame".into(), units }
}

fn on(open: &OpenPlant, event: &Event, policy: &Policy) -> Impact {
    impact(open, event, policy, 90, MONDAY).unwrap()
}

#[test]
fn a_breakdown_shifts_what_it_touches_and_what_that_pushes_and_nothing_else() {
    // 600 to 720, 720 to 840, and one far away.
    let open = open(line(0), &[due(2, 720), due(2, 840), due(2, 5_000)]);
    let hit = on(&open, &outage(660, 760), &Policy { disruption_cost: 7, ..Policy::default() });
    // The first runs at 660 and has an hour left; the second is pushed behind it.
    assert_eq!(starts(&hit), [("P-1/1", 600, 820), ("P-2/1", 820, 940)]);
    let promises: Vec<_> = hit.promises.iter().map(|p| (&*p.delivery.production, p.after - MONDAY)).collect();
    assert_eq!(promises, [("P-1", 820), ("P-2", 940)]);
    // 100 minutes late each, at a minor unit a minute; two orders moved.
    assert_eq!(hit.cost, [200, 0, 14]);
    // One that is over before anything starts moves nothing.
    assert!(on(&open, &outage(100, 500), &Policy::default()).orders.is_empty());
}

#[test]
fn a_like_machine_takes_over_when_it_is_free_earlier() {
    let mut snapshot = line(0);
    snapshot.work_centers.insert("line".into(), center(2));
    let open = open(snapshot, &[due(2, 720)]);
    let machine = open.orders["P-1/1"].operations[0].machine;
    let Event::Breakdown(all) = outage(500, 2_000) else { unreachable!() };
    let event = Event::Breakdown(Outage { machine: Some(machine), ..all });
    let hit = on(&open, &event, &Policy::default());
    assert_eq!(starts(&hit), [("P-1/1", 600, 720)]);
    assert_ne!(hit.orders[0].after.operations[0].machine, machine);
    assert!(hit.promises.is_empty());
}

#[test]
fn a_rush_order_displaces_others_but_not_within_the_fence() {
    // The line is full from 0 to 1,440.
    let plant = |fence| open(line(fence), &[due(12, 720), due(12, 1_440)]);
    let rush = Event::Rush(due(2, 120), "SO-9".into());
    let free = on(&plant(1), &rush, &Policy::default());
    let new = &free.plans[0].decision.plan;
    assert_eq!((&*free.plans[0].production, new.orders[0].ready - MONDAY), ("P-90", 120));
    assert_eq!(starts(&free), [("P-1/1", 120, 840), ("P-2/1", 840, 1_560)]);
    // New: two frames at 0 from stock, two bikes worked; late: 120 minutes twice.
    assert_eq!(free.cost, [240, 20, 0]);
    // Within the fence both orders stay, and the rush comes after them.
    let fenced = on(&plant(2), &rush, &Policy { fence: true, ..Policy::default() });
    assert!(fenced.orders.is_empty() && fenced.promises.is_empty());
    assert_eq!(fenced.plans[0].decision.plan.orders[0].start - MONDAY, 1_440);
}

#[test]
fn a_late_supply_moves_its_users_and_their_promises() {
    let mut snapshot = line(0);
    snapshot.items.get_mut("frame").unwrap().on_hand = 2;
    snapshot.receipts.push(receipt("PO-7", "frame", 2, MONDAY + 700));
    let open = open(snapshot, &[due(2, 720), due(2, 900)]);
    let event = Event::Late("PO-7".into(), MONDAY + 1_000);
    let hit = on(&open, &event, &Policy::default());
    // The second bike waits for its frames; the first has the stock.
    assert_eq!(starts(&hit), [("P-2/1", 1_000, 1_120)]);
    assert_eq!(hit.promises[0].after - MONDAY, 1_120);
    let unknown = impact(&open, &Event::Late("PO-8".into(), 0), &Policy::default(), 90, MONDAY);
    assert!(unknown.is_err());
}

#[test]
fn a_loss_is_replaced_and_who_missed_it_gets_it() {
    let mut snapshot = line(0);
    snapshot.items.get_mut("frame").unwrap().on_hand = 0;
    snapshot.receipts.push(receipt("PO-7", "frame", 4, MONDAY + 100));
    let open = open(snapshot, &[due(4, 900)]);
    let hit = on(&open, &lost("PO-7", 1), &Policy::default());
    let new = &hit.plans[0];
    assert!(new.replaces);
    let order = &new.decision.plan.orders[0];
    assert_eq!((&*order.item, order.quantity, order.source), ("frame", 1, Source::Buy));
    // The frame comes in two days, and the four bikes wait for it.
    assert_eq!(starts(&hit), [("P-1/1", 2 * DAY, 2 * DAY + 240)]);
    assert!(hit.uncovered.is_empty());
    // Without a supplier it stays uncovered.
    let mut alone = open.clone();
    alone.snapshot.items.get_mut("frame").unwrap().buy = None;
    let hit = on(&alone, &lost("PO-7", 1), &Policy::default());
    assert_eq!((hit.plans.len(), hit.uncovered[0].quantity), (0, 1));
}

/// Two supplies of the same frames: the first comes late, so that the other use could have the second.
#[test]
fn supplies_are_dealt_anew_only_when_that_saves_more_than_the_hysteresis() {
    let mut snapshot = line(0);
    snapshot.items.get_mut("frame").unwrap().on_hand = 0;
    snapshot.receipts.push(receipt("PO-1", "frame", 2, MONDAY + 100));
    snapshot.receipts.push(receipt("PO-2", "frame", 2, MONDAY + 200));
    // The second has time until 3,000, but its work is booked as late as can be.
    let open = open(snapshot, &[due(2, 720), due(2, 3_000)]);
    let event = Event::Late("PO-1".into(), MONDAY + 2_000);
    let anew = on(&open, &event, &Policy::default());
    assert!(anew.dealt_anew && anew.promises.is_empty() && anew.orders.is_empty());
    // Kept: the first waits for PO-1 and is 1,400 minutes late.
    let policy =
        Policy { hysteresis: Hysteresis { lateness_min: 2_000, cost_min: 2_000 }, ..Policy::default() };
    let kept = on(&open, &event, &policy);
    assert!(!kept.dealt_anew);
    assert_eq!((kept.promises[0].after - MONDAY, kept.cost[0]), (2_120, 1_400));
    let policy = Policy { hysteresis: Hysteresis { lateness_min: 1_399, cost_min: 2_000 }, ..policy };
    assert!(on(&open, &event, &policy).dealt_anew);
}

/// Everything that must hold, seen from outside.
fn verify(
    open: &OpenPlant,
    repaired: &Repaired,
    deal: &Deal,
    outage: &Outage,
    fence: bool,
) -> Result<(), TestCaseError> {
    let mut slots: BTreeMap<(Id, usize), Vec<(Minute, Minute)>> = BTreeMap::new();
    // What runs through the outage takes longer, and nobody can be on its machine meanwhile.
    let pairs = repaired
        .orders
        .iter()
        .flat_map(|(id, after)| open.orders[id].operations.iter().zip(&after.operations));
    let longer: Vec<(usize, Minute, Minute)> = pairs
        .filter(|(old, new)| new.end - new.start > old.end - old.start)
        .map(|(_, new)| (new.machine, new.start, new.end))
        .collect();
    for (id, after) in &repaired.orders {
        let before = &open.orders[id];
        prop_assert!(after.start >= before.start && after.ready >= before.ready, "{} moved earlier", id);
        let mut last = after.start;
        for (old, new) in before.operations.iter().zip(&after.operations) {
            prop_assert!(new.start >= last && new.start >= old.start);
            last = new.end;
            let runs = old.start < outage.from && new.start == old.start && old.end > outage.from;
            let hit =
                outage.work_center == new.work_center && outage.machine.is_none_or(|m| m == new.machine);
            let down = if runs && hit { outage.until - outage.from } else { 0 };
            prop_assert_eq!(new.end - new.start, old.end - old.start + down, "{}", id);
            prop_assert!(
                runs || !hit || new.end <= outage.from || new.start >= outage.until,
                "{} in the outage",
                id
            );
            slots.entry((new.work_center.clone(), new.machine)).or_default().push((new.start, new.end));
        }
        prop_assert!(last <= after.ready);
        // What lies within the fence and can stay where it is stays.
        let fenced = fence && before.start < MONDAY + open.snapshot.items[&before.item].fence_minutes;
        let untouched = before.operations.iter().all(|old| {
            let hit =
                outage.work_center == old.work_center && outage.machine.is_none_or(|m| m == old.machine);
            let crowded = longer
                .iter()
                .any(|(machine, from, to)| *machine == old.machine && *from < old.end && old.start < *to);
            !crowded && (!hit || old.end <= outage.from || old.start >= outage.until)
        });
        let parts = open.uses.iter().filter(|(_, used_by)| **used_by == UsedBy::Order(id.clone()));
        let mut there = before.start;
        for (reservation, _) in parts {
            let at =
                deal.arrival(reservation, |_, order| repaired.orders.get(order).map(|placed| placed.ready));
            prop_assert!(after.start >= at.unwrap_or(MONDAY), "{} starts before its parts", id);
            there = there.max(at.unwrap_or(there));
        }
        if fenced && untouched && there == before.start {
            prop_assert_eq!((after.start, after.ready), (before.start, before.ready), "{} is frozen", id);
        }
    }
    for (machine, mut slots) in slots {
        slots.sort_unstable();
        let free = slots.windows(2).all(|pair| pair[0].1 <= pair[1].0);
        prop_assert!(free, "{:?} is booked twice: {:?}", machine, slots);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_repair_keeps_machines_materials_and_the_fence(
        demands in proptest::collection::vec((1i64..8, 100i64..4_000), 1..12),
        machines in 1usize..3, from in 0i64..3_000, length in 1i64..800, one in any::<bool>(),
        fence_days in 0i64..3, fence in any::<bool>(),
    ) {
        let mut snapshot = line(fence_days);
        snapshot.work_centers.insert("line".into(), center(machines));
        // Frames are made on the same line, so that a delay runs through.
        let frame = Item { make: make("line", 1_200, 0, 1), ..Item::default() };
        snapshot.items.insert("frame".into(), frame);
        let demands: Vec<Demand> = demands.iter().map(|(quantity, at)| due(*quantity, *at)).collect();
        let open = open(snapshot, &demands);
        let (from, until) = (MONDAY + from, MONDAY + from + length);
        let outage = Outage { work_center: "line".into(), machine: one.then_some(0), from, until };
        let terms = Terms { outage: Some(outage.clone()), fence, ..Terms::default() };
        let deal = Deal::of(&open.snapshot, MONDAY);
        let repaired = repair(&open, &deal, &terms, MONDAY).unwrap();
        verify(&open, &repaired, &deal, &outage, fence)?;
        let calm = repair(&open, &deal, &Terms::default(), MONDAY).unwrap();
        for (id, order) in &open.orders {
            prop_assert_eq!(&calm.orders[id].operations, &order.operations, "without an event nothing moves");
        }
    }
}
