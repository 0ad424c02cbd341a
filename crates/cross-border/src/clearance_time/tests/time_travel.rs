//! An answer as of a moment knows nothing of what was recorded after it.

use proptest::prelude::*;

use super::*;
use crate::clearance_time::calendar::{Calendar, Opening};
use crate::clearance_time::{Forecast, History, Milestones, Model, Moment, Record};

fn any_record() -> impl Strategy<Value = Record> {
    let place = prop::sample::select(vec!["CN", "DE", "NG", "SZ"]);
    let mode = prop::sample::select(TransportMode::ALL.to_vec());
    (0..25u8, place.clone(), place, mode, 0..400i64, prop::collection::vec(0..400i64, 1..6)).prop_map(
        |(shipment, to, from, mode, known, mut days)| {
            days.sort_unstable();
            let mut at = [None; 6];
            for (slot, day) in at.iter_mut().zip(days) {
                *slot = Some(NOW + day * DAY);
            }
            Record {
                shipment_id: format!("S{shipment}"),
                known_at_ms: NOW + known * DAY,
                traits: Arc::new(traits(to, from, mode)),
                milestones: Milestones(at),
            }
        },
    )
}

fn history<'a>(records: impl IntoIterator<Item = &'a Record>) -> History {
    let mut history = History::default();
    for record in records {
        history.add(record.clone());
    }
    history
}

fn forecasts(history: &History, as_of: i64) -> Vec<Forecast> {
    let asked = traits("CN", "DE", TransportMode::Sea);
    Stage::ALL
        .iter()
        .map(|&stage| Model::fit(stage, &history.observations(stage, as_of), as_of).forecast(&asked, as_of))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn deleting_every_later_record_changes_nothing(
        records in prop::collection::vec(any_record(), 1..80),
        day in 0..400i64,
    ) {
        let as_of = NOW + day * DAY;
        let whole = history(&records);
        let past = history(records.iter().filter(|record| record.known_at_ms <= as_of));
        prop_assert_eq!(whole.version_at(as_of), past.version());
        for (a, b) in forecasts(&whole, as_of).iter().zip(forecasts(&past, as_of)) {
            prop_assert_eq!(a.quantiles, b.quantiles);
            prop_assert_eq!(a.evidence, b.evidence);
            prop_assert_eq!(&a.drivers, &b.drivers);
        }
    }

    #[test]
    fn the_order_of_arrival_is_nothing(
        mut records in prop::collection::vec(any_record(), 1..60),
        seed in any::<u64>(),
    ) {
        // Two records of one shipment at one moment would have no order but that of arrival.
        records.sort_by(|a, b| (&a.shipment_id, a.known_at_ms).cmp(&(&b.shipment_id, b.known_at_ms)));
        records.dedup_by(|a, b| a.shipment_id == b.shipment_id && a.known_at_ms == b.known_at_ms);
        let straight = history(&records);
        records.sort_by_key(|record| record.digest() ^ seed);
        let shuffled = history(&records);
        prop_assert_eq!(straight.version(), shuffled.version());
        for stage in Stage::ALL {
            prop_assert_eq!(
                straight.observations(stage, NOW + 200 * DAY),
                shuffled.observations(stage, NOW + 200 * DAY)
            );
        }
    }
}

/// Releases of a year, ever slower, so that the tracker has something to follow: two a day in Shanghai, in
/// the office's hours, each fifth of them inspected, which is known a little later.
fn drifting(seed: u64) -> Vec<Record> {
    let office = Calendar::new(Country::parse("CN").unwrap(), Opening::OfficeHours).unwrap();
    let lanes = [traits("CN", "DE", TransportMode::Sea), traits("CN", "US", TransportMode::Air)];
    let mut records = Vec::new();
    for day in 0..365i64 {
        for (n, lane) in lanes.iter().enumerate() {
            let noise = (seed.wrapping_mul(day as u64 * 2 + n as u64 + 1) >> 32) as i64 % 100;
            let inspected = noise % 5 == 0;
            let work = (5 + noise / 5) * (365 + day) / 365 * if inspected { 3 } else { 1 };
            let declared = office.after(NOW + day * DAY, (1 + noise % 8) * HOUR);
            let released = office.after(declared, work * HOUR);
            let milestones = Milestones::default().with(Moment::Declared, declared);
            let record = |known_at_ms, inspected, milestones| Record {
                shipment_id: format!("D{day}-{n}"),
                known_at_ms,
                traits: Arc::new(Traits { office: "CNSHA".to_owned(), inspected, ..lane.clone() }),
                milestones,
            };
            records.push(record(declared, None, milestones));
            records.push(record(declared + HOUR, Some(inspected), milestones));
            records.push(record(released, Some(inspected), milestones.with(Moment::Released, released)));
        }
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn tracker_calendar_and_inspections_know_nothing_of_what_came_later(seed in any::<u64>(), day in 200..365i64) {
        let as_of = NOW + day * DAY;
        let records = drifting(seed | 1);
        let stage = Stage::DeclarationToRelease;
        let fit = |history: &History| Model::fit(stage, &history.observations(stage, as_of), as_of);
        let whole = fit(&history(&records));
        let past = fit(&history(records.iter().filter(|record| record.known_at_ms <= as_of)));
        prop_assert_eq!(whole.tracked(), past.tracked());
        let asked = Traits { office: "CNSHA".to_owned(), ..traits("CN", "DE", TransportMode::Sea) };
        // Also what was on the heap at the fit and fell due since.
        let [whole, past] = [whole, past].map(|mut model| {
            model.advance(as_of + 5 * DAY);
            model.forecast(&asked, as_of + 5 * DAY)
        });
        prop_assert_eq!((whole.quantiles, whole.worked), (past.quantiles, past.worked));
        prop_assert_eq!(whole.inspection, past.inspection);
        prop_assert_eq!((whole.opening, past.opening), (Some(Opening::OfficeHours), Some(Opening::OfficeHours)));
        let inspection = whole.inspection.unwrap();
        prop_assert!(inspection.probability > 0.1 && inspection.times > 1.5, "{:?}", inspection);
    }
}

#[test]
fn times_that_rise_from_day_to_day_are_followed() {
    let history = history(&drifting(0x9e37_79b9_7f4a_7c15));
    let (stage, as_of) = (Stage::DeclarationToRelease, NOW + 360 * DAY);
    let model = Model::fit(stage, &history.observations(stage, as_of), as_of);
    let tracked = model.tracked();
    assert!(tracked.step > 0.0 && tracked.labels > 1000, "{tracked:?}");
    assert!(tracked.offsets.iter().sum::<f64>() > 0.1, "{tracked:?}");
}

#[test]
fn a_shipment_is_under_way_until_its_end_is_known() {
    let lane = Arc::new(traits("CN", "US", TransportMode::Sea));
    let declared = Milestones([None, None, Some(NOW), None, None, None]);
    let released = Milestones([None, None, Some(NOW), Some(NOW + 5 * DAY), None, None]);
    let record = |known_at_ms, milestones| Record {
        shipment_id: "S".to_owned(),
        known_at_ms,
        traits: Arc::clone(&lane),
        milestones,
    };
    let mut history = History::default();
    let first = history.add(record(NOW, declared));
    assert_eq!((first.begun, first.finished.len()), (1, 0));
    let second = history.add(record(NOW + 7 * DAY, released));
    assert_eq!((second.begun, second.finished.len()), (1, 1), "released ends one stage and begins the next");

    let seen = |day| {
        let known = history.observations(Stage::DeclarationToRelease, NOW + day * DAY);
        known.first().map(|o| (o.finished, o.hours))
    };
    assert_eq!(seen(-1), None);
    assert_eq!(seen(3), Some((false, 72.0)));
    // It ended on day 5, and that was not known before day 7.
    assert_eq!(seen(6), Some((false, 144.0)));
    assert_eq!(seen(7), Some((true, 120.0)));
    // A stage open for more than two years is lost, not slow.
    let gate = |day| history.observations(Stage::ReleaseToGateOut, NOW + day * DAY).len();
    assert_eq!((gate(8), gate(800)), (1, 0));
}
