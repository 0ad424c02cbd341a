//! Decisions, comparisons and warnings in words, English and Chinese.

use std::collections::BTreeMap;

use oaas_model::Money;

use super::decide::{Alternative, Reason, Verdict};
use super::demand::{PlanError, Source};
use super::plan::Plan;
use super::plant::{DAY, Id, Minute, Snapshot};

/// Most warnings that a plan lists, the gravest first.
pub const WARNINGS_MAX: usize = 200;

/// A text in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// A delivery is later than due.
    DeliveryLate,
    /// An order is ready later than its user wanted.
    OrderLate,
    /// A reservation of another production is covered later than before.
    ReservationMoved,
    /// A lot is larger than what is needed.
    Surplus,
    /// A transfer comes from a plant that isn't known here: whether it has the goods isn't checked.
    SenderUnknown,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What about.
    pub kind: WarningKind,
    /// In words.
    pub text: Text,
    /// Delivery's index, order's number from 1, another production's reservation, or a sending plant.
    pub subject: String,
    /// Minutes late or moved; units of surplus, or that are sent.
    pub amount: i64,
}

/// What moved, what is late and what is left over; deliveries first.
#[must_use]
pub fn warnings(plan: &Plan) -> Vec<Warning> {
    let deliveries = plan.promises.iter().enumerate().filter(|(_, promise)| promise.late > 0);
    let deliveries = deliveries.map(|(index, promise)| Warning {
        kind: WarningKind::DeliveryLate,
        text: Text {
            en: format!("delivery {} is {} late", index + 1, span(promise.late).en),
            zh: format!("第 {} 次交付晚 {}", index + 1, span(promise.late).zh),
        },
        subject: index.to_string(),
        amount: promise.late,
    });
    let moved = plan.moved.iter().map(|moved| {
        let (later, slack) = (moved.after - moved.before, moved.needed - moved.after);
        Warning {
            kind: WarningKind::ReservationMoved,
            text: Text {
                en: format!(
                    "reservation {} of {} is now covered {} later, {} before its use",
                    moved.id,
                    moved.item,
                    span(later).en,
                    span(slack).en
                ),
                zh: format!(
                    "预留 {}（{}）改由晚 {} 到的供应覆盖，比使用时间早 {}",
                    moved.id,
                    moved.item,
                    span(later).zh,
                    span(slack).zh
                ),
            },
            subject: moved.id.to_string(),
            amount: later,
        }
    });
    let orders = (1..).zip(&plan.orders);
    let late = orders.clone().filter(|(_, order)| order.ready > order.need).map(|(number, order)| {
        let late = order.ready - order.need;
        Warning {
            kind: WarningKind::OrderLate,
            text: Text {
                en: format!("order {number} for {} is ready {} after its need", order.item, span(late).en),
                zh: format!("订单 {number}（{}）比需要时间晚 {} 完成", order.item, span(late).zh),
            },
            subject: number.to_string(),
            amount: late,
        }
    });
    let surplus = orders.filter(|(_, order)| order.surplus() > 0).map(|(number, order)| {
        let units = order.surplus();
        Warning {
            kind: WarningKind::Surplus,
            text: Text {
                en: format!("order {number} for {} brings {units} more than is needed", order.item),
                zh: format!("订单 {number}（{}）比需求多 {units}", order.item),
            },
            subject: number.to_string(),
            amount: units,
        }
    });
    deliveries
        .chain(moved)
        .chain(unknown_senders(plan))
        .chain(late)
        .chain(surplus)
        .take(WARNINGS_MAX)
        .collect()
}

/// Plants that send something and aren't known, each with all that it sends.
fn unknown_senders(plan: &Plan) -> impl Iterator<Item = Warning> + use<> {
    let mut senders: BTreeMap<Id, i64> = BTreeMap::new();
    for order in plan.orders.iter().filter(|order| order.source == Source::Transfer && !order.set_aside) {
        let sent = senders.entry(order.supplier.clone().unwrap_or_else(|| "".into())).or_default();
        *sent = sent.saturating_add(order.quantity);
    }
    senders.into_iter().map(|(sender, amount)| Warning {
        kind: WarningKind::SenderUnknown,
        text: Text {
            en: format!(
                "{sender} is no plant that is known here: whether it has the {amount} units isn't checked"
            ),
            zh: format!("{sender} 不是此处已知的工厂，未核实其是否有 {amount} 可调拨"),
        },
        subject: sender.to_string(),
        amount,
    })
}

/// Why the decision is as it is.
pub(super) fn decision(
    snapshot: &Snapshot,
    source: Source,
    reason: Reason,
    plan: &Plan,
    alternatives: &[Alternative],
) -> Text {
    let what = name(source);
    let why = match reason {
        Reason::StockCovers => text("stock and open orders cover it in time", "库存和在途订单可按时满足"),
        Reason::OnlySource => text("no other source is able and allowed", "没有其他可用且允许的来源"),
        Reason::OnlyInTime => text("the only source that is in time", "唯一能按时的来源"),
        Reason::Earliest => text("the earliest", "最早"),
        Reason::Cheapest => text("the cheapest for these dates", "在这些交期下成本最低"),
    };
    let own = figures(snapshot, plan);
    let next = alternatives
        .iter()
        .filter(|a| a.source != source)
        .filter_map(|a| Some((a.source, a.plan.as_ref()?)))
        .min_by_key(|(_, plan)| plan.cost.total());
    let next = next.map_or_else(Text::default, |(source, plan)| {
        let (name, figures) = (name(source), figures(snapshot, plan));
        Text {
            en: format!("; {} would be {}", name.en, figures.en),
            zh: format!("；{}则为{}", name.zh, figures.zh),
        }
    });
    Text {
        en: format!("{}: {}; {}{}", what.en, why.en, own.en, next.en),
        zh: format!("{}：{}；{}{}", what.zh, why.zh, own.zh, next.zh),
    }
}

/// How one source fared.
#[must_use]
pub fn alternative(snapshot: &Snapshot, alternative: &Alternative) -> Text {
    match &alternative.verdict {
        Verdict::Chosen | Verdict::Possible => {
            alternative.plan.as_ref().map_or_else(Text::default, |plan| figures(snapshot, plan))
        }
        Verdict::Impossible(PlanError::NoSource { missing, .. }) if alternative.source == Source::Reserve => {
            Text {
                en: format!("stock and open orders are {missing} units short"),
                zh: format!("库存和在途订单还缺 {missing}"),
            }
        }
        Verdict::Impossible(error) => Text { en: error.to_string(), zh: error_zh(error) },
        Verdict::Undefined => text("the item has no such source", "该物料没有此来源"),
        Verdict::NotAllowed => text("not allowed by the request", "请求不允许"),
        Verdict::NotNeeded => {
            text("not needed: stock and open orders cover it", "不需要：库存和在途订单已满足")
        }
    }
}

fn error_zh(error: &PlanError) -> String {
    match error {
        PlanError::Bill(error) => format!("物料清单有误：{error}"),
        PlanError::NoSource { item, missing } => format!("物料 {item} 库存不足且无来源，缺 {missing}"),
        PlanError::SenderShort { item, sender, missing } => {
            format!("工厂 {sender} 的物料 {item} 可调拨数量不足，缺 {missing}")
        }
        PlanError::WorkCenterUnknown { item, work_center } => {
            format!("物料 {item} 的工作中心 {work_center} 不存在")
        }
        PlanError::NoCapacity { work_center, minutes } => {
            format!("工作中心 {work_center} 在计划期内没有 {minutes} 分钟空闲")
        }
        PlanError::TooLarge { item, .. } => format!("物料 {item} 的计划过大"),
        PlanError::Late { late_minutes, .. } => format!("无法按时，最早也晚 {}", span(*late_minutes).zh),
    }
}

/// Cost and lateness of a plan.
fn figures(snapshot: &Snapshot, plan: &Plan) -> Text {
    let cost = Money::new(plan.cost.total(), snapshot.currency);
    match plan.late() {
        0 => Text { en: format!("{cost}, in time"), zh: format!("{cost}，按时") },
        late => {
            let late = span(late);
            Text { en: format!("{cost}, {} late", late.en), zh: format!("{cost}，晚 {}", late.zh) }
        }
    }
}

fn name(source: Source) -> Text {
    match source {
        Source::Reserve => text("reserve", "预留"),
        Source::Make => text("make", "自制"),
        Source::Buy => text("buy", "外购"),
        Source::Outsource => text("outsource", "外协"),
        Source::Transfer => text("transfer", "调拨"),
    }
}

/// Minutes as days, hours and minutes. Example: "2 d 3 h".
pub(super) fn span(minutes: Minute) -> Text {
    let minutes = minutes.max(0);
    let parts =
        [(minutes / DAY, "d", "天"), (minutes % DAY / 60, "h", "小时"), (minutes % 60, "min", "分钟")];
    let shown = |unit: fn(&(i64, &'static str, &'static str)) -> &'static str| {
        let shown: Vec<String> =
            parts.iter().filter(|part| part.0 > 0).map(|part| format!("{} {}", part.0, unit(part))).collect();
        if shown.is_empty() { format!("0 {}", unit(&(0, "min", "分钟"))) } else { shown.join(" ") }
    };
    Text { en: shown(|part| part.1), zh: shown(|part| part.2) }
}

fn text(en: &str, zh: &str) -> Text {
    Text { en: en.to_owned(), zh: zh.to_owned() }
}
