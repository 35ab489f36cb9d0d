//! A nurse finds a therapist, books around night shifts, is reminded, and is erased.

use api::v1;
use chrono::TimeDelta;
use client::request_id;
use e2e::{Worker, World, span, start_of, starts, time};
use tonic::Code;

const BERLIN: &str = "Europe/Berlin";

e2e::stories! {
    async fn a_nurse_books_around_her_nights(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada Brandt", BERLIN).await.works("Mon 08:00-20:00, Tue 08:00-20:00").await;
        let nurse = world.worker().await;
        // Sunday and Monday night, 21:00 to 06:30 in Berlin, which is still at +01:00.
        nurse
            .works(
                BERLIN,
                &[
                    ("2026-03-22T20:00:00Z", "2026-03-23T05:30:00Z"),
                    ("2026-03-23T20:00:00Z", "2026-03-24T05:30:00Z"),
                ],
                "2026-03-24",
            )
            .await;

        // D2: what she types is a synonym in her language, with a typing error.
        let request = v1::SearchSlotsRequest {
            filter: Some(v1::TherapistFilter {
                specializations: vec!["Bournout".to_owned()],
                languages: vec!["de".to_owned()],
                jurisdiction: "DE".to_owned(),
                ..Default::default()
            }),
            window: Some(span("2026-03-22T00:00:00Z", "2026-04-10T00:00:00Z")),
            page_size: 100,
            language_code: "de".to_owned(),
            ..Default::default()
        };
        let found = nurse.client.slots().search_slots(request).await.unwrap().into_inner();

        // S2: after the night until 06:30 come the way home, half an hour, and eight hours of sleep: 15:00 in
        // Berlin is 14:00 UTC. The next night begins at 21:00; an hour of rest ends the day at 20:00, but the
        // therapist's own hours end then, and sessions take 50 minutes and ten after.
        let expected: Vec<String> = ["2026-03-23", "2026-03-24"]
            .iter()
            .flat_map(|day| {
                (0..9).map(move |half| {
                    let start = time(&format!("{day}T14:00:00Z")) + TimeDelta::minutes(30 * half);
                    start.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
                })
            })
            .collect();
        assert_eq!(starts(&found), expected);
        // S4: nothing after the last published day, though she asked until April.
        // D4: no hit without reasons.
        let reasons = &found.hits[0].reasons;
        assert!(reasons.iter().any(|reason| reason.value == "burnout"), "{}", reasons.len());
        assert!(reasons.iter().any(|reason| reason.criterion() == v1::Criterion::Language));
        assert!(reasons.iter().any(|reason| reason.criterion() == v1::Criterion::Roster));
        // S5: what took how much away, the most first: weeks that nobody has published, then the sleep.
        let removed: Vec<_> = found.removals.iter().map(v1::Removal::constraint).collect();
        assert_eq!(removed, [v1::Constraint::BeyondRoster, v1::Constraint::Sleep]);

        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
        let held = nurse.holds(&ada, "2026-03-23T15:00:00Z").await.unwrap();
        assert_eq!(held.state(), v1::BookingState::Pending);
        let booked = nurse.confirms(&held).await.unwrap();
        assert_eq!(booked.state(), v1::BookingState::Booked);
        assert_eq!(booked.therapist_display_name, "Ada Brandt");

        // The therapist sees a handle, and not the one she knows herself by.
        let agenda = ada.agenda("2026-03-20T00:00:00Z", "2026-03-30T00:00:00Z").await;
        assert_eq!(agenda.len(), 1);
        assert_eq!(start_of(agenda[0].session.as_ref()), "2026-03-23T15:00:00Z");
        assert!(!agenda[0].handle.is_empty());
        assert_ne!(agenda[0].handle, nurse.handle);

        // R1: a day ahead, give or take ten minutes; one, and no second.
        let before = world.letters().len();
        world.set_clock("2026-03-22T14:49:00Z");
        world.deliver().await;
        assert_eq!(world.letters().len(), before, "not before it is due");
        world.set_clock("2026-03-22T15:11:00Z");
        world.deliver().await;
        world.deliver().await;
        let letters = world.letters();
        assert_eq!(letters.len(), before + 1, "one reminder");
        let letter = letters.last().unwrap();
        assert_eq!(letter.to().as_str(), "heron@example.com");
        for told in ["Ada", "Brandt", "burnout", "session", "respite", "therap"] {
            assert!(!letter.body().to_lowercase().contains(&told.to_lowercase()), "{told}");
        }

        // B7: the room opens ten minutes before, for both, and nobody is named in it.
        let join = || v1::JoinSessionRequest { booking_id: booked.id.clone() };
        world.set_clock("2026-03-23T14:49:59Z");
        let early = client::Refusal::from(nurse.client.bookings().join_session(join()).await.unwrap_err());
        assert_eq!((early.code, early.reason.as_str()), (Code::FailedPrecondition, "JOIN_TOO_EARLY"));
        assert_eq!(early.metadata["open_time"], "2026-03-23T14:50:00Z");
        world.set_clock("2026-03-23T14:50:00Z");
        let hers = nurse.client.bookings().join_session(join()).await.unwrap().into_inner();
        let theirs = ada.client.bookings().join_session(join()).await.unwrap().into_inner();
        assert_eq!(hers.join_uri, theirs.join_uri);
        assert!(hers.join_uri.starts_with("https://meet.example.org/"));
        assert_eq!(hers.display_name, agenda[0].handle);
        assert_eq!(theirs.display_name, "Ada Brandt");
        world.set_clock("2026-03-23T15:50:00Z");
        let late = client::Refusal::from(nurse.client.bookings().join_session(join()).await.unwrap_err());
        assert_eq!(late.reason, "JOIN_TOO_LATE");

        // B8: what happened, and who did it.
        let outcome = v1::CompleteBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            outcome: v1::BookingState::Fulfilled.into(),
        };
        ada.client.bookings().complete_booking(outcome).await.unwrap();
        let request = v1::GetBookingRequest { booking_id: booked.id.clone() };
        let seen = nurse.client.bookings().get_booking(request).await.unwrap().into_inner();
        let history: Vec<_> = seen.history.iter().map(|event| (event.state(), event.actor())).collect();
        assert_eq!(
            history,
            [
                (v1::BookingState::Pending, v1::Actor::Alias),
                (v1::BookingState::Booked, v1::Actor::Alias),
                (v1::BookingState::Arrived, v1::Actor::Alias),
                (v1::BookingState::Fulfilled, v1::Actor::Therapist),
            ]
        );
    }

    async fn erasing_leaves_time_that_was_taken_by_nobody(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00, Tue 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.works(BERLIN, &[("2026-03-23T20:00:00Z", "2026-03-24T05:30:00Z")], "2026-04-30").await;
        nurse.reached_at(&world, "heron@example.com", "de", v1::ReminderLevel::Update).await;
        let past = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        nurse.books(&ada, "2026-03-30T10:00:00Z").await.unwrap();
        world.set_clock("2026-03-25T09:00:00Z");
        let nurse_client = world.anybody().await.login(nurse.key.clone()).await.unwrap();

        let erased = nurse_client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap().into_inner();
        assert_eq!(erased.cancelled_bookings, 1);

        for table in ["alias", "alias_key", "roster", "contact", "reminder", "request where caller_id not in (select id from operator union select id from therapist)", "access_token where caller_kind = 'alias'", "credit", "booking where alias_id is not null"] {
            assert_eq!(world.count(&format!("select count(*) from {table}")).await, 0, "{table}");
        }
        // The token ends, and the key opens nothing any more.
        let refused = nurse_client.alias().get_alias(v1::GetAliasRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(world.anybody().await.login(nurse.key.clone()).await.is_err());
        // The therapist keeps the time that was, without a handle; the time to come is free.
        let agenda = ada.agenda("2026-03-20T00:00:00Z", "2026-04-20T00:00:00Z").await;
        let kept: Vec<_> = agenda
            .iter()
            .map(|entry| (entry.booking_id.as_str(), entry.handle.as_str(), entry.state()))
            .filter(|(.., state)| *state != v1::BookingState::Cancelled)
            .collect();
        assert_eq!(kept, [(past.id.as_str(), "", v1::BookingState::Booked)]);
        world.worker().await.books(&ada, "2026-03-30T10:00:00Z").await.unwrap();
        world.deliver().await;
    }

    // B1
    async fn a_hold_lasts_ten_minutes_and_not_a_second_more(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (first, second) = (world.worker().await, world.worker().await);
        let start = "2026-03-23T10:00:00Z";

        let held = first.holds(&ada, start).await.unwrap();
        assert_eq!(second.holds(&ada, start).await.unwrap_err().reason, "SLOT_TAKEN");
        world.pass(TimeDelta::seconds(599));
        assert_eq!(second.holds(&ada, start).await.unwrap_err().reason, "SLOT_TAKEN");
        assert!(!starts(&second.searches(&ada, "2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await).contains(&start.to_owned()));

        // No sweeper ran: it is free all the same, and its holder is told.
        world.pass(TimeDelta::seconds(1));
        assert!(starts(&second.searches(&ada, "2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await).contains(&start.to_owned()));
        assert_eq!(first.confirms(&held).await.unwrap_err().reason, "HOLD_EXPIRED");

        // Asked so, it is booked if it is still free.
        let if_free = || v1::ConfirmBookingRequest {
            request_id: request_id(),
            booking_id: held.id.clone(),
            book_if_free: true,
            roster_use: None,
            payment: None,
        };
        let theirs = second.holds(&ada, start).await.unwrap();
        let refused = client::Refusal::from(first.client.bookings().confirm_booking(if_free()).await.unwrap_err());
        assert_eq!(refused.reason, "SLOT_TAKEN");
        let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: theirs.id };
        second.client.bookings().release_hold(release).await.unwrap();
        let booked = first.client.bookings().confirm_booking(if_free()).await.unwrap().into_inner();
        assert_eq!(booked.booking.unwrap().state(), v1::BookingState::Booked);
    }

    // B1, S2: a hold that has expired is booked under the rules of now: she has a night that she had not.
    async fn what_is_booked_late_is_checked_anew(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let held = nurse.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        world.pass(TimeDelta::minutes(10));
        nurse.works(BERLIN, &[("2026-03-22T20:00:00Z", "2026-03-23T05:30:00Z")], "2026-04-30").await;
        let confirm = |ignore_shifts| v1::ConfirmBookingRequest {
            request_id: request_id(),
            booking_id: held.id.clone(),
            book_if_free: true,
            roster_use: Some(v1::RosterUse { ignore_shifts, ..Default::default() }),
            payment: None,
        };
        let refused = nurse.client.bookings().confirm_booking(confirm(false)).await.unwrap_err();
        assert_eq!(client::Refusal::from(refused).reason, "COLLIDES_WITH_SLEEP");
        nurse.client.bookings().confirm_booking(confirm(true)).await.unwrap();
    }

    // B1: another server, whose clock is ahead, has let go of the hold and given it away.
    async fn a_hold_that_was_let_go_has_expired_for_everybody(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (first, second) = (world.worker().await, world.worker().await);
        let held = first.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        world.pass(TimeDelta::minutes(10));
        second.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        world.pass(TimeDelta::seconds(-1));
        assert_eq!(first.confirms(&held).await.unwrap_err().reason, "HOLD_EXPIRED");
    }

    // B1
    async fn an_alias_holds_three_slots_at_most(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        for hour in ["08", "10", "12"] {
            nurse.holds(&ada, &format!("2026-03-23T{hour}:00:00Z")).await.unwrap();
        }
        let refused = nurse.holds(&ada, "2026-03-23T14:00:00Z").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_HOLDS"));
        world.pass(TimeDelta::minutes(10));
        nurse.holds(&ada, "2026-03-23T14:00:00Z").await.unwrap();
    }

    // B3
    async fn a_request_asked_twice_is_done_once(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let mut request = Worker::hold_request(&ada, "2026-03-23T10:00:00Z");

        // A refused request does not use its id up.
        let rival = world.worker().await.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let refused = client::Refusal::from(nurse.client.bookings().hold_slot(request.clone()).await.unwrap_err());
        assert_eq!(refused.reason, "SLOT_TAKEN");
        world.pass(TimeDelta::minutes(10));
        assert_ne!(rival.id, "");

        let first = nurse.client.bookings().hold_slot(request.clone()).await.unwrap().into_inner();
        let again = nurse.client.bookings().hold_slot(request.clone()).await.unwrap().into_inner();
        assert!(first == again);
        request.start_time.as_mut().unwrap().seconds += 1800;
        let refused = client::Refusal::from(nurse.client.bookings().hold_slot(request.clone()).await.unwrap_err());
        assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "REQUEST_ID_REUSED"));
        assert_eq!(refused.violations[0].field, "request_id");
        // The same id of somebody else is another request.
        let other = world.worker().await;
        other.client.bookings().hold_slot(request).await.unwrap_err();
        assert_eq!(world.count("select count(*) from booking").await, 2);
    }

    // B4
    async fn a_booking_moves_in_one_step_or_stays(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let booked = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        world.worker().await.books(&ada, "2026-03-23T12:00:00Z").await.unwrap();
        let move_to = |start: &str| v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            start_time: Some(e2e::timestamp(time(start))),
            roster_use: None,
        };

        let refused = nurse.client.bookings().reschedule_booking(move_to("2026-03-23T12:00:00Z")).await;
        assert_eq!(client::Refusal::from(refused.unwrap_err()).reason, "SLOT_TAKEN");
        let agenda = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await;
        assert_eq!(start_of(agenda[0].session.as_ref()), "2026-03-23T10:00:00Z");

        // Half an hour later overlaps its own time, which counts as free.
        let moved = nurse.client.bookings().reschedule_booking(move_to("2026-03-23T10:30:00Z")).await.unwrap();
        let moved = moved.into_inner().booking.unwrap();
        assert_eq!(moved.id, booked.id);
        assert_eq!(start_of(moved.session.as_ref()), "2026-03-23T10:30:00Z");
        // Its old time is free again.
        world.worker().await.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();

        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: booked.id.clone() };
        let cancelled = nurse.client.bookings().cancel_booking(cancel).await.unwrap().into_inner().booking.unwrap();
        assert!(!cancelled.late_cancellation);
        assert_eq!(cancelled.state(), v1::BookingState::Cancelled);
        world.worker().await.books(&ada, "2026-03-23T10:30:00Z").await.unwrap();
        assert_eq!(world.count("select count(*) from reminder where booking_id in (select id from booking where state = 'cancelled') and state = 'planned'").await, 0);
    }
}
