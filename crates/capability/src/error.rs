//! From a capability's error to a gRPC status with `google.rpc` details.

use std::collections::HashMap;

use oaas_proto::Validate;
pub use oaas_proto::Violation;
use oaas_proto::google::rpc;
use prost::Message as _;
use tonic::{Code, Status};

/// A business error on its way to the wire.
#[derive(Clone, Debug)]
pub struct CapabilityError {
    /// gRPC status code.
    pub code: Code,
    /// Reason, as in the catalog.
    pub reason: &'static str,
    /// gRPC service that says so; the domain of the `ErrorInfo`.
    pub service: &'static str,
    /// For people: lower case, names the thing and its value.
    pub message: String,
    /// Facts by name.
    pub metadata: HashMap<String, String>,
}

/// `ErrorInfo.domain` of the platform's own reasons, wherever they are found.
const PLATFORM: &str = "gateway.oaas";
/// The platform's reason for a request that breaks its contract.
const FIELD_INVALID: &str = "FIELD_INVALID";

/// INVALID_ARGUMENT for the reason FIELD_INVALID, with one `BadRequest.field_violations` entry for each
/// violation.
#[must_use]
pub fn invalid(violations: &[Violation]) -> Status {
    let message =
        violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; ");
    let bad_request = rpc::BadRequest {
        field_violations: violations
            .iter()
            .map(|v| rpc::bad_request::FieldViolation {
                field: v.field.clone(),
                description: v.description.clone(),
                reason: FIELD_INVALID.to_owned(),
                ..Default::default()
            })
            .collect(),
    };
    let info = rpc::ErrorInfo {
        reason: FIELD_INVALID.to_owned(),
        domain: PLATFORM.to_owned(),
        metadata: HashMap::from([("executed".to_owned(), "false".to_owned())]),
    };
    let details = vec![any("google.rpc.ErrorInfo", &info), any("google.rpc.BadRequest", &bad_request)];
    status(Code::InvalidArgument, message, details)
}

impl From<CapabilityError> for Status {
    fn from(error: CapabilityError) -> Self {
        let info = rpc::ErrorInfo {
            reason: error.reason.to_owned(),
            domain: error.service.to_owned(),
            metadata: error.metadata,
        };
        status(error.code, error.message, vec![any("google.rpc.ErrorInfo", &info)])
    }
}

/// The request's message, when it keeps the contract's `buf.validate` rules.
///
/// # Errors
/// INVALID_ARGUMENT that names each field which does not.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn validated<T: Validate>(request: tonic::Request<T>) -> Result<T, Status> {
    let message = request.into_inner();
    let violations = message.violations();
    if violations.is_empty() { Ok(message) } else { Err(invalid(&violations)) }
}

fn any(name: &str, message: &impl prost::Message) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec() }
}

fn status(code: Code, message: String, details: Vec<prost_types::Any>) -> Status {
    let details = rpc::Status { code: code as i32, message: message.clone(), details }.encode_to_vec();
    Status::with_details(code, message, details.into())
}
