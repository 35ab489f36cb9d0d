//! A discreet word ahead of a session: contacts, what is planned, and what is sent.

mod contact;
mod deliver;
mod plan;

use api::v1;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use store::{Instant, booking, reminder};
use tonic::{Request, Response, Status};

use self::contact::Confirmation;
pub(crate) use self::contact::Contact;
pub use self::deliver::{Delivered, deliver_due, run};
pub(crate) use self::plan::{cancel, plan, planned, update};
use crate::{
    App,
    access::Called,
    error::Error,
    field::timestamp,
    once::{Once, Turn},
    sealed::Safe,
};

#[tonic::async_trait]
impl v1::reminder_service_server::ReminderService for App {
    async fn set_contact(
        &self,
        request: Request<v1::SetContactRequest>,
    ) -> Result<Response<v1::SetContactResponse>, Status> {
        let now = self.clock.now();
        let (caller, alias) = (request.caller(), request.alias()?);
        let request = request.into_inner();
        let contact = Contact::parse(request.contact.clone())?;
        let once = match Once::begin(self, caller, "SetContact", &request, &request.request_id, now).await? {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        contact::set(&once, alias, contact, now).await?;
        Ok(Response::new(once.commit(v1::SetContactResponse {}).await?))
    }

    async fn confirm_contact(
        &self,
        request: Request<v1::ConfirmContactRequest>,
    ) -> Result<Response<v1::ConfirmContactResponse>, Status> {
        let now = self.clock.now();
        let (caller, alias) = (request.caller(), request.alias()?);
        let request = request.into_inner();
        let code = contact::parse_code(&request.code)?;
        let begun = Once::begin(self, caller, "ConfirmContact", &request, &request.request_id, now).await?;
        let once = match begun {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        match contact::confirm(self, &once.tx, alias, code, now).await? {
            Confirmation::Right => Ok(Response::new(once.commit(v1::ConfirmContactResponse {}).await?)),
            Confirmation::Wrong => {
                once.tx.commit().await.map_err(Error::from)?;
                Err(Error::CodeWrong.into())
            }
        }
    }

    async fn get_contact(
        &self,
        request: Request<v1::GetContactRequest>,
    ) -> Result<Response<v1::GetContactResponse>, Status> {
        let alias = request.alias()?;
        let safe = Safe::open(self, self.db.read(), alias).await?;
        let contact = contact::get(self.db.read(), &safe, alias).await?;
        Ok(Response::new(v1::GetContactResponse { contact: Some(contact) }))
    }

    async fn delete_contact(
        &self,
        request: Request<v1::DeleteContactRequest>,
    ) -> Result<Response<v1::DeleteContactResponse>, Status> {
        let now = self.clock.now();
        let (caller, alias) = (request.caller(), request.alias()?);
        let request = request.into_inner();
        let begun = Once::begin(self, caller, "DeleteContact", &request, &request.request_id, now).await?;
        let once = match begun {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        contact::delete(&once.tx, alias).await?;
        Ok(Response::new(once.commit(v1::DeleteContactResponse {}).await?))
    }

    async fn list_reminders(
        &self,
        request: Request<v1::ListRemindersRequest>,
    ) -> Result<Response<v1::ListRemindersResponse>, Status> {
        let now = self.clock.now();
        let alias = request.alias()?;
        let to_come = booking::Entity::find()
            .select_only()
            .column(booking::Column::Id)
            .filter(booking::COLUMN.alias_id.eq(alias))
            .filter(booking::COLUMN.state.eq(booking::State::Booked))
            .filter(booking::COLUMN.starts_at.gt(Instant::from(now)))
            .into_query();
        let reminders = reminder::Entity::find()
            .filter(reminder::COLUMN.alias_id.eq(alias))
            .filter(reminder::COLUMN.kind.eq(reminder::Kind::Session))
            .filter(reminder::Column::BookingId.in_subquery(to_come))
            .order_by_asc(reminder::Column::DueAt)
            .order_by_asc(reminder::Column::Id)
            .limit(MOST_LISTED)
            .all(self.db.read())
            .await
            .map_err(Error::from)?;
        let reminders = reminders.iter().map(print).collect();
        Ok(Response::new(v1::ListRemindersResponse { reminders }))
    }
}

const MOST_LISTED: u64 = 100;

fn print(row: &reminder::Model) -> v1::Reminder {
    // How often it was tried is between us and the mail server.
    let &reminder::Model {
        id: _,
        alias_id: _,
        booking_id,
        kind: _,
        lead_minutes: _,
        due_at,
        state,
        attempts: _,
        next_attempt_at: _,
    } = row;
    let state = match state {
        reminder::State::Planned => v1::ReminderState::Planned,
        reminder::State::Sent => v1::ReminderState::Sent,
        reminder::State::Skipped => v1::ReminderState::Skipped,
        reminder::State::Dead => v1::ReminderState::Dead,
    };
    v1::Reminder {
        booking_id: booking_id.map(|id| id.to_string()).unwrap_or_default(),
        due_time: Some(timestamp(due_at)),
        state: state.into(),
    }
}
