//! Settlement, the true-up and the ledger's chain in the core.

use super::super::*;
use super::{plan, schedule};

#[test]
fn goods_are_paid_whole_and_small_amounts_are_carried() {
    let goods = PayoutKind::Goods { sku: "filter".to_owned(), unit_value_minor: 4_900 };
    let credit = PayoutKind::Credit;
    for (kind, carry_under_minor, due, expected) in [
        (&credit, 0, 1, (1, 0, 0)),
        (&credit, 100, 99, (0, 0, 99)),
        (&credit, 100, 100, (100, 0, 0)),
        (&credit, 0, -5, (0, 0, -5)),
        (&goods, 0, 10_000, (9_800, 2, 200)),
        (&goods, 0, 4_899, (0, 0, 4_899)),
        (&goods, 0, -1, (0, 0, -1)),
    ] {
        let payout = Payout { kind: kind.clone(), carry_under_minor };
        let settled = settle(Account { opening: 0, accrued: due, adjusted: 0 }, &payout).unwrap();
        assert_eq!((settled.paid, settled.units, settled.carried), expected, "{payout:?} {due}");
    }
    let payout = Payout { kind: goods, carry_under_minor: 0 };
    let settled = settle(Account { opening: 100, accrued: 10_000, adjusted: -50 }, &payout).unwrap();
    let words = settled.explain(&payout, oaas_model::Currency::parse("CNY").unwrap());
    assert!(
        words.en.ends_with("= 100.50 CNY: paid with 2 × filter for 98.00 CNY, 2.50 CNY carried"),
        "{words:?}"
    );
    assert!(settle(Account { opening: i64::MAX, accrued: 1, adjusted: 0 }, &payout).is_none());
}

#[test]
fn a_true_up_is_what_earlier_sales_gain_by_the_new_tier() {
    let tiers = |mode| Some(schedule(mode, TierScope::Period, &[(0, 100), (100_000, 300)]));
    let retroactive = Plan { tiers: tiers(TierMode::Retroactive), ..plan("CNY") };
    let marginal = Plan { tiers: tiers(TierMode::Marginal), ..plan("CNY") };
    let at = |threshold, pay, base| Some(TierReached { threshold, pay, base });
    let (low, high) = (at(0, Pay::Rate(100), 60_000), at(100_000, Pay::Rate(300), 150_000));
    for (plan, before, now, expected) in [
        (&retroactive, low, high, 1_200),
        // Back below the threshold: what was paid too much on all that there was.
        (&retroactive, high, low, -3_000),
        (&retroactive, high, high, 0),
        (&retroactive, None, high, 0),
        (&retroactive, low, None, 0),
        (&retroactive, low, at(100_000, Pay::PerUnit(5), 9), 0),
        (&marginal, low, high, 0),
    ] {
        assert_eq!(true_up(plan, before, now), expected, "{before:?} {now:?}");
    }
}

#[test]
fn a_line_of_before_details_were_kept_still_follows() {
    let entry = |sequence, detail| Entry {
        sequence,
        plan_id: "p".to_owned(),
        plan_version: 1,
        period_start: super::DAY.first_of_month(),
        member_id: "d".to_owned(),
        amount_minor: 5,
        balance_minor: 5,
        posted_at_ms: 0,
        facts: [7; 32],
        detail,
    };
    let first = entry(1, None).seal(NO_HASH);
    let second = entry(2, Some([9; 32])).seal(first.hash);
    assert_eq!(first_broken(&[first.clone(), second.clone()]), None);
    let mut changed = second;
    changed.entry.detail = Some([8; 32]);
    assert_eq!(first_broken(&[first, changed]), Some(2));
}
