//! Programmes made and read.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, sea_query::LockType,
};
use store::{List, Modality, Opaque, ProgrammeId, booking, programme};

use crate::{
    App,
    access::{key_in_use, key_taken},
    alias::id_token,
    directory::signing_key,
    error::Error,
    field,
};

/// How many lengths of a session a programme names at most.
const DURATIONS: usize = 20;

/// What a programme pays for.
pub(super) struct Terms {
    pub(super) programme: ProgrammeId,
    /// Minutes; any if there are none.
    durations: Vec<i32>,
    modalities: Vec<Modality>,
}

impl Terms {
    pub(super) fn of(programme: programme::Model) -> Self {
        let programme::Model { id, durations, modalities, .. } = programme;
        Self { programme: id, durations: durations.0, modalities: modalities.0 }
    }

    pub(super) fn cover(&self, booking: &booking::Model) -> bool {
        let (start, end) = (DateTime::<Utc>::from(booking.starts_at), DateTime::<Utc>::from(booking.ends_at));
        let lasts = |&minutes: &i32| end - start == TimeDelta::minutes(minutes.into());
        (self.durations.is_empty() || self.durations.iter().any(lasts))
            && (self.modalities.is_empty() || self.modalities.contains(&booking.modality))
    }
}

/// The row of a programme to be.
pub(crate) fn parse(programme: Option<v1::Programme>, public_key: &[u8]) -> Result<programme::Model, Error> {
    let v1::Programme {
        id: _,
        display_name,
        sessions_per_period,
        durations,
        modalities,
        late_cancellation_costs,
        eligible_workers,
    } = field::given(programme, "programme")?;
    let duration = |duration, path: &str| {
        let minutes = i32::try_from(field::minutes(Some(duration), path)?.num_minutes()).ok();
        let minutes = minutes.filter(|minutes| (5..=480).contains(minutes));
        minutes.ok_or_else(|| field::out_of_range(path, "5 minutes to 8 hours"))
    };
    if !(1..=pass::Period::MOST_PASSES.cast_signed()).contains(&sessions_per_period) {
        return Err(field::out_of_range("programme.sessions_per_period", "1 to 100"));
    }
    if eligible_workers < 0 {
        return Err(field::out_of_range("programme.eligible_workers", "0 or more"));
    }
    Ok(programme::Model {
        id: ProgrammeId::random(),
        public_key: signing_key(public_key, "public_key")?,
        display_name: field::line(display_name, 100, "programme.display_name")?,
        sessions_per_period,
        durations: List(field::list(durations, DURATIONS, "programme.durations", duration)?),
        modalities: List(field::list(modalities, 3, "programme.modalities", field::modality)?),
        late_cancellation_costs,
        eligible_workers,
    })
}

pub(crate) async fn create(
    tx: &DatabaseTransaction,
    programme: programme::Model,
) -> Result<v1::Programme, Error> {
    if key_in_use(tx, &programme.public_key).await? {
        return Err(Error::KeyInUse);
    }
    programme::Entity::insert(programme.clone().into_active_model())
        .exec_without_returning(tx)
        .await
        .map_err(key_taken)?;
    Ok(show(programme))
}

/// Whoever has the new key manages the programme from now on. The old one signs nobody in, neither anew nor still, and
/// neither does a name at the identity provider.
pub(crate) async fn replace_key(
    tx: &DatabaseTransaction,
    id: ProgrammeId,
    public_key: Opaque,
) -> Result<v1::Programme, Error> {
    // Locked as for a login: of one that is under way, the token is there to be deleted or is never made.
    let row = programme::Entity::find_by_id(id).lock(LockType::NoKeyUpdate).one(tx).await?;
    let mut row = row.ok_or(Error::NotFound("programme"))?;
    if key_in_use(tx, &public_key).await? {
        return Err(Error::KeyInUse);
    }
    row.public_key = public_key;
    let changed = row.clone().into_active_model().reset_all().update(tx).await;
    changed.map_err(key_taken)?;
    id_token::sign_out(tx, id.0).await?;
    Ok(show(row))
}

/// The programme.
pub(crate) async fn get(app: &App, id: ProgrammeId) -> Result<v1::Programme, Error> {
    let row = programme::Entity::find_by_id(id).one(app.db.read()).await?;
    row.map(show).ok_or(Error::NotFound("programme"))
}

/// Up to `limit` programmes by id, from the one after `after` on.
pub(crate) async fn list(
    app: &App,
    after: Option<ProgrammeId>,
    limit: u64,
) -> Result<Vec<v1::Programme>, Error> {
    let mut query = programme::Entity::find().order_by_asc(programme::Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(programme::COLUMN.id.gt(after));
    }
    Ok(query.all(app.db.read()).await?.into_iter().map(show).collect())
}

fn show(programme: programme::Model) -> v1::Programme {
    let programme::Model {
        id,
        public_key: _,
        display_name,
        sessions_per_period,
        durations,
        modalities,
        late_cancellation_costs,
        eligible_workers,
    } = programme;
    let duration = |minutes: i32| field::duration(TimeDelta::minutes(minutes.into()));
    v1::Programme {
        id: id.to_string(),
        display_name,
        sessions_per_period,
        durations: durations.0.into_iter().map(duration).collect(),
        modalities: modalities.0.into_iter().map(|modality| field::to_modality(modality).into()).collect(),
        late_cancellation_costs,
        eligible_workers,
    }
}
