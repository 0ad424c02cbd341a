//! Why an upstream could not answer, and whether it may have executed the call.

use std::fmt;
use std::time::Duration;

use oaas_capability::BoxError;
use oaas_model::Code;

use super::reset::reset_code;

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No endpoint could be chosen: none is configured, or too many calls wait already.
    NoEndpoint,
    /// No connection came about.
    Connect,
    /// The upstream reset the stream with this HTTP/2 error code (RFC 9113 §7).
    Reset(u32),
    /// The upstream went away before it took the call.
    Goaway,
    /// The connection was lost while the call was under way.
    Lost,
    /// The caller's request body broke off.
    RequestBody,
    /// The deadline passed before the call was sent.
    Deadline,
    /// The request can't be sent over HTTP/2.
    Request,
}

impl Phase {
    /// The phase as denials and metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoEndpoint => "no_endpoint",
            Self::Connect => "connect",
            Self::Reset(_) => "reset",
            Self::Goaway => "goaway",
            Self::Lost => "lost",
            Self::RequestBody => "request_body",
            Self::Deadline => "deadline",
            Self::Request => "request",
        }
    }
}

/// Whether the upstream executed a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Executed {
    /// Provably not.
    False,
    /// It may have.
    Unknown,
}

/// A call that got no answer. Its text names no address, since callers may see it.
#[derive(Debug)]
pub struct UpstreamError {
    /// How far the last attempt came.
    pub phase: Phase,
    /// How often the call was tried.
    pub attempts: u32,
    /// Whether any attempt may have been executed.
    pub executed: Executed,
    /// When a further try may help, where that is known.
    pub retry_after: Option<Duration>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<std::sync::Arc<str>>,
    /// What the connection said; for logs, not for callers.
    pub source: Option<BoxError>,
}

impl UpstreamError {
    /// The gRPC status of this failure: resets by the protocol's mapping, everything else UNAVAILABLE.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.phase {
            Phase::Reset(_) => {
                self.source.as_ref().and_then(reset_code).map_or(Code::Internal, |reset| reset.code)
            }
            Phase::RequestBody => Code::Cancelled,
            Phase::Deadline => Code::DeadlineExceeded,
            Phase::Request => Code::Internal,
            Phase::NoEndpoint | Phase::Connect | Phase::Goaway | Phase::Lost => Code::Unavailable,
        }
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream failed at {} after {} attempts", self.phase.as_str(), self.attempts)?;
        match self.phase {
            Phase::Reset(number) => write!(f, ", http/2 error {number:#x}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for UpstreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
