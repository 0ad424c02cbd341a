//! Netting: against a plant that builds unit by unit, and what must hold for any sequence of plans.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::production::availability::Ledger;
use crate::production::commit::Commitments;
use crate::production::decide::decide;
use crate::production::demand::{PlanError, Source};
use crate::production::plan::{Choice, Plan, Planner, User};
use crate::production::plant::{Component, DAY, Id, Item, LotPolicy, LotRule, Minute, Snapshot};
use crate::production::tests::plants::{
    MONDAY, center, demand, make, part, plant, receipt, reserved, supply, with,
};

#[test]
fn a_promise_leaves_what_later_reservations_count_on() {
    let mut ledger = Ledger::new(10, 0);
    ledger.take(50, 8);
    ledger.add(40, 3);
    ledger.add(60, 20);
    // At 0 there are 10 on hand, but 8 are promised for 50 and only 3 come before.
    assert_eq!(ledger.available(0), 5);
    assert_eq!(ledger.available(60), 25);
    assert_eq!(
        (ledger.earliest(5, 0), ledger.earliest(6, 0), ledger.earliest(26, 0)),
        (Some(0), Some(60), None)
    );
    let mut safe = Ledger::new(10, 4);
    safe.take(1, 3);
    assert_eq!((safe.available(0), safe.available(1)), (3, 3));
}

/// A random plant: item 0 is wanted, an item is made of items with a higher number.
fn network() -> impl Strategy<Value = Snapshot> {
    let item = (
        0i64..40,
        proptest::option::weighted(0.8, 1i64..40),
        proptest::collection::vec((1usize..4, 1i64..4), 0..3),
    );
    proptest::collection::vec(item, 2..8).prop_map(|items| {
        let mut plant = plant();
        plant.work_centers.insert("w".into(), center(1));
        let count = items.len();
        for (number, (on_hand, run_seconds, parts)) in items.into_iter().enumerate() {
            let mut bill: BTreeMap<usize, Component> = BTreeMap::new();
            for (step, quantity) in parts {
                if number + step < count {
                    bill.insert(number + step, part(&(number + step).to_string(), quantity));
                }
            }
            let made = Item {
                on_hand,
                unit_cost: 100,
                make: run_seconds.map(|seconds| make("w", seconds, 500, 10).unwrap()),
                buy: run_seconds.is_none().then(|| supply(2, 300, 70).unwrap()),
                bill: if run_seconds.is_some() { bill.into_values().collect() } else { vec![] },
                ..Item::default()
            };
            plant.items.insert(number.to_string().into(), made);
        }
        plant
    })
}

/// Takes one unit from stock, or opens one and takes its parts the same way.
fn obtain(snapshot: &Snapshot, stock: &mut BTreeMap<Id, i64>, opened: &mut BTreeMap<Id, i64>, id: &Id) {
    let left = stock.entry(id.clone()).or_default();
    if *left > 0 {
        *left -= 1;
        return;
    }
    *opened.entry(id.clone()).or_default() += 1;
    for component in &snapshot.items[id].bill {
        for _ in 0..component.quantity {
            obtain(snapshot, stock, opened, &component.item);
        }
    }
}

fn opened(plan: &Plan) -> BTreeMap<Id, i64> {
    plan.orders.iter().fold(BTreeMap::new(), |mut sum, order| {
        *sum.entry(order.item.clone()).or_default() += order.quantity;
        sum
    })
}

proptest! {
    /// Level by level gives what building unit by unit gives, however often a part is used.
    #[test]
    fn netting_opens_what_building_unit_by_unit_opens(snapshot in network(), quantity in 1i64..60) {
        let demand = demand("0", &[(quantity, Some(MONDAY + 300 * DAY))]);
        let planner = Planner::new(&snapshot, &demand, MONDAY).unwrap();
        let source = |id| if snapshot.items[id].make.is_some() { Source::Make } else { Source::Buy };
        let sources = planner.levels().order.iter().map(|(id, _)| source(id)).collect();
        let plan = planner.plan(&Choice { sources, lot_for_lot: true }).unwrap();
        let mut stock = snapshot.items.iter().map(|(id, item)| (id.clone(), item.on_hand)).collect();
        let mut oracle = BTreeMap::new();
        for _ in 0..quantity {
            obtain(&snapshot, &mut stock, &mut oracle, &"0".into());
        }
        prop_assert_eq!(opened(&plan), oracle);
        prop_assert_eq!(plan.late(), 0);
    }

    /// Whatever is promised one after the other: no balance falls below zero, each order has its
    /// material when it starts, no machine does two things at once, and pegs add up.
    #[test]
    fn any_sequence_of_productions_keeps_its_promises(
        mut snapshot in network(),
        calls in proptest::collection::vec((0usize..3, 1i64..30, proptest::option::of(0i64..20), 0i64..40), 1..6),
        supplies in proptest::collection::vec((0usize..8, 1i64..40, 1i64..15), 0..5),
        rule in (0i64..20, 0i64..7),
    ) {
        for (number, (item, quantity, day)) in supplies.iter().enumerate() {
            let at = MONDAY + day * DAY;
            snapshot.receipts.push(receipt(&format!("PO-{number}"), &item.to_string(), *quantity, at));
        }
        for item in snapshot.items.values_mut() {
            item.lot = LotRule { policy: LotPolicy::WagnerWhitin, min: rule.0, multiple: rule.1, max: 21 };
            item.holding_micros_per_day = 30_000_000;
        }
        for (number, (item, quantity, due, later)) in calls.iter().enumerate() {
            let due = due.map(|day| MONDAY + day * DAY);
            let deliveries = [(*quantity, due), (*quantity, due.map(|at| at + later * 60))];
            let demand = demand(&item.min(&(snapshot.items.len() - 1)).to_string(), &deliveries);
            let decision = match decide(&snapshot, &demand, MONDAY + i64::try_from(number).unwrap()) {
                Ok(decision) => decision,
                Err(error) => { prop_assert!(matches!(error, PlanError::NoSource { .. }), "{}", error); continue }
            };
            check(&decision.plan)?;
            Commitments::of(&format!("P-{number}"), &decision.plan).apply(&mut snapshot);
            balanced(&snapshot)?;
        }
        for (at, a) in snapshot.bookings.iter().enumerate() {
            for b in &snapshot.bookings[at + 1..] {
                let apart = a.machine != b.machine || a.end <= b.start || b.end <= a.start;
                prop_assert!(apart, "{:?} and {:?}", a, b);
            }
        }
    }
}

fn check(plan: &Plan) -> Result<(), TestCaseError> {
    for requirement in &plan.requirements {
        let ordered: i64 = requirement.orders.iter().map(|(_, units)| units).sum();
        let pegged: i64 = requirement.pegs.iter().map(|peg| peg.quantity).sum();
        prop_assert_eq!(requirement.existing + ordered, requirement.quantity);
        prop_assert_eq!(pegged, requirement.existing);
        prop_assert!(requirement.ready <= requirement.use_at);
        prop_assert!(requirement.pegs.iter().all(|peg| peg.at <= requirement.use_at));
        if let User::Order(number) = requirement.user {
            prop_assert_eq!(requirement.use_at, plan.orders[number].start);
        }
    }
    for order in &plan.orders {
        prop_assert!(order.surplus() >= 0 && order.start <= order.ready);
        prop_assert!(order.operations.windows(2).all(|pair| pair[0].end <= pair[1].start));
    }
    let cost = plan.cost;
    let parts = [cost.material, cost.units, cost.setup, cost.holding, cost.lateness, cost.disruption];
    prop_assert_eq!(cost.total(), parts.into_iter().map(i128::from).sum::<i128>());
    Ok(())
}

/// No item is promised twice: its projected balance never falls below zero.
fn balanced(snapshot: &Snapshot) -> Result<(), TestCaseError> {
    for id in snapshot.items.keys() {
        let low = Ledger::of(snapshot, id, MONDAY).points(MONDAY).iter().map(|point| point.projected).min();
        prop_assert!(low.unwrap() >= 0, "{} falls to {:?}", id, low);
    }
    Ok(())
}

#[test]
fn a_part_in_two_branches_is_pooled_into_one_lot() {
    let mut plant = plant();
    let bought = Item { buy: supply(3, 1_000, 5), on_hand: 4, ..Item::default() };
    plant.items.insert("bolt".into(), bought);
    plant.items.insert(
        "hub".into(),
        Item { make: make("w", 60, 0, 1), bill: vec![part("bolt", 2)], ..Item::default() },
    );
    let top =
        Item { make: make("w", 60, 0, 1), bill: vec![part("hub", 1), part("bolt", 3)], ..Item::default() };
    plant.items.insert("wheel".into(), top);
    plant.work_centers.insert("w".into(), center(1));
    let decision = decide(&plant, &demand("wheel", &[(10, Some(MONDAY + 20 * DAY))]), MONDAY).unwrap();
    let bolts: Vec<_> = decision.plan.orders.iter().filter(|order| &*order.item == "bolt").collect();
    // 10 · 2 + 10 · 3, less 4 on hand; one order although the two needs have different times.
    assert_eq!((bolts.len(), bolts[0].quantity, bolts[0].pegs.len()), (1, 46, 2));
    assert_eq!(decision.levels, [("wheel".into(), 0), ("hub".into(), 1), ("bolt".into(), 2)]);
}

#[test]
fn the_example_of_1958_comes_out_of_the_planner_too() {
    // A period is a day, holding a unit for a day is 1, and the setup is the same in all (100).
    let demands = [69, 29, 36, 61, 61, 26, 34, 67, 45, 67, 79, 56];
    let item = Item { buy: supply(0, 100, 0), holding_micros_per_day: 1_000_000, ..Item::default() };
    let deliveries: Vec<(i64, Option<Minute>)> =
        (1..).zip(demands).map(|(day, units)| (units, Some(MONDAY + day * DAY))).collect();
    let plan = decide(&with("x", item), &demand("x", &deliveries), MONDAY).unwrap().plan;
    let periods: Vec<_> = demands
        .iter()
        .map(|demand| crate::production::lot::Period { demand: *demand, setup: 100, unit: 0, hold: 1 })
        .collect();
    let optimum = crate::production::lot::wagner_whitin(&periods).unwrap().cost;
    assert_eq!(plan.cost.total(), optimum);
    assert_eq!(i128::from(plan.cost.setup), 100 * i128::try_from(plan.orders.len()).unwrap());
    assert!(plan.cost.holding > 0 && plan.orders.len() < 12);
}

#[test]
fn lots_keep_their_least_multiple_and_largest_quantity() {
    let lot = LotRule { policy: LotPolicy::LotForLot, min: 30, multiple: 12, max: 50 };
    let item = Item { buy: supply(1, 0, 1), lot, ..Item::default() };
    let deliveries =
        [(100, Some(MONDAY + 5 * DAY)), (7, Some(MONDAY + 9 * DAY)), (10, Some(MONDAY + 12 * DAY))];
    let plan = decide(&with("x", item), &demand("x", &deliveries), MONDAY).unwrap().plan;
    // 48 + 48 and 4 more as a lot of 36, whose rest of 32 serves the 7 and the 10.
    let lots: Vec<i64> = plan.orders.iter().map(|order| order.quantity).collect();
    assert_eq!(lots, [48, 48, 36]);
    assert_eq!(plan.orders[2].surplus(), 15);
}

#[test]
fn a_reservation_that_is_pushed_to_a_later_supply_is_named() {
    let mut plant = with("x", Item { on_hand: 10, ..Item::default() });
    plant.receipts.push(receipt("PO-7", "x", 10, MONDAY + 3 * DAY));
    plant.reserved.push(reserved("P-1/r1", "x", 10, MONDAY + 30 * DAY));
    let decision = decide(&plant, &demand("x", &[(10, Some(MONDAY + DAY))]), MONDAY).unwrap();
    assert_eq!(decision.source, Source::Reserve);
    let moved = &decision.plan.moved;
    assert_eq!((moved.len(), &*moved[0].id, moved[0].after), (1, "P-1/r1", MONDAY + 3 * DAY));
}
