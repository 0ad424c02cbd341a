//! Transfers on a real database: two receivers never get the same goods.

use std::collections::BTreeSet;

use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_proto::oaas::manufacturing::v1::production_service_server::ProductionService as _;
use oaas_store::Store;
use pb::ProductionState as State;
use tonic::{Request, Status};

use crate::production::grpc::Production;
use crate::production::tests::grpc::{on, reason};

/// A plant with wheels, which come from `sender` in two days, when one is named.
fn plant(plant: &str, on_hand: i64, sender: Option<&str>) -> pb::PutMasterDataRequest {
    let transfer = sender.map(|sender| pb::Supply {
        supplier_id: sender.into(),
        lead_time_days: 2,
        ..Default::default()
    });
    pb::PutMasterDataRequest {
        plant: plant.into(),
        currency: "CNY".into(),
        time_zone: "Asia/Shanghai".into(),
        items: vec![pb::Item { item_id: "wheel".into(), transfer, ..Default::default() }],
        stocks: vec![pb::Stock { item_id: "wheel".into(), on_hand, receipts: vec![] }],
        ..Default::default()
    }
}

/// Wuxi has wheels, Suzhou and Kunshan get theirs from there.
async fn three(store: Store, on_hand: i64) -> Production {
    let service = on(store).await;
    for request in
        [plant("wuxi", on_hand, None), plant("suzhou", 0, Some("wuxi")), plant("kunshan", 0, Some("wuxi"))]
    {
        service.put_master_data(Request::new(request)).await.unwrap();
    }
    service
}

fn demand(plant: &str, quantity: i64) -> pb::ProductionDemand {
    let due = Some(pb::delivery::Due::DueInDays(14));
    pb::ProductionDemand {
        plant: plant.into(),
        item_id: "wheel".into(),
        deliveries: vec![pb::Delivery { quantity, due }],
        ..Default::default()
    }
}

async fn trigger(
    service: &Production,
    key: &str,
    plant: &str,
    quantity: i64,
) -> Result<pb::TriggerProductionResponse, Status> {
    let demand = Some(demand(plant, quantity));
    let request = pb::TriggerProductionRequest { idempotency_key: key.into(), demand };
    service.trigger_production(Request::new(request)).await.map(tonic::Response::into_inner)
}

/// On hand, and available in the end.
async fn wheels(service: &Production, plant: &str) -> (i64, i64) {
    let request = pb::GetAvailabilityRequest { plant: plant.into(), item_id: "wheel".into() };
    let answer = service.get_availability(Request::new(request)).await.unwrap().into_inner();
    (answer.on_hand, answer.points.last().unwrap().available_to_promise)
}

async fn report(service: &Production, production: &str, order: u32, state: State) -> Result<(), Status> {
    let request = pb::ReportProgressRequest {
        production_id: production.into(),
        planned_order: order,
        state: state.into(),
        quantity_good: None,
    };
    service.report_progress(Request::new(request)).await.map(|_| ())
}

#[tokio::test]
async fn a_transfer_is_set_aside_at_the_sender_shipped_and_received() {
    let service = three(Store::in_memory().await.unwrap(), 10).await;
    let answer = trigger(&service, "k", "suzhou", 6).await.unwrap();
    let order = &answer.plan.as_ref().unwrap().planned_orders[0];
    assert!(order.set_aside_at_sender && order.supplier_id == "wuxi");
    assert_eq!((wheels(&service, "wuxi").await, wheels(&service, "suzhou").await), ((10, 4), (0, 0)));
    // The same key again neither sends nor sets aside more.
    assert_eq!(trigger(&service, "k", "suzhou", 6).await.unwrap(), answer);
    assert_eq!(wheels(&service, "wuxi").await, (10, 4));
    let refused = trigger(&service, "k2", "kunshan", 5).await.unwrap_err();
    assert_eq!(reason(&refused), "NO_SOURCE");
    assert!(refused.message().contains("wuxi"), "{}", refused.message());
    // It leaves Wuxi when it begins and is in Suzhou when it is completed.
    report(&service, "P-1", 1, State::InProgress).await.unwrap();
    assert_eq!((wheels(&service, "wuxi").await, wheels(&service, "suzhou").await), ((4, 4), (0, 0)));
    report(&service, "P-1", 1, State::Completed).await.unwrap();
    assert_eq!((wheels(&service, "wuxi").await, wheels(&service, "suzhou").await), ((4, 4), (6, 0)));
}

#[tokio::test]
async fn cancelling_frees_what_was_set_aside() {
    let service = three(Store::in_memory().await.unwrap(), 10).await;
    trigger(&service, "a", "suzhou", 6).await.unwrap();
    trigger(&service, "b", "suzhou", 4).await.unwrap();
    assert_eq!(wheels(&service, "wuxi").await, (10, 0));
    // The whole production, and one order.
    report(&service, "P-1", 0, State::Cancelled).await.unwrap();
    assert_eq!(wheels(&service, "wuxi").await, (10, 6));
    report(&service, "P-2", 1, State::Cancelled).await.unwrap();
    assert_eq!(wheels(&service, "wuxi").await, (10, 10));
    trigger(&service, "c", "kunshan", 10).await.unwrap();
}

#[tokio::test]
async fn forty_callers_of_two_plants_share_ten_wheels() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("oaas.db")).await.unwrap();
    let service = three(store, 10).await;
    let calls = (0..40).map(|number| {
        let service = service.clone();
        // Each key comes twice.
        let (key, plant) = (number / 2, if number / 2 % 2 == 0 { "suzhou" } else { "kunshan" });
        tokio::spawn(async move { (key, trigger(&service, &format!("k{key}"), plant, 1).await) })
    });
    let (mut got, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            (key, Ok(answer)) => assert!(got.insert((key, answer.production_id.clone())) || key < 20),
            (key, Err(status)) => {
                assert_eq!(reason(&status), "NO_SOURCE");
                refused.insert(key);
            }
        }
    }
    let keys: BTreeSet<i32> = got.iter().map(|(key, _)| *key).collect();
    // Ten wheels, ten keys, one production each; nobody has both an answer and a refusal.
    assert_eq!((got.len(), keys.len(), refused.len()), (10, 10, 10));
    assert!(keys.is_disjoint(&refused));
    assert_eq!(wheels(&service, "wuxi").await, (10, 0));
}

#[tokio::test]
async fn what_changes_at_the_sender_is_seen_before_a_commitment() {
    let service = three(Store::in_memory().await.unwrap(), 10).await;
    trigger(&service, "own", "wuxi", 7).await.unwrap();
    assert_eq!(reason(&trigger(&service, "a", "suzhou", 4).await.unwrap_err()), "NO_SOURCE");
    trigger(&service, "b", "suzhou", 3).await.unwrap();
    // And what is set aside for others the sender doesn't promise itself.
    assert_eq!(reason(&trigger(&service, "c", "wuxi", 1).await.unwrap_err()), "NO_SOURCE");
}

#[tokio::test]
async fn a_rush_order_sets_aside_too() {
    let service = three(Store::in_memory().await.unwrap(), 10).await;
    let rush = pb::RushOrder { demand: Some(demand("suzhou", 8)) };
    let event = pb::PlantEvent { event: Some(pb::plant_event::Event::RushOrder(rush)) };
    let impact =
        pb::RescheduleImpactRequest { plant: "suzhou".into(), event: Some(event), ..Default::default() };
    let request =
        pb::ApplyEventRequest { idempotency_key: "e".into(), impact: Some(impact), ..Default::default() };
    service.apply_event(Request::new(request)).await.unwrap();
    assert_eq!(wheels(&service, "wuxi").await, (10, 2));
}

#[tokio::test]
async fn a_plant_is_not_its_own_sender() {
    let service = on(Store::in_memory().await.unwrap()).await;
    let request = Request::new(plant("suzhou", 5, Some("suzhou")));
    let refused = service.put_master_data(request).await.unwrap_err();
    assert_eq!(reason(&refused), "items[0].transfer.supplier_id");
}

#[tokio::test]
async fn a_sender_that_is_not_known_stays_external() {
    let service = on(Store::in_memory().await.unwrap()).await;
    service.put_master_data(Request::new(plant("suzhou", 0, Some("hub")))).await.unwrap();
    let plan = trigger(&service, "k", "suzhou", 5).await.unwrap().plan.unwrap();
    assert!(!plan.planned_orders[0].set_aside_at_sender);
    assert_eq!(plan.warnings[0].kind(), pb::WarningKind::SenderUnknown);
}
