//! Behaviour of the capability: pooling, time travel, censoring, the reader, the adapter, the gate.

mod calendar;
mod files;
#[cfg(feature = "grpc")]
mod grpc;
mod hours;
mod inspections;
mod learning;
mod real_data;
mod time_travel;

use std::sync::Arc;

use super::{Observation, Stage, Traits};
use crate::{Country, TransportMode};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600_000;

fn traits(destination: &str, origin: &str, mode: TransportMode) -> Traits {
    Traits {
        origin: Some(Country::parse(origin).unwrap()),
        mode: Some(mode),
        ..Traits::to(Country::parse(destination).unwrap())
    }
}

/// A release that took `hours` and began `days` before [`NOW`].
fn finished(traits: &Traits, days: i64, hours: f64) -> Observation {
    Observation {
        stage: Stage::DeclarationToRelease,
        start_ms: NOW - days * DAY,
        hours,
        finished: true,
        traits: Arc::new(traits.clone()),
    }
}

/// One that has taken `hours` so far.
fn under_way(traits: &Traits, hours: f64) -> Observation {
    let start_ms = NOW - (hours * HOUR as f64) as i64;
    Observation { start_ms, finished: false, ..finished(traits, 0, hours) }
}
