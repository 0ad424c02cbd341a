//! Which crate may use which, from `cargo metadata`; the table is that of ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::process::Command;

use crate::{none_of, root, text};

/// The business domains: they know neither one another nor the gateway.
const DOMAINS: [&str; 3] = ["oaas-channel", "oaas-cross-border", "oaas-manufacturing"];
/// What a domain may use; all but the kernel only behind its feature `grpc`.
const DOMAIN_MAY_USE: [&str; 4] = ["oaas-capability", "oaas-model", "oaas-proto", "oaas-store"];
/// What the others may use. Those of the top may use everything, and nothing but bench and tests uses `oaas`.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("oaas-model", &[]),
    ("oaas-proto", &[]),
    ("oaas-store", &[]),
    ("oaas-catalog", &["oaas-model"]),
    ("oaas-capability", &["oaas-model", "oaas-proto", "oaas-store"]),
    ("oaas-audit", &["oaas-model", "oaas-proto"]),
    ("oaas-metering", &["oaas-audit", "oaas-model", "oaas-proto", "oaas-store"]),
    (
        "oaas-gateway",
        &[
            "oaas-audit",
            "oaas-capability",
            "oaas-catalog",
            "oaas-metering",
            "oaas-model",
            "oaas-proto",
            "oaas-store",
        ],
    ),
];
/// Crates of the top; they put everything together.
const MAY_USE_ALL: [&str; 4] = ["oaas", "oaas-bench", "oaas-guards", "oaas-tests"];
/// What no pure core may reach.
const IMPURE: [&str; 12] = [
    "async-trait",
    "axum",
    "h2",
    "hyper",
    "hyper-util",
    "reqwest",
    "rusqlite",
    "sqlx",
    "tokio",
    "tonic",
    "tonic-prost",
    "tower",
];
/// Longest chain of our own crates.
const LEVELS_MAX: usize = 6;

struct Edge {
    to: String,
    dev: bool,
    optional: bool,
}

/// All dependencies of our crates.
fn edges() -> BTreeMap<String, Vec<Edge>> {
    let made = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let mut edges = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let of = |dependency: &serde_json::Value| Edge {
            to: dependency["name"].as_str().unwrap().to_owned(),
            dev: dependency["kind"] == "dev",
            optional: dependency["optional"] == true,
        };
        let list = package["dependencies"].as_array().unwrap().iter().map(of).collect();
        edges.insert(package["name"].as_str().unwrap().to_owned(), list);
    }
    edges
}

fn is_ours(name: &str) -> bool {
    name == "oaas" || name.starts_with("oaas-")
}

/// What `package` may use; none: it is in no table.
fn may_use(package: &str) -> Option<Vec<&'static str>> {
    if DOMAINS.contains(&package) {
        return Some(DOMAIN_MAY_USE.to_vec());
    }
    MAY_USE.iter().find(|(name, _)| *name == package).map(|(_, uses)| uses.to_vec())
}

#[test]
fn each_crate_uses_what_it_may() {
    let mut faults = Vec::new();
    for (package, edges) in edges() {
        for edge in edges.iter().filter(|edge| is_ours(&edge.to)) {
            let (to, top) = (edge.to.as_str(), MAY_USE_ALL.contains(&package.as_str()));
            let forbidden = match may_use(&package) {
                _ if to == "oaas" => !["oaas-bench", "oaas-tests"].contains(&package.as_str()),
                _ if top => false,
                // Tests of a lower crate may look further up, but never at the business or the program.
                Some(_) if edge.dev => DOMAINS.contains(&to) || (to == "oaas-gateway" && package != to),
                Some(uses) => !uses.contains(&to),
                None => {
                    faults.push(format!(
                        "{package} is new: give it a line in tests/tidy/dependencies.rs and in ARCHITECTURE.md"
                    ));
                    break;
                }
            };
            if forbidden {
                faults.push(format!(
                    "{package} must not use {to}: two domains speak through a capability call or an event, and \
                     nothing looks up (ARCHITECTURE.md, code map)"
                ));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn a_domains_core_is_pure() {
    let edges = edges();
    let mut faults = Vec::new();
    for domain in DOMAINS {
        let hard = edges[domain].iter().filter(|edge| !edge.dev && !edge.optional);
        for to in hard.map(|edge| edge.to.as_str()) {
            if IMPURE.contains(&to) || (is_ours(to) && to != "oaas-model") {
                faults.push(format!("{domain}: {to} must be optional, behind the feature `grpc`"));
            }
        }
    }
    none_of(&faults);
}

#[test]
fn the_chain_is_short() {
    fn level(package: &str, edges: &BTreeMap<String, Vec<Edge>>) -> usize {
        let below = edges[package].iter().filter(|edge| !edge.dev && is_ours(&edge.to));
        1 + below.map(|edge| level(&edge.to, edges)).max().unwrap_or(0)
    }
    let edges = edges();
    for package in edges.keys() {
        let level = level(package, &edges);
        assert!(level <= LEVELS_MAX, "{package} stands on a chain of {level} crates, over {LEVELS_MAX}");
    }
}

#[test]
fn every_domain_is_started_and_described() {
    let started: Vec<String> = oaas::domains::ALL.iter().map(|name| format!("oaas-{name}")).collect();
    let mut known = DOMAINS.map(str::to_owned).to_vec();
    known.sort();
    let mut sorted = started.clone();
    sorted.sort();
    assert_eq!(sorted, known, "crates/oaas/src/domains.rs starts other domains than there are");
    let map = text("ARCHITECTURE.md".as_ref());
    for package in edges().keys().filter(|package| *package != "oaas-tests") {
        let folder = package.strip_prefix("oaas-").unwrap_or(package);
        assert!(
            map.contains(&format!("| `{folder}` |")),
            "ARCHITECTURE.md: the code map has no line for {package}"
        );
    }
}
