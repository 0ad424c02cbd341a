//! Money at stake in a sliding window: what is spent, what calls under way hold, and what is left.

use std::collections::VecDeque;
use std::time::Duration;

use oaas_model::Timestamp;
use thiserror::Error;

/// Parts that a window is counted in. An amount leaves up to one part late, never early.
pub const WINDOW_PARTS: i64 = 60;
/// Longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// How long an unsettled reservation is held; afterwards it counts as spent at that moment.
pub const LEASE: Duration = Duration::from_secs(10 * 60);
/// Calls under way that one key holds money for.
pub const LEASES_PER_KEY_MAX: usize = 65_536;
/// Parts that a key keeps while its window is not known, after a start. Beyond it they become coarser.
const LOADED_PARTS_MAX: usize = 4096;

pub(crate) const LEASE_MS: i64 = 10 * 60 * 1000;
pub(crate) const WINDOW_MAX_MS: i64 = 31 * 24 * 60 * 60 * 1000;

/// What is limited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BudgetKey<'a> {
    /// Application. Example: "sales-portal".
    pub application: &'a str,
    /// Name of the budget in the catalog. Example: "coupon-face-value".
    pub budget: &'a str,
    /// Value of the field that the budget is kept per. Example: "BATCH-11-11".
    pub key: &'a str,
}

/// How much may be at stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetLimit {
    /// Minor units in any window.
    pub amount_minor: i64,
    /// The window's length, 1 ms to [`WINDOW_MAX`]. When it changes, amounts that the earlier, shorter
    /// window let go don't come back.
    pub window: Duration,
}

/// Why money could not be reserved.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BudgetError {
    /// It would be more than the limit.
    #[error(transparent)]
    Exhausted(#[from] BudgetExhausted),
    /// The amount or the limit makes no sense.
    #[error(transparent)]
    Invalid(#[from] BudgetInvalid),
}

/// More than the limit would be at stake.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{}", match .cause {
    BudgetCause::Used => format!("{used} of {limit} are at stake, {requested} more are too much"),
    BudgetCause::AboveLimit => format!("{requested} are more than the limit of {limit}"),
    BudgetCause::TooManyKeys => "too many budgets are kept at once".to_owned(),
    BudgetCause::TooManyCalls => "too many calls hold money at once".to_owned(),
})]
pub struct BudgetExhausted {
    /// Minor units in the window.
    pub limit: i64,
    /// Minor units spent or held in it.
    pub used: i64,
    /// Minor units asked for.
    pub requested: i64,
    /// When enough is free again if nothing more is spent, Unix milliseconds; when the cause is
    /// [`BudgetCause::AboveLimit`], when all of it is.
    pub frees_at_unix_ms: i64,
    /// What there is too little of.
    pub cause: BudgetCause,
}

/// What there is too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetCause {
    /// Money that is left.
    Used,
    /// Money at all: the amount can never be reserved under this limit.
    AboveLimit,
    /// Room for keys: what can't be counted is not allowed.
    TooManyKeys,
    /// Room for calls under way of this key.
    TooManyCalls,
}

/// An amount or limit that makes no sense.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BudgetInvalid {
    /// Money at stake is never below nothing; it would make room for others.
    #[error("amount must not be negative, is {0} minor units")]
    Negative(i64),
    /// A window must be 1 ms to [`WINDOW_MAX`] long.
    #[error("window must be 1 ms to 31 days, is {0:?}")]
    Window(Duration),
}

/// What became of reserved money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settle {
    /// It moved, or may have: it counts from now for a window.
    Spent,
    /// It certainly did not move: it is free again.
    Released,
}

/// The money of one key.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Length of a part, milliseconds; 1 until the window is known.
    part_ms: i64,
    limit: Option<BudgetLimit>,
    /// Number of the part since 1970 and what was spent in it, by part.
    parts: VecDeque<(i64, i64)>,
    spent: i128,
    /// Reservations in the order of their ids, which have no gaps.
    leases: VecDeque<Lease>,
    held: i128,
    next_lease: u64,
    /// The latest moment seen: when the wall clock goes back, the window stays.
    latest_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    amount: i64,
    until_ms: i64,
    open: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            part_ms: 1,
            limit: None,
            parts: VecDeque::new(),
            spent: 0,
            leases: VecDeque::new(),
            held: 0,
            next_lease: 0,
            latest_ms: i64::MIN,
        }
    }
}

impl Budget {
    /// Holds `amount` when the limit leaves room for it; the number of the reservation.
    pub fn reserve(
        &mut self,
        limit: &BudgetLimit,
        amount: i64,
        now: Timestamp,
    ) -> Result<u64, BudgetExhausted> {
        self.turn_to(limit);
        self.advance(now.unix_ms());
        let used = self.spent + self.held;
        let over = used + i128::from(amount) - i128::from(limit.amount_minor);
        let cause = if over > 0 {
            if amount > limit.amount_minor { BudgetCause::AboveLimit } else { BudgetCause::Used }
        } else if self.leases.len() >= LEASES_PER_KEY_MAX {
            BudgetCause::TooManyCalls
        } else {
            return Ok(self.hold(amount, now.unix_ms()));
        };
        Err(BudgetExhausted {
            limit: limit.amount_minor,
            used: clamped(used),
            requested: amount,
            frees_at_unix_ms: self.frees_at(cause, over),
            cause,
        })
    }

    /// Holds `amount` whatever the limit, because the call was admitted before; the reservation's number.
    pub fn hold(&mut self, amount: i64, unix_ms: i64) -> u64 {
        self.latest_ms = self.latest_ms.max(unix_ms);
        let until_ms = self.latest_ms.saturating_add(LEASE_MS);
        self.leases.push_back(Lease { amount, until_ms, open: true });
        self.held += i128::from(amount);
        self.next_lease += 1;
        self.next_lease - 1
    }

    /// Ends a reservation. One that is past its lease is spent already.
    pub fn settle(&mut self, lease: u64, settle: Settle, unix_ms: i64) {
        self.advance(unix_ms);
        let first = self.next_lease - u64::try_from(self.leases.len()).unwrap_or(0);
        let index = lease.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        let Some(lease) = index.and_then(|index| self.leases.get_mut(index)).filter(|lease| lease.open)
        else {
            return;
        };
        lease.open = false;
        let amount = lease.amount;
        self.held -= i128::from(amount);
        if settle == Settle::Spent {
            self.spend(amount, self.latest_ms);
        }
        while self.leases.front().is_some_and(|lease| !lease.open) {
            self.leases.pop_front();
        }
    }

    /// Adds what was spent at a moment that the journal or the store tells of.
    pub fn spend(&mut self, amount: i64, unix_ms: i64) {
        if amount == 0 {
            return;
        }
        let part = unix_ms.div_euclid(self.part_ms);
        let behind = self.parts.iter().rev().take_while(|(other, _)| *other > part).count();
        let index = self.parts.len() - behind;
        self.spent += i128::from(amount);
        // A part that is full goes on in a second one of the same number.
        if let Some((_, sum)) =
            index.checked_sub(1).and_then(|i| self.parts.get_mut(i)).filter(|(p, _)| *p == part)
            && let Some(more) = sum.checked_add(amount)
        {
            *sum = more;
            return;
        }
        self.parts.insert(index, (part, amount));
        if self.limit.is_none() && self.parts.len() > LOADED_PARTS_MAX {
            self.regroup(self.part_ms.saturating_mul(2));
        }
    }

    /// Lets go what is older than the window and turns leases that ended into spent money.
    pub fn advance(&mut self, unix_ms: i64) {
        self.latest_ms = self.latest_ms.max(unix_ms);
        while let Some(lease) =
            self.leases.front().copied().filter(|l| !l.open || l.until_ms <= self.latest_ms)
        {
            self.leases.pop_front();
            if lease.open {
                self.held -= i128::from(lease.amount);
                self.spend(lease.amount, lease.until_ms);
            }
        }
        while let Some((part, amount)) = self.parts.front().copied()
            && self.leaves_at(part) <= self.latest_ms
        {
            self.parts.pop_front();
            self.spent -= i128::from(amount);
        }
    }

    /// The last millisecond of the part that an amount spent at `unix_ms` counts in, and when it leaves:
    /// what the store keeps, so that a start finds the same parts. Seconds while the window is unknown.
    pub fn point_of(&self, unix_ms: i64) -> (i64, i64) {
        match self.limit {
            Some(_) => {
                let part = unix_ms.div_euclid(self.part_ms);
                (last_ms(part, self.part_ms), self.leaves_at(part))
            }
            None => {
                let point = last_ms(unix_ms.div_euclid(1000), 1000);
                (point, point.saturating_add(WINDOW_MAX_MS))
            }
        }
    }

    /// Limit asked for last, minor units spent, and held.
    pub fn usage(&self) -> (Option<BudgetLimit>, i64, i64) {
        (self.limit, clamped(self.spent), clamped(self.held))
    }

    /// Whether nothing counts any more.
    pub fn is_idle(&mut self, unix_ms: i64) -> bool {
        self.advance(unix_ms);
        self.parts.is_empty() && self.leases.is_empty()
    }

    fn turn_to(&mut self, limit: &BudgetLimit) {
        if self.limit.is_none_or(|known| known.window != limit.window) {
            self.limit = Some(*limit);
            let window_ms = i64::try_from(limit.window.as_millis()).unwrap_or(WINDOW_MAX_MS);
            self.regroup(((window_ms + WINDOW_PARTS - 1) / WINDOW_PARTS).max(1));
        }
        self.limit = Some(*limit);
    }

    /// Counts in parts of another length. Each amount goes where its part's last millisecond lies, so
    /// that it leaves later rather than earlier.
    fn regroup(&mut self, part_ms: i64) {
        let (before, parts) = (self.part_ms, std::mem::take(&mut self.parts));
        self.part_ms = part_ms.max(1);
        self.spent = 0;
        for (part, amount) in parts {
            self.spend(amount, last_ms(part, before));
        }
    }

    /// When no window that ends then or later holds anything of the part. A window can begin inside a
    /// part, which then counts whole: that is one part more than the window has.
    fn leaves_at(&self, part: i64) -> i64 {
        match self.limit {
            Some(_) => part.saturating_add(WINDOW_PARTS + 1).saturating_mul(self.part_ms),
            None => last_ms(part, self.part_ms).saturating_add(WINDOW_MAX_MS),
        }
    }

    /// When `over` has left, if nothing is settled or spent meanwhile.
    fn frees_at(&self, cause: BudgetCause, over: i128) -> i64 {
        let spent = self.parts.iter().map(|(part, amount)| (self.leaves_at(*part), *amount));
        let held = self
            .leases
            .iter()
            .filter(|lease| lease.open)
            .map(|lease| (self.leaves_at(lease.until_ms.div_euclid(self.part_ms)), lease.amount));
        let mut leaving = spent.chain(held);
        if cause == BudgetCause::TooManyCalls {
            return self.leases.front().map_or(self.latest_ms, |lease| lease.until_ms);
        }
        let mut left = over;
        let enough = leaving.by_ref().find(|(_, amount)| {
            left -= i128::from(*amount);
            left <= 0 && cause == BudgetCause::Used
        });
        let last = self.leases.back().map_or(self.latest_ms, |lease| lease.until_ms).max(self.latest_ms);
        enough.map_or_else(|| self.leaves_at(last.div_euclid(self.part_ms)), |(at, _)| at)
    }
}

fn last_ms(part: i64, part_ms: i64) -> i64 {
    part.saturating_mul(part_ms).saturating_add(part_ms - 1)
}

fn clamped(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}
