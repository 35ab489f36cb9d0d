//! A key is published, for one programme and one period, for everybody to see; or revoked.

use api::v1;
use chrono::{DateTime, Utc};
use pass::{KeyId, KeyRecord, KeyState, LogError, PublicKey, Schedule, TokenChallenge};
use sea_orm::DatabaseTransaction;
use store::ProgrammeId;

use super::{
    log::{DAMAGED, append, position},
    period::Period,
};
use crate::{App, error::Error, field};

/// A key, and what it is for.
pub(super) struct Wanted {
    key: PublicKey,
    period: Period,
}

impl Wanted {
    pub(super) fn parse(request: &v1::CreateProgrammeKeyRequest) -> Result<Self, Error> {
        let v1::CreateProgrammeKeyRequest { request_id: _, public_key, first_date, last_date } = request;
        if public_key.is_empty() {
            return Err(field::required("public_key"));
        }
        let key = PublicKey::try_from(&public_key[..]).map_err(|_| {
            field::malformed("public_key", "the SubjectPublicKeyInfo of an RSASSA-PSS key of RFC 9578")
        })?;
        let date = |date, path: &str| field::date(field::given(date, path)?, path);
        let (first, last) = (date(*first_date, "first_date")?, date(*last_date, "last_date")?);
        let period = Period::new(first, last);
        let period =
            period.ok_or_else(|| field::out_of_range("last_date", "27 to 365 days after the first"))?;
        Ok(Self { key, period })
    }
}

pub(super) async fn publish(
    app: &App,
    tx: &DatabaseTransaction,
    programme: ProgrammeId,
    wanted: Wanted,
    now: DateTime<Utc>,
) -> Result<v1::ProgrammeKey, Error> {
    let Wanted { key, period } = wanted;
    let key_id = key.id();
    let mut directory = pass::Directory::clone(&*app.keys.current(tx).await?);
    let id = pass::ProgrammeId(programme.0.into_bytes());
    // One that was revoked is replaced for the same days, so that each day is still in one period.
    let in_the_way = |other: &KeyRecord| {
        let replaced = other.state(now.timestamp()) == KeyState::Retired;
        Period::of(other).is_some_and(|days| days.overlaps(period) && !(replaced && days == period))
    };
    if directory.records().any(|record| record.programme == id && in_the_way(record)) {
        return Err(Error::PeriodsOverlap);
    }
    let schedule = period.schedule(now);
    let record = KeyRecord {
        programme: id,
        period: pass::Period::new(period.name()).map_err(|_| DAMAGED)?,
        // The same for every pass of the programme on this server: it tells nobody apart.
        challenge: TokenChallenge::new(programme.to_string(), &*app.settings.audience)
            .map_err(|_| DAMAGED)?,
        schedule,
        key,
    };
    let position = position(&directory)?;
    let entry = directory.publish(&record).map_err(|error| match error {
        LogError::Schedule => Error::PeriodOver,
        LogError::Listed { .. } => Error::KeyListed,
        LogError::TwoActive | LogError::ThreeLive => Error::PeriodsOverlap,
        LogError::Wire(_)
        | LogError::Key(_)
        | LogError::Chain { .. }
        | LogError::Forked { .. }
        | LogError::NotLive { .. } => DAMAGED,
    })?;
    append(tx, position, entry).await?;
    let Schedule { published: _, active_from, grace_from, retired_from } = schedule;
    let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    Ok(v1::ProgrammeKey {
        key_id: key_id.as_bytes().to_vec(),
        programme_id: programme.to_string(),
        first_date: Some(field::to_date(period.first())),
        last_date: Some(field::to_date(period.last())),
        active_time: time(active_from),
        grace_time: time(grace_from),
        retire_time: time(retired_from),
    })
}

/// Retires a key of the programme at once.
pub(super) async fn revoke(
    app: &App,
    tx: &DatabaseTransaction,
    programme: ProgrammeId,
    key_id: &[u8],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if key_id.is_empty() {
        return Err(field::required("key_id"));
    }
    let key_id: [u8; 32] =
        key_id.try_into().map_err(|_| field::malformed("key_id", "the 32 bytes of a SHA-256"))?;
    let key_id = KeyId::from(key_id);
    let mut directory = pass::Directory::clone(&*app.keys.current(tx).await?);
    let position = position(&directory)?;
    let own = directory.record(key_id).is_some_and(|record| record.programme.0 == programme.0.into_bytes());
    let entry = own.then(|| directory.revoke(key_id, now.timestamp())).and_then(Result::ok);
    append(tx, position, entry.ok_or(Error::NotFound("key"))?).await
}
