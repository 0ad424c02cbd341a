//! hyper to hyper, and nothing else: what a forward costs that governs nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use oaas_gateway::lanes::Lanes;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

/// Connections to the upstream; the gateway has as many.
const CONNECTIONS: usize = 2;

/// Forwards what comes to `listen`: on tokio's shared scheduler, or with `on_lanes` as the gateway does, each
/// client's connection on the thread of the upstream connection that it uses.
pub async fn serve(listen: SocketAddr, to: SocketAddr, on_lanes: bool) -> anyhow::Result<()> {
    let lanes = if on_lanes { Lanes::start(CONNECTIONS, Duration::ZERO)? } else { Lanes::default() };
    let mut ways = Vec::new();
    for _ in 0..CONNECTIONS {
        let place = lanes.place();
        let lane = place.handle.clone().unwrap_or_else(Handle::current);
        let sender = lane.spawn(connect(to)).await??;
        ways.push((place, lane, sender));
    }
    let all: Arc<[SendRequest<Incoming>]> = ways.iter().map(|(.., sender)| sender.clone()).collect();
    let authority: Authority = to.to_string().parse()?;
    let listener = TcpListener::bind(listen).await?;
    for (_, lane, sender) in ways.iter().cycle() {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let connections = if on_lanes { Arc::from([sender.clone()]) } else { Arc::clone(&all) };
        lane.spawn(client(tcp.into_std()?, connections, authority.clone()));
    }
    Ok(())
}

async fn connect(to: SocketAddr) -> anyhow::Result<SendRequest<Incoming>> {
    let tcp = TcpStream::connect(to).await?;
    tcp.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(tcp)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn client(
    tcp: std::net::TcpStream,
    connections: Arc<[SendRequest<Incoming>]>,
    authority: Authority,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let forward = service_fn(move |mut request: Request<Incoming>| {
        let turn = next.fetch_add(1, Ordering::Relaxed) % connections.len().max(1);
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
    let io = TokioIo::new(TcpStream::from_std(tcp)?);
    Ok(hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, forward).await?)
}
