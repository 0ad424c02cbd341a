//! The way out: what is in flight finishes, health says so, what takes too long is told why.

use std::time::Duration;

use bytes::Buf as _;
use oaas_audit::record::audit_record::Event;

use crate::platform::{fresh_key, platform};
use crate::upstream::{READ, Upstream, until};

const NOT_SERVING: &[u8] = b"\x08\x02";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_flight_finishes_and_health_says_not_serving() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let mut platform = platform()
        .echo(&upstream, "", &[])
        .app("caller", &key, &["*:internal"])
        .set("DRAIN__WAIT_MS", "700")
        .start()
        .await;
    let client = platform.client().await;
    let mut watch = client.call("/grpc.health.v1.Health/Watch").message(b"").open().await;
    watch.send(b"").await;
    watch.end();
    let mut first = watch.part().await.unwrap();
    first.advance(5);
    assert_eq!(first, &b"\x08\x01"[..]);
    let slow =
        client.call(READ).key(&key).behave("delay=900").header("x-key", "slow").message(b"done").send();
    let slow = tokio::spawn(slow);
    until("the call is at the upstream", || upstream.with_key("slow").is_some()).await;
    let server = platform.server.take().unwrap();
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Connections are still accepted while balancers learn of it.
    let late = platform.client().await;
    let health = late.call("/grpc.health.v1.Health/Check").message(b"").send().await;
    assert_eq!(health.messages(), [NOT_SERVING]);
    let mut told = watch.part().await.unwrap();
    told.advance(5);
    assert_eq!(told, NOT_SERVING, "a watch is not told");
    let answer = slow.await.unwrap();
    assert_eq!((answer.status(), answer.messages()), (0, vec![b"done"[..].into()]));
    let report = stopping.await.unwrap().unwrap();
    assert_eq!(report.calls_cut, 1, "the watch alone is cut");
    assert!(tokio::net::TcpStream::connect(platform.address).await.is_err(), "still accepting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_longer_than_the_grace_is_told_why_and_recorded() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let mut platform = platform()
        .echo(&upstream, "sla: { deadline_ms: 60000 }", &[])
        .app("caller", &key, &["*:internal"])
        .set("DRAIN__GRACE_MS", "200")
        .start()
        .await;
    let client = platform.client().await;
    let mut calls = Vec::new();
    for behave in ["hang", "stall"] {
        let call = client.call(READ).key(&key).behave(behave).header("x-key", behave).message(b"x").send();
        calls.push(tokio::spawn(call));
        until("the call is at the upstream", || upstream.with_key(behave).is_some()).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let records = platform.stop().await;
    for call in calls {
        let answer = call.await.unwrap();
        let denial = answer.denial();
        assert_eq!((answer.status(), &*denial.info.reason), (14, "DRAINING"));
        assert_eq!(denial.fact("call_id"), answer.call_id());
        assert!(denial.fact("catalog_version").starts_with("c-"), "{denial:?}");
        assert_eq!(denial.fact("service"), "it.echo.v1.EchoService");
        assert!(denial.retry.is_some() && answer.text("grpc-retry-pushback-ms").is_some());
        assert_eq!((answer.text("oaas-origin"), denial.fact("executed")), (Some("gateway"), "unknown"));
    }
    let reasons: Vec<&str> = records
        .iter()
        .filter_map(|record| match &record.event {
            Some(Event::Outcome(outcome)) => Some(&*outcome.reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["DRAINING", "DRAINING"]);
    until("the upstream is reset", || upstream.seen().iter().all(|seen| seen.reset.is_some())).await;
}
