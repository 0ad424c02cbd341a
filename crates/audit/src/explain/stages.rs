//! Stages and their verdicts in words.

use oaas_model::Lang;

use super::numbers::{named, plain};
use crate::record::Decision;

/// A stage's name in words; what is not known is shown as it is.
pub(super) fn stage(name: &str, lang: Lang) -> String {
    let (en, zh) = match name {
        "edge" => ("the edge", "接入层"),
        "shed" => ("load shedding", "过载保护"),
        "authenticate" => ("authentication", "身份认证"),
        "admit" => ("admission", "准入检查"),
        "rate_limit" => ("the rate limit", "速率限制"),
        "limit_concurrency" => ("the concurrency limit", "并发限制"),
        "breaker" => ("the circuit breaker", "熔断器"),
        "quota" => ("the quota", "配额"),
        "budget" => ("the budget", "金额额度"),
        "deadline" => ("the deadline", "期限"),
        "intent" => ("the audit journal", "审计日志"),
        "upstream" => ("the way to the capability", "上游连接"),
        other => (other, other),
    };
    match lang {
        Lang::En => en.to_owned(),
        Lang::Zh => zh.to_owned(),
    }
}

/// One line of the trail. Example: "the rate limit: refused (limit a second 100)".
pub(super) fn line(decision: &Decision, lang: Lang) -> String {
    let mut numbers: Vec<_> = decision.numbers.iter().collect();
    numbers.sort_by_key(|(name, _)| name.as_str());
    let numbers: Vec<_> = numbers.into_iter().map(|(name, value)| named(name, *value, lang)).collect();
    let (stage, verdict) = (stage(&decision.stage, lang), verdict(&decision.verdict, lang));
    match (lang, numbers.is_empty()) {
        (Lang::En, true) => format!("{stage}: {verdict}"),
        (Lang::En, false) => format!("{stage}: {verdict} ({})", numbers.join(", ")),
        (Lang::Zh, true) => format!("{stage}：{verdict}"),
        (Lang::Zh, false) => format!("{stage}：{verdict}（{}）", numbers.join("，")),
    }
}

fn verdict(verdict: &str, lang: Lang) -> String {
    let zh = match verdict {
        "allowed" => "允许",
        "refused" => "拒绝",
        "degraded" => "降级",
        "shadow" => "本应拒绝（仅观察）",
        "reserved" => "已预留",
        "set" => "已设定",
        "subscribed" => "已订阅",
        "open" => "开放",
        "anonymous" => "匿名",
        other => other,
    };
    match (lang, verdict) {
        (Lang::En, "shadow") => "would have been refused (observe only)".to_owned(),
        (Lang::En, _) => verdict.to_owned(),
        (Lang::Zh, _) => zh.to_owned(),
    }
}

/// By how much a refused call missed, where the numbers say it.
pub(super) fn margin(decision: &Decision, lang: Lang) -> Option<String> {
    if decision.verdict != "refused" {
        return None;
    }
    let number = |name: &str| decision.numbers.get(name).copied();
    let (en, zh) = if let (Some(limit), Some(used), Some(call)) =
        (number("limit_minor"), number("used_minor"), number("amount_minor"))
    {
        let left = (limit - used).max(0.0);
        let (left, over) = (plain(left), plain((call - left).max(0.0)));
        (
            format!("the budget had {left} minor units left, {over} too few for this call."),
            format!("额度剩余 {left}（最小货币单位），此次调用还差 {over}。"),
        )
    } else if let Some(limit) = number("per_second") {
        let limit = plain(limit);
        (format!("the limit is {limit} calls a second."), format!("上限为每秒 {limit} 次调用。"))
    } else if let Some(limit) = number("concurrency").or_else(|| number("in_flight_max")) {
        let limit = plain(limit);
        (format!("at most {limit} calls run at once."), format!("最多同时进行 {limit} 个调用。"))
    } else if let (Some(rate), Some(threshold)) = (number("error_rate"), number("threshold")) {
        let of = number("calls").map(plain).unwrap_or_default();
        let (rate, threshold) = (plain(rate * 100.0), plain(threshold * 100.0));
        (
            format!("{rate} % of the last {of} calls failed; at most {threshold} % may."),
            format!("最近 {of} 次调用中 {rate} % 失败，上限为 {threshold} %。"),
        )
    } else if let (Some(calls), Some(used)) = (number("calls"), number("used")) {
        let (calls, used) = (plain(calls), plain(used));
        (
            format!("{used} of the period's {calls} calls are used."),
            format!("本周期 {calls} 次调用已使用 {used} 次。"),
        )
    } else {
        return None;
    };
    Some(match lang {
        Lang::En => en,
        Lang::Zh => zh,
    })
}
