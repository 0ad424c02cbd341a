//! The calculation: a plan, a period and facts in; amounts with their lines out. The order and the
//! batches in which facts came make no difference, and neither does a fact that came twice.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use thiserror::Error;

use super::exact::{Exact, Rounding, apportion};
use super::facts::{FACTS_MAX, Facts, NetSale};
use super::filter::EvaluateError;
use super::law::{self, Finding};
use super::levels::LevelsError;
use super::period::Period;
use super::plan::{Baseline, Measure, Pay, Plan, Problem, TierSchedule, TierScope, WHOLE_BP};
use super::tiers::{Beside, Volume};

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
    /// Over the plan's share of the margin.
    MarginCap {
        /// The cap, minor units.
        cap: i128,
        /// Margin of the sales that counted, minor units.
        margin: i128,
        /// The share, basis points.
        rate_bp: u32,
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
    let count = facts.count();
    if count > FACTS_MAX {
        return Err(CalculateError::FactsTooMany { count });
    }
    // Lines stand in the order of their events, unless only some of them are kept.
    let by_id = matches!(detail, Detail::Everybody | Detail::Member(_));
    let net = facts.net_in(plan, by_id).map_err(CalculateError::FactsInvalid)?;
    let mut book = Book { places: HashMap::new(), members: Vec::new(), detail, lines: 0, left_off: 0 };
    let counted = earn(plan, period, &net, &mut book)?;
    limit(plan, counted.margin, &mut book)?;
    let total = book.total()?;
    Ok(Outcome {
        period,
        base: counted.base,
        total,
        sales_counted: counted.sales,
        sales_left_out: net.len() - counted.sales,
        lines_left_off: book.left_off,
        members: book.into_members(),
    })
}

struct Counted {
    base: i128,
    margin: i128,
    sales: usize,
}

/// What a member's sales of the period add up to, and what decides the tier beside them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    amount: i128,
    quantity: i128,
    window: (i128, i128),
    baseline: i128,
    mix: i128,
}

impl Sums {
    /// Adds a sale that earns, or that is looked at beside the period's own, or both.
    pub(super) fn add(
        &mut self,
        schedule: &TierSchedule,
        sale: &NetSale<'_>,
        earns: bool,
        looked_at: bool,
    ) -> Result<(), CalculateError> {
        let (amount, quantity) = (i128::from(sale.amount_minor), i128::from(sale.quantity));
        if looked_at && schedule.window_days > 0 {
            self.window.0 += amount;
            self.window.1 += quantity;
        } else if looked_at {
            self.baseline += amount;
        }
        if earns {
            self.amount += amount;
            self.quantity += quantity;
            if let Some(mix) = &schedule.mix
                && selected(sale, mix.passes(sale.sale))?
            {
                self.mix += amount;
            }
        }
        Ok(())
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            amount: self.amount + other.amount,
            quantity: self.quantity + other.quantity,
            window: (self.window.0 + other.window.0, self.window.1 + other.window.1),
            baseline: self.baseline + other.baseline,
            mix: self.mix + other.mix,
        }
    }

    pub(super) fn less(&self, other: &Self) -> Self {
        Self {
            amount: self.amount - other.amount,
            quantity: self.quantity - other.quantity,
            window: (self.window.0 - other.window.0, self.window.1 - other.window.1),
            baseline: self.baseline - other.baseline,
            mix: self.mix - other.mix,
        }
    }

    pub(super) fn volume(&self, schedule: &TierSchedule) -> Volume {
        let beside = match (schedule.measure, schedule.baseline) {
            _ if schedule.window_days > 0 => Beside::Window(self.window.0, self.window.1),
            (Measure::Growth, Baseline::Fixed(minor)) => Beside::Baseline(minor.into()),
            (Measure::Growth, _) => Beside::Baseline(self.baseline),
            (Measure::Mix, _) => Beside::Mix(self.mix),
            _ => Beside::Nothing,
        };
        Volume { amount: self.amount, quantity: self.quantity, beside }
    }
}

/// Posts what sales earn by tiers and levels.
fn earn<'f>(
    plan: &Plan,
    period: Period,
    net: &[NetSale<'f>],
    book: &mut Book<'f, '_>,
) -> Result<Counted, CalculateError> {
    let mut counted = Counted { base: 0, margin: 0, sales: 0 };
    let by_period = plan.tiers.as_ref().filter(|schedule| schedule.scope == TierScope::Period);
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
        counted.sales += 1;
        counted.base += amount;
        counted.margin += i128::from(sale.margin_minor);
        if let Some(schedule) = by_sale {
            let beside = sale.days_early.map_or(Beside::Nothing, Beside::DaysEarly);
            let volume = Volume { amount, quantity, beside };
            book.post_tiers(&seller.member_id, schedule, volume, Some(&sale.sale.event_id), plan.rounding)?;
        }
        match &plan.levels {
            Some(levels) if book.detail == Detail::Nobody => {
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
    if let Some(schedule) = by_period {
        let sums: BTreeMap<&str, Sums> = sums.into_iter().collect();
        for (member_id, sums) in sums {
            book.post_tiers(member_id, schedule, sums.volume(schedule), None, plan.rounding)?;
        }
    }
    Ok(counted)
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

/// Posts what the smallest payout and the caps take off, in this order.
fn limit(plan: &Plan, margin: i128, book: &mut Book<'_, '_>) -> Result<(), CalculateError> {
    let least = i128::from(plan.payout_min_minor);
    let cap = plan.cap_member_minor.map(i128::from);
    for (member_id, amount) in book.amounts() {
        if amount > 0 && amount < least {
            let kind = LineKind::PayoutMinimum { least };
            book.post(member_id, Line::adjustment(kind, None, amount, -amount))?;
        } else if let Some(cap) = cap.filter(|cap| amount > *cap) {
            let kind = LineKind::MemberCap { cap };
            book.post(member_id, Line::adjustment(kind, None, amount, cap - amount))?;
        }
    }
    let Some((cap, kind)) = cap_of_all(plan, margin) else { return Ok(()) };
    if book.total()? > cap {
        let amounts = book.amounts();
        let shares = apportion(cap, &amounts).ok_or(CalculateError::Overflow)?;
        for ((member_id, amount), share) in amounts.into_iter().zip(shares) {
            if share != amount {
                book.post(member_id, Line::adjustment(kind, None, amount, share - amount))?;
            }
        }
    }
    Ok(())
}

/// The cap for all members together: the plan's, or its share of the margin when that is lower.
pub(super) fn cap_of_all(plan: &Plan, margin: i128) -> Option<(i128, LineKind)> {
    let by_plan = plan.cap_plan_minor.map(|cap| (i128::from(cap), LineKind::PlanCap { cap: cap.into() }));
    let by_margin = plan.cap_margin_bp.map(|rate_bp| {
        let cap = margin.max(0).saturating_mul(rate_bp.into()) / i128::from(WHOLE_BP);
        (cap, LineKind::MarginCap { cap, margin, rate_bp })
    });
    match (by_plan, by_margin) {
        (Some(plan), Some(margin)) if margin.0 < plan.0 => Some(margin),
        (Some(plan), _) => Some(plan),
        (None, margin) => margin,
    }
}

/// Amounts by member while they are added up, and the lines that were asked for.
struct Book<'f, 'd> {
    places: HashMap<&'f str, usize>,
    members: Vec<(&'f str, MemberOutcome)>,
    detail: Detail<'d>,
    lines: usize,
    left_off: usize,
}

impl<'f> Book<'f, '_> {
    fn wants(&self, member_id: &str) -> bool {
        match self.detail {
            Detail::Nobody => false,
            Detail::Everybody | Detail::Each(_) => true,
            Detail::Member(wanted) => wanted == member_id,
        }
    }

    fn post_tiers(
        &mut self,
        member_id: &'f str,
        schedule: &TierSchedule,
        volume: Volume,
        event_id: Option<&str>,
        rule: Rounding,
    ) -> Result<(), CalculateError> {
        if self.wants(member_id) && self.is_full(member_id) {
            let (amount, lines) = schedule.amount_of(volume, rule).ok_or(CalculateError::Overflow)?;
            if lines > 0 {
                self.add(member_id, amount)?.lines_left_off += lines;
                self.left_off += lines;
            }
            return Ok(());
        }
        if self.wants(member_id) {
            for line in schedule.lines(volume, event_id, rule).ok_or(CalculateError::Overflow)? {
                self.post(member_id, line)?;
            }
            return Ok(());
        }
        let amount = schedule.amount(volume, rule).ok_or(CalculateError::Overflow)?;
        if amount == 0 { Ok(()) } else { self.add(member_id, amount).map(|_| ()) }
    }

    /// Whether a member has all the lines that are kept of it.
    fn is_full(&self, member_id: &str) -> bool {
        let Detail::Each(most) = self.detail else { return false };
        let member = self.places.get(member_id).and_then(|place| self.members.get(*place));
        member.is_some_and(|(_, member)| member.lines.len() >= most)
    }

    fn post(&mut self, member_id: &'f str, line: Line) -> Result<(), CalculateError> {
        let keep = line.pay.is_none();
        self.post_line(member_id, line.amount, keep, || line)
    }

    /// Posts a line that is only made when it is kept.
    fn post_with(
        &mut self,
        member_id: &'f str,
        amount: i128,
        line: impl FnOnce() -> Line,
    ) -> Result<(), CalculateError> {
        self.post_line(member_id, amount, false, line)
    }

    fn post_line(
        &mut self,
        member_id: &'f str,
        amount: i128,
        keep: bool,
        line: impl FnOnce() -> Line,
    ) -> Result<(), CalculateError> {
        let wanted = self.wants(member_id);
        let (detail, lines) = (self.detail, self.lines);
        let member = self.add(member_id, amount)?;
        let room = match detail {
            Detail::Each(most) => keep || member.lines.len() < most,
            _ => lines < LINES_MAX,
        };
        if wanted && room {
            member.lines.push(line());
            self.lines += 1;
        } else if wanted {
            member.lines_left_off += 1;
            self.left_off += 1;
        }
        Ok(())
    }

    fn add(&mut self, member_id: &'f str, amount: i128) -> Result<&mut MemberOutcome, CalculateError> {
        let members = &mut self.members;
        let place = *self.places.entry(member_id).or_insert_with(|| {
            members.push((member_id, MemberOutcome::default()));
            members.len() - 1
        });
        let (_, member) = self.members.get_mut(place).ok_or(CalculateError::Overflow)?;
        member.amount = member.amount.checked_add(amount).ok_or(CalculateError::Overflow)?;
        Ok(member)
    }

    /// By id.
    fn amounts(&self) -> Vec<(&'f str, i128)> {
        let mut amounts: Vec<_> = self.members.iter().map(|(id, member)| (*id, member.amount)).collect();
        amounts.sort_unstable();
        amounts
    }

    fn total(&self) -> Result<i128, CalculateError> {
        let mut amounts = self.members.iter().map(|(_, member)| member.amount);
        amounts.try_fold(0i128, i128::checked_add).ok_or(CalculateError::Overflow)
    }

    fn into_members(self) -> BTreeMap<String, MemberOutcome> {
        self.members.into_iter().map(|(id, member)| (id.to_owned(), member)).collect()
    }
}
