//! The policies against second ways to the same answer: simulation-free brute force and tables.

use crate::lot_sizing::PolicyError;
use crate::lot_sizing::distribution::Demand;
use crate::lot_sizing::eoq::{Break, Discount, Eoq, with_discounts};
use crate::lot_sizing::joint::{Item, joint_replenishment, with};
use crate::lot_sizing::min_max::{self, min_max};
use crate::lot_sizing::newsvendor::newsvendor;
use crate::lot_sizing::normal;
use crate::lot_sizing::reorder_point::{self, Terms};
use crate::lot_sizing::unreliable::{Disruption, eoq_with_disruptions, stock_with_disruptions};

#[test]
fn the_normal_distribution_agrees_with_tables() {
    for (x, above) in [
        (0.0, 0.5),
        (1.0, 0.158_655_253_931_457),
        (3.0, 1.349_898_031_630_094e-3),
        (6.0, 9.865_876_450_376_98e-10),
        (-2.0, 0.977_249_868_051_821),
    ] {
        assert!((normal::above(x) / above - 1.0).abs() < 1e-10, "P(Z > {x})");
    }
    // Silver, Pyke & Peterson, table of the unit normal loss: 0 → 0.3989, 1 → 0.0833, 2 → 0.0085.
    for (x, loss) in [(0.0, 0.398_942), (1.0, 0.083_315), (2.0, 0.008_491)] {
        assert!((normal::loss(x) - loss).abs() < 1e-6, "loss of {x}");
    }
    // The second loss is the integral of the first.
    let steps: f64 = (0..12_000).map(|i| normal::loss(0.5 + (f64::from(i) + 0.5) * 1e-3) * 1e-3).sum();
    assert!((normal::second_loss(0.5) - steps).abs() < 1e-7);
}

/// Table 1 of Zheng & Federgruen (1991): h 1, p 9, K 64, Poisson; mean → s, S, cost.
const ZHENG_FEDERGRUEN: [(f64, f64, f64, f64); 24] = [
    (10.0, 6.0, 40.0, 35.022),
    (15.0, 10.0, 49.0, 42.698),
    (20.0, 14.0, 62.0, 49.173),
    (25.0, 19.0, 56.0, 54.262),
    (30.0, 23.0, 66.0, 57.819),
    (35.0, 28.0, 77.0, 61.215),
    (40.0, 33.0, 87.0, 64.512),
    (45.0, 37.0, 97.0, 67.776),
    (50.0, 42.0, 108.0, 70.975),
    (55.0, 47.0, 118.0, 74.149),
    (60.0, 52.0, 129.0, 77.306),
    (65.0, 56.0, 75.0, 78.518),
    (70.0, 62.0, 81.0, 79.037),
    (75.0, 67.0, 86.0, 79.554),
    (21.0, 15.0, 65.0, 50.406),
    (22.0, 16.0, 68.0, 51.632),
    (23.0, 17.0, 52.0, 52.757),
    (24.0, 18.0, 54.0, 53.518),
    (51.0, 43.0, 110.0, 71.611),
    (52.0, 44.0, 112.0, 72.246),
    (59.0, 51.0, 126.0, 76.679),
    (61.0, 52.0, 131.0, 77.929),
    (63.0, 54.0, 73.0, 78.287),
    (64.0, 55.0, 74.0, 78.402),
];

#[test]
fn minimum_and_maximum_are_those_of_zheng_and_federgruen() {
    for (mean, s, big_s, cost) in ZHENG_FEDERGRUEN {
        let demand = Demand::Poisson { mean };
        let terms = min_max::Terms { setup: 64.0, holding: 1.0, stockout: 9.0, demand, lead_time: 0.0 };
        let found = min_max(&terms).unwrap();
        assert_eq!((found.min, found.max), (s, big_s), "mean {mean}");
        assert!((found.cost.unwrap() - cost).abs() < 6e-4, "mean {mean}: {:?} against {cost}", found.cost);
    }
}

/// The stationary distribution of the stock under (s, S), by power iteration: no renewal theory.
fn cost_by_chain(terms: &min_max::Terms, s: i64, big_s: i64) -> f64 {
    let masses = terms.demand.masses();
    let count = usize::try_from(big_s - s).unwrap();
    // State i is level S − i after ordering.
    let mut shares = vec![1.0 / count as f64; count];
    for _ in 0..300 {
        let mut next = vec![0.0; count];
        for (at, share) in shares.iter().enumerate() {
            for (d, mass) in &masses {
                let to = at + *d as usize;
                next[if to < count { to } else { 0 }] += share * mass;
            }
        }
        shares = next;
    }
    let mut cost = 0.0;
    for (at, share) in shares.iter().enumerate() {
        let level = (big_s - at as i64) as f64;
        for (d, mass) in &masses {
            let left = level - f64::from(*d);
            cost += share * mass * (terms.holding * left.max(0.0) + terms.stockout * (-left).max(0.0));
            if at + *d as usize >= count {
                cost += share * mass * terms.setup;
            }
        }
    }
    cost
}

#[test]
fn minimum_and_maximum_are_the_best_of_all_pairs() {
    let values = vec![(0, 0.3), (1, 0.2), (3, 0.3), (7, 0.2)];
    for setup in [1.0, 10.0, 40.0] {
        let demand = Demand::Discrete(values.clone());
        let terms = min_max::Terms { setup, holding: 1.0, stockout: 6.0, demand, lead_time: 0.0 };
        let found = min_max(&terms).unwrap();
        let pairs = (-3..7).flat_map(|s| (s + 1..20).map(move |big_s| (s, big_s)));
        let best = pairs.map(|(s, big_s)| cost_by_chain(&terms, s, big_s)).min_by(f64::total_cmp).unwrap();
        assert!((found.cost.unwrap() - best).abs() < 1e-6, "setup {setup}: {found:?} against {best}");
    }
}

#[test]
fn reorder_point_and_quantity_are_the_best_of_all_pairs() {
    let demand = Demand::Poisson { mean: 3.0 };
    let terms = Terms { setup: 20.0, holding: 2.0, stockout: 15.0, demand, lead_time: 2.0 };
    let found = reorder_point::optimum(&terms).unwrap();
    let wait = Demand::Poisson { mean: 6.0 };
    let cost = |r: i64, q: i64| {
        let levels = (r + 1..=r + q).map(|y| 2.0 * wait.surplus(y as f64) + 15.0 * wait.shortage(y as f64));
        (20.0 * 3.0 + levels.sum::<f64>()) / q as f64
    };
    let pairs = (-5..25).flat_map(|r| (1..40).map(move |q| (r, q)));
    let best = pairs.min_by(|a, b| cost(a.0, a.1).total_cmp(&cost(b.0, b.1))).unwrap();
    assert_eq!((found.reorder_point, found.quantity), (best.0 as f64, best.1 as f64));
    assert!((found.cost - cost(best.0, best.1)).abs() < 1e-9);

    let normal = Terms { demand: Demand::Normal { mean: 300.0, sd: 60.0 }, lead_time: 0.1, ..terms };
    let found = reorder_point::optimum(&normal).unwrap();
    for (dr, dq) in [(0.01, 0.0), (-0.01, 0.0), (0.0, 0.01), (0.0, -0.01), (5.0, -9.0), (-3.0, 11.0)] {
        let (r, q) = (found.reorder_point + dr, found.quantity + dq);
        let other = reorder_point::cost(&normal, 300.0, 60.0, r, q);
        assert!(other >= found.cost - 1e-9, "r {dr:+}, Q {dq:+}: {other} below {}", found.cost);
    }
}

#[test]
fn the_newsvendor_level_is_the_best_of_all() {
    let values = vec![(1, 0.25), (2, 0.25), (5, 0.3), (9, 0.2)];
    let demand = Demand::Discrete(values.clone());
    let found = newsvendor(3.0, 7.0, demand, 0.0).unwrap();
    let cost = |level: f64| {
        let one = |(d, share): &(u32, f64)| {
            let left = level - f64::from(*d);
            share * (3.0 * left.max(0.0) + 7.0 * (-left).max(0.0))
        };
        values.iter().map(one).sum::<f64>()
    };
    let best = (0..=12).map(|level| cost(f64::from(level))).min_by(f64::total_cmp).unwrap();
    assert!((found.cost - best).abs() < 1e-12);
    assert!((cost(found.level) - best).abs() < 1e-12);
}

#[test]
fn price_breaks_are_the_best_of_a_fine_grid() {
    let breaks = [(0.0, 12.0), (500.0, 11.0), (1000.0, 10.0)];
    let rows: Vec<Break> = breaks.iter().map(|(from, price)| Break { from: *from, price: *price }).collect();
    let (setup, share, rate) = (100.0, 0.2, 2000.0);
    for discount in [Discount::AllUnits, Discount::Incremental] {
        let found = with_discounts(setup, share, rate, discount, &rows).unwrap();
        let paid = |q: f64| match discount {
            Discount::AllUnits => breaks.iter().rev().find(|b| q >= b.0).unwrap().1 * q,
            Discount::Incremental => {
                let ends = [500.0, 1000.0, f64::INFINITY];
                breaks.iter().zip(ends).map(|(b, end)| (q.min(end) - b.0).max(0.0) * b.1).sum()
            }
        };
        let cost = |q: f64| (setup + paid(q)) * rate / q + share * paid(q) / 2.0;
        let best = (1..50_000).map(|i| cost(f64::from(i) * 0.1)).min_by(f64::total_cmp).unwrap();
        assert!((found.cost - best).abs() < 1e-3, "{discount:?}: {found:?} against {best}");
    }
}

/// Multiples by brute force.
#[test]
fn joint_replenishment_is_near_the_best_of_all_multiples() {
    let items = [(120.0, 160.0, 1.0), (840.0, 20.0, 1.0), (300.0, 50.0, 1.0)];
    let items = items.map(|(setup, holding, rate)| Item { setup, holding, rate });
    let found = joint_replenishment(600.0, &items).unwrap();
    let mut best = f64::INFINITY;
    for a in 1..8 {
        for b in 1..16 {
            for c in 1..16 {
                let multiples = vec![f64::from(a), f64::from(b), f64::from(c)];
                best = best.min(with(600.0, &items, multiples).cost);
            }
        }
    }
    assert!(found.cost <= best * 1.001, "{found:?} against {best}");
}

#[test]
fn stock_against_disruptions_is_the_best_of_all() {
    let (h, p, d, a, b) = (0.25, 3.0, 10.0, 0.04, 0.25);
    let found = stock_with_disruptions(h, p, d, a, b).unwrap();
    // n periods since the last good one: π₀, then geometric.
    let cost = |level: f64| {
        let down: f64 = a / (a + b);
        let mut cost = (1.0 - down) * (h * (level - d).max(0.0) + p * (d - level).max(0.0));
        for n in 1..400 {
            let share = down * b * (1.0f64 - b).powi(n - 1);
            let left = level - d * f64::from(n + 1);
            cost += share * (h * left.max(0.0) + p * (-left).max(0.0));
        }
        cost
    };
    let best = (1..30).map(|n| cost(f64::from(n) * d)).min_by(f64::total_cmp).unwrap();
    assert!((found.cost - best).abs() < 1e-9, "{found:?} against {best}");
}

#[test]
fn a_supplier_who_never_fails_needs_no_more() {
    let eoq = Eoq { setup: 8.0, holding: 0.225, rate: 1300.0 };
    let sure = eoq_with_disruptions(eoq, 5.0, Disruption { rate: 1e-9, recovery: 14.0 }).unwrap();
    assert!((sure.quantity - eoq.plain().unwrap().quantity).abs() < 0.01);
}

#[test]
fn what_is_outside_the_model_is_named() {
    let eoq = Eoq { setup: 8.0, holding: 0.0, rate: 1300.0 };
    assert_eq!(eoq.plain(), Err(PolicyError::Domain("holding cost", "more than 0")));
    let eoq = Eoq { holding: 1.0, ..eoq };
    assert!(eoq.with_production_rate(1300.0).is_err());
    assert!(Demand::Discrete(vec![(1, 0.5), (2, 0.4)]).checked().is_err());
    assert!(newsvendor(1.0, 1.0, Demand::LogNormal { mu: 1.0, sigma: 1.0 }, 2.0).is_err());
    let terms = min_max::Terms {
        setup: 1e12,
        holding: 1e-3,
        stockout: 1.0,
        demand: Demand::Poisson { mean: 50.0 },
        lead_time: 0.0,
    };
    assert_eq!(min_max(&terms), Err(PolicyError::TooLarge(5_000)));
}
