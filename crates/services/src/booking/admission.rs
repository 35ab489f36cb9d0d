//! T5: whether a session may be held, asked inside the transaction that holds it.

use std::sync::Arc;

use calendar::{Admission, Admitted, Limits, Load, Refusal, Schedule, Span, Zone};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use store::{
    AliasId, BookingId, Tags, TherapistId, booking,
    booking::{Held, Occupied},
    session_type,
};

use super::LOCAL_START;
use crate::{
    App,
    error::Error,
    exclusions,
    listing::Listing,
    sealed::Safe,
    slots::{Asked, RosterUse, Worker},
};

/// A session that is wanted.
pub(super) struct Wanted<'a> {
    pub(super) alias: AliasId,
    /// With whom.
    pub(super) listing: &'a Listing,
    pub(super) session_type: &'a session_type::Model,
    pub(super) start: DateTime<Utc>,
    pub(super) roster_use: &'a RosterUse,
    /// A booking whose own time counts as free (B4).
    pub(super) moving: Option<BookingId>,
}

/// A session that may be held.
pub(super) struct Decided {
    /// Its time.
    pub(super) admitted: Admitted,
    /// The therapist's.
    pub(super) zone: Zone,
    /// How many the alias holds already.
    pub(super) holds: usize,
}

/// Decides, and lets go of expired holds in the way. The therapist's time must be locked.
pub(super) async fn admit(
    app: &App,
    tx: &DatabaseTransaction,
    safe: &Safe,
    wanted: &Wanted<'_>,
    now: DateTime<Utc>,
) -> Result<Decided, Error> {
    let &Wanted { alias, listing, session_type, start, roster_use, moving } = wanted;
    let tags = safe.exclusion_tags();
    if listing.exclusion_tags.meet(tags) {
        return Err(Error::Excluded);
    }
    let therapist = session_type.therapist_id;
    let schedule = listing.schedule.as_ref().ok_or(Refusal::OutsideHours)?;
    let session = session_type.rules();

    // A day on each side is more than a session with its buffers.
    let range =
        Span::new(start - TimeDelta::days(1), start + TimeDelta::days(1)).ok_or(Refusal::OutsideHours)?;
    let others = Occupied::bearing_on(tx, therapist, alias, start).await?;
    let (expired, live): (Vec<_>, Vec<_>) = others.into_iter().partition(|other| other.hold_expired(now));
    let staying = || live.iter().filter(|booking| Some(booking.id) != moving);
    let theirs = staying().filter(|booking| booking.therapist_id == therapist);
    let own = staying().filter(|booking| booking.alias_id == Some(alias));
    let busy = theirs.filter_map(Occupied::busy).collect();
    let (settings, stored) = (safe.settings()?, safe.roster()?.map(Arc::new));
    let asked = Asked {
        range,
        settings: &settings,
        stored: stored.as_ref(),
        roster_use,
        busy: own.filter_map(Occupied::busy).collect(),
    };
    let worker = Worker::during(app, asked)?;
    let at = Span::new(start, start + TimeDelta::seconds(1)).ok_or(Refusal::OutsideHours)?;
    let load = load(tx, schedule, therapist, at, moving, now).await?;
    let sharing = sharing(tx, therapist, range, alias, tags, now).await?;
    let admitted = calendar::admit(
        &Admission {
            schedule,
            open: &schedule.open(range),
            session: &session,
            busy: &calendar::union(busy),
            sharing: &sharing,
            load: &load,
            alias_busy: &worker.busy,
            unavailable: &worker.unavailable,
            now,
        },
        start,
    )
    .map_err(Refusal::for_worker)?;
    let in_the_way = |hold: &Occupied| hold.busy().is_some_and(|busy| busy.overlaps(admitted.busy));
    if expired.iter().any(in_the_way) {
        booking::Entity::let_go_of_expired(tx, therapist, alias, admitted.busy, now).await?;
    }
    let held =
        |booking: &&Occupied| booking.state == booking::State::Pending && booking.alias_id == Some(alias);
    Ok(Decided { admitted, zone: schedule.zone.clone(), holds: live.iter().filter(held).count() })
}

/// What counts against the therapist's limits for starts in `range`, without the booking that moves there; a therapist
/// without limits is not asked about.
pub(super) async fn load(
    db: &impl ConnectionTrait,
    schedule: &Schedule,
    therapist: TherapistId,
    range: Span,
    moving: Option<BookingId>,
    now: DateTime<Utc>,
) -> Result<Load, Error> {
    if schedule.limits == Limits::default() {
        return Ok(Load::default());
    }
    let held = booking::Entity::held_by(therapist, schedule.load_range(range), now).all(db).await?;
    let staying = held.iter().filter(|held| Some(held.id) != moving);
    Ok(schedule.load(staying.filter_map(Held::session)))
}

/// The sessions with the therapist at some moment of `range` of others who share a tag with the alias (D5); for one
/// without tags nothing is asked.
pub(super) async fn sharing(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
    range: Span,
    alias: AliasId,
    tags: &Tags,
    now: DateTime<Utc>,
) -> Result<Vec<Span>, Error> {
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    let near = booking::Entity::keeping(therapist, range, now);
    let near = booking::Entity::with_tags(near).all(db).await?;
    let others = near.iter().filter(|other| exclusions::shares(other, alias, tags));
    Ok(others.filter_map(|other| other.booking.session()).collect())
}

/// Writes the admitted time into a booking.
pub(super) fn place(booking: &mut booking::Model, decided: &Decided) {
    let Decided { admitted: Admitted { session, busy }, zone, holds: _ } = decided;
    booking.starts_at = session.start().into();
    booking.ends_at = session.end().into();
    booking.busy_from = busy.start().into();
    booking.busy_until = busy.end().into();
    booking.local_start = zone.local(session.start()).format(LOCAL_START).to_string();
    zone.name().clone_into(&mut booking.time_zone);
}
