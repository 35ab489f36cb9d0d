//! What has served its time is forgotten, and nothing else.

use api::v1;
use chrono::TimeDelta;
use client::request_id;
use e2e::World;

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
        for (day, named) in [("2027-03-24T09:59:59Z", 1), ("2027-03-24T10:00:00Z", 0)] {
            world.set_clock(day);
            services::retention::sweep(&world.app).await.unwrap();
            assert_eq!(world.count("select count(*) from booking where alias_id is not null").await, named, "{day}");
            assert_eq!(world.count("select count(*) from booking_event").await, 2 * named, "{day}");
            assert_eq!(world.count("select count(*) from booking").await, 1, "the time was taken all the same");
        }
    }
}
