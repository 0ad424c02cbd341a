//! The core's answers as messages of the contract.

use oaas_proto::oaas::cross_border::v1 as wire;

use super::backtest::{Method, Report, Score};
use super::calendar::Opening;
use super::forecast::{Driver, Fallback};
use super::service::{Answer, Explained};
use super::wire::timestamp;
use super::{Forecast, METHOD, PROBABILITIES, Stage};

/// The answer to a question for a forecast.
pub(super) fn prediction(as_of_ms: i64, answer: &Answer) -> wire::PredictClearanceTimeResponse {
    wire::PredictClearanceTimeResponse {
        as_of: Some(timestamp(as_of_ms)),
        model_version: model_version(answer.fit),
        data_version: data_version(answer.data),
        stages: answer.stages.iter().map(stage).collect(),
        total: answer.total.as_ref().map(|hours| quantiles(hours, &[0.0; 9])).unwrap_or_default(),
    }
}

/// Method and fit.
fn model_version((fitted_ms, learned): (i64, u64)) -> String {
    let fitted = jiff::Timestamp::from_millisecond(fitted_ms).unwrap_or_default();
    format!("{METHOD}@{fitted}+{learned}")
}

/// Number of the records and their digest.
fn data_version((records, digest): (usize, u64)) -> String {
    format!("{records}-{digest:016x}")
}

/// A forecast taken apart.
pub(super) fn explanation(as_of_ms: i64, explained: &Explained) -> wire::ExplainClearanceTimeResponse {
    let Explained { explanation, fit, data } = explained;
    wire::ExplainClearanceTimeResponse {
        as_of: Some(timestamp(as_of_ms)),
        model_version: model_version(*fit),
        data_version: data_version(*data),
        forecast: Some(stage(&explanation.forecast)),
        base_hours: explanation.base_hours,
        factors: explanation.factors.iter().map(driver).collect(),
        middle_hours: explanation.middle_hours,
        spread: explanation.spread,
        tracker: Some(wire::QuantileTracker {
            step: explanation.tracked.step,
            labels: explanation.tracked.labels,
            factors: explanation.tracked.offsets.iter().map(|offset| offset.exp()).collect(),
        }),
    }
}

/// What came out of a backtest.
pub(super) fn backtest(
    as_of_ms: i64,
    data: (usize, u64),
    report: &Report,
) -> wire::BacktestClearanceTimeResponse {
    wire::BacktestClearanceTimeResponse {
        as_of: Some(timestamp(as_of_ms)),
        data_version: data_version(data),
        cases: report.cases as u64,
        mean_hours: report.mean_days * 24.0,
        from: Some(timestamp(report.from_ms)),
        until: Some(timestamp(report.until_ms)),
        refits: u32::try_from(report.origins).unwrap_or(u32::MAX),
        scores: report.scores.iter().map(score).collect(),
    }
}

fn score(score: &Score) -> wire::BacktestScore {
    let method = match score.method {
        Method::Model => wire::ForecastMethod::Model,
        Method::Lane => wire::ForecastMethod::Lane,
        Method::Global => wire::ForecastMethod::Global,
    };
    let (lanes, good) = score.lanes;
    wire::BacktestScore {
        method: method.into(),
        crps_hours: score.crps_days * 24.0,
        p50_loss_hours: score.p50_days * 24.0,
        p90_loss_hours: score.p90_days * 24.0,
        coverage: score.coverage,
        width_hours: score.width_days * 24.0,
        lanes: u32::try_from(lanes).unwrap_or(u32::MAX),
        lanes_good: u32::try_from(good).unwrap_or(u32::MAX),
        held: score.held.to_vec(),
    }
}

fn stage(forecast: &Forecast) -> wire::StageForecast {
    let evidence = &forecast.evidence;
    let fallback = match evidence.fallback {
        Fallback::Lane => wire::FallbackLevel::Lane,
        Fallback::Country => wire::FallbackLevel::Country,
        Fallback::CountryPrior => wire::FallbackLevel::CountryPrior,
        Fallback::Global => wire::FallbackLevel::Global,
    };
    let opening = match forecast.opening {
        None => wire::OfficeOpening::RoundTheClock,
        Some(Opening::WorkingDays) => wire::OfficeOpening::WorkingDays,
        Some(Opening::OfficeHours) => wire::OfficeOpening::OfficeHours,
        Some(Opening::Configured) => wire::OfficeOpening::Configured,
    };
    let opening_source = match forecast.opening {
        Some(Opening::Configured) => wire::OpeningSource::Configured,
        _ => wire::OpeningSource::Learned,
    };
    wire::StageForecast {
        stage: stage_number(forecast.stage),
        quantiles: quantiles(&forecast.quantiles, &forecast.worked),
        fallback_level: fallback.into(),
        n_effective: evidence.n_effective(),
        n_lane: evidence.n_lane,
        n_country: evidence.n_country,
        n_stage: evidence.n_stage,
        drivers: forecast.drivers.iter().map(driver).collect(),
        prior_source: evidence.prior_source().unwrap_or_default().to_owned(),
        opening: opening.into(),
        opening_source: opening_source.into(),
        inspection: forecast.inspection.map(|inspection| wire::InspectionForecast {
            probability: inspection.probability,
            n: inspection.n,
            factor: inspection.times,
        }),
    }
}

fn driver(driver: &Driver) -> wire::Driver {
    wire::Driver {
        r#trait: driver.factor.name().to_owned(),
        value: driver.value.clone(),
        factor: driver.times,
        n: driver.n,
        shrunk: driver.shrunk,
    }
}

fn quantiles(hours: &[f64; 9], worked: &[f64; 9]) -> Vec<wire::QuantileHours> {
    let both = PROBABILITIES.iter().zip(hours).zip(worked);
    both.map(|((&probability, &hours), &working_hours)| wire::QuantileHours {
        probability,
        hours,
        working_hours,
    })
    .collect()
}

/// The stage in the contract.
pub(super) fn stage_number(stage: Stage) -> i32 {
    match stage {
        Stage::ArrivalToDeclaration => wire::ClearanceStage::ArrivalToDeclaration as i32,
        Stage::DeclarationToRelease => wire::ClearanceStage::DeclarationToRelease as i32,
        Stage::ReleaseToGateOut => wire::ClearanceStage::ReleaseToGateOut as i32,
        Stage::OrderToDelivery => wire::ClearanceStage::OrderToDelivery as i32,
    }
}
