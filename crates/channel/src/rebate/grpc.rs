//! The adapter of `oaas.channel.v1.RebateService`: wire to core, fetch, call, core to wire.

use std::sync::Arc;

use jiff::civil::Date;
use oaas_capability::{Context, Violation, invalid, validated};
use oaas_model::Clock;
use oaas_proto::Validate as _;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::calculate_rebate_request::Source;
use oaas_proto::oaas::channel::v1::rebate_service_server::{RebateService, RebateServiceServer};
use oaas_proto::oaas::channel::v1::record_facts_request::Fact;
use oaas_store::StoreError;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::law::{self, Severity};
use super::refusal::Refusal;
use super::store::{CoreFact, RebateStore, Recordable, Recorded, Stored, compute};
use super::{Facts, PROBLEMS_MAX, Period, Plan, Problem, wire};

/// Facts that are recorded in one transaction.
const CHUNK: usize = 256;
/// Facts that one stream may bring.
const STREAM_FACTS_MAX: i64 = 1_000_000;
/// Ledger lines that the answer of an accrual lists.
const POSTED_MAX: usize = 5_000;
/// Ledger lines in an answer when the request names no number, and the most that it may name.
const PAGE_DEFAULT: i64 = 100;
const PAGE_MAX: i64 = 1_000;

/// The service.
#[derive(Clone)]
pub struct Rebate {
    store: RebateStore,
    clock: Arc<dyn Clock>,
}

/// The service over its tables in the context's store.
///
/// # Errors
/// When the tables can't be made.
pub async fn server(cx: &Context) -> Result<RebateServiceServer<Rebate>, StoreError> {
    let store = RebateStore::open(cx.store.clone()).await?;
    Ok(RebateServiceServer::new(Rebate { store, clock: cx.clock.clone() }))
}

impl Rebate {
    /// Today in UTC.
    fn today(&self) -> Date {
        let now = jiff::Timestamp::from_nanosecond(i128::from(self.clock.now().unix_ns));
        now.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date()
    }

    async fn calculate(
        &self,
        request: pb::CalculateRebateRequest,
    ) -> Result<pb::CalculateRebateResponse, Refusal> {
        let day = read_day("period_date", &request.period_date)?;
        let member_id = Some(request.member_id.clone());
        let (version, plan, outcome) = match request.source {
            Some(Source::Inline(inline)) => {
                let (plan, facts) = read_inline(&inline)?;
                let outcome = compute(plan.clone(), day, facts, member_id).await?;
                let outcome = outcome.map_err(|error| Refusal::of_inline(&plan.plan_id, error))?;
                (0, plan, outcome)
            }
            Some(Source::Recorded(recorded)) => {
                let (stored, facts) = self.store.period_facts(&recorded.plan_id, day).await?;
                let outcome = compute(stored.plan.clone(), day, facts, member_id).await?;
                let outcome = outcome.map_err(|error| Refusal::of_recorded(&recorded.plan_id, error))?;
                (stored.version, stored.plan, outcome)
            }
            None => return Err(missing("source", "must be inline or recorded")),
        };
        let mut response = wire::outcome(&plan, &outcome).ok_or(Refusal::AmountTooLarge)?;
        response.plan_version = version;
        if !request.member_id.is_empty() {
            response.members.retain(|member| member.member_id == request.member_id);
        }
        let first = outcome.period.start.max(plan.effective_from);
        response.findings = wire::findings(&law::check(&plan, first, outcome.period.end));
        Ok(response)
    }

    /// The fact as the core reads it, checked against the plan in force on its day.
    async fn readable(
        &self,
        index: i64,
        wire: pb::RecordFactsRequest,
        last: &mut Option<(Period, Stored)>,
    ) -> Result<Recordable, Refusal> {
        let path = |kind: &str| format!("facts[{index}].{kind}");
        let (kind, day) = match &wire.fact {
            Some(Fact::Sale(sale)) => ("sale", &sale.occurred_on),
            Some(Fact::SaleReturn(fact)) => ("sale_return", &fact.occurred_on),
            None => return Err(missing(&path("fact"), "must be sale or sale_return")),
        };
        let day = read_day(&path(&format!("{kind}.occurred_on")), day)?;
        // Facts of one stream are mostly of one plan and one period.
        let known =
            last.take().filter(|(period, stored)| stored.plan.plan_id == wire.plan_id && period.holds(day));
        let (period, stored) = match known {
            Some(known) => known,
            None => {
                let stored = self.store.plan_on(&wire.plan_id, day).await?;
                (stored.plan.period.around(day), stored)
            }
        };
        let mut reader = wire::Reader::at(&path(kind));
        let fact = match &wire.fact {
            Some(Fact::Sale(sale)) => {
                let sale = reader.sale(sale, stored.plan.currency);
                CoreFact::Sale(reader.finish(sale).map_err(Refusal::Invalid)?)
            }
            Some(Fact::SaleReturn(fact)) => {
                let fact = reader.sale_return(fact, stored.plan.currency);
                CoreFact::Return(reader.finish(fact).map_err(Refusal::Invalid)?)
            }
            None => return Err(missing(&path("fact"), "must be sale or sale_return")),
        };
        check_alone(&path(kind), &stored.plan, &fact)?;
        *last = Some((period, stored));
        Ok(Recordable { wire, fact })
    }
}

#[tonic::async_trait]
impl RebateService for Rebate {
    async fn validate_plan(
        &self,
        request: Request<pb::ValidatePlanRequest>,
    ) -> Result<Response<pb::ValidatePlanResponse>, Status> {
        let request = validated(request)?;
        let plan = read_plan(request.plan.as_ref())?;
        let on = match request.on.as_str() {
            "" => self.today().max(plan.effective_from),
            text => read_day("on", text)?,
        };
        let findings = law::check(&plan, on, on);
        let permitted = findings.iter().all(|finding| finding.severity != Severity::Block);
        if permitted {
            well_formed(&plan)?;
        }
        let cliffs = plan.tiers.iter().flat_map(|schedule| schedule.cliffs());
        let cliffs = cliffs.map(|cliff| wire::cliff(&cliff, plan.rounding)).collect::<Option<_>>();
        Ok(Response::new(pb::ValidatePlanResponse {
            permitted,
            findings: wire::findings(&findings),
            cliffs: cliffs.ok_or(Refusal::AmountTooLarge)?,
        }))
    }

    async fn put_plan(
        &self,
        request: Request<pb::PutPlanRequest>,
    ) -> Result<Response<pb::PutPlanResponse>, Status> {
        let wire = validated(request)?.plan.ok_or_else(|| missing("plan", "must be there"))?;
        let plan = read_plan(Some(&wire))?;
        let on = self.today().max(plan.effective_from);
        let (blocking, others): (Vec<_>, Vec<_>) =
            law::check(&plan, on, on).into_iter().partition(|finding| finding.severity == Severity::Block);
        if !blocking.is_empty() {
            return Err(Refusal::PlanForbidden { plan_id: plan.plan_id, findings: blocking }.into());
        }
        well_formed(&plan)?;
        let (version, unchanged) = self.store.put_plan(&wire, &plan, self.clock.now().unix_ms()).await?;
        Ok(Response::new(pb::PutPlanResponse { version, unchanged, findings: wire::findings(&others) }))
    }

    async fn get_plan(
        &self,
        request: Request<pb::GetPlanRequest>,
    ) -> Result<Response<pb::GetPlanResponse>, Status> {
        let request = validated(request)?;
        let stored = self.store.plan(&request.plan_id, request.version).await?;
        Ok(Response::new(pb::GetPlanResponse { plan: Some(stored.wire), version: stored.version }))
    }

    async fn record_facts(
        &self,
        request: Request<Streaming<pb::RecordFactsRequest>>,
    ) -> Result<Response<pb::RecordFactsResponse>, Status> {
        let mut stream = request.into_inner();
        let mut recorder = Recorder { total: Recorded::default(), waiting: Vec::with_capacity(CHUNK) };
        let (mut index, mut last) = (0, None);
        while let Some(fact) = stream.next().await {
            let fact = fact?;
            let violations = fact.violations();
            if !violations.is_empty() {
                return Err(invalid(&violations));
            }
            if index >= STREAM_FACTS_MAX {
                let text = format!("one stream brings at most {STREAM_FACTS_MAX}");
                return Err(missing("facts", &text).into());
            }
            recorder.waiting.push(self.readable(index, fact, &mut last).await?);
            index += 1;
            if recorder.waiting.len() >= CHUNK {
                recorder.flush(&self.store).await?;
            }
        }
        recorder.flush(&self.store).await?;
        let Recorded { new, duplicates } = recorder.total;
        Ok(Response::new(pb::RecordFactsResponse { recorded: new, duplicates }))
    }

    async fn calculate_rebate(
        &self,
        request: Request<pb::CalculateRebateRequest>,
    ) -> Result<Response<pb::CalculateRebateResponse>, Status> {
        let response = self.calculate(validated(request)?).await?;
        Ok(Response::new(response))
    }

    async fn accrue_period(
        &self,
        request: Request<pb::AccruePeriodRequest>,
    ) -> Result<Response<pb::AccruePeriodResponse>, Status> {
        let request = validated(request)?;
        let day = read_day("period_date", &request.period_date)?;
        let accrual = self.store.accrue(&request.plan_id, day, self.clock.now().unix_ms()).await?;
        let currency = accrual.stored.plan.currency;
        let posted = accrual.posted.iter().map(|line| line.entry.amount_minor);
        let posted_minor = posted.map(i128::from).sum::<i128>();
        let narrow = |minor: i128| i64::try_from(minor).map_err(|_| Refusal::AmountTooLarge);
        let left_off = accrual.posted.len().saturating_sub(POSTED_MAX);
        Ok(Response::new(pb::AccruePeriodResponse {
            posted_minor: narrow(posted_minor)?,
            balance_minor: narrow(accrual.outcome.total)?,
            currency: currency.to_string(),
            plan_version: accrual.stored.version,
            lines_left_off: i32::try_from(left_off).unwrap_or(i32::MAX),
            posted: accrual.posted.iter().take(POSTED_MAX).map(|l| wire::ledger_line(l, currency)).collect(),
        }))
    }

    async fn list_ledger(
        &self,
        request: Request<pb::ListLedgerRequest>,
    ) -> Result<Response<pb::ListLedgerResponse>, Status> {
        let request = validated(request)?;
        let plan = self.store.plan(&request.plan_id, 0).await?.plan;
        let size = match i64::from(request.page_size) {
            0 => PAGE_DEFAULT,
            size => size.clamp(1, PAGE_MAX),
        };
        let (member_id, after) = (&request.member_id, request.after_sequence);
        let mut lines = self.store.ledger(&request.plan_id, member_id, after, size + 1).await?;
        let more = i64::try_from(lines.len()).unwrap_or(i64::MAX) > size;
        if more {
            lines.pop();
        }
        let last = lines.last().map_or(0, |line| line.entry.sequence);
        Ok(Response::new(pb::ListLedgerResponse {
            lines: lines.iter().map(|line| wire::ledger_line(line, plan.currency)).collect(),
            next_after_sequence: if more { last } else { 0 },
        }))
    }
}

/// Facts of a stream on their way into the store.
struct Recorder {
    total: Recorded,
    waiting: Vec<Recordable>,
}

impl Recorder {
    async fn flush(&mut self, store: &RebateStore) -> Result<(), Refusal> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let recorded = store.record(&self.waiting).await?;
        self.total.new += recorded.new;
        self.total.duplicates += recorded.duplicates;
        self.waiting.clear();
        Ok(())
    }
}

fn missing(field: &str, description: &str) -> Refusal {
    Refusal::Invalid(vec![Violation::new(field, description)])
}

fn read_day(field: &str, text: &str) -> Result<Date, Refusal> {
    let mut reader = wire::Reader::at("");
    let day = reader.day(field, text);
    reader.finish(day).map_err(Refusal::Invalid)
}

fn read_plan(plan: Option<&pb::Plan>) -> Result<Plan, Refusal> {
    let plan = plan.ok_or_else(|| missing("plan", "must be there"))?;
    let mut reader = wire::Reader::at("plan");
    let read = reader.plan(plan);
    reader.finish(read).map_err(Refusal::Invalid)
}

fn well_formed(plan: &Plan) -> Result<(), Refusal> {
    let problems = plan.problems();
    if problems.is_empty() { Ok(()) } else { Err(Refusal::Invalid(wire::violations("plan.", &problems))) }
}

fn read_inline(inline: &pb::InlineSource) -> Result<(Plan, Facts), Refusal> {
    let mut reader = wire::Reader::at("inline.plan");
    let plan = inline.plan.as_ref().and_then(|plan| reader.plan(plan));
    let plan = reader.finish(plan).map_err(Refusal::Invalid)?;
    let mut facts = Facts::default();
    let mut violations = Vec::new();
    for (index, sale) in inline.sales.iter().enumerate() {
        let mut reader = wire::Reader::at(&format!("inline.sales[{index}]"));
        let read = reader.sale(sale, plan.currency);
        match reader.finish(read) {
            Ok(sale) => facts.sales.push(sale),
            Err(found) => violations.extend(found),
        }
    }
    for (index, fact) in inline.returns.iter().enumerate() {
        let mut reader = wire::Reader::at(&format!("inline.returns[{index}]"));
        let read = reader.sale_return(fact, plan.currency);
        match reader.finish(read) {
            Ok(fact) => facts.returns.push(fact),
            Err(found) => violations.extend(found),
        }
    }
    violations.truncate(PROBLEMS_MAX);
    if violations.is_empty() { Ok((plan, facts)) } else { Err(Refusal::Invalid(violations)) }
}

/// What can be said about a fact without the others: its numbers, its chain, its grades.
fn check_alone(path: &str, plan: &Plan, fact: &CoreFact) -> Result<(), Refusal> {
    let mut problems = match fact {
        CoreFact::Sale(sale) => sale.problems(),
        CoreFact::Return(fact) => fact.problems(),
    };
    if let (CoreFact::Sale(sale), Some(levels)) = (fact, &plan.levels)
        && let Some((place, grade)) = levels.unknown_grade(&sale.chain)
    {
        let text = format!("{grade:?} is not a grade of the plan");
        problems.push(Problem::new(format!("chain[{place}].grade"), text));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Refusal::Invalid(wire::violations(&format!("{path}."), &problems)))
}
