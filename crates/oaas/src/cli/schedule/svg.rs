//! The Gantt chart as SVG: a row for each machine, a colour for each job, the critical path outlined,
//! setups hatched, late jobs in red.

use std::fmt::Write as _;

use oaas_model::Lang;

use super::chart::{Bar, Chart, colour};

/// Width of the time axis, in pixels.
const PLOT: f64 = 1_120.0;
/// Left of it: the machines' names.
const LEFT: f64 = 64.0;
/// Above it: heading and axis.
const TOP: f64 = 84.0;
/// Between the chart and its edge.
const EDGE: f64 = 28.0;
/// Width of a column of the legend.
const COLUMN: f64 = 160.0;
/// Most jobs in the legend; of more the chart's tooltips tell.
const LEGEND_MAX: usize = 70;
/// Mean width of a letter of the labels.
const LETTER: f64 = 6.4;

const STYLE: &str = "text{font-family:Inter,'Noto Sans','Noto Sans CJK SC',Helvetica,Arial,sans-serif;\
    font-size:11px;fill:#1f2933}.h{font-size:17px;font-weight:600}.n{fill:#616e7c}.m{text-anchor:middle}\
    .e{text-anchor:end}.l{fill:#c81e1e;font-weight:600}";

/// Draws the chart.
pub fn draw(chart: &Chart, lang: Lang) -> String {
    let row = if chart.machines.len() > 24 { 20.0 } else { 30.0 };
    let bottom = TOP + row * chart.machines.len() as f64;
    let columns = (PLOT / COLUMN).floor() as usize;
    let listed = chart.jobs.len().min(LEGEND_MAX);
    let height = bottom + 62.0 + listed.div_ceil(columns) as f64 * 18.0 + EDGE;
    let width = LEFT + PLOT + EDGE;
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n<defs><pattern id=\"setup\" width=\"6\" \
         height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" \
         height=\"6\" fill=\"#f1f3f5\"/><line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke=\"#9aa5b1\" \
         stroke-width=\"2.4\"/></pattern></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text class=\"h\" x=\"{LEFT}\" y=\"34\">{}</text>\n",
        escaped(&chart.heading(lang))
    );
    axis(&mut svg, chart, bottom);
    for (m, bars) in chart.machines.iter().enumerate() {
        let y = TOP + row * m as f64;
        if m % 2 == 1 {
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{PLOT}\" height=\"{row}\" fill=\"#000\" opacity=\".025\"/>"
            );
        }
        let (x, middle) = (LEFT - 10.0, y + row / 2.0 + 4.0);
        let _ = writeln!(svg, "<text class=\"e n\" x=\"{x}\" y=\"{middle}\">M{m}</text>");
        for one in bars.iter().filter(|bar| bar.setup > 0) {
            setup(&mut svg, chart, one, y + 3.0, row - 6.0);
        }
        // Outlines of critical bars stand above the bars beside them.
        for critical in [false, true] {
            for one in bars.iter().filter(|bar| bar.critical == critical) {
                bar(&mut svg, chart, one, m, y + 3.0, row - 6.0, lang);
            }
        }
    }
    legend(&mut svg, chart, bottom + 34.0, columns, listed, lang);
    svg.push_str("</svg>\n");
    svg
}

fn at(chart: &Chart, time: i64) -> f64 {
    LEFT + PLOT * time as f64 / chart.end as f64
}

fn axis(svg: &mut String, chart: &Chart, bottom: f64) {
    let (tick, top) = (chart.tick(14), TOP - 6.0);
    let mut time = 0;
    while time <= chart.end {
        let x = at(chart, time);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#e4e7eb\"/>\
             <text class=\"m n\" x=\"{x:.1}\" y=\"{}\">{time}</text>",
            top - 6.0
        );
        time += tick;
    }
    let x = at(chart, chart.end);
    let _ = writeln!(
        svg,
        "<line x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#1f2933\" stroke-width=\"1.5\"/>\
         <text class=\"m\" x=\"{x:.1}\" y=\"{}\" font-weight=\"600\">{}</text>",
        bottom + 4.0,
        bottom + 18.0,
        chart.end
    );
}

fn setup(svg: &mut String, chart: &Chart, bar: &Bar, y: f64, height: f64) {
    let (from, to) = (at(chart, bar.start - bar.setup), at(chart, bar.start));
    let _ = writeln!(
        svg,
        "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"url(#setup)\"/>",
        y + height * 0.2,
        to - from,
        height * 0.6
    );
}

fn bar(svg: &mut String, chart: &Chart, bar: &Bar, machine: usize, y: f64, height: f64, lang: Lang) {
    let (x, end) = (at(chart, bar.start), at(chart, bar.end));
    let width = (end - x).max(0.6);
    let (r, g, b) = colour(bar.job);
    let (stroke, wide) = if bar.critical { ("#1f2933", 1.8) } else { ("#fff", 0.8) };
    let name = chart.jobs.get(bar.job).map_or("", |job| job.name.as_str());
    let step = match lang {
        Lang::En => {
            format!("{name}, step {}, machine {machine}, {} to {}", bar.operation + 1, bar.start, bar.end)
        }
        Lang::Zh => {
            format!("{name}，第 {} 道工序，设备 {machine}，{} 至 {}", bar.operation + 1, bar.start, bar.end)
        }
    };
    let _ = write!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2.5\" \
         fill=\"#{r:02x}{g:02x}{b:02x}\" stroke=\"{stroke}\" stroke-width=\"{wide}\"><title>{}</title></rect>",
        escaped(&step)
    );
    if let Some(label) = label(name, bar.job, width) {
        let _ = write!(
            svg,
            "<text class=\"m\" x=\"{:.1}\" y=\"{:.1}\" pointer-events=\"none\">{}</text>",
            x + width / 2.0,
            y + height / 2.0 + 4.0,
            escaped(&label)
        );
    }
    svg.push('\n');
}

/// The job's name when there is room, else its number, else nothing.
fn label(name: &str, job: usize, width: f64) -> Option<String> {
    let wide = |text: &str| text.chars().map(|c| if c.is_ascii() { LETTER } else { 11.5 }).sum::<f64>() + 6.0;
    [name.to_owned(), job.to_string()].into_iter().find(|text| !text.is_empty() && wide(text) <= width)
}

fn legend(svg: &mut String, chart: &Chart, top: f64, columns: usize, listed: usize, lang: Lang) {
    let (critical, setup) = match lang {
        Lang::En => ("critical path", "setup"),
        Lang::Zh => ("关键路径", "换型"),
    };
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{:.1}\" width=\"18\" height=\"11\" rx=\"2.5\" fill=\"#fff\" stroke=\"#1f2933\" \
         stroke-width=\"1.8\"/><text x=\"{}\" y=\"{top}\">{critical}</text>",
        top - 10.0,
        LEFT + 25.0
    );
    if chart.machines.iter().flatten().any(|bar| bar.setup > 0) {
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{:.1}\" width=\"18\" height=\"11\" fill=\"url(#setup)\"/><text x=\"{}\" y=\"{top}\">{setup}</text>",
            LEFT + COLUMN,
            top - 10.0,
            LEFT + COLUMN + 25.0
        );
    }
    for (j, job) in chart.jobs.iter().take(listed).enumerate() {
        let x = LEFT + COLUMN * (j % columns) as f64;
        let y = top + 26.0 + 18.0 * (j / columns) as f64;
        let (r, g, b) = colour(j);
        let late = match (job.late(), lang) {
            (0, _) => String::new(),
            (late, Lang::En) => format!(" <tspan class=\"l\">{late} late</tspan>"),
            (late, Lang::Zh) => format!(" <tspan class=\"l\">迟 {late}</tspan>"),
        };
        let name: String = job.name.chars().take(16).collect();
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{:.1}\" width=\"11\" height=\"11\" rx=\"2.5\" fill=\"#{r:02x}{g:02x}{b:02x}\"/>\
             <text x=\"{}\" y=\"{y}\">{}{late}</text>",
            y - 10.0,
            x + 17.0,
            escaped(&name)
        );
    }
}

/// Text as it may stand in XML; control characters are left out.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}
