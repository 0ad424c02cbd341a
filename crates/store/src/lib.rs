//! SQL behind one handle: a pool, transactions, and each owner's own migrations.
//!
//! A capability keeps its state in tables of its own, named `<domain>_<noun>`; nobody else reads
//! them. SQLite runs in WAL mode with `synchronous = FULL`, so a committed row survives a power cut.

#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use thiserror::Error;

/// Readers that may hold a connection at once.
const CONNECTIONS_MAX: u32 = 8;
/// How long a writer waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What went wrong with the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The engine said no.
    #[error("store: {0}")]
    Sql(#[from] sqlx::Error),
    /// A migration that was applied before has another text now.
    #[error("store: migration {version} of {owner} was applied with another text; add a new one instead")]
    MigrationChanged {
        /// Whose migration.
        owner: String,
        /// Its number, from 1.
        version: i64,
    },
}

/// One database, shared by whoever clones the handle.
#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    /// One connection, so that writers queue in their order instead of trying again and again.
    writer: SqlitePool,
}

impl Store {
    /// Opens or makes the database file.
    ///
    /// # Errors
    /// When the file can't be opened or made.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await?;
        Ok(Self { pool, writer })
    }

    /// A database that lives as long as this handle; for tests.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn in_memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str("sqlite::memory:")?;
        // One connection that is never closed: each new one would be another, empty database.
        let pool = SqlitePoolOptions::new()
            .min_connections(1)
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await?;
        Ok(Self { writer: pool.clone(), pool })
    }

    /// The pool, for queries; who writes takes [`Store::write`].
    #[must_use]
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Begins a transaction that writes; it waits for the writers before it, in their order, so that it
    /// can't fail halfway because somebody else wrote in between.
    ///
    /// # Errors
    /// When no connection is free in time or another writer holds the database too long.
    pub async fn write(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Applies the migrations of `owner` that are missing, in order; number 1 is `migrations[0]`.
    ///
    /// # Errors
    /// When one fails, or when one that was applied before reads differently now.
    pub async fn migrate(&self, owner: &str, migrations: &[&'static str]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::raw_sql(
            "CREATE TABLE IF NOT EXISTS oaas_migrations (
                owner TEXT NOT NULL, version INTEGER NOT NULL, text TEXT NOT NULL,
                PRIMARY KEY (owner, version))",
        )
        .execute(&mut *tx)
        .await?;
        for (version, text) in (1i64..).zip(migrations) {
            let applied: Option<String> =
                sqlx::query_scalar("SELECT text FROM oaas_migrations WHERE owner = $1 AND version = $2")
                    .bind(owner)
                    .bind(version)
                    .fetch_optional(&mut *tx)
                    .await?;
            match applied {
                Some(before) if before == *text => {}
                Some(_) => return Err(StoreError::MigrationChanged { owner: owner.to_owned(), version }),
                None => {
                    sqlx::raw_sql(*text).execute(&mut *tx).await?;
                    sqlx::query("INSERT INTO oaas_migrations (owner, version, text) VALUES ($1, $2, $3)")
                        .bind(owner)
                        .bind(version)
                        .bind(*text)
                        .execute(&mut *tx)
                        .await?;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Closes the pool after the queries under way.
    pub async fn close(&self) {
        self.writer.close().await;
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_migration_runs_once_and_may_not_change() {
        let store = Store::in_memory().await.unwrap();
        store.migrate("t", &["CREATE TABLE t_a (x INTEGER)"]).await.unwrap();
        store.migrate("t", &["CREATE TABLE t_a (x INTEGER)", "CREATE TABLE t_b (x INTEGER)"]).await.unwrap();
        let changed = store.migrate("t", &["CREATE TABLE t_a (x TEXT)"]).await.unwrap_err();
        assert!(matches!(changed, StoreError::MigrationChanged { version: 1, .. }));
    }

    #[tokio::test]
    async fn committed_rows_survive_a_reopen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oaas.db");
        let store = Store::open(&path).await.unwrap();
        store.migrate("t", &["CREATE TABLE t_a (x INTEGER)"]).await.unwrap();
        let mut tx = store.write().await.unwrap();
        sqlx::query("INSERT INTO t_a VALUES (7)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        let again = Store::open(&path).await.unwrap();
        let x: i64 = sqlx::query_scalar("SELECT x FROM t_a").fetch_one(again.pool()).await.unwrap();
        assert_eq!(x, 7);
    }
}
