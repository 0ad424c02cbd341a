//! The catalog service, called through the stack.

use oaas_proto::oaas::catalog::v1 as wire;
use oaas_proto::oaas::catalog::v1::catalog_service_client::CatalogServiceClient;
use tonic::{Code, Status};

use super::fixture::{COUPON, Channel, Fixture, REBATE};
use crate::breaker::Mode;

async fn names(client: &mut CatalogServiceClient<Channel>, asked: wire::ListServicesRequest) -> Vec<String> {
    let answer = client.list_services(asked).await.unwrap().into_inner();
    answer.services.into_iter().map(|service| service.name).collect()
}

fn words(query: &str) -> wire::ListServicesRequest {
    wire::ListServicesRequest { query: query.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn services_are_found_in_both_languages_by_who_may_see_them() {
    let fixture = Fixture::start().await;
    let mut shop = CatalogServiceClient::new(fixture.channel("shop"));
    let mut anonymous = CatalogServiceClient::new(fixture.channel(""));
    assert_eq!(names(&mut shop, words("返利")).await[0], REBATE);
    assert_eq!(names(&mut shop, words("rebate")).await[0], REBATE);
    assert!(!names(&mut anonymous, words("返利")).await.contains(&REBATE.to_owned()));
    assert!(!names(&mut shop, words("优惠券")).await.contains(&COUPON.to_owned()));
    let domain = wire::ListServicesRequest { domain: "channel".to_owned(), ..Default::default() };
    assert_eq!(names(&mut shop, domain.clone()).await, [REBATE]);
    assert_eq!(names(&mut anonymous, domain).await, [""; 0]);
    let stage = wire::ListServicesRequest { stage: wire::Stage::Deprecated.into(), ..Default::default() };
    assert_eq!(names(&mut anonymous, stage).await, ["grpc.reflection.v1alpha.ServerReflection"]);
}

#[tokio::test]
async fn pages_hold_each_service_once_and_their_tokens_hold_for_one_question() {
    let fixture = Fixture::start().await;
    let mut client = CatalogServiceClient::new(fixture.channel("operator"));
    let all = names(&mut client, wire::ListServicesRequest::default()).await;
    let mut paged = Vec::new();
    let mut asked = wire::ListServicesRequest { page_size: 2, ..Default::default() };
    loop {
        let page = client.list_services(asked.clone()).await.unwrap().into_inner();
        assert!(page.services.len() <= 2);
        paged.extend(page.services.into_iter().map(|service| service.name));
        if page.next_page_token.is_empty() {
            break;
        }
        asked.page_token = page.next_page_token;
    }
    assert_eq!(paged, all);
    for asked in [
        wire::ListServicesRequest { query: "other".to_owned(), ..asked.clone() },
        wire::ListServicesRequest { page_token: "?".to_owned(), ..Default::default() },
        wire::ListServicesRequest { page_size: 501, ..Default::default() },
    ] {
        assert_eq!(client.list_services(asked).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_service_that_is_hidden_reads_like_one_that_never_was() {
    let fixture = Fixture::start().await;
    let mut shop = CatalogServiceClient::new(fixture.channel("shop"));
    let never = "oaas.channel.v1.CouponServicf";
    let told = |status: Status| {
        assert_eq!(status.code(), Code::NotFound);
        (status.message().to_owned(), status.details().to_vec())
    };
    let like = |(message, details): (String, Vec<u8>), from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let swap = |bytes: &[u8]| -> Vec<u8> {
            let mut bytes = bytes.to_vec();
            while let Some(at) = bytes.windows(from.len()).position(|window| window == from.as_bytes()) {
                bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
            bytes
        };
        (String::from_utf8(swap(message.as_bytes())).unwrap(), swap(&details))
    };
    let get = |name: &str| wire::GetServiceRequest { name: name.to_owned() };
    let hidden = told(shop.get_service(get(COUPON)).await.unwrap_err());
    let nothing = told(shop.get_service(get(never)).await.unwrap_err());
    assert_eq!(like(hidden, COUPON, never), nothing);
    let get = |name: &str| wire::GetServiceStateRequest { name: name.to_owned() };
    let hidden = told(shop.get_service_state(get(COUPON)).await.unwrap_err());
    let nothing = told(shop.get_service_state(get(never)).await.unwrap_err());
    assert_eq!(like(hidden, COUPON, never), nothing);
}

#[tokio::test]
async fn an_entry_says_what_the_catalog_says() {
    let fixture = Fixture::start().await;
    let mut client = CatalogServiceClient::new(fixture.channel("shop"));
    let answer =
        client.get_service(wire::GetServiceRequest { name: REBATE.to_owned() }).await.unwrap().into_inner();
    let (told, snapshot) = (answer.service.unwrap(), super::fixture::snapshot());
    let entry = snapshot.service(REBATE).unwrap();
    assert_eq!(answer.catalog_version, *snapshot.version);
    assert_eq!((told.owner.as_str(), told.title.unwrap().zh), (entry.owner.as_str(), entry.title.zh.clone()));
    assert_eq!(told.methods.len(), entry.methods.len());
    for method in told.methods {
        let entry = snapshot.method(&method.path).unwrap();
        assert_eq!(method.request_type, entry.descriptor.input().full_name());
        assert_eq!(method.client_streaming, entry.descriptor.is_client_streaming());
        assert_eq!(method.error_reasons, entry.error_reasons);
        assert_eq!(method.price.map(|p| p.amount), entry.price.as_ref().map(|p| p.amount.to_string()));
    }
}

#[tokio::test]
async fn the_live_state_is_the_breakers_and_the_latencies() {
    let fixture = Fixture::start().await;
    let shared = fixture.gateway.shared();
    let mut client = CatalogServiceClient::new(fixture.channel("shop"));
    let mut state = async |name: &str| {
        let asked = wire::GetServiceStateRequest { name: name.to_owned() };
        client.get_service_state(asked).await.unwrap().into_inner()
    };
    let quiet = state(REBATE).await;
    assert_eq!((quiet.breaker_state.as_str(), quiet.calls, quiet.p99), ("closed", 0, None));
    shared.breakers.get(REBATE, None).force(Mode::ForcedOpen, shared.clock.now());
    assert_eq!(state(REBATE).await.breaker_state, "open");
    // The catalog's own calls were counted, and answered without a failure.
    let own = state("oaas.catalog.v1.CatalogService").await;
    assert!(own.p99.is_some() && own.calls >= 2, "{own:?}");
    assert_eq!((own.error_rate, own.timeout_rate), (0.0, 0.0));
}

#[tokio::test]
async fn access_says_what_admission_would() {
    let fixture = Fixture::start().await;
    for caller in ["", "shop", "partner", "operator"] {
        let mut client = CatalogServiceClient::new(fixture.channel(caller));
        let answer = client.list_access(wire::ListAccessRequest {}).await.unwrap().into_inner();
        assert!(answer.access.iter().map(|access| &access.path).is_sorted());
        let of = |path: &str| answer.access.iter().find(|access| access.path == path);
        let said = |path: &str| {
            of(path).map(|access| (access.allowed, access.reason.as_str(), access.plan.as_str()))
        };
        let rebate = said(&format!("/{REBATE}/CalculateRebate"));
        let coupon = said(&format!("/{COUPON}/RedeemCoupon"));
        match caller {
            "" => assert_eq!((rebate, coupon), (None, None)),
            "shop" => assert_eq!((rebate, coupon), (Some((true, "", "standard")), None)),
            "partner" => assert_eq!(
                (rebate, coupon),
                (Some((false, "SUBSCRIPTION_REQUIRED", "")), Some((false, "SUBSCRIPTION_SUSPENDED", "")))
            ),
            _ => assert_eq!(said("/oaas.gateway.v1.BreakerService/ForceBreaker"), Some((true, "", ""))),
        }
        assert_eq!(said("/grpc.health.v1.Health/Check"), Some((true, "", "")), "{caller}");
    }
}
