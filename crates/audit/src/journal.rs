//! The journal as the gateway holds it: a cheap handle, the thread that syncs, and the ways to append.

use std::any::Any;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use oaas_model::{Clock, Timestamp};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::JournalError;
use crate::appendable::{Appendable, Effect, Encoded, encoded};
use crate::disk::{Disk, SystemDisk};
use crate::pass::{Progress, Rounds};
use crate::record::Refusal;
use crate::record::audit_record::Event;
use crate::recover::Recovery;
use crate::start;
use crate::tally::{FloodTally, GapTally};
use crate::writer::Writer;

/// Sums and gaps are written this often, so that a crash loses at most as much of a count.
const COUNTS_INTERVAL: Duration = Duration::from_secs(1);
/// A sync that takes longer than this is a failure that people must hear of.
const SYNC_LAG_MAX: Duration = Duration::from_secs(5);

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Its folder; made when missing. One process writes it at a time.
    pub dir: PathBuf,
    /// Size of a file, bytes, reserved at its making; at least 4,096.
    pub segment_bytes: u64,
    /// Whether records are stored into the file as memory where that is sound; else each is a system call.
    /// With it, a file system that dies under the process can end the process; see
    /// `docs/decisions/journal-as-memory.md`.
    pub mapped: bool,
    /// Longest time that a `standard` record waits for the disk.
    pub sync_interval: Duration,
    /// Equal refusals (application, service, reason) of a minute that get a record each, before the rest
    /// are summed.
    pub refusals_before_sum: u32,
    /// Name of this process in its records, used at the first start of the folder and kept there; chosen
    /// by chance when absent. 1 to 64 of a-z, 0-9 and '-'. Example: "i-7f3a51c2".
    pub instance: Option<String>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("journal"),
            segment_bytes: 64 * 1024 * 1024,
            mapped: true,
            sync_interval: Duration::from_millis(100),
            refusals_before_sum: 100,
            instance: None,
        }
    }
}

/// Whether records can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalHealth {
    /// They can.
    Healthy,
    /// `strict` calls are refused. Other records are taken while there is room in the current file, if
    /// there is one. It heals by itself when the disk does.
    Failing {
        /// Since when.
        since: Timestamp,
        /// What the disk said.
        error: String,
    },
}

/// What [`Journal::durably`] answers.
pub type DurableAppend = Pin<Box<dyn Future<Output = Result<u64, JournalError>> + Send + 'static>>;

/// The call journal of this process. Clones are handles to the same one; the last one dropped writes what
/// is pending and ends the thread.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    thread: Arc<Thread>,
}

impl Journal {
    /// Opens the journal in `options.dir`, or begins one there.
    ///
    /// # Errors
    /// When another process has it, a file is damaged before its tail, or the disk refuses.
    pub fn open(options: JournalOptions, clock: Arc<dyn Clock>) -> Result<(Self, Recovery), JournalError> {
        Self::open_on(Arc::new(SystemDisk), options, clock)
    }

    /// The same on another disk.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: JournalOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Recovery), JournalError> {
        let start::Started { writer, recovery, lock } = start::start(disk, &options, clock.now())?;
        let instance = writer.instance.clone();
        let progress = Progress { durable: writer.durable, ..Progress::default() };
        let shared = Arc::new(Shared {
            instance,
            clock,
            writer: Mutex::new(writer),
            counts: Mutex::new(Counts::new(options.refusals_before_sum)),
            signals: Mutex::new(Signals::default()),
            wake: Condvar::new(),
            progress: watch::Sender::new(progress),
            _lock: lock,
        });
        let looped = Arc::clone(&shared);
        let interval = options.sync_interval;
        let handle = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || looped.run(interval))
            .map_err(|e| JournalError::io("start the thread of", &options.dir, e))?;
        let thread = Arc::new(Thread { shared: Arc::clone(&shared), handle: Mutex::new(Some(handle)) });
        Ok((Self { shared, thread }, recovery))
    }

    /// Name of this process in its records.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.shared.instance
    }

    /// Sequence up to which every record is on the disk.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.progress.borrow().durable
    }

    /// Appends a record, the `standard` way: on return it is in the file, so that `kill -9` loses nothing;
    /// it is on the disk within the sync interval. Returns its sequence.
    ///
    /// # Errors
    /// When it is not in the file: the disk fails, is far behind, or the record is too large.
    pub fn append(&self, event: impl Appendable) -> Result<u64, JournalError> {
        encoded(&event, |event| self.shared.append(event))
    }

    /// Appends a record, the `strict` way: it is in the file on return, and the future resolves when it and
    /// all before it are on the disk. One sync serves all that wait for it. The future holds nothing of
    /// the event; it can be polled within a tokio runtime or any other.
    ///
    /// # Errors
    /// The future's: as [`Journal::append`], and when the disk can't sync. While the disk fails an intent
    /// is refused at once, so that the room that is left is kept for outcomes.
    #[must_use = "an error shows only when the future is polled"]
    pub fn durably(&self, event: impl Appendable) -> DurableAppend {
        let effect = event.effect();
        match encoded(&event, |event| self.shared.append_and_ask(event)) {
            Ok(sequence) => Box::pin(self.shared.clone().durable(sequence, effect)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    /// [`Journal::durably`], as one says it where one waits at once.
    ///
    /// # Errors
    /// As there.
    #[must_use = "an error shows only when the future is polled"]
    pub fn append_durable(&self, event: impl Appendable) -> DurableAppend {
        self.durably(event)
    }

    /// Records a refusal. Beyond the first of a minute equal ones are summed; so are those that can't be
    /// written just now. Never fails, never waits for the disk.
    pub fn refuse(&self, refusal: Refusal) {
        let now = self.shared.clock.now();
        if !self.shared.counts.lock().floods.note(&refusal, now) {
            return;
        }
        let event = Event::Refusal(refusal);
        if self.append(&event).is_err()
            && let Event::Refusal(refusal) = event
        {
            self.shared.counts.lock().floods.note_unwritten(&refusal, now);
        }
    }

    /// Counts a call of a `sampled` method that gets no record.
    pub fn skip(&self, method: &str) {
        let now = self.shared.clock.now();
        self.shared.counts.lock().gaps.note(method, now);
    }

    /// Whether records can be written.
    #[must_use]
    pub fn health(&self) -> JournalHealth {
        let now = self.shared.clock.now();
        let writer = self.shared.writer.lock();
        if let Some((since, error)) = &writer.failing {
            return JournalHealth::Failing { since: *since, error: error.clone() };
        }
        match writer.unsynced_since {
            Some(since) if now.since(since) > SYNC_LAG_MAX => {
                let seconds = now.since(since).as_secs();
                JournalHealth::Failing { since, error: format!("a sync has taken {seconds} s so far") }
            }
            _ => JournalHealth::Healthy,
        }
    }

    /// Writes sums and gaps, a last record, syncs, and takes no more records.
    pub async fn close(&self) {
        self.shared.signal(|signals| signals.closing = true);
        let mut progress = self.shared.progress.subscribe();
        // The sender lives in `shared`, so this can only end by the value.
        let _ = progress.wait_for(|progress| progress.closed).await;
        self.thread.join();
    }
}

struct Shared {
    instance: String,
    clock: Arc<dyn Clock>,
    writer: Mutex<Writer>,
    counts: Mutex<Counts>,
    signals: Mutex<Signals>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
    _lock: Box<dyn Any + Send + Sync>,
}

#[derive(Default)]
struct Signals {
    /// Somebody waits for the disk.
    wanted: bool,
    closing: bool,
}

struct Counts {
    floods: FloodTally,
    gaps: GapTally,
    flushed: Option<Timestamp>,
}

impl Counts {
    fn new(refusals_before_sum: u32) -> Self {
        Self { floods: FloodTally::new(refusals_before_sum), gaps: GapTally::default(), flushed: None }
    }
}

impl Shared {
    fn append(&self, event: Encoded<'_>) -> Result<u64, JournalError> {
        let now = self.clock.now();
        let mut writer = self.writer.lock();
        let appended = writer.append(event, now);
        let soon = !writer.retired.is_empty() || appended.is_err();
        drop(writer);
        if soon {
            self.signal(|signals| signals.wanted = true);
        }
        appended
    }

    fn append_and_ask(&self, event: Encoded<'_>) -> Result<u64, JournalError> {
        let now = self.clock.now();
        let sequence = {
            let mut writer = self.writer.lock();
            if writer.failing.is_some() && matches!(event.effect, Effect::Begins(_)) {
                return Err(writer.failing_error());
            }
            writer.append(event, now)?
        };
        self.signal(|signals| signals.wanted = true);
        Ok(sequence)
    }

    async fn durable(self: Arc<Self>, sequence: u64, effect: Effect) -> Result<u64, JournalError> {
        let mut watched = self.progress.subscribe();
        let decided = watched.wait_for(|progress| {
            progress.durable >= sequence || progress.failed >= sequence || progress.closed
        });
        let durable = decided.await.is_ok_and(|progress| progress.durable >= sequence);
        if durable {
            return Ok(sequence);
        }
        let mut writer = self.writer.lock();
        if let Effect::Begins(Some(id)) = effect {
            writer.open_calls.withdraw(id);
        }
        Err(if writer.closed { JournalError::Closed } else { writer.failing_error() })
    }

    fn signal(&self, change: impl FnOnce(&mut Signals)) {
        change(&mut self.signals.lock());
        self.wake.notify_one();
    }

    /// The journal's thread.
    fn run(&self, interval: Duration) {
        // Also should the thread panic: nobody may wait for a sync that never comes.
        let _over = Over(self);
        let mut rounds = Rounds::default();
        loop {
            let closing = {
                let mut signals = self.signals.lock();
                if !signals.wanted && !signals.closing {
                    self.wake.wait_for(&mut signals, interval);
                }
                signals.wanted = false;
                signals.closing
            };
            let now = self.clock.now();
            self.flush_counts(now, closing);
            if closing {
                start::append_close(&self.writer, now);
            }
            let progress = rounds.round(&self.writer, now);
            self.progress.send_if_modified(|shown| std::mem::replace(shown, progress) != progress);
            if closing {
                start::seal(&mut self.writer.lock());
                return;
            }
        }
    }

    fn flush_counts(&self, now: Timestamp, closing: bool) {
        let mut counts = self.counts.lock();
        let due = counts.flushed.is_none_or(|flushed| now.since(flushed) >= COUNTS_INTERVAL);
        if !due && !closing {
            return;
        }
        counts.flushed = Some(now);
        for sum in counts.floods.take() {
            let event = Event::RefusalSum(sum);
            if encoded(&event, |event| self.writer.lock().append(event, now)).is_err()
                && let Event::RefusalSum(sum) = event
            {
                counts.floods.put_back(sum);
            }
        }
        for gap in counts.gaps.take() {
            let event = Event::Gap(gap);
            if encoded(&event, |event| self.writer.lock().append(event, now)).is_err()
                && let Event::Gap(gap) = event
            {
                counts.gaps.put_back(gap);
            }
        }
    }
}

/// Says that the journal's thread is over.
struct Over<'a>(&'a Shared);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.writer.lock().closed = true;
        self.0.progress.send_modify(|progress| progress.closed = true);
    }
}

/// Ends the journal's thread with the last handle.
struct Thread {
    shared: Arc<Shared>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Thread {
    fn join(&self) {
        let handle = self.handle.lock().take();
        if handle.is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the journal's thread has panicked");
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.signal(|signals| signals.closing = true);
        self.join();
    }
}
