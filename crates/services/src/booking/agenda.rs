//! A therapist's own sessions: nothing in them says who.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use store::{Instant, TherapistId, booking};
use uuid::Uuid;

use super::{
    list::{next_page, page_filter},
    print_state, zone_changes,
};
use crate::{App, Caller, alias::handle, error::Error, field, page};

/// The longest span that is listed.
const LONGEST: TimeDelta = TimeDelta::days(366);

pub(super) async fn list_agenda(
    app: &App,
    therapist: TherapistId,
    request: v1::ListAgendaRequest,
) -> Result<v1::ListAgendaResponse, Error> {
    let page_size = page::size(request.page_size)?;
    let v1::ListAgendaRequest { span, page_size: _, page_token } = request;
    let question = v1::ListAgendaRequest { span, ..Default::default() };
    let span = field::span(span, "span")?;
    if span.duration() > LONGEST {
        return Err(field::out_of_range("span", "at most 366 days"));
    }
    let list = page::List::new(app, Caller::Therapist(therapist), "ListAgenda", &question);
    let after: Option<(DateTime<Utc>, Uuid)> = list.position(&page_token)?;

    let mut bookings = booking::Entity::find()
        .filter(booking::COLUMN.therapist_id.eq(therapist))
        // Whatever was booked: a hold is the worker's alone.
        .filter(booking::COLUMN.hold_expires_at.is_null())
        .filter(booking::COLUMN.starts_at.lt(Instant::from(span.end())))
        .filter(booking::COLUMN.ends_at.gt(Instant::from(span.start())))
        .filter(page_filter(after))
        .order_by_asc(booking::Column::StartsAt)
        .order_by_asc(booking::Column::Id)
        .limit(page_size as u64 + 1)
        .all(app.db.read())
        .await?;
    let next_page_token = next_page(&list, &mut bookings, page_size)?;
    let mut changes = zone_changes::of(app.db.read(), &bookings).await?;
    let entries = bookings.into_iter().map(|booking| {
        let zone_change = changes.remove(&booking.id);
        v1::AgendaEntry { zone_change, ..print_entry(app, booking) }
    });
    Ok(v1::ListAgendaResponse { entries: entries.collect(), next_page_token })
}

/// What the therapist sees.
fn print_entry(app: &App, booking: booking::Model) -> v1::AgendaEntry {
    let booking::Model {
        id,
        therapist_id,
        alias_id,
        session_type_id,
        state,
        occupies: _,
        starts_at,
        ends_at,
        busy_from: _,
        busy_until: _,
        local_start: _,
        time_zone,
        modality,
        hold_expires_at: _,
        late_cancellation: _,
        programme_id: _,
    } = booking;
    v1::AgendaEntry {
        booking_id: id.to_string(),
        handle: alias_id.map(|alias| handle::pair(&app.keyring, alias, therapist_id)).unwrap_or_default(),
        session_type_id: session_type_id.to_string(),
        state: print_state(state).into(),
        session: Some(v1::Span {
            start_time: Some(field::timestamp(starts_at)),
            end_time: Some(field::timestamp(ends_at)),
        }),
        time_zone,
        modality: field::to_modality(modality).into(),
        zone_change: None,
    }
}
