//! Who may call: applications, their credentials and subscriptions (`deploy/callers.yaml`).

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use crate::service::{ServiceEntry, Visibility};

/// In a subscription's place for the service: all services whose visibility is internal.
pub const ALL_SERVICES: &str = "*";
/// Context string of the key digest; another one would make other digests of the same keys.
const KEY_DIGEST_CONTEXT: &str = "oaas 2026-11 api key digest v1";

/// All applications, indexed by what their credentials show.
#[derive(Clone, Debug, Default)]
pub struct Callers {
    /// Applications by id.
    pub applications: BTreeMap<Arc<str>, Arc<Application>>,
    /// Applications and their keys by key prefix.
    pub keys: KeyTable,
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
    /// What it subscribes to, by full service name or [`ALL_SERVICES`].
    pub subscriptions: Subscriptions,
}

impl Application {
    /// The subscription that covers `service`: its own, or the one of all internal services.
    #[must_use]
    pub fn subscription(&self, service: &ServiceEntry) -> Option<&Subscription> {
        let all =
            || self.subscriptions.get(ALL_SERVICES).filter(|_| service.visibility == Visibility::Internal);
        self.subscriptions.get(&service.name).or_else(all)
    }
}

/// Subscriptions by full service name: sorted in one block, for there are many applications with a few
/// each, and a tree takes 600 bytes for the first. Applications with the same subscriptions share them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subscriptions(Arc<[(Arc<str>, Subscription)]>);

impl Subscriptions {
    /// The subscription under exactly this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Subscription> {
        let at = self.0.binary_search_by(|(there, _)| (**there).cmp(name)).ok()?;
        self.0.get(at).map(|(_, subscription)| subscription)
    }

    /// Whether there is one under exactly this name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and subscriptions, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Subscription)> {
        self.0.iter().map(|(name, subscription)| (name, subscription))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Arc<str>, Subscription)> for Subscriptions {
    /// Of two under the same name the last one holds.
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Subscription)>>(pairs: I) -> Self {
        let mut sorted: Vec<(Arc<str>, Subscription)> = pairs.into_iter().collect();
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        sorted.dedup_by(|later, earlier| {
            let again = later.0 == earlier.0;
            if again {
                std::mem::swap(later, earlier);
            }
            again
        });
        Self(sorted.into())
    }
}

impl From<BTreeMap<Arc<str>, Subscription>> for Subscriptions {
    fn from(map: BTreeMap<Arc<str>, Subscription>) -> Self {
        map.into_iter().collect()
    }
}

/// Keys by their prefix, each with its application. A set, for the prefix stands in the key already, and
/// there are a hundred thousand of them.
#[derive(Clone, Debug, Default)]
pub struct KeyTable(HashSet<HeldKey>);

/// A key and who holds it; told apart by the prefix alone.
#[derive(Clone, Debug)]
struct HeldKey((Arc<Application>, ApiKey));

impl HeldKey {
    fn prefix(&self) -> &str {
        let Self((_, key)) = self;
        &key.prefix
    }
}

impl Hash for HeldKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.prefix().hash(state);
    }
}

impl PartialEq for HeldKey {
    fn eq(&self, other: &Self) -> bool {
        self.prefix() == other.prefix()
    }
}

impl Eq for HeldKey {}

impl Borrow<str> for HeldKey {
    fn borrow(&self) -> &str {
        self.prefix()
    }
}

impl KeyTable {
    /// The key with this prefix, and its application.
    #[must_use]
    pub fn get(&self, prefix: &str) -> Option<&(Arc<Application>, ApiKey)> {
        self.0.get(prefix).map(|HeldKey(held)| held)
    }

    /// Puts a key in under `prefix`; gives back the one that was there.
    pub fn insert(
        &mut self,
        prefix: Box<str>,
        (application, key): (Arc<Application>, ApiKey),
    ) -> Option<(Arc<Application>, ApiKey)> {
        self.0.replace(HeldKey((application, ApiKey { prefix, ..key }))).map(|HeldKey(held)| held)
    }

    /// Applications and keys, in no order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &(Arc<Application>, ApiKey)> {
        self.0.iter().map(|HeldKey(held)| held)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes another table's keys in; of two under the same prefix one is left.
    pub(crate) fn join(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.extend(other.0);
        }
    }
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

    /// The look-up part of `key`: up to its second underscore, for the secret behind may have more
    /// (base64url). `None` when it has no such part.
    #[must_use]
    pub fn prefix_of(key: &str) -> Option<&str> {
        let (brand, rest) = key.split_once('_')?;
        let (id, _secret) = rest.split_once('_')?;
        key.get(..brand.len().checked_add(1)?.checked_add(id.len())?)
            .filter(|_| !brand.is_empty() && !id.is_empty())
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// Name of the plan.
    pub plan: Arc<str>,
    /// Where it stands.
    pub state: SubscriptionState,
    /// When it ends, Unix milliseconds.
    pub expires_unix_ms: Option<i64>,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_first_part_whatever_its_secret_holds() {
        assert_eq!(ApiKey::prefix_of("oaas_k3v5x2ma_a_b-c_d"), Some("oaas_k3v5x2ma"));
        assert_eq!(ApiKey::prefix_of("oaas_k3v5x2ma_abc"), Some("oaas_k3v5x2ma"));
        for bad in ["", "_", "__", "oaas_", "oaas_k3v5x2ma", "_a_b", "oaas__b"] {
            assert_eq!(ApiKey::prefix_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_matches_its_own_digest_and_ends_with_its_date() {
        let key = ApiKey {
            prefix: "oaas_k3v5x2ma".into(),
            digest: ApiKey::digest_of("oaas_k3v5x2ma_secret"),
            expires_unix_ms: Some(1_000),
            revoked: false,
        };
        assert!(key.matches(&ApiKey::digest_of("oaas_k3v5x2ma_secret")));
        assert!(!key.matches(&ApiKey::digest_of("oaas_k3v5x2ma_secreu")));
        assert_eq!(key.state(999), CredentialState::Valid);
        assert_eq!(key.state(1_000), CredentialState::Expired);
        assert_eq!(ApiKey { revoked: true, ..key }.state(1_000), CredentialState::Revoked);
    }

    #[test]
    fn a_key_table_holds_one_key_a_prefix() {
        let application = |id: &str| {
            let (owner, roles) = (String::new(), Vec::new());
            Arc::new(Application { id: id.into(), owner, roles, subscriptions: Subscriptions::default() })
        };
        let key =
            |n: u8| ApiKey { prefix: Box::default(), digest: [n; 32], expires_unix_ms: None, revoked: false };
        let mut table = KeyTable::default();
        assert!(table.insert("oaas_a".into(), (application("one"), key(1))).is_none());
        assert!(table.insert("oaas_b".into(), (application("two"), key(2))).is_none());
        let (before, _) = table.insert("oaas_a".into(), (application("three"), key(3))).unwrap();
        assert_eq!(&*before.id, "one");
        let (holder, found) = table.get("oaas_a").unwrap();
        assert_eq!((&*holder.id, &*found.prefix, found.digest), ("three", "oaas_a", [3; 32]));
        assert!(table.get("oaas_c").is_none() && table.len() == 2);
        let mut other = KeyTable::default();
        other.join(table.clone());
        other.join(table);
        assert_eq!(other.values().len(), 2);
    }

    #[test]
    fn subscriptions_are_found_by_name() {
        let one = |plan: &str| Subscription {
            plan: Arc::from(plan),
            state: SubscriptionState::Active,
            expires_unix_ms: None,
        };
        let all: Subscriptions = [("b", "x"), ("a", "y"), ("b", "z")]
            .map(|(name, plan)| (Arc::from(name), one(plan)))
            .into_iter()
            .collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all.get("b"), Some(&one("z")));
        assert_eq!(all.get("c"), None);
        assert!(all.contains_key("a") && !all.is_empty());
    }
}
