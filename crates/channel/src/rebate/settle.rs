//! Settlement: what is due for a period that is over, what of it is paid, and what is carried.

use oaas_model::{Currency, Money};

use super::law::Text;
use super::plan::{Payout, PayoutKind};

/// What one member's account of a period adds up to, minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Carried from the settlement before; negative for a debt.
    pub opening: i64,
    /// Accrued for the period.
    pub accrued: i64,
    /// Posted to earlier periods since they were settled.
    pub adjusted: i64,
}

/// What is done with it: `opening + accrued + adjusted = paid + carried`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The account.
    pub account: Account,
    /// Paid, minor units; never negative.
    pub paid: i64,
    /// Units of goods; zero for credit and cash.
    pub units: i64,
    /// Carried to the next settlement, minor units.
    pub carried: i64,
}

/// Pays what is due: nothing of a debt or of less than the payout carries, whole units of goods.
/// `None` beyond 64 bits.
#[must_use]
pub fn settle(account: Account, payout: &Payout) -> Option<Settled> {
    let due = account.opening.checked_add(account.accrued)?.checked_add(account.adjusted)?;
    if due <= 0 || due < payout.carry_under_minor {
        return Some(Settled { account, paid: 0, units: 0, carried: due });
    }
    let (paid, units) = match &payout.kind {
        PayoutKind::Credit | PayoutKind::Cash => (due, 0),
        PayoutKind::Goods { unit_value_minor, .. } => {
            let units = due.checked_div(*unit_value_minor)?;
            (units.checked_mul(*unit_value_minor)?, units)
        }
    };
    Some(Settled { account, paid, units, carried: due - paid })
}

impl Settled {
    /// The statement in words.
    #[must_use]
    pub fn explain(&self, payout: &Payout, currency: Currency) -> Text {
        let money = |minor: i64| Money::new(minor.into(), currency).to_string();
        let Account { opening, accrued, adjusted } = self.account;
        let due = opening.saturating_add(accrued).saturating_add(adjusted);
        let (opening, accrued, adjusted) = (money(opening), money(accrued), money(adjusted));
        let (done, done_zh) = match &payout.kind {
            _ if due < 0 => ("a debt, which is carried".to_owned(), "为欠款，结转下期".to_owned()),
            _ if self.paid == 0 && due > 0 => (
                format!("too small to be paid ({}), which is carried", money(self.smallest(payout))),
                format!("不足支付起点（{}），结转下期", money(self.smallest(payout))),
            ),
            PayoutKind::Goods { sku, .. } => (
                format!(
                    "paid with {} × {sku} for {}, {} carried",
                    self.units,
                    money(self.paid),
                    money(self.carried)
                ),
                format!("以 {sku} {} 件支付 {}，结转 {}", self.units, money(self.paid), money(self.carried)),
            ),
            PayoutKind::Cash => ("paid in cash".to_owned(), "以现金支付".to_owned()),
            PayoutKind::Credit => ("credited".to_owned(), "记入贷项，抵扣后续货款".to_owned()),
        };
        let due = money(due);
        Text {
            en: format!(
                "{opening} carried in + {accrued} for the period + {adjusted} for earlier periods = {due}: {done}"
            ),
            zh: format!(
                "上期结转 {opening} + 本期计提 {accrued} + 以前期间调整 {adjusted} = {due}：{done_zh}"
            ),
        }
    }

    fn smallest(&self, payout: &Payout) -> i64 {
        match payout.kind {
            PayoutKind::Goods { unit_value_minor, .. } => unit_value_minor.max(payout.carry_under_minor),
            _ => payout.carry_under_minor,
        }
    }
}
