//! Accrual at the expected tier: how totals are arrived at, what is accrued at them, and that what was
//! expected makes no difference in the end.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::super::*;
use super::properties::{any_facts, any_plan};
use super::{DAY, facts, oracle, plan, sale, schedule};

/// 1 % below 1,000.00 in the month, 3 % from there, 5 % from 5,000.00; on everything or on each slice.
fn dealer(mode: TierMode, expectation: Expectation) -> Plan {
    let tiers = [(0, 100), (100_000, 300), (500_000, 500)];
    let tiers =
        TierSchedule { threshold_rule: ThresholdRule::Reached, ..schedule(mode, TierScope::Period, &tiers) };
    Plan { tiers: Some(tiers), expectation: Some(expectation), ..plan("CNY") }
}

fn each(total: i64) -> Expectation {
    Expectation { each: Some(total), ..Expectation::default() }
}

fn by(projection: Projection) -> Expectation {
    Expectation { projection: Some(projection), ..Expectation::default() }
}

fn on(id: &str, amount: i64, occurred_on: Date) -> Sale {
    Sale { occurred_on, ..sale(id, amount, "d") }
}

fn accrued(plan: &Plan, facts: &Facts, as_of: Date) -> Accrued {
    accrue(plan, DAY, facts, Some(as_of), Detail::Everybody).unwrap()
}

/// Expected total, amount.
fn of_d(plan: &Plan, facts: &Facts, as_of: Date) -> (Option<i128>, i128) {
    let accrued = accrued(plan, facts, as_of);
    let standing = &accrued.standings["d"];
    (standing.outlook.as_ref().map(|outlook| outlook.expected.total), accrued.outcome.members["d"].amount)
}

#[test]
fn what_is_stated_decides_the_rate_of_what_is_there() {
    let six_hundred = facts(vec![sale("a", 60_000, "d")]);
    let day = date(2026, 3, 20);
    for (mode, total, expected) in [
        // As reached it would be 6.00.
        (TierMode::Retroactive, 99_999, 600),
        (TierMode::Retroactive, 100_000, 1_800),
        (TierMode::Retroactive, 900_000, 3_000),
        // 10.00 on the first slice and 30.00 on the second of 2,000.00: 2 % on average.
        (TierMode::Marginal, 200_000, 1_200),
        // Less than is there: what is there counts.
        (TierMode::Retroactive, 5, 600),
        (TierMode::Marginal, 5, 600),
    ] {
        let plan = dealer(mode, each(total));
        let (foreseen, amount) = of_d(&plan, &six_hundred, day);
        assert_eq!((foreseen, amount), (Some(i128::from(total.max(60_000))), expected), "{mode:?} {total}");
    }
    // A member of its own goes before what holds for each; others stay as they are.
    let own = Expectation { members: [("d".to_owned(), 600_000)].into(), ..each(5) };
    assert_eq!(of_d(&dealer(TierMode::Retroactive, own), &six_hundred, day).1, 3_000);
    let other = Expectation { members: [("e".to_owned(), 600_000)].into(), ..Expectation::default() };
    assert_eq!(of_d(&dealer(TierMode::Retroactive, other), &six_hundred, day), (None, 600));
}

#[test]
fn a_quantity_is_expected_in_units() {
    let tiers = |pays: [Pay; 2]| {
        let [low, high] = pays;
        let tiers = vec![Tier { threshold: 0, pay: low }, Tier { threshold: 100, pay: high }];
        let mode = schedule(TierMode::Retroactive, TierScope::Period, &[]);
        Some(TierSchedule { measure: Measure::Quantity, tiers, ..mode })
    };
    let sold = facts(vec![Sale { quantity: 30, ..sale("a", 60_000, "d") }]);
    for (pays, expected) in
        [([Pay::PerUnit(10), Pay::PerUnit(25)], 750), ([Pay::Rate(100), Pay::Rate(200)], 1_200)]
    {
        let plan = Plan { tiers: tiers(pays), expectation: Some(each(120)), ..plan("CNY") };
        assert_eq!(of_d(&plan, &sold, DAY), (Some(120), expected));
    }
}

#[test]
fn the_run_rate_goes_by_the_days_gone() {
    let plan = dealer(TierMode::Retroactive, by(Projection::RunRate));
    let sales = facts(vec![on("a", 40_000, date(2026, 3, 2)), on("b", 20_000, date(2026, 3, 10))]);
    for (as_of, expected) in [
        // 600.00 in 10 of 31 days are 1,860.00 in the month: 3 % of 600.00.
        (date(2026, 3, 10), (Some(186_000), 1_800)),
        (date(2026, 3, 30), (Some(62_000), 600)),
        (date(2026, 3, 31), (Some(60_000), 600)),
        // 400.00 in 2 of 31 days; the sale of a later day is there all the same.
        (date(2026, 3, 2), (Some(620_000), 3_000)),
        // Before the period nothing can be projected, after it nothing is.
        (date(2026, 2, 28), (None, 600)),
        (date(2026, 4, 1), (None, 600)),
    ] {
        assert_eq!(of_d(&plan, &sales, as_of), expected, "{as_of}");
    }
    // A plan that begins within the period and ends before it: 15 days, of which 5 are gone.
    let short = Plan { effective_from: date(2026, 3, 6), effective_until: Some(date(2026, 3, 20)), ..plan };
    let sales = facts(vec![on("a", 20_000, date(2026, 3, 8)), on("b", 70_000, date(2026, 3, 5))]);
    assert_eq!(of_d(&short, &sales, date(2026, 3, 10)), (Some(60_000), 200));
    assert_eq!(of_d(&short, &sales, date(2026, 3, 21)), (None, 200));
}

#[test]
fn the_share_of_the_same_days_projects_a_season() {
    let now = on("now", 50_000, date(2026, 3, 5));
    let before = |year, month| {
        vec![on("x", 10_000, date(year, month, 4)), on("y", 30_000, date(year, month, 25)), now.clone()]
    };
    let as_of = date(2026, 3, 10);
    for (projection, year, month) in
        [(Projection::SamePeriodLastYear, 2025, 3), (Projection::PreviousPeriod, 2026, 2)]
    {
        let plan = dealer(TierMode::Retroactive, by(projection));
        let sales = facts(before(year, month));
        // A quarter of the earlier month had been sold by the tenth: 500.00 are a quarter of 2,000.00.
        assert_eq!(of_d(&plan, &sales, as_of), (Some(200_000), 1_500));
        let standing = &accrued(&plan, &sales, as_of).standings["d"];
        let words = explain_standing(&plan, standing).unwrap();
        let days = PeriodKind::Month.around(date(year, month, 1));
        assert_eq!(
            words.en,
            format!(
                "500.00 CNY so far; the same days had 100.00 CNY of the 400.00 CNY from {} to {}, which \
                 projects to 2000.00 CNY; tier reached: from 0.00 CNY at 1.00 %; tier expected: from \
                 1000.00 CNY at 3.00 %",
                days.start, days.end
            )
        );
        assert!(words.zh.contains("推算为 2000.00 CNY；已达档位：0.00 CNY 起，1.00 %"), "{words:?}");
        // The other month is no history, and so is one with nothing on these days: by run rate.
        let other = if month == 3 { before(2026, 2) } else { before(2025, 3) };
        assert_eq!(of_d(&plan, &facts(other), as_of), (Some(155_000), 1_500));
        let late = facts(vec![on("y", 30_000, date(year, month, 25)), now.clone()]);
        assert_eq!(of_d(&plan, &late, as_of), (Some(155_000), 1_500));
    }
    // The whole of a longer month is compared with the whole of a shorter one, and a plan that ends on the
    // 20th with the other month's first 20 days.
    let plan = dealer(TierMode::Retroactive, by(Projection::PreviousPeriod));
    let months = [("x", 10_000, 1, 5), ("y", 30_000, 1, 30), ("now", 50_000, 2, 5)];
    let months =
        facts(months.map(|(id, amount, month, day)| on(id, amount, date(2026, month, day))).to_vec());
    for (effective_until, expected) in [(None, 200_000), (Some(date(2026, 2, 20)), 50_000)] {
        let plan = Plan { effective_until, ..plan.clone() };
        let february =
            accrue(&plan, date(2026, 2, 1), &months, Some(date(2026, 2, 10)), Detail::Nobody).unwrap();
        assert_eq!(february.standings["d"].outlook.as_ref().unwrap().expected.total, expected);
    }
    // The calculation looks at nothing of this.
    let plan = dealer(TierMode::Retroactive, by(Projection::SamePeriodLastYear));
    let calculated = calculate(&plan, DAY, &facts(before(2025, 3)), Detail::Nobody).unwrap();
    assert_eq!((calculated.total, calculated.sales_left_out), (500, 2));
}

#[test]
fn the_constraint_holds_an_expectation_down() {
    let sales = facts(vec![on("a", 60_000, date(2026, 3, 2))]);
    let as_of = date(2026, 3, 3);
    // 600.00 in 3 of 31 days are 6,200.00.
    let run_rate = by(Projection::RunRate);
    let of = |expectation| of_d(&dealer(TierMode::Retroactive, expectation), &sales, as_of);
    assert_eq!(of(run_rate.clone()), (Some(620_000), 3_000));
    assert_eq!(of(Expectation { less_bp: 5_000, ..run_rate.clone() }), (Some(340_000), 1_800));
    assert_eq!(of(Expectation { less_bp: 10_000, ..run_rate.clone() }), (Some(60_000), 600));
    // One tier up ends a fen below 5,000.00; of two there is no next.
    assert_eq!(of(Expectation { tiers_up: Some(1), ..run_rate.clone() }), (Some(499_999), 1_800));
    assert_eq!(of(Expectation { tiers_up: Some(2), ..run_rate.clone() }), (Some(620_000), 3_000));
    let held = dealer(TierMode::Marginal, Expectation { tiers_up: Some(1), ..run_rate });
    // Marginal tiers end at the threshold: 10.00 + 120.00 on 5,000.00, of which 600.00 earn 15.60.
    assert_eq!(of_d(&held, &sales, as_of), (Some(500_000), 1_560));
    let words = explain_standing(&held, &accrued(&held, &sales, as_of).standings["d"]).unwrap();
    assert!(
        words
            .en
            .contains("projects to 6200.00 CNY; held to 1 tier above the one that is reached: 5000.00 CNY")
    );
    assert!(words.zh.contains("以现达档位之上 1 档为限：5000.00 CNY"));
}

#[test]
fn limits_are_those_of_the_whole_period_and_spread_too() {
    let sales = facts(vec![sale("a", 60_000, "d")]);
    // 3 % of 2,000.00 expected are 60.00; 600.00 of it are three tenths.
    let base = dealer(TierMode::Retroactive, each(200_000));
    for (plan, expected, kinds) in [
        (base.clone(), 1_800, 1),
        (Plan { cap_member_minor: Some(4_000), ..base.clone() }, 1_200, 2),
        (Plan { cap_plan_minor: Some(3_000), ..base.clone() }, 900, 2),
        // It would be under the smallest payout as reached, and is not as expected.
        (Plan { payout_min_minor: 6_000, ..base.clone() }, 1_800, 1),
        (Plan { payout_min_minor: 6_001, ..base.clone() }, 0, 2),
        // No margin, so nothing of it.
        (Plan { cap_margin_bp: Some(5_000), ..base.clone() }, 0, 2),
    ] {
        let accrued = accrued(&plan, &sales, DAY);
        let member = &accrued.outcome.members["d"];
        assert_eq!((member.amount, member.lines.len()), (expected, kinds), "{plan:?}");
        assert_eq!(member.lines.iter().map(|line| line.amount).sum::<i128>(), member.amount);
    }
    let mut profitable = sales.clone();
    profitable.sales[0].parts.margin_minor = 3_000;
    // A margin of 30.00 so far is one of 100.00 in the end, half of which is 50.00 of the 60.00.
    let by_margin = Plan { cap_margin_bp: Some(5_000), ..base.clone() };
    assert_eq!(accrued(&by_margin, &profitable, DAY).outcome.total, 1_500);
    // A floor of 100.00 in the end is spread as well.
    let mut floor = base;
    floor.tiers.as_mut().unwrap().floor_minor = 10_000;
    let outcome = accrued(&floor, &sales, DAY).outcome;
    assert_eq!(outcome.total, 3_000);
    let line = explain(&floor, &outcome.members["d"].lines[0]);
    assert!(line.en.ends_with("100.00 CNY × 600.00 CNY ÷ 2000.00 CNY = 30.00 CNY"), "{line:?}");
    assert!(line.zh.contains("按比例计"), "{line:?}");
}

#[test]
fn levels_are_earned_as_they_are_and_grow_with_the_sales_for_the_caps() {
    let plan = Plan {
        levels: Some(Levels::Fixed(vec![0, 200])),
        cap_plan_minor: Some(5_000),
        ..dealer(TierMode::Retroactive, each(200_000))
    };
    let accrued = accrued(&plan, &facts(vec![sale("a", 60_000, "d u")]), DAY);
    // In the end 60.00 for d and 40.00 for u, half of which the cap leaves: 9.00 of 18.00, 6.00 of 12.00.
    let paid: Vec<_> = accrued.outcome.members.iter().map(|(id, m)| (id.as_str(), m.amount)).collect();
    assert_eq!(paid, [("d", 900), ("u", 600)]);
    assert_eq!(accrued.standings.len(), 1);
}

#[test]
fn an_expectation_without_a_meaning_is_named() {
    let good = dealer(TierMode::Retroactive, each(5));
    assert_eq!(good.problems(), []);
    let of = |expectation| Plan { expectation: Some(expectation), ..good.clone() };
    let tiers = |change: fn(&mut TierSchedule)| {
        let mut plan = good.clone();
        change(plan.tiers.as_mut().unwrap());
        plan
    };
    let stated = |id: &str, total| [(id.to_owned(), total)].into();
    for (plan, field, part) in [
        (of(Expectation::default()), "expectation", "expects nothing"),
        (
            of(Expectation { each: Some(5), ..by(Projection::RunRate) }),
            "expectation.each_total",
            "projection",
        ),
        (of(Expectation { less_bp: 5, ..each(5) }), "expectation.less_bp", "none is named"),
        (of(Expectation { less_bp: 10_001, ..by(Projection::RunRate) }), "expectation.less_bp", "must be"),
        (of(each(0)), "expectation.each_total", "must be 1"),
        (of(Expectation { members: stated("d", -1), ..each(5) }), "expectation.members.d", "must be 1"),
        (of(Expectation { tiers_up: Some(51), ..each(5) }), "expectation.tiers_up", "must be 1 to 50"),
        (tiers(|t| t.scope = TierScope::Sale), "expectation", "each sale decides"),
        (tiers(|t| t.window_days = 90), "expectation", "rolling window"),
        (tiers(|t| t.measure = Measure::Growth), "expectation", "accrued as reached"),
        (
            Plan { tiers: None, levels: Some(Levels::Fixed(vec![100])), ..good.clone() },
            "expectation",
            "levels have no tier",
        ),
    ] {
        let problems = plan.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].field, field);
        assert!(problems[0].text.en.contains(part), "{problems:?}");
        assert!(!problems[0].text.zh.is_ascii(), "{problems:?}");
    }
    let many = (0..=STATED_MAX).map(|i| (format!("m{i}"), 1)).collect();
    assert_eq!(of(Expectation { members: many, ..each(5) }).problems()[0].field, "expectation.members");
}

#[test]
fn a_true_up_is_what_earlier_sales_gain_by_what_is_expected_now() {
    let standing = |plan: &Plan, amount: i64| {
        let accrued = accrued(plan, &facts(vec![sale("a", amount, "d")]), DAY);
        accrued.standings["d"].clone()
    };
    let before = |standing: &Standing| Before {
        tier: standing.tier,
        so_far: standing.so_far.try_into().unwrap(),
        accrued: standing.accrued.try_into().unwrap(),
        expected: standing
            .outlook
            .as_ref()
            .map(|outlook| (outlook.expected.total.try_into().unwrap(), outlook.whole.try_into().unwrap())),
    };
    for mode in [TierMode::Retroactive, TierMode::Marginal] {
        let [low, high] = [50_000, 200_000].map(|total| dealer(mode, each(total)));
        let reached = Plan { expectation: None, ..low.clone() };
        let first = before(&standing(&low, 40_000));
        // 400.00 had earned 4.00, and earn 12.00, or 2 % on average, by the higher total.
        let gained = if mode == TierMode::Retroactive { 800 } else { 400 };
        assert_eq!(first.true_up(&high, Some(&standing(&high, 70_000))), gained);
        assert_eq!(
            before(&standing(&reached, 40_000)).true_up(&high, Some(&standing(&high, 70_000))),
            gained
        );
        // The same expectation moves nothing, and neither does a member who is gone.
        assert_eq!(before(&standing(&high, 40_000)).true_up(&high, Some(&standing(&high, 70_000))), 0);
        assert_eq!(first.true_up(&high, None), 0);
        // It came to less in the end: what earlier sales had earned too much.
        let high = before(&standing(&high, 40_000));
        assert_eq!(high.true_up(&reached, Some(&standing(&reached, 70_000))), -gained);
    }
    // Lines of before that was kept know the tier only.
    let old = Before {
        so_far: 0,
        accrued: 0,
        ..before(&standing(&dealer(TierMode::Retroactive, each(5)), 40_000))
    };
    let old = Before { expected: None, ..old };
    let high = dealer(TierMode::Retroactive, each(200_000));
    assert_eq!(old.true_up(&high, Some(&standing(&high, 70_000))), 800);
}

pub(super) fn any_expectation() -> impl Strategy<Value = Expectation> {
    let projection = prop::option::of(prop::sample::select(vec![
        Projection::RunRate,
        Projection::PreviousPeriod,
        Projection::SamePeriodLastYear,
    ]));
    let members = prop::collection::btree_map(
        prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned),
        1i64..200_000,
        0..3,
    );
    (projection, prop_oneof![Just(0u32), 0u32..=10_000], 1i64..200_000, members, prop::option::of(1u32..4))
        .prop_map(|(projection, less_bp, total, members, tiers_up)| Expectation {
            projection,
            less_bp: if projection.is_some() { less_bp } else { 0 },
            each: projection.is_none().then_some(total),
            members,
            tiers_up,
        })
}

/// Random plans of which something may be expected.
fn any_expecting() -> impl Strategy<Value = Plan> {
    (any_plan(), any_expectation()).prop_filter_map("has no total to expect", |(plan, expectation)| {
        let mut plan = Plan { expectation: Some(expectation), ..plan };
        let tiers = plan.tiers.as_mut()?;
        if !matches!(tiers.measure, Measure::Amount | Measure::Quantity) {
            return None;
        }
        tiers.scope = TierScope::Period;
        tiers.window_days = 0;
        plan.problems().is_empty().then_some(plan)
    })
}

fn amounts(outcome: &Outcome) -> BTreeMap<String, i64> {
    let members = outcome.members.iter().filter(|(_, member)| member.amount != 0);
    members.map(|(id, member)| (id.clone(), i64::try_from(member.amount).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The share of the whole is that of a second implementation in big rationals.
    #[test]
    fn the_share_and_the_oracle_agree(
        plan in any_expecting(), amount in 1i64..90_000, quantity in 1i64..40, total in 1i64..200_000,
    ) {
        let plan = Plan { expectation: Some(each(total)), filter: None, categories: Vec::new(), ..plan };
        let plan = Plan { base: Base::default(), levels: None, ..plan };
        prop_assume!(plan.problems().is_empty());
        let sold = facts(vec![Sale { quantity, ..sale("a", amount, "d") }]);
        let accrued = accrue(&plan, DAY, &sold, Some(DAY), Detail::Nobody).unwrap();
        let (standing, schedule) = (&accrued.standings["d"], plan.tiers.as_ref().unwrap());
        let expected = standing.outlook.as_ref().unwrap().expected.total;
        prop_assert_eq!(expected, i128::from(total).max(standing.so_far));
        let oracle = oracle::spread(schedule, amount.into(), quantity.into(), expected, plan.rounding);
        prop_assert_eq!(standing.accrued, oracle);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Accruals on any days, with any expectations, add up to the last one; and after the period the ledger
    /// holds what the calculation says, whatever was expected before.
    #[test]
    fn what_was_expected_makes_no_difference_in_the_end(
        plan in any_expecting(), others in prop::collection::vec(any_expectation(), 3),
        facts in any_facts(), cut in 0usize..9, days in prop::collection::vec(-3i32..34, 4),
    ) {
        let cut = cut.min(facts.sales.len());
        let early = Facts { sales: facts.sales[..cut].to_vec(), ..Facts::default() };
        let mut ledger: BTreeMap<String, i64> = BTreeMap::new();
        let mut expectations = vec![plan.expectation.clone()];
        expectations.extend(others.into_iter().map(Some));
        let first = DAY.first_of_month();
        for (step, (expectation, days)) in expectations.into_iter().zip(days).enumerate() {
            let plan = Plan { expectation, ..plan.clone() };
            prop_assume!(plan.problems().is_empty());
            let batch = if step < 2 { &early } else { &facts };
            let as_of = first.checked_add(jiff::Span::new().days(days)).unwrap();
            let accrued = accrue(&plan, DAY, batch, Some(as_of), Detail::Each(REASON_LINES_MAX)).unwrap();
            for change in differences(&ledger, &accrued.outcome).unwrap() {
                *ledger.entry(change.member_id).or_insert(0) += change.amount_minor;
            }
            ledger.retain(|_, amount| *amount != 0);
            prop_assert_eq!(&ledger, &amounts(&accrued.outcome));
        }
        for as_of in [None, Some(plan.period.around(DAY).end.tomorrow().unwrap())] {
            let last = accrue(&plan, DAY, &facts, as_of, Detail::Everybody).unwrap();
            let calculated = calculate(&plan, DAY, &facts, Detail::Everybody).unwrap();
            prop_assert_eq!(&last.outcome, &calculated);
            for change in differences(&ledger, &last.outcome).unwrap() {
                *ledger.entry(change.member_id).or_insert(0) += change.amount_minor;
            }
            ledger.retain(|_, amount| *amount != 0);
            prop_assert_eq!(&ledger, &amounts(&calculated));
        }
    }

    /// The lines are the amount, nobody is accrued less than nothing, no cap is passed, an expected total is
    /// never less than what is there, and no tier is expected higher than the plan allows.
    #[test]
    fn an_accrual_keeps_the_plans_limits(
        plan in any_expecting(), facts in any_facts(), days in -3i32..34, most in 0usize..4,
    ) {
        let as_of = DAY.first_of_month().checked_add(jiff::Span::new().days(days)).unwrap();
        let accrued = accrue(&plan, DAY, &facts, Some(as_of), Detail::Everybody).unwrap();
        for member in accrued.outcome.members.values() {
            prop_assert_eq!(member.lines.iter().map(|line| line.amount).sum::<i128>(), member.amount);
            prop_assert!(member.amount >= 0);
            prop_assert!(plan.cap_member_minor.is_none_or(|cap| member.amount <= cap.into()));
        }
        prop_assert!(plan.cap_plan_minor.is_none_or(|cap| accrued.outcome.total <= cap.into()));
        let tiers = &plan.tiers.as_ref().unwrap().tiers;
        let place = |tier: Option<TierReached>| {
            tier.map_or(0, |tier| tiers.iter().position(|t| t.threshold == tier.threshold).unwrap() + 1)
        };
        let up = plan.expectation.as_ref().unwrap().tiers_up;
        for standing in accrued.standings.values() {
            let Some(Outlook { expected, tier, whole }) = &standing.outlook else { continue };
            prop_assert!(expected.total >= standing.so_far && *whole >= standing.accrued);
            prop_assert!(place(*tier) >= place(standing.tier));
            prop_assert!(up.is_none_or(|up| place(*tier) <= place(standing.tier) + up as usize));
        }
        for detail in [Detail::Nobody, Detail::Each(most)] {
            let same = accrue(&plan, DAY, &facts, Some(as_of), detail).unwrap();
            prop_assert_eq!(amounts(&same.outcome), amounts(&accrued.outcome));
            prop_assert_eq!(&same.standings, &accrued.standings);
        }
    }

    /// Order, batches and repetition make no difference; and when no more is expected than is there, the
    /// accrual is the calculation.
    #[test]
    fn nothing_more_expected_is_as_reached(
        plan in any_expecting(),
        (facts, shuffled) in any_facts().prop_flat_map(|facts| {
            let sales = [facts.sales.clone(), facts.sales.clone()].concat();
            let returns = [facts.returns.clone(), facts.returns.clone()].concat();
            let shuffled = (Just(sales).prop_shuffle(), Just(returns).prop_shuffle(), Just(facts.payments.clone()))
                .prop_map(|(sales, returns, payments)| Facts { sales, returns, payments });
            (Just(facts), shuffled)
        }),
        days in -3i32..34,
    ) {
        let as_of = DAY.first_of_month().checked_add(jiff::Span::new().days(days)).unwrap();
        let whole = accrue(&plan, DAY, &facts, Some(as_of), Detail::Everybody).unwrap();
        prop_assert_eq!(whole, accrue(&plan, DAY, &shuffled, Some(as_of), Detail::Everybody).unwrap());
        let modest = Plan { expectation: Some(each(1)), ..plan };
        let accrued = accrue(&modest, DAY, &facts, Some(as_of), Detail::Nobody).unwrap();
        let calculated = calculate(&modest, DAY, &facts, Detail::Nobody).unwrap();
        prop_assert_eq!(amounts(&accrued.outcome), amounts(&calculated));
    }
}
