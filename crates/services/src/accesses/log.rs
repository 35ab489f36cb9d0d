//! The worker's own log. It is one sealed value of one length, so that whoever has the database sees neither what was
//! opened, nor how often, nor when somebody signed in.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait};
use serde::{Deserialize, Serialize};
use store::{AliasId, BookingId, access_log, emergency_access::Reason};
use uuid::Uuid;

use super::emergency::print_reason;
use crate::{App, error::Error, field, sealed::Safe};

/// How long it tells of something.
const KEPT: TimeDelta = TimeDelta::days(366);
/// How much it tells of what each kind of caller did, so that nobody can fill it to hide what another did. All of it
/// fits what it is padded to.
const MOST: [(v1::CallerKind, usize); 3] =
    [(v1::CallerKind::Alias, 30), (v1::CallerKind::Therapist, 40), (v1::CallerKind::Operator, 15)];

/// One thing that was done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// When, in seconds since 1970.
    at: i64,
    #[serde(flatten)]
    pub(crate) what: What,
}

impl Access {
    pub(crate) fn at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.at, 0).unwrap_or_default()
    }
}

/// What was done; who did it follows.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub(crate) enum What {
    SignIn,
    Export,
    JoinSession { booking: Uuid },
    ReadIntake { booking: Uuid },
    RequestEmergencyAccess { id: Uuid, booking: Uuid, reason: Reason },
    ApproveEmergencyAccess { id: Uuid, booking: Uuid, reason: Reason },
    ReadEmergencyContact { id: Uuid, booking: Uuid, reason: Reason },
}

impl What {
    pub(crate) fn join_session(booking: BookingId) -> Self {
        Self::JoinSession { booking: booking.0 }
    }

    pub(crate) fn read_intake(booking: BookingId) -> Self {
        Self::ReadIntake { booking: booking.0 }
    }

    fn caller(&self) -> v1::CallerKind {
        match self {
            Self::SignIn | Self::Export => v1::CallerKind::Alias,
            Self::JoinSession { .. } | Self::ReadIntake { .. } => v1::CallerKind::Therapist,
            Self::RequestEmergencyAccess { .. }
            | Self::ApproveEmergencyAccess { .. }
            | Self::ReadEmergencyContact { .. } => v1::CallerKind::Operator,
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
    log.push(Access { at: now.timestamp(), what });
    forget(&mut log, now);
    let row = access_log::Model { alias_id: safe.alias(), sealed: safe.seal_access_log(&log)? };
    Ok(access_log::Entity::put(tx, row).await?)
}

/// Adds what is told the first time alone, before it is done. Of an alias that is gone there is nobody to tell.
pub(crate) async fn record_first(
    app: &App,
    alias: AliasId,
    what: What,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let known = |log: &[Access]| log.iter().any(|access| access.what == what);
    let db = app.db.read();
    match Safe::open(app, db, alias).await {
        Ok(safe) if known(&kept(db, &safe).await?) => return Ok(()),
        Ok(_) => {}
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    }
    let tx = app.db.write().await?;
    let Some(safe) = Safe::lock(app, &tx, alias).await? else { return Ok(()) };
    if !known(&kept(&tx, &safe).await?) {
        record(&tx, &safe, what, now).await?;
    }
    Ok(tx.commit().await?)
}

pub(super) fn print(access: &Access) -> v1::Access {
    use v1::AccessAction as A;
    let what = access.what;
    let (action, booking, by) = match what {
        What::SignIn => (A::SignIn, None, None),
        What::Export => (A::Export, None, None),
        What::JoinSession { booking } => (A::JoinSession, Some(booking), None),
        What::ReadIntake { booking } => (A::ReadIntake, Some(booking), None),
        What::RequestEmergencyAccess { id, booking, reason } => {
            (A::RequestEmergencyAccess, Some(booking), Some((id, reason)))
        }
        What::ApproveEmergencyAccess { id, booking, reason } => {
            (A::ApproveEmergencyAccess, Some(booking), Some((id, reason)))
        }
        What::ReadEmergencyContact { id, booking, reason } => {
            (A::ReadEmergencyContact, Some(booking), Some((id, reason)))
        }
    };
    let reason = by.map_or(v1::EmergencyReason::Unspecified, |(_, reason)| print_reason(reason));
    v1::Access {
        create_time: Some(field::timestamp(access.at())),
        caller: what.caller().into(),
        action: action.into(),
        booking_id: booking.map(|id| id.to_string()).unwrap_or_default(),
        emergency_access_id: by.map(|(id, _)| id.to_string()).unwrap_or_default(),
        reason: reason.into(),
    }
}

async fn kept(db: &impl ConnectionTrait, safe: &Safe) -> Result<Vec<Access>, Error> {
    let row = access_log::Entity::find_by_id(safe.alias()).one(db).await?;
    row.map_or(Ok(Vec::new()), |row| safe.unseal_access_log(&row.sealed))
}

/// Drops what is too old, and the oldest of what is too much.
fn forget(log: &mut Vec<Access>, now: DateTime<Utc>) {
    let since = (now - KEPT).timestamp();
    log.retain(|access| access.at > since);
    for (caller, most) in MOST {
        let theirs = |access: &Access| access.what.caller() == caller;
        let mut excess = log.iter().filter(|access| theirs(access)).count().saturating_sub(most);
        log.retain(|access| {
            let dropped = excess > 0 && theirs(access);
            excess -= usize::from(dropped);
            !dropped
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(at: i64, what: What) -> Access {
        Access { at, what }
    }

    fn longest(caller: v1::CallerKind) -> What {
        let (id, booking, reason) = (Uuid::nil(), Uuid::nil(), Reason::DangerToOthers);
        match caller {
            v1::CallerKind::Alias => What::SignIn,
            v1::CallerKind::Therapist => What::JoinSession { booking },
            _ => What::ApproveEmergencyAccess { id, booking, reason },
        }
    }

    #[test]
    fn nobody_fills_it_to_hide_what_another_did() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (caller, most) in MOST {
            let mut log: Vec<_> =
                MOST.iter().map(|(other, _)| access(now.timestamp() - 9, longest(*other))).collect();
            log.extend((0..1_000).map(|second| access(now.timestamp() + second, longest(caller))));
            forget(&mut log, now);
            assert_eq!(log.len(), MOST.len() - 1 + most);
            assert!(log[..MOST.len() - 1].iter().all(|other| other.what.caller() != caller));
            assert_eq!(log.last().map(|last| last.at), Some(now.timestamp() + 999));
        }
    }

    #[test]
    fn a_full_log_is_as_long_as_an_empty_one() {
        let entries =
            MOST.iter().flat_map(|&(caller, most)| vec![access(i64::from(i32::MAX), longest(caller)); most]);
        let log: Vec<_> = entries.collect();
        assert!(serde_json::to_vec(&log).unwrap().len() + 8 <= 8192);
    }

    #[test]
    fn it_tells_of_a_year() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let since = (now - KEPT).timestamp();
        let mut log = vec![access(since, What::SignIn), access(since + 1, What::Export)];
        forget(&mut log, now);
        assert!(log == [access(since + 1, What::Export)]);
    }
}
