//! Every id is a type, down to the column.

use sea_orm::prelude::{DeriveValueType, Uuid};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one; version 4, since a time-ordered id tells when it was made.
            #[must_use]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        // A primary key must say how it would be read from a counter: it never is.
        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )*};
}

ids! {
    /// A pseudonymous account.
    AliasId,
    /// A session held or booked.
    BookingId,
    /// A therapist's licence to practise.
    CredentialId,
    /// A session that an alias may book without a pass.
    CreditId,
    /// A change of one local date.
    DateOverrideId,
    /// The key of a device that notes are sealed to.
    DeviceKeyId,
    /// A contact that operators may read in an emergency.
    EmergencyAccessId,
    /// A calendar that is fetched again and again.
    FeedId,
    /// Somebody who runs the service.
    OperatorId,
    /// A hospital's contract.
    ProgrammeId,
    /// A message ahead of a session, or a code.
    ReminderId,
    /// Chosen by a client, so that it may ask twice (AIP-155).
    RequestId,
    /// What can be booked with a therapist.
    SessionTypeId,
    /// A professional with a public profile.
    TherapistId,
    /// Time in which a therapist cannot be booked.
    TimeOffId,
}
