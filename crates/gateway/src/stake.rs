//! Reads the money at stake out of a request, by the fields that the catalog names.

use bytes::Bytes;
use oaas_catalog::StakeField;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};

use crate::rejection::Rejection;

/// Longest key that a budget is kept per, bytes.
const KEY_BYTES_MAX: usize = 128;

/// Money that a request puts at stake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stake {
    /// Minor units, 0 or more.
    pub amount_minor: i64,
    /// Value of the key field; empty when the catalog names none.
    pub key: String,
}

/// A request's message.
///
/// # Errors
/// FIELD_INVALID when it can't be decoded.
pub fn decode(descriptor: MessageDescriptor, message: Bytes) -> Result<DynamicMessage, Box<Rejection>> {
    DynamicMessage::decode(descriptor, message)
        .map_err(|_| Box::new(Rejection::invalid("quota", "body", "is not a message of this method")))
}

/// Reads `field` of a request.
///
/// # Errors
/// FIELD_INVALID when the amount is negative or too large, or the key is too long.
pub fn read(decoded: &DynamicMessage, field: &StakeField) -> Result<Stake, Box<Rejection>> {
    let invalid = |name: &str, why: &str| Box::new(Rejection::invalid("quota", name, why));
    let amount_minor = match value(decoded, &field.amount_field) {
        None => 0,
        Some(Value::I64(n)) => n,
        Some(Value::I32(n)) => i64::from(n),
        Some(Value::U32(n)) => i64::from(n),
        Some(Value::U64(n)) => {
            i64::try_from(n).map_err(|_| invalid(&field.amount_field, "is beyond 2^63 - 1"))?
        }
        Some(_) => return Err(invalid(&field.amount_field, "must be an integer in minor units")),
    };
    if amount_minor < 0 {
        return Err(invalid(&field.amount_field, "must not be negative"));
    }
    let key = field.key_field.as_ref().and_then(|name| value(decoded, name));
    let key = match key {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => format!("{other:?}"),
    };
    if key.len() > KEY_BYTES_MAX {
        let name = field.key_field.as_deref().unwrap_or_default();
        return Err(invalid(name, "must have at most 128 bytes"));
    }
    Ok(Stake { amount_minor, key })
}

/// The value at a path with dots; none when the path is not one of the message.
fn value(message: &DynamicMessage, path: &str) -> Option<Value> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.descriptor().get_field_by_name(name)?;
    let found = message.get_field(&field);
    match (&*found, rest) {
        (_, None) => Some(found.into_owned()),
        (Value::Message(inner), Some(rest)) => value(inner, rest),
        (_, Some(_)) => None,
    }
}
