//! The tree: scalars as they were written, lists, maps, and shared parts where the file has aliases.

use std::borrow::Cow;
use std::sync::Arc;

use crate::diagnostic::{same, text};
use crate::service::Text;

/// Characters of a value that a diagnostic quotes at most.
const QUOTE_CHARS_MAX: usize = 60;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// From 1; 0 for the file as a whole.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// In characters, on its first line.
    pub length: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node<'s> {
    pub mark: Mark,
    /// Last line of it, from 1.
    pub end: u32,
    pub kind: Kind<'s>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind<'s> {
    Scalar(Scalar<'s>),
    List(Vec<Node<'s>>),
    Map(Vec<Entry<'s>>),
    /// An anchored value, or an alias of one.
    Shared(Arc<Node<'s>>),
}

/// A scalar as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Scalar<'s> {
    pub text: Cow<'s, str>,
    /// Whether it stands without quotes, so that it may be a number, a truth value or nothing.
    pub plain: bool,
}

/// One field of a map.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'s> {
    pub key: Cow<'s, str>,
    pub key_mark: Mark,
    pub value: Node<'s>,
}

/// What a scalar means by YAML 1.2.2 §10.3.2, the core schema.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning<'s> {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(&'s str),
}

impl<'s> Node<'s> {
    /// The value itself, wherever it is shared from.
    pub fn resolved(&self) -> &Kind<'s> {
        let mut kind = &self.kind;
        while let Kind::Shared(node) = kind {
            kind = &node.kind;
        }
        kind
    }

    /// The fields of a map; none when it isn't one.
    pub fn entries(&self) -> &[Entry<'s>] {
        match self.resolved() {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none when it isn't one.
    pub fn items(&self) -> &[Node<'s>] {
        match self.resolved() {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// The field with this name.
    pub fn get(&self, name: &str) -> Option<&Node<'s>> {
        self.entries().iter().find(|entry| entry.key == name).map(|entry| &entry.value)
    }

    /// The field at the end of `names`.
    pub fn at(&self, names: &[&str]) -> Option<&Node<'s>> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    /// What a scalar means; `None` for lists and maps.
    pub fn meaning(&self) -> Option<Meaning<'_>> {
        match self.resolved() {
            Kind::Scalar(scalar) => Some(scalar.meaning()),
            _ => None,
        }
    }

    /// The text of a scalar that is text.
    pub fn text(&self) -> Option<&str> {
        match self.meaning()? {
            Meaning::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self) -> Option<i128> {
        match self.meaning()? {
            Meaning::Integer(value) => Some(value),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "shares and percentages, not money")]
    pub fn number(&self) -> Option<f64> {
        match self.meaning()? {
            Meaning::Integer(value) => Some(value as f64),
            Meaning::Float(value) => Some(value),
            _ => None,
        }
    }

    pub fn flag(&self) -> Option<bool> {
        match self.meaning()? {
            Meaning::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// Whether there is nothing: `~`, `null` or an empty place.
    pub fn is_null(&self) -> bool {
        self.meaning() == Some(Meaning::Null)
    }

    /// The value as JSON; numbers that JSON can't hold become text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::{Number, Value};
        match self.resolved() {
            Kind::Map(entries) => {
                entries.iter().map(|e| (e.key.clone().into_owned(), e.value.to_json())).collect()
            }
            Kind::List(items) => items.iter().map(Node::to_json).collect(),
            Kind::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => Value::Null,
                Meaning::Bool(value) => Value::Bool(value),
                Meaning::Integer(value) => Number::from_i128(value)
                    .map_or_else(|| Value::String(scalar.text.to_string()), Value::Number),
                Meaning::Float(value) => Number::from_f64(value)
                    .map_or_else(|| Value::String(scalar.text.to_string()), Value::Number),
                Meaning::Text(text) => Value::String(text.to_owned()),
            },
            Kind::Shared(node) => node.to_json(),
        }
    }

    /// What stands here, for a diagnostic.
    pub fn describe(&self) -> Text {
        match self.resolved() {
            Kind::Map(_) => text("a map", "映射"),
            Kind::List(_) => text("a list", "列表"),
            Kind::Shared(node) => node.describe(),
            Kind::Scalar(scalar) => {
                let quoted = quote(&scalar.text);
                match scalar.meaning() {
                    Meaning::Null => text("nothing", "空"),
                    Meaning::Bool(_) => same(quoted),
                    Meaning::Integer(_) => text(format!("the integer {quoted}"), format!("整数 {quoted}")),
                    Meaning::Float(_) => text(format!("the number {quoted}"), format!("数字 {quoted}")),
                    Meaning::Text(_) => text(format!("the text \"{quoted}\""), format!("文本 \"{quoted}\"")),
                }
            }
        }
    }

    /// The field that stands at `mark`, with dots and indices.
    pub fn path_at(&self, mark: Mark) -> String {
        let mut path = String::new();
        let mut node = self;
        loop {
            let (step, next) = match &node.kind {
                Kind::Map(entries) => {
                    let after = entries.partition_point(|entry| entry.key_mark <= last_of(mark));
                    let Some(entry) = after.checked_sub(1).and_then(|n| entries.get(n)) else { return path };
                    let dot = if path.is_empty() { "" } else { "." };
                    (format!("{dot}{}", entry.key), &entry.value)
                }
                Kind::List(items) => {
                    let after = items.partition_point(|item| item.mark <= last_of(mark));
                    let Some(n) = after.checked_sub(1) else { return path };
                    let Some(item) = items.get(n) else { return path };
                    (format!("[{n}]"), item)
                }
                _ => return path,
            };
            if node.mark == mark && !path.is_empty() {
                return path;
            }
            path.push_str(&step);
            node = next;
        }
    }
}

/// The place itself, as the last one that starts there.
fn last_of(mark: Mark) -> Mark {
    Mark { length: u32::MAX, ..mark }
}

impl Scalar<'_> {
    /// What it means by the core schema.
    pub fn meaning(&self) -> Meaning<'_> {
        let text = self.text.as_ref();
        if !self.plain {
            return Meaning::Text(text);
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Bool(true),
            "false" | "False" | "FALSE" => Meaning::Bool(false),
            _ => integer(text)
                .map(Meaning::Integer)
                .or_else(|| float(text).map(Meaning::Float))
                .unwrap_or(Meaning::Text(text)),
        }
    }
}

fn integer(text: &str) -> Option<i128> {
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal).then(|| i128::from_str_radix(octal, 8).ok()).flatten();
    }
    if let Some(hex) = text.strip_prefix("0x") {
        let all = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        return all.then(|| i128::from_str_radix(hex, 16).ok()).flatten();
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits(unsigned).then(|| text.parse().ok()).flatten()
}

/// Reads `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_good = (digits(whole) && (part.is_empty() || digits(part)))
        || (whole.is_empty() && mantissa.starts_with('.') && digits(part));
    let exponent_good = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    (mantissa_good && exponent_good).then(|| text.parse().ok()).flatten()
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTE_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTE_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}
