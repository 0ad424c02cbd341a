//! Prints what the meters cost a call: the journal's bytes to sums, and the live side's decisions.
//! `cargo run --release -p oaas-metering --example observe`

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use oaas_audit::record::audit_record::Event;
use oaas_audit::record::{CallHead, Decision, Intent, Outcome, Stake};
use oaas_audit::{Journal, JournalOptions, Reader};
use oaas_metering::{BudgetKey, BudgetLimit, Meters, Period, QuotaKey, QuotaLimit, Settle};
use oaas_model::{Clock as _, SystemClock};
use oaas_store::Store;

/// Calls in the journal that is read.
const CALLS: u64 = 100_000;
/// Times that it is read.
const PASSES: u32 = 20;
/// Calls under way at once.
const IN_FLIGHT: u64 = 32;
/// Decisions of the live side that are timed.
const DECISIONS: u32 = 5_000_000;
/// One call in so many puts money at stake.
const STAKED_EVERY: u64 = 10;

const APPLICATIONS: [&str; 5] = ["sales-portal", "dealer-app", "till", "planning", "customs-desk"];
const SERVICES: [(&str, &str); 4] = [
    ("oaas.channel.v1.RebateService", "CalculateRebate"),
    ("oaas.channel.v1.CouponService", "RedeemCoupon"),
    ("oaas.manufacturing.v1.PromiseService", "PromiseOrder"),
    ("oaas.crossborder.v1.ClearanceTimeService", "EstimateClearance"),
];
const QUOTA: QuotaLimit = QuotaLimit { calls: u64::MAX, period: Period::Month, utc_offset_minutes: 480 };
const BUDGET: BudgetLimit = BudgetLimit { amount_minor: i64::MAX, window: Duration::from_secs(86_400) };

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let bytes = write(folder.path())?;
    println!("journal: {CALLS} calls, {} bytes each", bytes / CALLS);

    let store = Store::in_memory().await?;
    let (meters, _) = Meters::open(&store, SystemClock::shared()).await?;
    ask_for_quotas(&meters);
    let began = Cost::now()?;
    for _ in 0..PASSES {
        let mut records = Reader::open(folder.path())?.records_after(0)?;
        while let Some(record) = records.next_view() {
            std::hint::black_box(record?);
        }
    }
    Cost::since(&began)?.print("reading alone", u64::from(PASSES) * CALLS);

    let mut cost = Cost::default();
    for _ in 0..PASSES {
        let (meters, _) = Meters::open(&Store::in_memory().await?, SystemClock::shared()).await?;
        ask_for_quotas(&meters);
        let began = Cost::now()?;
        observe(folder.path(), &meters)?;
        cost.add_since(&began)?;
    }
    cost.print("observe, bytes to sums, a call", u64::from(PASSES) * CALLS);

    let (clock, key) = (SystemClock::new(), quota_key(1));
    let began = Cost::now()?;
    for _ in 0..DECISIONS {
        std::hint::black_box(meters.take_quota(key, &QUOTA, clock.now()).is_ok());
    }
    Cost::since(&began)?.print("take_quota with the clock", DECISIONS.into());

    let now = clock.now();
    let began = Cost::now()?;
    for _ in 0..DECISIONS {
        std::hint::black_box(meters.take_quota(key, &QUOTA, now).is_ok());
    }
    Cost::since(&began)?.print("take_quota", DECISIONS.into());

    let began = Cost::now()?;
    for _ in 0..DECISIONS {
        meters.give_back_quota(key, &QUOTA, now);
    }
    Cost::since(&began)?.print("give_back_quota", DECISIONS.into());

    let money = BudgetKey { application: key.application, budget: "coupon-face-value", key: "BATCH-11-11" };
    let began = Cost::now()?;
    for _ in 0..DECISIONS {
        let reservation = meters.reserve(money, &BUDGET, 1, now)?;
        meters.settle(reservation, Settle::Spent, now);
    }
    Cost::since(&began)?.print("reserve and settle", DECISIONS.into());
    Ok(())
}

/// Reads the journal into the meters.
fn observe(dir: &Path, meters: &Meters) -> Result<(), Box<dyn std::error::Error>> {
    let mut records = Reader::open(dir)?.records_after(0)?;
    let mut meters = meters.observing();
    while let Some(record) = records.next_view() {
        meters.observe(&record?)?;
    }
    Ok(())
}

/// Makes the keys known to the live side, as calls do.
fn ask_for_quotas(meters: &Meters) {
    let now = SystemClock::new().now();
    for number in 0..20 {
        meters.take_quota(quota_key(number), &QUOTA, now).unwrap_or_else(|refused| panic!("{refused}"));
    }
}

fn quota_key(number: u64) -> QuotaKey<'static> {
    let (application, (service, _)) = (pick(&APPLICATIONS, number), pick(&SERVICES, number));
    QuotaKey { application, service }
}

fn pick<T: Copy>(all: &[T], number: u64) -> T {
    let index = usize::try_from(number).unwrap_or(0) % all.len();
    *all.get(index).unwrap_or_else(|| panic!("nothing to pick from"))
}

/// Writes the journal; its bytes.
fn write(dir: &Path) -> Result<u64, Box<dyn std::error::Error>> {
    let options = JournalOptions { dir: dir.into(), ..JournalOptions::default() };
    let journal = Journal::open(options, SystemClock::shared())?.0;
    let clock = Arc::new(SystemClock::new());
    for number in 0..CALLS + IN_FLIGHT {
        if number < CALLS {
            journal.append(Event::Intent(intent(number, clock.now().unix_ms())))?;
        }
        if let Some(ends) = number.checked_sub(IN_FLIGHT) {
            journal.append(Event::Outcome(outcome(ends, clock.now().unix_ms())))?;
        }
        if number % 10_000 == 0 {
            // As much as may wait for the disk is limited.
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    drop(journal);
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

fn head(number: u64, unix_ms: i64) -> CallHead {
    let (service, method) = pick(&SERVICES, number);
    // An odd factor makes the numbers' bits look random, as those of a UUIDv7's end are.
    let chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let call_id = [&unix_ms.to_be_bytes()[2..], &[0x70, 0], &chance.to_be_bytes()].concat();
    CallHead {
        call_id,
        application: pick(&APPLICATIONS, number).to_owned(),
        on_behalf_of: "user:4711".to_owned(),
        method: format!("/{service}/{method}"),
        catalog_version: "c-51f0a9b3c2d4".to_owned(),
        plan: "standard".to_owned(),
        peer: "10.1.2.3:50412".to_owned(),
        trace_id: vec![7; 16],
        idempotency_key_digest: Vec::new(),
    }
}

fn intent(number: u64, unix_ms: i64) -> Intent {
    let stake = || Stake {
        budget: "coupon-face-value".to_owned(),
        key: format!("BATCH-{}", number % 7),
        amount_minor: 1500,
        currency: "CNY".to_owned(),
    };
    Intent {
        head: Some(head(number, unix_ms)),
        decisions: ["identity", "rate_limit", "quota", "concurrency", "breaker"].map(decision).into(),
        deadline_ms: 2000,
        stakes: number.is_multiple_of(STAKED_EVERY).then(stake).into_iter().collect(),
    }
}

fn outcome(number: u64, unix_ms: i64) -> Outcome {
    Outcome {
        head: Some(head(number, unix_ms)),
        status: if number.is_multiple_of(50) { 9 } else { 0 },
        reason: String::new(),
        origin: "upstream".to_owned(),
        executed: "true".to_owned(),
        degraded: false,
        endpoint: "local".to_owned(),
        attempts: 1,
        elapsed_us: 180 + number % 100,
        request_messages: 1,
        request_bytes: 120,
        response_messages: 1,
        response_bytes: 240,
        request_digest: vec![1; 16],
        response_digest: vec![2; 16],
        units: 1,
        price_micros: 20_000,
        currency: "CNY".to_owned(),
        decisions: ["breaker"].map(decision).into(),
    }
}

fn decision(stage: &str) -> Decision {
    let numbers = [("remaining".to_owned(), 99.0), ("limit".to_owned(), 100.0)].into();
    Decision { stage: stage.to_owned(), verdict: "allowed".to_owned(), numbers }
}

/// Processor time of this process, in the system's ticks.
#[derive(Clone, Copy, Default)]
struct Cost {
    user: u64,
    system: u64,
}

/// Ticks a second, `sysconf(_SC_CLK_TCK)`: 100 on every Linux.
const TICKS_A_SECOND: u64 = 100;

impl Cost {
    /// Fields 14 and 15 of `/proc/self/stat` (proc_pid_stat(5)).
    fn now() -> Result<Self, Box<dyn std::error::Error>> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
        let mut ticks = fields.split(' ').skip(11).map(str::parse);
        let mut next = || ticks.next().unwrap_or(Ok(0));
        Ok(Self { user: next()?, system: next()? })
    }

    fn since(began: &Self) -> Result<Self, Box<dyn std::error::Error>> {
        let now = Self::now()?;
        Ok(Self { user: now.user - began.user, system: now.system - began.system })
    }

    fn add_since(&mut self, began: &Self) -> Result<(), Box<dyn std::error::Error>> {
        let passed = Self::since(began)?;
        self.user += passed.user;
        self.system += passed.system;
        Ok(())
    }

    fn print(&self, what: &str, times: u64) {
        let ns = |ticks: u64| ticks * (1_000_000_000 / TICKS_A_SECOND) / times;
        let (user, system) = (ns(self.user), ns(self.system));
        println!("{what}: {} ns ({user} user, {system} system)", user + system);
    }
}
