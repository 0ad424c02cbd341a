//! A catalog in a temporary folder.

use std::path::PathBuf;

use oaas_catalog::{Diagnostics, KnownDescriptors, LoadError, Snapshot, Sources, load};
use prost_reflect::DescriptorPool;

/// A good entry for the breakers' service, which the program has.
pub const SERVICE: &str = r#"service: oaas.gateway.v1.BreakerService
title: { en: Breakers, zh: 熔断器 }
summary: { en: For operators., zh: 供运维使用。 }
owner: team@example.com
domain: platform
tags: [breaker, 熔断]
stage: beta
visibility: internal
upstream: local
sla: { deadline_ms: 1000, p99_ms: 20, availability_percent: 99.9 }
methods:
  ListBreakers:
    effect: read
    degraded: { message: { breakers: [{ service: none, calls: 3 }] } }
    examples:
      - name: all
        request: {}
        response: {}
  ForceBreaker:
    effect: write
    price: { amount: "0.02", currency: CNY, unit: call }
    error_reasons: [SERVICE_UNKNOWN]
    examples:
      - name: without a mode
        request: { service: x }
        error: FIELD_INVALID
"#;

/// Good plans.
pub const PLANS: &str = r#"plans:
  standard:
    rate: { per_second: 100, burst: 200 }
    quota: { calls: 1000, period: month, utc_offset_minutes: 480 }
    budgets:
      coupons: { amount: "20000.00", currency: CNY, window_s: 3600 }
"#;

/// Good callers.
pub const CALLERS: &str = r#"applications:
  - id: portal
    owner: sales@example.com
    roles: [operator]
    credentials:
      - api_key: { prefix: oaas_k3v5x2ma, digest: "0707070707070707070707070707070707070707070707070707070707070707", expires: 2027-01-01T00:00:00Z }
      - mtls: { san_uri: "spiffe://example.com/portal" }
      - jwt: { issuer: "https://id.example.com", subject: portal }
    subscriptions:
      - { service: oaas.gateway.v1.BreakerService, plan: standard, expires: 2027-01-01T00:00:00Z }
      - { service: "*", plan: standard, state: pending }
issuers:
  - issuer: "https://id.example.com"
    audience: oaas
    algorithms: [ES256]
    jwks: { url: "https://id.example.com/jwks.json" }
"#;

/// Files in a folder of their own.
pub struct Folder {
    folder: tempfile::TempDir,
    /// Where they are.
    pub sources: Sources,
}

impl Folder {
    /// Catalog files by path, and the callers' text.
    pub fn new(files: &[(&str, &str)], callers: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = folder.path().join("catalog");
        std::fs::create_dir(&catalog).unwrap();
        let callers_file = folder.path().join("callers.yaml");
        let sources = Sources { catalog, callers: callers.map(|_| callers_file.clone()) };
        let new = Self { folder, sources };
        files.iter().for_each(|(name, text)| new.put(name, text));
        if let Some(text) = callers {
            std::fs::write(callers_file, text).unwrap();
        }
        new
    }

    /// The good files.
    pub fn good() -> Self {
        Self::new(&[("platform/breaker.yaml", SERVICE), ("plans.yaml", PLANS)], Some(CALLERS))
    }

    pub fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.sources.catalog.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn load(&self) -> Result<Snapshot, LoadError> {
        load(&self.sources, &known())
    }

    pub fn snapshot(&self) -> Snapshot {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn faults(&self) -> Diagnostics {
        match self.load() {
            Err(LoadError::Diagnostics(diagnostics)) => diagnostics,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("the files load"),
        }
    }
}

pub fn known() -> KnownDescriptors {
    static POOL: std::sync::OnceLock<DescriptorPool> = std::sync::OnceLock::new();
    let pool = POOL.get_or_init(|| DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap());
    KnownDescriptors { local: pool.clone(), ..Default::default() }
}
