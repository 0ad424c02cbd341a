//! Prints the figures of `docs/capabilities/production.md`:
//! `cargo run --release -p oaas-manufacturing --no-default-features --example figures`

use std::time::Duration;

use oaas_manufacturing::production::calendar::{Calendar, Hours};
use oaas_manufacturing::production::commit::Commitments;
use oaas_manufacturing::production::decide::decide;
use oaas_manufacturing::production::demand::{Delivery, Demand, PlanError};
use oaas_manufacturing::production::event::{Event, Policy, impact};
use oaas_manufacturing::production::lot::{LotError, Period, lot_for_lot, silver_meal, wagner_whitin};
use oaas_manufacturing::production::open_plant::OpenPlant;
use oaas_manufacturing::production::plant::{
    Component, DAY, Id, Item, Making, Minute, Operation, Snapshot, Supply, WorkCenter,
};
use oaas_manufacturing::production::repair::Outage;
use oaas_model::{Clock as _, Currency, SystemClock};

/// Monday, 2026-11-23T00:00Z.
const MONDAY: Minute = 20_780 * DAY;
/// Decisions that are timed for each plant.
const DECISIONS: usize = 200;

#[derive(Debug, thiserror::Error)]
enum FiguresError {
    #[error(transparent)]
    Lot(#[from] LotError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Calendar(#[from] oaas_manufacturing::production::calendar::CalendarError),
}

fn main() -> Result<(), FiguresError> {
    lots()?;
    for (levels, parts) in [(2, 3), (3, 4), (4, 5)] {
        decisions(levels, parts)?;
    }
    for productions in [100, 400] {
        events(productions)?;
    }
    Ok(())
}

/// The example of 1958, and the time for long horizons.
fn lots() -> Result<(), FiguresError> {
    let demand = [69, 29, 36, 61, 61, 26, 34, 67, 45, 67, 79, 56];
    let setup = [85, 102, 102, 101, 98, 114, 105, 86, 119, 110, 98, 114];
    let months: Vec<Period> = demand
        .iter()
        .zip(setup)
        .map(|(demand, setup)| Period { demand: *demand, setup, unit: 0, hold: 1 })
        .collect();
    println!("1958 example: Wagner-Whitin  {:>5}", wagner_whitin(&months)?.cost);
    println!("1958 example: Silver-Meal    {:>5}", silver_meal(&months)?.cost);
    println!("1958 example: lot for lot    {:>5}", lot_for_lot(&months)?.cost);
    let clock = SystemClock::new();
    for periods in [100u64, 1_000, 10_000] {
        let long: Vec<Period> = (0..periods)
            .map(|t| {
                let wave = i64::try_from(t * 7_919 % 97).unwrap_or_default();
                Period { demand: wave, setup: i128::from(wave) + 200, unit: 0, hold: 1 }
            })
            .collect();
        let before = clock.now();
        let plan = wagner_whitin(&long)?;
        let took = clock.now().since(before);
        println!("Wagner-Whitin, {periods:>6} periods: {took:>10.1?}  (cost {})", plan.cost);
    }
    Ok(())
}

/// Decisions one after the other, each on what the ones before committed.
fn decisions(levels: u32, parts: usize) -> Result<(), FiguresError> {
    let mut plant = plant(levels, parts)?;
    let items = plant.items.len();
    let clock = SystemClock::new();
    let mut times: Vec<Duration> = Vec::with_capacity(DECISIONS);
    let mut orders = 0;
    for number in 0..DECISIONS {
        let day = 20 + i64::try_from(number * 37 % 60).unwrap_or_default();
        let demand = Demand {
            item: "0".into(),
            deliveries: (0..4)
                .map(|week| Delivery { quantity: 10, due: Some(MONDAY + (day + 7 * week) * DAY) })
                .collect(),
            sources_allowed: vec![],
            lateness_cost_per_day: Some(10_000),
            disruption_cost: 0,
            on_time_only: false,
            rush: false,
        };
        let before = clock.now();
        let decision = decide(&plant, &demand, MONDAY)?;
        times.push(clock.now().since(before));
        orders += decision.plan.orders.len();
        Commitments::of(&format!("P-{number}"), &decision.plan).apply(&mut plant);
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    println!(
        "decide, {items:>4} items, {:>4} orders a plan: p50 {:>9.2?}  p99 {:>9.2?}",
        orders / DECISIONS,
        at(50),
        at(99)
    );
    Ok(())
}

/// A breakdown of two days of one work centre, with so many productions open.
fn events(productions: usize) -> Result<(), FiguresError> {
    let snapshot = plant(2, 3)?;
    let (orders, uses) = ([].into(), [].into());
    let mut open = OpenPlant { snapshot, orders, uses, deliveries: vec![], outages: vec![] };
    for number in 0..productions {
        let day = 20 + i64::try_from(number * 37 % 60).unwrap_or_default();
        let demand = Demand {
            item: "0".into(),
            deliveries: vec![Delivery { quantity: 10, due: Some(MONDAY + day * DAY) }],
            sources_allowed: vec![],
            lateness_cost_per_day: Some(10_000),
            disruption_cost: 0,
            on_time_only: false,
            rush: false,
        };
        let decision = decide(&open.booked(|_| true), &demand, MONDAY)?;
        open.open(&format!("P-{number}").into(), &decision.plan, Some((&demand, "")));
    }
    open.orders.values_mut().for_each(|order| order.pinned = false);
    let (from, until) = (MONDAY + 30 * DAY, MONDAY + 32 * DAY);
    let outage = Outage { work_center: center(0), machine: None, from, until };
    let clock = SystemClock::new();
    let before = clock.now();
    let hit = impact(&open, &Event::Breakdown(outage), &Policy::default(), 9_999, MONDAY)?;
    println!(
        "impact, {productions:>4} productions, {:>5} orders: {:>9.2?}  ({} orders and {} promises move)",
        open.orders.len(),
        clock.now().since(before),
        hit.orders.len(),
        hit.promises.len()
    );
    Ok(())
}

/// A tree of items: each is made of `parts` others down to `levels`, the lowest are bought; every
/// third part is made or bought.
fn plant(levels: u32, parts: usize) -> Result<Snapshot, FiguresError> {
    let office: Vec<(u32, Hours)> = (1..=5).map(|day| (day, Hours { from: 480, to: 1_020 })).collect();
    let calendar = Calendar::new(jiff::tz::TimeZone::UTC, &office, [].into())?;
    let mut plant = Snapshot {
        currency: Currency::CNY,
        items: [].into(),
        work_centers: (0..8)
            .map(|n| (center(n), WorkCenter { machines: 2, calendar: calendar.clone(), setups: [].into() }))
            .collect(),
        receipts: vec![],
        reserved: vec![],
        bookings: vec![],
        senders: [].into(),
    };
    let (mut level, mut next) = (vec![0usize], 1usize);
    for depth in 0..=levels {
        let mut below = Vec::new();
        for number in level {
            let leaf = depth == levels;
            let own: Vec<usize> = if leaf { vec![] } else { (next..next + parts).collect() };
            next += own.len();
            let buy =
                Supply { supplier: "s".into(), lead_minutes: 5 * DAY, order_cost: 5_000, unit_price: 900 };
            let operation = Operation {
                work_center: center(number % 8),
                setup_minutes: 10,
                run_seconds: 20,
                run_quantity: 1,
                family: None,
            };
            let make = Making { operations: vec![operation], setup_cost: 4_000, unit_cost: 300 };
            let item = Item {
                unit_cost: 500,
                holding_micros_per_day: 2_000_000,
                make: (!leaf).then_some(make),
                buy: (leaf || number % 3 == 1).then_some(buy),
                bill: own
                    .iter()
                    .map(|part| Component { item: id(*part), quantity: 1, per: 1, scrap_basis_points: 0 })
                    .collect(),
                on_hand: 25,
                ..Item::default()
            };
            plant.items.insert(id(number), item);
            below.extend(own);
        }
        level = below;
    }
    Ok(plant)
}

fn id(number: usize) -> Id {
    number.to_string().into()
}

fn center(number: usize) -> Id {
    format!("w{number}").into()
}
