//! Lines of the ledger, and what they add up to.

use std::collections::BTreeMap;

use oaas_proto::oaas::channel::v1 as pb;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};

use super::super::refusal::Refusal;
use super::super::{Before, Entry, Hash, LedgerLine, NO_HASH, Pay, Period, TierReached};
use super::{Posted, Settlement};

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

pub(super) async fn insert_line(connection: &mut SqliteConnection, posted: &Posted) -> Result<(), Refusal> {
    let line = &posted.line;
    let entry = &line.entry;
    sqlx::query(
        "INSERT INTO channel_ledger (plan_id, sequence, plan_version, period_start, member_id, amount_minor,
             balance_minor, posted_at_ms, facts_sha256, previous_sha256, line_sha256, detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
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
    .bind(posted.detail.as_ref().map(|detail| detail.encode_to_vec()))
    .execute(connection)
    .await?;
    Ok(())
}

/// The columns that [`read_line`] reads.
pub(super) const COLUMNS: &str = "sequence, plan_id, plan_version, period_start, member_id, amount_minor, \
     balance_minor, posted_at_ms, facts_sha256, previous_sha256, line_sha256, detail";

pub(super) fn read_line(row: &sqlx::sqlite::SqliteRow) -> Result<Posted, Refusal> {
    let period_start: &str = row.try_get("period_start")?;
    let body: Option<&[u8]> = row.try_get("detail")?;
    let detail = body.map(pb::LineDetail::decode).transpose();
    let line = LedgerLine {
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
            detail: body.map(digest),
        },
        previous: read_hash(row, "previous_sha256")?,
        hash: read_hash(row, "line_sha256")?,
    };
    Ok(Posted { line, detail: detail.map_err(|_| Refusal::Unreadable("ledger line"))? })
}

/// The digest of a stored detail, as its ledger line has it.
pub(super) fn digest(body: &[u8]) -> Hash {
    Sha256::digest(body).into()
}

/// How the member stood in the tiers after its last line for the period, and what was expected then.
pub(super) async fn select_standing(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
    member_id: &str,
) -> Result<(Before, Option<pb::ExpectedTotal>), Refusal> {
    let body: Option<Option<Vec<u8>>> = sqlx::query_scalar(
        "SELECT detail FROM channel_ledger WHERE plan_id = $1 AND period_start = $2 AND member_id = $3
         ORDER BY sequence DESC LIMIT 1",
    )
    .bind(plan_id)
    .bind(period.start.to_string())
    .bind(member_id)
    .fetch_optional(connection)
    .await?;
    let Some(body) = body.flatten() else { return Ok((Before::default(), None)) };
    let detail = pb::LineDetail::decode(&*body).map_err(|_| Refusal::Unreadable("ledger line"))?;
    let tier = detail.tier.map(|tier| TierReached {
        threshold: tier.threshold,
        pay: if tier.unit_minor == 0 {
            Pay::Rate(u32::try_from(tier.rate_bp).unwrap_or_default())
        } else {
            Pay::PerUnit(tier.unit_minor)
        },
        base: tier.base,
    });
    let before = Before {
        tier,
        so_far: detail.tier_base,
        accrued: detail.tier_minor,
        expected: detail.expected.as_ref().map(|expected| (expected.total, expected.whole_minor)),
    };
    Ok((before, detail.expected))
}

/// The lines that a member's statement sums: up to its settlement, but not up to the one before.
pub(super) struct Summed<'a> {
    pub plan_id: &'a str,
    pub member_id: &'a str,
    pub period: Period,
    pub settled: &'a Settlement,
    pub before: Option<&'a Settlement>,
}

/// At most `limit` of the lines, and how many there are.
pub(super) async fn select_summed(
    connection: &mut SqliteConnection,
    summed: Summed<'_>,
    limit: i64,
) -> Result<(Vec<Posted>, i64), Refusal> {
    const WHICH: &str = "FROM channel_ledger
         WHERE plan_id = $1 AND member_id = $2 AND period_start <= $3 AND sequence <= $4
             AND (period_start > $5 OR sequence > $6)";
    let Summed { plan_id, member_id, period, settled, before } = summed;
    let (last_period, last_sequence) =
        before.map_or(("", 0), |before| (before.period_start.as_str(), before.through_sequence));
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} {WHICH} ORDER BY sequence LIMIT $7")))
            .bind(plan_id)
            .bind(member_id)
            .bind(period.start.to_string())
            .bind(settled.through_sequence)
            .bind(last_period)
            .bind(last_sequence)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
    let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) {WHICH}")))
        .bind(plan_id)
        .bind(member_id)
        .bind(period.start.to_string())
        .bind(settled.through_sequence)
        .bind(last_period)
        .bind(last_sequence)
        .fetch_one(connection)
        .await?;
    Ok((rows.iter().map(read_line).collect::<Result<_, _>>()?, count))
}

fn read_hash(row: &sqlx::sqlite::SqliteRow, column: &str) -> Result<Hash, Refusal> {
    row.try_get::<&[u8], _>(column)?.try_into().map_err(|_| Refusal::Unreadable("hash"))
}
