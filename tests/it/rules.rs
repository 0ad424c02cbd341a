//! What a proxy of gRPC must get right, rule by rule, against an upstream that misbehaves on demand. The
//! numbers are those of the design's table.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use oaas_audit::record::audit_record::Event;
use oaas_model::Code;

use crate::client::{Answer, Ask, Client, frame};
use crate::platform::{Platform, fresh_key, key_yaml, now, platform};
use crate::upstream::{CHAT, COLLECT, READ, SMALL, SPREAD, Seen, Upstream, WRITE, until};

/// A platform with the echo service, and an application that may call it.
struct Bench {
    upstream: Upstream,
    platform: Platform,
    client: Client,
    key: String,
}

impl Bench {
    async fn with(service: &str, methods: &[(&str, &str)]) -> Self {
        let upstream = Upstream::start().await;
        let key = fresh_key();
        let platform =
            platform().echo(&upstream, service, methods).app("caller", &key, &["*:internal"]).start().await;
        let client = platform.client().await;
        Self { upstream, platform, client, key }
    }

    async fn new() -> Self {
        Self::with("", &[]).await
    }

    fn call(&self, path: &str) -> Ask {
        self.client.call(path).key(&self.key)
    }

    async fn unary(&self, path: &str, behave: &str) -> Answer {
        self.call(path).behave(behave).message(b"hello").send().await
    }

    /// The request with this `x-key`, once the upstream has it.
    async fn seen(&self, key: &str) -> Seen {
        until("the upstream has the request", || self.upstream.with_key(key).is_some()).await;
        self.upstream.with_key(key).unwrap()
    }
}

fn code(answer: &Answer) -> Code {
    Code::from_number(u32::try_from(answer.status()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_all_four_kinds_pass_with_their_bytes_headers_and_trailers() {
    let bench = Bench::new().await;
    // Bytes that are no protobuf at all: the gateway must not care.
    let payloads: [&[u8]; 3] = [b"\xff\xfe\x00 not a message", b"", &[9; 20_000]];
    for (path, count) in [(READ, 1), (WRITE, 1), (COLLECT, 3), (SPREAD, 1), (CHAT, 3)] {
        let mut call = bench.call(path).header("x-key", path).header("x-mine-bin", "AAEC");
        for payload in payloads.iter().take(count) {
            call = call.message(payload);
        }
        let answer = call.send().await;
        assert_eq!(code(&answer), Code::Ok, "{path}");
        let expected: Vec<Bytes> =
            payloads.iter().take(count).map(|payload| Bytes::copy_from_slice(payload)).collect();
        assert_eq!(answer.messages(), expected, "{path}");
        assert_eq!(answer.headers["x-head"], "hello");
        assert_eq!(answer.text("x-trailer"), Some("bye"), "an unannounced trailer");
        let seen = bench.seen(path).await;
        assert_eq!(seen.body, answer.body, "{path}");
        assert_eq!(seen.text("x-mine-bin"), Some("AAEC"));
        assert_eq!(seen.text("te"), Some("trailers"));
        assert!(seen.complete);
    }
    let answer = bench.unary(READ, "times=4 size=1000").await;
    assert_eq!(answer.messages().len(), 4, "the number of messages is the upstream's business");
    let answer = bench.unary(SPREAD, "times=50 size=10000").await;
    assert_eq!((answer.messages().len(), code(&answer)), (50, Code::Ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_trailers_only_stays_so_and_an_empty_body_has_trailers() {
    let bench = Bench::new().await;
    let answer = bench.unary(READ, "trailers-only=5").await;
    assert!(answer.trailers_only, "{answer:?}");
    assert_eq!((code(&answer), answer.message()), (Code::NotFound, "as you wished"));
    assert_eq!(answer.text("grpc-status-details-bin"), Some("CAUSBnN0cmFuZw"), "details pass untouched");
    let answer = bench.unary(READ, "times=0 status=5").await;
    assert!(!answer.trailers_only);
    assert_eq!((code(&answer), answer.body.len()), (Code::NotFound, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_goes_both_ways_at_once() {
    let bench = Bench::new().await;
    let mut call = bench.call(CHAT).open().await;
    for number in 0..5_u8 {
        call.send(&[number; 3]).await;
        assert_eq!(
            call.part().await.unwrap(),
            frame(0, &[number; 3]),
            "the answer waits for the whole request"
        );
    }
    call.end();
    assert_eq!(code(&call.finish().await), Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_2_3_and_20_a_status_is_the_upstreams_or_plainly_ours() {
    let bench = Bench::with("breaker: { hard_failures: 1000000 }", &[]).await;
    for status in 0..=16_u8 {
        let answer = bench.unary(WRITE, &format!("status={status}")).await;
        assert_eq!(answer.status(), i32::from(status));
        assert_eq!(answer.text("oaas-origin"), Some("upstream"), "status {status}");
        let answer = bench.unary(WRITE, &format!("trailers-only={status}")).await;
        assert_eq!((answer.status(), answer.text("oaas-origin")), (i32::from(status), Some("upstream")));
    }
    for behave in ["no-status", "no-grpc-status", "times=1 no-status", "times=0 no-status"] {
        for path in [WRITE, CHAT] {
            let answer = bench.unary(path, behave).await;
            assert_eq!(code(&answer), Code::Unknown, "{behave}");
            assert_eq!(answer.reason(), "UPSTREAM_NO_STATUS", "{behave}");
            assert_eq!(answer.text("oaas-origin"), Some("gateway"));
            let records = bench.platform.records(answer.call_id()).await;
            let Some(Event::Outcome(outcome)) = &records.last().unwrap().event else { panic!("{records:?}") };
            assert_eq!((outcome.status, &*outcome.reason), (2, "UPSTREAM_NO_STATUS"));
        }
    }
    // hyper's clients see these two resets as a clean end; it is none.
    for (reset, expected) in [(0, Code::Unknown), (8, Code::Cancelled)] {
        let answer = bench.unary(WRITE, &format!("reset-late={reset}")).await;
        assert_eq!(code(&answer), expected, "reset {reset}: {answer:?}");
        assert_eq!(answer.text("oaas-origin"), Some("gateway"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_5_http_statuses_count_only_without_a_grpc_status() {
    let bench = Bench::new().await;
    for (http, expected) in [
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (500, Code::Unknown),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
        (418, Code::Unknown),
    ] {
        let answer = bench.unary(WRITE, &format!("http={http}")).await;
        assert_eq!((answer.http, code(&answer)), (200, expected), "{http}");
        let answer = bench.unary(WRITE, &format!("http={http} status=9")).await;
        assert_eq!((answer.http, code(&answer)), (200, Code::FailedPrecondition), "{http}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_6_resets_read_as_the_protocol_says() {
    // Hard failures would eject the endpoint and open the breaker; neither is the matter here.
    let bench = Bench::with("breaker: { hard_failures: 1000000 }", &[]).await;
    for (reset, expected) in [
        (7, Code::Unavailable),
        (8, Code::Cancelled),
        (11, Code::ResourceExhausted),
        (1, Code::Internal),
        (2, Code::Internal),
    ] {
        let answer = bench.unary(WRITE, &format!("reset={reset}")).await;
        assert_eq!(code(&answer), expected, "before the head: {reset}");
        let denial = answer.denial();
        let executed = if reset == 7 { "false" } else { "unknown" };
        assert_eq!(denial.fact("executed"), executed, "{denial:?}");
        if reset != 7 {
            let answer = bench.unary(CHAT, &format!("reset-late={reset}")).await;
            assert_eq!(code(&answer), expected, "after the head: {reset}");
            assert_eq!(answer.messages(), ["hello"], "what came before it is lost");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_7_and_8_the_shorter_deadline_holds_and_the_upstream_gets_what_is_left() {
    let bench = Bench::with("sla: { deadline_ms: 500 }", &[("Other", "effect: read")]).await;
    for (sent, at_most) in [(None, 500), (Some("200m"), 200), (Some("10S"), 500), (Some("1H"), 500)] {
        let key = sent.unwrap_or("none");
        let mut call = bench.call(READ).header("x-key", key).message(b"");
        if let Some(sent) = sent {
            call = call.header("grpc-timeout", sent);
        }
        assert_eq!(code(&call.send().await), Code::Ok);
        let seen = bench.seen(key).await;
        let values: Vec<_> = seen.headers.get_all("grpc-timeout").iter().collect();
        assert_eq!(values.len(), 1, "{values:?}");
        let left = micros(seen.text("grpc-timeout").unwrap());
        assert!(left < at_most * 1000, "{key}: the upstream gets {left} us of {at_most} ms");
        assert!(left > at_most * 1000 - 150_000, "{key}: the upstream gets only {left} us");
    }
    for bad in ["", "1", "S", "123456789S", "-1S", "1s", "1.5S", "1 S", "0x1S"] {
        let answer = bench.call(READ).header("grpc-timeout", bad).message(b"").send().await;
        assert_eq!((code(&answer), &*answer.reason()), (Code::InvalidArgument, "FIELD_INVALID"), "{bad:?}");
    }
    let twice =
        bench.call(READ).header("grpc-timeout", "1S").header("grpc-timeout", "2S").message(b"").send().await;
    assert_eq!(code(&twice), Code::InvalidArgument);
}

/// A `grpc-timeout` in microseconds.
fn micros(text: &str) -> u64 {
    let (digits, unit) = text.split_at(text.len() - 1);
    let number: u64 = digits.parse().unwrap();
    match unit {
        "n" => number / 1000,
        "u" => number,
        "m" => number * 1000,
        "S" => number * 1_000_000,
        other => panic!("unit {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_a_deadline_holds_over_the_whole_answer_and_resets_the_upstream() {
    let service = "sla: { deadline_ms: 300 }\nstream: { idle_ms: 200, duration_ms_max: 5000 }";
    let bench = Bench::with(service, &[]).await;
    // Before the head, within the body, and before the trailers.
    for behave in ["hang", "times=100 every=20", "stall"] {
        let key = behave.split('=').next().unwrap();
        let started = now();
        let answer = bench.call(READ).behave(behave).header("x-key", key).message(b"x").send().await;
        assert_eq!(
            (code(&answer), &*answer.reason()),
            (Code::DeadlineExceeded, "DEADLINE_UPSTREAM"),
            "{behave}"
        );
        assert!(now().since(started) >= Duration::from_millis(300), "{behave}: too early");
        until("the upstream is reset", || bench.seen_reset(key)).await;
        assert_eq!(bench.seen(key).await.reset.unwrap().0, h2::Reason::CANCEL, "{behave}");
    }
    // A stream has an idle limit and a longest duration in place of the deadline.
    let flowing = Bench::with("stream: { idle_ms: 600, duration_ms_max: 600 }", &[]).await;
    let started = now();
    let answer = flowing.call(SPREAD).behave("times=100 every=50").message(b"").send().await;
    assert_eq!(code(&answer), Code::DeadlineExceeded);
    assert!(now().since(started) >= Duration::from_millis(600), "cut before its longest duration");
    let started = now();
    let answer = bench.call(CHAT).behave("stall").message(b"").send().await;
    assert_eq!(code(&answer), Code::DeadlineExceeded);
    assert_eq!(answer.denial().fact("idle_ms"), "200");
    assert!(now().since(started) >= Duration::from_millis(200));
    // A client's own deadline holds for streams too.
    let answer = bench
        .call(SPREAD)
        .header("grpc-timeout", "100m")
        .behave("times=100 every=20")
        .message(b"")
        .send()
        .await;
    assert_eq!(answer.denial().fact("client_ms"), "100");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_a_client_that_reads_nothing_is_ended_too_and_the_capability_is_not_blamed() {
    let service = "sla: { deadline_ms: 200 }\nstream: { idle_ms: 200, duration_ms_max: 60000 }\n\
                   breaker: { calls_min: 10, timeouts_min: 1 }";
    let bench = Bench::with(service, &[]).await;
    let narrow = Client::connect_narrow(bench.platform.address).await;
    for number in 0..12 {
        let key = format!("unread-{number}");
        let path = if number % 2 == 0 { READ } else { SPREAD };
        let ask = narrow.call(path).key(&bench.key).behave("times=100 size=20000").header("x-key", &key);
        let mut call = ask.message(b"").open().await;
        call.send(b"").await;
        call.end();
        until("the upstream is reset", || bench.seen_reset(&key)).await;
        let call_id = bench.upstream.with_key(&key).unwrap().text("oaas-call-id").unwrap().to_owned();
        let records = bench.platform.records(&call_id).await;
        let Some(Event::Outcome(outcome)) = &records.last().unwrap().event else { panic!("{records:?}") };
        assert_eq!((outcome.status, &*outcome.reason), (4, "DEADLINE_UPSTREAM"), "{key}");
        let mut rest = call.finish().await;
        assert_eq!(rest.error.take().and_then(|error| error.reason()), Some(h2::Reason::CANCEL), "{key}");
    }
    assert_eq!(code(&bench.unary(READ, "").await), Code::Ok);
    // One that reads slowly, and ends behind the deadline, is not the capability's fault either.
    for number in 0..12 {
        let ask = narrow.call(READ).key(&bench.key).behave("times=30 size=20000").message(b"");
        let mut call = ask.open().await;
        call.send(b"").await;
        call.end();
        call.part().await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        drop(call.finish().await);
        assert_eq!(code(&bench.unary(READ, "").await), Code::Ok, "{number}");
    }
}

impl Bench {
    fn seen_reset(&self, key: &str) -> bool {
        self.upstream.with_key(key).is_some_and(|seen| seen.reset.is_some())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_a_clients_cancel_resets_the_upstream_at_once() {
    let bench = Bench::new().await;
    for (path, behave, key) in [
        (READ, "hang", "before-head"),
        (READ, "stall", "after-head"),
        (CHAT, "stall", "stream"),
        (SPREAD, "times=100000 size=1000 every=1", "flowing"),
    ] {
        let mut call = bench.call(path).behave(behave).header("x-key", key).message(b"x").open().await;
        call.send(b"x").await;
        if path != CHAT {
            call.end();
        }
        bench.seen(key).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let cancelled = now();
        call.cancel();
        until("the upstream is reset", || bench.seen_reset(key)).await;
        let (reason, at) = bench.seen(key).await.reset.unwrap();
        assert_eq!(reason, h2::Reason::CANCEL, "{key}");
        let took = at.since(cancelled);
        // The promise is 100 ms on a machine that is not busy with forty other tests.
        assert!(took < Duration::from_millis(1000), "{key}: reset after {took:?}");
        let call_id = bench.upstream.with_key(key).unwrap().text("oaas-call-id").unwrap().to_owned();
        let records = bench.platform.records(&call_id).await;
        let Some(Event::Outcome(outcome)) = &records.last().unwrap().event else { panic!("{records:?}") };
        assert_eq!((outcome.status, &*outcome.reason), (1, "CALLER_CANCELLED"), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_a_disconnect_is_a_cancel_of_all_its_calls() {
    let bench = Bench::new().await;
    let client = bench.platform.client().await;
    let mut calls = Vec::new();
    for number in 0..5 {
        let key = format!("lost-{number}");
        let call = client.call(READ).key(&bench.key).behave("hang").header("x-key", &key).open().await;
        bench.seen(&key).await;
        calls.push(call);
    }
    client.disconnect();
    for number in 0..5 {
        until("the upstream is reset", || bench.seen_reset(&format!("lost-{number}"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_11_many_cancels_do_not_end_the_connection_of_others() {
    let bench = Bench::new().await;
    let mut witness = bench.call(CHAT).header("x-key", "witness").open().await;
    witness.send(b"first").await;
    witness.part().await.unwrap();
    for number in 0..200 {
        let key = format!("c{number}");
        let call = bench.call(READ).behave("hang").header("x-key", &key).open().await;
        bench.seen(&key).await;
        call.cancel();
    }
    witness.send(b"last").await;
    assert_eq!(witness.part().await.unwrap(), frame(0, b"last"));
    witness.end();
    assert_eq!(code(&witness.finish().await), Code::Ok);
    assert_eq!(code(&bench.unary(READ, "").await), Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_12_identity_is_set_here_and_what_ends_here_ends() {
    let bench = Bench::with("", &[("Small", "effect: read, forward_credentials: true")]).await;
    let answer = bench
        .call(READ)
        .header("x-key", "meta")
        .header("oaas-application", "somebody-else")
        .header("oaas-call-id", "spoofed")
        .header("oaas-on-behalf-of", "the-boss")
        .header("oaas-anything", "spoofed")
        .header("grpc-previous-rpc-attempts", "3")
        .header("grpc-retry-pushback-ms", "1")
        .header("cookie", "secret=1")
        .header("proxy-authorization", "secret")
        .header("x-passes", "one")
        .header("x-passes", "two")
        .header("padded-bin", "AA==")
        .header("bare-bin", "AA,AQ")
        .message(b"")
        .send()
        .await;
    assert_eq!(code(&answer), Code::Ok);
    let seen = bench.seen("meta").await;
    let all = |name: &str| seen.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(all("oaas-application"), ["caller"]);
    assert_eq!(all("oaas-call-id"), [answer.call_id()]);
    for gone in [
        "oaas-on-behalf-of",
        "oaas-anything",
        "grpc-previous-rpc-attempts",
        "grpc-retry-pushback-ms",
        "cookie",
        "proxy-authorization",
        "authorization",
        "oaas-key",
        "x-api-key",
    ] {
        assert!(all(gone).is_empty(), "{gone} reached the upstream: {:?}", all(gone));
    }
    assert_eq!(all("x-passes"), ["one", "two"]);
    assert_eq!((all("padded-bin"), all("bare-bin")), (vec!["AA=="], vec!["AA,AQ"]));
    assert_eq!(seen.path, READ);
    // Where the catalog says so the credential passes.
    bench.call(SMALL).header("x-key", "forwarded").message(b"").send().await;
    assert_eq!(bench.seen("forwarded").await.text("authorization"), Some(&*format!("Bearer {}", bench.key)));
    // What the upstream claims in our name is not passed on.
    let answer = bench.unary(READ, "spoof").await;
    assert_eq!(answer.trailers.as_ref().unwrap().get_all("oaas-origin").iter().count(), 1);
    assert_eq!(answer.text("oaas-origin"), Some("upstream"));
    assert!(answer.headers.get("oaas-degraded").is_none() && answer.headers.get("oaas-origin").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_14_sizes_are_counted_message_by_message() {
    let bench =
        Bench::with("", &[("Chat", "effect: read, request_bytes_max: 1000, response_bytes_max: 1000")]).await;
    // At the limit, and far more than the limit in all, in frames that don't align with messages.
    let wire = [frame(0, &[1; 1000]), frame(0, &[2; 1000]), frame(0, &[3; 1000])].concat();
    let mut call = bench.call(CHAT);
    for part in wire.chunks(7) {
        call = call.frame(Bytes::copy_from_slice(part));
    }
    let answer = call.send().await;
    assert_eq!((code(&answer), answer.messages().len()), (Code::Ok, 3));
    // One byte more, in the third message: the two before it have passed.
    let wire = [frame(0, &[1; 1000]), frame(0, &[2; 1000])].concat();
    let mut call = bench.call(CHAT).header("x-key", "over").open().await;
    call.up.as_mut().unwrap().send_data(Bytes::from(wire), false).unwrap();
    let mut got = 0;
    while got < 2010 {
        got += call.part().await.unwrap().len();
    }
    call.up.as_mut().unwrap().send_data(frame(0, &[3; 1001]), false).unwrap();
    let answer = call.finish().await;
    assert_eq!((code(&answer), &*answer.reason()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
    assert_eq!(answer.messages().len(), 2);
    until("the upstream is reset", || bench.seen_reset("over")).await;
    let answer = bench.unary(CHAT, "times=3 size=1001").await;
    assert_eq!((code(&answer), &*answer.reason()), (Code::ResourceExhausted, "RESPONSE_TOO_LARGE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_15_a_slow_client_holds_the_upstream_back() {
    let bench = Bench::new().await;
    // 64 MiB, of which the client takes nothing.
    let slow = Client::connect_narrow(bench.platform.address).await;
    let mut call = slow
        .call(SPREAD)
        .key(&bench.key)
        .behave("times=640 size=100000")
        .header("x-key", "slow")
        .message(b"")
        .open()
        .await;
    call.send(b"").await;
    call.end();
    bench.seen("slow").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = bench.upstream.sent("slow");
    assert!(sent < 2_000_000, "{sent} bytes of an answer that nobody takes were pulled in");
    call.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_16_calls_spread_over_endpoints_and_avoid_a_dead_one() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let dead = crate::upstream::nobody().await;
    let key = fresh_key();
    let file = crate::upstream::catalog(&[one.address, dead, two.address], "", &[]);
    let platform = platform().file("echo/echo.yaml", file).app("caller", &key, &["*:internal"]).start().await;
    let client = platform.client().await;
    let mut failed = 0;
    for _ in 0..20 {
        let calls: Vec<_> = (0..10)
            .map(|_| tokio::spawn(client.call(READ).key(&key).behave("delay=10").message(b"").send()))
            .collect();
        for call in calls {
            failed += u32::from(call.await.unwrap().status() != 0);
        }
    }
    assert_eq!(failed, 0, "calls failed at an endpoint that is away");
    let (first, second) = (one.seen().len(), two.seen().len());
    assert_eq!(first + second, 200);
    assert!(first.min(second) > 20, "{first} and {second} calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_18_streams_are_authenticated_limited_and_recorded() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "", &[])
        .plan("one", "concurrency: 1")
        .app_with("caller", &[&key_yaml(&key, "")], &["*:one"])
        .start()
        .await;
    let client = platform.client().await;
    let answer = client.call(CHAT).message(b"").send().await;
    assert_eq!(answer.reason(), "CREDENTIALS_MISSING");
    let mut held = client.call(CHAT).key(&key).open().await;
    held.send(b"one").await;
    held.part().await.unwrap();
    let answer = client.call(CHAT).key(&key).message(b"").send().await;
    assert_eq!(answer.reason(), "CONCURRENCY_LIMITED", "a stream that is open is not a call in flight");
    held.send(b"two").await;
    held.part().await.unwrap();
    held.end();
    let answer = held.finish().await;
    let records = platform.records(answer.call_id()).await;
    let Some(Event::Outcome(outcome)) = &records.last().unwrap().event else { panic!("{records:?}") };
    assert_eq!((outcome.request_messages, outcome.response_messages), (2, 2));
    assert_eq!((outcome.request_bytes, outcome.response_bytes), (6, 6));
    assert_eq!(outcome.request_digest, outcome.response_digest, "the same frames have the same digest");
    let answer = client.call(CHAT).key(&key).message(b"").send().await;
    assert_eq!(answer.status(), 0, "the place of a stream that is over is not given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_19_compressed_messages_pass_untouched() {
    let bench = Bench::new().await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&[b'a'; 100_000]).unwrap();
    let compressed = frame(1, &gzip.finish().unwrap());
    for path in [READ, CHAT] {
        let answer = bench
            .call(path)
            .header("grpc-encoding", "gzip")
            .header("grpc-accept-encoding", "gzip,identity")
            .header("x-key", path)
            .frame(compressed.clone())
            .send()
            .await;
        assert_eq!((code(&answer), answer.body.freeze()), (Code::Ok, compressed.clone()));
        assert_eq!(answer.headers["grpc-encoding"], "gzip");
        let seen = bench.seen(path).await;
        assert_eq!(seen.body, compressed);
        assert_eq!(seen.text("grpc-accept-encoding"), Some("gzip,identity"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_22_only_what_may_be_repeated_is_repeated() {
    let bench = Bench::with("breaker: { hard_failures: 1000000 }", &[]).await;
    // (method, what the first attempts do, status, attempts)
    for (name, path, behave, status, attempts) in [
        ("refused stream, a write", WRITE, "reset=7 fail=1", 0, 2),
        ("refused twice", WRITE, "reset=7 fail=2", 14, 2),
        ("reset, a write", WRITE, "reset=2 fail=1", 13, 1),
        ("unavailable, a read", READ, "trailers-only=14 fail=1", 0, 2),
        ("unavailable, two times", READ, "trailers-only=14 fail=2", 0, 3),
        ("unavailable, three times", READ, "trailers-only=14 fail=3", 14, 3),
        ("unavailable, a write", WRITE, "trailers-only=14 fail=1", 14, 1),
        ("internal, a read", READ, "trailers-only=13 fail=1", 13, 1),
        ("a negative pushback", READ, "trailers-only=14 fail=1 pushback=-1", 14, 1),
        ("a pushback", READ, "trailers-only=14 fail=1 pushback=30", 0, 2),
        ("after the head", READ, "status=14", 14, 1),
    ] {
        let key = name.replace([' ', ','], "-");
        let answer = bench.call(path).behave(behave).header("x-key", &key).message(b"again").send().await;
        assert_eq!((answer.status(), bench.upstream.count(&key)), (status, attempts), "{name}: {answer:?}");
        let all: Vec<Seen> =
            bench.upstream.seen().into_iter().filter(|seen| seen.text("x-key") == Some(&*key)).collect();
        if status == 0 {
            assert_eq!(all.last().unwrap().body, frame(0, b"again"), "{name}: another body the second time");
        }
        let records = bench.platform.records(answer.call_id()).await;
        let Some(Event::Outcome(outcome)) = &records.last().unwrap().event else { panic!("{records:?}") };
        assert_eq!(outcome.attempts as usize, attempts, "{name}: attempts in the record");
    }
    // The budget: 10 % of the calls, after a small reserve.
    let mut again = 0;
    for number in 0..100 {
        let key = format!("budget-{number}");
        let answer =
            bench.call(READ).behave("trailers-only=14").header("x-key", &key).message(b"").send().await;
        assert_eq!(answer.status(), 14);
        again += bench.upstream.count(&key) - 1;
    }
    assert!(again <= 30, "{again} retries of 100 calls");
}
