//! A catalog version and what is bound to it: for each method its upstream, its breaker, its metrics.
//!
//! A call holds one of these from start to end, so it is decided by exactly one version. What must
//! outlive a reload (breakers, counters, connections) is shared between versions.

use std::collections::HashMap;
use std::sync::Arc;

use oaas_capability::LocalService;
use oaas_catalog::{BreakerNumbers, MethodEntry, ServiceEntry, Snapshot};

use crate::breaker::BreakerPolicy;
use crate::metrics::MethodMetrics;
use crate::upstream::Pool;

/// One version, bound.
pub struct Bound {
    /// The version.
    pub snapshot: Arc<Snapshot>,
    /// Where refusals link to for more.
    pub docs_url: Arc<str>,
    methods: Vec<BoundMethod>,
    /// Where `methods` has a path. Its keys are the catalog's, so nobody can choose them to collide.
    places: HashMap<Arc<str>, usize, foldhash::fast::RandomState>,
}

/// One method and what it needs at run time.
pub struct BoundMethod {
    /// The catalog's entry.
    pub entry: Arc<MethodEntry>,
    /// The entry of its service.
    pub service: Arc<ServiceEntry>,
    /// Its path, as a request carries it.
    pub uri: http::Uri,
    /// When its breaker trips.
    pub policy: BreakerPolicy,
    /// Its counters.
    pub metrics: Arc<MethodMetrics>,
    /// Where it runs.
    pub target: Target,
}

/// Where a method runs.
#[derive(Clone)]
pub enum Target {
    /// In this process.
    Local(LocalService),
    /// Behind connections.
    Remote(Pool),
    /// The catalog says here, and this process was started without that domain.
    Missing,
}

impl Bound {
    pub(crate) fn new(snapshot: Arc<Snapshot>, docs_url: Arc<str>, methods: Vec<BoundMethod>) -> Self {
        let place = |(place, method): (usize, &BoundMethod)| (Arc::clone(&method.entry.path), place);
        let places = methods.iter().enumerate().map(place).collect();
        Self { snapshot, docs_url, methods, places }
    }

    /// Where the method with this canonical path is.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<usize> {
        self.places.get(path).copied()
    }

    /// The method at a place.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&BoundMethod> {
        self.methods.get(place)
    }

    /// The method with this canonical path.
    #[must_use]
    pub fn method(&self, path: &str) -> Option<&BoundMethod> {
        self.at(self.place(path)?)
    }

    /// All methods.
    pub fn methods(&self) -> impl Iterator<Item = &BoundMethod> {
        self.methods.iter()
    }
}

/// The breaker's policy that the catalog's numbers say.
pub(crate) fn policy(n: &BreakerNumbers) -> BreakerPolicy {
    BreakerPolicy {
        error_rate_max: n.error_rate_max,
        timeout_rate_max: n.timeout_rate_max,
        timeouts_min: n.timeouts_min,
        window: n.window,
        calls_min: n.calls_min,
        age_max: n.age_max,
        hard_failures: n.hard_failures,
        open: n.open,
        open_max: n.open_max,
        probes: n.probes,
        probes_in_flight: n.probes_in_flight,
        probe_failures_max: n.probe_failures_max,
        half_open_max: n.half_open_max,
        ramp_from: n.ramp_from,
        ramp: n.ramp,
        count_resource_exhausted: n.count_resource_exhausted,
        ..BreakerPolicy::default()
    }
}
