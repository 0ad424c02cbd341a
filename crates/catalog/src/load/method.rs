//! One RPC's entry: what it inherits, costs, puts at stake, answers when degraded, and its examples.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use oaas_model::{Currency, Reason};
use prost::Message as _;
use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};
use rust_decimal::Decimal;

use super::inherited::{Inherited, milliseconds, seconds};
use super::service::{LateCheck, strings, words};
use super::{dangling, message};
use crate::diagnostic::{Fault, Finding, Findings, same, text};
use crate::service::{AuditMode, Degraded, Effect, Example, Expectation, MethodEntry, Price, StakeField};
use crate::yaml::{Kind as NodeKind, Node};

/// Builds the methods of one file.
pub(super) struct Build<'b> {
    /// What holds for the service.
    pub inherited: &'b Inherited,
    /// Checks for later, by number of the file.
    pub late: &'b mut Vec<(usize, LateCheck)>,
    /// Number of the file.
    pub number: usize,
    pub findings: &'b mut Findings,
}

impl Build<'_> {
    pub fn method(&mut self, service: &Arc<str>, rpc: &MethodDescriptor, node: &Node<'_>) -> MethodEntry {
        let inherited = self.inherited.refined(node, self.findings);
        let effect = match node.get("effect").and_then(Node::text) {
            Some("read") => Effect::Read,
            _ => Effect::Write,
        };
        let error_reasons = self.error_reasons(node);
        let audit = inherited.audit(effect);
        if let (AuditMode::Sampled(1..), Some(at)) = (audit, node.get("stakes").or(node.get("price"))) {
            // Money is settled from the journal, and a sampled call leaves no record there.
            let expected =
                text("`audit: standard` or `strict` beside it", "同时设置 `audit: standard` 或 `strict`");
            self.findings.push(Finding::new(at.mark, Fault::Conflict, at.describe(), expected));
        }
        MethodEntry {
            path: format!("/{service}/{}", rpc.name()).into(),
            service: Arc::clone(service),
            name: rpc.name().into(),
            summary: words(node.get("summary")),
            effect,
            idempotent: node.get("idempotent").and_then(Node::flag).unwrap_or(effect == Effect::Read),
            audit,
            price: node.get("price").and_then(price),
            request_bytes_max: inherited.request_bytes_max,
            response_bytes_max: inherited.response_bytes_max,
            deadline: milliseconds(node, "deadline_ms").unwrap_or(inherited.sla.deadline),
            stream: inherited.stream,
            degraded: self.degraded(rpc, effect, audit, node),
            stakes: self.stakes(rpc, node),
            forward_credentials: inherited.forward_credentials,
            examples: self.examples(rpc, &error_reasons, node),
            breaker: inherited.breaker,
            error_reasons,
            descriptor: rpc.clone(),
            streams: rpc.is_client_streaming() || rpc.is_server_streaming(),
            // Given when all services are known.
            index: 0,
        }
    }

    fn error_reasons(&mut self, node: &Node<'_>) -> Vec<String> {
        let reasons = strings(node.get("error_reasons"));
        let mut seen = BTreeSet::new();
        for item in node.get("error_reasons").map(Node::items).unwrap_or_default() {
            if item.text().is_some_and(|reason| !seen.insert(reason.to_owned())) {
                let expected = text("each reason once", "每个原因只出现一次");
                self.findings.push(Finding::new(item.mark, Fault::Doubled, item.describe(), expected));
            }
        }
        reasons
    }

    fn degraded(
        &mut self,
        rpc: &MethodDescriptor,
        effect: Effect,
        audit: AuditMode,
        node: &Node<'_>,
    ) -> Degraded {
        let Some(node) = node.get("degraded").filter(|node| !node.entries().is_empty()) else {
            return Degraded::None;
        };
        if rpc.is_client_streaming() || rpc.is_server_streaming() {
            let expected = text("`none`, for the method streams", "流式方法只能为 `none`");
            self.findings.push(Finding::new(node.mark, Fault::Conflict, node.describe(), expected));
            return Degraded::None;
        }
        if let Some(body) = node.get("message") {
            return message::message(body, &rpc.output(), self.findings)
                .map_or(Degraded::None, |message| Degraded::Message(message.encode_to_vec().into()));
        }
        if let Some(last) = node.get("last_good") {
            if effect == Effect::Write {
                let expected = text("another answer: this method writes", "其他应答方式：该方法会写入");
                self.findings.push(Finding::new(last.mark, Fault::Conflict, same("`last_good`"), expected));
            }
            return Degraded::LastGood { age_max: seconds(last, "age_s_max").unwrap_or(Duration::ZERO) };
        }
        let Some((target, at)) = node.get("method").and_then(|at| at.text().zip(Some(at))) else {
            return Degraded::None;
        };
        let check = LateCheck::DegradedMethod {
            mark: at.mark,
            target: target.to_owned(),
            method: rpc.clone(),
            audit,
        };
        self.late.push((self.number, check));
        Degraded::Method(Arc::from(target))
    }

    fn stakes(&mut self, rpc: &MethodDescriptor, node: &Node<'_>) -> Vec<StakeField> {
        let items = node.get("stakes").map(Node::items).unwrap_or_default();
        if let Some(first) = items.first().filter(|_| rpc.is_client_streaming()) {
            // The money is read from the one message of a request; a stream could hide more behind it.
            let expected =
                text("no stakes, for the method takes a stream", "流式请求的方法不能设置 `stakes`");
            self.findings.push(Finding::new(first.mark, Fault::Conflict, first.describe(), expected));
        }
        items.iter().filter_map(|item| self.stake(rpc, item)).collect()
    }

    fn stake(&mut self, rpc: &MethodDescriptor, node: &Node<'_>) -> Option<StakeField> {
        let input = rpc.input();
        if let Some(at) = node.get("amount_field") {
            let integer = |kind: &Kind| {
                let signed = matches!(kind, Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64);
                signed
                    || matches!(kind, Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64)
                    || matches!(kind, Kind::Sfixed32 | Kind::Sfixed64)
            };
            self.field(&input, at, integer, ("an integer field of the request", "请求中的整数字段"));
        }
        if let Some(at) = node.get("key_field") {
            let scalar =
                |kind: &Kind| !matches!(kind, Kind::Message(_) | Kind::Double | Kind::Float | Kind::Bytes);
            self.field(
                &input,
                at,
                scalar,
                ("a text or integer field of the request", "请求中的文本或整数字段"),
            );
        }
        let currency =
            node.get("currency").and_then(Node::text).and_then(|code| Currency::parse(code).ok())?;
        let at = node.get("budget")?;
        let budget = at.text()?.to_owned();
        self.late.push((self.number, LateCheck::Budget { mark: at.mark, budget: budget.clone(), currency }));
        Some(StakeField {
            budget,
            amount_field: node.get("amount_field")?.text()?.to_owned(),
            key_field: node.get("key_field").and_then(Node::text).map(str::to_owned),
            currency,
        })
    }

    /// Follows a path with dots into the request; reports when it leads nowhere or to another type.
    fn field(
        &mut self,
        input: &MessageDescriptor,
        at: &Node<'_>,
        good: impl Fn(&Kind) -> bool,
        what: (&str, &str),
    ) {
        let Some(path) = at.text() else { return };
        let mut message = Some(input.clone());
        let mut last = None;
        for name in path.split('.') {
            let Some(inside) = message.take() else {
                last = None;
                break;
            };
            let Some(field) =
                inside.get_field_by_name(name).filter(|field| !field.is_list() && !field.is_map())
            else {
                let names: Vec<String> = inside.fields().map(|field| field.name().to_owned()).collect();
                let mut finding = dangling(at.mark, name, what, names.iter().map(String::as_str));
                finding.found = same(format!("`{path}`"));
                self.findings.push(finding);
                return;
            };
            let kind = field.kind();
            if let Kind::Message(inner) = &kind {
                message = Some(inner.clone());
            }
            last = Some(kind);
        }
        if !last.as_ref().is_some_and(good) {
            let kind = last.map_or_else(|| "nothing".to_owned(), |kind| message::name_of(&kind));
            let found = same(format!("`{path}`: {kind}"));
            self.findings.push(Finding::new(at.mark, Fault::WrongType, found, text(what.0, what.1)));
        }
    }

    fn examples(&mut self, rpc: &MethodDescriptor, reasons: &[String], node: &Node<'_>) -> Vec<Example> {
        let items = node.get("examples").map(Node::items).unwrap_or_default();
        items.iter().filter_map(|item| self.example(rpc, reasons, item)).collect()
    }

    fn example(&mut self, rpc: &MethodDescriptor, reasons: &[String], node: &Node<'_>) -> Option<Example> {
        let requests = self.messages(node.get("request")?, &rpc.input(), rpc.is_client_streaming());
        let expectation = match (node.get("response"), node.get("error")) {
            (Some(response), None) => {
                Expectation::Responses(self.messages(response, &rpc.output(), rpc.is_server_streaming()))
            }
            (None, Some(error)) => {
                let reason = error.text()?;
                if !reasons.iter().any(|known| known == reason) && Reason::parse(reason).is_none() {
                    let own = reasons.iter().map(String::as_str);
                    let platform = Reason::ALL.iter().map(|reason| reason.as_str());
                    let what = (
                        "one of the method's `error_reasons`, or a reason of the platform",
                        "该方法 `error_reasons` 之一，或平台原因",
                    );
                    self.findings.push(dangling(error.mark, reason, what, own.chain(platform)));
                }
                Expectation::Error(reason.to_owned())
            }
            (response, _) => {
                let found = match response {
                    Some(_) => text("both `response` and `error`", "同时有 `response` 和 `error`"),
                    None => text("neither `response` nor `error`", "没有 `response` 或 `error`"),
                };
                let expected =
                    text("exactly one of `response` and `error`", "`response` 与 `error` 只取其一");
                self.findings.push(Finding::new(node.mark, Fault::Conflict, found, expected));
                return None;
            }
        };
        let name = node.get("name").and_then(Node::text).unwrap_or_default().to_owned();
        Some(Example { name, requests, expectation, line: node.mark.line })
    }

    /// One message, or the messages of a stream, each of which must parse.
    fn messages(
        &mut self,
        node: &Node<'_>,
        descriptor: &MessageDescriptor,
        stream: bool,
    ) -> Vec<serde_json::Value> {
        let list = match node.resolved() {
            NodeKind::List(items) if stream => items.as_slice(),
            NodeKind::List(_) => {
                let expected = text("one message: the method does not stream here", "单个消息：此处不是流");
                self.findings.push(Finding::new(node.mark, Fault::WrongType, node.describe(), expected));
                return Vec::new();
            }
            _ => std::slice::from_ref(node),
        };
        for item in list {
            message::message(item, descriptor, self.findings);
        }
        list.iter().map(Node::to_json).collect()
    }
}

fn price(node: &Node<'_>) -> Option<Price> {
    Some(Price {
        amount: node.get("amount")?.text()?.parse::<Decimal>().ok()?,
        currency: Currency::parse(node.get("currency")?.text()?).ok()?,
        unit: node.get("unit").and_then(Node::text).unwrap_or("call").to_owned(),
    })
}
