//! Properties on random plans and facts, and the comparison with the oracle.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use proptest::prelude::*;

use super::super::*;
use super::{DAY, oracle, plan, sale_return};

/// Random cases of each property.
const CASES: u32 = 1_000;
/// Random plans and facts that are compared with the oracle.
const ORACLE_CASES: u32 = 10_000;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn any_rounding() -> impl Strategy<Value = Rounding> {
    prop::sample::select(vec![Rounding::HalfUp, Rounding::HalfEven, Rounding::Down, Rounding::Up])
}

pub(super) fn any_filter() -> impl Strategy<Value = Filter> {
    prop::sample::select(vec![
        "amount_minor > 1000",
        "grade != 'x'",
        "has(attributes.k) && attributes.k == 'v'",
        "quantity % 2 == 0 || category == 't'",
    ])
    .prop_map(|source| Filter::compile(source).unwrap())
}

/// Amount and quantity, in the period or in a rolling window.
fn counted_schedule() -> impl Strategy<Value = TierSchedule> {
    let tiers = prop::collection::btree_map(0i64..60_000, 0u32..4_000, 1..5);
    let window = prop_oneof![3 => Just(0u32), 1 => 1u32..80];
    (tiers, any::<(bool, bool, bool, bool, bool)>(), 0i64..200, window).prop_map(
        |(tiers, (by_quantity, per_unit, period, marginal, reached), floor_minor, window_days)| {
            let per_unit = by_quantity && (per_unit || marginal);
            let tiers = tiers.into_iter().map(|(threshold, rate)| Tier {
                threshold: if by_quantity { threshold / 3_000 } else { threshold },
                pay: if per_unit { Pay::PerUnit(rate.into()) } else { Pay::Rate(rate) },
            });
            let mut tiers: Vec<Tier> = tiers.collect();
            tiers.dedup_by_key(|tier| tier.threshold);
            TierSchedule {
                measure: if by_quantity { Measure::Quantity } else { Measure::Amount },
                threshold_rule: if reached { ThresholdRule::Reached } else { ThresholdRule::Exceeded },
                tiers,
                floor_minor,
                window_days: if period && !marginal { window_days } else { 0 },
                ..super::schedule(
                    if marginal { TierMode::Marginal } else { TierMode::Retroactive },
                    if period { TierScope::Period } else { TierScope::Sale },
                    &[],
                )
            }
        },
    )
}

/// Growth, mix and early payment.
fn measured_schedule() -> impl Strategy<Value = TierSchedule> {
    let tiers = prop::collection::btree_map(0i64..12_000, 0u32..4_000, 1..5);
    let baseline = prop_oneof![
        Just(Baseline::PreviousPeriod),
        Just(Baseline::SamePeriodLastYear),
        (1i64..60_000).prop_map(Baseline::Fixed),
    ];
    (tiers, 0usize..3, baseline, any_filter(), any::<(bool, bool)>(), 0i64..200).prop_map(
        |(tiers, kind, baseline, mix, (reached, part), floor_minor)| {
            let measure = [Measure::Growth, Measure::Mix, Measure::EarlyPayment][kind];
            let early = measure == Measure::EarlyPayment;
            let tiers = tiers.into_iter().map(|(threshold, rate)| Tier {
                threshold: if early { threshold / 600 } else { threshold },
                pay: Pay::Rate(rate),
            });
            let mut tiers: Vec<Tier> = tiers.collect();
            tiers.dedup_by_key(|tier| tier.threshold);
            TierSchedule {
                measure,
                threshold_rule: if reached { ThresholdRule::Reached } else { ThresholdRule::Exceeded },
                tiers,
                floor_minor,
                baseline: if measure == Measure::Growth { baseline } else { Baseline::PreviousPeriod },
                mix: (measure == Measure::Mix).then_some(mix),
                pays_on: if part && !early { PaysOn::Part } else { PaysOn::Everything },
                ..super::schedule(
                    TierMode::Retroactive,
                    if early { TierScope::Sale } else { TierScope::Period },
                    &[],
                )
            }
        },
    )
}

pub(super) fn any_schedule() -> impl Strategy<Value = TierSchedule> {
    prop_oneof![counted_schedule(), measured_schedule()]
}

fn any_levels() -> impl Strategy<Value = Levels> {
    let fixed = prop::collection::vec(0u32..600, 1..5).prop_map(Levels::Fixed);
    let same_level = prop_oneof![
        Just(SameLevel::None),
        (0u32..200).prop_map(SameLevel::Every),
        (0u32..200).prop_map(SameLevel::Once),
    ];
    let differential = ([0u32..2_000, 0u32..2_000, 0u32..2_000], 1usize..6, same_level).prop_map(
        |(rates, depth_max, same_level)| {
            let grades = ["x", "y", "z"].iter().zip(rates).map(|(grade, rate)| ((*grade).to_owned(), rate));
            Levels::Differential { grades: grades.collect(), depth_max, same_level }
        },
    );
    prop_oneof![fixed, differential]
}

pub(super) fn any_plan() -> impl Strategy<Value = Plan> {
    (
        prop::option::of(any_schedule()),
        any_levels(),
        any_rounding(),
        prop_oneof![Just(0i64), 0i64..2_000],
        (prop::option::of(2_000i64..20_000), prop::option::of(1i64..40_000), prop::option::of(0u32..9_000)),
        prop_oneof![Just(0u32), 1u32..40],
        any::<(bool, bool)>(),
        (prop::option::of(any_filter()), any::<(bool, bool, bool, bool)>()),
    )
        .prop_map(
            |(tiers, levels, rounding, least, caps, clawback_days, (only_t, quarter), (filter, base))| {
                let base = Base { tax: base.0, freight: base.1, discounts: base.2, returns: base.3 };
                Plan {
                    tiers,
                    levels: Some(levels),
                    rounding,
                    base,
                    filter,
                    period: if quarter { PeriodKind::Quarter } else { PeriodKind::Month },
                    payout_min_minor: least,
                    cap_member_minor: caps.0,
                    cap_plan_minor: caps.1,
                    cap_margin_bp: caps.2,
                    clawback_days: if base.returns { 0 } else { clawback_days },
                    categories: if only_t { vec!["t".to_owned()] } else { Vec::new() },
                    ..plan("CNY")
                }
            },
        )
}

fn any_chain() -> impl Strategy<Value = Vec<ChainMember>> {
    let ids = Just(vec!["a", "b", "c", "d", "e", "f"]).prop_shuffle();
    let grades = prop::collection::vec(prop::sample::select(vec!["", "x", "y", "z"]), 1..6);
    (ids, grades).prop_map(|(ids, grades)| {
        let member =
            |(id, grade): (&str, &str)| ChainMember { member_id: id.to_owned(), grade: grade.to_owned() };
        ids.into_iter().zip(grades).map(member).collect()
    })
}

/// Sales in and around the month, some of them a year ago, some with one or two returns or a payment.
pub(super) fn any_facts() -> impl Strategy<Value = Facts> {
    let amount = prop_oneof![Just(0i64), 1i64..200, 1i64..90_000];
    let day = prop_oneof![6 => -20i32..20, 2 => -60i32..-20, 2 => -380i32..-340];
    let returns = (0i64..=100, 0i64..=100, 0i32..60);
    let more = (any::<(bool, bool, bool)>(), -9_000i64..9_000, 0i64..500, -30i32..30);
    let one = (amount, 0i64..40, any_chain(), day, any::<bool>(), returns, more);
    prop::collection::vec(one, 0..9).prop_map(|drafts| {
        let mut facts = Facts::default();
        for (index, draft) in drafts.into_iter().enumerate() {
            let (amount, quantity, chain, day, t, (first, second, later), more) = draft;
            let ((attribute, due, paid), margin_minor, part, early) = more;
            let id = format!("s{index}");
            let occurred_on = DAY.checked_add(day.days()).unwrap();
            let due_on = due.then(|| occurred_on + 30.days());
            let parts =
                Parts { tax_minor: part, freight_minor: part / 2, discount_minor: part / 3, margin_minor };
            facts.sales.push(Sale {
                occurred_on,
                quantity,
                category: if t { "t".to_owned() } else { String::new() },
                chain,
                parts,
                due_on,
                attributes: if attribute {
                    [("k".to_owned(), if t { "v" } else { "w" }.to_owned())].into()
                } else {
                    BTreeMap::new()
                },
                ..super::sale(&id, amount, "x")
            });
            // At most half of the sale comes back each time, so that two returns never exceed it.
            for (name, percent, later) in [("r", first, later), ("q", second, later + 7)] {
                if percent % 3 == 0 {
                    let of = |minor: i64| minor * percent / 200;
                    facts.returns.push(SaleReturn {
                        occurred_on: occurred_on.checked_add(later.days()).unwrap(),
                        quantity: of(quantity),
                        parts: Parts {
                            tax_minor: of(parts.tax_minor),
                            freight_minor: of(parts.freight_minor),
                            discount_minor: of(parts.discount_minor),
                            margin_minor: of(margin_minor),
                        },
                        ..sale_return(&format!("{name}{index}"), &id, of(amount))
                    });
                }
            }
            if paid {
                facts.payments.push(Payment {
                    event_id: format!("p{index}"),
                    sale_event_id: id,
                    occurred_on: occurred_on + 30.days() - early.days(),
                });
            }
        }
        facts
    })
}

fn amounts(outcome: &Outcome) -> BTreeMap<String, i128> {
    let members = outcome.members.iter().filter(|(_, member)| member.amount != 0);
    members.map(|(id, member)| (id.clone(), member.amount)).collect()
}

fn run(plan: &Plan, facts: &Facts) -> Outcome {
    calculate(plan, DAY, facts, Detail::Everybody).unwrap()
}

proptest! {
    #![proptest_config(config(ORACLE_CASES))]

    #[test]
    fn the_engine_and_the_oracle_agree(plan in any_plan(), facts in any_facts()) {
        prop_assume!(plan.problems().is_empty());
        prop_assert_eq!(amounts(&run(&plan, &facts)), oracle::amounts(&plan, DAY, &facts));
    }
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn order_and_repetition_make_no_difference(
        plan in any_plan(),
        (facts, shuffled) in any_facts().prop_flat_map(|facts| {
            let sales = [facts.sales.clone(), facts.sales.clone()].concat();
            let returns = [facts.returns.clone(), facts.returns.clone()].concat();
            let payments = [facts.payments.clone(), facts.payments.clone()].concat();
            let shuffled =
                (Just(sales).prop_shuffle(), Just(returns).prop_shuffle(), Just(payments).prop_shuffle())
                    .prop_map(|(sales, returns, payments)| Facts { sales, returns, payments });
            (Just(facts), shuffled)
        }),
    ) {
        prop_assume!(plan.problems().is_empty());
        prop_assert_eq!(run(&plan, &facts), run(&plan, &shuffled));
        prop_assert_eq!(facts_digest(&facts), facts_digest(&shuffled));
    }

    /// However many lines are kept, the amounts are the same, and lines kept and left off are all lines.
    #[test]
    fn lines_that_are_not_kept_change_no_amount(plan in any_plan(), facts in any_facts(), most in 0usize..4) {
        prop_assume!(plan.problems().is_empty());
        let whole = run(&plan, &facts);
        let some = calculate(&plan, DAY, &facts, Detail::Each(most)).unwrap();
        let none = calculate(&plan, DAY, &facts, Detail::Nobody).unwrap();
        prop_assert_eq!((some.total, none.total), (whole.total, whole.total));
        prop_assert_eq!(amounts(&none), amounts(&whole));
        for (id, member) in &whole.members {
            let kept = &some.members[id];
            prop_assert_eq!(kept.amount, member.amount);
            prop_assert_eq!(kept.lines.len() + kept.lines_left_off, member.lines.len());
            prop_assert!(kept.lines.iter().filter(|line| line.pay.is_some()).count() <= most);
        }
    }

    #[test]
    fn what_is_wholly_reversed_leaves_nothing(plan in any_plan(), facts in any_facts()) {
        let base = Base { returns: false, ..plan.base };
        let plan = Plan { clawback_days: 0, base, ..plan };
        prop_assume!(plan.problems().is_empty());
        let mut returned = Facts { returns: Vec::new(), ..facts };
        for sale in &returned.sales {
            let back = sale_return(&format!("back-{}", sale.event_id), &sale.event_id, sale.amount_minor);
            let occurred_on = sale.occurred_on;
            let (quantity, parts) = (sale.quantity, sale.parts);
            returned.returns.push(SaleReturn { quantity, occurred_on, parts, ..back });
        }
        prop_assert!(amounts(&run(&plan, &returned)).is_empty());
    }

    #[test]
    fn parts_are_the_whole_and_caps_are_kept(plan in any_plan(), facts in any_facts()) {
        prop_assume!(plan.problems().is_empty());
        let outcome = run(&plan, &facts);
        for member in outcome.members.values() {
            prop_assert_eq!(member.lines.iter().map(|line| line.amount).sum::<i128>(), member.amount);
            prop_assert!(member.amount >= 0);
            prop_assert!(plan.cap_member_minor.is_none_or(|cap| member.amount <= cap.into()));
        }
        prop_assert_eq!(outcome.members.values().map(|member| member.amount).sum::<i128>(), outcome.total);
        prop_assert!(plan.cap_plan_minor.is_none_or(|cap| outcome.total <= cap.into()));
    }

    /// Over the chain of each sale: the sum of the shares is the sum of the rates on the base, rounded once.
    #[test]
    fn levels_conserve_the_sale(
        levels in any_levels(), chain in any_chain(), amount in 0i64..1_000_000, rule in any_rounding(),
    ) {
        let sale = Sale { chain, ..super::sale("s", amount, "a") };
        let net = NetSale {
            sale: &sale,
            amount_minor: amount,
            quantity: 1,
            margin_minor: 0,
            days_early: None,
        };
        let lines = levels.lines(&net, rule).unwrap();
        let rates = lines.iter().map(|(_, line)| if let Some(Pay::Rate(rate)) = line.pay { rate } else { 0 });
        let exact = Exact::share(amount.into(), rates.sum()).unwrap();
        prop_assert_eq!(lines.iter().map(|(_, line)| line.amount).sum::<i128>(), exact.rounded(rule));
        if let Levels::Differential { grades, depth_max, same_level: SameLevel::None } = &levels {
            let rate = |member: &ChainMember| {
                grades.iter().find(|(grade, _)| *grade == member.grade).map_or(0, |(_, rate)| *rate)
            };
            let top = sale.chain.iter().take(*depth_max).map(rate).max().unwrap_or(0);
            prop_assert_eq!(exact, Exact::share(amount.into(), top).unwrap());
        }
    }

    #[test]
    fn a_marginal_plan_never_pays_less_for_more(
        tiers in prop::collection::btree_map(0i64..60_000, 0u32..=10_000, 1..6),
        below in 0i128..90_000, more in 0i128..10_000, rule in any_rounding(),
    ) {
        let tiers: Vec<_> = tiers.into_iter().collect();
        let schedule = super::schedule(TierMode::Marginal, TierScope::Period, &tiers);
        let pays = |amount| {
            let volume = Volume { amount, quantity: 1, ..Volume::default() };
            let lines = schedule.lines(volume, None, rule).unwrap();
            let sum = lines.iter().map(|line| line.amount).sum::<i128>();
            assert_eq!(schedule.amount(volume, rule), Some(sum));
            sum
        };
        let step = pays(below + more) - pays(below);
        // Rates are at most the whole, so money never grows faster than sales; one unit is rounding.
        prop_assert!((0..=more + 1).contains(&step));
    }

    /// A ledger fed by accruals between batches holds what one calculation of all facts gives.
    #[test]
    fn the_ledger_replays_to_the_calculation(plan in any_plan(), facts in any_facts(), cut in 0usize..9) {
        prop_assume!(plan.problems().is_empty());
        let cut = cut.min(facts.sales.len());
        let early = Facts { sales: facts.sales[..cut].to_vec(), ..Facts::default() };
        let mut ledger: Vec<LedgerLine> = Vec::new();
        for batch in [&early, &facts, &facts] {
            let mut balances = BTreeMap::new();
            for line in &ledger {
                *balances.entry(line.entry.member_id.clone()).or_insert(0) += line.entry.amount_minor;
            }
            for change in differences(&balances, &run(&plan, batch)).unwrap() {
                let entry = Entry {
                    sequence: i64::try_from(ledger.len()).unwrap() + 1,
                    plan_id: "p".to_owned(),
                    plan_version: 1,
                    period_start: DAY.first_of_month(),
                    member_id: change.member_id,
                    amount_minor: change.amount_minor,
                    balance_minor: change.balance_minor,
                    posted_at_ms: 0,
                    facts: facts_digest(batch),
                    detail: None,
                };
                ledger.push(entry.seal(ledger.last().map_or(NO_HASH, |line| line.hash)));
            }
        }
        let mut replayed: BTreeMap<String, i128> = BTreeMap::new();
        for line in &ledger {
            *replayed.entry(line.entry.member_id.clone()).or_insert(0) += i128::from(line.entry.amount_minor);
            prop_assert_eq!(replayed[&line.entry.member_id], i128::from(line.entry.balance_minor));
        }
        replayed.retain(|_, amount| *amount != 0);
        prop_assert_eq!(replayed, amounts(&run(&plan, &facts)));
        prop_assert_eq!(first_broken(&ledger), None);
        if let Some(line) = ledger.first_mut() {
            line.entry.amount_minor += 1;
            prop_assert_eq!(first_broken(&ledger), Some(1));
        }
    }

    /// Fact by fact, in any order that has each sale before its returns, gives what all facts at once give.
    #[test]
    fn incremental_is_recomputed(
        plan in any_plan(), facts in any_facts(),
        order in prop::collection::vec(0usize..1_000, 40),
    ) {
        prop_assume!(plan.problems().is_empty());
        let mut waiting: Vec<Fact> = Vec::new();
        let mut later: Vec<Fact> = facts.returns.iter().cloned().map(Fact::Return).collect();
        later.extend(facts.payments.iter().cloned().map(Fact::Payment));
        waiting.extend(facts.sales.iter().cloned().map(Fact::Sale));
        let mut state = Incremental::new(plan.clone(), DAY).unwrap();
        let mut so_far = Facts::default();
        for place in order.into_iter().chain(std::iter::repeat(0)) {
            if waiting.is_empty() {
                break;
            }
            let fact = waiting.remove(place % waiting.len());
            match &fact {
                Fact::Sale(sale) => {
                    let id = &sale.event_id;
                    let of_it = |fact: &Fact| match fact {
                        Fact::Return(fact) => fact.sale_event_id == *id,
                        Fact::Payment(fact) => fact.sale_event_id == *id,
                        Fact::Sale(_) => false,
                    };
                    let (free, rest) = later.drain(..).partition(of_it);
                    later = rest;
                    let free: Vec<Fact> = free;
                    waiting.extend(free);
                    so_far.sales.push(sale.clone());
                }
                Fact::Return(fact) => so_far.returns.push(fact.clone()),
                Fact::Payment(fact) => so_far.payments.push(fact.clone()),
            }
            state.apply(fact.clone()).unwrap();
            prop_assert_eq!(state.apply(fact).unwrap(), []);
            let whole = run(&plan, &so_far);
            prop_assert_eq!(state.amounts().unwrap(), amounts(&whole));
            prop_assert_eq!(state.total(), whole.total);
        }
        prop_assert_eq!(so_far.count(), facts.count());
    }

    /// A sale keeps the chain of its day, however members move afterwards.
    #[test]
    fn a_move_changes_no_earlier_sale(
        steps in prop::collection::vec((0usize..6, 0usize..7, -40i32..40), 0..12),
        moved in (0usize..6, 0usize..7, -40i32..40),
    ) {
        let ids = ["a", "b", "c", "d", "e", "f", ""];
        let on = |days: i32| DAY.checked_add(days.days()).unwrap();
        let step = |(member, parent, days): (usize, usize, i32)| Move {
            member_id: ids[member].to_owned(),
            effective_on: on(days),
            parent_id: ids[parent].to_owned(),
            grade: String::new(),
        };
        let mut tree = Tree::default();
        for one in steps {
            let before = tree.clone();
            if tree.put(step(one)).is_err() {
                prop_assert_eq!(&tree, &before);
            }
        }
        let before = tree.clone();
        let _ = tree.put(step(moved));
        for id in &ids[..6] {
            for days in -45..45 {
                let chain = tree.chain(id, on(days));
                // No member stands above itself, ever.
                let mut seen: Vec<_> = chain.iter().map(|member| member.member_id.clone()).collect();
                seen.sort();
                seen.dedup();
                prop_assert_eq!(seen.len(), chain.len());
                if days < moved.2 {
                    prop_assert_eq!(chain, before.chain(id, on(days)));
                }
            }
        }
    }
}
