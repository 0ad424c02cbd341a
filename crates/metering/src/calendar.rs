//! Local days, weeks and months as spans of Unix milliseconds, for a fixed offset from UTC.

use crate::Period;

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// From `start` to before `end`, Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: i64,
    pub end: i64,
}

impl Span {
    pub fn contains(&self, unix_ms: i64) -> bool {
        self.start <= unix_ms && unix_ms < self.end
    }

    /// The period with `unix_ms` in it.
    pub fn of(period: Period, utc_offset_minutes: i32, unix_ms: i64) -> Self {
        let offset = i64::from(utc_offset_minutes) * MINUTE_MS;
        let day = unix_ms.saturating_add(offset).div_euclid(DAY_MS);
        let (first, end) = match period {
            Period::Day => (day, day + 1),
            Period::Week => {
                // 1970-01-01 was a Thursday, three days after a Monday.
                let monday = day - (day + 3).rem_euclid(7);
                (monday, monday + 7)
            }
            Period::Month => {
                let (year, month, day_of_month) = civil(day);
                let first = day - (day_of_month - 1);
                let next = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
                (first, next)
            }
        };
        let start = |day: i64| day.saturating_mul(DAY_MS).saturating_sub(offset);
        Self { start: start(first), end: start(end) }
    }

    pub fn of_day(utc_offset_minutes: i32, unix_ms: i64) -> Self {
        Self::of(Period::Day, utc_offset_minutes, unix_ms)
    }
}

/// The largest multiple of `step` that is not above `value`.
pub(crate) fn floor(value: i64, step: i64) -> i64 {
    value.saturating_sub(value.rem_euclid(step))
}

/// Year, month and day of a day counted from 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_month)
}

/// Days from 1970-01-01 to a date (the same, `days_from_civil`).
fn days(year: i64, month: i64, day_of_month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day_of_month - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29T15:59:59.999Z, which is 23:59:59.999 in Shanghai.
    const LEAP_EVENING: i64 = 1_709_222_399_999;

    #[test]
    fn periods_begin_and_end_at_local_midnight() {
        let shanghai = 480;
        let month = Span::of(Period::Month, shanghai, LEAP_EVENING);
        // 2024-01-31T16:00Z to 2024-02-29T16:00Z (GNU date: `date -ud ... +%s`).
        assert_eq!(month, Span { start: 1_706_716_800_000, end: 1_709_222_400_000 });
        assert_eq!(Span::of(Period::Month, shanghai, LEAP_EVENING + 1).start, month.end);
        // In UTC the same moment is on 29 February still.
        assert_eq!(Span::of(Period::Day, 0, LEAP_EVENING).start, 1_709_164_800_000);
        // Thursday 2024-02-29; its Monday is 2024-02-26.
        assert_eq!(
            Span::of(Period::Week, 0, LEAP_EVENING),
            Span { start: 1_708_905_600_000, end: 1_709_510_400_000 }
        );
    }

    #[test]
    fn dates_lead_back_to_their_days() {
        for day in (-1_000_000..1_000_000).step_by(37) {
            let (year, month, day_of_month) = civil(day);
            assert_eq!(days(year, month, day_of_month), day);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day_of_month));
        }
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(-1), (1969, 12, 31));
        assert_eq!(civil(11_016), (2000, 2, 29));
    }

    #[test]
    fn spans_of_a_kind_touch_and_do_not_overlap() {
        for period in [Period::Day, Period::Week, Period::Month] {
            for offset in [-720, -210, 0, 345, 480, 840] {
                let mut at = 1_700_000_000_000;
                for _ in 0..50 {
                    let span = Span::of(period, offset, at);
                    assert!(span.contains(at) && span.contains(span.end - 1));
                    assert_eq!(Span::of(period, offset, span.end).start, span.end);
                    assert_eq!(span.start.rem_euclid(MINUTE_MS), 0);
                    at = span.end;
                }
            }
        }
    }
}
