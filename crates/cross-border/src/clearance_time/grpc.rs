//! The adapter: the contract's messages to the core's words and back.

use std::pin::Pin;
use std::sync::Arc;

use oaas_capability::{CapabilityError, Context, Registration, Violation, invalid, validated};
use oaas_model::Clock;
use oaas_proto::Validate as _;
use oaas_proto::oaas::cross_border::v1 as wire;
use oaas_store::StoreError;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming};
use wire::clearance_time_service_server::{ClearanceTimeService, ClearanceTimeServiceServer};

use super::backtest::BacktestError;
use super::hours::{Hours, STATEMENTS_MAX, Statement};
use super::reply;
use super::service::{ClearanceTimes, Query, TellError};
use super::store::{Sent, Told};
use super::{Milestones, Moment, Record, RecordError, Stage, Traits};
use crate::{Country, TransportMode};

const SERVICE: &str = "oaas.cross_border.v1.ClearanceTimeService";
/// Records stored in one transaction.
const BATCH_MAX: usize = 500;
/// Months between refits of a backtest that doesn't say.
const REFIT_MONTHS: u8 = 6;
/// Records or requests of one stream; more are sent in another.
const RECORDS_MAX: u64 = 1_000_000;
/// Seconds of a `google.protobuf.Timestamp`: years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The capability, its table migrated and its records learned.
///
/// # Errors
/// When the store refuses.
pub async fn registration(cx: &Context) -> Result<Registration, StoreError> {
    let times = ClearanceTimes::open(cx.store.clone(), cx.clock.now().unix_ms()).await?;
    let adapter = Adapter { times, clock: Arc::clone(&cx.clock) };
    Ok(Registration::new(ClearanceTimeServiceServer::new(adapter)))
}

/// Answers of a batch, as they come.
type Answers =
    Pin<Box<dyn Stream<Item = Result<wire::BatchPredictClearanceTimeResponse, Status>> + Send + 'static>>;

#[derive(Clone)]
struct Adapter {
    times: Arc<ClearanceTimes>,
    clock: Arc<dyn Clock>,
}

#[tonic::async_trait]
impl ClearanceTimeService for Adapter {
    async fn predict_clearance_time(
        &self,
        request: Request<wire::PredictClearanceTimeRequest>,
    ) -> Result<Response<wire::PredictClearanceTimeResponse>, Status> {
        let request = validated(request)?;
        self.predicted(&request).await.map(Response::new).map_err(|wrong| invalid(&wrong))
    }

    type BatchPredictClearanceTimeStream = Answers;

    async fn batch_predict_clearance_time(
        &self,
        request: Request<Streaming<wire::BatchPredictClearanceTimeRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let this = self.clone();
        let mut asked = 0;
        let numbered = request.into_inner().map(move |message| {
            asked += 1;
            (asked - 1, message)
        });
        let answers = numbered.then(move |(number, message)| {
            let this = this.clone();
            async move { this.one_of_many(number, message?).await }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn explain_clearance_time(
        &self,
        request: Request<wire::ExplainClearanceTimeRequest>,
    ) -> Result<Response<wire::ExplainClearanceTimeResponse>, Status> {
        let request = validated(request)?;
        let mut wrong = Vec::new();
        let moments = self.moments(request.as_of.as_ref(), request.begins_at.as_ref(), &mut wrong);
        let traits = traits(request.consignment.as_ref(), "consignment", &mut wrong);
        let stage = stage(request.stage, &mut wrong);
        let (Some(traits), Some(stage)) = (traits, stage) else { return Err(invalid(&wrong)) };
        if !wrong.is_empty() {
            return Err(invalid(&wrong));
        }
        let (as_of_ms, past, begins_ms) = moments;
        let explained = self.times.explain(&traits, stage, as_of_ms, past, begins_ms).await;
        let Some(explained) = explained else {
            return Err(invalid(&[Violation::new("stage", "has no model")]));
        };
        Ok(Response::new(reply::explanation(as_of_ms, &explained)))
    }

    async fn backtest_clearance_time(
        &self,
        request: Request<wire::BacktestClearanceTimeRequest>,
    ) -> Result<Response<wire::BacktestClearanceTimeResponse>, Status> {
        let request = validated(request)?;
        let mut wrong = Vec::new();
        let (as_of_ms, ..) = self.moments(request.as_of.as_ref(), None, &mut wrong);
        let stage = stage(request.stage, &mut wrong);
        let Some(stage) = stage.filter(|_| wrong.is_empty()) else { return Err(invalid(&wrong)) };
        let months = match u8::try_from(request.refit_months) {
            Ok(months @ 1..) => months,
            _ => REFIT_MONTHS,
        };
        let (data, report) = self.times.backtest(stage, months, as_of_ms).await.map_err(too_short)?;
        Ok(Response::new(reply::backtest(as_of_ms, data, &report)))
    }

    async fn set_office_hours(
        &self,
        request: Request<wire::SetOfficeHoursRequest>,
    ) -> Result<Response<wire::SetOfficeHoursResponse>, Status> {
        let request = validated(request)?;
        let now_ms = self.clock.now().unix_ms();
        let told = told(&request, now_ms).map_err(|wrong| invalid(&wrong))?;
        let changed = self.times.tell(told, now_ms).await.map_err(|error| match error {
            TellError::Store(error) => unavailable(error),
            TellError::Full(full) => CapabilityError {
                code: Code::ResourceExhausted,
                reason: "OFFICE_HOURS_TOO_MANY",
                service: SERVICE,
                message: full.to_string(),
                metadata: [("statements_max".to_owned(), STATEMENTS_MAX.to_string())].into(),
            }
            .into(),
        })?;
        Ok(Response::new(wire::SetOfficeHoursResponse { changed }))
    }

    async fn list_office_hours(
        &self,
        request: Request<wire::ListOfficeHoursRequest>,
    ) -> Result<Response<wire::ListOfficeHoursResponse>, Status> {
        let request = validated(request)?;
        let mut wrong = Vec::new();
        let (as_of_ms, ..) = self.moments(request.as_of.as_ref(), None, &mut wrong);
        if !wrong.is_empty() {
            return Err(invalid(&wrong));
        }
        let offices = self.times.told(as_of_ms, super::wire::statement);
        Ok(Response::new(wire::ListOfficeHoursResponse { offices }))
    }

    async fn record_clearance(
        &self,
        request: Request<Streaming<wire::RecordClearanceRequest>>,
    ) -> Result<Response<wire::RecordClearanceResponse>, Status> {
        let mut stream = request.into_inner();
        let mut done = wire::RecordClearanceResponse::default();
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            // Whatever ends the stream, the records before it are kept.
            let next = self.next(&mut stream, done.received).await;
            if let Ok(Some(sent)) = next {
                done.received += 1;
                batch.push(sent);
                if batch.len() >= BATCH_MAX {
                    self.keep(std::mem::take(&mut batch), &mut done).await?;
                }
                continue;
            }
            self.keep(std::mem::take(&mut batch), &mut done).await?;
            return next.map(|_| Response::new(done));
        }
    }
}

impl Adapter {
    async fn predicted(
        &self,
        request: &wire::PredictClearanceTimeRequest,
    ) -> Result<wire::PredictClearanceTimeResponse, Vec<Violation>> {
        let mut wrong = Vec::new();
        let traits = traits(request.consignment.as_ref(), "consignment", &mut wrong);
        let stages = stages(&request.stages, &mut wrong);
        let (as_of_ms, past, begins_ms) =
            self.moments(request.as_of.as_ref(), request.begins_at.as_ref(), &mut wrong);
        let Some(traits) = traits.filter(|_| wrong.is_empty()) else { return Err(wrong) };
        let query = Query { traits: &traits, stages: &stages, begins_ms };
        let answer = match past {
            true => self.times.predict_as_of(&query, as_of_ms).await,
            false => self.times.predict(&query, as_of_ms),
        };
        Ok(reply::prediction(as_of_ms, &answer))
    }

    async fn one_of_many(
        &self,
        number: u64,
        message: wire::BatchPredictClearanceTimeRequest,
    ) -> Result<wire::BatchPredictClearanceTimeResponse, Status> {
        if number >= RECORDS_MAX {
            return Err(too_many("requests"));
        }
        let at = |wrong: Vec<Violation>, inner: &str| {
            let at = |v: Violation| {
                Violation::new(format!("requests[{number}].{inner}{}", v.field), v.description)
            };
            invalid(&wrong.into_iter().map(at).collect::<Vec<_>>())
        };
        let wrong = message.violations();
        if !wrong.is_empty() {
            return Err(at(wrong, ""));
        }
        let request = message.request.unwrap_or_default();
        let prediction = self.predicted(&request).await.map_err(|wrong| at(wrong, "request."))?;
        Ok(wire::BatchPredictClearanceTimeResponse { id: message.id, prediction: Some(prediction) })
    }

    /// The moment whose knowledge is asked for, whether the request names it, and when the stage begins.
    fn moments(
        &self,
        as_of: Option<&prost_types::Timestamp>,
        begins_at: Option<&prost_types::Timestamp>,
        wrong: &mut Vec<Violation>,
    ) -> (i64, bool, i64) {
        let now_ms = self.clock.now().unix_ms();
        let as_of = moment(as_of, "as_of", wrong);
        if as_of.is_some_and(|as_of| as_of > now_ms) {
            wrong.push(Violation::new("as_of", "must not be in the future"));
        }
        let begins_at = moment(begins_at, "begins_at", wrong);
        let as_of_ms = as_of.unwrap_or(now_ms);
        (as_of_ms, as_of.is_some(), begins_at.unwrap_or(as_of_ms))
    }

    /// The stream's next record; `None` at its end.
    async fn next(
        &self,
        stream: &mut Streaming<wire::RecordClearanceRequest>,
        received: u64,
    ) -> Result<Option<Sent>, Status> {
        let Some(message) = stream.message().await? else { return Ok(None) };
        if received >= RECORDS_MAX {
            return Err(too_many("records"));
        }
        sent(&message, self.clock.now().unix_ms()).map(Some).map_err(|wrong| {
            let at = |v: Violation| Violation::new(format!("records[{received}].{}", v.field), v.description);
            invalid(&wrong.into_iter().map(at).collect::<Vec<_>>())
        })
    }

    async fn keep(&self, batch: Vec<Sent>, done: &mut wire::RecordClearanceResponse) -> Result<(), Status> {
        if batch.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = batch.iter().map(|sent| sent.record.shipment_id.clone()).collect();
        let first = done.received.saturating_sub(ids.len() as u64);
        let taken = self.times.record(batch, self.clock.now().unix_ms()).await.map_err(unavailable)?;
        done.recorded += taken.recorded;
        done.duplicates += taken.duplicates;
        done.stages_learned += taken.stages_learned;
        done.stages_under_way += taken.stages_under_way;
        if taken.refused {
            let at = taken.recorded + taken.duplicates;
            let id = usize::try_from(at).ok().and_then(|at| ids.get(at)).cloned().unwrap_or_default();
            let field = format!("records[{}].shipment_id", first + at);
            return Err(invalid(&[Violation::new(field, RecordError::TooMany(id).to_string())]));
        }
        Ok(())
    }
}

fn too_many(what: &str) -> Status {
    CapabilityError {
        code: Code::ResourceExhausted,
        reason: "RECORDS_TOO_MANY",
        service: SERVICE,
        message: format!("a stream takes {RECORDS_MAX} {what}; send the rest in another"),
        metadata: [("records_max".to_owned(), RECORDS_MAX.to_string())].into(),
    }
    .into()
}

fn too_short(error: BacktestError) -> Status {
    CapabilityError {
        code: Code::FailedPrecondition,
        reason: "BACKTEST_TOO_SHORT",
        service: SERVICE,
        message: error.to_string(),
        metadata: [].into(),
    }
    .into()
}

fn unavailable(error: StoreError) -> Status {
    // What a caller sees is not what the log says.
    tracing::error!(%error, "clearances could not be stored");
    CapabilityError {
        code: Code::Unavailable,
        reason: "STORE_UNAVAILABLE",
        service: SERVICE,
        message: "the records could not be stored; send the stream again".to_owned(),
        metadata: [].into(),
    }
    .into()
}

fn sent(message: &wire::RecordClearanceRequest, now_ms: i64) -> Result<Sent, Vec<Violation>> {
    let mut wrong = message.violations();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let traits = traits(message.consignment.as_ref(), "consignment", &mut wrong);
    let observed = moment(message.observed_at.as_ref(), "observed_at", &mut wrong);
    if observed.is_some_and(|observed| observed > now_ms) {
        wrong.push(Violation::new("observed_at", "must not be in the future"));
    }
    let milestones = milestones(message.milestones.unwrap_or_default(), &mut wrong);
    let known_at_ms = observed.unwrap_or(now_ms);
    if wrong.is_empty()
        && let Err(error) = milestones.check(known_at_ms)
    {
        let field = error.field().map_or("milestones".to_owned(), |field| format!("milestones.{field}"));
        wrong.push(Violation::new(field, error.to_string()));
    }
    let Some(traits) = traits.filter(|_| wrong.is_empty()) else { return Err(wrong) };
    let record = Record {
        shipment_id: message.shipment_id.clone(),
        known_at_ms,
        traits: Arc::new(traits),
        milestones,
    };
    // Without a time of its own, a record sent twice is the same record, whenever it arrives.
    let digest = match observed {
        Some(_) => record.digest(),
        None => Record { known_at_ms: i64::MIN, ..record.clone() }.digest(),
    };
    Ok(Sent { record, digest })
}

/// What is said of an office; without hours, what was said before is withdrawn.
fn told(request: &wire::SetOfficeHoursRequest, now_ms: i64) -> Result<Told, Vec<Violation>> {
    let mut wrong = Vec::new();
    let country = Country::parse(&request.country);
    let country = country.map_err(|e| wrong.push(Violation::new("country", e.to_string()))).ok();
    let known_at = moment(request.known_at.as_ref(), "known_at", &mut wrong);
    if known_at.is_some_and(|known_at| known_at > now_ms) {
        wrong.push(Violation::new("known_at", "must not be in the future"));
    }
    let Some(country) = country.filter(|_| wrong.is_empty()) else { return Err(wrong) };
    let hours =
        request.hours.as_ref().map(|hours| Hours::new(country, &super::wire::said(hours))).transpose();
    let hours = hours.map_err(|e| vec![Violation::new(format!("hours.{}", e.field), e.what)])?;
    let statement = Statement::new(country, &request.office, known_at.unwrap_or(now_ms), hours);
    Ok(Told { statement, hours: request.hours.clone().unwrap_or_default() })
}

fn traits(
    consignment: Option<&wire::Consignment>,
    field: &str,
    wrong: &mut Vec<Violation>,
) -> Option<Traits> {
    let Some(consignment) = consignment else {
        wrong.push(Violation::new(field, "is required"));
        return None;
    };
    let mut country = |name: &str, code: &str| {
        let parsed = Country::parse(code);
        parsed.map_err(|e| wrong.push(Violation::new(format!("{field}.{name}"), e.to_string()))).ok()
    };
    let destination = country("destination_country", &consignment.destination_country);
    let origin = Some(&consignment.origin_country).filter(|code| !code.is_empty());
    let origin = origin.and_then(|code| country("origin_country", code));
    Some(Traits {
        destination: destination?,
        origin,
        origin_site: consignment.origin_site.clone(),
        office: consignment.office.clone(),
        mode: mode(consignment.transport_mode()),
        hs_code: consignment.hs_code.clone(),
        regime: consignment.regime.clone(),
        importer_tier: consignment.importer_tier.clone(),
        supplier: consignment.supplier.clone(),
        product_group: consignment.product_group.clone(),
        incoterm: consignment.incoterm.clone(),
        inspected: match consignment.inspection() {
            wire::CustomsInspection::Unspecified => None,
            wire::CustomsInspection::None => Some(false),
            wire::CustomsInspection::Inspected => Some(true),
        },
    })
}

fn mode(mode: wire::TransportMode) -> Option<TransportMode> {
    match mode {
        wire::TransportMode::Unspecified => None,
        wire::TransportMode::Air => Some(TransportMode::Air),
        wire::TransportMode::AirCharter => Some(TransportMode::AirCharter),
        wire::TransportMode::Sea => Some(TransportMode::Sea),
        wire::TransportMode::Road => Some(TransportMode::Road),
        wire::TransportMode::Rail => Some(TransportMode::Rail),
        wire::TransportMode::Post => Some(TransportMode::Post),
    }
}

fn stages(asked: &[i32], wrong: &mut Vec<Violation>) -> Vec<Stage> {
    if asked.is_empty() {
        return Stage::CUSTOMS.to_vec();
    }
    let mut stages = Vec::with_capacity(Stage::ALL.len());
    for (i, &number) in asked.iter().enumerate() {
        match Stage::ALL.into_iter().find(|&stage| reply::stage_number(stage) == number) {
            Some(stage) if stages.contains(&stage) => {
                wrong.push(Violation::new(format!("stages[{i}]"), "is there already"));
            }
            Some(stage) => stages.push(stage),
            None => wrong.push(Violation::new(format!("stages[{i}]"), format!("{number} is not a stage"))),
        }
        if wrong.len() > Stage::ALL.len() {
            break;
        }
    }
    stages
}

fn stage(number: i32, wrong: &mut Vec<Violation>) -> Option<Stage> {
    let stage = Stage::ALL.into_iter().find(|&stage| reply::stage_number(stage) == number);
    if stage.is_none() {
        wrong.push(Violation::new("stage", format!("{number} is not a stage")));
    }
    stage
}

fn milestones(wire: wire::Milestones, wrong: &mut Vec<Violation>) -> Milestones {
    let moments = [
        wire.ordered_at,
        wire.arrived_at,
        wire.declared_at,
        wire.released_at,
        wire.gated_out_at,
        wire.delivered_at,
    ];
    let mut at = [None; 6];
    for ((slot, timestamp), name) in at.iter_mut().zip(&moments).zip(Moment::ALL) {
        *slot = moment(timestamp.as_ref(), &format!("milestones.{}", name.field()), wrong);
    }
    Milestones(at)
}

/// Unix milliseconds of a timestamp.
fn moment(at: Option<&prost_types::Timestamp>, field: &str, wrong: &mut Vec<Violation>) -> Option<i64> {
    let at = at?;
    if !TIMESTAMP_SECONDS.contains(&at.seconds) || !(0..1_000_000_000).contains(&at.nanos) {
        wrong.push(Violation::new(field, "is not a moment of the years 1 to 9999"));
        return None;
    }
    Some(at.seconds * 1000 + i64::from(at.nanos / 1_000_000))
}
