//! Who calls? UNAUTHENTICATED, with a reason that never says whether the service exists.

use std::sync::Arc;

use http::Request;
use oaas_model::Reason;

use crate::Body;
use crate::auth::Identity;
use crate::call::Call;
use crate::gate::Gate;
use crate::rejection::{Rejection, Retry};

/// Establishes the calling application from its key, token or certificate.
#[derive(Clone, Copy, Debug)]
pub struct Authenticate;

impl Gate for Authenticate {
    fn decide(&self, call: &Arc<Call>, request: &mut Request<Body>) -> Result<(), Box<Rejection>> {
        let callers = &call.snapshot().callers;
        let unix_ms = call.arrived.unix_ms();
        match call.shared.auth.identify(callers, request.headers(), call.san_uris(), unix_ms) {
            Ok(Some(Identity { application, on_behalf_of, by })) => {
                call.decided("authenticate", by, &[]);
                call.authenticated(application, on_behalf_of);
                Ok(())
            }
            Ok(None) if call.method().is_some_and(|method| method.service.anonymous) => {
                call.decided("authenticate", "anonymous", &[]);
                Ok(())
            }
            Ok(None) => {
                Err(refusal(Reason::CredentialsMissing, "no credential: send `authorization: Bearer <key>`"))
            }
            Err(reason) => Err(refusal(reason, "the credential is not accepted")),
        }
    }
}

fn refusal(reason: Reason, message: &str) -> Box<Rejection> {
    Box::new(Rejection::new(reason, "authenticate", message).retry(Retry::Never))
}
