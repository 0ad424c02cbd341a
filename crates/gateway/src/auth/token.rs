//! Signed tokens (JWT, RFC 7519): algorithm allow-listed by the issuer, `exp` and `aud` required and typed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use jsonwebtoken::{Algorithm as Jwa, Validation, decode, decode_header};
use oaas_catalog::{Algorithm, Application, Callers, Issuer};
use oaas_model::Reason;
use parking_lot::Mutex;
use serde::Deserialize;

use super::{Identity, Keys};

/// Verified tokens that are remembered, so that a signature is checked once.
const REMEMBERED_MAX: usize = 10_000;
/// How far the issuer's clock may be off, seconds.
const LEEWAY_S: u64 = 30;

#[derive(Debug, Deserialize)]
struct Claims {
    exp: u64,
    nbf: Option<u64>,
    sub: String,
    client_id: Option<String>,
    azp: Option<String>,
}

/// A token that was verified.
struct Remembered {
    /// The callers that it was verified against: another version may know the issuer no more. Held, so
    /// that no later version can come to lie at the same address.
    callers: Weak<Callers>,
    /// The keys that it was verified with: later ones may lack the one that signed it.
    keys: u64,
    application: Arc<Application>,
    on_behalf_of: Option<String>,
    expires_unix_ms: i64,
}

/// Verifies tokens.
pub struct Tokens {
    keys: Arc<Keys>,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

impl Tokens {
    pub fn new(keys: Arc<Keys>) -> Self {
        Self { keys, remembered: Mutex::default() }
    }

    /// The caller that a token names.
    pub fn identify(&self, callers: &Arc<Callers>, token: &str, unix_ms: i64) -> Result<Identity, Reason> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let keys = self.keys.generation();
        let good = |known: &Remembered| {
            std::ptr::eq(known.callers.as_ptr(), Arc::as_ptr(callers))
                && known.keys == keys
                && known.expires_unix_ms > unix_ms
        };
        if let Some(known) = self.remembered.lock().get(&digest).filter(|known| good(known)) {
            let (application, on_behalf_of) = (Arc::clone(&known.application), known.on_behalf_of.clone());
            return Ok(Identity { application, on_behalf_of, by: "jwt" });
        }
        let (issuer, claims) = self.verify(callers, token, unix_ms)?;
        let actor = claims.client_id.as_ref().or(claims.azp.as_ref());
        let (application, on_behalf_of) = find(callers, &issuer, actor, &claims.sub)?;
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, known| good(known));
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
        }
        let expires_unix_ms = i64::try_from(claims.exp).unwrap_or(i64::MAX).saturating_mul(1000);
        remembered.insert(
            digest,
            Remembered {
                callers: Arc::downgrade(callers),
                keys,
                application: Arc::clone(&application),
                on_behalf_of: on_behalf_of.clone(),
                expires_unix_ms,
            },
        );
        Ok(Identity { application, on_behalf_of, by: "jwt" })
    }

    fn verify(&self, callers: &Callers, token: &str, unix_ms: i64) -> Result<(Arc<str>, Claims), Reason> {
        let invalid = Reason::CredentialsInvalid;
        let header = decode_header(token).map_err(|_| invalid)?;
        // No extension is understood here, so none may be critical (RFC 7515 §4.1.11).
        if header.crit.is_some() {
            return Err(invalid);
        }
        let issuer =
            unverified_issuer(token).and_then(|iss| callers.issuers.get(iss.as_str())).ok_or(invalid)?;
        let algorithm = allowed(issuer, header.alg).ok_or(invalid)?;
        let key = self.keys.find(&issuer.issuer, header.kid.as_deref(), algorithm).ok_or(invalid)?;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_S;
        // The time is an argument here; the library would read the machine's clock.
        validation.validate_exp = false;
        validation.set_audience(&[&issuer.audience]);
        validation.set_issuer(&[&*issuer.issuer]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let claims = decode::<Claims>(token, &key, &validation).map_err(|_| invalid)?.claims;
        let now_s = u64::try_from(unix_ms / 1000).unwrap_or(0);
        if claims.exp.saturating_add(LEEWAY_S) <= now_s {
            return Err(Reason::CredentialsExpired);
        }
        if claims.nbf.is_some_and(|nbf| nbf > now_s.saturating_add(LEEWAY_S)) {
            return Err(invalid);
        }
        Ok((Arc::clone(&issuer.issuer), claims))
    }
}

/// An application by the client that got the token, else by its subject.
fn find(
    callers: &Callers,
    issuer: &str,
    actor: Option<&String>,
    subject: &str,
) -> Result<(Arc<Application>, Option<String>), Reason> {
    let by = |name: &str| callers.subjects.get(&(Box::from(issuer), Box::from(name))).cloned();
    if let Some(application) = actor.and_then(|actor| by(actor)) {
        let on_behalf_of = (actor.map(String::as_str) != Some(subject)).then(|| subject.to_owned());
        return Ok((application, on_behalf_of));
    }
    by(subject).map(|application| (application, None)).ok_or(Reason::CredentialsInvalid)
}

fn allowed(issuer: &Issuer, algorithm: Jwa) -> Option<Jwa> {
    let ours = match algorithm {
        Jwa::ES256 => Algorithm::ES256,
        Jwa::ES384 => Algorithm::ES384,
        Jwa::EdDSA => Algorithm::EdDSA,
        Jwa::RS256 => Algorithm::RS256,
        Jwa::PS256 => Algorithm::PS256,
        _ => return None,
    };
    issuer.algorithms.contains(&ours).then_some(algorithm)
}

/// The `iss` that a token claims; only for finding the issuer whose key must then verify it.
fn unverified_issuer(token: &str) -> Option<String> {
    use base64::Engine as _;
    #[derive(Deserialize)]
    struct Iss {
        iss: String,
    }
    let payload = token.split('.').nth(1)?;
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice::<Iss>(&json).ok().map(|claims| claims.iss)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use oaas_catalog::Jwks;
    use serde_json::json;

    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;
    const ISSUER: &str = "https://issuer.example";

    /// An issuer's key, in its own file.
    struct Signer {
        key: rcgen::KeyPair,
        folder: tempfile::TempDir,
    }

    impl Signer {
        fn new() -> Self {
            let signer =
                Self { key: rcgen::KeyPair::generate().unwrap(), folder: tempfile::tempdir().unwrap() };
            signer.publish();
            signer
        }

        /// An ECDSA P-256 key as a JWK: its point is 4, x, y (RFC 7518 §6.2.1).
        fn publish(&self) {
            let (x, y) = self.key.public_key_raw()[1..].split_at(32);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            let set = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "k", "x": x, "y": y }] });
            std::fs::write(self.folder.path().join("jwks.json"), set.to_string()).unwrap();
        }

        fn token(&self, more: &serde_json::Value, crit: Option<Vec<String>>) -> String {
            let mut claims = json!({
                "iss": ISSUER, "aud": "oaas", "sub": "user-7", "client_id": "portal",
                "exp": NOW_MS / 1000 + 3600,
            });
            for (name, value) in more.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let header = Header { kid: Some("k".to_owned()), crit, ..Header::new(Jwa::ES256) };
            encode(&header, &claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
        }
    }

    fn callers(trusted: bool) -> Arc<Callers> {
        let mut callers = Callers::default();
        if trusted {
            let (issuer, audience) = (Arc::from(ISSUER), "oaas".to_owned());
            let jwks = Jwks::File("jwks.json".into());
            let issuer = Issuer { issuer, audience, algorithms: vec![Algorithm::ES256], jwks };
            callers.issuers.insert(Arc::clone(&issuer.issuer), issuer);
            let application = Application {
                id: "portal".into(),
                owner: String::new(),
                roles: Vec::new(),
                subscriptions: [].into_iter().collect(),
            };
            callers.subjects.insert((ISSUER.into(), "portal".into()), Arc::new(application));
        }
        Arc::new(callers)
    }

    async fn tokens(signer: &Signer, callers: &Callers) -> Tokens {
        let keys = Arc::new(Keys::default());
        keys.refresh(callers, signer.folder.path()).await;
        Tokens::new(keys)
    }

    #[tokio::test]
    async fn a_token_is_good_for_its_time_only() {
        let (signer, callers) = (Signer::new(), callers(true));
        let tokens = tokens(&signer, &callers).await;
        let ask = |more: serde_json::Value, crit| {
            tokens.identify(&callers, &signer.token(&more, crit), NOW_MS).map(|who| who.on_behalf_of)
        };
        let now_s = NOW_MS / 1000;
        assert_eq!(ask(json!({}), None), Ok(Some("user-7".to_owned())));
        assert_eq!(ask(json!({ "nbf": now_s + 20 }), None), Ok(Some("user-7".to_owned())));
        assert_eq!(ask(json!({ "nbf": now_s + 60 }), None), Err(Reason::CredentialsInvalid));
        assert_eq!(ask(json!({ "nbf": "soon" }), None), Err(Reason::CredentialsInvalid));
        assert_eq!(ask(json!({ "exp": now_s - 60 }), None), Err(Reason::CredentialsExpired));
        assert_eq!(ask(json!({ "exp": 1.9e9 }), None), Err(Reason::CredentialsInvalid));
        assert_eq!(ask(json!({ "aud": "other" }), None), Err(Reason::CredentialsInvalid));
        assert_eq!(ask(json!({}), Some(vec!["b64".to_owned()])), Err(Reason::CredentialsInvalid));
    }

    #[tokio::test]
    async fn a_remembered_token_ends_with_the_callers_and_keys_that_it_was_verified_with() {
        let (mut signer, mut version) = (Signer::new(), callers(true));
        let tokens = tokens(&signer, &version).await;
        let token = signer.token(&json!({}), None);
        assert!(tokens.identify(&version, &token, NOW_MS).is_ok());
        // Each version takes the place of the one before, so that an address would soon come again.
        for _ in 0..100 {
            drop(version);
            version = callers(false);
            assert_eq!(tokens.identify(&version, &token, NOW_MS).err(), Some(Reason::CredentialsInvalid));
        }
        version = callers(true);
        assert!(tokens.identify(&version, &token, NOW_MS).is_ok());
        signer.key = rcgen::KeyPair::generate().unwrap();
        signer.publish();
        tokens.keys.refresh(&version, signer.folder.path()).await;
        assert_eq!(tokens.identify(&version, &token, NOW_MS).err(), Some(Reason::CredentialsInvalid));
    }
}
