//! `grpc.reflection.v1` and `v1alpha`: one implementation over the descriptors as the caller may see them.
//!
//! Asking for what is hidden gives the same answer as asking for what never was: both are looked up in the
//! caller's own projection, which has neither.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt as _};
use oaas_capability::Registration;
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

use super::Asker;
use super::projection::{Projection, Projections};

/// Both versions of the protocol, over the same projections.
pub(super) fn registrations() -> [Registration; 2] {
    let projections = Arc::new(Projections::default());
    [v1::registration(Arc::clone(&projections)), v1alpha::registration(projections)]
}

/// What a client asks.
enum Question<'q> {
    Services,
    File(&'q str),
    Symbol(&'q str),
    Extension { of: &'q str, number: i32 },
    ExtensionNumbers(&'q str),
    Nothing,
}

/// What it is told.
enum Answer {
    Services(Vec<String>),
    Files(Vec<Vec<u8>>),
    ExtensionNumbers(Vec<i32>),
    Error { code: Code, message: &'static str },
}

/// One stream of questions. What was sent on it is not sent again as somebody's import; there are as many
/// such names as the projection has files.
struct Conversation {
    projection: Arc<Projection>,
    sent: HashSet<Arc<str>>,
}

impl Conversation {
    fn answer(&mut self, question: &Question<'_>) -> Answer {
        let projection = Arc::clone(&self.projection);
        match question {
            Question::Services => Answer::Services(projection.services().to_vec()),
            Question::File(name) => self.files(Some(name)),
            Question::Symbol(name) => self.files(projection.file_of_symbol(name)),
            Question::Extension { of, number } => self.files(projection.file_of_extension(of, *number)),
            Question::ExtensionNumbers(of) => {
                projection.extension_numbers(of).map_or_else(unknown, Answer::ExtensionNumbers)
            }
            Question::Nothing => {
                Answer::Error { code: Code::InvalidArgument, message: "message_request: nothing is asked" }
            }
        }
    }

    fn files(&mut self, name: Option<&str>) -> Answer {
        let files = name.and_then(|name| self.projection.with_imports(name, &mut self.sent));
        files.map_or_else(unknown, |files| Answer::Files(files.iter().map(|file| file.to_vec()).collect()))
    }
}

/// The words do not hold what was asked for, so that they are the same for all that is not there.
fn unknown() -> Answer {
    Answer::Error { code: Code::NotFound, message: "not found" }
}

#[allow(clippy::result_large_err, reason = "tonic's own error type")]
fn converse<T>(projections: &Projections, request: &Request<T>) -> Result<Conversation, Status> {
    let asker = Asker::of(request)?;
    match projections.of(asker.snapshot(), asker.application()) {
        Ok(projection) => Ok(Conversation { projection, sent: HashSet::new() }),
        Err(error) => {
            tracing::error!(%error, catalog_version = %asker.snapshot().version, "no reflection");
            Err(Status::internal("the descriptors of this catalog version can't be shown"))
        }
    }
}

/// The adapter of one version of the protocol; their messages differ in the package alone.
macro_rules! version {
    ($version:ident) => {
        mod $version {
            use super::*;
            use oaas_proto::grpc::reflection::$version as wire;
            use wire::server_reflection_request::MessageRequest;
            use wire::server_reflection_response::MessageResponse;
            use wire::server_reflection_server::{ServerReflection, ServerReflectionServer};

            pub(super) fn registration(projections: Arc<Projections>) -> Registration {
                Registration::new(ServerReflectionServer::new(Server(projections)))
            }

            struct Server(Arc<Projections>);

            type Answers = Pin<Box<dyn Stream<Item = Result<wire::ServerReflectionResponse, Status>> + Send>>;

            #[async_trait]
            impl ServerReflection for Server {
                type ServerReflectionInfoStream = Answers;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<wire::ServerReflectionRequest>>,
                ) -> Result<Response<Answers>, Status> {
                    let mut conversation = converse(&self.0, &request)?;
                    // Each answer is made when the client reads it: no task, no queue.
                    let answers = request
                        .into_inner()
                        .map(move |asked| asked.map(|asked| respond(&mut conversation, asked)));
                    Ok(Response::new(Box::pin(answers)))
                }
            }

            fn respond(
                conversation: &mut Conversation,
                asked: wire::ServerReflectionRequest,
            ) -> wire::ServerReflectionResponse {
                let question = match &asked.message_request {
                    Some(MessageRequest::ListServices(_)) => Question::Services,
                    Some(MessageRequest::FileByFilename(name)) => Question::File(name),
                    Some(MessageRequest::FileContainingSymbol(name)) => Question::Symbol(name),
                    Some(MessageRequest::FileContainingExtension(asked)) => {
                        Question::Extension { of: &asked.containing_type, number: asked.extension_number }
                    }
                    Some(MessageRequest::AllExtensionNumbersOfType(of)) => Question::ExtensionNumbers(of),
                    None => Question::Nothing,
                };
                let answer = match conversation.answer(&question) {
                    Answer::Services(names) => {
                        let service = names.into_iter().map(|name| wire::ServiceResponse { name }).collect();
                        MessageResponse::ListServicesResponse(wire::ListServiceResponse { service })
                    }
                    Answer::Files(file_descriptor_proto) => {
                        MessageResponse::FileDescriptorResponse(wire::FileDescriptorResponse {
                            file_descriptor_proto,
                        })
                    }
                    Answer::ExtensionNumbers(extension_number) => {
                        let base_type_name = match &question {
                            Question::ExtensionNumbers(of) => (*of).to_owned(),
                            _ => String::new(),
                        };
                        MessageResponse::AllExtensionNumbersResponse(wire::ExtensionNumberResponse {
                            base_type_name,
                            extension_number,
                        })
                    }
                    Answer::Error { code, message } => MessageResponse::ErrorResponse(wire::ErrorResponse {
                        error_code: code.into(),
                        error_message: message.to_owned(),
                    }),
                };
                wire::ServerReflectionResponse {
                    valid_host: asked.host.clone(),
                    message_response: Some(answer),
                    original_request: Some(asked),
                }
            }
        }
    };
}

version!(v1);
version!(v1alpha);
