//! Settled periods and their statements.

use std::collections::BTreeMap;

use oaas_proto::oaas::channel::v1 as pb;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::super::refusal::Refusal;
use super::super::{Account, Period};

/// A settled period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// First day of the period.
    pub period_start: String,
    /// The last ledger line that it looked at.
    pub through_sequence: i64,
    /// Paid to all, minor units.
    pub paid_minor: i64,
    /// Carried by all, minor units.
    pub carried_minor: i64,
    /// Statements.
    pub statement_count: i64,
    /// When, Unix milliseconds.
    pub settled_at_ms: i64,
}

const COLUMNS: &str =
    "period_start, through_sequence, paid_minor, carried_minor, statement_count, settled_at_ms";

/// The settlement of a period.
pub(super) async fn select_settlement(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
) -> Result<Option<Settlement>, Refusal> {
    select(connection, plan_id, period, "period_start = $2").await
}

/// The last settlement before a period.
pub(super) async fn select_before(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
) -> Result<Option<Settlement>, Refusal> {
    select(connection, plan_id, period, "period_start < $2").await
}

/// The last settlement after a period.
pub(super) async fn select_after(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
) -> Result<Option<Settlement>, Refusal> {
    select(connection, plan_id, period, "period_start > $2").await
}

async fn select(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
    which: &'static str,
) -> Result<Option<Settlement>, Refusal> {
    let query = format!(
        "SELECT {COLUMNS} FROM channel_settlements WHERE plan_id = $1 AND {which}
         ORDER BY period_start DESC LIMIT 1"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(plan_id)
        .bind(period.start.to_string())
        .fetch_optional(connection)
        .await?;
    let read = |row: sqlx::sqlite::SqliteRow| {
        Ok::<_, Refusal>(Settlement {
            period_start: row.try_get("period_start")?,
            through_sequence: row.try_get("through_sequence")?,
            paid_minor: row.try_get("paid_minor")?,
            carried_minor: row.try_get("carried_minor")?,
            statement_count: row.try_get("statement_count")?,
            settled_at_ms: row.try_get("settled_at_ms")?,
        })
    };
    row.map(read).transpose()
}

/// What each member's account of a period adds up to: ledger lines that no settlement before has looked
/// at, and what was carried from the last.
pub(super) async fn select_accounts(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
    before: Option<&Settlement>,
) -> Result<BTreeMap<String, Account>, Refusal> {
    let (last_period, last_sequence) =
        before.map_or(("", 0), |before| (before.period_start.as_str(), before.through_sequence));
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT member_id, SUM(CASE WHEN period_start = $2 THEN amount_minor ELSE 0 END),
                SUM(CASE WHEN period_start < $2 THEN amount_minor ELSE 0 END)
         FROM channel_ledger
         WHERE plan_id = $1 AND period_start <= $2 AND (period_start > $3 OR sequence > $4)
         GROUP BY member_id",
    )
    .bind(plan_id)
    .bind(period.start.to_string())
    .bind(last_period)
    .bind(last_sequence)
    .fetch_all(&mut *connection)
    .await?;
    let account = |(member, accrued, adjusted)| (member, Account { opening: 0, accrued, adjusted });
    let mut accounts: BTreeMap<String, Account> = rows.into_iter().map(account).collect();
    let carried: Vec<(String, i64)> = sqlx::query_as(
        "SELECT member_id, carried_minor FROM channel_statements
         WHERE plan_id = $1 AND period_start = $2 AND carried_minor <> 0",
    )
    .bind(plan_id)
    .bind(last_period)
    .fetch_all(connection)
    .await?;
    for (member, opening) in carried {
        accounts.entry(member).or_default().opening = opening;
    }
    Ok(accounts)
}

pub(super) async fn insert_settlement(
    connection: &mut SqliteConnection,
    plan_id: &str,
    settlement: &Settlement,
    statements: &[pb::Statement],
) -> Result<(), Refusal> {
    sqlx::query(
        "INSERT INTO channel_settlements (plan_id, period_start, through_sequence, paid_minor, carried_minor,
             statement_count, settled_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(plan_id)
    .bind(&settlement.period_start)
    .bind(settlement.through_sequence)
    .bind(settlement.paid_minor)
    .bind(settlement.carried_minor)
    .bind(settlement.statement_count)
    .bind(settlement.settled_at_ms)
    .execute(&mut *connection)
    .await?;
    for statement in statements {
        sqlx::query(
            "INSERT INTO channel_statements (plan_id, period_start, member_id, carried_minor, body)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(plan_id)
        .bind(&settlement.period_start)
        .bind(&statement.member_id)
        .bind(statement.carried_minor)
        .bind(statement.encode_to_vec())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// At most `limit` statements of members after `after`.
pub(super) async fn select_statements(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
    after: &str,
    limit: i64,
) -> Result<Vec<pb::Statement>, Refusal> {
    let bodies: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT body FROM channel_statements WHERE plan_id = $1 AND period_start = $2 AND member_id > $3
         ORDER BY member_id LIMIT $4",
    )
    .bind(plan_id)
    .bind(period.start.to_string())
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    bodies.iter().map(|body| read_statement(body)).collect()
}

/// One member's statement.
pub(super) async fn select_statement(
    connection: &mut SqliteConnection,
    plan_id: &str,
    period: Period,
    member_id: &str,
) -> Result<Option<pb::Statement>, Refusal> {
    let body: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT body FROM channel_statements WHERE plan_id = $1 AND period_start = $2 AND member_id = $3",
    )
    .bind(plan_id)
    .bind(period.start.to_string())
    .bind(member_id)
    .fetch_optional(connection)
    .await?;
    body.map(|body| read_statement(&body)).transpose()
}

fn read_statement(body: &[u8]) -> Result<pb::Statement, Refusal> {
    pb::Statement::decode(body).map_err(|_| Refusal::Unreadable("statement"))
}
