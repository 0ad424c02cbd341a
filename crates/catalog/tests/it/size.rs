//! Many services and callers: 10,000 and 100,000 with OAAS_FULL_SIZE set, a tenth otherwise.

use std::fmt::Write as _;

use oaas_catalog::{Fault, LoadError, Snapshot, Sources, load};
use oaas_model::{Clock as _, SystemClock};

use crate::folder::{Folder, PLANS, known};
use crate::remote::{GREETER, file, set};

#[test]
fn a_large_catalog_loads_whole() {
    let full = std::env::var_os("OAAS_FULL_SIZE").is_some();
    let (services, callers) = if full { (10_000, 100_000) } else { (500, 5_000) };
    let folder = large(services, callers);
    let before = resident_kib();
    let clock = SystemClock::new();
    let start = clock.now();
    let snapshot = load(&folder.sources, &known()).unwrap_or_else(|error| panic!("{error}"));
    let took = clock.now().since(start);
    let after = resident_kib();
    assert_eq!((snapshot.services.len(), snapshot.callers.applications.len()), (services, callers));
    assert_eq!((snapshot.methods.len(), snapshot.callers.keys.len()), (services, callers));
    println!("{services} services, {callers} callers: {took:?}; resident {before:?} -> {after:?} KiB");
    assert!(caller_bytes(&snapshot) <= 640, "{} bytes a caller", caller_bytes(&snapshot));
}

fn large(services: usize, callers: usize) -> Folder {
    let mut text = "applications:\n".to_owned();
    for n in 0..callers {
        let (service, other, letters) = (n % services, (n + 1) % services, base32(n));
        writeln!(
            text,
            "  - id: application-{n}\n    owner: team-{}@example.com\n    credentials:\n      - api_key: {{ prefix: oaas_{letters}, digest: \"{:064x}\" }}\n    subscriptions:\n      - {{ service: many.v1.S{service}, plan: standard }}\n      - {{ service: many.v1.S{other}, plan: standard, expires: 2027-01-01T00:00:00Z }}",
            n % 100,
            n + 1,
        )
        .unwrap();
    }
    let folder = Folder::new(&[("plans.yaml", PLANS)], Some(&text));
    let mut files = Vec::new();
    for n in 0..services {
        files.push(file(&format!("s{n}.proto"), "many.v1", &format!("S{n}"), 1));
        let entry = GREETER
            .replace("hello.v1.Greeter", &format!("many.v1.S{n}"))
            .replace("domain: hello", "domain: many");
        folder.put(&format!("many/s{n}.yaml"), entry.replace("greeter.binpb", "many.binpb"));
    }
    folder.put("many.binpb", set(files));
    folder
}

#[test]
fn a_fault_in_a_long_file_is_shown_where_it_stands() {
    let folder = large(10, 5_000);
    let file = folder.sources.callers.clone().unwrap();
    let good = std::fs::read_to_string(&file).unwrap();
    let found = |text: String| {
        std::fs::write(&file, text).unwrap();
        let error = load(&folder.sources, &known()).unwrap_err();
        let LoadError::Diagnostics(found) = error else { panic!("{error}") };
        let first = found.list.first().unwrap();
        (found.len(), first.line, first.column, first.fault, first.field.clone(), first.source.clone())
    };
    // Each application has seven lines, the first stands in line 2.
    let line = |n: u32| 2 + 7 * n;
    for n in [0, 2_499, 2_500, 4_999] {
        let field = |name: &str| format!("applications[{n}].{name}");
        let source = format!("  - id: application-{n}");
        let wrong = good.replace(&format!("{source}\n"), &format!("{source}\n    surprise: 1\n"));
        let expected =
            (1, line(n) + 1, 5, Fault::UnknownField, field("surprise"), "    surprise: 1".to_owned());
        assert_eq!(found(wrong), expected);
        let wrong = good.replace(&format!("{source}\n"), &format!("{source}: x\n"));
        let (count, at, _, fault, ..) = found(wrong);
        assert_eq!((count, at, fault), (1, line(n), Fault::Syntax));
    }
    // Twice the same, far from one another.
    let again = good.replace("  - id: application-4999\n", "  - id: application-3\n");
    let (count, at, _, fault, field, _) = found(again);
    assert_eq!((count, at, fault, &*field), (1, line(4_999), Fault::Doubled, "applications[4999].id"));
    let again = good.replace(&format!("oaas_{}", base32(4_999)), &format!("oaas_{}", base32(3)));
    let (count, at, _, fault, ..) = found(again);
    assert_eq!((count, at, fault), (1, line(4_999) + 3, Fault::Doubled));
    // A text that is not closed, and a second document.
    let (_, at, ..) = found(good.replace("owner: team-7@", "owner: \"team-7@"));
    assert!(at >= line(7), "{at}");
    let (count, _, _, fault, ..) =
        found(good.replace("  - id: application-2500\n", "---\n  - id: application-2500\n"));
    assert_eq!((count, fault), (1, Fault::Syntax));
}

#[test]
fn a_long_file_with_a_document_around_its_list_is_read_as_a_short_one() {
    let folder = large(10, 5_000);
    let file = folder.sources.callers.clone().unwrap();
    let good = std::fs::read_to_string(&file).unwrap();
    let plain = load(&folder.sources, &known()).unwrap();
    let issuers = "issuers:\n  - issuer: https://id.example\n    audience: oaas\n    algorithms: [ES256]\n    \
                   jwks: { url: \"https://id.example/keys\" }\n";
    let token = "    credentials:\n      - jwt: { issuer: \"https://id.example\", subject: someone }\n";
    let with_token = good.replacen("    credentials:\n", token, 1);
    for text in [
        format!("{issuers}{with_token}"),
        format!("{with_token}{issuers}"),
        format!("{with_token}\n# end\n{issuers}...\n"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let around = load(&folder.sources, &known()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(around.callers.applications, plain.callers.applications);
        assert_eq!((around.callers.issuers.len(), around.callers.subjects.len()), (1, 1));
    }
    // Anchors reach over the whole file, so such a file is read whole.
    let anchors = good.replacen("owner: team-0@example.com", "owner: &owner team-0@example.com", 1);
    let anchors = anchors.replace("owner: team-1@example.com", "owner: *owner");
    std::fs::write(&file, &anchors).unwrap();
    let shared = load(&folder.sources, &known()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(shared.callers.applications["application-4901"].owner, "team-0@example.com");
}

fn base32(n: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
    (0..8).rev().map(|place| char::from(LETTERS[(n >> (5 * place)) & 31])).collect()
}

/// Bytes that one caller takes: what its tables hold, by their sizes, with the allocator's 16-byte steps.
fn caller_bytes(snapshot: &Snapshot) -> usize {
    use std::mem::size_of;
    let step = |bytes: usize| bytes.next_multiple_of(16) + 16;
    let callers = &snapshot.callers;
    let (_, one) = callers.applications.first_key_value().unwrap();
    let subscriptions =
        step(one.subscriptions.len() * size_of::<(std::sync::Arc<str>, oaas_catalog::Subscription)>());
    let application =
        step(16 + size_of::<oaas_catalog::Application>()) + step(16 + one.id.len()) + step(one.owner.len());
    let key = size_of::<(std::sync::Arc<oaas_catalog::Application>, oaas_catalog::ApiKey)>() + 1;
    // Tables are at least half full; a tree's nodes too.
    application + subscriptions + 2 * key + step(13) + 2 * (16 + 8)
}

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("VmRSS:"))?.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn look_ups_do_not_depend_on_where_the_files_are() {
    let folder = large(10, 20);
    let elsewhere = Folder::new(&[], None);
    let copy = Sources { catalog: elsewhere.path("copy"), callers: folder.sources.callers.clone() };
    std::fs::create_dir_all(copy.catalog.join("many")).unwrap();
    for name in ["plans.yaml", "many.binpb"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..10).map(|n| format!("many/s{n}.yaml")))
    {
        std::fs::copy(folder.sources.catalog.join(&name), copy.catalog.join(&name)).unwrap();
    }
    assert_eq!(load(&copy, &known()).unwrap().version, folder.snapshot().version);
}
