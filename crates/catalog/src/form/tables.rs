//! The tables of services and of the defaults. A field's text stands in the editors' schema.

use super::{Field, Pattern, Record, Shape};

/// Methods that one service has at most.
pub(super) const METHODS_MAX: usize = 512;
/// Examples that one method has at most.
const EXAMPLES_MAX: usize = 32;
/// Messages that one example sends or expects at most.
const EXAMPLE_MESSAGES_MAX: usize = 64;
/// Endpoints that one upstream has at most.
const ENDPOINTS_MAX: usize = 256;
/// Longest time that a setting may say: 24 hours.
pub(super) const DAY_S: i128 = 24 * 3600;
/// Largest message that may be allowed: 64 MiB, for it is held in memory where a policy reads it.
const MESSAGE_BYTES_MAX: i128 = 64 << 20;

pub(super) const fn required(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    Field { name, doc, required: true, shape }
}

pub(super) const fn optional(name: &'static str, doc: &'static str, shape: Shape) -> Field {
    Field { name, doc, required: false, shape }
}

pub(super) const fn name(max: usize, pattern: Pattern) -> Shape {
    Shape::Text { min: 1, max, pattern }
}

pub(super) const fn integer(min: i128, max: i128) -> Shape {
    Shape::Integer { min, max }
}

const MILLISECONDS: Shape = integer(1, DAY_S * 1000);
const SECONDS: Shape = integer(1, DAY_S);
const SHARE: Shape = Shape::Number { min: 0.0, max: 1.0 };
const COUNT: Shape = integer(1, 1_000_000);
const BYTES: Shape = integer(1, MESSAGE_BYTES_MAX);
const SERVICE_NAME: Shape = name(256, Pattern::Service);
pub(super) const PATH: Shape = name(512, Pattern::Line);
pub(super) const CURRENCY: Shape = name(3, Pattern::Currency);
pub(super) const AMOUNT: Shape = name(22, Pattern::Decimal);

/// One service: `catalog/<domain>/<service>.yaml`.
pub(crate) static SERVICE: Record = Record {
    name: "service",
    doc: "One service of the catalog.",
    one_of: false,
    fields: &[
        required("service", "Full gRPC name; it carries the major version.", SERVICE_NAME),
        required("title", "Title.", Shape::Record(&TITLE)),
        required("summary", "One or two sentences.", Shape::Record(&SUMMARY)),
        required("owner", "Who answers for it, such as a team's mail address.", name(256, Pattern::Line)),
        required("domain", "Business domain; the name of the file's folder.", name(64, Pattern::Kebab)),
        optional(
            "tags",
            "Words to find it by.",
            Shape::List { of: &name(64, Pattern::Line), min: 0, max: 32 },
        ),
        required("stage", "How far along it is.", Shape::Choice(&["alpha", "beta", "ga", "deprecated"])),
        optional(
            "visibility",
            "Who may see it: everybody, every authenticated application, subscribers only, operators only.",
            VISIBILITY,
        ),
        optional("anonymous", "Callable without a credential; only where visibility is public.", Shape::Flag),
        optional(
            "upstream",
            "Where it runs: in this process, or behind addresses.",
            Shape::Either(&[&LOCAL, &REMOTE_SHAPE]),
        ),
        optional("sla", "What it promises.", Shape::Record(&SLA)),
        optional("audit", "How calls are audited; for all methods that don't say it themselves.", AUDIT),
        optional("request_bytes_max", "Largest request message, bytes; for all methods.", BYTES),
        optional("response_bytes_max", "Largest response message, bytes; for all methods.", BYTES),
        optional("stream", "Limits of streams; for all methods.", Shape::Record(&STREAM)),
        optional("breaker", "When the circuit breaker trips; for all methods.", Shape::Record(&BREAKER)),
        optional(
            "forward_credentials",
            "Whether the caller's credential may reach the upstream.",
            Shape::Flag,
        ),
        required(
            "methods",
            "Its methods: each RPC of the service, by short name.",
            Shape::Table { key: Pattern::Method, of: &Shape::Record(&METHOD), min: 1, max: METHODS_MAX },
        ),
    ],
};

const VISIBILITY: Shape = Shape::Choice(&["public", "internal", "private", "operators"]);
static LOCAL: Shape = Shape::Choice(&["local"]);
static REMOTE_SHAPE: Shape = Shape::Record(&REMOTE);
const AUDIT: Shape = Shape::Either(&[&AUDIT_WORD, &AUDIT_SAMPLED]);
static AUDIT_WORD: Shape = Shape::Choice(&["strict", "standard"]);
static AUDIT_SAMPLED: Shape = Shape::Record(&Record {
    name: "sampled",
    doc: "One call in so many.",
    one_of: true,
    fields: &[optional("sampled", "One call in this many is recorded, the others are counted.", COUNT)],
});

static TITLE: Record = Record {
    name: "title",
    doc: "A title in both languages.",
    one_of: false,
    fields: &[
        required("en", "English.", name(120, Pattern::Line)),
        required("zh", "Chinese.", name(120, Pattern::Line)),
    ],
};

static SUMMARY: Record = Record {
    name: "summary",
    doc: "One or two sentences in both languages.",
    one_of: false,
    fields: &[
        required("en", "English.", name(1_000, Pattern::Free)),
        required("zh", "Chinese.", name(1_000, Pattern::Free)),
    ],
};

static SLA: Record = Record {
    name: "sla",
    doc: "What a service promises.",
    one_of: false,
    fields: &[
        optional(
            "deadline_ms",
            "Deadline of a call that brings none, and the longest it may bring.",
            MILLISECONDS,
        ),
        optional("p99_ms", "99 of 100 calls answer within this.", MILLISECONDS),
        optional(
            "availability_percent",
            "Share of a month's calls answered without a platform error.",
            Shape::Number { min: 0.0, max: 100.0 },
        ),
    ],
};

static REMOTE: Record = Record {
    name: "remote",
    doc: "A service behind addresses.",
    one_of: false,
    fields: &[
        required(
            "endpoints",
            "Addresses; calls are balanced over them.",
            Shape::List { of: &name(256, Pattern::Endpoint), min: 1, max: ENDPOINTS_MAX },
        ),
        optional("tls", "Certificates for https addresses.", Shape::Record(&TLS)),
        required("descriptors", "Where its messages are described.", Shape::Record(&DESCRIPTORS)),
    ],
};

static TLS: Record = Record {
    name: "tls",
    doc: "Certificates towards an upstream; paths are relative to the catalog folder.",
    one_of: false,
    fields: &[
        optional("ca", "PEM file of the authorities that may sign the upstream's certificate.", PATH),
        optional("cert", "PEM file of our own certificate, for mTLS.", PATH),
        optional("key", "PEM file of its key.", PATH),
        optional(
            "server_name",
            "Name that the certificate must carry, when it isn't the host.",
            name(253, Pattern::Line),
        ),
    ],
};

static DESCRIPTORS: Record = Record {
    name: "descriptors",
    doc: "Where a remote service's messages are described.",
    one_of: true,
    fields: &[
        optional(
            "file",
            "An encoded FileDescriptorSet (`buf build -o x.binpb`), relative to the catalog folder.",
            PATH,
        ),
        optional("reflection", "true: fetched from the upstream's own grpc.reflection.", Shape::Flag),
    ],
};

static STREAM: Record = Record {
    name: "stream",
    doc: "Limits of a stream, instead of a deadline.",
    one_of: false,
    fields: &[
        optional("idle_ms", "Longest silence.", MILLISECONDS),
        optional("duration_ms_max", "Longest duration.", MILLISECONDS),
    ],
};

static BREAKER: Record = Record {
    name: "breaker",
    doc: "When the circuit breaker trips and how it recovers.",
    one_of: false,
    fields: &[
        optional("error_rate_max", "Trips when more than this share of calls err.", SHARE),
        optional("timeout_rate_max", "Trips when at least this share of calls time out.", SHARE),
        optional("timeouts_min", "... and at least so many.", COUNT),
        optional("window_s", "Evidence: the last so many seconds,", SECONDS),
        optional("calls_min", "... and at least so many calls,", COUNT),
        optional("age_s_max", "... none older than this.", SECONDS),
        optional("hard_failures", "Trips on so many failed connections or resets in a row.", COUNT),
        optional("open_s", "Stays open so long at first,", SECONDS),
        optional("open_s_max", "... twice as long each time, up to this.", SECONDS),
        optional("probes", "Calls that half-open lets through.", COUNT),
        optional("probes_in_flight", "... so many at once.", COUNT),
        optional(
            "probe_failures_max",
            "Closes when no more than so many of them fail.",
            integer(0, 1_000_000),
        ),
        optional("half_open_s_max", "Opens again when half-open has not decided for so long.", SECONDS),
        optional("ramp_from", "Share of calls let through right after closing,", SHARE),
        optional("ramp_s", "... growing to all of them in so long.", SECONDS),
        optional(
            "count_resource_exhausted",
            "Whether RESOURCE_EXHAUSTED from the upstream is an error.",
            Shape::Flag,
        ),
    ],
};

static METHOD: Record = Record {
    name: "method",
    doc: "One RPC.",
    one_of: false,
    fields: &[
        optional("summary", "One or two sentences.", Shape::Record(&SUMMARY)),
        required("effect", "What a call does to the world.", Shape::Choice(&["read", "write"])),
        optional(
            "idempotent",
            "Whether repeating a call is safe; reads are, writes are not, unless said.",
            Shape::Flag,
        ),
        optional(
            "audit",
            "How calls are audited; standard for reads and strict for writes unless said.",
            AUDIT,
        ),
        optional("price", "What a call costs; left out: nothing.", Shape::Record(&PRICE)),
        optional(
            "error_reasons",
            "Reasons that the capability's own ErrorInfo can carry.",
            Shape::List { of: &name(63, Pattern::Reason), min: 0, max: 64 },
        ),
        optional("request_bytes_max", "Largest request message, bytes.", BYTES),
        optional("response_bytes_max", "Largest response message, bytes.", BYTES),
        optional(
            "deadline_ms",
            "Deadline of a call that brings none; sla.deadline_ms unless said.",
            MILLISECONDS,
        ),
        optional("stream", "Limits of a stream.", Shape::Record(&STREAM)),
        optional("breaker", "When the circuit breaker trips.", Shape::Record(&BREAKER)),
        optional(
            "degraded",
            "What an open breaker answers.",
            Shape::Either(&[&DEGRADED_NONE, &DEGRADED_SHAPE]),
        ),
        optional(
            "stakes",
            "Request fields that are money, and the budgets that they draw on.",
            Shape::List { of: &Shape::Record(&STAKE), min: 1, max: 8 },
        ),
        optional(
            "forward_credentials",
            "Whether the caller's credential may reach the upstream.",
            Shape::Flag,
        ),
        optional(
            "examples",
            "Calls that show how it is used; a test replays them in the order of the file.",
            Shape::List { of: &Shape::Record(&EXAMPLE), min: 0, max: EXAMPLES_MAX },
        ),
    ],
};

static PRICE: Record = Record {
    name: "price",
    doc: "What a unit costs.",
    one_of: false,
    fields: &[
        required("amount", "Decimal amount in quotes.", AMOUNT),
        required("currency", "ISO 4217 code.", CURRENCY),
        optional("unit", "What is counted.", Shape::Choice(&["call"])),
    ],
};

static DEGRADED_NONE: Shape = Shape::Choice(&["none"]);
static DEGRADED_SHAPE: Shape = Shape::Record(&Record {
    name: "degraded",
    doc: "What an open breaker answers.",
    one_of: true,
    fields: &[
        optional("message", "This response, as protobuf JSON.", Shape::Message),
        optional("last_good", "The last good answer to the same request.", Shape::Record(&LAST_GOOD)),
        optional(
            "method",
            "The answer of another method with the same messages.",
            name(512, Pattern::MethodPath),
        ),
    ],
});

static LAST_GOOD: Record = Record {
    name: "last_good",
    doc: "The last good answer to the same request.",
    one_of: false,
    fields: &[required("age_s_max", "Oldest answer to give, seconds.", integer(1, 30 * DAY_S))],
};

static STAKE: Record = Record {
    name: "stake",
    doc: "A request field that is money.",
    one_of: false,
    fields: &[
        required("budget", "Budget of the plan that it draws on.", name(64, Pattern::Kebab)),
        required(
            "amount_field",
            "Integer field with the amount in minor units; a path with dots.",
            name(256, Pattern::FieldPath),
        ),
        optional(
            "key_field",
            "Field that the budget is kept per, beside the application.",
            name(256, Pattern::FieldPath),
        ),
        required("currency", "ISO 4217 code.", CURRENCY),
    ],
};

static EXAMPLE: Record = Record {
    name: "example",
    doc: "A call and what must come back.",
    one_of: false,
    fields: &[
        required("name", "What it shows.", name(120, Pattern::Line)),
        required("request", "The request as protobuf JSON; a list for client streams.", MESSAGES),
        optional("response", "Fields that must be equal in the answer; a list for server streams.", MESSAGES),
        optional("error", "Reason of the error that must come back.", name(63, Pattern::Reason)),
    ],
};

const MESSAGES: Shape = Shape::Either(&[
    &Shape::Message,
    &Shape::List { of: &Shape::Message, min: 0, max: EXAMPLE_MESSAGES_MAX },
]);

/// What holds where entries say nothing: `catalog/defaults.yaml`.
pub(crate) static DEFAULTS: Record = Record {
    name: "defaults",
    doc: "What holds where a service or method says nothing itself.",
    one_of: false,
    fields: &[
        optional("visibility", "Who may see a service.", VISIBILITY),
        optional("sla", "What a service promises.", Shape::Record(&SLA)),
        optional("audit", "How calls are audited, by effect.", Shape::Record(&AUDIT_BY_EFFECT)),
        optional("request_bytes_max", "Largest request message, bytes.", BYTES),
        optional("response_bytes_max", "Largest response message, bytes.", BYTES),
        optional("stream", "Limits of a stream.", Shape::Record(&STREAM)),
        optional("breaker", "When circuit breakers trip.", Shape::Record(&BREAKER)),
        optional("forward_credentials", "Whether callers' credentials may reach upstreams.", Shape::Flag),
    ],
};

static AUDIT_BY_EFFECT: Record = Record {
    name: "audit_by_effect",
    doc: "How calls are audited, by effect.",
    one_of: false,
    fields: &[
        required("read", "Calls that change nothing.", AUDIT),
        required("write", "Calls that change something.", AUDIT),
    ],
};
