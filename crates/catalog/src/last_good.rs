//! The last applied version on disk: what a start with a broken catalog serves.
//!
//! Layout: `<dir>/<version>.pack` with `catalog/...` and `callers/<file>` ([`crate::pack`]), and
//! `<dir>/CURRENT`, a line with the version, replaced by a rename after everything else is on disk. A start
//! that needs the files unpacks them to `<dir>/<version>/`.

use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::callers::Jwks;
use crate::load::{Address, LoadError, Sources, counts, descriptor_files, files_below, read_bytes};
use crate::pack::{self, CONTENT_BYTES_MAX, Packer, is_inside};
use crate::snapshot::Snapshot;

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
    let home = pack_of(dir, &snapshot.version);
    if current(dir).as_deref() == Some(&*snapshot.version) && home.is_file() {
        return Ok(true);
    }
    std::fs::create_dir_all(dir)?;
    let fresh = dir.join(format!(".{}.new", snapshot.version));
    remove(&fresh)?;
    // What was packed is compared, so that a file that changes meanwhile can't slip in.
    if pack_sources(sources, snapshot, &fresh)? != snapshot.version {
        remove(&fresh)?;
        return Ok(false);
    }
    std::fs::rename(&fresh, &home)?;
    let pointer = dir.join(format!(".{CURRENT}.new"));
    let mut file = std::fs::File::create(&pointer)?;
    writeln!(file, "{}", snapshot.version)?;
    file.sync_all()?;
    std::fs::rename(&pointer, dir.join(CURRENT))?;
    sweep(dir, &home)?;
    Ok(true)
}

/// Where the last applied version's files are; `None` when there is none. They load like any others.
///
/// # Errors
/// When the folder can't be read, or names a version that isn't there.
pub fn load_last_good(dir: &Path) -> Result<Option<Sources>> {
    let Some(version) = current(dir) else { return Ok(None) };
    let home = dir.join(&version);
    let pack = pack_of(dir, &version);
    // A folder without a pack is as an earlier release kept it.
    if pack.is_file() {
        let fresh = dir.join(format!(".{version}.out"));
        remove(&fresh)?;
        pack::unpack(&pack, &fresh)?;
        remove(&home)?;
        std::fs::rename(&fresh, &home)?;
    }
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

/// Packs the files, and says which version those that were packed are.
fn pack_sources(sources: &Sources, snapshot: &Snapshot, pack: &Path) -> Result<Arc<str>> {
    let mut packer = Packer::create(pack)?;
    let mut address = Address::default();
    let catalog = Path::new("catalog");
    let names = files_below(&sources.catalog)?;
    for name in names.iter().filter(|name| counts(name)) {
        let content = read(&sources.catalog.join(name))?;
        address.add(name, &content);
        packer.add(&catalog.join(name), &content)?;
    }
    if let Some(file) = &sources.callers {
        let content = read(file)?;
        address.add_callers(&content);
        packer.add(&Path::new("callers").join(file.file_name().unwrap_or_default()), &content)?;
    }
    let sets = descriptor_files(snapshot);
    for (name, file) in &sets {
        let content = read(&sources.catalog.join(file))?;
        address.add(name, &content);
        if is_inside(file) {
            packer.add(&catalog.join(file), &content)?;
        }
    }
    // What the version does not name: certificates, and the issuers' keys.
    for name in names.iter().filter(|name| !counts(name) && !sets.contains_key(*name)) {
        packer.add(&catalog.join(name), &read(&sources.catalog.join(name))?)?;
    }
    let folder = sources.callers.as_ref().and_then(|file| file.parent()).unwrap_or(Path::new(""));
    for issuer in snapshot.callers.issuers.values() {
        if let Jwks::File(keys) = &issuer.jwks
            && is_inside(keys)
        {
            packer.add(&Path::new("callers").join(keys), &read(&folder.join(keys))?)?;
        }
    }
    packer.finish()?;
    Ok(address.version())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    read_bytes(path, CONTENT_BYTES_MAX)?.ok_or_else(|| {
        Error::other(format!("{} has more than {} MiB", path.display(), CONTENT_BYTES_MAX >> 20))
    })
}

fn pack_of(dir: &Path, version: &str) -> PathBuf {
    dir.join(format!("{version}.pack"))
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

/// Removes the versions before, what of them was unpacked, and what an interrupted store left.
fn sweep(dir: &Path, keep: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path != keep && (name.starts_with("c-") || name.starts_with(".c-")) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
