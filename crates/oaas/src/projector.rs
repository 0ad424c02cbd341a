//! Follows the journal with the meters: what the journal has is summed into the store, each record once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use oaas_audit::{Journal, Reader, Records};
use oaas_metering::{Mark, Meters};
use oaas_model::Clock;
use oaas_store::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How often counters go to the store.
const EVERY: Duration = Duration::from_secs(1);
/// Records of one round at most, so that a flush is never far away.
const ROUND_MAX: usize = 200_000;

/// The meters' way through the journal.
pub struct Projector {
    meters: Meters,
    journal: Journal,
    reader: Reader,
    records: Records,
}

/// A projector at work.
pub struct Projecting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Projector>,
}

impl Projector {
    /// Loads the counters, and replays what the journal has beyond them.
    ///
    /// # Errors
    /// When the store or the journal can't be read.
    pub async fn open(
        store: &Store,
        clock: &Arc<dyn Clock>,
        journal: &Journal,
        data: &Path,
    ) -> anyhow::Result<(Meters, Self)> {
        let (meters, mark) = Meters::open(store, Arc::clone(clock)).await?;
        let reader = Reader::open(data.join("journal"))?;
        let mut records = reader.records_after(mark.sequence)?;
        let mut replayed = 0u64;
        while let Some(record) = records.next_view() {
            meters.replay(&record.context("the journal can't be replayed")?);
            replayed += 1;
        }
        tracing::debug!(replayed, after = mark.sequence, "counters caught up with the journal");
        Ok((meters.clone(), Self { meters, journal: journal.clone(), reader, records }))
    }

    /// Goes on in the background.
    #[must_use]
    pub fn start(self) -> Projecting {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut projector = self;
            loop {
                tokio::select! {
                    _ = &mut stopped => return projector,
                    () = tokio::time::sleep(EVERY) => {}
                }
                projector = match tokio::task::spawn_blocking(move || projector.observe()).await {
                    Ok(projector) => projector,
                    Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
                };
                if let Err(error) = projector.flush().await {
                    tracing::error!(%error, "counters not stored; the journal has them");
                }
            }
        });
        Projecting { stop, task }
    }

    /// Sums what the journal has since the last round.
    fn observe(mut self) -> Self {
        if let Err(error) = self.observe_round() {
            tracing::warn!(%error, "the journal is read again from the counters' mark");
            match self.reader.records_after(self.meters.mark().sequence) {
                Ok(records) => self.records = records,
                Err(error) => tracing::error!(%error, "the journal can't be read"),
            }
        }
        self
    }

    fn observe_round(&mut self) -> anyhow::Result<()> {
        let mut meters = self.meters.observing();
        for _ in 0..ROUND_MAX {
            let Some(record) = self.records.next_view() else { break };
            meters.observe(&record?)?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), oaas_store::StoreError> {
        let instance = self.journal.instance().to_owned();
        self.meters.flush(Mark { instance, sequence: self.journal.durable() }).await
    }
}

impl Projecting {
    /// Sums and stores the rest. The journal is closed by now.
    ///
    /// # Errors
    /// When the store refuses; the next start replays what is missing.
    pub async fn finish(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        let projector = self.task.await.context("the projector")?;
        let projector = tokio::task::spawn_blocking(move || projector.observe()).await?;
        Ok(projector.flush().await?)
    }
}
