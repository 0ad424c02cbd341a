//! The state machine against a model, and the service under calls at the same moment.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_774_915_200_000;

fn batch() -> Batch {
    Batch {
        batch_id: "b".to_owned(),
        face_value_fen: 5_000,
        total_count: 10,
        per_member_max: 2,
        valid_from_ms: 0,
        valid_until_ms: NOW + 1,
    }
}

fn wish(order: &str, key: &str) -> Redemption {
    Redemption {
        batch_id: "b".to_owned(),
        face_value_fen: 5_000,
        member_id: "m".to_owned(),
        order_id: order.to_owned(),
        idempotency_key: key.to_owned(),
    }
}

#[test]
fn a_coupon_is_redeemed_once() {
    let issued = batch().issue("m", "issue-01", 0, 0, NOW).unwrap();
    let redeemed = batch().redeem(&issued, &wish("o", "redeem-1"), NOW).unwrap();
    assert!(matches!(&redeemed.state, State::Redeemed { order_id, .. } if order_id == "o"));
    // The same act again, also after the last day.
    assert_eq!(batch().redeem(&redeemed, &wish("o", "redeem-1"), NOW + 9).as_ref(), Ok(&redeemed));
    let second = batch().redeem(&redeemed, &wish("o", "redeem-2"), NOW);
    assert_eq!(second, Err(CouponError::Redeemed { order_id: "o".to_owned() }));
    let reused = batch().redeem(&redeemed, &wish("p", "redeem-1"), NOW);
    assert_eq!(reused, Err(CouponError::KeyReused { idempotency_key: "redeem-1".to_owned() }));
}

#[test]
fn the_stake_that_a_request_states_must_be_the_coupons() {
    let issued = batch().issue("m", "issue-01", 0, 0, NOW).unwrap();
    let mismatch = CouponError::StakeMismatch { batch_id: "b".to_owned(), face_value_fen: 5_000 };
    let cheap = Redemption { face_value_fen: 1, ..wish("o", "redeem-1") };
    assert_eq!(batch().redeem(&issued, &cheap, NOW), Err(mismatch.clone()));
    let elsewhere = Redemption { batch_id: "c".to_owned(), ..wish("o", "redeem-1") };
    assert_eq!(batch().redeem(&issued, &elsewhere, NOW), Err(mismatch));
    let stolen = Redemption { member_id: "n".to_owned(), face_value_fen: 1, ..wish("o", "redeem-1") };
    assert!(matches!(batch().redeem(&issued, &stolen, NOW), Err(CouponError::NotYours { .. })));
    assert!(matches!(
        batch().redeem(&issued, &wish("o", "redeem-1"), NOW + 1),
        Err(CouponError::OutsideDays { .. })
    ));
}

#[test]
fn a_batch_gives_what_it_has() {
    assert!(batch().issue("m", "issue-01", 9, 1, NOW).is_ok());
    assert!(matches!(batch().issue("m", "issue-01", 10, 1, NOW), Err(CouponError::Exhausted { .. })));
    assert!(matches!(batch().issue("m", "issue-01", 9, 2, NOW), Err(CouponError::MemberLimit { .. })));
    let empty = Batch { total_count: 0, valid_until_ms: 0, ..batch() };
    let fields: Vec<_> = empty.problems().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["total_count", "valid_until_ms"]);
}

proptest! {
    /// Whatever is tried, the first act that was accepted is the one that stands.
    #[test]
    fn redemption_is_final(acts in prop::collection::vec((0u8..3, 0u8..3), 1..12)) {
        let mut coupon = batch().issue("m", "issue-01", 0, 0, NOW).unwrap();
        let mut first = None;
        for (order, key) in acts {
            let answer = batch().redeem(&coupon, &wish(&format!("o{order}"), &format!("redeem-{key}")), NOW);
            let first = *first.get_or_insert((order, key));
            prop_assert_eq!(answer.is_ok(), first == (order, key));
            coupon = answer.unwrap_or(coupon);
        }
    }
}

#[cfg(feature = "grpc")]
mod service {
    use oaas_capability::Context;
    use oaas_proto::oaas::channel::v1 as pb;
    use oaas_proto::oaas::channel::v1::coupon_service_client::CouponServiceClient;
    use oaas_proto::oaas::channel::v1::coupon_service_server::CouponServiceServer;
    use tonic::Code;

    use super::super::grpc;

    type Client = CouponServiceClient<CouponServiceServer<grpc::Coupons>>;

    /// Keeps the folder of the database as long as the client.
    async fn client() -> (tempfile::TempDir, Client) {
        let folder = tempfile::tempdir().unwrap();
        let cx = Context {
            store: oaas_store::Store::open(&folder.path().join("oaas.db")).await.unwrap(),
            clock: oaas_model::SystemClock::shared(),
        };
        let mut client = CouponServiceClient::new(grpc::server(&cx).await.unwrap());
        let batch = pb::Batch {
            batch_id: "spring".to_owned(),
            face_value_fen: 5_000,
            total_count: 5,
            per_member_max: 1,
            valid_from_ms: 0,
            valid_until_ms: i64::MAX,
        };
        for _ in 0..2 {
            client.open_batch(pb::OpenBatchRequest { batch: Some(batch.clone()) }).await.unwrap();
        }
        let other = pb::Batch { face_value_fen: 1, ..batch };
        let refused = client.open_batch(pb::OpenBatchRequest { batch: Some(other) }).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
        (folder, client)
    }

    async fn issue(client: &mut Client, member: &str, key: &str) -> Result<pb::Coupon, Code> {
        let request = pb::IssueCouponRequest {
            batch_id: "spring".to_owned(),
            member_id: member.to_owned(),
            idempotency_key: key.to_owned(),
        };
        let answer = client.issue_coupon(request).await.map_err(|status| status.code())?;
        Ok(answer.into_inner().coupon.unwrap())
    }

    #[tokio::test]
    async fn at_the_same_moment_no_more_is_issued_than_there_is() {
        let (_folder, client) = client().await;
        let tasks: Vec<_> = (0..12)
            .map(|i| {
                let mut client = client.clone();
                tokio::spawn(
                    async move { issue(&mut client, &format!("m{i}"), &format!("issue-{i:03}")).await },
                )
            })
            .collect();
        let mut issued = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => issued += 1,
                Err(code) => assert_eq!(code, Code::FailedPrecondition),
            }
        }
        assert_eq!(issued, 5);
    }

    #[tokio::test]
    async fn at_the_same_moment_a_coupon_is_redeemed_once() {
        let (_folder, mut client) = client().await;
        let coupon = issue(&mut client, "m", "issue-001").await.unwrap();
        assert_eq!(issue(&mut client, "m", "issue-001").await.unwrap(), coupon);
        assert_eq!(issue(&mut client, "n", "issue-001").await, Err(Code::InvalidArgument));
        assert_eq!(issue(&mut client, "m", "issue-002").await, Err(Code::FailedPrecondition));
        let tasks: Vec<_> = (0..8)
            .map(|i| {
                let mut client = client.clone();
                let request = pb::RedeemCouponRequest {
                    coupon_id: coupon.coupon_id.clone(),
                    batch_id: "spring".to_owned(),
                    face_value_fen: 5_000,
                    member_id: "m".to_owned(),
                    order_id: format!("order-{}", i / 2),
                    idempotency_key: format!("redeem-{}", i / 2),
                };
                tokio::spawn(async move { client.redeem_coupon(request).await })
            })
            .collect();
        let mut redeemed = Vec::new();
        for task in tasks {
            if let Ok(answer) = task.await.unwrap() {
                redeemed.push(answer.into_inner().coupon.unwrap());
            }
        }
        // One act, sent twice: both have the same answer, and it counts once.
        assert_eq!(redeemed.len(), 2);
        assert_eq!(redeemed[0], redeemed[1]);
        let request = pb::GetBatchRequest { batch_id: "spring".to_owned() };
        let counted = client.get_batch(request).await.unwrap().into_inner();
        assert_eq!((counted.issued_count, counted.redeemed_count, counted.redeemed_fen), (1, 1, 5_000));
    }
}
