//! What a layer raises when it refuses a call or ends one. One place, `rescue.rs`, makes a status of it.

use std::time::Duration;

use oaas_model::{Code, Reason};

/// Whether the capability did the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executed {
    /// Certainly not: repeating the call is safe.
    False,
    /// Certainly.
    True,
    /// It may have.
    Unknown,
}

impl Executed {
    /// As `ErrorInfo.metadata` and the journal say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::False => "false",
            Self::True => "true",
            Self::Unknown => "unknown",
        }
    }
}

/// When a client may try again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// Nothing is said.
    #[default]
    Unsaid,
    /// After this long.
    After(Duration),
    /// Repeating it can't help (a negative pushback).
    Never,
}

/// A refusal, or an end of a call that the gateway made.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// The gRPC status: the reason's own, but for streams that the upstream reset.
    pub code: Code,
    /// Stage that raised it. Example: "rate_limit".
    pub stage: &'static str,
    /// For developers: lower case, names the thing and its value.
    pub message: String,
    /// Whether the capability did the work.
    pub executed: Executed,
    /// When to try again.
    pub retry: Retry,
    /// More facts for `ErrorInfo.metadata`.
    pub facts: Vec<(&'static str, String)>,
    /// Fields or headers that are not as they must be: (field, description).
    pub violations: Vec<(String, String)>,
    /// Subject and description of the exhausted limit, for `QuotaFailure`.
    pub quota: Option<(String, String)>,
    /// Type and name of what the caller lacks, for `ResourceInfo`.
    pub resource: Option<(&'static str, String)>,
}

impl Rejection {
    /// A refusal before the call was made.
    pub fn new(reason: Reason, stage: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            code: reason.code(),
            stage,
            message: message.into(),
            executed: Executed::False,
            retry: Retry::Unsaid,
            facts: Vec::new(),
            violations: Vec::new(),
            quota: None,
            resource: None,
        }
    }

    /// The same, with a fact.
    #[must_use]
    pub fn fact(mut self, name: &'static str, value: impl ToString) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }

    /// The same, with what is known of the execution.
    #[must_use]
    pub fn executed(mut self, executed: Executed) -> Self {
        self.executed = executed;
        self
    }

    /// The same, with another status than the reason's own.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// The same, with a word on repeating it.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// A header or field that is not as it must be.
    pub fn invalid(stage: &'static str, field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let mut rejection = Self::new(Reason::FieldInvalid, stage, format!("{field}: {description}"));
        rejection.violations.push((field.to_owned(), description));
        rejection.retry = Retry::Never;
        rejection
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Rejection {}
