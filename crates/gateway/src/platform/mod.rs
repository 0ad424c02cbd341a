//! The platform's own services: health, reflection, the catalog, breakers by hand. They are in the
//! catalog like any other, and are called through the stack.

use std::sync::Weak;

use oaas_capability::Registration;

use crate::shared::Shared;

/// The platform's services; they hold the process weakly, because it holds them.
#[must_use]
pub fn registrations(_shared: &Weak<Shared>) -> Vec<Registration> {
    Vec::new()
}
