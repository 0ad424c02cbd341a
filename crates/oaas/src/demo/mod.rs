//! `oaas demo`: a day of orders through a gateway of its own, and what a newcomer wants to see of it.

mod caller;
mod carrier;
mod day;
mod report;
mod stage;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use caller::{Client, End, Seen};
use stage::Stage;

use crate::cli::Output;
use crate::config::Config;

/// Value of the redemptions that the abuse tries: the sum that such a case once cost, fen.
const ABUSE_FEN: u64 = 237_000_000;
/// Longest wait for the breaker to close again.
const RECOVERY_MAX: Duration = Duration::from_secs(20);

/// Arguments of `oaas demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Keep serving when the day is over
    #[arg(long)]
    keep: bool,
    /// Orders of the day
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    orders: u32,
}

/// Plays the demo.
///
/// # Errors
/// When the process can't start, or the demo itself is wrong.
pub async fn run(args: DemoArgs, config: Config, output: Output) -> anyhow::Result<ExitCode> {
    // The demo's own words are enough; what goes wrong is still told.
    let mut quiet = config.telemetry.clone();
    quiet.log = "off".to_owned();
    let _exporters = crate::telemetry::start(&quiet)?;
    let stage = Stage::set(config, args.keep).await?;
    let pool = crate::catalog::own_descriptors()?;
    let seen = Arc::new(Seen::default());
    let client = |key: &str| {
        let (address, key, pool, seen) = (stage.address(), key.to_owned(), pool.clone(), Arc::clone(&seen));
        async move { Client::connect(&address, &key, &pool, &seen).await }
    };
    let (shop, supplier, app) = (
        client(&stage.shop.key).await?,
        client(&stage.supplier.key).await?,
        client(&stage.coupon_app.key).await?,
    );

    prepare(&shop).await?;
    let mut alerts = stage.server.gateway.as_ref().map(|gateway| gateway.shared().alerts.subscribe());
    let orders = usize::try_from(args.orders)?;
    let bar = progress(u64::from(args.orders), output.say("a day of orders", "一天的订单"));
    day::play(&shop, &supplier, &stage.carrier, orders, &bar, output).await?;
    recover(&shop, &bar, output).await?;
    bar.finish_and_clear();

    let tries = ABUSE_FEN / day::FACE_VALUE_FEN;
    let bar =
        progress(tries, output.say("a coupon app redeems 2.37 million yuan", "优惠券应用核销 237 万元"));
    let abuse = day::abuse(&shop, &app, tries, &bar).await?;
    bar.finish_and_clear();

    let mut breaker = Vec::new();
    while let Some(Ok(alert)) = alerts.as_mut().map(tokio::sync::broadcast::Receiver::try_recv) {
        breaker.push(alert);
    }
    report::print(&stage, &seen, &breaker, &abuse, output);
    if args.keep {
        report::keeps_serving(&stage, output);
        tokio::signal::ctrl_c().await?;
    }
    stage.server.stop().await?;
    Ok(ExitCode::SUCCESS)
}

async fn prepare(shop: &Client) -> anyhow::Result<()> {
    let prepared = [
        ("oaas.manufacturing.v1.ProductionService/PutMasterData", vec![day::master_data()]),
        ("oaas.cross_border.v1.ClearanceTimeService/RecordClearance", day::clearances()),
    ];
    for (method, requests) in prepared {
        let (end, _) = shop.call(method, requests, 0).await?;
        if end != End::Good {
            anyhow::bail!("{method} did not take the demo's data: {end:?}");
        }
    }
    Ok(())
}

/// Asks the carrier until its breaker lets calls through again.
async fn recover(shop: &Client, bar: &ProgressBar, output: Output) -> anyhow::Result<()> {
    bar.set_message(output.say("waiting for the breaker to close", "等待熔断器恢复").to_owned());
    let quote = || vec![serde_json::json!({ "country": "CN", "weight_grams": 500 })];
    let well = async {
        let mut in_a_row = 0;
        while in_a_row < 100 {
            let (end, _) = shop.call("oaas.demo.v1.CarrierService/QuoteFreight", quote(), in_a_row).await?;
            if end == End::Good {
                in_a_row += 1;
            } else {
                in_a_row = 0;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        anyhow::Ok(())
    };
    // Out of time is for the report to show, not an error.
    tokio::time::timeout(RECOVERY_MAX, well).await.unwrap_or(Ok(()))
}

fn progress(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what.to_owned());
    bar
}
