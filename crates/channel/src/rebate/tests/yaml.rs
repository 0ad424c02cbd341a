//! The YAML form: plans as people write them, and everything that can be wrong with one, with its place.

use std::path::PathBuf;

use jiff::civil::date;
use oaas_model::Lang;

use super::super::yaml::{Mark, read};
use super::super::*;

fn file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/capabilities/rebate").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_dealers_plan_is_what_its_file_says() {
    let draft = read(&file("dealer-2026.yaml")).unwrap();
    let tier = |threshold, rate| Tier { threshold, pay: Pay::Rate(rate) };
    let expected = Plan {
        plan_id: "dealer-2026".to_owned(),
        effective_until: Some(date(2026, 12, 31)),
        categories: vec!["tools".to_owned(), "parts".to_owned()],
        filter: Some(
            Filter::compile(
                "amount_minor >= 10000 && !(has(attributes.channel) && attributes.channel == \"clearance\")",
            )
            .unwrap(),
        ),
        tiers: Some(TierSchedule {
            threshold_rule: ThresholdRule::Reached,
            tiers: vec![tier(0, 100), tier(10_000_000, 300)],
            ..super::schedule(TierMode::Retroactive, TierScope::Period, &[])
        }),
        payout_min_minor: 1_000,
        cap_member_minor: Some(5_000_000),
        cap_plan_minor: Some(100_000_000),
        cap_margin_bp: Some(3_000),
        clawback_days: 90,
        payout: Payout { kind: PayoutKind::Credit, carry_under_minor: 10_000 },
        ..super::plan("CNY")
    };
    assert_eq!(draft.plan, expected);
    assert_eq!(draft.title.zh, "2026 经销商返利");
}

#[test]
fn the_other_plans_are_what_their_files_say() {
    let growth = read(&file("growth-2026.yaml")).unwrap().plan;
    let tiers = growth.tiers.unwrap();
    assert_eq!((tiers.measure, tiers.pays_on), (Measure::Growth, PaysOn::Part));
    assert_eq!(tiers.baseline, Baseline::SamePeriodLastYear);
    assert_eq!(tiers.tiers[1], Tier { threshold: 2_000, pay: Pay::Rate(250) });
    assert!(growth.base.tax && !growth.base.freight);
    let goods = PayoutKind::Goods { sku: "filter-set".to_owned(), unit_value_minor: 4_900 };
    assert_eq!(growth.payout.kind, goods);

    let agents = read(&file("agents-2026.yaml")).unwrap().plan;
    let grades = [("silver", 500), ("gold", 800), ("crown", 1_000)].map(|(g, r)| (g.to_owned(), r)).to_vec();
    let levels = Levels::Differential { grades, depth_max: 3, same_level: SameLevel::Once(50) };
    assert_eq!(agents.levels, Some(levels));

    // Amazon's fee: 300.00 pays 52.50, as `amazon_referral_fees` has it.
    let jewellery = read(&file("jewellery.yaml")).unwrap().plan;
    let ring = super::facts(vec![super::sale("ring", 30_000, "marketplace")]);
    assert_eq!(calculate(&jewellery, super::DAY, &ring, Detail::Nobody).unwrap().total, 5_250);

    let season = read(&file("season-2026.yaml")).unwrap().plan.expectation;
    let expected = Expectation {
        projection: Some(Projection::SamePeriodLastYear),
        less_bp: 1_000,
        each: None,
        members: [("dealer-7".to_owned(), 240_000_000)].into(),
        tiers_up: Some(1),
    };
    assert_eq!(season, Some(expected));

    let early = read(&file("early-2026.yaml")).unwrap().plan.tiers.unwrap();
    assert_eq!((early.measure, early.tiers[1].threshold), (Measure::EarlyPayment, 20));
}

#[cfg(feature = "grpc")]
#[test]
fn a_plan_on_the_wire_is_read_back_the_same() {
    use proptest::prelude::*;
    let same = |plan: &Plan| {
        let wire = plan_to_wire(plan, &law::Text { en: "t".to_owned(), zh: "t".to_owned() });
        let mut reader = wire::Reader::at("plan");
        let read = reader.plan(&wire);
        assert_eq!(reader.finish(read).as_ref(), Ok(plan));
    };
    for name in ["dealer-2026", "growth-2026", "agents-2026", "jewellery", "early-2026", "season-2026"] {
        same(&read(&file(&format!("{name}.yaml"))).unwrap().plan);
    }
    proptest!(|(plan in super::properties::any_plan(), expectation in super::expectation::any_expectation())| {
        same(&plan);
        same(&Plan { expectation: Some(expectation), ..plan });
    });
}

/// Line, column, field and the beginning of what was expected, for each fault.
fn faults(source: &str) -> Vec<(usize, usize, String, String)> {
    let faults = read(source).unwrap_err();
    faults.into_iter().map(|f| (f.mark.line, f.mark.column, f.field, f.expected.en)).collect()
}

#[test]
fn all_faults_are_told_at_once_with_their_places() {
    let source = "\
plan: Dealer 2026
title: { en: Rebate }
currency: yuan
country: CN
paid to: dealers
from: 2026-02-30
each: month
rounding: half up
colour: red
sales:
  only: categori == 'x'
tiers:
  by: amount
  over: the period
  rate on: everything
  steps:
    - { from: 0, pays: 3 percent }
    - from: 10.005
      pays: 1 %
limits:
  per member: lots
returns within: a while
payout: { as: goods, sku: x }
";
    let expected = [
        (1, 7, "plan", "a name of a-z"),
        (2, 8, "title.zh", "1 to 2000 characters"),
        (3, 11, "currency", "an ISO 4217 code"),
        (5, 10, "paid to", "one of companies, persons"),
        (6, 7, "from", "a day such as"),
        (9, 1, "colour", "one of plan, title"),
        (11, 9, "sales.only", "a field of a sale"),
        (17, 24, "tiers.steps[0].pays", "a share such as 3 %"),
        (18, 13, "tiers.steps[1].from", "an amount of CNY such as 1000.00"),
        (21, 15, "limits.per member", "an amount of CNY"),
        (22, 17, "returns within", "a number of days"),
        (23, 9, "payout.worth", "an amount of CNY"),
    ];
    let found = faults(source);
    for ((line, column, field, text), (at_line, at_column, at_field, at_text)) in expected.iter().zip(&found)
    {
        assert_eq!((line, column, *field), (at_line, at_column, at_field.as_str()));
        assert!(at_text.starts_with(text), "{at_text}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn what_the_fields_say_together_is_told_where_they_stand() {
    let good = file("jewellery.yaml");
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    for (source, line, column, field, part) in [
        (swap("pays: 5 %", "pays: 1.50 each"), 18, 29, "tiers.steps[1].pays", "only tiers by quantity"),
        (swap("from: 250.00", "from: 0"), 18, 15, "tiers.steps[1].from", "must ascend"),
        (swap("at least: 0.30", "rolling: 90 days"), 15, 12, "tiers.rolling", "a rolling window needs"),
        (swap("each slice", "the part"), 12, 3, "tiers", "growth and mix only"),
        (format!("{good}levels: {{ fixed: [90 %] }}\n"), 11, 1, "tiers", "more than all of it"),
    ] {
        let faults = read(&source).unwrap_err();
        let words: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let found = faults.iter().find(|fault| fault.expected.en.contains(part));
        let found = found.unwrap_or_else(|| panic!("{part}: {words:?}"));
        assert_eq!(found.field, field, "{words:?}");
        if field != "tiers" {
            assert_eq!(found.mark, Mark { line, column }, "{words:?}");
        }
    }
}

#[test]
fn what_the_fields_say_together_is_told_in_chinese_too() {
    let steps = "  steps:\n    - from: 0\n      pays: 20 %\n    - from: 250.00\n      pays: 5 %\n";
    let tiers = |head: &str, tail: &str| format!("tiers:\n  {head}\n{steps}{tail}");
    let amount = "by: amount\n  over: the period\n  rate on: everything";
    let sale = "by: amount\n  over: each sale\n  rate on: everything";
    let head = "plan: p\ntitle: t\ncurrency: CNY\ncountry: CN\npaid to: companies\nfrom: 2026-01-01\neach: month\n\
                rounding: down\n";
    for (rest, field, zh) in [
        (String::new(), "", "计划须有档位或层级"),
        (tiers(amount, "counts: headcount\n"), "counts", "不提供按人头计酬"),
        (tiers(amount, "until: 2025-12-31\n"), "until", "不得早于生效首日"),
        (tiers(amount, "levels: { fixed: [90 %] }\n"), "tiers", "超过其全部"),
        (
            tiers(amount, "base: { with: [returns] }\nreturns within: 5 days\n"),
            "returns within",
            "退货不扣除",
        ),
        (tiers(amount, "").replace("250.00", "0"), "tiers.steps[1].from", "须从 0 起递增"),
        (tiers(amount, "").replace("5 %", "1.50 each"), "tiers.steps[1].pays", "只有按数量的档位可按件支付"),
        (
            tiers(&amount.replace("amount", "quantity").replace("everything", "each slice"), "")
                .replace("250.00", "9"),
            "tiers.steps[0].pays",
            "没有自己的金额",
        ),
        (tiers(amount, "").replace("5 %", "101 %"), "tiers.steps[1].pays", "须为 0 至 10000，实为 10100"),
        (
            tiers(&amount.replace("amount", "mix"), "")
                .replace("250.00", "9 %")
                .replace("from: 0\n", "from: 0 %\n"),
            "tiers",
            "缺失：占比",
        ),
        (tiers(&sale.replace("everything", "the part"), ""), "tiers", "仅增长与占比可就部分支付"),
        (tiers(&format!("{sale}\n  rolling: 9 days"), ""), "tiers.rolling", "滚动期间须按金额或数量"),
        (tiers(&format!("{amount}\n  baseline: last year"), ""), "tiers.baseline", "仅用于增长"),
        (tiers(&format!("{amount}\n  mix: quantity > 1"), ""), "tiers.mix", "仅用于占比"),
        (
            tiers(amount, "limits: { smallest payout: 9.00, per member: 5.00 }\n"),
            "limits.smallest payout",
            "超过单个成员上限",
        ),
        (tiers(sale, "accrue: { each: 5.00 }\n"), "accrue", "每笔销售自定档位"),
        (
            tiers(&format!("{amount}\n  rolling: 9 days"), "accrue: { each: 5.00 }\n"),
            "accrue",
            "按已达档位计提",
        ),
        ("levels: { fixed: [1 %] }\naccrue: { each: 5.00 }\n".to_owned(), "accrue", "层级没有可预计的档位"),
        (tiers(amount, "accrue: {}\n"), "accrue", "未预计任何内容"),
        (tiers(amount, "accrue: { each: 5.00, project: run rate }\n"), "accrue.each", "又指明了推算方法"),
        (tiers(amount, "accrue: { each: 5.00, less: 5 % }\n"), "accrue.less", "未指明推算方法"),
        (
            tiers(amount, "accrue: { project: run rate, tiers up: 0 }\n"),
            "accrue.tiers up",
            "须为 1 至 50，实为 0",
        ),
        (tiers(amount, "accrue: { members: { dealer-7: 0 } }\n"), "accrue.members.dealer-7", "须为 1 至"),
    ] {
        let faults = read(&format!("{head}{rest}")).unwrap_err();
        let told = |lang| faults.iter().map(|fault| fault.message(lang)).collect::<Vec<_>>();
        let found = faults.iter().find(|fault| fault.message(Lang::Zh).contains(zh));
        let found = found.unwrap_or_else(|| panic!("{zh}: {:?} {:?}", told(Lang::Zh), told(Lang::En)));
        assert_eq!(found.field, field, "{:?}", told(Lang::Zh));
        assert!(found.message(Lang::En).is_ascii(), "{:?}", told(Lang::En));
        if !field.is_empty() {
            assert!(found.mark.line > 8, "{found:?}");
        }
    }
}

#[test]
fn how_a_period_is_accrued_is_read_with_its_faults() {
    let good = file("season-2026.yaml");
    let accrue = good.find("accrue:").unwrap();
    let (head, lines) = (&good[..accrue], good[..accrue].lines().count());
    let with = |text: &str| format!("{head}{text}\n");
    assert_eq!(read(&with("accrue: as reached")).unwrap().plan.expectation, None);
    let each = read(&with("accrue: { each: 1000.00 }")).unwrap().plan.expectation.unwrap();
    assert_eq!((each.each, each.projection), (Some(100_000), None));
    let units = with("accrue: { members: { d: 120 } }").replace("by: amount", "by: quantity");
    let units = units.replace("500000.00", "50").replace("2000000.00", "200");
    assert_eq!(read(&units).unwrap().plan.expectation.unwrap().members["d"], 120);
    for (text, column, field, part) in [
        ("accrue: sometimes", 9, "accrue", "as reached, or a map with project"),
        ("accrue: { project: guess }", 20, "accrue.project", "one of run rate, previous period, last year"),
        ("accrue: { project: run rate, less: lots }", 36, "accrue.less", "a share such as"),
        ("accrue: { each: 10.005 }", 17, "accrue.each", "an amount of CNY"),
        ("accrue: { members: [d] }", 20, "accrue.members", "members with their totals"),
        ("accrue: { members: { d: x } }", 25, "accrue.members.d", "an amount of CNY"),
        ("accrue: { members: { d: 1, d: 2 } }", 28, "accrue.members.d", "each member once"),
        ("accrue: { members: { '': 1 } }", 22, "accrue.members.", "1 to 64 characters"),
        ("accrue: { at: 5 }", 11, "accrue.at", "one of project, less"),
    ] {
        let found = faults(&with(text));
        let (line, at, of, expected) = &found[0];
        assert_eq!((*line, *at, of.as_str()), (lines + 1, column, field), "{found:?}");
        assert!(expected.contains(part), "{found:?}");
    }
}

#[test]
fn a_file_that_is_no_plan_is_told_so() {
    for (source, part) in [
        ("", "1:1: expected a plan"),
        ("- a\n", "1:1: expected a map with plan"),
        ("plan: [a\n", "expected YAML 1.2"),
        ("plan: a\nplan: b\n", "2:1: plan: expected each field once"),
        ("plan: &x a\ntitle: *x\n", "expected the value itself"),
        ("plan: a\n---\nplan: b\n", "expected one plan a file"),
        ("? [a]\n: b\n", "expected a name before the colon"),
    ] {
        let told: Vec<_> = read(source).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|fault| fault.contains(part)), "{source:?}: {told:?}");
    }
    assert!(read(&"[".repeat(100_000)).is_err());
    assert!(read(&"- a\n".repeat(6_000)).unwrap_err()[0].expected.en.contains("at most 5000 values"));
    assert!(read(&"#".repeat(300_000)).unwrap_err()[0].expected.en.contains("bytes"));
    let filtered = "sales: { only: categori == 'x' }\nplan: a\n";
    let faults = read(filtered).unwrap_err();
    let filter = faults.iter().find(|fault| fault.field == "sales.only").unwrap();
    assert!(filter.message(Lang::Zh).starts_with("sales.only: 应为销售的字段（event_id"), "{filter:?}");
    let zh = read("plan: A\n").unwrap_err()[0].message(Lang::Zh);
    assert!(zh.contains("应为"), "{zh}");
}

#[test]
fn amounts_are_read_as_people_write_them() {
    for (text, expected) in [
        ("1,000.00", Some(100_000)),
        ("1 000", Some(100_000)),
        ("0.3", Some(30)),
        ("0.305", None),
        ("-1", None),
        (".5", None),
        ("5.", None),
        ("1e3", None),
        ("99999999999999999999", None),
    ] {
        let source = format!("{}limits:\n  per member: {text}\n", file("jewellery.yaml"));
        let read = read(&source).ok().and_then(|draft| draft.plan.cap_member_minor);
        assert_eq!(read, expected, "{text}");
    }
}
