//! The `buf.validate` rules of the contract, kept by generated code.

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

/// A message that knows its rules.
pub trait Validate {
    /// All violations, in the order of the fields; empty when the message keeps its rules.
    fn violations(&self) -> Vec<Violation>;
}

impl<T: prost::Message> Validate for T {
    fn violations(&self) -> Vec<Violation> {
        Vec::new()
    }
}
