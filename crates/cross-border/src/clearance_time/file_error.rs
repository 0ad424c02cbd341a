//! What is wrong with a file of past shipments.

use thiserror::Error;

/// Lines that a file may have.
pub(super) const LINES_MAX: usize = 5_000_000;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It can't be read as CSV.
    #[error("{file}: {source}")]
    Csv {
        /// File.
        file: String,
        /// Why, with the line.
        source: csv::Error,
    },
    /// A column is missing.
    #[error("{file}:1: column {column:?} is missing from the header")]
    Column {
        /// File.
        file: String,
        /// The column's name.
        column: &'static str,
    },
    /// A field is not as it must be.
    #[error("{file}:{line}:{column}: {name}: {problem}")]
    Field {
        /// File.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Number of the field in its line, from 1.
        column: usize,
        /// The column's name.
        name: &'static str,
        /// What was found and what was expected.
        problem: String,
    },
    /// Too many lines.
    #[error("{file}: more than {LINES_MAX} lines")]
    TooLong {
        /// File.
        file: String,
    },
}
