//! What the journal takes: an owned event, or a draft that borrows from the call. Its bytes are made
//! before the journal's mutex is taken, in a buffer that the thread keeps.

use std::cell::Cell;

use crate::draft::{Intent, Outcome};
use crate::record::CallHead;
use crate::record::audit_record::Event;

/// Bytes of a buffer that a thread keeps; larger ones, for records that are rare, are given back. A hot
/// record is some hundred bytes long.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Something that [`Journal::append`](crate::Journal::append) takes: an [`Event`], an [`Intent`], an
/// [`Outcome`], or a reference to one of them. Nothing else can be.
pub trait Appendable: Sealed {}

/// What the journal must know of an event. Not to be named outside of this crate.
pub trait Sealed {
    /// Appends the event to `out`, as prost encodes it as a field of `AuditRecord`.
    fn encode(&self, out: &mut Vec<u8>);

    /// What it does to the set of calls under way.
    fn effect(&self) -> Effect;
}

/// A call's id, as the journal stores it.
pub type Id = [u8; 16];

/// What an event does to the set of calls under way. An event without a proper id does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An intent: the call is under way.
    Begins(Option<Id>),
    /// The call is over.
    Ends(Option<Id>),
    /// It is about no call.
    None,
}

/// An event as bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded<'a> {
    pub bytes: &'a [u8],
    pub effect: Effect,
}

/// Has `with` see the event's bytes.
pub(crate) fn encoded<T>(event: &impl Appendable, with: impl FnOnce(Encoded<'_>) -> T) -> T {
    thread_local! {
        static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // A thread that is ending may have none; then one is made.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    event.encode(&mut buffer);
    let result = with(Encoded { bytes: &buffer, effect: event.effect() });
    if buffer.capacity() <= KEPT_BYTES_MAX {
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}

impl Appendable for Event {}

impl Sealed for Event {
    fn encode(&self, out: &mut Vec<u8>) {
        Event::encode(self, out);
    }

    fn effect(&self) -> Effect {
        match self {
            Event::Intent(intent) => Effect::Begins(id_of(intent.head.as_ref())),
            Event::Outcome(outcome) => Effect::Ends(id_of(outcome.head.as_ref())),
            Event::Refusal(refusal) => Effect::Ends(id_of(refusal.head.as_ref())),
            _ => Effect::None,
        }
    }
}

impl Appendable for Intent<'_> {}

impl Sealed for Intent<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        Intent::encode(self, out);
    }

    fn effect(&self) -> Effect {
        Effect::Begins(Some(self.head.call_id))
    }
}

impl Appendable for Outcome<'_> {}

impl Sealed for Outcome<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        Outcome::encode(self, out);
    }

    fn effect(&self) -> Effect {
        Effect::Ends(Some(self.head.call_id))
    }
}

impl<E: Appendable> Appendable for &E {}

impl<E: Sealed> Sealed for &E {
    fn encode(&self, out: &mut Vec<u8>) {
        E::encode(self, out);
    }

    fn effect(&self) -> Effect {
        E::effect(self)
    }
}

fn id_of(head: Option<&CallHead>) -> Option<Id> {
    head.and_then(|head| head.call_id.as_slice().try_into().ok())
}
