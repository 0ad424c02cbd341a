//! One HTTP/2 connection to an upstream: its free streams, its keep-alive, its end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use oaas_capability::BoxError;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::config::PoolConfig;
use crate::lanes;

/// Streams that this side reset and whose late frames are still tolerated. A proxy passes on every cancel of
/// its callers, so h2's default of 50 is far too low.
const RESET_STREAMS_KEPT: usize = 1024;
/// Frames for streams that were reset and forgotten, over a connection's life, before h2 gives it up. Its
/// default of 1024 lets a gateway's own cancels kill the connection.
const LATE_FRAMES_MAX: usize = 1 << 20;
/// Bytes that one stream may buffer for sending; the body is polled only when there is window.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams before the peer's SETTINGS are known; they are known before the first call.
const STREAMS_UNTIL_SETTINGS: usize = 1;
/// Largest window of HTTP/2.
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// A connection that took up its work, and what has to be run for it.
pub(super) struct Opened {
    pub(super) connection: Arc<Connection>,
    /// Runs until the connection ends.
    pub(super) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// A connection as calls see it.
pub(super) struct Connection {
    /// Absent as soon as no more calls may start here; h2 ends the connection with the last stream then.
    sender: Mutex<Option<SendRequest<Bytes>>>,
    streams_max: usize,
    /// The lane that runs it.
    lane: usize,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    in_flight: AtomicUsize,
    /// A call was given up before its answer began: is the peer still there?
    doubted: AtomicBool,
    doubt: Notify,
}

/// The answer to a wish for a stream.
pub(super) enum Reserved {
    /// A stream may be opened.
    Slot(Slot),
    /// As many streams are open as may be.
    Full,
    /// The connection takes no more calls.
    Closed,
}

/// The right to one stream; given back on drop.
pub(super) struct Slot {
    pub(super) sender: SendRequest<Bytes>,
    connection: Arc<Connection>,
    released: bool,
}

impl Connection {
    /// Speaks HTTP/2 over `io` and waits for the peer's SETTINGS, so that a peer of another kind fails the
    /// connect and not a call.
    pub(super) async fn open<T>(io: T, config: &PoolConfig) -> Result<Opened, BoxError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Room for a full window on every stream, so that slow readers do not stop the others.
        let streams = u32::try_from(config.streams_max).unwrap_or(u32::MAX);
        let window = config.stream_window.saturating_mul(streams).clamp(config.stream_window, WINDOW_MAX);
        let (sender, mut http2) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(config.stream_window.min(WINDOW_MAX))
            .initial_connection_window_size(window)
            .initial_max_send_streams(STREAMS_UNTIL_SETTINGS)
            .max_header_list_size(config.header_list_max)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_concurrent_reset_streams(RESET_STREAMS_KEPT)
            .max_local_error_reset_streams(Some(LATE_FRAMES_MAX))
            .handshake::<_, Bytes>(io)
            .await?;
        let mut pings = http2.ping_pong().ok_or("http/2 connection without ping")?;
        tokio::select! {
            ended = &mut http2 => {
                ended?;
                return Err("the peer closed the connection before its settings".into());
            }
            pong = pings.ping(Ping::opaque()) => { pong?; }
        }
        let state = Arc::new(State::default());
        let connection = Arc::new(Self {
            sender: Mutex::new(Some(sender)),
            streams_max: config.streams_max,
            lane: lanes::current(),
            state: Arc::clone(&state),
        });
        let (interval, timeout) = (config.keep_alive_interval, config.keep_alive_timeout);
        let driver = Box::pin(async move {
            tokio::select! {
                ended = http2 => if let Err(error) = ended {
                    tracing::debug!(%error, "upstream connection ended");
                },
                () = watch(pings, &state, interval, timeout) => {
                    tracing::debug!("upstream connection is dead: no answer to a ping");
                }
            }
        });
        Ok(Opened { connection, driver })
    }

    /// Asks for one more stream.
    pub(super) fn reserve(self: &Arc<Self>) -> Reserved {
        let mut held = self.sender.lock();
        let Some(sender) = held.as_mut() else { return Reserved::Closed };
        let mut sender = sender.clone();
        // A clone has no stream of its own that it could wait for: the answer is there at once, and an error
        // means that the connection is lost or goes away.
        let mut cx = Context::from_waker(Waker::noop());
        if matches!(sender.poll_ready(&mut cx), std::task::Poll::Ready(Err(_))) {
            *held = None;
            return Reserved::Closed;
        }
        let limit = self.streams_max.min(sender.current_max_send_streams());
        let taken = self
            .state
            .in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < limit).then_some(open + 1));
        match taken {
            Ok(_) => Reserved::Slot(Slot { sender, connection: Arc::clone(self), released: false }),
            Err(_) => Reserved::Full,
        }
    }

    /// The lane that runs it.
    pub(super) fn lane(&self) -> usize {
        self.lane
    }

    /// Lets no more calls start; those under way finish.
    pub(super) fn retire(&self) {
        *self.sender.lock() = None;
    }

    /// Takes calls still.
    pub(super) fn is_open(&self) -> bool {
        self.sender.lock().is_some()
    }
}

impl Slot {
    /// Whether another lane runs the connection.
    pub(super) fn is_borrowed(&self) -> bool {
        self.connection.lane != lanes::current()
    }

    /// The call was given up before its answer began: asks the peer for a sign of life.
    pub(super) fn doubt(&self) {
        if !self.connection.state.doubted.swap(true, Ordering::AcqRel) {
            self.connection.state.doubt.notify_one();
        }
    }
}

impl Slot {
    /// Gives the stream's place back.
    pub(super) fn release(&mut self) {
        if !std::mem::replace(&mut self.released, true) {
            self.connection.state.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.release();
    }
}

/// Pings a busy connection now and then, and a doubted one soon; returns when a ping got no answer.
async fn watch(mut pings: PingPong, state: &State, interval: Duration, timeout: Duration) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {
                if state.in_flight.load(Ordering::Acquire) == 0 {
                    continue;
                }
            }
            () = state.doubt.notified() => {}
        }
        if !matches!(tokio::time::timeout(timeout, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
        // One ping for all calls that were given up within this time: servers count pings.
        tokio::time::sleep(timeout).await;
        state.doubted.store(false, Ordering::Release);
    }
}
