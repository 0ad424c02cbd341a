//! Offices that keep hours: learned from when stages end, reckoned in, and mapped back to the clock.

use super::*;
use crate::clearance_time::backtest::{self, Case, Method};
use crate::clearance_time::calendar::{Calendar, Opening};
use crate::clearance_time::{Model, sum_quantiles};

const STAGE: Stage = Stage::DeclarationToRelease;

fn at(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn shanghai() -> Traits {
    Traits { office: "CNSHA".to_owned(), ..traits("CN", "US", TransportMode::Sea) }
}

/// Releases of `days` days, four a day, lodged in office hours, each after 1 to 20 hours of the office's work.
fn in_office_hours(traits: &Traits, from: i64, days: i64) -> Vec<Observation> {
    let office = Calendar::new(traits.destination, Opening::OfficeHours).unwrap();
    (0..days * 4)
        .map(|n| {
            let start_ms = office.after(from + n / 4 * DAY, (n % 4 + 1) * 2 * HOUR - HOUR / 2);
            let end_ms = office.after(start_ms, (1 + n * 37 % 20) * HOUR);
            let hours = (end_ms - start_ms) as f64 / HOUR as f64;
            Observation { stage: STAGE, start_ms, hours, finished: true, traits: Arc::new(traits.clone()) }
        })
        .collect()
}

#[test]
fn hours_of_an_office_are_learned_and_festivals_waited_out() {
    let (from, as_of) = (at("2025-09-01T00:00:00Z"), at("2026-02-10T00:00:00Z"));
    let model = Model::fit(STAGE, &in_office_hours(&shanghai(), from, 120), as_of);
    let forecast = |begins: &str| model.forecast_from(&shanghai(), as_of, at(begins));
    // Tuesday at nine, ten hours of work or so: the same day's evening or the next morning.
    let tuesday = forecast("2026-03-03T09:00:00+08:00");
    assert_eq!(tuesday.opening, Some(Opening::OfficeHours));
    assert!((tuesday.worked[4] - 10.0).abs() < 2.0, "{:?}", tuesday.worked);
    assert!(tuesday.quantiles[4] < 30.0, "{:?}", tuesday.quantiles);
    // The same work, begun on the Saturday evening before the spring festival, a make-up day.
    let festival = forecast("2026-02-14T16:00:00+08:00");
    assert_eq!(festival.worked, tuesday.worked);
    assert!(festival.quantiles[0] < 5.0 || festival.quantiles[0] > 200.0, "{:?}", festival.quantiles);
    assert!(festival.quantiles[4] > 9.0 * 24.0, "{:?}", festival.quantiles);
    let saturday = forecast("2026-03-07T09:00:00+08:00");
    assert!(saturday.quantiles[0] > 47.0, "an ordinary Saturday is not worked: {:?}", saturday.quantiles);
    // Stages follow one another through the calendar, also through that of another office.
    let both = sum_quantiles(&[tuesday.clone(), tuesday.clone()]).unwrap();
    assert!(both.is_sorted() && both[4] > tuesday.quantiles[4] && both[4] < 3.0 * 24.0, "{both:?}");
    let instant = vec![finished(&shanghai(), 3, 0.0); 500];
    let instant =
        Model::fit(STAGE, &instant, NOW).forecast_from(&shanghai(), NOW, at("2026-03-03T09:00:00+08:00"));
    let apart = sum_quantiles(&[tuesday.clone(), instant.clone(), tuesday.clone()]).unwrap();
    assert!(instant.opening.is_none() && instant.quantiles[8] < 1.0, "{:?}", instant.quantiles);
    assert!(apart.iter().zip(both).all(|(a, b)| (a / b - 1.0).abs() < 0.25), "{apart:?} and {both:?}");
}

#[test]
fn an_office_that_never_closes_keeps_the_clock() {
    let round: Vec<Observation> =
        (0..400).map(|n| finished(&shanghai(), 5 + n % 90, (n * 7 % 40) as f64)).collect();
    let forecast = Model::fit(STAGE, &round, NOW).forecast(&shanghai(), NOW);
    assert_eq!((forecast.opening, forecast.quantiles), (None, forecast.worked));
    // Too few ends say nothing, wherever they lie; nor is there a calendar of a country without a table.
    let from = NOW - 100 * DAY;
    let few = Model::fit(STAGE, &in_office_hours(&shanghai(), from, 4), NOW);
    assert_eq!(few.forecast(&shanghai(), NOW).opening, None);
    let whole = Model::fit(Stage::OrderToDelivery, &in_office_hours(&shanghai(), from, 60), NOW);
    assert_eq!(whole.forecast(&shanghai(), NOW).opening, None, "no office handles the whole way");
}

#[test]
fn working_days_are_told_from_office_hours() {
    let lane = traits("DE", "US", TransportMode::Air);
    let days = Calendar::new(lane.destination, Opening::WorkingDays).unwrap();
    let seen: Vec<Observation> = (0..400i64)
        .map(|n| {
            let start_ms = days.after(NOW - 120 * DAY, n * 5 * HOUR);
            let end_ms = days.after(start_ms, (1 + n * 37 % 30) * HOUR);
            Observation {
                start_ms,
                hours: (end_ms - start_ms) as f64 / HOUR as f64,
                ..finished(&lane, 0, 0.0)
            }
        })
        .filter(|o| o.start_ms < NOW - 10 * DAY)
        .collect();
    assert_eq!(Model::fit(STAGE, &seen, NOW).forecast(&lane, NOW).opening, Some(Opening::WorkingDays));
}

/// What the calendar is worth: where times are hours of an office's work, one that reckons by the clock takes
/// weekends for chance.
#[test]
fn reckoning_in_the_offices_hours_beats_the_clock() {
    let cases: Vec<Case> = in_office_hours(&shanghai(), at("2023-01-01T00:00:00Z"), 900)
        .into_iter()
        .map(|o| Case {
            start_ms: o.start_ms,
            end_ms: o.start_ms + (o.hours * HOUR as f64).round() as i64,
            traits: o.traits,
        })
        .collect();
    let crps = |stage| {
        let report = backtest::run(stage, &cases, 3).unwrap();
        report.scores.iter().find(|score| score.method == Method::Model).unwrap().crps_days
    };
    let (office, clock) = (crps(STAGE), crps(Stage::OrderToDelivery));
    assert!(office < 0.8 * clock, "{office} in the office's hours, {clock} by the clock");
}
