//! What the model makes of clearances: from the prior to the lane's own, online and under way.

use proptest::prelude::*;

use super::*;
use crate::clearance_time::{Fallback, Forecast, Milestones, Model, Moment, RecordError, sum_quantiles};

const STAGE: Stage = Stage::DeclarationToRelease;

fn median(forecast: &Forecast) -> f64 {
    forecast.quantiles[4]
}

fn fit(observations: &[Observation]) -> Model {
    Model::fit(STAGE, observations, NOW)
}

#[test]
fn without_a_clearance_the_published_figure_is_the_answer() {
    let empty = fit(&[]);
    for (country, hours) in [("CN", 48.0), ("NG", 263.7), ("DE", 0.0), ("IN", 96.7)] {
        let forecast = empty.forecast(&traits(country, "US", TransportMode::Sea), NOW);
        assert!((median(&forecast) - hours).abs() < 1e-6, "{country}: {}", median(&forecast));
        assert_eq!(forecast.evidence.fallback, Fallback::CountryPrior);
        assert!(forecast.evidence.prior_source().unwrap().contains("discontinued"));
    }
    // No figure for Swaziland's release, nor for any country's gate-out.
    let unknown = empty.forecast(&traits("SZ", "ZA", TransportMode::Road), NOW);
    assert_eq!(unknown.evidence.fallback, Fallback::Global);
    let known = empty.forecast(&traits("CN", "ZA", TransportMode::Road), NOW);
    assert!(unknown.quantiles[8] / median(&unknown) > known.quantiles[8] / median(&known));
    let gate = Model::fit(Stage::ReleaseToGateOut, &[], NOW);
    assert!((median(&gate.forecast(&traits("CN", "US", TransportMode::Sea), NOW)) - 24.0).abs() < 1e-9);
}

#[test]
fn with_many_clearances_the_lane_is_the_answer() {
    let (slow, fast) = (traits("CN", "US", TransportMode::Sea), traits("CN", "JP", TransportMode::Air));
    let mut seen = Vec::new();
    for i in 0..2000 {
        let spread = 1.0 + f64::from(i % 100) / 100.0;
        seen.push(finished(&slow, 1, 200.0 * spread));
        seen.push(finished(&fast, 1, 4.0 * spread));
    }
    let model = fit(&seen);
    for (lane, hours) in [(slow, 300.0), (fast, 6.0)] {
        let forecast = model.forecast(&lane, NOW);
        assert_eq!(forecast.evidence.fallback, Fallback::Lane);
        assert!((median(&forecast) / hours - 1.0).abs() < 0.05, "{} of {hours}", median(&forecast));
        assert!(forecast.evidence.n_lane > 1900.0);
    }
}

#[test]
fn a_few_clearances_move_the_answer_part_of_the_way() {
    let lane = traits("CN", "US", TransportMode::Sea);
    let mut last = 48.0;
    for n in [1, 3, 10, 30, 300] {
        let forecast = fit(&vec![finished(&lane, 1, 500.0); n]).forecast(&lane, NOW);
        assert!(median(&forecast) > last && median(&forecast) < 501.0, "{n}: {}", median(&forecast));
        last = median(&forecast);
    }
    assert!(last > 400.0, "{last}");
}

#[test]
fn a_new_lane_leans_on_its_country_and_a_new_country_on_its_figure() {
    let known = traits("CN", "US", TransportMode::Sea);
    let model = fit(&vec![finished(&known, 1, 400.0); 100]);
    let forecast = |destination| model.forecast(&traits(destination, "FR", TransportMode::Air), NOW);
    let sibling = forecast("CN");
    assert_eq!(sibling.evidence.fallback, Fallback::Country);
    assert!(median(&sibling) > 96.0 && median(&sibling) < 400.0, "{}", median(&sibling));
    assert_eq!(forecast("DE").evidence.fallback, Fallback::CountryPrior);
    assert!(median(&forecast("DE")) < 6.0, "{}", median(&forecast("DE")));
    let narrow = |f: &Forecast| f.quantiles[8].ln_1p() - f.quantiles[0].ln_1p();
    assert!(narrow(&model.forecast(&known, NOW)) < narrow(&sibling));
}

#[test]
fn old_clearances_fade() {
    let lane = traits("CN", "US", TransportMode::Sea);
    let model = fit(&vec![finished(&lane, 1, 500.0); 50]);
    let (now, later) = (model.forecast(&lane, NOW), model.forecast(&lane, NOW + 4 * 365 * DAY));
    assert!((later.evidence.n_lane * 16.0 - now.evidence.n_lane).abs() < 1e-6);
    assert!(median(&later) < median(&now));
    assert_eq!(later.evidence.fallback, Fallback::CountryPrior);
}

#[test]
fn one_clearance_moves_the_answer_without_a_refit_and_as_a_refit_would() {
    let lane = traits("CN", "US", TransportMode::Sea);
    let other = traits("CN", "JP", TransportMode::Air);
    let spread = |i: u32| 1.0 + f64::from(i % 20) / 10.0;
    let mut seen: Vec<_> = (0..40).map(|i| finished(&lane, 30, 60.0 * spread(i))).collect();
    seen.extend((0..40).map(|i| finished(&other, 20, 20.0 * spread(i))));
    let mut online = fit(&seen);
    let before = median(&online.forecast(&lane, NOW));
    let slow = finished(&lane, 15, 360.0);
    online.learn(&slow, NOW);
    seen.push(slow);
    let (online, refit) = (median(&online.forecast(&lane, NOW)), median(&fit(&seen).forecast(&lane, NOW)));
    assert!(online > before, "{online} after {before}");
    assert!((online / refit - 1.0).abs() < 0.05, "online {online}, refit {refit}");
}

#[test]
fn shipments_still_under_way_make_the_answer_longer() {
    let lane = traits("CN", "US", TransportMode::Sea);
    let mut seen: Vec<_> = (1..40).map(|i| finished(&lane, 60, f64::from(i))).collect();
    let without = median(&fit(&seen).forecast(&lane, NOW));
    seen.extend(vec![under_way(&lane, 200.0); 20]);
    let with = fit(&seen).forecast(&lane, NOW);
    assert!(median(&with) > 1.3 * without, "{} with, {without} without", median(&with));
    assert!(with.quantiles[8] > 200.0, "{}", with.quantiles[8]);
}

#[test]
fn the_unfinished_alone_are_no_evidence() {
    let lane = traits("CN", "US", TransportMode::Sea);
    let forecast = fit(&vec![under_way(&lane, 2.0); 50]).forecast(&lane, NOW);
    assert!((median(&forecast) - 48.0).abs() < 1e-6);
}

#[test]
fn drivers_name_the_traits_with_their_cases() {
    let mut slow = traits("CN", "US", TransportMode::Sea);
    slow.office = "CNSHA".to_owned();
    slow.hs_code = "330499".to_owned();
    let mut fast = slow.clone();
    fast.office = "CNSZX".to_owned();
    let mut seen = vec![finished(&slow, 1, 300.0); 60];
    seen.extend(vec![finished(&fast, 1, 20.0); 60]);
    let forecast = fit(&seen).forecast(&slow, NOW);
    let office = forecast.drivers.iter().find(|d| d.value == "CNSHA").unwrap();
    assert!(office.times > 1.2, "{office:?}");
    assert!((office.n - 60.0).abs() < 1.0 && office.shrunk > 0.0 && office.shrunk < 0.5, "{office:?}");
    assert!(forecast.drivers.is_sorted_by(|a, b| a.times.ln().abs() >= b.times.ln().abs()));
}

#[test]
fn stages_add_up() {
    let models = Stage::CUSTOMS.map(|stage| Model::prior(stage, NOW));
    let lane = traits("CN", "US", TransportMode::Sea);
    let forecasts = models.each_ref().map(|model| model.forecast(&lane, NOW));
    let total = sum_quantiles(&forecasts).unwrap();
    let sum = |i: usize| forecasts.iter().map(|forecast| forecast.quantiles[i]).sum::<f64>();
    // Independent stages are seldom all slow or all fast at once.
    assert!(total[0] > sum(0) && total[8] < sum(8), "{total:?}");
    assert!(total.is_sorted());
    assert_eq!(sum_quantiles(&forecasts[..1]), None);
}

#[test]
fn milestones_come_in_their_order() {
    let check = |at: [Option<i64>; 6]| Milestones(at).check(100);
    assert_eq!(check([None; 6]), Err(RecordError::Empty));
    assert_eq!(check([Some(1), None, Some(1), None, None, Some(100)]), Ok(()));
    assert_eq!(
        check([None, Some(50), Some(40), None, None, None]),
        Err(RecordError::Order { field: "declared_at", before: "arrived_at", by_ms: 10 })
    );
    assert_eq!(
        check([None, None, None, None, None, Some(101)]),
        Err(RecordError::Future { field: "delivered_at", by_ms: 1 })
    );
    let stage = Milestones::default().with(Moment::Declared, 5).with(Moment::Released, 9);
    assert_eq!(stage.stage(STAGE, 8), Some((5, None)));
    assert_eq!(stage.stage(STAGE, 9), Some((5, Some(9))));
    assert_eq!(stage.stage(STAGE, 4), None);
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let place = prop::sample::select(vec!["CN", "DE", "NG", "SZ", "US"]);
    let mode = prop::sample::select(TransportMode::ALL.to_vec());
    (place.clone(), place, mode, 0i64..2000, 0.0..5000.0f64, any::<bool>()).prop_map(
        |(to, from, mode, days, hours, done)| {
            let traits = traits(to, from, mode);
            if done { finished(&traits, days, hours) } else { under_way(&traits, hours) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn quantiles_never_fall_and_are_times(
        seen in prop::collection::vec(any_observation(), 0..60),
        more in prop::collection::vec(any_observation(), 0..20),
        asked in any_observation(),
        later in 0i64..4000,
    ) {
        let mut model = fit(&seen);
        for observation in &more {
            model.learn(observation, NOW);
        }
        let forecast = model.forecast(&asked.traits, NOW + later * DAY);
        prop_assert!(forecast.quantiles.is_sorted(), "{:?}", forecast.quantiles);
        prop_assert!(forecast.quantiles.iter().all(|q| q.is_finite() && *q >= 0.0));
        let evidence = forecast.evidence;
        prop_assert!(evidence.n_lane <= evidence.n_country + 1e-9);
        prop_assert!(evidence.n_country <= evidence.n_stage + 1e-9);
        for driver in &forecast.drivers {
            prop_assert!(driver.times.is_finite() && driver.times > 0.0);
            prop_assert!((0.0..=1.0).contains(&driver.shrunk));
        }
    }
}
