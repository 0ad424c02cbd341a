//! The wider grammar: base, filter, rolling windows, growth, mix, early payment, the cap on margin.

use jiff::civil::date;

use super::super::filter::{EvaluateError, Filter};
use super::super::*;
use super::{DAY, facts, plan, sale, sale_return, schedule};

fn total(plan: &Plan, facts: &Facts) -> i128 {
    assert_eq!(plan.problems(), []);
    calculate(plan, DAY, facts, Detail::Everybody).unwrap().total
}

fn passes(source: &str, sale: &Sale) -> Result<bool, EvaluateError> {
    Filter::compile(source).unwrap().passes(sale)
}

#[test]
fn a_filter_says_what_cel_says() {
    let attributes = [("brand", "东风"), ("channel", "web")];
    let sold = Sale {
        category: "tools".to_owned(),
        quantity: 12,
        attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..sale("order-1/1", 30_000, "d-7:gold up:crown")
    };
    for (source, expected) in [
        ("true", true),
        ("category == 'tools'", true),
        ("category in [\"tools\", \"parts\"] && amount_minor >= 30000", true),
        ("category in []", false),
        ("quantity in [1, 12]", true),
        ("quantity * 2500 == amount_minor", true),
        ("quantity / 5 == 2 && quantity % 5 == 2 && -quantity < 0", true),
        ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9", true),
        ("!(grade == 'gold') || level_count == 2", true),
        ("occurred_on >= '2026-03-01' && occurred_on < '2026-04-01'", true),
        ("year == 2026 && month == 3 && day == 15", true),
        ("event_id.startsWith('order-') && event_id.endsWith('/1') && event_id.contains('1')", true),
        ("attributes.brand == '东风' && size(attributes.brand) == 2", true),
        ("attributes['channel'].size() == 3", true),
        ("has(attributes.region) && attributes.region == 'north'", false),
        ("'brand' in attributes", true),
        ("quantity > 10 ? category == 'tools' : category == 'parts'", true),
        // The deciding side wins over the error of the other, on either side.
        ("attributes.region == 'north' || true", true),
        ("attributes.region == 'north' && false", false),
        ("1 / 0 == 1 || member_id == 'd-7'", true),
    ] {
        assert_eq!(passes(source, &sold), Ok(expected), "{source}");
    }
    assert_eq!(passes("attributes.x == 'y'", &sold), Err(EvaluateError::NoAttribute("x".to_owned())));
    assert_eq!(passes("amount_minor % 0 == 1", &sold), Err(EvaluateError::Division));
    assert_eq!(passes("9223372036854775807 + quantity > 0", &sold), Err(EvaluateError::Overflow));
}

#[test]
fn a_bad_filter_is_named_with_its_place() {
    for (source, at, expected) in [
        ("", 1, "a field, a number or a text"),
        ("quantity", 1, "a condition that is true or false"),
        ("categori == 'x'", 1, "a field of a sale"),
        ("category == 5", 13, "a text"),
        ("category == 'x", 13, "a closing quote"),
        ("quantity > 1.5", 12, "a whole number"),
        ("quantity > 1 quantity", 14, "an operator or the end"),
        ("occurred_on > 'soon'", 15, "a day"),
        ("(quantity > 1", 14, "`)`"),
        ("category.matches('a+')", 10, "startsWith"),
        ("quantity in 5", 13, "`[`"),
        ("quantity # 1", 10, "an expression"),
    ] {
        let error = Filter::compile(source).unwrap_err();
        assert!(error.at == at && error.expected.en.starts_with(expected), "{source}: {error}");
        let quoted = ["startsWith", "`"].iter().any(|sign| expected.starts_with(sign));
        assert!(quoted || !error.expected.zh.is_ascii(), "{source}: {error:?}");
    }
    // Deep, long and wide expressions end with an error, not with the stack.
    for source in [
        format!("{}true{}", "(".repeat(500), ")".repeat(500)),
        format!("{}true", "!".repeat(1_000)),
        format!("true{}", " || true".repeat(400)),
        vec!["true"; 240].join("||"),
        "x".repeat(3_000),
    ] {
        let compiled = Filter::compile(&source);
        assert!(compiled.is_err() || source.len() < 2_000, "{source}");
    }
}

#[test]
fn a_filter_that_stops_names_the_sale() {
    let filter = Some(Filter::compile("attributes.brand == 'a'").unwrap());
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 1_000)]));
    let filtered = Plan { filter, tiers, ..plan("CNY") };
    let refused = calculate(&filtered, DAY, &facts(vec![sale("s-9", 100, "d")]), Detail::Nobody);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("s-9") && text.contains("brand"), "{text}");
}

#[test]
fn the_base_is_what_the_plan_says() {
    let parts = Parts { tax_minor: 1_300, freight_minor: 500, discount_minor: 200, margin_minor: 0 };
    let sold = Sale { parts, ..sale("s", 10_000, "d") };
    let half = Parts { tax_minor: 650, freight_minor: 0, discount_minor: 100, margin_minor: 0 };
    let back = SaleReturn { parts: half, ..sale_return("r", "s", 5_000) };
    let both = Facts { sales: vec![sold.clone()], returns: vec![back.clone()], ..Facts::default() };
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 10_000)]));
    for (base, gross, net) in [
        (Base::default(), 10_000, 5_000),
        (Base { tax: true, ..Base::default() }, 11_300, 5_650),
        (Base { tax: true, freight: true, discounts: true, returns: false }, 12_000, 6_250),
        (Base { returns: true, ..Base::default() }, 10_000, 10_000),
    ] {
        let plan = Plan { base, tiers: tiers.clone(), ..plan("CNY") };
        assert_eq!(total(&plan, &facts(vec![sold.clone()])), gross);
        assert_eq!(total(&plan, &both), net);
    }
    let too_much = SaleReturn { parts: Parts { tax_minor: 1_301, ..half }, ..back };
    let facts = Facts { returns: vec![too_much], ..both };
    assert_eq!(facts.net(&plan("CNY")).unwrap_err()[0].field, "returns[0].tax_minor");
}

fn growth(baseline: Baseline, pays_on: PaysOn) -> Plan {
    let tiers = TierSchedule {
        measure: Measure::Growth,
        threshold_rule: ThresholdRule::Reached,
        baseline,
        pays_on,
        ..schedule(TierMode::Retroactive, TierScope::Period, &[(0, 100), (2_000, 300)])
    };
    Plan { tiers: Some(tiers), ..plan("CNY") }
}

#[test]
fn growth_is_measured_against_its_baseline() {
    let on = |id: &str, occurred_on, amount| Sale { occurred_on, ..sale(id, amount, "d") };
    // 1,000.00 in February, 800.00 in March of the year before, 1,200.00 in this March.
    let sales = facts(vec![
        on("last-year", date(2025, 3, 31), 80_000),
        on("before", date(2026, 2, 1), 100_000),
        on("now", date(2026, 3, 31), 120_000),
        on("neither", date(2026, 4, 1), 990_000),
    ]);
    for (baseline, pays_on, expected) in [
        (Baseline::PreviousPeriod, PaysOn::Everything, 3_600),
        (Baseline::PreviousPeriod, PaysOn::Part, 600),
        (Baseline::SamePeriodLastYear, PaysOn::Part, 1_200),
        (Baseline::Fixed(100_001), PaysOn::Everything, 1_200),
        (Baseline::Fixed(100_000), PaysOn::Everything, 3_600),
        (Baseline::Fixed(120_000), PaysOn::Everything, 1_200),
        (Baseline::Fixed(120_001), PaysOn::Everything, 0),
    ] {
        assert_eq!(total(&growth(baseline, pays_on), &sales), expected, "{baseline:?} {pays_on:?}");
    }
    // Nothing to grow from: nothing is paid.
    let fresh = facts(vec![on("now", DAY, 120_000)]);
    assert_eq!(total(&growth(Baseline::PreviousPeriod, PaysOn::Everything), &fresh), 0);
    let plan = growth(Baseline::PreviousPeriod, PaysOn::Part);
    let outcome = calculate(&plan, DAY, &sales, Detail::Everybody).unwrap();
    assert_eq!(
        explain(&plan, &outcome.members["d"].lines[0]).en,
        "growth of 20.00 % reaches the tier from 20.00 %, which pays on the growth: 200.00 CNY × 3.00 % = 6.00 CNY"
    );
    assert_eq!((outcome.sales_counted, outcome.sales_left_out), (1, 3));
}

#[test]
fn a_mix_pays_on_the_share_of_what_passes() {
    let tiers = TierSchedule {
        measure: Measure::Mix,
        threshold_rule: ThresholdRule::Reached,
        mix: Some(Filter::compile("category == 'green'").unwrap()),
        ..schedule(TierMode::Retroactive, TierScope::Period, &[(2_500, 100), (5_000, 200)])
    };
    let kind =
        |id: &str, category: &str, amount| Sale { category: category.to_owned(), ..sale(id, amount, "d") };
    let sales = facts(vec![kind("a", "green", 30_000), kind("b", "grey", 70_000)]);
    let everything = Plan { tiers: Some(tiers.clone()), ..plan("CNY") };
    let part = Plan { tiers: Some(TierSchedule { pays_on: PaysOn::Part, ..tiers }), ..plan("CNY") };
    assert_eq!((total(&everything, &sales), total(&part, &sales)), (1_000, 300));
    // A third of the grey comes back: 30 of 60 is the half.
    let returns = vec![sale_return("r", "b", 40_000)];
    let fewer = Facts { returns, ..sales };
    assert_eq!((total(&everything, &fewer), total(&part, &fewer)), (1_200, 600));
}

#[test]
fn early_payment_pays_each_sale_by_its_days() {
    let tiers = TierSchedule {
        measure: Measure::EarlyPayment,
        threshold_rule: ThresholdRule::Reached,
        ..schedule(TierMode::Retroactive, TierScope::Sale, &[(0, 50), (20, 200)])
    };
    // The trade's "2/10, net 30": 2 % when paid within ten days of thirty.
    let plan = Plan { tiers: Some(tiers), ..plan("CNY") };
    let sold = Sale { due_on: Some(date(2026, 4, 14)), ..sale("s", 100_000, "d") };
    for (paid_on, expected) in [
        (Some(date(2026, 3, 25)), 2_000),
        (Some(date(2026, 3, 26)), 500),
        (Some(date(2026, 4, 14)), 500),
        (Some(date(2026, 4, 15)), 0),
        (None, 0),
    ] {
        let payment =
            |occurred_on| Payment { event_id: "p".to_owned(), sale_event_id: "s".to_owned(), occurred_on };
        let payments = paid_on.map(payment).into_iter().collect();
        let facts = Facts { sales: vec![sold.clone()], payments, ..Facts::default() };
        assert_eq!(total(&plan, &facts), expected, "{paid_on:?}");
    }
    let twice = ["p", "q"].map(|id| Payment {
        event_id: id.to_owned(),
        sale_event_id: "s".to_owned(),
        occurred_on: DAY,
    });
    let facts = Facts { sales: vec![sold], payments: twice.to_vec(), ..Facts::default() };
    assert_eq!(facts.net(&plan).unwrap_err()[0].field, "payments[1].sale_event_id");
}

#[test]
fn a_rolling_window_decides_the_tier_and_the_period_is_paid() {
    let tiers = TierSchedule {
        window_days: 365,
        threshold_rule: ThresholdRule::Reached,
        ..schedule(TierMode::Retroactive, TierScope::Period, &[(0, 100), (100_000, 300)])
    };
    let plan = Plan { tiers: Some(tiers), ..plan("CNY") };
    let on = |id: &str, occurred_on, amount| Sale { occurred_on, ..sale(id, amount, "d") };
    // The window of March 2026 begins on 2025-04-01.
    let of = |first| facts(vec![on("old", first, 90_000), on("new", DAY, 10_000)]);
    assert_eq!(total(&plan, &of(date(2025, 4, 1))), 300);
    assert_eq!(total(&plan, &of(date(2025, 3, 31))), 100);
    // A window without a sale in the period pays nothing.
    assert_eq!(total(&plan, &facts(vec![on("old", date(2026, 2, 1), 990_000)])), 0);
}

#[test]
fn a_cap_on_margin_is_shared_out() {
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 1_000)]));
    let plan = Plan { tiers, cap_margin_bp: Some(2_500), cap_plan_minor: Some(9_000), ..plan("CNY") };
    let of = |id: &str, amount, margin_minor, seller: &str| Sale {
        parts: Parts { margin_minor, ..Parts::default() },
        ..sale(id, amount, seller)
    };
    // 10 % would be 6,000 and 3,000; a quarter of 24,000 is 6,000.
    let sales = facts(vec![of("1", 60_000, 20_000, "a"), of("2", 30_000, 4_000, "b")]);
    let outcome = calculate(&plan, DAY, &sales, Detail::Everybody).unwrap();
    assert_eq!(
        (outcome.total, outcome.members["a"].amount, outcome.members["b"].amount),
        (6_000, 4_000, 2_000)
    );
    assert!(explain(&plan, &outcome.members["b"].lines[1]).zh.contains("毛利 240.00 CNY 的 25.00 %"));
    assert_eq!(total(&plan, &facts(vec![of("1", 60_000, -5, "a")])), 0);
    // The plan's own cap is the lower one.
    assert_eq!(total(&plan, &facts(vec![of("1", 100_000, 90_000, "a")])), 9_000);
}

#[test]
fn one_fact_more_keeps_to_the_smallest_payout_and_refuses_what_can_not_be() {
    let tiers = Some(schedule(TierMode::Marginal, TierScope::Period, &[(0, 1_000)]));
    let plan = Plan { tiers, payout_min_minor: 100, ..plan("CNY") };
    let mut state = Incremental::new(plan, DAY).unwrap();
    let changed = |before, after| vec![Changed { member_id: "d".to_owned(), before, after }];
    assert_eq!(state.apply(Fact::Sale(sale("a", 999, "d"))).unwrap(), changed(0, 100));
    assert_eq!(state.apply(Fact::Return(sale_return("r", "a", 9))).unwrap(), changed(100, 0));
    assert_eq!(state.apply(Fact::Sale(sale("b", 10, "d"))).unwrap(), changed(0, 100));
    for fact in [
        Fact::Sale(sale("a", 1, "d")),
        Fact::Sale(sale("c", -1, "d")),
        Fact::Return(sale_return("r", "b", 1)),
        Fact::Return(sale_return("s", "c", 1)),
        Fact::Return(sale_return("s", "b", 11)),
    ] {
        assert!(state.apply(fact.clone()).is_err(), "{fact:?}");
        assert_eq!((state.total(), state.amounts().unwrap().len()), (100, 1));
    }
    assert_eq!(state.apply(Fact::Return(sale_return("s", "b", 10))).unwrap(), changed(100, 0));
}

#[test]
fn what_does_not_go_together_is_named() {
    let tiers = |change: fn(&mut TierSchedule)| {
        let mut tiers = schedule(TierMode::Retroactive, TierScope::Period, &[(0, 100)]);
        change(&mut tiers);
        Plan { tiers: Some(tiers), ..plan("CNY") }
    };
    let field = |plan: Plan| plan.problems().first().map(|problem| problem.field.clone()).unwrap_or_default();
    for (plan, expected) in [
        (tiers(|t| t.measure = Measure::Mix), "tiers.mix_filter"),
        (tiers(|t| t.measure = Measure::EarlyPayment), "tiers.mode"),
        (tiers(|t| (t.measure, t.mode) = (Measure::Growth, TierMode::Marginal)), "tiers.mode"),
        (tiers(|t| t.baseline = Baseline::Fixed(5)), "tiers.baseline"),
        (tiers(|t| (t.measure, t.baseline) = (Measure::Growth, Baseline::Fixed(0))), "tiers.baseline_minor"),
        (tiers(|t| t.pays_on = PaysOn::Part), "tiers.pays_on"),
        (tiers(|t| (t.window_days, t.scope) = (30, TierScope::Sale)), "tiers.window_days"),
        (tiers(|t| t.window_days = 2_000), "tiers.window_days"),
        (Plan { cap_margin_bp: Some(10_001), ..tiers(|_| ()) }, "cap_margin_bp"),
        (
            Plan { base: Base { returns: true, ..Base::default() }, clawback_days: 5, ..tiers(|_| ()) },
            "clawback_days",
        ),
        (
            Plan { payout: Payout { carry_under_minor: -1, ..Payout::default() }, ..tiers(|_| ()) },
            "payout.carry_under_minor",
        ),
        (tiers(|_| ()), ""),
    ] {
        assert_eq!(field(plan), expected);
    }
}
