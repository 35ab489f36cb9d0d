//! What new zone rules meant for bookings (T6), as each side is told.

use std::collections::HashMap;

use api::v1;
use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;
use store::{
    BookingId, Instant, booking,
    zone_change::{self, Outcome},
};
use uuid::Uuid;

use crate::{App, Caller, error::Error, field, page};

pub(super) async fn list_zone_changes(
    app: &App,
    caller: Caller,
    request: v1::ListZoneChangesRequest,
) -> Result<v1::ListZoneChangesResponse, Error> {
    let page_size = page::size(request.page_size)?;
    let list = page::List::new(app, caller, "ListZoneChanges", &v1::ListZoneChangesRequest::default());
    let after: Option<(DateTime<Utc>, Uuid)> = list.position(&request.page_token)?;
    let after = after.map(|(start, id)| (start.into(), BookingId(id)));
    let one_more = page_size as u64 + 1;
    let mut changes = zone_change::Entity::after(after, one_more).all(app.db.read()).await?;
    let mut next_page_token = String::new();
    if changes.len() > page_size {
        changes.truncate(page_size);
        let end = changes.last().map(|last| (DateTime::<Utc>::from(last.old_start), last.booking_id.0));
        next_page_token = list.token(&end)?;
    }
    let changes = changes.into_iter().map(|change| v1::BookingZoneChange {
        booking_id: change.booking_id.to_string(),
        time_zone: change.time_zone.clone(),
        zone_change: Some(print(change)),
    });
    Ok(v1::ListZoneChangesResponse { changes: changes.collect(), next_page_token })
}

/// What to tell of each of these bookings that stands where the rules left it.
pub(super) async fn of(
    db: &impl ConnectionTrait,
    bookings: &[booking::Model],
) -> Result<HashMap<BookingId, v1::ZoneChange>, Error> {
    let starts: HashMap<BookingId, Instant> =
        bookings.iter().map(|booking| (booking.id, booking.starts_at)).collect();
    let known = zone_change::Entity::of(starts.keys().copied()).all(db).await?;
    let holds = known
        .into_iter()
        .filter(|change| starts.get(&change.booking_id).is_some_and(|start| change.holds_for(*start)));
    Ok(holds.map(|change| (change.booking_id, print(change))).collect())
}

fn print(change: zone_change::Model) -> v1::ZoneChange {
    let zone_change::Model { booking_id: _, version, time_zone: _, old_start, new_start, outcome } = change;
    let outcome = match outcome {
        Outcome::Moved => v1::ZoneChangeOutcome::Moved,
        Outcome::Undecided => v1::ZoneChangeOutcome::Undecided,
    };
    v1::ZoneChange {
        old_start_time: Some(field::timestamp(old_start)),
        new_start_time: Some(field::timestamp(new_start)),
        rules_version: version,
        outcome: outcome.into(),
    }
}
