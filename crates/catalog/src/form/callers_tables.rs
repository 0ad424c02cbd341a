//! The tables of plans and of callers.

use super::tables::{AMOUNT, CURRENCY, DAY_S, METHODS_MAX, PATH, integer, name, optional, required};
use super::{Pattern, Record, Shape};

/// Plans of one catalog at most.
const PLANS_MAX: usize = 10_000;
/// Applications of one installation at most.
pub(crate) const APPLICATIONS_MAX: usize = 200_000;
/// Subscriptions of one application at most.
const SUBSCRIPTIONS_MAX: usize = 1_024;
/// Credentials of one application at most: two keys overlap while they are changed.
const CREDENTIALS_MAX: usize = 32;
/// Token issuers at most.
const ISSUERS_MAX: usize = 64;
const MOMENT: Shape = name(40, Pattern::Moment);

/// The plans: `catalog/plans.yaml`.
pub(crate) static PLANS: Record = Record {
    name: "plans",
    doc: "What subscribers get.",
    one_of: false,
    fields: &[required(
        "plans",
        "Plans by name.",
        Shape::Table { key: Pattern::Kebab, of: &Shape::Record(&PLAN), min: 1, max: PLANS_MAX },
    )],
};

static PLAN: Record = Record {
    name: "plan",
    doc: "What a subscriber gets.",
    one_of: false,
    fields: &[
        optional("rate", "Calls a second; left out: no limit.", Shape::Record(&RATE)),
        optional("concurrency", "Calls at once; left out: no limit.", integer(1, 1_000_000)),
        optional("quota", "Calls in a calendar period; left out: no limit.", Shape::Record(&QUOTA)),
        optional(
            "budgets",
            "Money at stake, by budget.",
            Shape::Table { key: Pattern::Kebab, of: &Shape::Record(&BUDGET), min: 1, max: 64 },
        ),
        optional(
            "methods",
            "Methods that the plan covers, by service; a service that isn't named is covered whole.",
            Shape::Table {
                key: Pattern::Service,
                of: &Shape::List { of: &name(128, Pattern::Method), min: 1, max: METHODS_MAX },
                min: 1,
                max: 10_000,
            },
        ),
        optional("shadow", "Count what the limits would refuse, and refuse nothing.", Shape::Flag),
    ],
};

static RATE: Record = Record {
    name: "rate",
    doc: "Calls a second (GCRA).",
    one_of: false,
    fields: &[
        required("per_second", "In the long run.", integer(1, 1_000_000)),
        required("burst", "At once.", integer(1, 1_000_000)),
    ],
};

static QUOTA: Record = Record {
    name: "quota",
    doc: "Calls in a calendar period.",
    one_of: false,
    fields: &[
        required("calls", "How many.", integer(1, 1_000_000_000_000)),
        required("period", "In which period.", Shape::Choice(&["day", "week", "month"])),
        optional(
            "utc_offset_minutes",
            "Minutes that the calendar is ahead of UTC: 480 for China.",
            integer(-720, 840),
        ),
    ],
};

static BUDGET: Record = Record {
    name: "budget",
    doc: "Money at stake in a sliding window.",
    one_of: false,
    fields: &[
        required("amount", "Decimal amount in quotes.", AMOUNT),
        required("currency", "ISO 4217 code.", CURRENCY),
        required("window_s", "The window, seconds.", integer(1, 31 * DAY_S)),
    ],
};

/// Who may call: `deploy/callers.yaml`.
pub(crate) static CALLERS: Record = Record {
    name: "callers",
    doc: "Applications, their credentials and subscriptions, and the token issuers that are trusted.",
    one_of: false,
    fields: &[
        required(
            "applications",
            "The calling programs.",
            Shape::List { of: &Shape::Record(&APPLICATION), min: 0, max: APPLICATIONS_MAX },
        ),
        optional(
            "issuers",
            "Token issuers that are trusted.",
            Shape::List { of: &Shape::Record(&ISSUER), min: 0, max: ISSUERS_MAX },
        ),
    ],
};

/// One of the callers.
pub(crate) static APPLICATION: Record = Record {
    name: "application",
    doc: "One calling program.",
    one_of: false,
    fields: &[
        required("id", "Its id.", name(64, Pattern::Kebab)),
        required("owner", "Who answers for it.", name(256, Pattern::Line)),
        optional("roles", "What it may do beyond calling.", Shape::List { of: &ROLE, min: 0, max: 8 }),
        optional(
            "credentials",
            "What it shows: keys, certificates, tokens.",
            Shape::List { of: &Shape::Record(&CREDENTIAL), min: 0, max: CREDENTIALS_MAX },
        ),
        optional(
            "subscriptions",
            "What it may call, under which plan.",
            Shape::List { of: &Shape::Record(&SUBSCRIPTION), min: 0, max: SUBSCRIPTIONS_MAX },
        ),
    ],
};

static ROLE: Shape = Shape::Choice(&["operator"]);

static CREDENTIAL: Record = Record {
    name: "credential",
    doc: "One credential: a key, a certificate or a token.",
    one_of: true,
    fields: &[
        optional("api_key", "A key, by its digest (`oaas caller new` makes one).", Shape::Record(&API_KEY)),
        optional("mtls", "A client certificate.", Shape::Record(&MTLS)),
        optional("jwt", "A token.", Shape::Record(&JWT)),
    ],
};

static API_KEY: Record = Record {
    name: "api_key",
    doc: "A key as it is stored: never the key itself.",
    one_of: false,
    fields: &[
        required("prefix", "First part of the key, for look-up.", name(13, Pattern::KeyPrefix)),
        required("digest", "Digest of the whole key.", name(64, Pattern::Digest)),
        optional("expires", "When it stops being valid.", MOMENT),
        optional("revoked", "Whether it was taken back.", Shape::Flag),
    ],
};

static MTLS: Record = Record {
    name: "mtls",
    doc: "A client certificate.",
    one_of: false,
    fields: &[required("san_uri", "URI among its subject alternative names.", name(512, Pattern::Uri))],
};

static JWT: Record = Record {
    name: "jwt",
    doc: "A token.",
    one_of: false,
    fields: &[
        required("issuer", "Its `iss`; one of the issuers below.", name(512, Pattern::Line)),
        required("subject", "Its `sub`.", name(512, Pattern::Line)),
    ],
};

static SUBSCRIPTION: Record = Record {
    name: "subscription",
    doc: "A right to call a service under a plan.",
    one_of: false,
    fields: &[
        required(
            "service",
            "Full gRPC name, or \"*\" for all internal services.",
            name(256, Pattern::ServiceOrAll),
        ),
        required("plan", "Name of the plan.", name(64, Pattern::Kebab)),
        optional(
            "state",
            "Where it stands; active unless said.",
            Shape::Choice(&["pending", "active", "suspended"]),
        ),
        optional("expires", "When it ends.", MOMENT),
    ],
};

static ISSUER: Record = Record {
    name: "issuer",
    doc: "A token issuer that is trusted.",
    one_of: false,
    fields: &[
        required("issuer", "Its `iss`.", name(512, Pattern::Line)),
        required("audience", "The `aud` that a token must carry.", name(512, Pattern::Line)),
        required(
            "algorithms",
            "Signature algorithms that are accepted.",
            Shape::List {
                of: &Shape::Choice(&["ES256", "ES384", "EdDSA", "RS256", "PS256"]),
                min: 1,
                max: 5,
            },
        ),
        required("jwks", "Where its keys are.", Shape::Record(&JWKS)),
    ],
};

static JWKS: Record = Record {
    name: "jwks",
    doc: "Where an issuer's keys are.",
    one_of: true,
    fields: &[
        optional("file", "A JWKS file, relative to the callers file.", PATH),
        optional("url", "An http:// or https:// address.", name(512, Pattern::Address)),
    ],
};
