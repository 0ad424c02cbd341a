//! Transfers from a plant that is known: what it may promise limits and times them.

use proptest::prelude::*;

use crate::production::availability::Ledger;
use crate::production::by_item::Lines;
use crate::production::commit::Commitments;
use crate::production::ctp::{self, Limit};
use crate::production::decide::decide;
use crate::production::demand::{PlanError, Source};
use crate::production::explain::{self, WarningKind};
use crate::production::plant::{DAY, Item, Minute, Receipt, Reserved, Sender, Snapshot};
use crate::production::tests::plants::{MONDAY, demand, receipt, reserved, supply, with};

/// An item that only comes from another plant, in two days, with what is there.
fn sent(on_hand: i64, safety_stock: i64, receipts: Vec<Receipt>, reserved: Vec<Reserved>) -> Snapshot {
    let mut plant = with("x", Item { transfer: supply(2, 0, 5), ..Item::default() });
    let item = Item { on_hand, safety_stock, ..Item::default() };
    plant.senders.insert("x".into(), Sender { plant: "s".into(), item, receipts, reserved });
    plant
}

fn day(day: i64) -> Minute {
    MONDAY + day * DAY
}

#[test]
fn no_more_is_sent_than_the_sender_may_promise() {
    let plant = sent(10, 2, vec![], vec![]);
    let plan = decide(&plant, &demand("x", &[(8, Some(day(5)))]), MONDAY).unwrap().plan;
    let order = &plan.orders[0];
    assert_eq!(
        (order.source, order.start, order.ready, order.set_aside),
        (Source::Transfer, day(3), day(5), true)
    );
    assert!(explain::warnings(&plan).is_empty());
    let nine = decide(&plant, &demand("x", &[(9, Some(day(5)))]), MONDAY).unwrap_err();
    let short = PlanError::SenderShort { item: "x".into(), sender: "s".into(), missing: 1 };
    assert_eq!(nine, short);
}

#[test]
fn a_transfer_waits_for_what_comes_to_the_sender() {
    let plant = sent(3, 0, vec![receipt("PO-1", "x", 20, day(5))], vec![]);
    let demand = demand("x", &[(8, Some(day(3)))]);
    let plan = decide(&plant, &demand, MONDAY).unwrap().plan;
    assert_eq!((plan.orders[0].start, plan.promise(), plan.late()), (day(5), day(7), 4 * DAY));
    assert_eq!(ctp::capable(&plant, &demand, &plan, MONDAY)[0].limit, Limit::Sender("x".into()));
}

#[test]
fn what_the_sender_has_promised_later_is_not_sent() {
    let plant = sent(10, 0, vec![], vec![reserved("P-1/r1", "x", 7, day(30))]);
    assert!(decide(&plant, &demand("x", &[(3, Some(day(5)))]), MONDAY).is_ok());
    assert!(decide(&plant, &demand("x", &[(4, Some(day(5)))]), MONDAY).is_err());
}

#[test]
fn the_senders_fence_keeps_its_supplies_for_its_reservations() {
    // The reservation is used within the fence, so PO-1 is held for it, although PO-2 would do too.
    let receipts = vec![receipt("PO-1", "x", 5, day(1)), receipt("PO-2", "x", 5, day(2))];
    let mut plant = sent(0, 0, receipts, vec![reserved("P-1/r1", "x", 5, day(3))]);
    let first =
        |plant: &Snapshot| decide(plant, &demand("x", &[(5, None)]), MONDAY).unwrap().plan.orders[0].start;
    assert_eq!(first(&plant), day(1));
    plant.senders.get_mut("x").unwrap().item.fence_minutes = 10 * DAY;
    assert_eq!(first(&plant), day(2));
}

#[test]
fn lots_of_one_plan_share_what_there_is() {
    let mut plant = sent(8, 0, vec![receipt("PO-1", "x", 5, day(10))], vec![]);
    plant.items.get_mut("x").unwrap().lot.max = 5;
    let wanted = demand("x", &[(5, Some(day(4))), (5, Some(day(6)))]);
    let plan = decide(&plant, &wanted, MONDAY).unwrap().plan;
    let starts: Vec<Minute> = plan.orders.iter().map(|order| order.start).collect();
    assert_eq!(starts, [day(2), day(10)]);
}

#[test]
fn a_sender_that_is_not_known_is_said() {
    let mut plant = sent(0, 0, vec![], vec![]);
    plant.senders.clear();
    let plan = decide(&plant, &demand("x", &[(8, Some(day(5)))]), MONDAY).unwrap().plan;
    let warnings = explain::warnings(&plan);
    assert_eq!(
        (warnings[0].kind, &*warnings[0].subject, warnings[0].amount),
        (WarningKind::SenderUnknown, "s", 8)
    );
    assert!(!plan.orders[0].set_aside && Commitments::of("P-1", &plan).sent.is_empty());
}

#[test]
fn own_supply_is_taken_when_the_sender_is_short() {
    let mut plant = sent(3, 0, vec![], vec![]);
    plant.items.get_mut("x").unwrap().buy = supply(1, 0, 500);
    let decide = |units| decide(&plant, &demand("x", &[(units, Some(day(9)))]), MONDAY).unwrap().source;
    assert_eq!((decide(3), decide(4)), (Source::Transfer, Source::Buy));
}

proptest! {
    /// Whatever is sent one after the other, the sender's balance never falls below its safety stock.
    #[test]
    fn the_sender_never_promises_twice(
        on_hand in 10i64..40,
        receipts in proptest::collection::vec((1i64..20, 0i64..30), 0..4),
        demands in proptest::collection::vec((1i64..15, proptest::option::of(0i64..40)), 1..12),
    ) {
        let receipts: Vec<Receipt> = receipts
            .iter()
            .zip(1..)
            .map(|((units, at), n)| receipt(&format!("PO-{n}"), "x", *units, day(*at)))
            .collect();
        let coming: i64 = receipts.iter().map(|receipt| receipt.quantity).sum();
        let mut plant = sent(on_hand, 4, receipts, vec![]);
        let mut sent = 0;
        for (number, (units, due)) in demands.into_iter().enumerate() {
            let Ok(decision) = decide(&plant, &demand("x", &[(units, due.map(day))]), MONDAY) else {
                prop_assert!(sent + units > on_hand + coming - 4, "{} of {} refused", units, on_hand);
                continue;
            };
            sent += units;
            Commitments::of(&format!("P-{number}"), &decision.plan).apply(&mut plant);
        }
        let sender = &plant.senders["x"];
        prop_assert_eq!(sender.reserved.iter().map(|r| r.quantity).sum::<i64>(), sent);
        let ledger = Ledger::with_frozen(&Lines::at(sender), &[].into(), MONDAY);
        prop_assert!(ledger.points(MONDAY).iter().all(|point| point.projected >= 4));
    }
}
