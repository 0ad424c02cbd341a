//! The journal against the client's own log: every admitted call has its two records, every refusal one,
//! and what was left out is counted exactly.

use std::collections::{BTreeMap, HashMap};

use oaas_audit::explain;
use oaas_audit::record::audit_record::Event;
use oaas_audit::record::{AuditRecord, CallHead};
use oaas_model::{CallId, Lang};

use crate::platform::{fresh_key, platform};
use crate::upstream::{CHAT, READ, SMALL, SPREAD, Upstream, WRITE, until};

fn id(head: &Option<CallHead>) -> String {
    CallId::from_slice(&head.as_ref().unwrap().call_id).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_and_the_clients_log_agree_on_thousands_of_calls() {
    const TASKS: usize = 8;
    const EACH: usize = 260;
    const FLOOD: usize = 250;
    let upstream = Upstream::start().await;
    let (key, limited) = (fresh_key(), fresh_key());
    let mut platform = platform()
        .echo(
            &upstream,
            "breaker: { hard_failures: 1000000, calls_min: 1000000 }",
            &[("Small", "effect: read, audit: { sampled: 7 }")],
        )
        .plan("open", "concurrency: 1000")
        .plan("few", "rate: { per_second: 1, burst: 1 }")
        .app("caller", &key, &["*:open"])
        .app("limited", &limited, &["*:few"])
        .start()
        .await;
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (client, key, limited) = (platform.client().await, key.clone(), limited.clone());
        tasks.push(tokio::spawn(async move {
            let mut log = Vec::new();
            for number in 0..EACH {
                let kind = (task + number) % 13;
                let call = match kind {
                    0..=3 => client.call(READ).key(&key),
                    4 => client.call(WRITE).key(&key),
                    5 => client.call(READ).key(&key).behave("status=5"),
                    6 => client.call(CHAT).key(&key).message(b"two"),
                    7 => client.call(SPREAD).key(&key).behave("times=3 size=10"),
                    8 => client.call(SMALL).key(&key),
                    9 => client.call("/it.echo.v1.EchoService/Nothing").key(&key),
                    10 => client.call(READ).key("nonsense"),
                    11 => client.call(READ).key(&limited),
                    _ => client.call(READ).key(&key).behave("no-status"),
                };
                let answer = call.message(b"one").send().await;
                log.push((kind, answer.call_id().to_owned(), answer.status(), answer.reason()));
            }
            log
        }));
    }
    let mut log = Vec::new();
    for task in tasks {
        log.extend(task.await.unwrap());
    }
    // More than twice what gets records of its own in a minute: summed also where a minute ends in between.
    let client = platform.client().await;
    for _ in 0..FLOOD {
        let answer = client.call(READ).key("nonsense").message(b"one").send().await;
        log.push((10, answer.call_id().to_owned(), answer.status(), answer.reason()));
    }
    let records = platform.stop().await;
    let sequences: Vec<u64> = records.iter().map(|record| record.sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "a hole in the journal");

    let (mut intents, mut outcomes, mut refusals) = (HashMap::new(), HashMap::new(), HashMap::new());
    let (mut summed, mut gaps) = (BTreeMap::<String, u64>::new(), 0);
    for record in &records {
        match &record.event {
            Some(Event::Intent(intent)) => {
                assert!(intents.insert(id(&intent.head), record.sequence).is_none())
            }
            Some(Event::Outcome(outcome)) => {
                let known = outcomes.insert(id(&outcome.head), (record.sequence, outcome));
                assert!(known.is_none(), "two outcomes of a call");
            }
            Some(Event::Refusal(refusal)) => {
                assert!(refusals.insert(id(&refusal.head), refusal).is_none());
            }
            Some(Event::RefusalSum(sum)) => *summed.entry(sum.reason.clone()).or_default() += sum.count,
            Some(Event::Gap(gap)) => gaps += gap.count,
            _ => {}
        }
    }
    let mut refused = BTreeMap::<String, u64>::new();
    let (mut sampled, mut recorded) = (0, 0);
    for (kind, call, status, reason) in &log {
        if outcomes.contains_key(call) || intents.contains_key(call) {
            let Some((after, outcome)) = outcomes.get(call) else { panic!("no outcome of {call}") };
            let Some(before) = intents.get(call) else { panic!("no intent of {call}") };
            assert!(before < after);
            assert_eq!((outcome.status as i32, &outcome.reason), (*status, reason), "kind {kind}");
            let messages = if *kind == 6 { 2 } else { 1 };
            assert_eq!(outcome.request_messages, messages, "kind {kind}");
        }
        match kind {
            8 => {
                sampled += 1;
                recorded += u64::from(outcomes.contains_key(call));
            }
            9..=11 if *status != 0 => {
                *refused.entry(reason.clone()).or_default() += 1;
                if let Some(refusal) = refusals.get(call) {
                    assert_eq!((refusal.status as i32, &refusal.reason), (*status, reason));
                }
            }
            _ => assert!(outcomes.contains_key(call), "kind {kind}: {call} left no record"),
        }
    }
    assert_eq!(recorded + gaps, sampled, "sampled calls: {recorded} recorded, {gaps} in gaps");
    assert!(recorded > 0 && gaps > 0);
    let mut told = summed.clone();
    for refusal in refusals.values() {
        *told.entry(refusal.reason.clone()).or_default() += 1;
    }
    assert_eq!(told, refused, "summed: {summed:?}");
    assert!(!summed.is_empty(), "a flood of refusals was not summed");
    assert_eq!(outcomes.len() as u64, log.len() as u64 - sampled + recorded - refused.values().sum::<u64>());
    // The upstream's own log: what it saw and what was said to be made are the same calls.
    let seen: std::collections::HashSet<String> =
        upstream.seen().iter().map(|seen| seen.text("oaas-call-id").unwrap().to_owned()).collect();
    assert!(outcomes.keys().all(|call| seen.contains(call)));
    let unaudited = seen.iter().filter(|call| !outcomes.contains_key(*call)).count() as u64;
    assert_eq!(unaudited, gaps, "calls at the upstream without a record");
}

fn intent_of(records: &[AuditRecord]) -> Option<u64> {
    records.iter().find(|record| matches!(record.event, Some(Event::Intent(_)))).map(|record| record.sequence)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_intent_is_there_before_the_call_and_a_strict_one_is_on_the_disk() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "", &[])
        .app("caller", &key, &["*:internal"])
        // So late that nothing is synced but what must be.
        .set("JOURNAL__SYNC_MS", "60000")
        .start()
        .await;
    let client = platform.client().await;
    for (path, strict) in [(READ, false), (WRITE, true)] {
        let held = client.call(path).key(&key).behave("hang").header("x-key", path).message(b"").open().await;
        until("the call is at the upstream", || upstream.with_key(path).is_some()).await;
        let call = upstream.with_key(path).unwrap().text("oaas-call-id").unwrap().to_owned();
        let records = platform.reader().find(call.parse().unwrap()).unwrap();
        let intent = intent_of(&records).expect("the upstream has a call of which the journal knows nothing");
        // Any later record says what is known to be on the disk.
        let probe = client.call(READ).key(&key).message(b"").send().await;
        let later = platform.records(probe.call_id()).await;
        let durable = later[0].durable_sequence;
        assert_eq!(durable >= intent, strict, "{path}: intent {intent}, on disk up to {durable}");
        held.cancel();
        platform.records(&call).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_is_recorded_as_one() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform().echo(&upstream, "", &[]).app("caller", &key, &["*:internal"]).start().await;
    let client = platform.client().await;
    for path in [READ, WRITE, CHAT] {
        let held = client.call(path).key(&key).behave("hang").header("x-key", path).message(b"").open().await;
        until("the call is at the upstream", || upstream.with_key(path).is_some()).await;
        let call = upstream.with_key(path).unwrap().text("oaas-call-id").unwrap().to_owned();
        held.cancel();
        let records = platform.records(&call).await;
        let Some(Event::Outcome(outcome)) = &records.last().unwrap().event else { panic!("{records:?}") };
        assert_eq!(
            (outcome.status, &*outcome.reason, &*outcome.executed),
            (1, "CALLER_CANCELLED", "unknown")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_is_explained_in_both_languages() {
    let upstream = Upstream::start().await;
    let (key, poor) = (fresh_key(), fresh_key());
    let platform = platform()
        .echo(&upstream, "sla: { deadline_ms: 300 }", &[])
        .plan("one", "rate: { per_second: 1, burst: 1 }")
        .app("caller", &key, &["*:internal"])
        .app("poor", &poor, &["*:one"])
        .start()
        .await;
    let client = platform.client().await;
    client.call(READ).key(&poor).message(b"").send().await;
    for (call, word) in [
        (client.call(READ).key(&key), "caller"),
        (client.call(READ).key(&key).behave("status=5"), "NOT_FOUND"),
        (client.call(READ).key(&key).behave("hang"), "DEADLINE_UPSTREAM"),
        (client.call(READ).key(&key).behave("no-status"), "UPSTREAM_NO_STATUS"),
        (client.call(READ).key(&poor), "RATE_LIMITED"),
        (client.call("/it.echo.v1.EchoService/Nothing").key(&key), "METHOD_UNKNOWN"),
        (client.call(READ), "CREDENTIALS_MISSING"),
    ] {
        let answer = call.message(b"").send().await;
        let records = platform.records(answer.call_id()).await;
        let (en, zh) = (explain(&records, Lang::En), explain(&records, Lang::Zh));
        assert!(en.contains(answer.call_id()) && zh.contains(answer.call_id()));
        assert!(en.contains(word), "{word} is not in:\n{en}");
        assert!(en.lines().count() >= 3 && zh.lines().count() >= 3, "{en}\n{zh}");
        assert!(zh.chars().any(|c| ('\u{4e00}'..'\u{9fff}').contains(&c)), "{zh}");
    }
}
