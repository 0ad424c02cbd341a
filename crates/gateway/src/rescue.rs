//! The only place where a refusal becomes a gRPC status: the denial contract.
//!
//! HTTP 200, trailers only. `grpc-status-details-bin` is a `google.rpc.Status` whose first detail is
//! `ErrorInfo`; what else it carries depends on the reason (docs/reasons/ has a page for each).

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use oaas_model::Lang;
use oaas_proto::google::rpc;
use prost::Message as _;

use crate::call::Call;
use crate::outcome::{GRPC_STATUS, Origin};
use crate::rejection::{Rejection, Retry};
use crate::{Body, empty_body};

/// `ErrorInfo.domain` of everything that this gateway says itself.
pub const DOMAIN: &str = "gateway.oaas";
/// Trailer that tells our errors from the upstream's.
pub const ORIGIN: HeaderName = HeaderName::from_static("oaas-origin");
/// Header that names the call.
pub const CALL_ID: HeaderName = HeaderName::from_static("oaas-call-id");
/// Longest `grpc-message`, bytes after percent-encoding.
const MESSAGE_BYTES_MAX: usize = 256;
/// Longest `grpc-status-details-bin`, bytes after base64; with the rest our trailers stay under 4 KiB.
const DETAILS_BYTES_MAX: usize = 3 * 1024;

/// The whole answer to a refused call.
#[must_use]
pub fn response(call: &Call, rejection: &Rejection) -> Response<Body> {
    let mut response = Response::new(empty_body());
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if let Ok(id) = HeaderValue::from_str(&call.id.to_string()) {
        headers.insert(CALL_ID, id);
    }
    headers.extend(trailers(call, rejection));
    response
}

/// The trailers of a call whose answer had begun.
#[must_use]
pub fn trailers(call: &Call, rejection: &Rejection) -> HeaderMap {
    headers(rejection, &encoded(rejection, details(call, rejection)))
}

fn headers(rejection: &Rejection, details: &str) -> HeaderMap {
    let code = rejection.code;
    let mut trailers = HeaderMap::with_capacity(6);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static(code.header()));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&rejection.message)) {
        trailers.insert("grpc-message", message);
    }
    if let Ok(details) = HeaderValue::from_str(details) {
        trailers.insert("grpc-status-details-bin", details);
    }
    trailers.insert(ORIGIN, HeaderValue::from_static(Origin::Gateway.as_str()));
    match rejection.retry {
        Retry::Unsaid => {}
        Retry::Never => {
            trailers.insert("grpc-retry-pushback-ms", HeaderValue::from_static("-1"));
        }
        Retry::After(wait) => {
            trailers.insert("grpc-retry-pushback-ms", HeaderValue::from(whole_ms(wait)));
        }
    }
    trailers
}

/// Details, as many from the first on as the limit lets through.
fn encoded(rejection: &Rejection, details: Vec<prost_types::Any>) -> String {
    let mut status = rpc::Status {
        code: i32::from(rejection.code.number()),
        message: cut(&rejection.message, MESSAGE_BYTES_MAX).to_owned(),
        details,
    };
    loop {
        let text = STANDARD_NO_PAD.encode(status.encode_to_vec());
        if text.len() <= DETAILS_BYTES_MAX || status.details.pop().is_none() {
            return text;
        }
    }
}

fn details(call: &Call, rejection: &Rejection) -> Vec<prost_types::Any> {
    let service = call.service_name();
    let mut metadata: HashMap<String, String> =
        rejection.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    for (name, value) in [
        ("call_id", call.id.to_string()),
        ("service", service.to_owned()),
        ("executed", rejection.executed.as_str().to_owned()),
        ("catalog_version", call.snapshot().version.to_string()),
    ] {
        metadata.insert(name.to_owned(), value);
    }
    let reason = rejection.reason.as_str().to_owned();
    let mut details = vec![any("ErrorInfo", &rpc::ErrorInfo { reason, domain: DOMAIN.to_owned(), metadata })];
    if !rejection.violations.is_empty() {
        let field_violations =
            rejection.violations.iter().map(|(field, description)| rpc::bad_request::FieldViolation {
                field: field.clone(),
                description: description.clone(),
                reason: rejection.reason.as_str().to_owned(),
                ..Default::default()
            });
        details.push(any("BadRequest", &rpc::BadRequest { field_violations: field_violations.collect() }));
    }
    if let Retry::After(wait) = rejection.retry {
        details.push(any("RetryInfo", &rpc::RetryInfo { retry_delay: Some(duration(wait)) }));
    }
    if let Some((subject, description)) = &rejection.quota {
        let violation = rpc::quota_failure::Violation {
            subject: subject.clone(),
            description: description.clone(),
            ..Default::default()
        };
        details.push(any("QuotaFailure", &rpc::QuotaFailure { violations: vec![violation] }));
    }
    if let Some((kind, name)) = &rejection.resource {
        let info = rpc::ResourceInfo {
            resource_type: (*kind).to_owned(),
            resource_name: name.clone(),
            owner: String::new(),
            description: rejection.message.clone(),
        };
        details.push(any("ResourceInfo", &info));
        let link = rpc::help::Link {
            description: "the plans of this service".to_owned(),
            url: format!("{}/catalog/{service}", call.bound.docs_url),
        };
        details.push(any("Help", &rpc::Help { links: vec![link] }));
    }
    details.push(any(
        "RequestInfo",
        &rpc::RequestInfo { request_id: call.id.to_string(), serving_data: String::new() },
    ));
    let locale = match call.lang {
        Lang::En => "en",
        Lang::Zh => "zh-CN",
    };
    let message = rejection.reason.meaning(call.lang).to_owned();
    details.push(any("LocalizedMessage", &rpc::LocalizedMessage { locale: locale.to_owned(), message }));
    if rejection.resource.is_none() {
        let link = rpc::help::Link {
            description: "what this reason means and what to do".to_owned(),
            url: format!("{}/reasons/{}", call.bound.docs_url, rejection.reason),
        };
        details.push(any("Help", &rpc::Help { links: vec![link] }));
    }
    details
}

fn any(name: &str, message: &impl prost::Message) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value: message.encode_to_vec(),
    }
}

fn duration(wait: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(wait.subsec_nanos()).unwrap_or(0),
    }
}

/// Milliseconds, rounded up: a client that waits so long is not refused for one more.
fn whole_ms(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// `text` percent-encoded as `grpc-message` wants it, cut at a character before the limit.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        let before = encoded.len();
        let mut bytes = [0; 4];
        for byte in character.encode_utf8(&mut bytes).bytes() {
            if (0x20..=0x7e).contains(&byte) && byte != b'%' {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        if encoded.len() > MESSAGE_BYTES_MAX {
            encoded.truncate(before);
            break;
        }
    }
    encoded
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded_and_cut_at_a_character() {
        assert_eq!(percent_encoded("50% of 返"), "50%25 of %E8%BF%94");
        let long = percent_encoded(&"返".repeat(100));
        assert!(long.len() <= MESSAGE_BYTES_MAX && long.len().is_multiple_of(9));
        assert_eq!(whole_ms(Duration::from_micros(1)), 1);
    }
}
