//! Office hours that somebody said: what they mean, and from when on they count.

use super::*;
use crate::clearance_time::Model;
use crate::clearance_time::calendar::{Calendar, Opening};
use crate::clearance_time::hours::{Book, Hours, Said, Statement};

const STAGE: Stage = Stage::DeclarationToRelease;

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn china() -> Country {
    Country::parse("CN").unwrap()
}

/// Nine to twelve and one to five, Monday to Friday.
fn said() -> Said {
    let week = (1..=5).flat_map(|day| [(day, 540, 720), (day, 780, 1_020)]).collect();
    Said { week, ..Said::default() }
}

fn calendar(said: &Said) -> Calendar {
    Calendar::of_hours(&Hours::new(china(), said).unwrap()).unwrap()
}

fn worked(calendar: &Calendar, day: &str) -> i64 {
    let from = at(&format!("{day}T00:00:00+08:00"));
    calendar.worked(from, from + DAY) / 60_000
}

#[test]
fn a_day_has_its_weekdays_hours_unless_it_differs() {
    let mut said = said();
    // An ordinary Wednesday and Saturday, the spring festival, and the make-up Saturday before it.
    let days = ["2026-03-04", "2026-03-07", "2026-02-17", "2026-02-14"];
    let on = |said: &Said| days.map(|day| worked(&calendar(said), day));
    assert_eq!(on(&said), [420, 0, 0, 420]);
    let office = calendar(&said);
    assert!(
        office.is_open(at("2026-03-04T09:00:00+08:00")) && !office.is_open(at("2026-03-04T12:30:00+08:00"))
    );
    said.days = vec![
        ("2026-03-04".into(), vec![]),
        ("2026-03-07".into(), vec![(600, 660)]),
        ("2026-02-17".into(), vec![(540, 600)]),
    ];
    assert_eq!(on(&said), [0, 60, 60, 420]);
    assert_eq!(on(&Said { holidays_worked: true, days: vec![], ..said }), [420, 0, 420, 0]);
}

#[test]
fn an_office_has_its_own_time_zone() {
    let office = calendar(&Said { zone: "Asia/Urumqi".into(), ..said() });
    assert!(
        office.is_open(at("2026-03-04T09:00:00+06:00")) && !office.is_open(at("2026-03-04T09:00:00+08:00"))
    );
    // Where the clock is put forward, an hour of the night is not there.
    let germany = Country::parse("DE").unwrap();
    let night =
        Said { week: (1..=7).map(|day| (day, 0, 1_440)).collect(), holidays_worked: true, ..Said::default() };
    let night = Calendar::of_hours(&Hours::new(germany, &night).unwrap()).unwrap();
    let from = at("2026-03-29T00:00:00+01:00");
    assert_eq!(night.worked(from, at("2026-03-30T00:00:00+02:00")), 23 * HOUR);
    assert!((night.share() - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = |said: Said| Hours::new(china(), &said).unwrap_err().field;
    assert_eq!(wrong(Said { zone: "Mars".into(), ..said() }), "time_zone");
    assert_eq!(wrong(Said { week: vec![(8, 0, 100)], ..Said::default() }), "week[0]");
    assert_eq!(wrong(Said { week: vec![(1, 0, 100), (1, 50, 200)], ..Said::default() }), "week[1]");
    assert_eq!(wrong(Said { week: vec![(1, 100, 100)], ..Said::default() }), "week[0]");
    assert_eq!(wrong(Said { week: vec![(1, 0, 1_441)], ..Said::default() }), "week[0]");
    assert_eq!(wrong(Said { week: vec![(1, 0, 59)], ..Said::default() }), "week");
    let day = |date: &str| (date.to_owned(), vec![]);
    assert_eq!(wrong(Said { days: vec![day("2026-02-30")], ..said() }), "days[0]");
    assert_eq!(wrong(Said { days: vec![day("2026-02-14"), day("2026-02-14")], ..said() }), "days[1]");
    // Of a country without a table the zone must be said.
    let tonga = Country::parse("TO").unwrap();
    assert_eq!(Hours::new(tonga, &said()).unwrap_err().field, "time_zone");
    assert!(Hours::new(tonga, &Said { zone: "Pacific/Tongatapu".into(), ..said() }).is_ok());
}

#[test]
fn a_book_knows_what_held_when() {
    let hours = |from| {
        let week = vec![(1, from, 1_020)];
        Hours::new(china(), &Said { week, ..Said::default() }).unwrap()
    };
    let mut book = Book::default();
    for (known_at_ms, own) in [(300, None), (100, Some(hours(500))), (200, Some(hours(600)))] {
        book.add(Statement::new(china(), "CNSHA", known_at_ms, own)).unwrap();
    }
    let held = |at| book.of(china(), "CNSHA", at).map(|statement| statement.hours.clone());
    assert_eq!([99, 100, 199].map(held), [None, Some(Some(hours(500))), Some(Some(hours(500)))]);
    assert_eq!([200, 300].map(held), [Some(Some(hours(600))), Some(None)]);
    assert_eq!([99, 100, 300].map(|at| book.all(at).len()), [0, 1, 0]);
    assert!(book.digest(99) == 0 && book.digest(100) != book.digest(200));
    // Another office.
    assert!(book.of(china(), "SHA", 200).is_none());
}

/// What is said goes before what was learned, and nothing else changes.
#[test]
fn what_was_said_goes_before_what_was_learned() {
    let lane = |office: &str| Traits { office: office.to_owned(), ..traits("CN", "US", TransportMode::Sea) };
    let learned = Calendar::new(china(), Opening::OfficeHours).unwrap();
    let seen: Vec<Observation> = (0..480i64)
        .map(|n| {
            let office = if n % 2 == 0 { "CNSHA" } else { "CNNGB" };
            let start_ms = learned.after(NOW - 150 * DAY + n / 4 * DAY, (n % 4 + 1) * 2 * HOUR);
            let end_ms = learned.after(start_ms, (1 + n * 37 % 20) * HOUR);
            let hours = (end_ms - start_ms) as f64 / HOUR as f64;
            Observation { stage: STAGE, start_ms, hours, finished: true, traits: Arc::new(lane(office)) }
        })
        .collect();
    let mut book = Book::default();
    let hours = Hours::new(china(), &said()).unwrap();
    book.add(Statement::new(china(), "CNSHA", NOW, Some(hours))).unwrap();
    let fit = |at| Model::fit_with(STAGE, &seen, &book.calendars(at), NOW);
    let opening = |model: &Model, office| model.forecast(&lane(office), NOW).opening;
    let (before, after) = (fit(NOW - 1), fit(NOW));
    assert_eq!(opening(&before, "CNSHA"), Some(Opening::OfficeHours));
    assert_eq!(opening(&after, "CNSHA"), Some(Opening::Configured));
    assert_eq!(opening(&after, "CNNGB"), Some(Opening::OfficeHours));
    // Before it was known the answer is that without it, to the last bit.
    let plain = Model::fit(STAGE, &seen, NOW);
    let quantiles = |model: &Model| model.forecast(&lane("CNSHA"), NOW).quantiles.map(f64::to_bits);
    assert_eq!(quantiles(&before), quantiles(&plain));
    // A median begun on a Friday at half past four is over on Monday or later.
    let friday = at("2026-03-06T16:45:00+08:00");
    let forecast = after.forecast_from(&lane("CNSHA"), NOW, friday);
    assert!(forecast.worked[4] > 0.5 && forecast.quantiles[4] > 2.0 * 24.0, "{:?}", forecast.quantiles);
    let whole = Model::fit_with(Stage::OrderToDelivery, &seen, &book.calendars(NOW), NOW);
    assert_eq!(whole.forecast(&lane("CNSHA"), NOW).opening, None, "no office handles the whole way");
}
