//! What the plants that send something have of it, when this store knows them.

use std::collections::BTreeSet;

use oaas_proto::oaas::manufacturing::v1 as pb;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::bill::ITEMS_MAX;
use super::demand::PlanError;
use super::failure::Failure;
use super::plant::{Id, Item, Receipt, Reserved, Sender, Snapshot};
use super::store::{ROWS_MAX, limited, of_bill};
use super::wire;

/// Most known plants that send something to one plant; each is read with three queries.
const SENDERS_MAX: usize = 64;

/// Adds the senders of the snapshot's items; `item` is the wanted one, empty for all of the plant.
pub async fn read(
    db: &mut SqliteConnection,
    plant: &str,
    item: &str,
    snapshot: &mut Snapshot,
) -> Result<(), Failure> {
    let transfers = snapshot.items.values().filter_map(|item| item.transfer.as_ref());
    let named: BTreeSet<Id> = transfers.map(|supply| supply.supplier.clone()).collect();
    let mut known = 0;
    for sender in named {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM manufacturing_plants WHERE plant = $1")
            .bind(&*sender)
            .fetch_one(&mut *db)
            .await?;
        if count == 0 {
            continue;
        }
        known += 1;
        if known > SENDERS_MAX {
            return Err(Failure::Plan(PlanError::TooLarge {
                item: plant.into(),
                what: "number of plants that send something",
            }));
        }
        // A known plant that doesn't know the item has none of it; nor has a plant for itself.
        for (id, own) in &snapshot.items {
            if own.transfer.as_ref().is_some_and(|supply| supply.supplier == sender) {
                let (plant, item) = (sender.clone(), Item::default());
                let (receipts, reserved) = (Vec::new(), Vec::new());
                snapshot.senders.insert(id.clone(), Sender { plant, item, receipts, reserved });
            }
        }
        if *sender != *plant {
            fill(db, plant, item, &sender, snapshot).await?;
        }
    }
    Ok(())
}

/// Reads what one plant has of the items that it sends.
async fn fill(
    db: &mut SqliteConnection,
    plant: &str,
    item: &str,
    sender: &Id,
    snapshot: &mut Snapshot,
) -> Result<(), Failure> {
    let limit = i64::try_from(ITEMS_MAX.max(snapshot.items.len())).unwrap_or(i64::MAX).saturating_add(1);
    let rows = sqlx::query(of_bill!(
        "SELECT i.item_id, i.body, COALESCE(s.on_hand, 0) AS on_hand FROM closure
         JOIN manufacturing_items i ON i.plant = $4 AND i.item_id = closure.item_id
         LEFT JOIN manufacturing_stock s ON s.plant = $4 AND s.item_id = closure.item_id"
    ));
    for row in rows.bind(plant).bind(item).bind(limit).bind(&**sender).fetch_all(&mut *db).await? {
        if let Some(own) = sent(snapshot, sender, row.try_get("item_id")?) {
            let body = pb::Item::decode(row.try_get::<&[u8], _>("body")?);
            own.item = wire::item(&body.map_err(|_| Failure::Corrupt("item"))?, row.try_get("on_hand")?);
        }
    }
    let rows = sqlx::query(of_bill!(
        "SELECT r.receipt_id AS id, r.item_id, r.quantity, r.at_minute FROM closure
         JOIN manufacturing_receipts r ON r.plant = $4 AND r.item_id = closure.item_id LIMIT $5"
    ));
    let rows = rows.bind(plant).bind(item).bind(limit).bind(&**sender).bind(ROWS_MAX + 1);
    let rows = rows.fetch_all(&mut *db).await?;
    limited(&rows, item, "open orders of a sending plant")?;
    for row in rows {
        let (id, item) = (row.try_get::<&str, _>("id")?, row.try_get::<&str, _>("item_id")?);
        let (quantity, at) = (row.try_get("quantity")?, row.try_get("at_minute")?);
        if let Some(own) = sent(snapshot, sender, item) {
            own.receipts.push(Receipt { id: id.into(), item: item.into(), quantity, at });
        }
    }
    let rows = sqlx::query(of_bill!(
        "SELECT r.reservation_id AS id, r.item_id, r.quantity, r.at_minute FROM closure
         JOIN manufacturing_reservations r ON r.plant = $4 AND r.item_id = closure.item_id LIMIT $5"
    ));
    let rows = rows.bind(plant).bind(item).bind(limit).bind(&**sender).bind(ROWS_MAX + 1);
    let rows = rows.fetch_all(&mut *db).await?;
    limited(&rows, item, "reservations of a sending plant")?;
    for row in rows {
        let (id, item) = (row.try_get::<&str, _>("id")?, row.try_get::<&str, _>("item_id")?);
        let (quantity, at) = (row.try_get("quantity")?, row.try_get("at_minute")?);
        if let Some(own) = sent(snapshot, sender, item) {
            own.reserved.push(Reserved { id: id.into(), item: item.into(), quantity, at });
        }
    }
    Ok(())
}

/// The entry of an item that this plant sends.
fn sent<'s>(snapshot: &'s mut Snapshot, sender: &Id, item: &str) -> Option<&'s mut Sender> {
    snapshot.senders.get_mut(item).filter(|own| own.plant == *sender)
}
