//! Every example of every catalog file, in the order of the file, on an empty database, through the gateway.

use std::path::Path;

use oaas_catalog::{Example, Expectation, MethodEntry};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::platform::{fresh_key, platform, root};

/// A message, encoded.
fn encoded(descriptor: &MessageDescriptor, json: &Value) -> Vec<u8> {
    let message = DynamicMessage::deserialize(descriptor.clone(), json)
        .unwrap_or_else(|error| panic!("{}: {error}: {json}", descriptor.full_name()));
    prost::Message::encode_to_vec(&message)
}

/// Where `expected` is not in `actual`: fields that are named must be equal, the others are not looked at.
fn difference(expected: &Value, actual: &Value, path: &str) -> Option<String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected.iter().find_map(|(name, value)| {
            difference(value, actual.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"))
        }),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.find_map(|(at, (expected, actual))| difference(expected, actual, &format!("{path}[{at}]")))
        }
        _ if expected == actual => None,
        _ => Some(format!("{path}: expected {expected}, is {actual}")),
    }
}

/// The expected message as the JSON of its descriptor, so that spellings of a value are one.
fn canonical(descriptor: &MessageDescriptor, json: &Value, all: bool) -> Value {
    let message = DynamicMessage::deserialize(descriptor.clone(), json).unwrap();
    as_json(&message, all)
}

fn as_json(message: &DynamicMessage, all: bool) -> Value {
    let options = prost_reflect::SerializeOptions::new().use_proto_field_name(true).skip_default_fields(!all);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

/// Fields that the example names with their default value are compared too.
fn named(json: &Value, full: &Value) -> Value {
    match (json, full) {
        (Value::Object(json), Value::Object(full)) => {
            let pairs = json
                .iter()
                .map(|(name, value)| (name.clone(), named(value, full.get(name).unwrap_or(&Value::Null))));
            Value::Object(pairs.collect())
        }
        (Value::Array(json), Value::Array(full)) => {
            Value::Array(json.iter().zip(full).map(|(json, full)| named(json, full)).collect())
        }
        _ => full.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_catalog_is_what_the_platform_does() {
    let key = fresh_key();
    let mut builder = platform();
    // Services that "*" does not cover are named one by one.
    let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    let names: Vec<String> = pool
        .services()
        .map(|service| service.full_name().to_owned())
        .filter(|name| name.starts_with("oaas.") && is_in_catalog(name))
        .map(|name| format!("{name}:internal"))
        .collect();
    let subscriptions: Vec<&str> = names.iter().map(String::as_str).collect();
    builder = builder.app("example", &key, &subscriptions).operator();
    let platform = builder.start().await;
    let client = platform.client().await;
    let gateway = platform.server.as_ref().unwrap().gateway.as_ref().unwrap();
    let snapshot = std::sync::Arc::clone(&gateway.shared().bound.load().snapshot);
    let (mut replayed, mut wrong) = (0, Vec::new());
    for service in snapshot.services.values() {
        // In the order of the file, which is the order in which the state is built up.
        let methods = service.methods.values();
        let mut examples: Vec<(&MethodEntry, &Example)> =
            methods.flat_map(|method| method.examples.iter().map(|example| (&**method, example))).collect();
        examples.sort_by_key(|(_, example)| example.line);
        for (method, example) in examples {
            replayed += 1;
            if let Some(difference) = replay(&client, &key, method, example).await {
                wrong.push(format!("{} ({}): {difference}", method.path, example.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {replayed} examples:\n{}", wrong.len(), wrong.join("\n"));
    assert!(replayed >= 20, "the catalog has only {replayed} examples");
    println!("{replayed} examples replayed");
}

async fn replay(
    client: &crate::client::Client,
    key: &str,
    method: &MethodEntry,
    example: &Example,
) -> Option<String> {
    let mut ask = client.call(&method.path).key(key);
    for message in &example.requests {
        ask = ask.message(&encoded(&method.descriptor.input(), message));
    }
    let answer = ask.send().await;
    match &example.expectation {
        Expectation::Error(reason) => (answer.status() == 0 || answer.reason() != *reason)
            .then(|| format!("expected {reason}, is {} {}", answer.status(), answer.reason())),
        Expectation::Responses(expected) => {
            if answer.status() != 0 {
                return Some(format!("{} {} {}", answer.status(), answer.reason(), answer.message()));
            }
            let output = method.descriptor.output();
            let decode = |bytes: &bytes::Bytes| DynamicMessage::decode(output.clone(), &**bytes).unwrap();
            let messages: Vec<DynamicMessage> = answer.messages().iter().map(decode).collect();
            if messages.len() != expected.len() {
                return Some(format!("expected {} messages, are {}", expected.len(), messages.len()));
            }
            expected.iter().zip(&messages).find_map(|(json, message)| {
                let expected = named(json, &canonical(&output, json, true));
                difference(&expected, &as_json(message, true), "response")
            })
        }
    }
}

/// Whether the repository's catalog has a file on this service.
fn is_in_catalog(service: &str) -> bool {
    fn find(folder: &Path, line: &str) -> bool {
        std::fs::read_dir(folder).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return find(&path, line);
            }
            let is_yaml = path.extension().is_some_and(|end| end == "yaml");
            is_yaml && std::fs::read_to_string(&path).unwrap().lines().any(|own| own == line)
        })
    }
    find(&root().join("catalog"), &format!("service: {service}"))
}
