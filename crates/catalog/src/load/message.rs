//! A message in protobuf JSON, compared with its descriptor, so that a fault has a place.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};

use super::dangling;
use crate::diagnostic::{Fault, Finding, Findings, same};
use crate::yaml::{Kind as NodeKind, Node};

/// Reads a message; `None` when it isn't one, which is then reported at the field that is wrong.
pub(super) fn message(
    node: &Node<'_>,
    descriptor: &MessageDescriptor,
    findings: &mut Findings,
) -> Option<DynamicMessage> {
    match DynamicMessage::deserialize(descriptor.clone(), node.to_json()) {
        Ok(message) => Some(message),
        Err(error) => {
            let before = findings.count();
            locate(node, descriptor, findings);
            if findings.count() == before {
                findings.push(wrong(node, descriptor.full_name(), &error));
            }
            None
        }
    }
}

/// Finds the fields that are wrong, by trying each alone.
fn locate(node: &Node<'_>, descriptor: &MessageDescriptor, findings: &mut Findings) {
    for entry in node.entries() {
        let Some(field) = field(descriptor, &entry.key) else {
            let names: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
            let (en, zh) = (
                format!("a field of {}", descriptor.full_name()),
                format!("{} 的字段", descriptor.full_name()),
            );
            let mut finding =
                dangling(entry.key_mark, &entry.key, (&en, &zh), names.iter().map(String::as_str));
            finding.fault = Fault::UnknownField;
            findings.push(finding);
            continue;
        };
        let alone = serde_json::json!({ entry.key.as_ref(): entry.value.to_json() });
        let Err(error) = DynamicMessage::deserialize(descriptor.clone(), alone) else { continue };
        let before = findings.count();
        match field.kind() {
            Kind::Message(inner) if field.is_list() => {
                entry.value.items().iter().for_each(|item| descend(item, &inner, findings))
            }
            Kind::Message(inner) if field.is_map() => {
                if let Kind::Message(inner) = inner.map_entry_value_field().kind() {
                    entry.value.entries().iter().for_each(|item| descend(&item.value, &inner, findings));
                }
            }
            Kind::Message(inner) => descend(&entry.value, &inner, findings),
            _ => {}
        }
        if findings.count() == before {
            findings.push(wrong(&entry.value, &kind_name(&field), &error));
        }
    }
}

/// Well-known types have JSON forms of their own; only plain messages are looked into.
fn descend(node: &Node<'_>, descriptor: &MessageDescriptor, findings: &mut Findings) {
    if matches!(node.resolved(), NodeKind::Map(_)) && !descriptor.full_name().starts_with("google.protobuf.")
    {
        locate(node, descriptor, findings);
    }
}

fn field(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name))
}

fn wrong(node: &Node<'_>, what: &str, error: &serde_json::Error) -> Finding {
    let mut finding = Finding::new(node.mark, Fault::WrongType, node.describe(), same(what));
    finding.help = Some(same(error.to_string()));
    finding
}

fn kind_name(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Enum(values) => {
            let names: Vec<String> = values.values().map(|value| value.name().to_owned()).take(16).collect();
            format!("{} ({})", values.full_name(), names.join(", "))
        }
        kind => name_of(&kind),
    };
    if field.is_list() { format!("a list of {kind}") } else { kind }
}

/// The kind as a `.proto` writes it.
pub(super) fn name_of(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        other => format!("{other:?}").to_lowercase(),
    }
}
