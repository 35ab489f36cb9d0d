//! An alias goes at once and for good.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, LockType},
};
use store::{
    AliasId, Instant, Tags, Writes, access_log, access_token, alias, alias_key, booking,
    booking_event::Actor, change, contact, credit, emergency_access, fetch_turn, note, reminder, request,
    roster, therapist,
};

use crate::{
    App,
    booking::{advance, is_late},
    error::{Error, Unauthenticated},
    roster::end_feed,
};

/// Erases the alias, and says how many sessions to come were cancelled.
pub(super) async fn erase(app: &App, alias: AliasId, now: DateTime<Utc>) -> Result<i32, Error> {
    let tx = app.db.write().await?;
    let locked = alias::Entity::find_by_id(alias).lock(LockType::Update).one(&tx).await?;
    locked.ok_or(Unauthenticated::Token)?;

    // Without the key nothing sealed can be opened, in this database or in an old copy of it.
    alias_key::Entity::delete_by_id(alias).exec(&tx).await?;
    roster::Entity::delete_by_id(alias).exec(&tx).await?;
    end_feed(&tx, alias).await?;
    fetch_turn::Entity::delete_by_id(alias.0).exec(&tx).await?;
    contact::Entity::delete_by_id(alias).exec(&tx).await?;
    access_log::Entity::delete_by_id(alias).exec(&tx).await?;
    emergency_access::Entity::delete_many()
        .filter(emergency_access::Column::BookingId.in_subquery(booking::Entity::ids_of(alias)))
        .exec(&tx)
        .await?;
    credit::Entity::delete_many().filter(credit::COLUMN.alias_id.eq(alias)).exec(&tx).await?;
    reminder::Entity::delete_many().filter(reminder::COLUMN.alias_id.eq(alias)).exec(&tx).await?;
    request::Entity::delete_many().filter(request::COLUMN.caller_id.eq(alias.0)).exec(&tx).await?;
    access_token::Entity::delete_many().filter(access_token::COLUMN.caller_id.eq(alias.0)).exec(&tx).await?;
    // While its bookings still name it, so that whoever keeps a copy of these lets go of the tags, too.
    alias::Entity::update_many()
        .col_expr(alias::Column::ExclusionTags, Expr::value(Tags::default()))
        .filter(alias::COLUMN.id.eq(alias))
        .exec(&tx)
        .await?;
    lock_therapists(&tx, alias).await?;
    // Now that no therapist can write another.
    note::Entity::delete_many()
        .filter(note::Column::BookingId.in_subquery(booking::Entity::ids_of(alias)))
        .exec(&tx)
        .await?;
    let cancelled = cancel_all(&tx, alias, now).await?;
    booking::Entity::update_many()
        .col_expr(booking::Column::AliasId, Expr::value(None::<AliasId>))
        .filter(booking::COLUMN.alias_id.eq(alias))
        .exec(&tx)
        .await?;
    change::forget_alias(&tx, alias).await?;
    alias::Entity::delete_by_id(alias).exec(&tx).await?;
    tx.commit().await?;
    app.mirror.committed();
    // What cannot be blanked at once is by the next sweep.
    if let Err(error) = app.db.scrub().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old pages of the database were not blanked"
        );
    }
    Ok(cancelled)
}

/// Locks the time of everybody the alias has a booking with, in one order, so that no therapist who completes
/// one meanwhile writes the alias back to it.
async fn lock_therapists(tx: &DatabaseTransaction, alias: AliasId) -> Result<(), Error> {
    let with = booking::Entity::find()
        .select_only()
        .column(booking::Column::TherapistId)
        .filter(booking::COLUMN.alias_id.eq(alias))
        .into_query();
    therapist::Entity::find()
        .filter(therapist::Column::Id.in_subquery(with))
        .order_by_asc(therapist::Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx)
        .await?;
    Ok(())
}

/// Gives up what is held and cancels what is booked and has not begun; counts the latter.
async fn cancel_all(tx: &DatabaseTransaction, alias: AliasId, now: DateTime<Utc>) -> Result<i32, Error> {
    let held = booking::COLUMN.state.eq(booking::State::Pending);
    let to_come = Condition::all()
        .add(booking::COLUMN.state.is_in([booking::State::Booked, booking::State::Arrived]))
        .add(booking::COLUMN.starts_at.gt(Instant::from(now)));
    let given_up = booking::Entity::find()
        .filter(booking::COLUMN.alias_id.eq(alias))
        .filter(Condition::any().add(held).add(to_come))
        .all(tx)
        .await?;
    let (mut cancelled, mut writes) = (0, Writes::default());
    for mut row in given_up {
        let booked = row.state != booking::State::Pending;
        row.state = booking::State::Cancelled;
        row.occupies = false;
        row.late_cancellation |= booked && is_late(&row, now);
        advance(&mut writes, &row, Actor::Alias, false, now);
        cancelled += i32::from(booked);
    }
    writes.send(tx).await?;
    Ok(cancelled)
}
