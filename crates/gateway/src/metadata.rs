//! What of the metadata passes: identity is set here and never taken from a client; hop-by-hop headers
//! end here; credentials stay here unless the catalog says otherwise.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::auth::KEY_HEADER;
use crate::bound::BoundMethod;
use crate::call::Call;
use crate::rescue;
use crate::trace_context::traceparent;

/// Ours, in both directions.
const RESERVED: &str = "oaas-";
/// Of one connection only (RFC 9110 §7.6.1), and what gRPC reserves for proxies and retries.
const ENDS_HERE: [&str; 12] = [
    "connection",
    // Of HTTP/1.1; the upstream's own authority is the endpoint's.
    "host",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "te",
    "grpc-timeout",
    "grpc-previous-rpc-attempts",
    "grpc-retry-pushback-ms",
];
/// How much earlier than the caller's the upstream's deadline ends, so that its answer can still arrive.
pub const MARGIN: Duration = Duration::from_millis(2);

/// Makes the caller's headers the upstream's.
pub fn towards_upstream(headers: &mut HeaderMap, call: &Call, method: &BoundMethod) {
    let credentials: &[&str] = match method.entry.forward_credentials {
        true => &[],
        false => &["authorization", KEY_HEADER, "cookie"],
    };
    strip(headers, &[&ENDS_HERE, credentials]);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(rescue::CALL_ID, call.id_header());
    if let Some(application) = call.application() {
        set(headers, "oaas-application", &application.id);
    }
    if let Some(on_behalf_of) = call.on_behalf_of() {
        set(headers, "oaas-on-behalf-of", on_behalf_of);
    }
    if let Some((trace_id, span_id, sampled)) = call.trace_parent()
        && let Some(value) = traceparent(trace_id, span_id, sampled)
    {
        headers.insert("traceparent", value);
    }
}

/// Makes the caller's trailers the upstream's: what is ours in headers is ours here too.
pub fn trailers_towards_upstream(trailers: &mut HeaderMap) {
    strip(trailers, &[&ENDS_HERE]);
}

/// Makes the upstream's headers or trailers ours.
pub fn from_upstream(headers: &mut HeaderMap) {
    strip(headers, &[&["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]]);
}

/// Looks at each name once: most are none of `lists`, and asking the map for all of those costs more.
fn strip(headers: &mut HeaderMap, lists: &[&[&str]]) {
    let ends = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with(RESERVED) || lists.iter().any(|list| list.contains(&name))
    };
    while let Some(name) = headers.keys().find(ends).cloned() {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_and_what_ends_here_is_gone() {
        let mut headers = HeaderMap::new();
        for name in ["oaas-application", "connection", "grpc-timeout", "x-mine"] {
            headers.append(name, HeaderValue::from_static("spoofed"));
        }
        strip(&mut headers, &[&ENDS_HERE]);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-mine"]);
    }
}
