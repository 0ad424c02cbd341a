//! How each amount came about, in words for people.

use oaas_model::{Currency, Money};

use super::accrue::Standing;
use super::exact::{Exact, SCALE};
use super::expectation::{Arrived, Expected};
use super::law::Text;
use super::line::{Line, LineKind};
use super::period::Period;
use super::plan::{Measure, Pay, PaysOn, Plan, TierMode, TierSchedule};
use super::reason::TierReached;

/// How the amount of `line` came about under `plan`.
#[must_use]
pub fn explain(plan: &Plan, line: &Line) -> Text {
    let money = |minor: i128| Money::new(minor, plan.currency).to_string();
    let (en, zh) = match line.kind {
        LineKind::Tier { from, to } => tier(plan, line, from, to),
        LineKind::Expected { from, total, so_far, whole } => {
            expected_tier(plan, line, [from, total, so_far, whole])
        }
        LineKind::ExpectedLimit { whole, limited } => (
            format!(
                "the smallest payout and the caps leave {} of the {} expected for the whole period: of {} so far \
                 that is {}",
                money(limited),
                money(whole),
                money(line.base),
                money(line.base + line.amount)
            ),
            format!(
                "最低支付额与上限使全期预计的 {} 变为 {}：已计的 {} 相应为 {}",
                money(whole),
                money(limited),
                money(line.base),
                money(line.base + line.amount)
            ),
        ),
        LineKind::Level { level, own_bp, below_bp } => {
            let (own, below) = (percent(own_bp), percent(below_bp));
            if below_bp == 0 {
                (
                    format!("level {level} at {own}: {}", sum(plan, line)),
                    format!("第 {level} 级，{own}：{}", sum(plan, line)),
                )
            } else {
                (
                    format!("level {level} at {own} less {below} below: {}", sum(plan, line)),
                    format!("第 {level} 级，{own} 减下级 {below} 的级差：{}", sum(plan, line)),
                )
            }
        }
        LineKind::SameLevel { level } => (
            format!("level {level}, same level as below: {}", sum(plan, line)),
            format!("第 {level} 级，平级奖：{}", sum(plan, line)),
        ),
        LineKind::Floor { floor } => (
            format!("raised from {} to the floor of {}", money(line.base), money(floor)),
            format!("由 {} 提高至保底 {}", money(line.base), money(floor)),
        ),
        LineKind::PayoutMinimum { least } => (
            format!("{} is under the smallest payout of {}: not paid", money(line.base), money(least)),
            format!("{} 低于最低支付额 {}，不予支付", money(line.base), money(least)),
        ),
        LineKind::MemberCap { cap } => (
            format!("{} is over the cap of {} for one member", money(line.base), money(cap)),
            format!("{} 超过单个成员上限 {}", money(line.base), money(cap)),
        ),
        LineKind::PlanCap { cap } => (
            format!(
                "all members together are over the plan's cap of {}: {} becomes {} in proportion",
                money(cap),
                money(line.base),
                money(line.base + line.amount)
            ),
            format!(
                "全体合计超过计划上限 {}：{} 按比例调整为 {}",
                money(cap),
                money(line.base),
                money(line.base + line.amount)
            ),
        ),
        LineKind::MarginCap { cap, margin, rate_bp } => (
            format!(
                "all members together are over {} of the margin of {}, which is {}: {} becomes {} in proportion",
                percent(rate_bp),
                money(margin),
                money(cap),
                money(line.base),
                money(line.base + line.amount)
            ),
            format!(
                "全体合计超过毛利 {} 的 {}，即 {}：{} 按比例调整为 {}",
                money(margin),
                percent(rate_bp),
                money(cap),
                money(line.base),
                money(line.base + line.amount)
            ),
        ),
    };
    match &line.event_id {
        Some(event) => Text { en: format!("{en} (sale {event})"), zh: format!("{zh}（销售 {event}）") },
        None => Text { en, zh },
    }
}

fn tier(plan: &Plan, line: &Line, from: i128, to: i128) -> (String, String) {
    let Some(schedule) = plan.tiers.as_ref() else { return (sum(plan, line), sum(plan, line)) };
    let measured = |value: i128| measured(plan, schedule, value);
    let ((from, from_zh), (to, to_zh), sum) = (measured(from), measured(to), sum(plan, line));
    let (what, what_zh) = match schedule.measure {
        Measure::Growth => ("growth of ", "增长 "),
        Measure::Mix => ("a mix of ", "占比 "),
        Measure::EarlyPayment => ("payment early by ", "提前付款 "),
        _ if schedule.window_days > 0 => ("the rolling window's ", "滚动期间的 "),
        _ => ("", ""),
    };
    let (on, on_zh) = match (schedule.pays_on, schedule.measure) {
        (PaysOn::Part, Measure::Growth) => ("on the growth", "就增长部分"),
        (PaysOn::Part, _) => ("on that part", "就该部分"),
        _ => ("on everything", "全额"),
    };
    match schedule.mode {
        TierMode::Retroactive => (
            format!("{what}{to} reaches the tier from {from}, which pays {on}: {sum}"),
            format!("{what_zh}{to_zh} 达到 {from_zh} 档，{on_zh}适用：{sum}"),
        ),
        TierMode::Marginal => {
            (format!("slice from {from} to {to}: {sum}"), format!("{from_zh} 至 {to_zh} 部分：{sum}"))
        }
    }
}

/// A value of the schedule's measure.
fn measured(plan: &Plan, schedule: &TierSchedule, value: i128) -> (String, String) {
    let ratio = |value: i128| u32::try_from(value).map_or_else(|_| format!("{value} bp"), percent);
    let both = |text: String| (text.clone(), text);
    match schedule.measure {
        Measure::Amount => both(Money::new(value, plan.currency).to_string()),
        Measure::Quantity => both(value.to_string()),
        Measure::Growth | Measure::Mix => both(ratio(value)),
        Measure::EarlyPayment => (format!("{value} days"), format!("{value} 天")),
    }
}

/// What sales so far have earned of what is paid on the expected total.
fn expected_tier(plan: &Plan, line: &Line, [from, total, so_far, whole]: [i128; 4]) -> (String, String) {
    let Some(schedule) = plan.tiers.as_ref() else { return (sum(plan, line), sum(plan, line)) };
    let [from, total, so_far] = [from, total, so_far].map(|value| measured(plan, schedule, value).0);
    if line.pay.is_some() {
        let sum = sum(plan, line);
        return (
            format!(
                "the expected {total} reaches the tier from {from}, which pays on everything: so far {sum}"
            ),
            format!("预计的 {total} 达到 {from} 档，全额适用：至今 {sum}"),
        );
    }
    let (whole, amount) = (Money::new(whole, plan.currency), Money::new(line.amount, plan.currency));
    let sum = match line.exact {
        Some(exact) if exact.ten_thousandths() != line.amount * SCALE => {
            format!("{} ≈ {amount}", exactly(exact, plan.currency))
        }
        _ => amount.to_string(),
    };
    (
        format!(
            "the expected {total} earns {whole}, and the {so_far} so far its share: {whole} × {so_far} ÷ {total} = {sum}"
        ),
        format!(
            "预计的 {total} 可得 {whole}，至今的 {so_far} 按比例计：{whole} × {so_far} ÷ {total} = {sum}"
        ),
    )
}

/// What is expected of a member's period, how that was arrived at, the tier that is reached and the tier
/// that is expected; `None` for a member of whom nothing is expected.
#[must_use]
pub fn explain_standing(plan: &Plan, standing: &Standing) -> Option<Text> {
    let (schedule, outlook) = (plan.tiers.as_ref()?, standing.outlook.as_ref()?);
    let Text { en, zh } = arrived_at(plan, schedule, &outlook.expected);
    let stands = |tier: Option<TierReached>| match tier {
        None => ("none".to_owned(), "无".to_owned()),
        Some(tier) => {
            let (from, pay) = (measured(plan, schedule, tier.threshold.into()).0, pay(plan, tier.pay));
            (format!("from {from} at {pay}"), format!("{from} 起，{pay}"))
        }
    };
    let ((reached, reached_zh), (expected, expected_zh)) = (stands(standing.tier), stands(outlook.tier));
    Some(Text {
        en: format!("{en}; tier reached: {reached}; tier expected: {expected}"),
        zh: format!("{zh}；已达档位：{reached_zh}；预计档位：{expected_zh}"),
    })
}

/// A value of the measure of a plan's tiers, as it is written.
#[must_use]
pub fn measured_as(plan: &Plan, value: i64) -> String {
    plan.tiers.as_ref().map_or_else(|| value.to_string(), |tiers| measured(plan, tiers, value.into()).0)
}

fn pay(plan: &Plan, pay: Pay) -> String {
    match pay {
        Pay::Rate(rate) => percent(rate),
        Pay::PerUnit(minor) => Money::new(minor.into(), plan.currency).to_string(),
    }
}

fn arrived_at(plan: &Plan, schedule: &TierSchedule, expected: &Expected) -> Text {
    let value = |value: i128| measured(plan, schedule, value).0;
    let Expected { total, so_far, arrived, first, less_bp, held_to } = *expected;
    let (total, now, first_said) = (value(total), value(so_far), value(first));
    let (mut en, mut zh) = match arrived {
        Arrived::StatedForMember => (
            format!("{first_said} is expected of the period: the plan states it for this member"),
            format!("预计本期 {first_said}：计划为该成员写明"),
        ),
        Arrived::StatedForEach => (
            format!("{first_said} is expected of the period: the plan states it for each member"),
            format!("预计本期 {first_said}：计划为每个成员写明"),
        ),
        Arrived::RunRate { counted, gone, days } => {
            let counted = value(counted);
            (
                format!("{counted} in {gone} of {days} days projects to {first_said}"),
                format!("{days} 天中的 {gone} 天已有 {counted}，按日推算为 {first_said}"),
            )
        }
        Arrived::Share { counted, same, whole, earlier } => {
            let ([counted, same, whole], Period { start, end }) =
                ([counted, same, whole].map(value), earlier);
            (
                format!(
                    "{counted} so far; the same days had {same} of the {whole} from {start} to {end}, which \
                     projects to {first_said}"
                ),
                format!(
                    "至今 {counted}；{start} 至 {end} 同期天数为 {same}，全期 {whole}，推算为 {first_said}"
                ),
            )
        }
    };
    if first < so_far {
        en.push_str(&format!("; {now} are there already"));
        zh.push_str(&format!("；实际已达 {now}"));
    } else if less_bp > 0 {
        en.push_str(&format!("; {} of what is still to come is not counted", percent(less_bp)));
        zh.push_str(&format!("；尚未发生的部分扣减 {}", percent(less_bp)));
    }
    if let Some(up) = held_to {
        en.push_str(&format!(
            "; held to {up} {} above the one that is reached",
            if up == 1 { "tier" } else { "tiers" }
        ));
        zh.push_str(&format!("；以现达档位之上 {up} 档为限"));
    }
    if expected.total != first {
        en.push_str(&format!(": {total}"));
        zh.push_str(&format!("：{total}"));
    }
    Text { en, zh }
}

/// "50.00 CNY × 5.00 % = 2.5000, rounded 2.50 CNY": the same in both languages.
fn sum(plan: &Plan, line: &Line) -> String {
    let money = |minor: i128| Money::new(minor, plan.currency).to_string();
    let product = match line.pay {
        Some(Pay::Rate(rate)) => format!("{} × {}", money(line.base), percent(rate)),
        Some(Pay::PerUnit(minor)) => format!("{} × {}", line.base, money(minor.into())),
        None => money(line.base),
    };
    match line.exact {
        Some(exact) if exact.ten_thousandths() != line.amount * SCALE => {
            format!("{product} = {} ≈ {}", exactly(exact, plan.currency), money(line.amount))
        }
        _ => format!("{product} = {}", money(line.amount)),
    }
}

/// Basis points as a percentage. Example: "5.00 %".
fn percent(bp: u32) -> String {
    format!("{}.{:02} %", bp / 100, bp % 100)
}

/// An exact amount with four digits more than its currency has.
fn exactly(exact: Exact, currency: Currency) -> String {
    let digits = currency.minor_digits() + 4;
    let unit = 10u128.pow(digits);
    let magnitude = exact.ten_thousandths().unsigned_abs();
    let sign = if exact.ten_thousandths() < 0 { "-" } else { "" };
    let width = usize::try_from(digits).unwrap_or(6);
    let fraction = format!("{:0width$}", magnitude % unit);
    format!("{sign}{}.{}", magnitude / unit, fraction)
}
