//! `oaas rebate`: plans in YAML checked, tried and put; ledger lines explained; periods settled.

mod ledger;
mod plan;
#[cfg(test)]
mod tests;
mod trial;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use oaas_model::Lang;
use oaas_proto::oaas::channel::v1 as pb;

use super::{Connection, Output};

/// Arguments of `oaas rebate`.
#[derive(Clone, Debug, clap::Args)]
pub struct RebateArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Act {
    /// Check plans: form, law, and the points where one more unit of sales pays a jump
    Check {
        /// The plans, YAML
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Day whose law is looked at; without it today, or the day on which the plan takes effect
        #[arg(long, default_value = "")]
        on: String,
    },
    /// Store a plan as a new version
    Put {
        /// The plan, YAML
        file: PathBuf,
        #[command(flatten)]
        connection: Connection,
    },
    /// Work out what a plan pays on facts from a file, with the reason of each fen
    Calculate {
        /// The plan, YAML
        file: PathBuf,
        #[command(flatten)]
        facts: trial::FactsArgs,
        /// Only this member
        #[arg(long, default_value = "")]
        member: String,
    },
    /// Try a draft beside another plan: cost, who wins and loses, who stands below a cliff
    Simulate {
        /// The draft, YAML
        file: PathBuf,
        #[command(flatten)]
        facts: trial::FactsArgs,
        /// Another plan, YAML, to compare with
        #[arg(long)]
        against: Option<PathBuf>,
        /// Periods from the one of the day, 1 to 24
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=24))]
        periods: i32,
    },
    /// Say how each fen of a ledger line came about
    Explain {
        /// Plan and place in its ledger. Example: dealer-2026/7
        line: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Close a period: accrue it, pay what is due, carry what is not
    Settle {
        /// The plan
        plan: String,
        /// Any day of the period. Example: 2026-03-31
        #[arg(long)]
        period: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// A member's statement of a settled period
    Statement {
        /// The plan
        plan: String,
        /// The member
        member: String,
        /// Any day of the period. Example: 2026-03-31
        #[arg(long)]
        period: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Does it.
///
/// # Errors
/// When a file can't be read, nobody answers, or the service refuses.
pub async fn run(args: RebateArgs, output: Output) -> anyhow::Result<ExitCode> {
    match args.act {
        Act::Check { files, on } => plan::check(&files, &on, output).await,
        Act::Put { file, connection } => plan::put(&file, &connection, output).await,
        Act::Calculate { file, facts, member } => trial::calculate(&file, &facts, member, output).await,
        Act::Simulate { file, facts, against, periods } => {
            trial::simulate(&file, &facts, against.as_deref(), periods, output).await
        }
        Act::Explain { line, connection } => ledger::explain(&line, &connection, output).await,
        Act::Settle { plan, period, connection } => ledger::settle(plan, period, &connection, output).await,
        Act::Statement { plan, member, period, connection } => {
            ledger::statement(plan, member, period, &connection, output).await
        }
    }
}

/// The text in the language of the output; the other one when it is empty.
fn said(text: Option<&pb::Text>, output: Output) -> String {
    let Some(text) = text else { return String::new() };
    let (first, second) = match output.lang {
        Lang::En => (&text.en, &text.zh),
        Lang::Zh => (&text.zh, &text.en),
    };
    if first.is_empty() { second.clone() } else { first.clone() }
}

/// An amount as people read it.
fn money(minor: i64, currency: &str) -> String {
    oaas_model::Currency::parse(currency).map_or_else(
        |_| minor.to_string(),
        |currency| oaas_model::Money::new(minor.into(), currency).to_string(),
    )
}
