//! What is open in a plant, read from the tables, and what an event changes, written to them.

use std::collections::BTreeMap;

use oaas_proto::oaas::manufacturing::v1 as pb;
use pb::ProductionState as State;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::event::{ChangedPromise, MovedOrder};
use super::failure::Failure;
use super::open_plant::{OpenDelivery, OpenOrder, OpenPlant, UsedBy};
use super::plant::{Booking, Id, Minute};
use super::repair::Outage;
use super::store::{self, ROWS_MAX};
use super::wire;

/// Number and order of "P-12/3".
fn parsed(id: &str) -> Option<(i64, u32)> {
    let (production, order) = id.strip_prefix("P-")?.split_once('/')?;
    Some((production.parse().ok()?, order.parse().ok()?))
}

/// Number of "P-12".
fn number(production: &str) -> Result<i64, Failure> {
    let number = production.strip_prefix("P-").and_then(|number| number.parse().ok());
    number.ok_or(Failure::Corrupt("production"))
}

fn order_id(production: i64, order: u32) -> Id {
    format!("P-{production}/{order}").into()
}

/// Everything that is open in a plant.
pub async fn read(db: &mut SqliteConnection, plant: &str, now: Minute) -> Result<OpenPlant, Failure> {
    let mut snapshot = store::snapshot(db, plant, "", now).await?;
    // They come with their orders below.
    snapshot.bookings.clear();
    let (orders, uses) = (BTreeMap::new(), BTreeMap::new());
    let mut open = OpenPlant { snapshot, orders, uses, deliveries: Vec::new(), outages: Vec::new() };
    let rows = sqlx::query(
        "SELECT number, request, response FROM manufacturing_productions
         WHERE plant = $1 AND state IN ($2, $3) ORDER BY number LIMIT $4",
    );
    let (planned, begun) = (i32::from(State::Planned), i32::from(State::InProgress));
    let rows = rows.bind(plant).bind(planned).bind(begun).bind(ROWS_MAX + 1).fetch_all(&mut *db).await?;
    store::limited(&rows, plant, "open productions")?;
    // Places of the deliveries, by production and number of the reservation.
    let mut places: BTreeMap<(i64, u32), usize> = BTreeMap::new();
    for row in rows {
        let own: i64 = row.try_get("number")?;
        let request = pb::TriggerProductionRequest::decode(row.try_get::<&[u8], _>("request")?);
        let response = pb::TriggerProductionResponse::decode(row.try_get::<&[u8], _>("response")?);
        let demand = request.map_err(|_| Failure::Corrupt("request"))?.demand.unwrap_or_default();
        let mut plan = response.map_err(|_| Failure::Corrupt("answer"))?.plan.unwrap_or_default();
        let promised = plan.deliveries.iter().map(|delivery| delivery.promise_time.as_ref());
        let first: Vec<Minute> =
            promised.map(|time| time.map(wire::minute_before).unwrap_or_default()).collect();
        overlay(db, own, &mut plan).await?;
        let states = store::order_states(db, own).await?;
        let stored = Stored { number: own, demand, plan, first };
        add(&mut open, &mut places, &stored, &states);
    }
    bookings(db, plant, now, &mut open).await?;
    let rows = sqlx::query(
        "SELECT reservation_id, production, order_number FROM manufacturing_reservations WHERE plant = $1",
    );
    for row in rows.bind(plant).fetch_all(&mut *db).await? {
        let id: &str = row.try_get("reservation_id")?;
        let (production, order): (i64, u32) = (row.try_get("production")?, row.try_get("order_number")?);
        let own = id.rsplit_once("/r").and_then(|(_, number)| number.parse().ok()).unwrap_or_default();
        let used_by = match order {
            0 => places.get(&(production, own)).map(|place| UsedBy::Delivery(*place)),
            order => {
                Some(order_id(production, order)).filter(|id| open.orders.contains_key(id)).map(UsedBy::Order)
            }
        };
        open.uses.extend(used_by.map(|used_by| (Id::from(id), used_by)));
    }
    Ok(open)
}

/// One production as it is stored, with its present times.
struct Stored {
    number: i64,
    demand: pb::ProductionDemand,
    plan: pb::ProductionPlan,
    /// When its deliveries were promised first.
    first: Vec<Minute>,
}

/// Adds the open orders and the deliveries of one production.
fn add(
    open: &mut OpenPlant,
    places: &mut BTreeMap<(i64, u32), usize>,
    stored: &Stored,
    states: &BTreeMap<u32, i32>,
) {
    let Stored { number: own, demand, plan, first } = stored;
    let own = *own;
    let minute = |time: Option<&prost_types::Timestamp>| time.map(wire::minute_before).unwrap_or_default();
    let at: BTreeMap<&Id, Minute> =
        open.snapshot.receipts.iter().map(|receipt| (&receipt.id, receipt.at)).collect();
    for order in &plan.planned_orders {
        let id = order_id(own, order.number);
        // Completed and cancelled orders bring nothing any more.
        let Some(ready) = at.get(&id).copied() else { continue };
        let open_order = OpenOrder {
            item: order.item_id.as_str().into(),
            start: minute(order.start_time.as_ref()),
            ready,
            under_way: states.get(&order.number) == Some(&i32::from(State::InProgress)),
            pinned: false,
            operations: Vec::new(),
        };
        open.orders.insert(id, open_order);
    }
    for reservation in &plan.reservations {
        let Some(pb::reservation::UsedBy::Delivery(index)) = reservation.used_by else { continue };
        let delivery =
            usize::try_from(index).ok().and_then(|at| Some((plan.deliveries.get(at)?, first.get(at)?)));
        let Some((delivery, first)) = delivery else { continue };
        places.insert((own, reservation.number), open.deliveries.len());
        open.deliveries.push(OpenDelivery {
            production: format!("P-{own}").into(),
            index,
            reference: demand.order_reference.clone(),
            due: delivery.due_time.as_ref().map(wire::minute_before),
            promise: minute(delivery.promise_time.as_ref()),
            first: *first,
            lateness_cost_per_day: demand.lateness_cost_minor_per_day.unwrap_or_default(),
        });
    }
}

/// Bookings to their orders; those of nobody who is open to the snapshot.
async fn bookings(
    db: &mut SqliteConnection,
    plant: &str,
    now: Minute,
    open: &mut OpenPlant,
) -> Result<(), Failure> {
    let rows = sqlx::query(
        "SELECT work_center_id, machine, start_minute, end_minute, family, setup, production, order_number
         FROM manufacturing_bookings WHERE plant = $1 ORDER BY start_minute, end_minute LIMIT $2",
    );
    let rows = rows.bind(plant).bind(ROWS_MAX + 1).fetch_all(db).await?;
    store::limited(&rows, plant, "bookings")?;
    for row in rows {
        let booking = Booking {
            work_center: row.try_get::<&str, _>("work_center_id")?.into(),
            machine: usize::try_from(row.try_get::<i64, _>("machine")?).unwrap_or_default(),
            start: row.try_get("start_minute")?,
            end: row.try_get("end_minute")?,
            family: wire::family(row.try_get("family")?),
            setup: row.try_get("setup")?,
        };
        let id = order_id(row.try_get("production")?, row.try_get("order_number")?);
        match open.orders.get_mut(&id) {
            Some(order) => order.operations.push(booking),
            None if booking.end > now => {
                if row.try_get::<i64, _>("production")? == 0 {
                    open.outages.push(booking.clone());
                }
                open.snapshot.bookings.push(booking);
            }
            None => {}
        }
    }
    Ok(())
}

/// Puts what events moved over a plan as it was decided.
pub async fn overlay(
    db: &mut SqliteConnection,
    production: i64,
    plan: &mut pb::ProductionPlan,
) -> Result<(), Failure> {
    let rows = sqlx::query(
        "SELECT number, start_minute, ready_minute FROM manufacturing_order_times WHERE production = $1",
    );
    for row in rows.bind(production).fetch_all(&mut *db).await? {
        let number: u32 = row.try_get("number")?;
        let order = plan.planned_orders.iter_mut().find(|order| order.number == number);
        let Some(order) = order else { continue };
        order.start_time = Some(wire::timestamp(row.try_get("start_minute")?));
        order.ready_time = Some(wire::timestamp(row.try_get("ready_minute")?));
        let rows = sqlx::query(
            "SELECT machine, start_minute, end_minute FROM manufacturing_bookings
             WHERE production = $1 AND order_number = $2 ORDER BY start_minute, end_minute",
        );
        let rows = rows.bind(production).bind(number).fetch_all(&mut *db).await?;
        for (operation, row) in order.operations.iter_mut().zip(rows) {
            operation.machine = row.try_get::<u32, _>("machine")?.saturating_add(1);
            operation.start_time = Some(wire::timestamp(row.try_get("start_minute")?));
            operation.end_time = Some(wire::timestamp(row.try_get("end_minute")?));
        }
    }
    let rows =
        sqlx::query("SELECT delivery, promise_minute FROM manufacturing_promises WHERE production = $1");
    for row in rows.bind(production).fetch_all(&mut *db).await? {
        let (index, promise): (i64, Minute) = (row.try_get("delivery")?, row.try_get("promise_minute")?);
        let delivery = usize::try_from(index).ok().and_then(|index| plan.deliveries.get_mut(index));
        let Some(delivery) = delivery else { continue };
        let due = delivery.due_time.as_ref().map(wire::minute_before);
        delivery.late_minutes = due.map_or(0, |due| (promise - due).max(0));
        delivery.promise_time = Some(wire::timestamp(promise));
        plan.on_time = plan.deliveries.iter().all(|delivery| delivery.late_minutes == 0);
        let last = plan.deliveries.iter().filter_map(|d| d.promise_time).max_by_key(|at| at.seconds);
        plan.promise_time = last.or(plan.promise_time);
    }
    Ok(())
}

/// Writes where an order is now.
pub async fn put_order(db: &mut SqliteConnection, plant: &str, order: &MovedOrder) -> Result<(), Failure> {
    let (production, number) = parsed(&order.id).ok_or(Failure::Corrupt("order"))?;
    let after = &order.after;
    sqlx::query(
        "UPDATE manufacturing_receipts SET at_minute = $3 WHERE production = $1 AND order_number = $2",
    )
    .bind(production)
    .bind(number)
    .bind(after.ready)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "UPDATE manufacturing_reservations SET at_minute = $3 WHERE production = $1 AND order_number = $2",
    )
    .bind(production)
    .bind(number)
    .bind(after.start)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO manufacturing_order_times (production, number, start_minute, ready_minute)
         VALUES ($1, $2, $3, $4) ON CONFLICT (production, number)
         DO UPDATE SET start_minute = excluded.start_minute, ready_minute = excluded.ready_minute",
    )
    .bind(production)
    .bind(number)
    .bind(after.start)
    .bind(after.ready)
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM manufacturing_bookings WHERE production = $1 AND order_number = $2")
        .bind(production)
        .bind(number)
        .execute(&mut *db)
        .await?;
    for booking in &after.operations {
        store::put_booking(db, plant, booking, (production, number)).await?;
    }
    Ok(())
}

/// Writes a promise; `last` is that of the production's last delivery.
pub async fn put_promise(
    db: &mut SqliteConnection,
    promise: &ChangedPromise,
    last: Minute,
) -> Result<(), Failure> {
    let production = number(&promise.delivery.production)?;
    sqlx::query(
        "INSERT INTO manufacturing_promises (production, delivery, promise_minute) VALUES ($1, $2, $3)
         ON CONFLICT (production, delivery) DO UPDATE SET promise_minute = excluded.promise_minute",
    )
    .bind(production)
    .bind(promise.delivery.index)
    .bind(promise.after)
    .execute(&mut *db)
    .await?;
    sqlx::query("UPDATE manufacturing_productions SET promise_minute = $2 WHERE number = $1")
        .bind(production)
        .bind(last)
        .execute(&mut *db)
        .await?;
    // The deliveries are the first reservations, in their order.
    sqlx::query(
        "UPDATE manufacturing_reservations SET at_minute = $3 WHERE production = $1 AND reservation_id = $2",
    )
    .bind(production)
    .bind(format!("{}/r{}", promise.delivery.production, promise.delivery.index.saturating_add(1)))
    .bind(promise.after)
    .execute(db)
    .await?;
    Ok(())
}

/// Writes when an open order comes.
pub async fn put_late(db: &mut SqliteConnection, plant: &str, id: &Id, at: Minute) -> Result<(), Failure> {
    sqlx::query("UPDATE manufacturing_receipts SET at_minute = $3 WHERE plant = $1 AND receipt_id = $2")
        .bind(plant)
        .bind(&**id)
        .bind(at)
        .execute(db)
        .await?;
    Ok(())
}

/// Writes that an open order brings less of an item.
pub async fn put_loss(
    db: &mut SqliteConnection,
    plant: &str,
    (id, item): (&Id, &Id),
    units: i64,
) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE manufacturing_receipts SET quantity = quantity - $4
         WHERE plant = $1 AND receipt_id = $2 AND item_id = $3",
    )
    .bind(plant)
    .bind(&**id)
    .bind(&**item)
    .bind(units)
    .execute(&mut *db)
    .await?;
    if let Some((production, number)) = parsed(id) {
        sqlx::query(
            "UPDATE manufacturing_orders SET quantity = quantity - $3 WHERE production = $1 AND number = $2",
        )
        .bind(production)
        .bind(number)
        .bind(units)
        .execute(db)
        .await?;
    }
    Ok(())
}

/// Takes machines out of the schedule for the time of an outage.
pub async fn put_outage(
    db: &mut SqliteConnection,
    plant: &str,
    outage: &Outage,
    machines: usize,
) -> Result<(), Failure> {
    for machine in (0..machines).filter(|machine| outage.machine.is_none_or(|own| own == *machine)) {
        let booking = Booking {
            work_center: outage.work_center.clone(),
            machine,
            start: outage.from,
            end: outage.until,
            family: None,
            setup: 0,
        };
        store::put_booking(db, plant, &booking, (0, 0)).await?;
    }
    Ok(())
}

/// Ends the outages of machines from a minute on.
pub async fn end_outages(db: &mut SqliteConnection, plant: &str, over: &Outage) -> Result<(), Failure> {
    let machine = over.machine.map(|machine| i64::try_from(machine).unwrap_or(i64::MAX));
    for query in [
        "DELETE FROM manufacturing_bookings WHERE plant = $1 AND production = 0 AND work_center_id = $2
         AND ($3 IS NULL OR machine = $3) AND start_minute >= $4",
        "UPDATE manufacturing_bookings SET end_minute = $4 WHERE plant = $1 AND production = 0
         AND work_center_id = $2 AND ($3 IS NULL OR machine = $3) AND end_minute > $4",
    ] {
        let query = sqlx::query(query).bind(plant).bind(&*over.work_center).bind(machine).bind(over.from);
        query.execute(&mut *db).await?;
    }
    Ok(())
}

/// The first answer under a key: request and response, encoded.
pub async fn by_key(
    db: &mut SqliteConnection,
    application: &str,
    key: &str,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, Failure> {
    let row = sqlx::query_as(
        "SELECT request, response FROM manufacturing_events WHERE application = $1 AND idempotency_key = $2",
    );
    Ok(row.bind(application).bind(key).fetch_optional(db).await?)
}

/// The number that the next event gets; only within a write transaction.
pub async fn next_number(db: &mut SqliteConnection) -> Result<i64, Failure> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT MAX(number) FROM manufacturing_events").fetch_one(db).await?;
    Ok(last.unwrap_or_default() + 1)
}

/// Writes an event with its key.
pub async fn insert(
    db: &mut SqliteConnection,
    number: i64,
    application: &str,
    request: &pb::ApplyEventRequest,
    response: &pb::ApplyEventResponse,
) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO manufacturing_events (number, plant, application, idempotency_key, request, response)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(number)
    .bind(request.impact.as_ref().map_or("", |impact| impact.plant.as_str()))
    .bind(application)
    .bind(&request.idempotency_key)
    .bind(request.encode_to_vec())
    .bind(response.encode_to_vec())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes away what the deliveries of a production reserve.
pub async fn free_deliveries(db: &mut SqliteConnection, production: i64) -> Result<(), Failure> {
    sqlx::query("DELETE FROM manufacturing_reservations WHERE production = $1 AND order_number = 0")
        .bind(production)
        .execute(db)
        .await?;
    Ok(())
}
