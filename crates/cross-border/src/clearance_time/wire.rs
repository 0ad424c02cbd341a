//! The core's words as messages of the contract, for programs that send them.

use oaas_proto::oaas::cross_border::v1 as wire;

use super::hours::{Said, Statement};
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

/// What a message says of an office's hours.
pub(super) fn said(hours: &wire::OfficeHours) -> Said {
    let days = hours.days.iter().map(|day| {
        let spans = day.hours.iter().map(|span| (span.from_minute, span.to_minute));
        (day.date.clone(), spans.collect())
    });
    Said {
        zone: hours.time_zone.clone(),
        week: hours.week.iter().map(|span| (span.weekday, span.from_minute, span.to_minute)).collect(),
        days: days.collect(),
        holidays_worked: hours.holidays_worked,
    }
}

/// What is said of an office as a message.
pub(super) fn statement(statement: &Statement) -> wire::OfficeHoursStatement {
    let hours = statement.hours.as_ref().map(|hours| {
        let (zone, week, days) = hours.parts();
        let span = |&(from, until): &(u16, u16)| (u32::from(from), u32::from(until));
        let week = (1..).zip(week).flat_map(|(weekday, spans)| {
            spans.iter().map(span).map(move |(from_minute, to_minute)| wire::OfficeWeekSpan {
                weekday,
                from_minute,
                to_minute,
            })
        });
        let days = days.iter().map(|(date, spans)| wire::OfficeDay {
            date: date.to_string(),
            hours: spans
                .iter()
                .map(span)
                .map(|(from_minute, to_minute)| wire::OfficeSpan { from_minute, to_minute })
                .collect(),
        });
        wire::OfficeHours {
            time_zone: zone.to_owned(),
            week: week.collect(),
            days: days.collect(),
            holidays_worked: hours.holidays_worked(),
        }
    });
    wire::OfficeHoursStatement {
        country: statement.country.code().to_owned(),
        office: statement.office.clone(),
        hours,
        known_at: Some(timestamp(statement.known_at_ms)),
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
