//! T6: zone rules change, and with them the instant that an agreed hour is.
//!
//! Whoever has newer rules than the bookings to come were checked against checks them, one server at a time. Each
//! booking is a transaction of its own that looks again and renews the claim: a server that dies in between, or is so
//! slow that another took over, leaves whole bookings behind it and the others to be found.

use std::{pin::pin, time::Duration};

use calendar::Rules;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use store::{
    BookingId, booking, zone_change,
    zone_change::Outcome,
    zone_check::{self, Model as Check},
};
use uuid::Uuid;

use crate::{
    App,
    booking::{LOCAL_START, Reanchored, leave, reanchor},
    error::Error,
};

/// What a check did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Bookings that were moved to where their hour is now.
    pub moved: u32,
    /// Bookings that could not be, and are to be decided by people.
    pub undecided: u32,
    /// Bookings that could not be read; they are looked at again with the next check.
    pub failed: u32,
}

/// A booking that does not stand where its hour is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// Which booking.
    pub booking_id: BookingId,
    /// The zone whose clock the hour was agreed on.
    pub time_zone: String,
    /// Where it stands.
    pub old_start: DateTime<Utc>,
    /// Where its hour is.
    pub new_start: DateTime<Utc>,
}

/// Checks when there is something to be checked, until `stop`; what is under way then ends between two bookings.
pub async fn run(app: App, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let mut failing = false;
    loop {
        let checked = tokio::select! {
            biased;
            () = &mut stop => return,
            checked = check(&app) => checked,
        };
        match checked {
            Ok(_) => failing = false,
            // An outage is told when it begins, not at every look.
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "bookings are not checked against zone rules");
                }
            }
        }
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Checks every booking to come, if that is due and nobody else is at it.
pub async fn check(app: &App) -> Result<Option<Checked>, Error> {
    let now = app.clock.now();
    let (last, claim) = (zone_check::Entity::last(app.db.read()).await?, Uuid::new_v4());
    if !due(&last, app.rules.version(), now) || !take(app, &last, claim, now).await? {
        return Ok(None);
    }
    let mut checked = Checked::default();
    let mut waiting: Vec<BookingId> =
        displaced(app.db.read(), &app.rules, now).await?.into_iter().map(|one| one.booking_id).collect();
    // One that moved may have been in the way of another.
    let mut progress = true;
    while progress && !waiting.is_empty() {
        let mut in_the_way = Vec::new();
        let before = checked.moved;
        for id in waiting {
            match reanchor(app, claim, id, app.clock.now()).await {
                Ok(Reanchored::Moved) => checked.moved += 1,
                Ok(Reanchored::InTheWay) => in_the_way.push(id),
                Ok(Reanchored::Settled) => {}
                Err(error) => checked.failed += failed(app, claim, error).await?,
            }
        }
        progress = checked.moved > before;
        waiting = in_the_way;
    }
    let mut undecided = Vec::new();
    for id in waiting {
        match leave(app, claim, id, app.clock.now()).await {
            Ok(true) => undecided.push(id),
            Ok(false) => {}
            Err(error) => checked.failed += failed(app, claim, error).await?,
        }
    }
    checked.undecided = u32::try_from(undecided.len()).unwrap_or(u32::MAX);
    finish(app, claim, undecided).await?;
    let Checked { moved, undecided, failed } = checked;
    if checked != Checked::default() {
        tracing::info!(version = app.rules.version(), moved, undecided, failed, "zone rules moved bookings");
    }
    Ok(Some(checked))
}

/// The bookings to come that do not stand where their hour is by `rules`, in an order in which none has to wait for
/// another of the same clock: those that move later from the last on, and then those that move earlier from the first.
pub async fn displaced(
    db: &impl ConnectionTrait,
    rules: &Rules,
    now: DateTime<Utc>,
) -> Result<Vec<Displaced>, Error> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = booking::Entity::anchored(now, after, PAGE).all(db).await?;
        after = page.last().map(|last| (last.starts_at, last.id));
        let full = page.len() as u64 == PAGE;
        found.extend(page.into_iter().filter_map(|standing| {
            let old_start = standing.starts_at.into();
            let local = NaiveDateTime::parse_from_str(&standing.local_start, LOCAL_START).ok()?;
            let new_start = rules.zone(&standing.time_zone)?.reanchored(old_start, local)?;
            let booking::Anchored { id: booking_id, time_zone, .. } = standing;
            Some(Displaced { booking_id, time_zone, old_start, new_start })
        }));
        if !full {
            break;
        }
    }
    let (mut later, earlier): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|one| one.new_start > one.old_start);
    later.reverse();
    Ok(later.into_iter().chain(earlier).collect())
}

/// Between looks whether something is due, which costs one row.
const PAUSE: Duration = Duration::from_secs(10);
/// Bookings are checked again under the same rules: a server with older ones may have made some meanwhile, and what was
/// in the way of another may be gone.
const EVERY: TimeDelta = TimeDelta::hours(1);
/// How many bookings are read at once.
const PAGE: u64 = 1_000;

/// Older rules than those of the last check move nothing back.
fn due(last: &Check, version: &str, now: DateTime<Utc>) -> bool {
    let newer = last.version.as_str() < version;
    let again = last.version == version && last.checked_at <= (now - EVERY).into();
    (newer || again) && last.claimed_until <= now.into()
}

async fn take(app: &App, last: &Check, claim: Uuid, now: DateTime<Utc>) -> Result<bool, Error> {
    let tx = app.db.write().await?;
    let taken = zone_check::Entity::claim(&tx, last, claim, now).await?;
    tx.commit().await?;
    Ok(taken)
}

/// One booking that cannot be read must not keep the others from being moved. If the claim is lost, or the database,
/// the check ends.
async fn failed(app: &App, claim: Uuid, error: Error) -> Result<u32, Error> {
    let tx = app.db.write().await?;
    let ours = zone_check::Entity::renew(&tx, claim, app.clock.now()).await?;
    tx.commit().await?;
    if !ours {
        return Err(error);
    }
    tracing::error!(error = &error as &dyn std::error::Error, "a booking was not checked against zone rules");
    Ok(1)
}

/// Forgets what was undecided and is no longer, and says that all was checked.
async fn finish(app: &App, claim: Uuid, undecided: Vec<BookingId>) -> Result<(), Error> {
    let tx = app.db.write().await?;
    zone_change::Entity::delete_many()
        .filter(zone_change::COLUMN.outcome.eq(Outcome::Undecided))
        .filter(zone_change::COLUMN.booking_id.is_not_in(undecided))
        .exec(&tx)
        .await?;
    if !zone_check::Entity::finish(&tx, claim, app.rules.version(), app.clock.now()).await? {
        return Err(Error::Interrupted);
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t6_newer_rules_check_at_once_and_older_ones_never() {
        let now: DateTime<Utc> = "2026-11-25T12:00:00Z".parse().unwrap();
        for (version, minutes, claimed, ours, expected) in [
            ("", 0, 0, "2026b", true),
            ("2026b", 1, 0, "2026c", true),
            ("2026b", 59, 0, "2026b", false),
            ("2026b", 60, 0, "2026b", true),
            ("2026c", 600, 0, "2026b", false),
            // Somebody is at it.
            ("2026b", 1, 5, "2026c", false),
            ("2026b", 60, 5, "2026b", false),
        ] {
            let last = Check {
                id: 1,
                version: version.to_owned(),
                checked_at: (now - TimeDelta::minutes(minutes)).into(),
                claimed_by: None,
                claimed_until: (now + TimeDelta::seconds(claimed)).into(),
            };
            assert_eq!(due(&last, ours, now), expected, "{version} {minutes} {claimed} {ours}");
        }
    }
}
