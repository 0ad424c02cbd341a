//! Settings that are inherited: from the defaults to the service to the method; the nearest one wins.

use std::time::Duration;

use crate::diagnostic::{Fault, Finding, Findings, text};
use crate::service::{AuditMode, BreakerNumbers, Effect, ServiceLevel, StreamLimits, Visibility};
use crate::yaml::Node;

/// Largest message where nothing is said: 4 MiB, as gRPC itself has it.
const MESSAGE_BYTES: u32 = 4 << 20;

/// What holds at some level.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Inherited {
    pub visibility: Visibility,
    pub sla: ServiceLevel,
    pub audit_read: AuditMode,
    pub audit_write: AuditMode,
    pub request_bytes_max: u32,
    pub response_bytes_max: u32,
    pub stream: StreamLimits,
    pub breaker: BreakerNumbers,
    pub forward_credentials: bool,
}

impl Inherited {
    /// What holds without a defaults file; the shipped one says the same.
    pub fn built_in() -> Self {
        Self {
            visibility: Visibility::Internal,
            sla: ServiceLevel {
                deadline: Duration::from_secs(2),
                p99: Duration::from_millis(200),
                availability_percent: 99.9,
            },
            audit_read: AuditMode::Standard,
            audit_write: AuditMode::Strict,
            request_bytes_max: MESSAGE_BYTES,
            response_bytes_max: MESSAGE_BYTES,
            stream: StreamLimits {
                idle: Duration::from_secs(5 * 60),
                duration_max: Duration::from_secs(30 * 60),
            },
            breaker: BreakerNumbers::default(),
            forward_credentials: false,
        }
    }

    /// These, with what `node` (defaults, a service or a method) says itself.
    pub fn refined(&self, node: &Node<'_>, findings: &mut Findings) -> Self {
        let mut refined = self.clone();
        if let Some(word) = node.get("visibility").and_then(Node::text) {
            refined.visibility = visibility(word).unwrap_or(self.visibility);
        }
        if let Some(sla) = node.get("sla") {
            refined.sla = service_level(sla, &self.sla, findings);
        }
        if let Some(audit) = node.get("audit") {
            let by_effect = |effect| audit.get(effect).and_then(audit_mode);
            let both = audit_mode(audit);
            refined.audit_read = both.or_else(|| by_effect("read")).unwrap_or(self.audit_read);
            refined.audit_write = both.or_else(|| by_effect("write")).unwrap_or(self.audit_write);
        }
        refined.request_bytes_max = number(node, "request_bytes_max").unwrap_or(self.request_bytes_max);
        refined.response_bytes_max = number(node, "response_bytes_max").unwrap_or(self.response_bytes_max);
        if let Some(stream) = node.get("stream") {
            refined.stream = stream_limits(stream, self.stream, findings);
        }
        if let Some(numbers) = node.get("breaker") {
            refined.breaker = breaker(numbers, &self.breaker, findings);
        }
        refined.forward_credentials =
            node.get("forward_credentials").and_then(Node::flag).unwrap_or(self.forward_credentials);
        refined
    }

    /// How calls of a method with this effect are audited.
    pub fn audit(&self, effect: Effect) -> AuditMode {
        match effect {
            Effect::Read => self.audit_read,
            Effect::Write => self.audit_write,
        }
    }
}

fn visibility(word: &str) -> Option<Visibility> {
    Some(match word {
        "public" => Visibility::Public,
        "internal" => Visibility::Internal,
        "private" => Visibility::Private,
        "operators" => Visibility::Operators,
        _ => return None,
    })
}

fn service_level(node: &Node<'_>, base: &ServiceLevel, findings: &mut Findings) -> ServiceLevel {
    let level = ServiceLevel {
        deadline: milliseconds(node, "deadline_ms").unwrap_or(base.deadline),
        p99: milliseconds(node, "p99_ms").unwrap_or(base.p99),
        availability_percent: node
            .get("availability_percent")
            .and_then(Node::number)
            .unwrap_or(base.availability_percent),
    };
    let ends = ("p99_ms", level.p99.as_millis(), "deadline_ms", level.deadline.as_millis());
    ordered(node, ends, findings);
    level
}

fn stream_limits(node: &Node<'_>, base: StreamLimits, findings: &mut Findings) -> StreamLimits {
    let limits = StreamLimits {
        idle: milliseconds(node, "idle_ms").unwrap_or(base.idle),
        duration_max: milliseconds(node, "duration_ms_max").unwrap_or(base.duration_max),
    };
    let ends = ("idle_ms", limits.idle.as_millis(), "duration_ms_max", limits.duration_max.as_millis());
    ordered(node, ends, findings);
    limits
}

fn breaker(node: &Node<'_>, base: &BreakerNumbers, findings: &mut Findings) -> BreakerNumbers {
    let share = |name, base| node.get(name).and_then(Node::number).unwrap_or(base);
    let count = |name, base| number(node, name).unwrap_or(base);
    let span = |name, base| seconds(node, name).unwrap_or(base);
    let numbers = BreakerNumbers {
        error_rate_max: share("error_rate_max", base.error_rate_max),
        timeout_rate_max: share("timeout_rate_max", base.timeout_rate_max),
        timeouts_min: count("timeouts_min", base.timeouts_min),
        window: span("window_s", base.window),
        calls_min: count("calls_min", base.calls_min),
        age_max: span("age_s_max", base.age_max),
        hard_failures: count("hard_failures", base.hard_failures),
        open: span("open_s", base.open),
        open_max: span("open_s_max", base.open_max),
        probes: count("probes", base.probes),
        probes_in_flight: count("probes_in_flight", base.probes_in_flight),
        probe_failures_max: count("probe_failures_max", base.probe_failures_max),
        half_open_max: span("half_open_s_max", base.half_open_max),
        ramp_from: share("ramp_from", base.ramp_from),
        ramp: span("ramp_s", base.ramp),
        count_resource_exhausted: node
            .get("count_resource_exhausted")
            .and_then(Node::flag)
            .unwrap_or(base.count_resource_exhausted),
    };
    for ends in [
        ("window_s", numbers.window.as_millis(), "age_s_max", numbers.age_max.as_millis()),
        ("open_s", numbers.open.as_millis(), "open_s_max", numbers.open_max.as_millis()),
        ("probes_in_flight", u128::from(numbers.probes_in_flight), "probes", u128::from(numbers.probes)),
        (
            "probe_failures_max",
            u128::from(numbers.probe_failures_max) + 1,
            "probes",
            u128::from(numbers.probes),
        ),
    ] {
        ordered(node, ends, findings);
    }
    numbers
}

/// Reports when the first value is over the second; at whichever of them stands here.
fn ordered(
    node: &Node<'_>,
    (low, low_value, high, high_value): (&str, u128, &str, u128),
    findings: &mut Findings,
) {
    // Nothing here may be zero: that is reported already.
    if low_value <= high_value || high_value == 0 {
        return;
    }
    let mark = node.get(low).or_else(|| node.get(high)).map_or(node.mark, |node| node.mark);
    let found = text(format!("`{low}` above `{high}`"), format!("`{low}` 大于 `{high}`"));
    let expected = text(format!("`{low}` within `{high}`"), format!("`{low}` 不超过 `{high}`"));
    findings.push(Finding::new(mark, Fault::Conflict, found, expected));
}

/// How calls are audited; `None` for anything that the table refused.
pub(super) fn audit_mode(node: &Node<'_>) -> Option<AuditMode> {
    match node.text() {
        Some("strict") => Some(AuditMode::Strict),
        Some("standard") => Some(AuditMode::Standard),
        _ => number(node, "sampled").map(AuditMode::Sampled),
    }
}

/// The field as a `u32`; `None` when it is absent or the table refused it.
pub(super) fn number(node: &Node<'_>, name: &str) -> Option<u32> {
    node.get(name).and_then(Node::integer).and_then(|value| u32::try_from(value).ok())
}

pub(super) fn milliseconds(node: &Node<'_>, name: &str) -> Option<Duration> {
    number(node, name).map(|value| Duration::from_millis(u64::from(value)))
}

pub(super) fn seconds(node: &Node<'_>, name: &str) -> Option<Duration> {
    number(node, name).map(|value| Duration::from_secs(u64::from(value)))
}
