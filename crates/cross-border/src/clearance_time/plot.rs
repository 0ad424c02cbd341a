//! A picture of a backtest: calibration and sharpness of the model beside the baselines, as SVG.
//!
//! A good forecast is as sharp as it can be while calibrated (Gneiting, Balabdaoui & Raftery,
//! "Probabilistic forecasts, calibration and sharpness", J. R. Stat. Soc. B 69, 2007); so both are shown.

use std::fmt::Write as _;

use oaas_model::Lang;

use super::PROBABILITIES;
use super::backtest::{Method, Report, Score};

/// The picture, in points.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 536.0;
/// Side of a panel, and where the two begin.
const PANEL: f64 = 340.0;
const TOP: f64 = 84.0;
const LEFT: [f64; 2] = [72.0, 560.0];
/// Where the legend begins, and the height of an entry: one below the other, for names are long or short
/// by language and nobody here knows how wide the reader's font is.
const LEGEND: f64 = 490.0;
const ENTRY: f64 = 19.0;
/// Share that each band is to hold, in the order of [`Score::widths_days`].
const BANDS: [f64; 4] = [0.8, 0.6, 0.4, 0.2];
/// Steps of an axis of days: the fewest that leave at most six lines.
const DAY_STEPS: [f64; 12] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

struct Words {
    title: &'static str,
    calibration: &'static str,
    nominal: &'static str,
    observed: &'static str,
    sharpness: &'static str,
    band: &'static str,
    width: &'static str,
}

const EN: Words = Words {
    title: "shipments forecast, rolling origin, refits:",
    calibration: "Calibration: on the line is right",
    nominal: "probability that was said",
    observed: "share of shipments that took no longer",
    sharpness: "Sharpness: lower is sharper",
    band: "share that the band is to hold",
    width: "mean width of the band, days",
};
const ZH: Words = Words {
    title: "票货物，滚动起点回测，重新拟合次数：",
    calibration: "校准：落在对角线上为准",
    nominal: "预测概率",
    observed: "实际不超过该时长的比例",
    sharpness: "锐度：越低越窄",
    band: "区间应覆盖的比例",
    width: "区间平均宽度（天）",
};

/// The picture of `report`.
#[must_use]
pub fn svg(report: &Report, lang: Lang) -> String {
    let words = match lang {
        Lang::En => &EN,
        Lang::Zh => &ZH,
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let title = format!("{} {} {}", report.cases, words.title, report.origins);
    text(&mut svg, LEFT[0], 32.0, "start", &format!("<tspan font-size=\"17\">{title}</tspan>"));
    calibration(&mut svg, report, words);
    sharpness(&mut svg, report, words);
    legend(&mut svg, report, lang);
    svg.push_str("</svg>\n");
    svg
}

fn calibration(svg: &mut String, report: &Report, words: &Words) {
    let x = |share: f64| LEFT[0] + PANEL * share;
    let y = |share: f64| TOP + PANEL * (1.0 - share);
    frame(svg, LEFT[0], [words.calibration, words.nominal, words.observed]);
    for tick in [0.0, 0.2, 0.4, 0.6, 0.8, 1.0] {
        grid(svg, LEFT[0], y(tick), &format!("{:.0} %", 100.0 * tick));
        text(svg, x(tick), TOP + PANEL + 18.0, "middle", &format!("{:.0} %", 100.0 * tick));
    }
    line(svg, &[(x(0.0), y(0.0)), (x(1.0), y(1.0))], "#999", "2 4");
    for score in &report.scores {
        let points: Vec<_> = PROBABILITIES.iter().zip(score.held).map(|(p, held)| (x(*p), y(held))).collect();
        curve(svg, score.method, &points);
    }
}

fn sharpness(svg: &mut String, report: &Report, words: &Words) {
    let widest = report.scores.iter().flat_map(|score| score.widths_days).fold(0.0, f64::max);
    let step = DAY_STEPS.into_iter().find(|step| widest <= 6.0 * step).unwrap_or(widest / 5.0).max(1e-9);
    let top = (widest / step).ceil().max(1.0);
    let x = |share: f64| LEFT[1] + PANEL * share;
    let y = |days: f64| TOP + PANEL * (1.0 - days / (top * step));
    frame(svg, LEFT[1], [words.sharpness, words.band, words.width]);
    for i in 0..=(top as usize) {
        let days = i as f64 * step;
        grid(svg, LEFT[1], y(days), &days.to_string());
    }
    for band in BANDS {
        text(svg, x(band), TOP + PANEL + 18.0, "middle", &format!("{:.0} %", 100.0 * band));
    }
    for score in &report.scores {
        let points: Vec<_> = BANDS.iter().zip(score.widths_days).map(|(p, days)| (x(*p), y(days))).collect();
        curve(svg, score.method, &points);
    }
}

fn legend(svg: &mut String, report: &Report, lang: Lang) {
    let x = LEFT[0];
    let mut y = LEGEND;
    for score in &report.scores {
        curve(svg, score.method, &[(x, y - 4.0), (x + 26.0, y - 4.0)]);
        text(svg, x + 34.0, y, "start", &entry(score, lang));
        y += ENTRY;
    }
}

fn entry(score: &Score, lang: Lang) -> String {
    format!("{}, CRPS {:.2}", score.method.name(lang), score.crps_days)
}

/// Colours that the colour-blind tell apart (Okabe & Ito 2008), and a dash and a mark for print.
fn style(method: Method) -> (&'static str, &'static str) {
    match method {
        Method::Model => ("#0072b2", ""),
        Method::Lane => ("#d55e00", "7 3"),
        Method::Global => ("#555555", "3 3"),
    }
}

fn curve(svg: &mut String, method: Method, points: &[(f64, f64)]) {
    let (colour, dash) = style(method);
    line(svg, points, colour, dash);
    for (x, y) in points {
        let _ = match method {
            Method::Model => writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>"),
            Method::Lane => writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\" fill=\"{colour}\"/>",
                x - 3.5,
                y - 3.5
            ),
            Method::Global => {
                writeln!(svg, "<path d=\"M{x:.1} {:.1}l4.5 8h-9z\" fill=\"{colour}\"/>", y - 5.0)
            }
        };
    }
}

fn line(svg: &mut String, points: &[(f64, f64)], colour: &str, dash: &str) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
        points.join(" ")
    );
}

/// A panel: its title, the name of its axis across and of that upwards.
fn frame(svg: &mut String, left: f64, [title, across, upwards]: [&str; 3]) {
    text(svg, left, TOP - 16.0, "start", &format!("<tspan font-weight=\"bold\">{title}</tspan>"));
    text(svg, left + PANEL / 2.0, TOP + PANEL + 38.0, "middle", across);
    let (x, y) = (left - 50.0, TOP + PANEL / 2.0);
    let _ = writeln!(
        svg,
        "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\">{upwards}</text>"
    );
}

fn grid(svg: &mut String, left: f64, y: f64, label: &str) {
    let right = left + PANEL;
    let _ = writeln!(
        svg,
        "<line x1=\"{left:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>"
    );
    text(svg, left - 8.0, y + 4.0, "end", label);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}
