//! What is kept sealed for an alias, opened for the length of a call.

use std::ops::Deref;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::LockType,
};
use serde::{Serialize, de::DeserializeOwned};
use store::{AliasId, Opaque, RequestId, alias, alias_key};
use vault::{DataKey, Padding};

use crate::{App, error::Error};

/// A column that is sealed, and what hides the length of what is in it.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    padding: Padding,
}

/// How sessions are fitted between shifts.
pub(crate) const SETTINGS: Column = Column { name: "alias.settings", padding: Padding::to(256) };
/// Shifts.
pub(crate) const ROSTER: Column = Column { name: "roster.sealed", padding: Padding::ROSTER };
/// Where and how to write.
pub(crate) const CONTACT: Column = Column { name: "contact.sealed", padding: Padding::to(256) };
/// An answer already given.
const RESPONSE: Column = Column { name: "request.response", padding: Padding::to(128) };

/// One alias's data key.
pub(crate) struct Safe {
    alias: AliasId,
    key: DataKey,
}

impl Safe {
    /// A fresh key, and the row that keeps it wrapped.
    pub(crate) fn create(app: &App, alias: AliasId) -> (Self, alias_key::Model) {
        let key = DataKey::generate();
        let row = alias_key::Model {
            alias_id: alias,
            wrapped_key: Opaque(app.keyring.wrap(&key, alias.0.into_bytes())),
            kek_id: Opaque(app.keyring.kek_id().to_vec()),
        };
        (Self { alias, key }, row)
    }

    /// Unwraps the alias's key. Without it, as once the alias is erased, there is nothing to be opened.
    pub(crate) async fn open(app: &App, db: &impl ConnectionTrait, alias: AliasId) -> Result<Self, Error> {
        let row = alias_key::Entity::find_by_id(alias).one(db).await?.ok_or(Error::NotFound("alias"))?;
        Self::unwrap(app, alias, &row)
    }

    /// The same, with the alias's own row locked until the transaction ends; nothing if the alias is gone.
    pub(crate) async fn lock(
        app: &App,
        tx: &DatabaseTransaction,
        alias: AliasId,
    ) -> Result<Option<Self>, Error> {
        let locked = alias::Entity::find_by_id(alias)
            .select_only()
            .column(alias::Column::Id)
            .lock(LockType::NoKeyUpdate)
            .into_query();
        // The key may be as it was before the lock was waited for: it stays usable when it is wrapped anew.
        let row =
            alias_key::Entity::find().filter(alias_key::Column::AliasId.in_subquery(locked)).one(tx).await?;
        row.map(|row| Self::unwrap(app, alias, &row)).transpose()
    }

    fn unwrap(app: &App, alias: AliasId, row: &alias_key::Model) -> Result<Self, Error> {
        let key = app
            .keyring
            .unwrap(&row.wrapped_key.0, alias.0.into_bytes())
            .map_err(|_| Error::Sealed("alias_key.wrapped_key"))?;
        Ok(Self { alias, key })
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

    /// Seals a value of the alias's only row in a table.
    pub(crate) fn seal_json(&self, column: Column, value: &impl Serialize) -> Result<Opaque, Error> {
        let plaintext = serde_json::to_vec(value).map_err(|_| Error::Sealed(column.name))?;
        Ok(Opaque(self.key.seal(column.name, self.alias.0.into_bytes(), &plaintext, column.padding)))
    }

    pub(crate) fn unseal_json<T: DeserializeOwned>(
        &self,
        column: Column,
        sealed: &Opaque,
    ) -> Result<T, Error> {
        let opened = self
            .key
            .open(column.name, self.alias.0.into_bytes(), &sealed.0)
            .map_err(|_| Error::Sealed(column.name))?;
        serde_json::from_slice(&opened).map_err(|_| Error::Sealed(column.name))
    }
}
