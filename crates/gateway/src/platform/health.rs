//! `grpc.health.v1`: whether the process and each catalogued service is serving.
//!
//! A service is not serving when its breaker would refuse every call now, when nothing is known that could
//! answer for it, or when the process drains. An open breaker whose time is over is serving again: it waits
//! for a call to probe with, and a client that trusts this answer must be let to make one.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use oaas_capability::Registration;
use oaas_catalog::{Application, ServiceEntry};
use oaas_proto::grpc::health::v1::health_check_response::ServingStatus;
use oaas_proto::grpc::health::v1::health_server::{Health, HealthServer};
use oaas_proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status, async_trait};

use super::{Asker, process};
use crate::bound::{Bound, Target};
use crate::shared::Shared;

/// Watches that may be open at once.
pub const WATCHERS_MAX: usize = 1_024;
/// How often a watch looks.
const WATCH_EVERY: Duration = Duration::from_millis(500);

pub(super) fn registration(shared: &Weak<Shared>) -> Registration {
    Registration::new(HealthServer::new(HealthService {
        shared: Weak::clone(shared),
        watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
    }))
}

struct HealthService {
    shared: Weak<Shared>,
    watchers: Arc<Semaphore>,
}

type Watching = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let (asker, shared) = (Asker::of(&request)?, process(&self.shared)?);
        let name = request.into_inner().service;
        let status = status_of(&shared, &asker.call.bound, asker.application(), &name);
        // The same words for a service that is hidden from the caller and for one that never was.
        status.map(|status| Response::new(answer(status))).ok_or_else(|| Status::not_found("unknown service"))
    }

    async fn list(
        &self,
        request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let (asker, shared) = (Asker::of(&request)?, process(&self.shared)?);
        let (bound, snapshot) = (&asker.call.bound, asker.snapshot());
        let visible = snapshot.services.values().filter(|s| snapshot.visible(s, asker.application()));
        let mut statuses: HashMap<String, HealthCheckResponse> = visible
            .map(|service| (service.name.to_string(), answer(serving(&shared, bound, service))))
            .collect();
        statuses.insert(String::new(), answer(of_process(&shared)));
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = Watching;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Watching>, Status> {
        let asker = Asker::of(&request)?;
        let Ok(place) = Arc::clone(&self.watchers).try_acquire_owned() else {
            return Err(Status::resource_exhausted(format!(
                "{WATCHERS_MAX} watches are open, the most there can be"
            )));
        };
        let mut ticks = interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = Watch {
            shared: Weak::clone(&self.shared),
            application: asker.application.as_ref().map(|application| Arc::clone(&application.id)),
            service: request.into_inner().service,
            told: None,
            ticks,
            _place: place,
        };
        Ok(Response::new(Box::pin(unfold(watch, Watch::next))))
    }
}

/// An open watch. It goes with its stream, which goes with its client.
struct Watch {
    shared: Weak<Shared>,
    application: Option<Arc<str>>,
    service: String,
    told: Option<ServingStatus>,
    ticks: Interval,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// Waits for a status that the client has not been told yet. It looks at the catalog version in force,
    /// not at the one that admitted the watch: a watch is open for a day, an unknown service may become
    /// known in it, and a subscription may end.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            self.ticks.tick().await;
            let now = self.look()?;
            if self.told != Some(now) {
                self.told = Some(now);
                return Some((Ok(answer(now)), self));
            }
        }
    }

    fn look(&self) -> Option<ServingStatus> {
        let shared = self.shared.upgrade()?;
        let bound = shared.bound.load();
        let applications = &bound.snapshot.callers.applications;
        let application = self.application.as_ref().and_then(|id| applications.get(id));
        let status = status_of(&shared, &bound, application.map(|application| &**application), &self.service);
        Some(status.unwrap_or(ServingStatus::ServiceUnknown))
    }
}

/// The status of a service as `caller` may learn it; the empty name is the process.
fn status_of(
    shared: &Shared,
    bound: &Bound,
    caller: Option<&Application>,
    name: &str,
) -> Option<ServingStatus> {
    if name.is_empty() {
        return Some(of_process(shared));
    }
    let service = bound.snapshot.service(name)?;
    bound.snapshot.visible(service, caller).then(|| serving(shared, bound, service))
}

fn of_process(shared: &Shared) -> ServingStatus {
    match shared.draining.load(Ordering::Relaxed) {
        true => ServingStatus::NotServing,
        false => ServingStatus::Serving,
    }
}

fn serving(shared: &Shared, bound: &Bound, service: &ServiceEntry) -> ServingStatus {
    let Some(method) = service.methods.values().find_map(|method| bound.method(&method.path)) else {
        return ServingStatus::NotServing;
    };
    let away = matches!(method.target, Target::Missing);
    let refuses = || {
        let breaker = shared.breakers.find(&service.name);
        breaker.is_some_and(|breaker| breaker.refusal(&method.policy, shared.clock.now()).is_some())
    };
    if away || refuses() { ServingStatus::NotServing } else { of_process(shared) }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
