//! The `buf.validate` rules of the contract, kept by code that the build script generates.
//!
//! Reference for what each rule means: protovalidate (buf.build/docs/protovalidate) and the comments
//! of `proto/buf/validate/validate.proto`.

use std::fmt;

pub mod rules;

/// Violations that one message is told of; the rest is counted by nobody, since a caller who reads
/// this many knows where to look.
pub const VIOLATIONS_MAX: usize = 64;

/// Characters of a map key that a path shows.
const KEY_SHOWN_MAX: usize = 64;

/// A field that is not as the contract says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in proto names. Example: "lines[2].quantity".
    pub field: String,
    /// What it must be. Example: "must be at least 1, is 0".
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// A message that knows its rules. Implemented by generated code for every message of our contract.
pub trait Validate {
    /// Reports what is wrong in this message, which stands at `at`. For generated code; others ask
    /// [`Validate::violations`].
    fn check(&self, at: &Path<'_>, report: &mut Report);

    /// All violations in the order of the fields, at most [`VIOLATIONS_MAX`]; empty when the message
    /// keeps its rules.
    fn violations(&self) -> Vec<Violation> {
        let mut report = Report::default();
        self.check(&Path::ROOT, &mut report);
        report.violations
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Report {
    violations: Vec<Violation>,
}

impl Report {
    /// Adds a violation of the field at `at`, unless the report is full.
    pub fn add(&mut self, at: &Path<'_>, description: impl fmt::Display) {
        if !self.is_full() {
            self.violations.push(Violation::new(at.to_string(), format!("{}{description}", at.subject())));
        }
    }

    /// Whether there is no room for more, so that looking further is of no use.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.violations.len() >= VIOLATIONS_MAX
    }

    /// How many there are; for [`Report::sort_from`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.violations.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.violations.is_empty()
    }

    /// Orders those added since the report had `start` by field, because a map has no order.
    pub fn sort_from(&mut self, start: usize) {
        if let Some(added) = self.violations.get_mut(start..) {
            added.sort_by(|a, b| a.field.cmp(&b.field));
        }
    }
}

/// Where in the message the check is. A list that lives on the stack, so that a valid message costs
/// no allocation.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'static str),
    Index(usize),
    TextKey(&'a str),
    PlainKey(&'a dyn fmt::Display),
    /// The key itself is judged, not its value.
    ItsKey,
}

impl<'a> Path<'a> {
    /// The message that was asked.
    pub const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    /// The field `name` of the message here.
    #[must_use]
    pub fn field(&'a self, name: &'static str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Field(name) }
    }

    /// Item number `index` of the list here, from 0.
    #[must_use]
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// The value under the string `key` of the map here.
    #[must_use]
    pub fn text_key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::TextKey(key) }
    }

    /// The value under the number or bool `key` of the map here.
    #[must_use]
    pub fn plain_key(&'a self, key: &'a dyn fmt::Display) -> Path<'a> {
        Path { parent: Some(self), step: Step::PlainKey(key) }
    }

    /// The map key here rather than its value.
    #[must_use]
    pub fn its_key(&'a self) -> Path<'a> {
        Path { parent: Some(self), step: Step::ItsKey }
    }

    fn subject(&self) -> &'static str {
        if matches!(self.step, Step::ItsKey) { "key " } else { "" }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root | Step::ItsKey => Ok(()),
            Step::Field(name) if self.parent.is_none_or(|p| matches!(p.step, Step::Root)) => {
                f.write_str(name)
            }
            Step::Field(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::PlainKey(key) => write!(f, "[{key}]"),
            Step::TextKey(key) => match key.char_indices().nth(KEY_SHOWN_MAX) {
                Some((end, _)) => write!(f, "[{:?}…]", key.get(..end).unwrap_or_default()),
                None => write!(f, "[{key:?}]"),
            },
        }
    }
}

impl fmt::Debug for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Generated by `build/validate`.
mod contract {
    include!(concat!(env!("OUT_DIR"), "/validate.rs"));
}
