//! `oaas import`: records of the past, sent through the gateway like any caller's.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use oaas_cross_border::clearance_time::{Record, scms};
use oaas_model::Lang;
use oaas_proto::oaas::cross_border::v1 as wire;
use wire::clearance_time_service_client::ClearanceTimeServiceClient;

/// Send records of the past to a capability.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Clearances from a delivery history (CSV in the form of the SCMS delivery history).
    Clearance {
        /// The file.
        csv: PathBuf,
    },
}

/// Sends the file's records as one stream; a second time changes nothing.
///
/// # Errors
/// When the file can't be read, or the platform refuses.
pub async fn run(
    args: ImportArgs,
    output: super::Output,
    connection: super::Connection,
) -> anyhow::Result<()> {
    let What::Clearance { csv } = args.what;
    let import = read(&csv)?;
    let records = import.records();
    let bar = progress(records.len() as u64, output);
    let counted = bar.clone();
    let messages = records.into_iter().map(move |record: Record| {
        counted.inc(1);
        wire::RecordClearanceRequest::from(&record)
    });

    let request = connection.request(tokio_stream::iter(messages))?;
    let channel = connection.channel().await?;
    let answer = ClearanceTimeServiceClient::new(channel).record_clearance(request).await;
    bar.finish_and_clear();
    let done = answer.map_err(|status| super::refused(&status, output))?;
    report(&done.into_inner(), &import.skipped, output);
    Ok(())
}

fn read(csv: &Path) -> anyhow::Result<scms::Import> {
    let name = csv.display().to_string();
    let file = std::fs::File::open(csv).with_context(|| format!("cannot open {name}"))?;
    Ok(scms::read(std::io::BufReader::new(file), &name)?)
}

fn progress(records: u64, output: super::Output) -> ProgressBar {
    if output.json {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta}");
    ProgressBar::new(records).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn report(done: &wire::RecordClearanceResponse, skipped: &scms::Skipped, output: super::Output) {
    let left_out = skipped.from_stock + skipped.undated + skipped.reversed + skipped.same_day;
    if output.json {
        let line = serde_json::json!({
            "received": done.received, "recorded": done.recorded, "duplicates": done.duplicates,
            "stages_learned": done.stages_learned, "stages_under_way": done.stages_under_way,
            "shipments_skipped": {
                "from_stock": skipped.from_stock, "undated": skipped.undated,
                "reversed": skipped.reversed, "same_day": skipped.same_day,
            },
        });
        anstream::println!("{line}");
        return;
    }
    let wire::RecordClearanceResponse { received, recorded, duplicates, stages_learned, .. } = *done;
    match output.lang {
        Lang::En => anstream::println!(
            "{received} records sent: {recorded} new, {duplicates} known before; {stages_learned} finished \
             stages learned; {left_out} shipments left out ({} from stock, {} undated, {} delivered before \
             they were ordered, {} ordered and delivered on one day)",
            skipped.from_stock,
            skipped.undated,
            skipped.reversed,
            skipped.same_day
        ),
        Lang::Zh => anstream::println!(
            "已发送 {received} 条记录：新增 {recorded}，重复 {duplicates}；学习了 {stages_learned} 个已完成阶段；\
             略过 {left_out} 票（库存发货 {}，无日期 {}，先交付后下单 {}，当日下单当日交付 {}）",
            skipped.from_stock,
            skipped.undated,
            skipped.reversed,
            skipped.same_day
        ),
    }
}
