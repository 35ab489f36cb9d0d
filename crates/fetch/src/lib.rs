//! Fetching a calendar from an address that somebody else chose: a worker's roster, a therapist's busy time.
//!
//! **Invariant:** this is the only room that opens a connection to where a user says. It goes to port 443 of a public
//! address and nowhere else, follows nothing, keeps nothing between two fetches, and ends after ten seconds and after
//! little more than a mebibyte, whatever the other side does. Neither the address nor anything that was answered is in
//! an error or a `Debug` output.
//!
//! Whoever gave an address learns only that the calendar could not be fetched, so that nobody maps a network through
//! it. What was fetched may still be no calendar: a caller that cannot read it says the same.

mod address;
mod feed_url;
mod fetcher;
mod network;
mod refresh;
mod validator;

pub use feed_url::{FeedUrl, UrlError};
pub use fetcher::{Cause, FetchError, Fetched, Fetcher, NoTrust};
pub use refresh::refresh_after;
pub use validator::{Validator, ValidatorError};
