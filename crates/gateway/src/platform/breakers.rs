//! `oaas.gateway.v1.BreakerService`: operators look at the circuit breakers of this process and force them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use oaas_capability::{Registration, Violation, invalid, validated};
use oaas_model::Timestamp;
use oaas_proto::oaas::gateway::v1 as wire;
use oaas_proto::oaas::gateway::v1::breaker_service_server::{BreakerService, BreakerServiceServer};
use tonic::{Request, Response, Status, async_trait};

use super::{Asker, policy, process, unknown_service};
use crate::breaker::{Breaker, BreakerPolicy, Mode, State};
use crate::shared::Shared;

/// Breakers in one answer, so that it stays below the message size of common clients (4 MiB); the worst
/// are told, and how bad the rest is follows from the last of them.
const LISTED_MAX: usize = 8_192;

const NAME: &str = "oaas.gateway.v1.BreakerService";

pub(super) fn registration(shared: &Weak<Shared>) -> Registration {
    Registration::new(BreakerServiceServer::new(Breakers { shared: Weak::clone(shared) }))
}

struct Breakers {
    shared: Weak<Shared>,
}

#[async_trait]
impl BreakerService for Breakers {
    async fn list_breakers(
        &self,
        request: Request<wire::ListBreakersRequest>,
    ) -> Result<Response<wire::ListBreakersResponse>, Status> {
        let (asker, shared) = (Asker::of(&request)?, process(&self.shared)?);
        let only = validated(request)?.service;
        let now = shared.clock.now();
        let mut breakers: Vec<wire::Breaker> = shared
            .breakers
            .list()
            .into_iter()
            .filter(|(service, _, _)| only.is_empty() || *service == only)
            .map(|(service, application, breaker)| {
                let policy = policy(&asker.call.bound, &service);
                told(service, application.unwrap_or_default(), &breaker, &policy, now)
            })
            .collect();
        breakers.sort_by(worst_first);
        breakers.truncate(LISTED_MAX);
        Ok(Response::new(wire::ListBreakersResponse { breakers }))
    }

    async fn force_breaker(
        &self,
        request: Request<wire::ForceBreakerRequest>,
    ) -> Result<Response<wire::ForceBreakerResponse>, Status> {
        let (asker, shared) = (Asker::of(&request)?, process(&self.shared)?);
        let asked = validated(request)?;
        let Some((mode, action)) = mode(asked.mode()) else {
            return Err(field("mode", "is not a mode of a breaker"));
        };
        if asker.snapshot().service(&asked.service).is_none() {
            return Err(unknown_service(NAME, &asked.service));
        }
        if mode == Mode::ForcedOpen && asked.service == NAME {
            return Err(field("service", "forced open, it could not be asked to close again"));
        }
        let actor = asker.application.as_ref().map_or("anonymous", |application| &*application.id);
        let (now, policy) = (shared.clock.now(), policy(&asker.call.bound, &asked.service));
        let breaker = shared.breakers.get(&asked.service, None);
        let transition = breaker.force(mode, now);
        let details = HashMap::from([
            ("mode".to_owned(), mode.to_string()),
            ("reason".to_owned(), asked.reason),
            ("call_id".to_owned(), asker.call.id.to_string()),
        ]);
        shared.administered(actor, action, &asked.service, details);
        if let Some(transition) = &transition {
            shared.announce_one(&asked.service, None, transition, actor);
        }
        let breaker = told(asked.service, String::new(), &breaker, &policy, now);
        Ok(Response::new(wire::ForceBreakerResponse { breaker: Some(breaker) }))
    }
}

fn field(name: &str, description: &str) -> Status {
    invalid(&[Violation { field: name.to_owned(), description: description.to_owned() }])
}

/// The mode, and what the audit record calls the act.
fn mode(asked: wire::BreakerMode) -> Option<(Mode, &'static str)> {
    match asked {
        wire::BreakerMode::Unspecified => None,
        wire::BreakerMode::Automatic => Some((Mode::Automatic, "breaker.automatic")),
        wire::BreakerMode::ForcedOpen => Some((Mode::ForcedOpen, "breaker.force_open")),
        wire::BreakerMode::ForcedClosed => Some((Mode::ForcedClosed, "breaker.force_closed")),
        wire::BreakerMode::Observe => Some((Mode::Observe, "breaker.observe")),
    }
}

/// A breaker as it is told of.
fn told(
    service: String,
    application: String,
    breaker: &Arc<Breaker>,
    policy: &BreakerPolicy,
    now: Timestamp,
) -> wire::Breaker {
    let seen = breaker.snapshot(policy, now);
    wire::Breaker {
        service,
        application,
        state: match seen.state {
            State::Closed => wire::BreakerState::Closed,
            State::Open => wire::BreakerState::Open,
            State::HalfOpen => wire::BreakerState::HalfOpen,
            State::Ramping => wire::BreakerState::Ramping,
        }
        .into(),
        mode: match seen.mode {
            Mode::Automatic => wire::BreakerMode::Automatic,
            Mode::ForcedOpen => wire::BreakerMode::ForcedOpen,
            Mode::ForcedClosed => wire::BreakerMode::ForcedClosed,
            Mode::Observe => wire::BreakerMode::Observe,
        }
        .into(),
        calls: seen.calls,
        errors: seen.errors,
        timeouts: seen.timeouts,
        error_rate_max: policy.error_rate_max,
        timeout_rate_max: policy.timeout_rate_max,
        half_open_at: seen.half_open_at.map(moment),
        cause: seen.cause.map_or_else(String::new, |cause| cause.to_string()),
        trips: seen.trips,
    }
}

fn moment(at: Timestamp) -> prost_types::Timestamp {
    const SECOND_NS: i64 = 1_000_000_000;
    prost_types::Timestamp {
        seconds: at.unix_ns.div_euclid(SECOND_NS),
        nanos: i32::try_from(at.unix_ns.rem_euclid(SECOND_NS)).unwrap_or_default(),
    }
}

/// Open ones first, then half-open, ramping and closed ones; of these the largest share of failures first.
fn worst_first(one: &wire::Breaker, other: &wire::Breaker) -> std::cmp::Ordering {
    let rank = |breaker: &wire::Breaker| match breaker.state() {
        wire::BreakerState::Open => 0,
        wire::BreakerState::HalfOpen => 1,
        wire::BreakerState::Ramping => 2,
        _ => 3,
    };
    let errors = |breaker: &wire::Breaker| share(breaker.errors, breaker.calls);
    let timeouts = |breaker: &wire::Breaker| share(breaker.timeouts, breaker.calls);
    rank(one)
        .cmp(&rank(other))
        .then(errors(other).total_cmp(&errors(one)))
        .then(timeouts(other).total_cmp(&timeouts(one)))
        .then_with(|| (&one.service, &one.application).cmp(&(&other.service, &other.application)))
}

/// Share of `part` in `all`; 0 without any.
pub(super) fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}
