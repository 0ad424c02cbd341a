//! Whether a call that failed is sent again, as a pure decision (gRFC A6, "gRPC Retry Design").

use std::time::Duration;

use super::backoff;
use super::config::{PoolConfig, SendOptions};
use super::error::Executed;
use crate::header;

/// Retries of an idempotent call, beside the transparent one.
const RETRIES_MAX: u32 = 2;

/// How one attempt failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    /// Whether the upstream may have executed it.
    pub(super) executed: Executed,
    /// The failure reads as UNAVAILABLE, and no response had begun.
    pub(super) unavailable: bool,
    /// What the upstream said about a retry.
    pub(super) pushback: Pushback,
    /// The whole request can be sent again.
    pub(super) replayable: bool,
}

/// The meaning of `grpc-retry-pushback-ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushback {
    /// Nothing was said.
    Silent,
    /// Again after this time.
    After(Duration),
    /// Not again; also what can't be read means this.
    Never,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send again at once; nothing was executed.
    Transparent,
    /// Send again after this wait.
    Retry(Duration),
    /// The failure is the answer.
    Stop,
}

/// One call's attempts so far.
#[derive(Debug)]
pub(super) struct Course {
    options: SendOptions,
    pub(super) attempts: u32,
    /// Retries of the second kind; what `grpc-previous-rpc-attempts` says.
    pub(super) retries: u32,
    transparent: bool,
}

impl Course {
    pub(super) fn new(options: SendOptions) -> Self {
        Self { options, attempts: 0, retries: 0, transparent: false }
    }

    /// Decides after a failed attempt. `remaining` is the time to the deadline, `draw` uniform in 0..1,
    /// `withdraw` takes a retry from the budget if there is one.
    pub(super) fn next(
        &mut self,
        failed: Failed,
        config: &PoolConfig,
        remaining: Option<Duration>,
        draw: f64,
        withdraw: impl FnOnce() -> bool,
    ) -> Next {
        if !failed.replayable || self.attempts >= self.options.max_attempts {
            return Next::Stop;
        }
        if failed.executed == Executed::False && !self.transparent && failed.pushback == Pushback::Silent {
            self.transparent = true;
            return Next::Transparent;
        }
        let wait = match failed.pushback {
            Pushback::Never => return Next::Stop,
            Pushback::After(wait) => wait,
            Pushback::Silent => {
                let base = config.retry_backoff;
                backoff::wait(base, base.saturating_mul(1 << RETRIES_MAX), self.retries + 1, draw)
            }
        };
        let allowed = self.options.idempotent && failed.unavailable && self.retries < RETRIES_MAX;
        let in_time = remaining.is_none_or(|remaining| wait < remaining);
        if !allowed || !in_time || !withdraw() {
            return Next::Stop;
        }
        self.retries += 1;
        Next::Retry(wait)
    }
}

impl Pushback {
    /// Reads the header's or trailer's value.
    #[must_use]
    pub fn read(headers: &http::HeaderMap) -> Self {
        let Some(value) = headers.get(header::GRPC_RETRY_PUSHBACK) else { return Self::Silent };
        let ms = value.to_str().ok().and_then(|text| text.trim().parse::<i64>().ok());
        ms.and_then(|ms| u64::try_from(ms).ok())
            .map_or(Self::Never, |ms| Self::After(Duration::from_millis(ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNAVAILABLE: Failed = Failed {
        executed: Executed::Unknown,
        unavailable: true,
        pushback: Pushback::Silent,
        replayable: true,
    };
    const REFUSED: Failed = Failed { executed: Executed::False, ..UNAVAILABLE };

    fn course(idempotent: bool) -> Course {
        Course { attempts: 1, ..Course::new(SendOptions { idempotent, ..SendOptions::default() }) }
    }

    fn next(course: &mut Course, failed: Failed) -> Next {
        let next = course.next(failed, &PoolConfig::default(), None, 0.0, || true);
        course.attempts += 1;
        next
    }

    #[test]
    fn transparent_once_for_any_method() {
        let mut write = course(false);
        assert_eq!(next(&mut write, REFUSED), Next::Transparent);
        assert_eq!(next(&mut write, REFUSED), Next::Stop);
    }

    #[test]
    fn other_retries_twice_and_only_where_idempotent() {
        assert_eq!(next(&mut course(false), UNAVAILABLE), Next::Stop);
        let mut read = course(true);
        assert_eq!(next(&mut read, REFUSED), Next::Transparent);
        assert!(matches!(next(&mut read, UNAVAILABLE), Next::Retry(_)));
        assert!(matches!(next(&mut read, UNAVAILABLE), Next::Retry(_)));
        assert_eq!(next(&mut read, UNAVAILABLE), Next::Stop);
    }

    #[test]
    fn never_what_can_not_be_replayed_or_is_not_unavailable() {
        assert_eq!(next(&mut course(true), Failed { replayable: false, ..REFUSED }), Next::Stop);
        assert_eq!(next(&mut course(true), Failed { unavailable: false, ..UNAVAILABLE }), Next::Stop);
    }

    #[test]
    fn never_past_the_budget_the_deadline_or_the_attempts() {
        let config = PoolConfig::default();
        let broke = course(true).next(UNAVAILABLE, &config, None, 0.0, || false);
        assert_eq!(broke, Next::Stop);
        let late = course(true).next(UNAVAILABLE, &config, Some(Duration::from_millis(1)), 1.0, || true);
        assert_eq!(late, Next::Stop);
        let mut once = course(true);
        once.options.max_attempts = 1;
        assert_eq!(next(&mut once, REFUSED), Next::Stop);
    }

    #[test]
    fn the_upstream_decides_when() {
        let mut headers = http::HeaderMap::new();
        let mut check = |value: &'static str, expect: Pushback| {
            headers.insert("grpc-retry-pushback-ms", http::HeaderValue::from_static(value));
            assert_eq!(Pushback::read(&headers), expect, "{value}");
        };
        check("250", Pushback::After(Duration::from_millis(250)));
        check("-1", Pushback::Never);
        check("soon", Pushback::Never);
        assert_eq!(next(&mut course(true), Failed { pushback: Pushback::Never, ..REFUSED }), Next::Stop);
        let wait = Duration::from_millis(250);
        let told = Failed { pushback: Pushback::After(wait), ..UNAVAILABLE };
        assert_eq!(next(&mut course(true), told), Next::Retry(wait));
    }
}
