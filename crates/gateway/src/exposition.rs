//! Prometheus: the process's atomics as metrics, written out by prometheus-client when scraped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use oaas_audit::JournalHealth;
use oaas_model::Code;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::breaker::State;
use crate::edge::EdgeCounters;
use crate::metrics::{BOUNDS_US, MethodMetrics};
use crate::shared::Shared;

type Encoded = Result<(), std::fmt::Error>;

/// All metrics as OpenMetrics text.
///
/// # Errors
/// Never in practice: the writer is a string.
pub fn text(shared: &Arc<Shared>, edge: &EdgeCounters) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(shared))));
    for (name, value, help) in edge.read() {
        // Those that end in `_open` go down too.
        if name.ends_with("_open") {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register_collector(Box::new(Number(name, help, Kind::Gauge(gauge))));
        } else {
            registry.register_collector(Box::new(Number(
                name,
                help,
                Kind::Counter(ConstCounter::new(value)),
            )));
        }
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// One counter of the edge.
#[derive(Debug)]
struct Number(&'static str, &'static str, Kind);

#[derive(Debug)]
enum Kind {
    Gauge(ConstGauge<i64>),
    Counter(ConstCounter<u64>),
}

impl Collector for Number {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let name = format!("oaas_edge_{}", self.0);
        match &self.2 {
            Kind::Gauge(n) => n.encode(encoder.encode_descriptor(&name, self.1, None, n.metric_type())?),
            Kind::Counter(n) => n.encode(encoder.encode_descriptor(&name, self.1, None, n.metric_type())?),
        }
    }
}

struct Scrape(Arc<Shared>);

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let methods = self.0.metrics.all();
        calls(&mut encoder, &methods)?;
        refusals(&mut encoder, &methods)?;
        latencies(&mut encoder, &methods)?;
        breakers(&mut encoder, &self.0)?;
        process(&mut encoder, &self.0)
    }
}

type Methods = [(Arc<str>, Arc<MethodMetrics>)];

fn calls(encoder: &mut DescriptorEncoder<'_>, methods: &Methods) -> Encoded {
    let help = "Calls that ended, by method and gRPC status";
    let kind = prometheus_client::metrics::MetricType::Counter;
    let mut family = encoder.encode_descriptor("oaas_calls", help, None, kind)?;
    for (path, method) in methods {
        for (counter, code) in method.by_code.iter().zip(Code::ALL) {
            let count = counter.load(Ordering::Relaxed);
            if count > 0 {
                let labels = [("method", &**path), ("code", code.name())];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    let mut family =
        encoder.encode_descriptor("oaas_degraded_answers", "Degraded answers, by method", None, kind)?;
    for (path, method) in methods {
        let count = method.degraded.load(Ordering::Relaxed);
        if count > 0 {
            ConstCounter::new(count).encode(family.encode_family(&[("method", &**path)])?)?;
        }
    }
    Ok(())
}

fn refusals(encoder: &mut DescriptorEncoder<'_>, methods: &Methods) -> Encoded {
    let help = "Calls that the gateway refused or ended, by method and reason";
    let kind = prometheus_client::metrics::MetricType::Counter;
    let mut family = encoder.encode_descriptor("oaas_refusals", help, None, kind)?;
    for (path, method) in methods {
        let by_reason: HashMap<_, _> = method.by_reason.lock().clone();
        for (reason, count) in by_reason {
            let labels = [("method", &**path), ("reason", reason.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn latencies(encoder: &mut DescriptorEncoder<'_>, methods: &Methods) -> Encoded {
    let help = "Time from the first header byte of a call to the end of its answer";
    let unit = prometheus_client::registry::Unit::Seconds;
    let kind = prometheus_client::metrics::MetricType::Histogram;
    let mut family = encoder.encode_descriptor("oaas_call_duration", help, Some(&unit), kind)?;
    for (path, method) in methods {
        let counts: Vec<u64> = method.latency.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            continue;
        }
        let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let sum = method.latency_sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let labels = [("method", &**path)];
        family
            .encode_family(&labels)?
            .encode_histogram::<prometheus_client::encoding::NoLabelSet>(sum, total, &buckets, None)?;
    }
    Ok(())
}

fn breakers(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> Encoded {
    let help = "Breakers: 0 closed, 1 ramping, 2 half-open, 3 open";
    let kind = prometheus_client::metrics::MetricType::Gauge;
    let mut family = encoder.encode_descriptor("oaas_breaker_state", help, None, kind)?;
    let (now, bound) = (shared.clock.now(), shared.bound.load_full());
    for (service, application, breaker) in shared.breakers.list() {
        let Some(policy) = bound.methods().find(|m| *m.entry.service == *service).map(|m| &m.policy) else {
            continue;
        };
        let state: i64 = match breaker.snapshot(policy, now).state {
            State::Closed => 0,
            State::Ramping => 1,
            State::HalfOpen => 2,
            State::Open => 3,
        };
        // A label for each application would grow without end; the healthy ones say nothing.
        if application.is_some() && state == 0 {
            continue;
        }
        let application = application.unwrap_or_default();
        let labels = [("service", service.as_str()), ("application", application.as_str())];
        ConstGauge::new(state).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn process(encoder: &mut DescriptorEncoder<'_>, shared: &Shared) -> Encoded {
    use prometheus_client::metrics::MetricType::{Counter, Gauge};
    let metrics = &shared.metrics;
    let healthy = i64::from(matches!(shared.journal.health(), JournalHealth::Healthy));
    let in_flight = i64::try_from(metrics.in_flight.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
    for (name, help, value) in [
        ("oaas_calls_in_flight", "Calls in flight", in_flight),
        ("oaas_journal_healthy", "Whether the journal takes records", healthy),
    ] {
        ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, Gauge)?)?;
    }
    for (name, help, counter) in [
        (
            "oaas_audit_unavailable",
            "Calls refused because no intent could be written",
            &metrics.audit_unavailable,
        ),
        ("oaas_not_grpc", "Requests that are no gRPC calls", &metrics.not_grpc),
        ("oaas_catalog_reloads", "Catalog versions applied", &metrics.reloads),
        ("oaas_catalog_reloads_failed", "Catalog versions refused", &metrics.reloads_failed),
    ] {
        let count = counter.load(Ordering::Relaxed);
        ConstCounter::new(count).encode(encoder.encode_descriptor(name, help, None, Counter)?)?;
    }
    Ok(())
}
