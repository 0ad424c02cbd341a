//! Who calls: an API key, a signed token or a client certificate leads to an application.
//!
//! A credential in the headers decides alone: when it is bad the call is refused, even if the
//! certificate would do. Absent is never allowed.

mod jwks;
mod token;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use oaas_catalog::{ApiKey, Application, Callers, CredentialState};
use oaas_model::Reason;

pub use jwks::Keys;
use token::Tokens;

use crate::header;

/// What every API key begins with.
const KEY_START: &str = "oaas_";
/// Longest credential that is looked at, bytes.
const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// An established caller.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The application.
    pub application: Arc<Application>,
    /// Whom it acts for, when its token says so.
    pub on_behalf_of: Option<String>,
    /// By which kind of credential: "api_key", "jwt" or "mtls".
    pub by: &'static str,
}

/// Establishes callers.
pub struct Auth {
    tokens: Tokens,
}

impl Auth {
    /// With the issuers' keys.
    #[must_use]
    pub fn new(keys: Arc<Keys>) -> Self {
        Self { tokens: Tokens::new(keys) }
    }

    /// The caller of a request; none when it shows no credential at all.
    ///
    /// # Errors
    /// One of the four CREDENTIALS reasons.
    pub fn identify(
        &self,
        callers: &Arc<Callers>,
        headers: &HeaderMap,
        san_uris: &[String],
        unix_ms: i64,
    ) -> Result<Option<Identity>, Reason> {
        match credential(headers)? {
            Some(credential) if credential.len() > CREDENTIAL_BYTES_MAX => Err(Reason::CredentialsInvalid),
            Some(key) if key.starts_with(KEY_START) => by_key(callers, key, unix_ms).map(Some),
            Some(token) => self.tokens.identify(callers, token, unix_ms).map(Some),
            None if san_uris.is_empty() => Ok(None),
            None => by_certificate(callers, san_uris).map(Some),
        }
    }
}

/// The credential that the headers show, if any; two are one too many.
fn credential(headers: &HeaderMap) -> Result<Option<&str>, Reason> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let shown = match (authorizations.next(), authorizations.next(), headers.get(header::API_KEY)) {
        (None, _, None) => return Ok(None),
        (Some(value), None, None) => bearer(value),
        (None, _, Some(key)) => key.to_str().ok(),
        _ => None,
    };
    shown.map(Some).ok_or(Reason::CredentialsInvalid)
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

fn by_key(callers: &Callers, key: &str, unix_ms: i64) -> Result<Identity, Reason> {
    let prefix = ApiKey::prefix_of(key).ok_or(Reason::CredentialsInvalid)?;
    let (application, stored) = callers.keys.get(prefix).ok_or(Reason::CredentialsInvalid)?;
    if !stored.matches(&ApiKey::digest_of(key)) {
        return Err(Reason::CredentialsInvalid);
    }
    match stored.state(unix_ms) {
        CredentialState::Valid => {
            Ok(Identity { application: Arc::clone(application), on_behalf_of: None, by: "api_key" })
        }
        CredentialState::Expired => Err(Reason::CredentialsExpired),
        CredentialState::Revoked => Err(Reason::CredentialsRevoked),
    }
}

fn by_certificate(callers: &Callers, san_uris: &[String]) -> Result<Identity, Reason> {
    let application = san_uris
        .iter()
        .find_map(|uri| callers.san_uris.get(uri.as_str()))
        .ok_or(Reason::CredentialsInvalid)?;
    Ok(Identity { application: Arc::clone(application), on_behalf_of: None, by: "mtls" })
}
