//! What a server's own reflection says of its services; for the command line and for catalogued upstreams
//! that describe themselves.

use std::collections::{HashSet, VecDeque};

use anyhow::{Context as _, bail};
use http::uri::PathAndQuery;
use oaas_proto::grpc::reflection::v1::server_reflection_request::MessageRequest;
use oaas_proto::grpc::reflection::v1::server_reflection_response::MessageResponse;
use oaas_proto::grpc::reflection::v1::{ServerReflectionRequest, ServerReflectionResponse};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

/// Files that one server may describe itself with.
const FILES_MAX: usize = 2_000;
/// The protocol's two names; the messages are the same on the wire (grpc/grpc, doc/server-reflection.md).
const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// A conversation with a server's reflection.
pub struct Reflection {
    requests: mpsc::Sender<ServerReflectionRequest>,
    answers: tonic::Streaming<ServerReflectionResponse>,
    services: Vec<String>,
}

impl Reflection {
    /// Begins one, by the older name of the protocol where the server doesn't know the newer.
    ///
    /// # Errors
    /// When the server has no reflection, refuses, or answers something else to the question for its
    /// services.
    pub async fn open(channel: Channel, key: Option<MetadataValue<Ascii>>) -> Result<Self, tonic::Status> {
        match Self::open_at(V1, channel.clone(), key.clone()).await {
            Err(status) if status.code() == tonic::Code::Unimplemented => {
                Self::open_at(V1ALPHA, channel, key).await
            }
            opened => opened,
        }
    }

    async fn open_at(
        path: &'static str,
        channel: Channel,
        key: Option<MetadataValue<Ascii>>,
    ) -> Result<Self, tonic::Status> {
        let (requests, stream) = mpsc::channel(1);
        // The first question goes out with the call: grpc-python and others send their headers with the
        // first answer, so who waits for headers before asking waits for ever.
        let first = question(MessageRequest::ListServices(String::new()));
        requests.try_send(first).map_err(|_| tonic::Status::internal("no room for the first question"))?;
        let mut request = tonic::Request::new(ReceiverStream::new(stream));
        if let Some(key) = key {
            request.metadata_mut().insert("authorization", key);
        }
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let codec = ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::default();
        let mut answers =
            client.streaming(request, PathAndQuery::from_static(path), codec).await?.into_inner();
        let services = match answers.message().await?.and_then(|answer| answer.message_response) {
            Some(MessageResponse::ListServicesResponse(list)) => {
                list.service.into_iter().map(|service| service.name).collect()
            }
            other => return Err(tonic::Status::unknown(format!("reflection answered {other:?} to a list"))),
        };
        Ok(Self { requests, answers, services })
    }

    /// Names of the services.
    #[must_use]
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The encoded `FileDescriptorSet` that describes `service`, with all that it imports.
    ///
    /// # Errors
    /// When the server doesn't know the service, or breaks off.
    pub async fn describe(&mut self, service: &str) -> anyhow::Result<Vec<u8>> {
        let mut files = Vec::new();
        let mut seen = HashSet::new();
        let mut wanted = VecDeque::from([MessageRequest::FileContainingSymbol(service.to_owned())]);
        while let Some(request) = wanted.pop_front() {
            let MessageResponse::FileDescriptorResponse(answer) = self.ask(request).await? else {
                bail!("reflection does not describe {service}");
            };
            for encoded in answer.file_descriptor_proto {
                let file = prost_types::FileDescriptorProto::decode(&*encoded)?;
                if !seen.insert(file.name().to_owned()) {
                    continue;
                }
                if seen.len() > FILES_MAX {
                    bail!("{service} is described by more than {FILES_MAX} files");
                }
                files.push(encoded);
                let missing = file.dependency.into_iter().filter(|name| !seen.contains(name));
                wanted.extend(missing.map(MessageRequest::FileByFilename));
            }
            wanted.retain(|request| match request {
                MessageRequest::FileByFilename(name) => !seen.contains(name),
                _ => true,
            });
        }
        Ok(encoded_set(&files))
    }

    async fn ask(&mut self, request: MessageRequest) -> anyhow::Result<MessageResponse> {
        self.requests.send(question(request)).await.context("the reflection stream is closed")?;
        let answer = self.answers.message().await?.context("the reflection stream ended")?;
        match answer.message_response.context("an empty answer of the reflection")? {
            MessageResponse::ErrorResponse(error) => bail!("reflection: {}", error.error_message),
            answer => Ok(answer),
        }
    }
}

fn question(request: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest { host: String::new(), message_request: Some(request) }
}

/// A `FileDescriptorSet` of encoded files: field 1, so that options which we don't know stay as they are.
fn encoded_set(files: &[Vec<u8>]) -> Vec<u8> {
    let mut set = Vec::new();
    for file in files {
        prost::encoding::encode_key(1, prost::encoding::WireType::LengthDelimited, &mut set);
        prost::encoding::encode_varint(file.len() as u64, &mut set);
        set.extend_from_slice(file);
    }
    set
}
