//! Events and triggers through the adapter: nothing is written by looking, and once by applying.

use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_proto::oaas::manufacturing::v1::production_service_server::ProductionService as _;
use pb::plant_event::Event;
use pb::replenishment::Rule;
use tonic::{Code, Request};

use crate::production::grpc::Production;
use crate::production::tests::grpc::{available, master_data, memory, reason, triggered};
use crate::production::tests::plants::MONDAY;
use crate::production::wire::timestamp;

/// Minutes of Monday in Shanghai, whose midnight is 16:00 UTC of the day before.
fn monday(minute: i64) -> Option<prost_types::Timestamp> {
    Some(timestamp(MONDAY - 480 + minute))
}

fn asked(event: Event) -> pb::RescheduleImpactRequest {
    let event = Some(pb::PlantEvent { event: Some(event) });
    pb::RescheduleImpactRequest {
        plant: "suzhou".into(),
        event,
        disruption_cost_minor: 100,
        ..Default::default()
    }
}

fn lost(receipt_id: &str, quantity_lost: i64) -> pb::YieldLoss {
    pb::YieldLoss { receipt_id: receipt_id.into(), quantity_lost, item_id: String::new() }
}

/// The line is down for the whole week from the next Monday on.
fn breakdown() -> pb::RescheduleImpactRequest {
    let week = 7 * 1_440;
    asked(Event::Breakdown(pb::Breakdown {
        work_center_id: "line".into(),
        machine: 0,
        from_time: monday(week),
        until_time: monday(2 * week),
    }))
}

async fn apply(
    service: &Production,
    key: &str,
    impact: pb::RescheduleImpactRequest,
) -> Result<pb::ApplyEventResponse, tonic::Status> {
    let (idempotency_key, impact) = (key.into(), Some(impact));
    let request = pb::ApplyEventRequest { idempotency_key, impact, ignore_fence: false };
    service.apply_event(Request::new(request)).await.map(tonic::Response::into_inner)
}

async fn look(service: &Production, request: pb::RescheduleImpactRequest) -> pb::RescheduleImpactResponse {
    service.reschedule_impact(Request::new(request)).await.unwrap().into_inner()
}

async fn production(service: &Production, id: &str) -> pb::ProductionPlan {
    let request = pb::GetProductionRequest { production_id: id.into() };
    let found = service.get_production(Request::new(request)).await.unwrap().into_inner();
    found.production.unwrap().plan.unwrap()
}

#[tokio::test]
async fn a_breakdown_is_looked_at_without_a_trace_and_applied_once() {
    let service = memory().await;
    // Five bikes in fourteen days: made on the Friday and Monday before.
    let first = triggered(&service, "k", 5).await.plan.unwrap();
    let looked = look(&service, breakdown()).await;
    let impact = looked.without_fence.unwrap();
    assert_eq!(impact.impossible_reason, "");
    assert_eq!(impact.moved_orders[0].order_id, "P-1/1");
    assert!(impact.moved_orders[0].later_minutes > 0);
    assert_eq!(impact.changed_promises.len(), 1);
    let late = &impact.changed_promises[0];
    assert_eq!((late.production_id.as_str(), late.delivery), ("P-1", 0));
    assert!(late.late_minutes > 0 && late.later_minutes >= late.late_minutes);
    let cost = impact.cost.clone().unwrap();
    assert_eq!((cost.disruption_minor, cost.total_minor), (100, 100));
    assert_eq!(production(&service, "P-1").await, first, "looking writes nothing");

    let done = apply(&service, "e", breakdown()).await.unwrap();
    assert_eq!((done.event_id.as_str(), done.impact.as_ref()), ("E-1", Some(&impact)));
    assert_eq!(apply(&service, "e", breakdown()).await.unwrap(), done, "the same again is the same answer");
    let mut other = breakdown();
    other.disruption_cost_minor = 1;
    let status = apply(&service, "e", other).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "KEY_REUSED"));

    let moved = production(&service, "P-1").await;
    assert!(!moved.on_time);
    assert_eq!(moved.deliveries[0].promise_time, late.after_time);
    assert_eq!(moved.planned_orders[0].start_time, impact.moved_orders[0].start_after_time);
    assert_eq!(moved.planned_orders[0].operations[0].end_time, moved.planned_orders[0].ready_time);
    // The line stays down for the next decision, and nothing moves when it is looked at again.
    let next = triggered(&service, "k2", 1).await.plan.unwrap();
    let operation = &next.planned_orders[0].operations[0];
    let down = monday(7 * 1_440).unwrap().seconds..monday(14 * 1_440).unwrap().seconds;
    assert!(
        operation.end_time.unwrap().seconds <= down.start
            || operation.start_time.unwrap().seconds >= down.end
    );
    assert!(look(&service, breakdown()).await.with_fence.unwrap().moved_orders.is_empty());
    // The key of the production still has its first answer.
    assert_eq!(triggered(&service, "k", 5).await.plan.unwrap(), first);
}

#[tokio::test]
async fn a_loss_is_replaced_by_a_production_whose_goods_go_to_those_who_miss_them() {
    let service = memory().await;
    triggered(&service, "k", 5).await;
    // P-1/2 brings four wheels; one is lost.
    let loss = lost("P-1/2", 1);
    let done = apply(&service, "e", asked(Event::YieldLoss(loss))).await.unwrap();
    assert_eq!(done.production_ids, ["P-2"]);
    let impact = done.impact.unwrap();
    assert!(impact.uncovered_uses.is_empty());
    assert_eq!(impact.new_plans[0].planned_orders[0].quantity, 1);
    let wheels = available(&service, "wheel").await;
    assert!(wheels.points.iter().all(|point| point.projected >= 0), "{:?}", wheels.points);
    assert_eq!(wheels.points.last().unwrap().projected, 0);
    let all = lost("P-1/2", 3);
    let status = apply(&service, "e2", asked(Event::YieldLoss(all))).await.unwrap_err();
    assert_eq!(reason(&status), "event.yield_loss.quantity_lost");
    let unknown = lost("PO-9", 3);
    let status = apply(&service, "e2", asked(Event::YieldLoss(unknown))).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "RECEIPT_UNKNOWN"));
}

/// One purchase order brings wheels and bikes.
#[tokio::test]
async fn a_loss_of_an_order_of_several_items_names_its_item() {
    let service = memory().await;
    let mut data = master_data();
    let receipt = |quantity| pb::Receipt {
        receipt_id: "PO-7".into(),
        quantity,
        available_time: Some(timestamp(MONDAY + 1_440)),
    };
    data.stocks[0].receipts = vec![receipt(9)];
    data.stocks.push(pb::Stock { item_id: "bike".into(), on_hand: 0, receipts: vec![receipt(3)] });
    service.put_master_data(Request::new(data)).await.unwrap();
    let status = apply(&service, "e", asked(Event::YieldLoss(lost("PO-7", 2)))).await.unwrap_err();
    assert_eq!(reason(&status), "event.yield_loss.item_id");
    let loss = pb::YieldLoss { item_id: "wheel".into(), ..lost("PO-7", 2) };
    apply(&service, "e", asked(Event::YieldLoss(loss))).await.unwrap();
    assert_eq!(available(&service, "wheel").await.points.last().unwrap().projected, 6 + 7);
    assert_eq!(available(&service, "bike").await.points.last().unwrap().projected, 3);
}

#[tokio::test]
async fn a_rush_order_becomes_a_production_and_others_make_room() {
    let service = memory().await;
    let mut urgent = master_data();
    urgent.stocks[0].on_hand = 400;
    service.put_master_data(Request::new(urgent)).await.unwrap();
    // 150 bikes: more than nine days of the line, so that it is full up to the due time.
    triggered(&service, "k", 150).await;
    let delivery = pb::Delivery { quantity: 4, due: Some(pb::delivery::Due::DueInDays(1)) };
    let demand = pb::ProductionDemand {
        plant: "suzhou".into(),
        item_id: "bike".into(),
        deliveries: vec![delivery],
        order_reference: "SO-RUSH".into(),
        ..Default::default()
    };
    let rush = asked(Event::RushOrder(pb::RushOrder { demand: Some(demand) }));
    let done = apply(&service, "e", rush).await.unwrap();
    let impact = done.impact.unwrap();
    assert_eq!(done.production_ids, ["P-2"]);
    assert!(impact.new_plans[0].on_time);
    assert_eq!(impact.moved_orders[0].order_id, "P-1/1");
    let first = production(&service, "P-1").await;
    let second = production(&service, "P-2").await;
    let (long, rush) = (&first.planned_orders[0].operations[0], &second.planned_orders[0].operations[0]);
    assert!(long.start_time.unwrap().seconds >= rush.end_time.unwrap().seconds);
    let page = pb::ListProductionsRequest { plant: "suzhou".into(), ..Default::default() };
    let page = service.list_productions(Request::new(page)).await.unwrap().into_inner();
    assert_eq!(page.productions[0].order_reference, "SO-RUSH");
}

#[tokio::test]
async fn events_that_make_no_sense_name_their_fields() {
    let service = memory().await;
    let mut elsewhere = breakdown();
    if let Some(Event::Breakdown(down)) = &mut elsewhere.event.as_mut().unwrap().event {
        down.work_center_id = "moon".into();
    }
    let mut backward = breakdown();
    if let Some(Event::Breakdown(down)) = &mut backward.event.as_mut().unwrap().event {
        down.until_time = monday(0);
    }
    for (request, field) in
        [(elsewhere, "event.breakdown.work_center_id"), (backward, "event.breakdown.until_time")]
    {
        let status = service.reschedule_impact(Request::new(request)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, field));
    }
    let nowhere = pb::RescheduleImpactRequest { plant: "wuxi".into(), ..breakdown() };
    let status = service.reschedule_impact(Request::new(nowhere)).await.unwrap_err();
    assert_eq!(reason(&status), "PLANT_UNKNOWN");
}

/// The wheels get cheaper by two each; the new plan saves eight, and needs a setup like the old one.
#[tokio::test]
async fn a_plan_is_kept_unless_a_new_one_saves_more_than_the_hysteresis() {
    let service = memory().await;
    let first = triggered(&service, "k", 5).await.plan.unwrap();
    let review = |cost_minor_min: i64| {
        let hysteresis = Some(pb::Hysteresis { lateness_minutes_min: 60, cost_minor_min });
        let request = pb::ReviewProductionRequest { production_id: "P-1".into(), hysteresis };
        service.review_production(Request::new(request))
    };
    let same = review(0).await.unwrap().into_inner();
    assert_eq!((same.keep, same.saved_cost_minor, same.saved_lateness_minutes), (true, 0, 0));
    assert_eq!(same.plan.unwrap().planned_orders, first.planned_orders, "as if it weren't there");
    let mut cheaper = master_data();
    cheaper.items[1].buy.as_mut().unwrap().unit_price_minor -= 2;
    service.put_master_data(Request::new(cheaper)).await.unwrap();
    // Four wheels are bought.
    for (threshold, keep) in [(8, true), (7, false)] {
        let answer = review(threshold).await.unwrap().into_inner();
        assert_eq!((answer.keep, answer.saved_cost_minor), (keep, 8));
    }
    assert_eq!(production(&service, "P-1").await, first, "a review writes nothing");
    let begun = pb::ReportProgressRequest {
        production_id: "P-1".into(),
        planned_order: 2,
        state: pb::ProductionState::Completed.into(),
        quantity_good: None,
    };
    service.report_progress(Request::new(begun)).await.unwrap();
    assert_eq!(reason(&review(0).await.unwrap_err()), "STATE_CONFLICT");
}

#[tokio::test]
async fn triggers_say_what_would_be_made_and_by_when() {
    let service = memory().await;
    let mut data = master_data();
    let min_max = |minimum, maximum| Some(Rule::MinMax(pb::MinMaxRule { minimum, maximum }));
    data.items[0].replenishment = Some(pb::Replenishment { dead_band: 0, rule: min_max(2, 8) });
    data.items[1].replenishment = Some(pb::Replenishment { dead_band: 5, rule: min_max(8, 20) });
    service.put_master_data(Request::new(data.clone())).await.unwrap();
    let request = pb::EvaluateTriggersRequest { plant: "suzhou".into(), ..Default::default() };
    let answer = service.evaluate_triggers(Request::new(request.clone())).await.unwrap().into_inner();
    let rows: Vec<_> = answer
        .findings
        .iter()
        .map(|f| (f.item_id.as_str(), f.fired, f.held_by_hysteresis, f.quantity, f.source()))
        .collect();
    // No bike: eight are made. Six wheels: at the minimum of eight, but within the dead band.
    assert_eq!(
        rows,
        [("bike", true, false, 8, pb::Source::Make), ("wheel", false, true, 14, pb::Source::Unspecified),]
    );
    let bike = &answer.findings[0];
    assert_eq!(bike.kind(), pb::TriggerKind::MinMax);
    // Six wheels of stock, ten bought, eight bikes worked, one setup.
    let cost = bike.cost.as_ref().unwrap();
    assert_eq!(cost.total_minor, 6 * 700 + 10 * 700 + 8 * 900 + 5_000);
    assert!(bike.promise_time.unwrap().seconds > MONDAY * 60);
    // A rule whose target isn't above its least is refused.
    data.items[0].replenishment = Some(pb::Replenishment { dead_band: 0, rule: min_max(8, 8) });
    let status = service.put_master_data(Request::new(data)).await.unwrap_err();
    assert_eq!(reason(&status), "items[0].replenishment.min_max.maximum");
    let request = pb::EvaluateTriggersRequest { item_ids: vec!["bell".into()], ..request };
    let status = service.evaluate_triggers(Request::new(request)).await.unwrap_err();
    assert_eq!(reason(&status), "ITEM_UNKNOWN");
}

fn repaired(machine: u32, at: i64) -> pb::RescheduleImpactRequest {
    let at_time = monday(at);
    asked(Event::Repaired(pb::Repaired { work_center_id: "line".into(), machine, at_time }))
}

#[tokio::test]
async fn a_breakdown_that_is_over_early_gives_back_the_dates_once() {
    let service = memory().await;
    let week = 7 * 1_440;
    let first = triggered(&service, "k", 5).await.plan.unwrap();
    let refused = apply(&service, "r", repaired(0, week)).await.unwrap_err();
    assert_eq!(reason(&refused), "event.repaired.work_center_id");
    apply(&service, "e", breakdown()).await.unwrap();
    let late = production(&service, "P-1").await;
    assert!(!late.on_time && late.promise_time != first.promise_time);
    // Moving the order costs 100 and saves nothing that has a price, so it stays.
    let mut request = repaired(0, week);
    let kept = look(&service, request.clone()).await.without_fence.unwrap();
    assert!(kept.moved_orders.is_empty());
    request.disruption_cost_minor = 0;
    let looked = look(&service, request.clone()).await.with_fence.unwrap();
    assert_eq!(production(&service, "P-1").await, late, "looking writes nothing");
    let answer = apply(&service, "r", request.clone()).await.unwrap();
    let impact = answer.impact.clone().unwrap();
    assert_eq!(impact, looked);
    assert_eq!((impact.moved_orders.len(), impact.changed_promises.len()), (1, 1));
    assert!(impact.moved_orders[0].later_minutes < 0 && impact.changed_promises[0].later_minutes < 0);
    assert_eq!(impact.changed_promises[0].late_minutes, 0);
    let back = production(&service, "P-1").await;
    assert_eq!((back.on_time, back.promise_time), (true, first.promise_time));
    let order = |plan: &pb::ProductionPlan| plan.planned_orders[0].clone();
    assert_eq!(order(&back).ready_time, order(&first).ready_time);
    let list = pb::ListProductionsRequest { plant: "suzhou".into(), ..Default::default() };
    let listed = service.list_productions(Request::new(list)).await.unwrap().into_inner();
    assert_eq!(listed.productions[0].promise_time, first.promise_time);
    // The same key is the same event, and there is nothing left to repair.
    assert_eq!(apply(&service, "r", request.clone()).await.unwrap(), answer);
    let again = apply(&service, "r2", request).await.unwrap_err();
    assert_eq!(reason(&again), "event.repaired.work_center_id");
}

#[tokio::test]
async fn a_repair_may_be_foreseen_and_leaves_the_outage_until_then() {
    let service = memory().await;
    let (week, day) = (7 * 1_440, 1_440);
    apply(&service, "e", breakdown()).await.unwrap();
    let late = apply(&service, "l", repaired(1, 2 * week)).await.unwrap_err();
    assert_eq!(reason(&late), "event.repaired.at_time");
    let other = apply(&service, "m", repaired(2, week + day)).await.unwrap_err();
    assert_eq!(reason(&other), "event.repaired.machine");
    apply(&service, "r", repaired(1, week + 2 * day)).await.unwrap();
    // The line is down on Monday and Tuesday still: eighteen bikes, setup and all, take 570 minutes, and are
    // wanted on that Friday.
    let plan = triggered(&service, "k", 18).await.plan.unwrap();
    let down = (monday(week).unwrap().seconds, monday(week + 2 * day).unwrap().seconds);
    for operation in plan.planned_orders.iter().flat_map(|order| &order.operations) {
        let (start, end) = (operation.start_time.unwrap().seconds, operation.end_time.unwrap().seconds);
        assert!(end <= down.0 || start >= down.1, "{start} to {end} is in the outage");
    }
}
