//! Stories through gRPC, on SQLite and on PostgreSQL.

mod main_job;
mod races;
