//! `oaas.catalog.v1.CatalogService`: the catalog as the caller may see it, by the version that decides this
//! very call. A service that is hidden from the caller is answered like one that never was.

mod entry;
mod page;

use std::sync::{Arc, Weak};
use std::time::Duration;

use oaas_capability::{Registration, Violation, invalid, validated};
use oaas_catalog::{MethodEntry, Query, ServiceEntry, search};
use oaas_model::Reason;
use oaas_proto::oaas::catalog::v1 as wire;
use oaas_proto::oaas::catalog::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use tonic::{Request, Response, Status, async_trait};

use super::breakers::share;
use super::projection::duration;
use super::{Asker, policy, process, unknown_service};
use crate::breaker::State;
use crate::metrics::{BOUNDS_US, recent_quantile_of};
use crate::shared::Shared;

/// Services on a page when the caller doesn't say.
const PAGE_SIZE: usize = 100;

const NAME: &str = "oaas.catalog.v1.CatalogService";

pub(super) fn registration(shared: &Weak<Shared>) -> Registration {
    Registration::new(CatalogServiceServer::new(Catalog { shared: Weak::clone(shared) }))
}

struct Catalog {
    shared: Weak<Shared>,
}

#[async_trait]
impl CatalogService for Catalog {
    async fn list_services(
        &self,
        request: Request<wire::ListServicesRequest>,
    ) -> Result<Response<wire::ListServicesResponse>, Status> {
        let asker = Asker::of(&request)?;
        let asked = validated(request)?;
        let query = Query {
            text: &asked.query,
            domain: some(&asked.domain),
            tag: some(&asked.tag),
            stage: entry::stage_of(asked.stage()),
            viewer: asker.application().into(),
        };
        let hits = search(asker.snapshot(), &query);
        let page_size = match usize::try_from(asked.page_size) {
            Ok(0) | Err(_) => PAGE_SIZE,
            Ok(size) => size,
        };
        let Some(page) = page::page(&hits, &asked, page_size) else {
            let description = "is not the next_page_token of an answer to the same question".to_owned();
            return Err(invalid(&[Violation { field: "page_token".to_owned(), description }]));
        };
        Ok(Response::new(wire::ListServicesResponse {
            services: page.hits.iter().map(|hit| entry::service(&hit.service)).collect(),
            next_page_token: page.next_token,
            catalog_version: asker.snapshot().version.to_string(),
        }))
    }

    async fn get_service(
        &self,
        request: Request<wire::GetServiceRequest>,
    ) -> Result<Response<wire::GetServiceResponse>, Status> {
        let asker = Asker::of(&request)?;
        let service = visible(&asker, &validated(request)?.name)?;
        Ok(Response::new(wire::GetServiceResponse {
            service: Some(entry::service(service)),
            catalog_version: asker.snapshot().version.to_string(),
        }))
    }

    async fn get_service_state(
        &self,
        request: Request<wire::GetServiceStateRequest>,
    ) -> Result<Response<wire::GetServiceStateResponse>, Status> {
        let (asker, shared) = (Asker::of(&request)?, process(&self.shared)?);
        let service = visible(&asker, &validated(request)?.name)?;
        let (now, bound) = (shared.clock.now(), &asker.call.bound);
        let breaker = shared.breakers.find(&service.name);
        let seen = breaker.map(|breaker| breaker.snapshot(&policy(bound, &service.name), now));
        let methods = service.methods.values().filter_map(|method| bound.method(&method.path));
        let p99 = recent_quantile_of(methods.map(|method| &*method.metrics), 0.99, now);
        let (calls, errors, timeouts) = seen.as_ref().map_or((0, 0, 0), |s| (s.calls, s.errors, s.timeouts));
        Ok(Response::new(wire::GetServiceStateResponse {
            breaker_state: seen.map_or(State::Closed, |seen| seen.state).to_string(),
            calls,
            error_rate: share(errors, calls),
            timeout_rate: share(timeouts, calls),
            p99: p99.map(|p99| duration(p99.min(LATENCY_MAX))),
        }))
    }

    async fn list_access(
        &self,
        request: Request<wire::ListAccessRequest>,
    ) -> Result<Response<wire::ListAccessResponse>, Status> {
        let asker = Asker::of(&request)?;
        let (snapshot, caller) = (asker.snapshot(), asker.application());
        let visible = snapshot.services.values().filter(|service| snapshot.visible(service, caller));
        let mut access: Vec<wire::Access> = visible
            .flat_map(|service| service.methods.values().map(move |method| (service, method)))
            .map(|(service, method)| access(&asker, service, method))
            .collect();
        access.sort_by(|one, other| one.path.cmp(&other.path));
        let catalog_version = snapshot.version.to_string();
        Ok(Response::new(wire::ListAccessResponse { access, catalog_version }))
    }
}

/// The largest latency that is told; the last bucket has no bound of its own.
const LATENCY_MAX: Duration = match BOUNDS_US.last() {
    Some(us) => Duration::from_micros(*us),
    None => Duration::ZERO,
};

#[allow(clippy::result_large_err, reason = "tonic's own error type")]
fn visible<'a>(asker: &'a Asker, name: &str) -> Result<&'a Arc<ServiceEntry>, Status> {
    let snapshot = asker.snapshot();
    let service = snapshot.service(name).filter(|service| snapshot.visible(service, asker.application()));
    service.ok_or_else(|| unknown_service(NAME, name))
}

/// What the stack would say to a call of this method now, as far as the catalog decides it.
fn access(asker: &Asker, service: &ServiceEntry, method: &MethodEntry) -> wire::Access {
    let (plan, refusal) = match asker.application() {
        Some(caller) => match asker.snapshot().access(method, caller, asker.call.arrived.unix_ms()) {
            Ok(access) => (access.plan, None),
            Err(denied) => (None, Some(denied.reason)),
        },
        None => (None, (!service.anonymous).then_some(Reason::CredentialsMissing)),
    };
    wire::Access {
        path: method.path.to_string(),
        allowed: refusal.is_none(),
        reason: refusal.map_or("", Reason::as_str).to_owned(),
        plan: plan.map(|plan| plan.name.to_string()).unwrap_or_default(),
    }
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
