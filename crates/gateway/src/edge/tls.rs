//! TLS and mTLS at the edge: configuration from PEM, exchange while running, and who the client is.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Certificates of one chain, or authorities of one bundle, that are read.
const CERTIFICATES_MAX: usize = 1024;
/// URIs of one client certificate that are read.
const SAN_URIS_MAX: usize = 16;

/// What the edge shows and what it asks for, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The server's certificate chain, its own first.
    pub certificate_pem: Vec<u8>,
    /// The private key to it.
    pub key_pem: Vec<u8>,
    /// Whether clients show a certificate.
    pub client: ClientCertificates,
}

/// Whether clients show a certificate, and who vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked.
    None,
    /// They may; one that is shown must be signed by these authorities.
    Optional(Vec<u8>),
    /// They must.
    Required(Vec<u8>),
}

/// Why a TLS configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or without what is looked for.
    #[error("{what}: {source}")]
    Pem {
        /// Which input.
        what: &'static str,
        /// What is wrong with it.
        source: rustls_pki_types::pem::Error,
    },
    /// No certificate in the input.
    #[error("{0}: no certificate")]
    Empty(&'static str),
    /// The certificates do not fit each other or the key.
    #[error("tls: {0}")]
    Config(#[from] rustls::Error),
    /// The authorities can't verify anybody.
    #[error("client authorities: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The TLS configuration in force; a new one holds for new connections. Clones share it.
#[derive(Clone)]
pub struct ReloadableTls(Arc<ArcSwap<ServerConfig>>);

impl ReloadableTls {
    /// Reads a configuration; ALPN offers `h2` and `http/1.1`.
    ///
    /// # Errors
    /// When an input is not PEM, or certificate and key do not fit.
    pub fn new(tls: &ServerTls) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(server_config(tls)?))))
    }

    /// Puts another configuration in force; the old one stays on an error.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn replace(&self, tls: &ServerTls) -> Result<(), TlsError> {
        self.0.store(Arc::new(server_config(tls)?));
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

fn server_config(tls: &ServerTls) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier = |pem: &[u8]| {
        let mut roots = RootCertStore::empty();
        for authority in certificates("client authorities", pem)? {
            roots.add(authority)?;
        }
        Ok::<_, TlsError>(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)))
    };
    let builder = match &tls.client {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Optional(pem) => {
            builder.with_client_cert_verifier(verifier(pem)?.allow_unauthenticated().build()?)
        }
        ClientCertificates::Required(pem) => builder.with_client_cert_verifier(verifier(pem)?.build()?),
    };
    let chain = certificates("certificate", &tls.certificate_pem)?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key_pem)
        .map_err(|source| TlsError::Pem { what: "private key", source })?;
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .take(CERTIFICATES_MAX)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })?;
    if found.is_empty() { Err(TlsError::Empty(what)) } else { Ok(found) }
}

/// The URIs in the client certificate's subject alternative name; the handshake has verified it.
pub(super) fn san_uris(connection: &ServerConnection) -> Arc<[String]> {
    connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .map_or_else(|| Arc::from([]), |certificate| uris(certificate))
}

fn uris(der: &[u8]) -> Arc<[String]> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Arc::from([]) };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Arc::from([]) };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).take(SAN_URIS_MAX).collect()
}
