//! Lot sizing method by method: the published example, properties, and what a lot may never do.

use proptest::prelude::*;

use crate::lot_sizing::dynamic::{Method, parts};
use crate::production::lot::{Period, cost};

/// The twelve-month example of Wagner & Whitin (1958), table 1; holding a unit a month costs 1.
const DEMAND_1958: [i64; 12] = [69, 29, 36, 61, 61, 26, 34, 67, 45, 67, 79, 56];
const SETUP_1958: [i128; 12] = [85, 102, 102, 101, 98, 114, 105, 86, 119, 110, 98, 114];

fn example_1958() -> Vec<Period> {
    let months = DEMAND_1958.iter().zip(SETUP_1958);
    months.map(|(demand, setup)| Period { demand: *demand, setup, unit: 0, hold: 1 }).collect()
}

#[test]
fn the_example_of_1958_costs_what_was_published() {
    let costs = [
        (Method::WagnerWhitin, 864),
        (Method::SilverMeal, 913),
        (Method::PartPeriod, 912),
        (Method::LotForLot, 1234),
    ];
    for (method, published) in costs {
        assert_eq!(method.size(&example_1958()).unwrap().cost, published, "{method:?}");
    }
}

/// Least unit cost by hand: 85, then (85 + 29)/98 > 114/98 … the lots end where the cost of a unit
/// would rise.
#[test]
fn least_unit_cost_stops_where_a_unit_gets_dearer() {
    let periods = [10, 10, 90].map(|demand| Period { demand, setup: 40, unit: 0, hold: 1 });
    // 40/10 = 4; 50/20 = 2.5; 230/110 = 2.09: all in one lot.
    assert_eq!(Method::LeastUnitCost.size(&periods).unwrap().lots, [110, 0, 0]);
    let periods = [90, 10, 90].map(|demand| Period { demand, setup: 40, unit: 0, hold: 1 });
    // 40/90 = 0.44; 50/100 = 0.5: rises.
    assert_eq!(Method::LeastUnitCost.size(&periods).unwrap().lots[..2], [90, 100]);
}

/// Demand 100 a period, setup 50, holding 1: √(2·50·100/1) = 100.
#[test]
fn the_economic_quantity_comes_in_multiples() {
    let periods = [100, 100, 250, 0].map(|demand| Period { demand, setup: 50, unit: 0, hold: 1 });
    let lots = Method::Fixed(100).size(&periods).unwrap();
    assert_eq!(lots.lots, [100, 100, 300, 0]);
    let parts = parts(&periods, &lots.lots);
    assert_eq!((parts.setup, parts.holding, parts.lots, parts.left), (150, 100, 3, 50));
    let level = [100; 4].map(|demand| Period { demand, setup: 200, unit: 0, hold: 1 });
    // √(2·200·100/1) = 200: two periods at a time.
    assert_eq!(Method::EconomicQuantity.size(&level).unwrap().lots, [200, 0, 200, 0]);
    assert_eq!(Method::PeriodOrderQuantity.size(&level).unwrap().lots, [200, 0, 200, 0]);
}

fn periods() -> impl Strategy<Value = Vec<Period>> {
    let quantity = prop_oneof![Just(0i64), 1i64..60];
    let period = (quantity, 0i128..200, 0i128..5, 0i128..5);
    let period = period.prop_map(|(demand, setup, unit, hold)| Period { demand, setup, unit, hold });
    proptest::collection::vec(period, 1..11)
}

/// The least cost over every quantity that a period's lot may have when each lot serves whole periods:
/// by recursion over the first lot, without any of the methods.
fn exhaustive(periods: &[Period]) -> i128 {
    let Some(first) = periods.first() else { return 0 };
    let mut best = (first.demand == 0).then(|| exhaustive(&periods[1..]));
    for covered in 1..=periods.len() {
        let mut cost = first.setup;
        for (at, period) in periods[..covered].iter().enumerate() {
            let kept: i128 = periods[..at].iter().map(|p| p.hold).sum();
            cost += i128::from(period.demand) * (first.unit + kept);
        }
        let cost = cost + exhaustive(&periods[covered..]);
        best = Some(best.map_or(cost, |best| best.min(cost)));
    }
    best.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_method_serves_the_demand_and_none_beats_the_optimum(
        periods in periods(), quantity in 1i64..80,
    ) {
        let best = exhaustive(&periods);
        prop_assert_eq!(Method::WagnerWhitin.size(&periods).unwrap().cost, best);
        for method in Method::ALL.into_iter().chain([Method::Fixed(quantity)]) {
            let plan = method.size(&periods).unwrap();
            // `cost` is None when a demand isn't served.
            prop_assert_eq!(Some(plan.cost), cost(&periods, &plan.lots), "{:?}", method);
            let parts = parts(&periods, &plan.lots);
            prop_assert_eq!(parts.setup + parts.units + parts.holding, plan.cost);
            prop_assert!(plan.cost >= best, "{:?}", method);
            if method != Method::EconomicQuantity && method != Method::Fixed(quantity) {
                prop_assert_eq!(parts.left, 0, "{:?}", method);
            }
        }
    }
}
