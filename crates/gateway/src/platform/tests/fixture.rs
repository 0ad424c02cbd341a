//! A gateway over the shipped catalog, and callers of it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http_body_util::BodyExt as _;
use oaas_audit::{Journal, JournalOptions, Reader, record};
use oaas_capability::{LocalService, Registration};
use oaas_catalog::{
    ApiKey, Application, Callers, KnownDescriptors, Role, Snapshot, Sources, Subscription, SubscriptionState,
    load,
};
use oaas_metering::Meters;
use oaas_model::SystemClock;
use oaas_store::Store;
use prost_reflect::DescriptorPool;
use tower::util::BoxCloneSyncService;
use tower::{Service as _, service_fn};

use crate::alert::Alerts;
use crate::{Body, Gateway, Parts, Settings};

/// Internal in the shipped catalog; runs in the fixture's process.
pub const REBATE: &str = "oaas.channel.v1.RebateService";
/// Private in the shipped catalog; runs nowhere here.
pub const COUPON: &str = "oaas.channel.v1.CouponService";

/// What a client's transport is.
pub type Channel = BoxCloneSyncService<http::Request<tonic::body::Body>, http::Response<Body>, Infallible>;

/// A gateway with a store in memory and its journal in a folder of its own.
pub struct Fixture {
    pub gateway: Gateway,
    pub journal: Journal,
    folder: tempfile::TempDir,
}

/// The shipped catalog with three callers: "shop" (nothing private), "partner" (coupons, suspended) and
/// "operator".
pub fn snapshot() -> Snapshot {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog");
    let local = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    let sources = Sources { catalog, callers: None };
    let mut snapshot = load(&sources, &KnownDescriptors { local, ..Default::default() }).unwrap();
    let standard = |service: &str, state| {
        let plan = Arc::from("standard");
        (Arc::from(service), Subscription { plan, state, expires_unix_ms: None })
    };
    snapshot.callers = Arc::new(callers([
        application("shop", [], [standard("*", SubscriptionState::Active)].into_iter().collect()),
        application("partner", [], [standard(COUPON, SubscriptionState::Suspended)].into_iter().collect()),
        application("operator", [Role::Operator], [].into_iter().collect()),
    ]));
    snapshot
}

fn application<const N: usize>(
    id: &str,
    roles: [Role; N],
    subscriptions: oaas_catalog::Subscriptions,
) -> Arc<Application> {
    Arc::new(Application { id: Arc::from(id), owner: String::new(), roles: roles.to_vec(), subscriptions })
}

fn callers(applications: [Arc<Application>; 3]) -> Callers {
    let mut callers = Callers::default();
    for application in applications {
        let key = key(&application.id);
        let prefix: Box<str> = ApiKey::prefix_of(&key).unwrap().into();
        let digest = ApiKey::digest_of(&key);
        let stored = ApiKey { prefix: prefix.clone(), digest, expires_unix_ms: None, revoked: false };
        callers.keys.insert(prefix, (Arc::clone(&application), stored));
        callers.applications.insert(Arc::clone(&application.id), application);
    }
    callers
}

fn key(application: &str) -> String {
    format!("oaas_{application}_secret")
}

impl Fixture {
    pub async fn start() -> Self {
        let rebate = service_fn(|_| async { Ok::<_, Infallible>(http::Response::new(crate::empty_body())) });
        Self::with(BoxCloneSyncService::new(rebate)).await
    }

    /// With this capability as [`REBATE`].
    pub async fn with(rebate: LocalService) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let options = JournalOptions {
            dir: folder.path().join("journal"),
            segment_bytes: 1 << 20,
            ..Default::default()
        };
        let (journal, _) = Journal::open(options, Arc::clone(&clock)).unwrap();
        let store = Store::in_memory().await.unwrap();
        let (meters, _) = Meters::open(&store, Arc::clone(&clock)).await.unwrap();
        let parts = Parts {
            clock,
            journal: journal.clone(),
            meters,
            alerts: Alerts::new(Vec::new()).0,
            settings: Settings::default(),
            registrations: vec![Registration { name: REBATE, service: rebate }],
            routes: HashMap::new(),
            catalog_folder: PathBuf::new(),
            callers_folder: PathBuf::new(),
            drain: crate::edge::Drain::new(),
            seed: 7,
        };
        Self { gateway: Gateway::new(parts, snapshot()).unwrap(), journal, folder }
    }

    /// The way to the gateway for an application; the empty name is anonymous.
    pub fn channel(&self, application: &str) -> Channel {
        let credential = (!application.is_empty()).then(|| format!("Bearer {}", key(application)));
        let entrance = self.gateway.service();
        BoxCloneSyncService::new(service_fn(move |request: http::Request<tonic::body::Body>| {
            let mut entrance = entrance.clone();
            let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            if let Some(credential) = &credential {
                request.headers_mut().insert("authorization", credential.parse().unwrap());
            }
            async move { entrance.call(request).await }
        }))
    }

    /// Acts on the platform that the journal has: actor, action, subject, details.
    pub fn acts(&self) -> Vec<record::Administration> {
        let acts = self.events().into_iter().filter_map(|event| match event {
            record::audit_record::Event::Administration(act) => Some(act),
            _ => None,
        });
        acts.collect()
    }

    /// What the journal has.
    pub fn events(&self) -> Vec<record::audit_record::Event> {
        let reader = Reader::open(self.folder.path().join("journal")).unwrap();
        reader.records().filter_map(|entry| entry.unwrap().record.event).collect()
    }
}
