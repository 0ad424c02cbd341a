//! The meters as the gateway holds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use oaas_audit::RecordView;
use oaas_model::{Clock, Timestamp};
use oaas_store::{Store, StoreError};
use parking_lot::{Mutex, MutexGuard};

use crate::batch::Batch;
use crate::live::{Live, Reservation};
use crate::projection::{ObserveError, Projection, Source};
use crate::tables;
use crate::usage::{CallUsage, DayUsage, LISTED_MAX, Sum, Usage};
use crate::{BudgetError, BudgetKey, BudgetLimit, QuotaExhausted, QuotaKey, QuotaLimit, QuotaTaken, Settle};

/// How often what counts nowhere any more is deleted from store and memory.
const CLEAN_EVERY_MS: i64 = 60_000;

/// The place of a record in a journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The journal's name; empty before the first record.
    pub instance: String,
    /// The record's sequence; 0 before the first.
    pub sequence: u64,
}

/// Quotas, budgets and usage of this process. Clones are handles to the same.
#[derive(Clone)]
pub struct Meters {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    live: Live,
    projection: Mutex<Projection>,
    /// One flush at a time, so that batches reach the store in their order.
    flushing: tokio::sync::Mutex<()>,
    cleaned_ms: AtomicI64,
}

impl Meters {
    /// Loads the counters. The mark names the last record in them: give the records behind it to
    /// [`Meters::replay`], in their order, before the first call.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn open(store: &Store, clock: Arc<dyn Clock>) -> Result<(Self, Mark), StoreError> {
        tables::migrate(store).await?;
        let now_ms = clock.now().unix_ms();
        let stored = tables::load(store, now_ms).await?;
        let live = Live::default();
        for (application, service, start, calls) in &stored.calls {
            live.count_calls(QuotaKey { application, service }, *start, *calls, now_ms);
        }
        for (application, budget, key, point, amount) in &stored.money {
            live.spend(BudgetKey { application, budget, key }, *amount, *point, now_ms);
        }
        let mut projection = Projection::new(stored.marks, stored.mark.clone(), stored.last_batch);
        for (call, row) in &stored.open {
            projection.restore(*call, row, &live, now_ms);
        }
        let shared = Shared {
            store: store.clone(),
            clock,
            live,
            projection: Mutex::new(projection),
            flushing: tokio::sync::Mutex::new(()),
            cleaned_ms: AtomicI64::new(now_ms),
        };
        Ok((Self { shared: Arc::new(shared) }, stored.mark))
    }

    /// Counts a record of a process before this one: its intents against quota and budget, its outcomes
    /// as settlements. A record that is in the counters already changes nothing.
    pub fn replay(&self, record: &RecordView<'_>) {
        let replayed = self.shared.projection.lock().add(record, Source::Before, &self.shared.live);
        if let Err(error) = replayed {
            tracing::error!(%error, "a record of the journal was not replayed");
        }
    }

    /// Counts a record that this process has written, so that a flush can store it. Give every record of
    /// the journal, in the order of the sequence: from a reader that follows the journal from
    /// [`Meters::mark`], or from its writer. Records that never come here are replayed at the next start.
    ///
    /// # Errors
    /// When a record before it was left out, or the store is away for too long; read again from
    /// [`Meters::mark`] later.
    pub fn observe(&self, record: &RecordView<'_>) -> Result<(), ObserveError> {
        self.shared.projection.lock().add(record, Source::Own, &self.shared.live)
    }

    /// The same for many records in a row: what is locked for each of them costs as much as summing it.
    /// Who waits for it meanwhile (a flush, the usage of a sampled call) comes in before the next record.
    #[must_use]
    pub fn observing(&self) -> Observing<'_> {
        Observing { projection: self.shared.projection.lock(), live: &self.shared.live }
    }

    /// The last record that was replayed or observed.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.shared.projection.lock().mark().clone()
    }

    /// Counts a call against its quota, when there is one left. No IO, no wait.
    ///
    /// # Errors
    /// When the period's calls are used, or there is no room for another key.
    pub fn take_quota(
        &self,
        key: QuotaKey<'_>,
        limit: &QuotaLimit,
        now: Timestamp,
    ) -> Result<QuotaTaken, QuotaExhausted> {
        self.shared.live.take_quota(key, limit, now)
    }

    /// Takes back the count of a call that was taken at `taken_at` and never made.
    pub fn give_back_quota(&self, key: QuotaKey<'_>, limit: &QuotaLimit, taken_at: Timestamp) {
        self.shared.live.give_back_quota(key, limit, taken_at);
    }

    /// Holds money that a call puts at stake, when the window has room for it. No IO, no wait.
    ///
    /// # Errors
    /// When the budget has no room, or when the amount or the window makes no sense.
    pub fn reserve(
        &self,
        key: BudgetKey<'_>,
        limit: &BudgetLimit,
        amount_minor: i64,
        now: Timestamp,
    ) -> Result<Reservation, BudgetError> {
        self.shared.live.reserve(key, limit, amount_minor, now)
    }

    /// Ends a reservation: the money counts from now for a window, or is free again.
    pub fn settle(&self, reservation: Reservation, outcome: Settle, now: Timestamp) {
        reservation.settle(outcome, now.unix_ms());
    }

    /// Adds a call to the usage of its minute. For calls that leave no record in the journal (those of
    /// sampled methods): [`Meters::observe`] adds the others.
    pub fn record_usage(&self, call: &CallUsage<'_>, now: Timestamp) {
        let sum = Sum { calls: 1, units: call.units, price_micros: call.price_micros };
        let mut projection = self.shared.projection.lock();
        let [application, method, currency] =
            [call.application, call.method, call.currency].map(str::as_bytes);
        projection.add_usage(application, method, call.status, currency, sum, now.unix_ms());
    }

    /// Stores what was counted up to `durable`, the last record that is known to be on the disk, in one
    /// transaction with its mark. What was observed beyond it waits for the next flush: a counter must not
    /// survive a power cut that its record does not. Once a minute it also forgets what is idle.
    ///
    /// # Errors
    /// When the store refuses; nothing is lost, the next flush stores it.
    pub async fn flush(&self, durable: Mark) -> Result<(), StoreError> {
        let shared = &self.shared;
        let _one = shared.flushing.lock().await;
        let now_ms = shared.clock.now().unix_ms();
        let batches = {
            let mut projection = shared.projection.lock();
            projection.end_leases(now_ms, &shared.live);
            projection.take_covered(&durable)
        };
        if !batches.is_empty() {
            self.store(batches, now_ms).await?;
        }
        if shared.cleaned_ms.load(Ordering::Relaxed).saturating_add(CLEAN_EVERY_MS) <= now_ms {
            shared.cleaned_ms.store(now_ms, Ordering::Relaxed);
            shared.live.sweep(now_ms);
            tables::clean(&shared.store, now_ms).await?;
        }
        Ok(())
    }

    /// What is used of quotas and budgets now, of one application or of all.
    #[must_use]
    pub fn usage(&self, application: Option<&str>, now: Timestamp) -> Usage {
        self.shared.live.usage(application, now.unix_ms())
    }

    /// What was stored of usage on the days `first_day` to `last_day` (UTC, counted from 1970-01-01), at
    /// most 10,000 lines.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn usage_by_day(
        &self,
        application: Option<&str>,
        first_day: i64,
        last_day: i64,
    ) -> Result<Vec<DayUsage>, StoreError> {
        tables::days(&self.shared.store, application, first_day, last_day, LISTED_MAX).await
    }

    async fn store(&self, batches: Vec<Batch>, now_ms: i64) -> Result<(), StoreError> {
        // Put back by its drop, so that a flush that is cancelled loses nothing either.
        let mut taken = Taken { shared: &self.shared, batches };
        tables::add(&self.shared.store, &taken.batches, now_ms).await?;
        taken.batches.clear();
        Ok(())
    }
}

/// The journal side, taken for many records. To be dropped before anything else is asked of the meters in the
/// same thread.
pub struct Observing<'a> {
    projection: MutexGuard<'a, Projection>,
    live: &'a Live,
}

impl Observing<'_> {
    /// Counts a record, as [`Meters::observe`] does.
    ///
    /// # Errors
    /// As there.
    pub fn observe(&mut self, record: &RecordView<'_>) -> Result<(), ObserveError> {
        MutexGuard::bump(&mut self.projection);
        self.projection.add(record, Source::Own, self.live)
    }
}

/// Batches on their way to the store.
struct Taken<'a> {
    shared: &'a Shared,
    batches: Vec<Batch>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.batches.is_empty() {
            self.shared.projection.lock().put_back(std::mem::take(&mut self.batches));
        }
    }
}
