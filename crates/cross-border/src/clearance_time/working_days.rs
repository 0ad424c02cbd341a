//! Which days of a country are worked: weekends, public holidays, make-up days. The table and its sources
//! are in `working_days.txt`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use jiff::civil::{Date, Weekday};

use crate::Country;

static TABLE: LazyLock<HashMap<Country, WorkingDays>> =
    LazyLock::new(|| parse(include_str!("working_days.txt")).unwrap_or_default());

/// The working days of a country.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkingDays {
    /// IANA name of its time zone; where it has several, of its capital or largest port.
    pub zone: String,
    /// From which year on which days of the week are free, the latest first.
    weekends: Vec<(i16, Vec<Weekday>)>,
    free: HashSet<Date>,
    /// Weekend days that are worked.
    make_up: HashSet<Date>,
}

impl WorkingDays {
    /// Those of `country`; `None` when the table doesn't have it.
    pub(super) fn of(country: Country) -> Option<&'static Self> {
        TABLE.get(&country)
    }

    /// Whether `date` is a public holiday.
    pub(super) fn is_holiday(&self, date: Date) -> bool {
        self.free.contains(&date)
    }

    /// Whether `date` is a weekend day that is worked.
    pub(super) fn is_make_up(&self, date: Date) -> bool {
        self.make_up.contains(&date)
    }

    /// Whether `date` is worked.
    pub(super) fn is_worked(&self, date: Date) -> bool {
        if self.make_up.contains(&date) {
            return true;
        }
        let weekend = self.weekends.iter().find(|(from, _)| date.year() >= *from);
        let free = weekend.map_or(&[Weekday::Saturday, Weekday::Sunday][..], |(_, days)| days);
        !free.contains(&date.weekday()) && !self.free.contains(&date)
    }
}

/// The table, or the number of the line that is wrong.
fn parse(text: &str) -> Result<HashMap<Country, WorkingDays>, usize> {
    let mut table: HashMap<Country, WorkingDays> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        if !words.is_empty() {
            enter(&mut table, &words).ok_or(number + 1)?;
        }
    }
    Ok(table)
}

fn enter(table: &mut HashMap<Country, WorkingDays>, words: &[&str]) -> Option<()> {
    match *words {
        ["zone", country, zone] => {
            table.entry(Country::parse(country).ok()?).or_default().zone = zone.to_owned();
        }
        ["weekend", country, from, days] => {
            let days: Option<Vec<Weekday>> = (days.chars())
                .map(|digit| Weekday::from_monday_one_offset(i8::try_from(digit.to_digit(10)?).ok()?).ok())
                .collect();
            let weekends = &mut table.get_mut(&Country::parse(country).ok()?)?.weekends;
            weekends.push((from.parse().ok()?, days?));
            weekends.sort_by_key(|(from, _)| -from);
        }
        [country, year, ref days @ ..] => {
            let country = table.get_mut(&Country::parse(country).ok()?)?;
            for day in days {
                let (of, day) = match day.strip_prefix('+') {
                    Some(day) => (&mut country.make_up, day),
                    None => (&mut country.free, *day),
                };
                let (month, day) = day.split_at_checked(2)?;
                of.insert(Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?);
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn worked(country: &str, year: i16, month: i8, day: i8) -> bool {
        WorkingDays::of(Country::parse(country).unwrap()).unwrap().is_worked(date(year, month, day))
    }

    #[test]
    fn the_table_is_whole() {
        let table = parse(include_str!("working_days.txt")).unwrap();
        assert_eq!(table.len(), 29);
        for (country, days) in &table {
            assert!(jiff::tz::TimeZone::get(&days.zone).is_ok(), "{country}: {}", days.zone);
            assert!(days.free.len() > 40, "{country} has {} days off", days.free.len());
        }
        assert_eq!(parse("zone CN Asia/Shanghai\nCN 2026 0230\n").unwrap_err(), 2);
        assert_eq!(parse("CN 2026 0101\n").unwrap_err(), 1);
    }

    /// Spring festival of 2026 by the State Council's notice: off from the 15th to the 23rd of February, worked
    /// on Saturday the 14th and on Saturday the 28th.
    #[test]
    fn chinese_make_up_days_are_worked() {
        for (month, day, expected) in [
            (2, 13, true),
            (2, 14, true),
            (2, 15, false),
            (2, 16, false),
            (2, 23, false),
            (2, 24, true),
            (2, 28, true),
            (3, 7, false),
        ] {
            assert_eq!(worked("CN", 2026, month, day), expected, "{month}-{day}");
        }
    }

    #[test]
    fn weekends_are_the_countrys() {
        // Friday 2021-11-19, Saturday, Sunday; and the year after.
        assert_eq!([19, 20, 21].map(|day| worked("AE", 2021, 11, day)), [false, false, true]);
        assert_eq!([18, 19, 20].map(|day| worked("AE", 2022, 11, day)), [true, false, false]);
        assert_eq!([19, 20, 21].map(|day| worked("SA", 2021, 11, day)), [false, false, true]);
        assert_eq!([19, 20, 21].map(|day| worked("DE", 2021, 11, day)), [true, false, false]);
        assert!(!worked("DE", 2026, 4, 6), "Easter Monday");
        assert!(WorkingDays::of(Country::parse("ZZ").unwrap()).is_none());
    }
}
