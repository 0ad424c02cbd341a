//! Writing master data: checked as a whole, then written in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;
use oaas_capability::Violation;
use oaas_proto::oaas::manufacturing::v1 as pb;
use prost::Message as _;
use sqlx::{Row as _, SqliteConnection};

use super::bill::{BillError, cycle};
use super::failure::Failure;
use super::plant::{Component, Id, Receipt};
use super::{store, wire};

/// Most bill lines of a plant that a check for cycles walks.
const COMPONENTS_MAX: i64 = 500_000;

/// Writes all of it, or nothing.
pub async fn put(
    db: &mut SqliteConnection,
    request: &pb::PutMasterDataRequest,
) -> Result<pb::PutMasterDataResponse, Failure> {
    check(request)?;
    plant(db, request).await?;
    for item in &request.items {
        upsert(db, PUT_ITEM, &request.plant, &item.item_id, &item.encode_to_vec()).await?;
    }
    for center in &request.work_centers {
        upsert(db, PUT_CENTER, &request.plant, &center.work_center_id, &center.encode_to_vec()).await?;
    }
    for bill in &request.bills {
        put_bill(db, &request.plant, bill).await?;
    }
    for stock in &request.stocks {
        put_stock(db, &request.plant, stock).await?;
    }
    dangling(db, request).await?;
    acyclic(db, request).await?;
    let count = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
    Ok(pb::PutMasterDataResponse {
        items: count(request.items.len()),
        bills: count(request.bills.len()),
        work_centers: count(request.work_centers.len()),
        stocks: count(request.stocks.len()),
    })
}

const PUT_ITEM: &str = "INSERT INTO manufacturing_items (plant, item_id, body) VALUES ($1, $2, $3)
    ON CONFLICT (plant, item_id) DO UPDATE SET body = excluded.body";
const PUT_CENTER: &str = "INSERT INTO manufacturing_work_centers (plant, work_center_id, body)
    VALUES ($1, $2, $3) ON CONFLICT (plant, work_center_id) DO UPDATE SET body = excluded.body";

/// What can be seen without the store.
fn check(request: &pb::PutMasterDataRequest) -> Result<(), Failure> {
    let mut bad = Vec::new();
    let zone = TimeZone::get(&request.time_zone);
    if zone.is_err() {
        let description = format!("must be an IANA time zone, is {:?}", request.time_zone);
        bad.push(Violation::new("time_zone", description));
    }
    unique("items", "item_id", request.items.iter().map(|item| item.item_id.as_str()), &mut bad);
    unique("bills", "item_id", request.bills.iter().map(|bill| bill.item_id.as_str()), &mut bad);
    unique("stocks", "item_id", request.stocks.iter().map(|stock| stock.item_id.as_str()), &mut bad);
    let centers = request.work_centers.iter();
    unique("work_centers", "work_center_id", centers.map(|c| c.work_center_id.as_str()), &mut bad);
    for (at, item) in request.items.iter().enumerate() {
        let lot = item.lot.unwrap_or_default();
        let step = lot.quantity_multiple.max(1);
        if lot.quantity_max > 0 && lot.quantity_max / step * step < lot.quantity_min.max(step) {
            let description = format!("must hold a multiple of {step} that is at least {}", lot.quantity_min);
            bad.push(Violation::new(format!("items[{at}].lot.quantity_max"), description));
        }
        if item.transfer.as_ref().is_some_and(|transfer| transfer.supplier_id == request.plant) {
            let field = format!("items[{at}].transfer.supplier_id");
            bad.push(Violation::new(field, format!("must be another plant, is {:?}", request.plant)));
        }
        bad.extend(replenishment(at, item));
    }
    for (at, bill) in request.bills.iter().enumerate() {
        let parts = bill.components.iter().map(|component| component.item_id.as_str());
        unique(&format!("bills[{at}].components"), "item_id", parts, &mut bad);
    }
    for (at, center) in request.work_centers.iter().enumerate() {
        let pairs: Vec<String> =
            center.setup_times.iter().map(|s| format!("{} -> {}", s.from_family, s.to_family)).collect();
        let list = format!("work_centers[{at}].setup_times");
        unique(&list, "from_family", pairs.iter().map(String::as_str), &mut bad);
        if let Some(error) = zone.as_ref().ok().and_then(|zone| wire::work_center(center, zone).err()) {
            bad.push(Violation::new(format!("work_centers[{at}]"), error.to_string()));
        }
    }
    for (at, stock) in request.stocks.iter().enumerate() {
        let ids = stock.receipts.iter().map(|receipt| receipt.receipt_id.as_str());
        unique(&format!("stocks[{at}].receipts"), "receipt_id", ids.clone(), &mut bad);
        let times = stock.receipts.iter().map(|receipt| receipt.available_time.as_ref());
        for (line, _) in times.enumerate().filter(|(_, time)| !time.is_some_and(wire::in_range)) {
            let field = format!("stocks[{at}].receipts[{line}].available_time");
            bad.push(Violation::new(field, "must be between 1970 and 2200"));
        }
        for (line, id) in ids.enumerate().filter(|(_, id)| id.starts_with("P-")) {
            let field = format!("stocks[{at}].receipts[{line}].receipt_id");
            bad.push(Violation::new(field, format!("must not start with P-, is {id:?}")));
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(Failure::Fields(bad)) }
}

/// A target must lie above its least.
fn replenishment(at: usize, item: &pb::Item) -> Option<Violation> {
    use pb::replenishment::Rule;
    let field = |name: &str| format!("items[{at}].replenishment.{name}");
    match item.replenishment.as_ref().and_then(|replenishment| replenishment.rule.as_ref()) {
        Some(Rule::MinMax(rule)) if rule.maximum <= rule.minimum => {
            let description = format!("must be more than the minimum {}, is {}", rule.minimum, rule.maximum);
            Some(Violation::new(field("min_max.maximum"), description))
        }
        Some(Rule::DaysOfCover(rule)) if rule.days_target <= rule.days_min => {
            let description = format!("must be more than {}, is {}", rule.days_min, rule.days_target);
            Some(Violation::new(field("days_of_cover.days_target"), description))
        }
        _ => None,
    }
}

fn unique<'a>(list: &str, field: &str, ids: impl Iterator<Item = &'a str>, bad: &mut Vec<Violation>) {
    let mut seen = BTreeMap::new();
    for (at, id) in ids.enumerate() {
        if let Some(first) = seen.insert(id, at) {
            let description = format!("must be unique, {id:?} is in {list}[{first}] too");
            bad.push(Violation::new(format!("{list}[{at}].{field}"), description));
        }
    }
}

async fn plant(db: &mut SqliteConnection, request: &pb::PutMasterDataRequest) -> Result<(), Failure> {
    let known: Option<String> =
        sqlx::query_scalar("SELECT currency FROM manufacturing_plants WHERE plant = $1")
            .bind(&request.plant)
            .fetch_optional(&mut *db)
            .await?;
    if let Some(known) = known.filter(|known| *known != request.currency) {
        let description = format!("must be the plant's {known}, is {}", request.currency);
        return Err(Failure::Fields(vec![Violation::new("currency", description)]));
    }
    sqlx::query(
        "INSERT INTO manufacturing_plants (plant, currency, time_zone, revision) VALUES ($1, $2, $3, 0)
         ON CONFLICT (plant) DO UPDATE SET time_zone = excluded.time_zone",
    )
    .bind(&request.plant)
    .bind(&request.currency)
    .bind(&request.time_zone)
    .execute(db)
    .await?;
    Ok(())
}

async fn upsert(
    db: &mut SqliteConnection,
    query: &'static str,
    plant: &str,
    id: &str,
    body: &[u8],
) -> Result<(), Failure> {
    sqlx::query(query).bind(plant).bind(id).bind(body).execute(db).await?;
    Ok(())
}

async fn put_bill(db: &mut SqliteConnection, plant: &str, bill: &pb::BillOfMaterials) -> Result<(), Failure> {
    sqlx::query("DELETE FROM manufacturing_components WHERE plant = $1 AND parent = $2")
        .bind(plant)
        .bind(&bill.item_id)
        .execute(&mut *db)
        .await?;
    for component in &bill.components {
        sqlx::query(
            "INSERT INTO manufacturing_components (plant, parent, item_id, quantity, per_quantity, scrap)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(plant)
        .bind(&bill.item_id)
        .bind(&component.item_id)
        .bind(component.quantity)
        .bind(component.per_quantity.max(1))
        .bind(component.scrap_basis_points)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn put_stock(db: &mut SqliteConnection, plant: &str, stock: &pb::Stock) -> Result<(), Failure> {
    sqlx::query(
        "INSERT INTO manufacturing_stock (plant, item_id, on_hand) VALUES ($1, $2, $3)
         ON CONFLICT (plant, item_id) DO UPDATE SET on_hand = excluded.on_hand",
    )
    .bind(plant)
    .bind(&stock.item_id)
    .bind(stock.on_hand)
    .execute(&mut *db)
    .await?;
    sqlx::query("DELETE FROM manufacturing_receipts WHERE plant = $1 AND item_id = $2 AND production = 0")
        .bind(plant)
        .bind(&stock.item_id)
        .execute(&mut *db)
        .await?;
    for receipt in &stock.receipts {
        let receipt = Receipt {
            id: receipt.receipt_id.as_str().into(),
            item: stock.item_id.as_str().into(),
            quantity: receipt.quantity,
            at: receipt.available_time.as_ref().map(wire::minute_after).unwrap_or_default(),
        };
        store::put_receipt(db, plant, &receipt, (0, 0)).await?;
    }
    Ok(())
}

/// Refuses names of items and work centres that the plant doesn't have, now that all is written.
async fn dangling(db: &mut SqliteConnection, request: &pb::PutMasterDataRequest) -> Result<(), Failure> {
    let mut named: Vec<(String, &str)> = Vec::new();
    for (at, bill) in request.bills.iter().enumerate() {
        named.push((format!("bills[{at}].item_id"), &bill.item_id));
        for (line, component) in bill.components.iter().enumerate() {
            named.push((format!("bills[{at}].components[{line}].item_id"), &component.item_id));
        }
    }
    for (at, stock) in request.stocks.iter().enumerate() {
        named.push((format!("stocks[{at}].item_id"), &stock.item_id));
    }
    let item = "SELECT COUNT(*) FROM manufacturing_items WHERE plant = $1 AND item_id = $2";
    let mut bad = missing(db, item, &request.plant, &named, "item").await?;
    let mut named: Vec<(String, &str)> = Vec::new();
    for (at, item) in request.items.iter().enumerate() {
        for (line, operation) in item.make.iter().flat_map(|make| &make.operations).enumerate() {
            let field = format!("items[{at}].make.operations[{line}].work_center_id");
            named.push((field, &operation.work_center_id));
        }
    }
    let center = "SELECT COUNT(*) FROM manufacturing_work_centers WHERE plant = $1 AND work_center_id = $2";
    bad.extend(missing(db, center, &request.plant, &named, "work centre").await?);
    if bad.is_empty() { Ok(()) } else { Err(Failure::Fields(bad)) }
}

async fn missing(
    db: &mut SqliteConnection,
    query: &'static str,
    plant: &str,
    named: &[(String, &str)],
    what: &str,
) -> Result<Vec<Violation>, Failure> {
    let (mut known, mut bad) = (BTreeSet::new(), Vec::new());
    for (field, id) in named {
        if known.contains(id) {
            continue;
        }
        let count: i64 = sqlx::query_scalar(query).bind(plant).bind(*id).fetch_one(&mut *db).await?;
        if count > 0 {
            known.insert(*id);
        } else {
            bad.push(Violation::new(field.clone(), format!("must be a known {what}, is {id:?}")));
        }
    }
    Ok(bad)
}

/// Refuses bills by which an item becomes part of itself.
async fn acyclic(db: &mut SqliteConnection, request: &pb::PutMasterDataRequest) -> Result<(), Failure> {
    if request.bills.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query("SELECT parent, item_id FROM manufacturing_components WHERE plant = $1 LIMIT $2");
    let rows = rows.bind(&request.plant).bind(COMPONENTS_MAX + 1).fetch_all(db).await?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) > COMPONENTS_MAX {
        let description = format!("must leave the plant with at most {COMPONENTS_MAX} components");
        return Err(Failure::Fields(vec![Violation::new("bills", description)]));
    }
    let mut bills: BTreeMap<Id, Vec<Component>> = BTreeMap::new();
    for row in rows {
        let item = row.try_get::<&str, _>("item_id")?.into();
        let component = Component { item, quantity: 1, per: 1, scrap_basis_points: 0 };
        bills.entry(row.try_get::<&str, _>("parent")?.into()).or_default().push(component);
    }
    let changed: Vec<Id> = request.bills.iter().map(|bill| bill.item_id.as_str().into()).collect();
    match cycle(&changed, &|id: &Id| bills.get(id).map(Vec::as_slice)) {
        Some(path) => Err(Failure::Plan(BillError::Cycle { path }.into())),
        None => Ok(()),
    }
}
