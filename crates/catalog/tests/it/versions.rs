//! What a snapshot answers: access, search, and what another version changes.

use oaas_catalog::{Diff, Query, Snapshot, Stage, Viewer, What, diff, search};
use oaas_model::Reason;

use crate::folder::{CALLERS, Folder, PLANS, SERVICE};

fn with(service: &str, plans: &str, callers: &str) -> Snapshot {
    Folder::new(&[("platform/breaker.yaml", service), ("plans.yaml", plans)], Some(callers)).snapshot()
}

fn lines(diff: &Diff) -> Vec<String> {
    let mut lines = Vec::new();
    for change in &diff.changes {
        let affected = change.affected.iter().map(|id| &**id).collect::<Vec<_>>().join(",");
        let head = format!("{:?} {}", change.subject, change.name.rsplit('/').next().unwrap());
        match &change.what {
            What::Added => lines.push(format!("{head} added [{affected}]")),
            What::Removed => lines.push(format!("{head} removed! [{affected}]")),
            What::Changed(fields) => lines.extend(fields.iter().map(|f| {
                let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                let mark = if f.breaking { "!" } else { "" };
                format!("{head} {}: {} -> {}{mark} [{affected}]", f.field, text(&f.old), text(&f.new))
            })),
        }
    }
    lines
}

#[test]
fn the_same_files_are_the_same_version() {
    let (one, other) = (Folder::good().snapshot(), Folder::good().snapshot());
    assert_eq!(one.version, other.version);
    assert!(diff(&one, &other).changes.is_empty());
}

#[test]
fn a_difference_says_what_breaks_and_whom_it_concerns() {
    let old = Folder::good().snapshot();
    for (service, plans, callers, expected) in [
        (
            ("stage: beta", "stage: ga"),
            ("", ""),
            ("", ""),
            "Service oaas.gateway.v1.BreakerService stage: beta -> ga [portal]",
        ),
        (
            ("visibility: internal", "visibility: private"),
            ("", ""),
            ("", ""),
            "Service oaas.gateway.v1.BreakerService visibility: internal -> private! [portal]",
        ),
        (
            ("effect: write", "effect: write\n    deadline_ms: 500"),
            ("", ""),
            ("", ""),
            "Method ForceBreaker deadline_ms: 1000 -> 500! [portal]",
        ),
        (
            ("effect: write", "effect: write\n    request_bytes_max: 9000000"),
            ("", ""),
            ("", ""),
            "Method ForceBreaker request_bytes_max: 4194304 -> 9000000 [portal]",
        ),
        (
            ("0.02", "0.03"),
            ("", ""),
            ("", ""),
            "Method ForceBreaker price: 0.02 CNY a call -> 0.03 CNY a call [portal]",
        ),
        (
            ("", ""),
            ("calls: 1000", "calls: 999"),
            ("", ""),
            "Plan standard quota.calls: 1000 -> 999! [portal]",
        ),
        (
            ("", ""),
            ("    quota: { calls: 1000, period: month, utc_offset_minutes: 480 }\n", ""),
            ("", ""),
            "Plan standard quota.calls: 1000 -> - [portal]",
        ),
        (
            ("", ""),
            ("    rate", "    concurrency: 3\n    rate"),
            ("", ""),
            "Plan standard concurrency: - -> 3! [portal]",
        ),
        (
            ("", ""),
            ("20000.00", "30000.00"),
            ("", ""),
            "Plan standard budgets.coupons.amount: 20000.00 CNY -> 30000.00 CNY [portal]",
        ),
        (
            ("", ""),
            ("", ""),
            ("    roles: [operator]\n", ""),
            "Application portal roles.operator: held -> -! [portal]",
        ),
        (
            ("", ""),
            ("", ""),
            (", state: pending", ", state: suspended"),
            "Application portal subscriptions.*.state: pending -> suspended [portal]",
        ),
        (
            ("", ""),
            ("", ""),
            ("issuers:", "  - { id: shop, owner: o }\nissuers:"),
            "Application shop added [shop]",
        ),
        (("", ""), ("", ""), ("audience: oaas", "audience: other"), "Issuer jwks audience: x"),
    ] {
        let change =
            |text: &str, (from, to): (&str, &str)| text.replacen(from, to, usize::from(!from.is_empty()));
        let new = with(&change(SERVICE, service), &change(PLANS, plans), &change(CALLERS, callers));
        let found = diff(&old, &new);
        let found_lines = lines(&found);
        if expected.starts_with("Issuer") {
            assert_eq!(found_lines, ["Issuer id.example.com audience: oaas -> other! [portal]"]);
            continue;
        }
        assert!(found_lines.iter().any(|line| line == expected), "{expected}\n{found_lines:#?}");
        assert_eq!(found.is_breaking(), found_lines.iter().any(|line| line.contains('!')), "{found_lines:?}");
        assert!(!found.affected().is_empty());
    }
}

#[test]
fn what_is_gone_breaks() {
    let none = Folder::new(&[("plans.yaml", PLANS)], None).snapshot();
    let all = Folder::good().snapshot();
    let gone = diff(&all, &none);
    assert!(gone.is_breaking());
    assert!(lines(&gone).contains(&"Method ListBreakers removed! [portal]".to_owned()), "{:?}", lines(&gone));
    let back = diff(&none, &all);
    assert!(!back.is_breaking());
    serde_json::to_value(&back).unwrap();
}

#[test]
fn services_are_found_in_both_languages_and_only_by_those_who_may() {
    let folder = Folder::good();
    let health = SERVICE
        .replace("oaas.gateway.v1.BreakerService", "grpc.health.v1.Health")
        .replace("Breakers, zh: 熔断器", "Health, zh: 健康检查")
        .replace("For operators., zh: 供运维使用。", "Probes. Not a breaker., zh: 探针。")
        .replace("[breaker, 熔断]", "[probe]")
        .replace("visibility: internal", "visibility: public");
    let (head, _) = health.split_once("methods:").unwrap();
    folder.put("platform/health.yaml", format!("{head}methods:\n  Check: {{ effect: read }}\n  List: {{ effect: read }}\n  Watch: {{ effect: read }}\n"));
    let snapshot = folder.snapshot();
    let names = |query: Query<'_>| -> Vec<String> {
        search(&snapshot, &query)
            .iter()
            .map(|hit| hit.service.name.rsplit('.').next().unwrap().to_owned())
            .collect()
    };
    let everything = Query { viewer: Viewer::Everything, ..Query::default() };
    assert_eq!(names(everything), ["Health", "BreakerService"], "by name without words");
    assert_eq!(names(Query { text: "breaker", ..everything }), ["BreakerService", "Health"], "best first");
    assert_eq!(
        names(Query { text: "break", ..everything }),
        ["BreakerService", "Health"],
        "by its beginning"
    );
    assert_eq!(names(Query { text: "熔断器", ..everything }), ["BreakerService"]);
    assert_eq!(names(Query { text: "检查", ..everything }), ["Health"]);
    assert_eq!(names(Query { text: "熔", ..everything }), ["BreakerService"]);
    assert_eq!(names(Query { text: "force 熔断", ..everything }), ["BreakerService"], "all words must fit");
    assert_eq!(names(Query { text: "force probe", ..everything }), [""; 0]);
    assert_eq!(names(Query { text: "返利", ..everything }), [""; 0]);
    assert_eq!(names(Query { tag: Some("Probe"), ..everything }), ["Health"]);
    assert_eq!(names(Query { domain: Some("finance"), ..everything }), [""; 0]);
    assert_eq!(names(Query { stage: Some(Stage::Ga), ..everything }), [""; 0]);
    assert_eq!(
        names(Query { text: "breaker", ..Query::default() }),
        ["Health"],
        "anonymous callers see what is public"
    );
    let portal = &*snapshot.callers.applications["portal"];
    assert_eq!(names(Query { viewer: Some(portal).into(), ..Query::default() }).len(), 2);
}

#[test]
fn a_star_covers_internal_services_only_and_the_own_subscription_wins() {
    let callers = "applications:\n  - id: star\n    owner: o\n    subscriptions: [{ service: \"*\", plan: standard }]\n  - id: both\n    owner: o\n    subscriptions: [{ service: \"*\", plan: standard }, { service: oaas.gateway.v1.BreakerService, plan: standard, state: suspended }]\n  - id: none\n    owner: o\n";
    let path = "/oaas.gateway.v1.BreakerService/ListBreakers";
    let answer = |snapshot: &Snapshot, id: &str| {
        let method = snapshot.method(path).unwrap();
        snapshot
            .access(method, &snapshot.callers.applications[id], 0)
            .map(|access| access.plan.map(|p| p.name.clone()))
    };
    let internal = with(SERVICE, PLANS, callers);
    assert_eq!(answer(&internal, "star").unwrap().as_deref(), Some("standard"));
    assert_eq!(answer(&internal, "both").unwrap_err().reason, Reason::SubscriptionSuspended);
    assert_eq!(answer(&internal, "none").unwrap_err().reason, Reason::SubscriptionRequired);
    let private = with(&SERVICE.replace("visibility: internal", "visibility: private"), PLANS, callers);
    assert_eq!(
        answer(&private, "star").unwrap_err().reason,
        Reason::MethodUnknown,
        "a star shows nothing private"
    );
    assert_eq!(answer(&private, "both").unwrap_err().reason, Reason::SubscriptionSuspended);
}

#[test]
fn the_nearest_setting_wins() {
    let folder = Folder::good();
    folder.put(
        "defaults.yaml",
        "audit: { read: { sampled: 9 }, write: standard }\nrequest_bytes_max: 111\nbreaker: { probes: 40, ramp_s: 3 }\n",
    );
    folder.put(
        "platform/breaker.yaml",
        SERVICE
            .replace("upstream: local", "breaker: { ramp_s: 4 }\nresponse_bytes_max: 222")
            .replace("effect: read", "effect: read\n    request_bytes_max: 333\n    breaker: { probes: 50 }"),
    );
    let snapshot = folder.snapshot();
    let method =
        |name: &str| snapshot.method(&format!("/oaas.gateway.v1.BreakerService/{name}")).unwrap().clone();
    let (list, force) = (method("ListBreakers"), method("ForceBreaker"));
    assert_eq!((list.request_bytes_max, force.request_bytes_max), (333, 111));
    assert_eq!((list.response_bytes_max, force.response_bytes_max), (222, 222));
    assert_eq!((list.breaker.probes, force.breaker.probes), (50, 40));
    assert_eq!((list.breaker.ramp.as_secs(), list.breaker.probes_in_flight), (4, 5));
    assert_eq!(format!("{:?} {:?}", list.audit, force.audit), "Sampled(9) Standard");
    assert!(list.idempotent && !force.idempotent);
    assert_eq!(list.deadline.as_millis(), 1000);
    let examples: Vec<u32> =
        list.examples.iter().chain(&force.examples).map(|example| example.line).collect();
    assert!(examples.is_sorted(), "examples know their order in the file: {examples:?}");
}
