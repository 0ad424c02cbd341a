//! The core's words as messages of the contract, for programs that send them.

use oaas_proto::oaas::cross_border::v1 as wire;

use super::{Moment, Record, Traits};
use crate::{Country, TransportMode};

impl From<&Record> for wire::RecordClearanceRequest {
    fn from(record: &Record) -> Self {
        let at = |moment| record.milestones.at(moment).map(timestamp);
        Self {
            shipment_id: record.shipment_id.clone(),
            consignment: Some(record.traits.as_ref().into()),
            milestones: Some(wire::Milestones {
                ordered_at: at(Moment::Ordered),
                arrived_at: at(Moment::Arrived),
                declared_at: at(Moment::Declared),
                released_at: at(Moment::Released),
                gated_out_at: at(Moment::GatedOut),
                delivered_at: at(Moment::Delivered),
            }),
            observed_at: Some(timestamp(record.known_at_ms)),
        }
    }
}

impl From<&Traits> for wire::Consignment {
    fn from(traits: &Traits) -> Self {
        Self {
            destination_country: traits.destination.code().to_owned(),
            origin_country: traits.origin.as_ref().map_or("", Country::code).to_owned(),
            origin_site: traits.origin_site.clone(),
            office: traits.office.clone(),
            transport_mode: traits.mode.map_or(wire::TransportMode::Unspecified, mode).into(),
            hs_code: traits.hs_code.clone(),
            regime: traits.regime.clone(),
            importer_tier: traits.importer_tier.clone(),
            supplier: traits.supplier.clone(),
            product_group: traits.product_group.clone(),
            incoterm: traits.incoterm.clone(),
            inspection: match traits.inspected {
                None => wire::CustomsInspection::Unspecified,
                Some(false) => wire::CustomsInspection::None,
                Some(true) => wire::CustomsInspection::Inspected,
            }
            .into(),
        }
    }
}

/// A moment of Unix milliseconds.
pub(super) fn timestamp(unix_ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(unix_ms.rem_euclid(1000)).unwrap_or_default() * 1_000_000;
    prost_types::Timestamp { seconds: unix_ms.div_euclid(1000), nanos }
}

fn mode(mode: TransportMode) -> wire::TransportMode {
    match mode {
        TransportMode::Air => wire::TransportMode::Air,
        TransportMode::AirCharter => wire::TransportMode::AirCharter,
        TransportMode::Sea => wire::TransportMode::Sea,
        TransportMode::Road => wire::TransportMode::Road,
        TransportMode::Rail => wire::TransportMode::Rail,
        TransportMode::Post => wire::TransportMode::Post,
    }
}
