//! One call's way through the pool: its attempts, and what the caller gets of them.

use std::sync::Arc;

use http::{HeaderValue, Request, StatusCode, Uri, Version, request, uri};
use oaas_capability::{Body, BoxError};
use oaas_model::Code;

use super::config::{PoolConfig, SendOptions};
use super::endpoint::Endpoint;
use super::error::{Executed, Phase, UpstreamError};
use super::exchange::{self, Answer, AttemptError};
use super::guard::CallGuard;
use super::pool::{Sent, Shared, Unavailable};
use super::replay::ReplayBody;
use super::reset;
use super::retry::{Course, Failed, Next, Pushback};
use crate::header;
use crate::outcome::status_in;

/// A call with its attempts so far.
pub(super) struct CallCourse {
    head: request::Parts,
    /// Absent once the body went away with a response.
    body: Option<ReplayBody>,
    options: SendOptions,
    course: Course,
    tried: Vec<Arc<Endpoint>>,
    executed: Executed,
}

/// What an attempt came to.
pub(super) enum Attempt {
    /// A response that the caller gets as it is.
    Answered(Sent),
    /// Something after which another attempt may be made.
    Ended(Box<Ended>),
}

/// An attempt that may be followed by another one.
pub(super) struct Ended {
    failed: Failed,
    endpoint: Arc<Endpoint>,
    what: What,
}

enum What {
    /// The upstream said UNAVAILABLE and nothing more.
    Answer(Answer),
    Error(Phase, Option<BoxError>),
}

impl CallCourse {
    pub(super) fn new(request: Request<Body>, options: SendOptions, config: &PoolConfig) -> Self {
        let (head, body) = request.into_parts();
        Self {
            head,
            body: Some(ReplayBody::new(body, config.replay_bytes_max)),
            options,
            course: Course::new(options),
            tried: Vec::new(),
            executed: Executed::False,
        }
    }

    /// Endpoints that the next attempt avoids.
    pub(super) fn tried(&self) -> &[Arc<Endpoint>] {
        &self.tried
    }

    /// Sends the call once.
    pub(super) async fn attempt(&mut self, shared: &Shared, mut guard: CallGuard) -> Attempt {
        self.course.attempts = self.course.attempts.saturating_add(1);
        let endpoint = Arc::clone(guard.endpoint());
        let stop = |phase, source| {
            let failed = Failed {
                executed: Executed::False,
                unavailable: false,
                pushback: Pushback::Silent,
                replayable: false,
            };
            let what = What::Error(phase, source);
            Attempt::Ended(Box::new(Ended { failed, endpoint: Arc::clone(&endpoint), what }))
        };
        let Some(mut body) = self.body.take() else { return stop(Phase::Request, None) };
        let Some(timeout) = shared.timeout(self.options.deadline, guard.started()) else {
            return stop(Phase::Deadline, None);
        };
        let request = match self.address(&endpoint, timeout) {
            Ok(request) => request,
            Err(error) => return stop(Phase::Request, Some(error)),
        };
        let answer = match exchange::start(&mut guard, request, &body) {
            Ok(mut started) => started.answer(&mut body).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => self.judge(answer, guard, body),
            Err(error) => {
                let (phase, mut failed, source) = classify(error);
                guard.judge_phase(phase);
                failed.replayable = phase != Phase::RequestBody && body.rewind();
                self.body = Some(body);
                Attempt::Ended(Box::new(Ended { failed, endpoint, what: What::Error(phase, Some(source)) }))
            }
        }
    }

    /// A response: the caller's, unless it is a bare UNAVAILABLE to a call that may be made again.
    fn judge(&mut self, answer: Answer, mut guard: CallGuard, mut body: ReplayBody) -> Attempt {
        guard.answered();
        let endpoint = Arc::clone(guard.endpoint());
        let trailers_only = answer.is_trailers_only();
        let unavailable = reads_unavailable(&answer);
        guard.judge_head(unavailable, trailers_only);
        if !(unavailable && trailers_only && self.options.idempotent) {
            let response = answer.into_response(Some(guard), body);
            let endpoint = Arc::clone(&endpoint.target.name);
            return Attempt::Answered(Sent { response, endpoint, attempts: self.course.attempts });
        }
        let failed = Failed {
            executed: Executed::Unknown,
            unavailable,
            pushback: Pushback::read(answer.headers()),
            replayable: body.rewind(),
        };
        self.body = Some(body);
        Attempt::Ended(Box::new(Ended { failed, endpoint, what: What::Answer(answer) }))
    }

    /// What to do after an attempt that ended.
    pub(super) fn next(&mut self, shared: &Shared, ended: &Ended) -> Next {
        if ended.failed.executed == Executed::Unknown {
            self.executed = Executed::Unknown;
        }
        // One endpoint alone is tried again: behind its name there may be many.
        if shared.endpoints.len() > 1 {
            self.tried.push(Arc::clone(&ended.endpoint));
        }
        let remaining = shared.remaining(self.options.deadline);
        self.course.next(ended.failed, &shared.config, remaining, shared.draw(), || shared.withdraw())
    }

    /// The caller's answer when no more attempts are made.
    pub(super) fn finish(&mut self, ended: Ended) -> Result<Sent, UpstreamError> {
        let endpoint = Arc::clone(&ended.endpoint.target.name);
        let attempts = self.course.attempts;
        match (ended.what, self.body.take()) {
            (What::Answer(answer), Some(body)) => {
                Ok(Sent { response: answer.into_response(None, body), endpoint, attempts })
            }
            (What::Answer(_), None) => Err(self.error(Phase::Request, Some(endpoint), None)),
            (What::Error(phase, source), _) => Err(self.error(phase, Some(endpoint), source)),
        }
    }

    /// The caller's answer when there never was a stream.
    pub(super) fn away(&self, away: Unavailable) -> UpstreamError {
        let mut error = self.error(away.phase, None, away.source);
        error.retry_after = away.retry_after;
        error
    }

    fn error(&self, phase: Phase, endpoint: Option<Arc<str>>, source: Option<BoxError>) -> UpstreamError {
        UpstreamError {
            phase,
            attempts: self.course.attempts.max(1),
            executed: self.executed,
            retry_after: None,
            endpoint,
            source,
        }
    }

    /// The head for one attempt.
    fn address(&self, endpoint: &Endpoint, timeout: Option<HeaderValue>) -> Result<Request<()>, BoxError> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(endpoint.target.scheme.clone());
        parts.authority = Some(endpoint.target.authority.clone());
        let path = self.head.uri.path_and_query().cloned();
        parts.path_and_query = Some(path.unwrap_or(uri::PathAndQuery::from_static("/")));
        let mut request = Request::new(());
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = Uri::from_parts(parts)?;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.head.headers.clone();
        if let Some(timeout) = timeout {
            request.headers_mut().insert(header::GRPC_TIMEOUT, timeout);
        }
        if self.course.retries > 0 {
            let retries = HeaderValue::from(self.course.retries);
            request.headers_mut().insert(header::GRPC_PREVIOUS_ATTEMPTS, retries);
        }
        Ok(request)
    }
}

/// Says UNAVAILABLE by its `grpc-status` or, where there is none, by its HTTP status.
fn reads_unavailable(answer: &Answer) -> bool {
    const GATEWAY_ERRORS: [StatusCode; 4] = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    status_in(answer.headers())
        .map_or_else(|| GATEWAY_ERRORS.contains(&answer.status()), |code| code == Code::Unavailable)
}

fn classify(error: AttemptError) -> (Phase, Failed, BoxError) {
    let failed = |executed, unavailable| Failed {
        executed,
        unavailable,
        pushback: Pushback::Silent,
        replayable: false,
    };
    match error {
        AttemptError::RequestBody(error) => (Phase::RequestBody, failed(Executed::Unknown, false), error),
        AttemptError::Stream(error) => {
            let (phase, executed) = reset::phase(&error);
            let refused = Phase::Reset(u32::from(h2::Reason::REFUSED_STREAM));
            let unavailable = matches!(phase, Phase::Goaway | Phase::Lost) || phase == refused;
            (phase, failed(executed, unavailable), Box::new(error))
        }
    }
}
