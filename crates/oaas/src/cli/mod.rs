//! The command line: one file a command, each with its arguments and a `run`.

use oaas_model::Lang;

/// How a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// For programs: JSON, one value a line, instead of tables.
    pub json: bool,
    /// Language of texts for people.
    pub lang: Lang,
}
