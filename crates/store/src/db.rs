//! The connection, and the one way to write.

use std::time::Duration;

use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
    sqlx::{
        postgres::PgListener,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{Error, change};

/// How long a call waits for a connection before it is told to come back.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long ago a connection answered at most, if it is taken without being asked whether it lives.
const FRESH: Duration = Duration::from_secs(1);

/// An embedded SQLite file or a PostgreSQL server.
#[derive(Clone, Debug)]
pub struct Db {
    read: DatabaseConnection,
    /// On SQLite a pool of one, so that writers queue in order instead of polling a lock; on PostgreSQL the
    /// same pool, since rows are locked there.
    write: DatabaseConnection,
}

impl Db {
    /// Connects to `sqlite://PATH`, which is made if it is not there, or to `postgres://...`.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self, Error> {
        // A migration holds its lock on one connection and works on another, and one may be listening.
        let read = Database::connect(options(url, max_connections.max(3))).await?;
        let write = match read.get_database_backend() {
            DbBackend::Sqlite => Database::connect(options(url, 1)).await?,
            _ => read.clone(),
        };
        Ok(Self { read, write })
    }

    /// For questions, and for migrations.
    #[must_use]
    pub fn read(&self) -> &DatabaseConnection {
        &self.read
    }

    /// Begins the one transaction of a call that changes something.
    ///
    /// SQLite locks here (`BEGIN IMMEDIATE`); PostgreSQL where a row is read with `lock`.
    pub async fn write(&self) -> Result<DatabaseTransaction, Error> {
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.write.begin_with_options(immediate).await?)
    }

    /// Begins a transaction that sees the data as of one moment, however many questions it asks, and changes nothing.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction, Error> {
        // SQLite has this by itself, and no other levels to choose from.
        let postgres = self.read.get_database_backend() == DbBackend::Postgres;
        let options = TransactionOptions {
            isolation_level: postgres.then_some(IsolationLevel::RepeatableRead),
            access_mode: postgres.then_some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        };
        Ok(self.read.begin_with_options(options).await?)
    }

    /// Listens for word that something changed ([`crate::change`]).
    pub async fn listen(&self) -> Result<Word, Error> {
        if self.read.get_database_backend() != DbBackend::Postgres {
            return Ok(Word(None));
        }
        let mut listener = PgListener::connect_with(self.read.get_postgres_connection_pool())
            .await
            .map_err(|_| Error::Unavailable("no connection to listen on"))?;
        let heard = listener.listen(change::CHANNEL).await;
        heard.map_err(|_| Error::Unavailable("no connection to listen on"))?;
        Ok(Word(Some(listener)))
    }

    /// Takes what was deleted out of SQLite's files, where old pages would stay in the log until it is written over;
    /// false if somebody who reads was in the way, and it has to be tried again.
    ///
    /// Deleted rows are blank in the database file by `secure_delete`. On PostgreSQL the files keep them until they
    /// are written over, and archives as long as they are kept.
    pub async fn scrub(&self) -> Result<bool, Error> {
        if self.write.get_database_backend() != DbBackend::Sqlite {
            return Ok(true);
        }
        // The write connection is needed by everybody: better soon again than a long wait.
        self.write.execute_unprepared("pragma busy_timeout = 50").await?;
        let checkpoint = Statement::from_string(DbBackend::Sqlite, "pragma wal_checkpoint(truncate)");
        let row = self.write.query_one_raw(checkpoint).await;
        let restore = format!("pragma busy_timeout = {}", ACQUIRE.as_millis());
        self.write.execute_unprepared(&restore).await?;
        let busy = match row? {
            Some(row) => row.try_get_by_index::<i64>(0)?,
            None => 0,
        };
        Ok(busy == 0)
    }

    /// Closes every connection, waiting for those in use.
    pub async fn close(self) -> Result<(), Error> {
        self.write.clone().close().await?;
        Ok(self.read.close().await?)
    }
}

/// Word from other servers of the same database. SQLite has none: there is one server, and it tells itself.
pub struct Word(Option<PgListener>);

impl Word {
    /// Hears nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Ends when word comes. What was said while the connection was lost is not heard.
    pub async fn heard(&mut self) {
        let Some(listener) = &mut self.0 else { return std::future::pending().await };
        // It connects again by itself; what was said meanwhile is found by looking.
        let _ = listener.recv().await;
    }
}

fn options(url: &str, max_connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire_if_idle_for(FRESH)
        // Statements carry what must not be logged.
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .create_if_missing(true)
                .foreign_keys(true)
                .pragma("secure_delete", "on")
                .journal_mode(SqliteJournalMode::Wal)
                // What was acknowledged is on disk.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(ACQUIRE)
        });
    options
}
