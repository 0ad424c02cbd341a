//! The side that remembers: sums of audit records, in the order of the journal, ready to be stored with
//! the mark of the last record that is in them. No IO.

use std::collections::{BTreeMap, VecDeque};

use oaas_audit::{EventView, HeadView, IntentView, RecordView, RefusalSumView, Text};
use oaas_model::Reason;
use thiserror::Error;

use crate::batch::{Batch, CallKey, CallsKey, MinuteKey, MoneyKey, OpenRow};
use crate::budget::LEASE_MS;
use crate::calendar::{DAY_MS, HOUR_MS, MINUTE_MS, floor};
use crate::live::{Live, Reservation};
use crate::names::{Map, Name, Names};
use crate::quota::KEPT_MS;
use crate::tables::StoredCall;
use crate::usage::Sum;
use crate::{BudgetKey, Ended, Mark, QuotaKey, Settle};

/// Sums, and names of theirs, that wait to be stored. While the store is away for long, records are left in the
/// journal.
const WAITING_MAX: usize = 500_000;
/// Calls under way that are followed. A call beyond it is taken as made and its money as spent.
pub(crate) const OPEN_MAX: usize = 262_144;
/// Batches that wait to be stored; beyond it the last one grows.
const SEALED_MAX: usize = 64;
/// Journals of which the last record is remembered; beyond it one is forgotten.
pub(crate) const INSTANCES_MAX: usize = 64;

/// Why a record was not taken. Nothing is lost by it: the mark stays, so that the record is read again.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ObserveError {
    /// A record before it was left out.
    #[error("record {sequence} of {instance} came where {expected} was expected")]
    Gap {
        /// The journal.
        instance: String,
        /// The record that must come next.
        expected: u64,
        /// The one that came.
        sequence: u64,
    },
    /// The store is away, and as many sums wait as may.
    #[error("{0} sums wait for the store")]
    Full(usize),
}

/// A call that has an intent and no end. Its names are those of the running batch.
#[derive(Debug)]
struct OpenCall {
    application: Name,
    service: Name,
    at_ms: i64,
    /// The moment that its call is counted under.
    point_ms: i64,
    /// Money that is neither spent nor released.
    stakes: Vec<OpenStake>,
    /// Whether the store, or a batch before the running one, has it.
    stored: bool,
    /// Whether the running batch has to store it, unless it ends before.
    is_news: bool,
    /// Whether this process admitted it, so that it settles by itself; or one before it.
    own: bool,
}

#[derive(Debug)]
struct OpenStake {
    budget: Name,
    key: Name,
    amount: i64,
    /// The live side's hold, for a call that a process before this one admitted.
    held: Option<Reservation>,
}

/// The records' sums since the last flush.
#[derive(Default)]
pub(crate) struct Projection {
    /// Last record of each journal; of the one that is being read, up to when its reading began.
    marks: BTreeMap<String, u64>,
    /// The last record of all.
    current: Mark,
    open: Map<CallKey, OpenCall>,
    /// How many of them the running batch has to store.
    news: usize,
    batch: Batch,
    /// Names in the running batch of calls that were under way when it began; as many as these may have.
    carried: usize,
    /// Where calls are counted, by application and service; as long as the running batch.
    points: Map<(Name, Name), Point>,
    sealed: VecDeque<Batch>,
    /// Size of the sealed batches.
    sealed_size: usize,
    last_batch: u64,
}

/// The moment under which the store counts a key's calls.
#[derive(Clone, Copy)]
struct Point {
    point_ms: i64,
    /// From when on, and before when calls are counted there.
    from_ms: i64,
    until_ms: i64,
    /// The live side's offsets that it was found with.
    offsets: u64,
}

/// Whether a record was admitted by this process or by one before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The live side knows it already.
    Own,
    /// The live side learns of it now.
    Before,
}

impl Projection {
    pub fn new(marks: BTreeMap<String, u64>, current: Mark, last_batch: u64) -> Self {
        let batch = Batch { mark: current.clone(), ..Batch::default() };
        Self { marks, current, batch, last_batch, ..Self::default() }
    }

    pub fn mark(&self) -> &Mark {
        &self.current
    }

    /// Takes a call from the store that was under way when it was last written, and holds its money.
    pub fn restore(&mut self, call: CallKey, row: &StoredCall, live: &Live, now_ms: i64) {
        let names = &mut self.batch.names;
        let mut stakes = Vec::with_capacity(row.stakes.len());
        for (budget, key, amount) in &row.stakes {
            let money = BudgetKey { application: &row.application, budget, key };
            let held = live.hold(money, *amount, row.at_ms, now_ms);
            stakes.push(OpenStake {
                budget: names.name(budget.as_bytes()),
                key: names.name(key.as_bytes()),
                amount: *amount,
                held,
            });
        }
        let open = OpenCall {
            application: names.name(row.application.as_bytes()),
            service: names.name(row.service.as_bytes()),
            at_ms: row.at_ms,
            point_ms: row.point_ms,
            stakes,
            stored: true,
            is_news: false,
            own: false,
        };
        self.open.insert(call, open);
        self.carried = names.len();
    }

    /// Adds a record. One that was added before changes nothing.
    pub fn add(&mut self, record: &RecordView<'_>, source: Source, live: &Live) -> Result<(), ObserveError> {
        let sequence = record.sequence;
        let last = self.last_of(record.instance);
        if last.is_some_and(|last| sequence <= last) {
            return Ok(());
        }
        if let Some(expected) =
            last.map(|last| last.saturating_add(1)).filter(|expected| sequence != *expected)
        {
            let instance = String::from_utf8_lossy(record.instance).into_owned();
            let gap = ObserveError::Gap { instance, expected, sequence };
            match source {
                Source::Own => return Err(gap),
                Source::Before => tracing::warn!(%gap, "records are missing from the journal"),
            }
        }
        // Money that was released leaves its names behind.
        let names = self.batch.names.len().saturating_sub(self.carried);
        let waiting = self.sums() + names + self.sealed_size;
        if waiting >= WAITING_MAX {
            return Err(ObserveError::Full(waiting));
        }
        self.count(record, source, live);
        self.advance_mark(record.instance, sequence);
        Ok(())
    }

    /// What the running batch has to store.
    fn sums(&self) -> usize {
        self.batch.len() + self.news
    }

    /// The last record of a journal that was added.
    fn last_of(&self, instance: Text<'_>) -> Option<u64> {
        if self.is_current(instance) {
            return Some(self.current.sequence);
        }
        self.marks.get(&*String::from_utf8_lossy(instance)).copied()
    }

    /// Whether it is the journal that is being read, as nearly always.
    fn is_current(&self, instance: Text<'_>) -> bool {
        !instance.is_empty() && instance == self.current.instance.as_bytes()
    }

    fn advance_mark(&mut self, instance: Text<'_>, sequence: u64) {
        if !self.is_current(instance) {
            if let Some(last) = self.marks.get_mut(&self.current.instance) {
                *last = self.current.sequence;
            }
            let instance = String::from_utf8_lossy(instance).into_owned();
            if self.marks.len() >= INSTANCES_MAX && !self.marks.contains_key(&instance) {
                self.marks.pop_first();
            }
            self.marks.insert(instance.clone(), sequence);
            self.current.instance = instance;
        }
        self.current.sequence = sequence;
    }

    fn count(&mut self, record: &RecordView<'_>, source: Source, live: &Live) {
        let at_ms = record.time_unix_ns.div_euclid(1_000_000);
        match &record.event {
            EventView::Intent(intent) => self.intent(intent, at_ms, source, live),
            EventView::Outcome(outcome) => {
                let sum = Sum { calls: 1, units: outcome.units, price_micros: outcome.price_micros };
                self.usage(outcome.head, outcome.status, outcome.currency, sum, at_ms);
                self.end(outcome.head.and_then(call_key), Ended::of_outcome(outcome), at_ms, live);
            }
            EventView::Refusal(refusal) => {
                let sum = Sum { calls: 1, ..Sum::default() };
                self.usage(refusal.head, refusal.status, b"", sum, at_ms);
                self.end(refusal.head.and_then(call_key), Ended::REFUSED, at_ms, live);
            }
            EventView::RefusalSum(sum) => self.refusals(sum),
            EventView::WrittenOff(calls) => {
                for id in calls.call_ids.iter() {
                    self.end(id.try_into().ok(), Ended::of_written_off(calls), at_ms, live);
                }
            }
            EventView::Other => {}
        }
    }

    fn intent(&mut self, intent: &IntentView<'_>, at_ms: i64, source: Source, live: &Live) {
        let Some((head, call)) = intent.head.and_then(|head| Some((head, call_key(head)?))) else {
            return;
        };
        if self.open.contains_key(&call) {
            return;
        }
        let names = &mut self.batch.names;
        let (application, method) = (names.name(head.application), names.name(head.method));
        let service = names.service_of(method);
        let point_ms = self.point_of(application, service, at_ms, source, live);
        *self.batch.calls.entry(CallsKey { application, service, point_ms }).or_default() += 1;
        if source == Source::Before {
            live.count_calls(self.quota_key(application, service), at_ms, 1, at_ms);
        }
        let full = self.open.len() >= OPEN_MAX;
        let mut stakes = Vec::new();
        for stake in intent.stakes.iter() {
            let (budget, key) = (self.batch.names.name(stake.budget), self.batch.names.name(stake.key));
            // An amount below nothing was refused, or let through in shadow: it was never held.
            let amount = stake.amount_minor.max(0);
            if full {
                self.spend(application, budget, key, amount, at_ms, live);
            }
            let held = match source {
                Source::Before => live.hold(self.budget_key(application, budget, key), amount, at_ms, at_ms),
                Source::Own => None,
            };
            stakes.push(OpenStake { budget, key, amount, held });
        }
        if !full {
            let own = source == Source::Own;
            let open =
                OpenCall { application, service, at_ms, point_ms, stakes, stored: false, is_news: true, own };
            self.open.insert(call, open);
            self.news += 1;
        }
    }

    /// Settles the call, if it is open.
    fn end(&mut self, call: Option<CallKey>, ended: Ended, at_ms: i64, live: &Live) {
        let Some((call, open)) = call.and_then(|call| Some((call, self.open.remove(&call)?))) else { return };
        self.forget(call, &open);
        let OpenCall { application, service, at_ms: began_ms, point_ms, stakes, own, .. } = open;
        if ended.gives_quota_back() {
            if !own {
                live.count_calls(self.quota_key(application, service), began_ms, -1, at_ms);
            }
            *self.batch.calls.entry(CallsKey { application, service, point_ms }).or_default() -= 1;
        }
        let lease_end = began_ms.saturating_add(LEASE_MS);
        // Behind its lease the money was spent when the lease ended.
        let (settle, spent_ms) =
            if at_ms >= lease_end { (Settle::Spent, lease_end) } else { (ended.settle(), at_ms) };
        for stake in stakes {
            if let Some(held) = stake.held {
                held.settle(settle, at_ms);
            }
            if settle == Settle::Spent {
                self.spend(application, stake.budget, stake.key, stake.amount, spent_ms, live);
            }
        }
    }

    /// Takes the money of calls whose lease has ended as spent then. The calls stay open, since their end
    /// says whether they count; those that never end are forgotten when no period counts them.
    pub fn end_leases(&mut self, now_ms: i64, live: &Live) {
        let ended: Vec<_> = self
            .open
            .iter()
            .filter(|(_, open)| {
                let money = !open.stakes.is_empty() && open.at_ms.saturating_add(LEASE_MS) <= now_ms;
                money || open.at_ms.saturating_add(KEPT_MS) < now_ms
            })
            .map(|(call, _)| *call)
            .collect();
        for call in ended {
            let Some(mut open) = self.open.remove(&call) else { continue };
            for stake in std::mem::take(&mut open.stakes) {
                let spent_ms = open.at_ms.saturating_add(LEASE_MS);
                self.spend(open.application, stake.budget, stake.key, stake.amount, spent_ms, live);
            }
            if open.at_ms.saturating_add(KEPT_MS) < now_ms {
                self.forget(call, &open);
            } else {
                self.news += usize::from(!open.is_news);
                open.is_news = true;
                self.open.insert(call, open);
            }
        }
    }

    /// Takes the call out of the store, unless it never came there.
    fn forget(&mut self, call: CallKey, open: &OpenCall) {
        self.news -= usize::from(open.is_news);
        if open.stored {
            self.batch.closed.insert(call);
        }
    }

    fn spend(&mut self, application: Name, budget: Name, key: Name, amount: i64, at_ms: i64, live: &Live) {
        if amount == 0 {
            return;
        }
        let (point_ms, leaves_ms) = live.budget_point(self.budget_key(application, budget, key), at_ms);
        let key = MoneyKey { application, budget, key, point_ms };
        let (sum, leaves) = self.batch.money.entry(key).or_insert((0, leaves_ms));
        *sum = sum.saturating_add(amount);
        *leaves = leaves_ms.max(*leaves);
    }

    /// The moment that the store counts a call under: the start of its local day where the key's offset is
    /// known. Of a call of this process that asked for no quota, the hour's last minute, so that keys
    /// without a limit don't fill the store. Of one before, its minute.
    fn point_of(&mut self, application: Name, service: Name, at_ms: i64, source: Source, live: &Live) -> i64 {
        // Asked before the offset itself: a change in between is then seen the next time.
        let offsets = live.offsets();
        if source == Source::Own
            && let Some(point) = self.points.get(&(application, service))
            && point.offsets == offsets
            && (point.from_ms..point.until_ms).contains(&at_ms)
        {
            return point.point_ms;
        }
        let key = self.quota_key(application, service);
        let (from_ms, span_ms, point_ms) = match (live.quota_point(key, at_ms), source) {
            (Some(day), _) => (day, DAY_MS, day),
            (None, Source::Own) => {
                let hour = floor(at_ms, HOUR_MS);
                (hour, HOUR_MS, hour + HOUR_MS - MINUTE_MS)
            }
            (None, Source::Before) => return floor(at_ms, MINUTE_MS),
        };
        let point = Point { point_ms, from_ms, until_ms: from_ms.saturating_add(span_ms), offsets };
        self.points.insert((application, service), point);
        point_ms
    }

    fn quota_key(&self, application: Name, service: Name) -> QuotaKey<'_> {
        let names = &self.batch.names;
        QuotaKey { application: names.text(application), service: names.text(service) }
    }

    fn budget_key(&self, application: Name, budget: Name, key: Name) -> BudgetKey<'_> {
        let names = &self.batch.names;
        let (budget, key) = (names.text(budget), names.text(key));
        BudgetKey { application: names.text(application), budget, key }
    }

    fn usage(&mut self, head: Option<HeadView<'_>>, status: u32, currency: Text<'_>, sum: Sum, at_ms: i64) {
        let Some(head) = head else { return };
        self.add_usage(head.application, head.method, status, currency, sum, at_ms);
    }

    /// Adds calls to a minute of the batch.
    pub fn add_usage(
        &mut self,
        application: Text<'_>,
        method: Text<'_>,
        status: u32,
        currency: Text<'_>,
        sum: Sum,
        at_ms: i64,
    ) {
        let names = &mut self.batch.names;
        let key = MinuteKey {
            application: names.name(application),
            method: names.name(method),
            currency: names.name(currency),
            status,
            minute: at_ms.div_euclid(MINUTE_MS),
        };
        self.batch.minutes.entry(key).or_default().add(sum);
    }

    fn refusals(&mut self, sum: &RefusalSumView<'_>) {
        let reason = Reason::parse(&String::from_utf8_lossy(sum.reason));
        let status = reason.map_or(2, |reason| u32::from(reason.code().number()));
        let method = [b"/", sum.service, b"/"].concat();
        let at_ms = sum.first_time_unix_ns.div_euclid(1_000_000);
        let calls = Sum { calls: sum.count, ..Sum::default() };
        self.add_usage(sum.application, &method, status, b"", calls, at_ms);
    }

    /// Ends the batch and takes what may be stored: all that is behind no record later than `durable`.
    pub fn take_covered(&mut self, durable: &Mark) -> Vec<Batch> {
        let has_news = self.sums() > 0 || self.batch.mark != self.current;
        if has_news && self.sealed.len() < SEALED_MAX {
            self.seal();
        }
        let covered = |batch: &Batch| {
            batch.mark.instance != durable.instance || batch.mark.sequence <= durable.sequence
        };
        let count = self.sealed.iter().take_while(|batch| covered(batch)).count();
        let taken: Vec<_> = self.sealed.drain(..count).collect();
        self.sealed_size -= taken.iter().map(Batch::size).sum::<usize>();
        taken
    }

    /// Ends the batch. The names go with it, and the calls under way get theirs anew.
    fn seal(&mut self) {
        let next = Batch { mark: self.current.clone(), ..Batch::default() };
        let mut batch = std::mem::replace(&mut self.batch, next);
        batch.mark.clone_from(&self.current);
        self.last_batch += 1;
        batch.number = self.last_batch;
        for (call, open) in &mut self.open {
            if std::mem::take(&mut open.is_news) {
                batch.opened.push((*call, open.row()));
            }
            open.stored = true;
            open.rename(&batch.names, &mut self.batch.names);
        }
        self.news = 0;
        self.carried = self.batch.names.len();
        self.points.clear();
        self.sealed_size += batch.size();
        self.sealed.push_back(batch);
    }

    /// The moments that calls of the running batch are counted under, and how many.
    #[cfg(test)]
    pub fn points(&self) -> BTreeMap<i64, i64> {
        self.batch.calls.iter().map(|(key, calls)| (key.point_ms, *calls)).collect()
    }

    /// Takes back what could not be stored.
    pub fn put_back(&mut self, batches: Vec<Batch>) {
        for batch in batches.into_iter().rev() {
            self.sealed_size += batch.size();
            self.sealed.push_front(batch);
        }
    }
}

impl OpenCall {
    fn row(&self) -> OpenRow {
        let stakes = self.stakes.iter().map(|stake| (stake.budget, stake.key, stake.amount)).collect();
        let Self { application, service, at_ms, point_ms, .. } = *self;
        OpenRow { application, service, at_ms, point_ms, stakes }
    }

    fn rename(&mut self, from: &Names, to: &mut Names) {
        let stakes = self.stakes.iter_mut().flat_map(|stake| [&mut stake.budget, &mut stake.key]);
        for name in [&mut self.application, &mut self.service].into_iter().chain(stakes) {
            *name = to.name(from.text(*name).as_bytes());
        }
    }
}

fn call_key(head: HeadView<'_>) -> Option<CallKey> {
    head.call_id.try_into().ok()
}
