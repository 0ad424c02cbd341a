//! The gateway as a whole: what it is made of, the catalog version that it applies, the service that the
//! edge calls.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use futures_util::future::Either;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use oaas_audit::Journal;
use oaas_capability::{LocalService, Registration};
use oaas_catalog::{ServiceEntry, Snapshot, Upstream, UpstreamTls};
use oaas_metering::Meters;
use oaas_model::Clock;
use parking_lot::Mutex;
use thiserror::Error;
use tower::Service;

use crate::alert::Alerts;
use crate::auth::{Auth, Keys};
use crate::bound::{self, Bound, BoundMethod, Target};
use crate::breaker::Breakers;
use crate::buffer::Room;
use crate::call::Call;
use crate::degrade::LastGood;
use crate::edge::Drain;
use crate::gate::Governed;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::shared::{Settings, Shared};
use crate::stack::stack;
use crate::upstream::{Pool, PoolConfig};
use crate::{Body, full_body, platform};

/// What a gateway is made of.
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The call journal.
    pub journal: Journal,
    /// Quotas and budgets.
    pub meters: Meters,
    /// Alerts.
    pub alerts: Alerts,
    /// The edge's way out.
    pub drain: Drain,
    /// Numbers of the process.
    pub settings: Settings,
    /// The capabilities that run in this process.
    pub registrations: Vec<Registration>,
    /// Where the domains are that run in other processes.
    pub routes: HashMap<String, Vec<http::Uri>>,
    /// Folder that the catalog's relative paths start from.
    pub catalog_folder: PathBuf,
    /// Folder that the callers' relative paths start from.
    pub callers_folder: PathBuf,
    /// A random number; jitter and sampling start from it.
    pub seed: u64,
}

/// Why a catalog version can't be bound.
#[derive(Debug, Error)]
pub enum BindError {
    /// A method's path is none that a request could carry.
    #[error("{0} is not a path")]
    Path(String),
    /// Certificates of an upstream can't be read.
    #[error("upstream of {service}: {path}: {why}")]
    Tls {
        /// The service.
        service: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    inner: Arc<Inner>,
}

struct Inner {
    locals: HashMap<String, LocalService>,
    routes: HashMap<String, Vec<http::Uri>>,
    /// Connections outlive a reload that leaves the address as it is.
    pools: Mutex<HashMap<String, (Upstream, Pool)>>,
    keys: Arc<Keys>,
    catalog_folder: PathBuf,
    callers_folder: PathBuf,
}

impl Gateway {
    /// A gateway with `snapshot` in force.
    ///
    /// # Errors
    /// When the snapshot can't be bound.
    pub fn new(parts: Parts, snapshot: Snapshot) -> Result<Self, BindError> {
        let keys = Arc::new(Keys::default());
        let docs_url = Arc::clone(&parts.settings.docs_url);
        let snapshot = Arc::new(snapshot);
        let shared = Arc::new(Shared {
            bound: ArcSwap::from_pointee(Bound::new(Arc::clone(&snapshot), docs_url, Vec::new())),
            journal: parts.journal,
            meters: parts.meters,
            breakers: Breakers::new(parts.seed),
            limits: Limits::new(Arc::clone(&parts.clock)),
            last_good: LastGood::new(),
            idempotency: Default::default(),
            requests: Room::default(),
            metrics: Metrics::default(),
            alerts: parts.alerts,
            auth: Auth::new(Arc::clone(&keys)),
            settings: parts.settings,
            dice: AtomicU64::new(parts.seed),
            draining: false.into(),
            local: Arc::from("local"),
            drain: parts.drain,
            budget_alerts: Mutex::default(),
            clock: parts.clock,
        });
        let locals = platform::registrations(&Arc::downgrade(&shared))
            .into_iter()
            .chain(parts.registrations)
            .map(|registration| (registration.name.to_owned(), registration.service))
            .collect();
        let inner = Inner {
            locals,
            routes: parts.routes,
            pools: Mutex::default(),
            keys,
            catalog_folder: parts.catalog_folder,
            callers_folder: parts.callers_folder,
        };
        let gateway = Self { shared, inner: Arc::new(inner) };
        let bound = gateway.bind(snapshot)?;
        gateway.shared.bound.store(Arc::new(bound));
        Ok(gateway)
    }

    /// What all calls share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts a catalog version in force for the calls that come from now on; those in flight keep theirs.
    /// Says which version was in force.
    ///
    /// # Errors
    /// When it can't be bound; then the old one stays.
    pub fn apply(&self, snapshot: Snapshot, actor: &str) -> Result<Arc<str>, BindError> {
        let bound = self.bind(Arc::new(snapshot))?;
        let version = Arc::clone(&bound.snapshot.version);
        let before = self.shared.bound.swap(Arc::new(bound));
        self.shared.metrics.reloads.fetch_add(1, Ordering::Relaxed);
        let details = HashMap::from([
            ("from".to_owned(), before.snapshot.version.to_string()),
            ("to".to_owned(), version.to_string()),
        ]);
        self.shared.administered(actor, "catalog.reload", "catalog", details);
        Ok(Arc::clone(&before.snapshot.version))
    }

    /// Counts a version that could not even be loaded.
    pub fn reload_failed(&self) {
        self.shared.metrics.reloads_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Reads the token issuers' keys again; to be called after [`Gateway::apply`], at intervals, and when
    /// a token names an unknown key.
    pub async fn refresh_keys(&self) {
        let bound = self.shared.bound.load_full();
        self.inner.keys.refresh(&bound.snapshot.callers, &self.inner.callers_folder).await;
    }

    /// Waits until a token names a key that is not known.
    pub async fn unknown_key(&self) {
        self.inner.keys.unknown.notified().await;
    }

    /// The service that the edge calls.
    #[must_use]
    pub fn service(
        &self,
    ) -> Entrance<
        impl Service<Governed, Response = Response<Body>, Error = Infallible, Future: Send + 'static>
        + Copy
        + Send
        + 'static,
    > {
        Entrance { shared: Arc::clone(&self.shared), stack: stack() }
    }

    fn bind(&self, snapshot: Arc<Snapshot>) -> Result<Bound, BindError> {
        let mut methods = Vec::with_capacity(snapshot.methods.len());
        for service in snapshot.services.values() {
            let target = self.target(service)?;
            for entry in service.methods.values() {
                methods.push(BoundMethod {
                    uri: http::Uri::try_from(&*entry.path)
                        .map_err(|_| BindError::Path(entry.path.to_string()))?,
                    entry: Arc::clone(entry),
                    service: Arc::clone(service),
                    policy: bound::policy(&entry.breaker),
                    metrics: self.shared.metrics.of(&entry.path),
                    target: target.clone(),
                });
            }
        }
        self.inner.pools.lock().retain(|service, _| snapshot.services.contains_key(service.as_str()));
        Ok(Bound::new(snapshot, Arc::clone(&self.shared.settings.docs_url), methods))
    }

    fn target(&self, service: &ServiceEntry) -> Result<Target, BindError> {
        let upstream = match &service.upstream {
            Upstream::Local => {
                if let Some(local) = self.inner.locals.get(&*service.name) {
                    return Ok(Target::Local(local.clone()));
                }
                let Some(endpoints) = self.inner.routes.get(&*service.domain) else {
                    return Ok(Target::Missing);
                };
                let descriptors = oaas_catalog::Descriptors::Reflection;
                Upstream::Remote { endpoints: endpoints.clone(), tls: None, descriptors }
            }
            remote => remote.clone(),
        };
        let mut pools = self.inner.pools.lock();
        if let Some((same, pool)) = pools.get(&*service.name)
            && *same == upstream
        {
            return Ok(Target::Remote(pool.clone()));
        }
        let Upstream::Remote { endpoints, tls, .. } = &upstream else { return Ok(Target::Missing) };
        let secure = endpoints.iter().any(|endpoint| endpoint.scheme_str() == Some("https"));
        let server_name = tls.as_ref().and_then(|tls| tls.server_name.clone());
        let tls = match secure {
            true => Some(client_tls(&service.name, tls.as_ref(), &self.inner.catalog_folder)?),
            false => None,
        };
        let deadline_margin = crate::metadata::MARGIN;
        let config = PoolConfig { tls, server_name, deadline_margin, ..PoolConfig::new(endpoints.clone()) };
        let pool = Pool::new(config, Arc::clone(&self.shared.clock));
        pools.insert(service.name.to_string(), (upstream, pool.clone()));
        Ok(Target::Remote(pool))
    }
}

/// TLS towards an upstream: its authorities, and our certificate where it asks for one.
fn client_tls(
    service: &str,
    tls: Option<&UpstreamTls>,
    folder: &Path,
) -> Result<Arc<rustls::ClientConfig>, BindError> {
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let failed = |path: &Path, why: &dyn std::fmt::Display| BindError::Tls {
        service: service.to_owned(),
        path: path.to_owned(),
        why: why.to_string(),
    };
    let certificates = |path: &Path| {
        let path = folder.join(path);
        CertificateDer::pem_file_iter(&path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|why| failed(&path, &why))
    };
    let mut roots = rustls::RootCertStore::empty();
    match tls.and_then(|tls| tls.ca.as_ref()) {
        Some(ca) => {
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|why| failed(ca, &why))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let mut config = match tls.and_then(|tls| tls.identity.as_ref()) {
        Some((certificate, key)) => {
            let path = folder.join(key);
            let key = PrivateKeyDer::from_pem_file(&path).map_err(|why| failed(&path, &why))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, key)
                .map_err(|why| failed(&path, &why))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Opens a call for each gRPC request and sends it down the stack.
#[derive(Clone)]
pub struct Entrance<S> {
    shared: Arc<Shared>,
    stack: S,
}

impl<S> Service<Request<Body>> for Entrance<S>
where
    S: Service<Governed, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !is_grpc(&request) {
            self.shared.metrics.not_grpc.fetch_add(1, Ordering::Relaxed);
            return Either::Right(ready(Ok(not_grpc())));
        }
        let (mut parts, body) = request.into_parts();
        let arrival = parts.extensions.remove();
        let call = Call::open(&parts, arrival, Arc::clone(&self.shared));
        Either::Left(self.stack.call(Governed { call, request: Request::from_parts(parts, body) }))
    }
}

/// A gRPC call is a POST with its content type (grpc/grpc, doc/PROTOCOL-HTTP2.md).
fn is_grpc(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = content_type.and_then(|value| value.strip_prefix(b"application/grpc"));
    request.method() == Method::POST && matches!(rest, Some([] | [b'+' | b';', ..]))
}

fn not_grpc() -> Response<Body> {
    let mut response = Response::new(full_body("this port speaks gRPC: POST, application/grpc\n".into()));
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}
