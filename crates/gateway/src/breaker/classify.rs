//! What the end of a call says about the health of the capability.

use std::time::Duration;

use oaas_model::Code;

use super::BreakerPolicy;

/// What one call counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// The capability answered; a business error is an answer.
    Success,
    /// It failed.
    Error {
        /// Whether it could not be reached or broke off, as against an answer that says so.
        hard: bool,
        /// What it asked for before the next try (`google.rpc.RetryInfo`).
        retry_after: Option<Duration>,
    },
    /// It took longer than the catalog allows.
    Timeout,
    /// The call says nothing about it.
    Nothing,
}

/// How a call ended, as far as the breaker asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The status that the client got, or would have got.
    pub code: Code,
    /// Whether the gateway made that status, as against the upstream.
    pub by_gateway: bool,
    /// Whether the client ended the call: a cancel, a disconnect, or a deadline of its own that is
    /// shorter than the catalog's.
    pub by_client: bool,
    /// Whether the request was still coming in when the call ended. An upstream that waits for its
    /// caller is not slow.
    pub request_open: bool,
    /// No connection to the upstream could be made.
    pub connect_failed: bool,
    /// The upstream broke the stream or the connection off.
    pub reset: bool,
    /// The upstream's stream ended without a `grpc-status`.
    pub no_status: bool,
    /// From the first header byte to the end of the call.
    pub elapsed: Duration,
    /// The catalog's deadline.
    pub deadline: Duration,
    /// What the gateway takes off the deadline that it hands on: an upstream that keeps the deadline
    /// says DEADLINE_EXCEEDED so much before the catalog's has passed.
    pub deadline_margin: Duration,
    /// The upstream's `RetryInfo`.
    pub retry_after: Option<Duration>,
}

impl Default for Ending {
    /// OK from the upstream, in no time.
    fn default() -> Self {
        Self {
            code: Code::Ok,
            by_gateway: false,
            by_client: false,
            request_open: false,
            connect_failed: false,
            reset: false,
            no_status: false,
            elapsed: Duration::ZERO,
            deadline: Duration::ZERO,
            deadline_margin: Duration::ZERO,
            retry_after: None,
        }
    }
}

/// What `ending` counts as.
///
/// The order is the rule: what the client did is looked at first, because a caller must not be able
/// to trip a breaker for others by cancels, tiny deadlines or requests that trickle in; then what
/// happened to the connection, whoever made the status of it; then the deadline; then the status.
#[must_use]
pub fn classify(policy: &BreakerPolicy, ending: &Ending) -> Sample {
    let Ending { retry_after, .. } = *ending;
    if ending.by_client {
        return Sample::Nothing;
    }
    if ending.connect_failed || ending.reset || ending.no_status {
        return Sample::Error { hard: true, retry_after };
    }
    if ending.code == Code::DeadlineExceeded {
        let passed = ending.elapsed.saturating_add(ending.deadline_margin) >= ending.deadline;
        return if passed && !ending.request_open { Sample::Timeout } else { Sample::Nothing };
    }
    if ending.by_gateway {
        return Sample::Nothing;
    }
    match ending.code {
        Code::Unavailable => Sample::Error { hard: true, retry_after },
        Code::Unknown | Code::Internal | Code::DataLoss => Sample::Error { hard: false, retry_after },
        Code::ResourceExhausted if policy.count_resource_exhausted => {
            Sample::Error { hard: false, retry_after }
        }
        Code::ResourceExhausted => Sample::Nothing,
        _ => Sample::Success,
    }
}
