//! What of the metadata passes: identity is set here and never taken from a client; hop-by-hop headers
//! end here; credentials stay here unless the catalog says otherwise.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::bound::BoundMethod;
use crate::call::Call;
use crate::header as ours;
use crate::trace_context::traceparent;

/// Ours, in both directions.
const RESERVED: &str = "oaas-";
/// How much earlier than the caller's the upstream's deadline ends, so that its answer can still arrive.
pub const MARGIN: Duration = Duration::from_millis(2);

/// Makes the caller's headers the upstream's.
pub fn towards_upstream(headers: &mut HeaderMap, call: &Call, method: &BoundMethod) {
    let credentials_end = !method.entry.forward_credentials;
    strip(headers, |name| ends_here(name) || (credentials_end && is_credential(name)));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(ours::CALL_ID, call.id_header());
    if let Some(application) = call.application() {
        set(headers, ours::APPLICATION, &application.id);
    }
    if let Some(on_behalf_of) = call.on_behalf_of() {
        set(headers, ours::ON_BEHALF_OF, on_behalf_of);
    }
    if let Some((trace_id, span_id, sampled)) = call.trace_parent()
        && let Some(value) = traceparent(trace_id, span_id, sampled)
    {
        headers.insert(ours::TRACEPARENT, value);
    }
}

/// Makes the caller's trailers the upstream's: what is ours in headers is ours here too.
pub fn trailers_towards_upstream(trailers: &mut HeaderMap) {
    strip(trailers, ends_here);
}

/// Makes the upstream's headers or trailers ours.
pub fn from_upstream(headers: &mut HeaderMap) {
    strip(headers, |name| is_of_connection(name) && name != "te");
}

/// Of one connection only (RFC 9110 §7.6.1).
fn is_of_connection(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade")
}

/// Of one connection, of proxies, or what gRPC reserves for retries and each hop's own deadline.
fn ends_here(name: &str) -> bool {
    is_of_connection(name)
        || matches!(
            name,
            // Of HTTP/1.1; the upstream's own authority is the endpoint's.
            "host"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "grpc-timeout"
                | "grpc-previous-rpc-attempts"
                | "grpc-retry-pushback-ms"
        )
}

fn is_credential(name: &str) -> bool {
    matches!(name, "authorization" | "x-api-key" | "cookie")
}

/// Looks at each name once: most stay, and asking the map for all that don't costs more.
fn strip(headers: &mut HeaderMap, ends: impl Fn(&str) -> bool) {
    let ends = |name: &&HeaderName| name.as_str().starts_with(RESERVED) || ends(name.as_str());
    let gone: Vec<HeaderName> = headers.keys().filter(ends).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
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
        strip(&mut headers, ends_here);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-mine"]);
    }
}
