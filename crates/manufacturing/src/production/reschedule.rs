//! Events: what one would do, and carrying one out exactly once.

use std::collections::BTreeMap;

use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_store::Store;
use prost::Message as _;
use sqlx::{Connection as _, Sqlite, SqliteConnection, Transaction};

use super::commit::Commitments;
use super::event::{self, Event, Impact};
use super::event_wire;
use super::failure::Failure;
use super::open_plant::OpenPlant;
use super::plant::{Id, Minute};
use super::store::{self, New};
use super::{open_store, wire};

/// How often an event is computed anew because the plant changed meanwhile, before it is computed
/// while others wait.
const TRIES_MAX: usize = 3;

/// What an event rests on.
struct Basis {
    revisions: BTreeMap<String, i64>,
    open: OpenPlant,
    event: Event,
    next_number: i64,
}

async fn read(
    db: &mut SqliteConnection,
    request: &pb::RescheduleImpactRequest,
    now: Minute,
) -> Result<Basis, Failure> {
    let open = open_store::read(db, &request.plant, now).await?;
    let event = event_wire::event(request, &open, now)?;
    let revisions = store::revisions(db, &request.plant, &open.snapshot).await?;
    Ok(Basis { revisions, open, event, next_number: store::next_number(db).await? })
}

/// Runs on a thread where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Planner)?
}

/// What an event does, with and without the fence; writes nothing.
pub async fn look(
    store: &Store,
    request: pb::RescheduleImpactRequest,
    now: Minute,
) -> Result<pb::RescheduleImpactResponse, Failure> {
    let basis = {
        let mut reader = store.pool().acquire().await?;
        let mut moment = reader.begin().await?;
        let basis = read(&mut moment, &request, now).await?;
        moment.commit().await?;
        basis
    };
    blocking(move || {
        let variant = |fence: bool| {
            let policy = event_wire::policy(&request, fence);
            let impact = event::impact(&basis.open, &basis.event, &policy, basis.next_number, now);
            Some(event_wire::impact(&basis.open, &impact, now))
        };
        Ok(pb::RescheduleImpactResponse {
            as_of_time: Some(wire::timestamp(now)),
            with_fence: variant(true),
            without_fence: variant(false),
        })
    })
    .await
}

/// An event that is ready to be written.
struct Ready {
    basis: Basis,
    impact: Impact,
    answer: pb::Impact,
}

async fn compute(basis: Basis, request: &pb::ApplyEventRequest, now: Minute) -> Result<Ready, Failure> {
    let impact = request.impact.clone().unwrap_or_default();
    let policy = event_wire::policy(&impact, !request.ignore_fence);
    blocking(move || {
        let impact = event::impact(&basis.open, &basis.event, &policy, basis.next_number, now);
        let answer = event_wire::impact(&basis.open, &impact, now);
        Ok(Ready { impact: impact?, answer, basis })
    })
    .await
}

/// Carries an event out once for each key: computed on a snapshot outside the write transaction, and
/// written only while the plant is still at its revision; event and key are written together.
pub async fn apply(
    store: &Store,
    application: &str,
    request: pb::ApplyEventRequest,
    now: Minute,
) -> Result<pb::ApplyEventResponse, Failure> {
    let wanted = request.impact.clone().unwrap_or_default();
    for _ in 0..TRIES_MAX {
        let ready = {
            let mut reader = store.pool().acquire().await?;
            let mut moment = reader.begin().await?;
            if let Some(done) = open_store::by_key(&mut moment, application, &request.idempotency_key).await?
            {
                return answered(&done, &request);
            }
            let basis = read(&mut moment, &wanted, now).await?;
            moment.commit().await?;
            drop(reader);
            compute(basis, &request, now).await?
        };
        let mut tx = store.write().await?;
        if let Some(done) = open_store::by_key(&mut tx, application, &request.idempotency_key).await? {
            return answered(&done, &request);
        }
        let fresh = store::unchanged(&mut tx, &ready.basis.revisions).await?
            && store::next_number(&mut tx).await? == ready.basis.next_number;
        if fresh {
            return commit(tx, application, &request, ready).await;
        }
    }
    // Others were faster each time; now they wait.
    let mut tx = store.write().await?;
    if let Some(done) = open_store::by_key(&mut tx, application, &request.idempotency_key).await? {
        return answered(&done, &request);
    }
    let basis = read(&mut tx, &wanted, now).await?;
    let ready = compute(basis, &request, now).await?;
    commit(tx, application, &request, ready).await
}

/// The first answer again, when the request is the same.
fn answered(
    (first, response): &(Vec<u8>, Vec<u8>),
    request: &pb::ApplyEventRequest,
) -> Result<pb::ApplyEventResponse, Failure> {
    if *first != request.encode_to_vec() {
        return Err(Failure::KeyReused(request.idempotency_key.clone()));
    }
    pb::ApplyEventResponse::decode(&**response).map_err(|_| Failure::Corrupt("answer"))
}

async fn commit(
    mut tx: Transaction<'static, Sqlite>,
    application: &str,
    request: &pb::ApplyEventRequest,
    ready: Ready,
) -> Result<pb::ApplyEventResponse, Failure> {
    let Ready { basis, impact, answer } = ready;
    let plant = request.impact.as_ref().map_or("", |impact| impact.plant.as_str());
    let number = open_store::next_number(&mut tx).await?;
    match &basis.event {
        Event::Breakdown(outage) => {
            let center = basis.open.snapshot.work_centers.get(&outage.work_center);
            let machines = center.map_or(1, |center| center.machines);
            open_store::put_outage(&mut tx, plant, outage, machines).await?;
        }
        Event::Repaired(over) => open_store::end_outages(&mut tx, plant, over).await?,
        Event::Late(id, at) => open_store::put_late(&mut tx, plant, id, *at).await?,
        Event::Loss { id, item, units } => {
            open_store::put_loss(&mut tx, plant, (id, item), *units).await?;
        }
        Event::Rush(..) => {}
    }
    let mut production_ids = Vec::new();
    for (new, plan) in impact.plans.iter().zip(&answer.new_plans) {
        let production_id = new.production.to_string();
        let own = store::next_number(&mut tx).await?;
        if format!("P-{own}") != production_id {
            return Err(Failure::Corrupt("number of a production"));
        }
        let response =
            pb::TriggerProductionResponse { production_id: production_id.clone(), plan: Some(plan.clone()) };
        let asked = pb::TriggerProductionRequest {
            // Of the event, so that it can't be taken for a key of the caller's.
            idempotency_key: format!("E-{number}#{production_id}"),
            demand: Some(demand_of(request, plant, new)),
        };
        let commitments = &Commitments::of(&production_id, &new.decision.plan);
        let promise = new.decision.plan.promise();
        let row =
            New { number: own, application: "", request: &asked, response: &response, commitments, promise };
        store::insert(&mut tx, &row).await?;
        if new.replaces {
            // Its goods go to those who miss them.
            open_store::free_deliveries(&mut tx, own).await?;
        }
        production_ids.push(production_id);
    }
    for order in &impact.orders {
        open_store::put_order(&mut tx, plant, order).await?;
    }
    for promise in &impact.promises {
        let last = last_promise(&basis.open, &impact, &promise.delivery.production);
        open_store::put_promise(&mut tx, promise, last).await?;
    }
    let event_id = format!("E-{number}");
    let response = pb::ApplyEventResponse { event_id, impact: Some(answer), production_ids };
    open_store::insert(&mut tx, number, application, request, &response).await?;
    store::revise(&mut tx, plant).await?;
    tx.commit().await?;
    Ok(response)
}

/// When the last delivery of a production is promised after an event.
fn last_promise(open: &OpenPlant, impact: &Impact, production: &Id) -> Minute {
    let own = open.deliveries.iter().filter(|delivery| delivery.production == *production);
    let after = own.map(|delivery| {
        let changed = impact.promises.iter().find(|changed| {
            changed.delivery.production == *production && changed.delivery.index == delivery.index
        });
        changed.map_or(delivery.promise, |changed| changed.after)
    });
    let opened = impact.promises.iter().filter(|changed| changed.delivery.production == *production);
    after.chain(opened.map(|changed| changed.after)).max().unwrap_or_default()
}

/// The demand of a new production, as it is stored.
fn demand_of(request: &pb::ApplyEventRequest, plant: &str, new: &event::NewPlan) -> pb::ProductionDemand {
    use pb::plant_event::Event as Wire;
    let event = request.impact.as_ref().and_then(|impact| impact.event.as_ref()?.event.as_ref());
    if let (false, Some(Wire::RushOrder(rush))) = (new.replaces, event) {
        return rush.demand.clone().unwrap_or_default();
    }
    let deliveries = new.demand.deliveries.iter().map(|delivery| pb::Delivery {
        quantity: delivery.quantity,
        due: delivery.due.map(|due| pb::delivery::Due::DueTime(wire::timestamp(due))),
    });
    pb::ProductionDemand {
        plant: plant.to_owned(),
        item_id: new.demand.item.to_string(),
        deliveries: deliveries.collect(),
        rush: new.demand.rush,
        ..pb::ProductionDemand::default()
    }
}
