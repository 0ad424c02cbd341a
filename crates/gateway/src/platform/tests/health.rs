//! Health, called through the stack.

use std::sync::atomic::Ordering;

use oaas_proto::grpc::health::v1::HealthCheckRequest;
use oaas_proto::grpc::health::v1::HealthListRequest;
use oaas_proto::grpc::health::v1::health_check_response::ServingStatus;
use oaas_proto::grpc::health::v1::health_client::HealthClient;
use tonic::Code;

use super::fixture::{COUPON, Channel, Fixture, REBATE};
use crate::breaker::Mode;

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

async fn check(client: &mut HealthClient<Channel>, service: &str) -> Result<ServingStatus, Code> {
    client.check(about(service)).await.map(|answer| answer.get_ref().status()).map_err(|status| status.code())
}

#[tokio::test]
async fn a_service_is_as_healthy_as_its_breaker_and_its_place() {
    let fixture = Fixture::start().await;
    let mut client = HealthClient::new(fixture.channel("operator"));
    let shared = fixture.gateway.shared();
    assert_eq!(check(&mut client, "").await, Ok(ServingStatus::Serving));
    assert_eq!(check(&mut client, REBATE).await, Ok(ServingStatus::Serving));
    assert_eq!(check(&mut client, COUPON).await, Ok(ServingStatus::NotServing), "it runs nowhere");

    let breaker = shared.breakers.get(REBATE, None);
    breaker.force(Mode::ForcedOpen, shared.clock.now());
    assert_eq!(check(&mut client, REBATE).await, Ok(ServingStatus::NotServing));
    // Given back, it waits for a call to probe with.
    breaker.force(Mode::Automatic, shared.clock.now());
    assert_eq!(check(&mut client, REBATE).await, Ok(ServingStatus::Serving));
    breaker.force(Mode::Observe, shared.clock.now());
    assert_eq!(check(&mut client, REBATE).await, Ok(ServingStatus::Serving));

    shared.draining.store(true, Ordering::Relaxed);
    for service in ["", REBATE, "grpc.health.v1.Health"] {
        assert_eq!(check(&mut client, service).await, Ok(ServingStatus::NotServing), "{service}");
    }
}

#[tokio::test]
async fn hidden_and_unknown_services_are_told_of_alike() {
    let fixture = Fixture::start().await;
    let mut anonymous = HealthClient::new(fixture.channel(""));
    let mut answers = Vec::new();
    for service in [COUPON, REBATE, "shop.v1.Nothing"] {
        let status = anonymous.check(about(service)).await.unwrap_err();
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(answers[0].0, Code::NotFound);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");

    let listed = |answer: oaas_proto::grpc::health::v1::HealthListResponse| {
        let mut names: Vec<String> = answer.statuses.into_keys().collect();
        names.sort();
        names
    };
    let seen = listed(anonymous.list(HealthListRequest {}).await.unwrap().into_inner());
    assert!(seen.contains(&String::new()) && seen.contains(&"grpc.health.v1.Health".to_owned()), "{seen:?}");
    assert!(!seen.contains(&REBATE.to_owned()) && !seen.contains(&COUPON.to_owned()), "{seen:?}");
    let mut partner = HealthClient::new(fixture.channel("partner"));
    let seen = listed(partner.list(HealthListRequest {}).await.unwrap().into_inner());
    assert!(seen.contains(&REBATE.to_owned()) && seen.contains(&COUPON.to_owned()), "{seen:?}");
}

#[tokio::test]
async fn a_watch_tells_of_each_change_and_of_nothing_else() {
    let fixture = Fixture::start().await;
    let shared = fixture.gateway.shared();
    let mut client = HealthClient::new(fixture.channel("shop"));
    let mut watch = client.watch(about(REBATE)).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let breaker = shared.breakers.get(REBATE, None);
    breaker.force(Mode::ForcedOpen, shared.clock.now());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    breaker.force(Mode::ForcedClosed, shared.clock.now());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
}

#[tokio::test]
async fn a_watch_on_an_unknown_service_stays_open_until_it_is_known() {
    let fixture = Fixture::start().await;
    let mut client = HealthClient::new(fixture.channel("shop"));
    let mut watch = client.watch(about(COUPON)).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    let mut snapshot = super::fixture::snapshot();
    let coupon = snapshot.services.get_mut(COUPON).unwrap();
    let entry = std::sync::Arc::make_mut(coupon);
    entry.visibility = oaas_catalog::Visibility::Internal;
    snapshot.version = "c-000000000001".into();
    fixture.gateway.apply(snapshot, "test").unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}
