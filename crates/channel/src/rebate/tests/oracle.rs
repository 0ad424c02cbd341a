//! The engine again, slow and by other formulas, in big rationals: what it must agree with.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{ToPrimitive as _, Zero as _};

use super::super::*;

fn whole(value: i128) -> BigRational {
    BigRational::from_integer(BigInt::from(value))
}

fn share(bp: u32) -> BigRational {
    BigRational::new(BigInt::from(bp), BigInt::from(10_000))
}

fn integer(value: &BigRational) -> i128 {
    assert!(value.is_integer());
    value.to_integer().to_i128().unwrap()
}

/// Rounds by the definition of each rule.
fn rounded(value: &BigRational, rule: Rounding) -> i128 {
    let (floor, ceiling) = (value.floor(), value.ceil());
    let (down, up) = (value - &floor, &ceiling - value);
    let nearest = if up < down { &ceiling } else { &floor };
    let even = |a: &BigRational| (a.to_integer() % BigInt::from(2)).is_zero();
    let chosen = match rule {
        Rounding::Down => &floor,
        Rounding::Up => &ceiling,
        Rounding::HalfUp if up == down => &ceiling,
        Rounding::HalfEven if up == down && !even(&floor) => &ceiling,
        Rounding::HalfUp | Rounding::HalfEven => nearest,
    };
    integer(chosen)
}

/// Largest remainder: the floor of each quota, and one more for the largest remainders, by id.
fn shared(total: i128, quotas: &[(String, BigRational)]) -> Vec<i128> {
    let mut result: Vec<i128> = quotas.iter().map(|(_, quota)| integer(&quota.floor())).collect();
    while result.iter().sum::<i128>() < total {
        let behind = |i: &usize| &quotas[*i].1 - whole(result[*i]);
        let mut places: Vec<usize> = (0..quotas.len()).collect();
        places.sort_by(|a, b| behind(b).cmp(&behind(a)).then(quotas[*a].0.cmp(&quotas[*b].0)));
        result[places[0]] += 1;
    }
    result
}

/// What the oracle knows of a member's period, or of one sale.
#[derive(Default)]
struct Sold {
    amount: i128,
    quantity: i128,
    window_amount: i128,
    window_quantity: i128,
    baseline: i128,
    mix: i128,
    days_early: Option<i128>,
}

/// The measure as a fraction; `None` for one that pays nothing.
fn measure(schedule: &TierSchedule, sold: &Sold) -> Option<BigRational> {
    let rolling = schedule.window_days > 0;
    let ratio = |part: i128, of: i128| (of > 0 && part >= 0).then(|| whole(part) * whole(10_000) / whole(of));
    match schedule.measure {
        _ if sold.amount == 0 && sold.quantity == 0 => None,
        Measure::Amount => Some(whole(if rolling { sold.window_amount } else { sold.amount })),
        Measure::Quantity => Some(whole(if rolling { sold.window_quantity } else { sold.quantity })),
        Measure::Growth => ratio(sold.amount - sold.baseline, sold.baseline),
        Measure::Mix => ratio(sold.mix, sold.amount),
        Measure::EarlyPayment if sold.amount > 0 => sold.days_early.filter(|days| *days >= 0).map(whole),
        Measure::EarlyPayment => None,
    }
}

/// A schedule's rounded amount.
fn tiered(schedule: &TierSchedule, sold: &Sold, rule: Rounding) -> i128 {
    let exact = exactly(schedule, sold);
    exact.map_or(0, |exact| rounded(&exact, rule).max(schedule.floor_minor.into()))
}

/// What sales of a member have earned of what the tiers pay on an expected total: the share of the whole,
/// cut at four digits more than minor units where it is an average.
pub fn spread(schedule: &TierSchedule, amount: i128, quantity: i128, total: i128, rule: Rounding) -> i128 {
    let so_far = if schedule.measure == Measure::Quantity { quantity } else { amount };
    let grown = |part: i128| integer(&(whole(part) * whole(total) / whole(so_far)).floor());
    let end = Sold { amount: grown(amount), quantity: grown(quantity), ..Sold::default() };
    let Some(at_end) = exactly(schedule, &end) else { return 0 };
    let floor = i128::from(schedule.floor_minor);
    let raised = rounded(&at_end, rule) < floor;
    let at_end = if raised { whole(floor) } else { at_end };
    let digits = whole(10_000);
    let share = match (schedule.mode, raised) {
        // The one rate of everything, on what there is.
        (TierMode::Retroactive, false) => {
            let top = schedule.tiers.iter().rfind(|tier| {
                let alone = TierSchedule { tiers: vec![**tier], ..schedule.clone() };
                exactly(&alone, &end).is_some()
            });
            match top.unwrap().pay {
                Pay::Rate(bp) => share(bp) * whole(amount),
                Pay::PerUnit(minor) => whole(minor.into()) * whole(quantity),
            }
        }
        _ => (at_end * whole(so_far) / whole(total) * &digits).floor() / digits,
    };
    rounded(&share, rule)
}

/// A schedule's amount before rounding and floor; `None` when no tier is reached. Marginal: each tier adds
/// the step of its rate on all that is above it.
fn exactly(schedule: &TierSchedule, sold: &Sold) -> Option<BigRational> {
    let measure = measure(schedule, sold)?;
    let counted = matches!(schedule.measure, Measure::Amount | Measure::Quantity);
    let reached = |tier: &Tier| {
        let threshold = whole(tier.threshold.into());
        match (schedule.mode, schedule.threshold_rule) {
            (TierMode::Retroactive, ThresholdRule::Reached) => measure >= threshold,
            _ => measure > threshold,
        }
    };
    let worth = |pay: Pay| match pay {
        Pay::Rate(bp) => share(bp),
        Pay::PerUnit(minor) => whole(minor.into()),
    };
    if (counted && measure.is_zero()) || !schedule.tiers.iter().any(reached) {
        return None;
    }
    let mut exact = BigRational::zero();
    match schedule.mode {
        TierMode::Marginal => {
            let mut before = BigRational::zero();
            for tier in schedule.tiers.iter().filter(|tier| reached(tier)) {
                exact += (worth(tier.pay) - &before) * (&measure - whole(tier.threshold.into()));
                before = worth(tier.pay);
            }
        }
        TierMode::Retroactive => {
            let top = schedule.tiers.iter().rfind(|tier| reached(tier)).unwrap();
            let money = match (schedule.pays_on, schedule.measure) {
                (PaysOn::Part, Measure::Growth) => sold.amount - sold.baseline,
                (PaysOn::Part, Measure::Mix) => sold.mix,
                _ => sold.amount,
            };
            let base = if matches!(top.pay, Pay::Rate(_)) { money } else { sold.quantity };
            exact = worth(top.pay) * whole(base);
        }
    }
    Some(exact)
}

/// The filters of the random plans, written again by hand.
fn passes(filter: &Filter, sale: &Sale) -> bool {
    match filter.source() {
        "amount_minor > 1000" => sale.amount_minor > 1_000,
        "grade != 'x'" => sale.chain[0].grade != "x",
        "has(attributes.k) && attributes.k == 'v'" => sale.attributes.get("k").is_some_and(|v| v == "v"),
        "quantity % 2 == 0 || category == 't'" => sale.quantity % 2 == 0 || sale.category == "t",
        other => panic!("{other}"),
    }
}

/// Whether the plan looks at the kind of sale.
fn selects(plan: &Plan, sale: &Sale) -> bool {
    (plan.categories.is_empty() || plan.categories.contains(&sale.category))
        && plan.filter.as_ref().is_none_or(|filter| passes(filter, sale))
}

/// First and last day that the tier looks back at; the calendar by hand.
fn back(plan: &Plan, schedule: &TierSchedule, period: Period) -> Option<(Date, Date)> {
    if schedule.window_days > 0 {
        return Some((period.end - i64::from(schedule.window_days - 1).days(), period.end));
    }
    let months = match plan.period {
        PeriodKind::Month => 1,
        PeriodKind::Quarter => 3,
        PeriodKind::Year => 12,
    };
    let first = match (schedule.measure, schedule.baseline) {
        (Measure::Growth, Baseline::PreviousPeriod) => period.start - months.months(),
        (Measure::Growth, Baseline::SamePeriodLastYear) => period.start - 12.months(),
        _ => return None,
    };
    Some((first, first + months.months() - 1.days()))
}

/// Basis points of each position of a chain, by running maxima instead of a walk.
fn positions(levels: &Levels, chain: &[ChainMember]) -> Vec<u32> {
    match levels {
        Levels::Fixed(rates) => (0..chain.len()).map(|i| rates.get(i).copied().unwrap_or(0)).collect(),
        Levels::Differential { grades, depth_max, same_level } => {
            let known: BTreeMap<_, _> = grades.iter().cloned().collect();
            let own: Vec<u32> = chain.iter().map(|m| known.get(&m.grade).copied().unwrap_or(0)).collect();
            let highest = |until: usize| own[..until].iter().copied().max().unwrap_or(0);
            let same = |i: usize| own[i] > 0 && own[i] == highest(i);
            (0..chain.len())
                .map(|i| match same_level {
                    _ if i >= *depth_max => 0,
                    SameLevel::Every(extra) if same(i) => *extra,
                    SameLevel::Once(extra) if same(i) && !(0..i).any(same) => *extra,
                    _ => highest(i + 1) - highest(i),
                })
                .collect()
        }
    }
}

/// What each member gets; members with nothing are left out.
pub fn amounts(plan: &Plan, day: Date, facts: &Facts) -> BTreeMap<String, i128> {
    let period = plan.period.around(day);
    let mut earned: BTreeMap<String, i128> = BTreeMap::new();
    let mut volumes: BTreeMap<String, Sold> = BTreeMap::new();
    let mut seen: Vec<&Sale> = Vec::new();
    let mut margin = 0;
    let looked_back = plan.tiers.as_ref().and_then(|schedule| back(plan, schedule, period));
    for sale in &facts.sales {
        if seen.contains(&sale) || !selects(plan, sale) {
            continue;
        }
        seen.push(sale);
        let on = sale.occurred_on;
        let in_plan = on >= plan.effective_from && plan.effective_until.is_none_or(|until| on <= until);
        let earns = period.start <= on && on <= period.end && in_plan;
        let mut returns: Vec<&SaleReturn> = Vec::new();
        for fact in facts.returns.iter().filter(|fact| fact.sale_event_id == sale.event_id) {
            let days = (fact.occurred_on - on).get_days();
            let late = plan.clawback_days > 0 && days > plan.clawback_days as i32;
            if !returns.contains(&fact) && !late && !plan.base.returns {
                returns.push(fact);
            }
        }
        let left = |of: i64, back: fn(&SaleReturn) -> i64| {
            i128::from(of) - returns.iter().map(|fact| i128::from(back(fact))).sum::<i128>()
        };
        let mut amount = left(sale.amount_minor, |f| f.amount_minor);
        if plan.base.tax {
            amount += left(sale.parts.tax_minor, |f| f.parts.tax_minor);
        }
        if plan.base.freight {
            amount += left(sale.parts.freight_minor, |f| f.parts.freight_minor);
        }
        if plan.base.discounts {
            amount += left(sale.parts.discount_minor, |f| f.parts.discount_minor);
        }
        let quantity = left(sale.quantity, |f| f.quantity);
        let seller = sale.chain[0].member_id.clone();
        let sold = volumes.entry(seller.clone()).or_default();
        if looked_back.is_some_and(|(first, last)| first <= on && on <= last) {
            sold.window_amount += amount;
            sold.window_quantity += quantity;
            sold.baseline += amount;
        }
        if !earns {
            continue;
        }
        sold.amount += amount;
        sold.quantity += quantity;
        let mix = plan.tiers.as_ref().and_then(|schedule| schedule.mix.as_ref());
        if mix.is_some_and(|mix| passes(mix, sale)) {
            sold.mix += amount;
        }
        margin += left(sale.parts.margin_minor, |f| f.parts.margin_minor);
        if let Some(schedule) = plan.tiers.as_ref().filter(|s| s.scope == TierScope::Sale) {
            let paid = facts.payments.iter().find(|payment| payment.sale_event_id == sale.event_id);
            let days_early =
                paid.zip(sale.due_on).map(|(paid, due)| i128::from((due - paid.occurred_on).get_days()));
            let sold = Sold { amount, quantity, days_early, ..Sold::default() };
            *earned.entry(seller).or_default() += tiered(schedule, &sold, plan.rounding);
        }
        if let Some(levels) = &plan.levels {
            let rates = positions(levels, &sale.chain);
            let quotas: Vec<_> = sale
                .chain
                .iter()
                .zip(&rates)
                .map(|(member, bp)| (member.member_id.clone(), share(*bp) * whole(amount)))
                .collect();
            let sum = share(rates.iter().sum()) * whole(amount);
            for ((member, _), part) in quotas.iter().zip(shared(rounded(&sum, plan.rounding), &quotas)) {
                *earned.entry(member.clone()).or_default() += part;
            }
        }
    }
    if let Some(schedule) = plan.tiers.as_ref().filter(|s| s.scope == TierScope::Period) {
        for (member, mut sold) in volumes {
            if let Baseline::Fixed(minor) = schedule.baseline {
                sold.baseline = minor.into();
            }
            *earned.entry(member).or_default() += tiered(schedule, &sold, plan.rounding);
        }
    }
    limited(plan, margin, earned)
}

/// The smallest payout, the cap of each member, and the lower cap of all.
fn limited(plan: &Plan, margin: i128, mut earned: BTreeMap<String, i128>) -> BTreeMap<String, i128> {
    for amount in earned.values_mut() {
        if *amount < plan.payout_min_minor.into() {
            *amount = 0;
        }
        *amount = plan.cap_member_minor.map_or(*amount, |cap| (*amount).min(cap.into()));
    }
    earned.retain(|_, amount| *amount != 0);
    let total: i128 = earned.values().sum();
    let by_margin = plan.cap_margin_bp.map(|bp| integer(&(share(bp) * whole(margin.max(0))).floor()));
    let caps = plan.cap_plan_minor.map(i128::from).into_iter().chain(by_margin);
    if let Some(cap) = caps.min().filter(|cap| total > *cap) {
        let part = |amount: i128| whole(cap) * whole(amount) / whole(total);
        let quotas: Vec<_> = earned.iter().map(|(id, amount)| (id.clone(), part(*amount))).collect();
        earned = earned.keys().cloned().zip(shared(cap, &quotas)).collect();
        earned.retain(|_, amount| *amount != 0);
    }
    earned
}
