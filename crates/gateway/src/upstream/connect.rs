//! From an endpoint's URI to an HTTP/2 connection: DNS, TCP, TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use oaas_capability::BoxError;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::PoolConfig;
use super::connection::{Connection, Opened};

/// Addresses of one name that a connect tries.
const ADDRESSES_MAX: usize = 16;
/// Shortest time for one address, however many the name has.
const ADDRESS_TIMEOUT_MIN: Duration = Duration::from_millis(250);

/// Where one endpoint is, parsed once.
pub(super) struct Target {
    /// The endpoint as it was configured, for people.
    pub(super) name: Arc<str>,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("endpoint {0}: expected http://host:port or https://host:port")]
    Uri(String),
    #[error("endpoint {0}: https without a tls configuration")]
    TlsMissing(String),
    #[error("{0}: name has no address")]
    NoAddress(String),
    #[error("resolve {host}: {source}")]
    Resolve { host: String, source: std::io::Error },
    #[error("connect {address}: {source}")]
    Tcp { address: SocketAddr, source: std::io::Error },
    #[error("tls to {host}: {source}")]
    Tls { host: String, source: std::io::Error },
    #[error("tls to {0}: the peer does not agree on h2")]
    Alpn(String),
    #[error("http/2 with {host}: {source}")]
    Http2 { host: String, source: BoxError },
    #[error("connect timed out after {0:?}")]
    Timeout(Duration),
}

impl Target {
    /// Reads an endpoint's URI. `server_name` is what its certificate must carry when that is not the host.
    pub(super) fn parse(
        uri: &http::Uri,
        tls: Option<&TlsConnector>,
        server_name: Option<&str>,
    ) -> Result<Self, ConnectError> {
        let bad = || ConnectError::Uri(uri.to_string());
        let scheme = uri.scheme().cloned().ok_or_else(bad)?;
        let authority = uri.authority().cloned().ok_or_else(bad)?;
        let secure = match scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(bad()),
        };
        // Literal IPv6 addresses stand in brackets, which neither DNS nor a certificate knows.
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = if secure {
            let connector = tls.cloned().ok_or_else(|| ConnectError::TlsMissing(uri.to_string()))?;
            let name = server_name.map_or_else(|| host.clone(), str::to_owned);
            Some((connector, ServerName::try_from(name).map_err(|_| bad())?))
        } else {
            None
        };
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let name = format!("{scheme}://{}", authority.as_str()).into();
        Ok(Self { name, scheme, authority, host, port, tls })
    }

    /// Opens a connection. `draw` (0..1) decides which of the name's addresses comes first, so that the
    /// connections to one name spread over its addresses.
    pub(super) async fn connect(&self, config: &PoolConfig, draw: f64) -> Result<Opened, ConnectError> {
        let connect = async {
            let tcp = self.tcp(config.connect_timeout, draw).await?;
            let http2 = |source: BoxError| ConnectError::Http2 { host: self.host.clone(), source };
            let Some((connector, name)) = &self.tls else {
                return Connection::open(tcp, config).await.map_err(http2);
            };
            let tls = connector
                .connect(name.clone(), tcp)
                .await
                .map_err(|source| ConnectError::Tls { host: self.host.clone(), source })?;
            if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(ConnectError::Alpn(self.host.clone()));
            }
            Connection::open(tls, config).await.map_err(http2)
        };
        tokio::time::timeout(config.connect_timeout, connect)
            .await
            .unwrap_or(Err(ConnectError::Timeout(config.connect_timeout)))
    }

    async fn tcp(&self, timeout: Duration, draw: f64) -> Result<TcpStream, ConnectError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|source| ConnectError::Resolve { host: self.host.clone(), source })?;
        let mut addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        let first = (draw * addresses.len() as f64) as usize;
        if first < addresses.len() {
            addresses.rotate_left(first);
        }
        let share = timeout / u32::try_from(addresses.len().max(1)).unwrap_or(1);
        let mut last = ConnectError::NoAddress(self.host.clone());
        for address in addresses {
            let connect = TcpStream::connect(address);
            match tokio::time::timeout(share.max(ADDRESS_TIMEOUT_MIN), connect).await {
                Ok(Ok(stream)) => {
                    // Small frames must not wait for the peer's delayed acknowledgement.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(source)) => last = ConnectError::Tcp { address, source },
                Err(_) => last = ConnectError::Timeout(share),
            }
        }
        Err(last)
    }
}

/// The connector for a pool: the configuration that it was given, with ALPN set to HTTP/2 alone.
pub(super) fn connector(tls: &Arc<rustls::ClientConfig>) -> TlsConnector {
    let mut tls = (**tls).clone();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_or_refused_by_name() {
        let parse = |uri: &str| Target::parse(&uri.parse().unwrap(), None, None);
        let target = parse("http://[::1]:50051").unwrap();
        assert_eq!((target.host.as_str(), target.port, &*target.name), ("::1", 50051, "http://[::1]:50051"));
        assert_eq!(parse("http://orders").unwrap().port, 80);
        assert!(parse("https://orders").err().unwrap().to_string().contains("without a tls configuration"));
        assert!(parse("orders:50051").err().unwrap().to_string().contains("orders:50051"));
        assert!(parse("ftp://orders").is_err());
    }
}
