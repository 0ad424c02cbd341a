//! Batches and coupons in tables of their own; every step is one transaction.

use oaas_store::{Store, StoreError};
use sqlx::{Row as _, SqliteConnection};
use thiserror::Error;

use super::{Batch, Coupon, CouponError, Redemption, State, coupon_id};

const MIGRATIONS: &[&str] = &["
    CREATE TABLE channel_coupon_batches (
        batch_id TEXT NOT NULL PRIMARY KEY, face_value_fen INTEGER NOT NULL, total_count INTEGER NOT NULL,
        per_member_max INTEGER NOT NULL, valid_from_ms INTEGER NOT NULL, valid_until_ms INTEGER NOT NULL,
        issued_count INTEGER NOT NULL DEFAULT 0, redeemed_count INTEGER NOT NULL DEFAULT 0,
        CHECK (0 <= redeemed_count AND redeemed_count <= issued_count AND issued_count <= total_count)
    ) WITHOUT ROWID;
    CREATE TABLE channel_coupons (
        coupon_id TEXT NOT NULL PRIMARY KEY, batch_id TEXT NOT NULL, member_id TEXT NOT NULL,
        issued_at_ms INTEGER NOT NULL, order_id TEXT, redeem_key TEXT, redeemed_at_ms INTEGER
    ) WITHOUT ROWID;
    CREATE INDEX channel_coupons_by_member ON channel_coupons (batch_id, member_id);
"];

/// Why nothing happened.
#[derive(Debug, Error)]
pub enum Fault {
    /// No such batch.
    #[error("batch {0:?} does not exist")]
    BatchUnknown(String),
    /// Another batch has this id.
    #[error("batch {0:?} exists with another content")]
    BatchConflict(String),
    /// No such coupon.
    #[error("coupon {0:?} does not exist")]
    CouponUnknown(String),
    /// The state machine said no.
    #[error(transparent)]
    Coupon(#[from] CouponError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A batch with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The batch.
    pub batch: Batch,
    /// Coupons issued.
    pub issued: i64,
    /// Coupons redeemed.
    pub redeemed: i64,
}

/// The tables.
#[derive(Clone, Debug)]
pub struct CouponStore {
    store: Store,
}

impl CouponStore {
    /// The tables in `store`, made where they are missing.
    pub async fn open(store: Store) -> Result<Self, StoreError> {
        store.migrate("channel.coupon", MIGRATIONS).await?;
        Ok(Self { store })
    }

    /// Opens a batch; the same batch again changes nothing.
    pub async fn open_batch(&self, batch: &Batch) -> Result<(), Fault> {
        let mut tx = self.store.write().await?;
        if let Some(before) = select_batch(&mut tx, &batch.batch_id).await? {
            let same = before.batch == *batch;
            return if same { Ok(()) } else { Err(Fault::BatchConflict(batch.batch_id.clone())) };
        }
        sqlx::query(
            "INSERT INTO channel_coupon_batches
                 (batch_id, face_value_fen, total_count, per_member_max, valid_from_ms, valid_until_ms)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&batch.batch_id)
        .bind(batch.face_value_fen)
        .bind(batch.total_count)
        .bind(batch.per_member_max)
        .bind(batch.valid_from_ms)
        .bind(batch.valid_until_ms)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// A batch with its counts.
    pub async fn batch(&self, batch_id: &str) -> Result<Counted, Fault> {
        let mut connection = self.store.pool().acquire().await?;
        let found = select_batch(&mut connection, batch_id).await?;
        found.ok_or_else(|| Fault::BatchUnknown(batch_id.to_owned()))
    }

    /// Issues a coupon; the same key for the same member gives the same coupon as it stands now.
    pub async fn issue(
        &self,
        batch_id: &str,
        member_id: &str,
        key: &str,
        now_ms: i64,
    ) -> Result<(Batch, Coupon), Fault> {
        let mut tx = self.store.write().await?;
        let counted = select_batch(&mut tx, batch_id).await?;
        let counted = counted.ok_or_else(|| Fault::BatchUnknown(batch_id.to_owned()))?;
        if let Some(coupon) = select_coupon(&mut tx, &coupon_id(batch_id, key)).await? {
            if coupon.member_id != member_id {
                return Err(CouponError::KeyReused { idempotency_key: key.to_owned() }.into());
            }
            return Ok((counted.batch, coupon));
        }
        let of_member: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM channel_coupons WHERE batch_id = $1 AND member_id = $2")
                .bind(batch_id)
                .bind(member_id)
                .fetch_one(&mut *tx)
                .await?;
        let coupon = counted.batch.issue(member_id, key, counted.issued, of_member, now_ms)?;
        sqlx::query(
            "INSERT INTO channel_coupons (coupon_id, batch_id, member_id, issued_at_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(&coupon.coupon_id)
        .bind(batch_id)
        .bind(member_id)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE channel_coupon_batches SET issued_count = issued_count + 1 WHERE batch_id = $1")
            .bind(batch_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok((counted.batch, coupon))
    }

    /// Redeems a coupon; the same act again gives the same answer.
    pub async fn redeem(
        &self,
        coupon_id: &str,
        wish: &Redemption,
        now_ms: i64,
    ) -> Result<(Batch, Coupon), Fault> {
        let mut tx = self.store.write().await?;
        let before = select_coupon(&mut tx, coupon_id).await?;
        let before = before.ok_or_else(|| Fault::CouponUnknown(coupon_id.to_owned()))?;
        let counted = select_batch(&mut tx, &before.batch_id).await?;
        let batch = counted.ok_or_else(|| Fault::BatchUnknown(before.batch_id.clone()))?.batch;
        let after = batch.redeem(&before, wish, now_ms)?;
        if after == before {
            return Ok((batch, after));
        }
        sqlx::query(
            "UPDATE channel_coupons SET order_id = $2, redeem_key = $3, redeemed_at_ms = $4
             WHERE coupon_id = $1 AND redeemed_at_ms IS NULL",
        )
        .bind(coupon_id)
        .bind(&wish.order_id)
        .bind(&wish.idempotency_key)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE channel_coupon_batches SET redeemed_count = redeemed_count + 1 WHERE batch_id = $1",
        )
        .bind(&batch.batch_id)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok((batch, after))
    }
}

async fn select_batch(connection: &mut SqliteConnection, batch_id: &str) -> Result<Option<Counted>, Fault> {
    let row = sqlx::query(
        "SELECT batch_id, face_value_fen, total_count, per_member_max, valid_from_ms, valid_until_ms,
                issued_count, redeemed_count
         FROM channel_coupon_batches WHERE batch_id = $1",
    )
    .bind(batch_id)
    .fetch_optional(connection)
    .await?;
    let read = |row: sqlx::sqlite::SqliteRow| {
        Ok(Counted {
            batch: Batch {
                batch_id: row.try_get("batch_id")?,
                face_value_fen: row.try_get("face_value_fen")?,
                total_count: row.try_get("total_count")?,
                per_member_max: row.try_get("per_member_max")?,
                valid_from_ms: row.try_get("valid_from_ms")?,
                valid_until_ms: row.try_get("valid_until_ms")?,
            },
            issued: row.try_get("issued_count")?,
            redeemed: row.try_get("redeemed_count")?,
        })
    };
    row.map(read).transpose()
}

async fn select_coupon(connection: &mut SqliteConnection, coupon_id: &str) -> Result<Option<Coupon>, Fault> {
    let row = sqlx::query(
        "SELECT coupon_id, batch_id, member_id, issued_at_ms, order_id, redeem_key, redeemed_at_ms
         FROM channel_coupons WHERE coupon_id = $1",
    )
    .bind(coupon_id)
    .fetch_optional(connection)
    .await?;
    let read = |row: sqlx::sqlite::SqliteRow| {
        let redeemed_at: Option<i64> = row.try_get("redeemed_at_ms")?;
        let state = match redeemed_at {
            None => State::Issued,
            Some(at_ms) => State::Redeemed {
                order_id: row.try_get("order_id")?,
                idempotency_key: row.try_get("redeem_key")?,
                at_ms,
            },
        };
        Ok(Coupon {
            coupon_id: row.try_get("coupon_id")?,
            batch_id: row.try_get("batch_id")?,
            member_id: row.try_get("member_id")?,
            issued_at_ms: row.try_get("issued_at_ms")?,
            state,
        })
    };
    row.map(read).transpose()
}
