//! Evaluating the replenishment rules of a plant, with a plan for each that fires.

use std::collections::BTreeMap;

use oaas_proto::oaas::manufacturing::v1 as pb;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::commit::Commitments;
use super::decide::decide;
use super::demand::{Delivery, Demand};
use super::failure::Failure;
use super::plant::{DAY, Id, Minute, Snapshot};
use super::trigger::{self, Finding, Kind, Rule, evaluate};
use super::{answer, store, wire};

/// Most items of a plant whose rules are evaluated.
const RULES_MAX: i64 = 20_000;
/// Most findings that are planned, the most urgent; the others come without source and cost.
const PLANNED_MAX: usize = 200;
/// Most findings of an answer.
const FINDINGS_MAX: usize = 5_000;

/// The rules of a plant's items with their dead bands, by item.
pub type Rules = BTreeMap<Id, (Rule, i64)>;

/// Reads the rules of the items that the request names, or of all.
pub async fn rules(
    db: &mut SqliteConnection,
    request: &pb::EvaluateTriggersRequest,
) -> Result<Rules, Failure> {
    let rows = sqlx::query("SELECT body FROM manufacturing_items WHERE plant = $1 ORDER BY item_id LIMIT $2");
    let rows = rows.bind(&request.plant).bind(RULES_MAX).fetch_all(db).await?;
    let mut rules = Rules::new();
    for row in rows {
        let item =
            pb::Item::decode(row.try_get::<&[u8], _>("body")?).map_err(|_| Failure::Corrupt("item"))?;
        let wanted = request.item_ids.is_empty() || request.item_ids.contains(&item.item_id);
        let Some(replenishment) = item.replenishment.as_ref().filter(|_| wanted) else { continue };
        if let Some(rule) = rule(replenishment) {
            rules.insert(item.item_id.as_str().into(), (rule, replenishment.dead_band));
        }
    }
    Ok(rules)
}

fn rule(replenishment: &pb::Replenishment) -> Option<Rule> {
    use pb::replenishment::Rule as Wire;
    Some(match replenishment.rule.as_ref()? {
        Wire::ReorderPoint(rule) => {
            Rule::ReorderPoint { point: rule.reorder_point, quantity: rule.order_quantity.max(1) }
        }
        Wire::MinMax(rule) => Rule::MinMax { min: rule.minimum, max: rule.maximum },
        Wire::DaysOfCover(rule) => Rule::DaysOfCover {
            milli_per_day: rule.demand_milli_per_day,
            days: rule.days_min.into(),
            target_days: rule.days_target.into(),
        },
        Wire::OrderDriven(rule) => Rule::OrderDriven { horizon: i64::from(rule.horizon_days) * DAY },
    })
}

/// What the rules say; each finding is planned on top of those before it.
pub fn findings(
    mut snapshot: Snapshot,
    rules: &Rules,
    include_quiet: bool,
    now: Minute,
) -> Vec<pb::TriggerFinding> {
    let evaluated =
        rules.iter().map(|(id, (rule, dead_band))| evaluate(&snapshot, id, *rule, *dead_band, now));
    let mut findings: Vec<Finding> =
        evaluated.filter(|found| found.fired || found.held || include_quiet).collect();
    trigger::sort(&mut findings);
    let mut answers = Vec::new();
    for (index, found) in findings.into_iter().take(FINDINGS_MAX).enumerate() {
        let mut answer = finding(&found);
        if found.fired && index < PLANNED_MAX {
            plan(&mut snapshot, &found, index, now, &mut answer);
        }
        answers.push(answer);
    }
    answers
}

/// Plans what a rule wants, as if nothing of the item were there: what is there the rule has counted.
fn plan(
    snapshot: &mut Snapshot,
    found: &Finding,
    index: usize,
    now: Minute,
    answer: &mut pb::TriggerFinding,
) {
    let mut without = snapshot.clone();
    if let Some(item) = without.items.get_mut(&found.item) {
        item.on_hand = 0;
    }
    without.receipts.retain(|receipt| receipt.item != found.item);
    let demand = Demand {
        item: found.item.clone(),
        deliveries: vec![Delivery { quantity: found.quantity.max(1), due: found.need }],
        sources_allowed: Vec::new(),
        lateness_cost_per_day: None,
        disruption_cost: 0,
        on_time_only: false,
        rush: false,
    };
    let Ok(decision) = decide(&without, &demand, now) else { return };
    answer.source = answer::source(decision.source).into();
    answer.promise_time = Some(wire::timestamp(decision.plan.promise()));
    answer.cost = Some(answer::cost(&without, &decision.plan.cost));
    let mut commitments = Commitments::of(&format!("T-{index}"), &decision.plan);
    // It goes to stock, so that nobody takes it.
    commitments.reserved.retain(|reserved| reserved.item != found.item);
    commitments.apply(snapshot);
}

fn finding(found: &Finding) -> pb::TriggerFinding {
    let (kind, en, zh) = match found.kind {
        Kind::Shortage => {
            (pb::TriggerKind::Shortage, "what is promised is not covered", "已承诺的数量没有覆盖")
        }
        Kind::OrderDriven => (pb::TriggerKind::OrderDriven, "reservations are not covered", "预留没有覆盖"),
        Kind::ReorderPoint => (pb::TriggerKind::ReorderPoint, "reorder point", "再订货点"),
        Kind::MinMax => (pb::TriggerKind::MinMax, "minimum", "最小库存"),
        Kind::DaysOfCover => (pb::TriggerKind::DaysOfCover, "days of cover", "可供天数"),
    };
    let Finding { position, level, quantity, .. } = *found;
    let (en, zh) = match (found.fired, found.held) {
        (true, _) => (
            format!("{en}: position {position}, level {level}; {quantity} units"),
            format!("{zh}：库存位置 {position}，水平 {level}；需 {quantity}"),
        ),
        (false, true) => (
            format!("{en}: position {position} is at level {level} but within the dead band"),
            format!("{zh}：库存位置 {position} 达到水平 {level}，但在死区内"),
        ),
        (false, false) => (
            format!("{en}: position {position} is above level {level}"),
            format!("{zh}：库存位置 {position} 高于水平 {level}"),
        ),
    };
    pb::TriggerFinding {
        item_id: found.item.to_string(),
        kind: kind.into(),
        fired: found.fired,
        held_by_hysteresis: found.held,
        position,
        level,
        quantity,
        need_time: found.need.map(wire::timestamp),
        explanation: Some(pb::Text { en, zh }),
        ..pb::TriggerFinding::default()
    }
}

/// What the rules of a plant say.
pub async fn evaluate_all(
    db: &mut SqliteConnection,
    request: &pb::EvaluateTriggersRequest,
    now: Minute,
) -> Result<(Snapshot, Rules), Failure> {
    let snapshot = store::snapshot(db, &request.plant, "", now).await?;
    let rules = rules(db, request).await?;
    if let Some(unknown) = request.item_ids.iter().find(|id| !snapshot.items.contains_key(id.as_str())) {
        let item = unknown.as_str().into();
        return Err(Failure::Plan(super::bill::BillError::Unknown { item, used_in: None }.into()));
    }
    Ok((snapshot, rules))
}
