//! hyper to hyper, and nothing else: what a forward costs that governs nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

/// Connections to the upstream; the gateway has as many.
const CONNECTIONS: usize = 2;

/// Forwards what comes to `listen`.
pub async fn serve(listen: SocketAddr, to: SocketAddr) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let tcp = TcpStream::connect(to).await?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(tcp)).await?;
        tokio::spawn(connection);
        connections.push(sender);
    }
    let connections: Arc<[SendRequest<Incoming>]> = connections.into();
    let authority: Authority = to.to_string().parse()?;
    let next = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (connections, authority, next) = (Arc::clone(&connections), authority.clone(), Arc::clone(&next));
        let forward = service_fn(move |mut request: Request<Incoming>| {
            let turn = next.fetch_add(1, Ordering::Relaxed) % CONNECTIONS;
            let sender = connections.get(turn).cloned();
            let mut parts = request.uri().clone().into_parts();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(authority.clone());
            parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
            async move {
                match sender {
                    Some(mut sender) => Ok(sender.send_request(request).await?),
                    None => Err(anyhow::anyhow!("no connection")),
                }
            }
        });
        tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(tcp), forward),
        );
    }
}
