//! The adapter of `oaas.channel.v1.RebateService`: wire to core, fetch, call, core to wire.

mod read;
mod settle;
mod simulate;

use std::sync::Arc;

use jiff::civil::Date;
use oaas_capability::{Context, invalid, validated};
use oaas_model::{Clock, Currency};
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
use super::store::{CoreFact, Posted, RebateStore, Recordable, Recorded, Stored, Wanted, compute};
use super::{Period, wire};
use read::{check_alone, missing, read_day, read_inline, read_plan, well_formed};

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
        let wanted = match request.member_id.as_str() {
            "" => Wanted::Everybody,
            member_id => Wanted::Member(member_id.to_owned()),
        };
        let (version, plan, outcome) = match request.source {
            Some(Source::Inline(inline)) => {
                let (plan, facts) = read_inline(&inline)?;
                let (_, outcome) = compute(plan.clone(), day, facts, wanted).await?;
                let outcome = outcome.map_err(|error| Refusal::of_inline(&plan.plan_id, error))?;
                (0, plan, outcome)
            }
            Some(Source::Recorded(recorded)) => {
                let (stored, facts) = self.store.period_facts(&recorded.plan_id, day).await?;
                let (_, outcome) = compute(stored.plan.clone(), day, facts, wanted).await?;
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
            Some(Fact::Payment(fact)) => ("payment", &fact.occurred_on),
            None => return Err(missing(&path("fact"), "must be sale, sale_return or payment")),
        };
        let day = read_day(&path(&format!("{kind}.occurred_on")), day)?;
        // Facts of one stream are mostly of one plan and one period.
        let known =
            last.take().filter(|(period, stored)| stored.plan.plan_id == wire.plan_id && period.holds(day));
        let (period, stored) = match known {
            Some(known) => known,
            None => {
                let stored = self.store.plan_for_fact(&wire.plan_id, day).await?;
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
            Some(Fact::Payment(fact)) => {
                let fact = reader.payment(fact);
                CoreFact::Payment(reader.finish(fact).map_err(Refusal::Invalid)?)
            }
            None => return Err(missing(&path("fact"), "must be sale, sale_return or payment")),
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
        let plan = read_plan(request.plan.as_ref(), "plan")?;
        let on = match request.on.as_str() {
            "" => self.today().max(plan.effective_from),
            text => read_day("on", text)?,
        };
        let findings = law::check(&plan, on, on);
        let permitted = findings.iter().all(|finding| finding.severity != Severity::Block);
        if permitted {
            well_formed(&plan, "plan")?;
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
        let plan = read_plan(Some(&wire), "plan")?;
        let on = self.today().max(plan.effective_from);
        let (blocking, others): (Vec<_>, Vec<_>) =
            law::check(&plan, on, on).into_iter().partition(|finding| finding.severity == Severity::Block);
        if !blocking.is_empty() {
            return Err(Refusal::PlanForbidden { plan_id: plan.plan_id, findings: blocking }.into());
        }
        well_formed(&plan, "plan")?;
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
        let accrual =
            self.store.accrue(&request.plan_id, day, self.today(), self.clock.now().unix_ms()).await?;
        let currency = accrual.stored.plan.currency;
        let posted = accrual.posted.iter().map(|posted| posted.line.entry.amount_minor);
        let posted_minor = posted.map(i128::from).sum::<i128>();
        let narrow = |minor: i128| i64::try_from(minor).map_err(|_| Refusal::AmountTooLarge);
        let left_off = accrual.posted.len().saturating_sub(POSTED_MAX);
        Ok(Response::new(pb::AccruePeriodResponse {
            posted_minor: narrow(posted_minor)?,
            balance_minor: narrow(accrual.outcome.total)?,
            currency: currency.to_string(),
            plan_version: accrual.stored.version,
            lines_left_off: i32::try_from(left_off).unwrap_or(i32::MAX),
            posted: accrual
                .posted
                .iter()
                .take(POSTED_MAX)
                .map(|posted| ledger_line(posted, currency))
                .collect(),
        }))
    }

    async fn list_ledger(
        &self,
        request: Request<pb::ListLedgerRequest>,
    ) -> Result<Response<pb::ListLedgerResponse>, Status> {
        let request = validated(request)?;
        let plan = self.store.plan(&request.plan_id, 0).await?.plan;
        let size = page_size(request.page_size);
        let (member_id, after) = (&request.member_id, request.after_sequence);
        let mut lines = self.store.ledger(&request.plan_id, member_id, after, size + 1).await?;
        let more = i64::try_from(lines.len()).unwrap_or(i64::MAX) > size;
        if more {
            lines.pop();
        }
        let last = lines.last().map_or(0, |posted| posted.line.entry.sequence);
        Ok(Response::new(pb::ListLedgerResponse {
            lines: lines.iter().map(|posted| ledger_line(posted, plan.currency)).collect(),
            next_after_sequence: if more { last } else { 0 },
        }))
    }

    async fn explain_line(
        &self,
        request: Request<pb::ExplainLineRequest>,
    ) -> Result<Response<pb::ExplainLineResponse>, Status> {
        Ok(Response::new(self.explain_one(validated(request)?).await?))
    }

    async fn simulate_plan(
        &self,
        request: Request<pb::SimulatePlanRequest>,
    ) -> Result<Response<pb::SimulatePlanResponse>, Status> {
        Ok(Response::new(self.simulate(validated(request)?).await?))
    }

    async fn move_member(
        &self,
        request: Request<pb::MoveMemberRequest>,
    ) -> Result<Response<pb::MoveMemberResponse>, Status> {
        Ok(Response::new(self.put_move(validated(request)?).await?))
    }

    async fn get_chain(
        &self,
        request: Request<pb::GetChainRequest>,
    ) -> Result<Response<pb::GetChainResponse>, Status> {
        Ok(Response::new(self.chain_on(validated(request)?).await?))
    }

    async fn settle_period(
        &self,
        request: Request<pb::SettlePeriodRequest>,
    ) -> Result<Response<pb::SettlePeriodResponse>, Status> {
        Ok(Response::new(self.settle(validated(request)?).await?))
    }

    async fn get_statement(
        &self,
        request: Request<pb::GetStatementRequest>,
    ) -> Result<Response<pb::GetStatementResponse>, Status> {
        Ok(Response::new(self.statement(validated(request)?).await?))
    }

    async fn list_statements(
        &self,
        request: Request<pb::ListStatementsRequest>,
    ) -> Result<Response<pb::ListStatementsResponse>, Status> {
        Ok(Response::new(self.statements(validated(request)?).await?))
    }
}

fn ledger_line(posted: &Posted, currency: Currency) -> pb::LedgerLine {
    wire::ledger_line(&posted.line, posted.detail.as_ref(), currency)
}

/// Lines in an answer, when the request names no number or this one.
fn page_size(asked: i32) -> i64 {
    match i64::from(asked) {
        0 => PAGE_DEFAULT,
        size => size.clamp(1, PAGE_MAX),
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
