//! Prints what a decision takes with its store, for `docs/capabilities/production.md`:
//! `cargo test --release -p oaas-manufacturing service_figures -- --ignored --nocapture`

use std::sync::Arc;
use std::time::Duration;

use oaas_capability::Context;
use oaas_model::{Clock as _, ManualClock, SystemClock};
use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_proto::oaas::manufacturing::v1::production_service_server::ProductionService as _;
use oaas_store::Store;
use tonic::Request;

use crate::production::grpc::Production;
use crate::production::tests::plants::MONDAY;

/// Productions that are triggered one after the other; with more, the largest plant has more
/// reservations than a decision reads.
const TRIGGERS: usize = 100;

/// The plant of the example `figures`: a tree of items, each made of `parts` others down to `levels`;
/// the lowest are bought, every third part is made or bought.
fn master_data(levels: u32, parts: usize) -> pb::PutMasterDataRequest {
    let hours = Some(pb::Hours { from_minute: 480, to_minute: 1_020 });
    let center = |n: usize| pb::WorkCenter {
        work_center_id: format!("w{n}"),
        machines: 2,
        shifts: (1..=5).map(|weekday| pb::Shift { weekday, hours }).collect(),
        ..Default::default()
    };
    let mut request = pb::PutMasterDataRequest {
        plant: "large".into(),
        currency: "CNY".into(),
        time_zone: "UTC".into(),
        work_centers: (0..8).map(center).collect(),
        ..Default::default()
    };
    let (mut level, mut next) = (vec![0usize], 1usize);
    for depth in 0..=levels {
        let mut below = Vec::new();
        for number in level {
            let leaf = depth == levels;
            let own: Vec<usize> = if leaf { vec![] } else { (next..next + parts).collect() };
            next += own.len();
            let operation = pb::Operation {
                work_center_id: format!("w{}", number % 8),
                setup_minutes: 10,
                run_seconds: 20,
                ..Default::default()
            };
            let make = pb::Making {
                operations: vec![operation],
                setup_cost_minor: 4_000,
                unit_cost_minor: 300,
                ..Default::default()
            };
            let buy = pb::Supply {
                supplier_id: "s".into(),
                lead_time_days: 5,
                order_cost_minor: 5_000,
                unit_price_minor: 900,
            };
            request.items.push(pb::Item {
                item_id: number.to_string(),
                unit_cost_minor: 500,
                holding_micros_per_day: 2_000_000,
                make: (!leaf).then_some(make),
                buy: (leaf || number % 3 == 1).then_some(buy),
                ..Default::default()
            });
            request.stocks.push(pb::Stock { item_id: number.to_string(), on_hand: 25, receipts: vec![] });
            if !leaf {
                let part = |part: &usize| pb::Component {
                    item_id: part.to_string(),
                    quantity: 1,
                    ..Default::default()
                };
                let components = own.iter().map(part).collect();
                request.bills.push(pb::BillOfMaterials { item_id: number.to_string(), components });
            }
            below.extend(own);
        }
        level = below;
    }
    request
}

fn demand(number: usize) -> pb::ProductionDemand {
    let day = 20 + u32::try_from(number * 37 % 60).unwrap();
    let due = |week: u32| Some(pb::delivery::Due::DueInDays(day + 7 * week));
    pb::ProductionDemand {
        plant: "large".into(),
        item_id: "0".into(),
        currency: "CNY".into(),
        deliveries: (0..4).map(|week| pb::Delivery { quantity: 10, due: due(week) }).collect(),
        lateness_cost_minor_per_day: Some(10_000),
        ..Default::default()
    }
}

fn print(what: &str, items: usize, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 100];
    println!("{what}, {items:>4} items: p50 {:>9.2?}  p99 {:>9.2?}", at(50), at(99));
}

#[tokio::test]
#[ignore = "prints figures: run it with --release"]
async fn service_figures() {
    for (levels, parts) in [(2, 3), (3, 4), (4, 5)] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("oaas.db")).await.unwrap();
        let clock = Arc::new(ManualClock::at_unix_ns(MONDAY * 60_000_000_000));
        let service = Production::open(&Context { store, clock }).await.unwrap();
        let data = master_data(levels, parts);
        let items = data.items.len();
        service.put_master_data(Request::new(data)).await.unwrap();
        let (clock, mut planned, mut triggered) = (SystemClock::new(), Vec::new(), Vec::new());
        for number in 0..TRIGGERS {
            let demand = Some(demand(number));
            let before = clock.now();
            let request = pb::PlanProductionRequest { demand: demand.clone() };
            service.plan_production(Request::new(request)).await.unwrap();
            let between = clock.now();
            let request = pb::TriggerProductionRequest { idempotency_key: format!("k{number}"), demand };
            service.trigger_production(Request::new(request)).await.unwrap();
            planned.push(between.since(before));
            triggered.push(clock.now().since(between));
        }
        print("PlanProduction   ", items, planned);
        print("TriggerProduction", items, triggered);
    }
}
