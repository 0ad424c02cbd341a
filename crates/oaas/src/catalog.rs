//! The catalog of a process: loaded with what upstreams say of themselves, kept as last good, reloaded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use oaas_catalog::{KnownDescriptors, LoadError, ReflectionNeed, Snapshot, Sources};
use oaas_model::Lang;
use prost_reflect::DescriptorPool;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::Config;
use crate::descriptors::Reflection;

/// Longest wait for an upstream to describe itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same where its last description is kept: a start after a crash must not wait for a busy upstream.
const PATIENCE_KEPT: Duration = Duration::from_millis(500);

/// Where the catalog's files are.
#[must_use]
pub fn sources(config: &Config) -> Sources {
    Sources {
        catalog: config.catalog.clone(),
        callers: config.callers.exists().then(|| config.callers.clone()),
    }
}

/// The messages of this program.
///
/// # Errors
/// Never in practice: the build made them.
pub fn own_descriptors() -> anyhow::Result<DescriptorPool> {
    DescriptorPool::decode(oaas_proto::DESCRIPTORS).context("the program's own descriptors")
}

/// Loads catalogs, and remembers what upstreams said of themselves.
pub struct Loader {
    known: Arc<KnownDescriptors>,
    /// Descriptions are kept here, so that a start does not need every upstream.
    kept: PathBuf,
}

impl Loader {
    /// A loader that keeps what it fetches under `data`.
    ///
    /// # Errors
    /// When the folder can't be made.
    pub fn new(data: &Path) -> anyhow::Result<Self> {
        let kept = data.join("descriptors");
        std::fs::create_dir_all(&kept).with_context(|| format!("can't make {}", kept.display()))?;
        let known = KnownDescriptors { local: own_descriptors()?, reflected: HashMap::new() };
        Ok(Self { known: Arc::new(known), kept })
    }

    /// Loads the catalog; asks upstreams for the descriptions that are missing.
    ///
    /// # Errors
    /// Everything that is wrong with the files, rendered; or the upstream that can't be asked.
    pub async fn load(&mut self, sources: &Sources) -> anyhow::Result<Snapshot> {
        let load = |sources: &Sources, known: &KnownDescriptors| oaas_catalog::load(sources, known).map(Some);
        self.loaded(sources, load).await?.context("a catalog without a version")
    }

    /// As [`Loader::load`]; `None` when the files are still those of `current`.
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub async fn load_if_changed(
        &mut self,
        sources: &Sources,
        current: &Arc<Snapshot>,
    ) -> anyhow::Result<Option<Snapshot>> {
        let current = Arc::clone(current);
        let load = move |sources: &Sources, known: &KnownDescriptors| {
            oaas_catalog::load_if_changed(sources, known, &current)
        };
        self.loaded(sources, load).await
    }

    async fn loaded(
        &mut self,
        sources: &Sources,
        load: impl Fn(&Sources, &KnownDescriptors) -> Result<Option<Snapshot>, LoadError> + Clone + Send + 'static,
    ) -> anyhow::Result<Option<Snapshot>> {
        // Twice is enough: the second time nothing is missing.
        for _ in 0..2 {
            let (known, files, load) = (Arc::clone(&self.known), sources.clone(), load.clone());
            // A large catalog takes its time, and calls must not wait for it.
            let loaded = tokio::task::spawn_blocking(move || load(&files, &known)).await;
            match loaded.context("the catalog's loading")? {
                Ok(snapshot) => return Ok(snapshot),
                Err(LoadError::Diagnostics(found)) => bail!("{}", found.render(Lang::En)),
                Err(LoadError::NeedsReflection(needs)) => {
                    for need in needs {
                        let set = self.describe(&need, &sources.catalog).await?;
                        Arc::make_mut(&mut self.known).reflected.insert(need.service.to_string(), set);
                    }
                }
            }
        }
        bail!("an upstream describes itself without the service that the catalog names")
    }

    async fn describe(&self, need: &ReflectionNeed, folder: &Path) -> anyhow::Result<Vec<u8>> {
        let path = self.kept.join(format!("{}.binpb", need.service));
        let patience = if path.exists() { PATIENCE_KEPT } else { PATIENCE };
        match tokio::time::timeout(patience, ask(need, folder)).await {
            Ok(Ok(set)) => {
                std::fs::write(&path, &set).with_context(|| format!("can't write {}", path.display()))?;
                Ok(set)
            }
            failed => {
                let why = failed.map_or_else(
                    |_| format!("no answer in {} ms", patience.as_millis()),
                    |e| format!("{:#}", e.err().unwrap_or_else(|| anyhow::anyhow!("?"))),
                );
                if let Ok(set) = std::fs::read(&path) {
                    tracing::warn!(service = %need.service, %why, "upstream not asked; its last description is used");
                    return Ok(set);
                }
                bail!(
                    "{}: its upstream does not describe itself ({why}); start it, or give `descriptors: {{ file: … }}`",
                    need.service
                )
            }
        }
    }
}

async fn ask(need: &ReflectionNeed, folder: &Path) -> anyhow::Result<Vec<u8>> {
    let endpoint = need.endpoints.first().context("no endpoint")?;
    let mut reflection = Reflection::open(connect(endpoint, need, folder).await?, None).await?;
    reflection.describe(&need.service).await
}

async fn connect(uri: &http::Uri, need: &ReflectionNeed, folder: &Path) -> anyhow::Result<Channel> {
    let mut endpoint = Endpoint::from_shared(uri.to_string())?.connect_timeout(PATIENCE);
    if uri.scheme_str() == Some("https") {
        let mut tls = ClientTlsConfig::new().with_enabled_roots();
        if let Some(settings) = &need.tls {
            if let Some(ca) = &settings.ca {
                tls = tls.ca_certificate(Certificate::from_pem(std::fs::read(folder.join(ca))?));
            }
            if let Some((certificate, key)) = &settings.identity {
                let (certificate, key) =
                    (std::fs::read(folder.join(certificate))?, std::fs::read(folder.join(key))?);
                tls = tls.identity(Identity::from_pem(certificate, key));
            }
            if let Some(name) = &settings.server_name {
                tls = tls.domain_name(name);
            }
        }
        endpoint = endpoint.tls_config(tls)?;
    }
    Ok(endpoint.connect().await?)
}
