//! The accrual ledger: only ever added to, each line a difference and chained to the one before by
//! its hash. A period is always recomputed whole; the ledger gets what changed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use oaas_model::{Currency, Money};
use sha2::{Digest as _, Sha256};

use super::calculate::Outcome;
use super::facts::{Facts, Parts, Payment, Sale, SaleReturn};
use super::law::Text;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash before the first line.
pub const NO_HASH: Hash = [0; 32];

/// What one line says; its hash is made from this and the hash before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the plan's ledger, from 1.
    pub sequence: i64,
    /// Plan.
    pub plan_id: String,
    /// Version of the plan that was in force.
    pub plan_version: i64,
    /// First day of the period.
    pub period_start: Date,
    /// Member.
    pub member_id: String,
    /// The difference, minor units.
    pub amount_minor: i64,
    /// What the member has for the period after it, minor units.
    pub balance_minor: i64,
    /// When it was posted, Unix milliseconds.
    pub posted_at_ms: i64,
    /// Digest of the facts that the period was computed from.
    pub facts: Hash,
    /// Digest of what the line rests on; `None` for lines of before this was kept.
    pub detail: Option<Hash>,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerLine {
    /// What it says.
    pub entry: Entry,
    /// Hash of the line before.
    pub previous: Hash,
    /// Hash of this line.
    pub hash: Hash,
}

impl Entry {
    /// What was posted and why, in words for people. `true_up` is what of it brings earlier sales to
    /// another tier or to another expectation, minor units; `expected` is what is expected of the whole period.
    #[must_use]
    pub fn explain(&self, currency: Currency, true_up: i64, expected: Option<&Text>) -> Text {
        let money = |minor: i64| Money::new(minor.into(), currency).to_string();
        let (amount, after) = (money(self.amount_minor), money(self.balance_minor));
        let before = money(self.balance_minor.saturating_sub(self.amount_minor));
        let (act_en, act_zh) =
            if self.amount_minor < 0 { ("claw-back", "追回") } else { ("accrual", "计提") };
        let (start, version) = (self.period_start, self.plan_version);
        let (more_en, more_zh) = match true_up {
            0 => (String::new(), String::new()),
            minor if expected.is_some() => {
                let minor = money(minor);
                (
                    format!("; {minor} of it is the true-up of earlier sales to what is expected now"),
                    format!("；其中 {minor} 为此前销售按现在预计的补差"),
                )
            }
            minor => {
                let minor = money(minor);
                (
                    format!("; {minor} of it brings earlier sales to the tier that is reached now"),
                    format!("；其中 {minor} 为此前销售按现达档位的补差"),
                )
            }
        };
        let (open_en, open_zh) = match expected {
            None => (String::new(), String::new()),
            Some(Text { en, zh }) => (
                format!("; it is open and accrued at the expected tier: {en}"),
                format!("；期间未结，按预计档位计提：{zh}"),
            ),
        };
        Text {
            en: format!(
                "{act_en} of {amount}: the period from {start} was computed anew from its net sales under \
                 version {version} and gives {after} instead of {before}{open_en}{more_en}"
            ),
            zh: format!(
                "{act_zh} {amount}：{start} 起的期间按第 {version} 版计划以净销售额重新计算，由 {before} 变为 {after}{open_zh}{more_zh}"
            ),
        }
    }

    /// The line that follows the one with the hash `previous`.
    #[must_use]
    pub fn seal(self, previous: Hash) -> LedgerLine {
        let mut hasher = Sha256::new();
        hasher.update(previous);
        for text in [&self.plan_id, &self.member_id, &self.period_start.to_string()] {
            text_into(&mut hasher, text);
        }
        let numbers =
            [self.sequence, self.plan_version, self.amount_minor, self.balance_minor, self.posted_at_ms];
        for number in numbers {
            hasher.update(number.to_be_bytes());
        }
        hasher.update(self.facts);
        if let Some(detail) = &self.detail {
            hasher.update(detail);
        }
        LedgerLine { entry: self, previous, hash: hasher.finalize().into() }
    }
}

/// The sequence of the first line that does not follow from the ones before it, or is not what its
/// hash says; `None` when all do. `lines` begin with the first of the ledger.
#[must_use]
pub fn first_broken(lines: &[LedgerLine]) -> Option<i64> {
    let mut previous = NO_HASH;
    for (sequence, line) in (1..).zip(lines) {
        let sealed = line.entry.clone().seal(previous);
        if line.entry.sequence != sequence || sealed != *line {
            return Some(line.entry.sequence);
        }
        previous = line.hash;
    }
    None
}

/// A difference to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Member.
    pub member_id: String,
    /// What is added, minor units; never zero.
    pub amount_minor: i64,
    /// What the member has then, minor units.
    pub balance_minor: i64,
}

/// What brings `balances` (by member, without zeros or with) to `outcome`, by member id. `None` when
/// an amount is beyond 64 bits.
#[must_use]
pub fn differences(balances: &BTreeMap<String, i64>, outcome: &Outcome) -> Option<Vec<Difference>> {
    let members: BTreeSet<&String> = balances.keys().chain(outcome.members.keys()).collect();
    let mut differences = Vec::new();
    for member_id in members {
        let before = balances.get(member_id).copied().unwrap_or(0);
        let after = outcome.members.get(member_id).map_or(0, |member| member.amount);
        let balance_minor = i64::try_from(after).ok()?;
        let amount_minor = balance_minor.checked_sub(before)?;
        if amount_minor != 0 {
            differences.push(Difference { member_id: member_id.clone(), amount_minor, balance_minor });
        }
    }
    Some(differences)
}

/// A digest of the facts that doesn't hang on their order or on how often each came.
#[must_use]
pub fn facts_digest(facts: &Facts) -> Hash {
    let sales = facts.sales.iter().map(sale_digest);
    let others = facts.returns.iter().map(return_digest).chain(facts.payments.iter().map(payment_digest));
    let digests: BTreeSet<Hash> = sales.chain(others).collect();
    let mut hasher = Sha256::new();
    for digest in digests {
        hasher.update(digest);
    }
    hasher.finalize().into()
}

fn sale_digest(sale: &Sale) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"s");
    for text in [&sale.event_id, &sale.category, &sale.occurred_on.to_string()] {
        text_into(&mut hasher, text);
    }
    hasher.update(sale.amount_minor.to_be_bytes());
    hasher.update(sale.quantity.to_be_bytes());
    for member in &sale.chain {
        text_into(&mut hasher, &member.member_id);
        text_into(&mut hasher, &member.grade);
    }
    parts_into(&mut hasher, sale.parts);
    if let Some(due_on) = sale.due_on {
        hasher.update(b"d");
        text_into(&mut hasher, &due_on.to_string());
    }
    for (name, value) in &sale.attributes {
        hasher.update(b"a");
        text_into(&mut hasher, name);
        text_into(&mut hasher, value);
    }
    hasher.finalize().into()
}

fn payment_digest(fact: &Payment) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"p");
    for text in [&fact.event_id, &fact.sale_event_id, &fact.occurred_on.to_string()] {
        text_into(&mut hasher, text);
    }
    hasher.finalize().into()
}

/// Only where there are parts, so that facts without them keep the digest that they always had.
fn parts_into(hasher: &mut Sha256, parts: Parts) {
    if parts == Parts::default() {
        return;
    }
    hasher.update(b"+");
    for minor in [parts.tax_minor, parts.freight_minor, parts.discount_minor, parts.margin_minor] {
        hasher.update(minor.to_be_bytes());
    }
}

fn return_digest(fact: &SaleReturn) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"r");
    for text in [&fact.event_id, &fact.sale_event_id, &fact.occurred_on.to_string()] {
        text_into(&mut hasher, text);
    }
    hasher.update(fact.amount_minor.to_be_bytes());
    hasher.update(fact.quantity.to_be_bytes());
    parts_into(&mut hasher, fact.parts);
    hasher.finalize().into()
}

/// With its length before it, so that two texts never read as another two.
fn text_into(hasher: &mut Sha256, text: &str) {
    hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    hasher.update(text.as_bytes());
}
