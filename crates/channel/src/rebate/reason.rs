//! What a ledger line rests on: the lines of the calculation, the facts, the tier before and after, and
//! what of the difference brings earlier sales to a new tier.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::calculate::{Line, LineKind, MemberOutcome};
use super::exact::Exact;
use super::facts::Facts;
use super::period::Period;
use super::plan::{Pay, Plan, TierMode, TierScope};

/// Lines of the calculation that a ledger line keeps; adjustments beyond them are kept too.
pub const REASON_LINES_MAX: usize = 20;
/// Event ids that a ledger line keeps.
pub const REASON_EVENTS_MAX: usize = 50;

/// A tier that a member reached over a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierReached {
    /// Where it begins, in the schedule's measure.
    pub threshold: i64,
    /// What it pays.
    pub pay: Pay,
    /// What it is paid on: minor units, or units when it pays by the unit.
    pub base: i64,
}

/// What a ledger line rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The member's lines; not all when there are many.
    pub lines: Vec<Line>,
    /// Lines that are not among them.
    pub lines_left_off: usize,
    /// The member's amount for the period, minor units.
    pub amount: i128,
    /// The member's facts, the newest first; not all when there are many.
    pub event_ids: Vec<String>,
    /// All of the member's facts.
    pub event_count: usize,
    /// The tier before.
    pub tier_before: Option<TierReached>,
    /// The tier now.
    pub tier: Option<TierReached>,
    /// What of the difference brings earlier sales to the new tier, minor units.
    pub true_up: i64,
}

/// The tier that the lines of a period's schedule end in; `None` for plans without one.
#[must_use]
pub fn tier_reached(plan: &Plan, member: &MemberOutcome) -> Option<TierReached> {
    plan.tiers.as_ref().filter(|schedule| schedule.scope == TierScope::Period)?;
    let mut tiers = member.lines.iter().filter(|line| line.event_id.is_none());
    let last = tiers.rfind(|line| matches!(line.kind, LineKind::Tier { .. }))?;
    let LineKind::Tier { from, .. } = last.kind else { return None };
    let (threshold, base) = (i64::try_from(from).ok()?, i64::try_from(last.base).ok()?);
    Some(TierReached { threshold, pay: last.pay?, base })
}

/// What the sales of before gain or lose by the new tier: the true-up of a retroactive schedule.
#[must_use]
pub fn true_up(plan: &Plan, before: Option<TierReached>, now: Option<TierReached>) -> i64 {
    let retroactive = plan.tiers.as_ref().is_some_and(|tiers| tiers.mode == TierMode::Retroactive);
    let (Some(before), Some(now), true) = (before, now, retroactive) else { return 0 };
    let worth = |pay: Pay| {
        let exact = match pay {
            Pay::Rate(rate) => Exact::share(before.base.into(), rate)?,
            Pay::PerUnit(minor) => Exact::per_unit(before.base.into(), minor)?,
        };
        i64::try_from(exact.rounded(plan.rounding)).ok()
    };
    let alike =
        matches!((before.pay, now.pay), (Pay::Rate(_), Pay::Rate(_)) | (Pay::PerUnit(_), Pay::PerUnit(_)));
    if !alike || before.threshold == now.threshold {
        return 0;
    }
    worth(now.pay).zip(worth(before.pay)).map_or(0, |(after, before)| after.saturating_sub(before))
}

/// The event ids of the facts that bear on each of `members`, the newest first, and how many there are.
#[must_use]
pub fn facts_of<'a>(
    plan: &Plan,
    period: Period,
    facts: &'a Facts,
    members: &BTreeSet<&'a str>,
) -> BTreeMap<&'a str, (Vec<&'a str>, usize)> {
    let looked_at = plan.looks_at(period);
    let mut found: BTreeMap<&str, Vec<(Date, &str)>> = BTreeMap::new();
    let mut sellers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let reach = plan.levels.as_ref().map_or(1, |levels| levels.depth().max(1));
    for sale in &facts.sales {
        let on = sale.occurred_on;
        // A filter that stops has refused the calculation before this is asked.
        if !looked_at.iter().any(|days| days.holds(on)) || !plan.selects(sale).unwrap_or(false) {
            continue;
        }
        let chain = sale.chain.iter().take(reach).map(|member| member.member_id.as_str());
        let concerned: Vec<&str> = chain.filter(|id| members.contains(id)).collect();
        for member in &concerned {
            found.entry(member).or_default().push((on, &sale.event_id));
        }
        if !concerned.is_empty() {
            sellers.insert(&sale.event_id, concerned);
        }
    }
    let returns = facts.returns.iter().map(|f| (&f.sale_event_id, f.occurred_on, &f.event_id));
    let payments = facts.payments.iter().map(|f| (&f.sale_event_id, f.occurred_on, &f.event_id));
    for (sale, on, id) in returns.chain(payments) {
        for member in sellers.get(sale.as_str()).into_iter().flatten() {
            found.entry(member).or_default().push((on, id));
        }
    }
    found
        .into_iter()
        .map(|(member, mut events)| {
            events.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
            events.dedup();
            let count = events.len();
            (member, (events.into_iter().take(REASON_EVENTS_MAX).map(|(_, id)| id).collect(), count))
        })
        .collect()
}
