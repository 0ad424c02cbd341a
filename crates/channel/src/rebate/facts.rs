//! Sales and returns as facts, and net sales: what is left of each sale when its returns are taken off.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::civil::Date;

use super::plan::Problem;

/// Facts, sales and returns together, that one calculation takes.
pub const FACTS_MAX: usize = 200_000;
/// Problems that one answer lists; the rest would say the same again.
pub const PROBLEMS_MAX: usize = 100;
/// Largest amount of one fact, minor units: 100,000 million yuan.
pub const AMOUNT_MINOR_MAX: i64 = 10_000_000_000_000;
/// Largest quantity of one fact, units.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Members in the chain of one sale.
pub const CHAIN_MAX: usize = 32;

/// A member above a sale, with its grade on the day of the sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainMember {
    /// Member.
    pub member_id: String,
    /// Grade; empty for none.
    pub grade: String,
}

/// A sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Name of the event.
    pub event_id: String,
    /// Day of the sale.
    pub occurred_on: Date,
    /// Minor units, not negative.
    pub amount_minor: i64,
    /// Units, not negative.
    pub quantity: i64,
    /// Category of the goods; empty for none.
    pub category: String,
    /// Who sold, then who stands above, nearest first; at least one.
    pub chain: Vec<ChainMember>,
}

/// A return of a sale, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleReturn {
    /// Name of the event.
    pub event_id: String,
    /// The sale that it undoes.
    pub sale_event_id: String,
    /// Day of the return.
    pub occurred_on: Date,
    /// Minor units, not negative.
    pub amount_minor: i64,
    /// Units, not negative.
    pub quantity: i64,
}

/// What is left of a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSale<'a> {
    /// The sale.
    pub sale: &'a Sale,
    /// Minor units after returns.
    pub amount_minor: i64,
    /// Units after returns.
    pub quantity: i64,
}

/// The facts of a calculation, in any order; a fact may stand there twice.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Sales.
    pub sales: Vec<Sale>,
    /// Returns of these sales.
    pub returns: Vec<SaleReturn>,
}

impl Facts {
    /// Net sales by event id. Returns later than `clawback_days` after their sale are not taken off;
    /// zero days means that every return is.
    ///
    /// # Errors
    /// Every fact that can't be one: out of range, two contents under one id, a return without its
    /// sale, before it, or of more than was sold.
    pub fn net(&self, clawback_days: u32) -> Result<Vec<NetSale<'_>>, Vec<Problem>> {
        let mut problems = Vec::new();
        let sales = unique(&self.sales, "sales", |sale| &sale.event_id, &mut problems);
        let returns = unique(&self.returns, "returns", |fact| &fact.event_id, &mut problems);
        for (index, sale) in self.sales.iter().enumerate() {
            problems.extend(below(&format!("sales[{index}]"), sale.problems()));
        }
        for id in returns.keys().filter(|id| sales.contains_key(*id)) {
            problems.push(Problem::new("returns", format!("event id {id:?} names a sale too")));
        }
        let mut left: BTreeMap<&str, Left<'_>> = sales
            .into_iter()
            .map(|(id, (_, sale))| {
                let (amount, quantity) = (sale.amount_minor, sale.quantity);
                (id, Left { sale, amount, quantity, net_amount: amount, net_quantity: quantity })
            })
            .collect();
        for (_, (index, fact)) in returns {
            take_off(index, fact, &mut left, clawback_days, &mut problems);
        }
        if !problems.is_empty() {
            problems.truncate(PROBLEMS_MAX);
            return Err(problems);
        }
        let net = left.into_values().map(|left| NetSale {
            sale: left.sale,
            amount_minor: left.net_amount,
            quantity: left.net_quantity,
        });
        Ok(net.collect())
    }
}

/// A sale with what all its returns leave, and what those within the window leave.
struct Left<'a> {
    sale: &'a Sale,
    amount: i64,
    quantity: i64,
    net_amount: i64,
    net_quantity: i64,
}

fn unique<'a, T: PartialEq>(
    facts: &'a [T],
    list: &str,
    id: fn(&T) -> &str,
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'a str, (usize, &'a T)> {
    let mut by_id = BTreeMap::new();
    for (index, fact) in facts.iter().enumerate() {
        match by_id.entry(id(fact)) {
            Entry::Vacant(entry) => {
                entry.insert((index, fact));
            }
            Entry::Occupied(entry) if entry.get().1 == fact => {}
            Entry::Occupied(entry) => {
                let (key, first) = (entry.key(), entry.get().0);
                problems.push(Problem::new(
                    format!("{list}[{index}].event_id"),
                    format!("{key:?} is the id of {list}[{first}] too, which has another content"),
                ));
            }
        }
    }
    by_id
}

impl Sale {
    /// What is wrong with it on its own; fields are relative to the sale.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = size_problems(self.amount_minor, self.quantity);
        let count = self.chain.len();
        if count == 0 || count > CHAIN_MAX {
            problems
                .push(Problem::new("chain", format!("must name 1 to {CHAIN_MAX} members, names {count}")));
            return problems;
        }
        for (place, member) in self.chain.iter().enumerate() {
            if self.chain.iter().take(place).any(|below| below.member_id == member.member_id) {
                let text = format!("{:?} stands twice", member.member_id);
                problems.push(Problem::new(format!("chain[{place}].member_id"), text));
            }
        }
        problems
    }
}

impl SaleReturn {
    /// What is wrong with it on its own; fields are relative to the return.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        size_problems(self.amount_minor, self.quantity)
    }
}

fn size_problems(amount: i64, quantity: i64) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !(0..=AMOUNT_MINOR_MAX).contains(&amount) {
        problems.push(Problem::new("amount_minor", format!("must be 0 to {AMOUNT_MINOR_MAX}, is {amount}")));
    }
    if !(0..=QUANTITY_MAX).contains(&quantity) {
        problems.push(Problem::new("quantity", format!("must be 0 to {QUANTITY_MAX}, is {quantity}")));
    }
    problems
}

fn below(field: &str, found: Vec<Problem>) -> Vec<Problem> {
    let found = found.into_iter();
    found.map(|problem| Problem::new(format!("{field}.{}", problem.field), problem.text)).collect()
}

fn take_off(
    index: usize,
    fact: &SaleReturn,
    left: &mut BTreeMap<&str, Left<'_>>,
    clawback_days: u32,
    problems: &mut Vec<Problem>,
) {
    let field = format!("returns[{index}]");
    let found = fact.problems();
    if !found.is_empty() {
        problems.extend(below(&field, found));
        return;
    }
    let Some(left) = left.get_mut(fact.sale_event_id.as_str()) else {
        let text = format!("{:?} is not among the sales", fact.sale_event_id);
        problems.push(Problem::new(format!("{field}.sale_event_id"), text));
        return;
    };
    let sold_on = left.sale.occurred_on;
    let Ok(days) = sold_on.until(fact.occurred_on).map(|span| span.get_days()) else {
        problems.push(Problem::new(format!("{field}.occurred_on"), "is not a day of the calendar"));
        return;
    };
    if days < 0 {
        let text = format!("{} is before the sale of {sold_on}", fact.occurred_on);
        problems.push(Problem::new(format!("{field}.occurred_on"), text));
    }
    if fact.amount_minor > left.amount || fact.quantity > left.quantity {
        problems.push(Problem::new(
            field,
            format!(
                "takes back {} minor units and {} units of {:?}, of which {} and {} are left",
                fact.amount_minor, fact.quantity, fact.sale_event_id, left.amount, left.quantity
            ),
        ));
        return;
    }
    left.amount -= fact.amount_minor;
    left.quantity -= fact.quantity;
    if clawback_days == 0 || u32::try_from(days).is_ok_and(|days| days <= clawback_days) {
        left.net_amount -= fact.amount_minor;
        left.net_quantity -= fact.quantity;
    }
}
