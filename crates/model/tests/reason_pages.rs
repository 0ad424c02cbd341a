//! The pages under `docs/reasons/` say what the code says. `UPDATE=1 cargo test -p oaas-model` rewrites them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use oaas_model::{Lang, Reason};

fn page(reason: Reason) -> String {
    format!(
        "# {reason}\n\n\
         | gRPC status | HTTP status |\n|---|---|\n| {} ({}) | {} |\n\n\
         **Meaning.** {}\n\n**What to do.** {}\n\n\
         **含义。** {}\n\n**处理方法。** {}\n",
        reason.code(),
        reason.code().number(),
        reason.http(),
        reason.meaning(Lang::En),
        reason.remedy(Lang::En),
        reason.meaning(Lang::Zh),
        reason.remedy(Lang::Zh),
    )
}

fn index() -> String {
    let mut index = String::from(
        "# Reasons\n\nWhy the gateway refused or ended a call: `ErrorInfo.reason`, domain `gateway.oaas`.\n\n\
         | reason | gRPC status | HTTP | meaning |\n|---|---|---|---|\n",
    );
    for reason in Reason::ALL {
        let (code, http, meaning) = (reason.code(), reason.http(), reason.meaning(Lang::En));
        writeln!(index, "| [{reason}]({reason}.md) | {code} | {http} | {meaning} |").unwrap();
    }
    index
}

#[test]
fn the_pages_say_what_the_code_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reasons");
    let mut expected: BTreeMap<String, String> =
        Reason::ALL.iter().map(|reason| (format!("{reason}.md"), page(*reason))).collect();
    expected.insert("README.md".to_owned(), index());
    let files = || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        files().for_each(|file| fs::remove_file(file).unwrap());
        expected.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    let found: BTreeMap<String, String> = files()
        .map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(file).unwrap())
        })
        .collect();
    for (name, text) in &expected {
        assert_eq!(found.get(name), Some(text), "docs/reasons/{name}: run with UPDATE=1");
    }
    let extra: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    assert!(extra.is_empty(), "pages without a reason: {extra:?}");
}

#[test]
fn every_reason_has_its_own_words_in_both_languages() {
    let mut seen = BTreeMap::new();
    for reason in Reason::ALL {
        for (lang, han) in [(Lang::En, false), (Lang::Zh, true)] {
            for text in [reason.meaning(lang), reason.remedy(lang)] {
                assert!((6..=220).contains(&text.chars().count()), "{reason}: {text}");
                assert!(text.ends_with(if han { '。' } else { '.' }), "{reason}: {text}");
                let has_han = text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
                assert_eq!(has_han, han, "{reason}: {text}");
                if let Some(other) = seen.insert(text, reason) {
                    panic!("{other} and {reason} say the same: {text}");
                }
            }
        }
    }
}
