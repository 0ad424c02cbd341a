//! What a call costs the journal: an INTENT and an OUTCOME of the usual size, in three ways.
//!
//! ```sh
//! cargo run --release -p oaas-audit --example append -- [folder]
//! ```
//!
//! Written in bursts, between which the disk may catch up. Processor time, so that a machine which is busy
//! otherwise matters less: of the thread that appends, by /proc/thread-self/schedstat; of the whole process,
//! syncs included, by /proc/self/stat.

use std::path::{Path, PathBuf};
use std::time::Duration;

use oaas_audit::draft::{Head, Intent, Outcome, Step};
use oaas_audit::record::audit_record::Event;
use oaas_audit::{Journal, JournalOptions};
use oaas_model::SystemClock;

const BURSTS: u32 = 60;
const CALLS_PER_BURST: u32 = 10_000;
/// Of /proc/self/stat; the same on all Linux machines.
const TICKS_PER_SECOND: f64 = 100.0;
const PAUSE: Duration = Duration::from_millis(5);

fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!("| way | ns a call, appending | µs a call, process | of it in the system |");
    println!("|---|---:|---:|---:|");
    for (name, drafts, mapped) in
        [("owned, pwrite", false, false), ("draft, pwrite", true, false), ("draft, mapped", true, true)]
    {
        let folder = folder.join(format!("oaas-append-{}", std::process::id()));
        let Cost { appending_ns, process_us, system_us } = measure(&folder, drafts, mapped);
        println!("| {name} | {appending_ns:.0} | {process_us:.2} | {system_us:.2} |");
        std::fs::remove_dir_all(&folder).expect("the folder was just made");
    }
}

/// Of one call.
struct Cost {
    appending_ns: f64,
    process_us: f64,
    system_us: f64,
}

fn measure(folder: &Path, drafts: bool, mapped: bool) -> Cost {
    let options = JournalOptions { dir: folder.to_owned(), mapped, ..JournalOptions::default() };
    let (journal, _) = Journal::open(options, SystemClock::shared()).expect("the folder can be written");
    let (user, system) = processor();
    let mut appending_ns = 0.0;
    for burst in 0..BURSTS {
        let start = thread_ns();
        let mut last = 0;
        for call in 0..CALLS_PER_BURST {
            let id = id(u64::from(burst * CALLS_PER_BURST + call));
            last = if drafts { by_draft(&journal, id) } else { by_event(&journal, id) };
        }
        appending_ns += thread_ns() - start;
        while journal.durable() < last {
            std::thread::sleep(PAUSE);
        }
    }
    let (user_after, system_after) = processor();
    let calls = f64::from(BURSTS * CALLS_PER_BURST);
    let system_us = (system_after - system) * 1e6 / calls;
    let process_us = (user_after - user) * 1e6 / calls + system_us;
    Cost { appending_ns: appending_ns / calls, process_us, system_us }
}

/// Seconds of the process so far, in itself and in the system.
fn processor() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("there is /proc");
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    let mut next =
        || fields.next().and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default() / TICKS_PER_SECOND;
    (next(), next())
}

/// Nanoseconds that this thread has run.
fn thread_ns() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("there is /proc");
    stat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

/// Like a UUIDv7: some that stays, and some that looks like chance.
fn id(number: u64) -> [u8; 16] {
    let chance = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut id = [0x70; 16];
    id.iter_mut().skip(8).zip(chance.to_be_bytes()).for_each(|(to, from)| *to = from);
    id
}

fn by_draft(journal: &Journal, id: [u8; 16]) -> u64 {
    let decisions = above();
    journal.append(intent(id, &decisions)).expect("room for the intent");
    journal.append(outcome(id)).expect("room for the outcome")
}

fn by_event(journal: &Journal, id: [u8; 16]) -> u64 {
    let decisions = above();
    journal.append(Event::Intent((&intent(id, &decisions)).into())).expect("room for the intent");
    journal.append(Event::Outcome((&outcome(id)).into())).expect("room for the outcome")
}

fn above() -> [Step; 6] {
    [
        Step::new("authenticate", "api_key", &[]),
        Step::new("admit", "subscribed", &[]),
        Step::new("rate_limit", "allowed", &[("in_flight", 3.0), ("concurrency", 64.0)]),
        Step::new("deadline", "set", &[("ms", 200.0)]),
        Step::new("breaker", "allowed", &[]),
        Step::new("quota", "allowed", &[("remaining", 99_999.0)]),
    ]
}

fn head(call_id: [u8; 16]) -> Head<'static> {
    Head {
        call_id,
        application: "sales-portal",
        method: "/oaas.channel.v1.RebateService/CalculateRebate",
        catalog_version: "c-51f0a9b3c2d4",
        plan: "standard",
        peer: "10.1.2.3:50412",
        trace_id: Some([7; 16]),
        ..Head::default()
    }
}

fn intent(id: [u8; 16], decisions: &[Step]) -> Intent<'_> {
    Intent { head: head(id), decisions, deadline_ms: 200, stakes: &[] }
}

fn outcome(id: [u8; 16]) -> Outcome<'static> {
    Outcome {
        head: head(id),
        origin: "upstream",
        executed: "true",
        endpoint: "local",
        attempts: 1,
        elapsed_us: 412,
        request_messages: 1,
        request_bytes: 96,
        response_messages: 1,
        response_bytes: 210,
        request_digest: &[1; 16],
        response_digest: &[2; 16],
        units: 1,
        price_micros: 2000,
        currency: "CNY",
        ..Outcome::default()
    }
}
