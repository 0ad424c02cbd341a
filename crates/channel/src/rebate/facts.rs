//! Sales, returns and payments as facts, and net sales: what is left of each sale when its returns are
//! taken off.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::plan::{Base, Plan, Problem};

/// Facts, of all kinds together, that one calculation takes.
pub const FACTS_MAX: usize = 200_000;
/// Problems that one answer lists; the rest would say the same again.
pub const PROBLEMS_MAX: usize = 100;
/// Largest amount of one fact, minor units: 100,000 million yuan.
pub const AMOUNT_MINOR_MAX: i64 = 10_000_000_000_000;
/// Largest quantity of one fact, units.
pub const QUANTITY_MAX: i64 = 1_000_000_000;
/// Members in the chain of one sale.
pub const CHAIN_MAX: usize = 32;
/// Attributes of one sale.
pub const ATTRIBUTES_MAX: usize = 20;

/// A member above a sale, with its grade on the day of the sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainMember {
    /// Member.
    pub member_id: String,
    /// Grade; empty for none.
    pub grade: String,
}

/// Amounts beside the net amount of a sale or return, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Tax.
    pub tax_minor: i64,
    /// Freight.
    pub freight_minor: i64,
    /// Discounts that were given.
    pub discount_minor: i64,
    /// Margin of the net amount; a loss is negative.
    pub margin_minor: i64,
}

/// A sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sale {
    /// Name of the event.
    pub event_id: String,
    /// Day of the sale.
    pub occurred_on: Date,
    /// Minor units, net of tax, freight and discounts, not negative.
    pub amount_minor: i64,
    /// Units, not negative.
    pub quantity: i64,
    /// Category of the goods; empty for none.
    pub category: String,
    /// Who sold, then who stands above, nearest first; at least one.
    pub chain: Vec<ChainMember>,
    /// Whether the chain names only the seller, and who stands above is read from the tree.
    pub chain_open: bool,
    /// What a plan may add to the amount, and the margin.
    pub parts: Parts,
    /// Day on which it is to be paid.
    pub due_on: Option<Date>,
    /// Further facts for filters.
    pub attributes: BTreeMap<String, String>,
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
    /// What comes back of the sale's parts.
    pub parts: Parts,
}

/// The payment of a whole sale; a sale is paid once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Name of the event.
    pub event_id: String,
    /// The sale that is paid.
    pub sale_event_id: String,
    /// Day on which the last of it was paid.
    pub occurred_on: Date,
}

/// What is left of a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetSale<'a> {
    /// The sale.
    pub sale: &'a Sale,
    /// The plan's base after returns, minor units.
    pub amount_minor: i64,
    /// Units after returns.
    pub quantity: i64,
    /// Margin after returns, minor units.
    pub margin_minor: i64,
    /// Days between payment and due day, negative when it was late; `None` while either is unknown.
    pub days_early: Option<i32>,
}

/// The facts of a calculation, in any order; a fact may stand there twice.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Sales.
    pub sales: Vec<Sale>,
    /// Returns of these sales.
    pub returns: Vec<SaleReturn>,
    /// Payments of these sales.
    pub payments: Vec<Payment>,
}

impl Facts {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sales.len().saturating_add(self.returns.len()).saturating_add(self.payments.len())
    }

    /// Net sales by event id, as `plan` looks at them. Returns later than its `clawback_days` after their
    /// sale are not taken off; zero days means that every return is.
    ///
    /// # Errors
    /// Every fact that can't be one: out of range, two contents under one id, a return or payment
    /// without its sale, a return before it or of more than was sold, two payments of one sale.
    pub fn net(&self, plan: &Plan) -> Result<Vec<NetSale<'_>>, Vec<Problem>> {
        self.net_in(plan, true)
    }

    /// As [`Facts::net`]; in the order of the facts when `by_id` is false, which is faster.
    pub(super) fn net_in(&self, plan: &Plan, by_id: bool) -> Result<Vec<NetSale<'_>>, Vec<Problem>> {
        let mut problems = Vec::new();
        let sales = Unique::of(&self.sales, "sales", |sale| &sale.event_id, &mut problems);
        let returns = Unique::of(&self.returns, "returns", |fact| &fact.event_id, &mut problems);
        let payments = Unique::of(&self.payments, "payments", |fact| &fact.event_id, &mut problems);
        for (index, sale) in self.sales.iter().enumerate() {
            let found = sale.problems();
            if !found.is_empty() {
                problems.extend(below(&format!("sales[{index}]"), found));
            }
        }
        for (list, ids) in [("returns", returns.ids()), ("payments", payments.ids())] {
            for id in ids.into_iter().filter(|id| sales.place(id).is_some()) {
                problems.push(Problem::new(list, format!("event id {id:?} names a sale too")));
            }
        }
        // At the place of each sale in the list; one that came twice is left once.
        let mut left: Vec<Option<Left<'_>>> = vec![None; self.sales.len()];
        for place in sales.places() {
            if let (Some(left), Some(sale)) = (left.get_mut(place), self.sales.get(place)) {
                *left = Some(Left::of(sale));
            }
        }
        for (index, fact) in returns.facts() {
            let left = sales.place(&fact.sale_event_id).and_then(|place| left.get_mut(place)?.as_mut());
            take_off(index, fact, left, plan, &mut problems);
        }
        for (index, fact) in payments.facts() {
            let left = sales.place(&fact.sale_event_id).and_then(|place| left.get_mut(place)?.as_mut());
            pay(index, fact, left, &mut problems);
        }
        if !problems.is_empty() {
            problems.truncate(PROBLEMS_MAX);
            return Err(problems);
        }
        let base = plan.base;
        Ok(if by_id {
            let in_order = sales.places().filter_map(|place| left.get_mut(place)?.take());
            in_order.map(|left| left.net_sale(base)).collect()
        } else {
            left.into_iter().flatten().map(|left| left.net_sale(base)).collect()
        })
    }
}

/// What is left of one sale, as [`Facts::net`] says it of all.
pub(super) fn net_of<'a>(
    sale: &'a Sale,
    returns: &[SaleReturn],
    payment: Option<&Payment>,
    plan: &Plan,
) -> Result<NetSale<'a>, Vec<Problem>> {
    let mut problems = sale.problems();
    let mut left = Left::of(sale);
    for (index, fact) in returns.iter().enumerate() {
        take_off(index, fact, Some(&mut left), plan, &mut problems);
    }
    if let Some(fact) = payment {
        pay(0, fact, Some(&mut left), &mut problems);
    }
    if problems.is_empty() { Ok(left.net_sale(plan.base)) } else { Err(problems) }
}

/// A sale with what all its returns leave, and what those that count leave.
#[derive(Clone)]
struct Left<'a> {
    sale: &'a Sale,
    amount: i64,
    quantity: i64,
    parts: Parts,
    net_amount: i64,
    net_quantity: i64,
    net_parts: Parts,
    paid_on: Option<Date>,
}

impl<'a> Left<'a> {
    fn of(sale: &'a Sale) -> Self {
        let (amount, quantity, parts) = (sale.amount_minor, sale.quantity, sale.parts);
        let (net_amount, net_quantity, net_parts) = (amount, quantity, parts);
        Self { sale, amount, quantity, parts, net_amount, net_quantity, net_parts, paid_on: None }
    }

    fn net_sale(self, base: Base) -> NetSale<'a> {
        let days_early = self.sale.due_on.zip(self.paid_on).and_then(|(due, paid)| days(paid, due));
        NetSale {
            sale: self.sale,
            amount_minor: base.amount(self.net_amount, self.net_parts),
            quantity: self.net_quantity,
            margin_minor: self.net_parts.margin_minor,
            days_early,
        }
    }
}

impl Base {
    /// The base of a sale or return. All addends are at most 10¹³, so the sum fits.
    #[must_use]
    pub fn amount(self, amount_minor: i64, parts: Parts) -> i64 {
        let part = |wanted: bool, minor: i64| if wanted { minor } else { 0 };
        amount_minor
            .saturating_add(part(self.tax, parts.tax_minor))
            .saturating_add(part(self.freight, parts.freight_minor))
            .saturating_add(part(self.discounts, parts.discount_minor))
    }
}

impl Parts {
    fn less(self, other: Self) -> Self {
        Self {
            tax_minor: self.tax_minor.saturating_sub(other.tax_minor),
            freight_minor: self.freight_minor.saturating_sub(other.freight_minor),
            discount_minor: self.discount_minor.saturating_sub(other.discount_minor),
            margin_minor: self.margin_minor.saturating_sub(other.margin_minor),
        }
    }

    fn named(self) -> [(&'static str, i64); 3] {
        [
            ("tax_minor", self.tax_minor),
            ("freight_minor", self.freight_minor),
            ("discount_minor", self.discount_minor),
        ]
    }
}

/// Days from `first` to `last`; `None` beyond the calendar.
pub(super) fn days(first: Date, last: Date) -> Option<i32> {
    first.until(last).ok().map(|span| span.get_days())
}

/// Facts of one kind, each id once, sorted by id. The first bytes of an id stand beside its place, so
/// that a comparison seldom has to look at the fact itself.
struct Unique<'a, T> {
    facts: &'a [T],
    id: fn(&T) -> &str,
    sorted: Vec<(u128, usize)>,
}

impl<'a, T: PartialEq> Unique<'a, T> {
    fn of(facts: &'a [T], list: &str, id: fn(&T) -> &str, problems: &mut Vec<Problem>) -> Self {
        let at = |place: usize| facts.get(place).map(id).unwrap_or_default();
        let mut sorted: Vec<(u128, usize)> =
            facts.iter().enumerate().map(|(place, fact)| (first_bytes(id(fact)), place)).collect();
        sorted.sort_unstable_by(|(key, a), (other, b)| {
            key.cmp(other).then_with(|| at(*a).cmp(at(*b))).then(a.cmp(b))
        });
        sorted.dedup_by(|(key, later), (other, first)| {
            let same = key == other && at(*later) == at(*first);
            if same && facts.get(*later) != facts.get(*first) {
                problems.push(Problem::new(
                    format!("{list}[{later}].event_id"),
                    format!("{:?} is the id of {list}[{first}] too, which has another content", at(*first)),
                ));
            }
            same
        });
        Self { facts, id, sorted }
    }

    /// Places in the list, by id.
    fn places(&self) -> impl Iterator<Item = usize> {
        self.sorted.iter().map(|(_, place)| *place)
    }

    /// Places and facts, by id.
    fn facts(&self) -> impl Iterator<Item = (usize, &'a T)> {
        self.places().filter_map(|place| Some((place, self.facts.get(place)?)))
    }

    fn ids(&self) -> Vec<&'a str> {
        self.facts().map(|(_, fact)| (self.id)(fact)).collect()
    }

    fn place(&self, id: &str) -> Option<usize> {
        let wanted = first_bytes(id);
        let order = |(key, place): &(u128, usize)| {
            let there = || self.facts.get(*place).map(self.id).unwrap_or_default();
            key.cmp(&wanted).then_with(|| there().cmp(id))
        };
        let found = self.sorted.binary_search_by(order).ok()?;
        self.sorted.get(found).map(|(_, place)| *place)
    }
}

/// The first 16 bytes, zeros behind a shorter text: where two differ, they are in the order of the texts.
fn first_bytes(text: &str) -> u128 {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    u128::from_be_bytes(bytes)
}

impl Sale {
    /// What is wrong with it on its own; fields are relative to the sale.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = size_problems(self.amount_minor, self.quantity, self.parts);
        if self.attributes.len() > ATTRIBUTES_MAX {
            let text = format!("must be at most {ATTRIBUTES_MAX}, are {}", self.attributes.len());
            problems.push(Problem::new("attributes", text));
        }
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
        size_problems(self.amount_minor, self.quantity, self.parts)
    }
}

fn size_problems(amount: i64, quantity: i64, parts: Parts) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, amount) in [("amount_minor", amount)].into_iter().chain(parts.named()) {
        if !(0..=AMOUNT_MINOR_MAX).contains(&amount) {
            problems.push(Problem::new(field, format!("must be 0 to {AMOUNT_MINOR_MAX}, is {amount}")));
        }
    }
    let margin = parts.margin_minor;
    if !(-AMOUNT_MINOR_MAX..=AMOUNT_MINOR_MAX).contains(&margin) {
        let text = format!("must be -{AMOUNT_MINOR_MAX} to {AMOUNT_MINOR_MAX}, is {margin}");
        problems.push(Problem::new("margin_minor", text));
    }
    if !(0..=QUANTITY_MAX).contains(&quantity) {
        problems.push(Problem::new("quantity", format!("must be 0 to {QUANTITY_MAX}, is {quantity}")));
    }
    problems
}

fn below(field: &str, found: Vec<Problem>) -> Vec<Problem> {
    let found = found.into_iter();
    found.map(|problem| Problem::new(format!("{field}.{}", problem.field), problem.text.en)).collect()
}

fn take_off(
    index: usize,
    fact: &SaleReturn,
    left: Option<&mut Left<'_>>,
    plan: &Plan,
    problems: &mut Vec<Problem>,
) {
    let field = format!("returns[{index}]");
    let found = fact.problems();
    if !found.is_empty() {
        problems.extend(below(&field, found));
        return;
    }
    let Some(left) = left else {
        let text = format!("{:?} is not among the sales", fact.sale_event_id);
        problems.push(Problem::new(format!("{field}.sale_event_id"), text));
        return;
    };
    let sold_on = left.sale.occurred_on;
    let Some(days) = days(sold_on, fact.occurred_on) else {
        problems.push(Problem::new(format!("{field}.occurred_on"), "is not a day of the calendar"));
        return;
    };
    if days < 0 {
        let text = format!("{} is before the sale of {sold_on}", fact.occurred_on);
        problems.push(Problem::new(format!("{field}.occurred_on"), text));
    }
    let mut parts = fact.parts.named().into_iter().zip(left.parts.named());
    if let Some(((part, back), (_, there))) = parts.find(|((_, back), (_, there))| back > there) {
        let text = format!("takes back {back} minor units of {:?}, {there} are left", fact.sale_event_id);
        problems.push(Problem::new(format!("{field}.{part}"), text));
        return;
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
    left.parts = left.parts.less(fact.parts);
    if plan.claws_back(days) {
        left.net_amount -= fact.amount_minor;
        left.net_quantity -= fact.quantity;
        left.net_parts = left.net_parts.less(fact.parts);
    }
}

fn pay(index: usize, fact: &Payment, left: Option<&mut Left<'_>>, problems: &mut Vec<Problem>) {
    match left {
        None => {
            let text = format!("{:?} is not among the sales", fact.sale_event_id);
            problems.push(Problem::new(format!("payments[{index}].sale_event_id"), text));
        }
        Some(left) if left.paid_on.is_some() => {
            let text = format!("{:?} is paid by another payment already", fact.sale_event_id);
            problems.push(Problem::new(format!("payments[{index}].sale_event_id"), text));
        }
        Some(left) => left.paid_on = Some(fact.occurred_on),
    }
}
