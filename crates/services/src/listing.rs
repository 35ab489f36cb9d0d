//! What can be booked with a therapist, kept in memory from one call to the next.
//!
//! The database raises a therapist's revision with every change, so that a call that has locked the therapist's time
//! and finds the revision of what is kept may trust it, and loads it anew otherwise.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use calendar::Schedule;
use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use store::{SessionTypeId, Tags, TherapistId, credential, session_type, therapist};

use crate::{
    App, availability,
    directory::{self, by_therapist},
    error::Error,
    exclusions,
};

/// One therapist, as of one revision.
pub(crate) struct Listing {
    pub(crate) therapist: therapist::Model,
    /// Those verified, by id.
    pub(crate) credentials: Vec<credential::Model>,
    /// By id; those withdrawn, too: whoever is a client may move within one.
    pub(crate) session_types: Vec<session_type::Model>,
    /// If one was saved.
    pub(crate) schedule: Option<Schedule>,
    /// Where the therapist may be met (D5).
    pub(crate) exclusion_tags: Tags,
}

impl Listing {
    /// Whether the therapist is verified today (D1); one who is not cannot be booked, and is not there.
    pub(crate) fn licensed(&self, now: DateTime<Utc>) -> bool {
        self.credentials.iter().any(|credential| credential.expires_on >= directory::today(now))
    }

    pub(crate) fn session_type(&self, id: SessionTypeId) -> Option<&session_type::Model> {
        self.session_types.iter().find(|session_type| session_type.id == id)
    }

    /// What can be booked by somebody new.
    pub(crate) fn offered(&self) -> impl Iterator<Item = &session_type::Model> {
        self.session_types.iter().filter(|session_type| !session_type.withdrawn)
    }

    /// Those of `ids` that there are, in a few statements.
    pub(crate) async fn load(
        app: &App,
        db: &impl ConnectionTrait,
        ids: &[TherapistId],
    ) -> Result<Vec<Self>, Error> {
        // The rows with the revisions first: what is read after them can only be newer, and then is not taken for it.
        let among = || ids.iter().copied();
        let therapists =
            therapist::Entity::find().filter(therapist::Column::Id.is_in(among())).all(db).await?;
        let credentials = credential::Entity::find()
            .filter(credential::Column::TherapistId.is_in(among()))
            .filter(credential::COLUMN.verified.eq(true))
            .order_by_asc(credential::Column::Id)
            .all(db)
            .await?;
        let session_types = session_type::Entity::find()
            .filter(session_type::Column::TherapistId.is_in(among()))
            .order_by_asc(session_type::Column::Id)
            .all(db)
            .await?;
        let mut schedules = availability::schedules(app, db, ids).await?;
        let mut credentials = by_therapist(credentials, |credential| credential.therapist_id);
        let mut session_types = by_therapist(session_types, |session_type| session_type.therapist_id);
        let listing = |therapist: therapist::Model| Self {
            credentials: credentials.remove(&therapist.id).unwrap_or_default(),
            session_types: session_types.remove(&therapist.id).unwrap_or_default(),
            schedule: schedules.remove(&therapist.id),
            exclusion_tags: exclusions::of(&app.keyring, &therapist.profile.exclusion_tags),
            therapist,
        };
        Ok(therapists.into_iter().map(listing).collect())
    }
}

/// The listings that are kept.
#[derive(Default)]
pub struct Listings(RwLock<HashMap<TherapistId, Arc<Listing>>>);

impl Listings {
    /// The listing at the revision of a therapist that `db` has just seen: whoever has locked the therapist's time knows
    /// that it is in force.
    pub(crate) async fn at(
        &self,
        app: &App,
        db: &impl ConnectionTrait,
        id: TherapistId,
        revision: i64,
    ) -> Result<Arc<Listing>, Error> {
        if let Some(kept) = self.get(id).filter(|kept| kept.therapist.revision == revision) {
            return Ok(kept);
        }
        let loaded = Listing::load(app, db, &[id]).await?.pop().ok_or(Error::NotFound("therapist"))?;
        let loaded = Arc::new(loaded);
        self.keep(loaded.clone());
        Ok(loaded)
    }

    /// What is kept of a therapist; it may be a moment old.
    pub(crate) fn get(&self, id: TherapistId) -> Option<Arc<Listing>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Keeps a listing, unless what is kept is newer.
    pub(crate) fn keep(&self, listing: Arc<Listing>) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let newer = |before: &Arc<Listing>| before.therapist.revision > listing.therapist.revision;
        if !kept.get(&listing.therapist.id).is_some_and(newer) {
            kept.insert(listing.therapist.id, listing);
        }
    }

    /// Forgets whoever is not among `known`.
    pub(crate) fn retain(&self, known: &HashSet<TherapistId>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| known.contains(id));
    }

    pub(crate) fn forget(&self, id: TherapistId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}
