//! The same result, one fact at a time: a sale is taken out as it was and put in as it is now, and only
//! its members are summed anew. The work for a fact does not grow with the facts before it.
//!
//! What the caps for all members take off hangs on everybody and is worked out when it is asked for.

use std::collections::{BTreeMap, HashMap};

use super::calculate::{CalculateError, at_sale, selected};
use super::exact::apportion;
use super::facts::{NetSale, Payment, Sale, SaleReturn, net_of};
use super::law;
use super::limits::{cap_of_all, of_member};
use super::period::Period;
use super::plan::{Plan, Problem, TierScope};
use super::sums::Sums;
use super::tiers::{Beside, Volume};

/// One more fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A sale.
    Sale(Sale),
    /// A return of a sale that came before.
    Return(SaleReturn),
    /// The payment of a sale that came before.
    Payment(Payment),
}

/// What a fact changed for a member, before the caps for all members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Member.
    pub member_id: String,
    /// Before, minor units.
    pub before: i128,
    /// After, minor units.
    pub after: i128,
}

/// A period of a plan that takes one fact after the other.
#[derive(Clone, Debug)]
pub struct Incremental {
    plan: Plan,
    period: Period,
    back: Option<Period>,
    sales: HashMap<String, Held>,
    /// The sale of each return and payment.
    others: HashMap<String, String>,
    members: HashMap<String, Member>,
    margin: i128,
    total: i128,
}

/// A sale with what came after it, and what it adds.
#[derive(Clone, Debug)]
struct Held {
    sale: Sale,
    returns: Vec<SaleReturn>,
    payment: Option<Payment>,
    adds: Adds,
}

/// What one sale adds.
#[derive(Clone, Debug, Default)]
struct Adds {
    sums: Sums,
    margin: i128,
    /// Amounts that stand for themselves: tiers for each sale, levels.
    direct: Vec<(String, i128)>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    sums: Sums,
    direct: i128,
    /// After the smallest payout and the member's cap.
    amount: i128,
}

impl Incremental {
    /// An empty period of a plan, the one that holds `day`.
    ///
    /// # Errors
    /// A plan that the law forbids or that is not well formed.
    pub fn new(plan: Plan, day: jiff::civil::Date) -> Result<Self, CalculateError> {
        let period = plan.period.around(day);
        let blocking = law::blocking(&plan, period.start.max(plan.effective_from), period.end);
        if !blocking.is_empty() {
            return Err(CalculateError::PlanForbidden(blocking));
        }
        let problems = plan.problems();
        if !problems.is_empty() {
            return Err(CalculateError::PlanInvalid(problems));
        }
        let back = plan.tiers.as_ref().and_then(|schedule| schedule.looks_back(plan.period, period));
        let (sales, others, members) = (HashMap::new(), HashMap::new(), HashMap::new());
        Ok(Self { plan, period, back, sales, others, members, margin: 0, total: 0 })
    }

    /// Takes one more fact; one that came before changes nothing.
    ///
    /// # Errors
    /// A fact that can't be one: out of range, another content under its id, without its sale, more than
    /// was sold. The state is then as it was.
    pub fn apply(&mut self, fact: Fact) -> Result<Vec<Changed>, CalculateError> {
        let (id, sale_id) = match &fact {
            Fact::Sale(sale) => (sale.event_id.clone(), sale.event_id.clone()),
            Fact::Return(fact) => (fact.event_id.clone(), fact.sale_event_id.clone()),
            Fact::Payment(fact) => (fact.event_id.clone(), fact.sale_event_id.clone()),
        };
        if self.knows(&id, &fact)? {
            return Ok(Vec::new());
        }
        let mut held = match (self.sales.remove(&sale_id), &fact) {
            (None, Fact::Sale(sale)) => {
                Held { sale: sale.clone(), returns: Vec::new(), payment: None, adds: Adds::default() }
            }
            (Some(held), _) => held,
            (None, _) => return Err(refused(&id, format!("{sale_id:?} is not among the sales"))),
        };
        let before = (held.returns.len(), held.payment.is_some());
        match fact {
            Fact::Sale(_) => {}
            Fact::Return(fact) => held.returns.push(fact),
            Fact::Payment(_) if held.payment.is_some() => {
                self.sales.insert(sale_id.clone(), held);
                return Err(refused(&id, format!("{sale_id:?} is paid by another payment already")));
            }
            Fact::Payment(fact) => held.payment = Some(fact),
        }
        match self.adds_of(&held) {
            Ok(adds) => {
                let new_sale = !self.others.contains_key(&id) && id == sale_id;
                if !new_sale {
                    self.others.insert(id, sale_id.clone());
                }
                let seller = held.sale.chain.first().map(|member| member.member_id.clone());
                let old = std::mem::replace(&mut held.adds, adds.clone());
                self.sales.insert(sale_id, held);
                self.swap(seller.unwrap_or_default(), &old, &adds)
            }
            Err(error) => {
                held.returns.truncate(before.0);
                held.payment = held.payment.filter(|_| before.1);
                // A sale that could not be one was not there before.
                if id != sale_id {
                    self.sales.insert(sale_id, held);
                }
                Err(error)
            }
        }
    }

    /// Whether this very fact came before.
    fn knows(&self, id: &str, fact: &Fact) -> Result<bool, CalculateError> {
        let sale_id = self.others.get(id).map_or(id, String::as_str);
        let Some(held) = self.sales.get(sale_id) else { return Ok(false) };
        let known = match fact {
            Fact::Sale(sale) => held.sale == *sale,
            Fact::Return(fact) => held.returns.contains(fact),
            Fact::Payment(fact) => held.payment.as_ref() == Some(fact),
        };
        let taken = self.others.contains_key(id) || self.sales.contains_key(id);
        if taken && !known {
            return Err(refused(id, "is the id of another fact too".to_owned()));
        }
        Ok(known && taken)
    }

    /// What the sale adds as it stands now.
    fn adds_of(&self, held: &Held) -> Result<Adds, CalculateError> {
        let plan = &self.plan;
        let net = net_of(&held.sale, &held.returns, held.payment.as_ref(), plan)
            .map_err(CalculateError::FactsInvalid)?;
        let on = held.sale.occurred_on;
        let earns = self.period.holds(on) && plan.in_force_on(on);
        let looked_at = self.back.is_some_and(|back| back.holds(on));
        let mut adds = Adds::default();
        if !(earns || looked_at) || !selected(&net, plan.selects(&held.sale))? {
            return Ok(adds);
        }
        if let Some(schedule) = plan.period_tiers() {
            adds.sums.add(schedule, &net, earns, looked_at)?;
        }
        if earns {
            adds.margin = net.margin_minor.into();
            self.direct(&net, &mut adds)?;
        }
        Ok(adds)
    }

    fn direct(&self, net: &NetSale<'_>, adds: &mut Adds) -> Result<(), CalculateError> {
        let (plan, rule) = (&self.plan, self.plan.rounding);
        if let (Some(schedule), Some(seller)) =
            (plan.tiers.as_ref().filter(|tiers| tiers.scope == TierScope::Sale), net.sale.chain.first())
        {
            let beside = net.days_early.map_or(Beside::Nothing, Beside::DaysEarly);
            let (amount, quantity) = (net.amount_minor.into(), net.quantity.into());
            let paid = schedule.amount(Volume { amount, quantity, beside }, rule);
            adds.direct.push((seller.member_id.clone(), paid.ok_or(CalculateError::Overflow)?));
        }
        if let Some(levels) = &plan.levels {
            let amounts = levels.amounts(net, rule).map_err(|error| at_sale(net, error))?;
            adds.direct.extend(amounts.map(|(member, amount)| (member.to_owned(), amount)));
        }
        Ok(())
    }

    /// Takes out what a sale added and puts in what it adds now.
    fn swap(&mut self, seller: String, old: &Adds, new: &Adds) -> Result<Vec<Changed>, CalculateError> {
        self.margin += new.margin - old.margin;
        let mut steps: BTreeMap<&str, i128> = BTreeMap::new();
        for (member, amount) in &old.direct {
            *steps.entry(member).or_default() -= amount;
        }
        for (member, amount) in &new.direct {
            *steps.entry(member).or_default() += amount;
        }
        let sums = new.sums.less(&old.sums);
        steps.entry(&seller).or_default();
        let mut changed = Vec::with_capacity(steps.len());
        for (member_id, step) in steps {
            if !self.members.contains_key(member_id) {
                self.members.insert(member_id.to_owned(), Member::default());
            }
            let Some(member) = self.members.get_mut(member_id) else { continue };
            member.direct += step;
            if member_id == seller {
                member.sums = member.sums.plus(&sums);
            }
            let (before, after) = (member.amount, earned(&self.plan, member)?);
            member.amount = after;
            self.total += after - before;
            if after != before {
                changed.push(Changed { member_id: member_id.to_owned(), before, after });
            }
        }
        Ok(changed)
    }

    /// What all members get together, minor units.
    #[must_use]
    pub fn total(&self) -> i128 {
        cap_of_all(&self.plan, self.margin).map_or(self.total, |(cap, _)| self.total.min(cap))
    }

    /// What each member gets, minor units, members with nothing left out: the amounts of the calculation
    /// of all facts. `None` beyond 128 bits.
    #[must_use]
    pub fn amounts(&self) -> Option<BTreeMap<String, i128>> {
        let members = self.members.iter().filter(|(_, member)| member.amount != 0);
        let mut amounts: Vec<(&String, i128)> = members.map(|(id, member)| (id, member.amount)).collect();
        amounts.sort_unstable();
        if let Some((cap, _)) = cap_of_all(&self.plan, self.margin).filter(|(cap, _)| self.total > *cap) {
            let shares = apportion(cap, &amounts)?;
            amounts = amounts.into_iter().zip(shares).map(|((id, _), share)| (id, share)).collect();
        }
        Some(amounts.into_iter().filter(|(_, amount)| *amount != 0).map(|(id, a)| (id.clone(), a)).collect())
    }
}

/// What a member gets before the caps for all.
fn earned(plan: &Plan, member: &Member) -> Result<i128, CalculateError> {
    let mut amount = member.direct;
    if let Some(schedule) = plan.period_tiers() {
        let paid = schedule.amount(member.sums.volume(schedule), plan.rounding);
        amount += paid.ok_or(CalculateError::Overflow)?;
    }
    Ok(of_member(plan, amount))
}

fn refused(id: &str, text: String) -> CalculateError {
    CalculateError::FactsInvalid(vec![Problem::new(format!("fact {id:?}"), text)])
}
