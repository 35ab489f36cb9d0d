//! Stories through gRPC, on SQLite and on PostgreSQL.

mod clock_changes;
mod main_job;
mod races;
