//! What the search leaves out changes nothing: against the search that plans every trial, and what is
//! available against the ledger that adds all up.

use proptest::prelude::*;

use crate::production::availability::{Ledger, Outlook, Taking};
use crate::production::commit::Commitments;
use crate::production::decide::{decide, decide_by};
use crate::production::plant::{DAY, Item, LotPolicy, LotRule, Snapshot};
use crate::production::tests::plants::{MONDAY, center, demand, make, part, plant, receipt, supply};

/// A random plant, all of whose items have several sources: item 0 is wanted, an item is made of items
/// with a higher number.
fn plants() -> impl Strategy<Value = Snapshot> {
    let item = (
        0i64..60,
        proptest::option::weighted(0.8, 1i64..90),
        proptest::option::weighted(0.6, (0i64..12, 0i64..3_000, 50i64..600)),
        proptest::option::weighted(0.3, (0i64..12, 0i64..3_000, 50i64..600)),
        proptest::collection::vec((1usize..4, 1i64..4), 0..3),
        proptest::collection::vec((1i64..40, 0i64..20), 0..3),
        (0i64..3, 0i64..10),
    );
    proptest::collection::vec(item, 3..10).prop_map(|items| {
        let mut plant = plant();
        plant.work_centers.insert("w".into(), center(2));
        let count = items.len();
        for (number, (on_hand, made, bought, sent, parts, due_in, (fence, safety_stock))) in
            items.into_iter().enumerate()
        {
            let mut below: Vec<usize> = parts.iter().map(|(step, _)| number + step).collect();
            below.retain(|part| *part < count);
            below.sort_unstable();
            below.dedup();
            let item = Item {
                on_hand,
                safety_stock,
                fence_minutes: fence * DAY,
                unit_cost: 100,
                holding_micros_per_day: 1_000_000,
                lot: LotRule { policy: LotPolicy::WagnerWhitin, min: 5, multiple: 0, max: 0 },
                make: made.and_then(|seconds| make("w", seconds, 500, 10)),
                buy: bought.and_then(|(days, order, unit)| supply(days, order, unit)),
                transfer: sent.and_then(|(days, order, unit)| supply(days, order, unit)),
                bill: below.iter().zip(1..).map(|(below, n)| part(&below.to_string(), n)).collect(),
                ..Item::default()
            };
            plant.items.insert(number.to_string().into(), item);
            for (line, (units, day)) in due_in.into_iter().enumerate() {
                let (id, item) = (format!("PO-{number}-{line}"), number.to_string());
                plant.receipts.push(receipt(&id, &item, units, MONDAY + day * DAY));
            }
        }
        plant
    })
}

proptest! {
    /// Promises, cost, orders, and how each source fared: all of it.
    #[test]
    fn trials_that_are_left_out_change_nothing(
        snapshot in plants(),
        wanted in proptest::collection::vec((1i64..60, proptest::option::weighted(0.8, 0i64..40)), 1..4),
        priced in any::<bool>(),
    ) {
        let mut snapshot = snapshot;
        let due = |day: &Option<i64>| day.map(|day| MONDAY + day * DAY);
        let deliveries: Vec<_> = wanted.iter().map(|(units, day)| (*units, due(day))).collect();
        let mut demand = demand("0", &deliveries);
        demand.lateness_cost_per_day = priced.then_some(2_000);
        for number in 0..4 {
            let (quick, thorough) =
                (decide(&snapshot, &demand, MONDAY), decide_by(&snapshot, &demand, MONDAY, false));
            prop_assert_eq!(format!("{quick:?}"), format!("{thorough:?}"));
            let Ok(decision) = quick else { break };
            Commitments::of(&format!("P-{number}"), &decision.plan).apply(&mut snapshot);
        }
    }

    /// Bisection finds what adding up finds, whatever is taken in whatever order.
    #[test]
    fn an_outlook_says_what_the_ledger_says(
        on_hand in 0i64..50,
        safety in 0i64..10,
        changes in proptest::collection::vec((0i64..30, -20i64..30), 0..12),
        takes in proptest::collection::vec((0i64..30, 0i64..15), 0..8),
        asked in proptest::collection::vec((0i64..35, 1i64..60), 1..8),
    ) {
        let mut ledger = Ledger::new(on_hand, safety);
        changes.iter().for_each(|(at, units)| ledger.add(*at, *units));
        let outlook = Outlook::of(&ledger);
        let mut taking = Taking::from(&outlook);
        for step in 0..=takes.len() {
            for (at, units) in &asked {
                prop_assert_eq!(taking.available(*at), ledger.available(*at));
                prop_assert_eq!(taking.earliest(*units, *at), ledger.earliest(*units, *at));
            }
            if let Some((at, units)) = takes.get(step) {
                taking.take(*at, *units);
                ledger.take(*at, *units);
            }
        }
    }
}
