//! A small document from an HTTP address: an issuer's keys.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::BoxError;

/// Longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Longest wait for the whole.
const PATIENCE: Duration = Duration::from_secs(5);

/// The body of a 200 answer to GET `url` (`http://` only: put a TLS-terminating sidecar in front of what
/// is not on a trusted network, or give the keys as a file).
///
/// # Errors
/// When the address is not `http://`, nobody answers in time, or the answer is not a small 200.
pub async fn get(url: &str) -> Result<Bytes, BoxError> {
    tokio::time::timeout(PATIENCE, fetch(url)).await?
}

async fn fetch(url: &str) -> Result<Bytes, BoxError> {
    let uri: http::Uri = url.parse()?;
    if uri.scheme_str() != Some("http") {
        return Err(format!("{url}: only http:// addresses and files are read").into());
    }
    let host = uri.host().ok_or("address without a host")?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let request = http::Request::get(path).header("host", host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("{url}: HTTP {}", response.status()).into());
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
    driver.abort();
    Ok(body)
}
