//! Everything that is held about an alias, for its holder to keep and to take elsewhere (GDPR 15 and 20).
//!
//! **Invariant:** rows are taken apart field by field, so that a new column is either said or left out by name.

use std::collections::HashMap;

use api::v1;
use calendar::{Roster, Shift, ShiftRules, Span};
use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::{BASE64, HEXLOWER};
use futures_util::stream;
use sea_orm::{ActiveEnum, ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};
use store::{
    AliasId, BookingId, access_token, alias, booking, booking_event, contact, credit, emergency_access, feed,
    fetch_turn, note, reminder, request, zone_change,
};
use tonic::Status;

use super::AliasSettings;
use crate::{
    App,
    accesses::{self, Access, What},
    error::Error,
    sealed::Safe,
};

/// Raised when a reader of the version before would misread what follows.
const SCHEMA: &str = "respite/alias-export/v1";
/// 42 CFR 2.32(a)(2), word for word.
const NOTICE: &str = "42 CFR part 2 prohibits unauthorized use or disclosure of these records.";
const CONSENT: &str = "Given out at the request of the person it is about, to nobody but them: whoever holds the key of \
                       this alias asked for it. It is no consent to pass it on.";

/// What is held but cannot be said, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("exclusion tags", "only keyed hashes are kept, which nobody can read; how many there are is said"),
    ("passes", "nothing that is kept of a spent pass says whose it was"),
    ("answers to earlier calls", "they are kept for a day, and say what the rest of this says"),
    ("access tokens and codes", "only hashes are kept, or what a code is made from with the server's key"),
];

/// The document, in pieces that each fit a message however much is held.
pub(super) type Chunks = stream::Iter<std::vec::IntoIter<Result<v1::ExportAliasResponse, Status>>>;

const CHUNK: usize = 64 << 10;

/// A JSON document, as of one moment.
///
/// It tells of itself: the worker's own log has it before anything is given out.
pub(super) async fn export(app: &App, alias: AliasId, now: DateTime<Utc>) -> Result<Chunks, Error> {
    let tx = app.db.write().await?;
    let safe = Safe::lock(app, &tx, alias).await?.ok_or(Error::NotFound("alias"))?;
    accesses::record(&tx, &safe, What::EXPORT, now).await?;
    tx.commit().await?;
    let document = document(app, alias, now).await?.to_string();
    let chunks = document.as_bytes().chunks(CHUNK);
    let chunks: Vec<_> = chunks.map(|chunk| Ok(v1::ExportAliasResponse { chunk: chunk.to_vec() })).collect();
    Ok(stream::iter(chunks))
}

async fn document(app: &App, alias: AliasId, now: DateTime<Utc>) -> Result<Value, Error> {
    let tx = app.db.snapshot().await?;
    let row = alias::Entity::find_by_id(alias).one(&tx).await?.ok_or(Error::NotFound("alias"))?;
    let safe = Safe::open(app, &tx, alias).await?;
    let contact = contact::Entity::find_by_id(alias).one(&tx).await?;
    let feed = feed::Entity::of_roster(alias).one(&tx).await?;
    let turn = fetch_turn::Entity::find_by_id(alias.0).one(&tx).await?;
    let left_out = LEFT_OUT.map(|(what, why)| json!({ "what": what, "why": why }));
    let document = json!({
        "schema": SCHEMA,
        "exported_at": at(now),
        "notice": NOTICE,
        "consent": CONSENT,
        "left_out": left_out,
        "alias": print_alias(row, safe.settings()?),
        "contact": contact.map(|row| print_contact(&safe, row)).transpose()?,
        "roster": safe.roster()?.map(|roster| print_roster(&safe, &roster)).transpose()?,
        "feed": feed.map(|row| print_feed(&safe, row)).transpose()?,
        "fetch_turn_used_until": turn.map(|turn| at(turn.used_until)),
        "bookings": bookings(&tx, &safe, alias).await?,
        "reminders": reminders(&tx, alias).await?,
        "credits": credits(&tx, alias).await?,
        "requests": requests(&tx, alias).await?,
        "access_tokens": access_tokens(&tx, alias).await?,
        "emergency_accesses": emergency_accesses(&tx, alias).await?,
        "accesses": accesses::read(&tx, &safe, now).await?.iter().map(print_access).collect::<Vec<_>>(),
    });
    tx.commit().await?;
    Ok(document)
}

fn print_alias(row: alias::Model, settings: AliasSettings) -> Value {
    let alias::Model { id, public_key, handle, settings: _, exclusion_tags } = row;
    let AliasSettings { shift_rules, time_zone } = settings;
    let ShiftRules { commute, rest_before, sleep_after_night, on_call_blocks } = shift_rules;
    json!({
        "id": id.to_string(),
        "public_key": HEXLOWER.encode(&public_key.0),
        "handle": handle,
        "settings": {
            "commute_minutes": commute.num_minutes(),
            "rest_before_shift_minutes": rest_before.num_minutes(),
            "sleep_after_night_minutes": sleep_after_night.num_minutes(),
            "on_call_blocks": on_call_blocks,
            "time_zone": time_zone,
        },
        "exclusion_tag_count": exclusion_tags.iter().len(),
    })
}

fn print_contact(safe: &Safe, row: contact::Model) -> Result<Value, Error> {
    let contact::Model {
        alias_id: _,
        sealed,
        confirmed,
        // The code follows from it.
        code_id: _,
        code_expires_at,
        code_attempts,
        codes_sent_on,
        codes_sent,
    } = row;
    Ok(json!({
        "address": sealed.map(|sealed| safe.unseal_contact(&sealed)).transpose()?,
        "confirmed": confirmed,
        "code_expires_at": at(code_expires_at),
        "code_attempts": code_attempts,
        "codes_sent_on": codes_sent_on.to_string(),
        "codes_sent": codes_sent,
    }))
}

fn print_roster(safe: &Safe, roster: &Roster) -> Result<Value, Error> {
    let span = |span: Span| json!({ "start": at(span.start()), "end": at(span.end()) });
    let shift = |shift: &Shift| {
        let Shift { span: time, kind } = *shift;
        json!({ "span": span(time), "kind": kind })
    };
    Ok(json!({
        "time_zone": roster.zone(),
        "published_until": roster.published_until(),
        "shifts": roster.shifts().iter().map(shift).collect::<Vec<_>>(),
        "breaks": roster.breaks().iter().copied().map(span).collect::<Vec<_>>(),
        "displaced_bookings": safe.displaced()?,
    }))
}

fn print_feed(safe: &Safe, row: feed::Model) -> Result<Value, Error> {
    let feed::Model { id, alias_id: _, sealed, failures, next_attempt_at, fetched_at, failing_since } = row;
    Ok(json!({
        "id": id.to_string(),
        "source": safe.unseal_feed(&sealed)?,
        "failures": failures,
        "next_attempt_at": at(next_attempt_at),
        "fetched_at": fetched_at.map(at),
        "failing_since": failing_since.map(at),
    }))
}

/// Holds that came to nothing included, as long as they are kept.
async fn bookings(tx: &DatabaseTransaction, safe: &Safe, alias: AliasId) -> Result<Vec<Value>, Error> {
    let own = || booking::Entity::ids_of(alias);
    let mut histories: HashMap<BookingId, Vec<Value>> = HashMap::new();
    let events = booking_event::Entity::find()
        .filter(booking_event::Column::BookingId.in_subquery(own()))
        .order_by_asc(booking_event::Column::Sequence);
    for event in events.all(tx).await? {
        histories.entry(event.booking_id).or_default().push(print_event(&event));
    }
    let changes =
        zone_change::Entity::find().filter(zone_change::Column::BookingId.in_subquery(own())).all(tx).await?;
    let mut changes: HashMap<_, _> =
        changes.into_iter().map(|change| (change.booking_id, print_zone_change(change))).collect();
    let mut notes: HashMap<BookingId, Vec<Value>> = HashMap::new();
    let written = note::Entity::find()
        .filter(note::Column::BookingId.in_subquery(own()))
        .order_by_asc(note::Column::Kind);
    for note in written.all(tx).await? {
        notes.entry(note.booking_id).or_default().push(print_note(safe, &note)?);
    }
    let rows = booking::Entity::find()
        .filter(booking::COLUMN.alias_id.eq(alias))
        .order_by_asc(booking::Column::StartsAt)
        .order_by_asc(booking::Column::Id)
        .all(tx)
        .await?;
    let print = |row: booking::Model| {
        let (history, change) = (histories.remove(&row.id), changes.remove(&row.id));
        let notes = notes.remove(&row.id);
        print_booking(row, &history.unwrap_or_default(), change.as_ref(), &notes.unwrap_or_default())
    };
    Ok(rows.into_iter().map(print).collect())
}

/// As a device sealed it: a copy and a handover open with the phrase, an intake with the therapist's device alone.
fn print_note(safe: &Safe, row: &note::Model) -> Result<Value, Error> {
    Ok(json!({ "kind": row.kind.to_value(), "sealed": BASE64.encode(&safe.unseal_note(row)?) }))
}

fn print_booking(
    row: booking::Model,
    history: &[Value],
    zone_change: Option<&Value>,
    notes: &[Value],
) -> Value {
    let booking::Model {
        id,
        therapist_id,
        alias_id: _,
        session_type_id,
        state,
        // Follows from the state.
        occupies: _,
        starts_at,
        ends_at,
        // The therapist's buffers are not the worker's to know.
        busy_from: _,
        busy_until: _,
        local_start,
        time_zone,
        modality,
        hold_expires_at,
        late_cancellation,
        programme_id,
    } = row;
    json!({
        "id": id.to_string(),
        "therapist_id": therapist_id.to_string(),
        "session_type_id": session_type_id.to_string(),
        "state": state.to_value(),
        "starts_at": at(starts_at),
        "ends_at": at(ends_at),
        "local_start": local_start,
        "time_zone": time_zone,
        "modality": modality.to_value(),
        "hold_expires_at": hold_expires_at.map(at),
        "late_cancellation": late_cancellation,
        "programme_id": programme_id.map(|id| id.to_string()),
        "history": history,
        "zone_change": zone_change,
        "notes": notes,
    })
}

fn print_event(row: &booking_event::Model) -> Value {
    let &booking_event::Model { booking_id: _, sequence, at: time, state, actor, rescheduled } = row;
    json!({
        "sequence": sequence,
        "at": at(time),
        "state": state.to_value(),
        "actor": actor.to_value(),
        "rescheduled": rescheduled,
    })
}

fn print_zone_change(row: zone_change::Model) -> Value {
    let zone_change::Model { booking_id: _, version, time_zone, old_start, new_start, outcome } = row;
    json!({
        "version": version,
        "time_zone": time_zone,
        "old_start": at(old_start),
        "new_start": at(new_start),
        "outcome": outcome.to_value(),
    })
}

async fn reminders(tx: &DatabaseTransaction, alias: AliasId) -> Result<Vec<Value>, DbErr> {
    let rows = reminder::Entity::find()
        .filter(reminder::COLUMN.alias_id.eq(alias))
        .order_by_asc(reminder::Column::DueAt)
        .order_by_asc(reminder::Column::Id)
        .all(tx)
        .await?;
    let print = |row: reminder::Model| {
        let reminder::Model {
            id,
            alias_id: _,
            booking_id,
            kind,
            lead_minutes,
            due_at,
            state,
            attempts,
            next_attempt_at,
        } = row;
        json!({
            "id": id.to_string(),
            "booking_id": booking_id.map(|id| id.to_string()),
            "kind": kind.to_value(),
            "lead_minutes": lead_minutes,
            "due_at": at(due_at),
            "state": state.to_value(),
            "attempts": attempts,
            "next_attempt_at": at(next_attempt_at),
        })
    };
    Ok(rows.into_iter().map(print).collect())
}

async fn credits(tx: &DatabaseTransaction, alias: AliasId) -> Result<Vec<Value>, DbErr> {
    let rows = credit::Entity::find()
        .filter(credit::COLUMN.alias_id.eq(alias))
        .order_by_asc(credit::Column::LastDate)
        .order_by_asc(credit::Column::Id)
        .all(tx)
        .await?;
    let print = |row: credit::Model| {
        let credit::Model { id, alias_id: _, programme_id, first_date, last_date } = row;
        json!({
            "id": id.to_string(),
            "programme_id": programme_id.to_string(),
            "first_date": first_date.to_string(),
            "last_date": last_date.to_string(),
        })
    };
    Ok(rows.into_iter().map(print).collect())
}

async fn requests(tx: &DatabaseTransaction, alias: AliasId) -> Result<Vec<Value>, DbErr> {
    let rows = request::Entity::find()
        .filter(request::COLUMN.caller_id.eq(alias.0))
        .order_by_asc(request::Column::ExpiresAt)
        .order_by_asc(request::Column::RequestId)
        .all(tx)
        .await?;
    let print = |row: request::Model| {
        let request::Model { caller_id: _, request_id, payload_mac: _, response: _, expires_at } = row;
        json!({ "request_id": request_id.to_string(), "expires_at": at(expires_at) })
    };
    Ok(rows.into_iter().map(print).collect())
}

async fn access_tokens(tx: &DatabaseTransaction, alias: AliasId) -> Result<Vec<Value>, DbErr> {
    let rows = access_token::Entity::find()
        .filter(access_token::COLUMN.caller_id.eq(alias.0))
        .order_by_asc(access_token::Column::ExpiresAt)
        .all(tx)
        .await?;
    let print = |row: access_token::Model| {
        let access_token::Model { hash: _, caller_kind: _, caller_id: _, expires_at } = row;
        json!({ "expires_at": at(expires_at) })
    };
    Ok(rows.into_iter().map(print).collect())
}

/// As `ListAccesses` says it.
fn print_access(access: &Access) -> Value {
    let told = access.print();
    let (caller, action, reason) = (told.caller(), told.action(), told.reason());
    let v1::Access { create_time, caller: _, action: _, booking_id, emergency_access_id, reason: _ } = told;
    let time = create_time.and_then(|time| DateTime::from_timestamp(time.seconds, 0));
    json!({
        "at": time.map(at),
        "caller": caller.as_str_name(),
        "action": action.as_str_name(),
        "booking_id": booking_id,
        "emergency_access_id": emergency_access_id,
        "reason": reason.as_str_name(),
    })
}

/// The operators are known by their ids to whoever inquires, and to no worker.
async fn emergency_accesses(tx: &DatabaseTransaction, alias: AliasId) -> Result<Vec<Value>, DbErr> {
    let rows = emergency_access::Entity::find()
        .filter(emergency_access::Column::BookingId.in_subquery(booking::Entity::ids_of(alias)))
        .order_by_asc(emergency_access::Column::RequestedAt)
        .order_by_asc(emergency_access::Column::Id)
        .all(tx)
        .await?;
    let print = |row: emergency_access::Model| {
        let emergency_access::Model {
            id,
            booking_id,
            requested_by: _,
            requested_at,
            approved_by,
            expires_at,
            read_at,
        } = row;
        json!({
            "id": id.to_string(),
            "booking_id": booking_id.to_string(),
            "requested_at": at(requested_at),
            "approved": approved_by.is_some(),
            "expires_at": at(expires_at),
            "read_at": read_at.map(at),
        })
    };
    Ok(rows.into_iter().map(print).collect())
}

fn at(time: impl Into<DateTime<Utc>>) -> String {
    time.into().to_rfc3339_opts(SecondsFormat::Secs, true)
}
