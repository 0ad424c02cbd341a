//! Events and what they do, from the wire and to it.

use oaas_capability::Violation;
use oaas_proto::oaas::manufacturing::v1 as pb;

use super::answer;
use super::demand::{HORIZON, PlanError};
use super::event::{ChangedPromise, Event, Impact, MovedOrder, NewPlan, Policy};
use super::explain::{Text, span};
use super::failure::{self, Failure};
use super::hysteresis::Hysteresis;
use super::open_plant::OpenPlant;
use super::plant::{Booking, Id, Minute};
use super::repair::{Outage, Uncovered};
use super::wire::{self, timestamp};

/// Most lines of each list in an answer.
const LINES_MAX: usize = 5_000;

fn field(name: &str, description: impl Into<String>) -> Failure {
    Failure::Fields(vec![Violation::new(name, description)])
}

/// The event of a request, checked against what is open.
pub fn event(request: &pb::RescheduleImpactRequest, open: &OpenPlant, now: Minute) -> Result<Event, Failure> {
    use pb::plant_event::Event as Wire;
    let event = request.event.as_ref().and_then(|event| event.event.as_ref());
    match event {
        None => Err(field("event", "must say what happens")),
        Some(Wire::RushOrder(rush)) => {
            let demand = wire::demand(rush.demand.as_ref(), now)?;
            let wanted = rush.demand.as_ref();
            if wanted.is_some_and(|wanted| wanted.plant != request.plant) {
                return Err(field("event.rush_order.demand.plant", format!("must be {}", request.plant)));
            }
            Ok(Event::Rush(demand, wanted.map(|wanted| wanted.order_reference.clone()).unwrap_or_default()))
        }
        Some(Wire::Breakdown(down)) => {
            let name = "event.breakdown";
            let Some(center) = open.snapshot.work_centers.get(down.work_center_id.as_str()) else {
                let description = format!("must be a work centre of a routing, is {:?}", down.work_center_id);
                return Err(field(&format!("{name}.work_center_id"), description));
            };
            let machine = usize::try_from(down.machine).unwrap_or(usize::MAX).checked_sub(1);
            if machine.is_some_and(|machine| machine >= center.machines) {
                let description = format!("must be at most {}, is {}", center.machines, down.machine);
                return Err(field(&format!("{name}.machine"), description));
            }
            let times = [down.from_time.as_ref(), down.until_time.as_ref()];
            if times.into_iter().flatten().any(|time| !wire::in_range(time)) {
                return Err(field(name, "must be between 1970 and 2200"));
            }
            let from = down.from_time.as_ref().map_or(now, wire::minute_before).max(now);
            let until = down.until_time.as_ref().map_or(now, wire::minute_after);
            if until <= from || until > now + HORIZON {
                return Err(field(
                    &format!("{name}.until_time"),
                    "must be after its begin, and within three years",
                ));
            }
            let work_center = down.work_center_id.as_str().into();
            Ok(Event::Breakdown(Outage { work_center, machine, from, until }))
        }
        Some(Wire::Repaired(repaired)) => over(repaired, open, now),
        Some(Wire::LateSupply(late)) => {
            let at = late.available_time.as_ref();
            let Some(at) = at.filter(|at| wire::in_range(at)).map(wire::minute_after) else {
                return Err(field("event.late_supply.available_time", "must be between 1970 and 2200"));
            };
            let at = at.max(now);
            if at > now + HORIZON {
                return Err(field("event.late_supply.available_time", "must be within three years"));
            }
            let id: Id = late.receipt_id.as_str().into();
            let found = open.snapshot.receipts.iter().any(|receipt| receipt.id == id);
            if found {
                Ok(Event::Late(id, at))
            } else {
                Err(Failure::ReceiptUnknown(late.receipt_id.clone()))
            }
        }
        Some(Wire::YieldLoss(loss)) => yield_loss(open, loss),
    }
}

/// A machine that works again, where one is out of order.
fn over(repaired: &pb::Repaired, open: &OpenPlant, now: Minute) -> Result<Event, Failure> {
    if repaired.at_time.as_ref().is_some_and(|at| !wire::in_range(at)) {
        return Err(field("event.repaired.at_time", "must be between 1970 and 2200"));
    }
    // From a minute on all of which it works.
    let from = repaired.at_time.as_ref().map_or(now, wire::minute_after).max(now);
    let machine = usize::try_from(repaired.machine).unwrap_or(usize::MAX).checked_sub(1);
    let here = |down: &&Booking| *down.work_center == *repaired.work_center_id;
    let known = || open.outages.iter().filter(here);
    if known().next().is_none() {
        let description = format!("must have a breakdown, is {:?}", repaired.work_center_id);
        return Err(field("event.repaired.work_center_id", description));
    }
    let mine = known().filter(|down| machine.is_none_or(|machine| machine == down.machine));
    let until = mine.map(|down| down.end).max().unwrap_or_default();
    if until == 0 {
        return Err(field(
            "event.repaired.machine",
            format!("must be out of order, is {}", repaired.machine),
        ));
    }
    if until <= from {
        return Err(field("event.repaired.at_time", "must be before the end of the breakdown"));
    }
    let work_center = repaired.work_center_id.as_str().into();
    Ok(Event::Repaired(Outage { work_center, machine, from, until }))
}

fn yield_loss(open: &OpenPlant, loss: &pb::YieldLoss) -> Result<Event, Failure> {
    let wanted = |item: &Id| loss.item_id.is_empty() || **item == *loss.item_id;
    let lines = open.snapshot.receipts.iter();
    let mut lines = lines.filter(|line| *line.id == *loss.receipt_id && wanted(&line.item));
    let Some(line) = lines.next() else { return Err(Failure::ReceiptUnknown(loss.receipt_id.clone())) };
    if lines.next().is_some() {
        let description = "must be set, because the open order brings several items";
        return Err(field("event.yield_loss.item_id", description));
    }
    if loss.quantity_lost >= line.quantity {
        let description =
            format!("must be less than the order's {}, is {}", line.quantity, loss.quantity_lost);
        return Err(field("event.yield_loss.quantity_lost", description));
    }
    Ok(Event::Loss { id: line.id.clone(), item: line.item.clone(), units: loss.quantity_lost })
}

/// By which measure a request wants its event answered.
pub fn policy(request: &pb::RescheduleImpactRequest, fence: bool) -> Policy {
    let hysteresis = hysteresis(request.hysteresis);
    Policy { fence, disruption_cost: request.disruption_cost_minor, hysteresis }
}

/// A hysteresis of the wire; none when it is absent.
pub fn hysteresis(hysteresis: Option<pb::Hysteresis>) -> Hysteresis {
    let hysteresis = hysteresis.unwrap_or_default();
    Hysteresis { lateness_min: hysteresis.lateness_minutes_min, cost_min: hysteresis.cost_minor_min }
}

/// What an event does, or why it can't be answered.
pub fn impact(open: &OpenPlant, impact: &Result<Impact, PlanError>, now: Minute) -> pb::Impact {
    let impact = match impact {
        Ok(impact) => impact,
        Err(error) => {
            let zh = format!("无法重排：{error}");
            return pb::Impact {
                impossible_reason: failure::plan(error).1.to_owned(),
                explanation: Some(pb::Text { en: error.to_string(), zh }),
                ..pb::Impact::default()
            };
        }
    };
    let minor = |cost: i128| i64::try_from(cost).unwrap_or(i64::MAX);
    let [lateness, new_orders, disruption] = impact.cost;
    let text = explanation(impact);
    pb::Impact {
        moved_orders: impact.orders.iter().take(LINES_MAX).map(moved).collect(),
        changed_promises: impact.promises.iter().take(LINES_MAX).map(promise).collect(),
        uncovered_uses: impact.uncovered.iter().take(LINES_MAX).map(uncovered).collect(),
        new_plans: impact.plans.iter().map(|new| plan(open, new, now)).collect(),
        cost: Some(pb::ImpactCost {
            currency: open.snapshot.currency.code().to_owned(),
            lateness_minor: minor(lateness),
            new_orders_minor: minor(new_orders),
            disruption_minor: minor(disruption),
            total_minor: minor(lateness.saturating_add(new_orders).saturating_add(disruption)),
        }),
        supplies_dealt_anew: impact.dealt_anew,
        impossible_reason: String::new(),
        explanation: Some(pb::Text { en: text.en, zh: text.zh }),
    }
}

/// A plan that the event needs.
pub fn plan(open: &OpenPlant, new: &NewPlan, now: Minute) -> pb::ProductionPlan {
    answer::plan(&open.snapshot, &new.demand, &new.decision, now)
}

fn explanation(impact: &Impact) -> Text {
    let (orders, promises) = (impact.orders.len(), impact.promises.len());
    let later = || impact.promises.iter().map(|promise| promise.after - promise.delivery.promise);
    if later().any(|later| later < 0) {
        let most = span(later().map(|later| -later).max().unwrap_or_default());
        return Text {
            en: format!("{orders} orders move, {promises} promises are earlier, by at most {}", most.en),
            zh: format!("{orders} 个订单移动，{promises} 个承诺提前，最多 {}", most.zh),
        };
    }
    let latest = later().max();
    let latest = span(latest.unwrap_or_default());
    Text {
        en: format!("{orders} orders move, {promises} promises change, by at most {}", latest.en),
        zh: format!("{orders} 个订单移动，{promises} 个承诺改变，最多晚 {}", latest.zh),
    }
}

fn moved(order: &MovedOrder) -> pb::MovedOrder {
    pb::MovedOrder {
        order_id: order.id.to_string(),
        item_id: order.before.item.to_string(),
        start_before_time: Some(timestamp(order.before.start)),
        start_after_time: Some(timestamp(order.after.start)),
        ready_before_time: Some(timestamp(order.before.ready)),
        ready_after_time: Some(timestamp(order.after.ready)),
        later_minutes: order.after.ready - order.before.ready,
        inside_fence: order.inside_fence,
    }
}

fn promise(promise: &ChangedPromise) -> pb::ChangedPromise {
    let ChangedPromise { delivery, after } = promise;
    pb::ChangedPromise {
        production_id: delivery.production.to_string(),
        delivery: delivery.index,
        order_reference: delivery.reference.clone(),
        before_time: Some(timestamp(delivery.promise)),
        after_time: Some(timestamp(*after)),
        later_minutes: after - delivery.promise,
        late_minutes: delivery.due.map_or(0, |due| (after - due).max(0)),
    }
}

fn uncovered(uncovered: &Uncovered) -> pb::UncoveredUse {
    pb::UncoveredUse {
        reservation_id: uncovered.id.to_string(),
        item_id: uncovered.item.to_string(),
        quantity: uncovered.quantity,
        use_time: Some(timestamp(uncovered.at)),
    }
}
