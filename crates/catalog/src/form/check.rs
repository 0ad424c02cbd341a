//! Compares a tree with its table and reports every difference.

use super::{Field, Pattern, Record, Shape};
use crate::diagnostic::{Fault, Finding, Findings, did_you_mean, same, text};
use crate::service::Text;
use crate::yaml::{Kind, Mark, Node};

/// Reports where `node` is not of `shape`.
pub(crate) fn check(node: &Node<'_>, shape: &Shape, findings: &mut Findings) {
    if node.is_null() {
        // A field that is there and says nothing is never meant.
        let wanted = shape.describe();
        findings.push(Finding::new(node.mark, Fault::Blank, node.describe(), wanted).help(leave_out()));
        return;
    }
    match shape {
        Shape::Record(record) => check_record(node, record, findings),
        Shape::Either(shapes) => match shapes.iter().find(|shape| shape.takes(node)) {
            Some(shape) => check(node, shape, findings),
            None => wrong_type(node, shape, findings),
        },
        _ if !shape.takes(node) => wrong_type(node, shape, findings),
        Shape::Text { min, max, pattern } => check_text(node, (*min, *max, *pattern), findings),
        Shape::Choice(words) => check_choice(node, words, findings),
        Shape::Integer { min, max } => {
            if node.integer().is_some_and(|value| value < *min || value > *max) {
                invalid(node, shape.describe(), findings);
            }
        }
        Shape::Number { min, max } => {
            // Written so that what is not a number is refused too.
            if !node.number().is_some_and(|value| value >= *min && value <= *max) {
                invalid(node, shape.describe(), findings);
            }
        }
        Shape::List { of, min, max } => {
            check_count(node, node.items().len(), (*min, *max), findings);
            for item in node.items().iter().take(*max) {
                check(item, of, findings);
            }
        }
        Shape::Table { key, of, min, max } => {
            check_count(node, node.entries().len(), (*min, *max), findings);
            for entry in node.entries().iter().take(*max) {
                if !key.matches(&entry.key) {
                    let found = same(format!("`{}`", entry.key));
                    findings.push(Finding::new(entry.key_mark, Fault::InvalidValue, found, key.describe()));
                }
                check(&entry.value, of, findings);
            }
        }
        Shape::Flag | Shape::Message => {}
    }
}

fn check_record(node: &Node<'_>, record: &Record, findings: &mut Findings) {
    let Kind::Map(entries) = node.resolved() else {
        let finding = Finding::new(node.mark, Fault::WrongType, node.describe(), record.describe());
        findings.push(finding);
        return;
    };
    for entry in entries {
        match record.fields.iter().find(|field| field.name == entry.key) {
            Some(field) => check(&entry.value, &field.shape, findings),
            None => findings.push(unknown(&entry.key, entry.key_mark, record)),
        }
    }
    let set =
        entries.iter().filter(|entry| record.fields.iter().any(|field| field.name == entry.key)).count();
    // Where only unknown fields stand, those are the fault.
    let only_unknown = set == 0 && !entries.is_empty();
    if record.one_of && set != 1 && !only_unknown {
        let found = text(format!("{set} fields"), format!("{set} 个字段"));
        let names = record.names();
        let expected = text(format!("exactly one of {names}"), format!("只取其一：{names}"));
        findings.push(Finding::new(node.mark, Fault::InvalidValue, found, expected));
    }
    for field in record.fields.iter().filter(|field| field.required) {
        if !entries.iter().any(|entry| entry.key == field.name) {
            findings.push(missing(node.mark, field));
        }
    }
}

fn unknown(key: &str, mark: Mark, record: &Record) -> Finding {
    let names = record.names();
    let found = same(format!("`{key}`"));
    let help = did_you_mean(key, record.fields.iter().map(|field| field.name));
    Finding::new(
        mark,
        Fault::UnknownField,
        found,
        text(format!("one of {names}"), format!("其中之一：{names}")),
    )
    .help(help)
}

fn missing(mark: Mark, field: &Field) -> Finding {
    let found = text(format!("no `{}`", field.name), format!("没有 `{}`", field.name));
    let wanted = field.shape.describe();
    let expected =
        text(format!("`{}`: {}", field.name, wanted.en), format!("`{}`：{}", field.name, wanted.zh));
    Finding::new(mark, Fault::MissingField, found, expected)
}

fn check_text(node: &Node<'_>, (min, max, pattern): (usize, usize, Pattern), findings: &mut Findings) {
    let Some(value) = node.text() else { return };
    let count = value.chars().count();
    if min > 0 && value.trim().is_empty() {
        findings.push(
            Finding::new(node.mark, Fault::Blank, node.describe(), pattern.describe()).help(leave_out()),
        );
    } else if count > max || count < min {
        let found = text(format!("{count} characters"), format!("{count} 个字符"));
        let expected = text(format!("{min} to {max} characters"), format!("{min} 至 {max} 个字符"));
        findings.push(Finding::new(node.mark, Fault::InvalidValue, found, expected));
    } else if count > 0 && !pattern.matches(value) {
        invalid(node, pattern.describe(), findings);
    }
}

fn check_choice(node: &Node<'_>, words: &'static [&'static str], findings: &mut Findings) {
    let Some(value) = node.text() else { return };
    if !words.contains(&value) {
        let help = did_you_mean(value, words.iter().copied());
        let finding =
            Finding::new(node.mark, Fault::InvalidValue, node.describe(), Shape::Choice(words).describe());
        findings.push(finding.help(help));
    }
}

fn check_count(node: &Node<'_>, count: usize, (min, max): (usize, usize), findings: &mut Findings) {
    if count > max {
        let found = text(format!("{count} entries"), format!("{count} 项"));
        let expected = text(format!("at most {max}"), format!("最多 {max} 项"));
        findings.push(Finding::new(node.mark, Fault::Budget, found, expected));
    } else if count < min {
        let found = text(format!("{count} entries"), format!("{count} 项"));
        let expected = text(format!("at least {min}"), format!("至少 {min} 项"));
        findings.push(Finding::new(node.mark, Fault::Blank, found, expected));
    }
}

fn wrong_type(node: &Node<'_>, shape: &Shape, findings: &mut Findings) {
    let quotable =
        matches!(shape, Shape::Text { .. } | Shape::Choice(_)) && matches!(node.resolved(), Kind::Scalar(_));
    let help = quotable.then(|| text("put it in quotes", "请加引号"));
    findings.push(Finding::new(node.mark, Fault::WrongType, node.describe(), shape.describe()).help(help));
}

fn invalid(node: &Node<'_>, expected: Text, findings: &mut Findings) {
    findings.push(Finding::new(node.mark, Fault::InvalidValue, node.describe(), expected));
}

fn leave_out() -> Option<Text> {
    Some(text("give it a value or leave the field out", "请填写，或删去该字段"))
}

impl Shape {
    /// Whether `node` is of the right kind, whatever its value.
    fn takes(&self, node: &Node<'_>) -> bool {
        match self {
            Self::Text { .. } | Self::Choice(_) => node.text().is_some(),
            Self::Integer { .. } => node.integer().is_some(),
            Self::Number { .. } => node.number().is_some(),
            Self::Flag => node.flag().is_some(),
            Self::Record(_) | Self::Table { .. } | Self::Message => matches!(node.resolved(), Kind::Map(_)),
            Self::List { .. } => matches!(node.resolved(), Kind::List(_)),
            Self::Either(shapes) => shapes.iter().any(|shape| shape.takes(node)),
        }
    }

    /// What is expected, in a few words.
    pub fn describe(&self) -> Text {
        match self {
            Self::Text { pattern, .. } => pattern.describe(),
            Self::Integer { min, max } => {
                text(format!("an integer from {min} to {max}"), format!("{min} 至 {max} 的整数"))
            }
            Self::Number { min, max } => {
                text(format!("a number from {min} to {max}"), format!("{min} 至 {max} 的数字"))
            }
            Self::Flag => text("true or false", "true 或 false"),
            Self::Choice(words) => {
                let words = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
                text(format!("one of {words}"), format!("其中之一：{words}"))
            }
            Self::Record(record) => record.describe(),
            Self::List { of, .. } => {
                let of = of.describe();
                text(format!("a list, each item {}", of.en), format!("列表，每项为{}", of.zh))
            }
            Self::Table { key, of, .. } => {
                let (key, of) = (key.describe(), of.describe());
                text(format!("a map from {} to {}", key.en, of.en), format!("映射：{} → {}", key.zh, of.zh))
            }
            Self::Either(shapes) => {
                let all: Vec<Text> = shapes.iter().map(|shape| shape.describe()).collect();
                let join =
                    |of: fn(&Text) -> &str, with: &str| all.iter().map(of).collect::<Vec<_>>().join(with);
                text(join(|t| &t.en, ", or "), join(|t| &t.zh, "，或"))
            }
            Self::Message => text("a message as protobuf JSON", "protobuf JSON 形式的消息"),
        }
    }
}

impl Record {
    fn names(&self) -> String {
        self.fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
    }

    fn describe(&self) -> Text {
        let names = self.names();
        text(format!("a map with {names}"), format!("映射，字段为 {names}"))
    }
}
