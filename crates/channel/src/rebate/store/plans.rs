//! Versions of plans.

use jiff::civil::Date;
use oaas_proto::oaas::channel::v1 as pb;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::super::Plan;
use super::super::refusal::Refusal;
use super::super::wire::Reader;
use super::{Stored, VERSIONS_MAX};

/// Whether a later version may follow: what ledger lines hang on stays as it was.
pub(super) fn fits(newest: &Plan, first_day: Option<Date>, plan: &Plan) -> Result<(), Refusal> {
    let conflict = |text: String| Err(Refusal::PlanConflict { plan_id: plan.plan_id.clone(), text });
    if plan.currency != newest.currency || plan.period != newest.period {
        return conflict("currency and period are those of its first version; put a new plan".to_owned());
    }
    let from = plan.effective_from;
    let start = plan.period.around(from).start;
    if from != start && Some(from) != first_day {
        return conflict(format!(
            "a later version takes effect on the first day of a period, such as {start}, not on {from}"
        ));
    }
    Ok(())
}

/// The newest version up to `at_most`.
pub(super) async fn select_plan(
    connection: &mut SqliteConnection,
    plan_id: &str,
    at_most: i64,
) -> Result<Option<Stored>, Refusal> {
    let row = sqlx::query(
        "SELECT version, body FROM channel_plans WHERE plan_id = $1 AND version <= $2
         ORDER BY version DESC LIMIT 1",
    )
    .bind(plan_id)
    .bind(at_most)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read_plan).transpose()
}

/// The first version.
pub(super) async fn select_first(
    connection: &mut SqliteConnection,
    plan_id: &str,
) -> Result<Option<Stored>, Refusal> {
    select_plan(connection, plan_id, 1).await
}

pub(super) async fn select_plan_on(
    connection: &mut SqliteConnection,
    plan_id: &str,
    day: Date,
) -> Result<Stored, Refusal> {
    let newest = select_plan(connection, plan_id, VERSIONS_MAX).await?;
    let unknown = || Refusal::PlanUnknown { plan_id: plan_id.to_owned(), version: "at all".to_owned() };
    // Every version has the same kind of period, and later ones begin with a period.
    let end = newest.ok_or_else(unknown)?.plan.period.around(day).end;
    let row = sqlx::query(
        "SELECT version, body FROM channel_plans WHERE plan_id = $1 AND effective_from <= $2
         ORDER BY version DESC LIMIT 1",
    )
    .bind(plan_id)
    .bind(end.to_string())
    .fetch_optional(connection)
    .await?;
    let found = row.as_ref().map(read_plan).transpose()?;
    found.ok_or_else(|| Refusal::PlanNotInForce { plan_id: plan_id.to_owned(), day: day.to_string() })
}

fn read_plan(row: &sqlx::sqlite::SqliteRow) -> Result<Stored, Refusal> {
    let unreadable = || Refusal::Unreadable("plan");
    let wire = pb::Plan::decode(row.try_get::<&[u8], _>("body")?).map_err(|_| unreadable())?;
    let mut reader = Reader::at("plan");
    let plan = reader.plan(&wire);
    let plan = reader.finish(plan).map_err(|_| unreadable())?;
    Ok(Stored { version: row.try_get("version")?, wire, plan })
}
