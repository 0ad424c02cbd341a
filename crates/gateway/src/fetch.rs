//! A small document from a web address: an issuer's keys.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::BoxError;

/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Longest wait for the whole.
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a 200 answer to GET `url`, over TLS by the system's authorities where it is `https://`.
///
/// # Errors
/// When the address is neither `http://` nor `https://`, nobody answers in time, its certificate is not good
/// for the name, or the answer is not a small 200.
pub async fn get(url: &str) -> Result<Bytes, BoxError> {
    let roots = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    };
    tokio::time::timeout(PATIENCE, fetch(url, roots)).await?
}

async fn fetch(url: &str, roots: impl FnOnce() -> RootCertStore) -> Result<Bytes, BoxError> {
    let uri: http::Uri = url.parse()?;
    let name = uri.host().ok_or("address without a host")?;
    let host = name.trim_start_matches('[').trim_end_matches(']');
    let tcp = |port| TcpStream::connect((host, uri.port_u16().unwrap_or(port)));
    match uri.scheme_str() {
        Some("http") => ask(url, &uri, tcp(80).await?).await,
        Some("https") => {
            let config = ClientConfig::builder().with_root_certificates(roots()).with_no_client_auth();
            let name = rustls_pki_types::ServerName::try_from(host.to_owned())?;
            let tcp = tcp(443).await?;
            ask(url, &uri, TlsConnector::from(Arc::new(config)).connect(name, tcp).await?).await
        }
        _ => Err(format!("{url}: only http:// and https:// addresses and files are read").into()),
    }
}

async fn ask<T>(url: &str, uri: &http::Uri, stream: T) -> Result<Bytes, BoxError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let request = http::Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("{url}: HTTP {}", response.status()).into());
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    driver.abort();
    Ok(body)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn keys_come_over_tls_and_only_from_who_is_vouched_for() {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/keys", listener.local_addr().unwrap().port());
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let server = tokio::spawn(async move {
            loop {
                let Ok(mut stream) = acceptor.accept(listener.accept().await.unwrap().0).await else {
                    continue;
                };
                let mut asked = [0; 1024];
                let length = stream.read(&mut asked).await.unwrap();
                assert!(asked[..length].starts_with(b"GET /keys HTTP/1.1"));
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone()).unwrap();
        assert_eq!(fetch(&url, || roots.clone()).await.unwrap(), "{}");
        assert!(fetch(&url, RootCertStore::empty).await.is_err(), "anybody's certificate is taken");
        let other = url.replace("localhost", "127.0.0.1");
        assert!(fetch(&other, || roots).await.is_err(), "a certificate for another name is taken");
        assert!(fetch("ftp://localhost/keys", RootCertStore::empty).await.is_err());
        server.abort();
    }
}
