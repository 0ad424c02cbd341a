//! A call in words: who called what, what each stage decided with its numbers, how it ended, whether the
//! work was done, and what would change the answer.

mod counts;
mod numbers;
mod stages;
#[cfg(test)]
mod tests;

use oaas_model::{CallId, Code, Lang, Reason};

use crate::record::audit_record::Event;
use crate::record::{AuditRecord, CallHead, Decision, Intent, Outcome, Refusal, WrittenOff};
use numbers::{amount, bytes, duration_us};

/// Explains a call from its records (see [`crate::Reader::find`]); several lines of plain text. From
/// sums and gaps alone (see [`crate::Reader::counts_at`]) it says what may have counted the call.
#[must_use]
pub fn explain(records: &[AuditRecord], lang: Lang) -> String {
    let call = Story::of(records);
    let mut text = Text { lines: Vec::new(), lang };
    match call.head() {
        Some(head) => {
            text.heading(head);
            text.end(&call);
            text.trail(call.decisions());
            text.executed(&call);
            text.change(&call);
        }
        None if call.written_off.is_some() => text.executed(&call),
        None => counts::lines(records, lang, &mut text.lines),
    }
    text.lines.join("\n")
}

/// What is known of a call.
#[derive(Default)]
struct Story<'a> {
    intent: Option<&'a Intent>,
    outcome: Option<&'a Outcome>,
    refusal: Option<&'a Refusal>,
    written_off: Option<&'a WrittenOff>,
}

impl<'a> Story<'a> {
    fn of(records: &'a [AuditRecord]) -> Self {
        let mut story = Self::default();
        for record in records {
            match &record.event {
                Some(Event::Intent(intent)) => story.intent = Some(intent),
                Some(Event::Outcome(outcome)) => story.outcome = Some(outcome),
                Some(Event::Refusal(refusal)) => story.refusal = Some(refusal),
                Some(Event::WrittenOff(written_off)) => story.written_off = Some(written_off),
                _ => {}
            }
        }
        story
    }

    fn head(&self) -> Option<&'a CallHead> {
        let heads = [
            self.outcome.and_then(|it| it.head.as_ref()),
            self.refusal.and_then(|it| it.head.as_ref()),
            self.intent.and_then(|it| it.head.as_ref()),
        ];
        heads.into_iter().flatten().next()
    }

    /// The longest trail: an outcome repeats its intent's and adds to it, or has its own part only.
    fn decisions(&self) -> Vec<&'a Decision> {
        let early = self.intent.map_or(&[] as &[Decision], |it| it.decisions.as_slice());
        let late = match (self.outcome, self.refusal) {
            (Some(outcome), _) => outcome.decisions.as_slice(),
            (None, Some(refusal)) => &refusal.decisions,
            (None, None) => &[],
        };
        if late.starts_with(early) { late.iter().collect() } else { early.iter().chain(late).collect() }
    }

    fn reason(&self) -> Option<Reason> {
        let text = match (self.outcome, self.refusal) {
            (Some(outcome), _) => &outcome.reason,
            (None, Some(refusal)) => &refusal.reason,
            (None, None) => return None,
        };
        Reason::parse(text)
    }
}

struct Text {
    lines: Vec<String>,
    lang: Lang,
}

impl Text {
    fn say(&mut self, en: impl Into<String>, zh: impl Into<String>) {
        self.lines.push(match self.lang {
            Lang::En => en.into(),
            Lang::Zh => zh.into(),
        });
    }

    fn heading(&mut self, head: &CallHead) {
        let id = CallId::from_slice(&head.call_id).map_or_else(|| "?".to_owned(), |id| id.to_string());
        let (method, catalog) = (&head.method, &head.catalog_version);
        let (mut by_en, mut by_zh) = match head.application.as_str() {
            "" => ("an unknown caller".to_owned(), "未识别的调用方".to_owned()),
            application => (application.to_owned(), format!("应用 {application}")),
        };
        if !head.on_behalf_of.is_empty() {
            by_en.push_str(&format!(" on behalf of {}", head.on_behalf_of));
            by_zh.push_str(&format!("（代表 {}）", head.on_behalf_of));
        }
        if !head.plan.is_empty() {
            by_en.push_str(&format!(", plan {}", head.plan));
            by_zh.push_str(&format!("，套餐 {}", head.plan));
        }
        self.say(format!("Call {id}: {method}"), format!("调用 {id}：{method}"));
        self.say(
            format!("By {by_en}; from {}; decided by catalog {catalog}.", head.peer),
            format!("来自{by_zh}；地址 {}；由目录版本 {catalog} 判定。", head.peer),
        );
    }

    fn end(&mut self, call: &Story<'_>) {
        match (call.outcome, call.refusal, call.written_off) {
            (Some(outcome), _, _) => self.outcome(outcome),
            (None, Some(refusal), _) => {
                let (code, reason) = (Code::from_number(refusal.status), &refusal.reason);
                let stage = stages::stage(&refusal.stage, self.lang);
                let after = duration_us(refusal.elapsed_us);
                self.say(
                    format!("Refused by {stage} after {after}: {reason} ({code})."),
                    format!("经过 {after} 被「{stage}」拒绝：{reason}（{code}）。"),
                );
            }
            (None, None, Some(_)) => self.say(
                "It has an intent and will never have an outcome.",
                "此调用有发起记录，但不会再有结果记录。",
            ),
            (None, None, None) => self.say(
                "It was sent to the capability and has no outcome yet: it is under way.",
                "已发往能力方，尚无结果记录：调用仍在进行。",
            ),
        }
        if let Some(reason) = call.reason() {
            self.lines.push(reason.meaning(self.lang).to_owned());
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        let (code, after) = (Code::from_number(outcome.status), duration_us(outcome.elapsed_us));
        let by_gateway = outcome.origin == "gateway";
        let attempts = outcome.attempts.max(1);
        let endpoint = if outcome.endpoint.is_empty() { "-" } else { &outcome.endpoint };
        if by_gateway && !outcome.degraded {
            let reason = &outcome.reason;
            self.say(
                format!("Ended by the gateway with {code} {reason} after {after} ({attempts} attempt(s) at {endpoint})."),
                format!("经过 {after} 由网关以 {code} {reason} 结束（端点 {endpoint}，尝试 {attempts} 次）。"),
            );
        } else if outcome.degraded {
            self.say(
                format!("Answered with {code} after {after} by the method's degraded answer, not by the capability."),
                format!("经过 {after} 以降级响应回复 {code}，并非能力本身的响应。"),
            );
        } else {
            self.say(
                format!("Answered by {endpoint} with {code} after {after} ({attempts} attempt(s))."),
                format!("经过 {after} 由 {endpoint} 回复 {code}（尝试 {attempts} 次）。"),
            );
        }
        let (sent, got) = (bytes(outcome.request_bytes), bytes(outcome.response_bytes));
        let (sent_messages, got_messages) = (outcome.request_messages, outcome.response_messages);
        self.say(
            format!("Request {sent} in {sent_messages} message(s), response {got} in {got_messages}."),
            format!("请求 {sent}（{sent_messages} 条消息），响应 {got}（{got_messages} 条消息）。"),
        );
        if outcome.price_micros != 0 {
            let (price, currency) = (amount(outcome.price_micros, 6), &outcome.currency);
            self.say(
                format!("Charged {price} {currency} for {} unit(s).", outcome.units),
                format!("计费 {price} {currency}，共 {} 个计量单位。", outcome.units),
            );
        }
    }

    fn trail(&mut self, decisions: Vec<&Decision>) {
        if decisions.is_empty() {
            return;
        }
        self.say("What the stages decided:", "各环节的判定：");
        for decision in decisions {
            let line = stages::line(decision, self.lang);
            self.lines.push(format!("  {line}"));
        }
    }

    fn executed(&mut self, call: &Story<'_>) {
        let executed = match (call.outcome, call.refusal, call.written_off) {
            (Some(outcome), _, _) => outcome.executed.as_str(),
            (None, Some(_), _) => "false",
            (None, None, Some(written_off)) => written_off.executed.as_str(),
            (None, None, None) => return,
        };
        match (executed, call.written_off.map(|it| it.cause.as_str())) {
            ("unknown", Some("process_end")) => self.say(
                "The gateway's process ended during the call, so whether the capability did the work is unknown.",
                "调用期间网关进程终止，能力是否已执行未知。",
            ),
            ("false", Some(_)) => self.say(
                "Its record could not be brought to the disk, so the call was refused and not executed.",
                "调用记录无法落盘，因此被拒绝，未执行。",
            ),
            ("false", None) => self.say("The capability did not do the work.", "能力未执行此调用。"),
            ("true", _) => self.say("The capability did the work.", "能力已执行此调用。"),
            _ => self.say(
                "Whether the capability did the work is unknown: ask for its state before sending the call again.",
                "能力是否已执行未知：重发前请先查询状态。",
            ),
        }
    }

    fn change(&mut self, call: &Story<'_>) {
        let Some(reason) = call.reason() else { return };
        let last = call.decisions().last().copied();
        let hint = last.and_then(|decision| stages::margin(decision, self.lang));
        let remedy = reason.remedy(self.lang);
        match hint {
            Some(hint) => self.say(
                format!("What would change it: {hint} {remedy}"),
                format!("如何改变结果：{hint}{remedy}"),
            ),
            None => self.say(format!("What would change it: {remedy}"), format!("如何改变结果：{remedy}")),
        }
        self.say(format!("More: docs/reasons/{reason}.md"), format!("详见 docs/reasons/{reason}.md"));
    }
}
