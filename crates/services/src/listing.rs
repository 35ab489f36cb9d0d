//! What can be booked with a therapist, kept in memory from one call to the next.
//!
//! The database raises a therapist's revision with every change, so that a call that has locked the therapist's time
//! and finds the revision of what is kept may trust it, and loads it anew otherwise.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use calendar::Schedule;
use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};
use store::{SessionTypeId, TherapistId, credential, session_type, therapist};

use crate::{App, availability, directory, error::Error};

/// One therapist, as of one revision.
pub(crate) struct Listing {
    pub(crate) therapist: therapist::Model,
    /// Those verified.
    credentials: Vec<credential::Model>,
    /// Those withdrawn, too: whoever is a client may move within one.
    session_types: Vec<session_type::Model>,
    /// If one was saved.
    pub(crate) schedule: Option<Schedule>,
}

impl Listing {
    /// Whether the therapist is verified today (D1); one who is not cannot be booked, and is not there.
    pub(crate) fn licensed(&self, now: DateTime<Utc>) -> bool {
        self.credentials.iter().any(|credential| credential.expires_on >= directory::today(now))
    }

    pub(crate) fn session_type(&self, id: SessionTypeId) -> Option<&session_type::Model> {
        self.session_types.iter().find(|session_type| session_type.id == id)
    }

    pub(crate) async fn load(app: &App, db: &impl ConnectionTrait, id: TherapistId) -> Result<Self, Error> {
        // The row with the revision first: what is read after it can only be newer, and then is not taken for it.
        let therapist =
            therapist::Entity::find_by_id(id).one(db).await?.ok_or(Error::NotFound("therapist"))?;
        let credentials = credential::Entity::find()
            .filter(credential::COLUMN.therapist_id.eq(id))
            .filter(credential::COLUMN.verified.eq(true))
            .all(db)
            .await?;
        let session_types =
            session_type::Entity::find().filter(session_type::COLUMN.therapist_id.eq(id)).all(db).await?;
        let schedule = availability::schedule(app, db, id).await?;
        Ok(Self { therapist, credentials, session_types, schedule })
    }
}

/// The listings of everybody who was booked lately.
#[derive(Default)]
pub struct Listings(RwLock<HashMap<TherapistId, Arc<Listing>>>);

impl Listings {
    /// The listing at the revision of a therapist whose time `tx` has locked.
    pub(crate) async fn at(
        &self,
        app: &App,
        tx: &DatabaseTransaction,
        id: TherapistId,
        revision: i64,
    ) -> Result<Arc<Listing>, Error> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        if let Some(kept) = kept.filter(|kept| kept.therapist.revision == revision) {
            return Ok(kept);
        }
        let loaded = Arc::new(Listing::load(app, tx, id).await?);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, loaded.clone());
        Ok(loaded)
    }
}
