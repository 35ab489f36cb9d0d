//! The public log of keys, as this server has read it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pass::Directory;
use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseTransaction, IntoActiveModel};
use store::{Opaque, key_log};

use crate::error::Error;

/// What was read so far. Entries are only ever added, so that what was read stays true, and each question reads on.
#[derive(Default)]
pub struct KeyLog(Mutex<Arc<Directory>>);

impl KeyLog {
    /// All that is in the log by now.
    pub(super) async fn current(&self, db: &impl ConnectionTrait) -> Result<Arc<Directory>, Error> {
        let mut directory = self.read().clone();
        let after = position(&directory)?;
        let entries = key_log::Entity::after(after).all(db).await?;
        if entries.is_empty() {
            return Ok(directory);
        }
        let grown = Arc::make_mut(&mut directory);
        for row in entries {
            grown.append(&row.entry.0).map_err(|_| DAMAGED)?;
        }
        let mut read = self.read();
        if read.head().length < directory.head().length {
            *read = directory.clone();
        }
        Ok(directory)
    }

    fn read(&self) -> MutexGuard<'_, Arc<Directory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
