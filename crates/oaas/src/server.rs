//! One process, put together: store, journal, meters, capabilities, catalog, gateway, edge. In the order
//! of this file it starts; in the opposite order it stops.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail};
use oaas_audit::{Journal, JournalHealth, JournalOptions, Recovery};
use oaas_capability::{Context, Registration};
use oaas_gateway::alert::{Alert, AlertSink as _, Alerts, Severity, Status, Webhook, WebhookConfig};
use oaas_gateway::breaker::BreakerPolicy;
use oaas_gateway::edge::{
    ClientCertificates as EdgeCertificates, Drain, DrainReport, EdgeContext, EdgeCounters, EdgeLimits,
    ReloadableTls, ServerTls,
};
use oaas_gateway::lanes::Lanes;
use oaas_gateway::{Gateway, Parts, Settings, edge};
use oaas_model::SystemClock;
use oaas_store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::catalog::{Loader, sources};
use crate::config::{ClientCertificates, Config, Role, given, ms};
use crate::projector::{Projecting, Projector};
use crate::{admin, bare, domains, reload};

/// How often the journal's health is looked at.
const JOURNAL_WATCH_EVERY: Duration = Duration::from_secs(2);

/// A running process.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where operators ask; none when there is no such port.
    pub admin: Option<SocketAddr>,
    /// Version of the catalog in force; none in a process with capabilities alone.
    pub catalog_version: Option<Arc<str>>,
    /// The gateway; none in a process with capabilities alone.
    pub gateway: Option<Gateway>,
    /// What a start after a crash found.
    pub recovery: Option<Recovery>,
    drain: Drain,
    serving: JoinHandle<DrainReport>,
    beside: Vec<JoinHandle<()>>,
    journal: Option<Journal>,
    projecting: Option<Projecting>,
    store: Store,
    lanes: Lanes,
}

/// Starts a process; it serves when this returns.
///
/// # Errors
/// When a setting, a file, the store, the journal or a port is not as it must be.
pub async fn start(config: &Config) -> anyhow::Result<Server> {
    start_with(config, Vec::new()).await
}

/// The same, with capabilities that are not in a domain's crate.
///
/// # Errors
/// As [`start`].
pub async fn start_with(config: &Config, more: Vec<Registration>) -> anyhow::Result<Server> {
    for domain in &config.domains {
        if !domains::ALL.contains(&domain.as_str()) {
            bail!("domains: no domain {domain:?}; there are {}", domains::ALL.join(", "));
        }
    }
    let clock = SystemClock::shared();
    std::fs::create_dir_all(&config.data).with_context(|| format!("can't make {}", config.data.display()))?;
    let store = Store::open(&config.data.join("oaas.db")).await?;
    let cx = Context { store: store.clone(), clock: Arc::clone(&clock) };
    let mut registrations = domains::registrations(config, &cx).await?;
    registrations.extend(more);
    let tls = tls(config)?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("can't listen on {}; another port is chosen by --listen", config.listen))?;
    let address = listener.local_addr()?;
    let counters = Arc::new(EdgeCounters::default());
    let edge_context = EdgeContext {
        counters: Arc::clone(&counters),
        clock: Arc::clone(&clock),
        lanes: Lanes::start(config.edge.lanes, Duration::from_micros(config.edge.busy_poll_us))
            .context("edge.lanes")?,
    };
    let lanes = edge_context.lanes.clone();
    let drain = Drain::new();
    if !config.has(Role::Gateway) {
        let service = bare::Bare::new(registrations);
        let serving =
            tokio::spawn(edge::serve(listener, tls, limits(config), edge_context, service, drain.clone()));
        return Ok(Server {
            address,
            admin: None,
            catalog_version: None,
            gateway: None,
            recovery: None,
            drain,
            serving,
            beside: Vec::new(),
            journal: None,
            projecting: None,
            store,
            lanes,
        });
    }

    let options = JournalOptions {
        dir: config.data.join("journal"),
        segment_bytes: config.journal.segment_mib.saturating_mul(1024 * 1024),
        sync_interval: ms(config.journal.sync_ms),
        mapped: config.journal.mapped,
        ..JournalOptions::default()
    };
    let (journal, recovery) = Journal::open(options, Arc::clone(&clock))?;
    let (meters, projector) = Projector::open(&store, &clock, &journal, &config.data).await?;
    let (alerts, worker) = Alerts::new(webhooks(config)?);
    let mut beside = vec![tokio::spawn(worker.run())];

    let mut loader = Loader::new(&config.data)?;
    let (snapshot, files) = reload::first(&mut loader, config).await?;
    let parts = Parts {
        clock: Arc::clone(&clock),
        journal: journal.clone(),
        meters: meters.clone(),
        alerts,
        drain: drain.clone(),
        settings: Settings {
            calls_in_flight_max: config.calls_in_flight_max,
            trace_ratio: (!config.telemetry.otlp.is_empty()).then_some(config.telemetry.trace_ratio),
            docs_url: Arc::from(config.docs_url.as_str()),
            ..Settings::default()
        },
        registrations,
        routes: routes(config)?,
        catalog_folder: files.catalog.clone(),
        callers_folder: config.callers.parent().unwrap_or(Path::new(".")).to_owned(),
        seed: rand::random(),
    };
    let gateway = Gateway::new(parts, snapshot)?;
    gateway.refresh_keys().await;
    let started = HashMap::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("written_off".to_owned(), recovery.written_off.len().to_string()),
    ]);
    gateway.shared().administered("oaas", "start", "process", started);

    let serving = tokio::spawn(edge::serve(
        listener,
        tls.clone(),
        limits(config),
        edge_context,
        gateway.service(),
        drain.clone(),
    ));
    let admin = match config.admin.as_str() {
        "" => None,
        text => {
            let listener =
                TcpListener::bind(text).await.with_context(|| format!("admin: can't listen on {text}"))?;
            let address = listener.local_addr()?;
            beside.push(tokio::spawn(admin::serve(listener, Arc::clone(gateway.shared()), counters)));
            Some(address)
        }
    };
    beside.push(tokio::spawn(reload::watch(gateway.clone(), loader, sources(config), config.data.clone())));
    beside.push(tokio::spawn(refresh_keys(gateway.clone())));
    let projecting = projector.start();
    beside.push(tokio::spawn(watch_journal(gateway.clone())));
    beside.push(tokio::spawn(sweep_breakers(gateway.clone())));
    if let Some(tls) = tls {
        beside.push(tokio::spawn(watch_certificate(config.clone(), tls)));
    }
    let catalog_version = Some(Arc::clone(&gateway.shared().bound.load().snapshot.version));
    Ok(Server {
        address,
        admin,
        catalog_version,
        gateway: Some(gateway),
        recovery: Some(recovery),
        drain,
        serving,
        beside,
        journal: Some(journal),
        projecting: Some(projecting),
        store,
        lanes,
    })
}

impl Server {
    /// The handle that starts the drain.
    #[must_use]
    pub fn drain(&self) -> Drain {
        self.drain.clone()
    }

    /// Drains and stops: health says NOT_SERVING, what is in flight finishes, the journal is closed.
    ///
    /// # Errors
    /// When the last counters can't be stored; the journal has them all the same.
    pub async fn stop(self) -> anyhow::Result<DrainReport> {
        if let Some(gateway) = &self.gateway {
            gateway.shared().draining.store(true, Ordering::Release);
        }
        self.drain.start();
        let report = self.serving.await.context("the edge")?;
        if let Some(gateway) = &self.gateway {
            gateway.shared().administered("oaas", "stop", "process", HashMap::new());
        }
        for task in self.beside {
            task.abort();
        }
        if let Some(journal) = &self.journal {
            journal.close().await;
        }
        if let Some(projecting) = self.projecting {
            // The journal is closed, so the last round sees and stores all of it.
            projecting.finish().await?;
        }
        self.store.close().await;
        // Only now: the store may have connections that a lane has opened.
        drop(self.lanes);
        Ok(report)
    }
}

/// Alerts when the journal fails, and when it is well again.
async fn watch_journal(gateway: Gateway) {
    let shared = Arc::clone(gateway.shared());
    let mut failing = false;
    let mut tick = tokio::time::interval(JOURNAL_WATCH_EVERY);
    loop {
        tick.tick().await;
        let (now_failing, why) = match shared.journal.health() {
            JournalHealth::Healthy => (false, String::new()),
            JournalHealth::Failing { error, .. } => (true, error),
        };
        if now_failing == failing {
            continue;
        }
        failing = now_failing;
        shared.alerts.raise(Alert {
            name: "AuditJournalFailing",
            severity: Severity::Critical,
            labels: [("instance", shared.journal.instance().to_owned())].into(),
            annotations: [
                ("summary", format!("the call journal can't be written: {why}")),
                ("summary_zh", format!("调用审计日志无法写入：{why}")),
            ]
            .into(),
            status: if failing { Status::Firing } else { Status::Resolved },
            at: shared.clock.now(),
        });
    }
}

/// Forgets the breakers of applications that have not called for long.
async fn sweep_breakers(gateway: Gateway) {
    /// How often.
    const EVERY: Duration = Duration::from_secs(300);
    let shared = gateway.shared();
    loop {
        tokio::time::sleep(EVERY).await;
        shared.breakers.sweep(&BreakerPolicy::default(), shared.clock.now());
    }
}

/// Reads the token issuers' keys again: at intervals, and when a token names an unknown one.
async fn refresh_keys(gateway: Gateway) {
    /// Between two readings at most.
    const MOST: Duration = Duration::from_secs(300);
    /// Between two readings at least, however many tokens name unknown keys.
    const LEAST: Duration = Duration::from_secs(10);
    loop {
        tokio::time::sleep(LEAST).await;
        let _ = tokio::time::timeout(MOST, gateway.unknown_key()).await;
        gateway.refresh_keys().await;
    }
}

fn webhooks(config: &Config) -> anyhow::Result<Vec<Webhook>> {
    let make = |webhook: &crate::config::Webhook| {
        Webhook::new(WebhookConfig::new(&webhook.name, &webhook.url))
            .with_context(|| format!("alerts.webhooks: {}", webhook.name))
    };
    config.alerts.webhooks.iter().map(make).collect()
}

fn routes(config: &Config) -> anyhow::Result<HashMap<String, Vec<http::Uri>>> {
    let mut routes = HashMap::new();
    for (domain, addresses) in &config.routes {
        let parse = |address: &String| {
            address
                .parse::<http::Uri>()
                .with_context(|| format!("routes.{domain}: {address:?} is no address"))
        };
        routes.insert(domain.clone(), addresses.iter().map(parse).collect::<anyhow::Result<_>>()?);
    }
    Ok(routes)
}

fn limits(config: &Config) -> EdgeLimits {
    EdgeLimits {
        tls_handshake: ms(config.edge.tls_handshake_ms),
        preface: ms(config.edge.preface_ms),
        first_headers: ms(config.edge.first_headers_ms),
        idle: ms(config.edge.idle_ms),
        age_max: ms(config.edge.connection_age_ms),
        keep_alive_interval: ms(config.edge.keep_alive_interval_ms),
        keep_alive_timeout: ms(config.edge.keep_alive_timeout_ms),
        streams_max: config.edge.streams_max,
        connections_max: config.edge.connections_max,
        drain_wait: ms(config.drain.wait_ms),
        drain_grace: ms(config.drain.grace_ms),
        ..EdgeLimits::default()
    }
}

fn tls(config: &Config) -> anyhow::Result<Option<ReloadableTls>> {
    Ok(match server_tls(config)? {
        Some(tls) => Some(ReloadableTls::new(&tls).context("tls")?),
        None => None,
    })
}

fn server_tls(config: &Config) -> anyhow::Result<Option<ServerTls>> {
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("tls: can't read {}", path.display()));
    let (Some(certificate), Some(key)) = (given(&config.tls.certificate), given(&config.tls.key)) else {
        if config.tls.client_certificates != ClientCertificates::None {
            bail!("tls.client_certificates: needs tls.certificate and tls.key");
        }
        return Ok(None);
    };
    let authorities = || read(&config.tls.client_ca);
    let client = match config.tls.client_certificates {
        ClientCertificates::None => EdgeCertificates::None,
        ClientCertificates::Optional => EdgeCertificates::Optional(authorities()?),
        ClientCertificates::Required => EdgeCertificates::Required(authorities()?),
    };
    Ok(Some(ServerTls { certificate_pem: read(certificate)?, key_pem: read(key)?, client }))
}

/// Puts certificate, key and clients' authorities in force when one of their files changes.
async fn watch_certificate(config: Config, tls: ReloadableTls) {
    /// How often the files are looked at.
    const EVERY: Duration = Duration::from_secs(10);
    let mut known = server_tls(&config).ok().flatten();
    loop {
        tokio::time::sleep(EVERY).await;
        match server_tls(&config) {
            Ok(Some(fresh)) if known.as_ref() != Some(&fresh) => match tls.replace(&fresh) {
                Ok(()) => {
                    tracing::info!("new certificate in force");
                    known = Some(fresh);
                }
                Err(error) => tracing::error!(%error, "new certificate not used"),
            },
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "certificate not read"),
        }
    }
}
