//! Prints the figures of `docs/capabilities/clearance-time.md` on speed, the backtests where the data is:
//! `OAAS_TEST_DATA=<folder> cargo run --release -p oaas-cross-border --no-default-features --example clearance`

use std::sync::Arc;

use oaas_cross_border::clearance_time::backtest::{self, Case};
use oaas_cross_border::clearance_time::calendar::{Calendar, Opening};
use oaas_cross_border::clearance_time::{Model, Observation, Stage, Traits, olist, scms, sum_quantiles};
use oaas_cross_border::{Country, TransportMode};
use oaas_model::{Clock as _, SystemClock};

const HOUR: i64 = 3_600_000;
/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600_000;
const ROWS: i64 = 100_000;
const CALLS: usize = 20_000;
const WHOLE_CALLS: i64 = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    speed()?;
    let Some(folder) = std::env::var_os("OAAS_TEST_DATA").map(std::path::PathBuf::from) else {
        println!("no backtests: OAAS_TEST_DATA is not set");
        return Ok(());
    };
    let open = |path: &str| std::fs::File::open(folder.join(path)).map(std::io::BufReader::new);
    let shipments = scms::read(open("scms/SCMS_Delivery_History_Dataset.csv")?, "SCMS")?;
    score("SCMS, order to delivery", &shipments.cases(), 6)?;
    let orders = olist::read(open("olist/olist_orders_joined.csv")?, "Olist")?;
    score("Olist, carrier to delivery", &orders.cases, 1)?;
    Ok(())
}

/// 100,000 releases over two years: 8 countries, 40 offices, 6 modes, 60 chapters, 500 suppliers.
fn rows() -> Result<Vec<Observation>, oaas_cross_border::CustomsError> {
    let countries = ["CN", "DE", "US", "BR", "IN", "NG", "ZA", "VN"];
    (0..ROWS)
        .map(|i| {
            // A linear congruential generator (Knuth, MMIX): the same rows every time.
            let random = (i as u64 + 1)
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let part = |shift: u32, of: u64| (random >> shift) % of;
            let country = countries.get(part(33, 8) as usize).copied().unwrap_or("CN");
            let traits = Traits {
                origin: Some(Country::parse(countries.get(part(37, 8) as usize).copied().unwrap_or("DE"))?),
                office: format!("{country}{}", part(40, 5)),
                mode: TransportMode::ALL.get(part(43, 6) as usize).copied(),
                hs_code: format!("{:02}", part(47, 60) + 10),
                supplier: format!("S{}", part(29, 500)),
                ..Traits::to(Country::parse(country)?)
            };
            let age = i * 730 * 24 / ROWS;
            let hours = (1.0 + part(43, 6) as f64) * (2.0 + part(20, 97) as f64);
            Ok(Observation {
                stage: Stage::DeclarationToRelease,
                start_ms: NOW - age * HOUR,
                hours: hours.min(age as f64),
                finished: hours < age as f64,
                traits: Arc::new(traits),
            })
        })
        .collect()
}

fn speed() -> Result<(), oaas_cross_border::CustomsError> {
    let rows = rows()?;
    let clock = SystemClock::new();
    let before = clock.now();
    let mut model = Model::fit(Stage::DeclarationToRelease, &rows, NOW);
    println!("fit of {ROWS} rows: {:.2} s", clock.now().since(before).as_secs_f64());
    let mut calls: Vec<std::time::Duration> = rows
        .iter()
        .take(CALLS)
        .map(|row| {
            let before = clock.now();
            let forecast = model.forecast(&row.traits, NOW);
            std::hint::black_box(forecast.quantiles);
            clock.now().since(before)
        })
        .collect();
    calls.sort_unstable();
    let at = |share: f64| calls.get((CALLS as f64 * share) as usize).map_or(0.0, |d| d.as_secs_f64() * 1e3);
    println!("a forecast: p50 {:.4} ms, p99 {:.4} ms", at(0.5), at(0.99));
    whole(&clock)?;
    let before = clock.now();
    for row in rows.iter().filter(|row| row.finished).take(CALLS) {
        model.learn(row, NOW);
    }
    let each = clock.now().since(before).as_secs_f64() * 1e6 / CALLS as f64;
    println!("a clearance learned without a refit: {each:.1} µs");
    Ok(())
}

/// A whole answer: the three stages of customs and their sum, at an office that keeps hours and inspects.
fn whole(clock: &SystemClock) -> Result<(), oaas_cross_border::CustomsError> {
    let traits = |inspected| -> Result<Traits, oaas_cross_border::CustomsError> {
        Ok(Traits { office: "CNSHA".to_owned(), inspected, ..Traits::to(Country::parse("CN")?) })
    };
    let both = [Arc::new(traits(Some(false))?), Arc::new(traits(Some(true))?)];
    let asked = traits(None)?;
    let Some(office) = Calendar::new(asked.destination, Opening::OfficeHours) else { return Ok(()) };
    let models = Stage::CUSTOMS.map(|stage| {
        let seen: Vec<Observation> = (0..2000)
            .map(|i| {
                let start_ms = office.after(NOW - 400 * 24 * HOUR, i * HOUR);
                let end_ms = office.after(start_ms, (1 + i * 37 % 30) * HOUR);
                let traits = both.get(usize::from(i % 10 == 0)).unwrap_or(&both[0]);
                let hours = (end_ms - start_ms) as f64 / HOUR as f64;
                Observation { stage, start_ms, hours, finished: true, traits: Arc::clone(traits) }
            })
            .collect();
        Model::fit(stage, &seen, NOW)
    });
    let mut calls: Vec<std::time::Duration> = (0..WHOLE_CALLS)
        .map(|i| {
            let before = clock.now();
            let begins = NOW + i * HOUR;
            let stages = models.each_ref().map(|model| model.forecast_from(&asked, NOW, begins));
            std::hint::black_box(sum_quantiles(&stages));
            clock.now().since(before)
        })
        .collect();
    calls.sort_unstable();
    let at =
        |share: f64| calls.get((WHOLE_CALLS as f64 * share) as usize).map_or(0.0, |d| d.as_secs_f64() * 1e3);
    println!(
        "a whole answer, three stages and their sum, hours and inspections: p50 {:.2} ms, p99 {:.2} ms",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

fn score(name: &str, cases: &[Case], months: u8) -> Result<(), Box<dyn std::error::Error>> {
    let clock = SystemClock::new();
    let before = clock.now();
    let report = backtest::run(Stage::OrderToDelivery, cases, months)?;
    let took = clock.now().since(before).as_secs_f64();
    println!("{name}: {} cases, {} refits, {took:.1} s", report.cases, report.origins);
    for score in &report.scores {
        println!(
            "  {:?}: CRPS {:.2} days, P50 {:.2}, P90 {:.2}, in the band {:.1} %, width {:.1}, lanes {:?}",
            score.method,
            score.crps_days,
            score.p50_days,
            score.p90_days,
            100.0 * score.coverage,
            score.width_days,
            score.lanes
        );
    }
    Ok(())
}
