//! YAML as a tree in which every value knows its place, read within a budget.
//!
//! The events come from granit-parser, the parser under serde-saphyr; deserializing into types would
//! stop at the first fault, and the catalog reports all of them.

mod node;
mod reader;

pub(crate) use node::{Kind, Mark, Node};
pub(crate) use reader::{Budget, Stream, read, read_streaming};
