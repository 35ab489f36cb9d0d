//! Stories through gRPC, on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod access;
mod audit;
mod availability;
mod backups;
mod bad_input;
mod busy;
mod calendars;
mod canary;
mod clock_changes;
mod collisions;
mod crash;
mod device;
mod emergency;
mod exclusions;
mod export;
mod fresh;
mod id_token;
mod inventory;
mod limits;
mod linking;
mod main_job;
mod migrations;
mod notes;
mod preview;
mod privacy;
mod programmes;
#[path = "../../crates/oidc/tests/provider/mod.rs"]
mod provider;
mod races;
mod reminders;
mod reports;
mod retention;
mod roster;
mod rotation;
mod search;
mod wallet;
mod zones;
