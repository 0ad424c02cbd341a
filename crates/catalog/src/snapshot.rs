//! One version of the catalog and of its callers, whole and immutable.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use prost_reflect::DescriptorPool;

use crate::callers::Callers;
use crate::service::{MethodEntry, ServiceEntry};

/// One version of everything that decides a call.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Content address: "c-" and the first 12 hexadecimal digits of the BLAKE3 digest of its files.
    pub version: Arc<str>,
    /// Services by full name.
    pub services: BTreeMap<Arc<str>, Arc<ServiceEntry>>,
    /// Methods by canonical path.
    pub methods: HashMap<Arc<str>, Arc<MethodEntry>>,
    /// Plans by name.
    pub plans: BTreeMap<Arc<str>, Arc<Plan>>,
    /// Applications and their credentials.
    pub callers: Arc<Callers>,
    /// Descriptors of every catalogued service, with comments and custom options.
    pub descriptors: DescriptorPool,
}

impl Snapshot {
    /// The method with this canonical path.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&Arc<MethodEntry>> {
        self.methods.get(path)
    }

    /// The service with this full name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceEntry>> {
        self.services.get(name)
    }
}

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its name. Example: "standard".
    pub name: Arc<str>,
    /// Short names of the methods that it covers, by service; a service that is not named is covered whole.
    pub methods: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Calls a second.
    pub rate: Option<RateLimit>,
    /// Calls at once.
    pub concurrency: Option<u32>,
    /// Calls a period.
    pub quota: Option<Quota>,
    /// Money at stake, by budget name.
    pub budgets: BTreeMap<Arc<str>, Budget>,
    /// Count what the limits would refuse, and refuse nothing.
    pub shadow: bool,
}

/// Calls a second, by GCRA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls a second in the long run, at least 1.
    pub per_second: u32,
    /// Calls that may come at once, at least 1.
    pub burst: u32,
}

/// Calls in a calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// How many.
    pub calls: u64,
    /// In which period.
    pub period: QuotaPeriod,
    /// Minutes that the calendar is ahead of UTC. Example: 480 for China.
    pub utc_offset_minutes: i32,
}

/// A calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum QuotaPeriod {
    Day,
    Week,
    Month,
}

/// Money at stake in a sliding window, per application and key field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Minor units.
    pub amount_minor: i64,
    /// Their currency.
    pub currency: oaas_model::Currency,
    /// The window.
    pub window: Duration,
}
