//! A schedule as rows of bars: what both drawings are made from.

use anyhow::bail;
use oaas_model::Lang;
use oaas_proto::oaas::manufacturing::v1 as pb;

/// Most machines of a chart, as of a problem.
const MACHINES_MAX: usize = 200;
/// Latest time of a chart.
const TIME_MAX: i64 = 1_000_000_000;

/// An operation on a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    pub job: usize,
    /// Place within the job, from 0.
    pub operation: usize,
    pub start: i64,
    pub end: i64,
    /// Time before the start in which the machine is set up.
    pub setup: i64,
    pub critical: bool,
}

/// A job in the legend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub due: Option<i64>,
    pub end: i64,
}

impl Row {
    /// How late it is.
    pub fn late(&self) -> i64 {
        self.due.map_or(0, |due| (self.end - due).max(0))
    }
}

/// A schedule by machines.
#[derive(Clone, Debug)]
pub struct Chart {
    /// By machine, in order of time.
    pub machines: Vec<Vec<Bar>>,
    pub jobs: Vec<Row>,
    pub end: i64,
    pub tardy: bool,
    pub value: i64,
    pub bound: i64,
    pub gap: f64,
    pub proved: bool,
}

impl Chart {
    /// Sorts the operations by machine.
    ///
    /// # Errors
    /// When a field of the schedule can't be drawn; it is named.
    pub fn of(schedule: &pb::Schedule) -> anyhow::Result<Self> {
        let count = usize::try_from(schedule.machines).unwrap_or(usize::MAX);
        if !(1..=MACHINES_MAX).contains(&count) {
            bail!("machines: must be 1 to {MACHINES_MAX}, not {}", schedule.machines);
        }
        let mut machines: Vec<Vec<Bar>> = vec![Vec::new(); count];
        let mut jobs = Vec::with_capacity(schedule.jobs.len());
        for (j, job) in schedule.jobs.iter().enumerate() {
            for (o, operation) in job.operations.iter().enumerate() {
                let field = format!("jobs[{j}].operations[{o}]");
                let pb::ScheduledOperation { machine, start, end, setup, critical } = *operation;
                let Some(row) = usize::try_from(machine).ok().and_then(|m| machines.get_mut(m)) else {
                    bail!("{field}.machine: must be below {count}, not {machine}");
                };
                if !(0..=TIME_MAX).contains(&start) || !(start..=TIME_MAX).contains(&end) {
                    bail!("{field}: {start} to {end} is no time from 0 to {TIME_MAX}");
                }
                if !(0..=start).contains(&setup) {
                    bail!("{field}.setup: must be 0 to the start at {start}, not {setup}");
                }
                row.push(Bar { job: j, operation: o, start, end, setup, critical });
            }
            let end = job.operations.iter().map(|operation| operation.end).max().unwrap_or_default();
            jobs.push(Row { name: job.job_id.clone(), due: job.due, end });
        }
        for row in &mut machines {
            row.sort_by_key(|bar| (bar.start, bar.end));
        }
        Ok(Self {
            end: jobs.iter().map(|job| job.end).max().unwrap_or_default().max(1),
            machines,
            jobs,
            tardy: schedule.objective() == pb::ScheduleObjective::WeightedTardiness,
            value: schedule.objective_value,
            bound: schedule.bound.as_ref().map_or(0, |bound| bound.value),
            gap: schedule.gap,
            proved: schedule.proved,
        })
    }

    /// What the schedule is worth, in a line.
    pub fn heading(&self, lang: Lang) -> String {
        let (value, bound, gap) = (self.value, self.bound, 100.0 * self.gap);
        let what = match (self.tardy, lang) {
            (false, Lang::En) => "makespan",
            (true, Lang::En) => "weighted tardiness",
            (false, Lang::Zh) => "完工时间",
            (true, Lang::Zh) => "加权拖期",
        };
        match (self.proved, lang) {
            (true, Lang::En) => format!("{what} {value}: nothing better exists"),
            (true, Lang::Zh) => format!("{what} {value}：已证明最优"),
            (false, Lang::En) => format!("{what} {value}, bound {bound}, gap at most {gap:.1} %"),
            (false, Lang::Zh) => format!("{what} {value}，下界 {bound}，差距至多 {gap:.1} %"),
        }
    }

    /// Distance of the marks on the time axis: 1, 2 or 5 times a power of ten, at most `most` of them.
    pub fn tick(&self, most: i64) -> i64 {
        let mut unit = 1;
        loop {
            for step in [1, 2, 5] {
                if self.end / (step * unit) <= most {
                    return step * unit;
                }
            }
            unit *= 10;
        }
    }
}

/// A colour of its own for each job: hues in steps of the golden angle, in three lightnesses.
pub fn colour(job: usize) -> (u8, u8, u8) {
    let hue = (job as f64 * 137.508) % 360.0 / 60.0;
    let lightness = match job % 3 {
        0 => 0.66,
        1 => 0.76,
        _ => 0.58,
    };
    let chroma = (1.0 - (2.0_f64 * lightness - 1.0).abs()) * 0.62;
    let second = chroma * (1.0 - (hue % 2.0 - 1.0).abs());
    let (r, g, b) = match hue as u8 {
        0 => (chroma, second, 0.0),
        1 => (second, chroma, 0.0),
        2 => (0.0, chroma, second),
        3 => (0.0, second, chroma),
        4 => (second, 0.0, chroma),
        _ => (chroma, 0.0, second),
    };
    let part = |c: f64| ((c + lightness - chroma / 2.0) * 255.0).round().clamp(0.0, 255.0) as u8;
    (part(r), part(g), part(b))
}
