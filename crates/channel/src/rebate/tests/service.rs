//! The service as a caller sees it, over a database in memory.

use oaas_capability::Context;
use oaas_proto::google::rpc;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::rebate_service_client::RebateServiceClient;
use oaas_proto::oaas::channel::v1::rebate_service_server::RebateServiceServer;
use prost::Message as _;
use tonic::{Code, Status};

use super::super::grpc;

pub(super) type Client = RebateServiceClient<RebateServiceServer<grpc::Rebate>>;

async fn client() -> Client {
    let cx = Context::in_memory().await.unwrap();
    RebateServiceClient::new(grpc::server(&cx).await.unwrap())
}

/// A dealer plan: 1 % on everything below 1,000.00 in the month, 3 % on everything from there.
pub(super) fn dealer_plan() -> pb::Plan {
    let tier = |threshold, rate| pb::Tier { threshold, pay: Some(pb::tier::Pay::RateBp(rate)) };
    pb::Plan {
        plan_id: "dealer".to_owned(),
        currency: "CNY".to_owned(),
        jurisdiction: "CN".to_owned(),
        payee_kind: pb::PayeeKind::Company.into(),
        basis: pb::Basis::Sales.into(),
        effective_from: "2026-01-01".to_owned(),
        period: pb::PeriodKind::Month.into(),
        rounding: pb::Rounding::HalfUp.into(),
        tiers: Some(pb::TierSchedule {
            measure: pb::Measure::Amount.into(),
            scope: pb::TierScope::Period.into(),
            mode: pb::TierMode::Retroactive.into(),
            threshold_rule: pb::ThresholdRule::Reached.into(),
            tiers: vec![tier(0, 100), tier(100_000, 300)],
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn sale(event_id: &str, amount_minor: i64) -> pb::RecordFactsRequest {
    let sale = pb::Sale {
        event_id: event_id.to_owned(),
        occurred_on: "2026-03-15".to_owned(),
        amount_minor,
        currency: "CNY".to_owned(),
        quantity: 1,
        category: String::new(),
        chain: vec![pb::ChainMember { member_id: "d-1".to_owned(), grade: String::new() }],
        ..Default::default()
    };
    let fact = Some(pb::record_facts_request::Fact::Sale(sale));
    pb::RecordFactsRequest { plan_id: "dealer".to_owned(), fact }
}

pub(super) fn returned(event_id: &str, sale_event_id: &str, amount_minor: i64) -> pb::RecordFactsRequest {
    let fact = pb::SaleReturn {
        event_id: event_id.to_owned(),
        sale_event_id: sale_event_id.to_owned(),
        occurred_on: "2026-04-02".to_owned(),
        amount_minor,
        currency: "CNY".to_owned(),
        ..Default::default()
    };
    let fact = Some(pb::record_facts_request::Fact::SaleReturn(fact));
    pb::RecordFactsRequest { plan_id: "dealer".to_owned(), fact }
}

pub(super) async fn put(client: &mut Client, plan: pb::Plan) -> Result<pb::PutPlanResponse, Status> {
    client.put_plan(pb::PutPlanRequest { plan: Some(plan) }).await.map(tonic::Response::into_inner)
}

pub(super) async fn record(
    client: &mut Client,
    facts: Vec<pb::RecordFactsRequest>,
) -> Result<(i64, i64), Status> {
    let answer = client.record_facts(tokio_stream::iter(facts)).await?.into_inner();
    Ok((answer.recorded, answer.duplicates))
}

pub(super) async fn accrue(client: &mut Client) -> pb::AccruePeriodResponse {
    let request =
        pb::AccruePeriodRequest { plan_id: "dealer".to_owned(), period_date: "2026-03-31".to_owned() };
    client.accrue_period(request).await.unwrap().into_inner()
}

pub(super) async fn ledger(client: &mut Client) -> Vec<pb::LedgerLine> {
    let request = pb::ListLedgerRequest { plan_id: "dealer".to_owned(), page_size: 1, ..Default::default() };
    let mut lines = Vec::new();
    loop {
        let after_sequence = lines.last().map_or(0, |line: &pb::LedgerLine| line.sequence);
        let page = client.list_ledger(pb::ListLedgerRequest { after_sequence, ..request.clone() }).await;
        let page = page.unwrap().into_inner();
        assert!(page.lines.len() <= 1);
        lines.extend(page.lines);
        if page.next_after_sequence == 0 {
            return lines;
        }
    }
}

pub(super) fn error_info(status: &Status) -> rpc::ErrorInfo {
    let details = rpc::Status::decode(status.details()).unwrap().details;
    rpc::ErrorInfo::decode(details[0].value.as_slice()).unwrap()
}

pub(super) fn violated(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = rpc::Status::decode(status.details()).unwrap().details;
    let why = rpc::ErrorInfo::decode(details[0].value.as_slice()).unwrap();
    assert_eq!((why.reason.as_str(), why.domain.as_str()), ("FIELD_INVALID", "gateway.oaas"));
    let bad = rpc::BadRequest::decode(details[1].value.as_slice()).unwrap();
    bad.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_return_posts_the_difference_and_nothing_is_posted_twice() {
    let mut client = client().await;
    assert_eq!(put(&mut client, dealer_plan()).await.unwrap().version, 1);
    let sales = vec![sale("a", 60_000), sale("b", 90_000)];
    assert_eq!(record(&mut client, sales.clone()).await.unwrap(), (2, 0));
    assert_eq!(accrue(&mut client).await.posted_minor, 4_500);
    assert_eq!(record(&mut client, sales).await.unwrap(), (0, 2));
    assert_eq!(accrue(&mut client).await.posted, []);

    assert_eq!(record(&mut client, vec![returned("r", "b", 60_000)]).await.unwrap(), (1, 0));
    let accrual = accrue(&mut client).await;
    assert_eq!((accrual.posted_minor, accrual.balance_minor), (-3_600, 900));
    let text = accrual.posted[0].explanation.clone().unwrap();
    assert!(text.en.contains("claw-back of -36.00 CNY") && text.zh.contains("追回"), "{text:?}");

    let lines = ledger(&mut client).await;
    assert_eq!(lines.iter().map(|line| line.amount_minor).collect::<Vec<_>>(), [4_500, -3_600]);
    assert_eq!(lines[1].previous_sha256, lines[0].line_sha256);
    assert_eq!(lines[0].previous_sha256, "0".repeat(64));
}

#[tokio::test]
async fn facts_that_can_not_be_are_refused_and_leave_no_trace() {
    let mut client = client().await;
    let unknown = record(&mut client, vec![sale("a", 1)]).await.unwrap_err();
    assert_eq!((unknown.code(), error_info(&unknown).reason.as_str()), (Code::NotFound, "PLAN_UNKNOWN"));
    put(&mut client, dealer_plan()).await.unwrap();
    for (facts, reason) in [
        (vec![sale("a", 1), sale("a", 2)], "EVENT_ID_REUSED"),
        (vec![returned("r", "a", 1)], "SALE_UNKNOWN"),
        (vec![sale("a", 5), returned("r", "a", 3), returned("q", "a", 3)], "RETURN_REFUSED"),
    ] {
        assert_eq!(error_info(&record(&mut client, facts).await.unwrap_err()).reason, reason);
    }
    let mut foreign = sale("a", 5);
    if let Some(pb::record_facts_request::Fact::Sale(sale)) = &mut foreign.fact {
        sale.currency = "USD".to_owned();
    }
    let refused = record(&mut client, vec![foreign]).await.unwrap_err();
    assert_eq!(violated(&refused), ["facts[0].sale.currency"]);
    // One transaction each: the good facts before the bad one are gone too.
    assert_eq!(record(&mut client, vec![sale("a", 7)]).await.unwrap(), (1, 0));
}

#[tokio::test]
async fn a_forbidden_plan_is_refused_with_its_article() {
    let mut client = client().await;
    let fixed = pb::FixedLevels { rates_bp: vec![800, 200, 100] };
    let plan = pb::Plan {
        payee_kind: pb::PayeeKind::NaturalPerson.into(),
        levels: Some(pb::plan::Levels::Fixed(fixed)),
        tiers: None,
        ..dealer_plan()
    };
    let refused = put(&mut client, plan.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = error_info(&refused);
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("PLAN_FORBIDDEN", "oaas.channel.v1.RebateService")
    );
    assert!(info.metadata["article"].contains("Prohibition of Pyramid Selling, article 7 (3)"));
    assert!(info.metadata["article_zh"].contains("禁止传销条例"));

    let inline = pb::InlineSource { plan: Some(plan.clone()), sales: Vec::new(), ..Default::default() };
    let request = pb::CalculateRebateRequest {
        source: Some(pb::calculate_rebate_request::Source::Inline(inline)),
        period_date: "2026-03-01".to_owned(),
        member_id: String::new(),
    };
    let refused = client.calculate_rebate(request).await.unwrap_err();
    assert_eq!(error_info(&refused).reason, "PLAN_FORBIDDEN");

    let request = pb::ValidatePlanRequest { plan: Some(plan), on: String::new() };
    let answer = client.validate_plan(request).await.unwrap().into_inner();
    assert!(!answer.permitted);
    assert_eq!(answer.findings[0].severity(), pb::Severity::Block);
    assert_eq!(answer.findings[0].article.as_ref().unwrap().in_force_from, "2005-11-01");
}

#[tokio::test]
async fn a_malformed_plan_names_all_its_fields() {
    let mut client = client().await;
    // First what the contract says, then what only the calendar knows, then what the fields say together.
    let plan = pb::Plan { currency: "yuan".to_owned(), rounding: 9, ..dealer_plan() };
    assert_eq!(violated(&put(&mut client, plan).await.unwrap_err()), ["plan.currency", "plan.rounding"]);
    let plan = pb::Plan {
        effective_from: "2026-02-30".to_owned(),
        effective_until: "2026-13-01".to_owned(),
        ..dealer_plan()
    };
    let days = ["plan.effective_from", "plan.effective_until"];
    assert_eq!(violated(&put(&mut client, plan).await.unwrap_err()), days);
    let refused = put(&mut client, pb::Plan { tiers: None, ..dealer_plan() }).await.unwrap_err();
    assert_eq!(violated(&refused), ["plan.tiers"]);
}

#[tokio::test]
async fn a_later_version_begins_with_a_period_and_keeps_its_currency() {
    let mut client = client().await;
    put(&mut client, dealer_plan()).await.unwrap();
    let again = put(&mut client, dealer_plan()).await.unwrap();
    assert_eq!((again.version, again.unchanged), (1, true));
    let from = |day: &str| pb::Plan { effective_from: day.to_owned(), ..dealer_plan() };
    let refused = put(&mut client, from("2026-03-10")).await.unwrap_err();
    assert_eq!(error_info(&refused).reason, "PLAN_CONFLICT");
    let refused =
        put(&mut client, pb::Plan { currency: "USD".to_owned(), ..dealer_plan() }).await.unwrap_err();
    assert_eq!(error_info(&refused).reason, "PLAN_CONFLICT");
    let mut april = from("2026-04-01");
    april.payout_min_minor = 100_000;
    assert_eq!(put(&mut client, april).await.unwrap().version, 2);
    // March stays under version 1.
    record(&mut client, vec![sale("a", 60_000)]).await.unwrap();
    let accrual = accrue(&mut client).await;
    assert_eq!((accrual.plan_version, accrual.balance_minor), (1, 600));
}

#[tokio::test]
pub(super) async fn recorded_facts_and_the_same_in_the_request_give_the_same() {
    let mut client = client().await;
    put(&mut client, dealer_plan()).await.unwrap();
    let facts: Vec<_> = (0..600).map(|i| sale(&format!("s{i}"), 100 + i)).collect();
    assert_eq!(record(&mut client, facts.clone()).await.unwrap(), (600, 0));
    let sales = facts.into_iter().map(|fact| match fact.fact {
        Some(pb::record_facts_request::Fact::Sale(sale)) => sale,
        other => panic!("{other:?}"),
    });
    let inline = pb::InlineSource { plan: Some(dealer_plan()), sales: sales.collect(), ..Default::default() };
    let recorded = pb::RecordedSource { plan_id: "dealer".to_owned() };
    let mut answers = Vec::new();
    for source in [
        pb::calculate_rebate_request::Source::Inline(inline),
        pb::calculate_rebate_request::Source::Recorded(recorded),
    ] {
        let request = pb::CalculateRebateRequest {
            source: Some(source),
            period_date: "2026-03-01".to_owned(),
            member_id: String::new(),
        };
        let mut answer = client.calculate_rebate(request).await.unwrap().into_inner();
        answer.plan_version = 0;
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
    // 600 sales of 1.00 to 6.99 are 2,397.00, on all of which 3 % are paid.
    assert_eq!((answers[0].base_minor, answers[0].total_minor), (239_700, 7_191));
}

#[tokio::test]
async fn accruals_at_the_same_moment_post_once() {
    let folder = tempfile::tempdir().unwrap();
    let cx = Context {
        store: oaas_store::Store::open(&folder.path().join("oaas.db")).await.unwrap(),
        clock: oaas_model::SystemClock::shared(),
    };
    let mut client = RebateServiceClient::new(grpc::server(&cx).await.unwrap());
    put(&mut client, dealer_plan()).await.unwrap();
    record(&mut client, vec![sale("a", 60_000), sale("b", 90_000)]).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { accrue(&mut client).await.posted_minor })
        })
        .collect();
    let mut posted = 0;
    for task in tasks {
        posted += task.await.unwrap();
    }
    assert_eq!(posted, 4_500);
}
