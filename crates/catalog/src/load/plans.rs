//! The plans' file.

use std::collections::BTreeMap;
use std::sync::Arc;

use oaas_model::Currency;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::descriptors::Names;
use super::inherited::number;
use super::service::Services;
use super::{dangling, inherited};
use crate::diagnostic::{Fault, Finding, Findings, same, text};
use crate::snapshot::{Budget, Plan, Quota, QuotaPeriod, RateLimit};
use crate::yaml::{Mark, Node};

/// The plans, as far as they could be read.
#[derive(Default)]
pub(super) struct Plans {
    pub plans: BTreeMap<Arc<str>, Arc<Plan>>,
    /// Some are missing, which is reported already.
    pub incomplete: bool,
}

impl Plans {
    /// Reports when no plan has the budget, or one has it in another currency.
    pub fn check_budget(&self, mark: Mark, budget: &str, currency: Currency, findings: &mut Findings) {
        if self.incomplete {
            return;
        }
        let mut there =
            self.plans.values().filter_map(|plan| plan.budgets.get(budget).map(|b| (plan, b))).peekable();
        if there.peek().is_none() {
            let names = self.plans.values().flat_map(|plan| plan.budgets.keys()).map(|name| &**name);
            findings.push(dangling(
                mark,
                budget,
                ("a budget of at least one plan", "至少一个套餐中的预算"),
                names,
            ));
        }
        if let Some((plan, other)) = there.find(|(_, other)| other.currency != currency) {
            let found = same(currency.code());
            let expected = text(
                format!("{}, as in plan `{}`", other.currency, plan.name),
                format!("{}，与套餐 `{}` 一致", other.currency, plan.name),
            );
            findings.push(Finding::new(mark, Fault::Conflict, found, expected));
        }
    }
}

/// Reads the plans.
pub(super) fn plans(root: &Node<'_>, services: &Services, names: &Names, findings: &mut Findings) -> Plans {
    let from = findings.count();
    let mut plans = Plans::default();
    for entry in root.get("plans").map(Node::entries).unwrap_or_default() {
        let name: Arc<str> = Arc::from(entry.key.as_ref());
        let plan = plan(&name, &entry.value, services, names, findings);
        plans.plans.insert(name, Arc::new(plan));
    }
    findings.name_fields(from, "", root);
    plans
}

fn plan(
    name: &Arc<str>,
    node: &Node<'_>,
    services: &Services,
    names: &Names,
    findings: &mut Findings,
) -> Plan {
    let rate = node.get("rate").and_then(|rate| {
        Some(RateLimit { per_second: number(rate, "per_second")?, burst: number(rate, "burst")? })
    });
    let budgets = node.get("budgets").map(Node::entries).unwrap_or_default();
    Plan {
        name: Arc::clone(name),
        methods: methods(node, services, names, findings),
        rate,
        concurrency: number(node, "concurrency"),
        quota: node.get("quota").and_then(quota),
        budgets: budgets
            .iter()
            .filter_map(|entry| Some((Arc::from(entry.key.as_ref()), budget(&entry.value, findings)?)))
            .collect(),
        shadow: node.get("shadow").and_then(Node::flag).unwrap_or(false),
    }
}

fn methods(
    node: &Node<'_>,
    services: &Services,
    names: &Names,
    findings: &mut Findings,
) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
    let mut covered = BTreeMap::new();
    for entry in node.get("methods").map(Node::entries).unwrap_or_default() {
        let Some((name, service)) = services.get_key_value(entry.key.as_ref()) else {
            if names.lack(&entry.key) {
                let what = ("a catalogued service", "目录中的服务");
                findings.push(dangling(
                    entry.key_mark,
                    &entry.key,
                    what,
                    services.keys().map(|name| &**name),
                ));
            }
            continue;
        };
        let mut covers = Vec::new();
        for item in entry.value.items() {
            let Some(short) = item.text() else { continue };
            match service.methods.get_key_value(short) {
                Some((short, _)) => covers.push(Arc::clone(short)),
                None => {
                    let what = ("a method of the service", "该服务的方法");
                    findings.push(dangling(
                        item.mark,
                        short,
                        what,
                        service.methods.keys().map(|name| &**name),
                    ));
                }
            }
        }
        covered.insert(Arc::clone(name), covers);
    }
    covered
}

fn quota(node: &Node<'_>) -> Option<Quota> {
    Some(Quota {
        calls: u64::try_from(node.get("calls")?.integer()?).ok()?,
        period: match node.get("period")?.text()? {
            "day" => QuotaPeriod::Day,
            "week" => QuotaPeriod::Week,
            _ => QuotaPeriod::Month,
        },
        utc_offset_minutes: node
            .get("utc_offset_minutes")
            .and_then(Node::integer)
            .and_then(|minutes| i32::try_from(minutes).ok())
            .unwrap_or(0),
    })
}

fn budget(node: &Node<'_>, findings: &mut Findings) -> Option<Budget> {
    let currency = Currency::parse(node.get("currency")?.text()?).ok()?;
    let at = node.get("amount")?;
    let amount_minor = minor(at.text()?, currency);
    if amount_minor.is_none() && crate::form::Pattern::Decimal.matches(at.text()?) {
        let digits = currency.minor_digits();
        let expected = text(
            format!("an amount above zero with at most {digits} digits after the point"),
            format!("大于零且小数不超过 {digits} 位的金额"),
        );
        findings.push(Finding::new(at.mark, Fault::InvalidValue, at.describe(), expected));
    }
    Some(Budget { amount_minor: amount_minor?, currency, window: inherited::seconds(node, "window_s")? })
}

/// The amount in minor units; `None` when it has parts of one, is zero, or is out of range.
fn minor(amount: &str, currency: Currency) -> Option<i64> {
    let amount: Decimal = amount.parse().ok()?;
    let scaled = amount.checked_mul(Decimal::from(10u64.checked_pow(currency.minor_digits())?))?;
    scaled.fract().is_zero().then(|| scaled.to_i64()).flatten().filter(|minor| *minor > 0)
}
