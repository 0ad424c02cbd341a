//! Accrual at the expected tier through the service: what the ledger says while a period is open, and that
//! settlement ends it at what is there.

use oaas_proto::oaas::channel::v1 as pb;
use tonic::Code;

use super::service::{
    Client, accrue, dealer_plan, error_info, ledger, put, record, returned, sale, violated,
};
use super::settling::{client_at, goes_on_to, numbers, on, settle_month};

fn expecting(expectation: pb::Expectation) -> pb::Plan {
    pb::Plan { expectation: Some(expectation), ..dealer_plan() }
}

fn stated(each_total: i64) -> pb::Expectation {
    pb::Expectation { each_total, ..Default::default() }
}

async fn told(client: &mut Client, sequence: i64) -> pb::ExplainLineResponse {
    let request = pb::ExplainLineRequest { plan_id: "dealer".to_owned(), sequence };
    client.explain_line(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_open_period_is_accrued_at_what_is_expected_and_settled_at_what_is_there() {
    let (mut client, clock) = client_at("2026-03-20").await;
    put(&mut client, expecting(stated(200_000))).await.unwrap();
    record(&mut client, vec![sale("a", 60_000)]).await.unwrap();
    // 3 % of 600.00: as reached it would be 6.00.
    let first = accrue(&mut client).await;
    assert_eq!((first.posted_minor, first.posted[0].true_up_minor), (1_800, 0));
    assert_eq!(accrue(&mut client).await.posted, []);
    let text = first.posted[0].explanation.clone().unwrap();
    for part in [
        "it is open and accrued at the expected tier: 2000.00 CNY is expected of the period: the plan states it \
         for each member",
        "tier reached: from 0.00 CNY at 1.00 %; tier expected: from 1000.00 CNY at 3.00 %",
    ] {
        assert!(text.en.contains(part), "{text:?}");
    }
    assert!(text.zh.contains("期间未结，按预计档位计提：预计本期 2000.00 CNY"), "{text:?}");

    // Less is expected: what the earlier sales had earned too much is taken back, and named.
    let modest = pb::MemberTotal { member_id: "d-1".to_owned(), total: 90_000 };
    let lowered = pb::Expectation { members: vec![modest], ..stated(200_000) };
    assert_eq!(put(&mut client, expecting(lowered)).await.unwrap().version, 2);
    record(&mut client, vec![sale("b", 10_000)]).await.unwrap();
    let second = accrue(&mut client).await;
    assert_eq!((second.posted_minor, second.balance_minor, second.plan_version), (-1_100, 700, 2));
    let line = &second.posted[0];
    assert_eq!(line.true_up_minor, -1_200);
    let (before, now) = (line.expected_before.as_ref().unwrap(), line.expected.as_ref().unwrap());
    assert_eq!(
        (before.total, before.so_far, before.whole_minor, before.earned_minor),
        (200_000, 60_000, 6_000, 1_800)
    );
    assert_eq!((now.total, now.so_far, now.whole_minor, now.earned_minor), (90_000, 70_000, 900, 700));
    assert_eq!((now.by(), now.tier.unwrap().rate_bp), (pb::ExpectedBy::StatedForMember, 100));
    let told_second = told(&mut client, 2).await;
    assert_eq!(
        told_second.steps.iter().map(|step| step.en.as_str()).collect::<Vec<_>>(),
        [
            "900.00 CNY is expected of the period: the plan states it for this member; tier reached: from 0.00 CNY \
             at 1.00 %; tier expected: from 0.00 CNY at 1.00 %",
            "the expected 900.00 CNY reaches the tier from 0.00 CNY, which pays on everything: so far 700.00 CNY × \
             1.00 % = 7.00 CNY",
            "so the period from 2026-03-01 has earned so far 7.00 CNY, from 2 facts",
            "7.00 CNY less 18.00 CNY posted before = -11.00 CNY",
            "-12.00 CNY of it is the true-up of the earlier 600.00 CNY: they had earned 18.00 CNY, and 6.00 CNY by \
             what is expected now",
        ]
    );
    assert!(told_second.steps.iter().all(|step| !step.zh.is_ascii()), "{:?}", told_second.steps);

    // It comes to more than was expected in the end, and what is there is settled.
    record(&mut client, vec![sale("c", 80_000)]).await.unwrap();
    goes_on_to(&clock, "2026-04-01");
    let march = settle_month(&mut client, "2026-03-15").await.unwrap();
    assert_eq!(numbers(&march.statements[0]), [0, 4_500, 0, 4_500, 0]);
    let last = ledger(&mut client).await.pop().unwrap();
    assert_eq!((last.amount_minor, last.balance_minor, last.true_up_minor), (3_800, 4_500, 1_400));
    assert_eq!((last.expected.is_none(), last.expected_before.is_some()), (true, true));
    let steps = told(&mut client, 3).await.steps;
    assert!(
        steps.last().unwrap().en.ends_with(
            "the earlier 700.00 CNY: they had earned 7.00 CNY, and 21.00 CNY by what is reached now"
        ),
        "{steps:?}"
    );
    // After that a return is clawed back as always.
    record(&mut client, vec![returned("r", "c", 80_000)]).await.unwrap();
    let late = accrue(&mut client).await;
    assert_eq!(
        (late.posted_minor, late.balance_minor, late.posted[0].expected.is_none()),
        (-3_800, 700, true)
    );
}

#[tokio::test]
async fn last_year_is_taken_as_history_and_projects_this_one() {
    let (mut client, clock) = client_at("2026-03-10").await;
    let seasonal =
        pb::Expectation { projection: pb::Projection::SamePeriodLastYear.into(), ..Default::default() };
    let plan = pb::Plan { effective_from: "2026-03-01".to_owned(), ..expecting(seasonal) };
    put(&mut client, plan).await.unwrap();
    // A fifth of last year's month had been sold by the tenth.
    let facts = vec![
        on(sale("x", 10_000), "2025-03-04"),
        on(sale("y", 40_000), "2025-03-25"),
        on(sale("a", 30_000), "2026-03-05"),
    ];
    record(&mut client, facts).await.unwrap();
    let too_old = record(&mut client, vec![on(sale("z", 1), "2025-02-28")]).await.unwrap_err();
    assert_eq!(error_info(&too_old).reason, "PLAN_NOT_IN_FORCE");
    let line = accrue(&mut client).await.posted.pop().unwrap();
    let expected = line.expected.unwrap();
    assert_eq!((line.amount_minor, expected.total, expected.by()), (900, 150_000, pb::ExpectedBy::Share));
    // The calculation for callers is not moved by what is expected.
    let request = pb::CalculateRebateRequest {
        source: Some(pb::calculate_rebate_request::Source::Recorded(pb::RecordedSource {
            plan_id: "dealer".to_owned(),
        })),
        period_date: "2026-03-10".to_owned(),
        member_id: String::new(),
    };
    let calculated = client.calculate_rebate(request).await.unwrap().into_inner();
    assert_eq!((calculated.total_minor, calculated.sales_left_out), (300, 0));
    // Two thirds of the days later nothing has come: as many sales as last year are no longer expected.
    goes_on_to(&clock, "2026-03-31");
    let line = accrue(&mut client).await.posted.pop().unwrap();
    assert_eq!((line.amount_minor, line.true_up_minor, line.balance_minor), (-600, -600, 300));
}

#[tokio::test]
async fn an_expectation_that_can_not_be_is_refused_with_its_field() {
    let (mut client, _) = client_at("2026-03-10").await;
    let total = |member: &str| pb::MemberTotal { member_id: member.to_owned(), total: 5 };
    for (expectation, field) in [
        (pb::Expectation::default(), "plan.expectation"),
        (pb::Expectation { less_bp: 10_001, ..stated(5) }, "plan.expectation.less_bp"),
        (pb::Expectation { tiers_up: -1, ..stated(5) }, "plan.expectation.tiers_up"),
        (pb::Expectation { projection: 9, ..Default::default() }, "plan.expectation.projection"),
        (
            pb::Expectation { members: vec![total("d"), total("d")], ..Default::default() },
            "plan.expectation.members[1].member_id",
        ),
    ] {
        let refused = put(&mut client, expecting(expectation)).await.unwrap_err();
        assert_eq!((refused.code(), violated(&refused)), (Code::InvalidArgument, vec![field.to_owned()]));
    }
    let mut growth = expecting(stated(5));
    if let Some(tiers) = &mut growth.tiers {
        tiers.measure = pb::Measure::Growth.into();
    }
    assert_eq!(violated(&put(&mut client, growth).await.unwrap_err()), ["plan.expectation"]);
}
