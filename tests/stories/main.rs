//! Stories through gRPC, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod access;
mod availability;
mod bad_input;
mod busy;
mod calendars;
mod canary;
mod clock_changes;
mod collisions;
mod crash;
mod exclusions;
mod fresh;
mod limits;
mod main_job;
mod migrations;
mod preview;
mod privacy;
mod programmes;
mod races;
mod reminders;
mod retention;
mod roster;
mod search;
mod zones;
