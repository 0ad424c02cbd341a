//! Drafts against the owned records, as prost encodes them.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::appendable::Sealed;
use crate::record::AuditRecord;
use crate::record::audit_record::Event;

/// Names that a program would have, out of order, equal, empty, and longer than a length of one byte says.
const WORDS: [&str; 8] = [
    "",
    "remaining",
    "ms",
    "a",
    "über_größe_元",
    "per_second",
    "z",
    "a_name_that_is_longer_than_any_that_the_gateway_has_so_that_the_length_of_its_entry_in_the_map_is_told_in_two_bytes_where_one_was_kept",
];

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&WORDS[..])
}

/// Empty, short, Chinese, or so long that lengths grow by a byte.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 8 => "\\PC{0,40}", 2 => "[a-z订单履约]{100,200}", 1 => "x{16000,17000}"]
}

fn number() -> impl Strategy<Value = f64> {
    let special = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE, -1.5];
    prop_oneof![any::<f64>(), prop::sample::select(special.to_vec())]
}

fn step() -> impl Strategy<Value = (Step, Vec<(&'static str, f64)>)> {
    (word(), word(), [(); 4].map(|()| (word(), number())), 0..=4usize).prop_map(
        |(stage, verdict, [a, b, c, d], count)| {
            let step = match count {
                0 => Step::new(stage, verdict, &[]),
                1 => Step::new(stage, verdict, &[a]),
                2 => Step::new(stage, verdict, &[a, b]),
                3 => Step::new(stage, verdict, &[a, b, c]),
                _ => Step::new(stage, verdict, &[a, b, c, d]),
            };
            (step, [a, b, c, d][..count].to_vec())
        },
    )
}

fn integer() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..300u64, any::<u64>()]
}

/// What a head borrows.
fn head() -> impl Strategy<Value = record::CallHead> {
    let id = || option::of(any::<[u8; 16]>());
    (any::<[u8; 16]>(), [(); 6].map(|()| text()), id(), id()).prop_map(|(call_id, texts, trace, key)| {
        let [application, on_behalf_of, method, catalog_version, plan, peer] = texts;
        record::CallHead {
            call_id: call_id.to_vec(),
            application,
            on_behalf_of,
            method,
            catalog_version,
            plan,
            peer,
            trace_id: trace.map(Vec::from).unwrap_or_default(),
            idempotency_key_digest: key.map(Vec::from).unwrap_or_default(),
        }
    })
}

fn borrowed(head: &record::CallHead) -> Head<'_> {
    Head {
        call_id: head.call_id.as_slice().try_into().unwrap(),
        application: &head.application,
        on_behalf_of: &head.on_behalf_of,
        method: &head.method,
        catalog_version: &head.catalog_version,
        plan: &head.plan,
        peer: &head.peer,
        trace_id: head.trace_id.as_slice().try_into().ok(),
        idempotency_key_digest: head.idempotency_key_digest.as_slice().try_into().ok(),
    }
}

fn stake() -> impl Strategy<Value = record::Stake> {
    (text(), text(), any::<i64>(), text()).prop_map(|(budget, key, amount_minor, currency)| record::Stake {
        budget,
        key,
        amount_minor,
        currency,
    })
}

fn outcome() -> impl Strategy<Value = record::Outcome> {
    let digest = || vec(any::<u8>(), 0..20);
    let small = (any::<u32>(), any::<bool>(), any::<u32>(), any::<i64>());
    let texts = [(); 5].map(|()| text());
    let integers = [(); 6].map(|()| integer());
    (head(), texts, small, integers, digest(), digest()).prop_map(
        |(head, texts, small, integers, request_digest, response_digest)| {
            let [reason, origin, executed, endpoint, currency] = texts;
            let (status, degraded, attempts, price_micros) = small;
            let [elapsed_us, request_messages, request_bytes, response_messages, response_bytes, units] =
                integers;
            record::Outcome {
                head: Some(head),
                status: status % 17,
                reason,
                origin,
                executed,
                degraded,
                endpoint,
                attempts,
                elapsed_us,
                request_messages,
                request_bytes,
                response_messages,
                response_bytes,
                request_digest,
                response_digest,
                units,
                price_micros,
                currency,
                decisions: Vec::new(),
            }
        },
    )
}

/// The decisions as the gateway made them before there were drafts.
fn owned(steps: &[(Step, Vec<(&'static str, f64)>)]) -> Vec<record::Decision> {
    let decision = |(step, numbers): &(Step, Vec<(&'static str, f64)>)| record::Decision {
        stage: step.stage().to_owned(),
        verdict: step.verdict().to_owned(),
        numbers: numbers.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
    };
    steps.iter().map(decision).collect()
}

/// The event as prost puts it into a record; bytes, since NaN equals nothing.
fn by_prost(event: Event) -> Vec<u8> {
    AuditRecord { event: Some(event), ..AuditRecord::default() }.encode_to_vec()
}

fn by_hand(draft: &impl Sealed) -> Vec<u8> {
    // Behind something else, as in a file.
    let mut out = b"before".to_vec();
    draft.encode(&mut out);
    out.split_off(b"before".len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn an_intent_has_the_bytes_that_prost_writes(
        head in head(), steps in vec(step(), 0..6), deadline_ms: u32, stakes in vec(stake(), 0..3),
    ) {
        let plain: Vec<Step> = steps.iter().map(|(step, _)| *step).collect();
        let draft = Intent { head: borrowed(&head), decisions: &plain, deadline_ms, stakes: &stakes };
        let expected = record::Intent {
            head: Some(head.clone()), decisions: owned(&steps), deadline_ms, stakes: stakes.clone(),
        };
        let expected = Event::Intent(expected);
        prop_assert_eq!(draft.effect(), expected.effect());
        prop_assert_eq!(by_prost(Event::Intent((&draft).into())), by_prost(expected.clone()));
        prop_assert_eq!(by_hand(&draft), by_prost(expected));
    }

    #[test]
    fn an_outcome_has_the_bytes_that_prost_writes(plain in outcome(), steps in vec(step(), 0..6)) {
        let decisions: Vec<Step> = steps.iter().map(|(step, _)| *step).collect();
        let draft = Outcome {
            head: borrowed(plain.head.as_ref().unwrap()),
            status: plain.status,
            reason: &plain.reason,
            origin: &plain.origin,
            executed: &plain.executed,
            degraded: plain.degraded,
            endpoint: &plain.endpoint,
            attempts: plain.attempts,
            elapsed_us: plain.elapsed_us,
            request_messages: plain.request_messages,
            request_bytes: plain.request_bytes,
            response_messages: plain.response_messages,
            response_bytes: plain.response_bytes,
            request_digest: &plain.request_digest,
            response_digest: &plain.response_digest,
            units: plain.units,
            price_micros: plain.price_micros,
            currency: &plain.currency,
            decisions: &decisions,
        };
        let expected = Event::Outcome(record::Outcome { decisions: owned(&steps), ..plain.clone() });
        prop_assert_eq!(draft.effect(), expected.effect());
        prop_assert_eq!(by_prost(Event::Outcome((&draft).into())), by_prost(expected.clone()));
        prop_assert_eq!(by_hand(&draft), by_prost(expected));
    }
}

#[test]
fn numbers_are_sorted_and_the_later_of_two_counts() {
    let step = Step::new("breaker", "refused", &[("z", 1.0), ("a", 2.0), ("z", 3.0), ("m", 4.0)]);
    assert_eq!(step.numbers(), [("a", 2.0), ("m", 4.0), ("z", 3.0)]);
}
