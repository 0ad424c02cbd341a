//! Limits to the unit: rate, calls at once, quota, and the money at stake.

use std::time::Duration;

use oaas_audit::record::audit_record::Event;
use oaas_proto::oaas::channel::v1 as channel;

use crate::client::{Answer, Client};
use crate::platform::{fresh_key, now, platform};
use crate::upstream::{READ, Upstream, until};

async fn together(client: &Client, key: &str, count: usize, behave: &str) -> Vec<Answer> {
    let calls: Vec<_> = (0..count)
        .map(|_| tokio::spawn(client.call(READ).key(key).behave(behave).message(b"").send()))
        .collect();
    let mut answers = Vec::with_capacity(count);
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

fn passed(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status() == 0).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_lets_its_burst_through_and_not_one_more() {
    let upstream = Upstream::start().await;
    let (one, two) = (fresh_key(), fresh_key());
    let platform = platform()
        .echo(&upstream, "", &[])
        .plan("ten", "rate: { per_second: 5, burst: 10 }")
        .app("one", &one, &["*:ten"])
        .app("two", &two, &["*:ten"])
        .start()
        .await;
    let client = platform.client().await;
    let started = now();
    let answers = together(&client, &one, 60, "").await;
    let most = 10 + (now().since(started).as_secs_f64() * 5.0).ceil() as usize;
    let got = passed(&answers);
    assert!(got >= 10 && got <= most, "{got} passed, 10 to {most} may");
    assert!(answers.iter().all(|answer| matches!(&*answer.reason(), "" | "RATE_LIMITED")));
    assert_eq!(passed(&together(&client, &two, 10, "").await), 10, "one application used another's rate");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_calls_at_once_as_the_plan_says() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "", &[])
        .plan("three", "concurrency: 3")
        .app("caller", &key, &["*:three"])
        .start()
        .await;
    let client = platform.client().await;
    let mut held = Vec::new();
    for number in 0..3 {
        let name = format!("h{number}");
        held.push(
            client.call(READ).key(&key).behave("hang").header("x-key", &name).message(b"").open().await,
        );
        until("the call is at the upstream", || upstream.with_key(&name).is_some()).await;
    }
    let answers = together(&client, &key, 10, "").await;
    assert!(answers.iter().all(|answer| answer.reason() == "CONCURRENCY_LIMITED"));
    held.pop().unwrap().cancel();
    until("the upstream is reset", || upstream.seen().iter().any(|seen| seen.reset.is_some())).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..5 {
        let answer = client.call(READ).key(&key).message(b"").send().await;
        assert_eq!(answer.status(), 0, "one place is free: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_exact_however_many_come_at_once_and_survives_a_restart() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let mut platform = platform()
        .echo(&upstream, "", &[])
        .plan("hundred", "quota: { calls: 100, period: month }")
        .app("caller", &key, &["*:hundred"])
        .start()
        .await;
    let client = platform.client().await;
    // Refused further down: such a call was never made, and costs nothing.
    for _ in 0..5 {
        let answer = client.call(READ).key(&key).header("grpc-timeout", "soon").message(b"").send().await;
        assert_eq!(answer.reason(), "FIELD_INVALID");
    }
    assert_eq!(passed(&together(&client, &key, 60, "").await), 60);
    platform.stop().await;
    platform.restart().await;
    let client = platform.client().await;
    let answers = together(&client, &key, 80, "").await;
    assert_eq!(passed(&answers), 40, "100 in all");
    let last = answers.iter().find(|answer| answer.status() != 0).unwrap();
    assert_eq!(last.denial().fact("used"), "100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_shadow_mode_limits_are_noted_and_nobody_is_refused() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let mut platform = platform()
        .echo(&upstream, "", &[])
        .plan(
            "shadow",
            "shadow: true, rate: { per_second: 1, burst: 1 }, concurrency: 1, quota: { calls: 1, period: month }",
        )
        .app("caller", &key, &["*:shadow"])
        .start()
        .await;
    let client = platform.client().await;
    assert_eq!(passed(&together(&client, &key, 30, "delay=50").await), 30);
    let records = platform.stop().await;
    let mut shadows = std::collections::BTreeSet::new();
    for record in &records {
        if let Some(Event::Intent(intent)) = &record.event {
            shadows
                .extend(intent.decisions.iter().filter(|d| d.verdict == "shadow").map(|d| d.stage.clone()));
        }
    }
    assert_eq!(shadows.into_iter().collect::<Vec<_>>(), ["quota", "rate_limit"]);
}

/// The founding case: coupons redeemed by calls that are each legal, far too many of them; 2.37 million
/// yuan were lost. 32 callers at once must not get more than the budget, to the fen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_coupon_case_stops_at_the_budget_to_the_fen() {
    const FACE_FEN: i64 = 10_000;
    const BUDGET_FEN: i64 = 1_500_000;
    const LOST_FEN: i64 = 237_000_000;
    const COUPONS: usize = 192;
    const CALLERS: usize = 32;
    let key = fresh_key();
    let platform = platform()
        .plan(
            "campaign",
            "budgets: { coupon-face-value: { amount: \"15000.00\", currency: CNY, window_s: 3600 } }",
        )
        .app("mini-program", &key, &["oaas.channel.v1.CouponService:campaign"])
        .start()
        .await;
    let client = platform.client().await;
    let path = |method: &str| format!("/oaas.channel.v1.CouponService/{method}");
    let batch = channel::Batch {
        batch_id: "b-11-11".to_owned(),
        face_value_fen: FACE_FEN,
        total_count: 1_000_000,
        per_member_max: 1,
        valid_from_ms: 0,
        valid_until_ms: 4_070_908_800_000,
    };
    let request = channel::OpenBatchRequest { batch: Some(batch) };
    let _: channel::OpenBatchResponse =
        client.call(&path("OpenBatch")).key(&key).typed(&request).await.unwrap();

    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (client, key) = (platform.client().await, key.clone());
        let (issue, redeem) = (path("IssueCoupon"), path("RedeemCoupon"));
        callers.push(tokio::spawn(async move {
            let mut reasons = Vec::new();
            for number in 0..COUPONS / CALLERS {
                let member = format!("m-{caller}-{number}");
                let request = channel::IssueCouponRequest {
                    batch_id: "b-11-11".to_owned(),
                    member_id: member.clone(),
                    idempotency_key: format!("issue-{member}"),
                };
                let issued: channel::IssueCouponResponse =
                    client.call(&issue).key(&key).typed(&request).await.unwrap();
                let request = channel::RedeemCouponRequest {
                    coupon_id: issued.coupon.unwrap().coupon_id,
                    batch_id: "b-11-11".to_owned(),
                    face_value_fen: FACE_FEN,
                    member_id: member.clone(),
                    order_id: format!("order-{member}"),
                    idempotency_key: format!("redeem-{member}"),
                };
                let answer: Result<channel::RedeemCouponResponse, Answer> =
                    client.call(&redeem).key(&key).typed(&request).await;
                reasons.push(answer.err().map_or_else(String::new, |answer| answer.reason()));
            }
            reasons
        }));
    }
    let mut redeemed = 0;
    for caller in callers {
        for reason in caller.await.unwrap() {
            match reason.as_str() {
                "" => redeemed += 1,
                "BUDGET_EXHAUSTED" => {}
                other => panic!("refused for another reason: {other}"),
            }
        }
    }
    assert_eq!(redeemed * FACE_FEN, BUDGET_FEN, "{redeemed} coupons redeemed");
    assert!(redeemed * FACE_FEN < LOST_FEN / 100, "not stopped before 1 % of the loss");
    let request = channel::GetBatchRequest { batch_id: "b-11-11".to_owned() };
    let batch: channel::GetBatchResponse =
        client.call(&path("GetBatch")).key(&key).typed(&request).await.unwrap();
    assert_eq!((batch.redeemed_fen, batch.issued_count), (BUDGET_FEN, COUPONS as i64));
}
