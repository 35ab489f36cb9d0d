//! What is kept for an alias, most of it sealed, opened for the length of a call.

use std::ops::Deref;

use calendar::Roster;
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use store::{AliasId, BookingId, Opaque, RequestId, Tags, alias, alias_key, note};
use vault::{DataKey, Padding};

use crate::{
    App, accesses::Access, alias::AliasSettings, booking::Displaced, error::Error, reminders::Contact,
    roster::Feed,
};

/// A column that is sealed, and what hides the length of what is in it.
#[derive(Clone, Copy)]
struct Column {
    name: &'static str,
    padding: Padding,
}

/// How sessions are fitted between shifts.
const SETTINGS: Column = Column { name: "alias.settings", padding: Padding::to(256) };
/// Shifts.
const ROSTER: Column = Column { name: "roster.sealed", padding: Padding::ROSTER };
/// Where shifts come from; every address there may be fits.
const FEED: Column = Column { name: "feed.sealed", padding: Padding::to(8192) };
/// Where and how to write.
const CONTACT: Column = Column { name: "contact.sealed", padding: Padding::to(256) };
/// What was opened. As many entries as there may be fit.
const ACCESS_LOG: Column = Column { name: "access_log.sealed", padding: Padding::to(8192) };
/// An answer already given.
const RESPONSE: Column = Column { name: "request.response", padding: Padding::to(128) };

/// Devices have hidden the length already.
const PADDED: Padding = Padding::to(1);

/// A roster, and what came of it.
#[derive(Serialize, Deserialize)]
struct Known<R> {
    #[serde(flatten)]
    roster: R,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    displaced: Vec<Displaced>,
}

/// One alias's data key, and what was kept for it when the call looked.
pub(crate) struct Safe {
    alias: AliasId,
    key: DataKey,
    settings: Opaque,
    exclusion_tags: Tags,
    roster: Option<Opaque>,
    contact: Option<Opaque>,
}

/// An answer already given, sealed, and the hash of what was asked.
pub(crate) struct Given {
    pub(crate) payload_mac: Opaque,
    pub(crate) response: Opaque,
}

impl Safe {
    /// A fresh key with settings under it, and the row that keeps it wrapped.
    pub(crate) fn create(
        app: &App,
        alias: AliasId,
        settings: &AliasSettings,
    ) -> Result<(Opaque, alias_key::Model), Error> {
        let key = DataKey::generate();
        let row = alias_key::Model {
            alias_id: alias,
            wrapped_key: Opaque(app.keyring.wrap(&key, alias.0.into_bytes())),
            kek_id: Opaque(app.keyring.kek_id().to_vec()),
        };
        let mut safe = Self {
            alias,
            key,
            settings: Opaque(Vec::new()),
            exclusion_tags: Tags::default(),
            roster: None,
            contact: None,
        };
        safe.settings = safe.seal_settings(settings)?;
        Ok((safe.settings, row))
    }

    /// Opens what is kept for the alias. Without its key, as once it is erased, there is nothing to be opened.
    pub(crate) async fn open(app: &App, db: &impl ConnectionTrait, alias: AliasId) -> Result<Self, Error> {
        let kept = alias::Kept::find(db, alias).await?.ok_or(Error::NotFound("alias"))?;
        Ok(Self::unwrap(app, alias, kept)?.0)
    }

    /// The same, with the alias's row locked until the transaction ends; nothing if the alias is gone.
    pub(crate) async fn lock(
        app: &App,
        tx: &DatabaseTransaction,
        alias: AliasId,
    ) -> Result<Option<Self>, Error> {
        let kept = alias::Kept::lock(tx, alias, None, None).await?;
        Ok(kept.map(|kept| Self::unwrap(app, alias, kept)).transpose()?.map(|(safe, _)| safe))
    }

    /// The same with the answer to `request`, if it was carried out; nothing, too, if `token` is not the alias's any more.
    pub(crate) async fn lock_for(
        app: &App,
        tx: &DatabaseTransaction,
        alias: AliasId,
        request: RequestId,
        token: Option<&Opaque>,
    ) -> Result<Option<(Self, Option<Given>)>, Error> {
        let kept = alias::Kept::lock(tx, alias, Some(request), token).await?;
        kept.map(|kept| Self::unwrap(app, alias, kept)).transpose()
    }

    fn unwrap(app: &App, alias: AliasId, kept: alias::Kept) -> Result<(Self, Option<Given>), Error> {
        let alias::Kept { wrapped_key, settings, exclusion_tags, roster, contact, payload_mac, response } =
            kept;
        let key = app
            .keyring
            .unwrap(&wrapped_key.0, alias.0.into_bytes())
            .map_err(|_| Error::Sealed("alias_key.wrapped_key"))?;
        let given = payload_mac.zip(response);
        let given = given.map(|(payload_mac, response)| Given { payload_mac, response });
        Ok((Self { alias, key, settings, exclusion_tags, roster, contact }, given))
    }

    /// Whose it is.
    pub(crate) fn alias(&self) -> AliasId {
        self.alias
    }

    /// How sessions are fitted between the alias's shifts.
    pub(crate) fn settings(&self) -> Result<AliasSettings, Error> {
        self.unseal_json(SETTINGS, &self.settings)
    }

    /// What the alias must not meet (D5); not sealed, since it is compared with what others must not.
    pub(crate) fn exclusion_tags(&self) -> &Tags {
        &self.exclusion_tags
    }

    pub(crate) fn seal_settings(&self, settings: &AliasSettings) -> Result<Opaque, Error> {
        self.seal_json(SETTINGS, settings)
    }

    /// The alias's shifts, if there is a roster.
    pub(crate) fn roster(&self) -> Result<Option<Roster>, Error> {
        Ok(self.known_roster()?.map(|known| known.roster))
    }

    /// The sessions that the roster took the time of (B4).
    pub(crate) fn displaced(&self) -> Result<Vec<Displaced>, Error> {
        Ok(self.known_roster()?.map(|known| known.displaced).unwrap_or_default())
    }

    fn known_roster(&self) -> Result<Option<Known<Roster>>, Error> {
        self.roster.as_ref().map(|sealed| self.unseal_json(ROSTER, sealed)).transpose()
    }

    pub(crate) fn seal_roster(&self, roster: &Roster, displaced: Vec<Displaced>) -> Result<Opaque, Error> {
        self.seal_json(ROSTER, &Known { roster, displaced })
    }

    /// Where the alias's shifts come from.
    pub(crate) fn unseal_feed(&self, sealed: &Opaque) -> Result<Feed, Error> {
        self.unseal_json(FEED, sealed)
    }

    pub(crate) fn seal_feed(&self, feed: &Feed) -> Result<Opaque, Error> {
        self.seal_json(FEED, feed)
    }

    /// Where and how to write to the alias, if it said so.
    pub(crate) fn contact(&self) -> Result<Option<Contact>, Error> {
        self.contact.as_ref().map(|sealed| self.unseal_contact(sealed)).transpose()
    }

    /// The same from a row that was read apart, to go with what else that row says.
    pub(crate) fn unseal_contact(&self, sealed: &Opaque) -> Result<Contact, Error> {
        self.unseal_json(CONTACT, sealed)
    }

    pub(crate) fn seal_contact(&self, contact: &Contact) -> Result<Opaque, Error> {
        self.seal_json(CONTACT, contact)
    }

    /// What was opened of what is the alias's, the oldest first.
    pub(crate) fn unseal_access_log(&self, sealed: &Opaque) -> Result<Vec<Access>, Error> {
        self.unseal_json(ACCESS_LOG, sealed)
    }

    pub(crate) fn seal_access_log(&self, log: &[Access]) -> Result<Opaque, Error> {
        self.seal_json(ACCESS_LOG, &log)
    }

    /// Seals the answer to one request; it opens as the answer to no other.
    pub(crate) fn seal_answer(&self, request: RequestId, plaintext: &[u8]) -> Opaque {
        Opaque(self.key.seal(RESPONSE.name, request.0.into_bytes(), plaintext, RESPONSE.padding))
    }

    pub(crate) fn unseal_answer(
        &self,
        request: RequestId,
        sealed: &Opaque,
    ) -> Result<impl Deref<Target = Vec<u8>>, Error> {
        self.key
            .open(RESPONSE.name, request.0.into_bytes(), &sealed.0)
            .map_err(|_| Error::Sealed(RESPONSE.name))
    }

    /// Seals what devices have sealed already, so that it goes with the alias's data key, too.
    pub(crate) fn seal_note(&self, booking: BookingId, kind: note::Kind, from_device: &[u8]) -> Opaque {
        Opaque(self.key.seal(note_column(kind), booking.0.into_bytes(), from_device, PADDED))
    }

    pub(crate) fn unseal_note(&self, row: &note::Model) -> Result<Vec<u8>, Error> {
        let &note::Model { booking_id, kind, ref sealed } = row;
        let column = note_column(kind);
        let opened = self.key.open(column, booking_id.0.into_bytes(), &sealed.0);
        opened.map(|opened| opened.to_vec()).map_err(|_| Error::Sealed(column))
    }

    /// Seals a value of the alias's only row in a table.
    fn seal_json(&self, column: Column, value: &impl Serialize) -> Result<Opaque, Error> {
        let plaintext = serde_json::to_vec(value).map_err(|_| Error::Sealed(column.name))?;
        Ok(Opaque(self.key.seal(column.name, self.alias.0.into_bytes(), &plaintext, column.padding)))
    }

    fn unseal_json<T: DeserializeOwned>(&self, column: Column, sealed: &Opaque) -> Result<T, Error> {
        let opened = self
            .key
            .open(column.name, self.alias.0.into_bytes(), &sealed.0)
            .map_err(|_| Error::Sealed(column.name))?;
        serde_json::from_slice(&opened).map_err(|_| Error::Sealed(column.name))
    }
}

/// A note is sealed as one of its kind: it opens as no other.
fn note_column(kind: note::Kind) -> &'static str {
    match kind {
        note::Kind::Intake => "note.intake",
        note::Kind::Copy => "note.copy",
        note::Kind::Handover => "note.handover",
    }
}
