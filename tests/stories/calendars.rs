//! A therapist's calendars at secret addresses (A4).

use api::v1;
use chrono::TimeDelta;
use client::{Refusal, request_id};
use e2e::{Therapist, World, time, timestamp};
use http::{HeaderValue, Response, StatusCode, header};
use tokio::sync::Semaphore;
use tonic::Code;

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";

e2e::stories! {
    // A4, D4
    async fn sessions_are_their_time_and_a_handle_and_private(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let feed = create(&ada).await.unwrap();
        assert!(!read(&world, &feed.sessions_path).await.contains("VEVENT"));
        let booked = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        medic.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap();
        let handle = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await[0].handle.clone();
        let expected = |sequence: u32, start: &str, end: &str| {
            format!(
                "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Respite//Respite//EN\nBEGIN:VEVENT\nUID:{}\nDTSTAMP:20260320T090000Z\n\
                 SEQUENCE:{sequence}\nDTSTART:20260323T{start}Z\nDTEND:20260323T{end}Z\nSUMMARY:{handle}\nCLASS:PRIVATE\n\
                 END:VEVENT\nEND:VCALENDAR\n",
                booked.id
            )
            .replace('\n', "\r\n")
        };
        assert_eq!(read(&world, &feed.sessions_path).await, expected(2, "100000", "105000"));
        let request = v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            start_time: Some(timestamp(time("2026-03-23T14:00:00Z"))),
            roster_use: None,
        };
        nurse.client.bookings().reschedule_booking(request).await.unwrap();
        assert_eq!(read(&world, &feed.sessions_path).await, expected(3, "140000", "145000"));
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: booked.id.clone() };
        nurse.client.bookings().cancel_booking(cancel).await.unwrap();
        assert!(!read(&world, &feed.sessions_path).await.contains("VEVENT"));
    }

    // A4
    async fn open_time_is_free_and_nothing_else_is_said(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let feed = create(&ada).await.unwrap();
        nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let calendar = read(&world, &feed.open_time_path).await;
        let free: Vec<_> = calendar.lines().filter_map(|line| line.strip_prefix("FREEBUSY;FBTYPE=FREE:")).collect();
        // The buffer is taken, too; and Berlin is an hour further after the first week.
        assert_eq!(free[..3], ["20260323T070000Z/20260323T100000Z", "20260323T110000Z/20260323T190000Z", "20260330T060000Z/20260330T180000Z"]);
        assert!(!calendar.contains("VEVENT") && !calendar.contains("SUMMARY"));
    }

    // A4
    async fn an_answer_is_one_readers_and_the_same_until_something_changes(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let feed = create(&ada).await.unwrap();
        for path in [&feed.sessions_path, &feed.open_time_path] {
            let first = asked(&world, path, None).await;
            assert_eq!(first.headers()[header::CACHE_CONTROL], "private, no-cache");
            assert_eq!(first.headers()[header::CONTENT_TYPE], "text/calendar; charset=utf-8");
            let tag = first.headers()[header::ETAG].clone();
            world.pass(TimeDelta::minutes(20));
            let list = HeaderValue::from_str(&format!("\"other\", W/{}", tag.to_str().unwrap())).unwrap();
            for known in [&tag, &list] {
                let again = asked(&world, path, Some(known)).await;
                assert_eq!((again.status(), again.body().as_str()), (StatusCode::NOT_MODIFIED, ""));
                assert_eq!(again.headers()[header::ETAG], tag);
            }
        }
        let tag = asked(&world, &feed.sessions_path, None).await.headers()[header::ETAG].clone();
        nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        assert_eq!(asked(&world, &feed.sessions_path, Some(&tag)).await.status(), StatusCode::OK);
    }

    // A4, B3
    async fn an_address_is_told_once_holds_until_it_is_rotated_and_is_kept_nowhere(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let ben = world.therapist("Ben", BERLIN).await.works("Mon 08:00-20:00").await;
        let availability = || ada.client.availability();
        let rotate = || v1::RotateCalendarFeedRequest { request_id: request_id() };
        assert_eq!(availability().rotate_calendar_feed(rotate()).await.unwrap_err().code(), Code::NotFound);
        let request = v1::CreateCalendarFeedRequest { request_id: request_id() };
        let first = availability().create_calendar_feed(request.clone()).await.unwrap().into_inner().calendar_feed.unwrap();
        let again = availability().create_calendar_feed(request).await.unwrap().into_inner().calendar_feed.unwrap();
        assert!(first == again, "the same request has the same answer");
        assert_eq!(create(&ada).await.unwrap_err().reason, "CALENDAR_FEED_EXISTS");
        let other = create(&ben).await.unwrap();
        assert_ne!(first.sessions_path, other.sessions_path);

        let second = availability().rotate_calendar_feed(rotate()).await.unwrap().into_inner().calendar_feed.unwrap();
        assert_eq!(gone(&world, &first.sessions_path).await, gone(&world, "/calendars/x").await, "nothing tells them apart");
        assert_eq!(gone(&world, &first.open_time_path).await, gone(&world, "/calendars/").await);
        read(&world, &second.sessions_path).await;
        let kept = world.fingerprint().await.into_values().collect::<String>();
        for path in [&first.sessions_path, &second.sessions_path, &other.open_time_path] {
            let secret = path.split('/').nth(2).unwrap();
            let bytes = data_encoding::BASE64URL_NOPAD.decode(secret.as_bytes()).unwrap();
            assert_eq!(bytes.len(), 16);
            let hex = data_encoding::HEXLOWER.encode(&bytes);
            let text = data_encoding::HEXLOWER.encode(secret.as_bytes());
            let kept = kept.to_lowercase();
            assert!(![secret.to_lowercase(), hex, text].iter().any(|form| kept.contains(form)), "a secret is kept");
        }

        let delete = v1::DeleteCalendarFeedRequest { request_id: request_id() };
        availability().delete_calendar_feed(delete).await.unwrap();
        gone(&world, &second.sessions_path).await;
        read(&world, &other.sessions_path).await;
        create(&ada).await.unwrap();
    }

    // A4: a phone that asks once more, a day late, does not give back its force to an address that was given up.
    async fn an_old_address_never_comes_back(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let created = v1::CreateCalendarFeedRequest { request_id: request_id() };
        let rotated = v1::RotateCalendarFeedRequest { request_id: request_id() };
        let first = ada.client.availability().create_calendar_feed(created.clone()).await.unwrap().into_inner();
        let second = ada.client.availability().rotate_calendar_feed(rotated.clone()).await.unwrap().into_inner();
        let leaked = [first.calendar_feed.unwrap().sessions_path, second.calendar_feed.unwrap().sessions_path];
        let again = v1::RotateCalendarFeedRequest { request_id: request_id() };
        ada.client.availability().rotate_calendar_feed(again).await.unwrap();
        let late = ada.client.availability().rotate_calendar_feed(rotated.clone()).await.unwrap().into_inner();
        assert_eq!(late.calendar_feed.unwrap().sessions_path, leaked[1], "the first answer again, though it is in force no more");
        gone(&world, &leaked[1]).await;

        world.pass(TimeDelta::hours(25));
        services::retention::sweep(&world.app).await.unwrap();
        let late = ada.client.availability().rotate_calendar_feed(rotated).await.unwrap().into_inner();
        read(&world, &late.calendar_feed.unwrap().sessions_path).await;
        let delete = v1::DeleteCalendarFeedRequest { request_id: request_id() };
        ada.client.availability().delete_calendar_feed(delete).await.unwrap();
        ada.client.availability().create_calendar_feed(created).await.unwrap();
        for path in &leaked {
            gone(&world, path).await;
        }
    }

    // Whoever guesses takes no turn, and keeps nobody from theirs.
    async fn guesses_shut_nobody_out(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let feed = create(&ada).await.unwrap();
        let none_left = Semaphore::new(0);
        let wrong = feed.sessions_path.replace("/sessions", "/open-time");
        for guess in [wrong.as_str(), "/calendars/x", "/calendars/AAAAAAAAAAAAAAAAAAAAAA/sessions.ics"] {
            let answer = services::published(&world.app, guess, None, None, &none_left).await.unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        }
        assert!(services::published(&world.app, &feed.sessions_path, None, None, &none_left).await.is_none());
        let one = Semaphore::new(1);
        for _ in 0..2 {
            assert!(services::published(&world.app, &feed.sessions_path, None, None, &one).await.is_some(), "a turn ends with its answer");
        }
        // While the database is away, it is not for guesses to fill the log with that.
        let (mut app, folder) = (world.app.clone(), tempfile::tempdir().unwrap());
        let url = format!("sqlite://{}", folder.path().join("away.db").display());
        app.db = store::Db::connect(&url, 1).await.unwrap();
        app.db.clone().close().await.unwrap();
        assert!(services::published(&app, &feed.sessions_path, None, None, &one).await.is_none());
    }
}

async fn create(therapist: &Therapist) -> Result<v1::CalendarFeed, Refusal> {
    let request = v1::CreateCalendarFeedRequest { request_id: request_id() };
    let created = therapist.client.availability().create_calendar_feed(request).await?.into_inner();
    Ok(created.calendar_feed.unwrap())
}

/// The answer, while nobody else asks.
async fn asked(world: &World, path: &str, known: Option<&HeaderValue>) -> Response<String> {
    services::published(&world.app, path, None, known, &Semaphore::new(1)).await.unwrap()
}

async fn read(world: &World, path: &str) -> String {
    let answer = asked(world, path, None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body()
}

/// All that is said where there is nothing.
async fn gone(world: &World, path: &str) -> String {
    let answer = asked(world, path, None).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    format!("{answer:?}")
}
