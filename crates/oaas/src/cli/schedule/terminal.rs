//! The Gantt chart in characters: a line for each machine, a letter and a colour for each job.

use std::fmt::Write as _;

use oaas_model::Lang;

use super::chart::{Bar, Chart, colour};

/// Width when the output is no terminal.
const WIDTH_DEFAULT: usize = 100;
/// Widest chart.
const WIDTH_MAX: usize = 240;
/// Most jobs in the legend.
const LEGEND_MAX: usize = 62;
/// Letters of jobs; they come again after the last.
const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Columns of the terminal.
pub fn width() -> usize {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let table = || comfy_table::Table::new().width().map(usize::from);
    columns.or_else(table).unwrap_or(WIDTH_DEFAULT).clamp(40, WIDTH_MAX)
}

/// Draws the chart in `width` columns.
pub fn draw(chart: &Chart, lang: Lang, width: usize) -> String {
    let mut text = format!("{}\n", chart.heading(lang));
    let margin = format!("M{}", chart.machines.len().saturating_sub(1)).len();
    let cells = i64::try_from(width.saturating_sub(margin + 3)).unwrap_or(40).min(chart.end).max(1);
    for (m, bars) in chart.machines.iter().enumerate() {
        let _ = write!(text, "{:>margin$} │", format!("M{m}"));
        for cell in 0..cells {
            // The moment in the middle of the cell, doubled so that it is whole.
            let moment = (2 * cell + 1) * chart.end / cells;
            text.push_str(&shown(bars, moment));
        }
        text.push_str("│\n");
    }
    axis(&mut text, chart, margin, cells);
    for (j, job) in chart.jobs.iter().take(LEGEND_MAX).enumerate() {
        let late = match (job.late(), lang) {
            (0, _) => String::new(),
            (late, Lang::En) => format!(" \u{1b}[31m{late} late\u{1b}[0m"),
            (late, Lang::Zh) => format!(" \u{1b}[31m迟 {late}\u{1b}[0m"),
        };
        let _ = write!(text, "{} {}{late}  ", painted(j, false), printable(&job.name));
    }
    let note = match lang {
        Lang::En => "\nunderlined: critical path; ~ setup; · idle\n",
        Lang::Zh => "\n下划线：关键路径；~ 换型；· 空闲\n",
    };
    text.push_str(note);
    text
}

/// What a machine does at a moment, given in halves of a unit of time.
fn shown(bars: &[Bar], moment: i64) -> String {
    let next = bars.partition_point(|bar| 2 * bar.end <= moment);
    match bars.get(next) {
        Some(bar) if 2 * bar.start <= moment => painted(bar.job, bar.critical),
        Some(bar) if 2 * (bar.start - bar.setup) <= moment => "~".to_owned(),
        _ => "·".to_owned(),
    }
}

/// A job's letter on its colour.
fn painted(job: usize, critical: bool) -> String {
    let (r, g, b) = colour(job);
    let letter = LETTERS.get(job % LETTERS.len()).map_or('?', |letter| char::from(*letter));
    let line = if critical { "1;4;" } else { "" };
    format!("\u{1b}[{line}38;5;16;48;2;{r};{g};{b}m{letter}\u{1b}[0m")
}

fn axis(text: &mut String, chart: &Chart, margin: usize, cells: i64) {
    let tick = chart.tick((cells / 12).max(1));
    let mut line = " ".repeat(margin + 2);
    let (mut time, mut column) = (0, 0);
    while time <= chart.end {
        let wanted = time * cells / chart.end;
        while column < wanted {
            line.push(' ');
            column += 1;
        }
        let mark = time.to_string();
        column += i64::try_from(mark.len()).unwrap_or_default();
        line.push_str(&mark);
        time += tick;
    }
    let _ = writeln!(text, "{line}");
}

/// A name without what would move the cursor.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}
