//! From the wire to the core: demands, items, work centres, times.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use oaas_capability::Violation;
use oaas_proto::oaas::manufacturing::v1 as pb;
use prost_types::Timestamp;

use super::calendar::{Calendar, CalendarError, Hours};
use super::demand::{DUE_AHEAD_MAX, Delivery, Demand, Source};
use super::failure::Failure;
use super::plant::{
    DAY, Id, Item, LotPolicy, LotRule, Making, Minute, Operation, QUANTITY_MAX, Supply, WorkCenter,
};

/// Seconds of a minute.
const MINUTE_S: i64 = 60;

/// First second after the times that master data and demands may name: 2200-01-01T00:00Z.
const SECONDS_END: i64 = 7_258_118_400;

/// Whether a moment lies between 1970 and 2200.
pub fn in_range(moment: &Timestamp) -> bool {
    (0..SECONDS_END).contains(&moment.seconds) && (0..1_000_000_000).contains(&moment.nanos)
}

/// The minute that a clock's milliseconds fall into, rounded up.
pub fn now(unix_ms: i64) -> Minute {
    -(-unix_ms).div_euclid(60_000)
}

/// A minute as a moment.
pub fn timestamp(minute: Minute) -> Timestamp {
    Timestamp { seconds: minute.saturating_mul(MINUTE_S), nanos: 0 }
}

/// The last whole minute by a moment: what is due.
pub fn minute_before(moment: &Timestamp) -> Minute {
    moment.seconds.div_euclid(MINUTE_S)
}

/// The first whole minute from a moment on: what is available.
pub fn minute_after(moment: &Timestamp) -> Minute {
    let seconds = moment.seconds.saturating_add(i64::from(moment.nanos > 0));
    -(seconds.saturating_neg()).div_euclid(MINUTE_S)
}

/// A demand, as of `now`.
pub fn demand(demand: Option<&pb::ProductionDemand>, now: Minute) -> Result<Demand, Failure> {
    let Some(demand) = demand else {
        return Err(Failure::Fields(vec![Violation::new("demand", "must be set")]));
    };
    let mut bad = Vec::new();
    let deliveries = demand.deliveries.iter().enumerate();
    let deliveries: Vec<Delivery> = deliveries
        .map(|(at, delivery)| {
            if !(1..=QUANTITY_MAX).contains(&delivery.quantity) {
                let description = format!("must be 1 to {QUANTITY_MAX}, is {}", delivery.quantity);
                bad.push(Violation::new(format!("demand.deliveries[{at}].quantity"), description));
            }
            let due = match &delivery.due {
                None => None,
                Some(pb::delivery::Due::DueInDays(days)) => Some(now + i64::from(*days) * DAY),
                Some(pb::delivery::Due::DueTime(moment)) if !in_range(moment) => {
                    let field = format!("demand.deliveries[{at}].due_time");
                    bad.push(Violation::new(field, "must be between 1970 and 2200"));
                    None
                }
                Some(pb::delivery::Due::DueTime(moment)) => Some(minute_before(moment)),
            };
            if due.is_some_and(|due| due > now + DUE_AHEAD_MAX) {
                let field = format!("demand.deliveries[{at}].due_time");
                let description = format!("must be at most {} days ahead", DUE_AHEAD_MAX / DAY);
                bad.push(Violation::new(field, description));
            }
            Delivery { quantity: delivery.quantity, due }
        })
        .collect();
    if deliveries.is_empty() {
        bad.push(Violation::new("demand.deliveries", "must have at least 1 entry, has 0"));
    }
    let priced =
        demand.lateness_cost_minor_per_day.unwrap_or_default() > 0 || demand.disruption_cost_minor > 0;
    if priced && demand.currency.is_empty() {
        bad.push(Violation::new("demand.currency", "must be set with an amount"));
    }
    if !bad.is_empty() {
        return Err(Failure::Fields(bad));
    }
    Ok(Demand {
        item: demand.item_id.as_str().into(),
        deliveries,
        sources_allowed: demand.sources_allowed().filter_map(source).collect(),
        lateness_cost_per_day: demand.lateness_cost_minor_per_day,
        disruption_cost: demand.disruption_cost_minor,
        on_time_only: demand.on_time_only,
        rush: demand.rush,
    })
}

fn source(source: pb::Source) -> Option<Source> {
    match source {
        pb::Source::Unspecified => None,
        pb::Source::Reserve => Some(Source::Reserve),
        pb::Source::Make => Some(Source::Make),
        pb::Source::Buy => Some(Source::Buy),
        pb::Source::Outsource => Some(Source::Outsource),
        pb::Source::Transfer => Some(Source::Transfer),
    }
}

/// An item without its bill.
pub fn item(item: &pb::Item, on_hand: i64) -> Item {
    let lot = item.lot.unwrap_or_default();
    let policy = match lot.policy() {
        pb::LotPolicy::Unspecified | pb::LotPolicy::WagnerWhitin => LotPolicy::WagnerWhitin,
        pb::LotPolicy::SilverMeal => LotPolicy::SilverMeal,
        pb::LotPolicy::LotForLot => LotPolicy::LotForLot,
    };
    Item {
        unit_cost: item.unit_cost_minor,
        holding_micros_per_day: item.holding_micros_per_day,
        safety_stock: item.safety_stock,
        fence_minutes: i64::from(item.frozen_fence_days) * DAY,
        lot: LotRule {
            policy,
            min: lot.quantity_min,
            multiple: lot.quantity_multiple,
            max: lot.quantity_max,
        },
        make: item.make.as_ref().map(making),
        buy: item.buy.as_ref().map(supply),
        outsource: item.outsource.as_ref().map(supply),
        transfer: item.transfer.as_ref().map(supply),
        bill: Vec::new(),
        on_hand,
    }
}

fn making(making: &pb::Making) -> Making {
    let operations = making.operations.iter().map(|operation| Operation {
        work_center: operation.work_center_id.as_str().into(),
        setup_minutes: operation.setup_minutes.into(),
        run_seconds: operation.run_seconds.into(),
        run_quantity: i64::from(operation.run_quantity).max(1),
        family: family(&making.setup_family),
    });
    let operations = operations.collect();
    Making { operations, setup_cost: making.setup_cost_minor, unit_cost: making.unit_cost_minor }
}

/// A setup family; none when it isn't named.
pub fn family(name: &str) -> Option<Id> {
    (!name.is_empty()).then(|| name.into())
}

fn supply(supply: &pb::Supply) -> Supply {
    Supply {
        supplier: supply.supplier_id.as_str().into(),
        lead_minutes: i64::from(supply.lead_time_days) * DAY,
        order_cost: supply.order_cost_minor,
        unit_price: supply.unit_price_minor,
    }
}

/// A work centre; its shifts are hours in `zone`.
pub fn work_center(center: &pb::WorkCenter, zone: &TimeZone) -> Result<WorkCenter, CalendarError> {
    let mut shifts = Vec::new();
    for shift in &center.shifts {
        if let Some(hours) = &shift.hours {
            shifts.push((shift.weekday, span(hours)?));
        }
    }
    let mut exceptions = BTreeMap::new();
    for day in &center.exceptions {
        let date = day.date.parse().map_err(|_| CalendarError::Date(day.date.clone()))?;
        let hours = day.hours.iter().map(span).collect::<Result<_, _>>()?;
        if exceptions.insert(date, hours).is_some() {
            return Err(CalendarError::Twice(day.date.clone()));
        }
    }
    let machines = usize::try_from(center.machines).unwrap_or(1).max(1);
    let setups = center.setup_times.iter().map(|setup| {
        ((setup.from_family.as_str().into(), setup.to_family.as_str().into()), i64::from(setup.minutes))
    });
    let setups = setups.collect();
    Ok(WorkCenter { machines, calendar: Calendar::new(zone.clone(), &shifts, exceptions)?, setups })
}

fn span(hours: &pb::Hours) -> Result<Hours, CalendarError> {
    let bad = || CalendarError::Span { from: hours.from_minute, to: hours.to_minute };
    let from = u16::try_from(hours.from_minute).map_err(|_| bad())?;
    let to = u16::try_from(hours.to_minute).map_err(|_| bad())?;
    Ok(Hours { from, to })
}
