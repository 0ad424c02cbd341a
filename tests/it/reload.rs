//! A new catalog while calls run; a broken one; a start with a broken one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oaas_audit::record::audit_record::Event;

use crate::platform::{fresh_key, key_yaml, platform};
use crate::upstream::{READ, Upstream, WRITE};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dozens_of_reloads_under_load_fail_no_call_and_each_call_has_one_version() {
    const RELOADS: usize = 24;
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let mut platform = platform()
        .echo(&upstream, "", &[])
        .plan("open", "concurrency: 1000")
        .app("caller", &key, &["*:open"])
        .start()
        .await;
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for task in 0..4 {
        let (client, key, over) = (platform.client().await, key.clone(), Arc::clone(&over));
        tasks.push(tokio::spawn(async move {
            let (mut calls, mut failed) = (0, Vec::new());
            while !over.load(Ordering::Relaxed) {
                let path = if task == 0 { WRITE } else { READ };
                let answer = client.call(path).key(&key).behave("delay=3").message(b"x").send().await;
                calls += 1;
                if answer.status() != 0 {
                    failed.push(answer.reason());
                }
            }
            (calls, failed)
        }));
    }
    let mut versions = BTreeSet::from([platform.version()]);
    for number in 0..RELOADS {
        let old = platform.version();
        let text = upstream.catalog(&format!("tags: [round-{number}]"), &[]);
        platform.rewrite("catalog/echo/echo.yaml", &text);
        versions.insert(platform.reloaded(&old).await);
    }
    over.store(true, Ordering::Relaxed);
    let mut calls = 0;
    for task in tasks {
        let (count, failed) = task.await.unwrap();
        assert!(failed.is_empty(), "{} calls failed: {failed:?}", failed.len());
        calls += count;
    }
    assert_eq!(versions.len(), RELOADS + 1);
    assert!(calls > RELOADS * 4, "only {calls} calls");
    let records = platform.stop().await;
    let mut intents = std::collections::HashMap::new();
    let (mut used, mut reloads) = (BTreeSet::new(), 0);
    for record in &records {
        match &record.event {
            Some(Event::Intent(intent)) => {
                let head = intent.head.clone().unwrap();
                intents.insert(head.call_id, head.catalog_version);
            }
            Some(Event::Outcome(outcome)) => {
                let head = outcome.head.as_ref().unwrap();
                assert_eq!(intents[&head.call_id], head.catalog_version, "a call changed its version");
                used.insert(head.catalog_version.clone());
            }
            Some(Event::Administration(act)) if act.action == "catalog.reload" => reloads += 1,
            _ => {}
        }
    }
    assert!(used.is_subset(&versions) && used.len() > RELOADS / 2, "{} versions decided calls", used.len());
    assert_eq!(reloads, RELOADS, "reloads are audit records");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_catalog_changes_nothing_and_a_start_with_it_serves_the_last_good_one() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let mut platform = platform().echo(&upstream, "", &[]).app("caller", &key, &["*:internal"]).start().await;
    let good = platform.version();
    // The second would get around the strict audit of Write.
    let around = [("Other", "effect: read, degraded: { method: /it.echo.v1.EchoService/Write }")];
    for broken in
        [upstream.catalog("", &around), "service: it.echo.v1.EchoService\nunknown_field: 1\n".to_owned()]
    {
        platform.rewrite("catalog/echo/echo.yaml", &broken);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(platform.version(), good, "a broken version came into force");
    }
    let client = platform.client().await;
    assert_eq!(client.call(READ).key(&key).message(b"").send().await.status(), 0);

    platform.stop().await;
    platform.restart().await;
    assert_eq!(platform.version(), good, "not the last good version");
    let client = platform.client().await;
    assert_eq!(client.call(READ).key(&key).message(b"").send().await.status(), 0);

    // Once it is mended it comes into force, also after a start with the last good one.
    platform.rewrite("catalog/echo/echo.yaml", &upstream.catalog("tags: [mended]", &[]));
    assert_ne!(platform.reloaded(&good).await, good);
    assert_eq!(client.call(READ).key(&key).message(b"").send().await.status(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_taken_back_is_refused_from_the_next_version_on() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform().echo(&upstream, "", &[]).app("caller", &key, &["*:internal"]).start().await;
    let client = platform.client().await;
    // A call in flight keeps the version that admitted it.
    let held = client.call(READ).key(&key).behave("delay=1200").message(b"kept").send();
    let held = tokio::spawn(held);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.call(READ).key(&key).message(b"").send().await.status(), 0);
    let old = platform.version();
    let text = std::fs::read_to_string(platform.folder().join("callers.yaml")).unwrap();
    let revoked = text.replace(&key_yaml(&key, ""), &key_yaml(&key, ", revoked: true"));
    assert_ne!(revoked, text);
    platform.rewrite("callers.yaml", &revoked);
    platform.reloaded(&old).await;
    let answer = client.call(READ).key(&key).message(b"").send().await;
    assert_eq!(answer.reason(), "CREDENTIALS_REVOKED");
    assert_eq!(held.await.unwrap().status(), 0, "a call in flight lost its version");
}
