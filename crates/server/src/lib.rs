//! The process around the product: settings, telemetry, sockets, commands.
//!
//! **Invariant:** this is the only room with an environment. Files of settings and keys, sockets, signals and
//! the terminal are here, and no rule of the product is.

mod bounds;
mod calendars;
pub mod config;
mod connection;
pub mod demo;
pub mod doctor;
pub mod health;
pub mod key;
mod networks;
pub mod open;
mod rpc;
pub mod schema;
pub mod seed;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod zones;
