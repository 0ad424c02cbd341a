//! The repository's own rules as tests: which crate may use which, that contract, catalog and code name
//! the same methods, and what every file keeps. What fails here says which file to add or to change.

#[path = "tidy/congruence.rs"]
mod congruence;
#[path = "tidy/dependencies.rs"]
mod dependencies;
#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/files.rs"]
mod files;

use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours, wherever they are.
const NOT_OURS: [&str; 6] = ["target", "node_modules", "data", "__pycache__", ".git", ".venv"];

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// All files below a folder of the repository, as paths from the root, sorted.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let (root, mut folders, mut files) = (root(), vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !NOT_OURS.contains(&name.to_str().unwrap()) {
                    folders.push(path);
                }
            } else {
                files.push(path.strip_prefix(&root).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The files below `folder` that end in one of `extensions`.
fn files_ending(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let ends = |path: &PathBuf| extensions.iter().any(|e| path.extension().is_some_and(|have| have == *e));
    files_below(folder).into_iter().filter(ends).collect()
}

/// A file of the repository.
fn text(path: &Path) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Fails with all that is wrong, one a line.
fn none_of(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
