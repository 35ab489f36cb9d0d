//! Sealed notes: their shape is checked, and whether the booking takes them.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait, sea_query::OnConflict,
};
use sha2::{Digest, Sha256};
use store::{
    AliasId, BookingId, Instant, TherapistId, booking, booking::State, device_key, note, note::Kind,
};
use uuid::Uuid;

use crate::{
    App, Caller,
    accesses::{self, What},
    booking::{next_page, page_filter},
    error::Error,
    field,
    once::{Once, Turn},
    page,
    sealed::Safe,
};

/// After a session, for the therapist who writes down what comes next.
const HANDOVERS: TimeDelta = TimeDelta::days(30);

/// What a device sealed, of the right shape.
struct FromDevice(Vec<u8>);

/// Version and suite: X25519, HKDF-SHA256, ChaCha20Poly1305.
const HEADER: &[u8; 7] = &[1, 0, 0x20, 0, 1, 0, 3];
/// The id of the key that it is sealed to.
const KEY_ID: usize = 8;
/// The header, the key's id, the encapsulated key and the tag.
const AROUND: usize = 7 + KEY_ID + 32 + 16;
/// What hides the length of a text.
const BLOCK: usize = 1024;

impl FromDevice {
    fn parse(bytes: &[u8], field: &str) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(field::required(field));
        }
        let blocks = bytes.len().checked_sub(AROUND).filter(|text| text.is_multiple_of(BLOCK));
        match blocks {
            Some(length) if (BLOCK..=16 * BLOCK).contains(&length) && bytes.starts_with(HEADER) => {
                Ok(Self(bytes.to_vec()))
            }
            _ => Err(field::malformed(field, "a sealed note of 63 bytes and 1 to 16 times 1024")),
        }
    }

    fn is_for(&self, key: &device_key::Model) -> bool {
        self.0[HEADER.len()..][..KEY_ID] == Sha256::digest(&key.public_key.0)[..KEY_ID]
    }
}

pub(super) async fn put_intake(
    app: &App,
    alias: AliasId,
    request: v1::PutIntakeRequest,
    now: DateTime<Utc>,
) -> Result<v1::PutIntakeResponse, Error> {
    let v1::PutIntakeRequest { request_id, booking_id, intake, copy } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;
    let (intake, copy) = (FromDevice::parse(intake, "intake")?, FromDevice::parse(copy, "copy")?);

    let caller = Caller::Alias(alias);
    let once = match Once::begin(app, caller, "PutIntake", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let booking =
        booking::Entity::owned(booking_id, alias).one(&once.tx).await?.ok_or(Error::NotFound("booking"))?;
    if !matches!(booking.state, State::Booked | State::Arrived) {
        return Err(Error::WrongState { state: booking.state });
    }
    if booking.ends_at <= now.into() {
        return Err(Error::NoteTooLate);
    }
    let keys = device_key::Entity::live(booking.therapist_id, now.into()).all(&once.tx).await?;
    if !keys.iter().any(|key| intake.is_for(key)) {
        return Err(Error::DeviceKeyNotLive);
    }
    for (kind, from_device) in [(Kind::Intake, intake), (Kind::Copy, copy)] {
        put(&once.tx, once.safe()?, booking_id, kind, &from_device).await?;
    }
    once.commit(v1::PutIntakeResponse {}).await
}

pub(super) async fn put_handover(
    app: &App,
    therapist: TherapistId,
    request: v1::PutHandoverRequest,
    now: DateTime<Utc>,
) -> Result<v1::PutHandoverResponse, Error> {
    let v1::PutHandoverRequest { request_id, booking_id, handover } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;
    let handover = FromDevice::parse(handover, "handover")?;

    // The caller's row is the therapist's: an alias that is erased waits for it before its notes go.
    let caller = Caller::Therapist(therapist);
    let once = match Once::begin(app, caller, "PutHandover", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let booking = booking::Entity::find_by_id(booking_id)
        .filter(booking::COLUMN.therapist_id.eq(therapist))
        .filter(booking::COLUMN.hold_expires_at.is_null())
        .one(&once.tx)
        .await?;
    let booking = booking.ok_or(Error::NotFound("booking"))?;
    let alias = booking.alias_id.ok_or(Error::NotFound("booking"))?;
    if !matches!(booking.state, State::Booked | State::Arrived | State::Fulfilled) {
        return Err(Error::WrongState { state: booking.state });
    }
    if booking.starts_at > now.into() {
        return Err(Error::SessionNotBegun);
    }
    if booking.ends_at <= Instant::from(now - HANDOVERS) {
        return Err(Error::NoteTooLate);
    }
    let safe = Safe::open(app, &once.tx, alias).await?;
    put(&once.tx, &safe, booking_id, Kind::Handover, &handover).await?;
    once.commit(v1::PutHandoverResponse {}).await
}

pub(super) async fn get_notes(
    app: &App,
    alias: AliasId,
    request: v1::GetNotesRequest,
) -> Result<v1::GetNotesResponse, Error> {
    let id: BookingId = field::id(&request.booking_id, "booking_id")?;
    let db = app.db.read();
    booking::Entity::owned(id, alias).one(db).await?.ok_or(Error::NotFound("booking"))?;
    let safe = Safe::open(app, db, alias).await?;
    let mut told = v1::GetNotesResponse::default();
    for row in note::Entity::find().filter(note::COLUMN.booking_id.eq(id)).all(db).await? {
        match row.kind {
            Kind::Intake => {}
            Kind::Copy => told.copy = safe.unseal_note(&row)?,
            Kind::Handover => told.handover = safe.unseal_note(&row)?,
        }
    }
    Ok(told)
}

pub(super) async fn list_intakes(
    app: &App,
    therapist: TherapistId,
    request: v1::ListIntakesRequest,
    now: DateTime<Utc>,
) -> Result<v1::ListIntakesResponse, Error> {
    let page_size = page::size(request.page_size)?;
    let caller = Caller::Therapist(therapist);
    let list = page::List::new(app, caller, "ListIntakes", &v1::ListIntakesRequest::default());
    let after: Option<(DateTime<Utc>, Uuid)> = list.position(&request.page_token)?;

    let db = app.db.read();
    let with_intake = note::Entity::find()
        .select_only()
        .column(note::Column::BookingId)
        .filter(note::COLUMN.kind.eq(Kind::Intake))
        .into_query();
    let mut bookings = booking::Entity::find()
        .filter(booking::COLUMN.therapist_id.eq(therapist))
        .filter(booking::COLUMN.state.ne(State::Cancelled))
        .filter(booking::Column::Id.in_subquery(with_intake))
        .filter(page_filter(after))
        .order_by_asc(booking::Column::StartsAt)
        .order_by_asc(booking::Column::Id)
        .limit(page_size as u64 + 1)
        .all(db)
        .await?;
    let next_page_token = next_page(&list, &mut bookings, page_size)?;
    let mut intakes = Vec::with_capacity(bookings.len());
    for booking in bookings {
        let Some(alias) = booking.alias_id else { continue };
        let what = What::read_intake(booking.id);
        // Erased, or deleted, since the list was read: what is told of is given out, and nothing else.
        let Some(safe) = accesses::record_first(app, alias, what, now).await? else { continue };
        let row = note::Entity::find_by_id((booking.id, Kind::Intake)).one(db).await?;
        let Some(row) = row else { continue };
        intakes.push(v1::Intake { booking_id: booking.id.to_string(), intake: safe.unseal_note(&row)? });
    }
    Ok(v1::ListIntakesResponse { intakes, next_page_token })
}

pub(super) async fn delete_notes(
    app: &App,
    alias: AliasId,
    request: v1::DeleteNotesRequest,
    now: DateTime<Utc>,
) -> Result<v1::DeleteNotesResponse, Error> {
    let v1::DeleteNotesRequest { request_id, booking_id } = &request;
    let id: BookingId = field::id(booking_id, "booking_id")?;
    let caller = Caller::Alias(alias);
    let once = match Once::begin(app, caller, "DeleteNotes", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    booking::Entity::owned(id, alias).one(&once.tx).await?.ok_or(Error::NotFound("booking"))?;
    note::Entity::delete_many().filter(note::COLUMN.booking_id.eq(id)).exec(&once.tx).await?;
    once.commit(v1::DeleteNotesResponse {}).await
}

/// Puts a note in the place of the one before.
async fn put(
    tx: &DatabaseTransaction,
    safe: &Safe,
    booking_id: BookingId,
    kind: Kind,
    from_device: &FromDevice,
) -> Result<(), Error> {
    let sealed = safe.seal_note(booking_id, kind, &from_device.0);
    let row = note::Model { booking_id, kind, sealed };
    note::Entity::insert(row.into_active_model())
        .on_conflict(
            OnConflict::columns([note::Column::BookingId, note::Column::Kind])
                .update_column(note::Column::Sealed)
                .to_owned(),
        )
        .exec_without_returning(tx)
        .await?;
    Ok(())
}
