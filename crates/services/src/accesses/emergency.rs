//! How two operators together read a contact, and neither alone.
//!
//! **Invariant:** an alias's row is locked before anything of an emergency is written, as by whoever erases it, so that
//! nothing is read of what is erased meanwhile.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter,
};
use store::{
    BookingId, EmergencyAccessId, Instant, OperatorId,
    audit::{self as staff_log, Action},
    booking::{self, State},
    contact, emergency_access,
};
use uuid::Uuid;

use super::log::{self, Reason, What};
use crate::{
    App, Caller, audit,
    error::{EmergencyRefusal, Error, LimitReason},
    field,
    once::{Once, Turn},
    page,
    sealed::Safe,
};

/// Until somebody has to agree, and from then until it has to be read.
const LASTS: TimeDelta = TimeDelta::minutes(15);
/// How often an operator may ask in a day.
const A_DAY: u64 = 5;
/// How long after a session a therapist may fear for somebody, as long as they may write a handover.
const LATELY: TimeDelta = TimeDelta::days(30);

pub(super) async fn request(
    app: &App,
    operator: OperatorId,
    request: v1::RequestEmergencyAccessRequest,
    now: DateTime<Utc>,
) -> Result<v1::RequestEmergencyAccessResponse, Error> {
    let v1::RequestEmergencyAccessRequest { request_id, booking_id, reason } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;
    let reason = Reason::parse(*reason)?;

    let caller = Caller::Operator(operator);
    let once = match Once::begin(app, caller, "RequestEmergencyAccess", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let safe = lock(app, &once.tx, booking_id, now).await?.ok_or(Error::NotFound("booking"))?;
    let day = Instant::from(now - TimeDelta::days(1));
    let asked = staff_log::Entity::done_since(operator.0, Action::RequestEmergencyAccess, day);
    let asked = asked.count(&once.tx).await?;
    if asked >= A_DAY {
        return Err(Error::Limit { reason: LimitReason::Emergencies, most: A_DAY });
    }
    let row = emergency_access::Model {
        id: EmergencyAccessId::random(),
        booking_id,
        requested_by: operator,
        requested_at: now.into(),
        approved_by: None,
        expires_at: (now + LASTS).into(),
        read_at: None,
    };
    let id = row.id;
    row.into_active_model().insert(&once.tx).await?;
    log::record(&once.tx, &safe, What::request(id, booking_id, reason), now).await?;
    audit::append(&once.tx, now, caller, Action::RequestEmergencyAccess, id).await?;
    let response = v1::RequestEmergencyAccessResponse {
        emergency_access_id: id.to_string(),
        expire_time: Some(field::timestamp(now + LASTS)),
    };
    once.commit(response).await
}

pub(super) async fn list(
    app: &App,
    operator: OperatorId,
    request: v1::ListEmergencyAccessesRequest,
    now: DateTime<Utc>,
) -> Result<v1::ListEmergencyAccessesResponse, Error> {
    let v1::ListEmergencyAccessesRequest { page_size, page_token } = request;
    let question = v1::ListEmergencyAccessesRequest::default();
    let pages = page::List::new(app, Caller::Operator(operator), "ListEmergencyAccesses", &question);
    let size = page::size(page_size)?;
    let after = pages.position::<(DateTime<Utc>, Uuid)>(&page_token)?;
    let after = after.map(|(at, id)| (at.into(), EmergencyAccessId(id)));
    let open = emergency_access::Entity::open(now.into(), after, size as u64 + 1);
    let mut rows = open.all(app.db.read()).await?;
    let mut next_page_token = String::new();
    if rows.len() > size {
        rows.truncate(size);
        if let Some(last) = rows.last() {
            next_page_token = pages.token(&(DateTime::<Utc>::from(last.requested_at), last.id.0))?;
        }
    }
    let emergency_accesses = rows.iter().map(print).collect();
    Ok(v1::ListEmergencyAccessesResponse { emergency_accesses, next_page_token })
}

pub(super) async fn approve(
    app: &App,
    operator: OperatorId,
    request: v1::ApproveEmergencyAccessRequest,
    now: DateTime<Utc>,
) -> Result<v1::ApproveEmergencyAccessResponse, Error> {
    let v1::ApproveEmergencyAccessRequest { request_id, emergency_access_id } = &request;
    let id: EmergencyAccessId = field::id(emergency_access_id, "emergency_access_id")?;

    let caller = Caller::Operator(operator);
    let once = match Once::begin(app, caller, "ApproveEmergencyAccess", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let safe = lock_of(app, &once.tx, id, now).await?;
    let expires_at = Instant::from(now + LASTS);
    let approved = emergency_access::Entity::approve(&once.tx, id, operator, now.into(), expires_at).await?;
    let row = find(&once.tx, id).await?;
    if !approved {
        return Err(match row {
            row if row.requested_by == operator => EmergencyRefusal::SecondOperatorNeeded,
            row if row.approved_by.is_some() => EmergencyRefusal::Approved,
            _ => EmergencyRefusal::Expired,
        }
        .into());
    }
    log::record(&once.tx, &safe, What::approve(id, row.booking_id), now).await?;
    audit::append(&once.tx, now, caller, Action::ApproveEmergencyAccess, id).await?;
    once.commit(v1::ApproveEmergencyAccessResponse { expire_time: Some(field::timestamp(expires_at)) }).await
}

/// Not one of the calls that remember their answer: nothing here writes down what it says.
pub(super) async fn read(
    app: &App,
    operator: OperatorId,
    request: v1::ReadEmergencyContactRequest,
    now: DateTime<Utc>,
) -> Result<v1::ReadEmergencyContactResponse, Error> {
    let v1::ReadEmergencyContactRequest { emergency_access_id } = request;
    let id: EmergencyAccessId = field::id(&emergency_access_id, "emergency_access_id")?;

    let tx = app.db.write().await?;
    let safe = lock_of(app, &tx, id, now).await?;
    let read = emergency_access::Entity::read(&tx, id, operator, now.into()).await?;
    let row = find(&tx, id).await?;
    if !read {
        return Err(match row {
            row if row.requested_by != operator => EmergencyRefusal::OtherOperator,
            row if row.read_at.is_some() => EmergencyRefusal::Read,
            row if row.expires_at <= now.into() => EmergencyRefusal::Expired,
            _ => EmergencyRefusal::NotApproved,
        }
        .into());
    }
    // One that was not confirmed may be a stranger's.
    let contact = contact::Entity::find_by_id(safe.alias()).one(&tx).await?.filter(|row| row.confirmed);
    let sealed = contact.and_then(|row| row.sealed).ok_or(EmergencyRefusal::NoContact)?;
    let contact = safe.unseal_contact(&sealed)?;
    log::record(&tx, &safe, What::read(id, row.booking_id), now).await?;
    audit::append(&tx, now, Caller::Operator(operator), Action::ReadEmergencyContact, id).await?;
    tx.commit().await?;
    Ok(contact.for_emergency())
}

/// What is sealed for the alias whose booking it is, with the alias's row locked; nothing if it is none of which a therapist
/// could fear something now, or nobody's name is left on it.
async fn lock(
    app: &App,
    tx: &DatabaseTransaction,
    booking: BookingId,
    now: DateTime<Utc>,
) -> Result<Option<Safe>, Error> {
    let lately = booking::Entity::find_by_id(booking)
        .filter(booking::COLUMN.state.is_in([State::Booked, State::Arrived, State::Fulfilled, State::NoShow]))
        .filter(booking::COLUMN.ends_at.gt(Instant::from(now - LATELY)));
    match lately.one(tx).await?.and_then(|booking| booking.alias_id) {
        Some(alias) => Safe::lock(app, tx, alias).await,
        None => Ok(None),
    }
}

async fn lock_of(
    app: &App,
    tx: &DatabaseTransaction,
    id: EmergencyAccessId,
    now: DateTime<Utc>,
) -> Result<Safe, Error> {
    let booking = find(tx, id).await?.booking_id;
    lock(app, tx, booking, now).await?.ok_or(MISSING)
}

async fn find(tx: &DatabaseTransaction, id: EmergencyAccessId) -> Result<emergency_access::Model, Error> {
    emergency_access::Entity::find_by_id(id).one(tx).await?.ok_or(MISSING)
}

const MISSING: Error = Error::NotFound("emergency access");

fn print(row: &emergency_access::Model) -> v1::EmergencyAccess {
    let &emergency_access::Model {
        id,
        booking_id,
        requested_by,
        requested_at: _,
        approved_by,
        expires_at,
        read_at,
    } = row;
    v1::EmergencyAccess {
        id: id.to_string(),
        booking_id: booking_id.to_string(),
        requester_id: requested_by.to_string(),
        approver_id: approved_by.map(|id| id.to_string()).unwrap_or_default(),
        expire_time: Some(field::timestamp(expires_at)),
        read_time: read_at.map(field::timestamp),
    }
}
