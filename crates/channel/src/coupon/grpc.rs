//! The adapter of `oaas.channel.v1.CouponService`: wire to core, call, core to wire.

use std::collections::HashMap;
use std::sync::Arc;

use oaas_capability::{CapabilityError, Context, Violation, invalid, validated};
use oaas_model::{Clock, Reason};
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::coupon_service_server::{CouponService, CouponServiceServer};
use oaas_store::StoreError;
use tonic::{Code, Request, Response, Status};

use super::store::{CouponStore, Fault};
use super::{Batch, Coupon, CouponError, Redemption, State};

/// The service, as error details name it.
const SERVICE: &str = "oaas.channel.v1.CouponService";

/// The service.
#[derive(Clone)]
pub struct Coupons {
    store: CouponStore,
    clock: Arc<dyn Clock>,
}

/// The service over its tables in the context's store.
///
/// # Errors
/// When the tables can't be made.
pub async fn server(cx: &Context) -> Result<CouponServiceServer<Coupons>, StoreError> {
    let store = CouponStore::open(cx.store.clone()).await?;
    Ok(CouponServiceServer::new(Coupons { store, clock: cx.clock.clone() }))
}

#[tonic::async_trait]
impl CouponService for Coupons {
    async fn open_batch(
        &self,
        request: Request<pb::OpenBatchRequest>,
    ) -> Result<Response<pb::OpenBatchResponse>, Status> {
        let Some(wire) = validated(request)?.batch else {
            return Err(invalid(&[Violation::new("batch", "must be there")]));
        };
        let batch = Batch {
            batch_id: wire.batch_id.clone(),
            face_value_fen: wire.face_value_fen,
            total_count: wire.total_count,
            per_member_max: wire.per_member_max,
            valid_from_ms: wire.valid_from_ms,
            valid_until_ms: wire.valid_until_ms,
        };
        let problems = batch.problems();
        if !problems.is_empty() {
            let path = |(field, text): (&str, String)| Violation::new(format!("batch.{field}"), text);
            return Err(invalid(&problems.into_iter().map(path).collect::<Vec<_>>()));
        }
        self.store.open_batch(&batch).await?;
        Ok(Response::new(pb::OpenBatchResponse { batch: Some(wire) }))
    }

    async fn issue_coupon(
        &self,
        request: Request<pb::IssueCouponRequest>,
    ) -> Result<Response<pb::IssueCouponResponse>, Status> {
        let request = validated(request)?;
        let (batch_id, member_id) = (&request.batch_id, &request.member_id);
        let now_ms = self.clock.now().unix_ms();
        let (batch, coupon) = self.store.issue(batch_id, member_id, &request.idempotency_key, now_ms).await?;
        Ok(Response::new(pb::IssueCouponResponse { coupon: Some(coupon_wire(&batch, coupon)) }))
    }

    async fn redeem_coupon(
        &self,
        request: Request<pb::RedeemCouponRequest>,
    ) -> Result<Response<pb::RedeemCouponResponse>, Status> {
        let request = validated(request)?;
        let wish = Redemption {
            batch_id: request.batch_id,
            face_value_fen: request.face_value_fen,
            member_id: request.member_id,
            order_id: request.order_id,
            idempotency_key: request.idempotency_key,
        };
        let now_ms = self.clock.now().unix_ms();
        let (batch, coupon) = self.store.redeem(&request.coupon_id, &wish, now_ms).await?;
        Ok(Response::new(pb::RedeemCouponResponse { coupon: Some(coupon_wire(&batch, coupon)) }))
    }

    async fn get_batch(
        &self,
        request: Request<pb::GetBatchRequest>,
    ) -> Result<Response<pb::GetBatchResponse>, Status> {
        let counted = self.store.batch(&validated(request)?.batch_id).await?;
        let batch = counted.batch;
        Ok(Response::new(pb::GetBatchResponse {
            issued_count: counted.issued,
            redeemed_count: counted.redeemed,
            redeemed_fen: counted.redeemed.saturating_mul(batch.face_value_fen),
            batch: Some(pb::Batch {
                batch_id: batch.batch_id,
                face_value_fen: batch.face_value_fen,
                total_count: batch.total_count,
                per_member_max: batch.per_member_max,
                valid_from_ms: batch.valid_from_ms,
                valid_until_ms: batch.valid_until_ms,
            }),
        }))
    }
}

fn coupon_wire(batch: &Batch, coupon: Coupon) -> pb::Coupon {
    let (state, order_id, redeemed_at_ms) = match coupon.state {
        State::Issued => (pb::CouponState::Issued, String::new(), 0),
        State::Redeemed { order_id, at_ms, .. } => (pb::CouponState::Redeemed, order_id, at_ms),
    };
    pb::Coupon {
        coupon_id: coupon.coupon_id,
        batch_id: coupon.batch_id,
        member_id: coupon.member_id,
        face_value_fen: batch.face_value_fen,
        state: state.into(),
        order_id,
        issued_at_ms: coupon.issued_at_ms,
        redeemed_at_ms,
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let (code, reason) = match &fault {
            Fault::BatchUnknown(_) => (Code::NotFound, "BATCH_UNKNOWN"),
            Fault::BatchConflict(_) => (Code::AlreadyExists, "BATCH_CONFLICT"),
            Fault::CouponUnknown(_) => (Code::NotFound, "COUPON_UNKNOWN"),
            Fault::Store(_) => (Code::Unavailable, "STORE_UNAVAILABLE"),
            Fault::Coupon(error) => match error {
                CouponError::Exhausted { .. } => (Code::FailedPrecondition, "BATCH_EXHAUSTED"),
                CouponError::MemberLimit { .. } => (Code::FailedPrecondition, "MEMBER_LIMIT"),
                CouponError::OutsideDays { .. } => (Code::FailedPrecondition, "OUTSIDE_DAYS"),
                CouponError::StakeMismatch { .. } => (Code::FailedPrecondition, "STAKE_MISMATCH"),
                CouponError::NotYours { .. } => (Code::PermissionDenied, "COUPON_NOT_YOURS"),
                CouponError::Redeemed { .. } => (Code::FailedPrecondition, "COUPON_REDEEMED"),
                CouponError::KeyReused { .. } => {
                    (Code::InvalidArgument, Reason::IdempotencyKeyReused.as_str())
                }
            },
        };
        // What the engine says is for the log, not for callers.
        let message = match &fault {
            Fault::Store(_) => "the store can't be reached just now".to_owned(),
            other => other.to_string(),
        };
        CapabilityError { code, reason, service: SERVICE, message, metadata: HashMap::new() }.into()
    }
}
