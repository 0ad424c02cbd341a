//! `oaas backtest`: how good a capability's answers would have been on records of the past.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use comfy_table::{Cell, CellAlignment, Table};
use oaas_cross_border::clearance_time::backtest::{self, Case, Report};
use oaas_cross_border::clearance_time::{Stage, olist, plot, scms};
use oaas_model::Lang;

/// Score a capability on records of the past.
#[derive(Debug, clap::Args)]
pub struct BacktestArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Clearance time on a delivery history (CSV in the form of the SCMS delivery history, or of the joined
    /// orders of Olist).
    Clearance {
        /// The file.
        csv: PathBuf,
        /// Months between two refits; when left out, 6 for SCMS and 1 for Olist.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=12))]
        months: Option<u8>,
        /// Also draw calibration and sharpness, beside the baselines, into this file (SVG).
        #[arg(long, value_name = "SVG")]
        plot: Option<PathBuf>,
    },
}

/// Runs the backtest and prints its scores.
///
/// # Errors
/// When the file can't be read, or holds too little.
pub fn run(args: &BacktestArgs, output: super::Output) -> anyhow::Result<()> {
    let What::Clearance { csv, months, plot } = &args.what;
    let (cases, usual) = read(csv)?;
    let report = backtest::run(Stage::OrderToDelivery, &cases, months.unwrap_or(usual))?;
    if let Some(path) = plot {
        std::fs::write(path, plot::svg(&report, output.lang))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if output.json {
        anstream::println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report, output.lang);
    }
    Ok(())
}

/// The file's cases, and the months between refits that suit it.
fn read(csv: &Path) -> anyhow::Result<(Vec<Case>, u8)> {
    let name = csv.display().to_string();
    let file = std::fs::File::open(csv).with_context(|| format!("cannot open {name}"))?;
    let mut reader = std::io::BufReader::new(file);
    let head = reader.fill_buf().with_context(|| format!("cannot read {name}"))?;
    let head = String::from_utf8_lossy(head);
    if olist::is_header(head.lines().next().unwrap_or_default()) {
        return Ok((olist::read(reader, &name)?.cases, 1));
    }
    Ok((scms::read(reader, &name)?.cases(), 6))
}

fn print(report: &Report, lang: Lang) {
    let day = |unix_ms| {
        jiff::Timestamp::from_millisecond(unix_ms).map_or(String::new(), |at| at.strftime("%F").to_string())
    };
    let (from, until) = (day(report.from_ms), day(report.until_ms));
    let (cases, mean, origins) = (report.cases, report.mean_days, report.origins);
    match lang {
        Lang::En => anstream::println!(
            "{cases} shipments begun {from} to {until}, mean {mean:.1} days, {origins} refits; losses in days"
        ),
        Lang::Zh => anstream::println!(
            "{cases} 票货物，平均 {mean:.1} 天，开始于 {from} 至 {until}，重新拟合 {origins} 次；损失单位为天"
        ),
    }
    let mut table = Table::new();
    table.set_header(match lang {
        Lang::En => {
            ["method", "CRPS", "pinball", "P50", "P90", "in P10–P90", "width", "lanes ≥ 50 in 70–90 %"]
        }
        Lang::Zh => {
            ["方法", "CRPS", "分位损失", "P50", "P90", "P10–P90 覆盖率", "区间宽度", "≥50 票线路覆盖 70–90 %"]
        }
    });
    for score in &report.scores {
        let (lanes, good) = score.lanes;
        let mut row = vec![Cell::new(score.method.name(lang))];
        let losses = [score.crps_days, score.pinball_days, score.p50_days, score.p90_days];
        row.extend(losses.map(|days| number(format!("{days:.2}"))));
        row.push(number(format!("{:.1} %", 100.0 * score.coverage)));
        row.push(number(format!("{:.1}", score.width_days)));
        row.push(number(format!("{good} / {lanes}")));
        table.add_row(row);
    }
    anstream::println!("{table}");
}

fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
