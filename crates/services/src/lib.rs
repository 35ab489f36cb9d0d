//! What the product does: the gRPC services, their rules, and the reminders.
//!
//! **Invariant:** there is no process here: no socket, no environment, no signal. Everything a call needs is in
//! [`App`], and the clock is read once per call.

mod access;
mod accesses;
mod alias;
pub mod audit;
mod availability;
mod booking;
mod callers;
mod clock;
mod crisis;
mod directory;
mod error;
mod exclusions;
pub mod feeds;
mod field;
mod listing;
pub mod mirror;
mod notes;
mod once;
pub mod operators;
mod page;
mod programme;
pub mod rates;
pub mod reminders;
pub mod retention;
pub mod rewrap;
mod roster;
mod sealed;
mod slots;
mod vocabulary;
pub mod zones;

use std::sync::Arc;

use api::v1;
use tonic::service::Routes;

pub use access::{Caller, Door, POLICIES, Policy};
pub use alias::Staff;
pub use availability::published;
pub use callers::Callers;
pub use clock::Clock;
pub use error::Error;
pub use listing::Listings;
pub use mirror::Mirror;
pub use programme::{KeyLog, reports};
pub use rates::Rates;
pub use slots::Watches;

/// All that a call works with; a clone shares everything.
#[derive(Clone)]
pub struct App {
    /// The data layer.
    pub db: store::Db,
    /// What time it is.
    pub clock: Clock,
    /// Zone rules in force (T6).
    pub rules: calendar::Rules,
    /// What seals, and what makes handles, challenges and codes.
    pub keyring: Arc<vault::Keyring>,
    /// Where letters go.
    pub post: notify::Post,
    /// Where staff may sign in, besides with their keys.
    pub staff_provider: Option<Arc<oidc::Provider>>,
    /// Where feeds come from.
    pub feeds: Arc<feeds::Feeds>,
    /// What an operator chose.
    pub settings: Arc<Settings>,
    /// What can be booked with whom.
    pub listings: Arc<Listings>,
    /// Who is free when.
    pub mirror: Arc<Mirror>,
    /// Who asks, and when they have time.
    pub callers: Arc<Callers>,
    /// Those who watch a search.
    pub watches: Arc<Watches>,
    /// Whose passes pay.
    pub keys: Arc<KeyLog>,
    /// How much may be asked for.
    pub rates: Arc<Rates>,
}

/// What an operator chose about the product's behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who asks for signatures; part of what is signed, so that no other server can use it.
    pub audience: String,
    /// Leading zero bits that a new alias's proof of work must have.
    pub proof_of_work_bits: u8,
    /// Where sessions take place: a URI with `{room}` in it (B7).
    pub join_template: String,
    /// Nobody books without a programme that pays (E2).
    pub pass_required: bool,
}

/// The services' full names, for health checks.
pub const SERVICE_NAMES: [&str; 11] = [
    "respite.v1.AccessService",
    "respite.v1.AliasService",
    "respite.v1.AuditService",
    "respite.v1.AvailabilityService",
    "respite.v1.BookingService",
    "respite.v1.DirectoryService",
    "respite.v1.NoteService",
    "respite.v1.ProgrammeService",
    "respite.v1.ReminderService",
    "respite.v1.RosterService",
    "respite.v1.SlotService",
];

/// The largest request that is read.
const MAX_REQUEST: usize = 64 * 1024;

/// The same where a roster comes as a file.
const MAX_ROSTER: usize = 1024 * 1024 + MAX_REQUEST;

/// Every service as it is answered at `door`, behind the layer that knows who calls and refuses who may not.
#[must_use]
pub fn routes(app: &App, door: Door) -> Routes {
    let app = || app.clone();
    Routes::default()
        .add_service(
            v1::access_service_server::AccessServiceServer::new(app()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::alias_service_server::AliasServiceServer::new(app()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::audit_service_server::AuditServiceServer::new(app()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::availability_service_server::AvailabilityServiceServer::new(app())
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::booking_service_server::BookingServiceServer::new(app())
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::directory_service_server::DirectoryServiceServer::new(app())
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::note_service_server::NoteServiceServer::new(app()).max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::programme_service_server::ProgrammeServiceServer::new(app())
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::reminder_service_server::ReminderServiceServer::new(app())
                .max_decoding_message_size(MAX_REQUEST),
        )
        .add_service(
            v1::roster_service_server::RosterServiceServer::new(app()).max_decoding_message_size(MAX_ROSTER),
        )
        .add_service(
            v1::slot_service_server::SlotServiceServer::new(app()).max_decoding_message_size(MAX_REQUEST),
        )
        .into_axum_router()
        .layer(access::AccessLayer::new(app(), door))
        .into()
}
