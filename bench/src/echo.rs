//! The echo: a tonic service, served alone or registered in the platform.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use prost::Message;
use tokio_stream::{Iter, iter};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// Messages of a stream.
const MESSAGES: usize = 1_000;
/// Largest message of the bench, bytes, and room for its frame.
const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What goes to and fro.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
}

/// The service.
#[derive(Clone, Copy)]
pub struct Echo;

struct Say;
struct Tell;

impl UnaryService<Payload> for Say {
    type Response = Payload;
    type Future = Ready<Result<Response<Payload>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

impl ServerStreamingService<Payload> for Tell {
    type Response = Payload;
    type ResponseStream = Iter<std::vec::IntoIter<Result<Payload, Status>>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let messages = vec![Ok(request.into_inner()); MESSAGES];
        ready(Ok(Response::new(iter(messages))))
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "bench.echo.v1.EchoService";
}

impl<B> Service<http::Request<B>> for Echo
where
    B: http_body_util::BodyExt<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(
        &mut self,
        request: http::Request<B>,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>> {
        let request = request.map(Body::new);
        let mut grpc =
            Grpc::new(ProstCodec::<Payload, Payload>::default()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Box::pin(async move {
            Ok(match request.uri().path().ends_with("/Tell") {
                true => grpc.server_streaming(Tell, request).await,
                false => grpc.unary(Say, request).await,
            })
        })
    }
}

/// Serves the echo, and nothing beside it.
pub async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    tonic::transport::Server::builder().tcp_nodelay(true).add_service(Echo).serve(listen).await?;
    Ok(())
}

/// Writes the descriptors of `proto`, or the echo's own, for a catalog.
pub fn describe(file: &Path, proto: Option<&Path>) -> anyhow::Result<()> {
    let own = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/echo.proto"));
    let proto = proto.unwrap_or(own);
    let set = protox::compile([proto], proto.parent())?;
    std::fs::write(file, set.encode_to_vec())?;
    Ok(())
}
