//! Replenishment rules, one table.

use crate::production::plant::{DAY, Item, Snapshot};
use crate::production::tests::plants::{MONDAY, receipt, reserved, with};
use crate::production::trigger::{Finding, Kind, Rule, evaluate, sort};

/// 30 on hand, 20 to come in three days, 15 reserved for tomorrow: a position of 35.
fn stock() -> Snapshot {
    let mut plant = with("a", Item { on_hand: 30, safety_stock: 10, ..Item::default() });
    plant.receipts.push(receipt("PO-1", "a", 20, MONDAY + 3 * DAY));
    plant.reserved.push(reserved("P-1/r1", "a", 15, MONDAY + DAY));
    plant
}

fn says(plant: &Snapshot, rule: Rule, dead_band: i64) -> Finding {
    evaluate(plant, &"a".into(), rule, dead_band, MONDAY)
}

#[test]
fn rules_fire_at_their_level_and_not_within_the_dead_band() {
    let point = |point| Rule::ReorderPoint { point, quantity: 40 };
    let range = |min| Rule::MinMax { min, max: 100 };
    // Two and a half a day: 14 days are 35 units, 15 days 37.5, 40 days 100.
    let cover = |days| Rule::DaysOfCover { milli_per_day: 2_500, days, target_days: 40 };
    for (rule, dead_band, fired, held, quantity) in [
        (point(34), 0, false, false, 0),
        (point(35), 0, true, false, 40),
        (point(75), 0, true, false, 80),
        (point(40), 6, false, true, 40),
        (point(40), 5, true, false, 40),
        (range(34), 0, false, false, 0),
        (range(35), 0, true, false, 65),
        (range(36), 2, false, true, 65),
        (cover(14), 0, false, false, 0),
        (cover(15), 0, true, false, 65),
        (cover(15), 3, false, true, 65),
    ] {
        let found = says(&stock(), rule, dead_band);
        assert_eq!(
            (found.fired, found.held, found.quantity),
            (fired, held, quantity),
            "{rule:?}, {dead_band}"
        );
        assert_eq!(found.position, 35);
    }
}

#[test]
fn an_order_driven_item_is_made_for_what_its_reservations_miss() {
    let mut plant = stock();
    plant.reserved.push(reserved("P-2/r1", "a", 12, MONDAY + 2 * DAY));
    let driven = |days| Rule::OrderDriven { horizon: days * DAY };
    // 30 - 15 - 12 = 3 in two days: 7 below the safety stock; then PO-1 comes.
    let found = says(&plant, driven(7), 0);
    assert_eq!((found.kind, found.fired, found.quantity), (Kind::OrderDriven, true, 7));
    assert_eq!(found.need, Some(MONDAY + 2 * DAY));
    assert!(!says(&plant, driven(1), 0).fired, "beyond the horizon");
    assert!(says(&plant, driven(7), 7).held);
}

#[test]
fn a_shortage_fires_whatever_the_dead_band_says() {
    let mut plant = stock();
    // An event took the order that was to cover it.
    plant.receipts.clear();
    plant.reserved.push(reserved("P-2/r1", "a", 20, MONDAY + 5 * DAY));
    let found = says(&plant, Rule::MinMax { min: 10, max: 12 }, 100);
    assert_eq!((found.kind, found.fired, found.quantity), (Kind::Shortage, true, 17));
    assert_eq!(found.need, Some(MONDAY + 5 * DAY));
    let quiet = says(&stock(), Rule::MinMax { min: 1, max: 2 }, 0);
    let mut findings = [quiet.clone(), found.clone()];
    sort(&mut findings);
    assert_eq!(findings, [found, quiet]);
}
