//! The end of a call, exactly once: one outcome for breaker, metering, metrics and journal.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use oaas_audit::JournalError;
use oaas_audit::{draft, record};
use oaas_catalog::{AuditMode, Price};
use oaas_model::{Code, Reason};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use crate::call::{Call, Intent};
use crate::frames::{BadFrame, FrameCounter};
use crate::header;
use crate::outcome::{Failure, Origin, Outcome, Traffic};
use crate::rejection::{Executed, Rejection, Retry};
use crate::shared::Shared;

/// The journal's word that the record of the end is where the audit mode wants it.
pub enum Durable {
    /// It is.
    Done(Option<Result<(), Box<Rejection>>>),
    /// It is on its way to the disk.
    Syncing(Pin<Box<dyn Future<Output = Result<(), Box<Rejection>>> + Send>>),
}

impl Future for Durable {
    type Output = Result<(), Box<Rejection>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Done(result) => result.take().map_or(Poll::Pending, Poll::Ready),
            Self::Syncing(future) => future.as_mut().poll(cx),
        }
    }
}

/// Ends a call: by [`Conclusion::conclude`], or as CANCELLED when it is dropped before.
pub struct Conclusion {
    call: Arc<Call>,
    response: FrameCounter,
    over: bool,
    left: bool,
    unread: Duration,
}

impl Conclusion {
    /// The end of `call`, still open.
    #[must_use]
    pub fn new(call: Arc<Call>) -> Self {
        let entry = call.entry();
        let limit = entry.map_or(u32::MAX, |entry| entry.response_bytes_max);
        let is_stream = entry.is_none_or(|entry| entry.is_streaming());
        Self {
            response: FrameCounter::new(limit, is_stream),
            call,
            over: false,
            left: false,
            unread: Duration::ZERO,
        }
    }

    /// The call.
    #[must_use]
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    /// What all calls share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.call.shared
    }

    /// Takes note of a part of the answer.
    ///
    /// # Errors
    /// When a message's prefix is bad.
    pub fn feed(&mut self, data: &Bytes) -> Result<(), BadFrame> {
        self.response.feed(data)?;
        self.call.capture_part(data, crate::degrade::ANSWER_BYTES_MAX);
        Ok(())
    }

    /// Takes note of a time in which the caller did not read what it was given.
    pub fn unread_for(&mut self, time: Duration) {
        self.unread = self.unread.saturating_add(time);
    }

    /// Says in `headers` who made the status, and whether the answer is a degraded one.
    pub fn mark_origin(&self, headers: &mut HeaderMap) {
        let origin = self.origin();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin.as_str()));
        self.mark_degraded(headers);
    }

    /// Says in `headers` whether the answer is a degraded one.
    pub fn mark_degraded(&self, headers: &mut HeaderMap) {
        if let Some(kind) = self.degraded() {
            headers.insert(header::DEGRADED, HeaderValue::from_static(kind));
        }
    }

    /// Ends the call with the status that its caller gets. Let the last bytes go when the result is ready.
    #[must_use = "the answer may end only when the record is written"]
    pub fn conclude(&mut self, code: Code, retry_after: Option<Duration>) -> Durable {
        if std::mem::replace(&mut self.over, true) {
            return Durable::Done(Some(Ok(())));
        }
        let outcome = self.outcome(code, retry_after);
        self.keep_good_answer(&outcome);
        self.call.run_at_end(&outcome);
        match self.call.method() {
            Some(method) => method.metrics.count(&outcome),
            None => self.shared().metrics.unknown().count(&outcome),
        }
        self.record(&outcome)
    }

    /// The kind of degraded answer that this is; none for a refusal, also one of the substitute's call.
    fn degraded(&self) -> Option<&'static str> {
        self.call.degraded().filter(|_| self.call.rejection().is_none())
    }

    fn origin(&self) -> Origin {
        if self.call.rejection().is_some() || self.call.degraded().is_some() {
            Origin::Gateway
        } else {
            Origin::Upstream
        }
    }

    fn outcome(&self, code: Code, retry_after: Option<Duration>) -> Outcome {
        let rejection = self.call.rejection();
        let executed = match &rejection {
            Some(rejection) => rejection.executed,
            // A degraded answer that was made here.
            None if self.call.intent() == Intent::None => Executed::False,
            None => executed_by(code),
        };
        let failure = rejection.as_ref().and_then(|r| match r.reason {
            Reason::UpstreamNoStatus => Some(Failure::NoStatus),
            Reason::UpstreamProtocol => Some(Failure::Reset),
            Reason::UpstreamUnavailable if r.executed == Executed::False => Some(Failure::Connect),
            Reason::UpstreamUnavailable => Some(Failure::Reset),
            _ => None,
        });
        let at = self.shared().clock.now();
        let elapsed = at.since(self.call.arrived);
        Outcome {
            at,
            code,
            reason: rejection.map(|r| r.reason),
            origin: self.origin(),
            executed,
            degraded: self.degraded().is_some(),
            failure,
            retry_after,
            unread: self.unread.saturating_mul(2) > elapsed,
            elapsed,
            request: self.call.request_traffic(),
            response: self.response.traffic(),
        }
    }

    fn keep_good_answer(&self, outcome: &Outcome) {
        if let Some(capture) = self.call.take_capture()
            && outcome.code == Code::Ok
            && let Some(frames) = capture.frames
        {
            let kept =
                self.shared().last_good.put(capture.key, frames.freeze(), capture.encoding, outcome.at);
            if let Err(why) = kept {
                tracing::debug!(method = %self.call.path(), %why, "answer not kept");
            }
        }
    }

    fn record(&self, outcome: &Outcome) -> Durable {
        match self.call.intent() {
            Intent::Sampled => {
                self.shared().journal.skip(self.call.path());
                Durable::Done(Some(Ok(())))
            }
            Intent::None if !outcome.degraded => {
                self.shared().journal.refuse(refusal(&self.call, outcome));
                Durable::Done(Some(Ok(())))
            }
            // A degraded answer is acknowledged like any other: it has an outcome, though no intent.
            Intent::None | Intent::Written => {
                let journal = &self.shared().journal;
                let strict = self.call.entry().is_some_and(|entry| entry.audit == AuditMode::Strict);
                let executed = outcome.executed;
                // Nobody waits for the end of a call that was left or cut.
                if strict && !self.left {
                    // In the file from here on, even if the caller leaves before it is on the disk.
                    let durable = with_outcome(&self.call, outcome, |record| journal.durably(record));
                    let done = move |done: Result<u64, _>| {
                        done.map(drop).map_err(|error| unwritten(&error, executed))
                    };
                    Durable::Syncing(Box::pin(durable.map(done)))
                } else {
                    let written = with_outcome(&self.call, outcome, |record| journal.append(record));
                    Durable::Done(Some(written.map(drop).map_err(|error| unwritten(&error, executed))))
                }
            }
        }
    }
}

impl Conclusion {
    /// Ends the call with `rejection`; there is nobody to hear it.
    pub fn abandon(&mut self, rejection: Rejection) {
        let code = rejection.code;
        self.left = true;
        self.call.rejected(rejection);
        drop(self.conclude(code, None));
    }
}

impl Drop for Conclusion {
    fn drop(&mut self) {
        if !self.over {
            let cut = crate::layer::deadline::cut(&self.call);
            self.abandon(if self.shared().drain.is_cut() {
                cut
            } else {
                Rejection::new(Reason::CallerCancelled, "edge", "the caller went away").executed(cut.executed)
            });
        }
    }
}

/// Whether the work was done, by the status of a capability that answered: a refusal came instead of the
/// work; one that broke down or ran out of time may have done it before. Clients choose the deadline, so
/// that a late end must not give back the money that the work may have moved.
fn executed_by(code: Code) -> Executed {
    match code {
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Executed::Unknown,
        _ => Executed::True,
    }
}

/// The answer in place of one whose record can't be written: whatever was done is not acknowledged.
fn unwritten(error: &JournalError, executed: Executed) -> Box<Rejection> {
    tracing::error!(%error, "the record of an answer can't be written; the answer is withheld");
    Box::new(
        Rejection::new(Reason::AuditUnavailable, "audit", "the journal can't take the record of this answer")
            .executed(executed)
            .retry(Retry::Never),
    )
}

fn refusal(call: &Call, outcome: &Outcome) -> record::Refusal {
    let rejection = call.rejection();
    call.record(|head, decisions| record::Refusal {
        head: Some((&head).into()),
        status: u32::from(outcome.code.number()),
        reason: outcome.reason.map(|reason| reason.to_string()).unwrap_or_default(),
        stage: rejection.map(|r| r.stage.to_owned()).unwrap_or_default(),
        decisions: decisions.iter().map(Into::into).collect(),
        elapsed_us: micros(outcome.elapsed),
    })
}

fn with_outcome<T>(call: &Call, outcome: &Outcome, write: impl FnOnce(draft::Outcome<'_>) -> T) -> T {
    let (endpoint, attempts) = call.endpoint();
    let price = call.entry().and_then(|entry| entry.price.as_ref());
    let price = price.filter(|_| outcome.code == Code::Ok && !outcome.degraded);
    let Traffic { messages: request_messages, bytes: request_bytes, digest: request_digest } =
        &outcome.request;
    let Traffic { messages: response_messages, bytes: response_bytes, digest: response_digest } =
        &outcome.response;
    call.record(|head, decisions| {
        write(draft::Outcome {
            head,
            status: u32::from(outcome.code.number()),
            reason: outcome.reason.map_or("", |reason| reason.as_str()),
            origin: outcome.origin.as_str(),
            executed: outcome.executed.as_str(),
            degraded: outcome.degraded,
            endpoint: endpoint.as_deref().unwrap_or_default(),
            attempts,
            elapsed_us: micros(outcome.elapsed),
            request_messages: *request_messages,
            request_bytes: *request_bytes,
            response_messages: *response_messages,
            response_bytes: *response_bytes,
            request_digest,
            response_digest,
            units: u64::from(price.is_some()),
            price_micros: price.map_or(0, micros_of),
            currency: price.map_or("", |price| price.currency.code()),
            decisions,
        })
    })
}

/// Millionths of the currency's major unit; a price with more digits is cut, never rounded up.
fn micros_of(price: &Price) -> i64 {
    (price.amount * Decimal::from(1_000_000)).to_i64().unwrap_or(0)
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_end_does_not_say_that_nothing_was_done() {
        let settled = |code: Code| {
            let executed = match executed_by(code) {
                Executed::False => Some(false),
                Executed::True => Some(true),
                Executed::Unknown => None,
            };
            oaas_metering::Ended { status: code.number().into(), executed, degraded: false }.settle()
        };
        for code in [Code::Ok, Code::DeadlineExceeded, Code::Cancelled, Code::Internal, Code::Unavailable] {
            assert_eq!(settled(code), oaas_metering::Settle::Spent, "{code}");
        }
        for code in [Code::FailedPrecondition, Code::InvalidArgument, Code::NotFound, Code::Aborted] {
            assert_eq!(settled(code), oaas_metering::Settle::Released, "{code}");
        }
    }
}
