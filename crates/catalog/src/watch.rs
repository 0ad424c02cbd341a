//! Tells when the files have changed: by the system's notices where they come, and by looking every two
//! seconds where they don't (network folders, Kubernetes' swapped links).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::load::{Sources, files_below};

/// How often the files are looked at without a notice.
const POLL: Duration = Duration::from_secs(2);
/// How long it must be quiet after a notice: an editor writes in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// Longest wait for quiet, so that steady writing can't put a reload off for ever.
const QUIET_MAX: Duration = Duration::from_secs(1);
/// Bytes of a file that are hashed; a larger one is told by its size and times.
const HASHED_BYTES_MAX: u64 = 256 << 20;

/// Calls `on_change` each time the content of the files is another than before; never returns, and stops
/// when it is dropped. Several changes at once are one call, and a change back is none. The first call
/// comes when it has begun to watch: what changed after the caller's own reading is seen then.
///
/// Notices are a help, not a need: where they can't be had, the look every two seconds is enough.
pub async fn watch(sources: Sources, on_change: impl Fn() + Send) {
    // One place is enough: a notice says that something happened, not what.
    let (sender, mut notices) = mpsc::channel::<()>(1);
    let _watcher = notices_of(&sources, sender.clone());
    let mut seen = look(&sources, Contents::default()).await;
    on_change();
    loop {
        tokio::select! {
            Some(()) = notices.recv() => settle(&mut notices).await,
            () = tokio::time::sleep(POLL) => {}
        }
        let now = look(&sources, seen.clone()).await;
        let changed = !now.says_the_same_as(&seen);
        seen = now;
        if changed {
            on_change();
        }
    }
}

/// Waits until no notice has come for a while.
async fn settle(notices: &mut mpsc::Receiver<()>) {
    let quiet = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, notices.recv()).await {} };
    // Over the longest wait the files are read as they are; what comes later is a notice of its own.
    let _ = tokio::time::timeout(QUIET_MAX, quiet).await;
}

fn notices_of(sources: &Sources, sender: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
    let tell = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // Full means that a notice waits already.
            let _ = sender.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(tell)
        .inspect_err(|error| tracing::warn!(%error, "no notices of changed files; they are looked at every two seconds"))
        .ok()?;
    let folder = sources.callers.as_ref().and_then(|file| file.parent()).map(existing);
    for (path, mode) in
        [(Some(sources.catalog.as_path()), RecursiveMode::Recursive), (folder, RecursiveMode::NonRecursive)]
    {
        let Some(path) = path else { continue };
        if let Err(error) = watcher.watch(path, mode) {
            tracing::warn!(%error, path = %path.display(), "no notices of changed files here");
        }
    }
    Some(watcher)
}

fn existing(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// What the files hold, and by what one sees that a file was not touched.
#[derive(Clone, Debug, Default)]
struct Contents(Arc<BTreeMap<PathBuf, (Touch, blake3::Hash)>>);

/// What a write changes, whatever else is set back: size and time of change, and where the system has them
/// the file's number and the time of its last change of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Touch {
    size: u64,
    modified: Option<std::time::SystemTime>,
    number: u64,
    changed: (i64, i64),
}

impl Contents {
    fn says_the_same_as(&self, other: &Self) -> bool {
        let digests = |contents: &Self| -> Vec<(PathBuf, blake3::Hash)> {
            contents.0.iter().map(|(path, (_, digest))| (path.clone(), *digest)).collect()
        };
        self.0.len() == other.0.len() && digests(self) == digests(other)
    }
}

/// Looks at the files; those that were not touched since `before` are not read again.
async fn look(sources: &Sources, before: Contents) -> Contents {
    let sources = sources.clone();
    let kept = before.clone();
    let looked = tokio::task::spawn_blocking(move || contents(&sources, &before)).await;
    looked.unwrap_or(kept)
}

fn contents(sources: &Sources, before: &Contents) -> Contents {
    // A folder that is just being swapped can't be listed; the next look will see it.
    let names = files_below(&sources.catalog).unwrap_or_default();
    let paths = names.into_iter().map(|name| sources.catalog.join(name)).chain(sources.callers.clone());
    let files = paths.filter_map(|path| {
        let touch = touch(&std::fs::metadata(&path).ok()?);
        let known = before.0.get(&path).filter(|(earlier, _)| *earlier == touch);
        let digest = known.map_or_else(|| digest(&path, &touch), |(_, digest)| *digest);
        Some((path, (touch, digest)))
    });
    Contents(Arc::new(files.collect()))
}

fn digest(path: &Path, touch: &Touch) -> blake3::Hash {
    if touch.size <= HASHED_BYTES_MAX
        && let Ok(bytes) = std::fs::read(path)
    {
        return blake3::hash(&bytes);
    }
    blake3::hash(format!("{touch:?}").as_bytes())
}

#[cfg(unix)]
fn touch(metadata: &std::fs::Metadata) -> Touch {
    use std::os::unix::fs::MetadataExt as _;
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Touch { size: metadata.len(), modified: metadata.modified().ok(), number: metadata.ino(), changed }
}

#[cfg(not(unix))]
fn touch(metadata: &std::fs::Metadata) -> Touch {
    Touch { size: metadata.len(), modified: metadata.modified().ok(), number: 0, changed: (0, 0) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_change_is_told_once_and_a_touch_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plans.yaml");
        std::fs::write(&file, "one").unwrap();
        let sources = Sources { catalog: folder.path().to_owned(), callers: None };
        let told = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&told);
        let watching = tokio::spawn(watch(sources, move || {
            counter.fetch_add(1, Ordering::SeqCst);
        }));
        // Time for the first look, which the changes are compared with.
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::write(&file, "one").unwrap();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(told.load(Ordering::SeqCst), 1, "the beginning alone: the content is the same");
        for text in ["two", "three", "four"] {
            std::fs::write(&file, text).unwrap();
        }
        tokio::time::timeout(Duration::from_secs(20), async {
            while told.load(Ordering::SeqCst) == 1 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .expect("the change is told");
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_eq!(told.load(Ordering::SeqCst), 2, "three writes in a moment are one change");
        watching.abort();
    }

    #[test]
    fn a_swapped_link_is_seen_without_any_notice() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, text) in [("..one", "1"), ("..two", "2")] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("plans.yaml"), text).unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("..one", path("..data")).unwrap();
            std::os::unix::fs::symlink("..data/plans.yaml", path("plans.yaml")).unwrap();
            let sources = Sources { catalog: folder.path().to_owned(), callers: None };
            let before = contents(&sources, &Contents::default());
            std::os::unix::fs::symlink("..two", path("..data_tmp")).unwrap();
            std::fs::rename(path("..data_tmp"), path("..data")).unwrap();
            let after = contents(&sources, &before);
            assert!(!after.says_the_same_as(&before));
            assert!(contents(&sources, &after).says_the_same_as(&after));
        }
    }
}
