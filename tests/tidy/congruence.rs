//! Contract, catalog and code name the same services and methods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;

use oaas::config::{Config, SettingsArgs};
use prost_reflect::{DescriptorPool, Kind, ServiceDescriptor};

use crate::{files_ending, none_of, text};

/// Packages of other people's protocols, whose services are the platform's own.
const PLATFORM: &str = "platform";

/// Words of a field's name that say that it is money.
const MONEY: [&str; 13] = [
    "amount",
    "balance",
    "budget",
    "commission",
    "cost",
    "fee",
    "fen",
    "micros",
    "minor",
    "payout",
    "price",
    "rebate",
    "value",
];
/// The demo's other party: not of this platform, put behind the gateway by `crates/oaas/src/demo/carrier.yaml`.
const DEMO: &str = "oaas.demo.v1";

/// A service of the catalog that runs in this program.
struct Entry {
    file: String,
    domain: String,
    methods: BTreeSet<String>,
}

fn contract() -> Vec<ServiceDescriptor> {
    let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    pool.services().filter(|service| service.package_name() != DEMO).collect()
}

fn methods(service: &ServiceDescriptor) -> BTreeSet<String> {
    service.methods().map(|method| method.name().to_owned()).collect()
}

/// The catalog as it is written, without the catalog's loader: this is what people put there.
fn catalog() -> BTreeMap<String, Entry> {
    let mut services = BTreeMap::new();
    for file in files_ending("catalog", &["yaml"]) {
        let entry: serde_json::Value = serde_saphyr::from_str(&text(&file)).unwrap();
        let Some(name) = entry["service"].as_str() else { continue };
        if entry["upstream"] != "local" {
            continue;
        }
        let methods = entry["methods"].as_object().unwrap().keys().cloned().collect();
        let domain = entry["domain"].as_str().unwrap().to_owned();
        let entry = Entry { file: file.display().to_string(), domain, methods };
        if let Some(other) = services.insert(name.to_owned(), entry) {
            panic!("{name} is in {} and in {}", other.file, file.display());
        }
    }
    services
}

/// What this program registers when it runs every domain.
async fn registered() -> BTreeSet<String> {
    let config = Config::load(&SettingsArgs::default(), std::iter::empty()).unwrap();
    let cx = oaas_capability::Context::in_memory().await.unwrap();
    let domains = oaas::domains::registrations(&config, &cx).await.unwrap();
    let platform = oaas_gateway::platform::registrations(&Weak::new());
    domains.into_iter().chain(platform).map(|registration| registration.name.to_owned()).collect()
}

/// Where the entry of a service belongs.
fn place(service: &ServiceDescriptor) -> String {
    let domain = match service.package_name().split('.').collect::<Vec<_>>()[..] {
        ["oaas", "catalog" | "gateway", _] => PLATFORM.to_owned(),
        ["oaas", domain, _] => domain.replace('_', "-"),
        _ => PLATFORM.to_owned(),
    };
    let file =
        service.parent_file().name().rsplit('/').next().unwrap().replace(".proto", ".yaml").replace('_', "-");
    format!("catalog/{domain}/{file}")
}

#[tokio::test]
async fn contract_catalog_and_code_name_the_same_methods() {
    let (catalog, registered, contract) = (catalog(), registered().await, contract());
    let mut faults = Vec::new();
    for service in &contract {
        let (name, proto) = (service.full_name(), service.parent_file().name().to_owned());
        if !registered.contains(name) {
            faults.push(format!(
                "{name} is in proto/{proto}, and no domain registers it: add its adapter to `services` of the \
                 domain's lib.rs"
            ));
        }
        let Some(entry) = catalog.get(name) else {
            faults
                .push(format!("{name} is in proto/{proto}, and not in the catalog: add {}", place(service)));
            continue;
        };
        let wanted = methods(service);
        for method in wanted.difference(&entry.methods) {
            faults.push(format!("{name}/{method} is in proto/{proto}: add it to {}", entry.file));
        }
        for method in entry.methods.difference(&wanted) {
            faults.push(format!(
                "{name}/{method} is in {}: add it to proto/{proto}, or take it out",
                entry.file
            ));
        }
    }
    let known: BTreeSet<&str> = contract.iter().map(ServiceDescriptor::full_name).collect();
    for (name, entry) in &catalog {
        if !known.contains(name.as_str()) {
            faults.push(format!("{name} is in {}, and in no file below proto/", entry.file));
        }
    }
    for name in registered.iter().filter(|name| !known.contains(name.as_str())) {
        faults.push(format!("{name} is registered, and in no file below proto/"));
    }
    none_of(&faults);
}

#[test]
fn an_entry_lies_in_its_domains_folder() {
    let mut faults = Vec::new();
    for (name, entry) in catalog() {
        let folder = entry.file.split('/').nth(1).unwrap_or_default();
        if folder != entry.domain {
            faults.push(format!("{name}: {} says domain {}", entry.file, entry.domain));
        }
        let package = format!("oaas.{}.", entry.domain.replace('-', "_"));
        if entry.domain != PLATFORM && !name.starts_with(&package) {
            faults.push(format!(
                "{name}: {} says domain {}, and the package another",
                entry.file, entry.domain
            ));
        }
    }
    none_of(&faults);
}

#[test]
fn every_rpc_of_ours_says_its_http_form() {
    let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let ours = pool.services().filter(|service| service.full_name().starts_with("oaas."));
    let missing = ours.flat_map(|service| service.methods().collect::<Vec<_>>());
    let missing = missing.filter(|method| !method.options().has_extension(&http));
    none_of(&missing.map(|method| format!("{}: no google.api.http", method.full_name())).collect::<Vec<_>>());
}

#[test]
fn no_money_of_the_contract_is_a_float() {
    let pool = DescriptorPool::decode(oaas_proto::DESCRIPTORS).unwrap();
    let ours = pool
        .all_messages()
        .filter(|message| message.full_name().starts_with("oaas.") && !message.is_map_entry());
    let floats = ours.flat_map(|message| message.fields().collect::<Vec<_>>()).filter(|field| {
        let float = matches!(field.kind(), Kind::Double | Kind::Float);
        float && field.name().split('_').any(|word| MONEY.contains(&word))
    });
    none_of(
        &floats.map(|field| format!("{}: money is int64 minor units", field.full_name())).collect::<Vec<_>>(),
    );
}
