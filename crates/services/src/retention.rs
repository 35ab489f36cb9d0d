//! Forgets what has served its time.

use std::{pin::pin, time::Duration};

use chrono::TimeDelta;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, QueryTrait, sea_query::SelectStatement,
};
use store::{Instant, access_token, booking, booking_event, reminder, request, used_challenge};

use crate::{App, error::Error};

/// Sweeps every hour until `stop`.
pub async fn run(app: App, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    loop {
        if let Err(error) = sweep(&app).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what has served its time was not forgotten");
        }
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

const EVERY: Duration = Duration::from_hours(1);
/// After a hold expired, for clients that still ask about it.
const HOLDS: TimeDelta = TimeDelta::days(1);
/// After a letter that was given up was due, for operators who look into it.
const DEAD_LETTERS: TimeDelta = TimeDelta::days(30);
/// After a code was due.
const CODES: TimeDelta = TimeDelta::days(1);

/// Deletes, once, tokens, challenges and answers that have expired, holds that expired a day ago, and
/// reminders of sessions that are over.
pub async fn sweep(app: &App) -> Result<(), Error> {
    let now = app.clock.now();
    let ago = |time: TimeDelta| Instant::from(now - time);
    let now = Instant::from(now);

    let tx = app.db.write().await?;
    access_token::Entity::delete_many().filter(access_token::COLUMN.expires_at.lte(now)).exec(&tx).await?;
    used_challenge::Entity::delete_many()
        .filter(used_challenge::COLUMN.expires_at.lte(now))
        .exec(&tx)
        .await?;
    request::Entity::delete_many().filter(request::COLUMN.expires_at.lte(now)).exec(&tx).await?;
    tx.commit().await?;

    let tx = app.db.write().await?;
    let over = ids(Condition::all().add(booking::COLUMN.ends_at.lte(now)));
    let told = Condition::all()
        .add(reminder::COLUMN.state.ne(reminder::State::Dead))
        .add(reminder::Column::BookingId.in_subquery(over));
    let codes = Condition::all()
        .add(reminder::COLUMN.state.ne(reminder::State::Planned))
        .add(reminder::COLUMN.kind.eq(reminder::Kind::ContactCode))
        .add(reminder::COLUMN.due_at.lte(ago(CODES)));
    let dead = Condition::all()
        .add(reminder::COLUMN.state.eq(reminder::State::Dead))
        .add(reminder::COLUMN.due_at.lte(ago(DEAD_LETTERS)));
    let forgotten = Condition::any().add(told).add(codes).add(dead);
    reminder::Entity::delete_many().filter(forgotten).exec(&tx).await?;
    tx.commit().await?;

    let tx = app.db.write().await?;
    let expired = Condition::all()
        .add(booking::COLUMN.state.eq(booking::State::Pending))
        .add(booking::COLUMN.hold_expires_at.lte(ago(HOLDS)));
    booking_event::Entity::delete_many()
        .filter(booking_event::Column::BookingId.in_subquery(ids(expired.clone())))
        .exec(&tx)
        .await?;
    booking::Entity::delete_many().filter(expired).exec(&tx).await?;
    tx.commit().await?;
    Ok(())
}

fn ids(of: Condition) -> SelectStatement {
    booking::Entity::find().select_only().column(booking::Column::Id).filter(of).into_query()
}
