//! Inspection as a slow component: a mixture by how likely it is, a condition once it is known.

use super::*;
use crate::clearance_time::{Forecast, Model};

const STAGE: Stage = Stage::DeclarationToRelease;

fn office(name: &str, inspected: Option<bool>) -> Traits {
    Traits { office: name.to_owned(), inspected, ..traits("CN", "US", TransportMode::Sea) }
}

/// 400 releases of an office, so many of a hundred inspected: 10 to 20 hours without, ten times that with.
fn releases(name: &str, inspected: usize) -> Vec<Observation> {
    let seen = |n: usize| {
        let slow = n * 61 % 100 < inspected;
        let hours = (10.0 + (n * 37 % 101) as f64 / 10.0) * if slow { 10.0 } else { 1.0 };
        finished(&office(name, Some(slow)), 30 + n as i64 % 60, hours)
    };
    (0..400).map(seen).collect()
}

fn forecast(model: &Model, name: &str, inspected: Option<bool>) -> Forecast {
    model.forecast(&office(name, inspected), NOW)
}

#[test]
fn the_band_holds_both_and_narrows_when_it_is_known() {
    let seen = [releases("CNSHA", 5), releases("CNSZX", 60)].concat();
    let model = Model::fit(STAGE, &seen, NOW);
    let [rare, often] = ["CNSHA", "CNSZX"].map(|name| forecast(&model, name, None));
    let (few, many) = (rare.inspection.unwrap(), often.inspection.unwrap());
    assert!(
        (few.probability - 0.05).abs() < 0.03 && (many.probability - 0.6).abs() < 0.05,
        "{few:?} {many:?}"
    );
    assert!((few.times / 10.0 - 1.0).abs() < 0.2, "{few:?}");
    assert!(few.n > 700.0, "{few:?}");
    // One in twenty lies beyond the 0.9 quantile, six in ten below the median.
    assert!(rare.quantiles[8] < 30.0, "{:?}", rare.quantiles);
    assert!(often.quantiles[2] < 30.0 && often.quantiles[4] > 80.0, "{:?}", often.quantiles);
    for name in ["CNSHA", "CNSZX"] {
        let [with, without] = [true, false].map(|yes| forecast(&model, name, Some(yes)));
        assert!(with.quantiles[0] > 80.0 && with.quantiles[8] < 260.0, "{:?}", with.quantiles);
        assert!(without.quantiles[8] < 26.0, "{:?}", without.quantiles);
        assert_eq!(with.inspection.unwrap().probability, 1.0);
        assert!(with.drivers.iter().any(|driver| driver.value == "inspected"), "{:?}", with.drivers);
    }
}

/// The mixture, against the definition: of its q-quantile, the parts together hold q.
#[test]
fn the_mixture_is_that_of_its_parts() {
    let model = Model::fit(STAGE, &releases("CNSHA", 30), NOW);
    let whole = forecast(&model, "CNSHA", None);
    let p = whole.inspection.unwrap().probability;
    let [with, without] = [true, false].map(|yes| forecast(&model, "CNSHA", Some(yes)).quantiles);
    // Share of a part that is below `hours`, between its quantiles by straight lines; coarse in the tails.
    let below = |part: &[f64; 9], hours: f64| {
        let next = part.partition_point(|q| *q <= hours);
        match next {
            0 => 0.05,
            9 => 0.95,
            _ => (next as f64 + (hours - part[next - 1]) / (part[next] - part[next - 1])) / 10.0,
        }
    };
    for (i, hours) in whole.quantiles.iter().enumerate() {
        let share = p * below(&with, *hours) + (1.0 - p) * below(&without, *hours);
        assert!((share - (i + 1) as f64 / 10.0).abs() < 0.06, "{i}: {share}");
    }
}

#[test]
fn where_no_inspection_was_recorded_there_is_no_mixture() {
    let seen: Vec<_> = (0..50).map(|n| finished(&office("CNSHA", None), 3 + n, 20.0 + n as f64)).collect();
    let model = Model::fit(STAGE, &seen, NOW);
    assert_eq!(forecast(&model, "CNSHA", None).inspection, None);
    assert_eq!(forecast(&model, "CNSHA", Some(true)).quantiles, forecast(&model, "CNSHA", None).quantiles);
}

#[test]
fn one_recorded_inspection_moves_the_answer_without_a_refit() {
    let mut model = Model::fit(STAGE, &releases("CNSHA", 10), NOW);
    let before = forecast(&model, "CNSHA", None).inspection.unwrap().probability;
    model.learn(&finished(&office("CNSHA", Some(true)), 1, 150.0), NOW);
    assert!(forecast(&model, "CNSHA", None).inspection.unwrap().probability > before);
}

#[test]
fn an_inspection_belongs_to_the_release_alone() {
    let stage = Stage::ReleaseToGateOut;
    let seen: Vec<_> = releases("CNSHA", 50).into_iter().map(|o| Observation { stage, ..o }).collect();
    let model = Model::fit(stage, &seen, NOW);
    let [with, without] = [true, false].map(|yes| forecast(&model, "CNSHA", Some(yes)));
    assert_eq!((with.quantiles, with.inspection), (without.quantiles, None));
}
