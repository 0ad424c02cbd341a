//! The files that the repository ships: they load, their editors' schemas are up to date, and they hold
//! what those schemas say.

use std::path::{Path, PathBuf};

use oaas_catalog::{
    AuditMode, BreakerNumbers, KnownDescriptors, LoadError, SCHEMAS, Snapshot, Sources, Visibility,
    json_schema, load,
};
use oaas_model::Lang;
use prost_reflect::DescriptorPool;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn shipped() -> Snapshot {
    let sources =
        Sources { catalog: root().join("catalog"), callers: Some(root().join("deploy/callers.yaml")) };
    let local = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    match load(&sources, &KnownDescriptors { local, ..Default::default() }) {
        Ok(snapshot) => snapshot,
        Err(LoadError::Diagnostics(diagnostics)) => panic!("{}", diagnostics.render(Lang::En)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_shipped_catalog_loads() {
    let snapshot = shipped();
    assert!(snapshot.version.starts_with("c-") && snapshot.version.len() == 14, "{}", snapshot.version);
    let method = |path: &str| snapshot.method(path).unwrap().clone();
    assert_eq!(method("/oaas.gateway.v1.BreakerService/ForceBreaker").audit, AuditMode::Strict);
    assert_eq!(method("/grpc.health.v1.Health/Check").audit, AuditMode::Sampled(100));
    assert_eq!(method("/oaas.catalog.v1.CatalogService/ListServices").audit, AuditMode::Standard);
    for (name, visibility, anonymous) in [
        ("grpc.health.v1.Health", Visibility::Public, true),
        ("grpc.reflection.v1.ServerReflection", Visibility::Public, true),
        ("grpc.reflection.v1alpha.ServerReflection", Visibility::Public, true),
        ("oaas.catalog.v1.CatalogService", Visibility::Public, true),
        ("oaas.gateway.v1.BreakerService", Visibility::Operators, false),
    ] {
        let service = snapshot.service(name).unwrap();
        assert_eq!((service.visibility, service.anonymous), (visibility, anonymous), "{name}");
    }
    assert_eq!(
        snapshot.plans.keys().map(|k| &**k).collect::<Vec<_>>(),
        ["internal", "premium", "standard", "trial"]
    );
    assert_eq!(snapshot.plans["standard"].budgets["coupon-face-value"].amount_minor, 2_000_000);
    assert!(snapshot.callers.keys.is_empty(), "a key in the repository is a key that everybody has");
}

#[test]
fn methods_are_numbered_without_gaps() {
    let mut numbers: Vec<usize> = shipped().methods.values().map(|method| method.index).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
}

#[test]
fn the_shipped_defaults_are_those_of_the_program() {
    let method = shipped().method("/oaas.gateway.v1.BreakerService/ListBreakers").unwrap().clone();
    assert_eq!(method.breaker, BreakerNumbers::default());
    assert_eq!((method.request_bytes_max, method.response_bytes_max), (4 << 20, 4 << 20));
    assert_eq!((method.stream.idle.as_secs(), method.stream.duration_max.as_secs()), (300, 1800));
}

#[test]
fn the_editors_schemas_are_up_to_date() {
    for name in SCHEMAS {
        let path = root().join(format!("catalog/schema/{name}.json"));
        let wanted = json_schema(name).unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&wanted).unwrap())).unwrap();
        }
        let there: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_default())
            .unwrap_or_else(|error| panic!("{}: {error}; write it with UPDATE=1", path.display()));
        assert_eq!(there, wanted, "{} is not up to date; write it with UPDATE=1", path.display());
    }
}

#[test]
fn each_shipped_file_names_its_schema_and_holds_it() {
    let mut files = vec![
        (root().join("catalog/defaults.yaml"), "schema/defaults.json", "defaults"),
        (root().join("catalog/plans.yaml"), "schema/plans.json", "plans"),
        (root().join("deploy/callers.yaml"), "../catalog/schema/callers.json", "callers"),
    ];
    for folder in std::fs::read_dir(root().join("catalog")).unwrap().map(|e| e.unwrap().path()) {
        if folder.is_dir() && !folder.ends_with("schema") {
            for file in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
                files.push((file, "../schema/service.json", "service"));
            }
        }
    }
    assert!(files.len() >= 8);
    for (path, reference, schema) in
        files.into_iter().filter(|(path, ..)| path.extension().unwrap() == "yaml")
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let first = format!("# yaml-language-server: $schema={reference}");
        assert_eq!(text.lines().next(), Some(first.as_str()), "{}", path.display());
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        let schema = json_schema(schema).unwrap();
        let mut faults = Vec::new();
        validate(&value, &schema, &schema, "", &mut faults);
        assert_eq!(faults, Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn the_schemas_refuse_what_the_loader_refuses() {
    let schema = json_schema("service").unwrap();
    let text = std::fs::read_to_string(root().join("catalog/platform/health.yaml")).unwrap();
    let good: Value = serde_saphyr::from_str(&text).unwrap();
    for (pointer, bad) in [
        ("/stage", serde_json::json!("gamma")),
        ("/sla/deadline_ms", serde_json::json!(0)),
        ("/sla", serde_json::json!({ "deadline": 3 })),
        ("/title/en", serde_json::json!("")),
        ("/audit", serde_json::json!({})),
        ("/methods", serde_json::json!({})),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = bad;
        let mut faults = Vec::new();
        validate(&value, &schema, &schema, "", &mut faults);
        assert!(!faults.is_empty(), "{pointer}");
    }
}

/// JSON Schema, as far as our schemas go; patterns aside.
fn validate(value: &Value, schema: &Value, root: &Value, at: &str, faults: &mut Vec<String>) {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(name.trim_start_matches('#')).unwrap();
        return validate(value, target, root, at, faults);
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        let good = any.iter().any(|schema| {
            let mut inner = Vec::new();
            validate(value, schema, root, at, &mut inner);
            inner.is_empty()
        });
        return if good {
        } else {
            faults.push(format!("{at}: none of the forms"))
        };
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        faults.push(format!("{at}: {value} is none of {words:?}"));
    }
    let typed = match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !typed {
        faults.push(format!("{at}: {value} is no {}", schema["type"]));
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "minLength", "maxLength")),
        Value::Array(items) => Some((items.len(), "minItems", "maxItems")),
        Value::Object(fields) => Some((fields.len(), "minProperties", "maxProperties")),
        _ => None,
    };
    if let Some((size, min, max)) = size {
        let limit = |name| schema.get(name).and_then(Value::as_u64).map(|n| usize::try_from(n).unwrap());
        if limit(min).is_some_and(|min| size < min) || limit(max).is_some_and(|max| size > max) {
            faults.push(format!("{at}: {size} is out of range"));
        }
    }
    if let Some(number) = value.as_f64() {
        let limit = |name| schema.get(name).and_then(Value::as_f64);
        if limit("minimum").is_some_and(|min| number < min)
            || limit("maximum").is_some_and(|max| number > max)
        {
            faults.push(format!("{at}: {number} is out of range"));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        if let Some(items) = schema.get("items") {
            validate(item, items, root, &format!("{at}[]"), faults);
        }
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap()) {
            faults.push(format!("{at}: no {name}"));
        }
    }
    for (name, inner) in fields {
        match schema
            .get("properties")
            .and_then(|p| p.get(name))
            .or_else(|| schema.get("additionalProperties"))
        {
            Some(Value::Bool(false)) => faults.push(format!("{at}: unknown field {name}")),
            Some(schema) => validate(inner, schema, root, &format!("{at}.{name}"), faults),
            None => {}
        }
    }
}
