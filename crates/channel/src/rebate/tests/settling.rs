//! Ledger lines explained, periods settled, members moved, drafts simulated, through the service.

use std::sync::Arc;

use oaas_capability::Context;
use oaas_model::{Clock as _, ManualClock};
use oaas_proto::oaas::channel::v1 as pb;
use pb::record_facts_request::Fact;
use tonic::Code;

use super::super::grpc;
use super::service::{
    Client, accrue, dealer_plan, error_info, ledger, put, record, returned, sale, violated,
};

/// Noon of a day, Unix nanoseconds.
fn at(day: &str) -> i64 {
    let noon: jiff::Timestamp = format!("{day}T12:00:00Z").parse().unwrap();
    i64::try_from(noon.as_nanosecond()).unwrap()
}

pub(super) fn goes_on_to(clock: &ManualClock, day: &str) {
    let left = at(day) - clock.now().unix_ns;
    clock.advance(std::time::Duration::from_nanos(u64::try_from(left).unwrap()));
}

pub(super) async fn client_at(day: &str) -> (Client, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_unix_ns(at(day)));
    let cx = Context { clock: clock.clone(), ..Context::in_memory().await.unwrap() };
    (Client::new(grpc::server(&cx).await.unwrap()), clock)
}

pub(super) fn on(mut fact: pb::RecordFactsRequest, day: &str) -> pb::RecordFactsRequest {
    match &mut fact.fact {
        Some(Fact::Sale(sale)) => sale.occurred_on = day.to_owned(),
        Some(Fact::SaleReturn(fact)) => fact.occurred_on = day.to_owned(),
        other => panic!("{other:?}"),
    }
    fact
}

fn by(mut fact: pb::RecordFactsRequest, member: &str) -> pb::RecordFactsRequest {
    if let Some(Fact::Sale(sale)) = &mut fact.fact {
        sale.chain[0].member_id = member.to_owned();
    }
    fact
}

pub(super) async fn settle_month(
    client: &mut Client,
    day: &str,
) -> Result<pb::SettlePeriodResponse, tonic::Status> {
    let request = pb::SettlePeriodRequest { plan_id: "dealer".to_owned(), period_date: day.to_owned() };
    client.settle_period(request).await.map(tonic::Response::into_inner)
}

async fn statement(client: &mut Client, day: &str, member: &str) -> pb::GetStatementResponse {
    let request = pb::GetStatementRequest {
        plan_id: "dealer".to_owned(),
        member_id: member.to_owned(),
        period_date: day.to_owned(),
    };
    client.get_statement(request).await.unwrap().into_inner()
}

/// Opening, accrued, adjusted, paid, carried.
pub(super) fn numbers(statement: &pb::Statement) -> [i64; 5] {
    let s = statement;
    assert_eq!(s.opening_minor + s.accrued_minor + s.adjusted_minor, s.paid_minor + s.carried_minor);
    [s.opening_minor, s.accrued_minor, s.adjusted_minor, s.paid_minor, s.carried_minor]
}

#[tokio::test]
async fn crossing_a_tier_shows_the_true_up() {
    let (mut client, _) = client_at("2026-04-02").await;
    put(&mut client, dealer_plan()).await.unwrap();
    record(&mut client, vec![sale("a", 60_000)]).await.unwrap();
    assert_eq!(accrue(&mut client).await.posted_minor, 600);
    record(&mut client, vec![sale("b", 90_000)]).await.unwrap();
    accrue(&mut client).await;
    let lines = ledger(&mut client).await;
    // 3 % of 900.00 for the new sale, and 2 % more of the earlier 600.00.
    assert_eq!((lines[1].amount_minor, lines[1].true_up_minor), (3_900, 1_200));
    let tier = |rate_bp, threshold, base| Some(pb::TierReached { threshold, rate_bp, unit_minor: 0, base });
    assert_eq!((lines[1].tier_before, lines[1].tier), (tier(100, 0, 60_000), tier(300, 100_000, 150_000)));
    assert!(lines[1].explanation.as_ref().unwrap().en.contains("12.00 CNY of it brings earlier sales"));

    let request = pb::ExplainLineRequest { plan_id: "dealer".to_owned(), sequence: 2 };
    let told = client.explain_line(request).await.unwrap().into_inner();
    assert_eq!(told.line.as_ref(), Some(&lines[1]));
    assert_eq!(
        told.steps.iter().map(|step| step.en.as_str()).collect::<Vec<_>>(),
        [
            "1500.00 CNY reaches the tier from 1000.00 CNY, which pays on everything: 1500.00 CNY × 3.00 % = 45.00 CNY",
            "so the period from 2026-03-01 pays 45.00 CNY, from 2 facts",
            "45.00 CNY less 6.00 CNY posted before = 39.00 CNY",
            "12.00 CNY of it is the true-up of the earlier 600.00 CNY from 1.00 % to 3.00 %",
        ]
    );
    assert!(told.steps[3].zh.contains("补差"));
    let detail = told.detail.unwrap();
    assert_eq!((detail.event_ids, detail.event_count), (vec!["a".to_owned(), "b".to_owned()], 2));

    for (plan_id, sequence, reason) in [("dealer", 9, "LINE_UNKNOWN"), ("nobody", 1, "PLAN_UNKNOWN")] {
        let request = pb::ExplainLineRequest { plan_id: plan_id.to_owned(), sequence };
        assert_eq!(error_info(&client.explain_line(request).await.unwrap_err()).reason, reason);
    }
}

#[tokio::test]
async fn a_debt_is_carried_and_set_off_against_the_next_period() {
    let (mut client, clock) = client_at("2026-03-31").await;
    put(&mut client, dealer_plan()).await.unwrap();
    record(&mut client, vec![sale("a", 60_000), sale("b", 90_000), by(sale("c", 5_000), "d-2")])
        .await
        .unwrap();
    let open = settle_month(&mut client, "2026-03-15").await.unwrap_err();
    assert_eq!((open.code(), error_info(&open).reason.as_str()), (Code::FailedPrecondition, "PERIOD_OPEN"));
    goes_on_to(&clock, "2026-04-01");
    let march = settle_month(&mut client, "2026-03-15").await.unwrap();
    assert_eq!((march.paid_minor, march.carried_minor, march.settled_before), (4_550, 0, false));
    assert_eq!(numbers(&march.statements[0]), [0, 4_500, 0, 4_500, 0]);

    // After that most of March comes back, and April earns less than that.
    record(&mut client, vec![returned("r", "b", 60_000), on(sale("d", 20_000), "2026-04-10")]).await.unwrap();
    accrue(&mut client).await;
    goes_on_to(&clock, "2026-05-01");
    let april = settle_month(&mut client, "2026-04-30").await.unwrap();
    assert_eq!(april.statements.len(), 1);
    assert_eq!(numbers(&april.statements[0]), [0, 200, -3_600, 0, -3_400]);
    let words = april.statements[0].explanation.clone().unwrap();
    assert!(words.en.contains("a debt, which is carried") && words.zh.contains("欠款"), "{words:?}");

    record(&mut client, vec![on(sale("e", 200_000), "2026-05-10")]).await.unwrap();
    goes_on_to(&clock, "2026-06-01");
    let may = settle_month(&mut client, "2026-05-31").await.unwrap();
    assert_eq!(numbers(&may.statements[0]), [-3_400, 6_000, 0, 2_600, 0]);

    // The same again is the same, and an earlier period can't follow a later one.
    let again = settle_month(&mut client, "2026-05-01").await.unwrap();
    assert_eq!(again, pb::SettlePeriodResponse { settled_before: true, ..may });
    let earlier = settle_month(&mut client, "2026-02-01").await.unwrap_err();
    assert_eq!(error_info(&earlier).reason, "PERIOD_ORDER");

    let told = statement(&mut client, "2026-04-30", "d-1").await;
    assert_eq!(told.lines.iter().map(|line| line.amount_minor).collect::<Vec<_>>(), [-3_600, 200]);
    let asked = |member: &str, day: &str| pb::GetStatementRequest {
        plan_id: "dealer".to_owned(),
        member_id: member.to_owned(),
        period_date: day.to_owned(),
    };
    for (request, reason) in [
        (asked("d-9", "2026-03-01"), "STATEMENT_UNKNOWN"),
        (asked("d-1", "2026-07-01"), "PERIOD_NOT_SETTLED"),
    ] {
        assert_eq!(error_info(&client.get_statement(request).await.unwrap_err()).reason, reason);
    }

    // All that was ever posted is paid or carried.
    let posted: i64 = ledger(&mut client).await.iter().map(|line| line.amount_minor).sum();
    assert_eq!(posted, march.paid_minor + april.paid_minor + again.paid_minor + again.carried_minor);
    let request = pb::ListStatementsRequest {
        plan_id: "dealer".to_owned(),
        period_date: "2026-03-01".to_owned(),
        page_size: 1,
        ..Default::default()
    };
    let first = client.list_statements(request.clone()).await.unwrap().into_inner();
    assert_eq!((first.statements.len(), first.next_after_member_id.as_str()), (1, "d-1"));
    let request = pb::ListStatementsRequest { after_member_id: first.next_after_member_id, ..request };
    let second = client.list_statements(request).await.unwrap().into_inner();
    assert_eq!((second.statements[0].member_id.as_str(), second.next_after_member_id.as_str()), ("d-2", ""));
}

fn step(member_id: &str, parent_id: &str, effective_on: &str) -> pb::MoveMemberRequest {
    pb::MoveMemberRequest {
        plan_id: "dealer".to_owned(),
        member_id: member_id.to_owned(),
        parent_id: parent_id.to_owned(),
        grade: String::new(),
        effective_on: effective_on.to_owned(),
    }
}

#[tokio::test]
async fn a_moved_member_takes_later_sales_with_it() {
    let (mut client, _) = client_at("2026-05-01").await;
    let fixed = pb::FixedLevels { rates_bp: vec![500, 300] };
    let plan = pb::Plan { tiers: None, levels: Some(pb::plan::Levels::Fixed(fixed)), ..dealer_plan() };
    put(&mut client, plan).await.unwrap();
    client.move_member(step("a", "b", "2026-01-01")).await.unwrap();
    client.move_member(step("a", "c", "2026-03-16")).await.unwrap();
    assert!(client.move_member(step("a", "c", "2026-03-16")).await.unwrap().into_inner().unchanged);
    for (request, part) in [
        (step("a", "b", "2026-03-16"), "was put elsewhere"),
        (step("c", "a", "2026-04-01"), "above itself on 2026-04-01"),
        (step("b", "a", "2025-12-01"), "above itself on 2026-01-01"),
    ] {
        let refused = client.move_member(request).await.unwrap_err();
        assert_eq!(error_info(&refused).reason, "MOVE_REFUSED");
        assert!(refused.message().contains(part), "{}", refused.message());
    }
    // Once a has left b, b may stand below it.
    client.move_member(step("b", "a", "2026-03-16")).await.unwrap();

    let alone = |id: &str, day: &str| {
        let mut fact = on(sale(id, 10_000), day);
        if let Some(Fact::Sale(sale)) = &mut fact.fact {
            sale.chain.clear();
            sale.seller_id = "a".to_owned();
        }
        fact
    };
    record(&mut client, vec![alone("1", "2026-03-15"), alone("2", "2026-03-16")]).await.unwrap();
    let posted = accrue(&mut client).await.posted;
    let paid: Vec<_> = posted.iter().map(|line| (line.member_id.as_str(), line.amount_minor)).collect();
    assert_eq!(paid, [("a", 1_000), ("b", 300), ("c", 300)]);
    // A move that is said late: the next accrual posts what it changes, and the day before stays.
    client.move_member(step("a", "", "2026-03-15")).await.unwrap();
    let posted = accrue(&mut client).await.posted;
    let paid: Vec<_> = posted.iter().map(|line| (line.member_id.as_str(), line.amount_minor)).collect();
    assert_eq!(paid, [("b", -300)]);

    let chain = |day: &str| pb::GetChainRequest {
        plan_id: "dealer".to_owned(),
        member_id: "b".to_owned(),
        on: day.to_owned(),
    };
    for (day, expected) in [("2026-03-15", vec!["b"]), ("2026-03-16", vec!["b", "a", "c"])] {
        let chain = client.get_chain(chain(day)).await.unwrap().into_inner().chain;
        assert_eq!(chain.iter().map(|member| member.member_id.as_str()).collect::<Vec<_>>(), expected);
    }
    let mut nobody = alone("3", "2026-03-16");
    if let Some(Fact::Sale(sale)) = &mut nobody.fact {
        sale.seller_id.clear();
    }
    assert_eq!(violated(&record(&mut client, vec![nobody]).await.unwrap_err()), ["facts[0].sale.chain"]);
}

#[tokio::test]
async fn a_draft_shows_who_wins_who_loses_and_its_cliffs() {
    let (mut client, _) = client_at("2026-05-01").await;
    put(&mut client, dealer_plan()).await.unwrap();
    let facts = [("a", 60_000, "small"), ("b", 99_500, "near"), ("c", 150_000, "big")];
    let facts = facts.map(|(id, amount, member)| by(sale(id, amount), member));
    record(&mut client, facts.to_vec()).await.unwrap();
    // The threshold at 1,000.00 goes up to 1,000.00 → 1,200.00, and below it 2 % are paid instead of 1 %.
    let mut draft = dealer_plan();
    if let Some(tiers) = &mut draft.tiers {
        tiers.tiers[0].pay = Some(pb::tier::Pay::RateBp(200));
        tiers.tiers[1] = pb::Tier { threshold: 200_000, pay: Some(pb::tier::Pay::RateBp(300)) };
        tiers.tiers.insert(1, pb::Tier { threshold: 100_000, pay: Some(pb::tier::Pay::RateBp(250)) });
    }
    draft.effective_from = "2027-01-01".to_owned();
    let stored = pb::StoredPlan { plan_id: "dealer".to_owned(), version: 1 };
    let request = pb::SimulatePlanRequest {
        draft: Some(draft),
        against: Some(pb::simulate_plan_request::Against::Stored(stored)),
        facts: Some(pb::simulate_plan_request::Facts::Recorded(pb::RecordedSource {
            plan_id: "dealer".to_owned(),
        })),
        period_date: "2026-02-01".to_owned(),
        period_count: 3,
    };
    let answer = client.simulate_plan(request.clone()).await.unwrap().into_inner();
    assert_eq!((answer.draft_minor, answer.against_minor), (1_200 + 1_990 + 3_750, 600 + 995 + 4_500));
    let changes = |list: &[pb::MemberChange]| {
        list.iter().map(|change| (change.member_id.clone(), change.change_minor)).collect::<Vec<_>>()
    };
    assert_eq!(changes(&answer.winners), [("near".to_owned(), 995), ("small".to_owned(), 600)]);
    assert_eq!(changes(&answer.losers), [("big".to_owned(), -750)]);
    assert_eq!(answer.periods.iter().map(|one| one.draft_minor).collect::<Vec<_>>(), [0, 6_940, 0]);
    let cliff = &answer.cliffs[0];
    assert_eq!((cliff.just_below, cliff.over), (1, 1));
    assert_eq!((cliff.nearest_member_id.as_str(), cliff.nearest_lacks), ("near", 500));
    assert_eq!(answer.cliffs.iter().map(|c| c.cliff.unwrap().jump_minor).collect::<Vec<_>>(), [500, 1_000]);

    let mut dollars = request;
    if let Some(draft) = &mut dollars.draft {
        draft.currency = "USD".to_owned();
    }
    assert_eq!(violated(&client.simulate_plan(dollars).await.unwrap_err()), ["draft.currency"]);
}

#[tokio::test]
async fn sales_before_the_plan_are_taken_as_its_baseline_only() {
    let (mut client, _) = client_at("2026-05-01").await;
    let mut plan = dealer_plan();
    plan.effective_from = "2026-03-01".to_owned();
    if let Some(tiers) = &mut plan.tiers {
        tiers.measure = pb::Measure::Growth.into();
        tiers.baseline = pb::Baseline::SamePeriodLastYear.into();
        tiers.tiers = vec![pb::Tier { threshold: 1_000, pay: Some(pb::tier::Pay::RateBp(300)) }];
    }
    put(&mut client, plan).await.unwrap();
    let before = vec![on(sale("old", 100_000), "2025-03-20"), sale("new", 110_000)];
    assert_eq!(record(&mut client, before).await.unwrap(), (2, 0));
    assert_eq!(accrue(&mut client).await.posted_minor, 3_300);
    let too_old = record(&mut client, vec![on(sale("x", 1), "2025-02-28")]).await.unwrap_err();
    assert_eq!(error_info(&too_old).reason, "PLAN_NOT_IN_FORCE");
}

#[tokio::test]
async fn payments_and_parts_are_kept_once() {
    let (mut client, _) = client_at("2026-05-01").await;
    put(&mut client, dealer_plan()).await.unwrap();
    let payment = |id: &str, sale: &str| pb::RecordFactsRequest {
        plan_id: "dealer".to_owned(),
        fact: Some(Fact::Payment(pb::Payment {
            event_id: id.to_owned(),
            sale_event_id: sale.to_owned(),
            occurred_on: "2026-03-20".to_owned(),
        })),
    };
    let mut taxed = sale("a", 1_000);
    if let Some(Fact::Sale(sale)) = &mut taxed.fact {
        sale.parts = Some(pb::Parts { tax_minor: 130, ..Default::default() });
    }
    let back = |id: &str, tax_minor| {
        let mut fact = returned(id, "a", 100);
        if let Some(Fact::SaleReturn(fact)) = &mut fact.fact {
            fact.parts = Some(pb::Parts { tax_minor, ..Default::default() });
        }
        fact
    };
    assert_eq!(record(&mut client, vec![taxed, payment("p", "a"), back("r", 100)]).await.unwrap(), (3, 0));
    assert_eq!(record(&mut client, vec![payment("p", "a")]).await.unwrap(), (0, 1));
    for (fact, reason) in [
        (payment("q", "a"), "PAYMENT_REFUSED"),
        (payment("q", "b"), "SALE_UNKNOWN"),
        (back("s", 31), "RETURN_REFUSED"),
    ] {
        assert_eq!(error_info(&record(&mut client, vec![fact]).await.unwrap_err()).reason, reason);
    }
    assert_eq!(record(&mut client, vec![back("s", 30)]).await.unwrap(), (1, 0));
}
