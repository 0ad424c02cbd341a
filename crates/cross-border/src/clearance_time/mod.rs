//! How long a consignment will take through customs: the pure core.
//!
//! Shipments are recorded as they go ([`History`]); each stage has a [`Model`], fitted to what was known
//! at a moment and moved on by each further clearance; a [`Forecast`] is quantiles with their evidence.
//! Nothing here reads a clock, a network or a database.

pub mod backtest;
pub mod calendar;
mod factor;
mod file_error;
mod fit;
mod forecast;
#[cfg(feature = "grpc")]
mod grpc;
mod history;
pub mod hours;
mod inspection;
mod model;
mod normal;
mod offices;
pub mod olist;
pub mod plot;
mod priors;
mod priors_table;
mod replay;
#[cfg(feature = "grpc")]
mod reply;
pub mod scms;
#[cfg(feature = "grpc")]
mod service;
mod shape;
#[cfg(feature = "grpc")]
mod store;
#[cfg(test)]
mod tests;
mod tracker;
#[cfg(feature = "grpc")]
mod wire;
mod working_days;

pub use factor::{Factor, Traits};
pub use file_error::FileError;
pub use forecast::{Driver, Evidence, Explanation, Fallback, Forecast, PROBABILITIES, sum_quantiles};
#[cfg(feature = "grpc")]
pub use grpc::registration;
pub use history::{Added, History, Milestones, Moment, Record, RecordError};
pub use inspection::Inspection;
pub use model::{METHOD, Model, Observation};
pub use priors::{COUNTRY_PRIOR_SOURCE, GLOBAL_PRIOR_SOURCE};
pub use tracker::Tracked;

/// Milliseconds in an hour.
const HOUR_MS: f64 = 3_600_000.0;

/// A timed section of a shipment's way; the first three as in the WCO Time Release Study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Goods arrived → declaration lodged.
    ArrivalToDeclaration,
    /// Declaration lodged → released by customs.
    DeclarationToRelease,
    /// Released → left the port, airport or warehouse.
    ReleaseToGateOut,
    /// Order sent to the supplier → delivered to the client.
    OrderToDelivery,
}

impl Stage {
    /// All stages.
    pub const ALL: [Self; 4] = [
        Self::ArrivalToDeclaration,
        Self::DeclarationToRelease,
        Self::ReleaseToGateOut,
        Self::OrderToDelivery,
    ];
    /// The stages of customs, one after the other.
    pub const CUSTOMS: [Self; 3] =
        [Self::ArrivalToDeclaration, Self::DeclarationToRelease, Self::ReleaseToGateOut];

    /// The moments between which the stage lies.
    #[must_use]
    pub fn ends(self) -> (Moment, Moment) {
        match self {
            Self::ArrivalToDeclaration => (Moment::Arrived, Moment::Declared),
            Self::DeclarationToRelease => (Moment::Declared, Moment::Released),
            Self::ReleaseToGateOut => (Moment::Released, Moment::GatedOut),
            Self::OrderToDelivery => (Moment::Ordered, Moment::Delivered),
        }
    }

    /// Position in [`Stage::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}
