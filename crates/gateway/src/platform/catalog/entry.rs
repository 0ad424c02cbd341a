//! A catalog entry on the wire.

use oaas_catalog::{Effect, MethodEntry, ServiceEntry, Stage, Text};
use oaas_proto::oaas::catalog::v1 as wire;

use crate::platform::projection::{audit, duration};

/// A service with its methods.
pub(super) fn service(entry: &ServiceEntry) -> wire::Service {
    wire::Service {
        name: entry.name.to_string(),
        domain: entry.domain.to_string(),
        title: Some(text(&entry.title)),
        summary: Some(text(&entry.summary)),
        owner: entry.owner.clone(),
        tags: entry.tags.clone(),
        stage: stage(entry.stage).into(),
        sla: Some(wire::ServiceLevel {
            deadline: Some(duration(entry.sla.deadline)),
            p99: Some(duration(entry.sla.p99)),
            availability_percent: entry.sla.availability_percent,
        }),
        methods: entry.methods.values().map(|entry| method(entry)).collect(),
    }
}

/// The stage that is asked for; none: all.
pub(super) fn stage_of(asked: wire::Stage) -> Option<Stage> {
    match asked {
        wire::Stage::Unspecified => None,
        wire::Stage::Alpha => Some(Stage::Alpha),
        wire::Stage::Beta => Some(Stage::Beta),
        wire::Stage::Ga => Some(Stage::Ga),
        wire::Stage::Deprecated => Some(Stage::Deprecated),
    }
}

fn method(entry: &MethodEntry) -> wire::Method {
    let descriptor = &entry.descriptor;
    wire::Method {
        name: entry.name.to_string(),
        path: entry.path.to_string(),
        effect: match entry.effect {
            Effect::Read => wire::Effect::Read,
            Effect::Write => wire::Effect::Write,
        }
        .into(),
        idempotent: entry.idempotent,
        request_type: descriptor.input().full_name().to_owned(),
        response_type: descriptor.output().full_name().to_owned(),
        client_streaming: descriptor.is_client_streaming(),
        server_streaming: descriptor.is_server_streaming(),
        price: entry.price.as_ref().map(|price| wire::Price {
            amount: price.amount.to_string(),
            currency: price.currency.code().to_owned(),
            unit: price.unit.clone(),
        }),
        error_reasons: entry.error_reasons.clone(),
        request_bytes_max: entry.request_bytes_max,
        response_bytes_max: entry.response_bytes_max,
        audit: audit(entry.audit).to_owned(),
    }
}

fn stage(stage: Stage) -> wire::Stage {
    match stage {
        Stage::Alpha => wire::Stage::Alpha,
        Stage::Beta => wire::Stage::Beta,
        Stage::Ga => wire::Stage::Ga,
        Stage::Deprecated => wire::Stage::Deprecated,
    }
}

fn text(text: &Text) -> wire::Text {
    wire::Text { en: text.en.clone(), zh: text.zh.clone() }
}
