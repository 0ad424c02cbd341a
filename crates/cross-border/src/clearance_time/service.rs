//! The capability at work: the history and the fitted models in memory, before the table of records.

use std::collections::VecDeque;
use std::sync::Arc;

use oaas_store::{Store, StoreError};
use parking_lot::RwLock;
use thiserror::Error;

use super::backtest::{self, BacktestError, Case, Report};
use super::hours::{Book, BookFull, Configured, Statement};
use super::store::{Inserted, Records, Sent, Told};
use super::{Explanation, Forecast, HOUR_MS, History, Model, Observation, Stage, Traits, sum_quantiles};

/// A refit is due after this many new records, and after this share of all (one in twenty): what is learned
/// in between leaves what older cases say of the factors as it was.
const REFIT_RECORDS_MIN: usize = 10;
const REFIT_SHARE: usize = 20;
/// Cases of a backtest: the newest; of so many, with a replay for each of a hundred refits, it takes some
/// thirty seconds of one core.
const BACKTEST_CASES_MAX: usize = 5_000;
/// Fits as of moments in the past that are kept for the next question about the same moment.
const PAST_FITS_MAX: usize = 8;

/// The capability.
#[derive(Debug)]
pub(super) struct ClearanceTimes {
    records: Records,
    learned: RwLock<Learned>,
    /// Held while a refit goes on, so that there is one at a time.
    refit: tokio::sync::Mutex<()>,
    /// Also held while a moment of the past is fitted: such questions take turns.
    past: tokio::sync::Mutex<VecDeque<Past>>,
    /// Held while something is said of an office, so that one statement is weighed at a time.
    telling: tokio::sync::Mutex<()>,
    /// Held while a backtest goes on, so that there is one at a time.
    backtests: Arc<tokio::sync::Mutex<()>>,
}

/// What is known now.
#[derive(Debug)]
struct Learned {
    history: History,
    /// What was said of offices.
    book: Book,
    models: Vec<Model>,
    /// Finished stages since the snapshot of the last fit, for the models of a fit under way.
    since_fit: Vec<Observation>,
    records_since_fit: usize,
}

/// What was known at a moment of the past.
#[derive(Clone, Debug)]
struct Past {
    as_of_ms: i64,
    /// Of the whole history from which it was taken.
    taken_from: (usize, u64),
    /// Of all that was said of offices.
    told_from: u64,
    data: (usize, u64),
    models: Arc<Vec<Model>>,
}

/// A forecast and what it was made from.
#[derive(Debug)]
pub(super) struct Answer {
    pub stages: Vec<Forecast>,
    pub total: Option<[f64; 9]>,
    /// When the models were fitted, Unix milliseconds, and the stages learned since.
    pub fit: (i64, u64),
    /// Records known and their digest.
    pub data: (usize, u64),
}

/// A question for a forecast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    pub traits: &'a Traits,
    pub stages: &'a [Stage],
    /// When the first stage begins, Unix milliseconds.
    pub begins_ms: i64,
}

/// A forecast taken apart, with its fit and data as in [`Answer`].
#[derive(Debug)]
pub(super) struct Explained {
    pub explanation: Explanation,
    pub fit: (i64, u64),
    pub data: (usize, u64),
}

/// What became of a batch of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub recorded: u64,
    pub duplicates: u64,
    pub stages_learned: u64,
    pub stages_under_way: u64,
    /// Whether the record after those was refused, since its shipment has too many.
    pub refused: bool,
}

/// Why something said of an office was not taken.
#[derive(Debug, Error)]
pub(super) enum TellError {
    /// The database said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is too much already.
    #[error(transparent)]
    Full(#[from] BookFull),
}

impl ClearanceTimes {
    /// Opens the table and learns what it holds.
    pub(super) async fn open(store: Store, now_ms: i64) -> Result<Arc<Self>, StoreError> {
        let records = Records::open(store).await?;
        let history = records.load().await?;
        let book = records.load_hours().await?;
        let models = fit(&observations(&history, now_ms), &book.calendars(now_ms), now_ms);
        let learned = Learned { history, book, models, since_fit: Vec::new(), records_since_fit: 0 };
        Ok(Arc::new(Self {
            records,
            learned: RwLock::new(learned),
            refit: tokio::sync::Mutex::default(),
            telling: tokio::sync::Mutex::default(),
            past: tokio::sync::Mutex::default(),
            backtests: Arc::default(),
        }))
    }

    /// Forecasts from all that is known now.
    pub(super) fn predict(&self, query: &Query<'_>, now_ms: i64) -> Answer {
        let learned = self.learned.read();
        answer(&learned.models, learned.version(now_ms), query, now_ms)
    }

    /// Forecasts from what was known at `as_of_ms`.
    pub(super) async fn predict_as_of(self: &Arc<Self>, query: &Query<'_>, as_of_ms: i64) -> Answer {
        let past = self.past(as_of_ms).await;
        answer(&past.models, past.data, query, as_of_ms)
    }

    /// Takes the forecast of one stage apart; `past` says whether `as_of_ms` is a moment of the past.
    pub(super) async fn explain(
        self: &Arc<Self>,
        traits: &Traits,
        stage: Stage,
        as_of_ms: i64,
        past: bool,
        begins_ms: i64,
    ) -> Option<Explained> {
        let explain = |models: &[Model], data| {
            let explanation = models.get(stage.index())?.explain(traits, as_of_ms, begins_ms);
            Some(Explained { explanation, fit: fit_of(models), data })
        };
        if past {
            let past = self.past(as_of_ms).await;
            return explain(&past.models, past.data);
        }
        let learned = self.learned.read();
        explain(&learned.models, learned.version(as_of_ms))
    }

    /// How good the forecasts of `stage` would have been on what was known at `as_of_ms`. One at a time.
    pub(super) async fn backtest(
        self: &Arc<Self>,
        stage: Stage,
        months: u8,
        as_of_ms: i64,
    ) -> Result<((usize, u64), Report), BacktestError> {
        let turn = Arc::clone(&self.backtests).lock_owned().await;
        let (data, cases) = {
            let learned = self.learned.read();
            let known = learned.history.observations(stage, as_of_ms);
            (learned.history.version_at(as_of_ms), cases(known))
        };
        let count = cases.len();
        let scored = tokio::task::spawn_blocking(move || {
            // Held to the end, also when the caller has gone.
            let _turn = turn;
            backtest::run(stage, &cases, months)
        });
        let scored = scored.await;
        Ok((data, scored.unwrap_or(Err(BacktestError::TooShort { cases: count, days: 0 }))?))
    }

    /// The models of a moment of the past.
    async fn past(self: &Arc<Self>, as_of_ms: i64) -> Past {
        let mut fits = self.past.lock().await;
        let (taken_from, told_from) = {
            let learned = self.learned.read();
            (learned.history.version(), learned.book.digest(i64::MAX))
        };
        fits.retain(|past| (past.taken_from, past.told_from) == (taken_from, told_from));
        let kept = fits.iter().find(|past| past.as_of_ms == as_of_ms).cloned();
        let past = match kept {
            Some(past) => past,
            None => {
                let this = Arc::clone(self);
                let fitted = tokio::task::spawn_blocking(move || this.fit_as_of(as_of_ms)).await;
                let past = fitted.unwrap_or_else(|_| self.fit_as_of(as_of_ms));
                fits.truncate(PAST_FITS_MAX - 1);
                fits.push_front(past.clone());
                past
            }
        };
        drop(fits);
        past
    }

    /// Stores a batch, and learns what is new in it.
    pub(super) async fn record(self: &Arc<Self>, batch: Vec<Sent>, now_ms: i64) -> Result<Taken, StoreError> {
        let Inserted { fresh, refused } = self.records.insert(&batch, now_ms).await?;
        let mut taken = Taken { refused, ..Taken::default() };
        let due = {
            let mut learned = self.learned.write();
            for (sent, fresh) in batch.into_iter().zip(fresh) {
                if fresh {
                    learned.learn(sent, now_ms, &mut taken);
                } else {
                    taken.duplicates += 1;
                }
            }
            learned.refit_due()
        };
        if due {
            self.refit(now_ms, false).await;
        }
        Ok(taken)
    }

    /// Takes down what is said of an office and reckons in it from now on; `false` when it held already.
    pub(super) async fn tell(&self, told: Told, now_ms: i64) -> Result<bool, TellError> {
        let turn = self.telling.lock().await;
        {
            let learned = self.learned.read();
            let statement = &told.statement;
            // At its moment and ever since.
            let held = |at| {
                let known = learned.book.of(statement.country, &statement.office, at);
                known.and_then(|known| known.hours.as_ref()) == statement.hours.as_ref()
            };
            if held(statement.known_at_ms) && held(i64::MAX) {
                return Ok(false);
            }
            if learned.book.is_full() {
                return Err(BookFull.into());
            }
        }
        self.records.insert_hours(&told, now_ms).await?;
        self.learned.write().book.add(told.statement)?;
        drop(turn);
        self.refit(now_ms, true).await;
        Ok(true)
    }

    /// What was known of offices at a moment, as `each` makes it.
    pub(super) fn told<T>(&self, as_of_ms: i64, each: impl Fn(&Statement) -> T) -> Vec<T> {
        self.learned.read().book.all(as_of_ms).into_iter().map(each).collect()
    }

    async fn refit(&self, now_ms: i64, in_any_case: bool) {
        let turn = self.refit.lock().await;
        let (snapshot, book) = {
            let mut learned = self.learned.write();
            if !in_any_case && !learned.refit_due() {
                return;
            }
            learned.since_fit.clear();
            learned.records_since_fit = 0;
            (observations(&learned.history, now_ms), learned.book.clone())
        };
        let work = move || fit(&snapshot, &book.calendars(now_ms), now_ms);
        let Ok(mut models) = tokio::task::spawn_blocking(work).await else {
            return;
        };
        let mut learned = self.learned.write();
        for observation in &learned.since_fit {
            if let Some(model) = models.get_mut(observation.stage.index()) {
                model.learn(observation, now_ms);
            }
        }
        learned.models = models;
        drop(learned);
        drop(turn);
    }

    fn fit_as_of(&self, as_of_ms: i64) -> Past {
        let (taken_from, data, observations, book) = {
            let learned = self.learned.read();
            let (history, book) = (&learned.history, learned.book.clone());
            let (records, digest) = history.version_at(as_of_ms);
            let data = (records, digest ^ book.digest(as_of_ms));
            (history.version(), data, observations(history, as_of_ms), book)
        };
        let models = Arc::new(fit(&observations, &book.calendars(as_of_ms), as_of_ms));
        Past { as_of_ms, taken_from, told_from: book.digest(i64::MAX), data, models }
    }
}

impl Learned {
    /// Number of the records, and a digest of them and of what was said of offices.
    fn version(&self, now_ms: i64) -> (usize, u64) {
        let (records, digest) = self.history.version();
        (records, digest ^ self.book.digest(now_ms))
    }

    fn learn(&mut self, sent: Sent, now_ms: i64, taken: &mut Taken) {
        let added = self.history.add(sent.record);
        for observation in &added.finished {
            if let Some(model) = self.models.get_mut(observation.stage.index()) {
                model.learn(observation, now_ms);
            }
        }
        self.records_since_fit += 1;
        taken.recorded += 1;
        taken.stages_under_way += added.begun as u64;
        taken.stages_learned += added.finished.len() as u64;
        self.since_fit.extend(added.finished);
    }

    fn refit_due(&self) -> bool {
        self.records_since_fit >= REFIT_RECORDS_MIN.max(self.history.len() / REFIT_SHARE)
    }
}

fn observations(history: &History, as_of_ms: i64) -> Vec<Vec<Observation>> {
    Stage::ALL.iter().map(|&stage| history.observations(stage, as_of_ms)).collect()
}

fn fit(observations: &[Vec<Observation>], configured: &Configured, as_of_ms: i64) -> Vec<Model> {
    let stages = Stage::ALL.iter().zip(observations);
    stages.map(|(&stage, known)| Model::fit_with(stage, known, configured, as_of_ms)).collect()
}

/// The newest finished ones as cases of a backtest.
fn cases(mut known: Vec<Observation>) -> Vec<Case> {
    known.retain(|observation| observation.finished);
    known.sort_by_key(|observation| std::cmp::Reverse(observation.start_ms));
    known.truncate(BACKTEST_CASES_MAX);
    let case = |observation: Observation| Case {
        start_ms: observation.start_ms,
        end_ms: observation.start_ms + (observation.hours * HOUR_MS).round() as i64,
        traits: observation.traits,
    };
    known.into_iter().map(case).collect()
}

/// When the models were fitted, and the stages learned since.
fn fit_of(models: &[Model]) -> (i64, u64) {
    models.iter().map(Model::version).fold((0, 0), |(_, learned), (_, at, more)| (at, learned + more))
}

fn answer(models: &[Model], data: (usize, u64), query: &Query<'_>, now_ms: i64) -> Answer {
    let Query { traits, stages, begins_ms } = *query;
    let forecasts: Vec<Forecast> = stages
        .iter()
        .filter_map(|stage| models.get(stage.index()))
        .map(|model| model.forecast_from(traits, now_ms, begins_ms))
        .collect();
    // The whole way holds the stages of customs: it can't be added to them.
    let apart = !stages.contains(&Stage::OrderToDelivery);
    let total = apart.then(|| sum_quantiles(&forecasts)).flatten();
    Answer { stages: forecasts, total, fit: fit_of(models), data }
}
