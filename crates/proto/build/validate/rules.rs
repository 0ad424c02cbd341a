//! Reads one `buf.validate.FieldRules` and writes the calls that keep it. What is not known here is
//! an error: a rule that nobody keeps would be a lie in the contract.

use std::fmt::Write as _;

use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, ReflectMessage as _, Value};

/// When a field's rules don't count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ignore {
    /// When a field with presence is not set.
    Unset,
    /// Also when it has its type's zero value.
    Zero,
    /// Always.
    Always,
}

/// The rules of one field, item, key or value.
pub struct Rules {
    pub required: bool,
    pub ignore: Ignore,
    /// The rules of the type, with the name that the contract gives them. Example: "string".
    typed: Option<(String, DynamicMessage)>,
}

/// The rules of a list: its own as code, and those of its items.
pub struct ListRules {
    pub checks: String,
    pub items: Option<DynamicMessage>,
}

/// The rules of a map: its own as code, and those of its keys and values.
pub struct MapRules {
    pub checks: String,
    pub keys: Option<DynamicMessage>,
    pub values: Option<DynamicMessage>,
}

/// Whether the option `name` is set and true.
pub fn flag(message: &DynamicMessage, name: &str) -> bool {
    message.has_field_by_name(name)
        && message.get_field_by_name(name).is_some_and(|value| value.as_bool() == Some(true))
}

/// The condition that the field bound as `value` has its type's zero value.
pub fn is_zero(kind: &Kind) -> String {
    match kind {
        Kind::String | Kind::Bytes => "value.is_empty()",
        Kind::Bool => "!*value",
        Kind::Float | Kind::Double => "*value == 0.0",
        Kind::Message(_) => "false",
        _ => "*value == 0",
    }
    .to_owned()
}

impl Rules {
    /// Takes `FieldRules` apart.
    pub fn read(rules: Option<DynamicMessage>) -> Result<Self, String> {
        let mut read = Self { required: false, ignore: Ignore::Unset, typed: None };
        let Some(rules) = rules else { return Ok(read) };
        for (name, value) in settings(&rules)? {
            match (name.as_str(), value) {
                ("required", Value::Bool(required)) => read.required = required,
                ("ignore", Value::EnumNumber(0)) => {}
                ("ignore", Value::EnumNumber(1)) => read.ignore = Ignore::Zero,
                ("ignore", Value::EnumNumber(3)) => read.ignore = Ignore::Always,
                (_, Value::Message(typed)) => read.typed = Some((name, typed)),
                _ => return Err(unsupported(&name)),
            }
        }
        Ok(read)
    }

    /// Wraps checks of one value so that they honour `ignore`.
    pub fn unless_zero(&self, kind: &Kind, checks: String) -> String {
        if self.ignore == Ignore::Zero && !checks.is_empty() && !matches!(kind, Kind::Message(_)) {
            format!("if !({}) {{\n{checks}}}\n", is_zero(kind))
        } else {
            checks
        }
    }

    /// Wraps checks of a list or map so that they honour `ignore`.
    pub fn unless_empty(&self, checks: String) -> String {
        if self.ignore == Ignore::Zero && !checks.is_empty() {
            format!("if !value.is_empty() {{\n{checks}}}\n")
        } else {
            checks
        }
    }

    /// The list's own rules.
    pub fn of_list(&self, item: &Kind) -> Result<ListRules, String> {
        let mut list = ListRules { checks: String::new(), items: None };
        for (name, value) in self.settings("repeated")? {
            match (name.as_str(), value) {
                ("min_items", value) => list.checks.push_str(&count("count_min", "item", &value)?),
                ("max_items", value) => list.checks.push_str(&count("count_max", "item", &value)?),
                ("unique", Value::Bool(false)) => {}
                ("unique", _) if matches!(item, Kind::Message(_) | Kind::Float | Kind::Double) => {
                    return Err("unique is not supported for messages and floats".to_owned());
                }
                ("unique", _) => list.checks.push_str("rules::unique(value, at, report);\n"),
                ("items", Value::Message(items)) => list.items = Some(items),
                _ => return Err(unsupported(&format!("repeated.{name}"))),
            }
        }
        Ok(list)
    }

    /// The map's own rules.
    pub fn of_map(&self) -> Result<MapRules, String> {
        let mut map = MapRules { checks: String::new(), keys: None, values: None };
        for (name, value) in self.settings("map")? {
            match (name.as_str(), value) {
                ("min_pairs", value) => map.checks.push_str(&count("count_min", "pair", &value)?),
                ("max_pairs", value) => map.checks.push_str(&count("count_max", "pair", &value)?),
                ("keys", Value::Message(keys)) => map.keys = Some(keys),
                ("values", Value::Message(values)) => map.values = Some(values),
                _ => return Err(unsupported(&format!("map.{name}"))),
            }
        }
        Ok(map)
    }

    /// The rules of one value's type as code.
    pub fn of_value(&self, kind: &Kind) -> Result<String, String> {
        let expected = rules_name(kind);
        let settings = self.settings(expected)?;
        one_interval(&settings)?;
        let mut code = String::new();
        for (name, value) in settings {
            let call = match kind {
                Kind::String => string_call(&name, &value),
                Kind::Bytes => bytes_call(&name, &value),
                Kind::Enum(kind) => enum_call(kind, &name, &value),
                Kind::Bool if name == "const" => {
                    literal(&value).map(|wanted| format!("equal(*value, {wanted}"))
                }
                Kind::Bool => None,
                Kind::Message(_) => span_call(expected, &name, &value),
                _ => number_call(kind, &name, &value),
            };
            if name == "pattern" {
                code.push_str(&pattern(&value)?);
            } else if value != Value::Bool(false) || name == "const" {
                let call = call.ok_or_else(|| unsupported(&format!("{expected}.{name}")))?;
                let _ = writeln!(code, "rules::{call}, at, report);");
            }
        }
        Ok(code)
    }

    /// What is set in the rules of the type `expected`.
    fn settings(&self, expected: &str) -> Result<Vec<(String, Value)>, String> {
        match &self.typed {
            None => Ok(Vec::new()),
            Some((name, rules)) if name == expected => {
                let mut set = settings(rules)?;
                set.retain(|(name, _)| name != "example");
                Ok(set)
            }
            Some((name, _)) if expected.is_empty() => {
                Err(format!("{name} rules are not supported for this type"))
            }
            Some((name, _)) => Err(format!("{name} rules stand on a field that takes {expected} rules")),
        }
    }
}

/// Every field that is set, in the order of the numbers, and an error for anything beside them.
fn settings(rules: &DynamicMessage) -> Result<Vec<(String, Value)>, String> {
    if let Some((extension, _)) = rules.extensions().next() {
        return Err(unsupported(extension.full_name()));
    }
    if let Some(unknown) = rules.unknown_fields().next() {
        return Err(unsupported(&format!("{} field {}", rules.descriptor().full_name(), unknown.number())));
    }
    Ok(rules.fields().map(|(field, value)| (field.name().to_owned(), value.clone())).collect())
}

fn unsupported(rule: &str) -> String {
    format!("rule {rule} is not supported")
}

/// The name of the rules that a value of this kind takes; empty when there are none.
fn rules_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Enum(_) => "enum",
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Duration" => "duration",
            "google.protobuf.Timestamp" => "timestamp",
            _ => "",
        },
    }
}

/// protovalidate reads bounds that cross (`gt: 10, lt: 5`) as "outside"; here they are an error,
/// because they are a slip more often than a wish.
fn one_interval(settings: &[(String, Value)]) -> Result<(), String> {
    let find = |names: [&str; 2]| {
        settings.iter().find(|(name, _)| names.contains(&name.as_str())).and_then(|(_, value)| ordered(value))
    };
    match (find(["gt", "gte"]), find(["lt", "lte"])) {
        (Some(low), Some(high)) if low > high => Err("the lower bound is above the upper one".to_owned()),
        _ => Ok(()),
    }
}

/// A value as one number, near enough to compare bounds.
fn ordered(value: &Value) -> Option<f64> {
    match value {
        Value::I32(v) => Some(f64::from(*v)),
        Value::I64(v) => Some(*v as f64),
        Value::U32(v) => Some(f64::from(*v)),
        Value::U64(v) => Some(*v as f64),
        Value::F32(v) => Some(f64::from(*v)),
        Value::F64(v) => Some(*v),
        Value::Message(message) => nanos(message).map(|v| v as f64),
        _ => None,
    }
}

fn number_call(kind: &Kind, name: &str, value: &Value) -> Option<String> {
    let function = match name {
        "const" => "equal",
        "gt" => "above",
        "gte" => "at_least",
        "lt" => "below",
        "lte" => "at_most",
        "in" => return Some(format!("one_of(*value, {}", literals(value)?)),
        "not_in" => return Some(format!("none_of(*value, {}", literals(value)?)),
        "finite" if *kind == Kind::Float => return Some("finite(f64::from(*value)".to_owned()),
        "finite" => return Some("finite(*value".to_owned()),
        _ => return None,
    };
    Some(format!("{function}(*value, {}", literal(value)?))
}

fn string_call(name: &str, value: &Value) -> Option<String> {
    let (function, subject) = match name {
        "const" => ("text", "value"),
        "len" => ("chars", "value"),
        "min_len" => ("chars_min", "value"),
        "max_len" => ("chars_max", "value"),
        "len_bytes" => ("size", "value.as_bytes()"),
        "min_bytes" => ("size_min", "value.as_bytes()"),
        "max_bytes" => ("size_max", "value.as_bytes()"),
        "prefix" => ("starts_with", "value"),
        "suffix" => ("ends_with", "value"),
        "in" => return Some(format!("text_one_of(value, {}", literals(value)?)),
        "not_in" => return Some(format!("text_none_of(value, {}", literals(value)?)),
        _ => return None,
    };
    Some(format!("{function}({subject}, {}", size_or_text(value)?))
}

fn bytes_call(name: &str, value: &Value) -> Option<String> {
    let function = match name {
        "len" => "size",
        "min_len" => "size_min",
        "max_len" => "size_max",
        _ => return None,
    };
    Some(format!("{function}(value, {}", size_or_text(value)?))
}

fn enum_call(kind: &EnumDescriptor, name: &str, value: &Value) -> Option<String> {
    let named = |numbers: &[Value]| {
        let pairs = numbers.iter().map(|number| {
            let number = number.as_i32()?;
            let name = kind.get_value(number).map_or_else(|| number.to_string(), |v| v.name().to_owned());
            Some(format!("({number}, {name:?})"))
        });
        Some(format!("&[{}]", pairs.collect::<Option<Vec<_>>>()?.join(", ")))
    };
    match (name, value) {
        ("const", value) => Some(format!("enum_one_of(*value, {}", named(std::slice::from_ref(value))?)),
        ("in", Value::List(numbers)) => Some(format!("enum_one_of(*value, {}", named(numbers)?)),
        ("not_in", Value::List(numbers)) => Some(format!("enum_none_of(*value, {}", named(numbers)?)),
        ("defined_only", _) => {
            let numbers: Vec<_> = kind.values().map(|value| value.number().to_string()).collect();
            Some(format!("defined(*value, &[{}], {:?}", numbers.join(", "), kind.full_name()))
        }
        _ => None,
    }
}

/// Bounds of a duration or timestamp that need no clock.
fn span_call(rules: &str, name: &str, value: &Value) -> Option<String> {
    let function = match name {
        "const" => "equal",
        "gt" => "above",
        "gte" => "at_least",
        "lt" => "below",
        "lte" => "at_most",
        _ => return None,
    };
    let kind = if rules == "duration" { "length" } else { "moment" };
    let nanos = nanos(value.as_message()?)?;
    Some(format!("{function}(rules::Span::from(value), rules::Span::{kind}({nanos})"))
}

fn nanos(message: &DynamicMessage) -> Option<i128> {
    let seconds = i128::from(message.get_field_by_name("seconds")?.as_i64()?);
    let nanos = i128::from(message.get_field_by_name("nanos")?.as_i32()?);
    Some(seconds * 1_000_000_000 + nanos)
}

fn pattern(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| unsupported("string.pattern"))?;
    regex::Regex::new(text).map_err(|error| format!("pattern is not a regular expression: {error}"))?;
    Ok(format!(
        "{{\nstatic PATTERN: rules::Pattern = rules::Pattern::new(|| rules::Regex::new({text:?}));\n\
         rules::matches(value, &PATTERN, at, report);\n}}\n"
    ))
}

fn count(function: &str, noun: &str, value: &Value) -> Result<String, String> {
    let limit = value.as_u64().ok_or_else(|| unsupported(function))?;
    Ok(format!("rules::{function}(value.len(), {limit}, {noun:?}, at, report);\n"))
}

fn size_or_text(value: &Value) -> Option<String> {
    value.as_u64().map(|size| size.to_string()).or_else(|| value.as_str().map(|text| format!("{text:?}")))
}

fn literals(value: &Value) -> Option<String> {
    let items = value.as_list()?.iter().map(literal).collect::<Option<Vec<_>>>()?;
    Some(format!("&[{}]", items.join(", ")))
}

fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::Bool(v) => v.to_string(),
        Value::I32(v) => format!("{v}i32"),
        Value::I64(v) => format!("{v}i64"),
        Value::U32(v) => format!("{v}u32"),
        Value::U64(v) => format!("{v}u64"),
        Value::F32(v) if v.is_finite() => format!("{v:?}f32"),
        Value::F64(v) if v.is_finite() => format!("{v:?}f64"),
        Value::String(v) => format!("{v:?}"),
        _ => return None,
    })
}
