//! What a ledger line rests on: the lines of the calculation, the facts, the tier before and after, and
//! what of the difference brings earlier sales to a new tier.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::accrue::{Outlook, Standing};
use super::exact::Exact;
use super::facts::Facts;
use super::line::Line;
use super::period::Period;
use super::plan::{Pay, Plan, TierMode};

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
    /// How the member stands in the tiers now; `None` when it sold nothing, or the plan has none.
    pub standing: Option<Standing>,
    /// What of the difference brings earlier sales to the new tier, minor units.
    pub true_up: i64,
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

/// How a member stood in the tiers of a period when its last line was posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The tier that was reached.
    pub tier: Option<TierReached>,
    /// The sales, in the schedule's measure; zero where it is not known.
    pub so_far: i64,
    /// What the tiers had earned on them, minor units.
    pub accrued: i64,
    /// The expected total, and what the tiers pay on it; `None` when it was accrued as reached.
    pub expected: Option<(i64, i64)>,
}

impl Before {
    /// What the sales of before gain or lose by the tier that is reached now, or by what is expected now.
    #[must_use]
    pub fn true_up(&self, plan: &Plan, now: Option<&Standing>) -> i64 {
        let expected = now.and_then(|now| now.outlook.as_ref());
        // Lines of before that was kept say the tier alone.
        if self.expected.is_none() && (expected.is_none() || self.so_far == 0) {
            let tier = expected.map_or_else(|| now.and_then(|now| now.tier), |outlook| outlook.tier);
            return true_up(plan, self.tier, tier);
        }
        let same = |outlook: &Outlook| {
            self.expected.is_some_and(|(total, whole)| {
                outlook.expected.total == i128::from(total) && outlook.whole == i128::from(whole)
            })
        };
        let Some(now) = now.filter(|_| !expected.is_some_and(same)) else { return 0 };
        let earlier = now.exact.portion(self.so_far.into(), now.so_far);
        let earlier = earlier.and_then(|exact| i64::try_from(exact.rounded(plan.rounding)).ok());
        earlier.map_or(0, |now| now.saturating_sub(self.accrued))
    }
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
