//! `oaas.manufacturing.v1.LotSizingService`: wire to core, call, core to wire. It stores nothing.

use std::collections::HashMap;

use oaas_capability::{CapabilityError, Registration, Violation, invalid, validated};
use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_proto::oaas::manufacturing::v1::lot_sizing_service_server::{
    LotSizingService, LotSizingServiceServer,
};
use tonic::{Code, Request, Response, Status};

use super::{PolicyError, wire};

/// The service.
#[must_use]
pub fn service() -> Registration {
    Registration::new(LotSizingServiceServer::new(LotSizing))
}

/// The adapter.
#[derive(Clone, Copy, Debug, Default)]
pub struct LotSizing;

/// What a request asks that can't be answered, with its field.
pub(super) fn refused(field: &str, error: &PolicyError) -> Status {
    invalid(&[Violation::new(field, error.to_string())])
}

#[tonic::async_trait]
impl LotSizingService for LotSizing {
    async fn size_lots(
        &self,
        request: Request<pb::SizeLotsRequest>,
    ) -> Result<Response<pb::SizeLotsResponse>, Status> {
        let request = validated(request)?;
        blocking(move || wire::lots(&request)).await
    }

    async fn choose_policy(
        &self,
        request: Request<pb::ChoosePolicyRequest>,
    ) -> Result<Response<pb::ChoosePolicyResponse>, Status> {
        let request = validated(request)?;
        blocking(move || wire::policy(&request)).await
    }
}

/// Computes on a thread where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<Response<T>, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| CapabilityError {
        code: Code::Internal,
        reason: "LOT_SIZING_FAILED",
        service: "oaas.manufacturing.v1.LotSizingService",
        message: "lot sizing stopped before its answer".to_owned(),
        metadata: HashMap::new(),
    })?
    .map(Response::new)
}
