//! How good the forecasts would have been: a rolling-origin backtest beside two plain baselines.
//!
//! At each origin every method learns only what was known then, forecasts all that begins until the next
//! origin, and is scored when that has ended.

use std::collections::HashMap;
use std::sync::Arc;

use oaas_model::Lang;
use serde::Serialize;
use thiserror::Error;

use super::{Factor, HOUR_MS, Model, Observation, PROBABILITIES, Stage, Traits};

const DAY_MS: i64 = 24 * 3_600_000;
/// Origins a backtest may have: five centuries of half-years.
const ORIGINS_MAX: usize = 1000;
/// Cases below which the lane baseline falls back to the global one.
const LANE_CASES_MIN: usize = 8;
/// Cases from which a lane's own coverage is looked at.
const LANE_SCORED_MIN: usize = 50;
/// A window is scored when the records go on after it for longer than this share of cases takes; of a later
/// one only the fast cases would have ended.
const SETTLED: f64 = 0.9;
/// First origin: after this share of the shipments has begun.
const WARM_UP: f64 = 0.15;

/// A finished case: when it began and ended.
#[derive(Clone, Debug)]
pub struct Case {
    /// Began, Unix milliseconds.
    pub start_ms: i64,
    /// Ended, Unix milliseconds.
    pub end_ms: i64,
    /// The consignment.
    pub traits: Arc<Traits>,
}

impl Case {
    fn observation(&self, stage: Stage) -> Observation {
        Observation {
            stage,
            start_ms: self.start_ms,
            hours: (self.end_ms - self.start_ms) as f64 / HOUR_MS,
            finished: true,
            traits: Arc::clone(&self.traits),
        }
    }
}

/// Why there is nothing to score.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BacktestError {
    /// Too little data.
    #[error("{cases} cases over {days} days leave no window to score; a backtest needs a year or more")]
    TooShort {
        /// Cases given.
        cases: usize,
        /// Days from the first start to the last end.
        days: i64,
    },
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Stage that was scored.
    pub stage: Stage,
    /// Cases scored.
    pub cases: usize,
    /// Mean of the scored times, days.
    pub mean_days: f64,
    /// First and last edge of the windows, Unix milliseconds.
    pub from_ms: i64,
    /// See `from_ms`.
    pub until_ms: i64,
    /// Refits.
    pub origins: usize,
    /// The model first, then the baselines.
    pub scores: Vec<Score>,
}

/// The score of one method; times in days.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// Which method.
    pub method: Method,
    /// Mean pinball loss over the nine quantiles.
    pub pinball_days: f64,
    /// Twice that: the continuous ranked probability score, as nine quantiles see it (Gneiting & Raftery,
    /// J. Am. Stat. Assoc. 102, 2007).
    pub crps_days: f64,
    /// Pinball loss of the median.
    pub p50_days: f64,
    /// Pinball loss of the 0.9 quantile.
    pub p90_days: f64,
    /// Share of cases between the 0.1 and 0.9 quantiles; 0.8 is right.
    pub coverage: f64,
    /// Mean width of that band.
    pub width_days: f64,
    /// Share of cases that took no longer than each of the nine quantiles; the probability is right.
    pub held: [f64; 9],
    /// Mean width of the band about the median that is to hold 80, 60, 40 and 20 % of the cases.
    pub widths_days: [f64; 4],
    /// Lanes with 50 or more cases, and how many of them have a coverage between 0.7 and 0.9.
    pub lanes: (usize, usize),
}

/// A way to forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The capability's model.
    Model,
    /// Quantiles of all finished cases.
    Global,
    /// Quantiles of the lane's finished cases; of all where there are fewer than eight.
    Lane,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::Model, Self::Lane, Self::Global];

    /// Name for people. Example: "global quantiles".
    #[must_use]
    pub fn name(self, lang: Lang) -> &'static str {
        match (self, lang) {
            (Self::Model, Lang::En) => "pooled additive, censored, tracked",
            (Self::Model, Lang::Zh) => "部分池化加性模型（含在途、在线校准）",
            (Self::Global, Lang::En) => "global quantiles",
            (Self::Global, Lang::Zh) => "总体分位数",
            (Self::Lane, Lang::En) => "lane quantiles",
            (Self::Lane, Lang::Zh) => "线路分位数",
        }
    }
}

/// Scores the methods on `cases`, with an origin every `months` months from the turn of a year.
///
/// # Errors
/// When no window can be scored.
pub fn run(stage: Stage, cases: &[Case], months: u8) -> Result<Report, BacktestError> {
    let origins = origins(cases, months);
    let &[from_ms, .., until_ms] = origins.as_slice() else {
        let first = cases.iter().map(|c| c.start_ms).min().unwrap_or(0);
        let last = cases.iter().map(|c| c.end_ms).max().unwrap_or(0);
        return Err(BacktestError::TooShort { cases: cases.len(), days: (last - first) / DAY_MS });
    };
    let mut tallies = Method::ALL.map(|method| (method, Tally::default()));
    for window in origins.windows(2) {
        let &[origin, next] = window else { continue };
        let known = known_at(stage, cases, origin);
        let mut model = Model::fit(stage, &known, origin);
        let plain = Baselines::new(&known);
        let mut ends: Vec<&Case> = cases.iter().filter(|c| (origin..next).contains(&c.end_ms)).collect();
        ends.sort_by_key(|case| case.end_ms);
        let mut ends = ends.into_iter().peekable();
        let mut begun: Vec<&Case> = cases.iter().filter(|c| (origin..next).contains(&c.start_ms)).collect();
        begun.sort_by_key(|case| case.start_ms);
        for case in begun {
            while let Some(end) = ends.next_if(|end| end.end_ms < case.start_ms) {
                model.track(&end.observation(stage), end.end_ms);
            }
            model.advance(case.start_ms);
            let hours = (case.end_ms - case.start_ms) as f64 / HOUR_MS;
            for (method, tally) in &mut tallies {
                let quantiles = match method {
                    Method::Model => {
                        model.forecast_from(&case.traits.before_inspection(), origin, case.start_ms).quantiles
                    }
                    Method::Global => plain.global,
                    Method::Lane => plain.lane(&case.traits),
                };
                tally.add(&case.traits, &quantiles, hours);
            }
        }
    }
    let first = &tallies[0].1;
    if first.cases == 0 {
        return Err(BacktestError::TooShort { cases: cases.len(), days: (until_ms - from_ms) / DAY_MS });
    }
    Ok(Report {
        stage,
        cases: first.cases,
        mean_days: first.hours / first.cases as f64 / 24.0,
        from_ms,
        until_ms,
        origins: origins.len() - 1,
        scores: tallies.iter().map(|(method, tally)| tally.score(*method)).collect(),
    })
}

/// What was known of the cases at `origin`: the finished with their time, the others with their age.
#[must_use]
pub fn known_at(stage: Stage, cases: &[Case], origin: i64) -> Vec<Observation> {
    let begun = cases.iter().filter(|case| case.start_ms < origin);
    begun
        .map(|case| Observation {
            stage,
            start_ms: case.start_ms,
            hours: (case.end_ms.min(origin) - case.start_ms) as f64 / HOUR_MS,
            finished: case.end_ms < origin,
            traits: match &case.traits {
                // Nor was it known then that it would be inspected.
                traits if case.end_ms >= origin => Arc::new(traits.before_inspection().into_owned()),
                traits => Arc::clone(traits),
            },
        })
        .collect()
}

fn origins(cases: &[Case], months: u8) -> Vec<i64> {
    let warm = at_share(cases.iter().map(|case| case.start_ms), WARM_UP);
    let settle = at_share(cases.iter().map(|case| case.end_ms - case.start_ms), SETTLED);
    let last = cases.iter().map(|case| case.end_ms).max();
    let (Some(warm), Some(settle), Some(last)) = (warm, settle, last) else { return Vec::new() };
    let first_year = jiff::Timestamp::from_millisecond(warm)
        .map_or(1970, |at| at.to_zoned(jiff::tz::TimeZone::UTC).year());
    let months = i64::from(months.clamp(1, 12));
    (0..ORIGINS_MAX as i64)
        .map_while(|i| month_start(i64::from(first_year) * 12 + i * months))
        .skip_while(|&origin| origin < warm)
        .take_while(|&origin| origin <= last - settle)
        .collect()
}

/// The value that this share of all lies below.
fn at_share(values: impl Iterator<Item = i64>, share: f64) -> Option<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values.get((values.len() as f64 * share) as usize).copied()
}

/// Midnight UTC before the first day of the month, counted from year 0.
fn month_start(month: i64) -> Option<i64> {
    let year = i16::try_from(month.div_euclid(12)).ok()?;
    let date = jiff::civil::Date::new(year, i8::try_from(month.rem_euclid(12) + 1).ok()?, 1).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

struct Baselines {
    global: [f64; 9],
    lanes: HashMap<String, [f64; 9]>,
}

impl Baselines {
    fn new(known: &[Observation]) -> Self {
        let mut all = Vec::new();
        let mut by_lane: HashMap<String, Vec<f64>> = HashMap::new();
        for observation in known.iter().filter(|o| o.finished) {
            all.push(observation.hours);
            if let Some(lane) = Factor::Lane.level(&observation.traits) {
                by_lane.entry(lane.into_owned()).or_default().push(observation.hours);
            }
        }
        let lanes = by_lane
            .into_iter()
            .filter(|(_, hours)| hours.len() >= LANE_CASES_MIN)
            .map(|(lane, hours)| (lane, empirical(hours)))
            .collect();
        Self { global: empirical(all), lanes }
    }

    fn lane(&self, traits: &Traits) -> [f64; 9] {
        let own = Factor::Lane.level(traits).and_then(|lane| self.lanes.get(lane.as_ref()));
        *own.unwrap_or(&self.global)
    }
}

/// Quantiles by the inverse of the empirical distribution (definition 1 of Hyndman & Fan, 1996).
fn empirical(mut hours: Vec<f64>) -> [f64; 9] {
    hours.sort_unstable_by(f64::total_cmp);
    PROBABILITIES.map(|p| {
        let rank = (p * hours.len() as f64).ceil() as usize;
        hours.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    })
}

#[derive(Default)]
struct Tally {
    cases: usize,
    hours: f64,
    loss: [f64; 9],
    covered: usize,
    held: [usize; 9],
    /// Widths of the bands that hold 80, 60, 40 and 20 %.
    widths: [f64; 4],
    /// Cases and covered cases by lane.
    lanes: HashMap<String, (usize, usize)>,
}

impl Tally {
    fn add(&mut self, traits: &Traits, quantiles: &[f64; 9], hours: f64) {
        for ((loss, p), q) in self.loss.iter_mut().zip(PROBABILITIES).zip(quantiles) {
            *loss += (p * (hours - q)).max((p - 1.0) * (hours - q));
        }
        let [low, .., high] = *quantiles;
        let inside = usize::from((low..=high).contains(&hours));
        self.cases += 1;
        self.hours += hours;
        self.covered += inside;
        for (held, quantile) in self.held.iter_mut().zip(quantiles) {
            *held += usize::from(hours <= *quantile);
        }
        for ((width, low), high) in self.widths.iter_mut().zip(quantiles).zip(quantiles.iter().rev()) {
            *width += high - low;
        }
        if let Some(lane) = Factor::Lane.level(traits) {
            let tally = self.lanes.entry(lane.into_owned()).or_default();
            tally.0 += 1;
            tally.1 += inside;
        }
    }

    fn score(&self, method: Method) -> Score {
        let n = self.cases.max(1) as f64;
        let days = |hours: f64| hours / n / 24.0;
        let [.., p50, _, _, _, p90] = self.loss;
        let pinball = self.loss.iter().sum::<f64>() / self.loss.len() as f64;
        let scored = self.lanes.values().filter(|(cases, _)| *cases >= LANE_SCORED_MIN);
        let good = scored
            .clone()
            .filter(|(cases, covered)| (0.7..=0.9).contains(&(*covered as f64 / *cases as f64)));
        Score {
            method,
            pinball_days: days(pinball),
            crps_days: 2.0 * days(pinball),
            p50_days: days(p50),
            p90_days: days(p90),
            coverage: self.covered as f64 / n,
            width_days: days(self.widths[0]),
            held: self.held.map(|held| held as f64 / n),
            widths_days: self.widths.map(days),
            lanes: (scored.count(), good.count()),
        }
    }
}
