//! Within the period's calls, and the money at stake? RESOURCE_EXHAUSTED.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::Either;
use http::Response;
use oaas_audit::record;
use oaas_catalog::{Plan, StakeField};
use oaas_metering::{BudgetError, BudgetKey, BudgetLimit, Period, QuotaKey, QuotaLimit};
use oaas_model::Reason;
use tower::{Layer, Service};

use crate::call::Call;
use crate::gate::{GateFuture, Governed};
use crate::rejection::{Rejection, Retry};
use crate::stake::{self, Stake};
use crate::{Body, buffer};

/// A refusal names the wait only when it is short; later than this, asking again is no use.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Puts quota and budget before what is below.
#[derive(Clone, Copy, Debug)]
pub struct QuotaLayer;

/// Quota and budget, and what is below them.
#[derive(Clone, Copy, Debug)]
pub struct Metered<S> {
    inner: S,
}

impl<S> Layer<S> for QuotaLayer {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Metered { inner }
    }
}

type Answer = Result<Response<Body>, Box<Rejection>>;
type BoxAnswer = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl<S> Service<Governed> for Metered<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Box<Rejection>;
    type Future = Either<GateFuture<S::Future>, BoxAnswer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        let call = &governed.call;
        let Some(plan) = call.plan() else {
            return Either::Left(GateFuture::Open { inner: self.inner.call(governed) });
        };
        if let Err(rejection) = take_quota(call, plan) {
            return Either::Left(GateFuture::Shut { rejection: Some(rejection) });
        }
        if call.entry().is_none_or(|entry| entry.stakes.is_empty()) {
            return Either::Left(GateFuture::Open { inner: self.inner.call(governed) });
        }
        let (inner, plan) = (self.inner.clone(), Arc::clone(plan));
        Either::Right(Box::pin(with_budget(inner, governed, plan)))
    }
}

fn take_quota(call: &Arc<Call>, plan: &Plan) -> Result<(), Box<Rejection>> {
    let (Some(quota), Some(application)) = (plan.quota, call.application()) else { return Ok(()) };
    let limit = QuotaLimit {
        calls: quota.calls,
        period: match quota.period {
            oaas_catalog::QuotaPeriod::Day => Period::Day,
            oaas_catalog::QuotaPeriod::Week => Period::Week,
            oaas_catalog::QuotaPeriod::Month => Period::Month,
        },
        utc_offset_minutes: quota.utc_offset_minutes,
    };
    let now = call.arrived;
    let key = QuotaKey { application: &application.id, service: call.service_name() };
    match call.shared.meters.take_quota(key, &limit, now) {
        Ok(taken) => {
            call.decided("quota", "allowed", &[("remaining", taken.remaining as f64)]);
            call.at_end(move |call, outcome| {
                // A call that was refused further down was never made.
                if outcome.ended().gives_quota_back()
                    && let Some(application) = call.application()
                {
                    let key = QuotaKey { application: &application.id, service: call.service_name() };
                    call.shared.meters.give_back_quota(key, &limit, call.arrived);
                }
            });
            Ok(())
        }
        Err(_) if plan.shadow => {
            call.decided("quota", "shadow", &[("calls", quota.calls as f64)]);
            Ok(())
        }
        Err(exhausted) => {
            call.decided(
                "quota",
                "refused",
                &[("calls", quota.calls as f64), ("used", exhausted.used as f64)],
            );
            let message = format!("the quota of {} calls is used up", quota.calls);
            let rejection = Rejection::new(Reason::QuotaExhausted, "quota", message)
                .fact("limit", quota.calls)
                .fact("used", exhausted.used);
            let subject =
                (format!("application:{}", application.id), format!("calls to {}", call.service_name()));
            Err(until(rejection, subject, exhausted.resets_at_unix_ms, now.unix_ms()))
        }
    }
}

/// Reads the money at stake, reserves it, and settles it when the call is over.
async fn with_budget<S>(mut inner: S, governed: Governed, plan: Arc<Plan>) -> Answer
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>>,
{
    let Governed { call, request } = governed;
    let (parts, body) = request.into_parts();
    let Some(entry) = call.entry().map(Arc::clone) else {
        return Err(Box::new(Rejection::new(Reason::MethodUnknown, "quota", "no such method")));
    };
    let (frames, trailers) = buffer::whole(body, entry.request_bytes_max, &call.shared.requests).await?;
    let message = buffer::only_message(&frames, &parts.headers, entry.request_bytes_max)?;
    let message = stake::decode(entry.descriptor.input(), message)?;
    for field in &entry.stakes {
        let stake = stake::read(&message, field)?;
        reserve(&call, &plan, field, stake)?;
    }
    // It may be many times its encoded size.
    drop(message);
    let request = http::Request::from_parts(parts, buffer::again(frames, trailers));
    inner.call(Governed { call, request }).await
}

fn reserve(call: &Arc<Call>, plan: &Plan, field: &StakeField, stake: Stake) -> Result<(), Box<Rejection>> {
    let shared = &call.shared;
    let (Some(budget), Some(application)) = (plan.budgets.get(field.budget.as_str()), call.application())
    else {
        return Ok(());
    };
    let limit = BudgetLimit { amount_minor: budget.amount_minor, window: budget.window };
    let key = BudgetKey { application: &application.id, budget: &field.budget, key: &stake.key };
    let now = shared.clock.now();
    let amount = stake.amount_minor as f64;
    call.staked(record::Stake {
        budget: field.budget.clone(),
        key: stake.key.clone(),
        amount_minor: stake.amount_minor,
        currency: field.currency.to_string(),
    });
    match shared.meters.reserve(key, &limit, stake.amount_minor, now) {
        Ok(reservation) => {
            call.decided("budget", "reserved", &[("amount_minor", amount)]);
            call.at_end(move |call, outcome| {
                call.shared.meters.settle(reservation, outcome.ended().settle(), outcome.at);
            });
            Ok(())
        }
        Err(BudgetError::Exhausted(exhausted)) => {
            let used = exhausted.used as f64;
            let numbers =
                [("limit_minor", limit.amount_minor as f64), ("used_minor", used), ("amount_minor", amount)];
            if plan.shadow {
                call.decided("budget", "shadow", &numbers);
                return Ok(());
            }
            call.decided("budget", "refused", &numbers);
            shared.budget_exhausted(&application.id, &field.budget, &stake.key);
            let message = format!(
                "{} would put more at stake than the budget {} of {} in {} s",
                stake.key,
                field.budget,
                oaas_model::Money::new(i128::from(limit.amount_minor), field.currency),
                limit.window.as_secs()
            );
            let rejection = Rejection::new(Reason::BudgetExhausted, "quota", message)
                .fact("budget", &field.budget)
                .fact("limit_minor", limit.amount_minor)
                .fact("used_minor", exhausted.used)
                .fact("currency", field.currency);
            let subject =
                (format!("application:{}", application.id), format!("money at stake, {}", field.budget));
            Err(until(rejection, subject, exhausted.frees_at_unix_ms, now.unix_ms()))
        }
        Err(BudgetError::Invalid(why)) => {
            Err(Box::new(Rejection::invalid("quota", &field.amount_field, why.to_string())))
        }
    }
}

fn until(
    mut rejection: Rejection,
    subject: (String, String),
    at_unix_ms: i64,
    now_unix_ms: i64,
) -> Box<Rejection> {
    let wait = Duration::from_millis(u64::try_from(at_unix_ms.saturating_sub(now_unix_ms)).unwrap_or(0));
    rejection.retry = if wait <= WAIT_MAX { Retry::After(wait) } else { Retry::Never };
    rejection.quota = Some(subject);
    // As people and protobuf JSON write it; out of its range there is nothing to say.
    match jiff::Timestamp::from_millisecond(at_unix_ms) {
        Ok(at) => Box::new(rejection.fact("resets_at", at)),
        Err(_) => Box::new(rejection),
    }
}
