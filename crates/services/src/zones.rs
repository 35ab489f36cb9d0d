//! T6: zone rules change, and with them the instant that an agreed hour is.
//!
//! Whoever has newer rules than the bookings to come were checked against checks them, one server at a time. The claim is
//! renewed with every page that is read, and then with every booking, each a transaction of its own that looks again: a
//! server that dies in between, or is so slow that another took over, leaves whole bookings behind it and the others to
//! be found.

use std::{collections::HashSet, pin::pin, time::Duration};

use calendar::Rules;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};
use store::{
    BookingId, Instant, booking, zone_change,
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
    /// Bookings that could not be read, or whose zone the rules do not know; they are looked at again with the next
    /// check.
    pub failed: u32,
}

/// What rules mean for the bookings to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that do not stand where their hour is, in an order in which none has to wait for another of the same clock:
    /// those that move later from the last on, and then those that move earlier from the first.
    pub displaced: Vec<Displaced>,
    /// Those of which nobody can tell where their hour is, by where they stand.
    pub unknown: Vec<Unknown>,
}

/// A booking on the clock of a zone that the rules do not know, or whose hour was not written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Which booking.
    pub booking_id: BookingId,
    /// The zone whose clock the hour was agreed on.
    pub time_zone: String,
    /// Where it stands.
    pub start: DateTime<Utc>,
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
    let mut scan = Scan::default();
    while scan.page(app.db.read(), &app.rules, now).await? {
        renew(app, claim).await?;
    }
    let Found { displaced, unknown } = scan.ended();
    if !unknown.is_empty() {
        let bookings = unknown.len();
        tracing::warn!(
            version = app.rules.version(),
            bookings,
            "bookings stand at hours that nobody can tell: of unknown zones, or not written down"
        );
    }
    let failed = u32::try_from(unknown.len()).unwrap_or(u32::MAX);
    let mut checked = Checked { failed, ..Checked::default() };
    let mut left: HashSet<BookingId> = unknown.into_iter().map(|one| one.booking_id).collect();
    let mut waiting: Vec<BookingId> = displaced.into_iter().map(|one| one.booking_id).collect();
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
                Err(error) => {
                    pass_over(app, claim, error).await?;
                    checked.failed += 1;
                    left.insert(id);
                }
            }
        }
        progress = checked.moved > before;
        waiting = in_the_way;
    }
    for id in waiting {
        match leave(app, claim, id, app.clock.now()).await {
            Ok(true) => checked.undecided += 1,
            Ok(false) => continue,
            Err(error) => {
                pass_over(app, claim, error).await?;
                checked.failed += 1;
            }
        }
        left.insert(id);
    }
    finish(app, claim, &left).await?;
    let Checked { moved, undecided, failed } = checked;
    if checked != Checked::default() {
        tracing::info!(version = app.rules.version(), moved, undecided, failed, "zone rules moved bookings");
    }
    Ok(Some(checked))
}

/// What `rules` mean for the bookings to come.
pub async fn preview(db: &impl ConnectionTrait, rules: &Rules, now: DateTime<Utc>) -> Result<Found, Error> {
    let mut scan = Scan::default();
    while scan.page(db, rules, now).await? {}
    Ok(scan.ended())
}

/// A look at every booking to come, by where they stand.
#[derive(Default)]
struct Scan {
    found: Found,
    /// Where the last page ended.
    after: Option<(Instant, BookingId)>,
}

impl Scan {
    /// Reads a page; whether there may be another.
    async fn page(
        &mut self,
        db: &impl ConnectionTrait,
        rules: &Rules,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let page = booking::Entity::anchored(now, self.after, PAGE as u64).all(db).await?;
        let full = page.len() == PAGE;
        self.after = page.last().map(|last| (last.starts_at, last.id));
        for booking::Anchored { id: booking_id, starts_at, local_start, time_zone } in page {
            let start = starts_at.into();
            let local = NaiveDateTime::parse_from_str(&local_start, LOCAL_START).ok();
            let Some((zone, local)) = rules.zone(&time_zone).zip(local) else {
                self.found.unknown.push(Unknown { booking_id, time_zone, start });
                continue;
            };
            if let Some(new_start) = zone.reanchored(start, local) {
                self.found.displaced.push(Displaced { booking_id, time_zone, old_start: start, new_start });
            }
        }
        Ok(full)
    }

    fn ended(self) -> Found {
        let Found { displaced, unknown } = self.found;
        let (mut later, earlier): (Vec<_>, Vec<_>) =
            displaced.into_iter().partition(|one| one.new_start > one.old_start);
        later.reverse();
        Found { displaced: later.into_iter().chain(earlier).collect(), unknown }
    }
}

/// Between looks whether something is due, which costs one row.
const PAUSE: Duration = Duration::from_secs(10);
/// Bookings are checked again under the same rules: a server with older ones may have made some meanwhile, and what was
/// in the way of another may be gone.
const EVERY: TimeDelta = TimeDelta::hours(1);
/// How many bookings are read at once, or forgotten.
const PAGE: usize = 1_000;

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

/// Holds the claim for longer. If it is lost, or the database, the check ends.
async fn renew(app: &App, claim: Uuid) -> Result<(), Error> {
    let tx = app.db.write().await?;
    if !zone_check::Entity::renew(&tx, claim, app.clock.now()).await? {
        return Err(Error::Interrupted);
    }
    tx.commit().await?;
    Ok(())
}

/// One booking that cannot be read must not keep the others from being moved.
async fn pass_over(app: &App, claim: Uuid, error: Error) -> Result<(), Error> {
    renew(app, claim).await?;
    tracing::error!(error = &error as &dyn std::error::Error, "a booking was not checked against zone rules");
    Ok(())
}

/// Forgets what was undecided and is not `left` so, and says that all was checked.
async fn finish(app: &App, claim: Uuid, left: &HashSet<BookingId>) -> Result<(), Error> {
    let tx = app.db.write().await?;
    let mut decided: Vec<BookingId> = zone_change::Entity::find()
        .select_only()
        .column(zone_change::Column::BookingId)
        .filter(zone_change::COLUMN.outcome.eq(Outcome::Undecided))
        .into_tuple()
        .all(&tx)
        .await?;
    decided.retain(|id| !left.contains(id));
    // However many there are, a statement takes so many parameters and no more.
    for some in decided.chunks(PAGE) {
        let these = zone_change::COLUMN.booking_id.is_in(some.iter().copied());
        zone_change::Entity::delete_many().filter(these).exec(&tx).await?;
    }
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
