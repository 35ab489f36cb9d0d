//! T5: whether a session may be held, asked inside the transaction that holds it.

use calendar::{Admission, Admitted, Span, Zone};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::DatabaseTransaction;
use store::{AliasId, BookingId, booking, session_type};

use crate::{
    App, availability,
    error::Error,
    sealed::Safe,
    slots::{Asked, RosterUse, Worker},
};

/// A session that is wanted.
pub(super) struct Wanted<'a> {
    pub(super) alias: AliasId,
    pub(super) session_type: &'a session_type::Model,
    pub(super) start: DateTime<Utc>,
    pub(super) roster_use: RosterUse,
    /// A booking whose own time counts as free (B4).
    pub(super) moving: Option<BookingId>,
}

/// Decides, and lets go of expired holds in the way. The therapist's time must be locked.
pub(super) async fn admit(
    app: &App,
    tx: &DatabaseTransaction,
    safe: &Safe,
    wanted: &Wanted<'_>,
    now: DateTime<Utc>,
) -> Result<(Admitted, Zone), Error> {
    let &Wanted { alias, session_type, start, roster_use, moving } = wanted;
    let therapist = session_type.therapist_id;
    let schedule =
        availability::schedule(app, tx, therapist).await?.ok_or(calendar::Refusal::OutsideHours)?;
    let session = session_type.rules();

    // A day on each side is more than a session with its buffers.
    let range = Span::new(start - TimeDelta::days(1), start + TimeDelta::days(1))
        .ok_or(calendar::Refusal::OutsideHours)?;
    let busy = booking::Entity::keeping(therapist, range, now)
        .all(tx)
        .await?
        .iter()
        .filter(|booking| Some(booking.id) != moving)
        .filter_map(booking::Model::busy)
        .collect();
    let worker = Worker::during(app, tx, safe, Asked { alias, range, roster_use, moving }, now).await?;
    let admitted = calendar::admit(
        &Admission {
            schedule: &schedule,
            open: &schedule.open(range),
            session: &session,
            busy: &calendar::union(busy),
            alias_busy: &worker.busy,
            unavailable: &worker.unavailable,
            now,
        },
        start,
    )?;
    booking::Entity::let_go_of_expired(tx, therapist, alias, admitted.busy, now).await?;
    Ok((admitted, schedule.zone))
}

/// Writes the admitted time into a booking.
pub(super) fn place(booking: &mut booking::Model, admitted: &Admitted, zone: &Zone) {
    let Admitted { session, busy } = admitted;
    booking.starts_at = session.start().into();
    booking.ends_at = session.end().into();
    booking.busy_from = busy.start().into();
    booking.busy_until = busy.end().into();
    booking.local_start = zone.local(session.start()).format("%Y-%m-%dT%H:%M").to_string();
    zone.name().clone_into(&mut booking.time_zone);
}
