//! Reload: when the catalog's or the callers' files change, and on SIGHUP. A version that can't be loaded
//! is told of and changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use oaas_catalog::{Snapshot, Sources};
use oaas_gateway::Gateway;
use tokio::signal::unix::{SignalKind, signal};

use crate::catalog::{Loader, sources};
use crate::config::Config;

/// Between two retries of a version that waits for its upstream.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// The first version: of the files, or, when they are broken, the last good one.
///
/// # Errors
/// When the files are broken and there is no last good version.
pub async fn first(loader: &mut Loader, config: &Config) -> anyhow::Result<(Snapshot, Sources)> {
    let files = sources(config);
    let broken = match loader.load(&files).await {
        Ok(snapshot) => {
            keep(&config.data, &files);
            return Ok((snapshot, files));
        }
        Err(error) => error,
    };
    let Some(last_good) = oaas_catalog::last_good(&config.data.join("last-good")) else {
        return Err(broken.context(format!("the catalog in {}", config.catalog.display())));
    };
    tracing::error!("{broken:#}");
    tracing::error!("the catalog can't be loaded; the last good version is served");
    let snapshot = loader.load(&last_good).await.context("the last good catalog")?;
    Ok((snapshot, last_good))
}

/// Reloads until it is dropped.
pub async fn watch(gateway: Gateway, mut loader: Loader, sources: Sources, data: PathBuf) {
    let mut changes = oaas_catalog::watch(sources.clone());
    let mut hang_up = match signal(SignalKind::hangup()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::error!(%error, "SIGHUP can't be heard; reload on change only");
            return;
        }
    };
    let mut failed = false;
    loop {
        let actor = tokio::select! {
            Some(()) = changes.recv() => "file change",
            Some(()) = hang_up.recv() => "SIGHUP",
            () = tokio::time::sleep(RETRY_EVERY), if failed => "retry",
        };
        failed = reload(&gateway, &mut loader, &sources, &data, actor).await.is_err();
    }
}

async fn reload(
    gateway: &Gateway,
    loader: &mut Loader,
    sources: &Sources,
    data: &Path,
    actor: &str,
) -> anyhow::Result<()> {
    let told = |error: &anyhow::Error| {
        gateway.reload_failed();
        if actor != "retry" {
            tracing::error!("catalog not reloaded, the old version stays:\n{error:#}");
        }
    };
    let snapshot = loader.load(sources).await.inspect_err(told)?;
    if snapshot.version == gateway.shared().bound.load().snapshot.version {
        return Ok(());
    }
    let version = std::sync::Arc::clone(&snapshot.version);
    let before = gateway.apply(snapshot, actor).map_err(anyhow::Error::from).inspect_err(told)?;
    keep(data, sources);
    tracing::info!(from = %before, to = %version, actor, "catalog reloaded");
    gateway.refresh_keys().await;
    Ok(())
}

/// Keeps the files as the last good version.
fn keep(data: &Path, sources: &Sources) {
    if let Err(error) = oaas_catalog::keep_last_good(&data.join("last-good"), sources) {
        tracing::warn!(%error, "the last good catalog is not kept");
    }
}
