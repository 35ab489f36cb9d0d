//! The worker's own log. It is one sealed value of one length, so that whoever has the database sees neither what was
//! opened, nor how often, nor when somebody signed in.

use std::collections::HashSet;

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait};
use serde::{Deserialize, Serialize};
use store::{AliasId, BookingId, EmergencyAccessId, access_log};
use uuid::Uuid;

use crate::{App, error::Error, field, sealed::Safe};

/// How long it tells of something.
const KEPT: TimeDelta = TimeDelta::days(366);
/// Of how much of each it tells, the latest, so that nobody can do one thing often to hide that they did another. All of
/// it fits what it is padded to.
const MOST: [(Did, usize); 7] = [
    (Did::SignIn, 30),
    (Did::Export, 10),
    (Did::JoinSession, 18),
    (Did::ReadIntake, 18),
    (Did::RequestEmergencyAccess, 15),
    (Did::ApproveEmergencyAccess, 15),
    (Did::ReadEmergencyContact, 15),
];

/// One thing that was done: when, in seconds since 1970, what, with which booking, and in which emergency. It is kept short.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access(i64, What);

/// What was done, with which booking, and in which emergency.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct What(Did, Option<Uuid>, Option<(Uuid, Option<Reason>)>);

/// What was done; who did it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Did {
    #[serde(rename = "s")]
    SignIn,
    #[serde(rename = "x")]
    Export,
    #[serde(rename = "j")]
    JoinSession,
    #[serde(rename = "i")]
    ReadIntake,
    #[serde(rename = "r")]
    RequestEmergencyAccess,
    #[serde(rename = "a")]
    ApproveEmergencyAccess,
    #[serde(rename = "c")]
    ReadEmergencyContact,
}

/// Why a worker has to be reached. It is written down here alone.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reason {
    #[serde(rename = "s")]
    DangerToSelf,
    #[serde(rename = "o")]
    DangerToOthers,
    #[serde(rename = "m")]
    Medical,
}

impl What {
    pub(crate) const SIGN_IN: Self = Self(Did::SignIn, None, None);
    pub(crate) const EXPORT: Self = Self(Did::Export, None, None);

    pub(crate) fn join_session(booking: BookingId) -> Self {
        Self(Did::JoinSession, Some(booking.0), None)
    }

    pub(crate) fn read_intake(booking: BookingId) -> Self {
        Self(Did::ReadIntake, Some(booking.0), None)
    }

    pub(super) fn request(id: EmergencyAccessId, booking: BookingId, reason: Reason) -> Self {
        Self(Did::RequestEmergencyAccess, Some(booking.0), Some((id.0, Some(reason))))
    }

    pub(super) fn approve(id: EmergencyAccessId, booking: BookingId) -> Self {
        Self(Did::ApproveEmergencyAccess, Some(booking.0), Some((id.0, None)))
    }

    pub(super) fn read(id: EmergencyAccessId, booking: BookingId) -> Self {
        Self(Did::ReadEmergencyContact, Some(booking.0), Some((id.0, None)))
    }
}

impl Did {
    fn caller(self) -> v1::CallerKind {
        match self {
            Self::SignIn | Self::Export => v1::CallerKind::Alias,
            Self::JoinSession | Self::ReadIntake => v1::CallerKind::Therapist,
            Self::RequestEmergencyAccess | Self::ApproveEmergencyAccess | Self::ReadEmergencyContact => {
                v1::CallerKind::Operator
            }
        }
    }

    fn print(self) -> v1::AccessAction {
        use v1::AccessAction as A;
        match self {
            Self::SignIn => A::SignIn,
            Self::Export => A::Export,
            Self::JoinSession => A::JoinSession,
            Self::ReadIntake => A::ReadIntake,
            Self::RequestEmergencyAccess => A::RequestEmergencyAccess,
            Self::ApproveEmergencyAccess => A::ApproveEmergencyAccess,
            Self::ReadEmergencyContact => A::ReadEmergencyContact,
        }
    }
}

impl Reason {
    pub(super) fn parse(number: i32) -> Result<Self, Error> {
        match v1::EmergencyReason::try_from(number) {
            Ok(v1::EmergencyReason::DangerToSelf) => Ok(Self::DangerToSelf),
            Ok(v1::EmergencyReason::DangerToOthers) => Ok(Self::DangerToOthers),
            Ok(v1::EmergencyReason::Medical) => Ok(Self::Medical),
            Ok(v1::EmergencyReason::Unspecified) => Err(field::required("reason")),
            Err(_) => Err(field::malformed("reason", "a reason of an emergency")),
        }
    }

    fn print(self) -> v1::EmergencyReason {
        match self {
            Self::DangerToSelf => v1::EmergencyReason::DangerToSelf,
            Self::DangerToOthers => v1::EmergencyReason::DangerToOthers,
            Self::Medical => v1::EmergencyReason::Medical,
        }
    }
}

impl Access {
    /// As its holder is told.
    pub(crate) fn print(&self) -> v1::Access {
        let &Self(at, What(did, booking, emergency)) = self;
        let reason = emergency.and_then(|(_, reason)| reason);
        v1::Access {
            create_time: DateTime::from_timestamp(at, 0).map(field::timestamp),
            caller: did.caller().into(),
            action: did.print().into(),
            booking_id: booking.map(|id| id.to_string()).unwrap_or_default(),
            emergency_access_id: emergency.map(|(id, _)| id.to_string()).unwrap_or_default(),
            reason: reason.map_or(v1::EmergencyReason::Unspecified, Reason::print).into(),
        }
    }
}

/// What is told of at `now`, the oldest first.
pub(crate) async fn read(
    db: &impl ConnectionTrait,
    safe: &Safe,
    now: DateTime<Utc>,
) -> Result<Vec<Access>, Error> {
    let mut log = kept(db, safe).await?;
    forget(&mut log, now);
    Ok(log)
}

/// Adds to the log of an alias whose row this transaction has locked.
pub(crate) async fn record(
    tx: &DatabaseTransaction,
    safe: &Safe,
    what: What,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut log = kept(tx, safe).await?;
    log.push(Access(now.timestamp(), what));
    forget(&mut log, now);
    put(tx, safe, &log).await
}

/// Adds what is told the first time alone, before it is done, and opens what is sealed for the alias; nothing of one that
/// is gone.
pub(crate) async fn record_first(
    app: &App,
    alias: AliasId,
    what: What,
    now: DateTime<Utc>,
) -> Result<Option<Safe>, Error> {
    let known = |log: &[Access]| log.iter().any(|Access(_, before)| *before == what);
    let db = app.db.read();
    match Safe::open(app, db, alias).await {
        Ok(safe) if known(&kept(db, &safe).await?) => return Ok(Some(safe)),
        Ok(_) => {}
        Err(Error::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    }
    let tx = app.db.write().await?;
    let Some(safe) = Safe::lock(app, &tx, alias).await? else { return Ok(None) };
    if !known(&kept(&tx, &safe).await?) {
        record(&tx, &safe, what, now).await?;
    }
    tx.commit().await?;
    Ok(Some(safe))
}

/// Lets go of these bookings, whose it is not to be told any more that they were the alias's, and of what is too old.
pub(crate) async fn forget_bookings(
    app: &App,
    alias: AliasId,
    bookings: &HashSet<BookingId>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tx = app.db.write().await?;
    let Some(safe) = Safe::lock(app, &tx, alias).await? else { return Ok(()) };
    let before = kept(&tx, &safe).await?;
    let mut log = before.clone();
    for Access(_, What(_, booking, _)) in &mut log {
        booking.take_if(|id| bookings.contains(&BookingId(*id)));
    }
    forget(&mut log, now);
    if log != before {
        put(&tx, &safe, &log).await?;
    }
    Ok(tx.commit().await?)
}

async fn put(tx: &DatabaseTransaction, safe: &Safe, log: &[Access]) -> Result<(), Error> {
    let row = access_log::Model { alias_id: safe.alias(), sealed: safe.seal_access_log(log)? };
    Ok(access_log::Entity::put(tx, row).await?)
}

async fn kept(db: &impl ConnectionTrait, safe: &Safe) -> Result<Vec<Access>, Error> {
    let row = access_log::Entity::find_by_id(safe.alias()).one(db).await?;
    row.map_or(Ok(Vec::new()), |row| safe.unseal_access_log(&row.sealed))
}

/// Drops what is too old, and the oldest of what is too much.
fn forget(log: &mut Vec<Access>, now: DateTime<Utc>) {
    let since = (now - KEPT).timestamp();
    log.retain(|Access(at, _)| *at > since);
    for (action, most) in MOST {
        let such = |Access(_, What(did, ..)): &Access| *did == action;
        let mut excess = log.iter().filter(|access| such(access)).count().saturating_sub(most);
        log.retain(|access| {
            let dropped = excess > 0 && such(access);
            excess -= usize::from(dropped);
            !dropped
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(did: Did) -> What {
        let (id, booking) = (Uuid::nil(), Some(Uuid::nil()));
        match did {
            Did::SignIn | Did::Export => What(did, None, None),
            Did::JoinSession | Did::ReadIntake => What(did, booking, None),
            Did::RequestEmergencyAccess => What(did, booking, Some((id, Some(Reason::DangerToOthers)))),
            Did::ApproveEmergencyAccess | Did::ReadEmergencyContact => What(did, booking, Some((id, None))),
        }
    }

    #[test]
    fn nobody_does_one_thing_often_to_hide_that_they_did_another() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (often, most) in MOST {
            let mut log: Vec<_> =
                MOST.iter().map(|(did, _)| Access(now.timestamp() - 9, longest(*did))).collect();
            log.extend((0..1_000).map(|second| Access(now.timestamp() + second, longest(often))));
            forget(&mut log, now);
            for (did, _) in MOST {
                let left = log.iter().filter(|Access(_, What(other, ..))| *other == did).count();
                assert_eq!(left, if did == often { most } else { 1 }, "{did:?} after {often:?}");
            }
            assert_eq!(log.last().map(|Access(at, _)| *at), Some(now.timestamp() + 999));
        }
    }

    #[test]
    fn a_full_log_is_as_long_as_an_empty_one() {
        let each = |&(did, most): &(Did, usize)| vec![Access(i64::from(u32::MAX), longest(did)); most];
        let log: Vec<_> = MOST.iter().flat_map(each).collect();
        assert!(serde_json::to_vec(&log).unwrap().len() + 8 <= 8192);
    }

    #[test]
    fn it_tells_of_a_year() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let since = (now - KEPT).timestamp();
        let mut log = vec![Access(since, What::SIGN_IN), Access(since + 1, What::EXPORT)];
        forget(&mut log, now);
        assert!(log == [Access(since + 1, What::EXPORT)]);
    }
}
