//! How each amount came about, in words for people.

use oaas_model::{Currency, Money};

use super::calculate::{Line, LineKind};
use super::exact::{Exact, SCALE};
use super::law::Text;
use super::plan::{Measure, Pay, PaysOn, Plan, TierMode};

/// How the amount of `line` came about under `plan`.
#[must_use]
pub fn explain(plan: &Plan, line: &Line) -> Text {
    let money = |minor: i128| Money::new(minor, plan.currency).to_string();
    let (en, zh) = match line.kind {
        LineKind::Tier { from, to } => tier(plan, line, from, to),
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
    let ratio = |value: i128| u32::try_from(value).map_or_else(|_| format!("{value} bp"), percent);
    let days = |value: i128| (format!("{value} days"), format!("{value} 天"));
    let both = |text: String| (text.clone(), text);
    let measured = |value: i128| match schedule.measure {
        Measure::Amount => both(Money::new(value, plan.currency).to_string()),
        Measure::Quantity => both(value.to_string()),
        Measure::Growth | Measure::Mix => both(ratio(value)),
        Measure::EarlyPayment => days(value),
    };
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
