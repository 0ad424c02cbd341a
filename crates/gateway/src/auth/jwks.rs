//! The issuers' public keys (JWKS, RFC 7517): fetched ahead, the last good set kept while a fetch fails.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use oaas_catalog::{Callers, Jwks};
use parking_lot::RwLock;
use tokio::sync::Notify;

use crate::fetch;

/// Keys that one issuer may publish.
const KEYS_MAX: usize = 64;

/// The keys of all issuers.
#[derive(Default)]
pub struct Keys {
    sets: RwLock<HashMap<Arc<str>, JwkSet>>,
    generation: AtomicU64,
    /// Rung when a token names a key that is not known; whoever refreshes listens, at most once in its interval.
    pub unknown: Notify,
}

impl Keys {
    /// The key that verifies a token of `issuer` with this key id.
    #[must_use]
    pub fn find(&self, issuer: &str, kid: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let sets = self.sets.read();
        let fits = |jwk: &&Jwk| {
            jwk.common.key_algorithm.is_none_or(|a| a.to_string() == format!("{algorithm:?}"))
                && (kid.is_none() || jwk.common.key_id.as_deref() == kid)
        };
        let found = sets.get(issuer).and_then(|set| set.keys.iter().find(fits));
        let key = found.and_then(|jwk| DecodingKey::from_jwk(jwk).ok()).map(Arc::new);
        if key.is_none() {
            self.unknown.notify_one();
        }
        key
    }

    /// Another number whenever a key may have been withdrawn; what was verified under an earlier one is to
    /// be verified again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Reads every issuer's keys again; one that fails keeps the keys that it had.
    pub async fn refresh(&self, callers: &Callers, folder: &Path) {
        for (name, issuer) in &callers.issuers {
            let text = match &issuer.jwks {
                Jwks::File(path) => tokio::fs::read(folder.join(path)).await.map_err(|e| e.to_string()),
                Jwks::Url(url) => fetch::get(url).await.map(Vec::from).map_err(|e| e.to_string()),
            };
            let set = text.and_then(|t| serde_json::from_slice::<JwkSet>(&t).map_err(|e| e.to_string()));
            match set {
                Ok(set) if set.keys.len() <= KEYS_MAX => {
                    let mut sets = self.sets.write();
                    if sets.get(name) != Some(&set) {
                        sets.insert(Arc::clone(name), set);
                        self.generation.fetch_add(1, Ordering::AcqRel);
                    }
                }
                Ok(set) => {
                    tracing::warn!(issuer = %name, keys = set.keys.len(), "too many keys; keeping the old ones")
                }
                Err(error) => tracing::warn!(issuer = %name, %error, "keys not read; keeping the old ones"),
            }
        }
        self.sets.write().retain(|issuer, _| callers.issuers.contains_key(issuer));
    }
}
