//! How prost names in Rust what the contract names in proto (prost-build 0.14: messages and variants
//! in upper camel case, fields, packages and the modules of nested types in snake case).

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{FieldDescriptor, MessageDescriptor, OneofDescriptor};

/// Keywords that prost writes as raw identifiers.
const KEYWORDS: [&str; 47] = [
    "as", "break", "const", "continue", "else", "enum", "false", "fn", "for", "if", "impl", "in", "let",
    "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "static", "struct", "trait", "true",
    "type", "unsafe", "use", "where", "while", "dyn", "abstract", "become", "box", "do", "final", "macro",
    "override", "priv", "typeof", "unsized", "virtual", "yield", "async", "await", "try", "gen",
];

/// Keywords that can't be raw, which get an underscore.
const NEVER_RAW: [&str; 6] = ["_", "super", "self", "Self", "extern", "crate"];

/// The struct's field for a field or oneof.
pub fn field(name: &str) -> String {
    identifier(name.to_snake_case())
}

/// The path of a message's struct.
pub fn message(root: &str, message: &MessageDescriptor) -> String {
    let name = identifier(message.name().to_upper_camel_case());
    match message.parent_message() {
        Some(parent) => format!("{}::{name}", nested(root, &parent)),
        None => format!("{}::{name}", package(root, message.package_name())),
    }
}

/// The path of the enum's variant for a member of a oneof.
pub fn variant(root: &str, oneof: &OneofDescriptor, field: &FieldDescriptor) -> String {
    let parent = oneof.parent_message();
    let mut name = identifier(oneof.name().to_upper_camel_case());
    let taken = parent
        .child_messages()
        .map(|child| child.name().to_upper_camel_case())
        .chain(parent.child_enums().map(|child| child.name().to_upper_camel_case()))
        .any(|other| other == name);
    if taken {
        name.push_str("OneOf");
    }
    format!("{}::{name}::{}", nested(root, parent), identifier(field.name().to_upper_camel_case()))
}

/// The module of a message's nested types.
fn nested(root: &str, message: &MessageDescriptor) -> String {
    let outer = match message.parent_message() {
        Some(parent) => nested(root, &parent),
        None => package(root, message.package_name()),
    };
    format!("{outer}::{}", field(message.name()))
}

fn package(root: &str, package: &str) -> String {
    package
        .split('.')
        .filter(|part| !part.is_empty())
        .fold(root.to_owned(), |path, part| format!("{path}::{}", field(part)))
}

fn identifier(name: String) -> String {
    if name.starts_with(|c: char| c.is_numeric()) {
        format!("_{name}")
    } else if NEVER_RAW.contains(&name.as_str()) {
        format!("{name}_")
    } else if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}
