//! What the files may hold, as tables: one source for the check of a file and for the JSON Schema that
//! editors complete from.

mod callers_tables;
mod check;
mod json_schema;
mod pattern;
mod tables;

pub(crate) use callers_tables::{APPLICATION, APPLICATIONS_MAX, CALLERS, PLANS};
pub(crate) use check::check;
pub use json_schema::{SCHEMAS, json_schema};
pub(crate) use pattern::Pattern;
pub(crate) use tables::{DEFAULTS, SERVICE};

/// What a value may be.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Text of so many characters and of a pattern.
    Text {
        min: usize,
        max: usize,
        pattern: Pattern,
    },
    Integer {
        min: i128,
        max: i128,
    },
    /// A number that is no money: a share or a percentage.
    Number {
        min: f64,
        max: f64,
    },
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A map with these fields.
    Record(&'static Record),
    List {
        of: &'static Shape,
        min: usize,
        max: usize,
    },
    /// A map with free names.
    Table {
        key: Pattern,
        of: &'static Shape,
        min: usize,
        max: usize,
    },
    /// Any of these, told apart by being a scalar, a list or a map.
    Either(&'static [&'static Shape]),
    /// A message as protobuf JSON; compared with its descriptor later.
    Message,
}

/// A map with named fields.
#[derive(Debug)]
pub(crate) struct Record {
    /// Name in the JSON Schema.
    pub name: &'static str,
    pub doc: &'static str,
    pub fields: &'static [Field],
    /// Exactly one field is set.
    pub one_of: bool,
}

/// One field of a [`Record`].
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub doc: &'static str,
    pub required: bool,
    pub shape: Shape,
}
