//! Reads the files, each within its size, and gives them their content address.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Report, Sources, parallel};
use crate::diagnostic::{Fault, text};
use crate::form::{DEFAULTS, PLANS, SERVICE, Shape};

/// Bytes of one file of the catalog at most.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of the callers file at most.
const CALLERS_BYTES_MAX: u64 = 128 << 20;
/// Bytes of one descriptor set at most.
const DESCRIPTORS_BYTES_MAX: u64 = 32 << 20;
/// Bytes of all files of the catalog at most.
const CATALOG_BYTES_MAX: u64 = 256 << 20;
/// Files below the catalog folder at most.
const FILES_MAX: usize = 2 * super::SERVICES_MAX;
/// Folders of the catalog that hold no entries.
pub(crate) const CATALOG_FOLDERS_SKIPPED: [&str; 1] = ["schema"];
/// What the callers file is called in diagnostics and in the content address, before its name.
pub(super) const CALLERS_PREFIX: &str = "callers:";

/// What a file of the catalog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Defaults,
    Plans,
    Service,
}

impl FileKind {
    pub fn record(self) -> &'static Shape {
        const SERVICE_SHAPE: Shape = Shape::Record(&SERVICE);
        const DEFAULTS_SHAPE: Shape = Shape::Record(&DEFAULTS);
        const PLANS_SHAPE: Shape = Shape::Record(&PLANS);
        match self {
            Self::Defaults => &DEFAULTS_SHAPE,
            Self::Plans => &PLANS_SHAPE,
            Self::Service => &SERVICE_SHAPE,
        }
    }
}

/// A file and its text.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Path relative to the catalog folder, with "/"; or [`CALLERS_PREFIX`] and the file's name.
    pub name: String,
    pub text: String,
    pub kind: FileKind,
}

impl SourceFile {
    /// The folder that a service's file stands in.
    pub fn folder(&self) -> &str {
        self.name.split_once('/').map_or("", |(folder, _)| folder)
    }
}

/// All files, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(super) catalog: Vec<SourceFile>,
    pub(super) callers: Option<SourceFile>,
}

/// Reads the catalog's YAML files and the callers file.
pub(super) fn read_files(sources: &Sources, report: &mut Report) -> Files {
    let mut files = Files::default();
    let folder = sources.catalog.display().to_string();
    let mut names = match files_below(&sources.catalog) {
        Ok(names) => names,
        Err(error) => {
            let expected = text("a folder with catalog entries", "包含目录条目的文件夹");
            report.unreadable(&folder, Fault::Unreadable, error.to_string(), expected);
            Vec::new()
        }
    };
    if names.len() > FILES_MAX {
        let expected = text(format!("at most {FILES_MAX} files"), format!("最多 {FILES_MAX} 个文件"));
        report.unreadable(&folder, Fault::Budget, "more", expected);
        names.truncate(FILES_MAX);
    }
    let mut wanted: Vec<(FileKind, String)> = Vec::with_capacity(names.len());
    for name in names {
        wanted.extend(kind_of(&name, report).map(|kind| (kind, name)));
    }
    let begun = AtomicU64::new(0);
    let texts = parallel::each(&mut wanted, |(_, name)| {
        // Over the limit nothing more is read; which file it was, is told below.
        let read = (begun.load(Ordering::Relaxed) <= CATALOG_BYTES_MAX)
            .then(|| read_text(&sources.catalog.join(name), FILE_BYTES_MAX));
        let bytes = read.as_ref().and_then(|read| read.as_ref().ok()).map_or(0, |text| length(text));
        begun.fetch_add(bytes, Ordering::Relaxed);
        read
    });
    let mut total = 0u64;
    for ((kind, name), read) in wanted.into_iter().zip(texts) {
        let content = match read {
            Some(Ok(content)) => Some(content),
            Some(Err(unread)) => {
                unread.report(&sources.catalog.join(&name), &name, FILE_BYTES_MAX, report);
                continue;
            }
            None => None,
        };
        total = total.saturating_add(content.as_deref().map_or(0, length));
        let Some(text) = content.filter(|_| total <= CATALOG_BYTES_MAX) else {
            let limit = CATALOG_BYTES_MAX >> 20;
            let expected = text(format!("at most {limit} MiB in all"), format!("总共最多 {limit} MiB"));
            report.unreadable(&name, Fault::Budget, "more", expected);
            break;
        };
        files.catalog.push(SourceFile { name, text, kind });
    }
    if let Some(path) = &sources.callers {
        let name = format!("{CALLERS_PREFIX}{}", base_name(path));
        match read_text(path, CALLERS_BYTES_MAX) {
            Ok(text) => files.callers = Some(SourceFile { name, text, kind: FileKind::Service }),
            Err(unread) => unread.report(path, &name, CALLERS_BYTES_MAX, report),
        }
    }
    files
}

fn base_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// Regular files of the folder and of its folders, relative, with "/", sorted; without hidden ones and
/// without [`CATALOG_FOLDERS_SKIPPED`]. Links are followed, for that is how Kubernetes mounts them.
pub(crate) fn files_below(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || found.len() > FILES_MAX {
                continue;
            }
            // The listing says it of most; only a link has to be followed.
            let Some(kind) = entry
                .file_type()
                .ok()
                .filter(|kind| !kind.is_symlink())
                .or_else(|| std::fs::metadata(entry.path()).ok().map(|metadata| metadata.file_type()))
            else {
                continue;
            };
            if kind.is_dir() && inner.is_empty() && !CATALOG_FOLDERS_SKIPPED.contains(&name.as_str()) {
                folders.push(name);
            } else if kind.is_file() {
                found.push(if inner.is_empty() { name } else { format!("{inner}/{name}") });
            }
        }
    }
    found.sort();
    Ok(found)
}

fn kind_of(name: &str, report: &mut Report) -> Option<FileKind> {
    let kind = kind(name);
    if kind.is_none() && matches!(extension(name), Some("yaml" | "yml")) {
        let expected = text(
            "`defaults.yaml`, `plans.yaml` or `<domain>/<service>.yaml`",
            "`defaults.yaml`、`plans.yaml` 或 `<domain>/<service>.yaml`",
        );
        report.unreadable(name, Fault::Unreadable, name, expected);
    }
    kind
}

fn kind(name: &str) -> Option<FileKind> {
    match name {
        "defaults.yaml" => Some(FileKind::Defaults),
        "plans.yaml" => Some(FileKind::Plans),
        _ if name.contains('/') && extension(name) == Some("yaml") => Some(FileKind::Service),
        _ => None,
    }
}

fn extension(name: &str) -> Option<&str> {
    Path::new(name).extension().and_then(|extension| extension.to_str())
}

/// Whether a file of the catalog counts in its content address.
pub(crate) fn counts(name: &str) -> bool {
    kind(name).is_some()
}

/// Why there is no text.
enum Unread {
    TooLong,
    Failed(std::io::Error),
    /// The line with the first bytes that aren't.
    NotUtf8(usize),
}

fn read_text(path: &Path, bytes_max: u64) -> Result<String, Unread> {
    let bytes = read_bytes(path, bytes_max).map_err(Unread::Failed)?.ok_or(Unread::TooLong)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        Unread::NotUtf8(before.split(|byte| *byte == b'\n').count())
    })
}

impl Unread {
    fn report(self, path: &Path, name: &str, bytes_max: u64, report: &mut Report) {
        match self {
            Self::TooLong => {
                let limit = bytes_max >> 10;
                let expected = text(format!("at most {limit} KiB"), format!("最多 {limit} KiB"));
                report.unreadable(name, Fault::Budget, "more", expected);
            }
            Self::Failed(error) => {
                let found = format!("{}: {error}", path.display());
                report.unreadable(
                    name,
                    Fault::Unreadable,
                    found,
                    text("a file that can be read", "可读取的文件"),
                );
            }
            Self::NotUtf8(line) => {
                let found = format!("bytes in line {line} that are not UTF-8");
                report.unreadable(name, Fault::Unreadable, found, text("UTF-8 text", "UTF-8 文本"));
            }
        }
    }
}

/// The file's bytes; `None` when there are more than `bytes_max`.
pub(crate) fn read_bytes(path: &Path, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    // The size saves growing and copying; the limit holds whatever it says.
    let size = file.metadata()?.len().min(bytes_max).saturating_add(1);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((u64::try_from(bytes.len()).unwrap_or(u64::MAX) <= bytes_max).then_some(bytes))
}

/// The bytes of a descriptor set, relative to the catalog folder.
pub(super) fn read_descriptors(sources: &Sources, file: &Path) -> std::io::Result<Vec<u8>> {
    let path: PathBuf = sources.catalog.join(file);
    read_bytes(&path, DESCRIPTORS_BYTES_MAX)?
        .ok_or_else(|| std::io::Error::other(format!("more than {} MiB", DESCRIPTORS_BYTES_MAX >> 20)))
}

/// The content address of `files` and of the descriptor sets, by name.
pub(super) fn digest(files: &Files, descriptors: &std::collections::BTreeMap<String, Vec<u8>>) -> Arc<str> {
    let mut address = Address::default();
    for file in &files.catalog {
        address.add(&file.name, file.text.as_bytes());
    }
    if let Some(file) = &files.callers {
        address.add_callers(file.text.as_bytes());
    }
    for (name, content) in descriptors {
        address.add(name, content);
    }
    address.version()
}

/// A content address in the making: the catalog's files by name, the callers' file, the descriptor sets by
/// name.
#[derive(Default)]
pub(crate) struct Address(blake3::Hasher);

impl Address {
    pub fn add(&mut self, name: &str, content: &[u8]) {
        for part in [name.as_bytes(), content] {
            self.0.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            self.0.update(part);
        }
    }

    /// The callers' file, which counts the same under any name.
    pub fn add_callers(&mut self, content: &[u8]) {
        self.add(CALLERS_PREFIX, content);
    }

    /// "c-" and the first 12 hexadecimal digits of the BLAKE3 digest over names and contents.
    pub fn version(&self) -> Arc<str> {
        format!("c-{}", self.0.finalize().to_hex().get(..12).unwrap_or_default()).into()
    }
}
