//! min(caller's `grpc-timeout`, catalog), over the whole stream. DEADLINE_EXCEEDED, and the upstream is
//! cancelled. Streams without a deadline of their own have a longest duration instead.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Response};
use oaas_model::{Reason, Timestamp};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::{Layer, Service};

use crate::Body;
use crate::call::{Call, Deadline, Intent};
use crate::gate::Governed;
use crate::header;
use crate::rejection::{Executed, Rejection, Retry};

/// When a client that was cut should try again: by then another process has its calls.
const CUT_PUSHBACK: Duration = Duration::from_secs(1);

/// Puts the deadline over what is below.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer;

/// The deadline and what is below it.
#[derive(Clone, Copy, Debug)]
pub struct Timed<S> {
    inner: S,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Timed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Timed { inner }
    }
}

impl<S> Service<Governed> for Timed<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Box<Rejection>>,
{
    type Response = Response<Body>;
    type Error = Box<Rejection>;
    type Future = TimedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, governed: Governed) -> Self::Future {
        let call = Arc::clone(&governed.call);
        match set(&call, governed.request.headers()) {
            Ok(left) => TimedFuture::Running { inner: self.inner.call(governed), call, left, timer: None },
            Err(rejection) => TimedFuture::Over { rejection: Some(rejection) },
        }
    }
}

/// What is above decides at once, so that no time has passed since the call came.
fn set(call: &Call, headers: &HeaderMap) -> Result<Duration, Box<Rejection>> {
    let client = client_deadline(headers)?;
    let Some(entry) = call.entry() else { return Ok(Duration::MAX) };
    let catalog = if entry.is_streaming() { entry.stream.duration_max } else { entry.deadline };
    let whole = client.map_or(catalog, |client| client.min(catalog));
    let deadline = Deadline { at: call.arrived.plus(whole), client, catalog };
    call.set_deadline(deadline);
    call.decided("deadline", "set", &[("ms", whole.as_secs_f64() * 1e3)]);
    if whole.is_zero() {
        return Err(Box::new(expired(call, call.arrived)));
    }
    if whole <= crate::metadata::MARGIN {
        let message = "the deadline leaves the capability no time";
        return Err(Box::new(timed(
            Rejection::new(Reason::DeadlineInfeasible, "deadline", message),
            call,
            call.arrived,
        )));
    }
    Ok(whole)
}

/// Reads `grpc-timeout` (grpc/grpc, doc/PROTOCOL-HTTP2.md: at most eight digits and a unit).
///
/// # Errors
/// FIELD_INVALID when it is malformed; it never counts as "no deadline".
pub fn client_deadline(headers: &HeaderMap) -> Result<Option<Duration>, Box<Rejection>> {
    let mut values = headers.get_all(header::GRPC_TIMEOUT).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let malformed = || {
        let shown = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let why = format!("must be 1 to 8 digits and one of H M S m u n, is {shown:?}");
        Box::new(Rejection::invalid("deadline", "grpc-timeout", why))
    };
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(malformed)?;
    let unit = text.chars().last().ok_or_else(malformed)?;
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let amount: u64 = digits.parse().map_err(|_| malformed())?;
    let duration = match unit {
        'H' => Duration::from_secs(amount * 3600),
        'M' => Duration::from_secs(amount * 60),
        'S' => Duration::from_secs(amount),
        'm' => Duration::from_millis(amount),
        'u' => Duration::from_micros(amount),
        'n' => Duration::from_nanos(amount),
        _ => return Err(malformed()),
    };
    Ok(Some(duration))
}

/// The deadline passed before the call was made.
#[must_use]
pub fn expired(call: &Call, now: Timestamp) -> Rejection {
    let message = "the deadline had passed before the call was made";
    timed(Rejection::new(Reason::DeadlineExpired, "deadline", message), call, now)
}

/// The deadline passed while the capability worked.
#[must_use]
pub fn passed(call: &Call, now: Timestamp) -> Rejection {
    let message = "the deadline passed before the answer was complete";
    let rejection = Rejection::new(Reason::DeadlineUpstream, "deadline", message);
    timed(rejection.executed(Executed::Unknown), call, now)
}

/// A stream was silent for too long.
#[must_use]
pub fn idle(limit: Duration) -> Rejection {
    let message = format!("nothing moved on the stream for {} ms", limit.as_millis());
    Rejection::new(Reason::DeadlineUpstream, "deadline", message)
        .executed(Executed::Unknown)
        .retry(Retry::Never)
        .fact("idle_ms", limit.as_millis())
}

/// The process stops, and can't wait for the call any longer.
#[must_use]
pub fn cut(call: &Call) -> Rejection {
    let executed = match call.intent() {
        Intent::None => Executed::False,
        Intent::Written | Intent::Sampled => Executed::Unknown,
    };
    Rejection::new(Reason::Draining, "edge", "the process stops, and the answer was not complete")
        .executed(executed)
        .retry(Retry::After(CUT_PUSHBACK))
}

fn timed(rejection: Rejection, call: &Call, now: Timestamp) -> Rejection {
    let rejection = rejection.retry(Retry::Never).fact("elapsed_ms", now.since(call.arrived).as_millis());
    match call.deadline() {
        Some(Deadline { client, catalog, .. }) => {
            let rejection = rejection.fact("catalog_ms", catalog.as_millis());
            match client {
                Some(client) => rejection.fact("client_ms", client.as_millis()),
                None => rejection,
            }
        }
        None => rejection,
    }
}

pin_project! {
    /// What is below, until the deadline.
    #[project = TimedProjection]
    pub enum TimedFuture<F> {
        /// The call goes on.
        Running {
            #[pin]
            inner: F,
            call: Arc<Call>,
            left: Duration,
            // Made only when the answer is not there at once: most answers of this process are.
            timer: Option<Pin<Box<Sleep>>>,
        },
        /// It was over before it began.
        Over { rejection: Option<Box<Rejection>> },
    }
}

impl<F> Future for TimedFuture<F>
where
    F: Future<Output = Result<Response<Body>, Box<Rejection>>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            TimedProjection::Over { rejection } => match rejection.take() {
                Some(rejection) => Poll::Ready(Err(rejection)),
                None => Poll::Pending,
            },
            TimedProjection::Running { inner, call, left, timer } => {
                if let Poll::Ready(answer) = inner.poll(cx) {
                    return Poll::Ready(answer);
                }
                if call.shared.drain.is_cut() {
                    return Poll::Ready(Err(Box::new(cut(call))));
                }
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(*left)));
                ready!(timer.as_mut().poll(cx));
                let now = call.shared.clock.now();
                // Without an intent nothing was sent: the request itself came too slowly.
                let rejection = match call.intent() {
                    Intent::None => expired(call, now),
                    Intent::Written | Intent::Sampled => passed(call, now),
                };
                Poll::Ready(Err(Box::new(rejection)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &str) -> Result<Option<Duration>, Box<Rejection>> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_str(value).unwrap());
        client_deadline(&headers)
    }

    #[test]
    fn grpc_timeout_is_read_as_the_protocol_says() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("99999999m", Duration::from_millis(99_999_999)),
            ("5u", Duration::from_micros(5)),
            ("0n", Duration::ZERO),
        ] {
            assert_eq!(read(text).unwrap(), Some(expected), "{text}");
        }
        for bad in ["", "1", "S", "123456789S", "-1S", "1s", "1.5S", " 1S", "1 S", "0x1S"] {
            assert_eq!(read(bad).unwrap_err().reason, Reason::FieldInvalid, "{bad:?}");
        }
        assert_eq!(client_deadline(&HeaderMap::new()).unwrap(), None);
    }
}
