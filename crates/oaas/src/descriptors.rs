//! What a server's own reflection says of its services; for the command line and for catalogued upstreams
//! that describe themselves.

use std::collections::{HashSet, VecDeque};

use anyhow::{Context as _, bail};
use oaas_proto::grpc::reflection::v1::server_reflection_client::ServerReflectionClient;
use oaas_proto::grpc::reflection::v1::server_reflection_request::MessageRequest;
use oaas_proto::grpc::reflection::v1::server_reflection_response::MessageResponse;
use oaas_proto::grpc::reflection::v1::{ServerReflectionRequest, ServerReflectionResponse};
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

/// Files that one server may describe itself with.
const FILES_MAX: usize = 2_000;

/// A conversation with a server's reflection.
pub struct Reflection {
    requests: mpsc::Sender<ServerReflectionRequest>,
    answers: tonic::Streaming<ServerReflectionResponse>,
}

impl Reflection {
    /// Begins one.
    ///
    /// # Errors
    /// When the server has no reflection, or refuses.
    pub async fn open(channel: Channel, key: Option<MetadataValue<Ascii>>) -> Result<Self, tonic::Status> {
        let (requests, stream) = mpsc::channel(1);
        let mut request = tonic::Request::new(ReceiverStream::new(stream));
        if let Some(key) = key {
            request.metadata_mut().insert("authorization", key);
        }
        let answers =
            ServerReflectionClient::new(channel).server_reflection_info(request).await?.into_inner();
        Ok(Self { requests, answers })
    }

    /// Names of the services.
    ///
    /// # Errors
    /// When the server breaks off.
    pub async fn services(&mut self) -> anyhow::Result<Vec<String>> {
        match self.ask(MessageRequest::ListServices(String::new())).await? {
            MessageResponse::ListServicesResponse(list) => {
                Ok(list.service.into_iter().map(|service| service.name).collect())
            }
            other => bail!("reflection answered {other:?} to a list"),
        }
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
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        self.requests.send(request).await.context("the reflection stream is closed")?;
        let answer = self.answers.message().await?.context("the reflection stream ended")?;
        match answer.message_response.context("an empty answer of the reflection")? {
            MessageResponse::ErrorResponse(error) => bail!("reflection: {}", error.error_message),
            answer => Ok(answer),
        }
    }
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
