//! Numbers as people read them.

use oaas_model::Lang;

/// Microseconds as milliseconds or seconds. Example: "12.3 ms".
pub(super) fn duration_us(us: u64) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    if us < 1_000_000 { format!("{} ms", amount(us, 3)) } else { format!("{} s", amount(us, 6)) }
}

/// Bytes, kibibytes above ten thousand. Example: "412 B".
pub(super) fn bytes(count: u64) -> String {
    if count < 10_000 { format!("{count} B") } else { format!("{} KiB", count / 1024) }
}

/// An integer of 10^-`digits` as a decimal without needless zeros. Example: (20_000, 6) is "0.02".
pub(super) fn amount(units: i64, digits: usize) -> String {
    let unit = 10u64.pow(u32::try_from(digits).unwrap_or(0));
    let (whole, rest) = (units.unsigned_abs() / unit, units.unsigned_abs() % unit);
    let sign = if units < 0 { "-" } else { "" };
    let fraction = format!("{rest:0digits$}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// A number of a decision, at most four digits behind the point.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

fn percent(value: f64) -> String {
    format!("{} %", plain((value * 10_000.0).round() / 100.0))
}

/// A number with its name in words. A name that is not known is shown as it is.
pub(super) fn named(name: &str, value: f64, lang: Lang) -> String {
    let (en, zh) = words(name);
    let shown = match name {
        "threshold" => percent(value),
        _ if name.ends_with("_rate") || name.ends_with("_rate_max") => percent(value),
        _ if name.ends_with("_ms") || name == "ms" => format!("{} ms", plain(value)),
        _ if name.ends_with("_s") => format!("{} s", plain(value)),
        _ if name.ends_with("_bytes") => format!("{} B", plain(value)),
        _ => plain(value),
    };
    match (lang, en) {
        (_, "") => format!("{name} {shown}"),
        (Lang::En, _) => format!("{en} {shown}"),
        (Lang::Zh, _) => format!("{zh} {shown}"),
    }
}

fn words(name: &str) -> (&'static str, &'static str) {
    match name {
        "per_second" => ("limit a second", "每秒上限"),
        "limit" => ("limit", "上限"),
        "burst" => ("burst", "突发上限"),
        "remaining" => ("left", "剩余"),
        "used" => ("used", "已用"),
        "calls" => ("calls", "调用数"),
        "wait_ms" | "retry_after_ms" | "reopens_in_ms" => ("try again in", "可重试时间"),
        "resets_in_s" => ("resets in", "重置时间"),
        "in_flight" => ("in flight", "进行中"),
        "in_flight_max" | "concurrency" => ("at most at once", "并发上限"),
        "errors" => ("errors", "错误数"),
        "timeouts" => ("timeouts", "超时数"),
        "error_rate" => ("share of errors", "错误率"),
        "timeout_rate" => ("share of timeouts", "超时率"),
        "threshold" | "error_rate_max" | "timeout_rate_max" => ("threshold", "阈值"),
        "ms" | "deadline_ms" => ("deadline", "期限"),
        "client_ms" => ("asked for by the client", "调用方期限"),
        "catalog_ms" => ("allowed by the catalog", "目录期限"),
        "elapsed_ms" => ("gone by", "已用时间"),
        "limit_bytes" => ("limit", "上限"),
        "size_bytes" => ("size", "大小"),
        "limit_minor" => ("budget (minor units)", "额度（最小货币单位）"),
        "used_minor" => ("used (minor units)", "已用（最小货币单位）"),
        "amount_minor" => ("this call (minor units)", "本次（最小货币单位）"),
        "window_s" => ("window", "时间窗"),
        "attempts" => ("attempts", "尝试次数"),
        _ => ("", ""),
    }
}
