//! The side that decides: counters in memory by application, without IO and without waiting for any.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use oaas_model::Timestamp;
use parking_lot::{Mutex, RwLock};

use crate::budget::Budget;
use crate::calendar::Span;
use crate::names::Map;
use crate::quota::Calls;
use crate::usage::{BudgetUsage, LISTED_MAX, QuotaUsage, Usage};
use crate::{
    BudgetCause, BudgetError, BudgetExhausted, BudgetInvalid, BudgetKey, BudgetLimit, QuotaCause,
    QuotaExhausted, QuotaKey, QuotaLimit, QuotaTaken, Settle, WINDOW_MAX,
};

/// Applications that are counted at once.
pub const APPLICATIONS_MAX: usize = 65_536;
/// Services of one application that are counted at once.
pub const SERVICES_PER_APPLICATION_MAX: usize = 4096;
/// Budget keys of one application at once: their values come with requests, so that one application
/// must not be able to fill the room of all.
pub const BUDGET_KEYS_PER_APPLICATION_MAX: usize = 16_384;
/// Budget keys of all applications at once, some 1 KiB each at most.
pub const BUDGET_KEYS_MAX: usize = 131_072;

/// Money that is held for a call; see [`crate::Meters::settle`]. Dropped unsettled it stays held until
/// its lease ends, and then counts as spent.
#[derive(Debug)]
#[must_use = "settle it, or the money counts as spent when the lease ends"]
pub struct Reservation {
    budget: Arc<Mutex<Budget>>,
    lease: u64,
}

impl Reservation {
    pub(crate) fn settle(self, settle: Settle, unix_ms: i64) {
        self.budget.lock().settle(self.lease, settle, unix_ms);
    }
}

#[derive(Default)]
pub(crate) struct Live {
    applications: RwLock<Map<Box<str>, Mutex<Application>>>,
    budget_keys: AtomicUsize,
    /// Counts changes of what [`Live::quota_point`] answers.
    offsets: AtomicU64,
}

/// Hashed so that no one can foresee it, other than the names around it: these values come with requests,
/// and stay.
type BudgetKeys = HashMap<Box<str>, Arc<Mutex<Budget>>>;

#[derive(Default)]
struct Application {
    quotas: Map<Box<str>, Calls>,
    /// By budget, then by key.
    budgets: Map<Box<str>, BudgetKeys>,
    budget_keys: usize,
    /// When it was last looked through for idle keys because there was no room.
    swept_ms: i64,
}

/// A full application is looked through for idle keys no more often than this: it costs as many steps as
/// it has keys, and a caller who sends ever new ones must not get that from each call.
const SWEEP_EVERY_MS: i64 = 1000;

/// No room for a key.
#[derive(Debug)]
struct Full;

impl Live {
    pub fn take_quota(
        &self,
        key: QuotaKey<'_>,
        limit: &QuotaLimit,
        now: Timestamp,
    ) -> Result<QuotaTaken, QuotaExhausted> {
        let now_ms = now.unix_ms();
        let taken = self.within(key.application, now_ms, |application| {
            application.calls(key.service, now_ms, |calls| {
                let before = calls.offset();
                let taken = calls.take(limit, now);
                if calls.offset() != before {
                    self.offsets.fetch_add(1, Ordering::Release);
                }
                taken
            })
        });
        taken.and_then(|taken| taken).unwrap_or_else(|Full| {
            let span = Span::of(limit.period, limit.utc_offset_minutes, now_ms);
            Err(QuotaExhausted {
                limit: limit.calls,
                used: 0,
                resets_at_unix_ms: span.end,
                cause: QuotaCause::TooManyKeys,
            })
        })
    }

    pub fn give_back_quota(&self, key: QuotaKey<'_>, limit: &QuotaLimit, taken_at: Timestamp) {
        if let Some(application) = self.applications.read().get(key.application)
            && let Some(calls) = application.lock().quotas.get_mut(key.service)
        {
            calls.give_back(limit, taken_at);
        }
    }

    /// Counts calls that the journal or the store tells of; `false` when there is no room for the key.
    pub fn count_calls(&self, key: QuotaKey<'_>, unix_ms: i64, calls: i64, now_ms: i64) -> bool {
        self.within(key.application, now_ms, |application| {
            application.calls(key.service, now_ms, |known| known.count_at(unix_ms, calls))
        })
        .is_ok_and(|counted| counted.is_ok())
    }

    /// Changes when what [`Live::quota_point`] answers may have changed, so that its answers can be kept.
    pub fn offsets(&self) -> u64 {
        self.offsets.load(Ordering::Acquire)
    }

    /// The moment under which the store counts a call that was made at `unix_ms`, for a key that calls of
    /// this process have asked for; `None` when no limit was asked for.
    pub fn quota_point(&self, key: QuotaKey<'_>, unix_ms: i64) -> Option<i64> {
        let applications = self.applications.read();
        let application = applications.get(key.application)?.lock();
        application.quotas.get(key.service)?.day_of(unix_ms)
    }

    pub fn reserve(
        &self,
        key: BudgetKey<'_>,
        limit: &BudgetLimit,
        amount: i64,
        now: Timestamp,
    ) -> Result<Reservation, BudgetError> {
        if amount < 0 {
            return Err(BudgetInvalid::Negative(amount).into());
        }
        if limit.window.as_millis() == 0 || limit.window > WINDOW_MAX {
            return Err(BudgetInvalid::Window(limit.window).into());
        }
        let now_ms = now.unix_ms();
        let reserved = self.with_budget(key, now_ms, |budget| {
            let reserved = budget.lock().reserve(limit, amount, now);
            reserved.map(|lease| Reservation { budget: Arc::clone(budget), lease })
        });
        match reserved {
            Ok(reserved) => Ok(reserved?),
            Err(Full) => {
                let window_ms = i64::try_from(limit.window.as_millis()).unwrap_or(i64::MAX);
                Err(BudgetExhausted {
                    limit: limit.amount_minor,
                    used: 0,
                    requested: amount,
                    frees_at_unix_ms: now_ms.saturating_add(window_ms),
                    cause: BudgetCause::TooManyKeys,
                }
                .into())
            }
        }
    }

    /// Holds money of a call that was admitted before a crash; `None` when there is no room for the key.
    pub fn hold(&self, key: BudgetKey<'_>, amount: i64, unix_ms: i64, now_ms: i64) -> Option<Reservation> {
        self.with_budget(key, now_ms, |budget| {
            let lease = budget.lock().hold(amount, unix_ms);
            Reservation { budget: Arc::clone(budget), lease }
        })
        .ok()
    }

    /// Adds money that was spent before a crash; `false` when there is no room for the key.
    pub fn spend(&self, key: BudgetKey<'_>, amount: i64, unix_ms: i64, now_ms: i64) -> bool {
        self.with_budget(key, now_ms, |budget| budget.lock().spend(amount, unix_ms)).is_ok()
    }

    /// The moment under which money spent at `unix_ms` is stored, and when it leaves the window.
    pub fn budget_point(&self, key: BudgetKey<'_>, unix_ms: i64) -> (i64, i64) {
        let applications = self.applications.read();
        let application = applications.get(key.application).map(Mutex::lock);
        let budget =
            application.as_ref().and_then(|a| a.budgets.get(key.budget)).and_then(|b| b.get(key.key));
        budget.map_or_else(|| Budget::default().point_of(unix_ms), |budget| budget.lock().point_of(unix_ms))
    }

    /// Forgets keys in whose running period or window nothing is counted.
    pub fn sweep(&self, now_ms: i64) {
        let mut applications = self.applications.write();
        applications.retain(|_, application| {
            let application = application.get_mut();
            self.budget_keys.fetch_sub(application.sweep(now_ms), Ordering::Relaxed);
            !application.quotas.is_empty() || !application.budgets.is_empty()
        });
        self.offsets.fetch_add(1, Ordering::Release);
    }

    /// What is used, of one application or of all, in the order of names, at most [`LISTED_MAX`] lines of
    /// each kind.
    pub fn usage(&self, only: Option<&str>, now_ms: i64) -> Usage {
        let mut usage = Usage::default();
        let applications = self.applications.read();
        for (name, application) in applications.iter().filter(|(name, _)| only.is_none_or(|o| o == &***name))
        {
            application.lock().list(name, now_ms, &mut usage);
        }
        usage.quotas.sort_by(|a, b| (&a.application, &a.service).cmp(&(&b.application, &b.service)));
        usage
            .budgets
            .sort_by(|a, b| (&a.application, &a.budget, &a.key).cmp(&(&b.application, &b.budget, &b.key)));
        usage.quotas.truncate(LISTED_MAX);
        usage.budgets.truncate(LISTED_MAX);
        usage
    }

    fn with_budget<T>(
        &self,
        key: BudgetKey<'_>,
        now_ms: i64,
        act: impl FnOnce(&Arc<Mutex<Budget>>) -> T,
    ) -> Result<T, Full> {
        // The budget is changed while its application is locked, so that a sweep can't take it away.
        self.within(key.application, now_ms, |application| {
            application.budget(key, now_ms, &self.budget_keys, act)
        })?
    }

    fn within<T>(&self, name: &str, now_ms: i64, act: impl FnOnce(&mut Application) -> T) -> Result<T, Full> {
        if let Some(application) = self.applications.read().get(name) {
            return Ok(act(&mut application.lock()));
        }
        if self.applications.read().len() >= APPLICATIONS_MAX {
            self.sweep(now_ms);
        }
        let mut applications = self.applications.write();
        if applications.len() >= APPLICATIONS_MAX && !applications.contains_key(name) {
            return Err(Full);
        }
        Ok(act(applications.entry(name.into()).or_default().get_mut()))
    }
}

impl Application {
    fn calls<T>(&mut self, service: &str, now_ms: i64, act: impl FnOnce(&mut Calls) -> T) -> Result<T, Full> {
        if let Some(calls) = self.quotas.get_mut(service) {
            return Ok(act(calls));
        }
        if self.quotas.len() >= SERVICES_PER_APPLICATION_MAX {
            self.quotas.retain(|_, calls| !calls.is_idle(now_ms));
        }
        if self.quotas.len() >= SERVICES_PER_APPLICATION_MAX {
            return Err(Full);
        }
        Ok(act(self.quotas.entry(service.into()).or_default()))
    }

    fn budget<T>(
        &mut self,
        key: BudgetKey<'_>,
        now_ms: i64,
        all: &AtomicUsize,
        act: impl FnOnce(&Arc<Mutex<Budget>>) -> T,
    ) -> Result<T, Full> {
        if let Some(budget) = self.budgets.get(key.budget).and_then(|keys| keys.get(key.key)) {
            return Ok(act(budget));
        }
        let full = |own: usize| {
            own >= BUDGET_KEYS_PER_APPLICATION_MAX || all.load(Ordering::Relaxed) >= BUDGET_KEYS_MAX
        };
        if full(self.budget_keys) && self.swept_ms.saturating_add(SWEEP_EVERY_MS) <= now_ms {
            self.swept_ms = now_ms;
            all.fetch_sub(self.sweep(now_ms), Ordering::Relaxed);
        }
        if full(self.budget_keys) {
            return Err(Full);
        }
        self.budget_keys += 1;
        all.fetch_add(1, Ordering::Relaxed);
        let keys = self.budgets.entry(key.budget.into()).or_default();
        Ok(act(keys.entry(key.key.into()).or_default()))
    }

    /// Forgets what is idle; how many budget keys that were.
    fn sweep(&mut self, now_ms: i64) -> usize {
        self.quotas.retain(|_, calls| !calls.is_idle(now_ms));
        let before = self.budget_keys;
        for keys in self.budgets.values_mut() {
            keys.retain(|_, budget| !budget.lock().is_idle(now_ms));
        }
        self.budgets.retain(|_, keys| !keys.is_empty());
        self.budget_keys = self.budgets.values().map(HashMap::len).sum();
        before - self.budget_keys
    }

    fn list(&self, name: &str, now_ms: i64, usage: &mut Usage) {
        for (service, calls) in &self.quotas {
            if let Some((limit, used, resets_at_unix_ms)) = calls.usage(now_ms) {
                let (application, service) = (name.to_owned(), service.to_string());
                usage.quotas.push(QuotaUsage { application, service, limit, used, resets_at_unix_ms });
            }
        }
        for (budget, keys) in &self.budgets {
            for (key, state) in keys {
                let mut state = state.lock();
                state.advance(now_ms);
                let (limit, spent_minor, held_minor) = state.usage();
                usage.budgets.push(BudgetUsage {
                    application: name.to_owned(),
                    budget: budget.to_string(),
                    key: key.to_string(),
                    limit,
                    spent_minor,
                    held_minor,
                });
            }
        }
    }
}
