//! Why the service refused, and the status that says so.

use std::collections::HashMap;

use jiff::civil::Date;
use oaas_capability::{CapabilityError, Violation, invalid};
use oaas_store::StoreError;
use thiserror::Error;
use tonic::{Code, Status};

use super::law::{Article, Finding};
use super::{CalculateError, FACTS_MAX, MoveError, Problem};

/// The service, as error details name it.
const SERVICE: &str = "oaas.channel.v1.RebateService";

/// Why the service refused.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Fields of the request.
    #[error("{} fields are not as they must be", .0.len())]
    Invalid(Vec<Violation>),
    /// The law forbids the plan.
    #[error("plan {plan_id:?} is forbidden: {}", forbidden(.findings))]
    PlanForbidden {
        /// The plan.
        plan_id: String,
        /// What blocks it.
        findings: Vec<Finding>,
    },
    /// No such plan or version.
    #[error("plan {plan_id:?} has no version {version}, or does not exist")]
    PlanUnknown {
        /// The plan.
        plan_id: String,
        /// The version, or "at all".
        version: String,
    },
    /// The plan has no version for this day.
    #[error("plan {plan_id:?} is not in force on {day}")]
    PlanNotInForce {
        /// The plan.
        plan_id: String,
        /// The day.
        day: String,
    },
    /// The new version does not fit the earlier ones.
    #[error("plan {plan_id:?}: {text}")]
    PlanConflict {
        /// The plan.
        plan_id: String,
        /// What does not fit.
        text: String,
    },
    /// Another fact has this id.
    #[error("event id {event_id:?} was recorded with another content")]
    EventIdReused {
        /// The id.
        event_id: String,
    },
    /// A return before its sale.
    #[error("return {event_id:?} is of sale {sale_event_id:?}, which was not recorded")]
    SaleUnknown {
        /// The return.
        event_id: String,
        /// The sale.
        sale_event_id: String,
    },
    /// A return that its sale does not allow.
    #[error("return {event_id:?}: {text}")]
    ReturnRefused {
        /// The return.
        event_id: String,
        /// Why.
        text: String,
    },
    /// A second payment of a sale.
    #[error("payment {event_id:?} is of a sale that payment {other:?} paid already")]
    PaymentRefused {
        /// The payment.
        event_id: String,
        /// The earlier one.
        other: String,
    },
    /// A move that can't be.
    #[error("plan {plan_id:?}: {error}")]
    MoveRefused {
        /// The plan.
        plan_id: String,
        /// Why.
        error: MoveError,
    },
    /// A period that is not over.
    #[error("plan {plan_id:?}: the period runs until {end}; it can be settled from the day after")]
    PeriodOpen {
        /// The plan.
        plan_id: String,
        /// Its last day.
        end: Date,
    },
    /// A later period was settled before.
    #[error(
        "plan {plan_id:?}: the period from {settled} is settled already, and an earlier one can't follow"
    )]
    PeriodOrder {
        /// The plan.
        plan_id: String,
        /// First day of the later period.
        settled: String,
    },
    /// A statement of a period that is not settled.
    #[error("plan {plan_id:?}: the period from {period_start} is not settled")]
    NotSettled {
        /// The plan.
        plan_id: String,
        /// First day of the period.
        period_start: Date,
    },
    /// A member without a statement.
    #[error("plan {plan_id:?}: member {member_id:?} has no statement for the period")]
    NoStatement {
        /// The plan.
        plan_id: String,
        /// The member.
        member_id: String,
    },
    /// No such ledger line.
    #[error("plan {plan_id:?} has no ledger line {sequence}")]
    LineUnknown {
        /// The plan.
        plan_id: String,
        /// The line.
        sequence: i64,
    },
    /// Recorded facts and the plan do not fit.
    #[error("recorded facts do not fit the plan: {}", texts(.0))]
    FactsInvalid(Vec<Problem>),
    /// More facts in a period than one calculation takes.
    #[error("the period has {0} facts or more, at most {FACTS_MAX} are taken")]
    FactsTooMany(usize),
    /// Beyond 64 bits.
    #[error("an amount is too large for 64 bits")]
    AmountTooLarge,
    /// What is stored can't be read.
    #[error("stored {0} can't be read")]
    Unreadable(&'static str),
    /// The calculation ended without a result.
    #[error("the calculation broke off")]
    BrokenOff,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Refusal {
    /// The refusal of a calculation from recorded facts.
    pub fn of_recorded(plan_id: &str, error: CalculateError) -> Self {
        match error {
            CalculateError::PlanForbidden(findings) => {
                Self::PlanForbidden { plan_id: plan_id.to_owned(), findings }
            }
            CalculateError::PlanInvalid(problems) | CalculateError::FactsInvalid(problems) => {
                Self::FactsInvalid(problems)
            }
            CalculateError::FactsTooMany { count } => Self::FactsTooMany(count),
            CalculateError::Overflow => Self::AmountTooLarge,
        }
    }

    /// The refusal of a calculation from facts in the request.
    pub fn of_inline(plan_id: &str, error: CalculateError) -> Self {
        match error {
            CalculateError::PlanInvalid(problems) => {
                Self::Invalid(super::wire::violations("inline.plan.", &problems))
            }
            CalculateError::FactsInvalid(problems) => {
                Self::Invalid(super::wire::violations("inline.", &problems))
            }
            other => Self::of_recorded(plan_id, other),
        }
    }

    fn reason(&self) -> (Code, &'static str) {
        match self {
            Self::Invalid(_) => (Code::InvalidArgument, "FIELD_INVALID"),
            Self::PlanForbidden { .. } => (Code::FailedPrecondition, "PLAN_FORBIDDEN"),
            Self::PlanUnknown { .. } => (Code::NotFound, "PLAN_UNKNOWN"),
            Self::PlanNotInForce { .. } => (Code::FailedPrecondition, "PLAN_NOT_IN_FORCE"),
            Self::PlanConflict { .. } => (Code::FailedPrecondition, "PLAN_CONFLICT"),
            Self::EventIdReused { .. } => (Code::AlreadyExists, "EVENT_ID_REUSED"),
            Self::SaleUnknown { .. } => (Code::FailedPrecondition, "SALE_UNKNOWN"),
            Self::ReturnRefused { .. } => (Code::FailedPrecondition, "RETURN_REFUSED"),
            Self::PaymentRefused { .. } => (Code::FailedPrecondition, "PAYMENT_REFUSED"),
            Self::MoveRefused { .. } => (Code::FailedPrecondition, "MOVE_REFUSED"),
            Self::PeriodOpen { .. } => (Code::FailedPrecondition, "PERIOD_OPEN"),
            Self::PeriodOrder { .. } => (Code::FailedPrecondition, "PERIOD_ORDER"),
            Self::NotSettled { .. } => (Code::FailedPrecondition, "PERIOD_NOT_SETTLED"),
            Self::NoStatement { .. } => (Code::NotFound, "STATEMENT_UNKNOWN"),
            Self::LineUnknown { .. } => (Code::NotFound, "LINE_UNKNOWN"),
            Self::FactsInvalid(_) => (Code::FailedPrecondition, "FACTS_INVALID"),
            Self::FactsTooMany(_) => (Code::OutOfRange, "FACTS_TOO_MANY"),
            Self::AmountTooLarge => (Code::OutOfRange, "AMOUNT_TOO_LARGE"),
            Self::Unreadable(_) => (Code::DataLoss, "STORE_UNREADABLE"),
            Self::BrokenOff => (Code::Internal, "CALCULATION_BROKEN_OFF"),
            Self::Store(_) => (Code::Unavailable, "STORE_UNAVAILABLE"),
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let pairs = match self {
            Self::PlanForbidden { plan_id, findings } => {
                let mut pairs = vec![pair("plan_id", plan_id)];
                if let Some(finding) = findings.first() {
                    pairs.extend([pair("finding", finding.code), pair("field", finding.field)]);
                    pairs.push(pair("message_zh", &finding.message.zh));
                    pairs.extend(finding.article.into_iter().flat_map(article_pairs));
                }
                pairs
            }
            Self::PlanUnknown { plan_id, .. }
            | Self::PlanNotInForce { plan_id, .. }
            | Self::PlanConflict { plan_id, .. }
            | Self::MoveRefused { plan_id, .. }
            | Self::PeriodOpen { plan_id, .. }
            | Self::PeriodOrder { plan_id, .. }
            | Self::NotSettled { plan_id, .. }
            | Self::NoStatement { plan_id, .. }
            | Self::LineUnknown { plan_id, .. } => vec![pair("plan_id", plan_id)],
            Self::EventIdReused { event_id }
            | Self::SaleUnknown { event_id, .. }
            | Self::ReturnRefused { event_id, .. }
            | Self::PaymentRefused { event_id, .. } => vec![pair("event_id", event_id)],
            _ => Vec::new(),
        };
        pairs.into_iter().collect()
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Invalid(violations) = &refusal {
            return invalid(violations);
        }
        let (code, reason) = refusal.reason();
        // What the engine says is for the log, not for callers.
        let message = match &refusal {
            Refusal::Store(_) => "the store can't be reached just now".to_owned(),
            other => other.to_string(),
        };
        CapabilityError { code, reason, service: SERVICE, message, metadata: refusal.metadata() }.into()
    }
}

fn article_pairs(article: &Article) -> Vec<(String, String)> {
    [
        ("article", article.title_en),
        ("article_zh", article.title_zh),
        ("article_text", article.summary_en),
        ("article_text_zh", article.summary_zh),
        ("article_source", article.source),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

fn forbidden(findings: &[Finding]) -> String {
    let texts = findings.iter().map(|finding| match finding.article {
        Some(article) => format!("{} ({})", finding.message.en, article.title_en),
        None => finding.message.en.clone(),
    });
    texts.collect::<Vec<_>>().join("; ")
}

fn texts(problems: &[Problem]) -> String {
    problems.iter().take(5).map(|p| format!("{}: {}", p.field, p.text.en)).collect::<Vec<_>>().join("; ")
}
