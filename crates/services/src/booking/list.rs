//! A worker's own bookings.

use std::collections::HashMap;

use api::v1;
use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use store::{
    AliasId, BookingId, Instant, booking,
    booking::State,
    booking_event::{self, Actor},
    therapist,
};
use uuid::Uuid;

use super::{print, print_state, zone_changes};
use crate::{App, Caller, error::Error, field, page};

pub(super) async fn get_booking(
    app: &App,
    alias: AliasId,
    request: v1::GetBookingRequest,
) -> Result<v1::GetBookingResponse, Error> {
    let v1::GetBookingRequest { booking_id } = request;
    let booking_id: BookingId = field::id(&booking_id, "booking_id")?;
    let db = app.db.read();
    let booking =
        booking::Entity::owned(booking_id, alias).one(db).await?.ok_or(Error::NotFound("booking"))?;
    let therapist = therapist::Entity::find_by_id(booking.therapist_id)
        .one(db)
        .await?
        .ok_or(Error::NotFound("therapist"))?;
    let history = booking_event::Entity::find()
        .filter(booking_event::COLUMN.booking_id.eq(booking_id))
        .order_by_asc(booking_event::Column::Sequence)
        .all(db)
        .await?;
    let zone_change = zone_changes::of(db, std::slice::from_ref(&booking)).await?.remove(&booking_id);
    Ok(v1::GetBookingResponse {
        booking: Some(v1::Booking { zone_change, ..print(booking, &therapist) }),
        history: history.iter().map(print_event).collect(),
    })
}

pub(super) async fn list_bookings(
    app: &App,
    alias: AliasId,
    request: v1::ListBookingsRequest,
    now: DateTime<Utc>,
) -> Result<v1::ListBookingsResponse, Error> {
    let page_size = page::size(request.page_size)?;
    let v1::ListBookingsRequest { start_time, page_size: _, page_token } = request;
    let question = v1::ListBookingsRequest { start_time, ..Default::default() };
    let start = start_time.map(|at| field::instant(at, "start_time")).transpose()?;
    let list = page::List::new(app, Caller::Alias(alias), "ListBookings", &question);
    let after: Option<(DateTime<Utc>, Uuid)> = list.position(&page_token)?;

    let db = app.db.read();
    let mut bookings = booking::Entity::find()
        .filter(booking::COLUMN.alias_id.eq(alias))
        // Whatever was booked, and the holds that live.
        .filter(
            Condition::any().add(booking::COLUMN.hold_expires_at.is_null()).add(
                Condition::all()
                    .add(booking::COLUMN.state.eq(State::Pending))
                    .add(booking::COLUMN.hold_expires_at.gt(Instant::from(now))),
            ),
        )
        .filter(page_filter(after))
        .filter(start.map_or_else(Condition::all, |start| {
            Condition::all().add(booking::COLUMN.ends_at.gt(Instant::from(start)))
        }))
        .order_by_asc(booking::Column::StartsAt)
        .order_by_asc(booking::Column::Id)
        .limit(page_size as u64 + 1)
        .all(db)
        .await?;
    let next_page_token = next_page(&list, &mut bookings, page_size)?;
    let therapists: HashMap<_, _> = therapist::Entity::find()
        .filter(therapist::Column::Id.is_in(bookings.iter().map(|booking| booking.therapist_id)))
        .all(db)
        .await?
        .into_iter()
        .map(|therapist| (therapist.id, therapist))
        .collect();
    let mut changes = zone_changes::of(db, &bookings).await?;
    let bookings = bookings
        .into_iter()
        .filter_map(|booking| {
            let therapist = therapists.get(&booking.therapist_id)?;
            Some(v1::Booking { zone_change: changes.remove(&booking.id), ..print(booking, therapist) })
        })
        .collect();
    Ok(v1::ListBookingsResponse { bookings, next_page_token })
}

/// What comes after a booking in a list by start.
pub(crate) fn page_filter(after: Option<(DateTime<Utc>, Uuid)>) -> Condition {
    let Some((start, id)) = after else { return Condition::all() };
    let start = Instant::from(start);
    Condition::any().add(booking::COLUMN.starts_at.gt(start)).add(
        Condition::all().add(booking::COLUMN.starts_at.eq(start)).add(booking::Column::Id.gt(BookingId(id))),
    )
}

/// Cuts off the one booking more than the page holds, and if there was one says where the next page begins.
pub(crate) fn next_page(
    list: &page::List<'_>,
    bookings: &mut Vec<booking::Model>,
    page_size: usize,
) -> Result<String, Error> {
    if bookings.len() <= page_size {
        return Ok(String::new());
    }
    bookings.truncate(page_size);
    let end = bookings.last().map(|last| (DateTime::<Utc>::from(last.starts_at), last.id.0));
    list.token(&end)
}

fn print_event(event: &booking_event::Model) -> v1::BookingEvent {
    let &booking_event::Model { booking_id: _, sequence: _, at, state, actor, rescheduled } = event;
    let actor = match actor {
        Actor::Alias => v1::Actor::Alias,
        Actor::Therapist => v1::Actor::Therapist,
        Actor::Operator => v1::Actor::Operator,
        Actor::System => v1::Actor::System,
    };
    v1::BookingEvent {
        time: Some(field::timestamp(at)),
        state: print_state(state).into(),
        actor: actor.into(),
        rescheduled,
    }
}
