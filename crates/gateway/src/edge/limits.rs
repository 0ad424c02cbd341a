//! How long, how many and how large: the edge's numbers and their defaults.

use std::time::Duration;

/// What a client may take of the edge.
#[derive(Clone, Debug)]
pub struct EdgeLimits {
    /// Longest TLS handshake.
    pub tls_handshake: Duration,
    /// Longest time until it is clear which HTTP is spoken.
    pub preface: Duration,
    /// Longest time until the first request's header.
    pub first_headers: Duration,
    /// A connection without a call for so long is closed (up to a quarter later).
    pub idle: Duration,
    /// Age at which a connection is told to go away.
    pub age_max: Duration,
    /// Share of the age by which it moves either way, so that connections do not end together.
    pub age_jitter: f64,
    /// Time for the calls on a connection that was told to go away because of its age.
    pub age_grace: Duration,
    /// The edge pings a quiet HTTP/2 connection this often.
    pub keep_alive_interval: Duration,
    /// A ping without an answer for so long ends the connection.
    pub keep_alive_timeout: Duration,
    /// Most concurrent streams on an HTTP/2 connection.
    pub streams_max: u32,
    /// Flow-control window of a stream in bytes.
    pub stream_window: u32,
    /// Flow-control window of a connection in bytes.
    pub connection_window: u32,
    /// Header list in bytes beyond which HTTP itself refuses (431) and nobody sees the call. The gateway
    /// refuses a call in words from half of it on, see `Settings::header_list_bytes_max`.
    pub header_list_max: u32,
    /// Most header fields of a request that isn't gRPC; more are refused (431).
    pub header_fields_max: usize,
    /// Most connections at a time; further ones are closed at once.
    pub connections_max: usize,
    /// File descriptors that connections leave free for everything else.
    pub spare_descriptors: u64,
    /// Wait after an error of accept that does not go away by itself.
    pub accept_backoff: Duration,
    /// Streams that a client has reset before the edge got to them (CVE-2023-44487).
    pub pending_reset_streams_max: usize,
    /// Streams that the edge had to reset for a client's errors, over a connection's life (CVE-2025-8671).
    pub error_reset_streams_max: usize,
    /// Calls given up by the client within [`Self::early_reset_within`]; with this many, and more than half of
    /// all, the connection is closed (Envoy's `premature_reset_total_stream_count`).
    pub early_resets_max: u64,
    /// A call that the client gives up sooner than this is an early reset.
    pub early_reset_within: Duration,
    /// Frames without a use of their own (PING, SETTINGS, PRIORITY, unknown ones, empty DATA and CONTINUATION)
    /// that an HTTP/2 connection may send a second. Some clients measure bandwidth with a ping a round trip,
    /// so this is high.
    pub idle_frames_per_second: u32,
    /// Drain: how long connections are still accepted, so that balancers notice.
    pub drain_wait: Duration,
    /// Drain: time for the calls in flight.
    pub drain_grace: Duration,
    /// Seed of the jitter; from the operating system where none is given.
    pub seed: Option<u64>,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(5),
            preface: Duration::from_secs(5),
            first_headers: Duration::from_secs(10),
            idle: Duration::from_secs(5 * 60),
            age_max: Duration::from_secs(30 * 60),
            age_jitter: 0.1,
            age_grace: Duration::from_secs(60),
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(20),
            streams_max: 100,
            stream_window: 64 * 1024,
            connection_window: 1024 * 1024,
            header_list_max: 32 * 1024,
            header_fields_max: 128,
            connections_max: 10_000,
            spare_descriptors: 64,
            accept_backoff: Duration::from_millis(50),
            pending_reset_streams_max: 20,
            error_reset_streams_max: 128,
            early_resets_max: 500,
            early_reset_within: Duration::from_secs(1),
            idle_frames_per_second: 10_000,
            drain_wait: Duration::from_secs(5),
            drain_grace: Duration::from_secs(30),
            seed: None,
        }
    }
}
