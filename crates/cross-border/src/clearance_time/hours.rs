//! Office hours as somebody said them, and from when on that was known. What is said of an office goes before
//! what was learned of it, until it is withdrawn.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use thiserror::Error;

use super::calendar::Calendar;
use super::history::Fnv;
use super::working_days::WorkingDays;
use crate::Country;

/// Statements on hours that are kept, of all offices; with a calendar of some 0.4 MB each when it is used.
pub const STATEMENTS_MAX: usize = 400;
/// Days that differ in one statement: some twenty years of public holidays.
pub const DAYS_MAX: usize = 500;
/// Minutes of a day.
const DAY: u16 = 1_440;
/// Minutes that an office must work in a week, so that its time passes at all.
const WEEK_MIN: u32 = 60;

/// A span of a day, minutes from midnight: from, and up to.
pub type Span = (u16, u16);

/// When an office works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    country: Country,
    zone: String,
    /// Monday first.
    week: [Vec<Span>; 7],
    days: BTreeMap<Date, Vec<Span>>,
    holidays_worked: bool,
}

/// What is said of an office before it is checked.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// IANA name of its time zone; empty for its country's.
    pub zone: String,
    /// Weekdays (1 is Monday) with their spans.
    pub week: Vec<(u32, u32, u32)>,
    /// Dates that differ (example: "2026-02-14") with their spans; none is closed.
    pub days: Vec<(String, Vec<(u32, u32)>)>,
    /// Public holidays and make-up days of the country are nothing special.
    pub holidays_worked: bool,
}

/// What is wrong with hours: the field and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field} {what}")]
pub struct HoursError {
    /// Example: "week[2]".
    pub field: String,
    /// Example: "is not a span of a day".
    pub what: String,
}

impl Hours {
    /// Checks what was said.
    ///
    /// # Errors
    /// When the time zone, a span or a date is none, spans overlap, a date comes twice, or the office works less
    /// than an hour a week.
    pub fn new(country: Country, said: &Said) -> Result<Self, HoursError> {
        let wrong = |field: String, what: String| HoursError { field, what };
        let zone = match said.zone.as_str() {
            "" => WorkingDays::of(country).map(|days| days.zone.as_str()).unwrap_or_default(),
            zone => zone,
        };
        if zone.is_empty() {
            return Err(wrong("time_zone".into(), format!("is needed: none is known of {country}")));
        }
        if TimeZone::get(zone).is_err() {
            return Err(wrong("time_zone".into(), format!("must be an IANA time zone, is {zone:?}")));
        }
        let mut week: [Vec<Span>; 7] = Default::default();
        for (at, (weekday, from, until)) in said.week.iter().enumerate() {
            let field = || format!("week[{at}]");
            let day = usize::try_from(weekday.wrapping_sub(1)).ok().and_then(|day| week.get_mut(day));
            let day = day.ok_or_else(|| wrong(field(), format!("weekday must be 1 to 7, is {weekday}")))?;
            add(day, *from, *until).map_err(|what| wrong(field(), what))?;
        }
        let minutes: u32 = week.iter().flatten().map(|(from, until)| u32::from(until - from)).sum();
        if minutes < WEEK_MIN {
            return Err(wrong("week".into(), format!("must have {WEEK_MIN} minutes or more, has {minutes}")));
        }
        if said.days.len() > DAYS_MAX {
            return Err(wrong(
                "days".into(),
                format!("must be {DAYS_MAX} or fewer, are {}", said.days.len()),
            ));
        }
        let mut days = BTreeMap::new();
        for (at, (date, spans)) in said.days.iter().enumerate() {
            let field = || format!("days[{at}]");
            let parsed: Date = date
                .parse()
                .map_err(|_| wrong(field(), format!("date must be like 2026-02-14, is {date:?}")))?;
            let mut own = Vec::new();
            for (from, until) in spans {
                add(&mut own, *from, *until).map_err(|what| wrong(field(), what))?;
            }
            if days.insert(parsed, own).is_some() {
                return Err(wrong(field(), format!("is there already: {date}")));
            }
        }
        Ok(Self { country, zone: zone.to_owned(), week, days, holidays_worked: said.holidays_worked })
    }

    pub(super) fn country(&self) -> Country {
        self.country
    }

    pub(super) fn zone(&self) -> &str {
        &self.zone
    }

    /// Whether public holidays and make-up days are nothing special.
    #[must_use]
    pub fn holidays_worked(&self) -> bool {
        self.holidays_worked
    }

    /// Time zone, week from Monday on, and days that differ.
    #[must_use]
    pub fn parts(&self) -> (&str, &[Vec<Span>; 7], &BTreeMap<Date, Vec<Span>>) {
        (&self.zone, &self.week, &self.days)
    }

    /// The spans in which the office works on `date`: those of the date where it differs; none on a public
    /// holiday; on a weekend day that makes up for one, those of the first weekday that has any.
    pub(super) fn on(&self, date: Date) -> &[Span] {
        if let Some(own) = self.days.get(&date) {
            return own;
        }
        let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
        let usual = self.week.get(weekday).map_or(&[][..], Vec::as_slice);
        let Some(country) = WorkingDays::of(self.country).filter(|_| !self.holidays_worked) else {
            return usual;
        };
        if country.is_holiday(date) {
            return &[];
        }
        if country.is_make_up(date) && usual.is_empty() {
            return self.week.iter().find(|spans| !spans.is_empty()).map_or(&[], Vec::as_slice);
        }
        usual
    }

    /// Differs where the hours do.
    pub(super) fn digest(&self) -> u64 {
        let mut digest = Fnv::new();
        self.eaten_by(&mut digest);
        digest.0
    }

    fn eaten_by(&self, digest: &mut Fnv) {
        digest.eat(self.country.code().as_bytes());
        digest.eat(self.zone.as_bytes());
        digest.eat(&[0xff, u8::from(self.holidays_worked)]);
        let days = self.days.iter().map(|(date, own)| (date.to_string(), own));
        for (date, spans) in self.week.iter().map(|own| (String::new(), own)).chain(days) {
            digest.eat(date.as_bytes());
            for (from, until) in spans {
                digest.eat(&from.to_be_bytes());
                digest.eat(&until.to_be_bytes());
            }
            digest.eat(&[0xff; 4]);
        }
    }
}

/// Adds a span to a day that has others.
fn add(day: &mut Vec<Span>, from: u32, until: u32) -> Result<(), String> {
    let narrow = |minute: u32| u16::try_from(minute).ok().filter(|minute| *minute <= DAY);
    let span = narrow(from).zip(narrow(until)).filter(|(from, until)| from < until);
    let span =
        span.ok_or_else(|| format!("must be a span of a day (0 to {DAY} minutes), is {from} to {until}"))?;
    if day.iter().any(|other| span.0 < other.1 && other.0 < span.1) {
        return Err(format!("overlaps another of the day: {from} to {until}"));
    }
    day.push(span);
    day.sort_unstable();
    Ok(())
}

/// What was said of an office, and from when on it was known.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Country of the office.
    pub country: Country,
    /// The office, as consignments name it; empty for those that name none.
    pub office: String,
    /// Known from this moment on, Unix milliseconds.
    pub known_at_ms: i64,
    /// Its hours; `None` when what was said before is withdrawn.
    pub hours: Option<Hours>,
    calendar: OnceLock<Option<Arc<Calendar>>>,
}

impl Statement {
    /// Says hours of an office, or withdraws them.
    #[must_use]
    pub fn new(country: Country, office: &str, known_at_ms: i64, hours: Option<Hours>) -> Self {
        Self { country, office: office.to_owned(), known_at_ms, hours, calendar: OnceLock::new() }
    }

    fn calendar(&self) -> Option<Arc<Calendar>> {
        let hours = self.hours.as_ref()?;
        self.calendar.get_or_init(|| Calendar::of_hours(hours).map(Arc::new)).clone()
    }

    fn digest(&self) -> u64 {
        let mut digest = Fnv::new();
        digest.eat(self.country.code().as_bytes());
        digest.eat(self.office.as_bytes());
        digest.eat(&[0xff]);
        digest.eat(&self.known_at_ms.to_be_bytes());
        if let Some(hours) = &self.hours {
            hours.eaten_by(&mut digest);
        }
        digest.0
    }
}

/// All that was said of offices, in the order in which it was said.
#[derive(Clone, Debug, Default)]
pub struct Book {
    by_office: HashMap<Box<str>, Vec<Arc<Statement>>>,
    statements: usize,
}

impl Book {
    /// Writes a statement down. Of two that were known at one moment the later counts.
    ///
    /// # Errors
    /// When the book is full.
    pub fn add(&mut self, statement: Statement) -> Result<(), BookFull> {
        if self.statements >= STATEMENTS_MAX {
            return Err(BookFull);
        }
        self.statements += 1;
        let key = key(statement.country, &statement.office).into_owned().into_boxed_str();
        let own = self.by_office.entry(key).or_default();
        let place = own.partition_point(|other| other.known_at_ms <= statement.known_at_ms);
        own.insert(place, Arc::new(statement));
        Ok(())
    }

    /// Whether no more can be said.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.statements >= STATEMENTS_MAX
    }

    /// What held of an office at `as_of_ms`.
    #[must_use]
    pub fn of(&self, country: Country, office: &str, as_of_ms: i64) -> Option<&Statement> {
        last(self.by_office.get(key(country, office).as_ref())?, as_of_ms)
    }

    /// What held of all offices at `as_of_ms`, those that were withdrawn left out, by country and office.
    #[must_use]
    pub fn all(&self, as_of_ms: i64) -> Vec<&Statement> {
        let mut all: Vec<&Statement> = self
            .by_office
            .values()
            .filter_map(|own| last(own, as_of_ms))
            .filter(|s| s.hours.is_some())
            .collect();
        all.sort_by_key(|statement| (statement.country.code(), statement.office.as_str()));
        all
    }

    /// The calendars that held at `as_of_ms`.
    #[must_use]
    pub fn calendars(&self, as_of_ms: i64) -> Configured {
        let held = self.by_office.iter();
        let held = held.filter_map(|(key, own)| Some((key.clone(), last(own, as_of_ms)?.calendar()?)));
        Configured(held.collect())
    }

    /// An order-free digest of all that was known at `as_of_ms`; 0 of nothing.
    #[must_use]
    pub fn digest(&self, as_of_ms: i64) -> u64 {
        let known = self.by_office.values().flatten().filter(|statement| statement.known_at_ms <= as_of_ms);
        known.fold(0, |digest, statement| digest ^ statement.digest())
    }
}

/// No more can be said of offices.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{STATEMENTS_MAX} statements on office hours are kept, and there are so many")]
pub struct BookFull;

/// Calendars of offices whose hours were said.
#[derive(Clone, Debug, Default)]
pub struct Configured(pub(super) HashMap<Box<str>, Arc<Calendar>>);

fn last(own: &[Arc<Statement>], as_of_ms: i64) -> Option<&Statement> {
    let known = own.partition_point(|statement| statement.known_at_ms <= as_of_ms);
    known.checked_sub(1).and_then(|at| own.get(at)).map(Arc::as_ref)
}

/// Name of an office within its country.
pub(super) fn key(country: Country, office: &str) -> std::borrow::Cow<'_, str> {
    if office.starts_with(country.code()) { office.into() } else { format!("{country} {office}").into() }
}
