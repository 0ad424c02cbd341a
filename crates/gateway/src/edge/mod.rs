//! The edge: an accept loop of our own, so that no client can hold a connection, a handshake or a stream
//! longer or wider than allowed, and so that a restart loses no call.

mod accept;
mod body;
mod connection;
mod counters;
mod drain;
mod frames;
mod limits;
mod preface;
mod service;
#[cfg(test)]
mod tests;
mod tls;
mod unread;

use std::net::SocketAddr;
use std::sync::Arc;

use oaas_model::Timestamp;

pub use accept::{EdgeContext, serve};
pub use counters::EdgeCounters;
pub use drain::{Drain, DrainReport};
pub use limits::EdgeLimits;
pub use tls::{ClientCertificates, ReloadableTls, ServerTls, TlsError};
pub use unread::{nothing_to_read, read_within};

/// Whence and when a request came; a request extension.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who is at the other end of its connection.
    pub peer: Arc<PeerInfo>,
    /// When its headers were there, by [`EdgeContext::clock`]: the one that the rest of the call is timed with.
    pub at: Timestamp,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Where the connection comes from.
    pub addr: SocketAddr,
    /// The same as text, as records have it. Example: "10.1.2.3:50412".
    pub shown: Box<str>,
    /// The URIs in the client certificate's subject alternative name; empty without mTLS. The certificate was
    /// verified against the configured authorities. Example: "spiffe://example.com/warehouse".
    pub san_uris: Arc<[String]>,
    /// The connection is encrypted.
    pub tls: bool,
}

impl PeerInfo {
    fn new(addr: SocketAddr, san_uris: Arc<[String]>, tls: bool) -> Self {
        Self { addr, shown: addr.to_string().into(), san_uris, tls }
    }
}
