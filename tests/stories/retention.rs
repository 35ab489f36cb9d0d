//! What has served its time is forgotten, and nothing else.

use api::v1;
use chrono::TimeDelta;
use client::request_id;
use e2e::World;
use sea_orm::ConnectionTrait;

const BERLIN: &str = "Europe/Berlin";

e2e::stories! {
    // What was only looked at leaves no trace after a day: neither the hold that expired nor the one given back.
    async fn holds_that_came_to_nothing_are_gone_in_a_day(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        nurse.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let given_back = nurse.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap();
        let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: given_back.id };
        nurse.client.bookings().release_hold(release).await.unwrap();
        let booked = nurse.books(&ada, "2026-03-23T14:00:00Z").await.unwrap();
        let cancelled = nurse.books(&ada, "2026-03-23T16:00:00Z").await.unwrap();
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: cancelled.id };
        nurse.client.bookings().cancel_booking(cancel).await.unwrap();

        world.pass(TimeDelta::days(1));
        services::retention::sweep(&world.app).await.unwrap();
        assert_eq!(world.count("select count(*) from booking").await, 4, "until a day after they ended");
        world.pass(TimeDelta::minutes(10));
        services::retention::sweep(&world.app).await.unwrap();
        assert_eq!(world.count("select count(*) from booking").await, 2, "what was booked stays");
        assert_eq!(world.count("select count(*) from booking_event").await, 5);
        // What is left still moves on.
        let nurse = world.anybody().await.login(nurse.key.clone()).await.unwrap();
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: booked.id };
        nurse.bookings().cancel_booking(cancel).await.unwrap();
    }

    async fn whose_a_session_was_is_forgotten_after_a_year(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        world.worker().await.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        for (day, named) in [("2027-03-26T09:59:59Z", 1), ("2027-03-26T10:00:00Z", 0)] {
            world.set_clock(day);
            services::retention::sweep(&world.app).await.unwrap();
            assert_eq!(world.count("select count(*) from booking where alias_id is not null").await, named, "{day}");
            assert_eq!(world.count("select count(*) from booking_event").await, 2 * named, "{day}");
            assert_eq!(world.count("select count(*) from booking").await, 1, "the time was taken all the same");
        }
    }

    // Tokens after a quarter of an hour, challenges after ten minutes, answers after a day.
    async fn what_has_expired_is_gone(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        world.worker().await.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let count = async |table: &str| world.count(&format!("select count(*) from {table}")).await;
        services::retention::sweep(&world.app).await.unwrap();
        for table in ["access_token", "used_challenge", "request"] {
            assert!(count(table).await > 0, "{table}");
        }
        world.pass(TimeDelta::minutes(15));
        services::retention::sweep(&world.app).await.unwrap();
        assert_eq!((count("access_token").await, count("used_challenge").await), (0, 0));
        assert!(count("request").await > 0);
        world.pass(TimeDelta::hours(24));
        services::retention::sweep(&world.app).await.unwrap();
        assert_eq!(count("request").await, 0);
    }

    // A code a day after it was due, a reminder with its session, and what could not be sent after a month.
    async fn letters_are_forgotten(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let [nurse, medic] = [world.worker().await, world.worker().await];
        for (worker, start) in [(&nurse, "2026-03-23T10:00:00Z"), (&medic, "2026-03-23T12:00:00Z")] {
            worker.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
            worker.books(&ada, start).await.unwrap();
        }
        let [session, due] = ["2026-03-23T12:00:00Z", "2026-03-22T12:00:00Z"].map(|at| e2e::time(at).timestamp());
        let lost = format!(
            "update reminder set state = 'dead', due_at = {due}
             where booking_id in (select id from booking where starts_at = {session})"
        );
        assert_eq!(world.app.db.read().execute_unprepared(&lost).await.unwrap().rows_affected(), 1);
        for (now, left) in [
            ("2026-03-21T08:59:59Z", 4),
            ("2026-03-21T09:00:00Z", 2),
            ("2026-03-23T10:49:59Z", 2),
            ("2026-03-23T10:50:00Z", 1),
            ("2026-04-21T11:59:59Z", 1),
            ("2026-04-21T12:00:00Z", 0),
        ] {
            world.set_clock(now);
            services::retention::sweep(&world.app).await.unwrap();
            assert_eq!(world.count("select count(*) from reminder").await, left, "{now}");
        }
    }

    async fn what_became_of_a_session_is_forgotten_with_it(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        world.worker().await.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let changed = "insert into zone_change select id, '2025b', time_zone, starts_at, starts_at, 'moved' from booking";
        world.app.db.read().execute_unprepared(changed).await.unwrap();
        for (now, left) in [("2027-03-26T09:59:59Z", 1), ("2027-03-26T10:00:00Z", 0)] {
            world.set_clock(now);
            services::retention::sweep(&world.app).await.unwrap();
            assert_eq!(world.count("select count(*) from zone_change").await, left, "{now}");
        }
    }

    // What a therapist did a year ago is nobody's business either.
    async fn past_absences_are_forgotten_after_a_year(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let time_off = v1::TimeOff { id: String::new(), span: Some(e2e::span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z")) };
        let off = v1::CreateTimeOffRequest { request_id: request_id(), time_off: Some(time_off) };
        ada.client.availability().create_time_off(off).await.unwrap();
        let date_override = v1::DateOverride { date: Some(e2e::date("2026-03-30")), kind: v1::DateOverrideKind::Replace.into(), ..Default::default() };
        let closed = v1::CreateDateOverrideRequest { request_id: request_id(), date_override: Some(date_override) };
        ada.client.availability().create_date_override(closed).await.unwrap();
        for (now, left) in [("2027-03-26T23:59:59Z", (1, 1)), ("2027-03-27T00:00:00Z", (0, 1)), ("2027-04-02T23:59:59Z", (0, 1)), ("2027-04-03T00:00:00Z", (0, 0))] {
            world.set_clock(now);
            services::retention::sweep(&world.app).await.unwrap();
            let counts = (world.count("select count(*) from time_off").await, world.count("select count(*) from date_override").await);
            assert_eq!(counts, left, "{now}");
        }
    }
}
