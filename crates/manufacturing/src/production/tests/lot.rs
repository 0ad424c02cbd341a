//! Lot sizing: the published example, and brute force.

use proptest::prelude::*;

use crate::production::lot::{LotError, Period, cost, lot_for_lot, silver_meal, wagner_whitin};

/// The twelve-month example of Wagner & Whitin (1958), table 1: demand and setup cost; holding a unit
/// for a month costs 1.
const DEMAND_1958: [i64; 12] = [69, 29, 36, 61, 61, 26, 34, 67, 45, 67, 79, 56];
const SETUP_1958: [i128; 12] = [85, 102, 102, 101, 98, 114, 105, 86, 119, 110, 98, 114];

fn example_1958() -> Vec<Period> {
    let months = DEMAND_1958.iter().zip(SETUP_1958);
    months.map(|(demand, setup)| Period { demand: *demand, setup, unit: 0, hold: 1 }).collect()
}

#[test]
fn the_example_of_1958_costs_864() {
    let plan = wagner_whitin(&example_1958()).unwrap();
    assert_eq!(plan.cost, 864);
    assert_eq!(plan.lots, [98, 0, 97, 0, 121, 0, 0, 112, 0, 67, 135, 0]);
}

#[test]
fn silver_meal_costs_913_and_lot_for_lot_1234() {
    assert_eq!(silver_meal(&example_1958()).unwrap().cost, 913);
    assert_eq!(lot_for_lot(&example_1958()).unwrap().cost, 1234);
}

/// The least cost over every set of periods with a lot; each lot serves up to the next.
fn brute_force(periods: &[Period]) -> i128 {
    let sets = 0u32..1 << periods.len();
    let plans = sets.filter_map(|set| {
        let mut lots = vec![0; periods.len()];
        let mut open = None;
        for (t, period) in periods.iter().enumerate() {
            if set & (1 << t) != 0 {
                open = Some(t);
            }
            match open {
                Some(at) => lots[at] += period.demand,
                None if period.demand > 0 => return None,
                None => {}
            }
        }
        cost(periods, &lots)
    });
    plans.min().unwrap()
}

fn periods() -> impl Strategy<Value = Vec<Period>> {
    let quantity = prop_oneof![Just(0i64), 1i64..60];
    let period = (quantity, 0i128..200, 0i128..5, 0i128..5);
    let period = period.prop_map(|(demand, setup, unit, hold)| Period { demand, setup, unit, hold });
    proptest::collection::vec(period, 1..11)
}

proptest! {
    #[test]
    fn wagner_whitin_is_as_cheap_as_brute_force(periods in periods()) {
        let plan = wagner_whitin(&periods).unwrap();
        prop_assert_eq!(Some(plan.cost), cost(&periods, &plan.lots));
        prop_assert_eq!(plan.cost, brute_force(&periods));
    }

    #[test]
    fn no_rule_beats_the_optimum_and_all_serve_the_demand(periods in periods()) {
        let best = wagner_whitin(&periods).unwrap().cost;
        for plan in [silver_meal(&periods).unwrap(), lot_for_lot(&periods).unwrap()] {
            prop_assert_eq!(Some(plan.cost), cost(&periods, &plan.lots));
            prop_assert!(plan.cost >= best);
            prop_assert_eq!(plan.lots.iter().sum::<i64>(), periods.iter().map(|p| p.demand).sum::<i64>());
        }
    }
}

#[test]
fn bad_numbers_are_refused() {
    let period = Period { demand: 1, setup: 1, unit: 0, hold: 1 };
    let negative = [period, Period { hold: -1, ..period }];
    assert_eq!(wagner_whitin(&negative), Err(LotError::Negative(1)));
    let huge = [Period { demand: i64::MAX, ..period }];
    assert_eq!(silver_meal(&huge), Err(LotError::TooLarge));
    assert_eq!(wagner_whitin(&[]).unwrap().cost, 0);
}

/// The largest numbers that are admitted stay exact: one lot of everything, or one each.
#[test]
fn the_limits_do_not_overflow() {
    let demand = 5_000_000;
    let dear = vec![Period { demand, setup: 1, unit: 0, hold: 50_000_000_000_000 }; 2_000];
    assert_eq!(wagner_whitin(&dear).unwrap().cost, 2_000);
    let free = vec![Period { demand, setup: 50_000_000_000_000_000_000_000, unit: 0, hold: 0 }; 2_000];
    assert_eq!(wagner_whitin(&free).unwrap().cost, 50_000_000_000_000_000_000_000);
}
