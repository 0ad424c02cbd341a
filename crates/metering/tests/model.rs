//! Random histories with crashes and power cuts against a reference that counts calls one by one:
//! every decision is the reference's, no limit is passed, and nothing is lost or counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use oaas_audit::RecordView;
use oaas_metering::{
    BudgetError, BudgetKey, BudgetLimit, Ended, LEASE, Mark, Meters, Period, QuotaKey, QuotaLimit,
    Reservation, Settle, WINDOW_PARTS,
};
use oaas_model::{Clock as _, ManualClock};
use oaas_proto::oaas::audit::v1 as record;
use oaas_store::Store;
use proptest::prelude::*;
use record::audit_record::Event;

const START_NS: i64 = 1_800_000_000_000_000_000;
const APPLICATIONS: [&str; 2] = ["portal", "till"];
const SERVICES: [&str; 2] = ["oaas.a.v1.A", "oaas.b.v1.B"];
const BATCHES: [&str; 2] = ["batch-1", "batch-2"];
/// Parts of whole seconds, because that is how finely a start remembers windows that nobody asked for.
const PART_MS: i64 = 2000;

fn quota() -> QuotaLimit {
    QuotaLimit { calls: 12, period: Period::Day, utc_offset_minutes: 480 }
}

fn budget() -> BudgetLimit {
    let window = Duration::from_millis(u64::try_from(PART_MS * WINDOW_PARTS).unwrap());
    BudgetLimit { amount_minor: 1000, window }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call comes; its intent is written at once or later.
    Begin {
        application: usize,
        service: usize,
        batch: usize,
        amount: i64,
        written: bool,
    },
    /// An intent that was left for later is written.
    Write {
        which: usize,
    },
    /// A call that has no intent is refused.
    Refuse {
        which: usize,
    },
    /// A call that has an intent ends.
    End {
        which: usize,
        status: u32,
        executed: u8,
        degraded: bool,
    },
    Wait {
        ms: u64,
    },
    /// Records are observed and stored; the last `lag` are not on the disk yet.
    Flush {
        lag: usize,
    },
    /// The process ends at once; a power cut takes what is not on the disk.
    Crash {
        power_cut: bool,
        writes_off: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0usize..64;
    prop_oneof![
        8 => (0usize..2, 0usize..2, 0usize..2, 0i64..300, prop::bool::weighted(0.8)).prop_map(
            |(application, service, batch, amount, written)| Step::Begin { application, service, batch, amount, written }
        ),
        2 => which.clone().prop_map(|which| Step::Write { which }),
        1 => which.clone().prop_map(|which| Step::Refuse { which }),
        6 => (which, prop::sample::select(vec![0u32, 9, 14]), 0u8..3, prop::bool::weighted(0.1)).prop_map(
            |(which, status, executed, degraded)| Step::End { which, status, executed, degraded }
        ),
        4 => prop_oneof![5 => 0u64..10_000, 2 => 0u64..700_000, 1 => 0u64..20_000_000].prop_map(|ms| Step::Wait { ms }),
        2 => (0usize..4).prop_map(|lag| Step::Flush { lag }),
        1 => any::<(bool, bool)>().prop_map(|(power_cut, writes_off)| Step::Crash { power_cut, writes_off }),
    ]
}

/// A call as the reference sees it.
#[derive(Clone, Debug)]
struct Call {
    id: u128,
    application: &'static str,
    service: &'static str,
    batch: &'static str,
    amount: i64,
    counted_ms: i64,
    held_ms: i64,
    /// Sequence and moment of the intent.
    intent: Option<(u64, i64)>,
    /// Sequence (0 for a refusal before the intent), moment and kind of the end.
    end: Option<(u64, i64, Ended)>,
}

impl Call {
    /// Calls of this one in the day that begins at `day_ms`.
    fn counts(&self, day_ms: i64) -> bool {
        let in_day = (day_ms..day_ms + 86_400_000).contains(&self.counted_ms);
        in_day && !self.end.is_some_and(|(_, _, ended)| ended.gives_quota_back())
    }

    /// Money of this call in the window that ends at `now_ms`.
    fn at_stake(&self, now_ms: i64) -> i64 {
        let lease_end = self.held_ms + i64::try_from(LEASE.as_millis()).unwrap();
        let spent_ms = match self.end {
            Some((_, at_ms, ended)) if at_ms < lease_end => match ended.settle() {
                Settle::Released => return 0,
                Settle::Spent => at_ms,
            },
            _ if lease_end <= now_ms => lease_end,
            _ => return self.amount,
        };
        let leaves = (spent_ms.div_euclid(PART_MS) + WINDOW_PARTS + 1) * PART_MS;
        if leaves <= now_ms { 0 } else { self.amount }
    }
}

/// The platform under test beside its reference.
struct World {
    store: Store,
    clock: Arc<ManualClock>,
    meters: Meters,
    journal: Vec<record::AuditRecord>,
    durable: usize,
    observed: usize,
    calls: Vec<Call>,
    held: BTreeMap<u128, Reservation>,
    next_id: u128,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at_unix_ns(START_NS));
        let store = Store::in_memory().await.unwrap();
        let (meters, _) = Meters::open(&store, clock.clone()).await.unwrap();
        let (journal, calls, held) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { store, clock, meters, journal, durable: 0, observed: 0, calls, held, next_id: 1 }
    }

    fn now_ms(&self) -> i64 {
        self.clock.now().unix_ms()
    }

    fn append(&mut self, event: Event) -> u64 {
        let sequence = u64::try_from(self.journal.len()).unwrap() + 1;
        let time_unix_ns = self.clock.now().unix_ns;
        let (instance, event) = ("i-1".to_owned(), Some(event));
        self.journal.push(record::AuditRecord {
            sequence,
            instance,
            time_unix_ns,
            event,
            ..Default::default()
        });
        sequence
    }

    fn begin(
        &mut self,
        application: &'static str,
        service: &'static str,
        batch: &'static str,
        amount: i64,
    ) -> bool {
        let (now, now_ms) = (self.clock.now(), self.now_ms());
        let day_ms = (now_ms + 8 * 3_600_000).div_euclid(86_400_000) * 86_400_000 - 8 * 3_600_000;
        let used = self
            .calls
            .iter()
            .filter(|c| c.application == application && c.service == service && c.counts(day_ms))
            .count();
        let used = u64::try_from(used).unwrap();
        let key = QuotaKey { application, service };
        match self.meters.take_quota(key, &quota(), now) {
            Ok(taken) => {
                assert_eq!(taken.remaining, quota().calls.checked_sub(used + 1).expect("one too many"))
            }
            Err(refused) => {
                assert!(used >= quota().calls, "refused at {used}");
                assert_eq!((refused.used, refused.resets_at_unix_ms), (used, day_ms + 86_400_000));
                return false;
            }
        }
        let at_stake: i64 = self
            .calls
            .iter()
            .filter(|c| c.application == application && c.batch == batch)
            .map(|c| c.at_stake(now_ms))
            .sum();
        let money = BudgetKey { application, budget: "coupons", key: batch };
        match self.meters.reserve(money, &budget(), amount, now) {
            Ok(reservation) => {
                assert!(at_stake + amount <= budget().amount_minor, "{amount} beside {at_stake}");
                self.held.insert(self.next_id, reservation);
            }
            Err(BudgetError::Exhausted(refused)) => {
                assert_eq!(refused.used, at_stake);
                assert!(at_stake + amount > budget().amount_minor, "{amount} refused beside {at_stake}");
                self.meters.give_back_quota(key, &quota(), now);
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        let (id, counted_ms, held_ms) = (self.next_id, now_ms, now_ms);
        self.next_id += 1;
        self.calls.push(Call {
            id,
            application,
            service,
            batch,
            amount,
            counted_ms,
            held_ms,
            intent: None,
            end: None,
        });
        true
    }

    fn head(call: &Call) -> record::CallHead {
        record::CallHead {
            call_id: call.id.to_be_bytes().to_vec(),
            application: call.application.to_owned(),
            method: format!("/{}/Do", call.service),
            ..Default::default()
        }
    }

    fn write(&mut self, index: usize) {
        let call = self.calls[index].clone();
        let stake = record::Stake {
            budget: "coupons".to_owned(),
            key: call.batch.to_owned(),
            amount_minor: call.amount,
            currency: "CNY".to_owned(),
        };
        let intent =
            record::Intent { head: Some(Self::head(&call)), stakes: vec![stake], ..Default::default() };
        let sequence = self.append(Event::Intent(intent));
        self.calls[index].intent = Some((sequence, self.now_ms()));
    }

    /// Ends a call as the gateway does: settles, then writes.
    fn end(&mut self, index: usize, ended: Ended) {
        let (call, now) = (self.calls[index].clone(), self.clock.now());
        if let Some(reservation) = self.held.remove(&call.id) {
            self.meters.settle(reservation, ended.settle(), now);
            // Calls of this process only: those of one before are settled when their record is observed.
            if ended.gives_quota_back() {
                let key = QuotaKey { application: call.application, service: call.service };
                let taken = oaas_model::Timestamp { steady_ns: 0, unix_ns: call.counted_ms * 1_000_000 };
                self.meters.give_back_quota(key, &quota(), taken);
            }
        }
        let head = Some(Self::head(&call));
        let sequence = if call.intent.is_some() {
            let executed = ended.executed.map_or("unknown".to_owned(), |executed| executed.to_string());
            let (status, degraded) = (ended.status, ended.degraded);
            self.append(Event::Outcome(record::Outcome {
                head,
                status,
                executed,
                degraded,
                ..Default::default()
            }))
        } else {
            self.append(Event::Refusal(record::Refusal { head, status: 8, ..Default::default() }))
        };
        self.calls[index].end = Some((sequence, self.now_ms(), ended));
    }

    async fn flush(&mut self, lag: usize) {
        for record in &self.journal[self.observed..] {
            self.meters.observe(&RecordView::of(record)).unwrap();
        }
        self.observed = self.journal.len();
        self.durable = self.durable.max(self.journal.len().saturating_sub(lag));
        let sequence = u64::try_from(self.durable).unwrap();
        self.meters.flush(Mark { instance: "i-1".to_owned(), sequence }).await.unwrap();
    }

    async fn crash(&mut self, power_cut: bool, writes_off: bool) {
        if power_cut {
            self.journal.truncate(self.durable);
        }
        let last = u64::try_from(self.journal.len()).unwrap();
        self.held.clear();
        self.calls.retain(|call| call.intent.is_some_and(|(sequence, _)| sequence <= last));
        for call in &mut self.calls {
            call.end = call.end.filter(|(sequence, _, _)| *sequence <= last);
            // The journal knows when the intent was written, not when the call was admitted.
            let (_, written_ms) = call.intent.unwrap();
            (call.counted_ms, call.held_ms) = (written_ms, written_ms);
        }
        let open: Vec<_> = (0..self.calls.len()).filter(|i| self.calls[*i].end.is_none()).collect();
        if writes_off && !open.is_empty() {
            let call_ids = open.iter().map(|i| self.calls[*i].id.to_be_bytes().to_vec()).collect();
            let (executed, cause) = ("unknown".to_owned(), "process_end".to_owned());
            let sequence = self.append(Event::WrittenOff(record::WrittenOff { call_ids, executed, cause }));
            let unknown = Ended { status: 0, executed: None, degraded: false };
            let now_ms = self.now_ms();
            for index in open {
                self.calls[index].end = Some((sequence, now_ms, unknown));
            }
        }
        let (meters, mark) = Meters::open(&self.store, self.clock.clone()).await.unwrap();
        self.meters = meters;
        assert!(mark.sequence <= last, "the store knows {} of {last} records", mark.sequence);
        let from = usize::try_from(mark.sequence).unwrap();
        // From a little before the mark, as who is not sure would.
        for record in &self.journal[from.saturating_sub(3)..] {
            self.meters.replay(&RecordView::of(record));
        }
        self.observed = self.journal.len();
        self.durable = self.journal.len();
    }

    /// Indexes of calls that are open, with or without an intent.
    fn open(&self, written: bool) -> Vec<usize> {
        (0..self.calls.len())
            .filter(|i| self.calls[*i].end.is_none() && self.calls[*i].intent.is_some() == written)
            .collect()
    }

    async fn run(&mut self, step: Step) {
        let pick = |from: Vec<usize>, which: usize| (!from.is_empty()).then(|| from[which % from.len()]);
        match step {
            Step::Begin { application, service, batch, amount, written } => {
                if self.begin(APPLICATIONS[application], SERVICES[service], BATCHES[batch], amount) && written
                {
                    self.write(self.calls.len() - 1);
                }
            }
            Step::Write { which } => {
                if let Some(index) = pick(self.open(false), which) {
                    self.write(index);
                }
            }
            Step::Refuse { which } => {
                if let Some(index) = pick(self.open(false), which) {
                    self.end(index, Ended::REFUSED);
                }
            }
            Step::End { which, status, executed, degraded } => {
                let executed = [Some(true), Some(false), None][usize::from(executed)];
                // Of a call that a process before this one admitted, no outcome is written any more.
                let own = self.open(true).into_iter().filter(|i| self.held.contains_key(&self.calls[*i].id));
                if let Some(index) = pick(own.collect(), which) {
                    self.end(index, Ended { status, executed, degraded });
                }
            }
            Step::Wait { ms } => self.clock.advance(Duration::from_millis(ms)),
            Step::Flush { lag } => self.flush(lag).await,
            Step::Crash { power_cut, writes_off } => self.crash(power_cut, writes_off).await,
        }
    }

    /// The stored usage is the journal's, to the call.
    async fn check_usage(&mut self) {
        self.flush(0).await;
        let mut expected: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for record in &self.journal {
            let (head, status) = match record.event.as_ref().unwrap() {
                Event::Outcome(outcome) => (&outcome.head, outcome.status),
                Event::Refusal(refusal) => (&refusal.head, refusal.status),
                _ => continue,
            };
            *expected.entry((head.as_ref().unwrap().method.clone(), status)).or_default() += 1;
        }
        let mut stored: BTreeMap<(String, u32), u64> = BTreeMap::new();
        for day in self.meters.usage_by_day(None, 0, i64::MAX).await.unwrap() {
            *stored.entry((day.method, day.status)).or_default() += day.calls;
        }
        assert_eq!(stored, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_decision_is_the_references(steps in prop::collection::vec(step(), 1..160)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.run(step).await;
            }
            world.crash(false, false).await;
            world.check_usage().await;
            for application in APPLICATIONS {
                for (service, batch) in SERVICES.into_iter().zip(BATCHES) {
                    world.begin(application, service, batch, 0);
                }
            }
        });
    }
}
