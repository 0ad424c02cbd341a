//! What all calls of a process share: the bound catalog, the journal, the meters, the breakers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use oaas_audit::Journal;
use oaas_audit::record::{Administration, audit_record::Event};
use oaas_metering::Meters;
use oaas_model::{Clock, Timestamp};
use parking_lot::Mutex;

use crate::alert::{Alert, AlertSink as _, Alerts, Severity, Status};
use crate::auth::Auth;
use crate::bound::Bound;
use crate::breaker::{Breakers, Changes, Transition};
use crate::buffer::Room;
use crate::call::Call;
use crate::degrade::LastGood;
use crate::edge::Drain;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::trace_context::TraceContext;

/// Numbers of the process that the catalog does not have.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Calls that may be in flight at once.
    pub calls_in_flight_max: usize,
    /// Most header fields of one call.
    pub header_fields_max: usize,
    /// Largest header list of one call, bytes as HTTP/2 counts them.
    pub header_list_bytes_max: usize,
    /// Share of calls without a caller's trace that are traced, 0 to 1; none when nothing is exported.
    pub trace_ratio: Option<f64>,
    /// Where refusals link to for more.
    pub docs_url: Arc<str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            calls_in_flight_max: 10_000,
            header_fields_max: 128,
            header_list_bytes_max: 16 * 1024,
            trace_ratio: None,
            docs_url: Arc::from("oaas:"),
        }
    }
}

/// What all calls share.
pub struct Shared {
    /// The catalog version in force; a call takes it once.
    pub bound: ArcSwap<Bound>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The call journal.
    pub journal: Journal,
    /// Quotas and budgets.
    pub meters: Meters,
    /// Circuit breakers.
    pub breakers: Breakers,
    /// Rates and calls at once.
    pub limits: Limits,
    /// Last good answers.
    pub last_good: LastGood,
    /// Idempotency keys.
    pub(crate) idempotency: crate::idempotency::Keys,
    /// Whole requests in memory.
    pub(crate) requests: Room,
    /// Counters.
    pub metrics: Metrics,
    /// Alerts.
    pub alerts: Alerts,
    /// Callers' credentials.
    pub auth: Auth,
    /// Numbers of the process.
    pub settings: Settings,
    /// Counts calls for sampling, from a random start.
    pub(crate) dice: AtomicU64,
    /// Whether the process is about to stop; health says so.
    pub draining: AtomicBool,
    /// The edge's way out: a call that ends when it is cut was cut by us, not left by its caller.
    pub drain: Drain,
    /// What records say of calls that stayed in this process.
    pub(crate) local: Arc<str>,
    /// Budgets that were told of, and when: one alert each a minute.
    pub(crate) budget_alerts: Mutex<HashMap<(String, String, String), Timestamp>>,
}

/// Budgets whose last alert is remembered.
const BUDGET_ALERTS_MAX: usize = 1_024;
/// How often one budget is told of.
const BUDGET_ALERT_EVERY: Duration = Duration::from_secs(60);

impl Shared {
    /// Whether this call of a sampled method leaves a record: one in `one_in`.
    #[must_use]
    pub fn samples(&self, one_in: u32) -> bool {
        self.roll().is_multiple_of(u64::from(one_in.max(1)))
    }

    /// Whether this call gets a span: as its caller decided, else by the ratio.
    #[must_use]
    pub fn traces(&self, trace: &TraceContext) -> bool {
        let Some(ratio) = self.settings.trace_ratio else { return false };
        if trace.trace_id().is_some() {
            return trace.sampled();
        }
        // 53 bits: as many as a float holds exactly.
        (self.roll() >> 11) as f64 / ((1u64 << 53) as f64) < ratio
    }

    /// Evenly spread numbers that need no lock (splitmix64, Steele et al. 2014).
    fn roll(&self) -> u64 {
        let mut z = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Tells of the changes of state that a call brought about.
    pub fn announce(&self, call: &Call, changes: &Changes) {
        let service = call.service_name();
        if let Some(transition) = &changes.service {
            self.announce_one(service, None, transition, "oaas");
        }
        if let (Some(transition), Some(application)) = (&changes.application, call.application()) {
            self.announce_one(service, Some(&application.id), transition, "oaas");
        }
    }

    /// Tells of one change of state: an alert, and an audit record.
    pub fn announce_one(
        &self,
        service: &str,
        application: Option<&str>,
        transition: &Transition,
        actor: &str,
    ) {
        self.alerts.raise(Alert::of_transition(service, application, transition));
        let mut details = HashMap::from([
            ("from".to_owned(), transition.from.to_string()),
            ("to".to_owned(), transition.to.to_string()),
            ("cause".to_owned(), transition.cause.to_string()),
            ("calls".to_owned(), transition.calls.to_string()),
            ("errors".to_owned(), transition.errors.to_string()),
            ("timeouts".to_owned(), transition.timeouts.to_string()),
        ]);
        details.extend(application.map(|name| ("application".to_owned(), name.to_owned())));
        self.administered(actor, "breaker.transition", service, details);
    }

    /// Records an act on the platform.
    pub fn administered(&self, actor: &str, action: &str, subject: &str, details: HashMap<String, String>) {
        let event = Event::Administration(Administration {
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            details,
        });
        if let Err(error) = self.journal.append(event) {
            tracing::error!(%error, action, subject, "an act on the platform has no audit record");
        }
    }

    /// Tells that an application used a budget up.
    pub fn budget_exhausted(&self, application: &str, budget: &str, key: &str) {
        let (now, which) = (self.clock.now(), (application.to_owned(), budget.to_owned(), key.to_owned()));
        let mut told = self.budget_alerts.lock();
        if told.get(&which).is_some_and(|at| now.since(*at) < BUDGET_ALERT_EVERY) {
            return;
        }
        if told.len() >= BUDGET_ALERTS_MAX {
            told.retain(|_, at| now.since(*at) < BUDGET_ALERT_EVERY);
        }
        if told.len() < BUDGET_ALERTS_MAX {
            told.insert(which, now);
        }
        drop(told);
        self.alerts.raise(Alert {
            name: "BudgetExhausted",
            severity: Severity::Critical,
            labels: [
                ("application", application.to_owned()),
                ("budget", budget.to_owned()),
                ("key", key.to_owned()),
            ]
            .into(),
            annotations: [
                ("summary", format!("{application} used up the budget {budget} of {key}")),
                ("summary_zh", format!("{application} 已用尽 {key} 的预算 {budget}")),
            ]
            .into(),
            status: Status::Firing,
            at: now,
        });
    }
}
