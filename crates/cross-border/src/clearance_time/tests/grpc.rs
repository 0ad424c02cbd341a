//! The capability through its gRPC service, in process: wire in, wire out, a database behind.

use std::time::Duration;

use http_body_util::BodyExt as _;
use oaas_capability::{Body, Context, Registration};
use oaas_model::{Clock as _, ManualClock};
use oaas_proto::google::rpc;
use oaas_proto::oaas::cross_border::v1 as wire;
use oaas_store::Store;
use prost::Message as _;
use tonic::Code;
use tower::ServiceExt as _;
use wire::clearance_time_service_client::ClearanceTimeServiceClient;
use wire::{ClearanceStage, FallbackLevel};

use super::*;

type LocalClient = ClearanceTimeServiceClient<
    tower::util::MapRequest<
        oaas_capability::LocalService,
        fn(http::Request<tonic::body::Body>) -> http::Request<Body>,
    >,
>;

/// Of the record `released("S-1", 20, 400)`.
const DIGEST_OF_S_1: u64 = 0xba5e_6f29_56ba_7d55;

struct Bench {
    cx: Context,
    clock: Arc<ManualClock>,
    client: LocalClient,
}

impl Bench {
    async fn new() -> Self {
        Self::on(Store::in_memory().await.unwrap()).await
    }

    async fn on(store: Store) -> Self {
        let clock = Arc::new(ManualClock::at_unix_ns(NOW * 1_000_000));
        let cx = Context { store, clock: clock.clone() };
        let client = client(crate::services(&cx).await.unwrap().remove(0));
        Self { cx, clock, client }
    }

    /// The same database and clock, after a restart.
    async fn restarted(mut self) -> Self {
        self.client = client(crate::services(&self.cx).await.unwrap().remove(0));
        self
    }

    async fn record(
        &mut self,
        records: Vec<wire::RecordClearanceRequest>,
    ) -> Result<wire::RecordClearanceResponse, tonic::Status> {
        self.client.record_clearance(tokio_stream::iter(records)).await.map(tonic::Response::into_inner)
    }

    async fn predict(
        &mut self,
        request: wire::PredictClearanceTimeRequest,
    ) -> Result<wire::PredictClearanceTimeResponse, tonic::Status> {
        self.client.predict_clearance_time(request).await.map(tonic::Response::into_inner)
    }

    /// Median of the release, Shanghai by sea from the US.
    async fn median(&mut self, as_of: Option<i64>) -> f64 {
        let answer = self.predict(ask(as_of)).await.unwrap();
        answer.stages[0].quantiles[4].hours
    }
}

fn client(registration: Registration) -> LocalClient {
    assert_eq!(registration.name, "oaas.cross_border.v1.ClearanceTimeService");
    let boxed: fn(http::Request<tonic::body::Body>) -> http::Request<Body> =
        |request| request.map(|body| body.map_err(Into::into).boxed_unsync());
    ClearanceTimeServiceClient::new(registration.service.map_request(boxed))
}

fn consignment() -> wire::Consignment {
    wire::Consignment {
        destination_country: "CN".to_owned(),
        origin_country: "US".to_owned(),
        transport_mode: wire::TransportMode::Sea.into(),
        office: "CNSHA".to_owned(),
        hs_code: "330499".to_owned(),
        ..Default::default()
    }
}

fn ask(as_of: Option<i64>) -> wire::PredictClearanceTimeRequest {
    wire::PredictClearanceTimeRequest {
        consignment: Some(consignment()),
        stages: vec![ClearanceStage::DeclarationToRelease.into()],
        as_of: as_of.map(at),
        begins_at: None,
    }
}

fn at(unix_ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: unix_ms.div_euclid(1000), nanos: 0 }
}

/// A shipment declared `days` before now and released after `hours`, known at the release.
fn released(id: &str, days: i64, hours: i64) -> wire::RecordClearanceRequest {
    let (declared, released) = (NOW - days * DAY, NOW - days * DAY + hours * HOUR);
    wire::RecordClearanceRequest {
        shipment_id: id.to_owned(),
        consignment: Some(consignment()),
        milestones: Some(wire::Milestones {
            declared_at: Some(at(declared)),
            released_at: Some(at(released)),
            ..Default::default()
        }),
        observed_at: Some(at(released)),
    }
}

fn violations(status: &tonic::Status) -> Vec<(String, String)> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = rpc::Status::decode(status.details()).unwrap().details;
    let why = rpc::ErrorInfo::decode(details[0].value.as_slice()).unwrap();
    assert_eq!((why.reason.as_str(), why.domain.as_str()), ("FIELD_INVALID", "gateway.oaas"));
    let bad = rpc::BadRequest::decode(details[1].value.as_slice()).unwrap();
    bad.field_violations.into_iter().map(|v| (v.field, v.description)).collect()
}

#[tokio::test]
async fn an_empty_database_answers_with_the_country_prior() {
    let mut bench = Bench::new().await;
    let all = wire::PredictClearanceTimeRequest { stages: Vec::new(), ..ask(None) };
    let answer = bench.predict(all).await.unwrap();
    assert_eq!(answer.as_of, Some(at(NOW)));
    assert_eq!(answer.model_version, "additive-2@2026-01-01T00:00:00Z+0");
    assert_eq!(answer.data_version, "0-0000000000000000");
    assert_eq!(answer.stages.len(), 3);
    let release = &answer.stages[1];
    assert_eq!(release.stage(), ClearanceStage::DeclarationToRelease);
    assert_eq!(release.fallback_level(), FallbackLevel::CountryPrior);
    assert!((release.quantiles[4].hours - 48.0).abs() < 1e-6);
    assert!(release.prior_source.contains("Doing Business 2018"));
    assert_eq!(answer.stages[2].fallback_level(), FallbackLevel::Global);
    assert_eq!(answer.total.len(), 9);
    assert!(answer.total[4].hours > release.quantiles[4].hours);
}

#[tokio::test]
async fn a_record_moves_the_answer_once_however_often_it_is_sent() {
    let mut bench = Bench::new().await;
    let before = bench.median(None).await;
    let record = released("S-1", 20, 400);
    let done = bench.record(vec![record.clone(), record.clone()]).await.unwrap();
    assert_eq!((done.received, done.recorded, done.duplicates), (2, 1, 1));
    assert_eq!((done.stages_learned, done.stages_under_way), (1, 1), "gate-out has begun");
    let after = bench.median(None).await;
    assert!(after > before, "{after} after {before}");
    let again = bench.record(vec![record.clone()]).await.unwrap();
    assert_eq!((again.recorded, again.duplicates, again.stages_learned), (0, 1, 0));
    assert_eq!(bench.median(None).await, after);

    // Without a time of its own a record is the same record, whenever it arrives.
    let timeless = wire::RecordClearanceRequest { observed_at: None, ..released("S-2", 10, 30) };
    assert_eq!(bench.record(vec![timeless.clone()]).await.unwrap().recorded, 1);
    bench.clock.advance(Duration::from_secs(3600));
    assert_eq!(bench.record(vec![timeless]).await.unwrap().duplicates, 1);
}

#[tokio::test]
async fn many_records_refit_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("t.db")).await.unwrap();
    let mut bench = Bench::on(store).await;
    let records: Vec<_> = (0..1200).map(|i| released(&format!("S-{i}"), 30, 100 + i % 50)).collect();
    let done = bench.record(records).await.unwrap();
    assert_eq!((done.received, done.recorded, done.stages_learned), (1200, 1200, 1200));
    let answer = bench.predict(ask(None)).await.unwrap();
    assert_eq!(answer.stages[0].fallback_level(), FallbackLevel::Lane);
    assert!(answer.stages[0].n_effective > 1000.0);
    assert!((answer.stages[0].quantiles[4].hours - 125.0).abs() < 10.0, "{:?}", answer.stages[0]);
    assert!(answer.stages[0].prior_source.is_empty());
    assert!(answer.stages[0].drivers.iter().all(|driver| driver.n > 1000.0 && driver.shrunk < 0.1));

    let mut bench = bench.restarted().await;
    let again = bench.predict(ask(None)).await.unwrap();
    assert_eq!(again.data_version, answer.data_version);
    let (was, is) = (answer.stages[0].quantiles[4].hours, again.stages[0].quantiles[4].hours);
    assert!((is / was - 1.0).abs() < 0.02, "{is} after the restart, {was} before");
}

#[tokio::test]
async fn the_past_is_answered_from_what_was_known_then() {
    let mut bench = Bench::new().await;
    let early: Vec<_> = (0..20).map(|i| released(&format!("E-{i}"), 90, 70 + i)).collect();
    bench.record(early).await.unwrap();
    let moment = Some(NOW - 60 * DAY);
    let before = bench.predict(ask(moment)).await.unwrap();
    assert_eq!(before.as_of, moment.map(at));
    let late: Vec<_> = (0..200).map(|i| released(&format!("L-{i}"), 30, 400 + i)).collect();
    bench.record(late).await.unwrap();
    assert_eq!(bench.predict(ask(moment)).await.unwrap(), before);
    assert!(bench.median(None).await > 2.0 * before.stages[0].quantiles[4].hours);
    assert!((bench.median(Some(NOW - 100 * DAY)).await - 48.0).abs() < 1e-6, "nothing was known yet");
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let mut bench = Bench::new().await;
    let future = bench.predict(ask(Some(bench.clock.now().unix_ms() + 1000))).await.unwrap_err();
    assert_eq!(violations(&future), [("as_of".to_owned(), "must not be in the future".to_owned())]);
    let mut lower = ask(None);
    lower.consignment.as_mut().unwrap().destination_country = "cn".to_owned();
    assert_eq!(violations(&bench.predict(lower).await.unwrap_err())[0].0, "consignment.destination_country");
    let none = wire::PredictClearanceTimeRequest { consignment: None, ..ask(None) };
    assert_eq!(violations(&bench.predict(none).await.unwrap_err())[0].0, "consignment");

    // What came before a bad record is kept, so the stream can be sent again.
    let bad = released("S-2", 20, -5);
    let status = bench.record(vec![released("S-1", 20, 5), bad]).await.unwrap_err();
    assert_eq!(violations(&status)[0].0, "records[1].milestones.released_at");
    let again = bench.record(vec![released("S-1", 20, 5)]).await.unwrap();
    assert_eq!((again.recorded, again.duplicates), (0, 1));
}

/// A database of before inspections were recorded: its rows are read, and a record of it sent once more is known.
#[tokio::test]
async fn records_of_before_there_were_inspections_are_still_known() {
    let mut bench = Bench::new().await;
    let record = released("S-1", 20, 400);
    bench.record(vec![record.clone()]).await.unwrap();
    let pool = bench.cx.store.pool();
    // FNV-1a over its texts and times, as it has always been.
    let digest: i64 = sqlx::query_scalar("SELECT sent_digest FROM cross_border_clearance_records")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(digest.cast_unsigned(), DIGEST_OF_S_1);
    let column: Option<i64> = sqlx::query_scalar("SELECT inspected FROM cross_border_clearance_records")
        .fetch_one(pool)
        .await
        .unwrap();
    assert_eq!(column, None, "what an old row has after the migration");
    let mut bench = bench.restarted().await;
    assert_eq!(bench.record(vec![record.clone()]).await.unwrap().duplicates, 1);
    // That it was inspected is news.
    let mut inspected = record;
    inspected.consignment.as_mut().unwrap().inspection = wire::CustomsInspection::Inspected.into();
    assert_eq!(bench.record(vec![inspected]).await.unwrap().recorded, 1);
}

#[tokio::test]
async fn a_shipment_takes_a_limited_number_of_records() {
    let mut bench = Bench::new().await;
    let mut records: Vec<_> = (1..=32).map(|hours| released("S", 90, hours)).collect();
    assert_eq!(bench.record(records.clone()).await.unwrap().recorded, 32);
    assert_eq!(bench.record(records.clone()).await.unwrap().duplicates, 32);
    records.push(released("S", 90, 33));
    let status = bench.record(records).await.unwrap_err();
    assert_eq!(
        violations(&status),
        [("records[32].shipment_id".to_owned(), "shipment \"S\" has 32 records already".to_owned())]
    );
}

#[tokio::test]
async fn a_batch_answers_each_request_in_its_order() {
    let mut bench = Bench::new().await;
    bench.record((0..20).map(|i| released(&format!("E-{i}"), 90, 70 + i)).collect()).await.unwrap();
    let ask_as = |id: &str, as_of| wire::BatchPredictClearanceTimeRequest {
        id: id.to_owned(),
        request: Some(ask(as_of)),
    };
    let past = Some(NOW - 100 * DAY);
    let requests = vec![ask_as("now", None), ask_as("past", past), ask_as("again", None)];
    let answers = bench.client.batch_predict_clearance_time(tokio_stream::iter(requests)).await.unwrap();
    let answers: Vec<_> = tokio_stream::StreamExt::collect(answers.into_inner()).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let ids: Vec<_> = answers.iter().map(|answer| answer.id.as_str()).collect();
    assert_eq!(ids, ["now", "past", "again"]);
    for (answer, as_of) in answers.iter().zip([None, past, None]) {
        let single = bench.predict(ask(as_of)).await.unwrap();
        assert_eq!(answer.prediction.as_ref().unwrap(), &single, "{}", answer.id);
    }

    // A bad request ends the stream, after the answers to those before it.
    let mut bad = ask_as("bad", None);
    bad.request.as_mut().unwrap().consignment.as_mut().unwrap().destination_country = "cn".to_owned();
    let future = ask_as("future", Some(NOW + DAY));
    for (bad, field) in
        [(bad, "requests[1].request.consignment.destination_country"), (future, "requests[1].request.as_of")]
    {
        let requests = vec![ask_as("good", None), bad, ask_as("never", None)];
        let answers = bench.client.batch_predict_clearance_time(tokio_stream::iter(requests)).await.unwrap();
        let answers: Vec<_> = tokio_stream::StreamExt::collect(answers.into_inner()).await;
        let [Ok(good), Err(status)] = answers.as_slice() else { panic!("{answers:?}") };
        assert_eq!(good.id, "good");
        assert_eq!(violations(status)[0].0, field);
    }
}

#[tokio::test]
async fn an_explanation_multiplies_to_the_forecast() {
    let mut bench = Bench::new().await;
    bench.record((0..60).map(|i| released(&format!("E-{i}"), 90, 70 + i)).collect()).await.unwrap();
    let asked = wire::ExplainClearanceTimeRequest {
        consignment: Some(consignment()),
        stage: ClearanceStage::DeclarationToRelease.into(),
        ..Default::default()
    };
    let why = bench.client.explain_clearance_time(asked.clone()).await.unwrap().into_inner();
    let answer = bench.predict(ask(None)).await.unwrap();
    assert_eq!(why.forecast.as_ref(), answer.stages.first());
    assert_eq!((&why.model_version, &why.data_version), (&answer.model_version, &answer.data_version));
    let product: f64 = why.factors.iter().map(|factor| factor.factor).product();
    assert!(((1.0 + why.base_hours) * product - 1.0 - why.middle_hours).abs() < 1e-6, "{why:?}");
    // Destination, office, mode, chapter and what is made of them; no regime, tier, supplier, class or Incoterm.
    let traits: Vec<_> = why.factors.iter().map(|factor| factor.r#trait.as_str()).collect();
    assert_eq!(
        traits,
        ["country", "mode", "office", "hs_chapter", "origin", "office_mode", "hs_office", "lane"]
    );
    assert!((why.middle_hours - 99.0).abs() < 15.0 && why.spread > 1.0, "{why:?}");
    assert_eq!(why.tracker.unwrap().factors, [1.0; 9]);
    let past = wire::ExplainClearanceTimeRequest { as_of: Some(at(NOW - 100 * DAY)), ..asked.clone() };
    let past = bench.client.explain_clearance_time(past).await.unwrap().into_inner();
    assert!((past.middle_hours - 48.0).abs() < 1e-6, "nothing was known then: {past:?}");
    let none = wire::ExplainClearanceTimeRequest { stage: 0, ..asked };
    assert_eq!(violations(&bench.client.explain_clearance_time(none).await.unwrap_err())[0].0, "stage");
}

#[tokio::test]
async fn a_backtest_scores_what_was_recorded() {
    let mut bench = Bench::new().await;
    let ask = |as_of: Option<i64>| wire::BacktestClearanceTimeRequest {
        stage: ClearanceStage::DeclarationToRelease.into(),
        refit_months: 3,
        as_of: as_of.map(at),
    };
    let status = bench.client.backtest_clearance_time(ask(None)).await.unwrap_err();
    let details = rpc::Status::decode(status.details()).unwrap().details;
    let why = rpc::ErrorInfo::decode(details[0].value.as_slice()).unwrap();
    assert_eq!((status.code(), why.reason.as_str()), (Code::FailedPrecondition, "BACKTEST_TOO_SHORT"));

    let two_years = (0..730).map(|i| released(&format!("S-{i}"), 800 - i, 20 + i * 37 % 101));
    bench.record(two_years.collect()).await.unwrap();
    let report = bench.client.backtest_clearance_time(ask(None)).await.unwrap().into_inner();
    assert!(report.cases > 300 && report.refits >= 4, "{report:?}");
    assert!((report.mean_hours - 70.0).abs() < 5.0, "{report:?}");
    assert_eq!(report.scores.len(), 3);
    for score in &report.scores {
        // The best that can be had of a uniform spread of 101 hours is a CRPS of 2 × 11/120 of it.
        assert!(score.crps_hours > 17.0 && score.crps_hours < 24.0, "{score:?}");
        assert!((0.65..0.95).contains(&score.coverage) && score.held.len() == 9, "{score:?}");
    }
    // Records of after the moment change nothing.
    let moment = Some(NOW - 200 * DAY);
    let before = bench.client.backtest_clearance_time(ask(moment)).await.unwrap().into_inner();
    assert!(before.cases > 0 && before.cases < report.cases, "{before:?}");
    bench.record(vec![released("late", 20, 400)]).await.unwrap();
    assert_eq!(bench.client.backtest_clearance_time(ask(moment)).await.unwrap().into_inner(), before);
}

#[tokio::test]
async fn hours_and_inspections_of_an_office_are_in_the_answer_and_survive_a_restart() {
    let mut bench = Bench::new().await;
    // Lodged and released on the afternoons of working days in Shanghai; each fourth is inspected and takes a
    // day more.
    let mut records = Vec::new();
    for day in 20..160 {
        let noon = NOW - day * DAY + 5 * HOUR;
        let weekday = (noon.div_euclid(DAY) + 4).rem_euclid(7);
        if !(1..=4).contains(&weekday) {
            continue;
        }
        let slow = records.len() % 4 == 0;
        let took = if slow { 26 } else { 1 + day % 4 };
        let mut record = released(&format!("S-{day}"), 0, 0);
        record.consignment.as_mut().unwrap().inspection = if slow { 2 } else { 1 };
        record.milestones = Some(wire::Milestones {
            declared_at: Some(at(noon)),
            released_at: Some(at(noon + took * HOUR)),
            ..Default::default()
        });
        record.observed_at = Some(at(noon + took * HOUR));
        records.push(record);
    }
    bench.record(records).await.unwrap();
    let mut bench = bench.restarted().await;
    // 2026-02-13T09:00:00Z: Friday afternoon at five; Saturday is a make-up day, then comes the festival.
    let festival = wire::PredictClearanceTimeRequest { begins_at: Some(at(1_770_973_200_000)), ..ask(None) };
    let answer = bench.predict(festival.clone()).await.unwrap();
    let stage = &answer.stages[0];
    assert_eq!(stage.opening(), wire::OfficeOpening::OfficeHours);
    let inspection = stage.inspection.unwrap();
    assert!((inspection.probability - 0.25).abs() < 0.1 && inspection.factor > 1.5, "{inspection:?}");
    let (low, high) = (&stage.quantiles[0], &stage.quantiles[8]);
    assert!(low.working_hours <= low.hours && low.hours < 24.0, "{low:?}");
    assert!(high.working_hours > 8.0 && high.hours > 9.0 * 24.0, "the festival lies between: {high:?}");

    let known = |number| {
        let mut request = festival.clone();
        request.consignment.as_mut().unwrap().inspection = number;
        request
    };
    let without = bench.predict(known(1)).await.unwrap().stages.remove(0);
    let with = bench.predict(known(2)).await.unwrap().stages.remove(0);
    assert!(without.quantiles[8].working_hours < with.quantiles[4].working_hours);
    assert_eq!((without.inspection.unwrap().probability, with.inspection.unwrap().probability), (0.0, 1.0));
}

fn hours(from_minute: u32, to_minute: u32) -> Option<wire::OfficeHours> {
    let span = |weekday| wire::OfficeWeekSpan { weekday, from_minute, to_minute };
    Some(wire::OfficeHours { week: (1..=5).map(span).collect(), ..Default::default() })
}

fn set(hours: Option<wire::OfficeHours>, known_at: Option<i64>) -> wire::SetOfficeHoursRequest {
    let known_at = known_at.map(at);
    wire::SetOfficeHoursRequest { country: "CN".into(), office: "CNSHA".into(), hours, known_at }
}

#[tokio::test]
async fn office_hours_are_said_known_from_a_moment_kept_and_withdrawn() {
    let mut bench = Bench::new().await;
    bench.record(vec![released("S-1", 20, 40), released("S-2", 18, 30)]).await.unwrap();
    let opening = |answer: &wire::PredictClearanceTimeResponse| {
        (answer.stages[0].opening(), answer.stages[0].opening_source())
    };
    let learned = (wire::OfficeOpening::RoundTheClock, wire::OpeningSource::Learned);
    let configured = (wire::OfficeOpening::Configured, wire::OpeningSource::Configured);
    let plain = bench.predict(ask(None)).await.unwrap();
    assert_eq!(opening(&plain), learned);
    let said = bench.client.set_office_hours(set(hours(540, 1_020), Some(NOW - 5 * DAY))).await.unwrap();
    assert!(said.into_inner().changed);
    let again = bench.client.set_office_hours(set(hours(540, 1_020), None)).await.unwrap();
    assert!(!again.into_inner().changed, "it held already");
    let now = bench.predict(ask(None)).await.unwrap();
    assert_eq!(opening(&now), configured);
    assert_ne!(now.data_version, plain.data_version);
    let longest = &now.stages[0].quantiles[8];
    assert!(longest.working_hours < longest.hours, "{longest:?}");
    // Known five days ago, not six; and nothing is forgotten.
    assert_eq!(opening(&bench.predict(ask(Some(NOW - 5 * DAY))).await.unwrap()), configured);
    assert_eq!(opening(&bench.predict(ask(Some(NOW - 6 * DAY))).await.unwrap()), learned);
    let mut bench = bench.restarted().await;
    assert_eq!(bench.predict(ask(None)).await.unwrap().stages, now.stages);
    let list = wire::ListOfficeHoursRequest { as_of: None };
    let listed = bench.client.list_office_hours(list).await.unwrap().into_inner().offices;
    assert_eq!((listed.len(), listed[0].office.as_str()), (1, "CNSHA"));
    let kept = listed[0].hours.clone().unwrap();
    assert_eq!((kept.time_zone.as_str(), kept.week), ("Asia/Shanghai", hours(540, 1_020).unwrap().week));
    bench.clock.advance(Duration::from_secs(3600));
    assert!(bench.client.set_office_hours(set(None, None)).await.unwrap().into_inner().changed);
    assert_eq!(opening(&bench.predict(ask(None)).await.unwrap()), learned);
    assert_eq!(opening(&bench.predict(ask(Some(NOW))).await.unwrap()), configured);
    assert!(bench.client.list_office_hours(list).await.unwrap().into_inner().offices.is_empty());
}

#[tokio::test]
async fn office_hours_that_are_none_are_refused_by_field() {
    let mut bench = Bench::new().await;
    let mut refused = async |request| {
        let status = bench.client.set_office_hours(request).await.unwrap_err();
        violations(&status).into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    assert_eq!(refused(set(hours(1_020, 540), None)).await, ["hours.week[0]"]);
    assert_eq!(refused(set(hours(540, 1_020), Some(NOW + DAY))).await, ["known_at"]);
    let mut mars = hours(540, 1_020).unwrap();
    mars.time_zone = "Mars/Base".into();
    assert_eq!(refused(set(Some(mars), None)).await, ["hours.time_zone"]);
    let mut full = set(hours(540, 1_020), None);
    full.country = "china".into();
    assert_eq!(refused(full).await, ["country"]);
}
