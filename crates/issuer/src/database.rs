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
const STEPS: [&str; 2] = [include_str!("schema/1.sql"), include_str!("schema/2.sql")];
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
