//! The denial contract, row by row: HTTP 200, trailers only, details that a program can act on.

use std::time::Duration;

use oaas_model::Reason;

use crate::client::{Answer, Client, Denial, frame};
use crate::platform::{Platform, fresh_key, key_yaml, now, platform};
use crate::upstream::{READ, SMALL, Upstream, WRITE, nobody, until};

const SERVICE: &str = "it.echo.v1.EchoService";

/// What every refusal has, whatever its reason.
fn common(answer: &Answer, reason: Reason, executed: &str, platform: &Platform) -> Denial {
    assert_eq!(answer.http, 200, "{answer:?}");
    assert!(answer.trailers_only, "not trailers-only: {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert_eq!(answer.status(), i32::from(reason.code().number()), "{answer:?}");
    let denial = answer.denial();
    assert_eq!(denial.info.reason, reason.as_str());
    assert_eq!(denial.info.domain, "gateway.oaas");
    assert_eq!(denial.order[0], "ErrorInfo", "{:?}", denial.order);
    assert_eq!(denial.fact("call_id"), answer.call_id());
    assert_eq!(denial.fact("executed"), executed, "{denial:?}");
    assert_eq!(denial.fact("catalog_version"), platform.version());
    if let Some(request) = &denial.request {
        assert_eq!(request.request_id, answer.call_id());
    }
    assert_eq!(denial.localized.as_ref().unwrap().locale, "en");
    assert_eq!(denial.localized.as_ref().unwrap().message, reason.meaning(oaas_model::Lang::En));
    assert!(denial.help.as_ref().is_none_or(|help| !help.links.is_empty()));
    assert_eq!(answer.text("oaas-origin"), Some("gateway"));
    assert!(answer.message().len() <= 256);
    let size: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    // The plans of a missing subscription name the service twice more, and money has many facts.
    let more = denial.resource.is_some() || reason == Reason::BudgetExhausted;
    let most = if more { 1280 } else { 1024 };
    assert!(size <= most, "{reason} takes {size} bytes");
    // What only says again where to look is left out where it is too much, and only there.
    if denial.request.is_none() || denial.help.is_none() {
        assert!(size > 850, "{reason} takes {size} bytes and lacks {:?}", denial.order);
    }
    // What is told twice says the same.
    match (denial.retry, answer.text("grpc-retry-pushback-ms")) {
        (Some(wait), Some(ms)) => assert_eq!(wait.as_nanos().div_ceil(1_000_000), ms.parse().unwrap()),
        (Some(wait), None) => panic!("RetryInfo of {wait:?} without a pushback"),
        (None, Some(ms)) => assert_eq!(ms, "-1"),
        (None, None) => {}
    }
    denial
}

fn never(answer: &Answer, denial: &Denial) {
    assert_eq!(denial.retry, None);
    assert_eq!(answer.text("grpc-retry-pushback-ms"), Some("-1"));
}

async fn ask(client: &Client, path: &str, key: &str) -> Answer {
    client.call(path).key(key).message(b"").send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_refused_without_a_word_on_the_service() {
    let (expired, revoked, good) = (fresh_key(), fresh_key(), fresh_key());
    let platform = platform()
        .app_with(
            "caller",
            &[
                &key_yaml(&expired, ", expires: \"2020-01-01T00:00:00Z\""),
                &key_yaml(&revoked, ", revoked: true"),
                &key_yaml(&good, ""),
            ],
            &["*:standard"],
        )
        .start()
        .await;
    let client = platform.client().await;
    let known = "/oaas.channel.v1.RebateService/GetPlan";
    let unknown = "/oaas.channel.v1.NoSuchService/GetPlan";
    let wrong = format!("{}x", &good[..good.len() - 1]);
    for (key, reason) in [
        (None, Reason::CredentialsMissing),
        (Some("nonsense"), Reason::CredentialsInvalid),
        (Some(wrong.as_str()), Reason::CredentialsInvalid),
        (Some(fresh_key().as_str()), Reason::CredentialsInvalid),
        (Some(expired.as_str()), Reason::CredentialsExpired),
        (Some(revoked.as_str()), Reason::CredentialsRevoked),
    ] {
        let mut said = Vec::new();
        for path in [known, unknown] {
            let mut call = client.call(path).message(b"");
            if let Some(key) = key {
                call = call.key(key);
            }
            let answer = call.send().await;
            let denial = common(&answer, reason, "false", &platform);
            never(&answer, &denial);
            assert!(denial.resource.is_none());
            said.push(answer.message().to_owned());
        }
        assert_eq!(said[0], said[1], "a stranger learns which services there are");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_hidden_are_the_same_bytes() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform =
        platform().echo(&upstream, "visibility: private", &[]).app("caller", &key, &[]).start().await;
    let client = platform.client().await;
    // Equally long names, so that the answers are of one length too.
    let hidden = ask(&client, "/it.echo.v1.EchoService/Read", &key).await;
    let unknown = ask(&client, "/it.echo.v1.EchoServicf/Read", &key).await;
    let method = ask(&client, "/it.echo.v1.EchoService/Reae", &key).await;
    let operators = ask(&client, "/oaas.gateway.v1.BreakerService/ListBreakers", &key).await;
    for (answer, service) in [
        (&hidden, SERVICE),
        (&unknown, "it.echo.v1.EchoServicf"),
        (&method, SERVICE),
        (&operators, "oaas.gateway.v1.BreakerService"),
    ] {
        let denial = common(answer, Reason::MethodUnknown, "false", &platform);
        never(answer, &denial);
        assert_eq!(denial.fact("service"), service);
    }
    let blanked = |answer: &Answer| {
        let mut denial = answer.denial();
        // A map prints in any order.
        let mut facts: Vec<String> =
            denial.info.metadata.drain().map(|(name, value)| format!("{name}={value}")).collect();
        facts.sort();
        let text = format!("{denial:?} {facts:?}").replace(answer.call_id(), "ID");
        let text = text.replace("EchoServicf", "EchoService").replace("Reae", "Read");
        let names: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        let bytes: usize = answer.headers.values().map(http::HeaderValue::len).sum();
        (text, names, bytes)
    };
    assert_eq!(blanked(&hidden), blanked(&unknown));
    assert_eq!(blanked(&hidden), blanked(&method));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_say_where_they_stand_and_where_the_plans_are() {
    let upstream = Upstream::start().await;
    let keys: Vec<String> = (0..5).map(|_| fresh_key()).collect();
    let entry = |more: &str| format!("{{ service: {SERVICE}, plan: standard, {more} }}");
    let partly = format!("{SERVICE}:partly");
    let platform = platform()
        .echo(&upstream, "", &[])
        .plan("partly", "methods: { it.echo.v1.EchoService: [Write] }")
        .app("none", &keys[0], &[])
        .app("pending", &keys[1], &[&entry("state: pending")])
        .app("suspended", &keys[2], &[&entry("state: suspended")])
        .app("expired", &keys[3], &[&entry("expires: \"2020-01-01T00:00:00Z\"")])
        .app("partly", &keys[4], &[&partly])
        .start()
        .await;
    let client = platform.client().await;
    for (key, reason) in keys.iter().zip([
        Reason::SubscriptionRequired,
        Reason::SubscriptionPending,
        Reason::SubscriptionSuspended,
        Reason::SubscriptionExpired,
        Reason::MethodNotInPlan,
    ]) {
        let answer = ask(&client, READ, key).await;
        let denial = common(&answer, reason, "false", &platform);
        never(&answer, &denial);
        let resource = denial.resource.as_ref().unwrap();
        assert_eq!(
            (&*resource.resource_type, &*resource.resource_name),
            ("oaas.catalog.v1.Service", SERVICE)
        );
        let link = &denial.help.as_ref().unwrap().links[0];
        assert!(link.url.ends_with(&format!("/catalog/{SERVICE}")), "{}", link.url);
    }
    assert_eq!(ask(&client, WRITE, &keys[4]).await.status(), 0);
    assert_eq!(upstream.seen().len(), 1, "a refused call reached the upstream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_say_when_and_quotas_what_is_left() {
    let upstream = Upstream::start().await;
    let (slow, narrow, few, poor) = (fresh_key(), fresh_key(), fresh_key(), fresh_key());
    let stake = "effect: write, stakes: [{ budget: money, amount_field: amount_minor, key_field: batch, currency: CNY }]";
    let platform = platform()
        .echo(&upstream, "", &[("Write", stake)])
        .plan("slow", "rate: { per_second: 1, burst: 1 }")
        .plan("narrow", "concurrency: 1")
        .plan("few", "quota: { calls: 2, period: month }")
        .plan("poor", "budgets: { money: { amount: \"1.00\", currency: CNY, window_s: 3600 } }")
        .app("slow", &slow, &["*:slow"])
        .app("narrow", &narrow, &["*:narrow"])
        .app("few", &few, &["*:few"])
        .app("poor", &poor, &["*:poor"])
        .start()
        .await;
    let client = platform.client().await;

    assert_eq!(ask(&client, READ, &slow).await.status(), 0);
    let answer = ask(&client, READ, &slow).await;
    let denial = common(&answer, Reason::RateLimited, "false", &platform);
    let wait = denial.retry.unwrap();
    assert!(wait > Duration::from_millis(300) && wait <= Duration::from_secs(1), "{wait:?}");
    let violation = &denial.quota.as_ref().unwrap().violations[0];
    assert_eq!(violation.subject, "application:slow");
    assert_eq!(denial.fact("service"), SERVICE);
    // The wait is exact: after it the call passes.
    tokio::time::sleep(wait + Duration::from_millis(2)).await;
    assert_eq!(ask(&client, READ, &slow).await.status(), 0);

    let held =
        client.call(READ).key(&narrow).behave("hang").header("x-key", "held").message(b"").open().await;
    until("the held call is at the upstream", || upstream.count("held") == 1).await;
    let answer = ask(&client, READ, &narrow).await;
    let denial = common(&answer, Reason::ConcurrencyLimited, "false", &platform);
    assert!(denial.retry.is_some() && denial.quota.is_some());
    held.cancel();

    for _ in 0..2 {
        assert_eq!(ask(&client, READ, &few).await.status(), 0);
    }
    let answer = ask(&client, READ, &few).await;
    let denial = common(&answer, Reason::QuotaExhausted, "false", &platform);
    assert_eq!((denial.fact("limit"), denial.fact("used")), ("2", "2"));
    let resets: jiff::Timestamp = denial.fact("resets_at").parse().unwrap();
    let left = resets.as_millisecond() - now().unix_ms();
    assert!(left > 0 && left <= 31 * 86_400_000);
    assert_eq!(denial.retry.is_some(), left <= 60_000, "RetryInfo only for a reset within a minute");
    assert!(denial.quota.is_some());

    // amount_minor = 60 of 100, for batch "b".
    let sixty = [0x18, 60, 0x22, 1, b'b'];
    let pay = || client.call(WRITE).key(&poor).message(&sixty).send();
    assert_eq!(pay().await.status(), 0);
    let answer = pay().await;
    let denial = common(&answer, Reason::BudgetExhausted, "false", &platform);
    assert_eq!(
        (denial.fact("limit_minor"), denial.fact("used_minor"), denial.fact("currency")),
        ("100", "60", "CNY")
    );
    assert!(denial.quota.is_some() && denial.retry.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_say_whose_they_were() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "sla: { deadline_ms: 1500 }", &[])
        .app("caller", &key, &["*:internal"])
        .start()
        .await;
    let client = platform.client().await;
    let answer = client.call(READ).key(&key).header("grpc-timeout", "0m").message(b"").send().await;
    let denial = common(&answer, Reason::DeadlineExpired, "false", &platform);
    assert_eq!((denial.fact("client_ms"), denial.fact("catalog_ms")), ("0", "1500"));
    assert!(!denial.fact("elapsed_ms").is_empty());
    never(&answer, &denial);
    let answer =
        client.call(READ).key(&key).header("grpc-timeout", "800m").behave("hang").message(b"").send().await;
    let denial = common(&answer, Reason::DeadlineUpstream, "unknown", &platform);
    assert_eq!((denial.fact("client_ms"), denial.fact("catalog_ms")), ("800", "1500"));
    assert!(denial.fact("elapsed_ms").parse::<u64>().unwrap() >= 800);
    let answer = client.call(READ).key(&key).behave("hang").message(b"").send().await;
    let denial = common(&answer, Reason::DeadlineUpstream, "unknown", &platform);
    assert_eq!(denial.fact("client_ms"), "");
    assert!(denial.fact("elapsed_ms").parse::<u64>().unwrap() >= 1500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_says_how_large_and_how_large_may_be() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform().echo(&upstream, "", &[]).app("caller", &key, &["*:internal"]).start().await;
    let client = platform.client().await;
    let answer = client.call(SMALL).key(&key).behave("hang").message(&[1; 1001]).send().await;
    let denial = common(&answer, Reason::RequestTooLarge, "unknown", &platform);
    assert_eq!((denial.fact("limit"), denial.fact("size")), ("1000", "1001"));
    never(&answer, &denial);
    // A response that is too large has begun: its status comes in trailers.
    let answer = client.call(SMALL).key(&key).behave("times=1 size=1001").message(b"").send().await;
    assert_eq!(answer.status(), 8);
    let denial = answer.denial();
    assert_eq!((&*denial.info.reason, denial.fact("executed")), ("RESPONSE_TOO_LARGE", "true"));
    assert_eq!((denial.fact("limit"), denial.fact("size")), ("1000", "1001"));
    assert!(answer.body.is_empty(), "a part of the message that is too large got through");
    // So are too many headers, and headers that are too long.
    let many = (0..150).fold(client.call(READ), |call, n| call.header(&format!("x-{n}"), "1"));
    let long = client.call(READ).header("x-long", &"y".repeat(17_000));
    for (call, unit, limit) in [(many, "fields", "128"), (long, "bytes", "16384")] {
        let answer = call.key(&key).message(b"").send().await;
        let denial = common(&answer, Reason::MetadataTooLarge, "false", &platform);
        assert_eq!((denial.fact("unit"), denial.fact("limit")), (unit, limit));
        assert_eq!(denial.fact("service"), SERVICE);
        never(&answer, &denial);
        assert_eq!(platform.records(answer.call_id()).await.len(), 1, "a refusal is recorded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_does_not_speak_grpc_is_named() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform().echo(&upstream, "", &[]).app("caller", &key, &["*:internal"]).start().await;
    let client = platform.client().await;
    let answer = client.call(WRITE).key(&key).behave("html times=1").message(b"").send().await;
    let denial = common(&answer, Reason::UpstreamProtocol, "unknown", &platform);
    assert_eq!(denial.fact("content_type"), "text/html");
    let answer = client.call(WRITE).key(&key).behave("times=1 flag=7").message(b"").send().await;
    assert_eq!((answer.status(), &*answer.reason()), (13, "UPSTREAM_PROTOCOL"));
    assert!(answer.body.is_empty());
    // The same of a caller is the caller's.
    let answer = client.call(WRITE).key(&key).behave("hang").frame(frame(7, b"x")).send().await;
    let denial = common(&answer, Reason::FieldInvalid, "unknown", &platform);
    never(&answer, &denial);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_one_call_at_a_time_and_one_request() {
    let upstream = Upstream::start().await;
    let (key, other) = (fresh_key(), fresh_key());
    let platform = platform()
        .echo(&upstream, "", &[])
        .app("caller", &key, &["*:internal"])
        .app("other", &other, &["*:internal"])
        .start()
        .await;
    let client = platform.client().await;
    let write = |token: &str, key: &str, message: &'static [u8]| {
        client.call(WRITE).key(key).header("idempotency-key", token).message(message)
    };
    let mut held = write("k1", &key, b"").behave("hang").header("x-key", "held").open().await;
    held.end();
    until("the held call is at the upstream", || upstream.count("held") == 1).await;
    let answer = write("k1", &key, b"").send().await;
    let denial = common(&answer, Reason::IdempotencyInFlight, "false", &platform);
    assert!(denial.retry.is_some_and(|wait| wait <= Duration::from_secs(1)), "{denial:?}");
    // Another application's key, another key, a read: nothing to do with it.
    assert_eq!(write("k1", &other, b"").send().await.status(), 0);
    assert_eq!(write("k2", &key, b"").send().await.status(), 0);
    let read = client.call(READ).key(&key).header("idempotency-key", "k1").message(b"");
    assert_eq!(read.send().await.status(), 0);
    // A call that was left may have been made: its key is its request's.
    held.cancel();
    until("the upstream is reset", || upstream.with_key("held").is_some_and(|s| s.reset.is_some())).await;
    // The same request is let through again and again, another one is not.
    for _ in 0..2 {
        assert_eq!(write("k2", &key, b"").send().await.status(), 0);
    }
    let answer = write("k2", &key, b"\x0a\x01x").send().await;
    let denial = common(&answer, Reason::IdempotencyKeyReused, "false", &platform);
    never(&answer, &denial);
    // A refusal by the capability did nothing, so that the key is free for a better request.
    assert_eq!(write("k3", &key, b"").behave("trailers-only=9").send().await.status(), 9);
    assert_eq!(write("k3", &key, b"\x0a\x01x").send().await.status(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_that_is_away_says_in_which_phase() {
    let key = fresh_key();
    let file = crate::upstream::catalog(&[nobody().await], "", &[]);
    let platform = platform().file("echo/echo.yaml", file).app("caller", &key, &["*:internal"]).start().await;
    let answer = ask(&platform.client().await, WRITE, &key).await;
    let denial = common(&answer, Reason::UpstreamUnavailable, "false", &platform);
    assert!(matches!(denial.fact("phase"), "connect" | "no_endpoint"), "{denial:?}");
    assert!(denial.fact("attempts").parse::<u32>().is_ok(), "{denial:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_says_its_code_and_that_nothing_is_known() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform().echo(&upstream, "", &[]).app("caller", &key, &["*:internal"]).start().await;
    let client = platform.client().await;
    let answer = client.call(WRITE).key(&key).behave("reset=2").message(b"").send().await;
    assert_eq!(answer.status(), 13);
    let denial = answer.denial();
    assert_eq!((&*denial.info.reason, denial.fact("executed")), ("UPSTREAM_UNAVAILABLE", "unknown"));
    assert!(denial.fact("phase").starts_with("reset"), "{denial:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_process_says_so() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "", &[])
        .app("caller", &key, &["*:internal"])
        .set("CALLS_IN_FLIGHT_MAX", "1")
        .start()
        .await;
    let client = platform.client().await;
    let held = client.call(READ).key(&key).behave("hang").header("x-key", "held").message(b"").open().await;
    until("the held call is at the upstream", || upstream.count("held") == 1).await;
    let answer = ask(&client, READ, &key).await;
    let denial = common(&answer, Reason::Overloaded, "false", &platform);
    assert!(denial.retry.is_some());
    held.cancel();
    until_admitted(&client, &key).await;
}

async fn until_admitted(client: &Client, key: &str) {
    for _ in 0..200 {
        if ask(client, READ, key).await.status() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place of a call that is over is not given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_names_its_fields() {
    let key = fresh_key();
    let platform = platform().app("caller", &key, &["*:internal"]).start().await;
    let client = platform.client().await;
    // By the capability: a required field is missing.
    let answer = ask(&client, "/oaas.channel.v1.RebateService/GetPlan", &key).await;
    assert_eq!((answer.status(), &*answer.reason()), (3, "FIELD_INVALID"));
    assert_eq!(answer.denial().bad_request.unwrap().field_violations[0].field, "plan_id");
    // By the gateway: a header is malformed.
    let answer = client
        .call("/oaas.channel.v1.RebateService/GetPlan")
        .key(&key)
        .header("grpc-timeout", "soon")
        .message(b"")
        .send()
        .await;
    let denial = common(&answer, Reason::FieldInvalid, "false", &platform);
    assert_eq!(denial.bad_request.as_ref().unwrap().field_violations[0].field, "grpc-timeout");
    never(&answer, &denial);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_come_in_the_language_that_is_asked_for() {
    let platform = platform().start().await;
    let client = platform.client().await;
    for (asked, locale, word) in [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "凭"),
        ("en-GB,zh;q=0.5", "en", "credential"),
        ("fr", "en", "credential"),
    ] {
        let answer = client.call(READ).header("accept-language", asked).message(b"").send().await;
        let localized = answer.denial().localized.unwrap();
        assert_eq!(localized.locale, locale, "{asked}");
        assert!(localized.message.contains(word), "{asked}: {}", localized.message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_names_keep_the_trailers_short() {
    let key = fresh_key();
    let platform = platform().app("caller", &key, &[]).start().await;
    let client = platform.client().await;
    let path = format!("/{}.Service/{}", "x".repeat(3000), "y".repeat(3000));
    let answer = ask(&client, &path, &key).await;
    assert_eq!(answer.status(), 12);
    assert!(answer.message().len() <= 256);
    let size: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(size < 4096, "trailers of {size} bytes");
    assert_eq!(answer.denial().order[0], "ErrorInfo");
}
