//! `oaas`: parse, configure, run.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use oaas::cli::{self, Output};
use oaas::config::{Config, SettingsArgs};
use oaas::{catalog, demo, telemetry};
use oaas_model::Lang;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Order capabilities as governed services.
#[derive(Debug, Parser)]
#[command(
    name = "oaas",
    version,
    max_term_width = 110,
    after_help = "Every setting of deploy/oaas.yaml is also a variable: drain.wait_ms is OAAS_DRAIN__WAIT_MS.\n\
                  `oaas config --dump` prints those in force."
)]
struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// For programs: JSON, one value a line
    #[arg(long, global = true)]
    json: bool,
    /// Language of texts: en or zh
    #[arg(long, global = true, env = "OAAS_LANG", default_value = "en")]
    lang: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve
    Serve,
    /// Send a day of orders through a gateway of its own, and show what the platform does with it
    Demo(demo::DemoArgs),
    /// Call any method, by reflection
    Call(cli::call::CallArgs),
    /// Check, list, search, show and compare service catalogs
    Catalog(cli::catalog::CatalogArgs),
    /// Make and list applications that may call
    Caller(cli::caller::CallerArgs),
    /// See the circuit breakers, and force one by hand
    Breaker(cli::breaker::BreakerArgs),
    /// Read the call journal
    Audit(cli::audit::AuditArgs),
    /// Say in words why a call ended as it did
    Explain(cli::audit::ExplainArgs),
    /// Is a gateway, and each of its services, serving?
    Health(cli::health::HealthArgs),
    /// Send recorded facts to a capability
    Import {
        #[command(flatten)]
        import: cli::import::ImportArgs,
        #[command(flatten)]
        connection: cli::Connection,
    },
    /// Measure a capability's predictions against recorded facts
    Backtest(cli::backtest::BacktestArgs),
    /// Check, try and put rebate plans; settle periods and explain each fen
    Rebate(cli::rebate::RebateArgs),
    /// Solve job shops, and draw schedules as Gantt charts
    Schedule(cli::schedule::ScheduleArgs),
    /// Add a capability to the code
    Capability(cli::scaffold::ScaffoldArgs),
    /// The settings in force
    Config {
        /// Print them as a file of settings
        #[arg(long)]
        dump: bool,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("oaas: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(args)) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("oaas: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // A provider may have been installed by the code that embeds us; then that one is used.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let output = Output { json: args.json, lang: Lang::preferred(&args.lang) };
    let config = Config::load(&args.settings, std::env::vars())?;
    let sources = catalog::sources(&config);
    match args.command {
        Command::Serve => {
            let exporters = telemetry::start(&config.telemetry)?;
            let served = cli::serve::run(&config, output).await;
            tokio::task::spawn_blocking(|| exporters.shutdown()).await?;
            served
        }
        Command::Demo(demo) => demo::run(demo, config, output).await,
        Command::Call(call) => cli::call::run(call, output).await,
        Command::Catalog(catalog) => cli::catalog::run(catalog, output, &sources),
        Command::Caller(caller) => cli::caller::run(caller, output, &config.callers, &sources),
        Command::Breaker(breaker) => cli::breaker::run(breaker, output).await,
        Command::Audit(audit) => {
            cli::audit::run(audit, output, &config.data)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Explain(explain) => {
            cli::audit::explain(explain, output, &config.data)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Health(health) => cli::health::run(health, output).await,
        Command::Import { import, connection } => {
            cli::import::run(import, output, connection).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Backtest(backtest) => {
            cli::backtest::run(&backtest, output)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Rebate(rebate) => cli::rebate::run(rebate, output).await,
        Command::Schedule(schedule) => {
            cli::schedule::run(schedule, output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Capability(scaffold) => cli::scaffold::run(scaffold, output),
        Command::Config { dump } => {
            if !dump {
                anyhow::bail!("what of the settings? `oaas config --dump` prints those in force");
            }
            match output.json {
                true => anstream::println!("{}", serde_json::to_string(&config)?),
                false => anstream::print!("{}", config.dump()?),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
