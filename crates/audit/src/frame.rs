//! One entry of a journal file: length (u32 LE), CRC32C of the bytes (u32 LE; Castagnoli, RFC 3720
//! appendix B.4), the bytes of an `AuditRecord`. These bytes are the leaf of the Merkle log: they are
//! copied from file to file, never encoded twice.

use prost::encoding::{WireType, decode_key, decode_varint, int64, string, uint64};

/// Bytes in front of a record: its length and its CRC32C.
pub const FRAME_HEAD_BYTES: usize = 8;

/// Longest record. A record names one call with its decisions; the longest that are written are lists of
/// open calls, 4,096 ids of 18 bytes.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// What the journal itself puts into each record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub sequence: u64,
    pub instance: &'a String,
    pub time_unix_ns: i64,
    pub durable_sequence: u64,
}

/// Appends an entry to `out`, its fields in the order of their numbers as prost writes them; `event` is the
/// event's field. Returns the record's length, without the head.
pub(crate) fn encode(out: &mut Vec<u8>, stamp: Stamp<'_>, event: &[u8]) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    uint64::encode(1, &stamp.sequence, out);
    if !stamp.instance.is_empty() {
        string::encode(2, stamp.instance, out);
    }
    if stamp.time_unix_ns != 0 {
        int64::encode(3, &stamp.time_unix_ns, out);
    }
    if stamp.durable_sequence != 0 {
        uint64::encode(4, &stamp.durable_sequence, out);
    }
    out.extend_from_slice(event);
    let body = start + FRAME_HEAD_BYTES;
    let length = out.len() - body;
    let crc = crc32c::crc32c(out.get(body..).unwrap_or_default());
    let head = (u64::from(crc) << 32) | u64::try_from(length).unwrap_or(u64::MAX) & 0xffff_ffff;
    if let Some(place) = out.get_mut(start..body) {
        place.copy_from_slice(&head.to_le_bytes());
    }
    length
}

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed<'a> {
    /// A whole entry.
    Entry(&'a [u8]),
    /// A length of zero: room that was reserved and not written, or fewer than four bytes.
    Clear,
    /// The entry says that it goes on after these bytes.
    Short,
    /// Not an entry.
    Bad(&'static str),
}

/// Reads the entry at the start of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Parsed::Clear };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length == 0 {
        return Parsed::Clear;
    }
    if length > RECORD_BYTES_MAX {
        return Parsed::Bad("a length beyond the limit");
    }
    let Some((crc, rest)) = rest.split_first_chunk::<4>() else { return Parsed::Short };
    let Some(body) = rest.get(..length) else { return Parsed::Short };
    if crc32c::crc32c(body) == u32::from_le_bytes(*crc) {
        Parsed::Entry(body)
    } else {
        Parsed::Bad("a checksum that does not fit")
    }
}

/// Length of an entry with a record of this length.
pub(crate) fn framed(record: &[u8]) -> usize {
    FRAME_HEAD_BYTES + record.len()
}

/// What can be told of a record without decoding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peek {
    pub sequence: u64,
    pub time_unix_ns: i64,
    /// Number of the event's field in `AuditRecord`; 0 when there is none.
    pub event_tag: u32,
}

/// Reads what stands before the event. `None` when these are not the bytes of a record.
pub(crate) fn peek(mut record: &[u8]) -> Option<Peek> {
    const STAMP_TAGS: u32 = 9;
    let mut peek = Peek { sequence: 0, time_unix_ns: 0, event_tag: 0 };
    while !record.is_empty() {
        let (tag, wire_type) = decode_key(&mut record).ok()?;
        if tag > STAMP_TAGS {
            peek.event_tag = tag;
            break;
        }
        let value = decode_varint(&mut record).ok()?;
        match (tag, wire_type) {
            (1, WireType::Varint) => peek.sequence = value,
            (3, WireType::Varint) => peek.time_unix_ns = i64::from_le_bytes(value.to_le_bytes()),
            (_, WireType::Varint) => {}
            (_, WireType::LengthDelimited) => record = record.get(usize::try_from(value).ok()?..)?,
            _ => return None,
        }
    }
    Some(peek)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::record::audit_record::Event;
    use crate::record::{Administration, AuditRecord};

    fn entry() -> Vec<u8> {
        let event = Event::Administration(Administration { actor: "oaas".into(), ..Default::default() });
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        event.encode(&mut bytes);
        let stamp = Stamp { sequence: 7, instance: &"i-1".to_owned(), time_unix_ns: 5, durable_sequence: 6 };
        encode(&mut out, stamp, &bytes);
        out
    }

    #[test]
    fn a_record_has_the_bytes_that_prost_would_write() {
        let entry = entry();
        let Parsed::Entry(body) = parse(&entry) else { panic!("not an entry") };
        let record = AuditRecord::decode(body).unwrap();
        assert_eq!((record.sequence, record.durable_sequence), (7, 6));
        assert_eq!(record.encode_to_vec(), body);
        assert_eq!(peek(body), Some(Peek { sequence: 7, time_unix_ns: 5, event_tag: 15 }));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_seen() {
        let entry = entry();
        for cut in 0..entry.len() {
            assert!(!matches!(parse(&entry[..cut]), Parsed::Entry(_)), "cut at {cut}");
        }
        for bit in 0..entry.len() * 8 {
            let mut flipped = entry.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(parse(&flipped), Parsed::Entry(_)), "bit {bit}");
        }
    }
}
