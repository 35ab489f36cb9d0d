//! S8, B4: the sessions to come for which a roster leaves no time, and when they could be instead.

use api::v1;
use calendar::{Admission, Admitted, Load, Roster, ShiftRules, Span, WorkerRefusal, Zone};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};
use serde::{Deserialize, Serialize};
use store::{booking, booking::State, therapist};
use uuid::Uuid;

use super::{
    admission::{load, sharing},
    hold::MOST,
};
use crate::{
    App,
    error::{Error, worker_reason},
    field,
    listing::Listing,
    sealed::Safe,
};

/// To what distance alternatives are looked for.
const NEAR: TimeDelta = TimeDelta::days(7);
/// How many are named.
const NAMED: usize = 3;
/// For how many sessions: each is a look at somebody's calendar.
const HELPED: usize = 10;
/// As far as a roster and anybody's horizon reach.
const AHEAD: TimeDelta = TimeDelta::days(2 * 366);

/// Those that collide with `roster`, the earliest first.
pub(crate) async fn collisions(
    app: &App,
    db: &impl ConnectionTrait,
    safe: &Safe,
    roster: &Roster,
    now: DateTime<Utc>,
) -> Result<Vec<v1::RosterCollision>, Error> {
    let duty = Duty::of(app, safe, roster)?;
    let own = own(db, safe, now).await?;
    let mut holds = own.iter().filter(|session| session.state == State::Pending).count();
    // What is kept for those that come first is not offered to the others.
    let mut promised = Vec::new();
    let mut collisions = Vec::new();
    for session in own.iter().filter(|session| session.starts_at > now.into()) {
        let Some(span) = Span::new(session.starts_at.into(), session.ends_at.into()) else { continue };
        let Some(refusal) = duty.refuses(span) else { continue };
        let others = own.iter().filter(|other| other.id != session.id).filter_map(booking::Model::busy);
        let busy: Vec<Span> = others.chain(promised.iter().copied()).collect();
        let alternatives = if collisions.len() < HELPED {
            alternatives(app, db, safe, session, &busy, &duty, now).await?
        } else {
            Vec::new()
        };
        let kept = alternatives.iter().find(|other| session.state == State::Booked && beside(session, other));
        if let Some(kept) = kept.filter(|_| holds < MOST) {
            promised.push(kept.busy);
            holds += 1;
        }
        let mut starts: Vec<_> = alternatives.iter().map(|other| other.session.start()).collect();
        starts.sort_unstable();
        collisions.push(v1::RosterCollision {
            booking_id: session.id.to_string(),
            session: Some(field::to_span(span)),
            reason: worker_reason(refusal).to_owned(),
            alternative_start_times: starts.into_iter().map(field::timestamp).collect(),
            held_alternative: None,
        });
    }
    Ok(collisions)
}

/// A booked session that a change of the roster took the time of, and where it stood then: one that was moved since stands
/// where the worker chose.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Displaced {
    booking: Uuid,
    start: DateTime<Utc>,
}

impl Displaced {
    pub(super) fn of(booking: &booking::Model) -> Self {
        Self { booking: booking.id.0, start: booking.starts_at.into() }
    }
}

/// B4: what is booked and collides with `roster`, if it did not collide with the one there is, or was displaced before.
/// What was booked into a shift that was known is the worker's own choice.
pub(crate) async fn displaced(
    app: &App,
    db: &impl ConnectionTrait,
    safe: &Safe,
    roster: &Roster,
    now: DateTime<Utc>,
) -> Result<Vec<Displaced>, Error> {
    let (before, already) = (safe.roster()?, safe.displaced()?);
    let before = before.as_ref().map(|roster| Duty::of(app, safe, roster)).transpose()?;
    let after = Duty::of(app, safe, roster)?;
    let mut displaced = Vec::new();
    for booking in own(db, safe, now).await? {
        let booked = booking.state == State::Booked && booking.starts_at > now.into();
        let Some(session) = booking.session().filter(|_| booked) else { continue };
        let this = Displaced::of(&booking);
        let collided = before.as_ref().is_some_and(|duty| duty.refuses(session).is_some());
        if after.refuses(session).is_some() && (!collided || already.contains(&this)) {
            displaced.push(this);
        }
    }
    Ok(displaced)
}

/// What is to come, and what is under way, the earliest first.
async fn own(
    db: &impl ConnectionTrait,
    safe: &Safe,
    now: DateTime<Utc>,
) -> Result<Vec<booking::Model>, Error> {
    let ahead = Span::new(now, now + AHEAD).ok_or(Error::Interrupted)?;
    let own = booking::Entity::keeping_alias(safe.alias(), ahead, now);
    Ok(own.order_by_asc(booking::Column::StartsAt).all(db).await?)
}

/// When the worker is on shift, and what is kept free around that.
pub(super) struct Duty<'a> {
    roster: &'a Roster,
    rules: ShiftRules,
    zone: Zone,
}

impl<'a> Duty<'a> {
    /// The worker's, by this roster of theirs.
    pub(super) fn of(app: &App, safe: &Safe, roster: &'a Roster) -> Result<Self, Error> {
        let zone = app.rules.zone(roster.zone()).ok_or(Error::Sealed("roster.sealed"))?;
        Ok(Self { roster, rules: safe.settings()?.shift_rules, zone })
    }

    /// Why there is no time for a session. What is not published yet takes nothing away from what is booked, and a
    /// check-in may stay in its break.
    pub(super) fn refuses(&self, session: Span) -> Option<WorkerRefusal> {
        let taken = calendar::unavailable(self.roster, &self.rules, &self.zone, session, true);
        let in_breaks = calendar::in_breaks(&taken, self.roster.breaks(), session);
        calendar::refuses(&in_breaks, session).and_then(|_| calendar::refuses(&taken, session))
    }
}

/// Up to three of the same with the same therapist, the nearest to what it was first. The nearest that can be held beside
/// it is one of them, and no other overlaps that.
async fn alternatives(
    app: &App,
    db: &impl ConnectionTrait,
    safe: &Safe,
    session: &booking::Model,
    own: &[Span],
    duty: &Duty<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<Admitted>, Error> {
    let (alias, tags) = (safe.alias(), safe.exclusion_tags());
    let id = session.therapist_id;
    let Some(therapist) = therapist::Entity::find_by_id(id).one(db).await? else { return Ok(Vec::new()) };
    // Nothing is locked: this is an offer, and whoever takes it is judged anew.
    let listing = app.listings.at(app, db, id, therapist.revision).await?;
    if listing.exclusion_tags.meet(tags) {
        return Ok(Vec::new());
    }
    let was: DateTime<Utc> = session.starts_at.into();
    let Some(window) = Span::new(now.max(was - NEAR), was + NEAR) else { return Ok(Vec::new()) };
    let day = TimeDelta::days(1);
    let around = Span::new(window.start() - day, window.end() + day).unwrap_or(window);
    let theirs = booking::Entity::keeping(id, around, now).all(db).await?;
    let load = match listing.schedule.as_ref() {
        Some(schedule) => load(db, schedule, id, window, Some(session.id), now).await?,
        None => return Ok(Vec::new()),
    };
    let staying = theirs.iter().filter(|booking| booking.id != session.id);
    let busy = calendar::union(staying.filter_map(booking::Model::busy).collect());
    let sharing = sharing(db, id, around, alias, tags, now).await?;
    let taken = Taken { busy: &busy, sharing: &sharing, load: &load, own };
    let mut open = open_slots(&listing, session, window, &taken, duty, now);
    open.sort_by_key(|other| ((other.session.start() - was).abs(), other.session.start()));
    if let Some(kept) = open.iter().copied().find(|other| beside(session, other)) {
        // While it is held, the others can be moved to as well.
        open.retain(|other| *other == kept || !other.busy.overlaps(kept.busy));
        let index = open.iter().position(|other| *other == kept).unwrap_or_default();
        if index >= NAMED {
            open.swap(NAMED - 1, index);
        }
    }
    open.truncate(NAMED);
    Ok(open)
}

/// Whether both can be had at once, as while one of them is held: what overlaps can only be moved to.
fn beside(session: &booking::Model, other: &Admitted) -> bool {
    session.busy().is_some_and(|busy| !busy.overlaps(other.busy))
}

/// What else there is, without the session that would move.
struct Taken<'a> {
    busy: &'a [Span],
    /// By others whom the alias must not meet.
    sharing: &'a [Span],
    /// Against the therapist's limits.
    load: &'a Load,
    /// Of the alias.
    own: &'a [Span],
}

fn open_slots(
    listing: &Listing,
    session: &booking::Model,
    window: Span,
    taken: &Taken<'_>,
    duty: &Duty<'_>,
    now: DateTime<Utc>,
) -> Vec<Admitted> {
    let kind = listing.session_type(session.session_type_id).filter(|_| listing.licensed(now));
    let Some((kind, schedule)) = kind.zip(listing.schedule.as_ref()) else { return Vec::new() };
    let admission = Admission {
        schedule,
        open: &schedule.open(window),
        session: &kind.rules(),
        busy: taken.busy,
        sharing: taken.sharing,
        load: taken.load,
        alias_busy: taken.own,
        unavailable: &calendar::unavailable(duty.roster, &duty.rules, &duty.zone, window, false),
        now,
    };
    calendar::slots(&admission, window).collect()
}
