//! The hospital's own program: who is eligible comes in, blind signatures go out.
//!
//! **Invariant:** nothing here names `store`, `services` or `server`, and none of them names this. What the
//! issuer knows, who asked, and what the booking side knows, which alias spent, never meet in one process, one
//! database or one log. The cryptography gives nothing if they do.
//!
//! Of a worker there is a keyed hash of a staff number, or nothing but a card's code; of an issuance, that there
//! was one in this period. Neither a time, nor an address, nor a blinded message is kept or logged.

pub mod audit;
mod clock;
pub mod code;
mod database;
mod error;
mod home;
mod issue;
mod login;
mod pace;
pub mod period;
pub mod roster;
pub mod scim;
mod secret;
pub mod serve;
mod service;
mod web;

use chrono::NaiveDate;

pub use clock::Clock;
pub use error::Error;
pub use home::{App, Identity, Mode};
pub use issue::Desk;
pub use login::Logins;
pub use period::PeriodName;
pub use web::Origin;

/// Reads a date such as `2026-12-31`, in this form alone.
pub fn parse_day(text: &str) -> Option<NaiveDate> {
    let digits = text.len() == 10 && text.starts_with(|first: char| first.is_ascii_digit());
    digits.then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()).flatten()
}
