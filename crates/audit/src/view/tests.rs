//! The view against prost: what prost reads, the view reads alike.

use proptest::prelude::*;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::*;
use crate::record::{Administration, Decision, Gap, OpenCalls};

fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "[a-z./A-Z0-9-]{1,40}", "\\PC{0,6}", "[a-z]{120,200}"].boxed()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => prop::collection::vec(any::<u8>(), 16), 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

fn head() -> BoxedStrategy<Option<CallHead>> {
    let fields = (bytes(), text(), text(), text(), (text(), text(), text(), bytes(), bytes()));
    let head = fields.prop_map(|(call_id, application, on_behalf_of, method, others)| {
        let (catalog_version, plan, peer, trace_id, idempotency_key_digest) = others;
        CallHead {
            call_id,
            application,
            on_behalf_of,
            method,
            catalog_version,
            plan,
            peer,
            trace_id,
            idempotency_key_digest,
        }
    });
    prop::option::weighted(0.9, head).boxed()
}

fn decisions() -> BoxedStrategy<Vec<Decision>> {
    let numbers = prop::collection::btree_map(text(), any::<f64>(), 0..3);
    let decision = (text(), text(), numbers).prop_map(|(stage, verdict, numbers)| {
        let numbers = numbers.into_iter().collect();
        Decision { stage, verdict, numbers }
    });
    prop::collection::vec(decision, 0..4).boxed()
}

fn stakes() -> impl Strategy<Value = Vec<Stake>> {
    let stake = (text(), text(), any::<i64>(), text())
        .prop_map(|(budget, key, amount_minor, currency)| Stake { budget, key, amount_minor, currency });
    prop::collection::vec(stake, 0..3)
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let words = (text(), text(), text(), text(), text());
    let numbers = (any::<u32>(), any::<bool>(), any::<u64>(), any::<u64>(), any::<i64>());
    (head(), words, numbers, bytes(), decisions()).prop_map(|(head, words, numbers, digest, decisions)| {
        let (reason, origin, executed, endpoint, currency) = words;
        let (status, degraded, elapsed_us, units, price_micros) = numbers;
        Outcome {
            head,
            status,
            reason,
            origin,
            executed,
            degraded,
            endpoint,
            attempts: 1,
            elapsed_us,
            request_messages: 1,
            request_bytes: elapsed_us / 2,
            response_messages: 1,
            response_bytes: elapsed_us / 3,
            request_digest: digest.clone(),
            response_digest: digest,
            units,
            price_micros,
            currency,
            decisions,
        }
    })
}

fn event() -> BoxedStrategy<Option<Event>> {
    let ids = || prop::collection::vec(bytes(), 0..4);
    let intent =
        (head(), decisions(), any::<u32>(), stakes()).prop_map(|(head, decisions, deadline_ms, stakes)| {
            Event::Intent(Intent { head, decisions, deadline_ms, stakes })
        });
    let refusal = (head(), any::<u32>(), text(), text(), decisions(), any::<u64>()).prop_map(
        |(head, status, reason, stage, decisions, elapsed_us)| {
            Event::Refusal(Refusal { head, status, reason, stage, decisions, elapsed_us })
        },
    );
    let sum = (text(), text(), text(), any::<u64>(), any::<(i64, i64)>()).prop_map(
        |(application, service, reason, count, (first_time_unix_ns, last_time_unix_ns))| {
            let sum =
                RefusalSum { application, service, reason, count, first_time_unix_ns, last_time_unix_ns };
            Event::RefusalSum(sum)
        },
    );
    let gap = (text(), any::<u64>())
        .prop_map(|(method, count)| Event::Gap(Gap { method, count, ..Gap::default() }));
    let administration = (text(), text()).prop_map(|(actor, action)| {
        Event::Administration(Administration { actor, action, ..Administration::default() })
    });
    let open_calls = ids().prop_map(|call_ids| Event::OpenCalls(OpenCalls { call_ids }));
    let written_off = (ids(), text(), text())
        .prop_map(|(call_ids, executed, cause)| Event::WrittenOff(WrittenOff { call_ids, executed, cause }));
    let event = prop_oneof![
        3 => intent,
        3 => outcome().prop_map(Event::Outcome),
        2 => refusal,
        1 => sum,
        1 => gap,
        1 => administration,
        1 => open_calls,
        1 => written_off,
    ];
    prop::option::weighted(0.95, event).boxed()
}

fn record() -> impl Strategy<Value = AuditRecord> {
    (any::<u64>(), text(), any::<i64>(), any::<u64>(), event()).prop_map(
        |(sequence, instance, time_unix_ns, durable_sequence, event)| AuditRecord {
            sequence,
            instance,
            time_unix_ns,
            durable_sequence,
            event,
        },
    )
}

/// Fields of every wire type, with numbers that no message has.
fn unknown_fields() -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(900, WireType::Varint, &mut out);
    encode_varint(u64::MAX, &mut out);
    encode_key(901, WireType::ThirtyTwoBit, &mut out);
    out.extend([1; 4]);
    encode_key(902, WireType::SixtyFourBit, &mut out);
    out.extend([2; 8]);
    encode_key(903, WireType::LengthDelimited, &mut out);
    out.extend([3, 1, 2, 3]);
    encode_key(904, WireType::StartGroup, &mut out);
    encode_key(905, WireType::Varint, &mut out);
    encode_varint(5, &mut out);
    encode_key(904, WireType::EndGroup, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bytes_of_a_record_and_the_record_have_the_same_view(record in record()) {
        let bytes = record.encode_to_vec();
        prop_assert_eq!(RecordView::decode(&bytes), Some(RecordView::of(&record)));
        let later = [unknown_fields(), bytes, unknown_fields()].concat();
        prop_assert_eq!(RecordView::decode(&later), Some(RecordView::from(&record)));
    }

    /// Of damaged bytes the view says what prost says, or that they are none where prost says so too.
    #[test]
    fn damaged_bytes_are_read_as_prost_reads_them(
        record in record(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = record.encode_to_vec();
        if let Some(cut) = cut.filter(|_| !bytes.is_empty()) {
            bytes.truncate(cut.index(bytes.len()));
        }
        for (at, byte) in changes {
            let length = bytes.len().max(1);
            bytes.get_mut(at.index(length)).into_iter().for_each(|place| *place = byte);
        }
        let events = Fields(&bytes).map_while(Result::ok).filter(|(tag, _)| (10..=17).contains(tag)).count();
        match (AuditRecord::decode(&bytes[..]), RecordView::decode(&bytes)) {
            (Ok(record), Some(view)) => prop_assert_eq!(view, RecordView::of(&record)),
            (Ok(_), None) => prop_assert!(events > 1, "prost reads {bytes:?}"),
            // A fault in what is passed over.
            (Err(_), _) => {}
        }
    }
}

#[test]
fn fields_that_are_looked_at_must_be_whole() {
    let head = CallHead { application: "shop".into(), method: "/a.B/C".into(), ..CallHead::default() };
    let outcome = Outcome { head: Some(head), executed: "true".into(), units: 300, ..Outcome::default() };
    let event = Some(Event::Outcome(outcome));
    let record = AuditRecord { sequence: 300, instance: "i-1".into(), event, ..AuditRecord::default() };
    let bytes = record.encode_to_vec();
    let whole = RecordView::decode(&bytes);
    for cut in 1..bytes.len() {
        let read = RecordView::decode(&bytes[..cut]);
        assert_eq!(read.is_some(), AuditRecord::decode(&bytes[..cut]).is_ok(), "cut at {cut}");
        assert_ne!(read, whole);
    }
    assert_eq!(RecordView::decode(&[0x0a, 0]), None, "a sequence that is no number");
    assert_eq!(RecordView::decode(&[0x07]), None, "a wire type that does not exist");
    assert_eq!(RecordView::decode(&[0x00, 0x00]), None, "a field without a number");
}

#[test]
fn a_head_in_two_parts_is_one_and_two_events_are_refused() {
    let head = |application: &str, method: &str| {
        let (application, method) = (application.into(), method.into());
        let head = Some(CallHead { application, method, ..CallHead::default() });
        Refusal { head, ..Refusal::default() }.encode_to_vec()
    };
    let parts = [head("shop", ""), head("", "/a.B/C")].concat();
    let mut bytes = vec![0x62, u8::try_from(parts.len()).unwrap()];
    bytes.extend(parts);
    let prost = AuditRecord::decode(&bytes[..]).unwrap();
    let EventView::Refusal(refusal) = RecordView::of(&prost).event else { panic!("{prost:?}") };
    assert_eq!(
        refusal.head.map(|head| (head.application, head.method)),
        Some((&b"shop"[..], &b"/a.B/C"[..]))
    );
    assert_eq!(RecordView::decode(&bytes), Some(RecordView::of(&prost)));
    assert_eq!(RecordView::decode(&[bytes.clone(), bytes].concat()), None);
}
