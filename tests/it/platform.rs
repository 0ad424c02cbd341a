//! The platform in this process: own data folder, port 0, the repository's catalog and what a test adds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oaas::config::{Config, SettingsArgs};
use oaas::server::Server;
use oaas_audit::Reader;
use oaas_audit::record::AuditRecord;
use oaas_audit::record::audit_record::Event;
use oaas_catalog::ApiKey;
use oaas_model::{CallId, Clock as _, SystemClock, Timestamp};
use tempfile::TempDir;

use crate::client::Client;
use crate::upstream::{DESCRIPTORS, Upstream, descriptors};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The time, as the platform has it.
pub fn now() -> Timestamp {
    // One for all: its steady part counts from where it was made.
    static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);
    CLOCK.now()
}

/// A fresh key in the form of `oaas caller new`.
pub fn fresh_key() -> String {
    const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let name: String =
        rand::random::<[u8; 8]>().iter().map(|byte| char::from(BASE32[usize::from(byte % 32)])).collect();
    format!("oaas_{name}_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// The YAML of a key's credential; `more` is appended inside it.
pub fn key_yaml(key: &str, more: &str) -> String {
    let digest: String = ApiKey::digest_of(key).iter().map(|byte| format!("{byte:02x}")).collect();
    let prefix = ApiKey::prefix_of(key).unwrap();
    format!("{{ api_key: {{ prefix: {prefix}, digest: \"{digest}\"{more} }} }}")
}

/// An application of `deploy/callers.yaml`.
struct App {
    id: String,
    roles: &'static str,
    credentials: Vec<String>,
    subscriptions: Vec<String>,
}

/// A platform that is being put together.
pub struct Builder {
    files: BTreeMap<String, String>,
    plans: String,
    apps: Vec<App>,
    callers: String,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

/// Starts to put one together.
pub fn platform() -> Builder {
    Builder {
        files: BTreeMap::new(),
        plans: String::new(),
        apps: Vec::new(),
        callers: String::new(),
        settings: Vec::new(),
        folder: tempfile::tempdir().unwrap(),
    }
}

impl Builder {
    /// One more file of the catalog, or another text of one.
    pub fn file(mut self, name: &str, text: impl Into<String>) -> Self {
        self.files.insert(name.to_owned(), text.into());
        self
    }

    /// The echo service behind the gateway, as [`Upstream::catalog`] says it.
    pub fn echo(self, upstream: &Upstream, service: &str, methods: &[(&str, &str)]) -> Self {
        self.file("echo/echo.yaml", upstream.catalog(service, methods))
    }

    /// One more plan. Example: ("tiny", "concurrency: 1").
    pub fn plan(mut self, name: &str, yaml: &str) -> Self {
        self.plans.push_str(&format!("  {name}: {{ {yaml} }}\n"));
        self
    }

    /// An application with a key of its own, subscribed to "service:plan" or to a whole YAML entry.
    pub fn app(self, id: &str, key: &str, subscriptions: &[&str]) -> Self {
        self.app_with(id, &[&key_yaml(key, "")], subscriptions)
    }

    /// An application with these credentials, each a YAML entry.
    pub fn app_with(mut self, id: &str, credentials: &[&str], subscriptions: &[&str]) -> Self {
        let subscriptions = subscriptions.iter().map(|text| match text.split_once(':') {
            Some((service, plan)) if !text.starts_with('{') => {
                format!("{{ service: \"{service}\", plan: {plan} }}")
            }
            _ => (*text).to_owned(),
        });
        self.apps.push(App {
            id: id.to_owned(),
            roles: "[]",
            credentials: credentials.iter().map(|text| (*text).to_owned()).collect(),
            subscriptions: subscriptions.collect(),
        });
        self
    }

    /// The last application is an operator.
    pub fn operator(mut self) -> Self {
        self.apps.last_mut().unwrap().roles = "[operator]";
        self
    }

    /// More of the callers file. Example: "issuers: [...]".
    pub fn callers(mut self, text: &str) -> Self {
        self.callers.push_str(text);
        self
    }

    /// A setting, as its variable names it. Example: ("DRAIN__GRACE_MS", "100").
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((format!("OAAS_{name}"), value.to_owned()));
        self
    }

    /// The folder with `catalog/`, `callers.yaml` and `data/`; for files that a test brings along.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub async fn start(self) -> Platform {
        self.write();
        let config = self.config();
        let server = oaas::server::start(&config).await.unwrap();
        Platform { address: server.address, server: Some(server), config, builder: self }
    }

    fn config(&self) -> Config {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let mut settings = vec![
            ("OAAS_LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
            ("OAAS_ADMIN".to_owned(), String::new()),
            ("OAAS_DATA".to_owned(), path("data")),
            ("OAAS_CATALOG".to_owned(), path("catalog")),
            ("OAAS_CALLERS".to_owned(), path("callers.yaml")),
            ("OAAS_DRAIN__WAIT_MS".to_owned(), "0".to_owned()),
            ("OAAS_DRAIN__GRACE_MS".to_owned(), "2000".to_owned()),
            ("OAAS_JOURNAL__SEGMENT_MIB".to_owned(), "4".to_owned()),
        ];
        settings.extend(self.settings.clone());
        Config::load(&SettingsArgs::default(), settings.into_iter()).unwrap()
    }

    fn write(&self) {
        let catalog = self.folder.path().join("catalog");
        copy(&root().join("catalog"), &catalog);
        if !self.plans.is_empty() {
            let path = catalog.join("plans.yaml");
            let shipped = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, format!("{shipped}\n{}", self.plans)).unwrap();
        }
        std::fs::write(catalog.join(DESCRIPTORS), descriptors()).unwrap();
        for (name, text) in &self.files {
            let path = catalog.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::write(self.folder.path().join("callers.yaml"), self.callers_yaml()).unwrap();
    }

    fn callers_yaml(&self) -> String {
        let mut text = "applications:\n".to_owned();
        for App { id, roles, credentials, subscriptions } in &self.apps {
            text.push_str(&format!("  - id: {id}\n    owner: team@example.com\n    roles: {roles}\n"));
            for (name, entries) in [("credentials", credentials), ("subscriptions", subscriptions)] {
                text.push_str(&format!("    {name}:{}\n", if entries.is_empty() { " []" } else { "" }));
                for entry in entries {
                    text.push_str(&format!("      - {entry}\n"));
                }
            }
        }
        if self.apps.is_empty() {
            text = "applications: []\n".to_owned();
        }
        text + &self.callers
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A running platform.
pub struct Platform {
    pub address: SocketAddr,
    pub server: Option<Server>,
    pub config: Config,
    builder: Builder,
}

impl Platform {
    pub async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// The folder with `catalog/`, `callers.yaml` and `data/`.
    pub fn folder(&self) -> &Path {
        self.builder.folder.path()
    }

    /// Puts another text in the place of a catalog file, all at once.
    pub fn rewrite(&self, name: &str, text: &str) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = self.folder().join(name);
        let fresh = self.folder().join(format!("fresh-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, path).unwrap();
    }

    /// The version of the catalog in force.
    pub fn version(&self) -> String {
        let gateway = self.server.as_ref().unwrap().gateway.as_ref().unwrap();
        gateway.shared().bound.load().snapshot.version.to_string()
    }

    /// Waits until another version than `old` is in force.
    pub async fn reloaded(&self, old: &str) -> String {
        for _ in 0..1_000 {
            let version = self.version();
            if version != old {
                return version;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no other version than {old} came into force");
    }

    pub fn reader(&self) -> Reader {
        Reader::open(self.folder().join("data/journal")).unwrap()
    }

    /// The records of a call; waits until it is over.
    pub async fn records(&self, call_id: &str) -> Vec<AuditRecord> {
        let id: CallId = call_id.parse().unwrap();
        for _ in 0..400 {
            let found = self.reader().find(id).unwrap();
            let over = |record: &AuditRecord| {
                matches!(record.event, Some(Event::Outcome(_) | Event::Refusal(_) | Event::WrittenOff(_)))
            };
            if found.iter().any(over) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the journal has no end of the call {call_id}");
    }

    /// Everything in the journal, after the stop.
    pub async fn stop(&mut self) -> Vec<AuditRecord> {
        self.server.take().unwrap().stop().await.unwrap();
        self.reader().records().map(|entry| entry.unwrap().record).collect()
    }

    /// Starts again on the same folder.
    pub async fn restart(&mut self) {
        let server = oaas::server::start(&self.config).await.unwrap();
        self.address = server.address;
        self.server = Some(server);
    }
}
