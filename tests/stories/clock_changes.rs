//! The main job on the nights when clocks change (T2 to T6).

use api::v1;
use chrono::{NaiveDate, TimeDelta};
use e2e::{World, start_of, starts, time};

/// A night with a change of the clock, or one that used to have it.
struct Night {
    zone: &'static str,
    /// The Sunday that begins with it.
    sunday: &'static str,
    /// The offsets before and after, as an instant's text ends.
    offsets: (&'static str, &'static str),
    /// What the clock reads at each start between midnight and six, and with which offset: 0 before the
    /// change, 1 after.
    readings: &'static [(&'static str, usize)],
}

/// Every half hour from midnight on, of which fifty minutes must fit before six.
const NIGHTS: [Night; 7] = [
    Night {
        zone: "Europe/Berlin",
        sunday: "2027-03-28",
        offsets: ("+01:00", "+02:00"),
        readings: &[
            ("00:00", 0),
            ("00:30", 0),
            ("01:00", 0),
            ("01:30", 0),
            ("03:00", 1),
            ("03:30", 1),
            ("04:00", 1),
            ("04:30", 1),
            ("05:00", 1),
        ],
    },
    Night {
        zone: "Europe/Berlin",
        sunday: "2026-10-25",
        offsets: ("+02:00", "+01:00"),
        readings: &[
            ("00:00", 0),
            ("00:30", 0),
            ("01:00", 0),
            ("01:30", 0),
            ("02:00", 0),
            ("02:30", 0),
            ("02:00", 1),
            ("02:30", 1),
            ("03:00", 1),
            ("03:30", 1),
            ("04:00", 1),
            ("04:30", 1),
            ("05:00", 1),
        ],
    },
    Night {
        zone: "America/New_York",
        sunday: "2027-03-14",
        offsets: ("-05:00", "-04:00"),
        readings: &[
            ("00:00", 0),
            ("00:30", 0),
            ("01:00", 0),
            ("01:30", 0),
            ("03:00", 1),
            ("03:30", 1),
            ("04:00", 1),
            ("04:30", 1),
            ("05:00", 1),
        ],
    },
    Night {
        zone: "America/New_York",
        sunday: "2026-11-01",
        offsets: ("-04:00", "-05:00"),
        readings: &[
            ("00:00", 0),
            ("00:30", 0),
            ("01:00", 0),
            ("01:30", 0),
            ("01:00", 1),
            ("01:30", 1),
            ("02:00", 1),
            ("02:30", 1),
            ("03:00", 1),
            ("03:30", 1),
            ("04:00", 1),
            ("04:30", 1),
            ("05:00", 1),
        ],
    },
    // Half an hour forward, from 02:00 to 02:30.
    Night {
        zone: "Australia/Lord_Howe",
        sunday: "2026-10-04",
        offsets: ("+10:30", "+11:00"),
        readings: &[
            ("00:00", 0),
            ("00:30", 0),
            ("01:00", 0),
            ("01:30", 0),
            ("02:30", 1),
            ("03:00", 1),
            ("03:30", 1),
            ("04:00", 1),
            ("04:30", 1),
            ("05:00", 1),
        ],
    },
    // Half an hour back, from 02:00 to 01:30.
    Night {
        zone: "Australia/Lord_Howe",
        sunday: "2027-04-04",
        offsets: ("+11:00", "+10:30"),
        readings: &[
            ("00:00", 0),
            ("00:30", 0),
            ("01:00", 0),
            ("01:30", 0),
            ("01:30", 1),
            ("02:00", 1),
            ("02:30", 1),
            ("03:00", 1),
            ("03:30", 1),
            ("04:00", 1),
            ("04:30", 1),
            ("05:00", 1),
        ],
    },
    // T6: British Columbia keeps its summer time; rules of 2025 would set the clock back here.
    Night {
        zone: "America/Vancouver",
        sunday: "2026-11-01",
        offsets: ("-07:00", "-07:00"),
        readings: &[
            ("00:00", 0),
            ("00:30", 0),
            ("01:00", 0),
            ("01:30", 0),
            ("02:00", 1),
            ("02:30", 1),
            ("03:00", 1),
            ("03:30", 1),
            ("04:00", 1),
            ("04:30", 1),
            ("05:00", 1),
        ],
    },
];

impl Night {
    /// What the clock reads on a day from the Sunday on, as an instant.
    fn at(&self, days: i64, reading: &str, offset: usize) -> String {
        let sunday: NaiveDate = self.sunday.parse().unwrap();
        let date = sunday + TimeDelta::days(days);
        let offset = if offset == 0 { self.offsets.0 } else { self.offsets.1 };
        utc(&format!("{date}T{reading}:00{offset}"))
    }
}

fn utc(local: &str) -> String {
    time(local).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

e2e::stories! {
    // T3, T4, T5
    async fn what_is_offered_in_such_a_night_is_what_the_clock_reads_and_can_be_held(engine: Engine) {
        for night in &NIGHTS {
            let noon_before = night.at(-1, "12:00", 0);
            let world = World::at(engine, &night.at(-7, "12:00", 0)).await;
            let ada = world.therapist("Ada", night.zone).await.offers("Sun 00:00-06:00", 50, 0, 0, 30).await;
            let nurse = world.worker().await;
            let found = nurse.searches(&ada, &noon_before, &night.at(0, "12:00", 1)).await;
            let expected: Vec<String> =
                night.readings.iter().map(|(reading, offset)| night.at(0, reading, *offset)).collect();
            assert_eq!(starts(&found), expected, "{} {}", night.zone, night.sunday);

            for start in expected {
                let held = nurse.holds(&ada, &start).await.unwrap();
                let release = v1::ReleaseHoldRequest { request_id: client::request_id(), booking_id: held.id };
                nurse.client.bookings().release_hold(release).await.unwrap();
            }
        }
    }

    // T2, S2, R1: a window over midnight, a night shift, and a reminder a day ahead, all across the change.
    async fn the_main_job_across_such_a_night(engine: Engine) {
        for night in &NIGHTS {
            let world = World::at(engine, &night.at(-7, "12:00", 0)).await;
            let ada = world.therapist("Ada", night.zone).await.offers("Sat 22:00-16:00", 50, 0, 10, 60).await;
            let nurse = world.worker().await;
            // From 21:00 to 02:00 on Saturday night by the clock's first reading, and free after the sleep.
            let (begins, ends) = (night.at(-1, "21:00", 0), time(&night.at(0, "00:00", 0)) + TimeDelta::hours(2));
            let ends = ends.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            nurse.works(night.zone, &[(&begins, &ends)], &night.at(2, "12:00", 1)[..10]).await;
            nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;

            let found = nurse.searches(&ada, &night.at(-1, "12:00", 0), &night.at(0, "20:00", 1)).await;
            // Sleep is time that passes, whatever the clock does: half an hour home, then eight hours.
            let rested = time(&ends) + TimeDelta::minutes(30) + TimeDelta::hours(8);
            let first = starts(&found)[0].clone();
            assert!(time(&first) >= rested && time(&first) < rested + TimeDelta::hours(1), "{} {}", night.zone, night.sunday);
            let last = starts(&found).pop().unwrap();
            assert_eq!(last, night.at(0, "15:00", 1), "{} {}", night.zone, night.sunday);

            let booked = nurse.books(&ada, &first).await.unwrap();
            assert_eq!(start_of(booked.session.as_ref()), first);
            let letters = world.letters().len();
            world.set_clock(&first);
            world.pass(TimeDelta::hours(-24) - TimeDelta::minutes(11));
            world.deliver().await;
            assert_eq!(world.letters().len(), letters);
            world.pass(TimeDelta::minutes(22));
            world.deliver().await;
            assert_eq!(world.letters().len(), letters + 1, "{} {}", night.zone, night.sunday);

            world.set_clock(&first);
            let nurse = world.anybody().await.login(nurse.key.clone()).await.unwrap();
            nurse.bookings().join_session(v1::JoinSessionRequest { booking_id: booked.id }).await.unwrap();
        }
    }
}
