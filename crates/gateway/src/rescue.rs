//! The only place where a refusal becomes a gRPC status: the denial contract.
//!
//! HTTP 200, trailers only. `grpc-status-details-bin` is a `google.rpc.Status` whose first detail is
//! `ErrorInfo`; what else it carries depends on the reason (docs/reasons/ has a page for each).

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::{HeaderMap, HeaderValue, Response};
use oaas_model::Lang;
use oaas_proto::google::rpc;
use prost::Message as _;

use crate::call::Call;
use crate::header;
use crate::outcome::Origin;
use crate::rejection::{Rejection, Retry};
use crate::{Body, empty_body};

/// `ErrorInfo.domain` of everything that this gateway says itself.
pub const DOMAIN: &str = "gateway.oaas";
/// Bytes of a refusal, names and values, up to which it has room for details that say something again.
const REFUSAL_BYTES_MAX: usize = 1024;
/// Bytes of what a refusal's head has beside the trailers: content type and call id.
const HEAD_BYTES: usize = "content-typeapplication/grpc".len() + "oaas-call-id".len() + 36;
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
    headers.insert(header::CALL_ID, call.id_header());
    headers.extend(trailers(call, rejection));
    response
}

/// The trailers of a call whose answer had begun.
#[must_use]
pub fn trailers(call: &Call, rejection: &Rejection) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(6);
    trailers.insert(header::GRPC_STATUS, HeaderValue::from_static(rejection.code.header()));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&rejection.message)) {
        trailers.insert(header::GRPC_MESSAGE, message);
    }
    trailers.insert(header::ORIGIN, HeaderValue::from_static(Origin::Gateway.as_str()));
    match rejection.retry {
        Retry::Unsaid => {}
        Retry::Never => {
            trailers.insert(header::GRPC_RETRY_PUSHBACK, HeaderValue::from_static("-1"));
        }
        Retry::After(wait) => {
            trailers.insert(header::GRPC_RETRY_PUSHBACK, HeaderValue::from(whole_ms(wait)));
        }
    }
    let room = REFUSAL_BYTES_MAX
        .saturating_sub(HEAD_BYTES + header::GRPC_STATUS_DETAILS.as_str().len() + size(&trailers));
    if let Ok(details) = HeaderValue::from_str(&encoded(call, rejection, room)) {
        trailers.insert(header::GRPC_STATUS_DETAILS, details);
    }
    trailers
}

/// Names and values, as a client sees them.
fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len())).sum()
}

/// The details: those that a program acts on, as many from the first on as the limit lets through; then, as
/// far as there is room, what only says again where to look.
fn encoded(call: &Call, rejection: &Rejection, room: usize) -> String {
    let mut status = rpc::Status {
        code: i32::from(rejection.code.number()),
        message: cut(&rejection.message, MESSAGE_BYTES_MAX).to_owned(),
        details: details(call, rejection),
    };
    let base64 = |status: &rpc::Status| status.encoded_len().saturating_mul(4).div_ceil(3);
    while base64(&status) > DETAILS_BYTES_MAX && status.details.pop().is_some() {}
    for detail in details_again(call, rejection) {
        status.details.push(detail);
        if base64(&status) > room {
            status.details.pop();
        }
    }
    STANDARD_NO_PAD.encode(status.encode_to_vec())
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
            // Which service it is stands in `ErrorInfo`.
            description: description
                .strip_suffix(&format!(" to {service}"))
                .unwrap_or(description)
                .to_owned(),
            ..Default::default()
        };
        details.push(any("QuotaFailure", &rpc::QuotaFailure { violations: vec![violation] }));
    }
    if let Some((kind, name)) = &rejection.resource {
        let info = rpc::ResourceInfo {
            resource_type: (*kind).to_owned(),
            resource_name: name.clone(),
            ..Default::default()
        };
        details.push(any("ResourceInfo", &info));
        let url = format!("{}/catalog/{service}", call.bound.docs_url);
        details.push(help("plans", url));
    }
    let locale = match call.lang {
        Lang::En => "en",
        Lang::Zh => "zh-CN",
    };
    let message = rejection.reason.meaning(call.lang).to_owned();
    details.push(any("LocalizedMessage", &rpc::LocalizedMessage { locale: locale.to_owned(), message }));
    details
}

/// The page of the reason, which its name leads to as well, and the call's id, which `ErrorInfo` and
/// `oaas-call-id` have too.
fn details_again(call: &Call, rejection: &Rejection) -> Vec<prost_types::Any> {
    let mut details = Vec::with_capacity(2);
    if rejection.resource.is_none() {
        let url = format!("{}/reasons/{}", call.bound.docs_url, rejection.reason);
        details.push(help("reason", url));
    }
    let request = rpc::RequestInfo { request_id: call.id.to_string(), serving_data: String::new() };
    details.push(any("RequestInfo", &request));
    details
}

fn help(description: &str, url: String) -> prost_types::Any {
    let links = vec![rpc::help::Link { description: description.to_owned(), url }];
    any("Help", &rpc::Help { links })
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

    use std::sync::Arc;

    use http::Request;
    use oaas_catalog::Snapshot;
    use oaas_model::Reason;

    use crate::bound::Bound;
    use crate::platform::tests::fixture::Fixture;

    /// A call of a method that no catalog has.
    fn call(lang: &str, fixture: &Fixture) -> Arc<Call> {
        let snapshot = Snapshot {
            version: "c-0123456789ab".into(),
            services: [].into(),
            methods: [].into(),
            plans: [].into(),
            callers: Arc::default(),
            descriptors: prost_reflect::DescriptorPool::new(),
        };
        let docs_url = "https://oaas.example/docs".into();
        let shared = Arc::clone(fixture.gateway.shared());
        shared.bound.store(Arc::new(Bound::new(Arc::new(snapshot), docs_url, Vec::new())));
        let request =
            Request::builder().uri("/oaas.channel.v1.RebateService/GetPlan").header("accept-language", lang);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Call::open(&parts, None, shared)
    }

    /// A refusal as the layers make it: what each kind of it carries beside the reason.
    fn representative(reason: Reason, call: &Call) -> Rejection {
        let service = call.service_name();
        let mut rejection =
            Rejection::new(reason, "rate_limit", format!("more than 100 calls a second to {service}"));
        match reason {
            Reason::RateLimited | Reason::ConcurrencyLimited | Reason::Overloaded | Reason::CircuitOpen => {
                rejection = rejection.retry(Retry::After(Duration::from_micros(1_234_567)));
            }
            _ => rejection = rejection.retry(Retry::Never),
        }
        match reason {
            Reason::RateLimited | Reason::ConcurrencyLimited => {
                rejection = rejection.fact("limit_per_second", 100);
                rejection.quota =
                    Some(("application:sales-portal".to_owned(), format!("calls a second to {service}")));
            }
            Reason::QuotaExhausted => {
                rejection = rejection.fact("limit", 500_000).fact("used", 500_000);
                rejection = rejection.fact("resets_at", "2026-12-01T00:00:00Z");
                rejection.quota =
                    Some(("application:sales-portal".to_owned(), format!("calls a month to {service}")));
            }
            Reason::BudgetExhausted => {
                rejection.message =
                    "batch-1001 would put more at stake than the budget coupons of CNY 10000.00 in 3600 s"
                        .to_owned();
                rejection = rejection.fact("budget", "coupons");
                let facts = [("limit_minor", "1000000"), ("used_minor", "999900"), ("currency", "CNY")];
                for (name, value) in facts {
                    rejection = rejection.fact(name, value);
                }
                rejection = rejection.fact("resets_at", "2026-12-01T00:00:00Z");
                rejection.quota =
                    Some(("application:sales-portal".to_owned(), "money at stake, coupons".to_owned()));
            }
            Reason::DeadlineExpired | Reason::DeadlineUpstream | Reason::DeadlineInfeasible => {
                for name in ["client_ms", "elapsed_ms", "catalog_ms"] {
                    rejection = rejection.fact(name, 1_500);
                }
            }
            Reason::CircuitOpen => {
                let facts =
                    [("cause", "errors"), ("rate", "0.1234"), ("threshold", "0.05"), ("scope", "service")];
                for (name, value) in facts {
                    rejection = rejection.fact(name, value);
                }
            }
            Reason::SubscriptionRequired
            | Reason::SubscriptionPending
            | Reason::SubscriptionSuspended
            | Reason::SubscriptionExpired
            | Reason::MethodNotInPlan => {
                rejection.resource = Some(("oaas.catalog.v1.Service", service.to_owned()));
            }
            Reason::FieldInvalid => {
                rejection =
                    Rejection::invalid("deadline", "grpc-timeout", "\"soon\" is no time as gRPC writes it");
            }
            _ => rejection = rejection.fact("limit", 16_384).fact("size", 17_000),
        }
        rejection
    }

    #[tokio::test]
    async fn refusals_fit_in_a_kibibyte_in_both_languages() {
        let fixture = Fixture::start().await;
        for lang in ["en", "zh"] {
            let call = call(lang, &fixture);
            for reason in Reason::ALL {
                let rejection = representative(*reason, &call);
                let answer = response(&call, &rejection);
                let bytes = size(answer.headers());
                // The plans of a missing subscription name the service twice more, and money has many facts.
                let more = rejection.resource.is_some() || *reason == Reason::BudgetExhausted;
                let most = REFUSAL_BYTES_MAX + if more { 256 } else { 0 };
                assert!(bytes <= most, "{reason} in {lang}: {bytes} bytes");
                println!("{reason} in {lang}: {bytes} bytes");
                let text = answer.headers()[header::GRPC_STATUS_DETAILS].to_str().unwrap();
                let status = rpc::Status::decode(&*STANDARD_NO_PAD.decode(text).unwrap()).unwrap();
                let names: Vec<&str> =
                    status.details.iter().filter_map(|any| any.type_url.rsplit('.').next()).collect();
                assert_eq!(names.first(), Some(&"ErrorInfo"), "{reason}");
                assert!(names.contains(&"LocalizedMessage"), "{reason} in {lang}: {names:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_says_nothing_new_makes_room_first() {
        let fixture = Fixture::start().await;
        let call = call("en", &fixture);
        let names = |rejection: &Rejection| {
            let headers = trailers(&call, rejection);
            let status = STANDARD_NO_PAD.decode(headers[header::GRPC_STATUS_DETAILS].as_bytes()).unwrap();
            let status = rpc::Status::decode(&*status).unwrap();
            let last = |any: &prost_types::Any| any.type_url.rsplit('.').next().unwrap().to_owned();
            status.details.iter().map(last).collect::<Vec<_>>()
        };
        let short = Rejection::new(Reason::CredentialsRevoked, "authenticate", "no");
        assert_eq!(names(&short), ["ErrorInfo", "LocalizedMessage", "Help", "RequestInfo"]);
        let long = Rejection::new(Reason::CredentialsRevoked, "authenticate", "x".repeat(250));
        assert_eq!(names(&long), ["ErrorInfo", "LocalizedMessage"]);
    }

    #[test]
    fn messages_are_percent_encoded_and_cut_at_a_character() {
        assert_eq!(percent_encoded("50% of 返"), "50%25 of %E8%BF%94");
        let long = percent_encoded(&"返".repeat(100));
        assert!(long.len() <= MESSAGE_BYTES_MAX && long.len().is_multiple_of(9));
        assert_eq!(whole_ms(Duration::from_micros(1)), 1);
    }
}
