//! Progress of productions: which state follows which, and the goods movements that come with it.
//!
//! Material is issued when an order begins, goods are received when it is completed, and the
//! deliveries' stock leaves when the production as a whole is.

use oaas_proto::oaas::manufacturing::v1::ProductionState as State;
use sqlx::{Row as _, SqliteConnection};

use super::failure::Failure;

/// One report.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Number of the production.
    pub production: i64,
    /// Number of the order; 0 for the production as a whole.
    pub order: u32,
    /// State that it has reached.
    pub state: State,
    /// Good quantity of a completed order; `None`: as planned.
    pub quantity_good: Option<i64>,
}

/// Whether `to` may follow `from`; the same state may always be reported again.
pub fn follows(from: State, to: State) -> bool {
    match (from, to) {
        (State::Planned, State::InProgress | State::Completed | State::Cancelled)
        | (State::InProgress, State::Completed | State::Cancelled) => true,
        _ => from == to,
    }
}

/// Carries a report out; within a write transaction. `state` is the production's present one.
pub async fn report(
    db: &mut SqliteConnection,
    plant: &str,
    report: Report,
    state: State,
) -> Result<(), Failure> {
    if report.order == 0 { whole(db, report, state).await } else { order(db, plant, report, state).await }
}

async fn order(db: &mut SqliteConnection, plant: &str, report: Report, whole: State) -> Result<(), Failure> {
    let id = format!("P-{}", report.production);
    let row = sqlx::query(
        "SELECT item_id, quantity, state FROM manufacturing_orders WHERE production = $1 AND number = $2",
    );
    let row = row.bind(report.production).bind(report.order).fetch_optional(&mut *db).await?;
    let unknown = || Failure::OrderUnknown { production: id.clone(), order: report.order };
    let row = row.ok_or_else(unknown)?;
    let from = read(row.try_get("state")?)?;
    let to = report.state;
    if !follows(from, to) || (from != to && matches!(whole, State::Completed | State::Cancelled)) {
        let from = if follows(from, to) { whole } else { from };
        return Err(conflict(format!("{id}/{}", report.order), from, to));
    }
    if from == to {
        return Ok(());
    }
    if to != State::Cancelled && from == State::Planned {
        issue(db, report.production, report.order).await?;
    }
    if to == State::Completed {
        let quantity = report.quantity_good.map_or_else(|| row.try_get("quantity"), Ok)?;
        receive(db, plant, row.try_get("item_id")?, quantity).await?;
    }
    if matches!(to, State::Completed | State::Cancelled) {
        release(db, report.production, Some(report.order)).await?;
    }
    sqlx::query("UPDATE manufacturing_orders SET state = $3 WHERE production = $1 AND number = $2")
        .bind(report.production)
        .bind(report.order)
        .bind(i32::from(to))
        .execute(&mut *db)
        .await?;
    if whole == State::Planned && to != State::Cancelled {
        set(db, report.production, State::InProgress).await?;
    }
    Ok(())
}

async fn whole(db: &mut SqliteConnection, report: Report, from: State) -> Result<(), Failure> {
    let to = report.state;
    if !follows(from, to) {
        return Err(conflict(format!("P-{}", report.production), from, to));
    }
    if from == to {
        return Ok(());
    }
    if to == State::Completed {
        let open: Option<(u32, i32)> = sqlx::query_as(
            "SELECT number, state FROM manufacturing_orders
             WHERE production = $1 AND state NOT IN ($2, $3) ORDER BY number LIMIT 1",
        )
        .bind(report.production)
        .bind(i32::from(State::Completed))
        .bind(i32::from(State::Cancelled))
        .fetch_optional(&mut *db)
        .await?;
        if let Some((number, state)) = open {
            return Err(conflict(format!("P-{}/{number}", report.production), read(state)?, to));
        }
        issue(db, report.production, 0).await?;
    }
    if to == State::Cancelled {
        release(db, report.production, None).await?;
        sqlx::query("UPDATE manufacturing_orders SET state = $2 WHERE production = $1 AND state <> $3")
            .bind(report.production)
            .bind(i32::from(State::Cancelled))
            .bind(i32::from(State::Completed))
            .execute(&mut *db)
            .await?;
    }
    set(db, report.production, to).await
}

/// Takes what an order (0: the deliveries) reserved out of the stock; of a transfer that is the stock of
/// the plant that sends it.
async fn issue(db: &mut SqliteConnection, production: i64, order: u32) -> Result<(), Failure> {
    let rows = sqlx::query(
        "SELECT r.plant, r.item_id, SUM(r.quantity) AS quantity, COALESCE(MAX(s.on_hand), 0) AS on_hand
         FROM manufacturing_reservations r
         LEFT JOIN manufacturing_stock s ON s.plant = r.plant AND s.item_id = r.item_id
         WHERE r.production = $1 AND r.order_number = $2
         GROUP BY r.plant, r.item_id ORDER BY r.plant, r.item_id",
    );
    for row in rows.bind(production).bind(order).fetch_all(&mut *db).await? {
        let (item, quantity): (String, i64) = (row.try_get("item_id")?, row.try_get("quantity")?);
        let missing = quantity - row.try_get::<i64, _>("on_hand")?;
        if missing > 0 {
            return Err(Failure::MaterialMissing { item, missing });
        }
        receive(db, row.try_get("plant")?, &item, -quantity).await?;
    }
    sqlx::query("DELETE FROM manufacturing_reservations WHERE production = $1 AND order_number = $2")
        .bind(production)
        .bind(order)
        .execute(db)
        .await?;
    Ok(())
}

/// Adds to the stock of an item.
async fn receive(db: &mut SqliteConnection, plant: &str, item: &str, quantity: i64) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO manufacturing_stock (plant, item_id, on_hand) VALUES ($1, $2, $3)
         ON CONFLICT (plant, item_id) DO UPDATE SET on_hand = on_hand + excluded.on_hand",
    )
    .bind(plant)
    .bind(item)
    .bind(quantity)
    .execute(db)
    .await?;
    Ok(())
}

/// Frees what one order, or all of a production, still holds: its open order, material and machines.
async fn release(db: &mut SqliteConnection, production: i64, order: Option<u32>) -> Result<(), Failure> {
    for query in [
        "DELETE FROM manufacturing_receipts WHERE production = $1 AND ($2 IS NULL OR order_number = $2)",
        "DELETE FROM manufacturing_reservations WHERE production = $1 AND ($2 IS NULL OR order_number = $2)",
        "DELETE FROM manufacturing_bookings WHERE production = $1 AND ($2 IS NULL OR order_number = $2)",
    ] {
        sqlx::query(query).bind(production).bind(order).execute(&mut *db).await?;
    }
    Ok(())
}

async fn set(db: &mut SqliteConnection, production: i64, state: State) -> Result<(), Failure> {
    sqlx::query("UPDATE manufacturing_productions SET state = $2 WHERE number = $1")
        .bind(production)
        .bind(i32::from(state))
        .execute(db)
        .await?;
    Ok(())
}

/// A stored state.
pub fn read(state: i32) -> Result<State, Failure> {
    State::try_from(state).map_err(|_| Failure::Corrupt("state"))
}

fn conflict(subject: String, from: State, to: State) -> Failure {
    Failure::StateConflict { subject, from: from.as_str_name(), to: to.as_str_name() }
}
