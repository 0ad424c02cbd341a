//! The documents say what is there: their links lead somewhere, the tests that they name exist, and each
//! decision is in its list.

use std::path::{Path, PathBuf};

use crate::{files_ending, none_of, root, text};

/// Most bytes of a decision: one page.
const DECISION_BYTES_MAX: usize = 5_000;

fn documents() -> Vec<PathBuf> {
    let at_root = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let at_root = at_root.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let at_root = at_root.map(|path| PathBuf::from(path.file_name().unwrap()));
    at_root.chain(files_ending("docs", &["md"])).collect()
}

/// What the links of a document point to.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    for document in documents() {
        let text = text(&document);
        for link in links(&text) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let path = root().join(document.parent().unwrap_or(Path::new(""))).join(target);
            if !path.exists() {
                faults.push(format!("{}: {link} leads nowhere", document.display()));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn every_test_that_a_document_names_is_there() {
    let (mut faults, mut named) = (Vec::new(), 0);
    for document in documents() {
        // Every second piece between backticks is code.
        for name in text(&document).split('`').skip(1).step_by(2) {
            let Some((file, function)) = name.split_once("::") else { continue };
            let definition = match Path::new(file).extension().and_then(|e| e.to_str()) {
                Some("rs") => "fn",
                Some("py") => "def",
                _ => continue,
            };
            named += 1;
            let there = std::fs::read_to_string(root().join(file)).is_ok_and(|code| {
                ['(', '<'].iter().any(|next| code.contains(&format!("{definition} {function}{next}")))
            });
            if !there {
                faults.push(format!("{}: no test {name}", document.display()));
            }
        }
    }
    none_of(&faults);
    assert!(named >= 8, "ARCHITECTURE.md names the test of each invariant as `path/to/file.rs::function`");
}

#[test]
fn every_decision_is_a_page_in_the_list() {
    let list = text("docs/decisions/README.md".as_ref());
    let mut faults = Vec::new();
    for page in files_ending("docs/decisions", &["md"]) {
        let (name, content) = (page.file_name().unwrap().to_str().unwrap(), text(&page));
        if name == "README.md" {
            continue;
        }
        if !list.contains(&format!("]({name})")) {
            faults.push(format!("docs/decisions/README.md does not list {name}"));
        }
        for part in ["# ", "**Decided.**", "**Why.**", "**Instead of.**"] {
            if !content.contains(part) {
                faults.push(format!("{}: no {part:?}", page.display()));
            }
        }
        if content.len() > DECISION_BYTES_MAX {
            faults.push(format!("{}: {} bytes, over {DECISION_BYTES_MAX}", page.display(), content.len()));
        }
    }
    none_of(&faults);
}

#[test]
fn every_metric_that_an_alert_names_is_shown() {
    let (alerts, shown) =
        (text("deploy/alerts.yaml".as_ref()), text("crates/gateway/src/exposition.rs".as_ref()));
    serde_saphyr::from_str::<serde_json::Value>(&alerts).unwrap();
    let names =
        alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("oaas_"));
    let bare = |name: &str| {
        let name = name.trim_end_matches("_bucket").trim_end_matches("_seconds").trim_end_matches("_total");
        name.to_owned()
    };
    let missing: Vec<_> = names.map(bare).filter(|name| !shown.contains(&format!("\"{name}\""))).collect();
    none_of(&missing.iter().map(|name| format!("deploy/alerts.yaml: no metric {name}")).collect::<Vec<_>>());
}
