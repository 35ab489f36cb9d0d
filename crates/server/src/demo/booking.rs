//! A session held, booked, reminded of, seen by the therapist, and joined.

use std::time::Duration;

use api::v1;
use calendar::Span;
use chrono::{TimeDelta, Timelike};
use client::{Client, Refusal, Secret, request_id};
use notify::Letter;

use super::finding::{Nurse, Slot, instant, span, timestamp};
use super::screen::{BOLD, time};
use super::{Broken, Stage, there};
use crate::seed;

/// The address that nobody may find in the database.
pub(super) const EMAIL: &str = "night.owl.4711@example.org";

/// What the nurse has booked.
pub(super) struct Booked {
    pub(super) first: v1::Booking,
    /// With another therapist, on another day.
    pub(super) second: v1::Booking,
}

impl Booked {
    pub(super) fn session(&self) -> Result<Span, Broken> {
        there(span(self.first.session.as_ref()), "session in the booking")
    }
}

pub(super) async fn book(stage: &mut Stage, nurse: &Nurse, offered: &[Slot]) -> Result<Booked, Broken> {
    stage.screen.step("Hold, confirm, and somebody who comes too late");
    let home = stage.home();
    // Between the sleep after a night and the next one, if there is such a slot.
    let date = |slot: &Slot| home.local(slot.start()).date();
    let afternoon =
        |slot: &&Slot| date(slot) > date(&offered[0]) && (16..20).contains(&home.local(slot.start()).hour());
    let wanted = there(offered.iter().find(afternoon).or(offered.first()), "slot to hold")?;
    let request = wanted.hold_request();
    let held = nurse.client.bookings().hold_slot(request.clone()).await?.into_inner().booking;
    let held = there(held, "booking")?;
    let expires = there(instant(held.hold_expire_time.as_ref()), "end of the hold")?;
    stage.screen.row("held", &wanted.in_words(&home));
    stage.screen.row("kept for her until", &time(&home, expires));
    stage.screen.same("a hold lasts ten minutes", &10, &(expires - stage.app.clock.now()).num_minutes());

    let again = nurse.client.bookings().hold_slot(request.clone()).await?.into_inner().booking;
    let again = there(again, "booking")?;
    stage.screen.same(
        "her phone lost the answer and asks again: the same hold, not a second one",
        &held.id,
        &again.id,
    );
    let other = v1::HoldSlotRequest { modality: v1::Modality::Audio.into(), ..request.clone() };
    let refused = refusal(nurse.client.bookings().hold_slot(other).await);
    stage.screen.same(
        "the same request id with another wish is refused",
        &"REQUEST_ID_REUSED",
        &refused.as_str(),
    );

    let somebody = somebody_else(stage).await?;
    let late = v1::HoldSlotRequest { request_id: request_id(), ..request };
    let refused = refusal(somebody.bookings().hold_slot(late).await);
    stage.screen.same(
        "somebody else wants it too and is not told who was faster",
        &"SLOT_TAKEN",
        &refused.as_str(),
    );

    let first = confirm(nurse, &held).await?;
    stage.screen.same("confirmed", &v1::BookingState::Booked.as_str_name(), &first.state().as_str_name());

    let later = |slot: &&Slot| {
        slot.therapist_id != wanted.therapist_id && slot.start() > wanted.start() + TimeDelta::days(1)
    };
    let other = there(offered.iter().find(later), "slot with another therapist")?;
    let held = nurse.client.bookings().hold_slot(other.hold_request()).await?.into_inner().booking;
    let second = confirm(nurse, &there(held, "booking")?).await?;
    stage.screen.row("booked as well", &other.in_words(&home));
    Ok(Booked { first, second })
}

pub(super) async fn remind(stage: &mut Stage, nurse: &Nurse, booked: &Booked) -> Result<(), Broken> {
    stage.screen.step("One discreet reminder");
    let contact = v1::Contact {
        email: EMAIL.to_owned(),
        language_code: "en".to_owned(),
        level: v1::ReminderLevel::Time.into(),
        ..Default::default()
    };
    let request = v1::SetContactRequest { request_id: request_id(), contact: Some(contact) };
    nurse.client.reminders().set_contact(request).await?;
    let letter = there(next_letter(stage, 0).await?, "letter with a code")?;
    stage.screen.say(&format!(
        "She gives an address, {EMAIL}. Before anything else is sent to it, it proves itself:"
    ));
    stage.screen.letter(&letter);
    let code: String = letter.body().chars().filter(char::is_ascii_digit).take(6).collect();
    let request = v1::ConfirmContactRequest { request_id: request_id(), code };
    nurse.client.reminders().confirm_contact(request).await?;

    let planned =
        nurse.client.reminders().list_reminders(v1::ListRemindersRequest {}).await?.into_inner().reminders;
    let due = planned.iter().find(|reminder| reminder.booking_id == booked.first.id);
    let due = there(due.and_then(|reminder| instant(reminder.due_time.as_ref())), "reminder")?;
    let session = booked.session()?;
    let early = session.start() - due;
    let about_a_day = (TimeDelta::minutes(23 * 60 + 50)..=TimeDelta::minutes(24 * 60 + 10)).contains(&early);
    stage.screen.holds(
        "a reminder is planned a day ahead, give or take ten minutes so that no mail log shows the time",
        about_a_day,
        early,
    );
    stage.move_clock(due, "the reminder is due");
    let letter = there(next_letter(stage, 1).await?, "reminder letter")?;
    stage.screen.say("What her phone shows, to her and to a colleague who looks over her shoulder:");
    stage.screen.letter(&letter);
    let home = stage.home();
    let clock = home.local(session.start()).format("%H:%M").to_string();
    stage.screen.holds("it says the time on her own clock", letter.body().contains(&clock), &clock);
    let names = booked.first.therapist_display_name.split(' ');
    let telling: Vec<&str> = names
        .chain(["Respite", "therap", "session", "burnout", "video"])
        .filter(|word| letter.body().to_lowercase().contains(&word.to_lowercase()))
        .collect();
    stage.screen.holds(
        "and neither what, nor with whom, nor from whom",
        telling.is_empty(),
        telling.join(", "),
    );
    services::reminders::deliver_due(&stage.app).await?;
    stage.screen.same("it is sent once", &2, &stage.outbox.letters().len());
    Ok(())
}

/// Returns what the first of them calls her.
pub(super) async fn agenda(stage: &mut Stage, nurse: &Nurse, booked: &Booked) -> Result<String, Broken> {
    stage.screen.step("What the therapists see");
    let mut handles = Vec::new();
    for booking in [&booked.first, &booked.second] {
        let therapist = as_therapist(stage, &booking.therapist_id).await?;
        let entry = there(agenda_entry(stage, &therapist, booking).await?, "entry in the agenda")?;
        let zone = there(stage.app.rules.zone(&entry.time_zone), "zone")?;
        let at = there(span(entry.session.as_ref()), "session in the agenda")?.start();
        let seen = format!(
            "{} · {BOLD}{}{BOLD:#} · {}",
            time(&zone, at),
            entry.handle,
            entry.state().as_str_name().trim_start_matches("BOOKING_STATE_").to_lowercase(),
        );
        stage.screen.row(&booking.therapist_display_name, &seen);
        handles.push(entry.handle);
    }
    let [first, second] = [&handles[0], &handles[1]];
    let different = first != second && *first != nurse.handle && *second != nurse.handle;
    stage.screen.holds(
        "each knows her by another name, and neither by her own: their handles do not match",
        different && !first.is_empty() && !second.is_empty(),
        format_args!("{first}, {second}, {}", nurse.handle),
    );
    Ok(first.clone())
}

pub(super) async fn join(
    stage: &mut Stage,
    nurse: &Nurse,
    booked: &Booked,
    handle: &str,
) -> Result<(), Broken> {
    stage.screen.step("Joining");
    let session = booked.session()?;
    let therapist = as_therapist(stage, &booked.first.therapist_id).await?;
    let request = v1::JoinSessionRequest { booking_id: booked.first.id.clone() };
    let refused = refusal(nurse.client.bookings().join_session(request.clone()).await);
    stage.screen.same("a day ahead the door is closed", &"JOIN_TOO_EARLY", &refused.as_str());
    stage.move_clock(session.start() - TimeDelta::minutes(5), "five minutes to go");
    let hers = nurse.client.bookings().join_session(request.clone()).await?.into_inner();
    let theirs = therapist.bookings().join_session(request).await?.into_inner();
    stage.screen.row("room", &hers.join_uri);
    stage.screen.row("she is called", &hers.display_name);
    stage.screen.row("the therapist is called", &theirs.display_name);
    stage.screen.same("both are let into the same room", &hers.join_uri, &theirs.join_uri);
    stage.screen.same("under the handle that this therapist knows", &handle, &hers.display_name.as_str());
    Ok(())
}

/// The therapist's own device.
pub(super) async fn as_therapist(stage: &Stage, id: &str) -> Result<Client, Broken> {
    let number = (0..super::THERAPISTS).find(|number| seed::therapist_id(*number).0.to_string() == id);
    let key = seed::therapist_key(there(number, "made-up therapist of that id")?);
    Ok(stage.device().await?.login(key).await?)
}

/// What the therapist's agenda says about a booking.
pub(super) async fn agenda_entry(
    stage: &Stage,
    therapist: &Client,
    booking: &v1::Booking,
) -> Result<Option<v1::AgendaEntry>, Broken> {
    let now = stage.app.clock.now();
    let span = v1::Span {
        start_time: Some(timestamp(now - TimeDelta::days(1))),
        end_time: Some(timestamp(now + TimeDelta::days(30))),
    };
    let request = v1::ListAgendaRequest { span: Some(span), page_size: 100, page_token: String::new() };
    let entries = therapist.bookings().list_agenda(request).await?.into_inner().entries;
    Ok(entries.into_iter().find(|entry| entry.booking_id == booking.id))
}

/// The reason of a refusal; empty if it was none.
pub(super) fn refusal<T>(answer: Result<T, tonic::Status>) -> String {
    answer.err().map(|status| Refusal::from(status).reason).unwrap_or_default()
}

async fn confirm(nurse: &Nurse, held: &v1::Booking) -> Result<v1::Booking, Broken> {
    let request = v1::ConfirmBookingRequest {
        request_id: request_id(),
        booking_id: held.id.clone(),
        book_if_free: false,
        roster_use: None,
        payment: None,
    };
    there(nurse.client.bookings().confirm_booking(request).await?.into_inner().booking, "booking")
}

async fn somebody_else(stage: &Stage) -> Result<Client, Broken> {
    let anybody = stage.device().await?;
    let key = Secret::generate().login_key();
    anybody.create_alias(&key).await?;
    Ok(anybody.login(key).await?)
}

/// The letter after the first `seen`, once the server has sent it.
async fn next_letter(stage: &Stage, seen: usize) -> Result<Option<Letter>, Broken> {
    services::reminders::deliver_due(&stage.app).await?;
    // The server's own worker may have been faster, and be on its way.
    for _ in 0..200 {
        if let Some(letter) = stage.outbox.letters().get(seen) {
            return Ok(Some(letter.clone()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(None)
}
