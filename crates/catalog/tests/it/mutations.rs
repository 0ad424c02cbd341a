//! Whatever happens to a good file, loading it never panics: it loads, or a fault has a line. And small
//! files that would be large do no harm.

use oaas_catalog::LoadError;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::folder::{CALLERS, Folder, PLANS, SERVICE};

/// One change of a text.
#[derive(Clone, Debug)]
enum Mutation {
    Delete(prop::sample::Index, usize),
    Insert(prop::sample::Index, String),
    Double(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = || any::<prop::sample::Index>();
    let sign = prop::sample::select(vec![
        "",
        " ",
        "\n",
        "  ",
        ":",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "&a ",
        "*a",
        "!x ",
        "|",
        ">",
        "#",
        "%",
        "@",
        "? ",
        "---\n",
        "...\n",
        "\t",
        "\u{feff}",
        "é",
        "熔",
        "\0",
        "~",
        "null",
        "true",
        "1e999",
        "-1",
        "0x",
        ",",
        "<<: ",
        "99999999999999999999999999999999999999999",
        "\u{2028}",
        "\r",
    ]);
    prop_oneof![
        (index(), 1usize..30).prop_map(|(at, n)| Mutation::Delete(at, n)),
        (index(), sign).prop_map(|(at, text)| Mutation::Insert(at, text.to_owned())),
        index().prop_map(Mutation::Double),
        (index(), index()).prop_map(|(one, other)| Mutation::Swap(one, other)),
    ]
}

fn apply(text: &str, mutation: &Mutation) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut lines: Vec<&str> = text.lines().collect();
    let whole = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    match mutation {
        Mutation::Delete(at, n) if !chars.is_empty() => {
            let at = at.index(chars.len());
            chars[..at].iter().chain(chars[at..].iter().skip(*n)).collect()
        }
        Mutation::Insert(at, sign) => {
            let at = at.index(chars.len() + 1);
            chars[..at].iter().copied().chain(sign.chars()).chain(chars[at..].iter().copied()).collect()
        }
        Mutation::Double(at) if !lines.is_empty() => {
            let at = at.index(lines.len());
            lines.insert(at, lines[at]);
            whole(&lines)
        }
        Mutation::Swap(one, other) if !lines.is_empty() => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            lines.swap(one, other);
            whole(&lines)
        }
        _ => text.to_owned(),
    }
}

#[test]
fn ten_thousand_mutated_files_load_or_have_a_fault_with_a_place() {
    let folder = Folder::good();
    let cases = std::env::var("OAAS_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let strategy = (0usize..3, prop::collection::vec(mutation(), 1..4));
    let (good, bad) = (std::cell::Cell::new(0u32), std::cell::Cell::new(0u32));
    runner
        .run(&strategy, |(which, mutations)| {
            let texts = [SERVICE, PLANS, CALLERS];
            let mutated = mutations.iter().fold(texts[which].to_owned(), |text, m| apply(&text, m));
            let text = |n: usize| if n == which { mutated.as_str() } else { texts[n] };
            folder.put("platform/breaker.yaml", text(0));
            folder.put("plans.yaml", text(1));
            std::fs::write(folder.path("callers.yaml"), text(2)).unwrap();
            match folder.load() {
                Ok(_) => good.set(good.get() + 1),
                Err(LoadError::Diagnostics(diagnostics)) => {
                    bad.set(bad.get() + 1);
                    prop_assert!(!diagnostics.is_empty());
                    for fault in &diagnostics.list {
                        let whole_file = ["an empty file", "more"].contains(&fault.found.en.as_str());
                        prop_assert!(fault.line > 0 || whole_file, "{fault:?}");
                        prop_assert!(!fault.expected.en.is_empty() && !fault.expected.zh.is_empty());
                    }
                }
                Err(LoadError::NeedsReflection(_)) => bad.set(bad.get() + 1),
            }
            Ok(())
        })
        .unwrap();
    let (good, bad) = (good.get(), bad.get());
    assert!(good > 0 && bad > 0, "{good} good and {bad} bad files: the mutations are too dull or too wild");
}

#[test]
fn bombs_are_refused_before_they_grow() {
    let nine = |name: &str, of: &str| format!("{name}: &{name} [{}]\n", [of; 9].join(", "));
    let mut laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"]
        .into_iter()
        .zip(["*a", "*b", "*c", "*d", "*e", "*f", "*g", "*h"])
    {
        laughs.push_str(&nine(name, of));
    }
    let deep = format!("a: {}{}\n", "[".repeat(2_000), "]".repeat(2_000));
    let deep_blocks: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let wide = format!("a: [{}]\n", "x,".repeat(400_000));
    let own = "a: &a [*a]\n".to_owned();
    let anchors: String = (0..1_000).map(|n| format!("k{n}: &a{n} x\n")).collect();
    for (name, bomb) in [
        ("laughs", laughs),
        ("deep", deep),
        ("blocks", deep_blocks),
        ("wide", wide),
        ("own", own),
        ("anchors", anchors),
    ] {
        let folder = Folder::good();
        folder.put("platform/bomb.yaml", &bomb);
        std::fs::write(folder.path("callers.yaml"), &bomb).unwrap();
        let faults = folder.faults();
        for file in ["platform/bomb.yaml", "callers:callers.yaml"] {
            let fault = faults.list.iter().find(|d| d.file == file);
            if name == "wide" && file.starts_with("callers") {
                continue;
            }
            let fault = fault.unwrap_or_else(|| panic!("{name}: nothing said of {file}\n{faults}"));
            assert!(fault.line > 0, "{name}: {fault:?}");
        }
        let budget = faults.list.iter().any(|d| matches!(d.fault.code(), "budget" | "syntax" | "dangling"));
        assert!(budget, "{name}: {faults}");
    }
    if let Some(peak) = peak_memory_kib() {
        assert!(peak < 256 << 10, "peak memory of the tests {peak} KiB");
    }
}

/// Most memory that this process ever had; none where the system doesn't say.
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
