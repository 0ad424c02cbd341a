//! Decisions: one table of small plants, and the reasons.

use crate::production::decide::{Decision, Reason, Verdict, decide};
use crate::production::demand::{Demand, PlanError, Source};
use crate::production::explain::{WarningKind, warnings};
use crate::production::plant::{DAY, Item, Minute, Snapshot};
use crate::production::tests::plants::{MONDAY, center, demand, make, part, plant, receipt, supply};

/// A bike of one frame; all sources are open. Making takes 8 minutes each and costs 20 000 for ten,
/// buying takes ten days and 30 000, subcontracting five days and 25 000.
fn bikes() -> Snapshot {
    let mut plant = plant();
    plant.work_centers.insert("line".into(), center(1));
    let frame = Item { buy: supply(1, 0, 1_000), ..Item::default() };
    plant.items.insert("frame".into(), frame);
    let bike = Item {
        unit_cost: 2_000,
        make: make("line", 480, 0, 1_000),
        buy: supply(10, 0, 3_000),
        outsource: supply(4, 0, 1_500),
        bill: vec![part("frame", 1)],
        ..Item::default()
    };
    plant.items.insert("bike".into(), bike);
    plant
}

fn ten(days: Option<i64>) -> Demand {
    demand("bike", &[(10, days.map(|days| MONDAY + days * DAY))])
}

fn on(plant: &Snapshot, demand: &Demand) -> Decision {
    decide(plant, demand, MONDAY).unwrap()
}

fn total(decision: &Decision, source: Source) -> Option<i128> {
    let alternative = decision.alternatives.iter().find(|a| a.source == source)?;
    alternative.plan.as_ref().map(|plan| plan.cost.total())
}

#[test]
fn the_cheapest_source_in_time_wins_and_all_are_compared() {
    let decision = on(&bikes(), &ten(Some(20)));
    assert_eq!((decision.source, decision.reason), (Source::Make, Reason::Cheapest));
    assert_eq!(total(&decision, Source::Make), Some(20_000));
    assert_eq!(total(&decision, Source::Buy), Some(30_000));
    assert_eq!(total(&decision, Source::Outsource), Some(25_000));
    assert!(matches!(decision.alternatives[0].verdict, Verdict::Impossible(PlanError::NoSource { .. })));
    assert_eq!(
        decision.explanation.en,
        "make: the cheapest for these dates; 200.00 CNY, in time; outsource would be 250.00 CNY, in time"
    );
    assert!(decision.explanation.zh.starts_with("自制：在这些交期下成本最低；200.00 CNY，按时"));
}

#[test]
fn a_full_line_makes_the_subcontractor_the_only_one_in_time() {
    let mut plant = bikes();
    let busy = crate::production::plant::Booking {
        work_center: "line".into(),
        machine: 0,
        start: MONDAY,
        end: MONDAY + 30 * DAY,
        family: None,
        setup: 0,
    };
    plant.bookings.push(busy);
    let decision = on(&plant, &ten(Some(6)));
    assert_eq!((decision.source, decision.reason), (Source::Outsource, Reason::OnlyInTime));
    // With a price for lateness of one fen a day, waiting for the own line is cheaper.
    let patient = Demand { lateness_cost_per_day: Some(1), ..ten(Some(6)) };
    let decision = on(&plant, &patient);
    assert_eq!((decision.source, decision.reason), (Source::Make, Reason::Cheapest));
    assert!(warnings(&decision.plan).iter().any(|warning| warning.kind == WarningKind::DeliveryLate));
    assert_eq!(decision.plan.cost.lateness, 24);
}

#[test]
fn stock_is_reserved_first_and_only_the_rest_is_made() {
    let mut plant = bikes();
    plant.items.get_mut("bike").unwrap().on_hand = 4;
    let decision = on(&plant, &ten(Some(20)));
    assert_eq!(decision.source, Source::Make);
    assert_eq!(decision.plan.requirements[0].existing, 4);
    assert_eq!(decision.plan.orders[0].quantity, 6);
    plant.items.get_mut("bike").unwrap().on_hand = 10;
    let decision = on(&plant, &ten(Some(0)));
    assert_eq!((decision.source, decision.reason), (Source::Reserve, Reason::StockCovers));
    assert!(decision.plan.orders.is_empty());
    // Safety stock is not promised.
    plant.items.get_mut("bike").unwrap().safety_stock = 1;
    assert_ne!(on(&plant, &ten(Some(0))).source, Source::Reserve);
}

#[test]
fn as_soon_as_possible_takes_the_earliest_and_waits_for_an_order_when_that_is_it() {
    let mut plant = bikes();
    let decision = on(&plant, &ten(None));
    assert_eq!((decision.source, decision.reason), (Source::Make, Reason::Cheapest));
    assert_eq!(decision.plan.promise(), MONDAY + DAY + 80);
    plant.receipts.push(receipt("PO-1", "bike", 10, MONDAY + 60));
    let decision = on(&plant, &ten(None));
    assert_eq!((decision.source, decision.plan.promise()), (Source::Reserve, MONDAY + 60));
}

#[test]
fn a_part_is_made_when_buying_it_would_be_late() {
    let mut plant = bikes();
    let frame = Item { buy: supply(15, 0, 1_000), make: make("line", 60, 0, 1_200), ..Item::default() };
    plant.items.insert("frame".into(), frame);
    let mut wanted = ten(Some(5));
    wanted.sources_allowed = vec![Source::Make];
    let decision = on(&plant, &wanted);
    assert_eq!(decision.plan.late(), 0);
    assert_eq!((&*decision.plan.orders[1].item, decision.plan.orders[1].source), ("frame", Source::Make));
    // With time enough the cheaper purchase wins.
    let wanted = Demand { sources_allowed: vec![Source::Make], ..ten(Some(30)) };
    assert_eq!(on(&plant, &wanted).plan.orders[1].source, Source::Buy);
}

#[test]
fn a_demand_that_wants_its_date_gets_it_or_the_earliest_date_in_the_refusal() {
    let strict = Demand { on_time_only: true, ..ten(Some(1)) };
    let refused = decide(&bikes(), &strict, MONDAY).unwrap_err();
    assert_eq!(refused, PlanError::Late { promise: MONDAY + DAY + 80, late_minutes: 80 });
    let loose = on(&bikes(), &ten(Some(1)));
    assert_eq!((loose.source, loose.reason, loose.plan.late()), (Source::Make, Reason::Cheapest, 80));
}

#[test]
fn the_fence_holds_new_orders_back() {
    let mut plant = bikes();
    plant.items.get_mut("bike").unwrap().fence_minutes = 7 * DAY;
    let decision = on(&plant, &Demand { sources_allowed: vec![Source::Make], ..ten(Some(2)) });
    assert_eq!(decision.plan.orders[0].start, MONDAY + 7 * DAY);
}

#[test]
fn orders_start_as_late_as_they_may_and_parts_come_first() {
    let decision = on(&bikes(), &ten(Some(20)));
    let due: Minute = MONDAY + 20 * DAY;
    let (bike, frame) = (&decision.plan.orders[0], &decision.plan.orders[1]);
    assert_eq!((bike.start, bike.ready), (due - 80, due));
    assert_eq!((frame.start, frame.ready), (due - 80 - DAY, due - 80));
}

#[test]
fn what_cannot_be_had_is_named() {
    let mut plant = bikes();
    plant.items.insert("frame".into(), Item::default());
    plant.items.get_mut("bike").unwrap().buy = None;
    let error = decide(&plant, &ten(Some(20)), MONDAY).unwrap_err();
    assert_eq!(error, PlanError::NoSource { item: "frame".into(), missing: 10 });
    assert_eq!(error.to_string(), "item frame has too little stock and no source: 10 units are missing");
}
