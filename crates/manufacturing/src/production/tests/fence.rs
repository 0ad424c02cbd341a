//! The frozen fence, rush demands, transfers, and what a promise is made of.

use crate::production::ctp::{Limit, capable};
use crate::production::decide::{Decision, decide};
use crate::production::demand::{Demand, Source};
use crate::production::plan::Promise;
use crate::production::plant::{DAY, Item, Snapshot};
use crate::production::tests::plants::{MONDAY, center, demand, make, part, receipt, reserved, supply, with};

fn on(plant: &Snapshot, demand: &Demand) -> Decision {
    decide(plant, demand, MONDAY).unwrap()
}

/// Ten on hand are to be used in two days, ten more come in one day; a new use tomorrow night.
fn contested(fence_days: i64) -> Snapshot {
    let item = Item { on_hand: 10, fence_minutes: fence_days * DAY, ..Item::default() };
    let mut plant = with("a", item);
    plant.receipts.push(receipt("PO-1", "a", 10, MONDAY + DAY));
    plant.reserved.push(reserved("P-9/r1", "a", 10, MONDAY + 2 * DAY));
    plant
}

#[test]
fn a_reservation_within_the_fence_keeps_its_supply() {
    let soon = demand("a", &[(10, Some(MONDAY + 600))]);
    // Without a fence the new use takes the stock, and the other one waits for PO-1, in time.
    let free = on(&contested(0), &soon);
    assert_eq!(free.plan.promises, [Promise { at: MONDAY + 600, late: 0 }]);
    assert_eq!((free.plan.moved.len(), free.plan.moved[0].after), (1, MONDAY + DAY));
    // Within the fence the stock is the other one's, and the new use waits for PO-1.
    let fenced = on(&contested(3), &soon);
    assert_eq!(fenced.plan.promises, [Promise { at: MONDAY + DAY, late: DAY - 600 }]);
    assert!(fenced.plan.moved.is_empty());
    assert_eq!(fenced.plan.requirements[0].pegs[0].at, MONDAY + DAY);
    // A rush doesn't mind the fence.
    let rush = on(&contested(3), &Demand { rush: true, ..soon.clone() });
    assert_eq!((rush.plan.promises.clone(), rush.plan.moved.len()), (free.plan.promises, 1));
    // What is used after the fence is not frozen.
    let short = on(&contested(1), &soon);
    assert_eq!(short.plan.moved.len(), 1);
}

#[test]
fn nothing_new_starts_within_the_fence_but_a_rush() {
    let item = Item { make: make("line", 60, 0, 1), fence_minutes: 2 * DAY, ..Item::default() };
    let mut plant = with("a", item);
    plant.work_centers.insert("line".into(), center(1));
    let soon = demand("a", &[(10, Some(MONDAY + DAY))]);
    let fenced = on(&plant, &soon);
    assert_eq!(fenced.plan.orders[0].start, MONDAY + 2 * DAY);
    assert_eq!(capable(&plant, &soon, &fenced.plan, MONDAY)[0].limit, Limit::Fence("a".into()));
    let rush = Demand { rush: true, ..soon };
    let rushed = on(&plant, &rush);
    assert_eq!((rushed.plan.orders[0].start, rushed.plan.late()), (MONDAY + DAY - 10, 0));
    assert_eq!(capable(&plant, &rush, &rushed.plan, MONDAY)[0].limit, Limit::Capacity("line".into()));
}

#[test]
fn a_transfer_is_a_source_like_the_others_and_takes_no_parts() {
    let mut plant = with(
        "bike",
        Item {
            make: make("line", 480, 0, 5_000),
            transfer: supply(2, 1_000, 300),
            bill: vec![part("frame", 1)],
            ..Item::default()
        },
    );
    plant.items.insert("frame".into(), Item { buy: supply(9, 0, 100), ..Item::default() });
    plant.work_centers.insert("line".into(), center(1));
    let decision = on(&plant, &demand("bike", &[(10, Some(MONDAY + 20 * DAY))]));
    assert_eq!(decision.source, Source::Transfer);
    let order = &decision.plan.orders[0];
    assert_eq!((decision.plan.orders.len(), order.source), (1, Source::Transfer));
    assert_eq!((order.start, order.ready), (MONDAY + 18 * DAY, MONDAY + 20 * DAY));
    assert_eq!(decision.plan.cost.total(), 1_000 + 10 * 300);
    assert!(decision.explanation.en.starts_with("transfer: the cheapest"), "{}", decision.explanation.en);
    assert!(decision.explanation.zh.starts_with("调拨"), "{}", decision.explanation.zh);
    // Not allowed: made, of frames that are bought.
    let allowed =
        Demand { sources_allowed: vec![Source::Make], ..demand("bike", &[(10, Some(MONDAY + 20 * DAY))]) };
    assert_eq!(on(&plant, &allowed).source, Source::Make);
}

#[test]
fn a_promise_says_what_is_available_what_is_capable_and_what_limits_it() {
    let mut plant = with(
        "bike",
        Item { on_hand: 3, make: make("line", 60, 0, 1), bill: vec![part("frame", 1)], ..Item::default() },
    );
    plant.items.insert("frame".into(), Item { buy: supply(4, 0, 1), ..Item::default() });
    plant.work_centers.insert("line".into(), center(1));
    let wanted = demand("bike", &[(10, Some(MONDAY + DAY))]);
    let plan = on(&plant, &wanted).plan;
    let answer = &capable(&plant, &wanted, &plan, MONDAY)[0];
    assert_eq!((answer.available, answer.capable), (3, 7));
    assert_eq!(answer.capable_at, Some(MONDAY + 4 * DAY + 7));
    // The bikes wait for the frames, and these for their supplier.
    assert_eq!((answer.chain.as_slice(), &answer.limit), (&[0, 1][..], &Limit::LeadTime("frame".into())));
    let stock = demand("bike", &[(2, Some(MONDAY + DAY))]);
    let plan = on(&plant, &stock).plan;
    let answer = &capable(&plant, &stock, &plan, MONDAY)[0];
    assert_eq!((answer.available, answer.capable, &answer.limit), (2, 0, &Limit::None));
}
