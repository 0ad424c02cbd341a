//! Reload: when the catalog's or the callers' files change, and on SIGHUP. A version that can't be loaded
//! is told of and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use oaas_catalog::{Snapshot, Sources};
use oaas_gateway::Gateway;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::catalog::{Loader, sources};
use crate::config::Config;

/// Between two tries of a version that waits for its upstream.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Folder of the last good files, below the data folder.
const LAST_GOOD: &str = "last-good";

/// The first version: of the files, or, when they are broken, the last good one.
///
/// # Errors
/// When the files are broken and there is no last good version.
pub async fn first(loader: &mut Loader, config: &Config) -> anyhow::Result<(Snapshot, Sources)> {
    let files = sources(config);
    let broken = match loader.load(&files).await {
        Ok(snapshot) => {
            keep(&config.data, &files, &snapshot);
            return Ok((snapshot, files));
        }
        Err(error) => error,
    };
    let Some(last_good) = oaas_catalog::load_last_good(&config.data.join(LAST_GOOD))? else {
        let folder = config.catalog.display();
        if !config.catalog.is_dir() {
            bail!("no catalog in {folder}; start in a checkout, or name the folder with --catalog");
        }
        return Err(broken.context(format!("the catalog in {folder} can't be loaded")));
    };
    tracing::error!("the catalog can't be loaded; the last good version is served:\n{broken:#}");
    let snapshot = loader.load(&last_good).await.context("the last good catalog")?;
    Ok((snapshot, last_good))
}

/// Reloads until it is dropped.
pub async fn watch(gateway: Gateway, loader: Loader, sources: Sources, data: PathBuf) {
    let changed = Arc::new(Notify::new());
    let ring = Arc::clone(&changed);
    tokio::join!(
        oaas_catalog::watch(sources.clone(), move || ring.notify_one()),
        apply(gateway, loader, sources, data, changed)
    );
}

async fn apply(gateway: Gateway, mut loader: Loader, sources: Sources, data: PathBuf, changed: Arc<Notify>) {
    let mut hang_up = match signal(SignalKind::hangup()) {
        Ok(signal) => signal,
        Err(error) => {
            tracing::error!(%error, "SIGHUP can't be heard, and nothing is reloaded");
            return;
        }
    };
    let mut failed = false;
    loop {
        let actor = tokio::select! {
            () = changed.notified() => "file change",
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
            tracing::error!("the catalog is not reloaded, the old version stays:\n{error:#}");
        }
    };
    let snapshot = loader.load(sources).await.inspect_err(told)?;
    if snapshot.version == gateway.shared().bound.load().snapshot.version {
        return Ok(());
    }
    let kept = snapshot.clone();
    let before = gateway.apply(snapshot, actor).map_err(anyhow::Error::from).inspect_err(told)?;
    tracing::info!(from = %before, to = %kept.version, actor, "catalog reloaded");
    keep(data, sources, &kept);
    gateway.refresh_keys().await;
    Ok(())
}

/// Keeps the files as the last good version.
fn keep(data: &Path, sources: &Sources, snapshot: &Snapshot) {
    if let Err(error) = oaas_catalog::store_last_good(&data.join(LAST_GOOD), sources, snapshot) {
        tracing::warn!(%error, "the last good catalog is not kept");
    }
}
