//! Signed tokens (JWT, RFC 7519): algorithm allow-listed by the issuer, `exp` and `aud` required and typed.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm as Jwa, Validation, decode, decode_header};
use oaas_catalog::{Algorithm, Callers, Issuer};
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

/// A token that was verified; whom it names is looked up each time, for the callers may have changed.
struct Remembered {
    /// The issuer as it was then: one that is trusted otherwise now did not sign this.
    issuer: Issuer,
    /// The keys that it was verified with: later ones may lack the one that signed it.
    keys: u64,
    actor: Option<String>,
    subject: String,
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
    pub fn identify(&self, callers: &Callers, token: &str, unix_ms: i64) -> Result<Identity, Reason> {
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        let keys = self.keys.generation();
        if let Some(known) = self.remembered.lock().get(&digest)
            && known.expires_unix_ms > unix_ms
            && known.keys == keys
            && callers.issuers.get(&known.issuer.issuer) == Some(&known.issuer)
        {
            return find(callers, &known.issuer.issuer, known.actor.as_ref(), &known.subject);
        }
        let (issuer, claims) = self.verify(callers, token, unix_ms)?;
        let actor = claims.client_id.or(claims.azp);
        let identity = find(callers, &issuer.issuer, actor.as_ref(), &claims.sub)?;
        let mut remembered = self.remembered.lock();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, token| token.expires_unix_ms > unix_ms && token.keys == keys);
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
        }
        let expires_unix_ms = i64::try_from(claims.exp).unwrap_or(i64::MAX).saturating_mul(1000);
        let known = Remembered { issuer: issuer.clone(), keys, actor, subject: claims.sub, expires_unix_ms };
        remembered.insert(digest, known);
        Ok(identity)
    }

    fn verify<'c>(
        &self,
        callers: &'c Callers,
        token: &str,
        unix_ms: i64,
    ) -> Result<(&'c Issuer, Claims), Reason> {
        let invalid = Reason::CredentialsInvalid;
        let header = decode_header(token).map_err(|_| invalid)?;
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
        // Not yet valid (RFC 7519 §4.1.5); the library would read the machine's clock for this one too.
        if claims.nbf.is_some_and(|nbf| nbf > now_s.saturating_add(LEEWAY_S)) {
            return Err(invalid);
        }
        Ok((issuer, claims))
    }
}

/// An application by the client that got the token, else by its subject.
fn find(callers: &Callers, issuer: &str, actor: Option<&String>, subject: &str) -> Result<Identity, Reason> {
    let by = |name: &str| callers.subjects.get(&(Box::from(issuer), Box::from(name))).cloned();
    if let Some(application) = actor.and_then(|actor| by(actor)) {
        let on_behalf_of = (actor.map(String::as_str) != Some(subject)).then(|| subject.to_owned());
        return Ok(Identity { application, on_behalf_of, by: "jwt" });
    }
    let application = by(subject).ok_or(Reason::CredentialsInvalid)?;
    Ok(Identity { application, on_behalf_of: None, by: "jwt" })
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
    use std::path::Path;

    use oaas_catalog::{Application, Jwks, Subscriptions};

    use super::*;

    const ISSUER: &str = "https://id.example.com";
    /// The key pair of RFC 8032 §7.1, test 1.
    const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    /// `{iss: ISSUER, aud: "oaas", sub: "shop", exp: 2099-01-01}`, signed by it.
    const TOKEN: &str = concat!(
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.",
        "eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoib2FhcyIsInN1YiI6InNob3AiLCJleHAiOjQwNzA5MDg4MDB9.",
        "KST0CAKXTKZBJLNLMxnhp0KPp-1NR7-3OpSPBC_99OBa7xQWMqfI4CxJo83dPMJKBskm8kmGBA10l5KhgO00Ag"
    );
    const NOW_MS: i64 = 1_800_000_000_000;

    fn callers(audience: &str, application: Option<&str>) -> Callers {
        let issuer = Issuer {
            issuer: ISSUER.into(),
            audience: audience.to_owned(),
            algorithms: vec![Algorithm::EdDSA],
            jwks: Jwks::File("keys.json".into()),
        };
        let mut callers = Callers::default();
        callers.issuers.insert(ISSUER.into(), issuer);
        if let Some(id) = application {
            let application = Application {
                id: id.into(),
                owner: String::new(),
                roles: Vec::new(),
                subscriptions: Subscriptions::default(),
            };
            callers.subjects.insert((ISSUER.into(), "shop".into()), Arc::new(application));
        }
        callers
    }

    async fn tokens(callers: &Callers) -> Tokens {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.json"), JWKS).unwrap();
        let keys = Arc::new(Keys::default());
        keys.refresh(callers, Path::new(folder.path())).await;
        Tokens::new(keys)
    }

    #[tokio::test]
    async fn a_remembered_token_names_whom_the_present_callers_say() {
        // One place in memory for all versions: what is remembered must not go by the address.
        let mut callers = callers("oaas", Some("shop"));
        let tokens = tokens(&callers).await;
        let named = |callers: &Callers| {
            tokens.identify(callers, TOKEN, NOW_MS).map(|identity| identity.application.id.to_string())
        };
        assert_eq!(named(&callers), Ok("shop".to_owned()));
        callers = super::tests::callers("oaas", Some("new-shop"));
        assert_eq!(named(&callers), Ok("new-shop".to_owned()));
        callers = super::tests::callers("oaas", None);
        assert_eq!(named(&callers), Err(Reason::CredentialsInvalid));
        callers = super::tests::callers("somebody-else", Some("shop"));
        assert_eq!(named(&callers), Err(Reason::CredentialsInvalid));
        callers = super::tests::callers("oaas", Some("shop"));
        callers.issuers.clear();
        assert_eq!(named(&callers), Err(Reason::CredentialsInvalid));
    }

    #[tokio::test]
    async fn a_token_ends_also_when_it_is_remembered() {
        let callers = callers("oaas", Some("shop"));
        let tokens = tokens(&callers).await;
        let at = |unix_ms| tokens.identify(&callers, TOKEN, unix_ms).map(|identity| identity.by);
        assert_eq!(at(NOW_MS), Ok("jwt"));
        assert_eq!(at(4_070_908_830_000), Err(Reason::CredentialsExpired));
    }
}
