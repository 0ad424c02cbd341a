//! The calculation: a plan, a period and facts in; amounts with their lines out. The order and the
//! batches in which facts came make no difference, and neither does a fact that came twice.

use std::collections::BTreeMap;

use jiff::civil::Date;
use thiserror::Error;

use super::exact::{Exact, apportion};
use super::facts::{FACTS_MAX, Facts, NetSale};
use super::law::{self, Finding};
use super::levels::LevelsError;
use super::period::Period;
use super::plan::{Pay, Plan, Problem, TierScope};
use super::tiers::Volume;

/// Lines that an outcome holds; amounts and totals are right beyond it.
pub const LINES_MAX: usize = 10_000;

/// What a line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// A tier: its slice, or everything at its rate.
    Tier {
        /// Where the tier begins, in the schedule's measure.
        from: i128,
        /// Where it or the measure ends.
        to: i128,
    },
    /// What raises a tier amount to its floor.
    Floor {
        /// The floor, minor units.
        floor: i128,
    },
    /// A share by position or by difference of grades.
    Level {
        /// Position, 1 for the seller.
        level: usize,
        /// The member's own rate, basis points.
        own_bp: u32,
        /// The highest rate below, basis points.
        below_bp: u32,
    },
    /// A same-level share.
    SameLevel {
        /// Position, 1 for the seller.
        level: usize,
    },
    /// Under the smallest payout.
    PayoutMinimum {
        /// The smallest payout, minor units.
        least: i128,
    },
    /// Over the member's cap.
    MemberCap {
        /// The cap, minor units.
        cap: i128,
    },
    /// Over the plan's cap.
    PlanCap {
        /// The cap, minor units.
        cap: i128,
    },
}

/// One amount with what it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it stands for.
    pub kind: LineKind,
    /// The sale that it is for; `None` for a period's sales together.
    pub event_id: Option<String>,
    /// What the rate is applied to, or what an adjustment adjusts: minor units or units.
    pub base: i128,
    /// What is paid on the base; `None` for adjustments.
    pub pay: Option<Pay>,
    /// The amount before rounding; `None` for adjustments.
    pub exact: Option<Exact>,
    /// Minor units.
    pub amount: i128,
}

impl Line {
    /// A line that brings `base` up or down by `amount`.
    #[must_use]
    pub fn adjustment(kind: LineKind, event_id: Option<&str>, base: i128, amount: i128) -> Self {
        Self { kind, event_id: event_id.map(str::to_owned), base, pay: None, exact: None, amount }
    }
}

/// What one member gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberOutcome {
    /// Minor units; the sum of all lines.
    pub amount: i128,
    /// The lines that were asked for.
    pub lines: Vec<Line>,
}

/// What a plan pays for a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The period.
    pub period: Period,
    /// Net sales that counted, minor units.
    pub base: i128,
    /// All members' amounts, minor units.
    pub total: i128,
    /// Sales that counted.
    pub sales_counted: usize,
    /// Sales of another period or category, or outside the plan's days.
    pub sales_left_out: usize,
    /// Members by id.
    pub members: BTreeMap<String, MemberOutcome>,
    /// Lines that were asked for and are over [`LINES_MAX`].
    pub lines_left_off: usize,
}

/// Whose lines an outcome holds. Amounts and totals are those of all in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail<'a> {
    /// Nobody's.
    Nobody,
    /// Everybody's.
    Everybody,
    /// One member's.
    Member(&'a str),
}

/// Why nothing could be calculated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CalculateError {
    /// The plan is not well formed.
    #[error("plan is not well formed: {}", list(.0))]
    PlanInvalid(Vec<Problem>),
    /// The law forbids the plan.
    #[error("plan is forbidden: {}", .0.iter().map(|f| f.message.en.as_str()).collect::<Vec<_>>().join("; "))]
    PlanForbidden(Vec<Finding>),
    /// Facts are not as they must be.
    #[error("facts are not as they must be: {}", list(.0))]
    FactsInvalid(Vec<Problem>),
    /// More facts than one calculation takes.
    #[error("{count} facts in one period, at most {FACTS_MAX}")]
    FactsTooMany {
        /// Facts that were given.
        count: usize,
    },
    /// An amount beyond 128 bits.
    #[error("an amount is too large")]
    Overflow,
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{}: {}", p.field, p.text)).collect::<Vec<_>>().join("; ")
}

/// What `plan` pays for the period that holds `day`.
///
/// # Errors
/// A plan that the law forbids on a day of the period or that is not well formed; facts that are not
/// as they must be; amounts or facts beyond the limits.
pub fn calculate(
    plan: &Plan,
    day: Date,
    facts: &Facts,
    detail: Detail<'_>,
) -> Result<Outcome, CalculateError> {
    let period = plan.period.around(day);
    let blocking = law::blocking(plan, period.start.max(plan.effective_from), period.end);
    if !blocking.is_empty() {
        return Err(CalculateError::PlanForbidden(blocking));
    }
    let problems = plan.problems();
    if !problems.is_empty() {
        return Err(CalculateError::PlanInvalid(problems));
    }
    let count = facts.sales.len().saturating_add(facts.returns.len());
    if count > FACTS_MAX {
        return Err(CalculateError::FactsTooMany { count });
    }
    let net = facts.net(plan.clawback_days).map_err(CalculateError::FactsInvalid)?;
    let mut book = Book { members: BTreeMap::new(), detail, lines: 0, left_off: 0 };
    let counted = earn(plan, period, &net, &mut book)?;
    limit(plan, &mut book)?;
    let total = book.total()?;
    Ok(Outcome {
        period,
        base: counted.base,
        total,
        sales_counted: counted.sales,
        sales_left_out: net.len() - counted.sales,
        members: book.members,
        lines_left_off: book.left_off,
    })
}

struct Counted {
    base: i128,
    sales: usize,
}

/// Posts what sales earn by tiers and levels.
fn earn(
    plan: &Plan,
    period: Period,
    net: &[NetSale<'_>],
    book: &mut Book<'_>,
) -> Result<Counted, CalculateError> {
    let mut counted = Counted { base: 0, sales: 0 };
    let mut volumes: BTreeMap<&str, Volume> = BTreeMap::new();
    for sale in net {
        let on = sale.sale.occurred_on;
        if !period.holds(on) || !plan.counts(on, &sale.sale.category) {
            continue;
        }
        counted.sales += 1;
        counted.base += i128::from(sale.amount_minor);
        let Some(seller) = sale.sale.chain.first() else { continue };
        let volume = Volume { amount: sale.amount_minor.into(), quantity: sale.quantity.into() };
        match &plan.tiers {
            Some(schedule) if schedule.scope == TierScope::Sale => {
                let lines = schedule.lines(volume, Some(&sale.sale.event_id), plan.rounding);
                for line in lines.ok_or(CalculateError::Overflow)? {
                    book.post(&seller.member_id, line)?;
                }
            }
            Some(_) => {
                let sum = volumes.entry(&seller.member_id).or_default();
                sum.amount += volume.amount;
                sum.quantity += volume.quantity;
            }
            None => {}
        }
        if let Some(levels) = &plan.levels {
            let lines = levels.lines(sale, plan.rounding).map_err(|error| at_sale(sale, error))?;
            for (member_id, line) in lines {
                book.post(member_id, line)?;
            }
        }
    }
    if let Some(schedule) = &plan.tiers {
        for (member_id, volume) in volumes {
            for line in schedule.lines(volume, None, plan.rounding).ok_or(CalculateError::Overflow)? {
                book.post(member_id, line)?;
            }
        }
    }
    Ok(counted)
}

fn at_sale(sale: &NetSale<'_>, error: LevelsError) -> CalculateError {
    match error {
        LevelsError::Overflow => CalculateError::Overflow,
        LevelsError::GradeUnknown { place, grade } => {
            let field = format!("sale {:?} chain[{place}].grade", sale.sale.event_id);
            let text = format!("{grade:?} is not a grade of the plan");
            CalculateError::FactsInvalid(vec![Problem::new(field, text)])
        }
    }
}

/// Posts what the smallest payout and the caps take off, in this order.
fn limit(plan: &Plan, book: &mut Book<'_>) -> Result<(), CalculateError> {
    let least = i128::from(plan.payout_min_minor);
    let cap = plan.cap_member_minor.map(i128::from);
    for (member_id, amount) in book.amounts() {
        if amount > 0 && amount < least {
            let kind = LineKind::PayoutMinimum { least };
            book.post(&member_id, Line::adjustment(kind, None, amount, -amount))?;
        } else if let Some(cap) = cap.filter(|cap| amount > *cap) {
            let kind = LineKind::MemberCap { cap };
            book.post(&member_id, Line::adjustment(kind, None, amount, cap - amount))?;
        }
    }
    let Some(cap) = plan.cap_plan_minor.map(i128::from) else { return Ok(()) };
    if book.total()? > cap {
        let amounts = book.amounts();
        let shares = apportion(cap, &amounts).ok_or(CalculateError::Overflow)?;
        for ((member_id, amount), share) in amounts.into_iter().zip(shares) {
            if share != amount {
                let kind = LineKind::PlanCap { cap };
                book.post(&member_id, Line::adjustment(kind, None, amount, share - amount))?;
            }
        }
    }
    Ok(())
}

/// Amounts by member while they are added up, and the lines that were asked for.
struct Book<'a> {
    members: BTreeMap<String, MemberOutcome>,
    detail: Detail<'a>,
    lines: usize,
    left_off: usize,
}

impl Book<'_> {
    fn post(&mut self, member_id: &str, line: Line) -> Result<(), CalculateError> {
        let wanted = match self.detail {
            Detail::Nobody => false,
            Detail::Everybody => true,
            Detail::Member(wanted) => wanted == member_id,
        };
        if !self.members.contains_key(member_id) {
            self.members.insert(member_id.to_owned(), MemberOutcome::default());
        }
        let Some(member) = self.members.get_mut(member_id) else { return Ok(()) };
        member.amount = member.amount.checked_add(line.amount).ok_or(CalculateError::Overflow)?;
        if wanted && self.lines < LINES_MAX {
            self.lines += 1;
            member.lines.push(line);
        } else if wanted {
            self.left_off += 1;
        }
        Ok(())
    }

    fn amounts(&self) -> Vec<(String, i128)> {
        self.members.iter().map(|(id, member)| (id.clone(), member.amount)).collect()
    }

    fn total(&self) -> Result<i128, CalculateError> {
        let mut amounts = self.members.values().map(|member| member.amount);
        amounts.try_fold(0i128, i128::checked_add).ok_or(CalculateError::Overflow)
    }
}
