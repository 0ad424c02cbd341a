//! The handle with its thread, on the machine's disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{any::Any, io};

use super::*;
use crate::record::Refusal;
use crate::{DiskFile, Journal, JournalHealth, SystemDisk, draft};

fn in_folder(dir: &Path) -> JournalOptions {
    JournalOptions { dir: dir.into(), sync_interval: Duration::from_millis(5), ..options() }
}

/// The machine's disk, slower, counted, and failing on demand.
#[derive(Clone, Default)]
struct Meddled {
    syncs: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
}

struct MeddledFile(Arc<dyn DiskFile>, Meddled);

impl Meddled {
    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for Meddled {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.create_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        SystemDisk.lock(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        SystemDisk.list(dir)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        SystemDisk.read(path)
    }
    fn open(&self, path: &Path, new: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.check()?;
        Ok(Arc::new(MeddledFile(SystemDisk.open(path, new)?, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
}

impl DiskFile for MeddledFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(3));
        self.1.syncs.fetch_add(1, Ordering::SeqCst);
        self.1.check()?;
        self.0.sync()
    }
    fn preallocate(&self, length: u64) -> io::Result<()> {
        self.0.preallocate(length)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sync_serves_all_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Meddled::default();
    let options = JournalOptions { segment_bytes: 1 << 20, ..in_folder(folder.path()) };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), options, clock()).unwrap();
    let before = disk.syncs.load(Ordering::SeqCst);
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..200 {
        let journal = journal.clone();
        waiting.spawn(async move { journal.append_durable(note(number)).await });
    }
    let mut sequences: Vec<u64> = waiting.join_all().await.into_iter().map(Result::unwrap).collect();
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 200);
    let syncs = disk.syncs.load(Ordering::SeqCst) - before;
    assert!((1..=100).contains(&syncs), "{syncs} syncs for 200 durable appends");
    journal.close().await;
    let mut notes: Vec<_> = read_folder(folder.path()).iter().filter_map(noted).collect();
    notes.sort_unstable();
    assert_eq!(notes, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_broken_disk_refuses_strict_calls_and_heals_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, clock) = (Meddled::default(), clock());
    let (journal, _) =
        Journal::open_on(Arc::new(disk.clone()), in_folder(folder.path()), Arc::<ManualClock>::clone(&clock))
            .unwrap();
    assert_eq!(journal.health(), JournalHealth::Healthy);
    disk.broken.store(true, Ordering::SeqCst);
    assert!(journal.append_durable(intent(1)).await.is_err());
    assert!(matches!(journal.health(), JournalHealth::Failing { .. }));
    assert!(journal.append(intent(2)).is_err(), "no file, no room");
    for _ in 0..3 {
        let head = Some(head(3, "shop", "/a.B/C"));
        journal.refuse(Refusal { head, reason: "AUDIT_UNAVAILABLE".into(), ..Refusal::default() });
    }
    disk.broken.store(false, Ordering::SeqCst);
    while journal.health() != JournalHealth::Healthy {
        clock.advance(Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    journal.append_durable(note(7)).await.unwrap();
    journal.close().await;
    assert!(matches!(journal.append(note(8)), Err(JournalError::Closed)));
    let records = read_folder(folder.path());
    let events: Vec<_> = records.into_iter().filter_map(|record| record.event).collect();
    let withdrawn = events.iter().any(|event| {
        matches!(event, Event::WrittenOff(it) if it.executed == "false" && it.call_ids == [vec![1; 16]])
    });
    assert!(withdrawn, "the refused intent is written off");
    let refused: u64 = events.iter().map(|e| if let Event::RefusalSum(it) = e { it.count } else { 0 }).sum();
    assert_eq!(refused, 3, "refusals that could not be written are summed");
}

#[tokio::test]
async fn floods_and_gaps_are_exact_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let (journal, _) = Journal::open(in_folder(folder.path()), Arc::<ManualClock>::clone(&clock)).unwrap();
    for number in 0..350 {
        let head = Some(head(3, "shop", "/a.B/C"));
        journal.refuse(Refusal { head, reason: "RATE_LIMITED".into(), ..Refusal::default() });
        journal.skip("/a.B/Sampled");
        if number % 50 == 0 {
            clock.advance(Duration::from_millis(700));
        }
    }
    journal.close().await;
    let (mut own, mut summed, mut gaps) = (0, 0, 0);
    for record in read_folder(folder.path()) {
        match record.event {
            Some(Event::Refusal(_)) => own += 1,
            Some(Event::RefusalSum(sum)) => summed += sum.count,
            Some(Event::Gap(gap)) => gaps += gap.count,
            _ => {}
        }
    }
    assert_eq!((own, summed, gaps), (100, 250, 350));
}

#[test]
fn a_folder_is_written_by_one_journal_and_keeps_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions { instance: None, ..in_folder(folder.path()) };
    let (journal, recovery) = Journal::open(options.clone(), clock()).unwrap();
    assert_eq!(recovery.segments, 0);
    let second = Journal::open(options.clone(), clock()).map(|_| ());
    assert!(matches!(second, Err(JournalError::Locked(_))), "{second:?}");
    let name = journal.instance().to_owned();
    assert!(name.starts_with("i-") && name.len() == 10, "{name}");
    drop(journal);
    let (journal, recovery) = Journal::open(options, clock()).unwrap();
    assert_eq!(journal.instance(), name);
    assert!(recovery.last_sequence > 0);
}

#[test]
fn a_future_of_the_body_is_send_and_static() {
    fn check<T: Send + 'static>(_: T) {}
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(in_folder(folder.path()), clock()).unwrap();
    check(journal.durably(note(1)));
}

#[tokio::test]
async fn a_draft_is_in_the_file_at_once_and_on_the_disk_when_the_future_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(in_folder(folder.path()), clock()).unwrap();
    let done = {
        let application = "shop".to_owned();
        let head = draft::Head { call_id: [1; 16], application: &application, ..Default::default() };
        journal.append(draft::Intent { head, deadline_ms: 7, ..Default::default() }).unwrap();
        journal.durably(draft::Outcome { head, attempts: 1, ..Default::default() })
    };
    let events: Vec<_> = read_folder(folder.path()).into_iter().filter_map(|record| record.event).collect();
    let [.., Event::Intent(intent), Event::Outcome(outcome)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((intent.deadline_ms, outcome.attempts), (7, 1));
    assert_eq!(outcome.head.as_ref().map(|head| head.application.as_str()), Some("shop"));
    let sequence = done.await.unwrap();
    assert!(journal.durable() >= sequence);
}
