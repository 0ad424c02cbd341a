//! One entry of the catalog, compiled: what a service is, promises and costs, and how it is reached.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prost_reflect::MethodDescriptor;
use rust_decimal::Decimal;

/// A text for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// How far along a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// May change without notice.
    Alpha,
    /// Changes are announced.
    Beta,
    /// Stable within its major version.
    Ga,
    /// Will go.
    Deprecated,
}

/// Who may see that a service exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody, also without a credential.
    Public,
    /// Every authenticated application.
    Internal,
    /// Only applications that have a subscription, in whatever state.
    Private,
    /// Only applications with the operator role; for the platform's own services.
    Operators,
}

/// A business domain.
pub type Domain = Arc<str>;

/// What a service promises.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceLevel {
    /// Deadline of a call that brings none, and the longest that a call may bring.
    pub deadline: Duration,
    /// 99 of 100 calls answer within this.
    pub p99: Duration,
    /// Share of a month's calls answered without a platform error, percent.
    pub availability_percent: f64,
}

/// Where a service runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Upstream {
    /// In this process.
    Local,
    /// Behind one or more addresses.
    Remote {
        /// `http://host:port` or `https://host:port`.
        endpoints: Vec<http::Uri>,
        /// Certificates for `https`.
        tls: Option<UpstreamTls>,
        /// Where the messages are described.
        descriptors: Descriptors,
    },
}

/// Certificates towards an upstream; paths are relative to the catalog folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM file of the authorities that may sign the upstream's certificate; the system's when left out.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate and key, for mTLS.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Name that the certificate must carry, when it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// Where a remote service's messages are described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Descriptors {
    /// An encoded `FileDescriptorSet`, relative to the catalog folder.
    File(PathBuf),
    /// Fetched from the upstream's own `grpc.reflection` and kept in the data folder.
    Reflection,
}

/// What a method does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something.
    Write,
}

/// How calls of a method are audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// On disk before the call leaves and before the answer ends.
    Strict,
    /// In the file before the answer ends, on disk within 100 ms.
    Standard,
    /// One call in this many, at least 1; the others are counted.
    Sampled(u32),
}

/// What a unit costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Amount a unit.
    pub amount: Decimal,
    /// ISO 4217 code.
    pub currency: oaas_model::Currency,
    /// What is counted; "call" for now.
    pub unit: String,
}

/// A field of the request that is money at stake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StakeField {
    /// Budget of the plan that it draws on. Example: "coupon-face-value".
    pub budget: String,
    /// Integer field with the amount in minor units; a path with dots. Example: "refund.amount_fen".
    pub amount_field: String,
    /// Field that the budget is kept per, beside the application; none: one for the application.
    pub key_field: Option<String>,
    /// Currency of the amount.
    pub currency: oaas_model::Currency,
}

/// What an open breaker answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Degraded {
    /// The refusal CIRCUIT_OPEN.
    None,
    /// This message, encoded.
    Message(bytes::Bytes),
    /// The last good answer to the same request, up to this age.
    LastGood {
        /// Oldest answer to give.
        age_max: Duration,
    },
    /// The answer of another method with the same messages. Canonical path.
    Method(Arc<str>),
}

/// The breaker's numbers; see `gateway.md` on what they mean.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the gateway's BreakerPolicy says what each means")]
pub struct BreakerNumbers {
    pub error_rate_max: f64,
    pub timeout_rate_max: f64,
    pub timeouts_min: u32,
    pub window: Duration,
    pub calls_min: u32,
    pub age_max: Duration,
    pub hard_failures: u32,
    pub open: Duration,
    pub open_max: Duration,
    pub probes: u32,
    pub probes_in_flight: u32,
    pub probe_failures_max: u32,
    pub half_open_max: Duration,
    pub ramp_from: f64,
    pub ramp: Duration,
    pub count_resource_exhausted: bool,
}

impl Default for BreakerNumbers {
    fn default() -> Self {
        Self {
            error_rate_max: 0.05,
            timeout_rate_max: 0.03,
            timeouts_min: 10,
            window: Duration::from_secs(30),
            calls_min: 200,
            age_max: Duration::from_secs(20 * 60),
            hard_failures: 7,
            open: Duration::from_secs(10),
            open_max: Duration::from_secs(120),
            probes: 20,
            probes_in_flight: 5,
            probe_failures_max: 1,
            half_open_max: Duration::from_secs(60),
            ramp_from: 0.1,
            ramp: Duration::from_secs(10),
            count_resource_exhausted: false,
        }
    }
}

/// Limits of a stream, instead of a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Longest silence.
    pub idle: Duration,
    /// Longest duration.
    pub duration_max: Duration,
}

/// A call that shows how a method is used; a test replays it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What it shows.
    pub name: String,
    /// The messages to send, as protobuf JSON; one for a unary call.
    pub requests: Vec<serde_json::Value>,
    /// What must come back.
    pub expectation: Expectation,
    /// Line of the entry's file at which it stands; the examples of a file are replayed in this order.
    pub line: u32,
}

/// What an example's answer must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// Each field named here is equal in the answer; a list for server streams.
    Responses(Vec<serde_json::Value>),
    /// An error with this reason.
    Error(String),
}

/// One RPC, compiled.
#[derive(Clone, Debug)]
pub struct MethodEntry {
    /// Canonical path: "/" service "/" name.
    pub path: Arc<str>,
    /// Full name of its service.
    pub service: Arc<str>,
    /// Short name.
    pub name: Arc<str>,
    /// One or two sentences; empty when the catalog has none.
    pub summary: Text,
    /// Its messages and kinds of stream.
    pub descriptor: MethodDescriptor,
    /// [`MethodEntry::is_streaming`]: asked several times a call, and the descriptor looks it up each time.
    pub(crate) streams: bool,
    /// Read or write.
    pub effect: Effect,
    /// Whether repeating a call is safe.
    pub idempotent: bool,
    /// How it is audited.
    pub audit: AuditMode,
    /// What it costs; none: free.
    pub price: Option<Price>,
    /// Reasons of the capability's own errors.
    pub error_reasons: Vec<String>,
    /// Largest request message, bytes.
    pub request_bytes_max: u32,
    /// Largest response message, bytes.
    pub response_bytes_max: u32,
    /// Deadline of a call that brings none, and the longest that it may bring.
    pub deadline: Duration,
    /// Limits of a stream; used instead of the deadline when either side streams.
    pub stream: StreamLimits,
    /// When its service's breaker trips.
    pub breaker: BreakerNumbers,
    /// What an open breaker answers.
    pub degraded: Degraded,
    /// Request fields that are money.
    pub stakes: Vec<StakeField>,
    /// Whether the caller's credential may reach the upstream.
    pub forward_credentials: bool,
    /// How it is used.
    pub examples: Vec<Example>,
    /// Dense number of the method in its snapshot, for tables beside it.
    pub index: usize,
}

impl MethodEntry {
    /// Whether either side sends a stream.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.streams
    }
}

/// One service, compiled.
#[derive(Clone, Debug)]
pub struct ServiceEntry {
    /// Full gRPC name; it carries the major version.
    pub name: Arc<str>,
    /// Business domain.
    pub domain: Domain,
    /// Title.
    pub title: Text,
    /// One or two sentences.
    pub summary: Text,
    /// Who answers for it.
    pub owner: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How far along it is.
    pub stage: Stage,
    /// Who may see it.
    pub visibility: Visibility,
    /// Whether it may be called without a credential; for health, reflection and the catalog.
    pub anonymous: bool,
    /// Where it runs.
    pub upstream: Upstream,
    /// What it promises.
    pub sla: ServiceLevel,
    /// Its methods by short name.
    pub methods: BTreeMap<Arc<str>, Arc<MethodEntry>>,
    /// File that it was read from, relative to the catalog folder.
    pub file: PathBuf,
}
