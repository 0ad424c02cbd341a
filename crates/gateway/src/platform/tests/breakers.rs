//! Breakers by hand, called through the stack.

use oaas_proto::oaas::gateway::v1 as wire;
use oaas_proto::oaas::gateway::v1::breaker_service_client::BreakerServiceClient;
use tonic::Code;

use super::fixture::{Channel, Fixture, REBATE};

const BREAKERS: &str = "oaas.gateway.v1.BreakerService";

async fn force(
    client: &mut BreakerServiceClient<Channel>,
    service: &str,
    mode: wire::BreakerMode,
) -> Result<wire::Breaker, Code> {
    let reason = "upstream migration".to_owned();
    let asked = wire::ForceBreakerRequest { service: service.to_owned(), mode: mode.into(), reason };
    let answer = client.force_breaker(asked).await.map_err(|status| status.code())?;
    Ok(answer.into_inner().breaker.unwrap())
}

#[tokio::test]
async fn an_operator_forces_a_breaker_and_each_act_is_recorded() {
    let fixture = Fixture::start().await;
    let mut alerts = fixture.gateway.shared().alerts.subscribe();
    let mut client = BreakerServiceClient::new(fixture.channel("operator"));
    for (mode, state) in [
        (wire::BreakerMode::ForcedOpen, wire::BreakerState::Open),
        (wire::BreakerMode::ForcedClosed, wire::BreakerState::Closed),
        (wire::BreakerMode::Observe, wire::BreakerState::Closed),
        (wire::BreakerMode::Automatic, wire::BreakerState::Closed),
    ] {
        let breaker = force(&mut client, REBATE, mode).await.unwrap();
        assert_eq!((breaker.service.as_str(), breaker.application.as_str()), (REBATE, ""));
        assert_eq!((breaker.mode(), breaker.state()), (mode, state));
        assert_eq!((breaker.error_rate_max, breaker.timeout_rate_max), (0.05, 0.03));
    }
    fixture.journal.close().await;
    let acts: Vec<_> = fixture.acts().into_iter().filter(|act| act.actor == "operator").collect();
    let actions: Vec<&str> = acts.iter().map(|act| act.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "breaker.force_open",
            "breaker.transition",
            "breaker.force_closed",
            "breaker.transition",
            "breaker.observe",
            "breaker.automatic"
        ]
    );
    assert!(acts.iter().all(|act| act.subject == REBATE));
    assert_eq!(acts[0].details["reason"], "upstream migration");
    assert_eq!(acts[0].details["mode"], "forced_open");
    assert_eq!(acts[1].details["to"], "open");
    assert!(alerts.try_recv().is_ok() && alerts.try_recv().is_ok() && alerts.try_recv().is_err());
}

#[tokio::test]
async fn the_list_has_the_open_ones_first() {
    let fixture = Fixture::start().await;
    let mut client = BreakerServiceClient::new(fixture.channel("operator"));
    force(&mut client, REBATE, wire::BreakerMode::ForcedOpen).await.unwrap();
    let list =
        client.list_breakers(wire::ListBreakersRequest::default()).await.unwrap().into_inner().breakers;
    assert_eq!((list[0].service.as_str(), list[0].state()), (REBATE, wire::BreakerState::Open));
    assert_eq!((list[0].cause.as_str(), list[0].half_open_at), ("BY_HAND", None));
    assert!(list.iter().any(|breaker| breaker.service == BREAKERS && breaker.application == "operator"));
    let asked = wire::ListBreakersRequest { service: BREAKERS.to_owned() };
    let list = client.list_breakers(asked).await.unwrap().into_inner().breakers;
    assert!(list.iter().all(|breaker| breaker.service == BREAKERS) && list.len() == 2, "{list:?}");
}

#[tokio::test]
async fn what_cannot_be_forced_is_refused() {
    let fixture = Fixture::start().await;
    let mut client = BreakerServiceClient::new(fixture.channel("operator"));
    let open = wire::BreakerMode::ForcedOpen;
    assert_eq!(force(&mut client, "shop.v1.Nothing", open).await, Err(Code::NotFound));
    assert_eq!(force(&mut client, BREAKERS, open).await, Err(Code::InvalidArgument));
    assert_eq!(force(&mut client, REBATE, wire::BreakerMode::Unspecified).await, Err(Code::InvalidArgument));
    assert_eq!(force(&mut client, "", open).await, Err(Code::InvalidArgument));
    // Who is no operator can't learn that there is such a service.
    let mut shop = BreakerServiceClient::new(fixture.channel("shop"));
    assert_eq!(force(&mut shop, REBATE, open).await, Err(Code::Unimplemented));
    assert!(fixture.gateway.shared().breakers.find("shop.v1.Nothing").is_none());
}
