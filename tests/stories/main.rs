//! Stories through gRPC, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod clock_changes;
mod main_job;
mod races;
