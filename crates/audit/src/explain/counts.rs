//! What can be said of a call that has no record of its own.

use oaas_model::Lang;

use super::numbers::amount;
use crate::record::AuditRecord;
use crate::record::audit_record::Event;

pub(super) fn lines(records: &[AuditRecord], lang: Lang, lines: &mut Vec<String>) {
    let counted = records.iter().filter_map(|record| line(record, lang)).collect::<Vec<_>>();
    let first = match (lang, counted.is_empty()) {
        (Lang::En, true) => "The journal has no record of this call.",
        (Lang::En, false) => "The journal has no record of this call alone; at its time it counted:",
        (Lang::Zh, true) => "日志中没有此调用的记录。",
        (Lang::Zh, false) => "日志中没有此调用的单独记录；当时的合计如下：",
    };
    lines.push(first.to_owned());
    lines.extend(counted);
}

fn line(record: &AuditRecord, lang: Lang) -> Option<String> {
    let (en, zh) = match &record.event {
        Some(Event::RefusalSum(sum)) => {
            let (count, reason, service) = (sum.count, &sum.reason, &sum.service);
            let application = if sum.application.is_empty() { "?" } else { &sum.application };
            let seconds = seconds(sum.first_time_unix_ns, sum.last_time_unix_ns);
            (
                format!("  {count} refusals {reason} of {application} at {service} within {seconds} s"),
                format!("  {application} 对 {service} 的 {count} 次 {reason} 拒绝（{seconds} 秒内）"),
            )
        }
        Some(Event::Gap(gap)) => {
            let (count, method) = (gap.count, &gap.method);
            let seconds = seconds(gap.first_time_unix_ns, gap.last_time_unix_ns);
            (
                format!("  {count} calls of the sampled method {method} within {seconds} s"),
                format!("  抽样方法 {method} 的 {count} 次调用（{seconds} 秒内）"),
            )
        }
        _ => return None,
    };
    Some(match lang {
        Lang::En => en,
        Lang::Zh => zh,
    })
}

fn seconds(first_unix_ns: i64, last_unix_ns: i64) -> String {
    amount(last_unix_ns.saturating_sub(first_unix_ns) / 1_000_000, 3)
}
