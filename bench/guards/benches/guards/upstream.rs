//! An upstream that answers each call at once, on a thread of its own: what it does is nobody's count.

use std::net::{SocketAddr, TcpListener};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

/// Serves as long as the process lives; says where.
pub fn start(answer: Bytes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tcp.set_nodelay(true).unwrap();
                tokio::spawn(serve(tcp, answer.clone()));
            }
        });
    });
    address
}

async fn serve(tcp: tokio::net::TcpStream, answer: Bytes) {
    let mut connection = h2::server::handshake(tcp).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(tell(request, respond, answer.clone()));
    }
}

async fn tell(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    answer: Bytes,
) {
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
    }
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    if let Ok(mut stream) = respond.send_response(response, false) {
        let _ = stream.send_data(answer, false);
        let _ = stream.send_trailers(trailers);
    }
}
