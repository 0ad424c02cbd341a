//! The settings of a process: `deploy/oaas.yaml` is the default, a file, the environment and the command
//! line go over it, each typed and checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The shipped, commented default.
pub const DEFAULTS: &str = include_str!("../../../deploy/oaas.yaml");
/// What every setting's environment variable begins with.
const ENV_PREFIX: &str = "OAAS_";
/// Variables that begin so and are no settings: they belong to the client commands.
const ENV_OTHER: [&str; 7] =
    ["OAAS_ADDRESS", "OAAS_KEY", "OAAS_CA", "OAAS_CONFIG", "OAAS_LANG", "OAAS_ROLE", "OAAS_TEST_DATA"];

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Governs calls.
    Gateway,
    /// Runs capabilities.
    Capabilities,
}

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub struct Config {
    pub listen: SocketAddr,
    pub admin: String,
    pub data: PathBuf,
    pub catalog: PathBuf,
    pub callers: PathBuf,
    pub roles: Vec<Role>,
    pub trusted_network: bool,
    pub domains: Vec<String>,
    pub routes: BTreeMap<String, Vec<String>>,
    pub docs_url: String,
    pub calls_in_flight_max: usize,
    pub tls: Tls,
    pub edge: Edge,
    pub drain: Drain,
    pub journal: Journal,
    pub telemetry: Telemetry,
    pub alerts: Alerts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub client_ca: PathBuf,
    pub client_certificates: ClientCertificates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub enum ClientCertificates {
    None,
    Optional,
    Required,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub struct Edge {
    pub lanes: usize,
    pub busy_poll_us: u64,
    pub tls_handshake_ms: u64,
    pub preface_ms: u64,
    pub first_headers_ms: u64,
    pub idle_ms: u64,
    pub connection_age_ms: u64,
    pub keep_alive_interval_ms: u64,
    pub keep_alive_timeout_ms: u64,
    pub streams_max: u32,
    pub connections_max: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub struct Drain {
    pub wait_ms: u64,
    pub grace_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub struct Journal {
    pub segment_mib: u64,
    pub sync_ms: u64,
    pub mapped: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub struct Telemetry {
    pub otlp: String,
    pub trace_ratio: f64,
    pub log: String,
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "deploy/oaas.yaml says what each is")]
pub struct Alerts {
    pub webhooks: Vec<Webhook>,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Name in logs.
    pub name: String,
    /// `http://` or `https://` address.
    pub url: String,
}

/// Settings on the command line; what is left out comes from elsewhere.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SettingsArgs {
    /// File of settings that go over the defaults
    #[arg(long, env = "OAAS_CONFIG", global = true, help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Address of the gRPC port
    #[arg(long, global = true, help_heading = "Settings")]
    pub listen: Option<SocketAddr>,
    /// Address for operators (metrics, health); empty for none
    #[arg(long, global = true, help_heading = "Settings")]
    pub admin: Option<String>,
    /// Folder of everything that the process keeps
    #[arg(long, global = true, help_heading = "Settings")]
    pub data: Option<PathBuf>,
    /// Folder of the service catalog
    #[arg(long, global = true, help_heading = "Settings")]
    pub catalog: Option<PathBuf>,
    /// File of the applications that may call
    #[arg(long, global = true, help_heading = "Settings")]
    pub callers: Option<PathBuf>,
    /// What this process does; both when left out
    #[arg(
        long,
        value_enum,
        env = "OAAS_ROLE",
        value_delimiter = ',',
        global = true,
        help_heading = "Settings"
    )]
    pub role: Option<Vec<Role>>,
    /// Business domains that run in this process; all when left out
    #[arg(long, value_delimiter = ',', global = true, help_heading = "Settings")]
    pub domains: Option<Vec<String>>,
}

impl Config {
    /// The settings in force.
    ///
    /// # Errors
    /// When a file or variable names a setting that is none, or gives it a value of the wrong type.
    pub fn load(args: &SettingsArgs, env: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut tree: Value = serde_saphyr::from_str(DEFAULTS).context("deploy/oaas.yaml, compiled in")?;
        if let Some(path) = &args.config {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
            let over: Value = serde_saphyr::from_str(&text).with_context(|| format!("{}", path.display()))?;
            merge(&mut tree, over, "").with_context(|| format!("{}", path.display()))?;
        }
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(ENV_PREFIX) else { continue };
            if ENV_OTHER.contains(&name.as_str()) || rest.starts_with("TEST_") {
                continue;
            }
            set(&mut tree, &rest.to_ascii_lowercase(), &value).with_context(|| format!("variable {name}"))?;
        }
        let mut config: Self = serde_json::from_value(tree).context("settings")?;
        config.apply(args);
        config.check()?;
        Ok(config)
    }

    fn apply(&mut self, args: &SettingsArgs) {
        let SettingsArgs { config: _, listen, admin, data, catalog, callers, role, domains } = args.clone();
        self.listen = listen.unwrap_or(self.listen);
        self.admin = admin.unwrap_or_else(|| self.admin.clone());
        self.data = data.unwrap_or_else(|| self.data.clone());
        self.catalog = catalog.unwrap_or_else(|| self.catalog.clone());
        self.callers = callers.unwrap_or_else(|| self.callers.clone());
        self.roles = role.unwrap_or_else(|| self.roles.clone());
        self.domains = domains.unwrap_or_else(|| self.domains.clone());
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.roles.is_empty() {
            bail!("roles: must name at least one of gateway, capabilities");
        }
        if !(0.0..=1.0).contains(&self.telemetry.trace_ratio) {
            bail!("telemetry.trace_ratio: must be 0 to 1, is {}", self.telemetry.trace_ratio);
        }
        let (certificate, key) = (self.tls.certificate.as_os_str(), self.tls.key.as_os_str());
        if certificate.is_empty() != key.is_empty() {
            bail!("tls: certificate and key are given together or not at all");
        }
        let guarded = self.listen.ip().is_loopback()
            || self.trusted_network
            || self.tls.client_certificates == ClientCertificates::Required;
        if !self.has(Role::Gateway) && !guarded {
            bail!(
                "listen: a process with capabilities alone believes whoever reaches it, and {} can be \
                 reached from elsewhere; set tls.client_certificates: required, or trusted_network: true \
                 when only gateways can reach it, or listen on 127.0.0.1",
                self.listen
            );
        }
        Ok(())
    }

    /// Whether this process has a role.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether a domain runs in this process.
    #[must_use]
    pub fn runs(&self, domain: &str) -> bool {
        self.has(Role::Capabilities) && (self.domains.is_empty() || self.domains.iter().any(|d| d == domain))
    }

    /// The settings as a file of settings.
    ///
    /// # Errors
    /// Never in practice: every setting can be written.
    pub fn dump(&self) -> anyhow::Result<String> {
        Ok(serde_yaml::to_string(self)?)
    }
}

/// `ms` milliseconds.
#[must_use]
pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Lays `over` over `tree`; a name that is not there is none of ours. `routes` holds names of the user's.
fn merge(tree: &mut Value, over: Value, path: &str) -> anyhow::Result<()> {
    match (tree, over) {
        (Value::Object(tree), Value::Object(over)) if path != "routes" => {
            for (name, value) in over {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match tree.get_mut(&name) {
                    Some(slot) => merge(slot, value, &below)?,
                    None => bail!("{below}: no such setting; there are {}", names(tree)),
                }
            }
        }
        (Value::Object(_), other) if path != "routes" => bail!("{path}: must be a map, is {other}"),
        (slot, value) => *slot = value,
    }
    Ok(())
}

/// Sets what `path` (levels apart by two underscores) names to a YAML `value`.
fn set(tree: &mut Value, path: &str, value: &str) -> anyhow::Result<()> {
    let mut slot = tree;
    for name in path.split("__") {
        let Value::Object(map) = slot else { bail!("{path}: no such setting") };
        let known = names(map);
        slot = map.get_mut(name).with_context(|| format!("{name}: no such setting; there are {known}"))?;
    }
    *slot = match slot {
        // Text stays text, also when it looks like a number.
        Value::String(_) => Value::String(value.to_owned()),
        _ => serde_saphyr::from_str(value).with_context(|| format!("{value:?} is no YAML value"))?,
    };
    Ok(())
}

fn names(map: &serde_json::Map<String, Value>) -> String {
    map.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// `path`, or nothing when it is empty.
#[must_use]
pub fn given(path: &Path) -> Option<&Path> {
    (!path.as_os_str().is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(env: &[(&str, &str)]) -> anyhow::Result<Config> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&SettingsArgs::default(), env)
    }

    #[test]
    fn the_shipped_file_is_the_default_and_dumps_to_itself() {
        let config = load(&[]).unwrap();
        assert_eq!(config.listen.port(), 50051);
        let again: Config = serde_saphyr::from_str(&config.dump().unwrap()).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn every_setting_is_a_variable() {
        let config = load(&[
            ("OAAS_DRAIN__WAIT_MS", "0"),
            ("OAAS_ROLES", "[gateway]"),
            ("OAAS_ROUTES", "{channel: ['http://127.0.0.1:1']}"),
            ("OAAS_DATA", "/elsewhere"),
        ])
        .unwrap();
        assert_eq!(config.drain.wait_ms, 0);
        assert_eq!(config.roles, [Role::Gateway]);
        assert_eq!(config.routes["channel"], ["http://127.0.0.1:1"]);
        let unknown = load(&[("OAAS_DRAIN__WAIT", "0")]).unwrap_err();
        assert!(format!("{unknown:#}").contains("there are grace_ms, wait_ms"), "{unknown:#}");
        assert!(load(&[("OAAS_DRAIN__WAIT_MS", "soon")]).is_err());
    }

    #[test]
    fn capabilities_alone_are_not_served_to_everybody() {
        let alone = |more: &[(&'static str, &'static str)]| {
            load(&[&[("OAAS_ROLES", "[capabilities]"), ("OAAS_LISTEN", "0.0.0.0:50051")], more].concat())
        };
        let refused = alone(&[]).unwrap_err();
        assert!(format!("{refused:#}").contains("trusted_network: true"), "{refused:#}");
        assert!(alone(&[("OAAS_TRUSTED_NETWORK", "true")]).is_ok());
        assert!(alone(&[("OAAS_TLS__CLIENT_CERTIFICATES", "required")]).is_ok());
        assert!(alone(&[("OAAS_LISTEN", "127.0.0.1:50051")]).is_ok());
        assert!(load(&[("OAAS_LISTEN", "0.0.0.0:50051")]).is_ok(), "a gateway asks who calls");
    }

    #[test]
    fn a_file_goes_over_the_defaults_and_names_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oaas.yaml");
        let args = SettingsArgs { config: Some(path.clone()), ..SettingsArgs::default() };
        std::fs::write(&path, "journal: { sync_ms: 5 }\n").unwrap();
        assert_eq!(Config::load(&args, std::iter::empty()).unwrap().journal.sync_ms, 5);
        std::fs::write(&path, "journal: { sink_ms: 5 }\n").unwrap();
        let error = format!("{:#}", Config::load(&args, std::iter::empty()).unwrap_err());
        assert!(error.contains("journal.sink_ms: no such setting"), "{error}");
        std::fs::write(&path, "journal: [\n").unwrap();
        assert!(format!("{:#}", Config::load(&args, std::iter::empty()).unwrap_err()).contains("line"));
    }
}
