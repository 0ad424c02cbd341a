//! Bad files and what is said of them.

use oaas_model::Lang;

use crate::folder::{CALLERS, Folder, PLANS, SERVICE};

/// Loads the good files with one replacement in one of them, and compares the faults, one a line:
/// `file:line:column code field | found | expected (| help)`.
///
/// What is not as expected is returned, so that one run shows all of a table.
#[must_use]
fn check(file: &str, from: &str, to: &str, expected: &[&str]) -> Option<String> {
    let change = |name: &str, text: &str| {
        if name == file {
            assert!(text.contains(from), "{file} has no {from:?}");
            text.replacen(from, to, 1)
        } else {
            text.to_owned()
        }
    };
    let folder = Folder::new(
        &[
            ("platform/breaker.yaml", &change("platform/breaker.yaml", SERVICE)),
            ("plans.yaml", &change("plans.yaml", PLANS)),
        ],
        Some(&change("callers.yaml", CALLERS)),
    );
    let faults: Vec<String> = folder
        .faults()
        .list
        .iter()
        .map(|d| {
            let help = d.help.as_ref().map(|help| format!(" | {}", help.en)).unwrap_or_default();
            format!(
                "{}:{}:{} {} {} | {} | {}{help}",
                d.file,
                d.line,
                d.column,
                d.fault.code(),
                d.field,
                d.found.en,
                d.expected.en
            )
        })
        .collect();
    (faults != expected)
        .then(|| format!("{file}: {from:?} -> {to:?}\n  found    {faults:#?}\n  expected {expected:#?}\n"))
}

fn none(wrong: impl IntoIterator<Item = Option<String>>) {
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const FILE: &str = "platform/breaker.yaml";

#[test]
fn fields_of_a_service() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        (
            "stage: beta",
            "stage: betta",
            "platform/breaker.yaml:7:8 invalid-value stage | the text \"betta\" | one of `alpha`, `beta`, `ga`, `deprecated` | did you mean `beta`?",
        ),
        (
            "owner: team@example.com",
            "owner: 7",
            "platform/breaker.yaml:4:8 wrong-type owner | the integer 7 | text on one line | put it in quotes",
        ),
        (
            "owner: team@example.com",
            "owner:",
            "platform/breaker.yaml:4:6 blank owner | nothing | text on one line | give it a value or leave the field out",
        ),
        (
            "owner: team@example.com",
            "owner: \"  \"",
            "platform/breaker.yaml:4:8 blank owner | the text \"  \" | text on one line | give it a value or leave the field out",
        ),
        (
            "deadline_ms: 1000",
            "deadline_ms: 0",
            "platform/breaker.yaml:10:21 invalid-value sla.deadline_ms | the integer 0 | an integer from 1 to 86400000",
        ),
        (
            "deadline_ms: 1000",
            "deadline_ms: 10",
            "platform/breaker.yaml:10:33 conflict sla.p99_ms | `p99_ms` above `deadline_ms` | `p99_ms` within `deadline_ms`",
        ),
        (
            "availability_percent: 99.9",
            "availability_percent: .nan",
            "platform/breaker.yaml:10:61 invalid-value sla.availability_percent | the number .nan | a number from 0 to 100",
        ),
        (
            "stage: beta\n",
            "stage: beta\nstage: ga\n",
            "platform/breaker.yaml:8:1 doubled stage | `stage` again | once; it stands in line 7",
        ),
        (
            "domain: platform",
            "domain: finance",
            "platform/breaker.yaml:5:9 conflict domain | the text \"finance\" | `platform`, the folder of the file",
        ),
        (
            "upstream: local",
            "anonymous: true",
            "platform/breaker.yaml:9:12 conflict anonymous | true | `visibility: public` beside it",
        ),
        (
            "visibility: internal",
            "audit: {}",
            "platform/breaker.yaml:8:8 invalid-value audit | 0 fields | exactly one of `sampled`",
        ),
        (
            "visibility: internal",
            "audit: { sampled: 0 }",
            "platform/breaker.yaml:8:19 invalid-value audit.sampled | the integer 0 | an integer from 1 to 1000000",
        ),
        (
            "tags: [breaker, 熔断]",
            "tags: breaker",
            "platform/breaker.yaml:6:7 wrong-type tags | the text \"breaker\" | a list, each item text on one line",
        ),
        (
            "visibility: internal",
            "breaker: { open_s: 200, probes: 0.5 }",
            "platform/breaker.yaml:8:20 conflict breaker.open_s | `open_s` above `open_s_max` | `open_s` within `open_s_max`",
        ),
    ] {
        let mut all = vec![expected];
        if to.contains("0.5") {
            all.push("platform/breaker.yaml:8:33 wrong-type breaker.probes | the number 0.5 | an integer from 1 to 1000000");
        }
        wrong.push(check(FILE, from, to, &all));
    }
    none(wrong);
}

#[test]
fn an_unknown_field_names_those_that_are_known() {
    let sla = "deadline_ms`, `p99_ms`, `availability_percent";
    let misspelt = check(
        FILE,
        "p99_ms: 20",
        "p99ms: 20",
        &[&format!(
            "platform/breaker.yaml:10:27 unknown-field sla.p99ms | `p99ms` | one of `{sla}` | did you mean `p99_ms`?"
        )],
    );
    let missing = check(
        FILE,
        "title: { en: Breakers, zh: 熔断器 }",
        "title: { en: Breakers }",
        &["platform/breaker.yaml:2:8 missing-field title | no `zh` | `zh`: text on one line"],
    );
    none([misspelt, missing]);
}

#[test]
fn names_that_lead_nowhere() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        (
            "ListBreakers:",
            "ListBreaker:",
            vec![
                "platform/breaker.yaml:12:3 missing-field methods.ListBreakers | no entry for `ListBreakers` | an entry for each RPC of the service",
                "platform/breaker.yaml:12:3 dangling methods.ListBreaker | `ListBreaker` | an RPC of the service | did you mean `ListBreakers`?",
            ],
        ),
        (
            "error: FIELD_INVALID",
            "error: SERVICE_UNKNWN",
            vec![
                "platform/breaker.yaml:26:16 dangling methods.ForceBreaker.examples[0].error | `SERVICE_UNKNWN` | one of the method's `error_reasons`, or a reason of the platform | did you mean `SERVICE_UNKNOWN`?",
            ],
        ),
        (
            "request: { service: x }",
            "request: { sevice: x }",
            vec![
                "platform/breaker.yaml:25:20 unknown-field methods.ForceBreaker.examples[0].request.sevice | `sevice` | a field of oaas.gateway.v1.ForceBreakerRequest | did you mean `service`?",
            ],
        ),
        (
            "degraded: { message: { breakers: [{ service: none, calls: 3 }] } }",
            "degraded: { method: /oaas.gateway.v1.BreakerService/ForceBreakers }",
            vec![
                "platform/breaker.yaml:14:25 dangling methods.ListBreakers.degraded.method | `/oaas.gateway.v1.BreakerService/ForceBreakers` | the path of a catalogued method | did you mean `/oaas.gateway.v1.BreakerService/ForceBreaker`?",
            ],
        ),
        (
            "degraded: { message: { breakers: [{ service: none, calls: 3 }] } }",
            "degraded: { method: /oaas.gateway.v1.BreakerService/ForceBreaker }",
            vec![
                "platform/breaker.yaml:14:25 conflict methods.ListBreakers.degraded.method | (oaas.gateway.v1.ForceBreakerRequest) -> oaas.gateway.v1.ForceBreakerResponse | (oaas.gateway.v1.ListBreakersRequest) -> oaas.gateway.v1.ListBreakersResponse",
            ],
        ),
        (
            "    effect: write\n",
            "    effect: write\n    audit: { sampled: 10 }\n",
            vec![
                "platform/breaker.yaml:22:12 conflict methods.ForceBreaker.price | a map | `audit: standard` or `strict` beside it",
            ],
        ),
        (
            "    effect: write\n",
            "    effect: write\n    stakes: [{ budget: coupon, amount_field: mode, key_field: reason, currency: USD }]\n",
            vec![
                "platform/breaker.yaml:21:24 dangling methods.ForceBreaker.stakes[0].budget | `coupon` | a budget of at least one plan | did you mean `coupons`?",
                "platform/breaker.yaml:21:46 wrong-type methods.ForceBreaker.stakes[0].amount_field | `mode`: oaas.gateway.v1.BreakerMode | an integer field of the request",
            ],
        ),
    ] {
        wrong.push(check(FILE, from, to, &expected));
    }
    none(wrong);
}

#[test]
fn a_message_is_wrong_where_it_is_wrong() {
    let folder = Folder::good();
    folder.put(FILE, SERVICE.replacen("calls: 3", "calls: many", 1));
    let faults = folder.faults();
    let fault = &faults.list[0];
    assert_eq!((fault.line, fault.column, fault.fault.code()), (14, 63, "wrong-type"), "{faults}");
    assert_eq!(fault.field, "methods.ListBreakers.degraded.message.breakers[0].calls");
    assert_eq!(faults.len(), 1, "{faults}");
}

#[test]
fn plans_and_callers() {
    let mut wrong = Vec::new();
    for (from, to, expected) in [
        (
            "amount: \"20000.00\"",
            "amount: 20000.00",
            "plans.yaml:6:26 wrong-type plans.standard.budgets.coupons.amount | the number 20000.00 | an amount in quotes, such as \"0.02\" | put it in quotes",
        ),
        (
            "amount: \"20000.00\"",
            "amount: \"0.001\"",
            "plans.yaml:6:26 invalid-value plans.standard.budgets.coupons.amount | the text \"0.001\" | an amount above zero with at most 2 digits after the point",
        ),
        (
            "period: month",
            "period: year",
            "plans.yaml:4:35 invalid-value plans.standard.quota.period | the text \"year\" | one of `day`, `week`, `month`",
        ),
        (
            "    rate:",
            "    methods: { oaas.gateway.v1.BreakerService: [ListBreaker] }\n    rate:",
            "plans.yaml:3:49 dangling plans.standard.methods.oaas.gateway.v1.BreakerService[0] | `ListBreaker` | a method of the service | did you mean `ListBreakers`?",
        ),
    ] {
        wrong.push(check("plans.yaml", from, to, &[expected]));
    }
    for (from, to, expected) in [
        (
            "plan: standard, expires",
            "plan: standart, expires",
            "callers:callers.yaml:10:58 dangling applications[0].subscriptions[0].plan | `standart` | a plan of plans.yaml | did you mean `standard`?",
        ),
        (
            "service: oaas.gateway",
            "service: oaas.gatway",
            "callers:callers.yaml:10:20 dangling applications[0].subscriptions[0].service | `oaas.gatway.v1.BreakerService` | a catalogued service, or `*` | did you mean `oaas.gateway.v1.BreakerService`?",
        ),
        (
            "issuer: \"https://id.example.com\", subject",
            "issuer: \"https://ID.example\", subject",
            "callers:callers.yaml:8:24 dangling applications[0] | `https://ID.example` | one of the file's `issuers` | did you mean `https://id.example.com`?",
        ),
        (
            "expires: 2027-01-01T00:00:00Z }\n      - mtls",
            "expires: tomorrow }\n      - mtls",
            "callers:callers.yaml:6:128 invalid-value applications[0].credentials[0].api_key.expires | the text \"tomorrow\" | a moment, such as 2027-01-01T00:00:00Z",
        ),
        (
            "\"0707",
            "\"07",
            "callers:callers.yaml:6:51 invalid-value applications[0].credentials[0].api_key.digest | the text \"070707070707070707070707070707070707070707070707070707070707…\" | 64 hexadecimal digits",
        ),
        (
            "oaas_k3v5x2ma",
            "oaas_K3V5X2MA",
            "callers:callers.yaml:6:28 invalid-value applications[0].credentials[0].api_key.prefix | the text \"oaas_K3V5X2MA\" | the first part of a key, such as `oaas_k3v5x2ma`",
        ),
        (
            "roles: [operator]",
            "roles: [operators]",
            "callers:callers.yaml:4:13 invalid-value applications[0].roles[0] | the text \"operators\" | one of `operator` | did you mean `operator`?",
        ),
        (
            "algorithms: [ES256]",
            "algorithms: [HS256]",
            "callers:callers.yaml:15:18 invalid-value issuers[0].algorithms[0] | the text \"HS256\" | one of `ES256`, `ES384`, `EdDSA`, `RS256`, `PS256` | did you mean `ES256`?",
        ),
        (
            "issuers:",
            "  - { id: portal, owner: x }\nissuers:",
            "callers:callers.yaml:12:11 doubled applications[1].id | the text \"portal\" | once; it stands in line 2",
        ),
    ] {
        wrong.push(check("callers.yaml", from, to, &[expected]));
    }
    none(wrong);
}

#[test]
fn all_faults_of_all_files_come_at_once_and_in_order() {
    let folder = Folder::new(
        &[
            (
                "platform/breaker.yaml",
                &SERVICE.replace("stage: beta", "stage: old").replace("effect: read", "effect: maybe"),
            ),
            ("plans.yaml", "plans: { standard: { rate: { per_second: 0, burst: x } } }\n"),
            ("defaults.yaml", "audit:\nbraeker: {}\n"),
            ("stray.yaml", "a: b\n"),
            ("platform/broken.yaml", "service: [\n"),
        ],
        Some("applications: [{ id: a, owner: b, subscriptions: [{ service: no.Such, plan: standard }] }]\n"),
    );
    let faults = folder.faults();
    let places: Vec<String> = faults.list.iter().map(|d| format!("{}:{}", d.file, d.line)).collect();
    let expected = [
        "defaults.yaml:1",
        "defaults.yaml:2",
        "plans.yaml:1",
        "plans.yaml:1",
        "platform/breaker.yaml:7",
        "platform/breaker.yaml:13",
        "platform/broken.yaml:1",
        "stray.yaml:0",
    ];
    assert_eq!(places, expected, "a subscription is not judged while a file can't be read\n{faults}");
}

#[test]
fn files_that_are_no_entries() {
    let folder = Folder::good();
    folder.put("platform/bytes.yaml", b"a: b\n\xff");
    folder.put("platform/large.yaml", vec![b'#'; 1 << 20 | 1]);
    folder.put("platform/two.yaml", "a: b\n---\nc: d\n");
    folder.put("platform/tagged.yaml", "a: !secret b\n");
    folder.put("platform/empty.yaml", "# nothing\n");
    folder.put("platform/keys.yaml", "[a]: b\n");
    folder.put("platform/list.yaml", "- a\n");
    let faults = folder.faults();
    let all: Vec<String> = faults
        .list
        .iter()
        .map(|d| format!("{}:{} {} {}", d.file, d.line, d.fault.code(), d.found.en))
        .collect();
    let expected = [
        "platform/bytes.yaml:0 unreadable bytes in line 2 that are not UTF-8",
        "platform/empty.yaml:0 blank an empty file",
        "platform/keys.yaml:1 syntax a list",
        "platform/large.yaml:0 budget more",
        "platform/list.yaml:1 wrong-type a list",
        "platform/tagged.yaml:1 syntax a tag",
        "platform/two.yaml:2 syntax a second document",
    ];
    assert_eq!(all, expected);
}

#[test]
fn a_fault_is_drawn_as_rustc_would() {
    let folder = Folder::good();
    folder.put(FILE, SERVICE.replace("stage: beta", "stage: betta"));
    let expected = "\
error[invalid-value]: invalid value: `stage`
 --> platform/breaker.yaml:7:8
  |
7 | stage: betta
  |        ^^^^^
  = found: the text \"betta\"
  = expected: one of `alpha`, `beta`, `ga`, `deprecated`
  = help: did you mean `beta`?

1 error(s) in 1 file(s)
";
    assert_eq!(folder.faults().render(Lang::En), expected);
    let json = folder.faults().to_json();
    assert_eq!(json["errors"][0]["line"], 7);
    assert_eq!(json["errors"][0]["code"], "invalid-value");
    assert!(folder.faults().render(Lang::Zh).contains("提示: 是否想写 `beta`？"));
}
