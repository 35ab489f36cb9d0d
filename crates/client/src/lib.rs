//! What happens on the worker's device: a phrase on paper, a key made from it, an alias, and calls that
//! renew their own sign-in and survive a lost connection.
//!
//! **Invariant:** the secret, and every key made from it, stays here. The server is sent public keys,
//! signatures and the proof of a moment's work. `README.md` walks through a device's day.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! use api::v1::ConfirmBookingRequest;
//! use client::{Client, Secret, request_id};
//!
//! let anybody = Client::connect("http://127.0.0.1:50051").await?;
//! let secret = Secret::generate();
//! println!("Write these words down, nobody can tell you again: {}", *secret.to_phrase());
//! anybody.create_alias(&secret.login_key()).await?;
//!
//! let worker = anybody.login(secret.login_key()).await?;
//! let wanted = ConfirmBookingRequest { request_id: request_id(), ..Default::default() };
//! let confirmed = worker.bookings().confirm_booking(wanted).await?;
//! # Ok(())
//! # }
//! ```

mod error;
#[cfg(feature = "notes")]
mod notes;
mod phrase;
pub mod proof_of_work;
mod reminders;
mod session;
mod sign_in;
#[cfg(feature = "wallet")]
mod wallet;

use std::{fmt, time::Duration};

use api::v1::{
    Alias, access_service_client::AccessServiceClient, alias_service_client::AliasServiceClient,
    audit_service_client::AuditServiceClient, availability_service_client::AvailabilityServiceClient,
    booking_service_client::BookingServiceClient, directory_service_client::DirectoryServiceClient,
    note_service_client::NoteServiceClient, programme_service_client::ProgrammeServiceClient,
    reminder_service_client::ReminderServiceClient, roster_service_client::RosterServiceClient,
    slot_service_client::SlotServiceClient,
};
use tonic::transport::{Channel, Endpoint};

#[cfg(feature = "notes")]
pub use ::notes::{
    Certificate, CertificateError, DeviceKey, Intake, NotesKey, OpenError, PracticeKey, PracticePublicKey,
    SealError,
};
pub use ed25519_dalek::SigningKey;
pub use error::{Error, Refusal, Violation};
#[cfg(feature = "notes")]
pub use notes::{DeviceNotes, Notes, NotesError, Readable};
#[cfg(feature = "wallet")]
pub use pass::Head;
pub use phrase::{PhraseError, Secret};
pub use session::Session;
#[cfg(feature = "wallet")]
pub use wallet::{FetchError, PassError, ProviderLogin, Shown, Wallet, WalletError};

/// Somebody who calls the server: nobody in particular, a worker, a therapist, an operator or a manager.
///
/// Cloning is cheap, and all that comes from one client shares its connection.
#[derive(Clone)]
pub struct Client {
    session: Session,
}

impl Client {
    /// Connects without TLS; an address is `http://host:port`.
    pub async fn connect(address: impl Into<String>) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(address.into())?
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(15));
        Ok(Self::over(endpoint.connect().await?))
    }

    /// Calls over a connection made elsewhere, such as one with TLS and the authorities of the device.
    pub fn over(channel: Channel) -> Self {
        Self { session: Session::anonymous(channel) }
    }

    /// Makes an alias for the holder of `key`; the same key gives the same alias again.
    pub async fn create_alias(&self, key: &SigningKey) -> Result<Alias, Error> {
        sign_in::create_alias(self.session.clone(), key).await
    }

    /// Signs in with the key of an alias, a therapist, an operator or the manager of a programme.
    ///
    /// An access token ends after 15 minutes. The client that comes back signs in again when it has to.
    pub async fn login(&self, key: SigningKey) -> Result<Self, Error> {
        Ok(Self { session: self.session.signed_in(key).await? })
    }

    /// Who can be talked to, the vocabulary, and whom to call at once.
    pub fn directory(&self) -> DirectoryServiceClient<Session> {
        DirectoryServiceClient::new(self.session.clone())
    }

    /// A therapist's own schedule.
    pub fn availability(&self) -> AvailabilityServiceClient<Session> {
        AvailabilityServiceClient::new(self.session.clone())
    }

    /// What is free between the worker's shifts.
    pub fn slots(&self) -> SlotServiceClient<Session> {
        SlotServiceClient::new(self.session.clone())
    }

    /// The caller's own alias.
    ///
    /// If the answer to `erase_alias` is lost, the next attempt finds no alias that could sign in, and the
    /// call ends in `UNAUTHENTICATED` `LOGIN_REFUSED`. For a client that had signed in before, this means that
    /// the alias is erased; how many sessions that cancelled is not told again.
    pub fn alias(&self) -> AliasServiceClient<Session> {
        AliasServiceClient::new(self.session.clone())
    }

    /// What was opened of what is the worker's, and what operators open in an emergency.
    pub fn accesses(&self) -> AccessServiceClient<Session> {
        AccessServiceClient::new(self.session.clone())
    }

    /// What staff did.
    pub fn audit(&self) -> AuditServiceClient<Session> {
        AuditServiceClient::new(self.session.clone())
    }

    /// The worker's shifts.
    pub fn roster(&self) -> RosterServiceClient<Session> {
        RosterServiceClient::new(self.session.clone())
    }

    /// The worker's bookings, or the therapist's agenda.
    pub fn bookings(&self) -> BookingServiceClient<Session> {
        BookingServiceClient::new(self.session.clone())
    }

    /// What hospitals pay for, and the log of their keys.
    pub fn programmes(&self) -> ProgrammeServiceClient<Session> {
        ProgrammeServiceClient::new(self.session.clone())
    }

    /// Notes as the server carries them, which `Notes` and `DeviceNotes` open.
    pub fn notes(&self) -> NoteServiceClient<Session> {
        NoteServiceClient::new(self.session.clone())
    }

    /// How the worker is reminded.
    pub fn reminders(&self) -> ReminderServiceClient<Session> {
        ReminderServiceClient::new(self.session.clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// A fresh `request_id`: one for each thing a person wants done, however often it is sent (B3).
pub fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The walk through a device's day compiles.
#[cfg(all(doctest, feature = "notes", feature = "wallet"))]
#[doc = include_str!("../README.md")]
struct Readme;
