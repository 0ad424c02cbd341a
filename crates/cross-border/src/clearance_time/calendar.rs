//! The working time of an office: between two moments, and from a moment on. In UTC milliseconds, exact to
//! the millisecond, also over changes of the clock.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::hours::{Hours, Span};
use super::working_days::WorkingDays;
use crate::Country;

/// Years in which days are looked up; before and after them working time passes at its mean rate.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2040;

/// How an office works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Opening {
    /// The whole of each working day.
    WorkingDays,
    /// From 8 to 18 o'clock on each working day.
    OfficeHours,
    /// As somebody said.
    Configured,
}

impl Opening {
    /// Both that are learned.
    pub const LEARNED: [Self; 2] = [Self::WorkingDays, Self::OfficeHours];

    /// The span of each working day, where it is the same in all offices.
    fn span(self) -> Option<Span> {
        match self {
            Self::WorkingDays => Some((0, 1_440)),
            Self::OfficeHours => Some((480, 1_080)),
            Self::Configured => None,
        }
    }

    /// Name for programs. Example: "working_days".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkingDays => "working_days",
            Self::OfficeHours => "office_hours",
            Self::Configured => "configured",
        }
    }
}

/// The calendar of an office.
#[derive(Clone)]
pub struct Calendar {
    country: Country,
    opening: Opening,
    /// Of the hours that were said; 0 of learned ones.
    digest: u64,
    /// In their order, without overlap.
    open: Vec<Open>,
    /// Working time in all of them.
    total: i64,
    /// Share of all time that is worked.
    share: f64,
}

#[derive(Clone, Copy)]
struct Open {
    from: i64,
    until: i64,
    /// Working time before it.
    before: i64,
}

impl Calendar {
    /// That of the offices of `country` which work so; `None` when its working days are not known, or when the
    /// hours are each office's own.
    #[must_use]
    pub fn new(country: Country, opening: Opening) -> Option<Self> {
        let (days, span) = (WorkingDays::of(country)?, [opening.span()?]);
        let on = |date: Date| if days.is_worked(date) { &span[..] } else { &[] };
        Self::lay_out(country, opening, 0, &days.zone, on)
    }

    /// That of an office whose hours were said.
    #[must_use]
    pub fn of_hours(hours: &Hours) -> Option<Self> {
        let (country, digest) = (hours.country(), hours.digest());
        Self::lay_out(country, Opening::Configured, digest, hours.zone(), |date| hours.on(date))
    }

    fn lay_out<'a>(
        country: Country,
        opening: Opening,
        digest: u64,
        zone: &str,
        on: impl Fn(Date) -> &'a [Span],
    ) -> Option<Self> {
        let zone = TimeZone::get(zone).ok()?;
        let moment = |date: Date, minute: u16| -> Option<i64> {
            let (date, minute) = if minute >= 1_440 { (date.tomorrow().ok()?, 0) } else { (date, minute) };
            let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
            let at = zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0)).compatible().ok()?;
            Some(at.as_millisecond())
        };
        let mut open: Vec<Open> = Vec::new();
        let mut total = 0;
        let mut date = Date::new(*YEARS.start(), 1, 1).ok()?;
        while date.year() <= *YEARS.end() {
            for (first, last) in on(date) {
                let (Some(from), Some(until)) = (moment(date, *first), moment(date, *last)) else { continue };
                // Where the clock is put back, two spans may lie in one hour.
                let from = open.last().map_or(from, |open| from.max(open.until));
                if from < until {
                    open.push(Open { from, until, before: total });
                    total += until - from;
                }
            }
            date = date.tomorrow().ok()?;
        }
        let span = open.last()?.until - open.first()?.from;
        Some(Self { country, opening, digest, open, total, share: total as f64 / span as f64 })
    }

    /// Whether it is the calendar of such an office of the same country.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        (self.country, self.opening, self.digest) == (other.country, other.opening, other.digest)
    }

    /// How the office works.
    #[must_use]
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Share of all time that is worked. Example: 0.69 for working days.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Whether the office works at `at`.
    #[must_use]
    pub fn is_open(&self, at: i64) -> bool {
        let next = self.open.partition_point(|open| open.from <= at);
        next.checked_sub(1).and_then(|last| self.open.get(last)).is_some_and(|open| at < open.until)
    }

    /// Working milliseconds between two moments; negative when the second is the earlier.
    #[must_use]
    pub fn worked(&self, from: i64, until: i64) -> i64 {
        self.clock(until) - self.clock(from)
    }

    /// The first moment at which `worked` milliseconds from `from` on are over.
    #[must_use]
    pub fn after(&self, from: i64, worked: i64) -> i64 {
        if worked <= 0 {
            return from;
        }
        let clock = self.clock(from).saturating_add(worked);
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else { return from };
        if clock <= 0 {
            return first.from.saturating_add((clock as f64 / self.share) as i64);
        }
        if clock > self.total {
            return last.until.saturating_add(((clock - self.total) as f64 / self.share) as i64);
        }
        let next = self.open.partition_point(|open| open.before < clock);
        let open = next.checked_sub(1).and_then(|at| self.open.get(at)).unwrap_or(first);
        open.from + clock - open.before
    }

    /// Working time from the first opening to `at`.
    fn clock(&self, at: i64) -> i64 {
        let next = self.open.partition_point(|open| open.from <= at);
        let Some(open) = next.checked_sub(1).and_then(|last| self.open.get(last)) else {
            let first = self.open.first().map_or(at, |open| open.from);
            return (at.saturating_sub(first) as f64 * self.share) as i64;
        };
        if next == self.open.len() && at > open.until {
            return self.total + ((at - open.until) as f64 * self.share) as i64;
        }
        open.before + at.min(open.until) - open.from
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Calendar({}, {:?}, {:.3})", self.country, self.opening, self.share)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;

    fn calendar(country: &str, opening: Opening) -> Calendar {
        Calendar::new(Country::parse(country).unwrap(), opening).unwrap()
    }

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    /// Declared on Friday 2026-02-13 at 16:00 in Shanghai; the Saturday after is worked, and then comes the
    /// spring festival until Monday the 23rd.
    #[test]
    fn a_make_up_day_counts_and_a_festival_does_not() {
        let office = calendar("CN", Opening::OfficeHours);
        let declared = at("2026-02-13T16:00:00+08:00");
        assert_eq!(office.after(declared, 2 * HOUR), at("2026-02-13T18:00:00+08:00"));
        assert_eq!(office.after(declared, 3 * HOUR), at("2026-02-14T09:00:00+08:00"));
        assert_eq!(office.after(declared, 13 * HOUR), at("2026-02-24T09:00:00+08:00"));
        assert_eq!(office.worked(declared, at("2026-02-24T09:00:00+08:00")), 13 * HOUR);
        assert_eq!(office.worked(at("2026-02-24T09:00:00+08:00"), declared), -13 * HOUR);
    }

    #[test]
    fn the_day_on_which_the_clock_goes_forward_is_an_hour_short() {
        let germany = calendar("DE", Opening::WorkingDays);
        let week = |from: &str, until: &str| germany.worked(at(from), at(until)) / HOUR;
        assert_eq!(week("2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"), 5 * 24);
        // 2026-04-03 and 04-06 are Good Friday and Easter Monday.
        assert_eq!(week("2026-03-30T00:00:00+02:00", "2026-04-07T00:00:00+02:00"), 4 * 24);
        let office = calendar("DE", Opening::OfficeHours);
        assert!(
            office.is_open(at("2026-03-27T08:00:00+01:00"))
                && office.is_open(at("2026-03-30T08:00:00+02:00"))
        );
        assert!(
            !office.is_open(at("2026-03-30T07:59:59+02:00"))
                && !office.is_open(at("2026-03-30T18:00:00+02:00"))
        );
    }

    /// Minute by minute, by the definition: a minute counts when its local time is in a working day's hours.
    fn by_minutes(country: &str, opening: Opening, from: i64, until: i64) -> i64 {
        let days = WorkingDays::of(Country::parse(country).unwrap()).unwrap();
        let zone = TimeZone::get(&days.zone).unwrap();
        let (first, last) = opening.span().unwrap();
        (from / MINUTE..until / MINUTE)
            .filter(|minute| {
                let local =
                    jiff::Timestamp::from_millisecond(minute * MINUTE).unwrap().to_zoned(zone.clone());
                let minute =
                    u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
                days.is_worked(local.date()) && (first..last).contains(&minute)
            })
            .count() as i64
            * MINUTE
    }

    fn any_calendar() -> impl Strategy<Value = (&'static str, Opening)> {
        (
            prop::sample::select(vec!["CN", "DE", "AE", "US", "BR", "SA"]),
            prop::sample::select(Opening::LEARNED.to_vec()),
        )
    }

    /// A minute of the years 2015 to 2028.
    fn any_minute() -> impl Strategy<Value = i64> {
        (23_668_000i64..31_000_000).prop_map(|minute| minute * MINUTE)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_counts_what_minutes_count((country, opening) in any_calendar(), from in any_minute(), length in 0..20_000i64) {
            let until = from + length * MINUTE;
            let worked = calendar(country, opening).worked(from, until);
            prop_assert_eq!(worked, by_minutes(country, opening, from, until));
        }

        #[test]
        fn it_can_be_inverted(
            (country, opening) in any_calendar(),
            from in -4_000_000_000_000i64..6_000_000_000_000,
            worked in 1..100_000_000_000i64,
        ) {
            let calendar = calendar(country, opening);
            let until = calendar.after(from, worked);
            prop_assert!(until > from);
            // Outside of the table time passes at a rate, rounded to the millisecond.
            let inside = from > 946_684_800_000 && until < 2_240_000_000_000;
            let slack = if inside { 0 } else { 4 };
            prop_assert!((calendar.worked(from, until) - worked).abs() <= slack);
            prop_assert!(calendar.worked(from, until - 1 - slack) < worked, "it is the first such moment");
        }

        #[test]
        fn time_adds_up((country, opening) in any_calendar(), a in any_minute(), b in any_minute(), c in any_minute()) {
            let calendar = calendar(country, opening);
            prop_assert_eq!(calendar.worked(a, b) + calendar.worked(b, c), calendar.worked(a, c));
        }
    }
}
