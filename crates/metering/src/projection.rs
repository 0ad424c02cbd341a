//! The side that remembers: sums of audit records, in the order of the journal, ready to be stored with
//! the mark of the last record that is in them. No IO.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use oaas_model::Reason;
use oaas_proto::oaas::audit::v1::audit_record::Event;
use oaas_proto::oaas::audit::v1::{AuditRecord, CallHead, Intent, RefusalSum};
use thiserror::Error;

use crate::budget::LEASE_MS;
use crate::calendar::{HOUR_MS, MINUTE_MS, floor};
use crate::live::{Live, Reservation};
use crate::quota::KEPT_MS;
use crate::usage::{MinuteKey, Minutes, Sum};
use crate::{BudgetKey, Ended, Mark, QuotaKey, Settle};

/// Sums that wait to be stored. While the store is away for long, records are left in the journal.
const WAITING_MAX: usize = 500_000;
/// Calls under way that are followed. A call beyond it is taken as made and its money as spent.
pub(crate) const OPEN_MAX: usize = 262_144;
/// Batches that wait to be stored; beyond it the last one grows.
const SEALED_MAX: usize = 64;
/// Journals of which the last record is remembered; beyond it one is forgotten.
pub(crate) const INSTANCES_MAX: usize = 64;

pub(crate) type CallKey = [u8; 16];

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

/// A call that has an intent and no end.
#[derive(Debug)]
pub(crate) struct OpenCall {
    pub application: Box<str>,
    pub service: Box<str>,
    pub at_ms: i64,
    /// The moment that its call is counted under.
    pub point_ms: i64,
    /// Money that is neither spent nor released.
    pub stakes: Vec<OpenStake>,
    /// The batch before the one that it was opened in; none when it came from the store.
    pub opened_after: Option<u64>,
    /// Whether this process admitted it, so that it settles by itself; or one before it.
    pub own: bool,
}

#[derive(Debug)]
pub(crate) struct OpenStake {
    pub budget: Box<str>,
    pub key: Box<str>,
    pub amount: i64,
    /// The live side's hold, for a call that a process before this one admitted.
    pub held: Option<Reservation>,
}

/// What an open call is stored as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenRow {
    pub application: Box<str>,
    pub service: Box<str>,
    pub at_ms: i64,
    pub point_ms: i64,
    /// Budget, key, minor units.
    pub stakes: Vec<(Box<str>, Box<str>, i64)>,
}

/// Application, service, moment.
pub(crate) type CallsKey = (Box<str>, Box<str>, i64);
/// Application, budget, key, moment.
pub(crate) type MoneyKey = (Box<str>, Box<str>, Box<str>, i64);

/// What is added to the store at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Counts batches, so that one whose commit was reported as failed is not stored twice.
    pub number: u64,
    /// Last record in it.
    pub mark: Mark,
    pub calls: HashMap<CallsKey, i64>,
    /// Minor units, and when they leave their window.
    pub money: HashMap<MoneyKey, (i64, i64)>,
    pub minutes: Minutes,
    pub opened: HashMap<CallKey, OpenRow>,
    pub closed: HashSet<CallKey>,
}

impl Batch {
    fn len(&self) -> usize {
        self.calls.len() + self.money.len() + self.minutes.len() + self.opened.len() + self.closed.len()
    }
}

/// The records' sums since the last flush.
#[derive(Default)]
pub(crate) struct Projection {
    /// Last record of each journal, and of the one that is being read.
    marks: BTreeMap<String, u64>,
    current: Mark,
    open: HashMap<CallKey, OpenCall>,
    batch: Batch,
    sealed: VecDeque<Batch>,
    /// Sums in the sealed batches.
    sealed_sums: usize,
    last_batch: u64,
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

    /// Takes a call from the store that was under way when it was last written.
    pub fn restore(&mut self, call: CallKey, open: OpenCall) {
        self.open.insert(call, open);
    }

    /// Adds a record. One that was added before changes nothing.
    pub fn add(&mut self, record: &AuditRecord, source: Source, live: &Live) -> Result<(), ObserveError> {
        let AuditRecord { instance, sequence, .. } = record;
        let last = self.marks.get(instance).copied();
        if last.is_some_and(|last| *sequence <= last) {
            return Ok(());
        }
        if let Some(expected) =
            last.map(|last| last.saturating_add(1)).filter(|expected| sequence != expected)
        {
            let gap = ObserveError::Gap { instance: instance.clone(), expected, sequence: *sequence };
            match source {
                Source::Own => return Err(gap),
                Source::Before => tracing::warn!(%gap, "records are missing from the journal"),
            }
        }
        let waiting = self.batch.len() + self.sealed_sums;
        if waiting >= WAITING_MAX {
            return Err(ObserveError::Full(waiting));
        }
        self.count(record, source, live);
        self.advance_mark(record);
        Ok(())
    }

    fn advance_mark(&mut self, record: &AuditRecord) {
        if self.current.instance != record.instance {
            self.current.instance.clone_from(&record.instance);
            if self.marks.len() >= INSTANCES_MAX && !self.marks.contains_key(&record.instance) {
                self.marks.pop_first();
            }
        }
        self.current.sequence = record.sequence;
        match self.marks.get_mut(&record.instance) {
            Some(last) => *last = record.sequence,
            None => {
                self.marks.insert(record.instance.clone(), record.sequence);
            }
        }
    }

    fn count(&mut self, record: &AuditRecord, source: Source, live: &Live) {
        let at_ms = record.time_unix_ns.div_euclid(1_000_000);
        match &record.event {
            Some(Event::Intent(intent)) => self.intent(intent, at_ms, source, live),
            Some(Event::Outcome(outcome)) => {
                let sum = Sum { calls: 1, units: outcome.units, price_micros: outcome.price_micros };
                self.usage(outcome.head.as_ref(), outcome.status, &outcome.currency, sum, at_ms);
                self.end(outcome.head.as_ref().and_then(call_key), outcome.into(), at_ms, live);
            }
            Some(Event::Refusal(refusal)) => {
                let sum = Sum { calls: 1, ..Sum::default() };
                self.usage(refusal.head.as_ref(), refusal.status, "", sum, at_ms);
                self.end(refusal.head.as_ref().and_then(call_key), Ended::REFUSED, at_ms, live);
            }
            Some(Event::RefusalSum(sum)) => self.refusals(sum),
            Some(Event::WrittenOff(calls)) => {
                for id in &calls.call_ids {
                    self.end(id.as_slice().try_into().ok(), calls.into(), at_ms, live);
                }
            }
            _ => {}
        }
    }

    fn intent(&mut self, intent: &Intent, at_ms: i64, source: Source, live: &Live) {
        let Some((head, call)) = intent.head.as_ref().and_then(|head| Some((head, call_key(head)?))) else {
            return;
        };
        if self.open.contains_key(&call) {
            return;
        }
        let (application, service) = (head.application.as_str(), service_of(&head.method));
        let key = QuotaKey { application, service };
        let point_ms = point_of(key, at_ms, source, live);
        *self.batch.calls.entry((application.into(), service.into(), point_ms)).or_default() += 1;
        if source == Source::Before {
            live.count_calls(key, at_ms, 1, at_ms);
        }
        let full = self.open.len() >= OPEN_MAX;
        let mut stakes = Vec::with_capacity(intent.stakes.len());
        for stake in &intent.stakes {
            let money = BudgetKey { application, budget: &stake.budget, key: &stake.key };
            // An amount below nothing was refused, or let through in shadow: it was never held.
            let amount = stake.amount_minor.max(0);
            if full {
                self.spend(money, amount, at_ms, live);
            }
            let held = match source {
                Source::Before => live.hold(money, amount, at_ms, at_ms),
                Source::Own => None,
            };
            stakes.push(OpenStake { budget: money.budget.into(), key: money.key.into(), amount, held });
        }
        if !full {
            let own = source == Source::Own;
            let (application, service) = (application.into(), service.into());
            let open = OpenCall {
                application,
                service,
                at_ms,
                point_ms,
                stakes,
                opened_after: Some(self.last_batch),
                own,
            };
            self.batch.opened.insert(call, open.row());
            self.open.insert(call, open);
        }
    }

    /// Settles the call, if it is open.
    fn end(&mut self, call: Option<CallKey>, ended: Ended, at_ms: i64, live: &Live) {
        let Some((call, open)) = call.and_then(|call| Some((call, self.open.remove(&call)?))) else { return };
        self.forget(call, &open);
        let OpenCall { application, service, at_ms: began_ms, point_ms, stakes, own, .. } = open;
        if ended.gives_quota_back() {
            let key = QuotaKey { application: &application, service: &service };
            if !own {
                live.count_calls(key, began_ms, -1, at_ms);
            }
            *self.batch.calls.entry((application.clone(), service, point_ms)).or_default() -= 1;
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
                let key = BudgetKey { application: &application, budget: &stake.budget, key: &stake.key };
                self.spend(key, stake.amount, spent_ms, live);
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
                let key =
                    BudgetKey { application: &open.application, budget: &stake.budget, key: &stake.key };
                self.spend(key, stake.amount, open.at_ms.saturating_add(LEASE_MS), live);
            }
            if open.at_ms.saturating_add(KEPT_MS) < now_ms {
                self.forget(call, &open);
            } else {
                self.batch.opened.insert(call, open.row());
                self.open.insert(call, open);
            }
        }
    }

    /// Takes the call out of the store, unless it never came there.
    fn forget(&mut self, call: CallKey, open: &OpenCall) {
        self.batch.opened.remove(&call);
        if open.opened_after != Some(self.last_batch) {
            self.batch.closed.insert(call);
        }
    }

    fn spend(&mut self, key: BudgetKey<'_>, amount: i64, at_ms: i64, live: &Live) {
        if amount == 0 {
            return;
        }
        let (point, leaves_ms) = live.budget_point(key, at_ms);
        let key = (key.application.into(), key.budget.into(), key.key.into(), point);
        let (sum, leaves) = self.batch.money.entry(key).or_insert((0, leaves_ms));
        *sum = sum.saturating_add(amount);
        *leaves = leaves_ms.max(*leaves);
    }

    fn usage(&mut self, head: Option<&CallHead>, status: u32, currency: &str, sum: Sum, at_ms: i64) {
        let Some(head) = head else { return };
        self.add_usage(&head.application, &head.method, status, currency, sum, at_ms);
    }

    /// Adds calls to a minute of the batch.
    pub fn add_usage(
        &mut self,
        application: &str,
        method: &str,
        status: u32,
        currency: &str,
        sum: Sum,
        at_ms: i64,
    ) {
        let key = MinuteKey {
            application: application.into(),
            method: method.into(),
            status,
            minute: at_ms.div_euclid(MINUTE_MS),
            currency: currency.into(),
        };
        self.batch.minutes.entry(key).or_default().add(sum);
    }

    fn refusals(&mut self, sum: &RefusalSum) {
        let status = Reason::parse(&sum.reason).map_or(2, |reason| u32::from(reason.code().number()));
        let method = format!("/{}/", sum.service);
        let at_ms = sum.first_time_unix_ns.div_euclid(1_000_000);
        let calls = Sum { calls: sum.count, ..Sum::default() };
        self.add_usage(&sum.application, &method, status, "", calls, at_ms);
    }

    /// Ends the batch and takes what may be stored: all that is behind no record later than `durable`.
    pub fn take_covered(&mut self, durable: &Mark) -> Vec<Batch> {
        let has_news = self.batch.len() > 0 || self.batch.mark != self.current;
        if has_news && self.sealed.len() < SEALED_MAX {
            let next = Batch { mark: self.current.clone(), ..Batch::default() };
            let mut batch = std::mem::replace(&mut self.batch, next);
            batch.mark.clone_from(&self.current);
            self.last_batch += 1;
            batch.number = self.last_batch;
            self.sealed_sums += batch.len();
            self.sealed.push_back(batch);
        }
        let covered = |batch: &Batch| {
            batch.mark.instance != durable.instance || batch.mark.sequence <= durable.sequence
        };
        let count = self.sealed.iter().take_while(|batch| covered(batch)).count();
        let taken: Vec<_> = self.sealed.drain(..count).collect();
        self.sealed_sums -= taken.iter().map(Batch::len).sum::<usize>();
        taken
    }

    /// Takes back what could not be stored.
    pub fn put_back(&mut self, batches: Vec<Batch>) {
        for batch in batches.into_iter().rev() {
            self.sealed_sums += batch.len();
            self.sealed.push_front(batch);
        }
    }
}

impl OpenCall {
    fn row(&self) -> OpenRow {
        let stakes = self.stakes.iter().map(|s| (s.budget.clone(), s.key.clone(), s.amount)).collect();
        let (application, service) = (self.application.clone(), self.service.clone());
        OpenRow { application, service, at_ms: self.at_ms, point_ms: self.point_ms, stakes }
    }
}

/// The moment that the store counts a call under: the start of its local day where the key's offset is
/// known. Of a call of this process that asked for no quota, the hour's last minute, so that keys without
/// a limit don't fill the store. Of one before, its minute.
fn point_of(key: QuotaKey<'_>, at_ms: i64, source: Source, live: &Live) -> i64 {
    live.quota_point(key, at_ms).unwrap_or_else(|| match source {
        Source::Own => floor(at_ms, HOUR_MS) + HOUR_MS - MINUTE_MS,
        Source::Before => floor(at_ms, MINUTE_MS),
    })
}

fn call_key(head: &CallHead) -> Option<CallKey> {
    head.call_id.as_slice().try_into().ok()
}

/// The service in a canonical path: "/oaas.channel.v1.RebateService/CalculateRebate".
fn service_of(method: &str) -> &str {
    let path = method.strip_prefix('/').unwrap_or(method);
    path.split_once('/').map_or(path, |(service, _)| service)
}
