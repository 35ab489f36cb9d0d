//! Calendars elsewhere keep a therapist busy (A1).

use api::v1;
use chrono::TimeDelta;
use client::{Client, Refusal, request_id};
use e2e::{Therapist, Worker, World, hours_of, time, timestamp};
use sea_orm::EntityTrait;
use services::feeds::Refreshed;
use store::busy_feed;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    availability::{on, set},
    preview::{asked, preview, take_off},
};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
const FEED: &str = "https://calendars.example.org/private/ada.ics";
const FETCHED: Refreshed = Refreshed { fetched: 1, failed: 0 };
const FAILED: Refreshed = Refreshed { fetched: 0, failed: 1 };
const NOTHING: Refreshed = Refreshed { fetched: 0, failed: 0 };

e2e::stories! {
    // A1, T5: the search, the booking and the preview say the same, and the preview says why.
    async fn an_event_elsewhere_takes_its_time_everywhere(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-13:00, Tue 09:00-11:00").await;
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["08:00", "08:30", "09:00", "09:30", "10:00", "10:30", "11:00"]);
        assert_eq!(on(&nurse, &ada, "2026-03-24").await, ["08:00", "08:30", "09:00"]);
        world.calendars.publish(FEED, &calendar(&[
            "DTSTART:20260323T093000Z\nDTEND:20260323T100000Z",
            // On her own clock: a time without a zone, and a whole day.
            "DTSTART:20260330T090000\nDTEND:20260330T103000",
            "DTSTART;VALUE=DATE:20260324",
            // In the way of nothing.
            "DTSTART:20260323T080000Z\nDTEND:20260323T090000Z\nTRANSP:TRANSPARENT",
            "DTSTART:20260323T080000Z\nDTEND:20260323T090000Z\nSTATUS:CANCELLED",
            "DTSTART;VALUE=DATE:20260331\nTRANSP:TRANSPARENT",
        ]));
        create(&ada, FEED).await.unwrap();

        // Fifty minutes and ten after.
        let left = ["08:00", "08:30", "10:00", "10:30", "11:00"];
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, left);
        let monday = ("2026-03-23T08:00:00Z", "2026-03-23T12:00:00Z");
        assert_eq!(asked(&ada, monday.0, monday.1).await.0, left);
        assert_eq!(preview(&ada, monday.0, monday.1).await, ["09:00-10:00 BUSY_ELSEWHERE", "11:30-12:00 DOES_NOT_FIT"]);
        assert_eq!(nurse.holds(&ada, "2026-03-23T09:00:00Z").await.unwrap_err().reason, "OUTSIDE_HOURS");
        nurse.holds(&ada, "2026-03-23T08:30:00Z").await.unwrap();

        assert!(on(&nurse, &ada, "2026-03-24").await.is_empty());
        assert_eq!(preview(&ada, "2026-03-24T08:00:00Z", "2026-03-24T10:00:00Z").await, ["08:00-09:30 BUSY_ELSEWHERE", "09:30-10:00 DOES_NOT_FIT"]);
        assert_eq!(on(&nurse, &ada, "2026-03-30").await, ["08:30", "09:00", "09:30", "10:00"], "an hour further by then");
        assert_eq!(on(&nurse, &ada, "2026-03-31").await, ["07:00", "07:30", "08:00"]);

        // Of several that are in the way, each by itself, the first is told.
        set(&ada, |schedule| schedule.protected_windows = vec![v1::WeeklyWindow { day: 1, hours: Some(hours_of("10:00-11:30")) }]).await.unwrap();
        assert_eq!(
            preview(&ada, "2026-03-23T08:30:00Z", "2026-03-23T11:00:00Z").await,
            ["08:30-09:00 PROTECTED", "09:00-10:00 BUSY_ELSEWHERE", "10:00-10:30 PROTECTED"]
        );
        take_off(&ada, "2026-03-23T09:45:00Z", "2026-03-23T10:00:00Z").await;
        assert_eq!(
            preview(&ada, "2026-03-23T08:30:00Z", "2026-03-23T11:00:00Z").await,
            ["08:30-09:00 PROTECTED", "09:00-10:00 TIME_OFF", "10:00-10:30 PROTECTED"]
        );
    }

    // A1: what collides is told and stays; a feed that goes gives its time back at once.
    async fn what_it_collides_with_is_named_and_stays(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let later = nurse.books(&ada, "2026-03-23T12:00:00Z").await.unwrap();
        // Its buffer ends at 10:00.
        let by_buffer = medic.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        nurse.books(&ada, "2026-03-23T10:30:00Z").await.unwrap();
        let cancelled = medic.books(&ada, "2026-03-23T14:00:00Z").await.unwrap();
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: cancelled.id };
        medic.client.bookings().cancel_booking(cancel).await.unwrap();
        medic.holds(&ada, "2026-03-23T16:00:00Z").await.unwrap();

        world.calendars.publish(FEED, &calendar(&["DTSTART:20260323T095500Z\nDTEND:20260323T103000Z", "DTSTART:20260323T124900Z\nDTEND:20260323T180000Z"]));
        let request = request(FEED);
        let created = ada.client.availability().create_busy_feed(request.clone()).await.unwrap().into_inner();
        let again = ada.client.availability().create_busy_feed(request).await.unwrap().into_inner();
        assert!(created == again, "the same again (B3)");
        let feed = created.busy_feed.unwrap();
        assert_eq!(feed.colliding_booking_ids, [by_buffer.id.clone(), later.id.clone()]);
        assert_eq!((feed.display_name.as_str(), feed.feed_uri.as_str()), ("clinic", ""));
        assert!(listed(&ada).await == [feed.clone()]);
        let agenda = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await;
        let booked = agenda.iter().filter(|entry| entry.state() == v1::BookingState::Booked);
        assert_eq!(booked.count(), 3, "nothing is cancelled");

        // Moved out of the way, it collides no more.
        let moved = v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: later.id,
            start_time: Some(timestamp(time("2026-03-30T16:00:00Z"))),
            roster_use: None,
        };
        nurse.client.bookings().reschedule_booking(moved).await.unwrap();
        assert_eq!(listed(&ada).await[0].colliding_booking_ids, [by_buffer.id]);

        assert_eq!(medic.holds(&ada, "2026-03-23T14:30:00Z").await.unwrap_err().reason, "OUTSIDE_HOURS");
        let delete = v1::DeleteBusyFeedRequest { request_id: request_id(), busy_feed_id: feed.id };
        ada.client.availability().delete_busy_feed(delete).await.unwrap();
        medic.holds(&ada, "2026-03-23T14:30:00Z").await.unwrap();
        assert!(listed(&ada).await.is_empty());
        assert_eq!(world.count("select count(*) from feed").await, 0);
        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, NOTHING);
    }

    // What changes there changes here, on every server; what fails there changes nothing, and is told.
    async fn it_is_fetched_again_and_again(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00").await;
        let elsewhere = Client::connect(world.serves_elsewhere().await).await.unwrap().login(nurse.key.clone()).await.unwrap();
        world.calendars.publish(FEED, &event("090000", "100000"));
        create(&ada, FEED).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["08:00", "10:00"]);
        let revision = async || world.count("select max(revision) from therapist").await;
        let before = revision().await;

        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, FETCHED, "it says what it said");
        world.calendars.publish(FEED, &event("090000", "100000").replace("UID:", "SUMMARY:New title\nUID:"));
        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, FETCHED, "it says the same in other words");
        assert_eq!(revision().await, before, "nobody hears of what is no news");
        check_state(&ada, "2026-03-20T11:00:00Z", None).await;

        world.calendars.publish(FEED, &event("080000", "090000"));
        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, FETCHED);
        let left = ["09:00", "09:30", "10:00"];
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, left);
        let taken = Worker::hold_request(&ada, "2026-03-23T08:00:00Z");
        let refused = Refusal::from(elsewhere.bookings().hold_slot(taken).await.unwrap_err());
        assert_eq!(refused.reason, "OUTSIDE_HOURS", "the other server has heard of it");
        elsewhere.bookings().hold_slot(Worker::hold_request(&ada, "2026-03-23T09:00:00Z")).await.unwrap();

        // Whatever it says that is no calendar, its last word stays, and the wait becomes longer.
        for (broken, wait) in [("BEGIN:VCALENDAR", 1), ("<html>", 2), (event("080000", "070000").as_str(), 4)] {
            world.calendars.publish(FEED, broken);
            world.pass(TimeDelta::minutes(wait * 45 - 1));
            assert_eq!(world.refresh().await, NOTHING);
            world.pass(TimeDelta::minutes(wait * 15 + 1));
            assert_eq!(world.refresh().await, FAILED);
            check_state(&ada, "2026-03-20T12:00:00Z", Some("2026-03-20T13:00:00Z")).await;
        }
        assert_eq!(nurse.holds(&ada, "2026-03-23T08:00:00Z").await.unwrap_err().reason, "OUTSIDE_HOURS");
        world.calendars.publish(FEED, &event("080000", "090000"));
        world.pass(TimeDelta::hours(8));
        assert_eq!(world.refresh().await, FETCHED);
        check_state(&ada, "2026-03-21T03:00:00Z", None).await;
    }

    // Who reads a calendar that did not change reads it anew when the clock of its days is another, and after a day,
    // since its recurrences reach further by then.
    async fn a_calendar_that_did_not_change_is_read_anew(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00").await;
        let daily = calendar(&["DTSTART:20260101T190000Z\nDTEND:20260101T200000Z\nRRULE:FREQ=DAILY", "DTSTART;VALUE=DATE:20260324"]);
        world.calendars.publish(FEED, &daily);
        create(&ada, FEED).await.unwrap();
        let busy = async || busy_feed::Entity::find().one(world.app.db.read()).await.unwrap().unwrap().busy.0;
        let last = async || busy().await.last().unwrap().end();
        let first = last().await;
        assert_eq!(first, time("2028-03-23T20:00:00Z"), "two years and some days");
        assert!(busy().await.contains(&of(BERLIN_DAY)));

        world.set_clock("2026-03-21T08:59:00Z");
        assert_eq!(world.refresh().await, FETCHED);
        assert_eq!(last().await, first);
        world.set_clock("2026-03-21T10:00:00Z");
        assert_eq!(world.refresh().await, FETCHED);
        assert_eq!(last().await, first + TimeDelta::days(1));

        set(&ada, |schedule| "America/New_York".clone_into(&mut schedule.time_zone)).await.unwrap();
        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, FETCHED);
        assert!(!busy().await.contains(&of(BERLIN_DAY)) && busy().await.contains(&of(NEW_YORK_DAY)));
    }

    // The therapist's own sessions come back from the calendar they subscribe to everywhere: one that is cancelled is
    // free again.
    async fn ones_own_calendar_keeps_nobody_busy(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00").await;
        let booked = nurse.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        let published = v1::CreateCalendarFeedRequest { request_id: request_id() };
        let published = ada.client.availability().create_calendar_feed(published).await.unwrap().into_inner().calendar_feed.unwrap();
        let turns = tokio::sync::Semaphore::new(1);
        for path in [published.sessions_path, published.open_time_path] {
            let answer = services::published(&world.app, &path, None, None, &turns).await.unwrap();
            world.calendars.publish(FEED, answer.body());
            let feed = create(&ada, FEED).await.unwrap();
            assert!(feed.colliding_booking_ids.is_empty());
        }
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: booked.id };
        nurse.client.bookings().cancel_booking(cancel).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["08:00", "08:30", "09:00", "09:30", "10:00"]);
    }

    // A few, and no door is knocked at all day long: not even by whoever is refused each time.
    async fn there_are_a_few_and_a_few_attempts(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00").await;
        let gone = "https://calendars.example.org/gone.ics";
        world.calendars.publish(FEED, &event("090000", "100000"));
        for wrong in ["http://calendars.example.org/1.ics", "https://127.0.0.1/1.ics", "https://localhost/1.ics", "https://me:pw@calendars.example.org/1.ics"] {
            for _ in 0..2 {
                let refused = Refusal::from(create(&ada, wrong).await.unwrap_err());
                assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, "FEED_URI_REFUSED"));
            }
        }
        world.calendars.publish("https://calendars.example.org/page.ics", "<html>");
        for address in [gone, "https://calendars.example.org/page.ics"] {
            let refused = Refusal::from(create(&ada, address).await.unwrap_err());
            assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "FEED_UNAVAILABLE"));
            assert_eq!(refused.message, "the calendar could not be fetched", "whatever it was");
        }
        for _ in 0..3 {
            create(&ada, FEED).await.unwrap();
        }
        let last = request(FEED);
        let refused = ada.client.availability().create_busy_feed(last.clone()).await.unwrap_err();
        let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert_eq!((refused.code(), wait), (Code::ResourceExhausted, std::time::Duration::from_mins(10)));
        assert_eq!(Refusal::from(refused).reason, "TOO_MANY_FETCHES");
        // Others have turns of their own.
        let ben = world.therapist("Ben", BERLIN).await.works("Mon 09:00-12:00").await;
        create(&ben, FEED).await.unwrap();

        world.pass(TimeDelta::minutes(10));
        ada.client.availability().create_busy_feed(last).await.unwrap();
        world.pass(TimeDelta::minutes(10));
        create(&ada, FEED).await.unwrap();
        let refused = Refusal::from(create(&ada, FEED).await.unwrap_err());
        assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_BUSY_FEEDS"));
        // Turns that are all given back are forgotten.
        assert_eq!(world.count("select count(*) from fetch_turn").await, 2);
        world.pass(TimeDelta::hours(1));
        services::retention::sweep(&world.app).await.unwrap();
        assert_eq!(world.count("select count(*) from fetch_turn").await, 0);
    }
}

/// A whole day in Berlin and in New York.
const BERLIN_DAY: (&str, &str) = ("2026-03-23T23:00:00Z", "2026-03-24T23:00:00Z");
const NEW_YORK_DAY: (&str, &str) = ("2026-03-24T04:00:00Z", "2026-03-25T04:00:00Z");

fn of((start, end): (&str, &str)) -> calendar::Span {
    calendar::Span::new(time(start), time(end)).unwrap()
}

fn request(address: &str) -> v1::CreateBusyFeedRequest {
    let busy_feed = v1::BusyFeed {
        display_name: "clinic".to_owned(),
        feed_uri: address.to_owned(),
        ..Default::default()
    };
    v1::CreateBusyFeedRequest { request_id: request_id(), busy_feed: Some(busy_feed) }
}

pub(crate) async fn create(therapist: &Therapist, address: &str) -> Result<v1::BusyFeed, tonic::Status> {
    let created = therapist.client.availability().create_busy_feed(request(address)).await?.into_inner();
    Ok(created.busy_feed.unwrap())
}

async fn listed(therapist: &Therapist) -> Vec<v1::BusyFeed> {
    let all = therapist.client.availability().list_busy_feeds(v1::ListBusyFeedsRequest {}).await.unwrap();
    all.into_inner().busy_feeds
}

/// The only feed was last fetched then, and could not be since.
async fn check_state(therapist: &Therapist, fetched: &str, failing_since: Option<&str>) {
    let state = listed(therapist).await[0].state.unwrap();
    let at = |at: &str| Some(timestamp(time(at)));
    let condition = match failing_since {
        None => v1::FeedCondition::Current,
        Some(_) => v1::FeedCondition::Unavailable,
    };
    assert_eq!(state.condition(), condition);
    assert_eq!(state.last_success_time, at(fetched));
    assert_eq!(state.unavailable_since_time, failing_since.and_then(at));
    assert!(state.next_attempt_time.unwrap().seconds > state.last_success_time.unwrap().seconds);
}

/// An event on Monday, by its times of day in UTC.
fn event(start: &str, end: &str) -> String {
    calendar(&[&format!("DTSTART:20260323T{start}Z\nDTEND:20260323T{end}Z")])
}

fn calendar(events: &[&str]) -> String {
    let events = events.iter().enumerate();
    let events = events.map(|(number, lines)| format!("BEGIN:VEVENT\nUID:{number}\n{lines}\nEND:VEVENT\n"));
    format!("BEGIN:VCALENDAR\n{}END:VCALENDAR\n", events.collect::<String>())
}
