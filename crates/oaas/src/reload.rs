//! Reload: when the catalog's or the callers' files change, and on SIGHUP. A version that can't be loaded
//! is told of and changes nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use oaas_catalog::{Snapshot, Sources};
use oaas_gateway::Gateway;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch as latest};

use crate::catalog::{Loader, sources};
use crate::config::Config;

/// Between two tries of a version that waits for its upstream.
const RETRY_EVERY: Duration = Duration::from_secs(5);
/// Services and applications up to which a start keeps its files before it serves; with more it would take
/// too long, and they are kept while it serves.
const KEPT_FIRST_MAX: usize = 1_000;
/// Folder of the last good files, below the data folder.
const LAST_GOOD: &str = "last-good";

/// The first version: of the files, or, when they are broken, the last good one.
///
/// # Errors
/// When the files are broken and there is no last good version.
pub async fn first(loader: &mut Loader, config: &Config) -> anyhow::Result<(Snapshot, Sources)> {
    let files = sources(config);
    let broken = match loader.load(&files).await {
        Ok(snapshot) if is_small(&snapshot) => {
            let snapshot = Arc::new(snapshot);
            store(config.data.join(LAST_GOOD), files.clone(), Arc::clone(&snapshot)).await;
            return Ok((Arc::unwrap_or_clone(snapshot), files));
        }
        Ok(snapshot) => return Ok((snapshot, files)),
        Err(error) => error,
    };
    let kept = config.data.join(LAST_GOOD);
    let kept = tokio::task::spawn_blocking(move || oaas_catalog::load_last_good(&kept)).await;
    let Some(last_good) = kept.context("the last good catalog")?? else {
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

/// Reloads until it is dropped, and keeps each version that comes into force as the last good one.
pub async fn watch(gateway: Gateway, loader: Loader, sources: Sources, data: PathBuf) {
    let changed = Arc::new(Notify::new());
    let ring = Arc::clone(&changed);
    let in_force = Arc::clone(&gateway.shared().bound.load().snapshot);
    // One place: of versions that come faster than they can be kept, the newest is kept.
    let (applied, to_keep) = latest::channel(in_force);
    tokio::join!(
        oaas_catalog::watch(sources.clone(), move || ring.notify_one()),
        keep(data.join(LAST_GOOD), sources.clone(), to_keep),
        apply(gateway, loader, sources, changed, applied)
    );
}

/// Keeps the files of each version that comes into force, beside the serving.
async fn keep(folder: PathBuf, sources: Sources, mut applied: latest::Receiver<Arc<Snapshot>>) {
    loop {
        let snapshot = Arc::clone(&applied.borrow_and_update());
        store(folder.clone(), sources.clone(), snapshot).await;
        if applied.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the files as the last good version; when they are kept already, that is all.
async fn store(folder: PathBuf, sources: Sources, snapshot: Arc<Snapshot>) {
    let store = move || oaas_catalog::store_last_good(&folder, &sources, &snapshot);
    let failed = match tokio::task::spawn_blocking(store).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(error = %failed, "the last good catalog is not kept");
}

fn is_small(snapshot: &Snapshot) -> bool {
    snapshot.services.len().saturating_add(snapshot.callers.applications.len()) <= KEPT_FIRST_MAX
}

async fn apply(
    gateway: Gateway,
    mut loader: Loader,
    sources: Sources,
    changed: Arc<Notify>,
    applied: latest::Sender<Arc<Snapshot>>,
) {
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
        failed = reload(&gateway, &mut loader, &sources, actor, &applied).await.is_err();
    }
}

async fn reload(
    gateway: &Gateway,
    loader: &mut Loader,
    sources: &Sources,
    actor: &str,
    applied: &latest::Sender<Arc<Snapshot>>,
) -> anyhow::Result<()> {
    let told = |error: &anyhow::Error| {
        gateway.reload_failed();
        if actor != "retry" {
            tracing::error!("the catalog is not reloaded, the old version stays:\n{error:#}");
        }
    };
    let current = Arc::clone(&gateway.shared().bound.load().snapshot);
    let Some(snapshot) = loader.load_if_changed(sources, &current).await.inspect_err(told)? else {
        return Ok(());
    };
    let before = gateway.apply(snapshot, actor).map_err(anyhow::Error::from).inspect_err(told)?;
    let in_force = Arc::clone(&gateway.shared().bound.load().snapshot);
    tracing::info!(from = %before, to = %in_force.version, actor, "catalog reloaded");
    applied.send_replace(in_force);
    gateway.refresh_keys().await;
    Ok(())
}
