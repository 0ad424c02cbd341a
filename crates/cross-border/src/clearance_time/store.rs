//! The table of recorded clearances: rows are only ever added.

use std::sync::Arc;

use oaas_proto::oaas::cross_border::v1 as wire;
use oaas_store::{Store, StoreError};
use prost::Message as _;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, Transaction};
use tokio_stream::StreamExt as _;

use super::history::RECORDS_PER_SHIPMENT_MAX;
use super::hours::{Book, Hours, STATEMENTS_MAX, Statement};
use super::wire::said;
use super::{History, Milestones, Record, Traits};
use crate::{Country, TransportMode};

const OWNER: &str = "cross_border_clearance_time";
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE cross_border_clearance_records (
    seq INTEGER PRIMARY KEY,
    shipment_id TEXT NOT NULL,
    sent_digest INTEGER NOT NULL,
    known_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    destination TEXT NOT NULL,
    origin TEXT NOT NULL,
    origin_site TEXT NOT NULL,
    office TEXT NOT NULL,
    mode TEXT NOT NULL,
    hs_code TEXT NOT NULL,
    regime TEXT NOT NULL,
    importer_tier TEXT NOT NULL,
    supplier TEXT NOT NULL,
    product_group TEXT NOT NULL,
    incoterm TEXT NOT NULL,
    ordered_ms INTEGER,
    arrived_ms INTEGER,
    declared_ms INTEGER,
    released_ms INTEGER,
    gated_out_ms INTEGER,
    delivered_ms INTEGER,
    UNIQUE (shipment_id, sent_digest)
) STRICT",
    "ALTER TABLE cross_border_clearance_records ADD COLUMN inspected INTEGER",
    // What was said of offices' hours; body is empty when it was withdrawn.
    "CREATE TABLE cross_border_office_hours (
    seq INTEGER PRIMARY KEY,
    country TEXT NOT NULL,
    office TEXT NOT NULL,
    known_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT",
];

/// What is said of an office on its way into the table.
#[derive(Debug)]
pub(super) struct Told {
    pub statement: Statement,
    /// The same as it came.
    pub hours: wire::OfficeHours,
}

/// A record on its way into the table.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub record: Record,
    /// What makes a record the same as one sent before.
    pub digest: u64,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    /// For each record that was looked at, whether it was new.
    pub fresh: Vec<bool>,
    /// Whether the record after those was refused, since its shipment has too many.
    pub refused: bool,
}

/// The records in the database.
#[derive(Clone, Debug)]
pub(super) struct Records {
    store: Store,
}

impl Records {
    /// The table in `store`, made or brought up to date.
    pub(super) async fn open(store: Store) -> Result<Self, StoreError> {
        store.migrate(OWNER, MIGRATIONS).await?;
        Ok(Self { store })
    }

    /// Everything that was recorded, in the order of arrival.
    pub(super) async fn load(&self) -> Result<History, StoreError> {
        let mut history = History::default();
        let mut rows =
            sqlx::query("SELECT * FROM cross_border_clearance_records ORDER BY seq").fetch(self.store.pool());
        while let Some(row) = rows.next().await {
            let (row, seq): (_, i64) = row.and_then(|row| row.try_get("seq").map(|seq| (row, seq)))?;
            match record(&row)? {
                Some(record) => drop(history.add(record)),
                None => tracing::error!(seq, "clearance record has no valid destination; left out"),
            }
        }
        Ok(history)
    }

    /// Everything that was said of offices.
    pub(super) async fn load_hours(&self) -> Result<Book, StoreError> {
        let mut book = Book::default();
        let rows = sqlx::query("SELECT * FROM cross_border_office_hours ORDER BY seq LIMIT $1")
            .bind(i64::try_from(STATEMENTS_MAX).unwrap_or(i64::MAX))
            .fetch_all(self.store.pool())
            .await?;
        for row in rows {
            let (seq, body): (i64, &[u8]) = (row.try_get("seq")?, row.try_get("body")?);
            let (office, known_at_ms): (&str, i64) = (row.try_get("office")?, row.try_get("known_at_ms")?);
            let country = Country::parse(row.try_get("country")?).ok();
            let hours = match body {
                [] => Some(None),
                body => wire::OfficeHours::decode(body)
                    .ok()
                    .zip(country)
                    .and_then(|(hours, country)| Hours::new(country, &said(&hours)).ok().map(Some)),
            };
            let Some((country, hours)) = country.zip(hours) else {
                tracing::error!(seq, "office hours can't be read; left out");
                continue;
            };
            if book.add(Statement::new(country, office, known_at_ms, hours)).is_err() {
                break;
            }
        }
        Ok(book)
    }

    /// Adds what is said of an office.
    pub(super) async fn insert_hours(&self, told: &Told, now_ms: i64) -> Result<(), StoreError> {
        let statement = &told.statement;
        let body = if statement.hours.is_some() { told.hours.encode_to_vec() } else { Vec::new() };
        let mut tx = self.store.write().await?;
        sqlx::query(
            "INSERT INTO cross_border_office_hours (country, office, known_at_ms, received_at_ms, body)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(statement.country.code())
        .bind(&statement.office)
        .bind(statement.known_at_ms)
        .bind(now_ms)
        .bind(body)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Adds the records that are new, all in one transaction, up to the first that is refused.
    pub(super) async fn insert(&self, batch: &[Sent], now_ms: i64) -> Result<Inserted, StoreError> {
        let mut tx = self.store.write().await?;
        let mut inserted = Inserted::default();
        for sent in batch {
            let fresh = insert(&mut tx, sent, now_ms).await?;
            if !fresh && !sent_before(&mut tx, sent).await? {
                inserted.refused = true;
                break;
            }
            inserted.fresh.push(fresh);
        }
        tx.commit().await?;
        Ok(inserted)
    }
}

async fn insert(tx: &mut Transaction<'_, Sqlite>, sent: &Sent, now_ms: i64) -> Result<bool, sqlx::Error> {
    let Record { shipment_id, known_at_ms, traits, milestones } = &sent.record;
    let Milestones([ordered, arrived, declared, released, gated_out, delivered]) = *milestones;
    let done = sqlx::query(
        "INSERT INTO cross_border_clearance_records (shipment_id, sent_digest, known_at_ms, received_at_ms,
            destination, origin, origin_site, office, mode, hs_code, regime, importer_tier, supplier,
            product_group, incoterm, ordered_ms, arrived_ms, declared_ms, released_ms, gated_out_ms,
            delivered_ms, inspected)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
            $22
         WHERE (SELECT count(*) FROM cross_border_clearance_records WHERE shipment_id = $1) < $23
         ON CONFLICT DO NOTHING",
    )
    .bind(shipment_id)
    .bind(sent.digest.cast_signed())
    .bind(known_at_ms)
    .bind(now_ms)
    .bind(traits.destination.code())
    .bind(traits.origin.as_ref().map_or("", Country::code))
    .bind(&traits.origin_site)
    .bind(&traits.office)
    .bind(traits.mode.map_or("", TransportMode::name))
    .bind(&traits.hs_code)
    .bind(&traits.regime)
    .bind(&traits.importer_tier)
    .bind(&traits.supplier)
    .bind(&traits.product_group)
    .bind(&traits.incoterm)
    .bind(ordered)
    .bind(arrived)
    .bind(declared)
    .bind(released)
    .bind(gated_out)
    .bind(delivered)
    .bind(traits.inspected)
    .bind(i64::try_from(RECORDS_PER_SHIPMENT_MAX).unwrap_or(i64::MAX))
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn sent_before(tx: &mut Transaction<'_, Sqlite>, sent: &Sent) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM cross_border_clearance_records
                        WHERE shipment_id = $1 AND sent_digest = $2)",
    )
    .bind(&sent.record.shipment_id)
    .bind(sent.digest.cast_signed())
    .fetch_one(&mut **tx)
    .await
}

/// The record of a row; `None` when its destination is no country, which no row of ours has.
fn record(row: &SqliteRow) -> Result<Option<Record>, sqlx::Error> {
    let Ok(destination) = Country::parse(row.try_get("destination")?) else { return Ok(None) };
    let mode: &str = row.try_get("mode")?;
    let traits = Traits {
        destination,
        origin: Country::parse(row.try_get("origin")?).ok(),
        origin_site: row.try_get("origin_site")?,
        office: row.try_get("office")?,
        mode: TransportMode::ALL.into_iter().find(|known| known.name() == mode),
        hs_code: row.try_get("hs_code")?,
        regime: row.try_get("regime")?,
        importer_tier: row.try_get("importer_tier")?,
        supplier: row.try_get("supplier")?,
        product_group: row.try_get("product_group")?,
        incoterm: row.try_get("incoterm")?,
        inspected: row.try_get("inspected")?,
    };
    let milestones = Milestones([
        row.try_get("ordered_ms")?,
        row.try_get("arrived_ms")?,
        row.try_get("declared_ms")?,
        row.try_get("released_ms")?,
        row.try_get("gated_out_ms")?,
        row.try_get("delivered_ms")?,
    ]);
    Ok(Some(Record {
        shipment_id: row.try_get("shipment_id")?,
        known_at_ms: row.try_get("known_at_ms")?,
        traits: Arc::new(traits),
        milestones,
    }))
}
