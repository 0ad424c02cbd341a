//! Posts alerts to one webhook, over HTTP/1.1, with or without TLS; tries again when that can help.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where systems keep the certificates of the authorities that they trust: Debian and Alpine, Fedora,
/// openSUSE, and a BSD or macOS.
const ROOTS_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where to post, and how patiently.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Name of the receiver. Example: "on-call".
    pub name: String,
    /// `http://` or `https://`.
    pub url: String,
    /// Further headers, `authorization` for one.
    pub headers: HeaderMap,
    /// Tries in all.
    pub attempts_max: u32,
    /// For one try, from connecting to the answer's head.
    pub deadline: Duration,
    /// Wait before the second try; doubles with each further one.
    pub backoff: Duration,
    /// Longest wait between two tries.
    pub backoff_max: Duration,
    /// Certificates to trust for `https://`, PEM; the system's when empty.
    pub roots_pem: Vec<u8>,
}

impl WebhookConfig {
    /// Five tries within about half a minute.
    #[must_use]
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            headers: HeaderMap::new(),
            attempts_max: 5,
            deadline: Duration::from_secs(5),
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(8),
            roots_pem: Vec::new(),
        }
    }
}

/// Why a webhook can't be used, or an alert was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not an absolute http or https URL.
    #[error("webhook {name}: url {url:?} is not an absolute http:// or https:// url")]
    Url {
        /// The webhook.
        name: String,
        /// What was given.
        url: String,
    },
    /// No certificates to trust.
    #[error("webhook {name}: no trusted certificates for https: {problem}")]
    Roots {
        /// The webhook.
        name: String,
        /// What is wrong with them.
        problem: String,
    },
    /// The connection failed or broke.
    #[error("connection to {authority}: {problem}")]
    Connection {
        /// Host and port.
        authority: String,
        /// What went wrong.
        problem: String,
    },
    /// No answer in time.
    #[error("no answer within {deadline:?}")]
    Deadline {
        /// The time that one try has.
        deadline: Duration,
    },
    /// An answer other than 2xx.
    #[error("answered {status}")]
    Refused {
        /// The answer.
        status: StatusCode,
    },
}

impl WebhookError {
    /// Whether another try can help: a receiver that says that the request is wrong will say so again.
    fn is_passing(&self) -> bool {
        match self {
            Self::Url { .. } | Self::Roots { .. } => false,
            Self::Connection { .. } | Self::Deadline { .. } => true,
            Self::Refused { status } => {
                status.is_server_error()
                    || *status == StatusCode::TOO_MANY_REQUESTS
                    || *status == StatusCode::REQUEST_TIMEOUT
            }
        }
    }
}

/// One receiver of alerts.
#[derive(Clone, Debug)]
pub struct Webhook {
    config: WebhookConfig,
    host: String,
    port: u16,
    authority: HeaderValue,
    path: String,
    tls: Option<Arc<ClientConfig>>,
}

impl Webhook {
    /// Checks the configuration and loads the certificates to trust.
    ///
    /// # Errors
    /// When the URL or the certificates are not usable.
    pub fn new(mut config: WebhookConfig) -> Result<Self, WebhookError> {
        // No log shows what the headers hold.
        config.headers.values_mut().for_each(|value| value.set_sensitive(true));
        let bad_url = || WebhookError::Url { name: config.name.clone(), url: config.url.clone() };
        let uri: Uri = config.url.parse().map_err(|_| bad_url())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad_url()),
        };
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(bad_url)?;
        // A `Uri` writes an IPv6 address in brackets; sockets and certificates want it without.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure { Some(trusting(&config)?) } else { None };
        Ok(Self {
            host,
            port,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| bad_url())?,
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            tls,
            config,
        })
    }

    /// Name of the receiver.
    #[must_use]
    pub fn receiver(&self) -> &str {
        &self.config.name
    }

    /// Posts a JSON body, with a few tries.
    ///
    /// # Errors
    /// What the last try came to.
    pub async fn post(&self, body: Bytes) -> Result<(), WebhookError> {
        let mut wait = self.config.backoff;
        let mut attempt = 1;
        loop {
            let Err(error) = self.try_once(body.clone()).await else { return Ok(()) };
            if attempt >= self.config.attempts_max || !error.is_passing() {
                return Err(error);
            }
            tracing::debug!(webhook = self.receiver(), attempt, %error, "alert post failed; trying again");
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(self.config.backoff_max);
            attempt += 1;
        }
    }

    async fn try_once(&self, body: Bytes) -> Result<(), WebhookError> {
        let deadline = self.config.deadline;
        let status = tokio::time::timeout(deadline, self.send(body))
            .await
            .map_err(|_| WebhookError::Deadline { deadline })??;
        if status.is_success() { Ok(()) } else { Err(WebhookError::Refused { status }) }
    }

    async fn send(&self, body: Bytes) -> Result<StatusCode, WebhookError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| self.broken(e))?;
        match &self.tls {
            None => self.exchange(stream, body).await,
            Some(tls) => {
                let name = ServerName::try_from(self.host.clone()).map_err(|e| self.broken(e))?;
                let connector = TlsConnector::from(Arc::clone(tls));
                let stream = connector.connect(name, stream).await.map_err(|e| self.broken(e))?;
                self.exchange(stream, body).await
            }
        }
    }

    /// One request on a connection of its own: alerts are rare.
    async fn exchange<S>(&self, stream: S, body: Bytes) -> Result<StatusCode, WebhookError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request = self.request(body)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(e))?;
        let answer = sender.send_request(request);
        // The connection is driven here and not in a task, so that nothing outlives the try.
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => answer.map(|a| a.status()).map_err(|e| self.broken(e)),
            ended = &mut connection => match ended {
                Err(error) => Err(self.broken(error)),
                Ok(()) => answer.await.map(|a| a.status()).map_err(|e| self.broken(e)),
            },
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, WebhookError> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.parse().map_err(|e| self.broken(e))?;
        let headers = request.headers_mut();
        headers.extend(self.config.headers.clone());
        headers.insert(HOST, self.authority.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("oaas/", env!("CARGO_PKG_VERSION"))));
        Ok(request)
    }

    fn broken(&self, problem: impl std::fmt::Display) -> WebhookError {
        let authority = format!("{}:{}", self.host, self.port);
        WebhookError::Connection { authority, problem: problem.to_string() }
    }
}

/// TLS that trusts the configured certificates, or the system's.
fn trusting(config: &WebhookConfig) -> Result<Arc<ClientConfig>, WebhookError> {
    let bad = |problem: String| WebhookError::Roots { name: config.name.clone(), problem };
    let pem = if config.roots_pem.is_empty() {
        system_roots(&ROOTS_FILES).map_err(|error| bad(error.to_string()))?
    } else {
        config.roots_pem.clone()
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        // A system's bundle may hold one that is too old to be read; the others still count.
        if let Err(error) = roots.add(certificate)
            && !config.roots_pem.is_empty()
        {
            return Err(bad(error.to_string()));
        }
    }
    if roots.is_empty() {
        return Err(bad("there are none".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn system_roots(files: &[&str]) -> io::Result<Vec<u8>> {
    match files.iter().find(|file| Path::new(file).is_file()) {
        Some(file) => std::fs::read(file),
        None => Err(io::Error::new(io::ErrorKind::NotFound, format!("none of {files:?} exists"))),
    }
}
