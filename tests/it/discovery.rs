//! What may be found, as this caller may see it: reflection, the catalog and health agree.

use std::collections::BTreeSet;

use oaas_proto::grpc::health::v1 as health;
use oaas_proto::grpc::reflection::v1 as reflection;
use oaas_proto::oaas::catalog::v1 as catalog;
use prost::Message as _;
use reflection::server_reflection_request::MessageRequest;
use reflection::server_reflection_response::MessageResponse;

use crate::client::Client;
use crate::platform::{fresh_key, platform};
use crate::upstream::Upstream;

const ECHO: &str = "it.echo.v1.EchoService";

/// Asks reflection one thing.
async fn reflect(client: &Client, version: &str, key: Option<&str>, ask: MessageRequest) -> MessageResponse {
    let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
    let mut call = client.call(&path);
    if let Some(key) = key {
        call = call.key(key);
    }
    let request = reflection::ServerReflectionRequest { host: String::new(), message_request: Some(ask) };
    let answer: reflection::ServerReflectionResponse = call.typed(&request).await.unwrap();
    answer.message_response.unwrap()
}

async fn listed(client: &Client, version: &str, key: Option<&str>) -> BTreeSet<String> {
    match reflect(client, version, key, MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|s| s.name).collect(),
        other => panic!("{other:?}"),
    }
}

async fn catalogued(client: &Client, key: Option<&str>) -> BTreeSet<String> {
    let mut call = client.call("/oaas.catalog.v1.CatalogService/ListServices");
    if let Some(key) = key {
        call = call.key(key);
    }
    let list: catalog::ListServicesResponse =
        call.typed(&catalog::ListServicesRequest { page_size: 500, ..Default::default() }).await.unwrap();
    list.services.into_iter().map(|service| service.name).collect()
}

async fn healthy(client: &Client, key: Option<&str>) -> BTreeSet<String> {
    let mut call = client.call("/grpc.health.v1.Health/List");
    if let Some(key) = key {
        call = call.key(key);
    }
    let list: health::HealthListResponse = call.typed(&health::HealthListRequest {}).await.unwrap();
    list.statuses.into_keys().filter(|name| !name.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_caller_finds_what_it_may_see_and_all_ways_agree() {
    let upstream = Upstream::start().await;
    let (plain, subscribed, operator) = (fresh_key(), fresh_key(), fresh_key());
    let platform = platform()
        .echo(&upstream, "visibility: private", &[])
        .app("plain", &plain, &[])
        .app("subscribed", &subscribed, &[&format!("{ECHO}:trial")])
        .app("operator", &operator, &[])
        .operator()
        .start()
        .await;
    let client = platform.client().await;
    let mut views = Vec::new();
    for key in [None, Some(&*plain), Some(&*subscribed), Some(&*operator)] {
        let view = listed(&client, "v1", key).await;
        assert_eq!(listed(&client, "v1alpha", key).await, view, "v1alpha");
        assert_eq!(catalogued(&client, key).await, view, "catalog");
        assert_eq!(healthy(&client, key).await, view, "health");
        views.push(view);
    }
    let [anonymous, plain_view, subscribed_view, operator_view] = &views[..] else { panic!() };
    assert!(
        anonymous.contains("grpc.health.v1.Health") && !anonymous.iter().any(|name| name.contains("channel"))
    );
    assert!(plain_view.contains("oaas.channel.v1.RebateService") && !plain_view.contains(ECHO));
    assert_eq!(subscribed_view.difference(plain_view).collect::<Vec<_>>(), [ECHO]);
    let breakers = "oaas.gateway.v1.BreakerService";
    assert!(operator_view.contains(breakers) && !plain_view.contains(breakers));

    // Asking for what is hidden is answered like asking for what never was.
    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
    let file = |name: &str| MessageRequest::FileByFilename(name.to_owned());
    for (hidden, nothing) in [
        (symbol(ECHO), symbol("it.echo.v1.Nothing")),
        (symbol("it.echo.v1.Echo"), symbol("no.Message")),
        (file("echo.proto"), file("no.proto")),
    ] {
        let (hidden_answer, nothing_answer) = (
            reflect(&client, "v1", Some(&plain), hidden.clone()).await,
            reflect(&client, "v1", Some(&plain), nothing).await,
        );
        assert_eq!(hidden_answer.encoded_len_of(), nothing_answer.encoded_len_of());
        assert_eq!(format!("{hidden_answer:?}"), format!("{nothing_answer:?}"), "{hidden:?}");
        assert!(matches!(hidden_answer, MessageResponse::ErrorResponse(_)));
        let seen = reflect(&client, "v1", Some(&subscribed), hidden).await;
        assert!(matches!(seen, MessageResponse::FileDescriptorResponse(_)), "{seen:?}");
    }
}

trait EncodedLen {
    fn encoded_len_of(&self) -> usize;
}

impl EncodedLen for MessageResponse {
    fn encoded_len_of(&self) -> usize {
        reflection::ServerReflectionResponse { message_response: Some(self.clone()), ..Default::default() }
            .encoded_len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_learns_what_it_may_call_and_why_not() {
    let upstream = Upstream::start().await;
    let key = fresh_key();
    let platform = platform()
        .echo(&upstream, "", &[])
        .plan("reader", "methods: { it.echo.v1.EchoService: [Read] }")
        .app("caller", &key, &[&format!("{ECHO}:reader")])
        .start()
        .await;
    let client = platform.client().await;
    let list: catalog::ListAccessResponse = client
        .call("/oaas.catalog.v1.CatalogService/ListAccess")
        .key(&key)
        .typed(&catalog::ListAccessRequest {})
        .await
        .unwrap();
    let access = |path: &str| list.access.iter().find(|access| access.path == path).unwrap();
    assert!(access("/it.echo.v1.EchoService/Read").allowed);
    let write = access("/it.echo.v1.EchoService/Write");
    assert_eq!((write.allowed, &*write.reason), (false, "METHOD_NOT_IN_PLAN"));
    let rebate = access("/oaas.channel.v1.RebateService/GetPlan");
    assert_eq!((rebate.allowed, &*rebate.reason), (false, "SUBSCRIPTION_REQUIRED"));
    // What it says is what happens.
    for access in &list.access {
        if access.allowed || access.path.contains("oaas.catalog") || access.path.contains("grpc.") {
            continue;
        }
        let answer = client.call(&access.path).key(&key).message(b"").send().await;
        assert_eq!(answer.reason(), access.reason, "{}", access.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_knows_each_service_and_watches_one_that_is_not_there() {
    let platform = platform().start().await;
    let client = platform.client().await;
    let unknown = health::HealthCheckRequest { service: "no.Service".to_owned() };
    let check: Result<health::HealthCheckResponse, _> =
        client.call("/grpc.health.v1.Health/Check").typed(&unknown).await;
    assert_eq!(check.unwrap_err().status(), 5);
    let mut watch = client.call("/grpc.health.v1.Health/Watch").open().await;
    watch.send(&unknown.encode_to_vec()).await;
    watch.end();
    let first = watch.part().await.unwrap();
    let status = health::HealthCheckResponse::decode(&first[5..]).unwrap().status();
    assert_eq!(status, health::health_check_response::ServingStatus::ServiceUnknown);
    // It stays open.
    let more = tokio::time::timeout(std::time::Duration::from_millis(300), watch.part()).await;
    assert!(more.is_err(), "the watch ended: {more:?}");
}
