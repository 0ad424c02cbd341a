//! What the catalog says of services and methods, as the custom options of `oaas/catalog/v1/options.proto`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use oaas_catalog::{AuditMode, Effect, MethodEntry, ServiceEntry, Stage};
use oaas_proto::oaas::catalog::v1 as wire;
use prost::DecodeError;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, ReflectMessage as _, Value};

/// Extension of `google.protobuf.ServiceOptions`.
const SERVICE: &str = "oaas.catalog.v1.service";
/// Extension of `google.protobuf.MethodOptions`.
const METHOD: &str = "oaas.catalog.v1.method";

/// The facts of the visible services.
pub(super) struct Facts<'s> {
    options: Option<(ExtensionDescriptor, ExtensionDescriptor)>,
    services: HashMap<&'s str, &'s ServiceEntry>,
}

impl<'s> Facts<'s> {
    /// The facts of `visible`; none where the pool has no options for them.
    pub fn of(pool: &DescriptorPool, visible: &'s [Arc<ServiceEntry>]) -> Self {
        Self {
            options: pool.get_extension_by_name(SERVICE).zip(pool.get_extension_by_name(METHOD)),
            services: visible.iter().map(|service| (&*service.name, &**service)).collect(),
        }
    }

    /// The options that the facts are set in.
    pub fn options(&self) -> impl Iterator<Item = &ExtensionDescriptor> {
        self.options.iter().flat_map(|(service, method)| [service, method])
    }

    /// Sets a service's facts in its `ServiceOptions`.
    pub fn set_service(&self, service: &str, options: &mut DynamicMessage) -> Result<(), DecodeError> {
        match (&self.options, self.services.get(service)) {
            (Some((option, _)), Some(entry)) => set(options, option, &service_facts(entry)),
            _ => Ok(()),
        }
    }

    /// Sets a method's facts in its `MethodOptions`.
    pub fn set_method(
        &self,
        service: &str,
        method: &str,
        options: &mut DynamicMessage,
    ) -> Result<(), DecodeError> {
        let entry = self.services.get(service).and_then(|service| service.methods.get(method));
        match (&self.options, entry) {
            (Some((_, option)), Some(entry)) => set(options, option, &method_facts(entry)),
            _ => Ok(()),
        }
    }
}

fn set(
    options: &mut DynamicMessage,
    option: &ExtensionDescriptor,
    facts: &impl prost::Message,
) -> Result<(), DecodeError> {
    let kind = option.kind();
    let Some(message) = kind.as_message() else { return Ok(()) };
    // Setting an extension of another message would panic; a foreign options.proto might have one.
    if option.containing_message() != options.descriptor() || option.is_list() {
        return Ok(());
    }
    let mut value = DynamicMessage::new(message.clone());
    value.transcode_from(facts)?;
    options.set_extension(option, Value::Message(value));
    Ok(())
}

fn service_facts(entry: &ServiceEntry) -> wire::ServiceFacts {
    wire::ServiceFacts {
        domain: entry.domain.to_string(),
        owner: entry.owner.clone(),
        stage: stage(entry.stage).to_owned(),
        tags: entry.tags.clone(),
        title_en: entry.title.en.clone(),
        title_zh: entry.title.zh.clone(),
        sla_deadline: Some(duration(entry.sla.deadline)),
        sla_p99: Some(duration(entry.sla.p99)),
        sla_availability_percent: entry.sla.availability_percent,
    }
}

fn method_facts(entry: &MethodEntry) -> wire::MethodFacts {
    wire::MethodFacts {
        effect: match entry.effect {
            Effect::Read => "read",
            Effect::Write => "write",
        }
        .to_owned(),
        idempotent: entry.idempotent,
        audit: audit(entry.audit).to_owned(),
        price: entry.price.as_ref().map(|price| wire::PriceFact {
            amount: price.amount.to_string(),
            currency: price.currency.code().to_owned(),
            unit: price.unit.clone(),
        }),
        error_reasons: entry.error_reasons.clone(),
        deadline: (!entry.is_streaming()).then(|| duration(entry.deadline)),
        request_bytes_max: entry.request_bytes_max,
        response_bytes_max: entry.response_bytes_max,
    }
}

/// How the YAML entry writes a stage.
fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Alpha => "alpha",
        Stage::Beta => "beta",
        Stage::Ga => "ga",
        Stage::Deprecated => "deprecated",
    }
}

/// How the contract writes an audit mode.
pub(in crate::platform) fn audit(mode: AuditMode) -> &'static str {
    match mode {
        AuditMode::Strict => "strict",
        AuditMode::Standard => "standard",
        AuditMode::Sampled(_) => "sampled",
    }
}

/// A duration on the wire; the catalog's are far below its limit of 10,000 years.
pub(in crate::platform) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}
