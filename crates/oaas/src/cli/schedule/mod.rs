//! `oaas schedule`: solves a job shop on this machine, and draws schedules as Gantt charts, on the
//! terminal and as SVG.

mod chart;
mod file;
mod svg;
mod terminal;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use oaas_manufacturing::schedule::solve::{Options, THREADS_MAX, solve};
use oaas_manufacturing::schedule::{answer, wire};
use oaas_model::{Clock as _, Lang, SystemClock};
use oaas_proto::oaas::manufacturing::v1 as pb;

use super::Output;
use chart::Chart;

/// Solve job shops and draw schedules.
#[derive(Debug, clap::Args)]
pub struct ScheduleArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Draw a schedule: the answer of SolveSchedule as JSON
    Show {
        /// The file, or - for the standard input
        file: String,
        /// Write the chart as SVG to this file
        #[arg(long)]
        svg: Option<PathBuf>,
    },
    /// Find a schedule on this machine, without a gateway, and draw it
    Solve {
        /// The problem: JSON, or the text form of instances (`jobs machines`, then a line of `machine duration`
        /// pairs for each job); - for the standard input
        file: String,
        /// Time to search
        #[arg(long, default_value_t = 10.0, value_parser = seconds)]
        seconds: f64,
        /// Threads
        #[arg(long, default_value_t = 1, value_parser = threads)]
        threads: usize,
        /// Seed of chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// End after so many moves
        #[arg(long)]
        moves: Option<u64>,
        /// Write the chart as SVG to this file
        #[arg(long)]
        svg: Option<PathBuf>,
    },
}

/// Longest search of the command line, in seconds: a day.
const SECONDS_MAX: f64 = 86_400.0;

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|s: &f64| *s > 0.0 && *s <= SECONDS_MAX);
    seconds.ok_or_else(|| format!("must be above 0 and at most {SECONDS_MAX}"))
}

fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|n| (1..=THREADS_MAX).contains(n));
    threads.ok_or_else(|| format!("must be 1 to {THREADS_MAX}"))
}

/// Solves or draws.
///
/// # Errors
/// When the file can't be read, is no problem or schedule, or the chart can't be written.
pub async fn run(args: ScheduleArgs, output: Output) -> anyhow::Result<()> {
    let (schedule, svg) = match args.what {
        What::Show { file, svg } => (file::schedule(&file)?, svg),
        What::Solve { file, seconds, threads, seed, moves, svg } => {
            let problem = file::problem(&file)?;
            let options = Options { seed, threads, steps: moves, ..Options::default() };
            let time = Duration::from_secs_f64(seconds);
            (tokio::task::spawn_blocking(move || search(&problem, &options, time)).await??, svg)
        }
    };
    let chart = Chart::of(&schedule)?;
    if let Some(path) = &svg {
        let picture = svg::draw(&chart, output.lang);
        std::fs::write(path, picture).with_context(|| format!("can't write {}", path.display()))?;
    }
    if output.json {
        let answer = pb::SolveScheduleResponse { schedule: Some(schedule) };
        anstream::println!("{}", file::json(&answer, "oaas.manufacturing.v1.SolveScheduleResponse")?);
        return Ok(());
    }
    anstream::print!("{}", terminal::draw(&chart, output.lang, terminal::width()));
    if let Some(effort) = &schedule.effort {
        anstream::println!("{}", told(effort, output.lang));
    }
    if let Some(path) = svg {
        anstream::println!("{} {}", output.say("chart:", "图："), path.display());
    }
    Ok(())
}

fn search(problem: &pb::ShopProblem, options: &Options, time: Duration) -> anyhow::Result<pb::Schedule> {
    let (problem, job_ids) = wire::problem(Some(problem))
        .map_err(|wrong| anyhow::anyhow!("{}: {}", wrong.field, wrong.description))?;
    let clock = SystemClock::new();
    let begin = clock.now();
    let until = begin.plus(time);
    let solution = solve(&problem, options, &|| clock.now() >= until)?;
    let took = u64::try_from(clock.now().since(begin).as_millis()).unwrap_or(u64::MAX);
    Ok(answer::schedule(&problem, &job_ids, &solution, took))
}

fn told(effort: &pb::ScheduleEffort, lang: Lang) -> String {
    let pb::ScheduleEffort { rule, rule_value, moves, estimates, paths, found_at_move, time_ms } = effort;
    let seconds = *time_ms as f64 / 1_000.0;
    match lang {
        Lang::En => format!(
            "best dispatch rule {rule}: {rule_value}; {moves} moves of {estimates} estimated, {paths} paths, \
             found after {found_at_move} moves; {seconds:.1} s"
        ),
        Lang::Zh => format!(
            "最好的调度规则 {rule}：{rule_value}；评估 {estimates} 个移动，执行 {moves} 个，路径重连 {paths} 次，\
             第 {found_at_move} 步找到；用时 {seconds:.1} 秒"
        ),
    }
}
