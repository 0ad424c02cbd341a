//! `oaas rebate calculate` and `simulate`: plans of files on facts of a file or on recorded ones.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use comfy_table::{Cell, CellAlignment, Table};
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::rebate_service_client::RebateServiceClient;
use pb::calculate_rebate_request::Source;
use pb::record_facts_request::Fact;
use pb::simulate_plan_request::{Against, Facts};

use super::super::{Connection, Output, refused};
use super::{money, plan, said, wire};

/// Which facts, and which period.
#[derive(Clone, Debug, clap::Args)]
pub struct FactsArgs {
    /// Facts: JSON as RecordFacts takes it; at most 5000 sales, returns and payments each
    #[arg(long, required_unless_present = "recorded")]
    facts: Option<PathBuf>,
    /// Instead, the facts that were recorded under this plan; asks the gateway
    #[arg(long, conflicts_with = "facts")]
    recorded: Option<String>,
    /// Any day of the period. Example: 2026-03-31
    #[arg(long)]
    period: String,
    #[command(flatten)]
    connection: Connection,
}

/// Prints each member's amount and lines.
pub async fn calculate(
    file: &Path,
    args: &FactsArgs,
    member_id: String,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let Some(plan) = plan::read(file, output)? else { return Ok(ExitCode::FAILURE) };
    let Some(facts) = &args.facts else {
        bail!("a plan of a file needs --facts; CalculateRebate takes a stored plan with its recorded facts");
    };
    let pb::GivenFacts { sales, returns, payments } = read(facts)?;
    let inline = pb::InlineSource { plan: Some(plan), sales, returns, payments };
    let request = pb::CalculateRebateRequest {
        source: Some(Source::Inline(inline)),
        period_date: args.period.clone(),
        member_id,
    };
    let mut client = wire::local().await?;
    let answer =
        client.calculate_rebate(request).await.map_err(|status| refused(&status, output))?.into_inner();
    if output.json {
        anstream::println!("{}", wire::to_json("oaas.channel.v1.CalculateRebateResponse", &answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let currency = &answer.currency;
    anstream::println!(
        "{} – {}: {} {}; {} {}",
        answer.period_start,
        answer.period_end,
        output.say("net sales", "净销售额"),
        money(answer.base_minor, currency),
        output.say("rebate", "返利"),
        money(answer.total_minor, currency),
    );
    if answer.sales_left_out > 0 {
        anstream::println!("{} {}", answer.sales_left_out, output.say("sales do not count", "笔销售不计"));
    }
    for member in &answer.members {
        anstream::println!("{}: {}", member.member_id, money(member.amount_minor, currency));
        for line in &member.lines {
            let text = said(line.explanation.as_ref(), output);
            anstream::println!("  {:>16}  {text}", money(line.amount_minor, currency));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints cost, winners, losers and cliffs of a draft.
pub async fn simulate(
    file: &Path,
    args: &FactsArgs,
    against: Option<&Path>,
    periods: i32,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let Some(draft) = plan::read(file, output)? else { return Ok(ExitCode::FAILURE) };
    let against = match against {
        None => None,
        Some(other) => match plan::read(other, output)? {
            Some(plan) => Some(Against::Plan(plan)),
            None => return Ok(ExitCode::FAILURE),
        },
    };
    let measure = draft.tiers.as_ref().map(pb::TierSchedule::measure);
    let mut request = pb::SimulatePlanRequest {
        draft: Some(draft),
        against,
        facts: None,
        period_date: args.period.clone(),
        period_count: periods,
    };
    let answer = match (&args.facts, &args.recorded) {
        (Some(facts), _) => {
            request.facts = Some(Facts::Given(read(facts)?));
            wire::local().await?.simulate_plan(request).await
        }
        (None, Some(plan_id)) => {
            let recorded = pb::RecordedSource { plan_id: plan_id.clone() };
            request.facts = Some(Facts::Recorded(recorded));
            if request.against.is_none() {
                let stored = pb::StoredPlan { plan_id: plan_id.clone(), version: 0 };
                request.against = Some(Against::Stored(stored));
            }
            let request = args.connection.request(request)?;
            RebateServiceClient::new(args.connection.channel().await?).simulate_plan(request).await
        }
        (None, None) => bail!("which facts? --facts names a file, --recorded a stored plan"),
    };
    let answer = answer.map_err(|status| refused(&status, output))?.into_inner();
    if output.json {
        anstream::println!("{}", wire::to_json("oaas.channel.v1.SimulatePlanResponse", &answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    print(&answer, measure == Some(pb::Measure::Amount), output);
    Ok(ExitCode::SUCCESS)
}

/// The facts of a file, whatever plan they name.
fn read(file: &Path) -> anyhow::Result<pb::GivenFacts> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read {name}"))?;
    let facts: Vec<pb::RecordFactsRequest> =
        wire::from_json("oaas.channel.v1.RecordFactsRequest", &text, &name)?;
    let mut given = pb::GivenFacts::default();
    for (index, fact) in facts.into_iter().enumerate() {
        match fact.fact {
            Some(Fact::Sale(sale)) => given.sales.push(sale),
            Some(Fact::SaleReturn(fact)) => given.returns.push(fact),
            Some(Fact::Payment(fact)) => given.payments.push(fact),
            None => bail!("{name}: fact {} has none of sale, sale_return and payment", index + 1),
        }
    }
    Ok(given)
}

fn print(answer: &pb::SimulatePlanResponse, by_amount: bool, output: Output) {
    let amount = |minor: i64| money(minor, &answer.currency);
    let mut periods = table(
        output,
        &[
            ("period from", "期间起"),
            ("net sales", "净销售额"),
            ("draft", "草案"),
            ("other plan", "对比计划"),
            ("difference", "差额"),
        ],
    );
    for one in &answer.periods {
        let difference = one.draft_minor.saturating_sub(one.against_minor);
        let amounts = [one.base_minor, one.draft_minor, one.against_minor, difference];
        periods.add_row(row(&one.period_start, &amounts.map(amount)));
    }
    anstream::println!("{periods}");
    anstream::println!(
        "{}: {}; {}: {}; {}: {}",
        output.say("get more", "增加"),
        answer.winner_count,
        output.say("get less", "减少"),
        answer.loser_count,
        output.say("get the same", "不变"),
        answer.same_count
    );
    let changes = answer.winners.iter().chain(answer.losers.iter().rev());
    let mut members = table(
        output,
        &[("member", "成员"), ("draft", "草案"), ("other plan", "对比计划"), ("change", "变化")],
    );
    for change in changes {
        let amounts = [change.draft_minor, change.against_minor, change.change_minor];
        members.add_row(row(&change.member_id, &amounts.map(amount)));
    }
    if answer.winner_count + answer.loser_count > 0 {
        anstream::println!("{members}");
    }
    let measured = |value: i64| if by_amount { amount(value) } else { value.to_string() };
    let mut cliffs = table(
        output,
        &[
            ("cliff at", "跳点"),
            ("jump", "跳增"),
            ("just below", "临近"),
            ("over", "已达"),
            ("nearest below", "最近者"),
            ("lacks", "尚缺"),
        ],
    );
    for exposure in &answer.cliffs {
        let cliff = exposure.cliff.unwrap_or_default();
        let nearest = if exposure.nearest_member_id.is_empty() { "–" } else { &exposure.nearest_member_id };
        cliffs.add_row(row(
            &measured(cliff.threshold),
            &[
                amount(cliff.jump_minor),
                exposure.just_below.to_string(),
                exposure.over.to_string(),
                nearest.to_owned(),
                measured(exposure.nearest_lacks),
            ],
        ));
    }
    if !answer.cliffs.is_empty() {
        anstream::println!("{cliffs}");
    }
    plan::findings(&answer.findings, output);
}

fn table(output: Output, header: &[(&str, &str)]) -> Table {
    let mut table = Table::new();
    table.set_header(header.iter().map(|(en, zh)| output.say(en, zh)));
    table
}

/// A row of a name and numbers.
fn row(name: &str, cells: &[String]) -> Vec<Cell> {
    let numbers = cells.iter().map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
    std::iter::once(Cell::new(name)).chain(numbers).collect()
}
