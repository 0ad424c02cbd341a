//! The commands on the example plans of the documentation.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use oaas_model::Lang;
use oaas_proto::oaas::channel::v1 as pb;

use super::super::Output;
use super::{ledger, plan, wire};

const OUTPUT: Output = Output { json: true, lang: Lang::Zh };

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/capabilities/rebate").join(name)
}

fn written(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Exit codes have no equality of their own.
fn succeeds(code: ExitCode) -> bool {
    format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
}

#[tokio::test]
async fn every_example_plan_is_good_and_a_bad_one_fails() {
    let folder = std::fs::read_dir(example("")).unwrap().map(|entry| entry.unwrap().path());
    let plans: Vec<_> = folder.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(plans.len() >= 5, "{plans:?}");
    assert!(succeeds(plan::check(&plans, "2026-11-22", OUTPUT).await.unwrap()));

    let temporary = tempfile::tempdir().unwrap();
    let good = std::fs::read_to_string(example("agents-2026.yaml")).unwrap();
    let faulty = written(&temporary, "faulty.yaml", &good.replace("deep: 3", "deep: x"));
    let forbidden = written(&temporary, "forbidden.yaml", &good.replace("companies", "persons"));
    for file in [faulty, forbidden] {
        assert!(!succeeds(plan::check(&[file], "2026-11-22", OUTPUT).await.unwrap()));
    }
    assert!(plan::check(&[temporary.path().join("none.yaml")], "", OUTPUT).await.is_err());
}

#[tokio::test]
async fn the_example_facts_give_what_the_page_says() {
    let text = std::fs::read_to_string(example("facts.json")).unwrap();
    let facts: Vec<pb::RecordFactsRequest> =
        wire::from_json("oaas.channel.v1.RecordFactsRequest", &text, "facts.json").unwrap();
    let plan = plan::read(&example("dealer-2026.yaml"), OUTPUT).unwrap();
    let mut client = wire::local().await.unwrap();
    client.put_plan(pb::PutPlanRequest { plan }).await.unwrap();
    client.record_facts(tokio_stream::iter(facts)).await.unwrap();
    let request =
        pb::AccruePeriodRequest { plan_id: "dealer-2026".to_owned(), period_date: "2026-03-31".to_owned() };
    let posted = client.accrue_period(request).await.unwrap().into_inner();
    assert_eq!(posted.posted_minor, 420_000 + 96_000);
    let json = wire::to_json("oaas.channel.v1.AccruePeriodResponse", &posted).unwrap();
    assert!(json.contains("\"posted_minor\":\"516000\""), "{json}");
}

#[test]
fn facts_that_do_not_fit_are_named() {
    let read = |text: &str| {
        let read: anyhow::Result<Vec<pb::RecordFactsRequest>> =
            wire::from_json("oaas.channel.v1.RecordFactsRequest", text, "facts.json");
        format!("{:#}", read.unwrap_err())
    };
    assert!(read("[{}, {\"sold\": 1}]").starts_with("facts.json: fact 2 does not fit"));
    assert!(read("[{}").starts_with("facts.json is not JSON"));
}

#[tokio::test]
async fn a_line_is_a_plan_and_a_number() {
    let connection =
        super::super::Connection { address: "http://127.0.0.1:1".to_owned(), key: None, ca: None };
    for line in ["7", "dealer-2026", "dealer-2026/x"] {
        let error = ledger::explain(line, &connection, OUTPUT).await.unwrap_err().to_string();
        assert!(error.contains("such as dealer-2026/7"), "{error}");
    }
}
