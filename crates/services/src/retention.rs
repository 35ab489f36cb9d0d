//! Forgets what has served its time.

use std::{
    collections::{BTreeMap, HashSet},
    pin::pin,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, SelectStatement},
};
use store::{
    AliasId, BookingId, Instant, access_token, booking, booking_event, change, change::Position,
    date_override, device_key, emergency_access, fetch_turn, note, reminder, request, time_off,
    used_challenge, zone_change,
};

use crate::{App, accesses, error::Error, programme::payment};

/// Sweeps every hour until `stop`.
pub async fn run(app: App, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let mut seen = None;
    loop {
        if let Err(error) = sweep(&app).await.and(forget_changes(&app, &mut seen).await) {
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

/// Forgets the changes that were there a sweep ago: every server has read them, or reads everything anew.
async fn forget_changes(app: &App, seen: &mut Option<Position>) -> Result<(), Error> {
    let now = change::position(app.db.read()).await?;
    if let Some(before) = seen.replace(now) {
        let tx = app.db.write().await?;
        change::forget(&tx, before).await?;
        tx.commit().await?;
    }
    Ok(())
}

const EVERY: Duration = Duration::from_hours(1);
/// After a hold expired, for clients that still ask about it.
const HOLDS: TimeDelta = TimeDelta::days(1);
/// After a session, for the worker and the therapist who go on with each other; and after a therapist's absence. A year's
/// report, a day after its end, still has to tell whether somebody came once or often (E4): the first session of a leap
/// year is 367 days old by then.
pub(crate) const SESSIONS: TimeDelta = TimeDelta::days(368);
/// After a session, for the therapist who still has to think about it; the worker's own stay as long as the booking is theirs.
const INTAKES: TimeDelta = TimeDelta::days(30);
/// After a letter that was given up was due, for operators who look into it.
const DEAD_LETTERS: TimeDelta = TimeDelta::days(30);
/// After an emergency access ended, for those who see to it; the audit log and the worker's own tell of it longer.
const EMERGENCIES: TimeDelta = TimeDelta::days(1);
/// After a code was due.
const CODES: TimeDelta = TimeDelta::days(1);

/// Deletes, once, tokens, challenges and answers that have expired, holds that ended a day ago, reminders of sessions that
/// are over, intakes a month after them, device keys that have expired, emergency accesses a day after they did, credits
/// and spent passes of periods that are over, and, a year after it, whose a session was and when a therapist was away.
pub async fn sweep(app: &App) -> Result<(), Error> {
    let present = app.clock.now();
    let ago = |time: TimeDelta| Instant::from(present - time);
    let now = Instant::from(present);

    let tx = app.db.write().await?;
    let stood = change::position(&tx).await?;
    access_token::Entity::delete_many().filter(access_token::COLUMN.expires_at.lte(now)).exec(&tx).await?;
    // Everybody knows by themselves when a token ends.
    change::take_back(&tx, stood).await?;
    used_challenge::Entity::delete_many()
        .filter(used_challenge::COLUMN.expires_at.lte(now))
        .exec(&tx)
        .await?;
    request::Entity::delete_many().filter(request::COLUMN.expires_at.lte(now)).exec(&tx).await?;
    fetch_turn::Entity::delete_many().filter(fetch_turn::COLUMN.used_until.lte(now)).exec(&tx).await?;
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
    // Never booked, whether it expired or was given back: booking clears the column.
    booking::Entity::delete_many().filter(booking::COLUMN.hold_expires_at.lte(ago(HOLDS))).exec(&tx).await?;
    tx.commit().await?;

    let tx = app.db.write().await?;
    device_key::Entity::delete_many().filter(device_key::COLUMN.expires_at.lte(now)).exec(&tx).await?;
    emergency_access::Entity::delete_many()
        .filter(emergency_access::COLUMN.expires_at.lte(ago(EMERGENCIES)))
        .exec(&tx)
        .await?;
    let over = ids(Condition::all().add(booking::COLUMN.ends_at.lte(ago(INTAKES))));
    note::Entity::delete_many()
        .filter(note::COLUMN.kind.eq(note::Kind::Intake))
        .filter(note::Column::BookingId.in_subquery(over))
        .exec(&tx)
        .await?;
    tx.commit().await?;

    let tx = app.db.write().await?;
    payment::forget(app, &tx, present).await?;
    tx.commit().await?;

    forget_whose(app, present).await?;
    let tx = app.db.write().await?;
    let long_over = Condition::all().add(booking::COLUMN.starts_at.lte(ago(SESSIONS)));
    booking_event::Entity::delete_many()
        .filter(booking_event::Column::BookingId.in_subquery(ids(long_over.clone())))
        .exec(&tx)
        .await?;
    zone_change::Entity::delete_many()
        .filter(zone_change::Column::BookingId.in_subquery(ids(long_over.clone())))
        .exec(&tx)
        .await?;
    note::Entity::delete_many()
        .filter(note::Column::BookingId.in_subquery(ids(long_over.clone())))
        .exec(&tx)
        .await?;
    booking::Entity::update_many()
        .col_expr(booking::Column::AliasId, Expr::value(None::<AliasId>))
        .filter(long_over.add(booking::COLUMN.alias_id.is_not_null()))
        .exec(&tx)
        .await?;
    time_off::Entity::delete_many().filter(time_off::COLUMN.ends_at.lte(ago(SESSIONS))).exec(&tx).await?;
    date_override::Entity::delete_many()
        .filter(date_override::COLUMN.date.lt((present - SESSIONS).date_naive()))
        .exec(&tx)
        .await?;
    tx.commit().await?;

    if !app.db.scrub().await? {
        tracing::warn!("old pages of the database were not blanked, since somebody was reading");
    }
    Ok(())
}

/// Lets go, in the aliases' own logs, of the bookings that are about to be nobody's.
async fn forget_whose(app: &App, now: DateTime<Utc>) -> Result<(), Error> {
    let long_over: Vec<(BookingId, AliasId)> = booking::Entity::find()
        .select_only()
        .columns([booking::Column::Id, booking::Column::AliasId])
        .filter(booking::COLUMN.starts_at.lte(Instant::from(now - SESSIONS)))
        .filter(booking::COLUMN.alias_id.is_not_null())
        .into_tuple()
        .all(app.db.read())
        .await?;
    let mut of_alias: BTreeMap<AliasId, HashSet<BookingId>> = BTreeMap::new();
    for (booking, alias) in long_over {
        of_alias.entry(alias).or_default().insert(booking);
    }
    for (alias, bookings) in of_alias {
        accesses::forget_bookings(app, alias, &bookings, now).await?;
    }
    Ok(())
}

fn ids(of: Condition) -> SelectStatement {
    booking::Entity::find().select_only().column(booking::Column::Id).filter(of).into_query()
}
