//! Names of metadata, ready to look up: a map that is asked with text reads, checks and folds it each time.

use http::HeaderName;

/// The end of a call, in its trailers or its only head.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// What the status means, for people.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// The `google.rpc.Status`.
pub const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// How long the caller waits.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How the messages are compressed.
pub const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
/// What the caller can decompress.
pub const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// How long a retry should wait (gRFC A6).
pub const GRPC_RETRY_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");
/// How often the call was sent before (gRFC A6).
pub const GRPC_PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");
/// The caller's trace (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Makes a write safe to repeat.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// May carry an API key instead of `authorization`.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Names the call.
pub const CALL_ID: HeaderName = HeaderName::from_static("oaas-call-id");
/// Who calls, for the capability.
pub const APPLICATION: HeaderName = HeaderName::from_static("oaas-application");
/// For whom the application calls, for the capability.
pub const ON_BEHALF_OF: HeaderName = HeaderName::from_static("oaas-on-behalf-of");
/// Tells our errors from the upstream's.
pub const ORIGIN: HeaderName = HeaderName::from_static("oaas-origin");
/// The kind of a degraded answer.
pub const DEGRADED: HeaderName = HeaderName::from_static("oaas-degraded");
