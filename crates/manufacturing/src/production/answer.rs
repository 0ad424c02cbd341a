//! From the core to the wire: a decision with its proof, and availability.

use oaas_proto::oaas::manufacturing::v1 as pb;

use super::availability::{Ledger, Point};
use super::capacity::Booked;
use super::cost::Cost;
use super::ctp::{self, Capable, Limit};
use super::decide::{Alternative, Decision, Reason, Verdict};
use super::demand::{Demand, Source};
use super::explain::{self, Text, Warning, WarningKind};
use super::pegging::{Cover, Moved, Peg};
use super::plan::{Order, Plan, Requirement, User, rates};
use super::plant::{Minute, Snapshot};
use super::wire::timestamp;

/// Most points of an availability answer.
const POINTS_MAX: usize = 5_000;

/// A decision as it is answered.
pub fn plan(snapshot: &Snapshot, demand: &Demand, decision: &Decision, now: Minute) -> pb::ProductionPlan {
    let plan = &decision.plan;
    let reason = match decision.reason {
        Reason::StockCovers => pb::DecisionReason::StockCovers,
        Reason::OnlySource => pb::DecisionReason::OnlySource,
        Reason::OnlyInTime => pb::DecisionReason::OnlyInTime,
        Reason::Earliest => pb::DecisionReason::Earliest,
        Reason::Cheapest => pb::DecisionReason::Cheapest,
    };
    let deliveries = demand.deliveries.iter().zip(&plan.promises).map(|(delivery, promise)| {
        let (quantity, due_time) = (delivery.quantity, delivery.due.map(timestamp));
        let promise_time = Some(timestamp(promise.at));
        pb::DeliveryPromise { quantity, due_time, promise_time, late_minutes: promise.late }
    });
    let alternatives = decision.alternatives.iter().map(|a| alternative(snapshot, a));
    let levels = decision.levels.iter();
    pb::ProductionPlan {
        decision: source(decision.source).into(),
        reason: reason.into(),
        explanation: Some(text(decision.explanation.clone())),
        promise_time: Some(timestamp(plan.promise())),
        on_time: plan.late() == 0,
        deliveries: deliveries.collect(),
        reservations: (1..).zip(&plan.requirements).map(|(n, r)| reservation(plan, n, r)).collect(),
        planned_orders: (1..).zip(&plan.orders).map(|(n, order)| planned_order(snapshot, n, order)).collect(),
        warnings: explain::warnings(plan).into_iter().map(warning).collect(),
        alternatives: alternatives.collect(),
        as_of_time: Some(timestamp(now)),
        levels: levels
            .map(|(item, code)| pb::ItemLevel { item_id: item.to_string(), low_level_code: *code })
            .collect(),
        moved_reservations: plan.moved.iter().map(moved).collect(),
        moved_orders: Vec::new(),
        changed_promises: Vec::new(),
        capable_to_promise: (0..)
            .zip(ctp::capable(snapshot, demand, plan, now))
            .map(|(delivery, capable)| self::capable(delivery, &capable))
            .collect(),
    }
}

fn moved(moved: &Moved) -> pb::MovedReservation {
    pb::MovedReservation {
        reservation_id: moved.id.to_string(),
        item_id: moved.item.to_string(),
        before_time: Some(timestamp(moved.before)),
        after_time: Some(timestamp(moved.after)),
        use_time: Some(timestamp(moved.needed)),
    }
}

fn capable(delivery: u32, capable: &Capable) -> pb::CapableToPromise {
    let (limit, subject) = match &capable.limit {
        Limit::None => (pb::PromiseLimit::Unspecified, ""),
        Limit::OpenOrder(item) => (pb::PromiseLimit::OpenOrder, &**item),
        Limit::LeadTime(item) => (pb::PromiseLimit::LeadTime, &**item),
        Limit::Capacity(center) => (pb::PromiseLimit::Capacity, &**center),
        Limit::Fence(item) => (pb::PromiseLimit::Fence, &**item),
        Limit::Sender(item) => (pb::PromiseLimit::Sender, &**item),
    };
    pb::CapableToPromise {
        delivery,
        available_quantity: capable.available,
        available_time: (capable.available > 0).then(|| timestamp(capable.available_at)),
        capable_quantity: capable.capable,
        capable_time: capable.capable_at.map(timestamp),
        limited_by: limit.into(),
        limit_subject: subject.to_owned(),
        critical_orders: capable.chain.iter().map(|index| number(*index)).collect(),
    }
}

/// What of an item is available, by time.
pub fn availability(snapshot: &Snapshot, item: &str, now: Minute) -> pb::GetAvailabilityResponse {
    let known = snapshot.items.get(item);
    let point = |point: &Point| pb::AvailabilityPoint {
        time: Some(timestamp(point.at)),
        projected: i64::try_from(point.projected).unwrap_or(i64::MAX),
        available_to_promise: i64::try_from(point.available).unwrap_or(i64::MAX),
    };
    let points = Ledger::of(snapshot, &item.into(), now).points(now);
    pb::GetAvailabilityResponse {
        on_hand: known.map_or(0, |item| item.on_hand),
        safety_stock: known.map_or(0, |item| item.safety_stock),
        points: points.iter().take(POINTS_MAX).map(point).collect(),
    }
}

pub fn source(source: Source) -> pb::Source {
    match source {
        Source::Reserve => pb::Source::Reserve,
        Source::Make => pb::Source::Make,
        Source::Buy => pb::Source::Buy,
        Source::Outsource => pb::Source::Outsource,
        Source::Transfer => pb::Source::Transfer,
    }
}

fn text(text: Text) -> pb::Text {
    pb::Text { en: text.en, zh: text.zh }
}

/// Index of an order or requirement as its number on the wire.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

fn reservation(plan: &Plan, own: u32, requirement: &Requirement) -> pb::Reservation {
    let used_by = match requirement.user {
        User::Delivery(index) => pb::reservation::UsedBy::Delivery(u32::try_from(index).unwrap_or(u32::MAX)),
        User::Order(index) => pb::reservation::UsedBy::PlannedOrder(number(index)),
    };
    let orders = requirement.orders.iter().map(|(index, quantity)| Peg {
        cover: Cover::Order(*index),
        quantity: *quantity,
        at: plan.orders.get(*index).map_or(requirement.ready, |order| order.ready),
    });
    let pegs = requirement.pegs.iter().cloned().chain(orders).map(|peg| pb::Peg {
        quantity: peg.quantity,
        available_time: Some(timestamp(peg.at)),
        supply: Some(match peg.cover {
            Cover::Stock => pb::peg::Supply::Stock(true),
            Cover::Receipt(id) => pb::peg::Supply::ReceiptId(id.to_string()),
            Cover::Order(index) => pb::peg::Supply::PlannedOrder(number(index)),
        }),
    });
    pb::Reservation {
        number: own,
        item_id: requirement.item.to_string(),
        quantity: requirement.quantity,
        use_time: Some(timestamp(requirement.use_at)),
        pegs: pegs.collect(),
        used_by: Some(used_by),
    }
}

fn planned_order(snapshot: &Snapshot, own: u32, order: &Order) -> pb::PlannedOrder {
    let rates = snapshot.items.get(&order.item).and_then(|item| rates(item, order.source));
    let (setup, unit) = rates.unwrap_or_default();
    let pegs = order.pegs.iter();
    pb::PlannedOrder {
        number: own,
        item_id: order.item.to_string(),
        source: source(order.source).into(),
        supplier_id: order.supplier.as_deref().unwrap_or_default().to_owned(),
        quantity: order.quantity,
        start_time: Some(timestamp(order.start)),
        ready_time: Some(timestamp(order.ready)),
        need_time: Some(timestamp(order.need)),
        operations: order.operations.iter().map(operation).collect(),
        pegs: pegs
            .map(|(index, units)| pb::OrderPeg { reservation: number(*index), quantity: *units })
            .collect(),
        // Within 64 bits, because the plan's whole cost is.
        cost_minor: order.quantity.saturating_mul(unit).saturating_add(setup),
        state: pb::ProductionState::Planned.into(),
        set_aside_at_sender: order.set_aside,
    }
}

fn operation(operation: &Booked) -> pb::BookedOperation {
    pb::BookedOperation {
        work_center_id: operation.work_center.to_string(),
        machine: number(operation.machine),
        start_time: Some(timestamp(operation.start)),
        end_time: Some(timestamp(operation.end)),
        working_minutes: operation.minutes,
        setup_minutes: operation.setup,
    }
}

fn warning(warning: Warning) -> pb::Warning {
    let kind = match warning.kind {
        WarningKind::DeliveryLate => pb::WarningKind::DeliveryLate,
        WarningKind::OrderLate => pb::WarningKind::OrderLate,
        WarningKind::ReservationMoved => pb::WarningKind::ReservationMoved,
        WarningKind::Surplus => pb::WarningKind::Surplus,
        WarningKind::SenderUnknown => pb::WarningKind::SenderUnknown,
    };
    let (subject, amount) = (warning.subject, warning.amount);
    pb::Warning { kind: kind.into(), text: Some(text(warning.text)), subject, amount }
}

fn alternative(snapshot: &Snapshot, alternative: &Alternative) -> pb::Alternative {
    let verdict = match alternative.verdict {
        Verdict::Chosen => pb::Verdict::Chosen,
        Verdict::Possible => pb::Verdict::Possible,
        Verdict::Impossible(_) | Verdict::Undefined => pb::Verdict::Impossible,
        Verdict::NotAllowed | Verdict::NotNeeded => pb::Verdict::NotConsidered,
    };
    pb::Alternative {
        source: source(alternative.source).into(),
        verdict: verdict.into(),
        explanation: Some(text(explain::alternative(snapshot, alternative))),
        promise_time: alternative.plan.as_ref().map(|plan| timestamp(plan.promise())),
        cost: alternative.plan.as_ref().map(|plan| cost(snapshot, &plan.cost)),
    }
}

pub fn cost(snapshot: &Snapshot, cost: &Cost) -> pb::Cost {
    pb::Cost {
        currency: snapshot.currency.code().to_owned(),
        material_minor: cost.material,
        units_minor: cost.units,
        setup_minor: cost.setup,
        holding_minor: cost.holding,
        lateness_minor: cost.lateness,
        disruption_minor: cost.disruption,
        // The planner refuses a plan whose total is beyond 64 bits.
        total_minor: i64::try_from(cost.total()).unwrap_or(i64::MAX),
    }
}
