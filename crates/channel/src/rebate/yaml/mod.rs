//! A plan as a business person writes it, in YAML: money with its point, shares in percent, days in
//! days. Everything that is wrong is told at once, each with its line and column and what was expected.
//!
//! `docs/capabilities/rebate` has plans in this form; `docs/capabilities/rebate.md` has its words.

mod accrue;
mod form;
mod levels;
mod reader;
mod tiers;
mod tree;
mod values;

use std::fmt;

use oaas_model::Lang;

use super::law::Text;
use super::plan::Plan;
pub use tree::{Mark, SOURCE_MAX};

/// A word of the form and what it means.
type Word<T> = (&'static str, T);

/// Faults that one reading tells; the rest would be found after these.
pub const FAULTS_MAX: usize = 100;

/// A plan with its title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The plan.
    pub plan: Plan,
    /// Its title.
    pub title: Text,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub mark: Mark,
    /// The field as the file calls it; empty for the file as a whole. Example: "tiers.steps[1].pays".
    pub field: String,
    /// What could stand there.
    pub expected: Text,
    /// What stands there; empty when it does not go together with other fields.
    pub found: Text,
}

impl Fault {
    fn new(mark: Mark, field: &str, expected: Text, found: Text) -> Self {
        Self { mark, field: field.to_owned(), expected, found }
    }

    fn boxed(mark: Mark, field: &str, expected: Text, found: Text) -> Box<Self> {
        Box::new(Self::new(mark, field, expected, found))
    }

    /// The fault in words, without its place.
    #[must_use]
    pub fn message(&self, lang: Lang) -> String {
        let field = if self.field.is_empty() { String::new() } else { format!("{}: ", self.field) };
        if self.found.en.is_empty() {
            return format!(
                "{field}{}",
                if lang == Lang::Zh { &self.expected.zh } else { &self.expected.en }
            );
        }
        match lang {
            Lang::En => format!("{field}expected {}, found {}", self.expected.en, self.found.en),
            Lang::Zh => format!("{field}应为{}，实为 {}", self.expected.zh, self.found.zh),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.mark.line, self.mark.column, self.message(Lang::En))
    }
}

/// Reads a plan. The law is looked at elsewhere.
///
/// # Errors
/// Everything that is not as it must be, in the order of the file.
pub fn read(source: &str) -> Result<Draft, Vec<Fault>> {
    let root = tree::parse(source).map_err(|fault| vec![*fault])?;
    form::draft(&root)
}

fn both(en: String, zh: String) -> Text {
    Text { en, zh }
}

fn same(text: String) -> Text {
    Text { en: text.clone(), zh: text }
}
