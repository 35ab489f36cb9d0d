//! Tables, column types, named questions and the write transaction.
//!
//! **Invariant:** the only room that knows there are two databases. What leaves it as an error says what was
//! violated and carries no text of the database's, since that text quotes rows.

pub mod access_log;
pub mod access_token;
pub mod alias;
pub mod alias_key;
pub mod audit;
pub mod booking;
pub mod booking_event;
pub mod busy_feed;
pub mod calendar_feed;
pub mod change;
pub mod contact;
pub mod credential;
pub mod credit;
pub mod date_override;
pub mod device_key;
pub mod emergency_access;
pub mod feed;
pub mod fetch_turn;
pub mod key_log;
pub mod note;
pub mod operator;
pub mod programme;
pub mod reminder;
pub mod report;
pub mod request;
pub mod roster;
pub mod schedule;
pub mod session_type;
pub mod spent_pass;
pub mod staff_identity;
pub mod therapist;
pub mod time_off;
pub mod used_challenge;
pub mod zone_change;
pub mod zone_check;

mod column;
mod db;
mod error;
mod id;
mod writes;

pub use column::{Horizon, Instant, Limits, List, Modality, Opaque, Tags};
pub use db::{Db, Word};
pub use error::Error;
pub use id::{
    AliasId, BookingId, CredentialId, CreditId, DateOverrideId, DeviceKeyId, EmergencyAccessId, FeedId,
    OperatorId, ProgrammeId, ReminderId, RequestId, SessionTypeId, TherapistId, TimeOffId,
};
pub use writes::Writes;
