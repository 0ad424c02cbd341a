//! Who may call: applications, their credentials and subscriptions (`deploy/callers.yaml`).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

/// Context string of the key digest; another one would make other digests of the same keys.
const KEY_DIGEST_CONTEXT: &str = "oaas 2026-11 api key digest v1";

/// All applications, indexed by what their credentials show.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    /// Applications by id.
    pub applications: BTreeMap<Arc<str>, Arc<Application>>,
    /// Applications and their keys by key prefix.
    pub keys: HashMap<Box<str>, (Arc<Application>, ApiKey)>,
    /// Applications by the SAN URI of their client certificate.
    pub san_uris: HashMap<Box<str>, Arc<Application>>,
    /// Applications by (issuer, subject) of their token.
    pub subjects: HashMap<(Box<str>, Box<str>), Arc<Application>>,
    /// Token issuers by their `iss`.
    pub issuers: BTreeMap<Arc<str>, Issuer>,
}

/// One calling program.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Its id. Example: "sales-portal".
    pub id: Arc<str>,
    /// Who answers for it.
    pub owner: String,
    /// What it may do beyond calling.
    pub roles: Vec<Role>,
    /// What it subscribes to, by full service name.
    pub subscriptions: BTreeMap<Arc<str>, Subscription>,
}

/// What an application may do beyond calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sees and calls the platform's own services (breakers by hand).
    Operator,
}

/// An API key as it is stored: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// First part of the key, for look-up. Example: "oaas_k3v9x2ma".
    pub prefix: Box<str>,
    /// Digest of the whole key.
    pub digest: [u8; 32],
    /// When it stops being valid, Unix milliseconds.
    pub expires_unix_ms: Option<i64>,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// Whether a known credential is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// Good.
    Valid,
    /// Past its date.
    Expired,
    /// Taken back.
    Revoked,
}

impl ApiKey {
    /// The digest under which `key` is stored. Keys have 256 random bits, so one fast hash is enough.
    #[must_use]
    pub fn digest_of(key: &str) -> [u8; 32] {
        blake3::derive_key(KEY_DIGEST_CONTEXT, key.as_bytes())
    }

    /// The look-up part of `key`: up to its last underscore. `None` when it has no such part.
    #[must_use]
    pub fn prefix_of(key: &str) -> Option<&str> {
        key.rsplit_once('_').map(|(prefix, _)| prefix).filter(|prefix| !prefix.is_empty())
    }

    /// Whether `digest` is this key's, in constant time.
    #[must_use]
    pub fn matches(&self, digest: &[u8; 32]) -> bool {
        self.digest.ct_eq(digest).into()
    }

    /// Whether the key is good at `unix_ms`.
    #[must_use]
    pub fn state(&self, unix_ms: i64) -> CredentialState {
        match self.expires_unix_ms {
            _ if self.revoked => CredentialState::Revoked,
            Some(expires) if expires <= unix_ms => CredentialState::Expired,
            _ => CredentialState::Valid,
        }
    }
}

/// A right to call a service under a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Name of the plan.
    pub plan: Arc<str>,
    /// Where it stands.
    pub state: SubscriptionState,
    /// When it ends, Unix milliseconds.
    pub expires_unix_ms: Option<i64>,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// Waits for the owner's approval.
    Pending,
    /// In force.
    Active,
    /// Stopped for now.
    Suspended,
}

/// A token issuer that is trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Its `iss`.
    pub issuer: Arc<str>,
    /// The `aud` that a token must carry.
    pub audience: String,
    /// Signature algorithms that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub jwks: Jwks,
}

/// A signature algorithm (RFC 7518, RFC 8037); symmetric ones are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFCs'")]
pub enum Algorithm {
    ES256,
    ES384,
    EdDSA,
    RS256,
    PS256,
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    /// A JWKS file, relative to the callers file.
    File(PathBuf),
    /// An `http://` or `https://` address, fetched again while tokens name unknown keys.
    Url(String),
}
