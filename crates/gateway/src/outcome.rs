//! How a call ended: decided once, at the end of the body, and handed to breaker, audit, metering and metrics.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use oaas_metering::Ended;
use oaas_model::{Code, Reason, Timestamp};

use crate::header;
use crate::rejection::Executed;

/// Who made the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The capability.
    Upstream,
    /// This gateway.
    Gateway,
}

impl Origin {
    /// As the `oaas-origin` trailer says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Gateway => "gateway",
        }
    }
}

/// What went over one side of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// gRPC messages.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// BLAKE3 digest of the frames, first 16 bytes.
    pub digest: [u8; 16],
}

/// How an upstream failed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The call certainly did not reach it.
    Connect,
    /// The stream or the connection broke off.
    Reset,
    /// The stream ended without a status.
    NoStatus,
}

/// How a call ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When.
    pub at: Timestamp,
    /// gRPC status.
    pub code: Code,
    /// The gateway's reason, where it made the status.
    pub reason: Option<Reason>,
    /// Who made the status.
    pub origin: Origin,
    /// Whether the capability did the work.
    pub executed: Executed,
    /// Whether the answer was a degraded one.
    pub degraded: bool,
    /// How the connection to the upstream failed, where there was no answer.
    pub failure: Option<Failure>,
    /// What the upstream asked for before the next try.
    pub retry_after: Option<Duration>,
    /// More of the time went by while the caller did not read the answer than while the capability worked.
    pub unread: bool,
    /// From the first header byte to the end of the answer.
    pub elapsed: Duration,
    /// What the client sent.
    pub request: Traffic,
    /// What it got.
    pub response: Traffic,
}

impl Outcome {
    /// The end as the meters judge it, here and when they read the journal.
    #[must_use]
    pub fn ended(&self) -> Ended {
        Ended {
            status: u32::from(self.code.number()),
            executed: match self.executed {
                Executed::False => Some(false),
                Executed::True => Some(true),
                Executed::Unknown => None,
            },
            degraded: self.degraded,
        }
    }
}

/// The status that headers or trailers carry, if any.
#[must_use]
pub fn status_in(headers: &HeaderMap) -> Option<Code> {
    headers.get(header::GRPC_STATUS).map(|value| Code::from_header(value.as_bytes()))
}

/// The status that an HTTP status means where the upstream sent no `grpc-status`
/// (grpc/grpc, doc/http-grpc-status-mapping.md).
#[must_use]
pub fn from_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_statuses_map_as_the_specification_says() {
        for (http, code) in [
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (429, Code::Unavailable),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
            (200, Code::Unknown),
            (500, Code::Unknown),
        ] {
            assert_eq!(from_http(StatusCode::from_u16(http).unwrap()), code, "{http}");
        }
    }
}
