//! Prints the figures of `docs/capabilities/rebate.md`:
//! `cargo run --release -p oaas-channel --no-default-features --example rebate`

use std::time::Duration;

use jiff::civil::{Date, date};
use oaas_channel::rebate::yaml::read;
use oaas_channel::rebate::{
    CalculateError, ChainMember, Detail, Fact, Facts, Incremental, Parts, Plan, Sale, SaleReturn, calculate,
};
use oaas_model::{Clock as _, SystemClock};

/// Sales of one calculation, and members that they are by.
const SALES: usize = 180_000;
const MEMBERS: usize = 10_000;
/// Times that each calculation is run; the median is printed.
const RUNS: usize = 7;
const DAY: Date = date(2026, 3, 15);

const HEAD: &str = "plan: p
title: p
currency: CNY
country: CN
paid to: companies
from: 2026-01-01
each: month
rounding: half up
";
const RETROACTIVE: &str = "tiers:
  by: amount
  over: the period
  rate on: everything
  steps: [{ from: 0, pays: 1 % }, { from: 10000.00, pays: 3 % }, { from: 50000.00, pays: 5 % }]
";
const MARGINAL_EACH: &str = "tiers:
  by: amount
  over: each sale
  rate on: each slice
  at least: 0.30
  steps: [{ from: 0, pays: 20 % }, { from: 250.00, pays: 5 % }]
";
const LEVELS: &str = "levels:
  by grade: { a: 2 %, b: 3 %, c: 4 %, d: 5 % }
  deep: 4
";
const LIMITS: &str = "sales: { only: \"quantity > 0 && (category == 'tools' || amount_minor >= 5000)\" }
limits: { smallest payout: 1.00, per member: 50000.00, per plan: 900000.00, share of margin: 30 % }
";

fn main() -> Result<(), CalculateError> {
    let plans = [
        ("retroactive over the period", [HEAD, RETROACTIVE].concat()),
        ("the same with filter, caps, margin", [HEAD, RETROACTIVE, LIMITS].concat()),
        ("marginal, each sale", [HEAD, MARGINAL_EACH].concat()),
        ("differential, chain of four", [HEAD, LEVELS].concat()),
    ];
    let facts = facts();
    println!("{} facts, {MEMBERS} members, one core", facts.count());
    for (name, source) in &plans {
        let Ok(draft) = read(source) else {
            println!("{name}: not a plan");
            continue;
        };
        settled(name, &draft.plan, &facts)?;
        one_by_one(name, &draft.plan, &facts)?;
    }
    Ok(())
}

/// Lines, which are amounts for a member from a sale or a period's sales, each second.
fn settled(name: &str, plan: &Plan, facts: &Facts) -> Result<(), CalculateError> {
    let clock = SystemClock::new();
    // A fact is a line; with a chain of four each sale is four.
    let lines = facts.count() + if plan.levels.is_some() { 3 * facts.sales.len() } else { 0 };
    for (what, detail) in [("amounts", Detail::Nobody), ("with ledger lines", Detail::Each(20))] {
        let (mut on_core, mut on_wall) = (Vec::with_capacity(RUNS), Vec::with_capacity(RUNS));
        let mut total = 0;
        for _ in 0..RUNS {
            let before = (core_time(), clock.now());
            let outcome = calculate(plan, DAY, facts, detail)?;
            on_core.push(core_time().saturating_sub(before.0));
            on_wall.push(clock.now().since(before.1));
            total = outcome.total;
        }
        let (core, wall) = (median(on_core), median(on_wall));
        let each_second = lines as f64 / core.as_secs_f64() / 1e6;
        println!(
            "{name:36} {what:18} {:>6.1} ms of a core ({:.1} ms on the wall)  {each_second:>5.2} M lines/s  \
             total {total}",
            ms(core),
            ms(wall)
        );
    }
    Ok(())
}

/// Time that this thread has been on a core, by Linux's scheduler: on a busy machine the wall's clock tells
/// how busy it is.
fn core_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
}

/// The time for one more fact.
fn one_by_one(name: &str, plan: &Plan, facts: &Facts) -> Result<(), CalculateError> {
    let clock = SystemClock::new();
    let mut state = Incremental::new(plan.clone(), DAY)?;
    let all = facts.sales.iter().cloned().map(Fact::Sale);
    let all: Vec<Fact> = all.chain(facts.returns.iter().cloned().map(Fact::Return)).collect();
    let mut times = Vec::with_capacity(all.len());
    let mut sum = 0;
    for fact in all {
        let before = clock.now();
        state.apply(fact)?;
        sum += state.total() & 1;
        times.push(clock.now().since(before));
    }
    times.sort_unstable();
    let at = |per_mille: usize| times.get(times.len() * per_mille / 1_000).copied().unwrap_or_default();
    println!(
        "{name:36} one more fact: P50 {:.2} µs, P99 {:.2} µs, P99.9 {:.2} µs ({} odd)",
        1e3 * ms(at(500)),
        1e3 * ms(at(990)),
        1e3 * ms(at(999)),
        sum
    );
    let whole = calculate(plan, DAY, facts, Detail::Nobody)?;
    assert_eq!(state.total(), whole.total, "incremental and recomputed");
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}

/// Sales of a month in no order, a tenth of them returned in part.
fn facts() -> Facts {
    let mut facts = Facts::default();
    // A linear congruential generator (Knuth, TAOCP 2, 3.3.4): the same facts on every machine.
    let mut state = 1u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for index in 0..SALES {
        let seller = next(MEMBERS as u64);
        let chain = [(seller, "a"), (seller / 10, "b"), (seller / 100, "c"), (seller / 1_000, "d")];
        let chain = chain.into_iter().enumerate().map(|(level, (number, grade))| ChainMember {
            member_id: format!("m{level}-{number}"),
            grade: grade.to_owned(),
        });
        let amount = i64::try_from(next(100_000)).unwrap_or_default();
        let day = i8::try_from(1 + next(31)).unwrap_or(1);
        let id = format!("order-{:08}", next(90_000_000) * 1_000_000 + index as u64);
        facts.sales.push(Sale {
            event_id: id.clone(),
            occurred_on: date(2026, 3, day),
            amount_minor: amount,
            quantity: 1,
            category: if next(2) == 0 { "tools" } else { "parts" }.to_owned(),
            chain: chain.collect(),
            chain_open: false,
            parts: Parts { margin_minor: amount / 4, ..Parts::default() },
            due_on: None,
            attributes: Default::default(),
        });
        if index % 10 == 0 {
            facts.returns.push(SaleReturn {
                event_id: format!("return-{index}"),
                sale_event_id: id,
                occurred_on: date(2026, 4, 2),
                amount_minor: amount / 2,
                quantity: 0,
                parts: Parts::default(),
            });
        }
    }
    facts
}
