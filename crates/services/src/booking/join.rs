//! B7: both sides are told the room, from ten minutes before until the end.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE32_NOPAD;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use store::{BookingId, Writes, booking, booking::State, booking_event::Actor, therapist};

use super::{advance, lock_owned};
use vault::{Keyring, Purpose};

use crate::{
    App, Caller,
    accesses::{self, What},
    alias::handle,
    error::Error,
    field,
};

/// How long before the start the room opens.
const EARLY: TimeDelta = TimeDelta::minutes(10);

pub(super) async fn join_session(
    app: &App,
    caller: Caller,
    request: v1::JoinSessionRequest,
    now: DateTime<Utc>,
) -> Result<v1::JoinSessionResponse, Error> {
    let v1::JoinSessionRequest { booking_id } = request;
    let booking_id: BookingId = field::id(&booking_id, "booking_id")?;
    let db = app.db.read();
    let own = match caller {
        Caller::Alias(alias) => booking::Entity::owned(booking_id, alias),
        Caller::Therapist(therapist) => booking::Entity::find_by_id(booking_id)
            .filter(booking::COLUMN.therapist_id.eq(therapist))
            .filter(booking::COLUMN.hold_expires_at.is_null()),
        Caller::Anonymous | Caller::Operator(_) | Caller::Manager(_) => return Err(Error::CallerNotAllowed),
    };
    let booking = own.one(db).await?.ok_or(Error::NotFound("booking"))?;
    check(&booking, now)?;

    let display_name = if let Caller::Alias(alias) = caller {
        arrive(app, booking_id, alias, now).await?;
        handle::pair(&app.keyring, alias, booking.therapist_id)
    } else {
        if let Some(alias) = booking.alias_id {
            accesses::record_first(app, alias, What::join_session(booking_id), now).await?;
        }
        let therapist = therapist::Entity::find_by_id(booking.therapist_id).one(db).await?;
        therapist.ok_or(Error::NotFound("therapist"))?.profile.display_name
    };
    Ok(v1::JoinSessionResponse {
        join_uri: app.settings.join_template.replace("{room}", &room(&app.keyring, booking_id)),
        display_name,
        end_time: Some(field::timestamp(booking.ends_at)),
    })
}

/// The name of a session's room: 128 bits that say nothing, and that nobody can tell from the database alone.
fn room(keyring: &Keyring, booking: BookingId) -> String {
    let mac = keyring.mac(Purpose::Room, &[booking.0.as_bytes()]);
    BASE32_NOPAD.encode(&mac[..16]).to_ascii_lowercase()
}

fn check(booking: &booking::Model, now: DateTime<Utc>) -> Result<(), Error> {
    match booking.state {
        State::Booked | State::Arrived => {}
        state @ (State::Pending | State::Cancelled | State::Fulfilled | State::NoShow) => {
            return Err(Error::WrongState { state });
        }
    }
    let opens = DateTime::<Utc>::from(booking.starts_at) - EARLY;
    if now < opens {
        return Err(Error::JoinTooEarly { opens });
    }
    if now >= booking.ends_at.into() {
        return Err(Error::JoinTooLate);
    }
    Ok(())
}

/// The worker has come. Joining again changes nothing, so this needs no request id.
async fn arrive(
    app: &App,
    booking: BookingId,
    alias: store::AliasId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tx = app.db.write().await?;
    let (mut booking, _) = lock_owned(app, &tx, booking, alias).await?;
    check(&booking, now)?;
    if booking.state == State::Booked {
        booking.state = State::Arrived;
        let mut writes = Writes::default();
        advance(&mut writes, &booking, Actor::Alias, false, now);
        writes.send(&tx).await?;
        tx.commit().await?;
    }
    Ok(())
}
