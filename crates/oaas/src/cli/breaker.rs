//! `oaas breaker`: see the circuit breakers, and force one by hand.

use std::process::ExitCode;

use comfy_table::Table;
use oaas_proto::oaas::gateway::v1::breaker_service_client::BreakerServiceClient;
use oaas_proto::oaas::gateway::v1::{
    Breaker, BreakerMode, BreakerState, ForceBreakerRequest, ListBreakersRequest,
};

use super::{Connection, Output, refused};

/// Arguments of `oaas breaker`.
#[derive(Clone, Debug, clap::Args)]
pub struct BreakerArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Act {
    /// List the breakers, open ones first
    List {
        /// Only those of this service
        #[arg(default_value = "")]
        service: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Force a service's breaker open: every call is refused or answered degraded
    Open(Force),
    /// Force a service's breaker closed: every call goes through
    Close(Force),
    /// Let a service's breaker count and alert, and refuse nothing
    Observe(Force),
    /// Give a service's breaker back to its rule
    Auto(Force),
}

#[derive(Clone, Debug, clap::Args)]
struct Force {
    /// Full name of the service
    service: String,
    /// Why, for the audit record
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

/// Lists or forces.
///
/// # Errors
/// When nobody answers, or the caller is no operator.
pub async fn run(args: BreakerArgs, output: Output) -> anyhow::Result<ExitCode> {
    let breakers = match args.act {
        Act::List { service, connection } => list(service, &connection, output).await?,
        Act::Open(force) => vec![set(force, BreakerMode::ForcedOpen, output).await?],
        Act::Close(force) => vec![set(force, BreakerMode::ForcedClosed, output).await?],
        Act::Observe(force) => vec![set(force, BreakerMode::Observe, output).await?],
        Act::Auto(force) => vec![set(force, BreakerMode::Automatic, output).await?],
    };
    print(&breakers, output);
    Ok(ExitCode::SUCCESS)
}

async fn list(service: String, connection: &Connection, output: Output) -> anyhow::Result<Vec<Breaker>> {
    let mut client = BreakerServiceClient::new(connection.channel().await?);
    let request = connection.request(ListBreakersRequest { service })?;
    let answer = client.list_breakers(request).await.map_err(|status| refused(&status, output))?;
    Ok(answer.into_inner().breakers)
}

async fn set(force: Force, mode: BreakerMode, output: Output) -> anyhow::Result<Breaker> {
    let mut client = BreakerServiceClient::new(force.connection.channel().await?);
    let message = ForceBreakerRequest { service: force.service, mode: mode.into(), reason: force.reason };
    let request = force.connection.request(message)?;
    let answer = client.force_breaker(request).await.map_err(|status| refused(&status, output))?;
    Ok(answer.into_inner().breaker.unwrap_or_default())
}

fn print(breakers: &[Breaker], output: Output) {
    let mut table = Table::new();
    let zh = ["服务", "应用", "状态", "模式", "调用", "错误", "超时", "跳闸次数", "原因"];
    let en = ["service", "application", "state", "mode", "calls", "errors", "timeouts", "trips", "cause"];
    table.set_header(en.iter().zip(zh).map(|(en, zh)| output.say(en, zh)));
    for b in breakers {
        let short = |name: &str, prefix: &str| name.trim_start_matches(prefix).to_ascii_lowercase();
        let state =
            short(BreakerState::try_from(b.state).unwrap_or_default().as_str_name(), "BREAKER_STATE_");
        let mode = short(BreakerMode::try_from(b.mode).unwrap_or_default().as_str_name(), "BREAKER_MODE_");
        if output.json {
            let line = serde_json::json!({
                "service": b.service, "application": b.application, "state": state, "mode": mode,
                "calls": b.calls, "errors": b.errors, "timeouts": b.timeouts, "trips": b.trips,
                "cause": b.cause,
            });
            anstream::println!("{line}");
        }
        let (calls, trips) = (b.calls.to_string(), b.trips.to_string());
        let share = |n: u64| match b.calls {
            0 => n.to_string(),
            calls => format!("{n} ({:.1} %)", n as f64 * 100.0 / calls as f64),
        };
        let (errors, timeouts) = (share(b.errors), share(b.timeouts));
        table.add_row([
            &b.service,
            &b.application,
            &state,
            &mode,
            &calls,
            &errors,
            &timeouts,
            &trips,
            &b.cause,
        ]);
    }
    if !output.json {
        anstream::println!("{table}");
    }
}
