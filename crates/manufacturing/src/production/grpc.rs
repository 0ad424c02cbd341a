//! `oaas.manufacturing.v1.ProductionService`: reads a snapshot, decides, commits in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use oaas_capability::{CallContext, Context, Registration, Violation, validated};
use oaas_model::Clock;
use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_proto::oaas::manufacturing::v1::production_service_server::{
    ProductionService, ProductionServiceServer,
};
use oaas_store::{Store, StoreError};
use prost::Message as _;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tonic::{Request, Response, Status};

use super::commit::Commitments;
use super::decide::decide;
use super::demand::Demand;
use super::failure::Failure;
use super::plan::Plan;
use super::plant::{Minute, Snapshot};
use super::store::{New, Stored};
use super::{
    answer, event_wire, master_data, open_store, progress, reschedule, review, store, triggers, wire,
};

/// Productions on a page when the request doesn't say.
const PAGE_DEFAULT: u32 = 50;
/// How often a decision is computed anew because the plant changed meanwhile, before it is computed
/// while others wait.
const TRIES_MAX: usize = 3;
/// Most productions on a page.
const PAGE_MAX: u32 = 200;

/// Migrates the tables and returns the service.
///
/// # Errors
/// When the store refuses a migration.
pub async fn service(cx: &Context) -> Result<Registration, StoreError> {
    Ok(Registration::new(ProductionServiceServer::new(Production::open(cx).await?)))
}

/// The adapter.
#[derive(Clone)]
pub struct Production {
    store: Store,
    clock: Arc<dyn Clock>,
}

/// What a decision rests on.
struct Basis {
    revisions: BTreeMap<String, i64>,
    snapshot: Snapshot,
    demand: Demand,
    now: Minute,
}

/// A decision on its way to the store and to the wire.
struct Decided {
    /// Revisions of the plants that it rests on: its own, and those that send something.
    revisions: BTreeMap<String, i64>,
    plan: pb::ProductionPlan,
    core: Plan,
}

impl Production {
    /// Migrates the tables.
    pub(super) async fn open(cx: &Context) -> Result<Self, StoreError> {
        store::migrate(&cx.store).await?;
        Ok(Self { store: cx.store.clone(), clock: cx.clock.clone() })
    }

    fn now(&self) -> Minute {
        wire::now(self.clock.now().unix_ms())
    }

    /// Decides once for each key. The decision is computed on a snapshot outside the write transaction,
    /// so that it holds up no other writer, and committed only when the plant, and those that send it
    /// something, are still at the snapshot's revisions; plan and key are written together. A second caller finds the first one's answer, and
    /// after a crash there is either all or nothing.
    async fn trigger(
        &self,
        application: &str,
        request: pb::TriggerProductionRequest,
    ) -> Result<pb::TriggerProductionResponse, Failure> {
        for _ in 0..TRIES_MAX {
            let decided = {
                let mut reader = self.store.pool().acquire().await?;
                let mut moment = reader.begin().await?;
                if let Some(done) = store::by_key(&mut moment, application, &request.idempotency_key).await? {
                    return answered(&done, &request);
                }
                let basis = read(&mut moment, request.demand.as_ref(), self.now()).await?;
                moment.commit().await?;
                drop(reader);
                decide_on(basis).await?
            };
            let mut tx = self.store.write().await?;
            if let Some(done) = store::by_key(&mut tx, application, &request.idempotency_key).await? {
                return answered(&done, &request);
            }
            if store::unchanged(&mut tx, &decided.revisions).await? {
                return commit(tx, application, &request, decided).await;
            }
        }
        // Others were faster each time; now they wait.
        let mut tx = self.store.write().await?;
        if let Some(done) = store::by_key(&mut tx, application, &request.idempotency_key).await? {
            return answered(&done, &request);
        }
        let decided = decide_on(read(&mut tx, request.demand.as_ref(), self.now()).await?).await?;
        commit(tx, application, &request, decided).await
    }

    async fn list(
        &self,
        request: &pb::ListProductionsRequest,
    ) -> Result<pb::ListProductionsResponse, Failure> {
        let size = match request.page_size {
            0 => PAGE_DEFAULT,
            size => size.min(PAGE_MAX),
        };
        let before = match request.page_token.as_str() {
            "" => i64::MAX,
            token => {
                token.parse().map_err(|_| field("page_token", "must be the token of the page before"))?
            }
        };
        let mut reader = self.store.pool().acquire().await?;
        let rows = sqlx::query(
            "SELECT number, state, item_id, quantity, decision, promise_minute, order_reference
             FROM manufacturing_productions
             WHERE plant = $1 AND number < $2 AND ($3 = '' OR item_id = $3) AND ($4 = 0 OR state = $4)
             ORDER BY number DESC LIMIT $5",
        );
        let rows = rows.bind(&request.plant).bind(before).bind(&request.item_id).bind(request.state);
        let rows = rows.bind(size + 1).fetch_all(&mut *reader).await?;
        let wanted = usize::try_from(size).unwrap_or_default();
        let mut response = pb::ListProductionsResponse::default();
        for row in rows.iter().take(wanted) {
            let number: i64 = row.try_get("number")?;
            response.next_page_token = number.to_string();
            response.productions.push(pb::ProductionSummary {
                production_id: format!("P-{number}"),
                state: row.try_get("state")?,
                item_id: row.try_get("item_id")?,
                quantity: row.try_get("quantity")?,
                decision: row.try_get("decision")?,
                promise_time: Some(wire::timestamp(row.try_get("promise_minute")?)),
                order_reference: row.try_get("order_reference")?,
            });
        }
        if rows.len() <= wanted {
            response.next_page_token.clear();
        }
        Ok(response)
    }

    async fn report(&self, request: &pb::ReportProgressRequest) -> Result<pb::Production, Failure> {
        let mut tx = self.store.write().await?;
        let found = find(&mut tx, &request.production_id).await?;
        let report = progress::Report {
            production: found.number,
            order: request.planned_order,
            state: request.state(),
            quantity_good: request.quantity_good,
        };
        let senders = store::senders_of(&mut tx, found.number).await?;
        progress::report(&mut tx, &found.plant, report, progress::read(found.state)?).await?;
        for plant in senders.iter().filter(|sender| **sender != found.plant).chain([&found.plant]) {
            store::revise(&mut tx, plant).await?;
        }
        let found = find(&mut tx, &request.production_id).await?;
        let production = production(&mut tx, found).await?;
        tx.commit().await?;
        Ok(production)
    }
}

/// Reads what the demand rests on.
async fn read(
    db: &mut SqliteConnection,
    wanted: Option<&pb::ProductionDemand>,
    now: Minute,
) -> Result<Basis, Failure> {
    let demand = wire::demand(wanted, now)?;
    let (plant, currency) = wanted.map_or(("", ""), |d| (d.plant.as_str(), d.currency.as_str()));
    let snapshot = store::snapshot(db, plant, &demand.item, now).await?;
    if !currency.is_empty() && currency != snapshot.currency.code() {
        let description = format!("must be the plant's {}, is {currency}", snapshot.currency);
        return Err(field("demand.currency", description));
    }
    Ok(Basis { revisions: store::revisions(db, plant, &snapshot).await?, snapshot, demand, now })
}

/// Decides, on a thread where it holds up nobody.
async fn decide_on(basis: Basis) -> Result<Decided, Failure> {
    let work = tokio::task::spawn_blocking(move || {
        let Basis { revisions, snapshot, demand, now } = basis;
        let decision = decide(&snapshot, &demand, now)?;
        let plan = answer::plan(&snapshot, &demand, &decision, now);
        Ok(Decided { revisions, plan, core: decision.plan })
    });
    work.await.map_err(|_| Failure::Planner)?
}

/// Writes a decision and its key, and ends the transaction.
async fn commit(
    mut tx: sqlx::Transaction<'static, sqlx::Sqlite>,
    application: &str,
    request: &pb::TriggerProductionRequest,
    decided: Decided,
) -> Result<pb::TriggerProductionResponse, Failure> {
    let number = store::next_number(&mut tx).await?;
    let production_id = format!("P-{number}");
    let commitments = &Commitments::of(&production_id, &decided.core);
    let promise = decided.core.promise();
    let response = pb::TriggerProductionResponse { production_id, plan: Some(decided.plan) };
    let new = New { number, application, request, response: &response, commitments, promise };
    store::insert(&mut tx, &new).await?;
    store::revise(&mut tx, plant_of(request)).await?;
    tx.commit().await?;
    Ok(response)
}

fn plant_of(request: &pb::TriggerProductionRequest) -> &str {
    request.demand.as_ref().map_or("", |demand| &demand.plant)
}

/// The first answer again, when the request is the same.
fn answered(
    done: &Stored,
    request: &pb::TriggerProductionRequest,
) -> Result<pb::TriggerProductionResponse, Failure> {
    if done.request != request.encode_to_vec() {
        return Err(Failure::KeyReused(request.idempotency_key.clone()));
    }
    pb::TriggerProductionResponse::decode(&*done.response).map_err(|_| Failure::Corrupt("answer"))
}

async fn find(db: &mut SqliteConnection, id: &str) -> Result<Stored, Failure> {
    let unknown = || Failure::ProductionUnknown(id.to_owned());
    let number = id.strip_prefix("P-").and_then(|number| number.parse().ok()).ok_or_else(unknown)?;
    store::by_number(db, number).await?.ok_or_else(unknown)
}

/// A stored production with the present states of its orders.
async fn production(db: &mut SqliteConnection, stored: Stored) -> Result<pb::Production, Failure> {
    let request = pb::TriggerProductionRequest::decode(&*stored.request);
    let request = request.map_err(|_| Failure::Corrupt("request"))?;
    let response = pb::TriggerProductionResponse::decode(&*stored.response);
    let mut response = response.map_err(|_| Failure::Corrupt("answer"))?;
    if let Some(plan) = &mut response.plan {
        open_store::overlay(db, stored.number, plan).await?;
    }
    let states = store::order_states(db, stored.number).await?;
    for order in response.plan.iter_mut().flat_map(|plan| &mut plan.planned_orders) {
        order.state = states.get(&order.number).copied().unwrap_or(order.state);
    }
    Ok(pb::Production {
        production_id: response.production_id,
        state: stored.state,
        demand: request.demand,
        plan: response.plan,
        application: stored.application,
        idempotency_key: request.idempotency_key,
    })
}

fn field(name: &str, description: impl Into<String>) -> Failure {
    Failure::Fields(vec![Violation::new(name, description)])
}

#[tonic::async_trait]
impl ProductionService for Production {
    async fn trigger_production(
        &self,
        request: Request<pb::TriggerProductionRequest>,
    ) -> Result<Response<pb::TriggerProductionResponse>, Status> {
        let caller = request.extensions().get::<CallContext>();
        let application = caller.map(|caller| caller.application.clone()).unwrap_or_default();
        let request = validated(request)?;
        Ok(Response::new(self.trigger(&application, request).await?))
    }

    async fn plan_production(
        &self,
        request: Request<pb::PlanProductionRequest>,
    ) -> Result<Response<pb::PlanProductionResponse>, Status> {
        let request = validated(request)?;
        let mut reader = self.store.pool().acquire().await.map_err(Failure::from)?;
        // A transaction, so that all its reads see one moment.
        let mut moment = reader.begin().await.map_err(Failure::from)?;
        let basis = read(&mut moment, request.demand.as_ref(), self.now()).await?;
        moment.commit().await.map_err(Failure::from)?;
        drop(reader);
        let decided = decide_on(basis).await?;
        Ok(Response::new(pb::PlanProductionResponse { plan: Some(decided.plan) }))
    }

    async fn get_production(
        &self,
        request: Request<pb::GetProductionRequest>,
    ) -> Result<Response<pb::GetProductionResponse>, Status> {
        let request = validated(request)?;
        let mut reader = self.store.pool().acquire().await.map_err(Failure::from)?;
        let found = find(&mut reader, &request.production_id).await?;
        let production = Some(production(&mut reader, found).await?);
        Ok(Response::new(pb::GetProductionResponse { production }))
    }

    async fn list_productions(
        &self,
        request: Request<pb::ListProductionsRequest>,
    ) -> Result<Response<pb::ListProductionsResponse>, Status> {
        let request = validated(request)?;
        Ok(Response::new(self.list(&request).await?))
    }

    async fn report_progress(
        &self,
        request: Request<pb::ReportProgressRequest>,
    ) -> Result<Response<pb::ReportProgressResponse>, Status> {
        let request = validated(request)?;
        let production = Some(self.report(&request).await?);
        Ok(Response::new(pb::ReportProgressResponse { production }))
    }

    async fn put_master_data(
        &self,
        request: Request<pb::PutMasterDataRequest>,
    ) -> Result<Response<pb::PutMasterDataResponse>, Status> {
        let request = validated(request)?;
        let mut tx = self.store.write().await.map_err(Failure::from)?;
        let response = master_data::put(&mut tx, &request).await?;
        store::revise(&mut tx, &request.plant).await?;
        tx.commit().await.map_err(Failure::from)?;
        Ok(Response::new(response))
    }

    async fn reschedule_impact(
        &self,
        request: Request<pb::RescheduleImpactRequest>,
    ) -> Result<Response<pb::RescheduleImpactResponse>, Status> {
        let request = validated(request)?;
        Ok(Response::new(reschedule::look(&self.store, request, self.now()).await?))
    }

    async fn apply_event(
        &self,
        request: Request<pb::ApplyEventRequest>,
    ) -> Result<Response<pb::ApplyEventResponse>, Status> {
        let caller = request.extensions().get::<CallContext>();
        let application = caller.map(|caller| caller.application.clone()).unwrap_or_default();
        let request = validated(request)?;
        Ok(Response::new(reschedule::apply(&self.store, &application, request, self.now()).await?))
    }

    async fn review_production(
        &self,
        request: Request<pb::ReviewProductionRequest>,
    ) -> Result<Response<pb::ReviewProductionResponse>, Status> {
        let request = validated(request)?;
        let now = self.now();
        let basis = {
            let mut reader = self.store.pool().acquire().await.map_err(Failure::from)?;
            let mut moment = reader.begin().await.map_err(Failure::from)?;
            let found = find(&mut moment, &request.production_id).await?;
            let plant = found.plant.clone();
            let production = production(&mut moment, found).await?;
            let basis = review::read(&mut moment, &plant, &production, now).await?;
            moment.commit().await.map_err(Failure::from)?;
            basis
        };
        let hysteresis = event_wire::hysteresis(request.hysteresis);
        let work = tokio::task::spawn_blocking(move || review::review(&basis, hysteresis, now));
        Ok(Response::new(work.await.map_err(|_| Failure::Planner)??))
    }

    async fn evaluate_triggers(
        &self,
        request: Request<pb::EvaluateTriggersRequest>,
    ) -> Result<Response<pb::EvaluateTriggersResponse>, Status> {
        let request = validated(request)?;
        let now = self.now();
        let (snapshot, rules) = {
            let mut reader = self.store.pool().acquire().await.map_err(Failure::from)?;
            let mut moment = reader.begin().await.map_err(Failure::from)?;
            let read = triggers::evaluate_all(&mut moment, &request, now).await?;
            moment.commit().await.map_err(Failure::from)?;
            read
        };
        let work = move || triggers::findings(snapshot, &rules, request.include_quiet, now);
        let findings = tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Planner)?;
        let as_of_time = Some(wire::timestamp(now));
        Ok(Response::new(pb::EvaluateTriggersResponse { as_of_time, findings }))
    }

    async fn get_availability(
        &self,
        request: Request<pb::GetAvailabilityRequest>,
    ) -> Result<Response<pb::GetAvailabilityResponse>, Status> {
        let request = validated(request)?;
        let now = self.now();
        let mut reader = self.store.pool().acquire().await.map_err(Failure::from)?;
        let mut tx = reader.begin().await.map_err(Failure::from)?;
        let snapshot = store::snapshot(&mut tx, &request.plant, &request.item_id, now).await?;
        if !snapshot.items.contains_key(request.item_id.as_str()) {
            let item = request.item_id.as_str().into();
            return Err(Failure::Plan(super::bill::BillError::Unknown { item, used_in: None }.into()).into());
        }
        Ok(Response::new(answer::availability(&snapshot, &request.item_id, now)))
    }
}
