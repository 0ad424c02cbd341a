//! The business domains of this program, one line each.

use oaas_capability::{Context, Registration};
use oaas_store::StoreError;

use crate::config::Config;

/// The capabilities of the domains that this process runs.
///
/// # Errors
/// When a domain's tables can't be made or read.
pub async fn registrations(config: &Config, cx: &Context) -> Result<Vec<Registration>, StoreError> {
    let mut all = Vec::new();
    if config.runs("cross-border") {
        all.extend(oaas_cross_border::services(cx).await?);
    }
    if config.runs("channel") {
        all.extend(oaas_channel::services(cx).await?);
    }
    if config.runs("manufacturing") {
        all.extend(oaas_manufacturing::services(cx).await?);
    }
    Ok(all)
}

/// Names of all domains, for error messages.
pub const ALL: [&str; 3] = ["cross-border", "channel", "manufacturing"];
