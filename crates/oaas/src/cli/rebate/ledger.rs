//! `oaas rebate explain`, `settle` and `statement`.

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::Table;
use oaas_proto::oaas::channel::v1 as pb;
use oaas_proto::oaas::channel::v1::rebate_service_client::RebateServiceClient;

use super::super::{Connection, Output, refused};
use super::{money, said, wire};

/// Says how each fen of a ledger line came about.
pub async fn explain(line: &str, connection: &Connection, output: Output) -> anyhow::Result<ExitCode> {
    let (plan_id, sequence) = line
        .rsplit_once('/')
        .and_then(|(plan, sequence)| Some((plan.to_owned(), sequence.parse::<i64>().ok()?)))
        .with_context(|| format!("{line:?} is not a plan and a place in its ledger such as dealer-2026/7"))?;
    let request = connection.request(pb::ExplainLineRequest { plan_id, sequence })?;
    let mut client = RebateServiceClient::new(connection.channel().await?);
    let answer = client.explain_line(request).await.map_err(|status| refused(&status, output))?.into_inner();
    if output.json {
        anstream::println!("{}", wire::to_json("oaas.channel.v1.ExplainLineResponse", &answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    told(&answer, output);
    Ok(ExitCode::SUCCESS)
}

fn told(answer: &pb::ExplainLineResponse, output: Output) {
    let line = answer.line.clone().unwrap_or_default();
    let title = said(answer.plan_title.as_ref(), output);
    anstream::println!(
        "{}/{} · {title} · {} {} · {} · {}",
        line.plan_id,
        line.sequence,
        output.say("version", "版本"),
        line.plan_version,
        line.member_id,
        money(line.amount_minor, &line.currency)
    );
    anstream::println!("{}", said(line.explanation.as_ref(), output));
    for (index, step) in answer.steps.iter().enumerate() {
        anstream::println!("  {}. {}", index + 1, said(Some(step), output));
    }
    if let Some(detail) = &answer.detail {
        let listed = i32::try_from(detail.event_ids.len()).unwrap_or(i32::MAX);
        let more = match detail.event_count - listed {
            0 => String::new(),
            left => format!(" {} {left}", output.say("and further", "及其他")),
        };
        anstream::println!("{}: {}{more}", output.say("facts", "事实"), detail.event_ids.join(", "));
    }
    anstream::println!("{}: {}", output.say("hash of the line before", "前一行散列"), line.previous_sha256);
    anstream::println!("{}: {}", output.say("hash of this line", "本行散列"), line.line_sha256);
}

/// Settles a period.
pub async fn settle(
    plan_id: String,
    period_date: String,
    connection: &Connection,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let request = connection.request(pb::SettlePeriodRequest { plan_id, period_date })?;
    let mut client = RebateServiceClient::new(connection.channel().await?);
    let answer = client.settle_period(request).await.map_err(|status| refused(&status, output))?.into_inner();
    if output.json {
        anstream::println!("{}", wire::to_json("oaas.channel.v1.SettlePeriodResponse", &answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let again = match answer.settled_before {
        true => output.say(" (settled before)", "（此前已结算）"),
        false => "",
    };
    anstream::println!(
        "{} – {}{again}: {} {}, {} {}",
        answer.period_start,
        answer.period_end,
        output.say("paid", "已付"),
        money(answer.paid_minor, &answer.currency),
        output.say("carried", "结转"),
        money(answer.carried_minor, &answer.currency)
    );
    let mut table = Table::new();
    let zh = ["成员", "上期结转", "本期计提", "以前期间", "支付", "结转"];
    let en = ["member", "carried in", "for the period", "earlier periods", "paid", "carried"];
    table.set_header(en.iter().zip(zh).map(|(en, zh)| output.say(en, zh)));
    for s in &answer.statements {
        let amounts = [s.opening_minor, s.accrued_minor, s.adjusted_minor, s.paid_minor, s.carried_minor];
        let cells = amounts.map(|minor| money(minor, &answer.currency));
        table.add_row(std::iter::once(s.member_id.clone()).chain(cells));
    }
    anstream::println!("{table}");
    if answer.statements_left_off > 0 {
        anstream::println!("… {}", answer.statements_left_off);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a statement with its lines.
pub async fn statement(
    plan_id: String,
    member_id: String,
    period_date: String,
    connection: &Connection,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let request = connection.request(pb::GetStatementRequest { plan_id, member_id, period_date })?;
    let mut client = RebateServiceClient::new(connection.channel().await?);
    let answer = client.get_statement(request).await.map_err(|status| refused(&status, output))?.into_inner();
    if output.json {
        anstream::println!("{}", wire::to_json("oaas.channel.v1.GetStatementResponse", &answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let s = answer.statement.unwrap_or_default();
    anstream::println!("{} · {} · {}", s.plan_id, s.period_start, s.member_id);
    anstream::println!("{}", said(s.explanation.as_ref(), output));
    for line in &answer.lines {
        let (amount, text) =
            (money(line.amount_minor, &line.currency), said(line.explanation.as_ref(), output));
        anstream::println!("  {:>4}  {amount:>16}  {text}", line.sequence);
    }
    if answer.lines_left_off > 0 {
        anstream::println!("… {}", answer.lines_left_off);
    }
    Ok(ExitCode::SUCCESS)
}
