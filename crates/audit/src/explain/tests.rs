//! Calls of every kind, explained in both languages.

use std::collections::BTreeMap;

use super::*;
use crate::record::{Gap, RefusalSum};

fn head() -> Option<CallHead> {
    Some(CallHead {
        call_id: "0190f6c0-1111-7222-8333-444455556666".parse::<CallId>().unwrap().as_bytes().to_vec(),
        application: "sales-portal".into(),
        method: "/oaas.channel.v1.RebateService/CalculateRebate".into(),
        catalog_version: "c-51f0".into(),
        plan: "standard".into(),
        peer: "10.1.2.3:50412".into(),
        ..CallHead::default()
    })
}

fn decision(stage: &str, verdict: &str, numbers: &[(&str, f64)]) -> Decision {
    let numbers: BTreeMap<_, _> = numbers.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    Decision { stage: stage.into(), verdict: verdict.into(), numbers }
}

fn record(event: Event) -> AuditRecord {
    AuditRecord { event: Some(event), ..AuditRecord::default() }
}

fn refused(reason: &str, stage: &str, last: Decision) -> Vec<AuditRecord> {
    let decisions = vec![decision("authenticate", "api_key", &[]), last];
    let refusal = Refusal {
        head: head(),
        status: u32::from(Reason::parse(reason).unwrap().code().number()),
        reason: reason.into(),
        stage: stage.into(),
        decisions,
        elapsed_us: 310,
    };
    vec![record(Event::Refusal(refusal))]
}

#[test]
fn a_refusal_names_stage_numbers_and_what_would_change_it() {
    let last = decision("rate_limit", "refused", &[("per_second", 100.0), ("wait_ms", 12.5)]);
    let records = refused("RATE_LIMITED", "rate_limit", last);
    assert_eq!(
        explain(&records, Lang::En),
        "Call 0190f6c0-1111-7222-8333-444455556666: /oaas.channel.v1.RebateService/CalculateRebate\n\
         By sales-portal, plan standard; from 10.1.2.3:50412; decided by catalog c-51f0.\n\
         Refused by the rate limit after 0.31 ms: RATE_LIMITED (RESOURCE_EXHAUSTED).\n\
         Your application makes more calls a second than its plan allows.\n\
         What the stages decided:\n  authentication: api_key\n  \
         the rate limit: refused (limit a second 100, try again in 12.5 ms)\n\
         The capability did not do the work.\n\
         What would change it: the limit is 100 calls a second. Wait as long as `RetryInfo` says, spread calls \
         more evenly, or ask for a larger plan.\n\
         More: docs/reasons/RATE_LIMITED.md"
    );
    let zh = explain(&records, Lang::Zh);
    assert!(zh.contains("被「速率限制」拒绝：RATE_LIMITED"), "{zh}");
    assert!(zh.contains("如何改变结果：上限为每秒 100 次调用。请按"), "{zh}");
}

#[test]
fn margins_are_computed() {
    let budget = [("limit_minor", 500_000.0), ("used_minor", 380_000.0), ("amount_minor", 200_000.0)];
    let breaker = [("error_rate", 0.0525), ("threshold", 0.05), ("calls", 400.0)];
    for (reason, stage, numbers, en, zh) in [
        (
            "BUDGET_EXHAUSTED",
            "budget",
            &budget[..],
            "had 120000 minor units left, 80000 too few",
            "还差 80000",
        ),
        (
            "CIRCUIT_OPEN",
            "breaker",
            &breaker,
            "5.25 % of the last 400 calls failed; at most 5 %",
            "5.25 % 失败",
        ),
        (
            "QUOTA_EXHAUSTED",
            "quota",
            &[("calls", 1e6), ("used", 1e6)],
            "1000000 of the period's 1000000",
            "已使用",
        ),
        (
            "CONCURRENCY_LIMITED",
            "rate_limit",
            &[("concurrency", 8.0)],
            "at most 8 calls run at once",
            "8 个调用",
        ),
    ] {
        let records = refused(reason, stage, decision(stage, "refused", numbers));
        let (text_en, text_zh) = (explain(&records, Lang::En), explain(&records, Lang::Zh));
        assert!(text_en.contains(en), "{text_en}");
        assert!(text_zh.contains(zh), "{text_zh}");
    }
}

#[test]
fn every_reason_is_explained_in_both_languages() {
    for reason in Reason::ALL {
        let records = refused(reason.as_str(), "edge", decision("edge", "refused", &[]));
        for lang in [Lang::En, Lang::Zh] {
            let text = explain(&records, lang);
            assert!(text.contains(reason.meaning(lang)) && text.contains(reason.remedy(lang)), "{text}");
        }
    }
}

#[test]
fn an_outcome_says_who_answered_and_what_it_cost() {
    let trail = vec![decision("admit", "subscribed", &[])];
    let intent = Intent { head: head(), decisions: trail.clone(), ..Intent::default() };
    let outcome = Outcome {
        head: head(),
        origin: "upstream".into(),
        executed: "true".into(),
        endpoint: "local".into(),
        attempts: 1,
        elapsed_us: 12_345,
        request_bytes: 90,
        request_messages: 1,
        response_bytes: 20_480,
        response_messages: 3,
        units: 1,
        price_micros: 20_000,
        currency: "CNY".into(),
        decisions: trail,
        ..Outcome::default()
    };
    let under_way = explain(&[record(Event::Intent(intent.clone()))], Lang::En);
    assert!(under_way.contains("it is under way"), "{under_way}");
    let records = [record(Event::Intent(intent.clone())), record(Event::Outcome(outcome.clone()))];
    let text = explain(&records, Lang::En);
    assert!(text.contains("Answered by local with OK after 12.345 ms (1 attempt(s))."), "{text}");
    assert!(text.contains("Request 90 B in 1 message(s), response 20 KiB in 3."), "{text}");
    assert!(text.contains("Charged 0.02 CNY for 1 unit(s)."), "{text}");
    assert_eq!(text.matches("admission").count(), 1, "the trail is told once: {text}");
    assert!(text.ends_with("The capability did the work."), "{text}");

    let late = Outcome {
        origin: "gateway".into(),
        status: 4,
        reason: "DEADLINE_UPSTREAM".into(),
        executed: "unknown".into(),
        ..outcome
    };
    let text = explain(&[record(Event::Outcome(late))], Lang::En);
    assert!(text.contains("Ended by the gateway with DEADLINE_EXCEEDED DEADLINE_UPSTREAM"), "{text}");
    assert!(text.contains("is unknown: ask for its state"), "{text}");

    let lost =
        WrittenOff { executed: "unknown".into(), cause: "process_end".into(), ..WrittenOff::default() };
    let text = explain(&[record(Event::Intent(intent)), record(Event::WrittenOff(lost))], Lang::En);
    assert!(text.contains("process ended during the call"), "{text}");
}

#[test]
fn a_call_without_a_record_is_looked_for_in_the_counts() {
    assert_eq!(explain(&[], Lang::En), "The journal has no record of this call.");
    let sum = RefusalSum {
        application: "shop".into(),
        service: "a.B".into(),
        reason: "RATE_LIMITED".into(),
        count: 250,
        first_time_unix_ns: 1_000_000_000,
        last_time_unix_ns: 1_500_000_000,
    };
    let gap = Gap { method: "/a.B/C".into(), count: 9, ..Gap::default() };
    let text = explain(&[record(Event::RefusalSum(sum)), record(Event::Gap(gap))], Lang::En);
    assert!(text.contains("250 refusals RATE_LIMITED of shop at a.B within 0.5 s"), "{text}");
    assert!(text.contains("9 calls of the sampled method /a.B/C"), "{text}");
}
