//! Letters: the closed catalogue of texts, and the posts that carry them.
//!
//! **Invariant:** no text of a letter comes from outside this crate. A caller
//! chooses among the entries of the catalogue and fills in a code or a time;
//! nothing about a therapist, an organisation or a subject can be said.
//!
//! An address is shown by nothing here: neither by `Debug`, nor by an error,
//! nor by a log line.

mod catalogue;
mod letter;
mod post;

pub use catalogue::{Code, Language, Level, Message};
pub use letter::{Address, AddressError, Letter, compose};
pub use post::{
    DeliveryError, Fault, Outbox, Password, Post, Sender, SenderError, SetupError, Smtp, SmtpSettings, Tls,
    written,
};
