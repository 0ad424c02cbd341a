//! Follows the walk of CONTRIBUTING.md in a copy of the checkout: its very command is run.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser as _;
use oaas_catalog::{Expectation, KnownDescriptors, LoadError, Sources};
use oaas_model::Lang;
use prost_reflect::DescriptorPool;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: ScaffoldArgs,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The arguments that CONTRIBUTING.md shows behind `capability`.
fn walk() -> NewArgs {
    let guide = std::fs::read_to_string(repository().join("CONTRIBUTING.md")).unwrap();
    let line = guide.lines().find_map(|line| line.trim().split_once("capability new ").map(|(_, rest)| rest));
    let line = line.expect("CONTRIBUTING.md shows `capability new …`");
    let words = ["capability", "new"].into_iter().chain(line.split_whitespace());
    let ScaffoldCommand::New(new) = Line::try_parse_from(words).unwrap().args.command;
    new
}

fn args(capability: &str, rpc: &str) -> NewArgs {
    NewArgs { capability: capability.to_owned(), rpc: rpc.to_owned(), title_zh: None, owner: None }
}

/// Copies `parts` of the repository, files and folders, to `to`.
fn copy(parts: &[&str], to: &Path) {
    for part in parts {
        let (from, to) = (repository().join(part), to.join(part));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let done = Command::new("cp").arg("-r").arg(&from).arg(&to).status().unwrap();
        assert!(done.success(), "{part}");
    }
}

fn small_copy() -> tempfile::TempDir {
    let libs = crate::domains::ALL.map(|domain| format!("crates/{domain}/src/lib.rs"));
    let mut parts = vec!["proto", "catalog", "deploy", "rustfmt.toml"];
    parts.extend(libs.iter().map(String::as_str));
    let folder = tempfile::tempdir().unwrap();
    copy(&parts, folder.path());
    folder
}

fn contract(root: &Path, file: &Path) -> DescriptorPool {
    let proto = root.join("proto");
    let mut compiler = protox::Compiler::new([&proto]).unwrap();
    compiler.include_imports(true).open_file(root.join(file)).unwrap();
    let mut pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    // What the program has already is left as it is.
    pool.decode_file_descriptor_set(compiler.encode_file_descriptor_set().as_slice()).unwrap();
    pool
}

#[test]
fn the_walk_gives_a_capability_that_the_catalog_loads() {
    let folder = small_copy();
    let root = folder.path();
    let written = write(root, &walk()).unwrap();
    assert_eq!(written.files.len(), 6);
    let named = |ending: &str| written.files.iter().find(|path| path.ends_with(ending)).cloned();
    let proto = written.files.iter().find(|path| path.extension().is_some_and(|e| e == "proto")).unwrap();
    let pool = contract(root, proto);
    let service = pool.get_service_by_name(&written.service).unwrap();
    assert_eq!(
        proto.parent().unwrap().to_str().unwrap(),
        format!("proto/{}", service.package_name().replace('.', "/"))
    );
    for method in service.methods() {
        assert_eq!(method.input().name(), format!("{}Request", method.name()));
        assert_eq!(method.output().name(), format!("{}Response", method.name()));
    }
    let sources = Sources { catalog: root.join("catalog"), callers: Some(root.join("deploy/callers.yaml")) };
    let snapshot = match oaas_catalog::load(&sources, &KnownDescriptors { local: pool, ..Default::default() })
    {
        Ok(snapshot) => snapshot,
        Err(LoadError::Diagnostics(found)) => panic!("{}", found.render(Lang::En)),
        Err(error) => panic!("{error}"),
    };
    let entry = snapshot.service(&written.service).unwrap();
    let examples: Vec<_> = entry.methods.values().flat_map(|method| &method.examples).collect();
    assert!(examples.iter().any(|example| matches!(&example.expectation, Expectation::Responses(_))));
    let errors = examples.iter().filter(|example| matches!(&example.expectation, Expectation::Error(_)));
    assert_eq!(errors.count(), 2);
    let lib = std::fs::read_to_string(root.join(named("lib.rs").unwrap())).unwrap();
    let module = &written.names.module;
    assert!(lib.contains(&format!("pub mod {module};")), "{lib}");
    assert!(lib.contains(&format!("{module}::grpc::registration(cx)")), "{lib}");
}

#[test]
fn every_domain_takes_one_and_rustfmt_has_nothing_to_add() {
    let folder = small_copy();
    for domain in crate::domains::ALL {
        for (name, rpc) in [("a-first-one", "TryFirst"), ("zone-of-zones", "TryLast")] {
            let written = write(folder.path(), &args(&format!("{domain}/{name}"), rpc)).unwrap();
            for file in written.files.iter().filter(|path| path.extension().is_some_and(|e| e == "rs")) {
                let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
                assert!(!text.contains("{{"), "{}: {text}", file.display());
                assert!(text.starts_with("//!"), "{}", file.display());
                assert_eq!(formatted(folder.path(), &text), text, "{}", file.display());
            }
        }
        let lib = std::fs::read_to_string(folder.path().join(format!("crates/{domain}/src/lib.rs"))).unwrap();
        let before =
            std::fs::read_to_string(repository().join(format!("crates/{domain}/src/lib.rs"))).unwrap();
        for line in
            before.lines().filter(|line| line.starts_with("pub mod") || line.contains("Registration::new"))
        {
            assert!(lib.contains(line.trim()), "{domain} lost {line:?}:\n{lib}");
        }
        assert!(lib.find("a_first_one::grpc") < lib.find("zone_of_zones::grpc"), "{lib}");
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = small_copy();
    let new = args("channel/credit-check", "CheckCredit");
    write(folder.path(), &new).unwrap();
    let lib = folder.path().join("crates/channel/src/lib.rs");
    let before = std::fs::read_to_string(&lib).unwrap();
    for (capability, rpc, word) in [
        ("channel/credit-check", "CheckOther", "crates/channel/src/credit_check"),
        ("channel/other", "CheckCredit", "message CheckCreditRequest"),
        ("channel/other", "CalculateRebate", "rebate.proto"),
        ("sales/other", "CheckOther", "no domain \"sales\""),
    ] {
        let refused = write(folder.path(), &args(capability, rpc)).unwrap_err();
        assert!(format!("{refused:#}").contains(word), "{refused:#}");
    }
    assert_eq!(std::fs::read_to_string(&lib).unwrap(), before);
    assert!(!folder.path().join("crates/channel/src/other").exists());
}

#[test]
#[ignore = "compiles a domain in a copy of the checkout, which takes a minute or two: `just walk`"]
fn the_walk_compiles_and_its_tests_pass() {
    // The same place each time, and the same target folder, so that only our own crates are compiled again.
    let target = repository().join("target");
    let root = target.join("walk");
    let _ = std::fs::remove_dir_all(&root);
    let files = ["Cargo.toml", "Cargo.lock", "clippy.toml", "rustfmt.toml"];
    copy(&[&files[..], &["proto", "catalog", "deploy", "crates", "tests", "docs"]].concat(), &root);
    let written = write(&root, &walk()).unwrap();
    let package = format!("oaas-{}", written.names.domain);
    for line in [
        vec!["test", "--offline", "-p", &package, &written.names.module],
        vec!["clippy", "--offline", "-p", &package, "--all-targets", "--", "-D", "warnings"],
        vec!["check", "--offline", "-p", &package, "--no-default-features"],
    ] {
        let mut cargo = Command::new(env!("CARGO"));
        let done = cargo.args(&line).current_dir(&root).env("CARGO_TARGET_DIR", &target).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "cargo {}:\n{said}", line.join(" "));
    }
}
