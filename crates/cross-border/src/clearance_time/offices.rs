//! In which time an office works, learned from when its stages ended: round the clock, on working days, or
//! in office hours. The model reckons in that time, blown up to the length of the whole (an hour of an office
//! that works a third of the time counts three), so that offices and published figures stay comparable.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::calendar::{Calendar, Opening};
use super::hours::{self, Configured};
use super::model::weight_of_age;
use super::{HOUR_MS, Observation, Stage, Traits};
use crate::Country;

/// Hours, and days, in which stages ended, below which an office is taken to work round the clock.
const HOURS_MIN: usize = 20;
const DAYS_MIN: usize = 10;
/// Share of the ends that an office's hours hold, where they are its hours.
const INSIDE: f64 = 0.95;
/// By how much hours must explain the ends better than the whole of the time: odds of 100.
const EVIDENCE_MIN: f64 = 4.6;

/// The time in which a stage passes at an office; round the clock without a calendar.
#[derive(Clone, Debug, Default)]
pub(super) struct OfficeTime(Option<Arc<Calendar>>);

impl OfficeTime {
    /// Hours between two moments.
    pub(super) fn hours(&self, from: i64, until: i64) -> f64 {
        match &self.0 {
            Some(calendar) => calendar.worked(from, until) as f64 / calendar.share() / HOUR_MS,
            None => (until - from) as f64 / HOUR_MS,
        }
    }

    /// The moment at which so many hours from `from` on are over.
    pub(super) fn after(&self, from: i64, hours: f64) -> i64 {
        match &self.0 {
            Some(calendar) => calendar.after(from, (hours * calendar.share() * HOUR_MS) as i64),
            None => from.saturating_add((hours * HOUR_MS) as i64),
        }
    }

    /// The same as hours on the wall's clock.
    pub(super) fn elapsed(&self, from: i64, hours: f64) -> f64 {
        match self.0 {
            // Moments are whole milliseconds.
            Some(_) => ((self.after(from, hours) - from) as f64 / HOUR_MS).max(self.worked(hours)),
            None => hours,
        }
    }

    /// Hours that the office really works in them.
    pub(super) fn worked(&self, hours: f64) -> f64 {
        self.0.as_ref().map_or(hours, |calendar| hours * calendar.share())
    }

    /// Whether hours pass alike in both.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => a.same_as(b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// How the office works; `None` for round the clock.
    pub(super) fn opening(&self) -> Option<Opening> {
        self.0.as_ref().map(|calendar| calendar.opening())
    }
}

/// The time of each office that does not work round the clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Offices(HashMap<Box<str>, Arc<Calendar>>);

/// When stages ended at an office, against each opening: log of how much better it explains them. An hour
/// counts once: what is released in one go is no more evidence than one release.
#[derive(Clone, Debug, Default)]
struct Ends {
    hours: HashSet<i64>,
    days: HashSet<i64>,
    evidence: [f64; 2],
}

impl Offices {
    /// Learns them from the finished among `observations`, which were known at `as_of_ms`.
    pub(super) fn learn(stage: Stage, observations: &[Observation], as_of_ms: i64) -> Self {
        if !Stage::CUSTOMS.contains(&stage) {
            return Self::default();
        }
        let mut calendars: HashMap<Country, Option<[Arc<Calendar>; 2]>> = HashMap::new();
        let mut offices: HashMap<Cow<'_, str>, (Country, Ends)> = HashMap::new();
        let finished = observations.iter().filter(|o| o.stage == stage && o.finished);
        for observation in finished {
            let country = observation.traits.destination;
            let known = calendars.entry(country).or_insert_with(|| {
                let [days, hours] =
                    Opening::LEARNED.map(|opening| Calendar::new(country, opening).map(Arc::new));
                Some([days?, hours?])
            });
            let Some(known) = known else { continue };
            let (_, ends) = offices.entry(office(&observation.traits)).or_insert((country, Ends::default()));
            let end = observation.start_ms.saturating_add((observation.hours * HOUR_MS).round() as i64);
            ends.add(known, end, weight_of_age((as_of_ms - end) as f64));
        }
        let chosen = offices.into_iter().filter_map(|(office, (country, ends))| {
            let best = ends.best()?;
            let calendar = calendars.get(&country)?.as_ref()?.get(best)?;
            Some((office.into(), Arc::clone(calendar)))
        });
        Self(chosen.collect())
    }

    /// The same, where what was said of an office goes before what was learned of it.
    pub(super) fn told(mut self, stage: Stage, configured: &Configured) -> Self {
        if Stage::CUSTOMS.contains(&stage) {
            self.0
                .extend(configured.0.iter().map(|(office, calendar)| (office.clone(), Arc::clone(calendar))));
        }
        self
    }

    /// The time at the consignment's office.
    pub(super) fn time(&self, traits: &Traits) -> OfficeTime {
        if self.0.is_empty() {
            return OfficeTime::default();
        }
        OfficeTime(self.0.get(office(traits).as_ref()).cloned())
    }
}

impl Ends {
    fn add(&mut self, calendars: &[Arc<Calendar>; 2], end: i64, weight: f64) {
        let hour = end.div_euclid(HOUR_MS as i64);
        if !self.hours.insert(hour) {
            return;
        }
        self.days.insert(hour.div_euclid(24));
        for (evidence, calendar) in self.evidence.iter_mut().zip(calendars) {
            let share = calendar.share();
            let odds = if calendar.is_open(end) { INSIDE / share } else { (1.0 - INSIDE) / (1.0 - share) };
            *evidence += weight * odds.ln();
        }
    }

    /// Number of the opening that explains the ends best, if it does so well enough.
    fn best(&self) -> Option<usize> {
        let best = self.evidence.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let enough = self.hours.len() >= HOURS_MIN && self.days.len() >= DAYS_MIN;
        let (best, evidence) = best.filter(|_| enough)?;
        (*evidence >= EVIDENCE_MIN).then_some(best)
    }
}

/// The office, within its country; all of the country's where it is not known.
fn office(traits: &Traits) -> Cow<'_, str> {
    hours::key(traits.destination, &traits.office)
}
