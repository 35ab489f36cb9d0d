//! An alias goes at once and for good.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, LockType},
};
use store::{
    AliasId, Instant, access_token, alias, alias_key, booking, booking_event, contact, reminder, request,
    roster,
};

use crate::{
    App,
    error::{Error, Unauthenticated},
};

/// How long ahead a cancellation is not late (B4).
const IN_TIME: TimeDelta = TimeDelta::hours(24);

/// Erases the alias, and says how many sessions to come were cancelled.
pub(super) async fn erase(app: &App, alias: AliasId, now: DateTime<Utc>) -> Result<i32, Error> {
    let tx = app.db.write().await?;
    let locked = alias::Entity::find_by_id(alias).lock(LockType::Update).one(&tx).await?;
    locked.ok_or(Unauthenticated::Token)?;

    // Without the key nothing sealed can be opened, in this database or in an old copy of it.
    alias_key::Entity::delete_by_id(alias).exec(&tx).await?;
    roster::Entity::delete_by_id(alias).exec(&tx).await?;
    contact::Entity::delete_by_id(alias).exec(&tx).await?;
    reminder::Entity::delete_many().filter(reminder::COLUMN.alias_id.eq(alias)).exec(&tx).await?;
    request::Entity::delete_many().filter(request::COLUMN.caller_id.eq(alias.0)).exec(&tx).await?;
    access_token::Entity::delete_many().filter(access_token::COLUMN.caller_id.eq(alias.0)).exec(&tx).await?;
    let cancelled = cancel_all(&tx, alias, now).await?;
    booking::Entity::update_many()
        .col_expr(booking::Column::AliasId, Expr::value(None::<AliasId>))
        .filter(booking::COLUMN.alias_id.eq(alias))
        .exec(&tx)
        .await?;
    alias::Entity::delete_by_id(alias).exec(&tx).await?;
    tx.commit().await?;
    Ok(cancelled)
}

/// Gives up what is held and cancels what is booked and has not begun; counts the latter.
async fn cancel_all(tx: &DatabaseTransaction, alias: AliasId, now: DateTime<Utc>) -> Result<i32, Error> {
    let held = booking::COLUMN.state.eq(booking::State::Pending);
    let to_come = Condition::all()
        .add(booking::COLUMN.state.eq(booking::State::Booked))
        .add(booking::COLUMN.starts_at.gt(Instant::from(now)));
    let given_up = booking::Entity::find()
        .filter(booking::COLUMN.alias_id.eq(alias))
        .filter(Condition::any().add(held).add(to_come))
        .lock(LockType::NoKeyUpdate)
        .all(tx)
        .await?;
    let mut cancelled = 0;
    for row in given_up {
        let (id, booked) = (row.id, row.state == booking::State::Booked);
        let late = booked && DateTime::<Utc>::from(row.starts_at) - now < IN_TIME;
        let mut row = row.into_active_model();
        row.state = Set(booking::State::Cancelled);
        row.occupies = Set(false);
        row.late_cancellation = Set(late);
        row.update(tx).await?;
        let last = booking_event::Entity::find()
            .filter(booking_event::COLUMN.booking_id.eq(id))
            .order_by_desc(booking_event::Column::Sequence)
            .one(tx)
            .await?;
        let event = booking_event::Model {
            booking_id: id,
            sequence: last.map_or(0, |last| last.sequence) + 1,
            at: now.into(),
            state: booking::State::Cancelled,
            actor: booking_event::Actor::Alias,
            rescheduled: false,
        };
        event.into_active_model().insert(tx).await?;
        cancelled += i32::from(booked);
    }
    Ok(cancelled)
}
