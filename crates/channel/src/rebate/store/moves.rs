//! Where members stand, and since when.

use oaas_proto::oaas::channel::v1 as pb;
use sqlx::{Row as _, SqliteConnection};

use super::super::refusal::Refusal;
use super::super::{Move, MoveError, Tree};

/// The tree of a plan.
pub(super) async fn select_tree(connection: &mut SqliteConnection, plan_id: &str) -> Result<Tree, Refusal> {
    let rows =
        sqlx::query("SELECT member_id, effective_on, parent_id, grade FROM channel_moves WHERE plan_id = $1")
            .bind(plan_id)
            .fetch_all(connection)
            .await?;
    let unreadable = || Refusal::Unreadable("move");
    let mut tree = Tree::default();
    for row in rows {
        let day: &str = row.try_get("effective_on")?;
        tree.put_known(Move {
            member_id: row.try_get("member_id")?,
            effective_on: day.parse().map_err(|_| unreadable())?,
            parent_id: row.try_get("parent_id")?,
            grade: row.try_get("grade")?,
        });
    }
    Ok(tree)
}

/// Keeps a move; true when it was known.
pub(super) async fn insert_move(
    connection: &mut SqliteConnection,
    request: &pb::MoveMemberRequest,
    step: &Move,
) -> Result<bool, Refusal> {
    let mut tree = select_tree(connection, &request.plan_id).await?;
    match tree.put(step.clone()) {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(error) => return Err(refused(&request.plan_id, error)),
    }
    sqlx::query(
        "INSERT INTO channel_moves (plan_id, member_id, effective_on, parent_id, grade)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&request.plan_id)
    .bind(&step.member_id)
    .bind(step.effective_on.to_string())
    .bind(&step.parent_id)
    .bind(&step.grade)
    .execute(connection)
    .await?;
    Ok(false)
}

fn refused(plan_id: &str, error: MoveError) -> Refusal {
    Refusal::MoveRefused { plan_id: plan_id.to_owned(), error }
}
