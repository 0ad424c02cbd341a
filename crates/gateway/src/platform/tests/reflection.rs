//! Reflection, called through the stack.

use oaas_proto::grpc::reflection::v1::server_reflection_client::ServerReflectionClient;
use oaas_proto::grpc::reflection::v1::server_reflection_request::MessageRequest;
use oaas_proto::grpc::reflection::v1::server_reflection_response::MessageResponse;
use oaas_proto::grpc::reflection::v1::{ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse};
use oaas_proto::grpc::reflection::v1alpha as alpha;
use prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;

use super::fixture::{COUPON, Fixture, REBATE};

async fn ask(fixture: &Fixture, caller: &str, asked: Vec<MessageRequest>) -> Vec<ServerReflectionResponse> {
    let mut client = ServerReflectionClient::new(fixture.channel(caller)).max_decoding_message_size(64 << 20);
    let requests = asked.into_iter().map(|asked| ServerReflectionRequest {
        host: "oaas.example.com".to_owned(),
        message_request: Some(asked),
    });
    let requests: Vec<_> = requests.collect();
    let answer = client.server_reflection_info(futures_util::stream::iter(requests)).await.unwrap();
    let mut stream = answer.into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        answers.push(answer);
    }
    answers
}

fn services(answer: &ServerReflectionResponse) -> Vec<&str> {
    match answer.message_response.as_ref().unwrap() {
        MessageResponse::ListServicesResponse(list) => list.service.iter().map(|s| s.name.as_str()).collect(),
        other => panic!("{other:?}"),
    }
}

fn files(answer: &ServerReflectionResponse) -> Vec<FileDescriptorProto> {
    match answer.message_response.as_ref().unwrap() {
        MessageResponse::FileDescriptorResponse(files) => files
            .file_descriptor_proto
            .iter()
            .map(|file| FileDescriptorProto::decode(&**file).unwrap())
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_caller_is_shown_its_own_services() {
    let fixture = Fixture::start().await;
    let list = || vec![MessageRequest::ListServices(String::new())];
    for (caller, rebate, coupon, breakers) in [
        ("", false, false, false),
        ("shop", true, false, false),
        ("partner", true, true, false),
        ("operator", true, true, true),
    ] {
        let answers = ask(&fixture, caller, list()).await;
        let seen = services(&answers[0]);
        let sees = |name: &str| seen.contains(&name);
        assert!(
            sees("grpc.health.v1.Health") && sees("grpc.reflection.v1alpha.ServerReflection"),
            "{caller}"
        );
        assert_eq!(
            (sees(REBATE), sees(COUPON), sees("oaas.gateway.v1.BreakerService")),
            (rebate, coupon, breakers),
            "{caller}: {seen:?}"
        );
        assert!(seen.is_sorted(), "{seen:?}");
    }
}

#[tokio::test]
async fn what_is_hidden_is_answered_byte_for_byte_like_what_never_was() {
    let fixture = Fixture::start().await;
    let by_symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
    let by_file = |name: &str| MessageRequest::FileByFilename(name.to_owned());
    let by_number = |name: &str, extension_number| {
        let containing_type = name.to_owned();
        MessageRequest::FileContainingExtension(ExtensionRequest { containing_type, extension_number })
    };
    let numbers = |name: &str| MessageRequest::AllExtensionNumbersOfType(name.to_owned());
    let hidden = vec![
        by_symbol(COUPON),
        by_symbol("oaas.channel.v1.CouponService.OpenBatch"),
        by_symbol("oaas.channel.v1.OpenBatchRequest"),
        by_symbol("oaas.channel.v1.OpenBatchRequest.batch"),
        by_file("oaas/channel/v1/coupon.proto"),
        by_file("oaas/gateway/v1/breaker.proto"),
        by_number("oaas.channel.v1.OpenBatchRequest", 1),
        numbers("oaas.channel.v1.OpenBatchRequest"),
    ];
    let never = vec![
        by_symbol("shop.v1.Nothing"),
        by_symbol("shop.v1.Nothing.DoIt"),
        by_symbol("shop.v1.NothingRequest"),
        by_symbol("shop.v1.NothingRequest.x"),
        by_file("shop/v1/nothing.proto"),
        by_file("shop/v1/none.proto"),
        by_number("shop.v1.NothingRequest", 1),
        numbers("shop.v1.NothingRequest"),
    ];
    let bare = |answers: Vec<ServerReflectionResponse>| -> Vec<Vec<u8>> {
        answers
            .into_iter()
            .map(|a| ServerReflectionResponse { original_request: None, ..a }.encode_to_vec())
            .collect()
    };
    let (hidden_answers, never_answers) =
        (bare(ask(&fixture, "shop", hidden.clone()).await), bare(ask(&fixture, "shop", never).await));
    assert_eq!(hidden_answers.len(), hidden.len());
    assert_eq!(hidden_answers, never_answers);
    // They are there for who may see them.
    for answer in &ask(&fixture, "operator", hidden).await[..6] {
        assert!(!files(answer).is_empty());
    }
}

#[tokio::test]
async fn files_come_with_their_imports_once_a_stream() {
    let fixture = Fixture::start().await;
    let asked = vec![
        MessageRequest::FileContainingSymbol(format!("{REBATE}.CalculateRebate")),
        MessageRequest::FileByFilename("oaas/channel/v1/rebate.proto".to_owned()),
        MessageRequest::AllExtensionNumbersOfType("google.protobuf.MethodOptions".to_owned()),
        MessageRequest::FileContainingExtension(ExtensionRequest {
            containing_type: "google.protobuf.MethodOptions".to_owned(),
            extension_number: 72_295_728,
        }),
    ];
    let answers = ask(&fixture, "shop", asked.clone()).await;
    let names = |at: usize| files(&answers[at]).iter().map(|f| f.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(0)[0], "oaas/channel/v1/rebate.proto");
    assert!(names(0).contains(&"google/api/annotations.proto".to_owned()), "{:?}", names(0));
    assert!(names(0).contains(&"oaas/catalog/v1/options.proto".to_owned()), "{:?}", names(0));
    assert_eq!(names(1), ["oaas/channel/v1/rebate.proto"], "asked for again, it comes alone");
    match answers[2].message_response.as_ref().unwrap() {
        MessageResponse::AllExtensionNumbersResponse(numbers) => {
            assert_eq!(numbers.base_type_name, "google.protobuf.MethodOptions");
            assert_eq!(numbers.extension_number, [50_712, 72_295_728]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(names(3), ["google/api/annotations.proto"]);

    // The older protocol says the same.
    let mut client = alpha::server_reflection_client::ServerReflectionClient::new(fixture.channel("shop"))
        .max_decoding_message_size(64 << 20);
    let requests: Vec<_> = asked
        .into_iter()
        .map(|asked| {
            let asked =
                ServerReflectionRequest { host: "oaas.example.com".to_owned(), message_request: Some(asked) };
            alpha::ServerReflectionRequest::decode(asked.encode_to_vec().as_slice()).unwrap()
        })
        .collect();
    let mut stream =
        client.server_reflection_info(futures_util::stream::iter(requests)).await.unwrap().into_inner();
    for answer in answers {
        let older = stream.message().await.unwrap().unwrap();
        assert!(older.encode_to_vec() == answer.encode_to_vec());
    }
}

#[tokio::test]
async fn a_question_without_a_question_is_an_error() {
    let fixture = Fixture::start().await;
    let mut client = ServerReflectionClient::new(fixture.channel(""));
    let asked = futures_util::stream::iter([ServerReflectionRequest::default()]);
    let mut stream = client.server_reflection_info(asked).await.unwrap().into_inner();
    match stream.message().await.unwrap().unwrap().message_response.unwrap() {
        MessageResponse::ErrorResponse(error) => {
            assert_eq!(error.error_code, tonic::Code::InvalidArgument as i32)
        }
        other => panic!("{other:?}"),
    }
}
