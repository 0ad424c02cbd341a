//! The tables of the meters: sums by key, calls under way, and the marks of the journals they came from.

use std::collections::BTreeMap;

use oaas_store::{Store, StoreError};
use sqlx::{Row as _, Sqlite, Transaction};

use crate::Mark;
use crate::batch::{Batch, CallKey};
use crate::projection::{INSTANCES_MAX, OPEN_MAX};
use crate::usage::DayUsage;

/// Minutes of usage that are kept singly; days are kept for good.
const MINUTES_KEPT: i64 = 2 * 24 * 60;
/// Rows of one kind that a start reads.
const ROWS_MAX: i64 = 4_000_000;

const MIGRATIONS: &[&str] = &["
CREATE TABLE metering_mark (
    instance TEXT PRIMARY KEY, sequence INTEGER NOT NULL, written_unix_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE metering_batch (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL);
INSERT INTO metering_batch VALUES (1, 0);
CREATE TABLE metering_calls (
    application TEXT NOT NULL, service TEXT NOT NULL, point_unix_ms INTEGER NOT NULL, calls INTEGER NOT NULL,
    PRIMARY KEY (application, service, point_unix_ms)) WITHOUT ROWID;
CREATE TABLE metering_money (
    application TEXT NOT NULL, budget TEXT NOT NULL, key TEXT NOT NULL, point_unix_ms INTEGER NOT NULL,
    amount_minor INTEGER NOT NULL, leaves_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (application, budget, key, point_unix_ms)) WITHOUT ROWID;
CREATE INDEX metering_money_leaves ON metering_money (leaves_unix_ms);
CREATE TABLE metering_open (
    call_id BLOB PRIMARY KEY, application TEXT NOT NULL, service TEXT NOT NULL, at_unix_ms INTEGER NOT NULL,
    point_unix_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE metering_stake (
    call_id BLOB NOT NULL, place INTEGER NOT NULL, budget TEXT NOT NULL, key TEXT NOT NULL,
    amount_minor INTEGER NOT NULL, PRIMARY KEY (call_id, place)) WITHOUT ROWID;
CREATE TABLE metering_minute (
    minute INTEGER NOT NULL, application TEXT NOT NULL, method TEXT NOT NULL, status INTEGER NOT NULL,
    currency TEXT NOT NULL, calls INTEGER NOT NULL, units INTEGER NOT NULL, price_micros INTEGER NOT NULL,
    PRIMARY KEY (minute, application, method, status, currency)) WITHOUT ROWID;
CREATE TABLE metering_day (
    day INTEGER NOT NULL, application TEXT NOT NULL, method TEXT NOT NULL, status INTEGER NOT NULL,
    currency TEXT NOT NULL, calls INTEGER NOT NULL, units INTEGER NOT NULL, price_micros INTEGER NOT NULL,
    PRIMARY KEY (day, application, method, status, currency)) WITHOUT ROWID;
"];

/// What a start finds.
#[derive(Default)]
pub(crate) struct Stored {
    pub marks: BTreeMap<String, u64>,
    pub mark: Mark,
    pub last_batch: u64,
    /// Application, service, moment, calls.
    pub calls: Vec<(String, String, i64, i64)>,
    /// Application, budget, key, moment, minor units; by moment.
    pub money: Vec<(String, String, String, i64, i64)>,
    /// By the moment of the intent.
    pub open: Vec<(CallKey, StoredCall)>,
}

/// A call that was under way when it was last written.
pub(crate) struct StoredCall {
    pub application: String,
    pub service: String,
    pub at_ms: i64,
    pub point_ms: i64,
    /// Budget, key, minor units.
    pub stakes: Vec<(String, String, i64)>,
}

pub(crate) async fn migrate(store: &Store) -> Result<(), StoreError> {
    store.migrate("metering", MIGRATIONS).await
}

pub(crate) async fn load(store: &Store, now_ms: i64) -> Result<Stored, StoreError> {
    let mut stored = Stored::default();
    let marks = sqlx::query_as::<_, (String, i64)>(
        "SELECT instance, sequence FROM metering_mark ORDER BY written_unix_ms DESC LIMIT $1",
    )
    .bind(i64::try_from(INSTANCES_MAX).unwrap_or(i64::MAX))
    .fetch_all(store.pool())
    .await?;
    if let Some((instance, sequence)) = marks.first() {
        stored.mark = Mark { instance: instance.clone(), sequence: unsigned(*sequence) };
    }
    stored.marks = marks.into_iter().map(|(instance, sequence)| (instance, unsigned(sequence))).collect();
    let number: i64 = sqlx::query_scalar("SELECT number FROM metering_batch").fetch_one(store.pool()).await?;
    stored.last_batch = unsigned(number);
    stored.calls = sqlx::query_as(
        "SELECT application, service, point_unix_ms, calls FROM metering_calls
         WHERE point_unix_ms >= $1 ORDER BY point_unix_ms LIMIT $2",
    )
    .bind(now_ms.saturating_sub(crate::quota::KEPT_MS))
    .bind(ROWS_MAX)
    .fetch_all(store.pool())
    .await?;
    stored.money = sqlx::query_as(
        "SELECT application, budget, key, point_unix_ms, amount_minor FROM metering_money
         WHERE leaves_unix_ms > $1 ORDER BY point_unix_ms LIMIT $2",
    )
    .bind(now_ms)
    .bind(ROWS_MAX)
    .fetch_all(store.pool())
    .await?;
    stored.open = load_open(store).await?;
    Ok(stored)
}

async fn load_open(store: &Store) -> Result<Vec<(CallKey, StoredCall)>, StoreError> {
    let rows = sqlx::query(
        "SELECT o.call_id, o.application, o.service, o.at_unix_ms, o.point_unix_ms, s.budget, s.key, s.amount_minor
         FROM metering_open o LEFT JOIN metering_stake s ON s.call_id = o.call_id
         ORDER BY o.at_unix_ms, o.call_id, s.place LIMIT $1",
    )
    .bind(ROWS_MAX)
    .fetch_all(store.pool())
    .await?;
    let mut open: Vec<(CallKey, StoredCall)> = Vec::new();
    for row in rows {
        let Ok(call) = CallKey::try_from(row.try_get::<Vec<u8>, _>(0)?.as_slice()) else { continue };
        if open.last().is_none_or(|(last, _)| *last != call) {
            if open.len() >= OPEN_MAX {
                break;
            }
            let (application, service) = (row.try_get(1)?, row.try_get(2)?);
            let (at_ms, point_ms) = (row.try_get(3)?, row.try_get(4)?);
            open.push((call, StoredCall { application, service, at_ms, point_ms, stakes: Vec::new() }));
        }
        if let Some(budget) = row.try_get::<Option<String>, _>(5)?
            && let Some((_, last)) = open.last_mut()
        {
            last.stakes.push((budget, row.try_get(6)?, row.try_get(7)?));
        }
    }
    Ok(open)
}

/// Adds the batches that are not stored yet, in one transaction.
pub(crate) async fn add(store: &Store, batches: &[Batch], now_ms: i64) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    let stored: i64 = sqlx::query_scalar("SELECT number FROM metering_batch").fetch_one(&mut *tx).await?;
    for batch in batches.iter().filter(|batch| batch.number > unsigned(stored)) {
        let names = &batch.names;
        for (key, calls) in batch.calls.iter().filter(|(_, calls)| **calls != 0) {
            sqlx::query(
                "INSERT INTO metering_calls VALUES ($1, $2, $3, $4)
                 ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
            )
            .bind(names.text(key.application))
            .bind(names.text(key.service))
            .bind(key.point_ms)
            .bind(calls)
            .execute(&mut *tx)
            .await?;
        }
        add_money(&mut tx, batch).await?;
        add_usage(&mut tx, batch).await?;
        change_open(&mut tx, batch).await?;
        sqlx::query("UPDATE metering_batch SET number = $1")
            .bind(signed(batch.number))
            .execute(&mut *tx)
            .await?;
        if batch.mark.sequence > 0 {
            sqlx::query(
                "INSERT INTO metering_mark VALUES ($1, $2, $3)
                 ON CONFLICT DO UPDATE SET sequence = excluded.sequence, written_unix_ms = excluded.written_unix_ms",
            )
            .bind(&batch.mark.instance)
            .bind(signed(batch.mark.sequence))
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn add_money(tx: &mut Transaction<'_, Sqlite>, batch: &Batch) -> Result<(), StoreError> {
    let names = &batch.names;
    for (key, (amount, leaves)) in &batch.money {
        sqlx::query(
            "INSERT INTO metering_money VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT DO UPDATE SET amount_minor = amount_minor + excluded.amount_minor,
                 leaves_unix_ms = max(leaves_unix_ms, excluded.leaves_unix_ms)",
        )
        .bind(names.text(key.application))
        .bind(names.text(key.budget))
        .bind(names.text(key.key))
        .bind(key.point_ms)
        .bind(amount)
        .bind(leaves)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

async fn add_usage(tx: &mut Transaction<'_, Sqlite>, batch: &Batch) -> Result<(), StoreError> {
    const INTO_MINUTE: &str = "INSERT INTO metering_minute VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, units = units + excluded.units,
            price_micros = price_micros + excluded.price_micros";
    const INTO_DAY: &str = "INSERT INTO metering_day VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO UPDATE SET calls = calls + excluded.calls, units = units + excluded.units,
            price_micros = price_micros + excluded.price_micros";
    for (key, sum) in &batch.minutes {
        for (statement, time) in [(INTO_MINUTE, key.minute), (INTO_DAY, key.minute.div_euclid(24 * 60))] {
            sqlx::query(statement)
                .bind(time)
                .bind(batch.names.text(key.application))
                .bind(batch.names.text(key.method))
                .bind(key.status)
                .bind(batch.names.text(key.currency))
                .bind(signed(sum.calls))
                .bind(signed(sum.units))
                .bind(sum.price_micros)
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}

async fn change_open(tx: &mut Transaction<'_, Sqlite>, batch: &Batch) -> Result<(), StoreError> {
    // An open call is written again when its money is settled before it ends.
    let opened = batch.opened.iter().map(|(call, _)| call);
    for call in batch.closed.iter().chain(opened) {
        for statement in
            ["DELETE FROM metering_stake WHERE call_id = $1", "DELETE FROM metering_open WHERE call_id = $1"]
        {
            sqlx::query(statement).bind(&call[..]).execute(&mut **tx).await?;
        }
    }
    for (call, row) in &batch.opened {
        sqlx::query("INSERT INTO metering_open VALUES ($1, $2, $3, $4, $5)")
            .bind(&call[..])
            .bind(batch.names.text(row.application))
            .bind(batch.names.text(row.service))
            .bind(row.at_ms)
            .bind(row.point_ms)
            .execute(&mut **tx)
            .await?;
        for (place, (budget, key, amount)) in (0i64..).zip(&row.stakes) {
            sqlx::query("INSERT INTO metering_stake VALUES ($1, $2, $3, $4, $5)")
                .bind(&call[..])
                .bind(place)
                .bind(batch.names.text(*budget))
                .bind(batch.names.text(*key))
                .bind(amount)
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}

/// Deletes what counts nowhere any more.
pub(crate) async fn clean(store: &Store, now_ms: i64) -> Result<(), StoreError> {
    let mut tx = store.write().await?;
    for (statement, before) in [
        ("DELETE FROM metering_money WHERE leaves_unix_ms <= $1", now_ms),
        ("DELETE FROM metering_calls WHERE point_unix_ms < $1", now_ms.saturating_sub(crate::quota::KEPT_MS)),
        ("DELETE FROM metering_minute WHERE minute < $1", now_ms.div_euclid(60_000) - MINUTES_KEPT),
    ] {
        sqlx::query(statement).bind(before).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Usage of the days `first` to `last` in the order of day, application, method, status.
pub(crate) async fn days(
    store: &Store,
    application: Option<&str>,
    first: i64,
    last: i64,
    limit: usize,
) -> Result<Vec<DayUsage>, StoreError> {
    let rows = sqlx::query(
        "SELECT application, method, status, day, currency, calls, units, price_micros FROM metering_day
         WHERE day BETWEEN $1 AND $2 AND ($3 IS NULL OR application = $3)
         ORDER BY day, application, method, status, currency LIMIT $4",
    )
    .bind(first)
    .bind(last)
    .bind(application)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(store.pool())
    .await?;
    let day = |row: &sqlx::sqlite::SqliteRow| -> Result<DayUsage, sqlx::Error> {
        Ok(DayUsage {
            application: row.try_get(0)?,
            method: row.try_get(1)?,
            status: row.try_get(2)?,
            day: row.try_get(3)?,
            currency: row.try_get(4)?,
            calls: unsigned(row.try_get(5)?),
            units: unsigned(row.try_get(6)?),
            price_micros: row.try_get(7)?,
        })
    };
    Ok(rows.iter().map(day).collect::<Result<_, _>>()?)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
