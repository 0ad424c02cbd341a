//! The smallest payout and the caps.

use super::book::Book;
use super::calculate::CalculateError;
use super::exact::apportion;
use super::line::{Line, LineKind};
use super::plan::{Plan, WHOLE_BP};

/// Posts what the smallest payout and the caps take off, in this order.
pub(super) fn limit(plan: &Plan, margin: i128, book: &mut Book<'_, '_>) -> Result<(), CalculateError> {
    let least = i128::from(plan.payout_min_minor);
    let cap = plan.cap_member_minor.map(i128::from);
    for (member_id, amount) in book.amounts() {
        if amount > 0 && amount < least {
            let kind = LineKind::PayoutMinimum { least };
            book.post(member_id, Line::adjustment(kind, None, amount, -amount))?;
        } else if let Some(cap) = cap.filter(|cap| amount > *cap) {
            let kind = LineKind::MemberCap { cap };
            book.post(member_id, Line::adjustment(kind, None, amount, cap - amount))?;
        }
    }
    let Some((cap, kind)) = cap_of_all(plan, margin) else { return Ok(()) };
    if book.total()? > cap {
        let amounts = book.amounts();
        let shares = apportion(cap, &amounts).ok_or(CalculateError::Overflow)?;
        for ((member_id, amount), share) in amounts.into_iter().zip(shares) {
            if share != amount {
                book.post(member_id, Line::adjustment(kind, None, amount, share - amount))?;
            }
        }
    }
    Ok(())
}

/// What the smallest payout and the caps leave of `amounts`, which are by id and of all members.
pub(super) fn limited(plan: &Plan, margin: i128, amounts: &[(&str, i128)]) -> Option<Vec<i128>> {
    let own: Vec<(&str, i128)> = amounts.iter().map(|(id, amount)| (*id, of_member(plan, *amount))).collect();
    let total = own.iter().try_fold(0i128, |sum, (_, amount)| sum.checked_add(*amount))?;
    match cap_of_all(plan, margin).filter(|(cap, _)| total > *cap) {
        Some((cap, _)) => apportion(cap, &own),
        None => Some(own.into_iter().map(|(_, amount)| amount).collect()),
    }
}

/// What the smallest payout and the member's cap leave of an amount.
pub(super) fn of_member(plan: &Plan, amount: i128) -> i128 {
    if amount < plan.payout_min_minor.into() {
        return 0;
    }
    plan.cap_member_minor.map_or(amount, |cap| amount.min(cap.into()))
}

/// The cap for all members together: the plan's, or its share of the margin when that is lower.
pub(super) fn cap_of_all(plan: &Plan, margin: i128) -> Option<(i128, LineKind)> {
    let by_plan = plan.cap_plan_minor.map(|cap| (i128::from(cap), LineKind::PlanCap { cap: cap.into() }));
    let by_margin = plan.cap_margin_bp.map(|rate_bp| {
        let cap = margin.max(0).saturating_mul(rate_bp.into()) / i128::from(WHOLE_BP);
        (cap, LineKind::MarginCap { cap, margin, rate_bp })
    });
    match (by_plan, by_margin) {
        (Some(plan), Some(margin)) if margin.0 < plan.0 => Some(margin),
        (Some(plan), _) => Some(plan),
        (None, margin) => margin,
    }
}
