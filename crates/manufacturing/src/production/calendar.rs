//! Working time: weekly shifts and the days that differ, laid out as an axis of working minutes.
//!
//! On that axis nights and holidays have no length, so an operation is one interval and the
//! search for room is the same as on a machine that never stops.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use thiserror::Error;

use super::plant::{DAY, Minute};

/// Most days that one axis covers; the planner's horizon with room to spare.
const DAYS_MAX: i64 = 2_000;

/// A span of a day, in minutes from midnight: `from` up to `to`, 0 to 1440.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hours {
    /// First minute.
    pub from: u16,
    /// Minute after the last.
    pub to: u16,
}

/// Why a calendar is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CalendarError {
    /// An empty or backward span, or one beyond the day.
    #[error("hours {from} to {to} are not a span of a day (0 to 1440 minutes)")]
    Span {
        /// First minute.
        from: u32,
        /// Minute after the last.
        to: u32,
    },
    /// Not a date.
    #[error("{0} is not a date (example: 2026-10-01)")]
    Date(String),
    /// A date with two sets of hours.
    #[error("date {0} is given twice")]
    Twice(String),
    /// Two spans of one day share a minute.
    #[error("hours overlap on {0}")]
    Overlap(String),
}

/// When a work centre works.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    /// Monday first; `None` means around the clock, every day.
    week: Option<[Vec<Hours>; 7]>,
    exceptions: BTreeMap<Date, Vec<Hours>>,
}

impl Calendar {
    /// A calendar that never stops.
    #[must_use]
    pub fn always() -> Self {
        Self { zone: TimeZone::UTC, week: None, exceptions: BTreeMap::new() }
    }

    /// A calendar of `shifts` (ISO weekday, 1 is Monday, with hours) and of days that differ; without
    /// shifts it works around the clock.
    ///
    /// # Errors
    /// When spans are empty, beyond the day, or overlap.
    pub fn new(
        zone: TimeZone,
        shifts: &[(u32, Hours)],
        mut exceptions: BTreeMap<Date, Vec<Hours>>,
    ) -> Result<Self, CalendarError> {
        let mut week: [Vec<Hours>; 7] = Default::default();
        for (weekday, hours) in shifts {
            let day = usize::try_from(weekday.saturating_sub(1)).unwrap_or(usize::MAX);
            if let Some(day) = week.get_mut(day) {
                day.push(*hours);
            }
        }
        for (day, hours) in (1..).zip(&mut week) {
            in_order(hours).map_err(|error| error.unwrap_or_else(|| overlap(format!("weekday {day}"))))?;
        }
        for (date, hours) in &mut exceptions {
            in_order(hours).map_err(|error| error.unwrap_or_else(|| overlap(date.to_string())))?;
        }
        Ok(Self { zone, week: (!shifts.is_empty()).then_some(week), exceptions })
    }

    /// Lays out the working time from `from` up to `until`.
    #[must_use]
    pub fn expand(&self, from: Minute, until: Minute) -> WorkingTime {
        let mut spans: Vec<(Minute, Minute)> = Vec::new();
        let mut add = |start: Minute, end: Minute| {
            let (start, end) = (start.max(from), end.min(until));
            match spans.last_mut() {
                _ if start >= end => {}
                Some(last) if last.1 >= start => last.1 = last.1.max(end),
                _ => spans.push((start, end)),
            }
        };
        if self.week.is_none() && self.exceptions.is_empty() {
            add(from, until);
            return WorkingTime::of(spans);
        }
        let whole = [Hours { from: 0, to: 1440 }];
        let first = Timestamp::from_second(from.saturating_mul(60)).unwrap_or(Timestamp::MIN);
        let mut date = self.zone.to_datetime(first).date();
        for _ in 0..((until - from) / DAY + 2).clamp(0, DAYS_MAX) {
            let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
            let hours: &[Hours] = match (self.exceptions.get(&date), &self.week) {
                (Some(hours), _) => hours,
                (None, Some(week)) => week.get(weekday).map_or(&[], Vec::as_slice),
                (None, None) => &whole,
            };
            for span in hours {
                if let (Some(start), Some(end)) = (self.minute(date, span.from), self.minute(date, span.to)) {
                    add(start, end);
                }
            }
            let Ok(tomorrow) = date.tomorrow() else { break };
            date = tomorrow;
        }
        WorkingTime::of(spans)
    }

    /// The minute at which the wall clock shows `minute` of the day on `date`. In the gap of a
    /// daylight-saving change it is the moment after the gap, in the fold the first of the two.
    fn minute(&self, date: Date, minute: u16) -> Option<Minute> {
        let (date, minute) =
            if i64::from(minute) >= DAY { (date.checked_add(1.day()).ok()?, 0) } else { (date, minute) };
        let hour = i8::try_from(minute / 60).ok()?;
        let time = Time::new(hour, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
        let moment = self.zone.to_timestamp(date.to_datetime(time)).ok()?;
        Some(moment.as_second().div_euclid(60))
    }
}

/// Sorts; `Err(None)` when spans overlap.
fn in_order(hours: &mut [Hours]) -> Result<(), Option<CalendarError>> {
    if let Some(bad) = hours.iter().find(|h| h.from >= h.to || i64::from(h.to) > DAY) {
        return Err(Some(CalendarError::Span { from: bad.from.into(), to: bad.to.into() }));
    }
    hours.sort_unstable();
    if hours.windows(2).any(|pair| matches!(pair, [a, b] if a.to > b.from)) { Err(None) } else { Ok(()) }
}

fn overlap(day: String) -> CalendarError {
    CalendarError::Overlap(day)
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: Minute,
    end: Minute,
    /// Working minutes before `start`.
    before: i64,
}

/// Working time as an axis: minute n of the axis is the n-th working minute.
#[derive(Clone, Debug)]
pub struct WorkingTime {
    spans: Vec<Span>,
    total: i64,
}

impl WorkingTime {
    fn of(spans: Vec<(Minute, Minute)>) -> Self {
        let mut total = 0;
        let spans = spans
            .into_iter()
            .map(|(start, end)| {
                let span = Span { start, end, before: total };
                total += end - start;
                span
            })
            .collect();
        Self { spans, total }
    }

    /// Working minutes on the whole axis.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.total
    }

    /// Working minutes before `minute`.
    #[must_use]
    pub fn worked_before(&self, minute: Minute) -> i64 {
        let at = self.spans.partition_point(|span| span.start <= minute);
        let span = at.checked_sub(1).and_then(|at| self.spans.get(at));
        span.map_or(0, |span| span.before + (minute.min(span.end) - span.start))
    }

    /// When working minute `n` begins; `None` beyond the axis.
    #[must_use]
    pub fn begin_of(&self, n: i64) -> Option<Minute> {
        if n < 0 || n >= self.total {
            return None;
        }
        let at = self.spans.partition_point(|span| span.before <= n);
        let span = self.spans.get(at.checked_sub(1)?)?;
        Some(span.start + (n - span.before))
    }

    /// When `n` working minutes are done, the end of the last of them; `None` beyond the axis.
    #[must_use]
    pub fn end_of(&self, n: i64) -> Option<Minute> {
        self.begin_of(n - 1).map(|minute| minute + 1)
    }
}
