//! What a database can answer besides rows.

use sea_orm::{DbErr, RuntimeErr, SqlErr, sqlx};

/// Why the database did not do as asked; no part of it quotes a row.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two sessions of one therapist would overlap (B2).
    #[error("two sessions of one therapist would overlap")]
    TherapistOverlap,
    /// Two sessions of one alias would overlap (B2).
    #[error("two sessions of one alias would overlap")]
    AliasOverlap,
    /// A row with the same unique value is there.
    #[error("a row with the same unique value is there")]
    Duplicate,
    /// Nothing was changed, and the same question may be answered in a moment.
    #[error("the database is unavailable ({0})")]
    Unavailable(&'static str),
    /// The database refused for a reason that is our mistake.
    #[error("the database failed ({kind}, code {code})")]
    Failed {
        /// Which part failed.
        kind: &'static str,
        /// The engine's own code, such as an SQLSTATE; empty if there is none.
        code: String,
    },
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
            return Error::Duplicate;
        }
        let failed = |kind| Error::Failed { kind, code: String::new() };
        match error {
            DbErr::ConnectionAcquire(_) => Error::Unavailable("no free connection"),
            DbErr::Conn(RuntimeErr::SqlxError(error)) => match driver(&error) {
                damaged @ Error::Failed { kind: NOT_A_DATABASE, .. } => damaged,
                _ => Error::Unavailable("no connection"),
            },
            DbErr::Conn(_) => Error::Unavailable("no connection"),
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
                driver(&error)
            }
            DbErr::Type(_) | DbErr::TryIntoErr { .. } | DbErr::Json(_) => failed("a row cannot be read"),
            DbErr::RecordNotFound(_) | DbErr::RecordNotUpdated | DbErr::RecordNotInserted => {
                failed("a row is missing")
            }
            _ => failed("the data layer"),
        }
    }
}

/// What SQLite says of a file that something else wrote, or that was damaged.
const NOT_A_DATABASE: &str = "the file is not a SQLite database, or is damaged";

fn driver(error: &sqlx::Error) -> Error {
    let sqlx::Error::Database(refusal) = error else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => Error::Unavailable("connection lost"),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Error::Unavailable("no free connection"),
            _ => Error::Failed { kind: "the driver", code: String::new() },
        };
    };
    // PostgreSQL names the constraint; a SQLite trigger says its name as the message.
    let named = |name| refusal.constraint() == Some(name) || refusal.message() == name;
    if named("booking_therapist_overlap") {
        return Error::TherapistOverlap;
    }
    if named("booking_alias_overlap") {
        return Error::AliasOverlap;
    }
    let code = refusal.code().unwrap_or_default();
    match code.as_ref() {
        // Serialization failure, deadlock, and the server going away or full.
        "40001" | "40P01" => Error::Unavailable("another transaction was in the way"),
        "53300" | "57P01" | "57P02" | "57P03" => Error::Unavailable("the server is restarting or full"),
        // SQLITE_BUSY and what extends it.
        "5" | "261" | "517" | "773" => Error::Unavailable("another process is writing"),
        // SQLITE_CORRUPT and SQLITE_NOTADB; an SQLSTATE has five characters.
        "11" | "26" => Error::Failed { kind: NOT_A_DATABASE, code: code.into_owned() },
        _ => Error::Failed { kind: "a statement", code: code.into_owned() },
    }
}
