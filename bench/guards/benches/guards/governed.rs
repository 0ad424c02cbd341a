//! A gateway with everything that governs switched on, and calls through all of it: to a capability in this
//! process, and to one behind a connection.
//!
//! The clock is moved by hand and the journal syncs in an hour, so that the same is done each time.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use oaas_audit::record::{Administration, audit_record::Event};
use oaas_audit::{Journal, JournalOptions};
use oaas_capability::{Body, BoxError, Registration};
use oaas_catalog::{
    ApiKey, Application, Callers, KnownDescriptors, Snapshot, Sources, Subscription, SubscriptionState, load,
};
use oaas_gateway::alert::Alerts;
use oaas_gateway::edge::{Arrival, Drain, PeerInfo};
use oaas_gateway::{Gateway, Parts, Settings};
use oaas_metering::Meters;
use oaas_model::{Clock as _, ManualClock};
use oaas_store::Store;
use prost_reflect::DescriptorPool;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tower::util::BoxCloneSyncService;
use tower::{Service as _, service_fn};

use crate::{OPERATIONS, upstream};

/// The method that is called; see `catalog/`.
pub const METHOD: &str = "/oaas.demo.v1.CarrierService/QuoteFreight";
/// Its service.
pub const SERVICE: &str = "oaas.demo.v1.CarrierService";
/// The domain that the service is of; a route for it leads to the upstream.
const DOMAIN: &str = "bench";
/// Who calls.
pub const APPLICATION: &str = "guards";
/// Its key; a fresh one has as many random characters behind the second underscore.
const KEY: &str = "oaas_guards_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
/// A message of 90 bytes in its frame, as `bench/run` sends.
const MESSAGE: [u8; 95] = {
    let mut frame = [b'x'; 95];
    (frame[0], frame[1], frame[2], frame[3], frame[4]) = (0, 0, 0, 0, 90);
    frame
};
/// 2026-01-01T00:00:00Z.
const STARTED_UNIX_NS: i64 = 1_767_225_600_000_000_000;
/// From one call to the next: 20,000 a second.
pub const BETWEEN: Duration = Duration::from_micros(50);
/// Longer than any run: no other thread does anything meanwhile.
const NEVER: Duration = Duration::from_secs(3_600);

/// A gateway and the calls that come to it.
pub struct Governed {
    gateway: Gateway,
    clock: Arc<ManualClock>,
    waiting: Vec<Request<Body>>,
    runtime: Runtime,
    _folder: TempDir,
}

impl Governed {
    /// The capability is in this process, and answers at once.
    pub fn in_process() -> Self {
        let answers = service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(answer()) });
        let service = BoxCloneSyncService::new(answers);
        Self::start(vec![Registration { name: SERVICE, service }], HashMap::new())
    }

    /// The capability is behind a connection over the loopback, on a thread of its own.
    pub fn remote() -> Self {
        let address = upstream::start(MESSAGE.to_vec().into());
        let endpoint = format!("http://{address}").parse().unwrap();
        Self::start(Vec::new(), HashMap::from([(DOMAIN.to_owned(), vec![endpoint])]))
    }

    fn start(registrations: Vec<Registration>, routes: HashMap<String, Vec<http::Uri>>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (journal, clock, folder) = journal();
        let gateway = runtime.block_on(async {
            let store = Store::in_memory().await.unwrap();
            let (meters, _) = Meters::open(&store, clock.clone()).await.unwrap();
            let parts = Parts {
                clock: clock.clone(),
                journal,
                meters,
                alerts: Alerts::new(Vec::new()).0,
                settings: Settings::default(),
                registrations,
                routes,
                catalog_folder: PathBuf::new(),
                callers_folder: PathBuf::new(),
                drain: Drain::new(),
                seed: 7,
            };
            Gateway::new(parts, snapshot()).unwrap()
        });
        let mut governed = Self { gateway, clock, waiting: Vec::new(), runtime, _folder: folder };
        // What the first call makes is made, and the breaker has its evidence. Twice: the journal has two buffers.
        for _ in 0..2 {
            governed.queue();
            governed.call_all();
            sync(&governed.gateway.shared().journal);
        }
        governed.queue();
        governed
    }

    fn queue(&mut self) {
        let peer = Arc::new(PeerInfo {
            addr: "127.0.0.1:50412".parse().unwrap(),
            shown: "127.0.0.1:50412".into(),
            san_uris: Arc::default(),
            tls: false,
        });
        let arrival = Arrival { peer, at: self.clock.now() };
        self.waiting.extend((0..OPERATIONS).map(|_| request(&arrival)));
    }

    /// All calls that wait, one after the other, each to the end of its trailers.
    pub fn call_all(&mut self) {
        let mut entrance = self.gateway.service();
        let (waiting, clock) = (std::mem::take(&mut self.waiting), &self.clock);
        self.runtime.block_on(async move {
            for request in waiting {
                clock.advance(BETWEEN);
                let mut body = entrance.call(request).await.unwrap().into_body();
                let mut ok = false;
                while let Some(frame) = body.frame().await {
                    let frame = frame.unwrap();
                    ok = frame.trailers_ref().is_some_and(|trailers| trailers["grpc-status"] == "0");
                }
                assert!(ok, "the call did not end well");
            }
        });
    }

    /// The gateway, for what is measured of its parts.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }
}

/// A journal in a folder of its own, and the clock that it has.
pub fn journal() -> (Journal, Arc<ManualClock>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at_unix_ns(STARTED_UNIX_NS));
    let options =
        JournalOptions { dir: folder.path().join("journal"), sync_interval: NEVER, ..Default::default() };
    let (journal, _) = Journal::open(options, clock.clone()).unwrap();
    (journal, clock, folder)
}

/// Waits until all is on the disk, so that the journal's buffers are empty, and as large as they were.
pub fn sync(journal: &Journal) {
    let record = journal.append_durable(Event::Administration(Administration::default()));
    Builder::new_current_thread().build().unwrap().block_on(record).unwrap();
}

fn snapshot() -> Snapshot {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    let local = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    let known = KnownDescriptors { local, ..Default::default() };
    let mut snapshot = load(&Sources { catalog, callers: None }, &known).unwrap();
    let subscription =
        Subscription { plan: "guards".into(), state: SubscriptionState::Active, expires_unix_ms: None };
    let application = Arc::new(Application {
        id: APPLICATION.into(),
        owner: String::new(),
        roles: Vec::new(),
        subscriptions: [(Arc::from("*"), subscription)].into_iter().collect(),
    });
    let prefix: Box<str> = ApiKey::prefix_of(KEY).unwrap().into();
    let stored = ApiKey {
        prefix: prefix.clone(),
        digest: ApiKey::digest_of(KEY),
        expires_unix_ms: None,
        revoked: false,
    };
    let mut callers = Callers::default();
    callers.keys.insert(prefix, (Arc::clone(&application), stored));
    callers.applications.insert(Arc::clone(&application.id), application);
    snapshot.callers = Arc::new(callers);
    snapshot
}

/// As a gRPC client sends it.
fn request(arrival: &Arrival) -> Request<Body> {
    let body = Whole { data: Some(Bytes::from_static(&MESSAGE)), trailers: None };
    let mut request = Request::post(METHOD).body(body.boxed_unsync()).unwrap();
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "grpc-guards/1"),
        ("grpc-timeout", "5S"),
        ("x-api-key", KEY),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    request.extensions_mut().insert(arrival.clone());
    request
}

fn answer() -> Response<Body> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let body = Whole { data: Some(Bytes::from_static(&MESSAGE)), trailers: Some(trailers) };
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// A body that is there at once.
struct Whole {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }
}
