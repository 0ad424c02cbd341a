//! Reviewing a production that hasn't begun: planned anew as if it weren't there, and compared with what
//! it is.

use oaas_proto::oaas::manufacturing::v1 as pb;
use pb::ProductionState as State;
use sqlx::SqliteConnection;

use super::decide::decide;
use super::demand::Demand;
use super::failure::Failure;
use super::hysteresis::Hysteresis;
use super::plant::{DAY, Minute, Snapshot};
use super::{answer, open_store, wire};

/// What a review rests on.
pub struct Basis {
    snapshot: Snapshot,
    demand: Demand,
    /// Cost of the existing plan with its present lateness, and this lateness.
    cost: i128,
    late: i128,
}

/// The plant without a production, and what that production is like.
pub async fn read(
    db: &mut SqliteConnection,
    plant: &str,
    production: &pb::Production,
    now: Minute,
) -> Result<Basis, Failure> {
    if production.state() != State::Planned {
        let (from, to) = (production.state().as_str_name(), "planned anew");
        return Err(Failure::StateConflict { subject: production.production_id.clone(), from, to });
    }
    let open = open_store::read(db, plant, now).await?;
    let own = format!("{}/", production.production_id);
    let others: Vec<_> = open.orders.iter().filter(|(id, _)| !id.starts_with(&own)).collect();
    let mut snapshot = open.snapshot.clone();
    snapshot.bookings.extend(others.into_iter().flat_map(|(_, order)| order.operations.iter().cloned()));
    snapshot.receipts.retain(|receipt| !receipt.id.starts_with(&own));
    snapshot.reserved.retain(|reserved| !reserved.id.starts_with(&own));
    for sender in snapshot.senders.values_mut() {
        sender.reserved.retain(|reserved| !reserved.id.starts_with(&own));
    }
    let plan = production.plan.clone().unwrap_or_default();
    let mut demand = wire::demand(production.demand.as_ref(), now)?;
    // A due time that was said in days counts from the first decision.
    for (delivery, promised) in demand.deliveries.iter_mut().zip(&plan.deliveries) {
        delivery.due = promised.due_time.as_ref().map(wire::minute_before);
    }
    demand.on_time_only = false;
    let chosen = plan.alternatives.iter().find(|a| a.verdict() == pb::Verdict::Chosen);
    let cost = chosen.and_then(|a| a.cost.clone()).unwrap_or_default();
    let late = plan.deliveries.iter().map(|delivery| i128::from(delivery.late_minutes)).sum();
    let price = i128::from(demand.lateness_cost_per_day.unwrap_or_default());
    let cost =
        i128::from(cost.total_minor) - i128::from(cost.lateness_minor) + late * price / i128::from(DAY);
    Ok(Basis { snapshot, demand, cost, late })
}

/// Plans anew, and says whether that is worth it.
pub fn review(
    basis: &Basis,
    hysteresis: Hysteresis,
    now: Minute,
) -> Result<pb::ReviewProductionResponse, Failure> {
    let decision = decide(&basis.snapshot, &basis.demand, now)?;
    let late: i128 = decision.plan.promises.iter().map(|promise| i128::from(promise.late)).sum();
    let (saved_late, saved_cost) = (basis.late - late, basis.cost - decision.plan.cost.total());
    let keep = !hysteresis.is_worth(saved_late, saved_cost);
    let (en, zh) =
        if keep { ("keep the plan", "保留原计划") } else { ("change the plan", "更改计划") };
    let wide = |saved: i128| i64::try_from(saved).unwrap_or(i64::MAX);
    Ok(pb::ReviewProductionResponse {
        keep,
        saved_cost_minor: wide(saved_cost),
        saved_lateness_minutes: wide(saved_late),
        plan: Some(answer::plan(&basis.snapshot, &basis.demand, &decision, now)),
        explanation: Some(pb::Text {
            en: format!(
                "{en}: a new one saves {saved_cost} minor units and {saved_late} minutes of lateness"
            ),
            zh: format!("{zh}：新计划节省 {saved_cost}（最小货币单位）和 {saved_late} 分钟延误"),
        }),
    })
}
