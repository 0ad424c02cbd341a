//! The calculation: a plan, a period and facts in; amounts with their lines out. The order and the
//! batches in which facts came make no difference, and neither does a fact that came twice.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use thiserror::Error;

use super::book::Book;
use super::facts::{FACTS_MAX, Facts, NetSale};
use super::filter::EvaluateError;
use super::law::{self, Finding};
use super::levels::LevelsError;
use super::limits::limit;
use super::line::Line;
use super::period::Period;
use super::plan::{Plan, Problem, TierScope};
use super::sums::Sums;
use super::tiers::{Beside, Volume};

/// Lines that an outcome holds; amounts and totals are right beyond it.
pub const LINES_MAX: usize = 10_000;

/// What one member gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberOutcome {
    /// Minor units; the sum of all lines.
    pub amount: i128,
    /// The lines that were asked for.
    pub lines: Vec<Line>,
    /// Lines that were asked for and are not there.
    pub lines_left_off: usize,
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
    /// Sales that earned.
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
    /// So many of each member in the order of the facts, and all that take something off.
    Each(usize),
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
    problems.iter().map(|p| format!("{}: {}", p.field, p.text.en)).collect::<Vec<_>>().join("; ")
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
    let (period, net) = counted_in(plan, day, facts, detail)?;
    let mut book = Book::new(detail);
    let earned = earn(plan, period, &net, &mut book)?;
    if let Some(schedule) = plan.period_tiers() {
        for (member_id, sums) in &earned.sums {
            book.post_tiers(member_id, schedule, sums.volume(schedule), None, plan.rounding)?;
        }
    }
    limit(plan, earned.margin, &mut book)?;
    outcome(period, &earned, net.len(), book)
}

/// The period of a plan that can be calculated, and the net sales that it may look at.
pub(super) fn counted_in<'f>(
    plan: &Plan,
    day: Date,
    facts: &'f Facts,
    detail: Detail<'_>,
) -> Result<(Period, Vec<NetSale<'f>>), CalculateError> {
    let period = plan.period.around(day);
    let blocking = law::blocking(plan, period.start.max(plan.effective_from), period.end);
    if !blocking.is_empty() {
        return Err(CalculateError::PlanForbidden(blocking));
    }
    let problems = plan.problems();
    if !problems.is_empty() {
        return Err(CalculateError::PlanInvalid(problems));
    }
    let count = facts.count();
    if count > FACTS_MAX {
        return Err(CalculateError::FactsTooMany { count });
    }
    // Lines stand in the order of their events, unless only some of them are kept.
    let by_id = matches!(detail, Detail::Everybody | Detail::Member(_));
    let net = facts.net_in(plan, by_id).map_err(CalculateError::FactsInvalid)?;
    Ok((period, net))
}

pub(super) fn outcome(
    period: Period,
    earned: &Earned<'_>,
    sales: usize,
    book: Book<'_, '_>,
) -> Result<Outcome, CalculateError> {
    Ok(Outcome {
        period,
        base: earned.base,
        total: book.total()?,
        sales_counted: earned.sales,
        sales_left_out: sales - earned.sales,
        lines_left_off: book.left_off(),
        members: book.into_members(),
    })
}

/// What counted, and what the tiers of the period are applied to.
#[derive(Debug, Default)]
pub(super) struct Earned<'f> {
    pub base: i128,
    pub margin: i128,
    pub sales: usize,
    /// By member who sold; empty for a plan without tiers over the period.
    pub sums: BTreeMap<&'f str, Sums>,
}

/// Posts what sales earn one by one, by tiers and levels, and sums what the tiers of the period look at.
pub(super) fn earn<'f>(
    plan: &Plan,
    period: Period,
    net: &[NetSale<'f>],
    book: &mut Book<'f, '_>,
) -> Result<Earned<'f>, CalculateError> {
    let mut earned = Earned::default();
    let by_period = plan.period_tiers();
    let by_sale = plan.tiers.as_ref().filter(|schedule| schedule.scope == TierScope::Sale);
    let back = plan.tiers.as_ref().and_then(|schedule| schedule.looks_back(plan.period, period));
    let mut sums: HashMap<&str, Sums> = HashMap::new();
    for sale in net {
        let on = sale.sale.occurred_on;
        let (earns, looked_at) =
            (period.holds(on) && plan.in_force_on(on), back.is_some_and(|back| back.holds(on)));
        if !(earns || looked_at) || !selected(sale, plan.selects(sale.sale))? {
            continue;
        }
        let Some(seller) = sale.sale.chain.first() else { continue };
        let (amount, quantity) = (i128::from(sale.amount_minor), i128::from(sale.quantity));
        if let Some(schedule) = by_period {
            sums.entry(&seller.member_id).or_default().add(schedule, sale, earns, looked_at)?;
        }
        if !earns {
            continue;
        }
        earned.sales += 1;
        earned.base += amount;
        earned.margin += i128::from(sale.margin_minor);
        if let Some(schedule) = by_sale {
            let beside = sale.days_early.map_or(Beside::Nothing, Beside::DaysEarly);
            let volume = Volume { amount, quantity, beside };
            book.post_tiers(&seller.member_id, schedule, volume, Some(&sale.sale.event_id), plan.rounding)?;
        }
        match &plan.levels {
            Some(levels) if book.is_bare() => {
                let amounts = levels.amounts(sale, plan.rounding).map_err(|error| at_sale(sale, error))?;
                for (member_id, amount) in amounts {
                    book.add(member_id, amount)?;
                }
            }
            Some(levels) => {
                let drafts = levels.drafts(sale, plan.rounding).map_err(|error| at_sale(sale, error))?;
                for (member_id, amount, draft) in drafts {
                    book.post_with(member_id, amount, || draft.line(sale, amount))?;
                }
            }
            None => {}
        }
    }
    earned.sums = sums.into_iter().collect();
    Ok(earned)
}

/// What a filter says, or the refusal of a sale on which it says nothing.
pub(super) fn selected(
    sale: &NetSale<'_>,
    said: Result<bool, EvaluateError>,
) -> Result<bool, CalculateError> {
    said.map_err(|error| {
        let field = format!("sale {:?}", sale.sale.event_id);
        CalculateError::FactsInvalid(vec![Problem::new(field, format!("the filter stops: {error}"))])
    })
}

pub(super) fn at_sale(sale: &NetSale<'_>, error: LevelsError) -> CalculateError {
    match error {
        LevelsError::Overflow => CalculateError::Overflow,
        LevelsError::GradeUnknown { place, grade } => {
            let field = format!("sale {:?} chain[{place}].grade", sale.sale.event_id);
            let text = format!("{grade:?} is not a grade of the plan");
            CalculateError::FactsInvalid(vec![Problem::new(field, text)])
        }
    }
}
