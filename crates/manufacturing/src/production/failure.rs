//! What can go wrong with a call, and the status that it becomes.

use std::collections::HashMap;

use oaas_capability::{CapabilityError, Violation, invalid};
use oaas_store::StoreError;
use thiserror::Error;
use tonic::{Code, Status};

use super::bill::BillError;
use super::demand::PlanError;

/// The gRPC service that these errors are of.
const SERVICE: &str = "oaas.manufacturing.v1.ProductionService";

/// Why a call has no answer.
#[derive(Debug, Error)]
pub enum Failure {
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Fields are not as they must be.
    #[error("{} fields are not as they must be", .0.len())]
    Fields(Vec<Violation>),
    /// No master data were put for the plant.
    #[error("plant {0} is not known: put its master data first")]
    PlantUnknown(String),
    /// No production has this id.
    #[error("production {0} is not known")]
    ProductionUnknown(String),
    /// The production has no such order.
    #[error("production {production} has no order {order}")]
    OrderUnknown {
        /// Production.
        production: String,
        /// Order.
        order: u32,
    },
    /// The plant has no such open order.
    #[error("open order {0} is not known")]
    ReceiptUnknown(String),
    /// The key names another request.
    #[error("idempotency key {0} was used for another request")]
    KeyReused(String),
    /// The state can't follow from the present one.
    #[error("{subject} is {from} and can't become {to}")]
    StateConflict {
        /// Production or order.
        subject: String,
        /// Present state.
        from: &'static str,
        /// Reported state.
        to: &'static str,
    },
    /// Goods are issued that are not in stock.
    #[error("{missing} units of {item} are not in stock yet")]
    MaterialMissing {
        /// Item.
        item: String,
        /// Units.
        missing: i64,
    },
    /// The worker that computes the plan went away.
    #[error("the planner stopped before its answer")]
    Planner,
    /// What was stored can't be read.
    #[error("stored {0} can't be read")]
    Corrupt(&'static str),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let (code, reason) = match &failure {
            Failure::Fields(violations) => return invalid(violations),
            // A later try can succeed, and a trigger that was carried out is found again by its key.
            Failure::Store(_) => (Code::Unavailable, "STORE_UNAVAILABLE"),
            Failure::Corrupt(_) => (Code::Internal, "STORE_UNREADABLE"),
            Failure::Planner => (Code::Internal, "PLANNER_FAILED"),
            Failure::PlantUnknown(_) => (Code::NotFound, "PLANT_UNKNOWN"),
            Failure::ProductionUnknown(_) | Failure::OrderUnknown { .. } => {
                (Code::NotFound, "PRODUCTION_UNKNOWN")
            }
            Failure::ReceiptUnknown(_) => (Code::NotFound, "RECEIPT_UNKNOWN"),
            Failure::KeyReused(_) => (Code::InvalidArgument, "KEY_REUSED"),
            Failure::StateConflict { .. } => (Code::FailedPrecondition, "STATE_CONFLICT"),
            Failure::MaterialMissing { .. } => (Code::FailedPrecondition, "MATERIAL_MISSING"),
            Failure::Plan(error) => plan(error),
        };
        let message = match &failure {
            // What the engine says is for the log, not for the caller.
            Failure::Store(_) | Failure::Planner | Failure::Corrupt(_) => {
                tracing::error!(error = %failure, "production trigger failed");
                "the production trigger can't answer now".to_owned()
            }
            other => other.to_string(),
        };
        CapabilityError { code, reason, service: SERVICE, message, metadata: facts(&failure) }.into()
    }
}

/// Code and reason of a plan that can't be made.
pub fn plan(error: &PlanError) -> (Code, &'static str) {
    match error {
        PlanError::Bill(BillError::Cycle { .. }) => (Code::InvalidArgument, "BILL_CYCLE"),
        PlanError::Bill(BillError::Unknown { .. }) => (Code::NotFound, "ITEM_UNKNOWN"),
        PlanError::Bill(BillError::TooLarge { .. }) | PlanError::TooLarge { .. } => {
            (Code::FailedPrecondition, "PLAN_TOO_LARGE")
        }
        PlanError::NoSource { .. } | PlanError::SenderShort { .. } => (Code::FailedPrecondition, "NO_SOURCE"),
        PlanError::WorkCenterUnknown { .. } => (Code::FailedPrecondition, "WORK_CENTER_UNKNOWN"),
        PlanError::NoCapacity { .. } => (Code::FailedPrecondition, "NO_CAPACITY"),
        PlanError::Late { .. } => (Code::FailedPrecondition, "DUE_DATE_INFEASIBLE"),
    }
}

/// Facts by name, for programs.
fn facts(failure: &Failure) -> HashMap<String, String> {
    let facts: Vec<(&str, String)> = match failure {
        Failure::Plan(PlanError::Late { promise, late_minutes }) => vec![
            ("promise_unix_s", promise.saturating_mul(60).to_string()),
            ("late_minutes", late_minutes.to_string()),
        ],
        Failure::Plan(PlanError::NoSource { item, missing }) => {
            vec![("item_id", item.to_string()), ("missing", missing.to_string())]
        }
        Failure::Plan(PlanError::SenderShort { item, sender, missing }) => vec![
            ("item_id", item.to_string()),
            ("sender", sender.to_string()),
            ("missing", missing.to_string()),
        ],
        Failure::Plan(PlanError::Bill(BillError::Cycle { path })) => vec![("cycle", path.join(" -> "))],
        Failure::Plan(PlanError::Bill(BillError::Unknown { item, .. })) => {
            vec![("item_id", item.to_string())]
        }
        Failure::Plan(PlanError::NoCapacity { work_center, .. }) => {
            vec![("work_center_id", work_center.to_string())]
        }
        Failure::MaterialMissing { item, missing } => {
            vec![("item_id", item.clone()), ("missing", missing.to_string())]
        }
        _ => Vec::new(),
    };
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
