//! What every file keeps: a head that says what it is for, a length, no loose ends, no panic on the way of
//! a call.

use std::path::{Path, PathBuf};

use crate::{files_below, files_ending, none_of, root, text};

/// Most lines of a file of code; 500 is where it wants to be two.
const LINES_MAX: usize = 600;
/// Most lines of a file of tests.
const TEST_LINES_MAX: usize = 900;
/// Crates whose code a call passes: there a panic would be somebody's call. Only `proto` is not among them,
/// whose code is generated.
const REQUEST_PATH: [&str; 11] = [
    "audit",
    "capability",
    "catalog",
    "channel",
    "cross-border",
    "gateway",
    "manufacturing",
    "metering",
    "model",
    "oaas",
    "store",
];
/// What keeps `unwrap`, `expect`, `panic!` and unchecked indices out of such a crate.
const NO_PANIC: &str = "#![cfg_attr(\n    not(test),\n    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)\n)]";
/// Kinds of files that people write here.
const WRITTEN: [&str; 11] = ["cjs", "js", "json", "md", "mjs", "proto", "py", "rs", "sh", "toml", "yaml"];
/// Contracts of other people, kept as they are.
const THEIRS: [&str; 3] = ["proto/buf", "proto/google", "proto/grpc"];

fn rust_files() -> Vec<PathBuf> {
    [files_ending("crates", &["rs"]), files_ending("tests", &["rs"])].concat()
}

fn is_test(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let (file, folders) = parts.split_last().unwrap();
    *file == "tests.rs" || folders.contains(&"tests")
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = rust_files().into_iter().filter(|path| !text(path).starts_with("//! "));
    let told = |path: PathBuf| {
        format!("{}: must open with `//!`, one to five lines on what it is for", path.display())
    };
    none_of(&silent.map(told).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let mut faults = Vec::new();
    for path in rust_files() {
        let (lines, most) =
            (text(&path).lines().count(), if is_test(&path) { TEST_LINES_MAX } else { LINES_MAX });
        if lines > most {
            faults.push(format!("{}: {lines} lines, over {most}; make it two", path.display()));
        }
    }
    none_of(&faults);
}

#[test]
fn no_loose_end_is_without_an_issue() {
    // Put together here, so that this file does not find itself.
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["HA", "CK"].concat()];
    let mut faults = Vec::new();
    for path in files_below("") {
        let ours = !THEIRS.iter().any(|folder| path.starts_with(folder));
        if !ours || !path.extension().is_some_and(|e| WRITTEN.iter().any(|written| e == *written)) {
            continue;
        }
        for (number, line) in (1..).zip(text(&path).lines()) {
            let word = line
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .any(|w| words.iter().any(|x| x == w));
            if word && !line.contains("(#") {
                faults.push(format!(
                    "{}:{number}: a loose end needs its issue, as in (#12): {}",
                    path.display(),
                    line.trim()
                ));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn the_way_of_a_call_has_no_panic() {
    let without = REQUEST_PATH
        .iter()
        .filter(|name| !text(format!("crates/{name}/src/lib.rs").as_ref()).contains(NO_PANIC));
    let told = |name: &&str| format!("crates/{name}/src/lib.rs: must have\n{NO_PANIC}");
    none_of(&without.map(told).collect::<Vec<_>>());
    let clippy = text("clippy.toml".as_ref());
    for kind in ["unwrap", "expect", "panic", "indexing-slicing"] {
        assert!(clippy.contains(&format!("allow-{kind}-in-tests = true")), "clippy.toml: {kind} in tests");
    }
}

#[test]
fn every_reason_has_its_page_and_every_page_its_reason() {
    let pages = files_ending("docs/reasons", &["md"]);
    let names = pages.iter().map(|path| path.file_stem().unwrap().to_str().unwrap());
    let mut found: Vec<&str> = names.filter(|name| *name != "README").collect();
    let mut wanted: Vec<&str> = oaas_model::Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "`UPDATE=1 cargo test -p oaas-model` writes the pages");
    assert!(root().join("docs/reasons/README.md").exists());
}
