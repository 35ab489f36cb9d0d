//! S8: when a new roster arrives, what it collides with has somewhere to go.

use api::v1;
use chrono::TimeDelta;
use client::{Refusal, request_id};
use e2e::{Worker, World, date, span, time, timestamp};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use store::{RequestId, booking, request};
use v1::import_roster_request::Source;

const FRIDAY: &str = "2026-03-20T09:00:00Z";
const BERLIN: &str = "Europe/Berlin";
/// Ends at 07:30 on Monday in Berlin: asleep until 16:00.
const NIGHT: (&str, &str) = ("2026-03-22T20:00:00Z", "2026-03-23T06:30:00Z");

e2e::stories! {
    // S8, B1, B4
    async fn the_nearest_alternative_is_kept_and_taken_by_the_move(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, other) = (world.worker().await, world.worker().await);
        let asleep = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let import = roster(&[NIGHT]);
        let told = imported(&nurse, &import).await;

        let held = told[0].held_alternative.clone().unwrap();
        assert_eq!(held.start_time, Some(at("2026-03-23T15:00:00Z")));
        assert_eq!(held.hold_expire_time, Some(at("2026-03-20T09:10:00Z")));
        assert_eq!(told[0].alternative_start_times[0], at("2026-03-23T15:00:00Z"));
        assert_eq!(other.holds(&ada, "2026-03-23T15:00:00Z").await.unwrap_err().reason, "SLOT_TAKEN");
        // B3: asked again, nothing is held twice.
        assert_eq!(imported(&nurse, &import).await, told);
        assert_eq!(world.count("select count(*) from booking where state = 'pending'").await, 1);

        // Whatever changed meanwhile: she has no hours any more, and the nurse a shift.
        let schedule = v1::Schedule {
            time_zone: BERLIN.to_owned(),
            horizon: Some(v1::schedule::Horizon::HorizonDays(90)),
            ..Default::default()
        };
        let schedule = v1::UpdateScheduleRequest { request_id: request_id(), schedule: Some(schedule) };
        ada.client.availability().update_schedule(schedule).await.unwrap();
        nurse.works(BERLIN, &[NIGHT, ("2026-03-23T14:00:00Z", "2026-03-23T22:00:00Z")], "2026-04-05").await;
        world.pass(TimeDelta::seconds(599));
        let moved = moves(&nurse, &asleep.id, "2026-03-23T15:00:00Z").await.unwrap();
        assert_eq!((moved.id.as_str(), moved.state()), (asleep.id.as_str(), v1::BookingState::Booked));
        assert_eq!(moved.session, Some(span("2026-03-23T15:00:00Z", "2026-03-23T15:50:00Z")));
        assert_eq!(world.count("select count(*) from booking where occupies").await, 1);
        assert_eq!(world.count("select count(*) from reminder").await, 1);
        let listed = nurse.client.bookings().list_bookings(v1::ListBookingsRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().bookings, [moved]);
        // The first answer stays the first answer.
        assert_eq!(imported(&nurse, &import).await, told);
    }

    // B1: a hold that has expired promises nothing any more.
    async fn after_ten_minutes_the_alternative_is_anybodys(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, other) = (world.worker().await, world.worker().await);
        let asleep = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        assert!(imported(&nurse, &roster(&[NIGHT])).await[0].held_alternative.is_some());
        world.pass(TimeDelta::minutes(10));
        other.books(&ada, "2026-03-23T15:00:00Z").await.unwrap();
        let refused = moves(&nurse, &asleep.id, "2026-03-23T15:00:00Z").await.unwrap_err();
        assert_eq!(refused.reason, "SLOT_TAKEN");
        moves(&nurse, &asleep.id, "2026-03-23T16:00:00Z").await.unwrap();
    }

    // B1: three holds at a time, those there were before among them; the earliest collisions come first.
    async fn no_more_is_held_than_an_alias_may_hold(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00, Fri 08:00-20:00").await;
        let nurse = world.worker().await;
        let mut booked = Vec::new();
        for start in ["2026-03-23T08:00:00Z", "2026-03-23T09:00:00Z", "2026-03-23T10:00:00Z", "2026-03-23T11:00:00Z"] {
            booked.push(nurse.books(&ada, start).await.unwrap().id);
        }
        let own = nurse.holds(&ada, "2026-03-27T10:00:00Z").await.unwrap();
        let told = imported(&nurse, &roster(&[NIGHT])).await;
        assert_eq!(told.iter().map(|one| one.booking_id.clone()).collect::<Vec<_>>(), booked);
        let kept: Vec<_> = told.iter().map(held_at).collect();
        assert_eq!(kept, [Some(at("2026-03-23T15:00:00Z")), Some(at("2026-03-23T16:00:00Z")), None, None]);
        // What is kept for the first is not offered to the others, and what is offered can be had.
        let offered = ["2026-03-20T18:00:00Z", "2026-03-23T17:00:00Z", "2026-03-23T18:00:00Z"];
        assert_eq!(told[2].alternative_start_times, offered.map(at));
        moves(&nurse, &booked[2], "2026-03-23T17:00:00Z").await.unwrap();

        // A hold that collides has alternatives, and none is held for it.
        nurse.confirms(&own).await.unwrap();
        for held in told.iter().filter_map(|one| one.held_alternative.as_ref()) {
            let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: held.booking_id.clone() };
            nurse.client.bookings().release_hold(release).await.unwrap();
        }
        nurse.holds(&ada, "2026-03-27T12:00:00Z").await.unwrap();
        let told = imported(&nurse, &roster(&[("2026-03-26T20:00:00Z", "2026-03-27T06:30:00Z")])).await;
        let kept: Vec<_> = told.iter().map(|one| one.held_alternative.is_some()).collect();
        assert_eq!(kept, [true, false]);
        assert!(!told[1].alternative_start_times.is_empty());
    }

    // B2: two sessions of one alias never overlap, so what overlaps the session itself cannot be held beside it.
    async fn what_is_held_overlaps_neither_the_session_nor_what_else_is_offered(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 08:00-20:00", 30, 0, 10, 10).await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2026-03-23T14:50:00Z").await.unwrap();
        let told = imported(&nurse, &roster(&[NIGHT])).await;
        // From 15:00 on she is free, and from 15:30 on it does not overlap.
        let offered = ["2026-03-23T15:30:00Z", "2026-03-23T16:10:00Z", "2026-03-23T16:20:00Z"];
        assert_eq!(told[0].alternative_start_times, offered.map(at));
        assert_eq!(held_at(&told[0]), Some(at("2026-03-23T15:30:00Z")));
        for start in ["2026-03-23T16:10:00Z", "2026-03-23T15:30:00Z"] {
            moves(&nurse, &told[0].booking_id, start).await.unwrap();
        }
    }

    // Somebody was faster: what cannot be held is offered.
    async fn two_rosters_race_for_one_alternative_and_one_gets_it(engine: Engine) {
        for _ in 0..5 {
            let world = World::at(engine, FRIDAY).await;
            // From 15:00 on there is time for one session only.
            let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00, Mon 16:00-17:00").await;
            let workers = [world.worker().await, world.worker().await];
            let starts = ["2026-03-23T08:00:00Z", "2026-03-23T09:00:00Z"];
            for (worker, start) in workers.iter().zip(starts) {
                worker.books(&ada, start).await.unwrap();
            }
            let imports = [roster(&[NIGHT]), roster(&[NIGHT])];
            let (one, two) = tokio::join!(imported(&workers[0], &imports[0]), imported(&workers[1], &imports[1]));
            let kept = [&one, &two].map(|told| held_at(&told[0]) == Some(at("2026-03-23T15:00:00Z")));
            assert!(kept[0] != kept[1], "{kept:?}");
            for ((worker, import), told) in workers.iter().zip(&imports).zip([one, two]) {
                assert_eq!(imported(worker, import).await, told);
            }
        }
    }

    // B3: the process died between the roster and its holds, or the answer was lost; whoever asks again gets them.
    async fn what_a_crash_left_undone_is_done_when_asked_again(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        for start in ["2026-03-23T09:00:00Z", "2026-03-23T10:00:00Z"] {
            nurse.books(&ada, start).await.unwrap();
        }
        let import = roster(&[NIGHT]);
        let told = imported(&nurse, &import).await;

        // As if no hold had been made.
        let db = world.app.db.read();
        booking::Entity::delete_many().filter(booking::COLUMN.state.eq(booking::State::Pending)).exec(db).await.unwrap();
        let first: RequestId = import.request_id.parse().unwrap();
        request::Entity::delete_many().filter(request::COLUMN.request_id.ne(first)).exec(db).await.unwrap();
        let again = imported(&nurse, &import).await;
        let kept = |told: &[v1::RosterCollision]| told.iter().map(held_at).collect::<Vec<_>>();
        assert_eq!(kept(&again), kept(&told));
        assert!(kept(&again).iter().all(Option::is_some));
        assert_eq!(world.count("select count(*) from booking where state = 'pending'").await, 2);
        assert_eq!(imported(&nurse, &import).await, again);
    }
}

/// The worker's next nights, and nothing else until the fifth of April.
fn roster(nights: &[(&str, &str)]) -> v1::ImportRosterRequest {
    let shifts =
        nights.iter().map(|(start, end)| v1::Shift { span: Some(span(start, end)), ..Default::default() });
    v1::ImportRosterRequest {
        request_id: request_id(),
        source: Some(Source::ShiftList(v1::ShiftList { shifts: shifts.collect() })),
        time_zone: BERLIN.to_owned(),
        publish_date: Some(date("2026-04-05")),
        on_call: false,
    }
}

async fn imported(worker: &Worker, import: &v1::ImportRosterRequest) -> Vec<v1::RosterCollision> {
    worker.client.roster().import_roster(import.clone()).await.unwrap().into_inner().collisions
}

async fn moves(worker: &Worker, booking_id: &str, start: &str) -> Result<v1::Booking, Refusal> {
    let request = v1::RescheduleBookingRequest {
        request_id: request_id(),
        booking_id: booking_id.to_owned(),
        start_time: Some(at(start)),
        roster_use: None,
    };
    let moved = worker.client.bookings().reschedule_booking(request).await?;
    Ok(moved.into_inner().booking.unwrap())
}

fn held_at(collision: &v1::RosterCollision) -> Option<prost_types::Timestamp> {
    collision.held_alternative.as_ref()?.start_time
}

fn at(text: &str) -> prost_types::Timestamp {
    timestamp(time(text))
}
