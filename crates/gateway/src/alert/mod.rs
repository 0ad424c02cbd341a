//! Alerts: what somebody should know now. Each gives a log line, an event on a bus in this process,
//! and a post to the webhooks. Raising one never waits.

mod payload;
mod webhook;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use oaas_model::{Lang, Timestamp};
use tokio::sync::{broadcast, mpsc};

use crate::breaker::{State, Transition};

pub use webhook::{Webhook, WebhookConfig, WebhookError};

/// Alerts that wait for one webhook; further ones are counted and not posted there.
pub const ALERTS_QUEUED_MAX: usize = 1_024;
/// Events that a slow subscriber can fall behind before it misses some.
pub const EVENTS_KEPT: usize = 256;
/// Alerts in one post.
const ALERTS_IN_POST_MAX: usize = 64;
/// Firing alerts whose beginning a webhook's worker remembers; of further ones a resolution names its
/// own moment as the beginning.
const FIRING_MAX: usize = 4_096;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// To know.
    Info,
    /// To look at.
    Warning,
    /// To act on.
    Critical,
}

impl Severity {
    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Whether it is still so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It is.
    Firing,
    /// It is over.
    Resolved,
}

impl Status {
    /// As the webhook says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert. Name, severity and labels together say which: a resolution has those of its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What is the matter, in CamelCase. Example: "CircuitBreakerOpen".
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where: service, application.
    pub labels: BTreeMap<&'static str, String>,
    /// What people want to know: reason, counts, limits.
    pub annotations: BTreeMap<&'static str, String>,
    /// Whether it is still so.
    pub status: Status,
    /// When this was seen.
    pub at: Timestamp,
}

impl Alert {
    /// Name of the alerts of breakers.
    pub const BREAKER: &'static str = "CircuitBreakerOpen";

    /// The alert of a breaker that changed its state: it fires until the breaker is closed. That of a
    /// whole service is critical, that of one application at it a warning.
    #[must_use]
    pub fn of_transition(service: &str, application: Option<&str>, transition: &Transition) -> Self {
        let Transition { from, to, mode, cause, calls, errors, timeouts, at, .. } = *transition;
        let mut labels = BTreeMap::from([("service", service.to_owned())]);
        labels.extend(application.map(|name| ("application", name.to_owned())));
        let whom = application.map(|name| format!(" ({name})")).unwrap_or_default();
        let summary = |lang| {
            let text = cause.text(lang);
            match lang {
                Lang::En => format!("breaker of {service}{whom} is {to}: {text}"),
                Lang::Zh => format!("{service}{whom} 的熔断器状态为 {to}：{text}"),
            }
        };
        let annotations = BTreeMap::from([
            ("summary", summary(Lang::En)),
            ("summary_zh", summary(Lang::Zh)),
            ("reason", cause.as_str().to_owned()),
            ("from", from.to_string()),
            ("to", to.to_string()),
            ("mode", mode.to_string()),
            ("calls", calls.to_string()),
            ("errors", errors.to_string()),
            ("timeouts", timeouts.to_string()),
            ("error_rate_max", transition.error_rate_max.to_string()),
            ("timeout_rate_max", transition.timeout_rate_max.to_string()),
        ]);
        Self {
            name: Self::BREAKER,
            severity: if application.is_some() { Severity::Warning } else { Severity::Critical },
            labels,
            annotations,
            status: if to == State::Closed { Status::Resolved } else { Status::Firing },
            at,
        }
    }

    /// Which alert: its name, severity and labels.
    pub(crate) fn labels_all(&self) -> BTreeMap<&str, &str> {
        let mut labels: BTreeMap<&str, &str> =
            self.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        labels.insert("alertname", self.name);
        labels.insert("severity", self.severity.as_str());
        labels
    }
}

/// Where alerts go.
pub trait AlertSink: Send + Sync + 'static {
    /// Takes an alert; never waits.
    fn raise(&self, alert: Alert);
}

/// The alerts of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Alerts {
    events: broadcast::Sender<Arc<Alert>>,
    queues: Vec<mpsc::Sender<Arc<Alert>>>,
    dropped: Arc<AtomicU64>,
}

/// Posts what is raised to the webhooks. [`AlertWorker::run`] is to be spawned.
#[derive(Debug)]
#[must_use = "without its run() no webhook is posted to"]
pub struct AlertWorker {
    webhooks: Vec<(Webhook, mpsc::Receiver<Arc<Alert>>)>,
}

impl Alerts {
    /// Alerts that go to `webhooks`, and the worker that posts them.
    pub fn new(webhooks: Vec<Webhook>) -> (Self, AlertWorker) {
        let mut queues = Vec::new();
        let mut receivers = Vec::new();
        for webhook in webhooks {
            let (sender, receiver) = mpsc::channel(ALERTS_QUEUED_MAX);
            queues.push(sender);
            receivers.push((webhook, receiver));
        }
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let alerts = Self { events, queues, dropped: Arc::default() };
        (alerts, AlertWorker { webhooks: receivers })
    }

    /// All alerts from now on. A subscriber that falls behind by more than [`EVENTS_KEPT`] is told
    /// that it missed some.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Alert>> {
        self.events.subscribe()
    }

    /// Alerts that were not posted to a webhook because its queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl AlertSink for Alerts {
    fn raise(&self, alert: Alert) {
        log(&alert);
        let alert = Arc::new(alert);
        for queue in &self.queues {
            if queue.try_send(Arc::clone(&alert)).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    alert = alert.name,
                    "alert not posted: the webhook's queue is full or closed"
                );
            }
        }
        // An error means that nobody listens.
        let _ = self.events.send(alert);
    }
}

impl AlertWorker {
    /// Posts until all [`Alerts`] are dropped and their queues are empty.
    pub async fn run(self) {
        join_all(self.webhooks.into_iter().map(|(webhook, queue)| post_all(webhook, queue))).await;
    }
}

async fn post_all(webhook: Webhook, mut queue: mpsc::Receiver<Arc<Alert>>) {
    let mut firing = HashMap::new();
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, ALERTS_IN_POST_MAX).await > 0 {
        let body = payload::of(&batch, &mut firing, FIRING_MAX, webhook.receiver());
        if let Err(error) = webhook.post(body.into()).await {
            let alerts = batch.len();
            tracing::error!(webhook = webhook.receiver(), alerts, %error, "alerts not delivered");
        }
        batch.clear();
    }
}

fn log(alert: &Alert) {
    let Alert { name, labels, annotations, .. } = alert;
    let (severity, status) = (alert.severity.as_str(), alert.status.as_str());
    match (alert.status, alert.severity) {
        (Status::Resolved, _) | (_, Severity::Info) => {
            tracing::info!(alert = name, severity, status, ?labels, ?annotations, "alert");
        }
        (Status::Firing, Severity::Warning) => {
            tracing::warn!(alert = name, severity, status, ?labels, ?annotations, "alert");
        }
        (Status::Firing, Severity::Critical) => {
            tracing::error!(alert = name, severity, status, ?labels, ?annotations, "alert");
        }
    }
}

#[cfg(test)]
mod tests;
