//! The closed set of reasons for which the gateway refuses or ends a call.
//!
//! A reason is part of the contract: it stands in `ErrorInfo.reason`, in the journal, in the
//! catalog and on a page of its own under `docs/reasons/`.

use std::fmt;

use crate::Code;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident, $http:literal;)*) => {
        /// Why the gateway refused or ended a call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The reason as clients see it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The gRPC status that goes with it.
            #[must_use]
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// The HTTP status that goes with it, for REST callers.
            #[must_use]
            pub fn http(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }
        }
    };
}

reasons! {
    /// No credential was sent.
    CredentialsMissing = "CREDENTIALS_MISSING", Unauthenticated, 401;
    /// The credential is not one that we know.
    CredentialsInvalid = "CREDENTIALS_INVALID", Unauthenticated, 401;
    /// The credential is past its date.
    CredentialsExpired = "CREDENTIALS_EXPIRED", Unauthenticated, 401;
    /// The credential was taken back.
    CredentialsRevoked = "CREDENTIALS_REVOKED", Unauthenticated, 401;
    /// Not in the catalog, or hidden from this caller.
    MethodUnknown = "METHOD_UNKNOWN", Unimplemented, 404;
    /// Visible, and not subscribed.
    SubscriptionRequired = "SUBSCRIPTION_REQUIRED", PermissionDenied, 403;
    /// The subscription waits for its approval.
    SubscriptionPending = "SUBSCRIPTION_PENDING", PermissionDenied, 403;
    /// The subscription is suspended.
    SubscriptionSuspended = "SUBSCRIPTION_SUSPENDED", PermissionDenied, 403;
    /// The subscription is past its date.
    SubscriptionExpired = "SUBSCRIPTION_EXPIRED", PermissionDenied, 403;
    /// The plan has other methods of this service.
    MethodNotInPlan = "METHOD_NOT_IN_PLAN", PermissionDenied, 403;
    /// More calls a second than the plan allows.
    RateLimited = "RATE_LIMITED", ResourceExhausted, 429;
    /// More calls at once than the plan allows.
    ConcurrencyLimited = "CONCURRENCY_LIMITED", ResourceExhausted, 429;
    /// The period's calls are used up.
    QuotaExhausted = "QUOTA_EXHAUSTED", ResourceExhausted, 429;
    /// The money at stake in the window is used up.
    BudgetExhausted = "BUDGET_EXHAUSTED", ResourceExhausted, 429;
    /// The capability errs or times out too often just now.
    CircuitOpen = "CIRCUIT_OPEN", Unavailable, 503;
    /// The deadline had passed before the call was made.
    DeadlineExpired = "DEADLINE_EXPIRED", DeadlineExceeded, 504;
    /// The deadline passed while the capability worked.
    DeadlineUpstream = "DEADLINE_UPSTREAM", DeadlineExceeded, 504;
    /// The deadline is shorter than the call can take.
    DeadlineInfeasible = "DEADLINE_INFEASIBLE", DeadlineExceeded, 504;
    /// The journal can't take the record without which the call must not be made.
    AuditUnavailable = "AUDIT_UNAVAILABLE", Unavailable, 503;
    /// A request message is over its limit.
    RequestTooLarge = "REQUEST_TOO_LARGE", ResourceExhausted, 413;
    /// A response message is over its limit.
    ResponseTooLarge = "RESPONSE_TOO_LARGE", ResourceExhausted, 413;
    /// The metadata is over its limit.
    MetadataTooLarge = "METADATA_TOO_LARGE", ResourceExhausted, 413;
    /// No endpoint of the capability could be reached, or the connection broke.
    UpstreamUnavailable = "UPSTREAM_UNAVAILABLE", Unavailable, 503;
    /// The upstream ended its answer without a status.
    UpstreamNoStatus = "UPSTREAM_NO_STATUS", Unknown, 502;
    /// The upstream broke the protocol.
    UpstreamProtocol = "UPSTREAM_PROTOCOL", Internal, 502;
    /// The process is about to stop.
    Draining = "DRAINING", Unavailable, 503;
    /// The process has as many calls in flight as it takes.
    Overloaded = "OVERLOADED", Unavailable, 503;
    /// A field of the request, or a header, is not as it must be.
    FieldInvalid = "FIELD_INVALID", InvalidArgument, 400;
    /// A call with the same idempotency key is under way.
    IdempotencyInFlight = "IN_FLIGHT", Aborted, 409;
    /// The idempotency key was used for another request.
    IdempotencyKeyReused = "KEY_REUSED", InvalidArgument, 422;
    /// The caller went away before the answer was complete.
    CallerCancelled = "CALLER_CANCELLED", Cancelled, 499;
}

impl Reason {
    /// The reason with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
