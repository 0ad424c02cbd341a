//! The last applied version on disk: what a start with a broken catalog serves.
//!
//! Layout: `<dir>/<version>/catalog/...`, `<dir>/<version>/callers/<file>` and `<dir>/CURRENT`, a line with
//! the version, replaced by a rename after everything else is on disk.

use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Component, Path, PathBuf};

use crate::callers::Jwks;
use crate::load::{LoadError, Sources, content_version, files_below};
use crate::service::Descriptors;
use crate::snapshot::Snapshot;

/// Bytes of one copied file at most.
const COPY_BYTES_MAX: u64 = 128 << 20;
/// Name of the file that says which version is the one.
const CURRENT: &str = "CURRENT";

/// Copies the files that `snapshot` was made of below `dir`, and makes them what [`load_last_good`] finds.
///
/// `Ok(false)` when the files have changed since the snapshot was made: then nothing is stored, and the
/// watch has a newer version on its way. Descriptor sets that reflection gave are not copied; their keeper
/// has them in the data folder.
///
/// # Errors
/// When a file can't be read or written.
pub fn store_last_good(dir: &Path, sources: &Sources, snapshot: &Snapshot) -> Result<bool> {
    let home = dir.join(&*snapshot.version);
    if current(dir).as_deref() == Some(&*snapshot.version) && home.is_dir() {
        return Ok(true);
    }
    let fresh = dir.join(format!(".{}.new", snapshot.version));
    remove(&fresh)?;
    std::fs::create_dir_all(&fresh)?;
    let copy = copy_sources(sources, snapshot, &fresh)?;
    // The copy itself is compared, so that a file that changes meanwhile can't slip in.
    if content_version(&copy, snapshot) != Some(snapshot.version.clone()) {
        remove(&fresh)?;
        return Ok(false);
    }
    remove(&home)?;
    std::fs::rename(&fresh, &home)?;
    let pointer = dir.join(format!(".{CURRENT}.new"));
    let mut file = std::fs::File::create(&pointer)?;
    writeln!(file, "{}", snapshot.version)?;
    file.sync_all()?;
    std::fs::rename(&pointer, dir.join(CURRENT))?;
    sweep(dir, &snapshot.version)?;
    Ok(true)
}

/// Where the last applied version's files are; `None` when there is none. They load like any others.
///
/// # Errors
/// When the folder can't be read, or names a version that isn't there.
pub fn load_last_good(dir: &Path) -> Result<Option<Sources>> {
    let Some(version) = current(dir) else { return Ok(None) };
    let home = dir.join(&version);
    let sources = sources_in(&home)?;
    if !sources.catalog.is_dir() {
        return Err(Error::new(ErrorKind::NotFound, format!("{} is not there", sources.catalog.display())));
    }
    Ok(Some(sources))
}

/// What a start serves: the sources if they load, else the last good version.
#[derive(Debug)]
pub struct KeepLastGood {
    /// The snapshot to serve.
    pub snapshot: Snapshot,
    /// Where its files are.
    pub sources: Sources,
    /// Why the wanted sources are not served; none when they are.
    pub refused: Option<LoadError>,
}

impl KeepLastGood {
    /// Loads `sources`, or what was stored below `dir` when they are broken.
    ///
    /// # Errors
    /// The fault of the sources, when there is no last good version that loads either; and
    /// [`LoadError::NeedsReflection`], which is no fault but a question, always.
    pub fn load(
        dir: &Path,
        sources: &Sources,
        known: &crate::KnownDescriptors,
    ) -> std::result::Result<Self, LoadError> {
        let refused = match crate::load(sources, known) {
            Ok(snapshot) => return Ok(Self { snapshot, sources: sources.clone(), refused: None }),
            Err(LoadError::NeedsReflection(needs)) => return Err(LoadError::NeedsReflection(needs)),
            Err(refused) => refused,
        };
        let Ok(Some(kept)) = load_last_good(dir) else { return Err(refused) };
        match crate::load(&kept, known) {
            Ok(snapshot) => Ok(Self { snapshot, sources: kept, refused: Some(refused) }),
            Err(LoadError::NeedsReflection(needs)) => Err(LoadError::NeedsReflection(needs)),
            Err(LoadError::Diagnostics(_)) => Err(refused),
        }
    }
}

fn copy_sources(sources: &Sources, snapshot: &Snapshot, home: &Path) -> Result<Sources> {
    let catalog = home.join("catalog");
    std::fs::create_dir_all(&catalog)?;
    for name in files_below(&sources.catalog)? {
        copy(&sources.catalog, Path::new(&name), &catalog)?;
    }
    // Descriptor sets below hidden or deeper folders, which the walk leaves out.
    for service in snapshot.services.values() {
        if let crate::Upstream::Remote { descriptors: Descriptors::File(file), .. } = &service.upstream
            && is_inside(file)
        {
            copy(&sources.catalog, file, &catalog)?;
        }
    }
    let Some(file) = &sources.callers else { return Ok(Sources { catalog, callers: None }) };
    let folder = home.join("callers");
    std::fs::create_dir_all(&folder)?;
    let (from, name) =
        (file.parent().unwrap_or(Path::new("")), Path::new(file.file_name().unwrap_or_default()));
    copy(from, name, &folder)?;
    for issuer in snapshot.callers.issuers.values() {
        if let Jwks::File(keys) = &issuer.jwks
            && is_inside(keys)
        {
            copy(from, keys, &folder)?;
        }
    }
    Ok(Sources { catalog, callers: Some(folder.join(name)) })
}

/// Whether a relative path stays in its folder; others are read from where they are.
fn is_inside(path: &Path) -> bool {
    path.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
}

fn copy(from: &Path, name: &Path, to: &Path) -> Result<()> {
    let (source, target) = (from.join(name), to.join(name));
    if std::fs::metadata(&source)?.len() > COPY_BYTES_MAX {
        return Err(Error::other(format!("{} has more than {} MiB", source.display(), COPY_BYTES_MAX >> 20)));
    }
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::copy(&source, &target)?;
    std::fs::File::open(&target)?.sync_all()
}

fn sources_in(home: &Path) -> Result<Sources> {
    let callers = match std::fs::read_dir(home.join("callers")) {
        Ok(entries) => {
            let yaml = |path: &PathBuf| path.extension().is_some_and(|e| e == "yaml" || e == "yml");
            entries.filter_map(|entry| Some(entry.ok()?.path())).find(yaml)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(Sources { catalog: home.join("catalog"), callers })
}

fn current(dir: &Path) -> Option<String> {
    let version = std::fs::read_to_string(dir.join(CURRENT)).ok()?.trim().to_owned();
    let hex = version.strip_prefix("c-")?;
    (hex.len() == 12 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(version)
}

/// Removes the versions before, and what an interrupted store left.
fn sweep(dir: &Path, keep: &str) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != keep && (name.starts_with("c-") || name.starts_with(".c-")) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
