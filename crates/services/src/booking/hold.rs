//! B1: a slot is kept for ten minutes.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use store::{
    BookingId, Modality, SessionTypeId, TherapistId, Writes, booking, booking::State, booking_event::Actor,
    session_type, therapist,
};

use super::{
    admission::{self, Decided, Wanted},
    print, record,
};
use crate::{
    App,
    access::Bearer,
    error::Error,
    field,
    listing::Listing,
    once::{Once, Turn},
    slots::RosterUse,
};

/// How long a hold lasts.
pub(super) const HOLD: TimeDelta = TimeDelta::minutes(10);
/// How many holds an alias has at a time.
pub(super) const MOST: usize = 3;

pub(super) async fn hold_slot(
    app: &App,
    bearer: &Bearer,
    request: v1::HoldSlotRequest,
    now: DateTime<Utc>,
) -> Result<v1::HoldSlotResponse, Error> {
    let v1::HoldSlotRequest { request_id, therapist_id, session_type_id, start_time, modality, roster_use } =
        &request;
    let therapist_id: TherapistId = field::id(therapist_id, "therapist_id")?;
    let session_type_id: SessionTypeId = field::id(session_type_id, "session_type_id")?;
    let start = field::instant(field::given(*start_time, "start_time")?, "start_time")?;
    let roster_use = RosterUse::read(app, roster_use.clone(), now)?;
    let modality = match modality {
        0 => None,
        number => Some(field::modality(*number, "modality")?),
    };

    let alias = bearer.alias;
    let mut once = match Once::begin_by_token(app, bearer, "HoldSlot", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let tx = &once.tx;
    let revision = therapist::Entity::lock(therapist_id).into_tuple::<i64>().one(tx).await?;
    let revision = revision.ok_or(Error::NotFound("therapist"))?;
    let listing = app.listings.at(app, tx, therapist_id, revision).await?;
    let session_type = offered(&listing, session_type_id, now)?;
    let modality = choose(modality, session_type)?;
    let wanted =
        Wanted { alias, listing: &listing, session_type, start, roster_use: &roster_use, moving: None };
    let decided = admission::admit(app, tx, once.safe()?, &wanted, now).await?;
    if decided.holds >= MOST {
        return Err(Error::TooManyHolds { most: MOST });
    }

    let booking = keep(&mut once.writes, &wanted, modality, &decided, Actor::Alias, now);
    once.commit(v1::HoldSlotResponse { booking: Some(print(booking, &listing.therapist)) }).await
}

/// Writes the hold of a session that may be held.
pub(super) fn keep(
    writes: &mut Writes,
    wanted: &Wanted<'_>,
    modality: Modality,
    decided: &Decided,
    actor: Actor,
    now: DateTime<Utc>,
) -> booking::Model {
    let at = wanted.start.into();
    let mut booking = booking::Model {
        id: BookingId::random(),
        therapist_id: wanted.session_type.therapist_id,
        alias_id: Some(wanted.alias),
        session_type_id: wanted.session_type.id,
        state: State::Pending,
        occupies: true,
        starts_at: at,
        ends_at: at,
        busy_from: at,
        busy_until: at,
        local_start: String::new(),
        time_zone: String::new(),
        modality,
        hold_expires_at: Some((now + HOLD).into()),
        late_cancellation: false,
        programme_id: None,
    };
    admission::place(&mut booking, decided);
    writes.insert(booking.clone());
    record(writes, &booking, actor, false, now);
    booking
}

/// The session type, if it can be booked with the therapist by somebody new.
pub(super) fn offered(
    listing: &Listing,
    session_type: SessionTypeId,
    now: DateTime<Utc>,
) -> Result<&session_type::Model, Error> {
    if !listing.licensed(now) || !listing.therapist.accepts_new_clients {
        return Err(Error::NotFound("therapist"));
    }
    let offered = listing.session_type(session_type).filter(|session_type| !session_type.withdrawn);
    offered.ok_or(Error::NotFound("session type"))
}

fn choose(modality: Option<Modality>, session_type: &session_type::Model) -> Result<Modality, Error> {
    match (modality, session_type.modalities.0.as_slice()) {
        (None, [only]) => Ok(*only),
        (None, _) => Err(field::required("modality")),
        (Some(modality), offered) if offered.contains(&modality) => Ok(modality),
        (Some(_), _) => Err(field::out_of_range("modality", "one that the session type offers")),
    }
}
