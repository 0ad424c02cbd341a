//! What a pool may be told, with its defaults, and what a single call may ask for.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use oaas_model::Timestamp;

/// Most digits in the value of `grpc-timeout` (grpc/grpc, doc/PROTOCOL-HTTP2.md).
const TIMEOUT_DIGITS_MAX: u128 = 99_999_999;

/// How a pool reaches one upstream service, and when it gives up.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Where the service is: `http://host:port` or `https://host:port`. Names are resolved at every connect.
    pub endpoints: Vec<Uri>,
    /// TLS for `https` endpoints; the pool sets ALPN to `h2` itself.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Name that the certificates of `https` endpoints carry, when it is not the endpoint's host.
    pub server_name: Option<String>,
    /// Longest time for one connect: DNS, TCP, TLS and the peer's SETTINGS.
    pub connect_timeout: Duration,
    /// Most connections of a lane to one endpoint.
    pub connections_max: usize,
    /// Most streams on one connection; the peer's own limit holds too.
    pub streams_max: usize,
    /// Most calls that wait for a connection or a free stream; the next one fails at once.
    pub waiting_max: usize,
    /// Age at which a connection takes no more calls, ± 10 % jitter. Calls on it finish.
    pub connection_age_max: Duration,
    /// A connection with calls in flight is pinged this often. Servers of gRPC call a shorter interval than
    /// five minutes an attack unless they are told otherwise (gRFC A8).
    pub keep_alive_interval: Duration,
    /// A ping that stays without an answer for so long ends the connection.
    pub keep_alive_timeout: Duration,
    /// Flow-control window of one stream in bytes; at most this much is buffered for a slow caller.
    pub stream_window: u32,
    /// Largest header list that an upstream may send, in bytes.
    pub header_list_max: u32,
    /// First wait after a failed connect; doubled each time, half of it jitter.
    pub reconnect_base: Duration,
    /// Longest wait after a failed connect; also how late an endpoint is found that came back.
    pub reconnect_max: Duration,
    /// Failures in a row that eject an endpoint.
    pub eject_after: u32,
    /// First ejection; each further one is longer by as much.
    pub eject_base: Duration,
    /// Longest ejection.
    pub eject_max: Duration,
    /// Largest share of the endpoints that may be ejected at a time, in percent.
    pub eject_share_percent: u32,
    /// Time constant of the latency average.
    pub latency_decay: Duration,
    /// What an endpoint's latency is taken for before it was measured.
    pub latency_initial: Duration,
    /// A failed call counts at least as a latency of this.
    pub failure_penalty: Duration,
    /// Retries in percent of calls.
    pub retry_percent: u32,
    /// Retries that may be saved up; also what the pool starts with.
    pub retry_reserve: u32,
    /// First wait before a retry of an idempotent call; doubled each time, half of it jitter.
    pub retry_backoff: Duration,
    /// Most bytes of a request that are kept for a retry; a longer request is sent once.
    pub replay_bytes_max: usize,
    /// How much earlier than the caller's the upstream's deadline is.
    pub deadline_margin: Duration,
    /// Seed of jitter and choice; from the operating system where none is given.
    pub seed: Option<u64>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            tls: None,
            server_name: None,
            connect_timeout: Duration::from_secs(5),
            connections_max: 8,
            streams_max: 256,
            waiting_max: 1024,
            connection_age_max: Duration::from_secs(30 * 60),
            keep_alive_interval: Duration::from_secs(5 * 60 + 10),
            keep_alive_timeout: Duration::from_secs(20),
            stream_window: 64 * 1024,
            header_list_max: 16 * 1024,
            reconnect_base: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            eject_after: 5,
            eject_base: Duration::from_secs(10),
            eject_max: Duration::from_secs(300),
            eject_share_percent: 50,
            latency_decay: Duration::from_secs(10),
            latency_initial: Duration::from_millis(30),
            failure_penalty: Duration::from_secs(1),
            retry_percent: 10,
            retry_reserve: 10,
            retry_backoff: Duration::from_millis(10),
            replay_bytes_max: 64 * 1024,
            deadline_margin: Duration::from_millis(5),
            seed: None,
        }
    }
}

impl PoolConfig {
    /// A pool for these endpoints, everything else as by default.
    #[must_use]
    pub fn new(endpoints: Vec<Uri>) -> Self {
        Self { endpoints, ..Self::default() }
    }
}

/// What one call asks of the pool.
#[derive(Clone, Copy, Debug)]
pub struct SendOptions {
    /// The catalog calls the method idempotent: it may be sent again when it may have been executed.
    pub idempotent: bool,
    /// When the call is over. The pool sets `grpc-timeout` from it at each attempt and neither waits nor
    /// retries past it; to end a call that is under way, drop it.
    pub deadline: Option<Timestamp>,
    /// Most attempts, the first and the transparent one included. At least 1; more than three are never made
    /// on top of the transparent one.
    pub max_attempts: u32,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { idempotent: false, deadline: None, max_attempts: 4 }
    }
}

impl SendOptions {
    /// The value of `grpc-timeout` for a time that remains: the finest unit that eight digits hold, never
    /// more than the time itself. It is another one in almost every call: HPACK is told not to index it
    /// (RFC 7541 §6.2.3), or it would drive the headers that stay the same out of both ends' tables.
    #[must_use]
    pub fn timeout_header(remaining: Duration) -> HeaderValue {
        type Unit = (fn(Duration) -> u128, char);
        let units: [Unit; 5] = [
            (|time| time.as_nanos(), 'n'),
            (|time| time.as_micros(), 'u'),
            (|time| time.as_millis(), 'm'),
            (|time| time.as_secs().into(), 'S'),
            (|time| (time.as_secs() / 60).into(), 'M'),
        ];
        let (number, unit) = units
            .into_iter()
            .map(|(number, unit)| (number(remaining), unit))
            .find(|(number, _)| *number <= TIMEOUT_DIGITS_MAX)
            .unwrap_or((TIMEOUT_DIGITS_MAX, 'M'));
        // Eight digits and a unit, made without a string of its own.
        let mut text = std::io::Cursor::new([0; 9]);
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let written = write!(text, "{number}{unit}").map(|()| usize::try_from(text.position()).unwrap_or(0));
        let text = written.ok().and_then(|length| text.get_ref().get(..length)).unwrap_or(b"0n");
        let mut value = HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static("0n"));
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_header_keeps_eight_digits_and_never_grows() {
        let check = |remaining: Duration, expect: &str| {
            assert_eq!(SendOptions::timeout_header(remaining), expect);
        };
        check(Duration::ZERO, "0n");
        check(Duration::from_nanos(99_999_999), "99999999n");
        check(Duration::from_nanos(100_000_000), "100000u");
        check(Duration::from_millis(2_000), "2000000u");
        check(Duration::from_millis(100_000), "100000m");
        check(Duration::from_secs(100_000), "100000S");
        check(Duration::from_secs(u64::MAX), "99999999M");
    }
}
