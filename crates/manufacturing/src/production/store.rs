//! The tables of the production trigger: what a decision reads, and what it commits.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use oaas_model::Currency;
use oaas_proto::oaas::manufacturing::v1 as pb;
use oaas_store::{Store, StoreError};
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::bill::ITEMS_MAX;
use super::commit::Commitments;
use super::demand::PlanError;
use super::failure::Failure;
use super::plant::{Booking, Component, Id, Minute, Receipt, Reserved, Snapshot};
use super::{senders, wire};

/// Owner of the tables' migrations.
const OWNER: &str = "manufacturing_production";

/// Most open orders, most reservations and most bookings a decision reads; more means that progress
/// isn't reported.
pub const ROWS_MAX: i64 = 100_000;
/// Most items of a plant that an event or the triggers look at.
const PLANT_ITEMS_MAX: usize = 20_000;

const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE manufacturing_plants (
        plant TEXT PRIMARY KEY, currency TEXT NOT NULL, time_zone TEXT NOT NULL,
        -- Rises with everything that a decision may rest on.
        revision INTEGER NOT NULL);
    CREATE TABLE manufacturing_items (
        plant TEXT NOT NULL, item_id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (plant, item_id));
    CREATE TABLE manufacturing_components (
        plant TEXT NOT NULL, parent TEXT NOT NULL, item_id TEXT NOT NULL, quantity INTEGER NOT NULL,
        per_quantity INTEGER NOT NULL, scrap INTEGER NOT NULL, PRIMARY KEY (plant, parent, item_id));
    CREATE TABLE manufacturing_work_centers (
        plant TEXT NOT NULL, work_center_id TEXT NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (plant, work_center_id));
    CREATE TABLE manufacturing_stock (
        plant TEXT NOT NULL, item_id TEXT NOT NULL, on_hand INTEGER NOT NULL, PRIMARY KEY (plant, item_id));
    -- Open orders: from elsewhere (production 0) or of a production.
    CREATE TABLE manufacturing_receipts (
        plant TEXT NOT NULL, receipt_id TEXT NOT NULL, item_id TEXT NOT NULL, quantity INTEGER NOT NULL,
        at_minute INTEGER NOT NULL, production INTEGER NOT NULL, order_number INTEGER NOT NULL,
        PRIMARY KEY (plant, item_id, receipt_id));
    CREATE INDEX manufacturing_receipts_production ON manufacturing_receipts (production);
    -- What is set aside; order_number 0 is a delivery.
    CREATE TABLE manufacturing_reservations (
        plant TEXT NOT NULL, reservation_id TEXT NOT NULL, item_id TEXT NOT NULL, quantity INTEGER NOT NULL,
        at_minute INTEGER NOT NULL, production INTEGER NOT NULL, order_number INTEGER NOT NULL,
        PRIMARY KEY (plant, item_id, reservation_id));
    CREATE INDEX manufacturing_reservations_production ON manufacturing_reservations (production);
    CREATE TABLE manufacturing_bookings (
        plant TEXT NOT NULL, work_center_id TEXT NOT NULL, machine INTEGER NOT NULL,
        start_minute INTEGER NOT NULL, end_minute INTEGER NOT NULL,
        production INTEGER NOT NULL, order_number INTEGER NOT NULL);
    CREATE INDEX manufacturing_bookings_center ON manufacturing_bookings (plant, work_center_id, end_minute);
    CREATE INDEX manufacturing_bookings_production ON manufacturing_bookings (production);
    -- The unique key is what makes a trigger happen once.
    CREATE TABLE manufacturing_productions (
        number INTEGER PRIMARY KEY, plant TEXT NOT NULL, application TEXT NOT NULL,
        idempotency_key TEXT NOT NULL, request BLOB NOT NULL, response BLOB NOT NULL,
        item_id TEXT NOT NULL, quantity INTEGER NOT NULL, decision INTEGER NOT NULL,
        promise_minute INTEGER NOT NULL, order_reference TEXT NOT NULL, state INTEGER NOT NULL,
        UNIQUE (application, idempotency_key));
    CREATE INDEX manufacturing_productions_plant ON manufacturing_productions (plant, number);
    CREATE TABLE manufacturing_orders (
        production INTEGER NOT NULL, number INTEGER NOT NULL, item_id TEXT NOT NULL,
        quantity INTEGER NOT NULL, state INTEGER NOT NULL, PRIMARY KEY (production, number));
",
    "
    -- Setup families; bookings from before have none.
    ALTER TABLE manufacturing_bookings ADD COLUMN family TEXT NOT NULL DEFAULT '';
    ALTER TABLE manufacturing_bookings ADD COLUMN setup INTEGER NOT NULL DEFAULT 0;
",
    "
    -- Where events moved orders and promises; what isn't here is as it was planned.
    CREATE TABLE manufacturing_order_times (
        production INTEGER NOT NULL, number INTEGER NOT NULL, start_minute INTEGER NOT NULL,
        ready_minute INTEGER NOT NULL, PRIMARY KEY (production, number));
    CREATE TABLE manufacturing_promises (
        production INTEGER NOT NULL, delivery INTEGER NOT NULL, promise_minute INTEGER NOT NULL,
        PRIMARY KEY (production, delivery));
    -- The unique key is what makes an event happen once.
    CREATE TABLE manufacturing_events (
        number INTEGER PRIMARY KEY, plant TEXT NOT NULL, application TEXT NOT NULL,
        idempotency_key TEXT NOT NULL, request BLOB NOT NULL, response BLOB NOT NULL,
        UNIQUE (application, idempotency_key));
",
];

/// Makes the tables.
pub async fn migrate(store: &Store) -> Result<(), StoreError> {
    store.migrate(OWNER, MIGRATIONS).await
}

/// A query on the items of a bill: plant is `$1`, the wanted item `$2` (all when it is empty), `closure`
/// names them. The
/// limit is one more than a bill may have, so that one too large is seen as such.
macro_rules! of_bill {
    ($query:literal) => {
        concat!(
            "WITH RECURSIVE closure(item_id) AS (
                SELECT item_id FROM manufacturing_items WHERE plant = $1 AND ($2 = '' OR item_id = $2)
                UNION SELECT c.item_id
                FROM closure p JOIN manufacturing_components c ON c.plant = $1 AND c.parent = p.item_id
                LIMIT $3) ",
            $query
        )
    };
}

pub(super) use of_bill;

/// A production as it is stored.
#[derive(Debug)]
pub struct Stored {
    /// Its number; its id is `P-<number>`.
    pub number: i64,
    /// Plant.
    pub plant: String,
    /// Who triggered it.
    pub application: String,
    /// What was asked, encoded.
    pub request: Vec<u8>,
    /// What was answered, encoded.
    pub response: Vec<u8>,
    /// A [`pb::ProductionState`].
    pub state: i32,
}

/// A new production.
#[derive(Debug)]
pub struct New<'a> {
    /// Its number.
    pub number: i64,
    /// Who triggers it.
    pub application: &'a str,
    /// What was asked.
    pub request: &'a pb::TriggerProductionRequest,
    /// What is answered.
    pub response: &'a pb::TriggerProductionResponse,
    /// What it commits.
    pub commitments: &'a Commitments,
    /// When its last delivery is ready.
    pub promise: Minute,
}

/// Currency and time zone of a plant.
pub async fn plant(db: &mut SqliteConnection, plant: &str) -> Result<(Currency, TimeZone), Failure> {
    let row = sqlx::query("SELECT currency, time_zone FROM manufacturing_plants WHERE plant = $1")
        .bind(plant)
        .fetch_optional(&mut *db)
        .await?
        .ok_or_else(|| Failure::PlantUnknown(plant.to_owned()))?;
    let currency = Currency::parse(row.try_get("currency")?).map_err(|_| Failure::Corrupt("currency"))?;
    let zone = TimeZone::get(row.try_get("time_zone")?).map_err(|_| Failure::Corrupt("time zone"))?;
    Ok((currency, zone))
}

/// The plant's revision: a decision may be committed while it is the one that it was made on.
pub async fn revision(db: &mut SqliteConnection, plant: &str) -> Result<i64, Failure> {
    let query = sqlx::query_scalar("SELECT revision FROM manufacturing_plants WHERE plant = $1");
    let revision: Option<i64> = query.bind(plant).fetch_optional(db).await?;
    revision.ok_or_else(|| Failure::PlantUnknown(plant.to_owned()))
}

/// The revisions of a plant and of all known plants that send it something.
pub async fn revisions(
    db: &mut SqliteConnection,
    plant: &str,
    snapshot: &Snapshot,
) -> Result<BTreeMap<String, i64>, Failure> {
    let mut revisions = BTreeMap::from([(plant.to_owned(), revision(db, plant).await?)]);
    for sender in snapshot.senders.values().filter(|sender| *sender.plant != *plant) {
        if !revisions.contains_key(&*sender.plant) {
            revisions.insert(sender.plant.to_string(), revision(db, &sender.plant).await?);
        }
    }
    Ok(revisions)
}

/// Whether all plants are still at these revisions.
pub async fn unchanged(
    db: &mut SqliteConnection,
    revisions: &BTreeMap<String, i64>,
) -> Result<bool, Failure> {
    for (plant, known) in revisions {
        if revision(db, plant).await? != *known {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says that something changed on which a decision may rest.
pub async fn revise(db: &mut SqliteConnection, plant: &str) -> Result<(), Failure> {
    let query = sqlx::query("UPDATE manufacturing_plants SET revision = revision + 1 WHERE plant = $1");
    query.bind(plant).execute(db).await?;
    Ok(())
}

/// All that a decision on `item` rests on; on any item, when it is empty.
pub async fn snapshot(
    db: &mut SqliteConnection,
    plant_id: &str,
    item: &str,
    now: Minute,
) -> Result<Snapshot, Failure> {
    let (currency, zone) = plant(db, plant_id).await?;
    let most = if item.is_empty() { PLANT_ITEMS_MAX } else { ITEMS_MAX };
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let mut snapshot = Snapshot {
        currency,
        items: BTreeMap::new(),
        work_centers: BTreeMap::new(),
        receipts: Vec::new(),
        reserved: Vec::new(),
        bookings: Vec::new(),
        senders: BTreeMap::new(),
    };
    let rows = sqlx::query(of_bill!(
        "SELECT i.item_id, i.body, COALESCE(s.on_hand, 0) AS on_hand FROM closure
         JOIN manufacturing_items i ON i.plant = $1 AND i.item_id = closure.item_id
         LEFT JOIN manufacturing_stock s ON s.plant = $1 AND s.item_id = closure.item_id"
    ));
    for row in rows.bind(plant_id).bind(item).bind(limit).fetch_all(&mut *db).await? {
        let body =
            pb::Item::decode(row.try_get::<&[u8], _>("body")?).map_err(|_| Failure::Corrupt("item"))?;
        let item = wire::item(&body, row.try_get("on_hand")?);
        snapshot.items.insert(row.try_get::<&str, _>("item_id")?.into(), item);
    }
    let rows = sqlx::query(of_bill!(
        "SELECT c.parent, c.item_id, c.quantity, c.per_quantity, c.scrap FROM closure
         JOIN manufacturing_components c ON c.plant = $1 AND c.parent = closure.item_id
         ORDER BY c.parent, c.item_id"
    ));
    for row in rows.bind(plant_id).bind(item).bind(limit).fetch_all(&mut *db).await? {
        if let Some(parent) = snapshot.items.get_mut(row.try_get::<&str, _>("parent")?) {
            parent.bill.push(Component {
                item: row.try_get::<&str, _>("item_id")?.into(),
                quantity: row.try_get("quantity")?,
                per: row.try_get("per_quantity")?,
                scrap_basis_points: row.try_get("scrap")?,
            });
        }
    }
    let rows = sqlx::query(of_bill!(
        "SELECT r.receipt_id, r.item_id, r.quantity, r.at_minute FROM closure
         JOIN manufacturing_receipts r ON r.plant = $1 AND r.item_id = closure.item_id LIMIT $4"
    ));
    let rows = rows.bind(plant_id).bind(item).bind(limit).bind(ROWS_MAX + 1).fetch_all(&mut *db).await?;
    limited(&rows, item, "open orders")?;
    for row in rows {
        snapshot.receipts.push(Receipt {
            id: row.try_get::<&str, _>("receipt_id")?.into(),
            item: row.try_get::<&str, _>("item_id")?.into(),
            quantity: row.try_get("quantity")?,
            at: row.try_get("at_minute")?,
        });
    }
    let rows = sqlx::query(of_bill!(
        "SELECT r.reservation_id, r.item_id, r.quantity, r.at_minute FROM closure
         JOIN manufacturing_reservations r ON r.plant = $1 AND r.item_id = closure.item_id LIMIT $4"
    ));
    let rows = rows.bind(plant_id).bind(item).bind(limit).bind(ROWS_MAX + 1).fetch_all(&mut *db).await?;
    limited(&rows, item, "reservations")?;
    for row in rows {
        snapshot.reserved.push(Reserved {
            id: row.try_get::<&str, _>("reservation_id")?.into(),
            item: row.try_get::<&str, _>("item_id")?.into(),
            quantity: row.try_get("quantity")?,
            at: row.try_get("at_minute")?,
        });
    }
    if item.is_empty() && snapshot.items.len() > PLANT_ITEMS_MAX {
        return Err(Failure::Plan(PlanError::TooLarge { item: plant_id.into(), what: "number of items" }));
    }
    senders::read(db, plant_id, item, &mut snapshot).await?;
    work_centers(db, plant_id, &zone, now, &mut snapshot).await?;
    Ok(snapshot)
}

/// Refuses more rows than a decision reads.
pub fn limited(rows: &[sqlx::sqlite::SqliteRow], item: &str, what: &'static str) -> Result<(), Failure> {
    if i64::try_from(rows.len()).is_ok_and(|rows| rows <= ROWS_MAX) {
        return Ok(());
    }
    Err(Failure::Plan(PlanError::TooLarge { item: item.into(), what }))
}

/// Adds the work centres of the snapshot's routings, with what is booked on them from now on.
async fn work_centers(
    db: &mut SqliteConnection,
    plant: &str,
    zone: &TimeZone,
    now: Minute,
    snapshot: &mut Snapshot,
) -> Result<(), Failure> {
    let routings = snapshot.items.values().filter_map(|item| item.make.as_ref());
    let mut ids: Vec<Id> =
        routings.flat_map(|make| &make.operations).map(|o| o.work_center.clone()).collect();
    ids.sort();
    ids.dedup();
    for id in ids {
        let body: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT body FROM manufacturing_work_centers WHERE plant = $1 AND work_center_id = $2",
        )
        .bind(plant)
        .bind(&*id)
        .fetch_optional(&mut *db)
        .await?;
        let Some(body) = body else { continue };
        let body = pb::WorkCenter::decode(&*body).map_err(|_| Failure::Corrupt("work centre"))?;
        let center = wire::work_center(&body, zone).map_err(|_| Failure::Corrupt("calendar"))?;
        snapshot.work_centers.insert(id.clone(), center);
        let rows = sqlx::query(
            "SELECT machine, start_minute, end_minute, family, setup FROM manufacturing_bookings
             WHERE plant = $1 AND work_center_id = $2 AND end_minute > $3 LIMIT $4",
        );
        let rows = rows.bind(plant).bind(&*id).bind(now).bind(ROWS_MAX + 1).fetch_all(&mut *db).await?;
        limited(&rows, &id, "bookings of its work centre")?;
        for row in rows {
            snapshot.bookings.push(Booking {
                work_center: id.clone(),
                machine: usize::try_from(row.try_get::<i64, _>("machine")?).unwrap_or_default(),
                start: row.try_get("start_minute")?,
                end: row.try_get("end_minute")?,
                family: wire::family(row.try_get("family")?),
                setup: row.try_get("setup")?,
            });
        }
    }
    Ok(())
}

/// The production that an application triggered under a key.
pub async fn by_key(
    db: &mut SqliteConnection,
    application: &str,
    key: &str,
) -> Result<Option<Stored>, Failure> {
    let row = sqlx::query(
        "SELECT number, plant, application, request, response, state FROM manufacturing_productions
         WHERE application = $1 AND idempotency_key = $2",
    );
    row.bind(application).bind(key).fetch_optional(db).await?.map(|row| stored(&row)).transpose()
}

/// The production with this number.
pub async fn by_number(db: &mut SqliteConnection, number: i64) -> Result<Option<Stored>, Failure> {
    let row = sqlx::query(
        "SELECT number, plant, application, request, response, state FROM manufacturing_productions
         WHERE number = $1",
    );
    row.bind(number).fetch_optional(db).await?.map(|row| stored(&row)).transpose()
}

fn stored(row: &sqlx::sqlite::SqliteRow) -> Result<Stored, Failure> {
    Ok(Stored {
        number: row.try_get("number")?,
        plant: row.try_get("plant")?,
        application: row.try_get("application")?,
        request: row.try_get("request")?,
        response: row.try_get("response")?,
        state: row.try_get("state")?,
    })
}

/// Plants in which a production has something set aside.
pub async fn senders_of(db: &mut SqliteConnection, production: i64) -> Result<Vec<String>, Failure> {
    let query =
        sqlx::query_scalar("SELECT DISTINCT plant FROM manufacturing_reservations WHERE production = $1");
    Ok(query.bind(production).fetch_all(db).await?)
}

/// States of a production's orders by their numbers.
pub async fn order_states(db: &mut SqliteConnection, production: i64) -> Result<BTreeMap<u32, i32>, Failure> {
    let rows = sqlx::query("SELECT number, state FROM manufacturing_orders WHERE production = $1");
    let rows = rows.bind(production).fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.try_get("number")?, row.try_get("state")?))).collect()
}

/// The number that the next production gets; only within a write transaction.
pub async fn next_number(db: &mut SqliteConnection) -> Result<i64, Failure> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT MAX(number) FROM manufacturing_productions").fetch_one(db).await?;
    Ok(last.unwrap_or_default() + 1)
}

/// Writes a production with all that it commits; within the transaction that decided it.
pub async fn insert(db: &mut SqliteConnection, new: &New<'_>) -> Result<(), Failure> {
    let demand = new.request.demand.as_ref().ok_or(Failure::Corrupt("demand"))?;
    let plan = new.response.plan.as_ref().ok_or(Failure::Corrupt("plan"))?;
    let quantity: i64 = demand.deliveries.iter().map(|delivery| delivery.quantity).sum();
    let planned = i32::from(pb::ProductionState::Planned);
    sqlx::query(
        "INSERT INTO manufacturing_productions (number, plant, application, idempotency_key, request,
            response, item_id, quantity, decision, promise_minute, order_reference, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(new.number)
    .bind(&demand.plant)
    .bind(new.application)
    .bind(&new.request.idempotency_key)
    .bind(new.request.encode_to_vec())
    .bind(new.response.encode_to_vec())
    .bind(&demand.item_id)
    .bind(quantity)
    .bind(plan.decision)
    .bind(new.promise)
    .bind(&demand.order_reference)
    .bind(planned)
    .execute(&mut *db)
    .await?;
    for (order, receipt) in plan.planned_orders.iter().zip(&new.commitments.receipts) {
        sqlx::query(
            "INSERT INTO manufacturing_orders (production, number, item_id, quantity, state)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(new.number)
        .bind(order.number)
        .bind(&order.item_id)
        .bind(order.quantity)
        .bind(planned)
        .execute(&mut *db)
        .await?;
        put_receipt(db, &demand.plant, receipt, (new.number, order.number)).await?;
    }
    for (reservation, reserved) in plan.reservations.iter().zip(&new.commitments.reserved) {
        let user = match reservation.used_by {
            Some(pb::reservation::UsedBy::PlannedOrder(number)) => number,
            _ => 0,
        };
        put_reserved(db, &demand.plant, reserved, (new.number, user)).await?;
    }
    for (order, sender, reserved) in &new.commitments.sent {
        let order = u32::try_from(*order).unwrap_or(u32::MAX).saturating_add(1);
        put_reserved(db, sender, reserved, (new.number, order)).await?;
        // What it may promise is less now.
        revise(db, sender).await?;
    }
    for (order, booking) in &new.commitments.bookings {
        let order = u32::try_from(*order).unwrap_or(u32::MAX).saturating_add(1);
        put_booking(db, &demand.plant, booking, (new.number, order)).await?;
    }
    Ok(())
}

/// Writes what an order of a production sets aside; order 0 is its deliveries.
async fn put_reserved(
    db: &mut SqliteConnection,
    plant: &str,
    reserved: &Reserved,
    (production, order): (i64, u32),
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO manufacturing_reservations (plant, reservation_id, item_id, quantity, at_minute,
            production, order_number) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(plant)
    .bind(&*reserved.id)
    .bind(&*reserved.item)
    .bind(reserved.quantity)
    .bind(reserved.at)
    .bind(production)
    .bind(order)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a booking; production 0 is nobody's.
pub async fn put_booking(
    db: &mut SqliteConnection,
    plant: &str,
    booking: &Booking,
    (production, order): (i64, u32),
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO manufacturing_bookings (plant, work_center_id, machine, start_minute, end_minute,
            production, order_number, family, setup) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(plant)
    .bind(&*booking.work_center)
    .bind(i64::try_from(booking.machine).unwrap_or_default())
    .bind(booking.start)
    .bind(booking.end)
    .bind(production)
    .bind(order)
    .bind(booking.family.as_deref().unwrap_or_default())
    .bind(booking.setup)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes an open order; production 0 is one from elsewhere.
pub async fn put_receipt(
    db: &mut SqliteConnection,
    plant: &str,
    receipt: &Receipt,
    (production, order): (i64, u32),
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO manufacturing_receipts (plant, receipt_id, item_id, quantity, at_minute, production,
            order_number) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(plant)
    .bind(&*receipt.id)
    .bind(&*receipt.item)
    .bind(receipt.quantity)
    .bind(receipt.at)
    .bind(production)
    .bind(order)
    .execute(db)
    .await?;
    Ok(())
}
