//! The bytes of a draft: those that prost makes of the owned message. Fields in the order of their
//! numbers, defaults left out, lengths as short as they can be.

use prost::encoding::{WireType, encode_varint, encoded_len_varint, message};

use super::{Head, Intent, Outcome, Step};

/// Numbers of the events' fields in `AuditRecord`.
const INTENT_TAG: u32 = 10;
const OUTCOME_TAG: u32 = 11;
/// Bytes that are kept free for the length of a message: 1 up to 127 bytes, 2 up to 16,383. Where it
/// turns out otherwise, what stands behind is moved.
const SHORT: usize = 1;
const LONG: usize = 2;

impl Intent<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        nested(out, INTENT_TAG, LONG, |out| {
            self.head.encode(out);
            self.decisions.iter().for_each(|step| step.encode(2, out));
            uint(out, 3, self.deadline_ms.into());
            message::encode_repeated(4, self.stakes, out);
        });
    }
}

impl Outcome<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        nested(out, OUTCOME_TAG, LONG, |out| {
            self.head.encode(out);
            uint(out, 2, self.status.into());
            bytes(out, 3, self.reason);
            bytes(out, 4, self.origin);
            bytes(out, 5, self.executed);
            uint(out, 6, self.degraded.into());
            bytes(out, 7, self.endpoint);
            uint(out, 8, self.attempts.into());
            uint(out, 9, self.elapsed_us);
            uint(out, 10, self.request_messages);
            uint(out, 11, self.request_bytes);
            uint(out, 12, self.response_messages);
            uint(out, 13, self.response_bytes);
            bytes(out, 14, self.request_digest);
            bytes(out, 15, self.response_digest);
            uint(out, 16, self.units);
            uint(out, 17, self.price_micros.cast_unsigned());
            bytes(out, 18, self.currency);
            self.decisions.iter().for_each(|step| step.encode(19, out));
        });
    }
}

impl Head<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        nested(out, 1, LONG, |out| {
            bytes(out, 1, self.call_id);
            bytes(out, 2, self.application);
            bytes(out, 3, self.on_behalf_of);
            bytes(out, 4, self.method);
            bytes(out, 5, self.catalog_version);
            bytes(out, 6, self.plan);
            bytes(out, 7, self.peer);
            bytes(out, 8, self.trace_id.as_ref().map_or(&[][..], |id| id));
            bytes(out, 9, self.idempotency_key_digest.as_ref().map_or(&[][..], |digest| digest));
        });
    }
}

impl Step {
    fn encode(&self, tag: u32, out: &mut Vec<u8>) {
        nested(out, tag, SHORT, |out| {
            bytes(out, 1, self.stage);
            bytes(out, 2, self.verdict);
            for (name, value) in self.numbers() {
                nested(out, 3, SHORT, |out| {
                    bytes(out, 1, name);
                    double(out, 2, *value);
                });
            }
        });
    }
}

/// A field of text or bytes.
fn bytes(out: &mut Vec<u8>, tag: u32, value: impl AsRef<[u8]>) {
    let value = value.as_ref();
    if !value.is_empty() {
        key(out, tag, WireType::LengthDelimited);
        varint(out, wide(value.len()));
        out.extend_from_slice(value);
    }
}

/// A field of an integer or a yes.
fn uint(out: &mut Vec<u8>, tag: u32, value: u64) {
    if value != 0 {
        key(out, tag, WireType::Varint);
        varint(out, value);
    }
}

/// A field of a float. Minus zero is zero, as prost has it.
fn double(out: &mut Vec<u8>, tag: u32, value: f64) {
    if value != 0.0 {
        key(out, tag, WireType::SixtyFourBit);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// A message within a message; there also when it is empty.
fn nested(out: &mut Vec<u8>, tag: u32, room: usize, body: impl FnOnce(&mut Vec<u8>)) {
    key(out, tag, WireType::LengthDelimited);
    let at = out.len();
    let start = at + room;
    out.resize(start, 0);
    body(out);
    let length = wide(out.len().saturating_sub(start));
    let needed = encoded_len_varint(length);
    if needed != room {
        let zeros = [0; 10];
        out.splice(at..start, zeros.into_iter().take(needed));
    }
    if let Some(mut place) = out.get_mut(at..at + needed) {
        encode_varint(length, &mut place);
    }
}

fn key(out: &mut Vec<u8>, tag: u32, wire_type: WireType) {
    varint(out, u64::from(tag << 3 | wire_type as u32));
}

/// Most are of one byte.
fn varint(out: &mut Vec<u8>, value: u64) {
    match u8::try_from(value) {
        Ok(byte) if byte < 0x80 => out.push(byte),
        _ => encode_varint(value, out),
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
