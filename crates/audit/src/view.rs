//! What the meters need of a record, borrowed from the record's bytes. Nothing is allocated, and the fields
//! that nobody asks for here (decisions, digests, peers) are passed over: a reader of all records would
//! otherwise build some forty strings and maps a record and drop them again.
//!
//! What prost reads, this reads alike, with three differences: fields that are passed over are not looked
//! into, so that a fault inside them is not seen; nor is text validated; and a record with two events, which
//! prost would merge, is refused, since no writer makes one.

use std::fmt;

use prost::encoding::{DecodeContext, WireType, decode_varint, skip_field};

use crate::record::audit_record::Event;
use crate::record::{AuditRecord, CallHead, Intent, Outcome, Refusal, RefusalSum, Stake, WrittenOff};

#[cfg(test)]
mod tests;

/// Text as it stands in the record, UTF-8. Its checksum says that it is what was written, so it is not
/// validated for each record again; who keeps it does so once (`from_utf8_lossy`).
pub type Text<'a> = &'a [u8];

/// A record as the meters see it. The fields are those of [`AuditRecord`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Position in the journal of `instance`.
    pub sequence: u64,
    /// Which process wrote it.
    pub instance: Text<'a>,
    /// When it was written, nanoseconds since 1970.
    pub time_unix_ns: i64,
    /// What it records.
    pub event: EventView<'a>,
}

/// What a record records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventView<'a> {
    /// A call is about to leave the gateway.
    Intent(IntentView<'a>),
    /// A call that had an intent is over.
    Outcome(OutcomeView<'a>),
    /// A call was refused before it had an intent.
    Refusal(RefusalView<'a>),
    /// Many equal refusals, summed.
    RefusalSum(RefusalSumView<'a>),
    /// Calls that will never have an outcome.
    WrittenOff(WrittenOffView<'a>),
    /// Something that meters don't count, or nothing.
    #[default]
    Other,
}

/// Who called what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadView<'a> {
    /// UUIDv7, 16 bytes.
    pub call_id: &'a [u8],
    /// Application; empty when not established.
    pub application: Text<'a>,
    /// Canonical method path.
    pub method: Text<'a>,
}

/// An intent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntentView<'a> {
    /// Who calls what.
    pub head: Option<HeadView<'a>>,
    /// Money that the request puts at stake.
    pub stakes: Stakes<'a>,
}

/// Money that a call puts at stake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StakeView<'a> {
    /// Name of the budget.
    pub budget: Text<'a>,
    /// Value of the field that the budget is kept per.
    pub key: Text<'a>,
    /// Minor units.
    pub amount_minor: i64,
}

/// An outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeView<'a> {
    /// Who called what.
    pub head: Option<HeadView<'a>>,
    /// gRPC status code.
    pub status: u32,
    /// "true", "false" or "unknown".
    pub executed: Text<'a>,
    /// Whether the answer was a degraded one.
    pub degraded: bool,
    /// Units to charge.
    pub units: u64,
    /// Price, millionths of the currency's major unit.
    pub price_micros: i64,
    /// ISO 4217 code; empty when free.
    pub currency: Text<'a>,
}

/// A refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalView<'a> {
    /// Who called what, as far as known.
    pub head: Option<HeadView<'a>>,
    /// gRPC status code.
    pub status: u32,
}

/// Equal refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusalSumView<'a> {
    /// Application; empty when not established.
    pub application: Text<'a>,
    /// gRPC service.
    pub service: Text<'a>,
    /// Refusal reason.
    pub reason: Text<'a>,
    /// How many.
    pub count: u64,
    /// First of them, nanoseconds since 1970.
    pub first_time_unix_ns: i64,
}

/// Calls without an outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WrittenOffView<'a> {
    /// Their ids.
    pub call_ids: CallIds<'a>,
    /// "true", "false" or "unknown".
    pub executed: Text<'a>,
}

/// The stakes of an intent: read when they are asked for, from its bytes or from an owned intent.
#[derive(Clone, Copy, Default)]
pub struct Stakes<'a> {
    /// The intent from its first stake on; whole stakes, seen when the intent was read.
    encoded: &'a [u8],
    owned: &'a [Stake],
}

/// The ids of written-off calls, likewise.
#[derive(Clone, Copy, Default)]
pub struct CallIds<'a> {
    encoded: &'a [u8],
    owned: &'a [Vec<u8>],
}

const STAKES_TAG: u32 = 4;
const CALL_IDS_TAG: u32 = 1;

impl<'a> RecordView<'a> {
    /// Reads the bytes of a record. `None` when they are none.
    #[must_use]
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut view = Self::default();
        view.fill(bytes).ok()?;
        Some(view)
    }

    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut events = 0;
        each_field(bytes, |tag, value| {
            match tag {
                1 => self.sequence = value.number()?,
                2 => self.instance = value.bytes()?,
                3 => self.time_unix_ns = value.number()?.cast_signed(),
                10..=17 => {
                    events += 1;
                    self.event = EventView::of_tag(tag);
                    self.event.fill(value.bytes()?)?;
                }
                _ => {}
            }
            Ok(())
        })?;
        if events > 1 { Err(Malformed) } else { Ok(()) }
    }

    /// The view of an owned record.
    #[must_use]
    pub fn of(record: &'a AuditRecord) -> Self {
        let AuditRecord { sequence, instance, time_unix_ns, event, durable_sequence: _ } = record;
        let event = match event {
            Some(Event::Intent(it)) => EventView::Intent(IntentView::of(it)),
            Some(Event::Outcome(it)) => EventView::Outcome(OutcomeView::of(it)),
            Some(Event::Refusal(it)) => EventView::Refusal(RefusalView::of(it)),
            Some(Event::RefusalSum(it)) => EventView::RefusalSum(RefusalSumView::of(it)),
            Some(Event::WrittenOff(it)) => EventView::WrittenOff(WrittenOffView::of(it)),
            Some(Event::Gap(_) | Event::Administration(_) | Event::OpenCalls(_)) | None => EventView::Other,
        };
        Self { sequence: *sequence, instance: instance.as_bytes(), time_unix_ns: *time_unix_ns, event }
    }
}

impl<'a> From<&'a AuditRecord> for RecordView<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self::of(record)
    }
}

// Each view is filled where it stands: they are too large to be handed from function to function for each
// record.
impl<'a> EventView<'a> {
    /// The event of this field, empty.
    fn of_tag(tag: u32) -> Self {
        match tag {
            10 => Self::Intent(IntentView::default()),
            11 => Self::Outcome(OutcomeView::default()),
            12 => Self::Refusal(RefusalView::default()),
            13 => Self::RefusalSum(RefusalSumView::default()),
            17 => Self::WrittenOff(WrittenOffView::default()),
            _ => Self::Other,
        }
    }

    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        match self {
            Self::Intent(view) => view.fill(bytes),
            Self::Outcome(view) => view.fill(bytes),
            Self::Refusal(view) => view.fill(bytes),
            Self::RefusalSum(view) => view.fill(bytes),
            Self::WrittenOff(view) => view.fill(bytes),
            Self::Other => Ok(()),
        }
    }
}

impl<'a> HeadView<'a> {
    /// A message that comes twice is one, the later fields over the earlier.
    #[inline(always)]
    fn merge(head: &mut Option<Self>, bytes: &'a [u8]) -> Result<(), Malformed> {
        let head = head.get_or_insert_default();
        each_field(bytes, |tag, value| {
            match tag {
                1 => head.call_id = value.bytes()?,
                2 => head.application = value.bytes()?,
                4 => head.method = value.bytes()?,
                _ => {}
            }
            Ok(())
        })
    }

    fn of(head: &'a CallHead) -> Self {
        let CallHead { call_id, application, method, .. } = head;
        Self { call_id, application: application.as_bytes(), method: method.as_bytes() }
    }
}

impl<'a> IntentView<'a> {
    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut fields = Fields(bytes);
        while let (rest, Some(field)) = (fields.0, fields.next()) {
            let (tag, value) = field?;
            match tag {
                1 => HeadView::merge(&mut self.head, value.bytes()?)?,
                STAKES_TAG => {
                    StakeView::default().fill(value.bytes()?)?;
                    if self.stakes.encoded.is_empty() {
                        self.stakes.encoded = rest;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn of(intent: &'a Intent) -> Self {
        let stakes = Stakes { owned: &intent.stakes, encoded: &[] };
        Self { head: intent.head.as_ref().map(HeadView::of), stakes }
    }
}

impl<'a> StakeView<'a> {
    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        each_field(bytes, |tag, value| {
            match tag {
                1 => self.budget = value.bytes()?,
                2 => self.key = value.bytes()?,
                3 => self.amount_minor = value.number()?.cast_signed(),
                _ => {}
            }
            Ok(())
        })
    }

    fn of(stake: &'a Stake) -> Self {
        let Stake { budget, key, amount_minor, currency: _ } = stake;
        Self { budget: budget.as_bytes(), key: key.as_bytes(), amount_minor: *amount_minor }
    }
}

impl<'a> OutcomeView<'a> {
    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        each_field(bytes, |tag, value| {
            match tag {
                1 => HeadView::merge(&mut self.head, value.bytes()?)?,
                2 => self.status = value.number_32()?,
                5 => self.executed = value.bytes()?,
                6 => self.degraded = value.number()? != 0,
                16 => self.units = value.number()?,
                17 => self.price_micros = value.number()?.cast_signed(),
                18 => self.currency = value.bytes()?,
                _ => {}
            }
            Ok(())
        })
    }

    fn of(outcome: &'a Outcome) -> Self {
        Self {
            head: outcome.head.as_ref().map(HeadView::of),
            status: outcome.status,
            executed: outcome.executed.as_bytes(),
            degraded: outcome.degraded,
            units: outcome.units,
            price_micros: outcome.price_micros,
            currency: outcome.currency.as_bytes(),
        }
    }
}

impl<'a> RefusalView<'a> {
    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        each_field(bytes, |tag, value| {
            match tag {
                1 => HeadView::merge(&mut self.head, value.bytes()?)?,
                2 => self.status = value.number_32()?,
                _ => {}
            }
            Ok(())
        })
    }

    fn of(refusal: &'a Refusal) -> Self {
        Self { head: refusal.head.as_ref().map(HeadView::of), status: refusal.status }
    }
}

impl<'a> RefusalSumView<'a> {
    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        each_field(bytes, |tag, value| {
            match tag {
                1 => self.application = value.bytes()?,
                2 => self.service = value.bytes()?,
                3 => self.reason = value.bytes()?,
                4 => self.count = value.number()?,
                5 => self.first_time_unix_ns = value.number()?.cast_signed(),
                _ => {}
            }
            Ok(())
        })
    }

    fn of(sum: &'a RefusalSum) -> Self {
        Self {
            application: sum.application.as_bytes(),
            service: sum.service.as_bytes(),
            reason: sum.reason.as_bytes(),
            count: sum.count,
            first_time_unix_ns: sum.first_time_unix_ns,
        }
    }
}

impl<'a> WrittenOffView<'a> {
    fn fill(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        self.call_ids.encoded = bytes;
        each_field(bytes, |tag, value| {
            match tag {
                CALL_IDS_TAG => _ = value.bytes()?,
                2 => self.executed = value.bytes()?,
                _ => {}
            }
            Ok(())
        })
    }

    fn of(calls: &'a WrittenOff) -> Self {
        Self {
            call_ids: CallIds { encoded: &[], owned: &calls.call_ids },
            executed: calls.executed.as_bytes(),
        }
    }
}

impl<'a> Stakes<'a> {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = StakeView<'a>> + use<'a> {
        let encoded = all_of(STAKES_TAG, self.encoded).filter_map(|bytes| {
            let mut stake = StakeView::default();
            stake.fill(bytes).ok().map(|()| stake)
        });
        encoded.chain(self.owned.iter().map(StakeView::of))
    }
}

impl<'a> CallIds<'a> {
    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        all_of(CALL_IDS_TAG, self.encoded).chain(self.owned.iter().map(Vec::as_slice))
    }
}

impl PartialEq for Stakes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Stakes<'_> {}

impl fmt::Debug for Stakes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for CallIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for CallIds<'_> {}

impl fmt::Debug for CallIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// These are not the bytes of a record.
#[derive(Debug)]
struct Malformed;

/// A field's value, by its wire type.
#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// A type that no field here has.
    Other,
}

impl<'a> Value<'a> {
    fn number(self) -> Result<u64, Malformed> {
        if let Self::Number(number) = self { Ok(number) } else { Err(Malformed) }
    }

    /// A uint32 of more bits is cut, as the wire format says.
    fn number_32(self) -> Result<u32, Malformed> {
        let [a, b, c, d, ..] = self.number()?.to_le_bytes();
        Ok(u32::from_le_bytes([a, b, c, d]))
    }

    fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed) }
    }
}

/// The fields of a message: number and value.
struct Fields<'a>(&'a [u8]);

// A record has thirty fields, and a field takes a nanosecond or two as long as its value stays in registers:
// hence inline, always, and what is rare in functions of their own.
impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() { None } else { Some(self.read()) }
    }
}

impl<'a> Fields<'a> {
    #[inline(always)]
    fn read(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let tag = key >> 3;
        if tag == 0 {
            return Err(Malformed);
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (value, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
                self.0 = rest;
                Value::Bytes(value)
            }
            other => {
                self.skip(tag, other)?;
                Value::Other
            }
        };
        Ok((tag, value))
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.0 {
            // Nearly all keys and lengths have one byte, nearly all others two.
            [byte @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(*byte))
            }
            [low, high @ 0..0x80, rest @ ..] => {
                self.0 = rest;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        decode_varint(&mut self.0).map_err(|_| Malformed)
    }

    #[cold]
    fn skip(&mut self, tag: u32, wire_type: u32) -> Result<(), Malformed> {
        let wire_type = WireType::try_from(u64::from(wire_type)).map_err(|_| Malformed)?;
        skip_field(wire_type, tag, &mut self.0, DecodeContext::default()).map_err(|_| Malformed)
    }
}

/// Reads a message field by field.
#[inline(always)]
fn each_field<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    for field in Fields(bytes) {
        let (tag, value) = field?;
        take(tag, value)?;
    }
    Ok(())
}

/// The values of a repeated field of a message that was read before.
fn all_of(wanted: u32, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields(bytes)
        .map_while(Result::ok)
        .filter(move |(tag, _)| *tag == wanted)
        .filter_map(|(_, v)| v.bytes().ok())
}
