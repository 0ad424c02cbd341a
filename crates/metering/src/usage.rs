//! Usage as people and bills read it.

use crate::{BudgetLimit, QuotaLimit};

/// Lines of one listing.
pub(crate) const LISTED_MAX: usize = 10_000;

/// What is used of quotas and budgets now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By application and service.
    pub quotas: Vec<QuotaUsage>,
    /// By application, budget and key.
    pub budgets: Vec<BudgetUsage>,
}

/// Calls of an application to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    /// Application.
    pub application: String,
    /// gRPC service.
    pub service: String,
    /// The limit that its last call met.
    pub limit: QuotaLimit,
    /// Calls made in the running period.
    pub used: u64,
    /// When the next period begins, Unix milliseconds.
    pub resets_at_unix_ms: i64,
}

/// Money that an application has at stake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetUsage {
    /// Application.
    pub application: String,
    /// Name of the budget.
    pub budget: String,
    /// Value of the field that it is kept per.
    pub key: String,
    /// The limit that its last call met; `None` when there was no call since the start.
    pub limit: Option<BudgetLimit>,
    /// Minor units spent in the running window.
    pub spent_minor: i64,
    /// Minor units that calls under way hold.
    pub held_minor: i64,
}

/// One call, for [`crate::Meters::record_usage`].
#[derive(Clone, Copy, Debug)]
pub struct CallUsage<'a> {
    /// Application; empty when not established.
    pub application: &'a str,
    /// Canonical method path. Example: "/oaas.channel.v1.RebateService/CalculateRebate".
    pub method: &'a str,
    /// gRPC status code.
    pub status: u32,
    /// Units to charge.
    pub units: u64,
    /// Price, millionths of the currency's major unit.
    pub price_micros: i64,
    /// ISO 4217 code; empty when free.
    pub currency: &'a str,
}

/// Calls of a day (UTC), as the store has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayUsage {
    /// Application; empty when not established.
    pub application: String,
    /// Canonical method path; of summed refusals, whose methods are not known, "/service/".
    pub method: String,
    /// gRPC status code.
    pub status: u32,
    /// Day counted from 1970-01-01.
    pub day: i64,
    /// ISO 4217 code of the price; empty when free.
    pub currency: String,
    /// Calls.
    pub calls: u64,
    /// Units to charge.
    pub units: u64,
    /// Price, millionths of the currency's major unit.
    pub price_micros: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub calls: u64,
    pub units: u64,
    pub price_micros: i64,
}

impl Sum {
    pub fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.units = self.units.saturating_add(other.units);
        self.price_micros = self.price_micros.saturating_add(other.price_micros);
    }
}
