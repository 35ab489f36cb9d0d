//! S8: the sessions to come for which a roster leaves no time, and when they could be instead.

use api::v1;
use calendar::{Admission, Load, Roster, ShiftRules, Span, WorkerRefusal, Zone};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{EntityTrait, QueryOrder};
use store::{AliasId, booking, therapist};

use super::admission::{load, sharing};
use crate::{
    App,
    error::{Error, worker_reason},
    field,
    listing::Listing,
    once::Once,
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
    once: &Once,
    alias: AliasId,
    roster: &Roster,
    now: DateTime<Utc>,
) -> Result<Vec<v1::RosterCollision>, Error> {
    let zone = app.rules.zone(roster.zone()).ok_or(Error::Sealed("roster.sealed"))?;
    let duty = Duty { roster, rules: once.safe()?.settings()?.shift_rules, zone };
    let ahead = Span::new(now, now + AHEAD).ok_or(Error::Interrupted)?;
    let own = booking::Entity::keeping_alias(alias, ahead, now)
        .order_by_asc(booking::Column::StartsAt)
        .all(&once.tx)
        .await?;
    let mut collisions = Vec::new();
    for session in own.iter().filter(|session| session.starts_at > now.into()) {
        let Some(span) = Span::new(session.starts_at.into(), session.ends_at.into()) else { continue };
        let Some(refusal) = duty.refuses(span) else { continue };
        let starts = if collisions.len() < HELPED {
            alternatives(app, once, alias, session, &own, &duty, now).await?
        } else {
            Vec::new()
        };
        collisions.push(v1::RosterCollision {
            booking_id: session.id.to_string(),
            session: Some(field::to_span(span)),
            reason: worker_reason(refusal).to_owned(),
            alternative_start_times: starts.into_iter().map(field::timestamp).collect(),
        });
    }
    Ok(collisions)
}

/// When the worker is on shift, and what is kept free around that.
struct Duty<'a> {
    roster: &'a Roster,
    rules: ShiftRules,
    zone: Zone,
}

impl Duty<'_> {
    /// Why there is no time for a session. What is not published yet takes nothing away from what is booked, and a
    /// check-in may stay in its break.
    fn refuses(&self, session: Span) -> Option<WorkerRefusal> {
        let taken = calendar::unavailable(self.roster, &self.rules, &self.zone, session, true);
        let in_breaks = calendar::in_breaks(&taken, self.roster.breaks(), session);
        calendar::refuses(&in_breaks, session).and_then(|_| calendar::refuses(&taken, session))
    }
}

/// Up to three starts of the same with the same therapist, those nearest to what it was.
async fn alternatives(
    app: &App,
    once: &Once,
    alias: AliasId,
    session: &booking::Model,
    own: &[booking::Model],
    duty: &Duty<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, Error> {
    let (tx, tags) = (&once.tx, once.safe()?.exclusion_tags());
    let id = session.therapist_id;
    let Some(therapist) = therapist::Entity::find_by_id(id).one(tx).await? else { return Ok(Vec::new()) };
    // Nothing is locked: this is an offer, and whoever takes it is judged anew.
    let listing = app.listings.at(app, tx, id, therapist.revision).await?;
    if listing.exclusion_tags.meet(tags) {
        return Ok(Vec::new());
    }
    let was: DateTime<Utc> = session.starts_at.into();
    let Some(window) = Span::new(now.max(was - NEAR), was + NEAR) else { return Ok(Vec::new()) };
    let day = TimeDelta::days(1);
    let around = Span::new(window.start() - day, window.end() + day).unwrap_or(window);
    let theirs = booking::Entity::keeping(id, around, now).all(tx).await?;
    let load = match listing.schedule.as_ref() {
        Some(schedule) => load(tx, schedule, id, window, Some(session.id), now).await?,
        None => return Ok(Vec::new()),
    };
    let sharing = sharing(tx, id, around, alias, tags, now).await?;
    let staying = |booking: &&booking::Model| booking.id != session.id;
    let busy = theirs.iter().filter(staying).filter_map(booking::Model::busy).collect();
    let own: Vec<Span> = own.iter().filter(staying).filter_map(booking::Model::busy).collect();
    let taken = Taken { busy: &calendar::union(busy), sharing: &sharing, load: &load, own: &own };
    let mut starts = open_starts(&listing, session, window, &taken, duty, now);
    starts.sort_by_key(|start| ((*start - was).abs(), *start));
    starts.truncate(NAMED);
    starts.sort_unstable();
    Ok(starts)
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

fn open_starts(
    listing: &Listing,
    session: &booking::Model,
    window: Span,
    taken: &Taken<'_>,
    duty: &Duty<'_>,
    now: DateTime<Utc>,
) -> Vec<DateTime<Utc>> {
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
    calendar::slots(&admission, window).map(|admitted| admitted.session.start()).collect()
}
