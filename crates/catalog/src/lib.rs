//! The service catalog: YAML files become one typed, validated, content-addressed [`Snapshot`].
//!
//! The serving path never sees YAML: it holds a snapshot, looks methods and callers up in it, and
//! a reload swaps the whole snapshot at once.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod access;
mod callers;
mod diagnostic;
mod diff;
mod edit;
mod form;
mod last_good;
mod load;
mod pack;
mod search;
mod service;
mod snapshot;
mod watch;
mod yaml;

pub use access::{Access, Denied};
pub use callers::{
    ALL_SERVICES, Algorithm, ApiKey, Application, Callers, CredentialState, Issuer, Jwks, KeyTable, Role,
    Subscription, SubscriptionState, Subscriptions,
};
pub use diagnostic::{DIAGNOSTICS_MAX, Diagnostic, Diagnostics, Fault};
pub use diff::{Change, Diff, FieldChange, Subject, What, diff};
pub use edit::{EditError, NewKey, add_key};
pub use form::{SCHEMAS, json_schema};
pub use last_good::{KeepLastGood, load_last_good, store_last_good};
pub use load::{
    KnownDescriptors, LoadError, ReflectionNeed, SERVICES_MAX, Sources, load, load_if_changed,
    load_without_reflection,
};
pub use search::{Hit, Query, Viewer, search};
pub use service::{
    AuditMode, BreakerNumbers, Degraded, Descriptors, Domain, Effect, Example, Expectation, MethodEntry,
    Price, ServiceEntry, ServiceLevel, Stage, StakeField, StreamLimits, Text, Upstream, UpstreamTls,
    Visibility,
};
pub use snapshot::{Budget, Plan, Quota, QuotaPeriod, RateLimit, Snapshot};
pub use watch::watch;
