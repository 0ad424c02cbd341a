//! The engine again, slow and by other formulas, in big rationals: what it must agree with.

use std::collections::BTreeMap;

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

/// A schedule's rounded amount. Marginal: each tier adds the step of its rate on all that is above it.
fn tiered(schedule: &TierSchedule, amount: i128, quantity: i128, rule: Rounding) -> i128 {
    let measure = if schedule.measure == Measure::Amount { amount } else { quantity };
    let reached = |tier: &Tier| {
        let threshold = i128::from(tier.threshold);
        match (schedule.mode, schedule.threshold_rule) {
            (TierMode::Retroactive, ThresholdRule::Reached) => measure >= threshold,
            _ => measure > threshold,
        }
    };
    let worth = |pay: Pay| match pay {
        Pay::Rate(bp) => share(bp),
        Pay::PerUnit(minor) => whole(minor.into()),
    };
    if measure == 0 || !schedule.tiers.iter().any(reached) {
        return 0;
    }
    let mut exact = BigRational::zero();
    match schedule.mode {
        TierMode::Marginal => {
            let mut before = BigRational::zero();
            for tier in schedule.tiers.iter().filter(|tier| reached(tier)) {
                exact += (worth(tier.pay) - &before) * whole(measure - i128::from(tier.threshold));
                before = worth(tier.pay);
            }
        }
        TierMode::Retroactive => {
            let top = schedule.tiers.iter().rfind(|tier| reached(tier)).unwrap();
            let base = if matches!(top.pay, Pay::Rate(_)) { amount } else { quantity };
            exact = worth(top.pay) * whole(base);
        }
    }
    rounded(&exact, rule).max(schedule.floor_minor.into())
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
pub fn amounts(plan: &Plan, day: jiff::civil::Date, facts: &Facts) -> BTreeMap<String, i128> {
    let period = plan.period.around(day);
    let mut earned: BTreeMap<String, i128> = BTreeMap::new();
    let mut volumes: BTreeMap<String, (i128, i128)> = BTreeMap::new();
    let mut seen: Vec<&Sale> = Vec::new();
    for sale in &facts.sales {
        if seen.contains(&sale)
            || !period.holds(sale.occurred_on)
            || !plan.counts(sale.occurred_on, &sale.category)
        {
            continue;
        }
        seen.push(sale);
        let mut returns: Vec<&SaleReturn> = Vec::new();
        for fact in facts.returns.iter().filter(|fact| fact.sale_event_id == sale.event_id) {
            let days = (fact.occurred_on - sale.occurred_on).get_days();
            if !returns.contains(&fact) && (plan.clawback_days == 0 || days <= plan.clawback_days as i32) {
                returns.push(fact);
            }
        }
        let amount = i128::from(sale.amount_minor - returns.iter().map(|f| f.amount_minor).sum::<i64>());
        let quantity = i128::from(sale.quantity - returns.iter().map(|f| f.quantity).sum::<i64>());
        let seller = sale.chain[0].member_id.clone();
        let volume = volumes.entry(seller.clone()).or_default();
        *volume = (volume.0 + amount, volume.1 + quantity);
        if let Some(schedule) = plan.tiers.as_ref().filter(|s| s.scope == TierScope::Sale) {
            *earned.entry(seller).or_default() += tiered(schedule, amount, quantity, plan.rounding);
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
        for (member, (amount, quantity)) in volumes {
            *earned.entry(member).or_default() += tiered(schedule, amount, quantity, plan.rounding);
        }
    }
    for amount in earned.values_mut() {
        if *amount < plan.payout_min_minor.into() {
            *amount = 0;
        }
        *amount = plan.cap_member_minor.map_or(*amount, |cap| (*amount).min(cap.into()));
    }
    earned.retain(|_, amount| *amount != 0);
    let total: i128 = earned.values().sum();
    if let Some(cap) = plan.cap_plan_minor.map(i128::from).filter(|cap| total > *cap) {
        let part = |amount: i128| whole(cap) * whole(amount) / whole(total);
        let quotas: Vec<_> = earned.iter().map(|(id, amount)| (id.clone(), part(*amount))).collect();
        earned = earned.keys().cloned().zip(shared(cap, &quotas)).collect();
        earned.retain(|_, amount| *amount != 0);
    }
    earned
}
