//! The service catalog: YAML files become one typed, validated, content-addressed [`Snapshot`].
//!
//! The serving path never sees YAML: it holds a snapshot, looks methods and callers up in it, and
//! a reload swaps the whole snapshot at once.

mod access;
mod callers;
mod diagnostic;
mod form;
mod load;
mod service;
mod snapshot;
mod yaml;

pub use access::{Access, Denied};
pub use callers::{
    ALL_SERVICES, Algorithm, ApiKey, Application, Callers, CredentialState, Issuer, Jwks, Role, Subscription,
    SubscriptionState, Subscriptions,
};
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, Fault};
pub use form::{SCHEMAS, json_schema};
pub use load::{
    KnownDescriptors, LoadError, ReflectionNeed, SERVICES_MAX, Sources, load, load_without_reflection,
};
pub use service::{
    AuditMode, BreakerNumbers, Degraded, Descriptors, Domain, Effect, Example, Expectation, MethodEntry,
    Price, ServiceEntry, ServiceLevel, Stage, StakeField, StreamLimits, Text, Upstream, UpstreamTls,
    Visibility,
};
pub use snapshot::{Budget, Plan, Quota, QuotaPeriod, RateLimit, Snapshot};
