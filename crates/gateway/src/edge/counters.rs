//! What the edge saw, in plain atomics; the metrics page reads them.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counts of the edge since its start; the two that end in `_open` go down too.
        #[derive(Debug, Default)]
        pub struct EdgeCounters {
            $($(#[doc = $doc])* pub $name: AtomicU64,)*
        }

        impl EdgeCounters {
            /// Every counter by name, with its value and what it counts.
            #[must_use]
            pub fn read(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((
                    stringify!($name),
                    self.$name.load(Ordering::Relaxed),
                    concat!($($doc),*).trim_start(),
                ),)*]
            }
        }
    };
}

counters! {
    #[doc = " Connections that are open."]
    connections_open,
    #[doc = " Calls in flight, from the request's header to the response's end."]
    calls_open,
    #[doc = " Connections that were accepted."]
    connections_accepted,
    #[doc = " Connections that were closed at once because the most are open."]
    connections_over_limit,
    #[doc = " Connections that were closed at once because file descriptors are scarce."]
    connections_over_descriptors,
    #[doc = " Errors of accept."]
    accept_errors,
    #[doc = " TLS handshakes that failed."]
    tls_failed,
    #[doc = " TLS handshakes that took too long."]
    tls_timeouts,
    #[doc = " Connections that did not say in time which HTTP they speak."]
    preface_timeouts,
    #[doc = " Connections without a whole first request header in time."]
    first_headers_timeouts,
    #[doc = " Connections that were closed because they were idle."]
    idle_closed,
    #[doc = " Connections that were told to go away because of their age."]
    aged,
    #[doc = " Connections that were closed with calls in flight after their age and its grace."]
    aged_cut,
    #[doc = " Connections whose client answered no ping."]
    keep_alive_timeouts,
    #[doc = " Requests with too many header fields."]
    header_fields_over_limit,
    #[doc = " Connections that were closed for calls opened and reset at once."]
    early_reset_floods,
    #[doc = " Connections that were closed for frames without use: PING, SETTINGS, PRIORITY, empty DATA and the like."]
    idle_frame_floods,
    #[doc = " Connections that HTTP/2 itself gave up as excessive (ENHANCE_YOUR_CALM): reset, CONTINUATION and tiny-frame floods."]
    excessive,
    #[doc = " Connections that broke the protocol."]
    protocol_errors,
    #[doc = " Calls that were cut by a drain."]
    drain_cut_calls,
    #[doc = " Answers to GET /."]
    probes,
}

impl EdgeCounters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sub(counter: &AtomicU64) {
        counter.fetch_sub(1, Ordering::Relaxed);
    }
}
