//! Published figures, the law, claw-back and the words; properties, the oracle and the service stand beside.

mod expectation;
#[cfg(feature = "grpc")]
mod expecting;
mod grammar;
mod ledger;
mod oracle;
mod properties;
#[cfg(feature = "grpc")]
mod service;
#[cfg(feature = "grpc")]
mod settling;
mod yaml;

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use oaas_model::Currency;

use super::law::{self, Severity};
use super::*;

pub(super) const DAY: Date = date(2026, 3, 15);

/// A plan between companies that pays nothing yet.
pub(super) fn plan(currency: &str) -> Plan {
    Plan {
        plan_id: "p".to_owned(),
        currency: Currency::parse(currency).unwrap(),
        jurisdiction: "CN".to_owned(),
        payee: PayeeKind::Company,
        basis: Basis::Sales,
        participation: Participation::default(),
        effective_from: date(2026, 1, 1),
        effective_until: None,
        period: PeriodKind::Month,
        rounding: Rounding::HalfUp,
        base: Base::default(),
        categories: Vec::new(),
        filter: None,
        tiers: None,
        expectation: None,
        levels: None,
        payout_min_minor: 0,
        cap_member_minor: None,
        cap_plan_minor: None,
        cap_margin_bp: None,
        clawback_days: 0,
        payout: Payout::default(),
    }
}

pub(super) fn schedule(mode: TierMode, scope: TierScope, tiers: &[(i64, u32)]) -> TierSchedule {
    TierSchedule {
        measure: Measure::Amount,
        scope,
        mode,
        threshold_rule: ThresholdRule::Exceeded,
        tiers: tiers.iter().map(|&(threshold, rate)| Tier { threshold, pay: Pay::Rate(rate) }).collect(),
        floor_minor: 0,
        window_days: 0,
        baseline: Baseline::PreviousPeriod,
        mix: None,
        pays_on: PaysOn::Everything,
    }
}

/// A sale by `chain`, written "seller:grade upline:grade".
pub(super) fn sale(event_id: &str, amount_minor: i64, chain: &str) -> Sale {
    let member = |text: &str| {
        let (member_id, grade) = text.split_once(':').unwrap_or((text, ""));
        ChainMember { member_id: member_id.to_owned(), grade: grade.to_owned() }
    };
    Sale {
        event_id: event_id.to_owned(),
        occurred_on: DAY,
        amount_minor,
        quantity: 1,
        category: String::new(),
        chain: chain.split(' ').map(member).collect(),
        chain_open: false,
        parts: Parts::default(),
        due_on: None,
        attributes: BTreeMap::new(),
    }
}

pub(super) fn sale_return(event_id: &str, sale_event_id: &str, amount_minor: i64) -> SaleReturn {
    SaleReturn {
        event_id: event_id.to_owned(),
        sale_event_id: sale_event_id.to_owned(),
        occurred_on: date(2026, 4, 2),
        amount_minor,
        quantity: 0,
        parts: Parts::default(),
    }
}

pub(super) fn facts(sales: Vec<Sale>) -> Facts {
    Facts { sales, ..Facts::default() }
}

fn paid(plan: &Plan, facts: &Facts) -> Vec<(String, i128)> {
    let outcome = calculate(plan, DAY, facts, Detail::Everybody).unwrap();
    outcome.members.into_iter().map(|(id, member)| (id, member.amount)).collect()
}

fn total(plan: &Plan, facts: &Facts) -> i128 {
    calculate(plan, DAY, facts, Detail::Nobody).unwrap().total
}

/// Amazon's referral fees of 2024–2026 as sellers publish them (blackfox.io, amz.how, sellervault.io).
mod amazon_referral_fees {
    use super::*;

    /// Jewellery: 20 % up to USD 250.00 and 5 % above, each on its part; at least USD 0.30.
    #[test]
    fn jewellery_is_marginal() {
        let tiers = schedule(TierMode::Marginal, TierScope::Sale, &[(0, 2_000), (25_000, 500)]);
        let plan = Plan { tiers: Some(TierSchedule { floor_minor: 30, ..tiers }), ..plan("USD") };
        for (price, fee) in
            [(30_000, 5_250), (25_000, 5_000), (25_010, 5_001), (100, 30), (150, 30), (151, 30), (0, 0)]
        {
            assert_eq!(total(&plan, &facts(vec![sale("s", price, "amazon")])), fee, "{price}");
        }
        // A floor that the rates reach themselves is not a line.
        let kinds = |price| {
            let outcome = calculate(&plan, DAY, &facts(vec![sale("s", price, "amazon")]), Detail::Everybody);
            outcome.unwrap().members["amazon"].lines.len()
        };
        assert_eq!((kinds(147), kinds(150)), (2, 1));
    }

    /// Grocery: 8 % when the whole is USD 15.00 or less, otherwise 15 % on all of it.
    #[test]
    fn grocery_is_retroactive_with_a_cliff() {
        let tiers = schedule(TierMode::Retroactive, TierScope::Sale, &[(0, 800), (1_500, 1_500)]);
        let plan = Plan { tiers: Some(tiers.clone()), ..plan("USD") };
        for (price, fee) in [(1_500, 120), (1_501, 225), (1_000, 80)] {
            assert_eq!(total(&plan, &facts(vec![sale("s", price, "amazon")])), fee, "{price}");
        }
        let cliffs = tiers.cliffs();
        assert_eq!(cliffs.len(), 1);
        assert_eq!((cliffs[0].threshold, cliffs[0].jump), (1_500, Exact::share(1_500, 700)));
    }
}

#[test]
fn the_four_modes_of_agreement_rebate() {
    // Two sales of 600 and 900 by one dealer; tiers of 1 % to 1,000 and 3 % from there.
    let sales = || facts(vec![sale("a", 60_000, "d"), sale("b", 90_000, "d")]);
    let tiers = [(0, 100), (100_000, 300)];
    let of =
        |mode, scope, tiers: &[(i64, u32)]| Plan { tiers: Some(schedule(mode, scope, tiers)), ..plan("CNY") };
    let global = of(TierMode::Retroactive, TierScope::Period, &[(0, 100)]);
    assert_eq!(total(&global, &sales()), 1_500);
    let line = of(TierMode::Retroactive, TierScope::Sale, &tiers);
    assert_eq!(total(&line, &sales()), 600 + 900);
    let section_total = of(TierMode::Retroactive, TierScope::Period, &tiers);
    assert_eq!(total(&section_total, &sales()), 4_500);
    let section_prorated = of(TierMode::Marginal, TierScope::Period, &tiers);
    assert_eq!(total(&section_prorated, &sales()), 1_000 + 1_500);
}

#[test]
fn a_threshold_is_reached_or_exceeded_as_the_plan_says() {
    let exceeded = schedule(TierMode::Retroactive, TierScope::Period, &[(10_000, 500)]);
    let reached = TierSchedule { threshold_rule: ThresholdRule::Reached, ..exceeded.clone() };
    let at = facts(vec![sale("s", 10_000, "d")]);
    assert_eq!(total(&Plan { tiers: Some(exceeded), ..plan("CNY") }, &at), 0);
    assert_eq!(total(&Plan { tiers: Some(reached), ..plan("CNY") }, &at), 500);
}

#[test]
fn quantity_tiers_pay_by_the_unit() {
    let tiers = [Tier { threshold: 0, pay: Pay::PerUnit(10) }, Tier { threshold: 10, pay: Pay::PerUnit(25) }];
    let marginal = TierSchedule {
        measure: Measure::Quantity,
        tiers: tiers.to_vec(),
        ..schedule(TierMode::Marginal, TierScope::Period, &[])
    };
    let fifteen = facts(vec![Sale { quantity: 15, ..sale("s", 1, "d") }]);
    let retroactive = TierSchedule { mode: TierMode::Retroactive, ..marginal.clone() };
    assert_eq!(total(&Plan { tiers: Some(marginal), ..plan("CNY") }, &fifteen), 100 + 125);
    assert_eq!(total(&Plan { tiers: Some(retroactive), ..plan("CNY") }, &fifteen), 375);
}

fn differential(same_level: SameLevel) -> Plan {
    let grades = [("silver", 500), ("gold", 800), ("crown", 1_000)];
    let grades = grades.map(|(grade, rate)| (grade.to_owned(), rate)).to_vec();
    Plan { levels: Some(Levels::Differential { grades, depth_max: 5, same_level }), ..plan("CNY") }
}

#[test]
fn differential_commission_pays_the_highest_rate_once() {
    let chain = "a:silver b:gold c:silver d:gold e:crown f:crown";
    let paid_under = |same_level| {
        let outcome =
            calculate(&differential(same_level), DAY, &facts(vec![sale("s", 10_000, chain)]), Detail::Nobody);
        let outcome = outcome.unwrap();
        outcome.members.into_iter().map(|(id, member)| format!("{id}={}", member.amount)).collect::<Vec<_>>()
    };
    assert_eq!(paid_under(SameLevel::None), ["a=500", "b=300", "e=200"]);
    assert_eq!(paid_under(SameLevel::Every(50)), ["a=500", "b=300", "d=50", "e=200"]);
    let twice = "a:gold b:gold c:gold";
    let of = |policy| paid(&differential(policy), &facts(vec![sale("s", 10_000, twice)])).len();
    assert_eq!((of(SameLevel::Every(50)), of(SameLevel::Once(50)), of(SameLevel::None)), (3, 2, 1));
}

#[test]
fn fixed_levels_keep_the_sum_to_the_last_fen() {
    // 0.333 fen for each of three: one fen in all, which the smallest id gets.
    let plan = Plan { levels: Some(Levels::Fixed(vec![333, 333, 333])), ..plan("CNY") };
    let paid = paid(&plan, &facts(vec![sale("s", 10, "c b a")]));
    assert_eq!(paid, [("a".to_owned(), 1), ("b".to_owned(), 0), ("c".to_owned(), 0)]);
}

#[test]
fn caps_and_the_smallest_payout_are_lines_of_their_own() {
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 1_000)]));
    let limited = Plan {
        tiers,
        payout_min_minor: 100,
        cap_member_minor: Some(5_000),
        cap_plan_minor: Some(6_000),
        ..plan("CNY")
    };
    let sales = facts(vec![sale("1", 900, "small"), sale("2", 70_000, "big"), sale("3", 40_000, "middle")]);
    let outcome = calculate(&limited, DAY, &sales, Detail::Everybody).unwrap();
    // 5,000 (capped from 7,000) and 4,000 share 6,000 in proportion.
    let of = |id: &str| outcome.members[id].lines.iter().map(|line| line.amount).collect::<Vec<_>>();
    assert_eq!(of("small"), [90, -90]);
    assert_eq!(of("big"), [7_000, -2_000, 3_333 - 5_000]);
    assert_eq!(of("middle"), [4_000, 2_667 - 4_000]);
    assert_eq!(outcome.total, 6_000);
}

#[test]
fn caps_hold_to_the_last_fen() {
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 10_000)]));
    let by_plan = Plan { tiers: tiers.clone(), cap_plan_minor: Some(6_000), ..plan("CNY") };
    let by_member = Plan { tiers, cap_member_minor: Some(6_000), ..plan("CNY") };
    for (earned, expected) in [(5_999, 5_999), (6_000, 6_000), (6_001, 6_000)] {
        for plan in [&by_plan, &by_member] {
            assert_eq!(total(plan, &facts(vec![sale("s", earned, "d")])), expected);
        }
    }
}

#[test]
fn a_return_claws_back_what_its_sale_earned_under_a_retroactive_plan() {
    let tiers = Some(schedule(TierMode::Retroactive, TierScope::Period, &[(0, 100), (100_000, 300)]));
    let plan = Plan { tiers, ..plan("CNY") };
    let mut facts = facts(vec![sale("a", 60_000, "d"), sale("b", 90_000, "d")]);
    let first = calculate(&plan, DAY, &facts, Detail::Nobody).unwrap();
    facts.returns.push(sale_return("r", "b", 60_000));
    let second = calculate(&plan, DAY, &facts, Detail::Nobody).unwrap();
    assert_eq!((first.total, second.total), (4_500, 900));
    // The ledger gets the difference: not 3 % of what came back, but the lost tier too.
    let balances =
        first.members.iter().map(|(id, m)| (id.clone(), i64::try_from(m.amount).unwrap())).collect();
    let changes = differences(&balances, &second).unwrap();
    assert_eq!(changes, [Difference { member_id: "d".to_owned(), amount_minor: -3_600, balance_minor: 900 }]);
}

#[test]
fn a_member_who_moves_changes_later_sales_only() {
    let plan = Plan { levels: Some(Levels::Fixed(vec![500, 300])), ..plan("CNY") };
    let before = facts(vec![sale("1", 10_000, "a b")]);
    let after = facts(vec![sale("1", 10_000, "a b"), sale("2", 20_000, "a c")]);
    let of = |facts| {
        paid(&plan, facts).into_iter().map(|(id, amount)| format!("{id}={amount}")).collect::<Vec<_>>()
    };
    assert_eq!(of(&before), ["a=500", "b=300"]);
    assert_eq!(of(&after), ["a=1500", "b=300", "c=600"]);
}

#[test]
fn a_late_return_is_not_clawed_back() {
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 1_000)]));
    let returned = Facts {
        sales: vec![sale("s", 1_000, "d")],
        returns: vec![sale_return("r", "s", 1_000)],
        ..Facts::default()
    };
    // From March 15 to April 2 are 18 days.
    for (clawback_days, expected) in [(0, 0), (17, 100), (18, 0), (90, 0)] {
        let plan = Plan { tiers: tiers.clone(), clawback_days, ..plan("CNY") };
        assert_eq!(total(&plan, &returned), expected, "{clawback_days}");
    }
}

#[test]
fn a_return_over_a_month_counts_its_days() {
    let march = sale("s", 1_000, "d");
    let late = SaleReturn { occurred_on: date(2026, 9, 1), ..sale_return("r", "s", 1_000) };
    let returned = Facts { sales: vec![march], returns: vec![late], ..Facts::default() };
    let within = |clawback_days| Plan { clawback_days, ..plan("CNY") };
    // 170 days.
    assert_eq!(returned.net(&within(169)).unwrap()[0].amount_minor, 1_000);
    assert_eq!(returned.net(&within(170)).unwrap()[0].amount_minor, 0);
}

#[test]
fn sales_of_other_days_and_categories_are_left_out() {
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 1_000)]));
    let plan = Plan {
        tiers,
        categories: vec!["tools".to_owned()],
        effective_from: date(2026, 3, 10),
        effective_until: Some(date(2026, 3, 20)),
        ..plan("CNY")
    };
    let tools =
        |id: &str, occurred_on| Sale { category: "tools".to_owned(), occurred_on, ..sale(id, 100, "d") };
    let counted = [DAY, date(2026, 3, 10), date(2026, 3, 20)];
    let others = [date(2026, 3, 9), date(2026, 3, 21), date(2026, 4, 1)];
    let days = counted.into_iter().chain(others).enumerate();
    let mut sales: Vec<_> = days.map(|(index, day)| tools(&format!("s{index}"), day)).collect();
    sales.push(sale("x", 100, "d"));
    let outcome = calculate(&plan, DAY, &facts(sales), Detail::Nobody).unwrap();
    assert_eq!((outcome.sales_counted, outcome.sales_left_out, outcome.total), (3, 4, 30));
}

#[test]
fn bad_facts_are_named() {
    let plan = Plan { levels: Some(Levels::Fixed(vec![100])), ..plan("CNY") };
    let refused = |facts: Facts| match calculate(&plan, DAY, &facts, Detail::Nobody) {
        Err(CalculateError::FactsInvalid(problems)) => problems[0].field.clone(),
        other => panic!("{other:?}"),
    };
    let two = vec![sale("s", 1, "a"), sale("s", 2, "a")];
    assert_eq!(refused(facts(two)), "sales[1].event_id");
    assert_eq!(refused(facts(vec![sale("s", -1, "a")])), "sales[0].amount_minor");
    assert_eq!(refused(facts(vec![sale("s", 1, "a b a")])), "sales[0].chain[2].member_id");
    let with = |fact| Facts { sales: vec![sale("s", 5, "a")], returns: vec![fact], ..Facts::default() };
    assert_eq!(refused(with(sale_return("r", "t", 1))), "returns[0].sale_event_id");
    assert_eq!(refused(with(sale_return("r", "s", 6))), "returns[0]");
    assert_eq!(
        refused(with(SaleReturn { occurred_on: date(2026, 3, 14), ..sale_return("r", "s", 1) })),
        "returns[0].occurred_on"
    );
    let unknown =
        calculate(&differential(SameLevel::None), DAY, &facts(vec![sale("s", 1, "a:lead")]), Detail::Nobody);
    assert!(unknown.unwrap_err().to_string().contains("\"lead\" is not a grade"));
}

#[test]
fn malformed_plans_are_named() {
    let tiers = |tiers: &[(i64, u32)]| Some(schedule(TierMode::Marginal, TierScope::Period, tiers));
    let field = |plan: Plan| plan.problems().first().map(|problem| problem.field.clone()).unwrap_or_default();
    assert_eq!(field(plan("CNY")), "tiers");
    assert_eq!(field(Plan { tiers: tiers(&[(5, 1), (5, 2)]), ..plan("CNY") }), "tiers.tiers[1].threshold");
    assert_eq!(field(Plan { tiers: tiers(&[(0, 10_001)]), ..plan("CNY") }), "tiers.tiers[0].rate_bp");
    let fixed = |rates: &[u32]| Some(Levels::Fixed(rates.to_vec()));
    assert_eq!(field(Plan { levels: fixed(&[6_000, 6_000]), ..plan("CNY") }), "tiers and levels");
    assert_eq!(field(Plan { levels: fixed(&[1; 11]), ..plan("CNY") }), "fixed.rates_bp");
    let capped = Plan { levels: fixed(&[1]), payout_min_minor: 9, cap_member_minor: Some(8), ..plan("CNY") };
    assert_eq!(field(capped), "payout_min_minor");
    assert_eq!(field(Plan { levels: fixed(&[1]), ..plan("CNY") }), "");
}

mod the_law {
    use super::*;

    fn persons(rates: &[u32], participation: Participation) -> Plan {
        let levels = Some(Levels::Fixed(rates.to_vec()));
        Plan { payee: PayeeKind::NaturalPerson, levels, participation, ..plan("CNY") }
    }

    fn worst(plan: &Plan, on: Date) -> Option<(Severity, &'static str)> {
        law::check(plan, on, on).first().map(|finding| (finding.severity, finding.code))
    }

    #[test]
    fn each_article_is_found() {
        let none = Participation::default();
        let recruiting = Participation { recruitment_required: true, ..none };
        let entry = Participation { entry_fee_required: true, ..none };
        let direct = Participation { direct_selling: true, ..none };
        let headcount = Plan { basis: Basis::Headcount, ..persons(&[100], none) };
        for (plan, expected) in [
            (persons(&[800], none), None),
            (persons(&[800, 200], none), Some((Severity::Info, "UPLINE_PAY"))),
            (persons(&[800, 200], recruiting), Some((Severity::Warn, "UPLINE_RECRUITMENT"))),
            (persons(&[800, 200, 100], none), Some((Severity::Block, "UPLINE_DEPTH"))),
            (persons(&[800, 200, 0], none), Some((Severity::Info, "UPLINE_PAY"))),
            (persons(&[800], entry), Some((Severity::Block, "ENTRY_FEE"))),
            (headcount, Some((Severity::Block, "HEADCOUNT"))),
            (persons(&[3_001], none), Some((Severity::Warn, "PAYOUT_SHARE"))),
            (persons(&[3_000], direct), None),
            (persons(&[3_001], direct), Some((Severity::Block, "DIRECT_SELLER_PAYOUT"))),
            (persons(&[800, 200], direct), Some((Severity::Block, "DIRECT_SELLER_UPLINE"))),
            (Plan { payee: PayeeKind::Company, ..persons(&[800, 200, 100], none) }, None),
            (
                Plan { jurisdiction: "XX".to_owned(), ..persons(&[800], none) },
                Some((Severity::Info, "NO_ARTICLES")),
            ),
        ] {
            assert_eq!(worst(&plan, DAY), expected, "{plan:?}");
        }
    }

    #[test]
    fn an_article_holds_from_its_first_day() {
        let deep = persons(&[800, 200, 100], Participation::default());
        assert_eq!(worst(&deep, date(2005, 10, 31)), Some((Severity::Info, "NO_ARTICLES")));
        assert_eq!(worst(&deep, date(2005, 11, 1)), Some((Severity::Block, "UPLINE_DEPTH")));
        let codes = |on| law::check(&deep, on, on).iter().map(|finding| finding.code).collect::<Vec<_>>();
        assert!(!codes(date(2016, 8, 21)).contains(&"PLATFORM_DEPTH"));
        assert!(codes(date(2016, 8, 22)).contains(&"PLATFORM_DEPTH"));
    }

    #[test]
    fn an_article_that_was_replaced_holds_to_its_last_day() {
        let current = &law::ARTICLES[0];
        let replaced = law::Article { until: Some(date(2026, 6, 30)), ..current.clone() };
        let days = |first, last| replaced.in_force_between(first, last);
        assert!(days(date(2026, 6, 30), date(2026, 7, 31)));
        assert!(!days(date(2026, 7, 1), date(2026, 7, 31)));
        assert!(!days(date(2005, 1, 1), date(2005, 10, 31)));
        assert!(current.in_force_between(date(2026, 7, 1), date(2026, 7, 1)));
    }

    #[test]
    fn a_forbidden_plan_is_not_calculated() {
        let deep = persons(&[800, 200, 100], Participation::default());
        let refused = calculate(&deep, DAY, &Facts::default(), Detail::Nobody).unwrap_err();
        let CalculateError::PlanForbidden(findings) = refused else { panic!("{refused:?}") };
        let article = findings[0].article.unwrap();
        assert!(article.title_en.ends_with("article 7 (3)") && article.title_zh.contains("第七条"));
    }
}

#[test]
fn each_amount_says_how_it_came_about() {
    let tiers = schedule(TierMode::Marginal, TierScope::Sale, &[(0, 2_000), (25_000, 500)]);
    let plan = Plan { tiers: Some(tiers), ..differential(SameLevel::Once(50)) };
    let outcome =
        calculate(&plan, DAY, &facts(vec![sale("s-1", 30_001, "a:silver b:gold c:gold")]), Detail::Everybody);
    let outcome = outcome.unwrap();
    let texts =
        |id: &str| outcome.members[id].lines.iter().map(|line| explain(&plan, line)).collect::<Vec<_>>();
    let en = |id: &str| texts(id).into_iter().map(|text| text.en).collect::<Vec<_>>();
    assert_eq!(
        en("a"),
        [
            "slice from 0.00 CNY to 250.00 CNY: 250.00 CNY × 20.00 % = 50.00 CNY (sale s-1)",
            "slice from 250.00 CNY to 300.01 CNY: 50.01 CNY × 5.00 % = 2.500500 ≈ 2.50 CNY (sale s-1)",
            "level 1 at 5.00 %: 300.01 CNY × 5.00 % = 15.000500 ≈ 15.00 CNY (sale s-1)",
        ]
    );
    assert_eq!(
        texts("b")[0].zh,
        "第 2 级，8.00 % 减下级 5.00 % 的级差：300.01 CNY × 3.00 % = 9.000300 ≈ 9.00 CNY（销售 s-1）"
    );
    assert_eq!(
        en("c"),
        ["level 3, same level as below: 300.01 CNY × 0.50 % = 1.500050 ≈ 1.50 CNY (sale s-1)"]
    );
}
