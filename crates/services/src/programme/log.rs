//! The public log of keys, and what programmes pay for, as this server has read them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use pass::{Directory, Head};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel};
use store::{Opaque, ProgrammeId, key_log, programme};

use super::terms::Terms;
use crate::{App, error::Error};

/// What was read so far. Entries are only ever added, and what a programme pays for never changes, so that what was
/// read stays true.
#[derive(Default)]
pub struct KeyLog {
    directory: Mutex<Arc<Directory>>,
    terms: Mutex<HashMap<ProgrammeId, Arc<Terms>>>,
}

impl KeyLog {
    /// All that is in the log by now.
    pub(super) async fn current(&self, db: &impl ConnectionTrait) -> Result<Arc<Directory>, Error> {
        let mut directory = self.known();
        let after = position(&directory)?;
        let entries = key_log::Entity::after(after).all(db).await?;
        if entries.is_empty() {
            return Ok(directory);
        }
        let grown = Arc::make_mut(&mut directory);
        for row in entries {
            grown.append(&row.entry.0).map_err(|_| DAMAGED)?;
        }
        let mut read = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        if read.head().length < directory.head().length {
            *read = directory.clone();
        }
        Ok(directory)
    }

    /// All that was in it when somebody last looked. What is decided by it holds if no entry has come since.
    pub(super) fn known(&self) -> Arc<Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a programme pays for, if there is such a programme.
    pub(super) async fn terms(
        &self,
        db: &impl ConnectionTrait,
        id: ProgrammeId,
    ) -> Result<Option<Arc<Terms>>, Error> {
        let known = self.terms.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(programme) = programme::Entity::find_by_id(id).one(db).await? else { return Ok(None) };
        let terms = Arc::new(Terms::of(programme));
        self.terms.lock().unwrap_or_else(PoisonError::into_inner).insert(id, terms.clone());
        Ok(Some(terms))
    }
}

/// How far the log goes, or went when it had so many `entries`: whoever read it earlier has a head of then to compare.
pub(crate) async fn head(app: &App, entries: Option<usize>) -> Result<Head, Error> {
    let rows = key_log::Entity::after(0).all(app.db.read()).await?;
    let wanted = rows.get(..entries.unwrap_or(rows.len())).ok_or(Error::NotFound("entry of the log"))?;
    let mut directory = Directory::default();
    for row in wanted {
        directory.append(&row.entry.0).map_err(|_| DAMAGED)?;
    }
    Ok(directory.head())
}

/// Where the next entry goes.
pub(super) fn position(directory: &Directory) -> Result<i32, Error> {
    i32::try_from(directory.head().length).map_err(|_| DAMAGED)
}

/// Writes the next entry; nobody reads it before the transaction's end.
pub(super) async fn append(tx: &DatabaseTransaction, position: i32, entry: Vec<u8>) -> Result<(), Error> {
    let row = key_log::Model { position, entry: Opaque(entry) };
    row.into_active_model().insert(tx).await.map_err(|error| match store::Error::from(error) {
        // Another manager's entry took the place.
        store::Error::Duplicate => store::Error::Unavailable("another entry was written meanwhile"),
        other => other,
    })?;
    Ok(())
}

/// Somebody changed the table by other ways than ours.
pub(super) const DAMAGED: Error = Error::Sealed("key_log.entry");
