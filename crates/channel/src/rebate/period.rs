//! Calendar periods over which sales are summed.

use jiff::ToSpan as _;
use jiff::civil::Date;

/// The kind of period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeriodKind {
    /// Calendar month.
    Month,
    /// Calendar quarter.
    Quarter,
    /// Calendar year.
    Year,
}

/// One period, both days included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    /// First day.
    pub start: Date,
    /// Last day.
    pub end: Date,
}

impl PeriodKind {
    /// The period that holds `day`.
    #[must_use]
    pub fn around(self, day: Date) -> Period {
        let (first, last) = match self {
            Self::Month => (day.month(), day.month()),
            Self::Quarter => {
                let first = (day.month() - 1) / 3 * 3 + 1;
                (first, first + 2)
            }
            Self::Year => (1, 12),
        };
        let month = |number| Date::new(day.year(), number, 1).unwrap_or(day);
        Period { start: month(first), end: month(last).last_of_month() }
    }

    /// The period before `period`.
    #[must_use]
    pub fn before(self, period: Period) -> Period {
        self.around(period.start.yesterday().unwrap_or(period.start))
    }

    /// The same period of the year before.
    #[must_use]
    pub fn year_before(self, period: Period) -> Period {
        self.around(period.start.checked_sub(1.year()).unwrap_or(period.start))
    }
}

impl Period {
    /// Whether `day` lies in it.
    #[must_use]
    pub fn holds(&self, day: Date) -> bool {
        self.start <= day && day <= self.end
    }

    /// The `days` that end with its last day.
    #[must_use]
    pub fn ending_with(&self, days: u32) -> Self {
        let before = i64::from(days.max(1)) - 1;
        Self { start: self.end.checked_sub(before.days()).unwrap_or(Date::MIN), end: self.end }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn periods_follow_the_calendar() {
        let day = date(2028, 2, 17);
        for (kind, start, end) in [
            (PeriodKind::Month, date(2028, 2, 1), date(2028, 2, 29)),
            (PeriodKind::Quarter, date(2028, 1, 1), date(2028, 3, 31)),
            (PeriodKind::Year, date(2028, 1, 1), date(2028, 12, 31)),
        ] {
            assert_eq!(kind.around(day), Period { start, end });
        }
        assert_eq!(PeriodKind::Quarter.around(date(2026, 12, 31)).start, date(2026, 10, 1));
        let february = PeriodKind::Month.around(day);
        assert_eq!(PeriodKind::Month.before(february).start, date(2028, 1, 1));
        assert_eq!(PeriodKind::Month.year_before(february).end, date(2027, 2, 28));
        assert_eq!(february.ending_with(29), february);
        assert_eq!(february.ending_with(366).start, date(2027, 3, 1));
    }
}
