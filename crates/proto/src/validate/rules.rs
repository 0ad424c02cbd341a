//! One function a rule: it reports when `value` is not as the rule says. Called by generated code.
//!
//! Texts and bytes are never repeated in a description, since it ends up in logs: only their sizes.

use std::collections::HashSet;
use std::fmt::{Debug, Display, Formatter};
use std::hash::Hash;
use std::sync::LazyLock;

use super::{Path, Report};

pub use regex::Regex;

/// A regular expression that is compiled when it is first needed.
pub type Pattern = LazyLock<Result<Regex, regex::Error>>;

/// `required`: reports; the caller has seen that nothing is there.
pub fn absent(at: &Path<'_>, report: &mut Report) {
    report.add(at, "is required");
}

/// `const`.
pub fn equal<T: PartialEq + Display>(value: T, wanted: T, at: &Path<'_>, report: &mut Report) {
    if value != wanted {
        report.add(at, format_args!("must be {wanted}, is {value}"));
    }
}

/// `gte`; not a number fails.
pub fn at_least<T: PartialOrd + Display>(value: T, min: T, at: &Path<'_>, report: &mut Report) {
    if !(value >= min) {
        report.add(at, format_args!("must be at least {min}, is {value}"));
    }
}

/// `gt`; not a number fails.
pub fn above<T: PartialOrd + Display>(value: T, bound: T, at: &Path<'_>, report: &mut Report) {
    if !(value > bound) {
        report.add(at, format_args!("must be greater than {bound}, is {value}"));
    }
}

/// `lte`; not a number fails.
pub fn at_most<T: PartialOrd + Display>(value: T, max: T, at: &Path<'_>, report: &mut Report) {
    if !(value <= max) {
        report.add(at, format_args!("must be at most {max}, is {value}"));
    }
}

/// `lt`; not a number fails.
pub fn below<T: PartialOrd + Display>(value: T, bound: T, at: &Path<'_>, report: &mut Report) {
    if !(value < bound) {
        report.add(at, format_args!("must be less than {bound}, is {value}"));
    }
}

/// `in` of numbers.
pub fn one_of<T: PartialEq + Display>(value: T, allowed: &[T], at: &Path<'_>, report: &mut Report) {
    if !allowed.contains(&value) {
        report.add(at, format_args!("must be one of {}, is {value}", list(allowed)));
    }
}

/// `not_in` of numbers.
pub fn none_of<T: PartialEq + Display>(value: T, refused: &[T], at: &Path<'_>, report: &mut Report) {
    if refused.contains(&value) {
        report.add(at, format_args!("must not be {value}"));
    }
}

/// `finite`.
pub fn finite(value: f64, at: &Path<'_>, report: &mut Report) {
    if !value.is_finite() {
        report.add(at, format_args!("must be finite, is {value}"));
    }
}

/// `string.len`, in characters (Unicode scalar values).
pub fn chars(value: &str, wanted: usize, at: &Path<'_>, report: &mut Report) {
    let count = value.chars().count();
    if count != wanted {
        report.add(at, format_args!("must have exactly {}, has {count}", count_of(wanted, "character")));
    }
}

/// `string.min_len`, in characters.
pub fn chars_min(value: &str, min: usize, at: &Path<'_>, report: &mut Report) {
    let count = value.chars().take(min).count();
    if count < min {
        report.add(at, format_args!("must have at least {}, has {count}", count_of(min, "character")));
    }
}

/// `string.max_len`, in characters.
pub fn chars_max(value: &str, max: usize, at: &Path<'_>, report: &mut Report) {
    // A text has no more characters than bytes, so short ones need no count.
    if value.len() > max {
        let count = value.chars().count();
        if count > max {
            report.add(at, format_args!("must have at most {}, has {count}", count_of(max, "character")));
        }
    }
}

/// `bytes.len` and `string.len_bytes`.
pub fn size(value: &[u8], wanted: usize, at: &Path<'_>, report: &mut Report) {
    if value.len() != wanted {
        report.add(at, format_args!("must have exactly {}, has {}", count_of(wanted, "byte"), value.len()));
    }
}

/// `bytes.min_len` and `string.min_bytes`.
pub fn size_min(value: &[u8], min: usize, at: &Path<'_>, report: &mut Report) {
    if value.len() < min {
        report.add(at, format_args!("must have at least {}, has {}", count_of(min, "byte"), value.len()));
    }
}

/// `bytes.max_len` and `string.max_bytes`.
pub fn size_max(value: &[u8], max: usize, at: &Path<'_>, report: &mut Report) {
    if value.len() > max {
        report.add(at, format_args!("must have at most {}, has {}", count_of(max, "byte"), value.len()));
    }
}

/// `string.pattern`: found anywhere in the text, as RE2 does, unless the expression has anchors.
pub fn matches(value: &str, pattern: &Pattern, at: &Path<'_>, report: &mut Report) {
    match &**pattern {
        Ok(regex) if regex.is_match(value) => {}
        Ok(regex) => report.add(at, format_args!("must match {regex}")),
        // The build script has compiled it before, so this is not reached; if it were, nothing passes.
        Err(error) => report.add(at, format_args!("can't be checked: {error}")),
    }
}

/// `string.const`.
pub fn text(value: &str, wanted: &str, at: &Path<'_>, report: &mut Report) {
    if value != wanted {
        report.add(at, format_args!("must be {wanted:?}"));
    }
}

/// `string.in`.
pub fn text_one_of(value: &str, allowed: &[&str], at: &Path<'_>, report: &mut Report) {
    if !allowed.contains(&value) {
        report.add(at, format_args!("must be one of {}", quoted(allowed)));
    }
}

/// `string.not_in`.
pub fn text_none_of(value: &str, refused: &[&str], at: &Path<'_>, report: &mut Report) {
    if refused.contains(&value) {
        report.add(at, format_args!("must be none of {}", quoted(refused)));
    }
}

/// `string.prefix`.
pub fn starts_with(value: &str, prefix: &str, at: &Path<'_>, report: &mut Report) {
    if !value.starts_with(prefix) {
        report.add(at, format_args!("must start with {prefix:?}"));
    }
}

/// `string.suffix`.
pub fn ends_with(value: &str, suffix: &str, at: &Path<'_>, report: &mut Report) {
    if !value.ends_with(suffix) {
        report.add(at, format_args!("must end with {suffix:?}"));
    }
}

/// `enum.defined_only`.
pub fn defined(value: i32, numbers: &[i32], name: &str, at: &Path<'_>, report: &mut Report) {
    if !numbers.contains(&value) {
        report.add(at, format_args!("must be a value of {name}, is {value}"));
    }
}

/// `enum.in` and `enum.const`; `allowed` are numbers with their names.
pub fn enum_one_of(value: i32, allowed: &[(i32, &str)], at: &Path<'_>, report: &mut Report) {
    if !allowed.iter().any(|(number, _)| *number == value) {
        let names: Vec<&str> = allowed.iter().map(|(_, name)| *name).collect();
        report.add(at, format_args!("must be {}, is {value}", names.join(" or ")));
    }
}

/// `enum.not_in`; `refused` are numbers with their names.
pub fn enum_none_of(value: i32, refused: &[(i32, &str)], at: &Path<'_>, report: &mut Report) {
    if let Some((_, name)) = refused.iter().find(|(number, _)| *number == value) {
        report.add(at, format_args!("must not be {name}"));
    }
}

/// `repeated.min_items` and `map.min_pairs`.
pub fn count_min(count: usize, min: usize, noun: &str, at: &Path<'_>, report: &mut Report) {
    if count < min {
        report.add(at, format_args!("must have at least {}, has {count}", count_of(min, noun)));
    }
}

/// `repeated.max_items` and `map.max_pairs`.
pub fn count_max(count: usize, max: usize, noun: &str, at: &Path<'_>, report: &mut Report) {
    if count > max {
        report.add(at, format_args!("must have at most {}, has {count}", count_of(max, noun)));
    }
}

/// `repeated.unique`.
pub fn unique<T: Eq + Hash>(values: &[T], at: &Path<'_>, report: &mut Report) {
    let mut seen = HashSet::with_capacity(values.len());
    if let Some(index) = values.iter().position(|value| !seen.insert(value)) {
        report.add(at, format_args!("must not hold an item twice, item {index} repeats an earlier one"));
    }
}

/// Nanoseconds in a second.
const SECOND: i128 = 1_000_000_000;

/// A span or a moment as one number, for the bounds of `duration` and `timestamp`: the two fields of
/// a message need not be in their normal form.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Span {
    nanos: i128,
    is_moment: bool,
}

impl Span {
    /// So long.
    #[must_use]
    pub const fn length(nanos: i128) -> Self {
        Self { nanos, is_moment: false }
    }

    /// So long after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn moment(nanos: i128) -> Self {
        Self { nanos, is_moment: true }
    }
}

impl From<&prost_types::Duration> for Span {
    fn from(value: &prost_types::Duration) -> Self {
        Self::length(i128::from(value.seconds) * SECOND + i128::from(value.nanos))
    }
}

impl From<&prost_types::Timestamp> for Span {
    fn from(value: &prost_types::Timestamp) -> Self {
        Self::moment(i128::from(value.seconds) * SECOND + i128::from(value.nanos))
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (seconds, rest) = if self.is_moment {
            (self.nanos.div_euclid(SECOND), self.nanos.rem_euclid(SECOND))
        } else {
            (self.nanos / SECOND, self.nanos % SECOND)
        };
        let (Ok(seconds), Ok(nanos)) = (i64::try_from(seconds), i32::try_from(rest)) else {
            return write!(f, "{} ns", self.nanos);
        };
        if self.is_moment {
            Display::fmt(&prost_types::Timestamp { seconds, nanos }, f)
        } else {
            Display::fmt(&prost_types::Duration { seconds, nanos }, f)
        }
    }
}

fn count_of(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn list<T: Display>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn quoted<T: Debug>(values: &[T]) -> String {
    values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
}
