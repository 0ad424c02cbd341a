//! What changed on the wire between two forms of a method: the rules of protobuf's own guide ("Updating A
//! Message Type": numbers and types stay, fields may be added).

use std::collections::BTreeSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use super::FieldChange;

/// Messages that one method's comparison looks into at most.
const MESSAGES_MAX: usize = 1_000;

/// The changes of a method's messages, by "request.a.b" and "response.a.b".
pub(super) fn changes(old: &MethodDescriptor, new: &MethodDescriptor) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let sides = |method: &MethodDescriptor| {
        let word = |streams| if streams { "stream" } else { "unary" };
        format!("{} to {}", word(method.is_client_streaming()), word(method.is_server_streaming()))
    };
    if sides(old) != sides(new) {
        changes.push(change("kind", Some(sides(old)), Some(sides(new)), true));
    }
    for (name, old, new) in [("request", old.input(), new.input()), ("response", old.output(), new.output())]
    {
        let mut seen = BTreeSet::new();
        message(name, &old, &new, &mut seen, &mut changes);
    }
    changes
}

fn message(
    at: &str,
    old: &MessageDescriptor,
    new: &MessageDescriptor,
    seen: &mut BTreeSet<String>,
    changes: &mut Vec<FieldChange>,
) {
    if seen.len() >= MESSAGES_MAX || !seen.insert(old.full_name().to_owned()) {
        return;
    }
    for before in old.fields() {
        let path = format!("{at}.{}", before.name());
        let Some(after) = new.get_field(before.number()) else {
            changes.push(change(&path, Some(type_of(&before)), None, true));
            continue;
        };
        if before.name() != after.name() {
            // The wire does not carry names, JSON does.
            changes.push(change(&path, Some(before.name().to_owned()), Some(after.name().to_owned()), true));
        }
        if type_of(&before) != type_of(&after) {
            changes.push(change(&path, Some(type_of(&before)), Some(type_of(&after)), true));
        } else if let (Kind::Message(before), Kind::Message(after)) = (before.kind(), after.kind()) {
            message(&path, &before, &after, seen, changes);
        }
    }
    for after in new.fields().filter(|after| old.get_field(after.number()).is_none()) {
        let path = format!("{at}.{}", after.name());
        changes.push(change(&path, None, Some(type_of(&after)), false));
    }
}

fn change(field: &str, old: Option<String>, new: Option<String>, breaking: bool) -> FieldChange {
    FieldChange { field: field.to_owned(), old, new, breaking }
}

fn type_of(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    let many = if field.is_map() {
        "map "
    } else if field.is_list() {
        "repeated "
    } else {
        ""
    };
    format!("{many}{kind} = {}", field.number())
}
