//! The adapter on a real database: exactly once, whoever calls how often and whatever dies; master
//! data; progress.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use oaas_capability::{CallContext, Context};
use oaas_model::{CallId, ManualClock};
use oaas_proto::google::rpc;
use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_proto::oaas::manufacturing::v1::production_service_server::ProductionService as _;
use oaas_store::Store;
use pb::ProductionState as State;
use prost::Message as _;
use tonic::{Code, Request, Status};

use crate::production::grpc::Production;
use crate::production::tests::plants::MONDAY;

/// The line works from Monday to Friday, 8 to 16; a bike takes half an hour and two wheels.
pub fn master_data() -> pb::PutMasterDataRequest {
    let hours = Some(pb::Hours { from_minute: 480, to_minute: 960 });
    let operation = pb::Operation {
        work_center_id: "line".into(),
        setup_minutes: 30,
        run_seconds: 1_800,
        ..Default::default()
    };
    let making = pb::Making {
        operations: vec![operation],
        setup_cost_minor: 5_000,
        unit_cost_minor: 900,
        ..Default::default()
    };
    let bike = pb::Item {
        item_id: "bike".into(),
        unit_cost_minor: 10_000,
        make: Some(making),
        ..Default::default()
    };
    let purchase = pb::Supply {
        supplier_id: "rim".into(),
        lead_time_days: 2,
        unit_price_minor: 700,
        ..Default::default()
    };
    let wheel =
        pb::Item { item_id: "wheel".into(), unit_cost_minor: 700, buy: Some(purchase), ..Default::default() };
    let part = pb::Component { item_id: "wheel".into(), quantity: 2, ..Default::default() };
    pb::PutMasterDataRequest {
        plant: "suzhou".into(),
        currency: "CNY".into(),
        time_zone: "Asia/Shanghai".into(),
        items: vec![bike, wheel],
        bills: vec![pb::BillOfMaterials { item_id: "bike".into(), components: vec![part] }],
        work_centers: vec![pb::WorkCenter {
            work_center_id: "line".into(),
            machines: 1,
            shifts: (1..=5).map(|weekday| pb::Shift { weekday, hours }).collect(),
            exceptions: vec![],
            setup_times: vec![],
        }],
        stocks: vec![pb::Stock { item_id: "wheel".into(), on_hand: 6, receipts: vec![] }],
    }
}

fn trigger(key: &str, quantity: i64) -> pb::TriggerProductionRequest {
    let due = Some(pb::delivery::Due::DueInDays(14));
    let demand = pb::ProductionDemand {
        plant: "suzhou".into(),
        item_id: "bike".into(),
        deliveries: vec![pb::Delivery { quantity, due }],
        ..Default::default()
    };
    pb::TriggerProductionRequest { idempotency_key: key.into(), demand: Some(demand) }
}

pub async fn on(store: Store) -> Production {
    let clock = Arc::new(ManualClock::at_unix_ns(MONDAY * 60_000_000_000));
    Production::open(&Context { store, clock }).await.unwrap()
}

async fn with_master_data(store: Store) -> Production {
    let service = on(store).await;
    service.put_master_data(Request::new(master_data())).await.unwrap();
    service
}

pub async fn memory() -> Production {
    with_master_data(Store::in_memory().await.unwrap()).await
}

pub async fn triggered(service: &Production, key: &str, quantity: i64) -> pb::TriggerProductionResponse {
    service.trigger_production(Request::new(trigger(key, quantity))).await.unwrap().into_inner()
}

async fn productions(service: &Production) -> Vec<pb::ProductionSummary> {
    let (plant, page_size) = ("suzhou".into(), 200);
    let request = pb::ListProductionsRequest { plant, page_size, ..Default::default() };
    service.list_productions(Request::new(request)).await.unwrap().into_inner().productions
}

pub async fn available(service: &Production, item: &str) -> pb::GetAvailabilityResponse {
    let request = pb::GetAvailabilityRequest { plant: "suzhou".into(), item_id: item.into() };
    service.get_availability(Request::new(request)).await.unwrap().into_inner()
}

/// Reason of the `ErrorInfo`, or the fields of the `BadRequest`.
pub fn reason(status: &Status) -> String {
    let details = rpc::Status::decode(status.details()).unwrap().details;
    let detail = details.last().unwrap();
    if detail.type_url.ends_with("BadRequest") {
        let bad = rpc::BadRequest::decode(&*detail.value).unwrap();
        return bad.field_violations.iter().map(|v| v.field.clone()).collect::<Vec<_>>().join(" ");
    }
    rpc::ErrorInfo::decode(&*detail.value).unwrap().reason
}

#[tokio::test]
async fn a_trigger_reserves_opens_orders_books_the_line_and_says_when() {
    let service = memory().await;
    let response = triggered(&service, "k", 5).await;
    let plan = response.plan.unwrap();
    assert_eq!((response.production_id.as_str(), plan.decision()), ("P-1", pb::Source::Make));
    assert!(plan.on_time && plan.warnings.is_empty());
    let orders: Vec<(&str, i64, pb::Source)> =
        plan.planned_orders.iter().map(|o| (o.item_id.as_str(), o.quantity, o.source())).collect();
    assert_eq!(orders, [("bike", 5, pb::Source::Make), ("wheel", 4, pb::Source::Buy)]);
    // Setup and five half hours.
    assert_eq!(plan.planned_orders[0].operations[0].working_minutes, 180);
    let wheels = &plan.reservations[1];
    assert_eq!((wheels.item_id.as_str(), wheels.quantity), ("wheel", 10));
    assert_eq!(wheels.pegs[0].supply, Some(pb::peg::Supply::Stock(true)));
    assert_eq!(wheels.pegs[1].supply, Some(pb::peg::Supply::PlannedOrder(2)));
    assert_eq!(plan.alternatives.len(), 5);
    let cost = plan.alternatives[1].cost.clone().unwrap();
    // Six wheels at standard cost, four bought, five bikes worked, one setup.
    assert_eq!((cost.material_minor, cost.units_minor, cost.setup_minor), (4_200, 4 * 700 + 5 * 900, 5_000));
    assert_eq!(cost.total_minor, 16_500);
    // The next decision nets against it: no wheel of the six is left.
    let wheels = available(&service, "wheel").await;
    assert!(wheels.points.iter().all(|point| point.available_to_promise == 0 && point.projected >= 0));
    let second = triggered(&service, "k2", 5).await.plan.unwrap();
    assert_eq!(second.planned_orders[1].quantity, 10);
    let (first, second) = (&plan.planned_orders[0].operations[0], &second.planned_orders[0].operations[0]);
    assert!(second.end_time.unwrap().seconds <= first.start_time.unwrap().seconds, "one machine, one bike");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_callers_with_one_key_make_one_production() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("oaas.db")).await.unwrap();
    let service = with_master_data(store).await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { triggered(&service, "order-1", 5).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "all callers get the first one's answer");
    assert_eq!(productions(&service).await.len(), 1);
    assert_eq!(triggered(&service, "order-2", 5).await.production_id, "P-2");
}

/// Twenty callers with keys of their own compete for six wheels and one line.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_compete_never_get_the_same_wheel_or_the_same_hour() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("oaas.db")).await.unwrap();
    let service = with_master_data(store).await;
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let service = service.clone();
            tokio::spawn(async move { triggered(&service, &format!("order-{number}"), 1).await })
        })
        .collect();
    let (mut from_stock, mut hours) = (0, Vec::new());
    for call in calls {
        let plan = call.await.unwrap().plan.unwrap();
        let pegs = plan.reservations[1].pegs.iter();
        from_stock += pegs
            .filter(|peg| peg.supply == Some(pb::peg::Supply::Stock(true)))
            .map(|p| p.quantity)
            .sum::<i64>();
        let booked = &plan.planned_orders[0].operations[0];
        hours.push((booked.start_time.unwrap().seconds, booked.end_time.unwrap().seconds));
    }
    assert_eq!(from_stock, 6);
    hours.sort_unstable();
    assert!(hours.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{hours:?}");
    assert_eq!(available(&service, "wheel").await.points.last().unwrap().projected, 0);
}

#[tokio::test]
async fn a_key_names_one_request_of_one_application() {
    let service = memory().await;
    triggered(&service, "k", 5).await;
    let other = service.trigger_production(Request::new(trigger("k", 6))).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (Code::InvalidArgument, "KEY_REUSED"));
    assert_eq!(productions(&service).await.len(), 1);
    let mut request = Request::new(trigger("k", 6));
    request.extensions_mut().insert(CallContext { call_id: CallId::fresh(), application: "shop".into() });
    let answer = service.trigger_production(request).await.unwrap().into_inner();
    assert_eq!(answer.production_id, "P-2");
}

/// A caller goes away at any point of the call; the file is opened anew and the call made again.
#[tokio::test]
async fn a_call_that_is_dropped_halfway_happens_once_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oaas.db");
    with_master_data(Store::open(&path).await.unwrap()).await;
    let mut cut = 0;
    for step in 0..40u64 {
        let service = on(Store::open(&path).await.unwrap()).await;
        let (key, wait) = (format!("order-{step}"), Duration::from_micros(step * 150));
        let call = service.trigger_production(Request::new(trigger(&key, 1)));
        cut += u32::from(tokio::time::timeout(wait, call).await.is_err());
        drop(service);
        let service = on(Store::open(&path).await.unwrap()).await;
        let again = triggered(&service, &key, 1).await;
        assert_eq!(again, triggered(&service, &key, 1).await);
        let made = productions(&service).await;
        assert_eq!(u64::try_from(made.len()).unwrap(), step + 1);
        assert_eq!(made[0].production_id, again.production_id);
    }
    assert!(cut > 0, "no call was cut off, so nothing was tested");
    let service = on(Store::open(&path).await.unwrap()).await;
    let wheels = available(&service, "wheel").await;
    assert_eq!(wheels.points.last().unwrap().projected, 0, "40 bikes take 80 wheels, 6 on hand, 74 bought");
}

/// Where the child of the next test finds its database.
const CHILD_DB: &str = "OAAS_TEST_CRASH_DB";

/// Not a test of its own: triggers one production after the other until it is killed.
#[test]
fn child_that_is_killed() {
    let Ok(path) = std::env::var(CHILD_DB) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = on(Store::open(Path::new(&path)).await.unwrap()).await;
        let made = productions(&service).await.len();
        for number in made.. {
            let key = format!("order-{number}");
            let id = triggered(&service, &key, 1).await.production_id;
            let mut out = std::io::stdout().lock();
            writeln!(out, "acknowledged {key} {id}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_acknowledged_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("oaas.db");
    with_master_data(Store::open(&path).await.unwrap())
        .await
        .put_master_data(Request::new(master_data()))
        .await
        .unwrap();
    let mut acknowledged: Vec<(String, String)> = Vec::new();
    for acks in [1, 3, 6] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "production::tests::grpc::child_that_is_killed", "--nocapture"])
            .env(CHILD_DB, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.map_while(Result::ok).filter_map(|line| {
            // The test harness may have begun the line.
            let said = line.split_once("acknowledged ")?.1.to_owned();
            said.split_once(' ').map(|(key, id)| (key.to_owned(), id.to_owned()))
        });
        acknowledged.extend(said.take(acks));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(acknowledged.len(), 10);
    let service = on(Store::open(&path).await.unwrap()).await;
    let before = productions(&service).await.len();
    assert!(before >= acknowledged.len());
    for (key, id) in &acknowledged {
        assert_eq!(triggered(&service, key, 1).await.production_id, *id);
    }
    assert_eq!(productions(&service).await.len(), before);
    let balance = available(&service, "wheel").await.points.last().unwrap().projected;
    let needed = 2 * i64::try_from(before).unwrap();
    assert_eq!(balance, (6 - needed).max(0), "each production reserved its wheels once");
}

#[tokio::test]
async fn a_plan_commits_nothing() {
    let service = memory().await;
    let demand = trigger("", 5).demand;
    let request = pb::PlanProductionRequest { demand };
    let first = service.plan_production(Request::new(request.clone())).await.unwrap().into_inner();
    let second = service.plan_production(Request::new(request)).await.unwrap().into_inner();
    assert_eq!(first, second);
    assert!(productions(&service).await.is_empty());
    assert_eq!(triggered(&service, "k", 5).await.plan, first.plan);
}

async fn report(service: &Production, order: u32, state: State) -> Result<pb::Production, Status> {
    let request = pb::ReportProgressRequest {
        production_id: "P-1".into(),
        planned_order: order,
        state: state.into(),
        quantity_good: None,
    };
    service.report_progress(Request::new(request)).await.map(|done| done.into_inner().production.unwrap())
}

#[tokio::test]
async fn goods_move_with_progress_and_end_where_they_began_plus_what_was_made() {
    let service = memory().await;
    triggered(&service, "k", 5).await;
    let early = report(&service, 1, State::InProgress).await.unwrap_err();
    assert_eq!((reason(&early).as_str(), early.code()), ("MATERIAL_MISSING", Code::FailedPrecondition));
    assert_eq!(early.message(), "4 units of wheel are not in stock yet");
    report(&service, 2, State::Completed).await.unwrap();
    assert_eq!(available(&service, "wheel").await.on_hand, 10);
    let begun = report(&service, 1, State::InProgress).await.unwrap();
    assert_eq!(begun.state(), State::InProgress);
    assert_eq!(begun.plan.unwrap().planned_orders[0].state(), State::InProgress);
    assert_eq!(available(&service, "wheel").await.on_hand, 0);
    let open = report(&service, 0, State::Completed).await.unwrap_err();
    assert_eq!(reason(&open), "STATE_CONFLICT");
    for _ in 0..2 {
        // Said twice, done once.
        report(&service, 1, State::Completed).await.unwrap();
        assert_eq!(available(&service, "bike").await.on_hand, 5);
    }
    assert_eq!(report(&service, 0, State::Completed).await.unwrap().state(), State::Completed);
    assert_eq!(available(&service, "bike").await.on_hand, 0);
    let back = report(&service, 1, State::Cancelled).await.unwrap_err();
    assert!(back.message().contains("PRODUCTION_STATE_COMPLETED and can't become"), "{}", back.message());
}

#[tokio::test]
async fn a_cancelled_production_gives_everything_back() {
    let service = memory().await;
    let before = triggered(&service, "k", 5).await.plan.unwrap().planned_orders;
    assert_eq!(report(&service, 0, State::Cancelled).await.unwrap().state(), State::Cancelled);
    let wheels = available(&service, "wheel").await;
    assert_eq!((wheels.points.len(), wheels.points[0].available_to_promise), (1, 6));
    assert_eq!(triggered(&service, "k2", 5).await.plan.unwrap().planned_orders, before);
    // The key keeps its answer.
    assert_eq!(triggered(&service, "k", 5).await.production_id, "P-1");
}

#[tokio::test]
async fn productions_are_listed_by_pages_and_read_by_id() {
    let service = memory().await;
    for number in 0..5 {
        triggered(&service, &format!("k{number}"), 1).await;
    }
    let mut request =
        pb::ListProductionsRequest { plant: "suzhou".into(), page_size: 2, ..Default::default() };
    let mut ids = Vec::new();
    loop {
        let page = service.list_productions(Request::new(request.clone())).await.unwrap().into_inner();
        ids.extend(page.productions.iter().map(|p| p.production_id.clone()));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, ["P-5", "P-4", "P-3", "P-2", "P-1"]);
    let request = pb::GetProductionRequest { production_id: "P-3".into() };
    let found = service.get_production(Request::new(request)).await.unwrap().into_inner().production.unwrap();
    assert_eq!((found.idempotency_key.as_str(), found.state()), ("k2", State::Planned));
    let request = pb::GetProductionRequest { production_id: "P-9".into() };
    let missing = service.get_production(Request::new(request)).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "PRODUCTION_UNKNOWN"));
}

#[tokio::test]
async fn a_cycle_over_two_calls_is_refused_by_name_and_nothing_of_it_stays() {
    let service = memory().await;
    let part = pb::Component { item_id: "bike".into(), quantity: 1, ..Default::default() };
    let wheel = pb::Item { item_id: "wheel".into(), unit_cost_minor: 1, ..Default::default() };
    let request = pb::PutMasterDataRequest {
        items: vec![wheel],
        bills: vec![pb::BillOfMaterials { item_id: "wheel".into(), components: vec![part] }],
        work_centers: vec![],
        stocks: vec![],
        ..master_data()
    };
    let status = service.put_master_data(Request::new(request)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "BILL_CYCLE"));
    assert_eq!(status.message(), "bill of materials has a cycle: wheel -> bike -> wheel");
    assert_eq!(triggered(&service, "k", 5).await.plan.unwrap().planned_orders[1].quantity, 4);
}

#[tokio::test]
async fn bad_master_data_and_demands_name_their_fields() {
    let service = memory().await;
    let put = |change: fn(&mut pb::PutMasterDataRequest)| {
        let mut request = master_data();
        change(&mut request);
        service.put_master_data(Request::new(request))
    };
    for (change, fields) in [
        (
            (|r: &mut pb::PutMasterDataRequest| r.time_zone = "Mars/Olympus".into())
                as fn(&mut pb::PutMasterDataRequest),
            "time_zone",
        ),
        (|r| r.currency = "USD".into(), "currency"),
        (|r| r.items.push(r.items[0].clone()), "items[2].item_id"),
        (|r| r.stocks[0].item_id = "bell".into(), "stocks[0].item_id"),
        (|r| r.bills[0].components[0].item_id = "bell".into(), "bills[0].components[0].item_id"),
        (|r| r.work_centers[0].shifts[0].weekday = 2, "work_centers[0]"),
        (
            |r| r.items[0].make.as_mut().unwrap().operations[0].work_center_id = "x".into(),
            "items[0].make.operations[0].work_center_id",
        ),
        (
            |r| {
                r.items[0].lot =
                    Some(pb::LotRule { quantity_min: 9, quantity_multiple: 4, quantity_max: 11, policy: 0 })
            },
            "items[0].lot.quantity_max",
        ),
    ] {
        let status = put(change).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, fields));
    }
    for (receipt_id, seconds, field) in [
        ("PO-1", i64::MAX, "stocks[0].receipts[0].available_time"),
        ("P-1/1", 0, "stocks[0].receipts[0].receipt_id"),
    ] {
        let mut request = master_data();
        let available_time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        request.stocks[0].receipts =
            vec![pb::Receipt { receipt_id: receipt_id.into(), quantity: 1, available_time }];
        let status = service.put_master_data(Request::new(request)).await.unwrap_err();
        assert_eq!(reason(&status), field);
    }
    for (seconds, field) in
        [(i64::MIN, "demand.deliveries[0].due_time"), (7_000_000_000, "demand.deliveries[0].due_time")]
    {
        let mut request = trigger("k", 5);
        let due = pb::delivery::Due::DueTime(prost_types::Timestamp { seconds, nanos: 0 });
        request.demand.as_mut().unwrap().deliveries[0].due = Some(due);
        let status = service.trigger_production(Request::new(request)).await.unwrap_err();
        assert_eq!(reason(&status), field);
    }
    let mut request = trigger("k", 5);
    request.demand.as_mut().unwrap().currency = "EUR".into();
    let status = service.trigger_production(Request::new(request)).await.unwrap_err();
    assert_eq!(reason(&status), "demand.currency");
    let mut request = trigger("k", 5);
    request.demand.as_mut().unwrap().item_id = "car".into();
    let status = service.trigger_production(Request::new(request)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "ITEM_UNKNOWN"));
    let mut request = trigger("k", 5);
    request.demand.as_mut().unwrap().plant = "wuxi".into();
    let status = service.trigger_production(Request::new(request)).await.unwrap_err();
    assert_eq!(reason(&status), "PLANT_UNKNOWN");
    let mut request = trigger("k", 50);
    let demand = request.demand.as_mut().unwrap();
    demand.on_time_only = true;
    demand.deliveries[0].due = Some(pb::delivery::Due::DueInDays(1));
    let status = service.trigger_production(Request::new(request)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "DUE_DATE_INFEASIBLE"));
    assert!(productions(&service).await.is_empty(), "a refused trigger leaves nothing behind");
}
