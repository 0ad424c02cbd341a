//! What the demo shows at its end.

use std::sync::Arc;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use oaas_gateway::alert::Alert;
use serde_json::json;

use super::caller::Seen;
use super::day::{Abuse, FACE_VALUE_FEN};
use super::stage::Stage;
use crate::cli::Output;

/// Prints it, for people or for programs.
pub fn print(stage: &Stage, seen: &Seen, alerts: &[Arc<Alert>], abuse: &Abuse, output: Output) {
    let journal = stage.config.data.join("journal");
    let transitions: Vec<_> = alerts
        .iter()
        .filter(|alert| alert.name == Alert::BREAKER && !alert.labels.contains_key("application"))
        .collect();
    let note = |alert: &Alert, name: &str| alert.annotations.get(name).cloned().unwrap_or_default();
    if output.json {
        let methods: Vec<_> = seen
            .methods()
            .into_iter()
            .map(|(method, calls, p50, p99)| json!({ "method": method, "calls": calls, "p50_us": p50, "p99_us": p99 }))
            .collect();
        let breaker: Vec<_> =
            transitions.iter().map(|a| json!({ "to": note(a, "to"), "reason": note(a, "reason") })).collect();
        anstream::println!(
            "{}",
            json!({
                "methods": methods, "refusals": seen.reasons(), "degraded": seen.degraded(), "breaker": breaker,
                "abuse": { "tried": abuse.tried, "redeemed": abuse.redeemed, "stopped": abuse.stopped },
                "journal": journal,
            })
        );
        return;
    }
    anstream::println!("{}", output.say("\nCalls answered, by capability", "\n已应答的调用（按能力）"));
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header([output.say("method", "方法"), output.say("calls", "调用数"), "p50 ms", "p99 ms"]);
    for (method, calls, p50, p99) in seen.methods() {
        let ms = |us: u32| format!("{:.2}", f64::from(us) / 1e3);
        table.add_row([method, calls.to_string(), ms(p50), ms(p99)]);
    }
    anstream::println!("{table}");

    anstream::println!("{}", output.say("\nRefused, by reason", "\n被拒绝的调用（按原因）"));
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    for (reason, count) in seen.reasons() {
        let meaning = match oaas_model::Reason::parse(&reason) {
            Some(reason) => reason.meaning(output.lang),
            None => output.say("The capability's own answer.", "能力自身的应答。"),
        };
        table.add_row([reason, count.to_string(), meaning.to_owned()]);
    }
    anstream::println!("{table}");

    anstream::println!(
        "{}",
        output.say(
            "\nThe carrier failed from 14:00 to 16:00; its breaker",
            "\n承运商 14:00–16:00 故障，其熔断器"
        )
    );
    for alert in &transitions {
        let summary = note(alert, output.say("summary", "summary_zh"));
        anstream::println!(
            "  {} → {}: {} ({} {}, {} {})",
            note(alert, "from"),
            note(alert, "to"),
            summary,
            note(alert, "calls"),
            output.say("calls", "次调用"),
            note(alert, "errors"),
            output.say("errors", "次错误"),
        );
    }
    anstream::println!(
        "  {} {}",
        seen.degraded(),
        output.say("callers got the list price instead of an error", "次调用得到标准价而非错误")
    );
    abuse_case(abuse, output);
    next_steps(stage, &journal.display().to_string(), output);
}

fn abuse_case(abuse: &Abuse, output: Output) {
    let yuan = |coupons: u64| coupons * FACE_VALUE_FEN / 100;
    let share = abuse.redeemed as f64 * 100.0 / abuse.tried.max(1) as f64;
    anstream::println!(
        "{}",
        output.say(
            "\nA coupon app made legal calls, far too many of them",
            "\n一个优惠券应用发出合法但过量的调用"
        )
    );
    anstream::println!(
        "  {} ¥{}; {} ¥{} ({share:.2} %), {} {}",
        output.say("tried to redeem", "试图核销"),
        yuan(abuse.tried),
        output.say("went through", "实际核销"),
        yuan(abuse.redeemed),
        abuse.stopped,
        output.say("calls stopped by the budget of ¥20000 an hour", "次调用被每小时 ¥20000 的预算拦下"),
    );
}

fn next_steps(stage: &Stage, journal: &str, output: Output) {
    anstream::println!(
        "{} {journal}",
        output.say("\nEvery call is in the journal:", "\n每次调用都记录在审计日志中：")
    );
    let data = stage.config.data.display();
    let settings = format!(
        "--data {data} --catalog {} --callers {}",
        stage.config.catalog.display(),
        stage.config.callers.display()
    );
    anstream::println!("{}", output.say("\nThree commands to try next", "\n接下来可以试试"));
    let program = program();
    anstream::println!("  {program} audit tail -n 5 --reason BUDGET_EXHAUSTED --data {data}");
    anstream::println!("  {program} catalog search 返利 --catalog {}", stage.config.catalog.display());
    anstream::println!("  {program} serve {settings}");
}

/// How this program is called from here.
fn program() -> String {
    let here = std::env::current_dir().unwrap_or_default();
    match std::env::current_exe() {
        Ok(path) => match path.strip_prefix(&here) {
            Ok(below) => format!("./{}", below.display()),
            Err(_) => path.display().to_string(),
        },
        Err(_) => "oaas".to_owned(),
    }
}

/// Where the process is to be found, and as whom.
pub fn keeps_serving(stage: &Stage, output: Output) {
    anstream::println!("{} {}", output.say("\nServing on", "\n服务地址"), stage.address());
    for caller in [&stage.shop, &stage.operator, &stage.coupon_app, &stage.supplier] {
        anstream::println!("  {:<12} {}", caller.id, caller.key);
    }
    anstream::println!(
        "  {} call oaas.demo.v1.CarrierService/QuoteFreight -d '{{\"country\":\"DE\",\"weight_grams\":1500}}' --address {} --key {}",
        program(),
        stage.address(),
        stage.shop.key
    );
    anstream::println!("{}", output.say("Ctrl-C ends it.", "按 Ctrl-C 结束。"));
}
