//! The breaker end to end: what trips it, what it answers, how it recovers, who is told.

use std::sync::Arc;
use std::time::Duration;

use oaas_audit::record::AuditRecord;
use oaas_audit::record::audit_record::Event;
use oaas_model::Reason;
use oaas_proto::oaas::gateway::v1 as wire;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Answer, Client};
use crate::platform::{Platform, fresh_key, platform};
use crate::upstream::{COLLECT, READ, SMALL, Upstream, WRITE, until};

const OTHER: &str = "/it.echo.v1.EchoService/Other";
const SERVICE: &str = "it.echo.v1.EchoService";

async fn times(client: &Client, key: &str, count: usize, behave: &str) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(count);
    for _ in 0..count {
        answers.push(client.call(WRITE).key(key).behave(behave).message(b"x").send().await);
    }
    answers
}

fn open(answer: &Answer) -> bool {
    answer.reason() == "CIRCUIT_OPEN"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_errors_of_400_stay_and_one_more_trips() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "breaker: { calls_min: 400 }", &[("Write", "effect: write, audit: standard")])
        .app("caller", &key, &["*:internal"])
        .start()
        .await;
    let client = platform.client().await;
    let good = times(&client, &key, 380, "").await;
    assert!(good.iter().all(|answer| answer.status() == 0));
    let bad = times(&client, &key, 20, "status=13").await;
    assert!(bad.iter().all(|answer| answer.status() == 13), "tripped too early");
    // 20 of 400 is 5 %, not above it; a business error is an answer.
    assert_eq!(times(&client, &key, 1, "status=9").await[0].status(), 9, "tripped at 20 of 400");
    let last = times(&client, &key, 2, "status=13").await;
    assert!(last[0].status() == 13, "20 of 401 tripped");
    let answer = &last[1];
    assert!(open(answer), "21 of 402 did not trip: {answer:?}");
    let denial = answer.denial();
    assert_eq!(answer.status(), i32::from(Reason::CircuitOpen.code().number()));
    assert_eq!((denial.fact("executed"), denial.fact("scope")), ("false", "service"));
    assert_eq!((denial.fact("threshold"), denial.fact("calls")), ("0.0500", "402"));
    assert_eq!(denial.fact("error_rate"), "0.0522");
    let wait = denial.retry.unwrap();
    assert!(wait > Duration::from_secs(7) && wait <= Duration::from_secs(12), "{wait:?}");
    assert_eq!(upstream.seen().len(), 402, "a refused call reached the upstream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_trip_from_their_share_on_and_only_the_catalogs_deadline_counts() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(
            &upstream,
            "sla: { deadline_ms: 500 }\nbreaker: { calls_min: 50, timeouts_min: 3 }",
            &[("Write", "effect: write, audit: standard")],
        )
        .app("caller", &key, &["*:internal"])
        .start()
        .await;
    let client = platform.client().await;
    for _ in 0..10 {
        let short = client.call(WRITE).key(&key).behave("hang").header("grpc-timeout", "5m").message(b"");
        assert_eq!(short.send().await.status(), 4);
    }
    times(&client, &key, 85, "").await;
    let slow = times(&client, &key, 3, "hang").await;
    assert!(slow.iter().all(|answer| answer.reason() == "DEADLINE_UPSTREAM"), "{slow:?}");
    let answer = &times(&client, &key, 1, "").await[0];
    assert!(open(answer), "3 timeouts of 88 did not trip: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancels_and_our_own_refusals_say_nothing_on_the_upstream() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "breaker: { calls_min: 5, hard_failures: 3 }", &[])
        .plan("one", "concurrency: 1")
        .app("caller", &key, &["*:one"])
        .start()
        .await;
    let client = platform.client().await;
    for number in 0..10 {
        let name = format!("c{number}");
        let held = client.call(READ).key(&key).behave("hang").header("x-key", &name).open().await;
        until("the call is at the upstream", || upstream.with_key(&name).is_some()).await;
        let refused = client.call(READ).key(&key).message(b"").send().await;
        assert_eq!(refused.reason(), "CONCURRENCY_LIMITED");
        held.cancel();
        until("the upstream is reset", || upstream.with_key(&name).is_some_and(|s| s.reset.is_some())).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.call(READ).key(&key).message(b"").send().await.status(), 0);
}

/// Forces the echo service's breaker.
async fn force(client: &Client, key: &str, mode: wire::BreakerMode) -> wire::Breaker {
    let request = wire::ForceBreakerRequest {
        service: SERVICE.to_owned(),
        mode: mode.into(),
        reason: "a test".to_owned(),
    };
    let call = client.call("/oaas.gateway.v1.BreakerService/ForceBreaker").key(key);
    let response: wire::ForceBreakerResponse = call.typed(&request).await.unwrap();
    response.breaker.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_breaker_answers_as_the_catalog_says_and_says_so() {
    let upstream = Upstream::start().await;
    let (key, second, operator) = (fresh_key(), fresh_key(), fresh_key());
    let mut platform = platform()
        .echo(
            &upstream,
            "",
            &[
                ("Read", "effect: read, price: { amount: \"0.5\", currency: CNY, unit: call }, degraded: { message: { text: closed } }"),
                ("Small", "effect: read, degraded: { last_good: { age_s_max: 60 } }"),
                ("Other", "effect: read, degraded: { method: /it.echo.v1.EchoService/Write }"),
                ("Write", "effect: write, audit: standard"),
            ],
        )
        .app("caller", &key, &["*:internal"])
        .app("second", &second, &["*:internal"])
        .app("operator", &operator, &[])
        .operator()
        .start()
        .await;
    let client = platform.client().await;
    let ask =
        |path: &'static str, key: &str, text: &'static [u8]| client.call(path).key(key).message(text).send();
    assert_eq!(ask(SMALL, &key, b"known").await.status(), 0);
    force(&client, &operator, wire::BreakerMode::ForcedOpen).await;
    let before = upstream.seen().len();

    let answer = ask(READ, &key, b"anything").await;
    assert_eq!(answer.status(), 0, "{answer:?}");
    assert_eq!(answer.messages(), [&b"\x0a\x06closed"[..]]);
    assert_eq!((answer.text("oaas-degraded"), answer.text("oaas-origin")), (Some("static"), Some("gateway")));
    let records = platform.records(answer.call_id()).await;
    let degraded = records.iter().find_map(outcome_of).unwrap();
    assert!(degraded.degraded && degraded.executed == "false" && degraded.units == 0, "{degraded:?}");

    let answer = ask(SMALL, &key, b"known").await;
    assert_eq!((answer.status(), answer.messages()), (0, vec![b"known"[..].into()]));
    assert_eq!(answer.text("oaas-degraded"), Some("last-good"));
    assert!(open(&ask(SMALL, &key, b"new").await), "an answer to another request");
    assert!(open(&ask(SMALL, &second, b"known").await), "an answer to another application");
    assert_eq!(upstream.seen().len(), before, "an open breaker let a call through");

    let answer = ask(OTHER, &key, b"please").await;
    assert_eq!((answer.status(), answer.messages()), (0, vec![b"please"[..].into()]));
    assert_eq!(answer.text("oaas-degraded"), Some("substitute"));
    assert_eq!(upstream.seen().last().unwrap().path, WRITE, "the substitute was not asked");
    assert!(open(&ask(COLLECT, &key, b"").await), "a method without a degraded answer");

    force(&client, &operator, wire::BreakerMode::ForcedClosed).await;
    assert_eq!(ask(READ, &key, b"again").await.text("oaas-degraded"), None);
    let records = platform.stop().await;
    let forced: Vec<_> =
        records.iter().filter_map(administered).filter(|a| a.action.starts_with("breaker.force")).collect();
    assert_eq!(forced.len(), 2, "{forced:?}");
    assert!(forced.iter().all(|act| act.actor == "operator" && act.subject == SERVICE));
}

fn outcome_of(record: &AuditRecord) -> Option<&oaas_audit::record::Outcome> {
    match &record.event {
        Some(Event::Outcome(outcome)) => Some(outcome),
        _ => None,
    }
}

fn administered(record: &AuditRecord) -> Option<&oaas_audit::record::Administration> {
    match &record.event {
        Some(Event::Administration(act)) => Some(act),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_hand_only_operators_and_observe_lets_everything_through() {
    let upstream = Upstream::start().await;
    let (key, operator) = (fresh_key(), fresh_key());
    let platform = platform()
        .echo(&upstream, "breaker: { hard_failures: 3 }", &[])
        .app("caller", &key, &["*:internal"])
        .app("operator", &operator, &[])
        .operator()
        .start()
        .await;
    let client = platform.client().await;
    let list =
        client.call("/oaas.gateway.v1.BreakerService/ListBreakers").key(&key).message(b"").send().await;
    assert_eq!(list.reason(), "METHOD_UNKNOWN", "breakers by hand are there for everybody");
    force(&client, &operator, wire::BreakerMode::Observe).await;
    let answers = times(&client, &key, 10, "trailers-only=14").await;
    assert!(
        answers.iter().all(|answer| answer.text("oaas-origin") == Some("upstream")),
        "observe refused a call"
    );
    force(&client, &operator, wire::BreakerMode::Automatic).await;
    let list: wire::ListBreakersResponse = client
        .call("/oaas.gateway.v1.BreakerService/ListBreakers")
        .key(&operator)
        .typed(&wire::ListBreakersRequest::default())
        .await
        .unwrap();
    let breaker = list.breakers.iter().find(|b| b.service == SERVICE && b.application.is_empty()).unwrap();
    assert_eq!((breaker.trips, breaker.calls, breaker.errors), (1, 3, 3), "as by its rule: {breaker:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_probes_recovers_and_tells_the_webhook() {
    let upstream = Upstream::start().await;
    let webhook = Webhook::start().await;
    let key = fresh_key();
    let mut platform = platform()
        .echo(
            &upstream,
            "breaker: { hard_failures: 3, open_s: 1, probes: 3, probes_in_flight: 3, probe_failures_max: 0, ramp_from: 1.0, ramp_s: 1 }",
            &[],
        )
        .app("caller", &key, &["*:internal"])
        .set("ALERTS__WEBHOOKS", &format!("[{{ name: test, url: \"http://{}/alerts\" }}]", webhook.address))
        .start()
        .await;
    let client = platform.client().await;
    times(&client, &key, 3, "trailers-only=14").await;
    let refused = &times(&client, &key, 1, "").await[0];
    assert!(open(refused), "three hard failures in a row did not trip: {refused:?}");
    assert_eq!(refused.denial().fact("cause"), "HARD_FAILURES");
    // The wait that it names is long enough for a probe.
    tokio::time::sleep(refused.denial().retry.unwrap() + Duration::from_millis(5)).await;
    let probe = &times(&client, &key, 1, "trailers-only=14").await[0];
    assert_eq!(probe.text("oaas-origin"), Some("upstream"), "no probe after the wait: {probe:?}");
    let again = &times(&client, &key, 1, "").await[0];
    assert!(open(again), "a failed probe left it half-open");
    let longer = again.denial().retry.unwrap();
    assert!(longer > Duration::from_millis(1500), "not twice as long: {longer:?}");
    tokio::time::sleep(longer + Duration::from_millis(5)).await;
    let probes = times(&client, &key, 3, "").await;
    assert!(probes.iter().all(|answer| answer.status() == 0), "{probes:?}");
    let after = times(&client, &key, 20, "").await;
    assert!(after.iter().all(|answer| answer.status() == 0), "not closed after three good probes");
    // It is closed when a call comes after the ramp.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    times(&client, &key, 1, "").await;
    until("the webhook hears of the recovery", || {
        webhook
            .alerts()
            .iter()
            .any(|alert| alert["status"] == "resolved" && alert["labels"]["application"].is_null())
    })
    .await;
    let alerts = webhook.alerts();
    let first = &alerts[0];
    assert_eq!(first["status"], "firing");
    assert_eq!(first["labels"]["alertname"], "CircuitBreakerOpen");
    assert!(alerts.iter().any(|alert| alert["labels"]["service"] == SERVICE));
    for name in ["summary", "summary_zh"] {
        assert!(!first["annotations"][name].as_str().unwrap().is_empty());
    }
    let posts = webhook.posts.lock().clone();
    assert_eq!(posts[0]["version"], "4", "not Alertmanager's form");
    assert_eq!(posts[0]["receiver"], "test");

    let records = platform.stop().await;
    let way: Vec<(String, String)> = records
        .iter()
        .filter_map(administered)
        .filter(|act| act.action == "breaker.transition" && !act.details.contains_key("application"))
        .map(|act| (act.details["from"].clone(), act.details["to"].clone()))
        .collect();
    let states: Vec<&str> = way.iter().map(|(_, to)| to.as_str()).collect();
    assert_eq!(&states[..4], ["open", "half_open", "open", "half_open"], "{way:?}");
    assert_eq!(&states[4..], ["ramping", "closed"], "{way:?}");
}

/// A receiver of Alertmanager's webhook posts.
struct Webhook {
    address: std::net::SocketAddr,
    posts: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let posts = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&posts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, Arc::clone(&shared)));
            }
        });
        Self { address, posts }
    }

    fn alerts(&self) -> Vec<Value> {
        self.posts.lock().iter().flat_map(|post| post["alerts"].as_array().unwrap().clone()).collect()
    }
}

async fn receive(mut stream: TcpStream, posts: Arc<Mutex<Vec<Value>>>) {
    let mut buffer = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8(buffer[..head].to_vec()).unwrap().to_ascii_lowercase();
        assert!(text.starts_with("post /alerts "), "{text}");
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        while buffer.len() < head + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        posts.lock().push(serde_json::from_slice(&buffer[head..head + length]).unwrap());
        buffer.drain(..head + length);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// The applications' breakers of a platform are each their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_applications_poison_opens_only_its_own_breaker() {
    let upstream = Upstream::start().await;
    let (good, bad) = (fresh_key(), fresh_key());
    let platform: Platform = platform()
        .echo(
            &upstream,
            "breaker: { calls_min: 20, hard_failures: 1000000 }",
            &[("Write", "effect: write, audit: standard")],
        )
        .app("good", &good, &["*:internal"])
        .app("bad", &bad, &["*:internal"])
        .start()
        .await;
    let client = platform.client().await;
    times(&client, &good, 300, "").await;
    times(&client, &bad, 40, "status=13").await;
    let answer = &times(&client, &bad, 1, "").await[0];
    assert!(open(answer), "{answer:?}");
    assert_eq!(answer.denial().fact("scope"), "application");
    assert_eq!(times(&client, &good, 1, "").await[0].status(), 0, "others are refused for one's errors");
}
