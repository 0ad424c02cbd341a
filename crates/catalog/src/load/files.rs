//! Reads the files, each within its size, and gives them their content address.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Report, Sources};
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
    let mut total = 0u64;
    for name in names {
        let Some(kind) = kind_of(&name, report) else { continue };
        let Some(content) = read_text(&sources.catalog.join(&name), &name, FILE_BYTES_MAX, report) else {
            continue;
        };
        total = total.saturating_add(u64::try_from(content.len()).unwrap_or(u64::MAX));
        if total > CATALOG_BYTES_MAX {
            let limit = CATALOG_BYTES_MAX >> 20;
            let expected = text(format!("at most {limit} MiB in all"), format!("总共最多 {limit} MiB"));
            report.unreadable(&name, Fault::Budget, "more", expected);
            break;
        }
        files.catalog.push(SourceFile { name, text: content, kind });
    }
    if let Some(path) = &sources.callers {
        let base = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let name = format!("{CALLERS_PREFIX}{base}");
        let text = read_text(path, &name, CALLERS_BYTES_MAX, report);
        files.callers = text.map(|text| SourceFile { name, text, kind: FileKind::Service });
    }
    files
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
            let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
            if metadata.is_dir() && inner.is_empty() && !CATALOG_FOLDERS_SKIPPED.contains(&name.as_str()) {
                folders.push(name);
            } else if metadata.is_file() {
                found.push(if inner.is_empty() { name } else { format!("{inner}/{name}") });
            }
        }
    }
    found.sort();
    Ok(found)
}

fn kind_of(name: &str, report: &mut Report) -> Option<FileKind> {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    match (name, extension) {
        ("defaults.yaml", _) => Some(FileKind::Defaults),
        ("plans.yaml", _) => Some(FileKind::Plans),
        (_, Some("yaml")) if name.contains('/') => Some(FileKind::Service),
        (_, Some("yaml" | "yml")) => {
            let expected = text(
                "`defaults.yaml`, `plans.yaml` or `<domain>/<service>.yaml`",
                "`defaults.yaml`、`plans.yaml` 或 `<domain>/<service>.yaml`",
            );
            report.unreadable(name, Fault::Unreadable, name, expected);
            None
        }
        _ => None,
    }
}

fn read_text(path: &Path, name: &str, bytes_max: u64, report: &mut Report) -> Option<String> {
    let bytes = match read_bytes(path, bytes_max) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let limit = bytes_max >> 10;
            let expected = text(format!("at most {limit} KiB"), format!("最多 {limit} KiB"));
            report.unreadable(name, Fault::Budget, "more", expected);
            return None;
        }
        Err(error) => {
            let expected = text("a file that can be read", "可读取的文件");
            report.unreadable(name, Fault::Unreadable, format!("{}: {error}", path.display()), expected);
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(content) => Some(content),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..good).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            let found = format!("bytes in line {line} that are not UTF-8");
            report.unreadable(name, Fault::Unreadable, found, text("UTF-8 text", "UTF-8 文本"));
            None
        }
    }
}

/// The file's bytes; `None` when there are more than `bytes_max`.
pub(super) fn read_bytes(path: &Path, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((u64::try_from(bytes.len()).unwrap_or(u64::MAX) <= bytes_max).then_some(bytes))
}

/// The bytes of a descriptor set, relative to the catalog folder.
pub(super) fn read_descriptors(sources: &Sources, file: &Path) -> std::io::Result<Vec<u8>> {
    let path: PathBuf = sources.catalog.join(file);
    read_bytes(&path, DESCRIPTORS_BYTES_MAX)?
        .ok_or_else(|| std::io::Error::other(format!("more than {} MiB", DESCRIPTORS_BYTES_MAX >> 20)))
}

/// "c-" and the first 12 hexadecimal digits of the BLAKE3 digest over names and contents, sorted by name.
pub(crate) fn digest(files: &Files, descriptors: &std::collections::BTreeMap<String, Vec<u8>>) -> Arc<str> {
    let mut hasher = blake3::Hasher::new();
    let mut add = |name: &str, content: &[u8]| {
        for part in [name.as_bytes(), content] {
            hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hasher.update(part);
        }
    };
    for file in files.catalog.iter().chain(&files.callers) {
        // The callers file counts the same under any name.
        let name = if file.name.starts_with(CALLERS_PREFIX) { CALLERS_PREFIX } else { &file.name };
        add(name, file.text.as_bytes());
    }
    for (name, content) in descriptors {
        add(name, content);
    }
    let hex = hasher.finalize().to_hex();
    format!("c-{}", hex.get(..12).unwrap_or_default()).into()
}
