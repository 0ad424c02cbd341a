//! Entries, plans and callers as named facts, each with the rule that says when a change of it takes
//! something away.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::callers::{Callers, Issuer, Jwks, SubscriptionState};
use crate::service::{
    AuditMode, Degraded, Descriptors, MethodEntry, ServiceEntry, Stage, Text, Upstream, Visibility,
};
use crate::snapshot::Plan;

/// What is said of one thing, by field.
pub(super) type Facts = BTreeMap<String, Fact>;

/// One fact.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub text: String,
    pub rule: Rule,
    /// For the rules that compare.
    rank: i128,
}

/// When a change takes something away from callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Never.
    Free,
    /// When there was another value before.
    Fixed,
    /// When the value falls; absent is the highest (no limit).
    Ceiling,
    /// When the value falls; absent is the lowest.
    Grant,
}

impl Rule {
    pub fn breaks(self, old: Option<&Fact>, new: Option<&Fact>) -> bool {
        let rank = |fact: Option<&Fact>, absent| fact.map_or(absent, |fact| fact.rank);
        match self {
            Self::Free => false,
            Self::Fixed => old.is_some() && new.is_some(),
            Self::Ceiling => rank(new, i128::MAX) < rank(old, i128::MAX),
            Self::Grant => rank(new, i128::MIN) < rank(old, i128::MIN),
        }
    }
}

/// Collects facts.
#[derive(Default)]
struct Collector(Facts);

impl Collector {
    fn add(&mut self, field: impl Into<String>, text: impl ToString, rule: Rule, rank: i128) {
        self.0.insert(field.into(), Fact { text: text.to_string(), rule, rank });
    }

    fn free(&mut self, field: impl Into<String>, text: impl ToString) {
        self.add(field, text, Rule::Free, 0);
    }

    fn texts(&mut self, field: &str, text: &Text) {
        self.free(format!("{field}.en"), &text.en);
        self.free(format!("{field}.zh"), &text.zh);
    }

    fn ceiling(&mut self, field: impl Into<String>, value: impl Into<i128>) {
        let value = value.into();
        self.add(field, value, Rule::Ceiling, value);
    }
}

pub(super) fn service(service: &ServiceEntry) -> Facts {
    let mut facts = Collector::default();
    facts.texts("title", &service.title);
    facts.texts("summary", &service.summary);
    facts.free("owner", &service.owner);
    facts.free("domain", &service.domain);
    facts.free("tags", service.tags.join(", "));
    let (stage, _) = stage(service.stage);
    facts.free("stage", stage);
    let (visibility, rank) = match service.visibility {
        Visibility::Public => ("public", 3),
        Visibility::Internal => ("internal", 2),
        Visibility::Private => ("private", 1),
        Visibility::Operators => ("operators", 0),
    };
    facts.add("visibility", visibility, Rule::Grant, rank);
    facts.add("anonymous", service.anonymous, Rule::Grant, i128::from(service.anonymous));
    upstream(&service.upstream, &mut facts);
    facts.free("sla.deadline_ms", service.sla.deadline.as_millis());
    facts.free("sla.p99_ms", service.sla.p99.as_millis());
    facts.free("sla.availability_percent", service.sla.availability_percent);
    facts.0
}

fn stage(stage: Stage) -> (&'static str, i128) {
    match stage {
        Stage::Alpha => ("alpha", 0),
        Stage::Beta => ("beta", 1),
        Stage::Ga => ("ga", 2),
        Stage::Deprecated => ("deprecated", 3),
    }
}

fn upstream(upstream: &Upstream, facts: &mut Collector) {
    match upstream {
        Upstream::Local => facts.free("upstream", "local"),
        Upstream::Remote { endpoints, tls, descriptors } => {
            let addresses: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
            facts.free("upstream.endpoints", addresses.join(", "));
            facts.free(
                "upstream.descriptors",
                match descriptors {
                    Descriptors::File(file) => file.display().to_string(),
                    Descriptors::Reflection => "reflection".to_owned(),
                },
            );
            if let Some(tls) = tls {
                facts.free("upstream.tls", format!("{tls:?}"));
            }
        }
    }
}

pub(super) fn method(method: &MethodEntry) -> Facts {
    let mut facts = Collector::default();
    facts.texts("summary", &method.summary);
    facts.free("effect", format!("{:?}", method.effect).to_lowercase());
    facts.add("idempotent", method.idempotent, Rule::Grant, i128::from(method.idempotent));
    facts.free(
        "audit",
        match method.audit {
            AuditMode::Strict => "strict".to_owned(),
            AuditMode::Standard => "standard".to_owned(),
            AuditMode::Sampled(one_in) => format!("sampled {one_in}"),
        },
    );
    if let Some(price) = &method.price {
        facts.free("price", format!("{} {} a {}", price.amount, price.currency, price.unit));
    }
    facts.free("error_reasons", method.error_reasons.join(", "));
    facts.ceiling("request_bytes_max", method.request_bytes_max);
    facts.ceiling("response_bytes_max", method.response_bytes_max);
    facts.ceiling("deadline_ms", i128::try_from(method.deadline.as_millis()).unwrap_or(i128::MAX));
    facts.ceiling("stream.idle_ms", i128::try_from(method.stream.idle.as_millis()).unwrap_or(i128::MAX));
    let longest = i128::try_from(method.stream.duration_max.as_millis()).unwrap_or(i128::MAX);
    facts.ceiling("stream.duration_ms_max", longest);
    facts.free("breaker", format!("{:?}", method.breaker));
    facts.free(
        "degraded",
        match &method.degraded {
            Degraded::None => "none".to_owned(),
            Degraded::Message(bytes) => {
                format!("message of {} bytes, {}", bytes.len(), blake3::hash(bytes).to_hex())
            }
            Degraded::LastGood { age_max } => format!("last good up to {} s", age_max.as_secs()),
            Degraded::Method(path) => path.to_string(),
        },
    );
    for stake in &method.stakes {
        let key = stake.key_field.as_deref().unwrap_or("the application");
        let text = format!("{} {} per {key}", stake.amount_field, stake.currency);
        // A new stake is a new way to be refused.
        facts.add(format!("stakes.{}", stake.budget), text, Rule::Ceiling, 0);
    }
    facts.free("forward_credentials", method.forward_credentials);
    facts.free("examples", method.examples.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join(", "));
    facts.0
}

pub(super) fn plan(plan: &Plan) -> Facts {
    let mut facts = Collector::default();
    if let Some(rate) = plan.rate {
        facts.ceiling("rate.per_second", rate.per_second);
        facts.ceiling("rate.burst", rate.burst);
    }
    if let Some(concurrency) = plan.concurrency {
        facts.ceiling("concurrency", concurrency);
    }
    if let Some(quota) = plan.quota {
        facts.ceiling("quota.calls", quota.calls);
        facts.add("quota.period", format!("{:?}", quota.period).to_lowercase(), Rule::Fixed, 0);
        facts.free("quota.utc_offset_minutes", quota.utc_offset_minutes);
    }
    for (name, budget) in &plan.budgets {
        let money = oaas_model::Money::new(i128::from(budget.amount_minor), budget.currency);
        facts.add(format!("budgets.{name}.amount"), money, Rule::Ceiling, i128::from(budget.amount_minor));
        facts.add(format!("budgets.{name}.window_s"), budget.window.as_secs(), Rule::Fixed, 0);
    }
    for (service, methods) in &plan.methods {
        // Without a list the service is covered whole, so a list is a limit; each name in it is a grant.
        facts.add(format!("methods.{service}"), "listed", Rule::Ceiling, 0);
        for method in methods {
            facts.add(format!("methods.{service}.{method}"), "covered", Rule::Grant, 1);
        }
    }
    // Limits that only count do not refuse.
    facts.add("shadow", plan.shadow, Rule::Grant, i128::from(plan.shadow));
    facts.0
}

/// Credentials by application.
pub(super) fn credentials(callers: &Callers) -> BTreeMap<Arc<str>, Facts> {
    let mut all: BTreeMap<Arc<str>, Collector> = BTreeMap::new();
    for (application, key) in callers.keys.values() {
        let prefix = &key.prefix;
        let facts = all.entry(Arc::clone(&application.id)).or_default();
        let digest = blake3::Hash::from_bytes(key.digest).to_hex();
        let short = digest.get(..12).unwrap_or_default();
        let state = if key.revoked { "revoked" } else { "good" };
        let rank = if key.revoked { 0 } else { i128::from(key.expires_unix_ms.unwrap_or(i64::MAX)) };
        let until = key.expires_unix_ms.map(|ms| format!(" until {}", moment(ms))).unwrap_or_default();
        facts.add(format!("api_key.{prefix}"), format!("{state}{until}, digest {short}"), Rule::Grant, rank);
    }
    for (uri, application) in &callers.san_uris {
        all.entry(Arc::clone(&application.id)).or_default().add(
            format!("mtls.{uri}"),
            "good",
            Rule::Grant,
            1,
        );
    }
    for ((issuer, subject), application) in &callers.subjects {
        let field = format!("jwt.{issuer}.{subject}");
        all.entry(Arc::clone(&application.id)).or_default().add(field, "good", Rule::Grant, 1);
    }
    all.into_iter().map(|(id, facts)| (id, facts.0)).collect()
}

pub(super) fn applications(
    callers: &Callers,
    credentials: &BTreeMap<Arc<str>, Facts>,
) -> BTreeMap<Arc<str>, Facts> {
    let mut all = BTreeMap::new();
    for (id, application) in &callers.applications {
        let mut facts = Collector(credentials.get(id).cloned().unwrap_or_default());
        facts.free("owner", &application.owner);
        for role in &application.roles {
            facts.add(format!("roles.{}", format!("{role:?}").to_lowercase()), "held", Rule::Grant, 1);
        }
        for (service, subscription) in application.subscriptions.iter() {
            let (state, rank) = match subscription.state {
                SubscriptionState::Active => ("active", 1),
                SubscriptionState::Pending => ("pending", 0),
                SubscriptionState::Suspended => ("suspended", 0),
            };
            let field = |name: &str| format!("subscriptions.{service}.{name}");
            facts.free(field("plan"), &subscription.plan);
            facts.add(field("state"), state, Rule::Grant, rank);
            if let Some(ms) = subscription.expires_unix_ms {
                facts.add(field("expires"), moment(ms), Rule::Ceiling, i128::from(ms));
            }
        }
        all.insert(Arc::clone(id), facts.0);
    }
    all
}

pub(super) fn issuer(issuer: &Issuer) -> Facts {
    let mut facts = Collector::default();
    facts.add("audience", &issuer.audience, Rule::Fixed, 0);
    for algorithm in &issuer.algorithms {
        facts.add(format!("algorithms.{algorithm:?}"), "accepted", Rule::Grant, 1);
    }
    facts.free(
        "jwks",
        match &issuer.jwks {
            Jwks::File(path) => path.display().to_string(),
            Jwks::Url(url) => url.clone(),
        },
    );
    facts.0
}

fn moment(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| unix_ms.to_string(), |moment| moment.to_string())
}
