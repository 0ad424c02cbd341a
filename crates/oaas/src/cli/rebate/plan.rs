//! `oaas rebate check` and `put`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use oaas_channel::rebate::yaml::{self, Draft, Fault};
use oaas_channel::rebate::{Measure, law, plan_to_wire};
use oaas_model::Lang;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::rebate_service_client::RebateServiceClient;

use super::super::{Connection, Output, refused};
use super::{money, said, wire};

/// Checks each file; says all that is wrong with all of them.
pub async fn check(files: &[std::path::PathBuf], on: &str, output: Output) -> anyhow::Result<ExitCode> {
    let mut client = wire::local().await?;
    let mut good = true;
    for file in files {
        let (source, name) = (load(file)?, file.display().to_string());
        match yaml::read(&source) {
            Ok(draft) => {
                let plan = plan_to_wire(&draft.plan, &draft.title);
                let request = pb::ValidatePlanRequest { plan: Some(plan), on: on.to_owned() };
                let answer =
                    client.validate_plan(request).await.map_err(|status| refused(&status, output))?;
                let answer = answer.into_inner();
                good &= answer.permitted;
                judged(&name, &draft, &answer, output)?;
            }
            Err(faults) => {
                good = false;
                tell(&name, &source, &faults, output);
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Stores a plan through the gateway.
pub async fn put(file: &Path, connection: &Connection, output: Output) -> anyhow::Result<ExitCode> {
    let Some(plan) = read(file, output)? else { return Ok(ExitCode::FAILURE) };
    let plan_id = plan.plan_id.clone();
    let request = connection.request(pb::PutPlanRequest { plan: Some(plan) })?;
    let mut client = RebateServiceClient::new(connection.channel().await?);
    let answer = client.put_plan(request).await.map_err(|status| refused(&status, output))?.into_inner();
    if output.json {
        anstream::println!("{}", wire::to_json("oaas.channel.v1.PutPlanResponse", &answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let version = answer.version;
    match (output.lang, answer.unchanged) {
        (Lang::En, false) => anstream::println!("{plan_id} is stored as version {version}"),
        (Lang::En, true) => anstream::println!("{plan_id} is unchanged: version {version}"),
        (Lang::Zh, false) => anstream::println!("{plan_id} 已保存为第 {version} 版"),
        (Lang::Zh, true) => anstream::println!("{plan_id} 无变化：第 {version} 版"),
    }
    findings(&answer.findings, output);
    Ok(ExitCode::SUCCESS)
}

/// The plan of a file; `None` when something was wrong with it, and told.
pub fn read(file: &Path, output: Output) -> anyhow::Result<Option<pb::Plan>> {
    let source = load(file)?;
    match yaml::read(&source) {
        Ok(draft) => Ok(Some(plan_to_wire(&draft.plan, &draft.title))),
        Err(faults) => {
            tell(&file.display().to_string(), &source, &faults, output);
            Ok(None)
        }
    }
}

fn load(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))
}

/// Each fault with its place, and the line with a mark below.
fn tell(name: &str, source: &str, faults: &[Fault], output: Output) {
    for fault in faults {
        let (line, column, message) = (fault.mark.line, fault.mark.column, fault.message(output.lang));
        if output.json {
            let value = serde_json::json!({
                "file": name, "line": line, "column": column, "field": fault.field,
                "expected": { "en": fault.expected.en, "zh": fault.expected.zh },
                "found": { "en": fault.found.en, "zh": fault.found.zh },
            });
            anstream::println!("{value}");
            continue;
        }
        anstream::println!("{name}:{line}:{column}: {message}");
        if let Some(text) = source.lines().nth(line.saturating_sub(1)) {
            anstream::println!("  {line:>4} | {text}");
            anstream::println!("       | {}^", " ".repeat(column.saturating_sub(1)));
        }
    }
}

fn judged(
    name: &str,
    draft: &Draft,
    answer: &pb::ValidatePlanResponse,
    output: Output,
) -> anyhow::Result<()> {
    if output.json {
        anstream::println!("{}", wire::to_json("oaas.channel.v1.ValidatePlanResponse", answer)?);
        return Ok(());
    }
    let law::Text { en, zh } = &draft.title;
    let verdict = match answer.permitted {
        true => output.say("well formed and permitted", "格式正确，未被禁止"),
        false => output.say("forbidden", "被禁止"),
    };
    anstream::println!("{name}: {} ({}): {verdict}", output.say(en, zh), draft.plan.plan_id);
    findings(&answer.findings, output);
    let currency = draft.plan.currency.to_string();
    let measure = draft.plan.tiers.as_ref().map(|tiers| tiers.measure);
    for cliff in &answer.cliffs {
        let threshold = match measure {
            Some(Measure::Amount) => money(cliff.threshold, &currency),
            Some(Measure::Growth | Measure::Mix) => {
                format!("{}.{:02} %", cliff.threshold / 100, cliff.threshold % 100)
            }
            Some(Measure::EarlyPayment) => format!("{} {}", cliff.threshold, output.say("days", "天")),
            Some(Measure::Quantity) | None => cliff.threshold.to_string(),
        };
        let jump = money(cliff.jump_minor, &currency);
        match (output.lang, cliff.jump_minor) {
            (Lang::En, 0) => anstream::println!("  cliff at {threshold}"),
            (Lang::Zh, 0) => anstream::println!("  跳点：{threshold}"),
            (Lang::En, _) => anstream::println!("  cliff at {threshold}: the rebate jumps by {jump}"),
            (Lang::Zh, _) => anstream::println!("  跳点：{threshold}，返利跳增 {jump}"),
        }
    }
    Ok(())
}

/// What the law says, one line each.
pub fn findings(findings: &[pb::Finding], output: Output) {
    for finding in findings {
        let severity = match finding.severity() {
            pb::Severity::Block => output.say("forbidden", "禁止"),
            pb::Severity::Warn => output.say("ask a lawyer", "请咨询律师"),
            pb::Severity::Info | pb::Severity::Unspecified => output.say("note", "提示"),
        };
        let article = finding.article.as_ref().map(|article| said(article.title.as_ref(), output));
        let article = article.map_or(String::new(), |title| format!(" ({title})"));
        anstream::println!("  {severity}: {}{article}", said(finding.message.as_ref(), output));
    }
}
