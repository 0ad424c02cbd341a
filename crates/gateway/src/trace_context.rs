//! W3C Trace Context: what the caller sent, and what the upstream gets.

use http::{HeaderMap, HeaderValue};

use crate::header;

/// A caller's trace, as `traceparent` says it (W3C Trace Context, level 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    parent: Option<Parent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    sampled: bool,
}

impl TraceContext {
    /// Reads `traceparent`; a malformed one counts as none, as the specification says.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self { parent: headers.get(header::TRACEPARENT).and_then(|value| parse(value.as_bytes())) }
    }

    /// The trace id, if the caller sent one.
    #[must_use]
    pub fn trace_id(&self) -> Option<[u8; 16]> {
        self.parent.map(|parent| parent.trace_id)
    }

    /// The caller's span id.
    #[must_use]
    pub fn span_id(&self) -> Option<[u8; 8]> {
        self.parent.map(|parent| parent.span_id)
    }

    /// Whether the caller records its trace.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.parent.is_some_and(|parent| parent.sampled)
    }
}

/// A `traceparent` for an upstream.
#[must_use]
pub fn traceparent(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) -> Option<HeaderValue> {
    let text = format!(
        "00-{:032x}-{:016x}-{:02x}",
        u128::from_be_bytes(trace_id),
        u64::from_be_bytes(span_id),
        u8::from(sampled)
    );
    let mut value = HeaderValue::from_str(&text).ok()?;
    // Another one in each call: not for HPACK's tables.
    value.set_sensitive(true);
    Some(value)
}

fn parse(value: &[u8]) -> Option<Parent> {
    let text = std::str::from_utf8(value).ok()?;
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower = |s: &str| s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let shaped = version.len() == 2 && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    if !shaped || ![version, trace, span, flags].into_iter().all(lower) || version == "ff" {
        return None;
    }
    if version == "00" && parts.next().is_some() {
        return None;
    }
    let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?.to_be_bytes();
    let span_id = u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?.to_be_bytes();
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    Some(Parent { trace_id, span_id, sampled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_specification_says() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let parent = parse(good.as_bytes()).unwrap();
        assert!(parent.sampled);
        assert_eq!(traceparent(parent.trace_id, parent.span_id, true).unwrap(), good);
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
