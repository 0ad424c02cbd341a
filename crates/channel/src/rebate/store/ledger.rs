//! Lines of the ledger, and what they add up to.

use std::collections::BTreeMap;

use sqlx::{Row as _, SqliteConnection};

use super::super::refusal::Refusal;
use super::super::{Entry, Hash, LedgerLine, NO_HASH, Period};

pub(super) async fn select_balances(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
) -> Result<BTreeMap<String, i64>, Refusal> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT member_id, SUM(amount_minor) FROM channel_ledger
         WHERE plan_id = $1 AND period_start = $2 GROUP BY member_id",
    )
    .bind(plan_id)
    .bind(period.start.to_string())
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Sequence and hash of the last line; zeros before the first.
pub(super) async fn select_last(
    connection: &mut SqliteConnection,
    plan_id: &str,
) -> Result<(i64, Hash), Refusal> {
    let row = sqlx::query(
        "SELECT sequence, line_sha256 FROM channel_ledger WHERE plan_id = $1 ORDER BY sequence DESC LIMIT 1",
    )
    .bind(plan_id)
    .fetch_optional(connection)
    .await?;
    match row {
        Some(row) => Ok((row.try_get("sequence")?, read_hash(&row, "line_sha256")?)),
        None => Ok((0, NO_HASH)),
    }
}

pub(super) async fn insert_line(connection: &mut SqliteConnection, line: &LedgerLine) -> Result<(), Refusal> {
    let entry = &line.entry;
    sqlx::query(
        "INSERT INTO channel_ledger (plan_id, sequence, plan_version, period_start, member_id, amount_minor,
             balance_minor, posted_at_ms, facts_sha256, previous_sha256, line_sha256)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&entry.plan_id)
    .bind(entry.sequence)
    .bind(entry.plan_version)
    .bind(entry.period_start.to_string())
    .bind(&entry.member_id)
    .bind(entry.amount_minor)
    .bind(entry.balance_minor)
    .bind(entry.posted_at_ms)
    .bind(entry.facts.as_slice())
    .bind(line.previous.as_slice())
    .bind(line.hash.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn read_line(row: &sqlx::sqlite::SqliteRow) -> Result<LedgerLine, Refusal> {
    let period_start: &str = row.try_get("period_start")?;
    Ok(LedgerLine {
        entry: Entry {
            sequence: row.try_get("sequence")?,
            plan_id: row.try_get("plan_id")?,
            plan_version: row.try_get("plan_version")?,
            period_start: period_start.parse().map_err(|_| Refusal::Unreadable("ledger line"))?,
            member_id: row.try_get("member_id")?,
            amount_minor: row.try_get("amount_minor")?,
            balance_minor: row.try_get("balance_minor")?,
            posted_at_ms: row.try_get("posted_at_ms")?,
            facts: read_hash(row, "facts_sha256")?,
        },
        previous: read_hash(row, "previous_sha256")?,
        hash: read_hash(row, "line_sha256")?,
    })
}

fn read_hash(row: &sqlx::sqlite::SqliteRow, column: &str) -> Result<Hash, Refusal> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| Refusal::Unreadable("hash"))
}
