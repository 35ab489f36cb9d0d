//! The issuer's own embedded database: its schema, and the one way to write.

use std::path::Path;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Sqlite, Transaction};

use crate::Error;

/// The schema, step by step. Each file ends with the number of the step that it takes.
const STEPS: [&str; 5] = [
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
    include_str!("schema/4.sql"),
    include_str!("schema/5.sql"),
];
/// How long a call waits for a connection, or for another process to finish writing.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Database {
    read: SqlitePool,
    /// A pool of one, so that writers queue in order instead of polling a lock.
    write: SqlitePool,
}

impl Database {
    /// Opens the file, which must be there, and moves its schema up.
    pub(crate) async fn open(path: &Path) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .pragma("secure_delete", "on")
            // What is laid anew is nowhere else meanwhile.
            .pragma("temp_store", "memory")
            // A log ahead of the writing would keep for long what was written, in the order in which it was.
            .journal_mode(SqliteJournalMode::Delete)
            // What was acknowledged is on disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            // Statements carry what must not be logged.
            .disable_statement_logging();
        let pool =
            |connections| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
        let database = Self {
            write: pool(1).connect_with(options.clone()).await?,
            read: pool(4).connect_lazy_with(options),
        };
        database.move_up().await?;
        Ok(database)
    }

    /// For questions.
    pub(crate) async fn read(&self) -> sqlx::Result<PoolConnection<Sqlite>> {
        self.read.acquire().await
    }

    /// Begins a transaction that nobody else writes beside.
    pub(crate) async fn write(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.write.begin_with("begin immediate").await
    }

    /// Closes every connection, waiting for those in use.
    pub(crate) async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    async fn move_up(&self) -> Result<(), Error> {
        let mut transaction = self.write().await?;
        let taken: i64 = sqlx::query_scalar("pragma user_version").fetch_one(&mut *transaction).await?;
        let ahead = usize::try_from(taken).ok().and_then(|taken| STEPS.get(taken..));
        for step in ahead.ok_or(Error::NewerSchema { step: taken })? {
            sqlx::raw_sql(*step).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_issuer_of_before_is_moved_on_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issuer.db");
        let made =
            SqlitePool::connect_with(SqliteConnectOptions::new().filename(&path).create_if_missing(true));
        let made = made.await.unwrap();
        for step in &STEPS[..2] {
            sqlx::raw_sql(*step).execute(&made).await.unwrap();
        }
        let row = "insert into issuer values (1, zeroblob(16), 'issuer.example', 'respite.example', 'cards', zeroblob(32))";
        sqlx::raw_sql(row).execute(&made).await.unwrap();
        let period = "insert into period values ('2026-Q4', zeroblob(32), 8, '2026-10-01', '2027-01-01', 0);
            insert into issuance values ('2026-Q4', zeroblob(32), zeroblob(32))";
        sqlx::raw_sql(period).execute(&made).await.unwrap();
        made.close().await;
        for _again in 0..2 {
            let moved = Database::open(&path).await.unwrap();
            let kept: (String, String, Option<u32>, i64) =
                sqlx::query_as("select name, mode, eligible, length(secret_id) from issuer")
                    .fetch_one(&mut *moved.read().await.unwrap())
                    .await
                    .unwrap();
            assert_eq!(kept, ("issuer.example".to_owned(), "cards".to_owned(), None, 32));
            // Who fetched has fetched, and the days are the ones that the log of keys has.
            let days: (String, String, i64) = sqlx::query_as(
                "select first, last, length(batch) from period join issuance on period = name",
            )
            .fetch_one(&mut *moved.read().await.unwrap())
            .await
            .unwrap();
            assert_eq!(days, ("2026-10-01".to_owned(), "2026-12-31".to_owned(), 32));
            let broken = sqlx::query("insert into issuance values ('none', zeroblob(32), zeroblob(32))");
            assert!(broken.execute(&mut *moved.write().await.unwrap()).await.is_err());
            moved.close().await;
        }
    }
}
