//! E1, E2: a hospital pays for a session, and nobody can say whose.

use std::sync::Arc;

use api::v1::{self, confirm_booking_request::Payment};
use chrono::TimeDelta;
use client::{Client, Refusal, request_id};
use e2e::{
    Therapist, Worker, World,
    hospital::{Hospital, by_pass, entries, key_log, programme},
    minutes, time, timestamp,
};
use pass::{Directory, Head, Issuer, KeyState, Token};
use services::Settings;
use tokio::{sync::Barrier, task::JoinSet};
use tonic::Code;

pub(crate) const BERLIN: &str = "Europe/Berlin";
/// The first quarter's key is published.
const AUTUMN: &str = "2025-11-03T09:00:00Z";
/// Both signs and pays.
pub(crate) const WINTER: &str = "2026-01-12T09:00:00Z";
/// A Monday of the first quarter, with a therapist who is there until eight in the evening.
pub(crate) const MONDAY: &str = "2026-01-19T10:00:00Z";
const RUNNERS: usize = 100;

/// A hospital that pays in the first quarter, its log, a therapist and a worker, in January.
pub(crate) struct Quarter {
    pub(crate) world: World,
    pub(crate) hospital: Hospital,
    pub(crate) log: Directory,
    pub(crate) ada: Therapist,
    pub(crate) nurse: Worker,
}

impl Quarter {
    pub(crate) async fn of(engine: e2e::Engine, programme: v1::Programme) -> Self {
        let world = World::at(engine, AUTUMN).await;
        let hospital = world.hospital(programme).await;
        hospital.publishes("2026-01-01", "2026-03-31").await.unwrap();
        world.set_clock(WINTER);
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let log = key_log(&world.anybody().await).await;
        Self { world, hospital, log, ada, nurse }
    }

    fn passes(&self, number: usize) -> Vec<Token> {
        self.hospital.signs(&self.log, WINTER, number)
    }

    fn pass(&self) -> Token {
        self.passes(1).remove(0)
    }

    async fn pays(&self, start: &str, payment: impl Into<Option<Payment>>) -> Result<v1::Booking, Refusal> {
        let held = self.nurse.holds(&self.ada, start).await?;
        self.nurse.pays(&held, payment).await
    }

    fn by_credit(&self) -> Payment {
        Payment::Credit(self.hospital.id.clone())
    }

    async fn spent(&self) -> i64 {
        self.world.count("select count(*) from spent_pass").await
    }
}

e2e::stories! {
    async fn a_pass_pays_once(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, hospital, ada, nurse, .. } = &quarter;
        let held = nurse.holds(ada, MONDAY).await.unwrap();
        let token = quarter.pass();
        let request = v1::ConfirmBookingRequest { payment: Some(by_pass(&token)), ..Worker::confirm_request(&held) };
        let confirm = async |request| nurse.client.bookings().confirm_booking(request).await;
        let booked = confirm(request.clone()).await.unwrap().into_inner();
        assert_eq!(booked.booking.as_ref().unwrap().programme_id, hospital.id);
        assert_eq!(quarter.spent().await, 1);

        // B3: a lost answer is given again.
        assert!(confirm(request).await.unwrap().into_inner() == booked);
        assert_eq!(quarter.spent().await, 1);

        // Whoever has it, and whenever, it is spent; what was held with it stays held.
        let other = world.worker().await;
        let held = other.holds(ada, "2026-01-19T12:00:00Z").await.unwrap();
        let before = world.fingerprint().await;
        let refused = other.pays(&held, by_pass(&token)).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "PASS_SPENT"));
        assert!(world.fingerprint().await == before);
        other.pays(&held, by_pass(&quarter.pass())).await.unwrap();
        // Nobody has to have one.
        assert_eq!(nurse.books(ada, "2026-01-19T14:00:00Z").await.unwrap().programme_id, "");
        assert_eq!(quarter.spent().await, 2);
    }

    // B3: a lost answer is given again, even when the pass would be good for nothing any more.
    async fn a_lost_answer_outlives_the_key(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, nurse, .. } = &quarter;
        let ben = world.therapist("Ben", BERLIN).await.works("Tue 08:00-23:00").await;
        let tokens = quarter.passes(2);
        world.set_clock("2026-03-31T18:00:00Z");
        let held = nurse.holds(&ben, "2026-03-31T20:00:00Z").await.unwrap();
        let request = v1::ConfirmBookingRequest { payment: Some(by_pass(&tokens[0])), ..Worker::confirm_request(&held) };
        let booked = nurse.client.bookings().confirm_booking(request.clone()).await.unwrap().into_inner();
        world.set_clock("2026-04-01T00:00:00Z");
        assert!(nurse.client.bookings().confirm_booking(request).await.unwrap().into_inner() == booked);
        let held = nurse.holds(&ben, "2026-04-07T20:00:00Z").await.unwrap();
        assert_eq!(nurse.pays(&held, by_pass(&tokens[1])).await.unwrap_err().reason, "PASS_KEY_NOT_LIVE");
    }

    // Beside the nullifier stands the key, which all workers share, and nothing else.
    async fn what_is_kept_of_a_pass_is_two_columns(engine: Engine) {
        let world = World::at(engine, AUTUMN).await;
        let columns = match engine {
            e2e::Engine::Sqlite => "select name from pragma_table_info('spent_pass') order by name",
            e2e::Engine::Postgres => "select column_name::text from information_schema.columns where table_name = 'spent_pass' order by 1",
        };
        assert_eq!(world.texts(columns).await, ["key_id", "nullifier"]);
        // Where the engine can keep rows in another order than they came in, it does.
        if engine == e2e::Engine::Sqlite {
            assert_eq!(world.count("select count(*) from sqlite_master where name = 'spent_pass' and sql like '%without rowid'").await, 1);
        }
    }

    async fn whatever_is_changed_of_a_pass_makes_it_worthless(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let held = quarter.nurse.holds(&quarter.ada, MONDAY).await.unwrap();
        let token = quarter.pass().to_bytes();
        let before = quarter.world.fingerprint().await;
        let refused = async |bytes: Vec<u8>| {
            quarter.nurse.pays(&held, Payment::Pass(bytes)).await.unwrap_err()
        };
        for byte in 0..token.len() {
            let mut changed = token.to_vec();
            changed[byte] ^= 1 << (byte % 8);
            let refused = refused(changed).await;
            // The last of 98 signed bytes are the key's id.
            let reason = if (66..98).contains(&byte) { "PASS_KEY_NOT_LIVE" } else { "PASS_INVALID" };
            assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, reason), "byte {byte}");
        }
        for length in [0, 1, 353] {
            assert_eq!(refused(token[..length].to_vec()).await.reason, "PASS_INVALID", "{length} bytes");
        }
        assert_eq!(refused([&token[..], &[0]].concat()).await.reason, "PASS_INVALID");
        assert!(quarter.world.fingerprint().await == before, "a refused pass left something");
        quarter.nurse.pays(&held, Payment::Pass(token.to_vec())).await.unwrap();
    }

    // Each at a therapist of their own, so that nothing but the pass stands between them.
    async fn a_hundred_bring_one_pass_and_one_of_them_books(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let mut therapists = Vec::new();
        for name in ["Ben", "Cas", "Dan", "Eve", "Fay"] {
            therapists.push(quarter.world.therapist(name, BERLIN).await.works("Mon 00:00-00:00").await);
        }
        let token = quarter.pass();
        let start = Arc::new(Barrier::new(RUNNERS));
        let mut race = JoinSet::new();
        for runner in 0..RUNNERS {
            let worker = quarter.world.worker().await;
            let at = time("2026-01-19T00:00:00Z") + TimeDelta::hours(i64::try_from(runner / 5).unwrap());
            let held = worker.holds(&therapists[runner % 5], &at.to_rfc3339()).await.unwrap();
            let (start, payment) = (start.clone(), by_pass(&token));
            race.spawn(async move {
                start.wait().await;
                worker.pays(&held, payment).await
            });
        }
        let results = race.join_all().await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        let spent = results.iter().filter_map(|result| result.as_ref().err()).filter(|r| r.reason == "PASS_SPENT").count();
        assert_eq!((won, spent), (1, RUNNERS - 1));
        assert_eq!(quarter.spent().await, 1);
        assert_eq!(quarter.world.count("select count(*) from booking where programme_id is not null").await, 1);
        assert_eq!(quarter.world.count("select count(*) from booking where state = 'booked'").await, 1);
    }

    async fn a_programme_pays_for_what_it_says(engine: Engine) {
        let narrow = v1::Programme { durations: vec![minutes(20), minutes(50)], modalities: vec![v1::Modality::Video.into()], ..programme() };
        let quarter = Quarter::of(engine, narrow.clone()).await;
        let Quarter { world, hospital, ada, nurse, .. } = &quarter;
        // Anybody can read it, and sees no key of a manager.
        let request = v1::GetProgrammeRequest { programme_id: hospital.id.clone() };
        let read = world.anybody().await.programmes().get_programme(request).await.unwrap().into_inner().programme;
        assert!(read == Some(v1::Programme { id: hospital.id.clone(), ..narrow }));

        let ben = world.therapist("Ben", BERLIN).await.offers("Mon 08:00-20:00", 30, 0, 0, 30).await;
        let token = quarter.pass();
        let short = nurse.holds(&ben, MONDAY).await.unwrap();
        assert_eq!(nurse.pays(&short, by_pass(&token)).await.unwrap_err().reason, "PASS_NOT_COVERING");
        let audio = v1::HoldSlotRequest { modality: v1::Modality::Audio.into(), ..Worker::hold_request(ada, "2026-01-19T12:00:00Z") };
        let audio = nurse.client.bookings().hold_slot(audio).await.unwrap().into_inner().booking.unwrap();
        assert_eq!(nurse.pays(&audio, by_pass(&token)).await.unwrap_err().reason, "PASS_NOT_COVERING");
        assert_eq!(quarter.spent().await, 0);
        quarter.pays("2026-01-19T14:00:00Z", by_pass(&token)).await.unwrap();

        let missing = v1::GetProgrammeRequest { programme_id: request_id() };
        let missing = world.anybody().await.programmes().get_programme(missing).await.unwrap_err();
        assert_eq!(Refusal::from(missing).reason, "NOT_FOUND");
    }

    // E2: each session draws on the period that it is in, however early it is booked.
    async fn a_session_draws_on_the_period_that_it_is_in(engine: Engine) {
        let mut quarter = Quarter::of(engine, programme()).await;
        let first = quarter.passes(3);
        quarter.hospital.issuer = Issuer::generate();
        quarter.hospital.publishes("2026-04-01", "2026-06-30").await.unwrap();
        quarter.log = key_log(&quarter.world.anybody().await).await;
        let second = quarter.hospital.signs(&quarter.log, "2026-03-18T00:00:00Z", 3);

        let held = quarter.nurse.holds(&quarter.ada, "2026-04-06T10:00:00Z").await.unwrap();
        for (token, reason) in [(&first[0], "PASS_OUT_OF_PERIOD"), (&second[0], "PASS_KEY_NOT_LIVE")] {
            assert_eq!(quarter.nurse.pays(&held, by_pass(token)).await.unwrap_err().reason, reason);
        }
        // In the last two weeks of the quarter both pay, each for its own.
        quarter.world.set_clock("2026-03-18T00:00:00Z");
        let reason = async |start: &str, token: &Token| quarter.pays(start, by_pass(token)).await.err().map(|refused| refused.reason);
        assert_eq!(reason("2026-04-06T10:00:00Z", &first[0]).await.as_deref(), Some("PASS_OUT_OF_PERIOD"));
        assert_eq!(reason("2026-03-30T10:00:00Z", &second[0]).await.as_deref(), Some("PASS_OUT_OF_PERIOD"));
        assert_eq!(reason("2026-04-06T12:00:00Z", &second[0]).await, None);
        assert_eq!(reason("2026-03-30T12:00:00Z", &first[0]).await, None);
        quarter.world.set_clock("2026-04-01T00:00:00Z");
        assert_eq!(reason("2026-04-06T14:00:00Z", &first[1]).await.as_deref(), Some("PASS_KEY_NOT_LIVE"));
        assert_eq!(reason("2026-04-06T16:00:00Z", &second[1]).await, None);
        assert_eq!(quarter.spent().await, 3);

        // What is spent under a key that is retired is forgotten, and no sooner.
        services::retention::sweep(&quarter.world.app).await.unwrap();
        assert_eq!(quarter.spent().await, 3);
        quarter.world.set_clock("2026-04-02T00:00:00Z");
        services::retention::sweep(&quarter.world.app).await.unwrap();
        assert_eq!(quarter.spent().await, 2);
    }

    async fn a_key_that_is_not_in_the_log_signs_for_nobody(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let held = quarter.nurse.holds(&quarter.ada, MONDAY).await.unwrap();
        // The hospital has the same key in a log of its own, for another programme: under another challenge.
        let record = quarter.log.records().next().unwrap().clone();
        let elsewhere = |change: &dyn Fn(&mut pass::KeyRecord), issuer: Issuer| {
            let mut record = record.clone();
            change(&mut record);
            let mut log = Directory::default();
            log.publish(&record).unwrap();
            let id = uuid::Uuid::from_bytes(record.programme.0).to_string();
            let (key, manager) = (quarter.hospital.key.clone(), quarter.hospital.manager.clone());
            Hospital { id, key, manager, issuer }.signs(&log, WINTER, 1).remove(0)
        };
        let copy = || Issuer::from_pkcs8_pem(&quarter.hospital.issuer.to_pkcs8_pem()).unwrap();
        let other_challenge = elsewhere(&|record| record.challenge = pass::TokenChallenge::new("St. Ada", "elsewhere").unwrap(), copy());
        let unlisted = Issuer::generate();
        let key = unlisted.public_key().clone();
        let unlisted = elsewhere(&|record| record.key = key.clone(), unlisted);
        for (token, reason) in [(other_challenge, "PASS_INVALID"), (unlisted, "PASS_KEY_NOT_LIVE")] {
            assert_eq!(quarter.nurse.pays(&held, by_pass(&token)).await.unwrap_err().reason, reason);
        }
        assert_eq!(quarter.spent().await, 0);
    }

    // Two hospitals at once: each pays for its own passes, and a credit of the one is none of the other.
    async fn hospitals_pay_apart(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, nurse, .. } = &quarter;
        world.set_clock(AUTUMN);
        let other = world.hospital(v1::Programme { display_name: "St. Ben".to_owned(), ..programme() }).await;
        other.publishes("2026-01-01", "2026-03-31").await.unwrap();
        world.set_clock(WINTER);
        let log = key_log(&world.anybody().await).await;
        let token = other.signs(&log, WINTER, 1).remove(0);
        let booked = quarter.pays(MONDAY, by_pass(&token)).await.unwrap();
        assert_eq!(booked.programme_id, other.id);
        nurse.cancels(&booked).await;
        assert_eq!(quarter.pays(MONDAY, quarter.by_credit()).await.unwrap_err().reason, "NO_CREDIT");
        assert_eq!(nurse.credits().await, [(other.id.clone(), "2026-03-31".to_owned(), 1)]);

        let listed = v1::ListProgrammesRequest { page_size: 1, page_token: String::new() };
        let operator = world.operator().await;
        let one = operator.programmes().list_programmes(listed.clone()).await.unwrap().into_inner();
        let next = v1::ListProgrammesRequest { page_token: one.next_page_token, ..listed };
        let two = operator.programmes().list_programmes(next).await.unwrap().into_inner();
        let mut ids = [&one.programmes[..], &two.programmes[..]].concat().into_iter().map(|programme| programme.id).collect::<Vec<_>>();
        let mut expected = vec![quarter.hospital.id.clone(), other.id.clone()];
        ids.sort();
        expected.sort();
        assert_eq!((ids, two.next_page_token), (expected, String::new()));
    }

    async fn a_timely_cancellation_gives_a_credit(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let Quarter { world, hospital, nurse, .. } = &quarter;
        assert_eq!(quarter.pays(MONDAY, quarter.by_credit()).await.unwrap_err().reason, "NO_CREDIT");
        let tokens = quarter.passes(2);
        for (start, token) in [("2026-01-26T10:00:00Z", &tokens[0]), ("2026-01-26T12:00:00Z", &tokens[1])] {
            let booked = quarter.pays(start, by_pass(token)).await.unwrap();
            nurse.cancels(&booked).await;
        }
        let credits = |sessions| vec![(hospital.id.clone(), "2026-03-31".to_owned(), sessions)];
        assert_eq!(nurse.credits().await, credits(2));
        // The passes are spent all the same, and nobody else has the credit.
        assert_eq!(quarter.pays("2026-01-26T14:00:00Z", by_pass(&tokens[0])).await.unwrap_err().reason, "PASS_SPENT");
        assert!(world.worker().await.credits().await.is_empty());

        // It pays like a pass, comes back like one, and is in no other period.
        world.pass(TimeDelta::minutes(10));
        let booked = quarter.pays("2026-02-02T10:00:00Z", quarter.by_credit()).await.unwrap();
        assert_eq!((booked.programme_id.clone(), nurse.credits().await), (hospital.id.clone(), credits(1)));
        nurse.cancels(&booked).await;
        assert_eq!(nurse.credits().await, credits(2));
        assert_eq!(quarter.pays("2026-04-06T10:00:00Z", quarter.by_credit()).await.unwrap_err().reason, "NO_CREDIT");
        // What nobody paid for gives none.
        let unpaid = nurse.books(&quarter.ada, "2026-02-09T10:00:00Z").await.unwrap();
        nurse.cancels(&unpaid).await;
        assert_eq!(nurse.credits().await, credits(2));

        world.set_clock("2026-04-01T00:00:00Z");
        assert!(nurse.credits().await.is_empty());
        assert_eq!(world.count("select count(*) from credit").await, 2);
        world.set_clock("2026-04-02T00:00:00Z");
        services::retention::sweep(&world.app).await.unwrap();
        assert_eq!(world.count("select count(*) from credit").await, 0);
    }

    // B4: within a day it is lost only where the programme says so.
    async fn a_late_cancellation_costs_what_the_programme_says(engine: Engine) {
        for (late_cancellation_costs, left) in [(false, 1), (true, 0)] {
            let quarter = Quarter::of(engine, v1::Programme { late_cancellation_costs, ..programme() }).await;
            let booked = quarter.pays(MONDAY, by_pass(&quarter.pass())).await.unwrap();
            quarter.world.set_clock("2026-01-18T10:00:01Z");
            quarter.nurse.cancels(&booked).await;
            assert_eq!(quarter.nurse.credits().await.len(), left, "{late_cancellation_costs}");
        }
    }

    // B4: to move it out of the last day first changes nothing; who keeps it loses nothing, and nor does who moves in time.
    async fn b4_moving_late_is_no_way_around_what_cancelling_late_costs(engine: Engine) {
        const NEXT_WEEK: &str = "2026-01-26T10:00:00Z";
        for (moved_at, left) in [("2026-01-18T10:00:00Z", 1), ("2026-01-18T10:00:01Z", 0)] {
            let quarter = Quarter::of(engine, v1::Programme { late_cancellation_costs: true, ..programme() }).await;
            let Quarter { world, nurse, .. } = &quarter;
            let booked = quarter.pays(MONDAY, by_pass(&quarter.pass())).await.unwrap();
            world.set_clock(moved_at);
            let start_time = Some(timestamp(time(NEXT_WEEK)));
            let request = v1::RescheduleBookingRequest { request_id: request_id(), booking_id: booked.id.clone(), start_time, roster_use: None };
            let moved = nurse.client.bookings().reschedule_booking(request).await.unwrap().into_inner().booking.unwrap();
            assert_eq!(moved.late_cancellation, left == 0);
            nurse.cancels(&booked).await;
            assert_eq!(nurse.credits().await.len(), left, "{moved_at}");
        }
    }

    // B4: what a new roster took the time of is not lost, however late; what was the worker's own choice is.
    async fn b4_a_change_of_the_roster_excuses_a_late_cancellation(engine: Engine) {
        // She sleeps while the session is, or is on shift another day.
        const NIGHT: &[(&str, &str)] = &[("2026-01-18T20:00:00Z", "2026-01-19T06:30:00Z")];
        const OTHER: &[(&str, &str)] = &[("2026-01-21T08:00:00Z", "2026-01-21T16:00:00Z")];
        const BOTH: &[(&str, &str)] = &[NIGHT[0], OTHER[0]];
        for (known, brought, left) in [
            (None, [NIGHT].as_slice(), 1),
            (Some(OTHER), &[NIGHT], 1),
            (Some(OTHER), &[NIGHT, BOTH], 1),
            // Nothing was in the way, or nothing is any more.
            (None, &[], 0),
            (Some(OTHER), &[OTHER], 0),
            (Some(OTHER), &[NIGHT, OTHER], 0),
            // It was in the way when she booked.
            (Some(NIGHT), &[], 0),
            (Some(NIGHT), &[NIGHT], 0),
            (Some(NIGHT), &[BOTH], 0),
        ] {
            let quarter = Quarter::of(engine, v1::Programme { late_cancellation_costs: true, ..programme() }).await;
            let Quarter { world, ada, nurse, .. } = &quarter;
            if let Some(known) = known {
                nurse.works(BERLIN, known, "2026-03-31").await;
            }
            let whatever = v1::RosterUse { ignore_shifts: true, ..Default::default() };
            let request = v1::HoldSlotRequest { roster_use: Some(whatever), ..Worker::hold_request(ada, MONDAY) };
            let held = nurse.client.bookings().hold_slot(request).await.unwrap().into_inner().booking.unwrap();
            let booked = nurse.pays(&held, by_pass(&quarter.pass())).await.unwrap();
            for shifts in brought {
                nurse.works(BERLIN, shifts, "2026-03-31").await;
            }
            world.set_clock("2026-01-18T10:00:01Z");
            nurse.cancels(&booked).await;
            assert_eq!(nurse.credits().await.len(), left, "{known:?} {brought:?}");
        }
    }

    // B4: a feed brings a roster, too; and whoever moved such a session chose where it is.
    async fn b4_what_is_moved_is_excused_no_more(engine: Engine) {
        const FEED: &str = "https://rosters.example.org/1.ics";
        for (moved, left) in [(None, 1), (Some("2026-01-19T16:00:00Z"), 0)] {
            let quarter = Quarter::of(engine, v1::Programme { late_cancellation_costs: true, ..programme() }).await;
            let Quarter { world, nurse, .. } = &quarter;
            let publish = |start: &str, end: &str| {
                let event = format!("BEGIN:VEVENT\nUID:1\nDTSTART:{start}\nDTEND:{end}\nEND:VEVENT");
                world.calendars.publish(FEED, &format!("BEGIN:VCALENDAR\nVERSION:2.0\n{event}\nEND:VCALENDAR\n"));
            };
            publish("20260121T080000Z", "20260121T160000Z");
            let import = v1::ImportRosterRequest {
                request_id: request_id(),
                source: Some(v1::import_roster_request::Source::FeedUri(FEED.to_owned())),
                time_zone: BERLIN.to_owned(),
                ..Default::default()
            };
            nurse.client.roster().import_roster(import).await.unwrap();
            let booked = quarter.pays(MONDAY, by_pass(&quarter.pass())).await.unwrap();
            publish("20260118T200000Z", "20260119T063000Z");
            world.pass(TimeDelta::hours(1));
            world.refresh().await;
            if let Some(start) = moved {
                let start_time = Some(timestamp(time(start)));
                let request = v1::RescheduleBookingRequest { request_id: request_id(), booking_id: booked.id.clone(), start_time, roster_use: None };
                nurse.client.bookings().reschedule_booking(request).await.unwrap();
            }
            world.set_clock("2026-01-18T16:00:01Z");
            nurse.cancels(&booked).await;
            assert_eq!(nurse.credits().await.len(), left, "{moved:?}");
        }
    }

    async fn credits_go_with_the_alias(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let [one, two] = quarter.passes(2).try_into().unwrap();
        let booked = quarter.pays(MONDAY, by_pass(&one)).await.unwrap();
        quarter.nurse.cancels(&booked).await;
        quarter.pays("2026-01-26T10:00:00Z", by_pass(&two)).await.unwrap();
        assert_eq!(quarter.world.count("select count(*) from credit").await, 1);
        quarter.nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(quarter.world.count("select count(*) from credit").await, 0);
        assert_eq!(quarter.spent().await, 2, "nobody's, and spent");
    }

    async fn what_is_paid_moves_within_its_period(engine: Engine) {
        let quarter = Quarter::of(engine, programme()).await;
        let booked = quarter.pays(MONDAY, by_pass(&quarter.pass())).await.unwrap();
        let moves = async |start: &str| {
            let start_time = Some(timestamp(time(start)));
            let request = v1::RescheduleBookingRequest { request_id: request_id(), booking_id: booked.id.clone(), start_time, roster_use: None };
            quarter.nurse.client.bookings().reschedule_booking(request).await.map_err(Refusal::from)
        };
        let moved = moves("2026-03-30T10:00:00Z").await.unwrap().into_inner().booking.unwrap();
        assert_eq!(moved.programme_id, quarter.hospital.id);
        let before = quarter.world.fingerprint().await;
        assert_eq!(moves("2026-04-06T10:00:00Z").await.unwrap_err().reason, "PASS_OUT_OF_PERIOD");
        assert!(quarter.world.fingerprint().await == before);
        assert_eq!(quarter.spent().await, 1);
    }

    // Whoever stole a key has passes; they are worthless from one moment to the next, on every server.
    async fn a_stolen_key_is_revoked(engine: Engine) {
        let mut quarter = Quarter::of(engine, programme()).await;
        let [one, two, stolen] = quarter.passes(3).try_into().unwrap();
        let elsewhere = Client::connect(quarter.world.serves_elsewhere().await).await.unwrap();
        let elsewhere = elsewhere.login(quarter.nurse.key.clone()).await.unwrap();
        let booked = quarter.pays(MONDAY, by_pass(&one)).await.unwrap();
        // Another server has read the log, too, and does not believe what it read when a pass is spent.
        let here = std::mem::replace(&mut quarter.nurse.client, elsewhere.clone());
        let cancelled = quarter.pays("2026-01-26T10:00:00Z", by_pass(&two)).await.unwrap();
        quarter.nurse.client = here;
        let key_id = quarter.hospital.issuer.public_key().id().as_bytes().to_vec();
        let request = || v1::RevokeProgrammeKeyRequest { request_id: request_id(), key_id: key_id.clone() };
        // Another hospital's is not there.
        let other = quarter.world.hospital(programme()).await;
        let refused = Refusal::from(other.manager.programmes().revoke_programme_key(request()).await.unwrap_err());
        assert_eq!(refused.reason, "NOT_FOUND");
        let revoke = async |request| quarter.hospital.manager.programmes().revoke_programme_key(request).await;
        let once = request();
        revoke(once.clone()).await.unwrap();
        revoke(once).await.unwrap();
        assert_eq!(Refusal::from(revoke(request()).await.unwrap_err()).reason, "NOT_FOUND", "it is retired");
        let log = key_log(&quarter.world.anybody().await).await;
        assert_eq!((log.head().length, log.records().next().unwrap().state(time(WINTER).timestamp())), (2, KeyState::Retired));

        let held = quarter.nurse.holds(&quarter.ada, "2026-01-19T12:00:00Z").await.unwrap();
        assert_eq!(quarter.nurse.pays(&held, by_pass(&stolen)).await.unwrap_err().reason, "PASS_KEY_NOT_LIVE");
        let here = std::mem::replace(&mut quarter.nurse.client, elsewhere);
        assert_eq!(quarter.nurse.pays(&held, by_pass(&stolen)).await.unwrap_err().reason, "PASS_KEY_NOT_LIVE");
        quarter.nurse.client = here;
        // What is booked stays, and what is given back is worth what it was.
        let get = v1::GetBookingRequest { booking_id: booked.id };
        let stays = quarter.nurse.client.bookings().get_booking(get).await.unwrap().into_inner().booking.unwrap();
        assert_eq!(stays.state(), v1::BookingState::Booked);
        quarter.nurse.cancels(&cancelled).await;
        quarter.nurse.pays(&held, quarter.by_credit()).await.unwrap();

        // Another key takes its place for the same days, and no others.
        quarter.hospital.issuer = Issuer::generate();
        assert_eq!(quarter.hospital.publishes("2026-01-10", "2026-03-31").await.unwrap_err().reason, "PERIODS_OVERLAP");
        quarter.hospital.publishes("2026-01-01", "2026-03-31").await.unwrap();
        quarter.world.set_clock("2026-01-20T00:00:00Z");
        let log = key_log(&quarter.world.anybody().await).await;
        let token = quarter.hospital.signs(&log, "2026-01-20T00:00:00Z", 1).remove(0);
        quarter.pays("2026-01-26T12:00:00Z", by_pass(&token)).await.unwrap();
    }

    async fn a_server_for_programmes_alone_asks_for_a_pass(engine: Engine) {
        let mut quarter = Quarter::of(engine, programme()).await;
        let settings = Settings { pass_required: true, ..Settings::clone(&quarter.world.app.settings) };
        quarter.world.app.settings = Arc::new(settings);
        let strict = Client::connect(quarter.world.serves_elsewhere().await).await.unwrap();
        quarter.nurse.client = strict.login(quarter.nurse.key.clone()).await.unwrap();
        assert_eq!(quarter.pays(MONDAY, None::<Payment>).await.unwrap_err().reason, "PASS_REQUIRED");
        let booked = quarter.pays("2026-01-19T12:00:00Z", by_pass(&quarter.pass())).await.unwrap();
        quarter.nurse.cancels(&booked).await;
        quarter.pays("2026-01-19T14:00:00Z", quarter.by_credit()).await.unwrap();
    }

    // A device that keeps the head that it saw reads the log again and again, and every manager adds to the same one.
    async fn the_log_is_one_for_all(engine: Engine) {
        let world = World::at(engine, AUTUMN).await;
        let anybody = world.anybody().await;
        assert!(entries(&anybody, 1).await.is_empty());
        let mut head = Head::default();
        let mut hospitals = Vec::new();
        for _ in 0..4 {
            hospitals.push(world.hospital(programme()).await);
        }
        let publish = |hospital: usize| hospitals[hospital].publishes("2026-01-01", "2026-03-31");
        let (one, two, three, four) = tokio::join!(publish(0), publish(1), publish(2), publish(3));
        let keys = [one, two, three, four];
        for page_size in [1, 3, 4, 100] {
            let entries = entries(&anybody, page_size).await;
            let log = Directory::read(entries.iter().map(Vec::as_slice), head).unwrap();
            assert_eq!(log.head().length, 4);
            head = log.head();
        }
        let log = key_log(&anybody).await;
        for (hospital, key) in hospitals.iter().zip(keys) {
            let key = key.unwrap();
            let record = log.record(hospital.issuer.public_key().id()).unwrap();
            assert_eq!(record.key.id().as_bytes()[..], key.key_id);
            assert_eq!(uuid::Uuid::from_bytes(record.programme.0).to_string(), key.programme_id);
            assert_eq!((record.period.as_str(), record.challenge.origin_info()), ("2026-01-01/2026-03-31", "respite-test"));
            for (at, state) in [(&key.active_time, KeyState::Active), (&key.grace_time, KeyState::Grace), (&key.retire_time, KeyState::Retired)] {
                let at = at.as_ref().unwrap().seconds;
                assert_eq!(record.state(at), state);
                assert_ne!(record.state(at - 1), state);
            }
        }
    }

    async fn a_manager_publishes_one_key_for_each_period(engine: Engine) {
        let world = World::at(engine, AUTUMN).await;
        let mut hospital = world.hospital(programme()).await;
        let mut reason = async |issuer: Issuer, first: &str, last: &str| {
            hospital.issuer = issuer;
            hospital.publishes(first, last).await.err().map(|refused| (refused.code, refused.reason))
        };
        let first = Issuer::generate();
        let copy = Issuer::from_pkcs8_pem(&first.to_pkcs8_pem()).unwrap();
        let refused = |code, reason: &str| Some((code, reason.to_owned()));
        assert_eq!(reason(first, "2026-01-01", "2026-03-31").await, None);
        let before = world.fingerprint().await;
        assert_eq!(reason(copy, "2026-04-01", "2026-06-30").await, refused(Code::AlreadyExists, "KEY_LISTED"));
        for (first, last) in [("2026-03-31", "2026-06-30"), ("2025-12-01", "2026-01-01"), ("2026-02-01", "2026-02-28")] {
            assert_eq!(reason(Issuer::generate(), first, last).await, refused(Code::FailedPrecondition, "PERIODS_OVERLAP"));
        }
        // Seen for a week and good for a day: the last day on which this could be asked for is two weeks before the end.
        assert_eq!(reason(Issuer::generate(), "2025-10-25", "2025-11-23").await, refused(Code::FailedPrecondition, "PERIOD_OVER"));
        assert!(world.fingerprint().await == before, "a refused key left something");
        assert_eq!(reason(Issuer::generate(), "2025-10-25", "2025-11-24").await, None);
        assert_eq!(reason(Issuer::generate(), "2026-04-01", "2026-06-30").await, None);
        assert_eq!(key_log(&world.anybody().await).await.head().length, 3);
        // Published so late that the one before would sign no more, and yet both would pay for the same days.
        let other = world.hospital(programme()).await;
        other.publishes("2026-01-01", "2026-03-31").await.unwrap();
        world.set_clock("2026-03-11T09:00:00Z");
        let late = Hospital { issuer: Issuer::generate(), ..other };
        assert_eq!(late.publishes("2026-03-25", "2026-06-30").await.unwrap_err().reason, "PERIODS_OVERLAP");

        // One key is one caller, a manager's, too.
        let twice = v1::CreateProgrammeRequest { request_id: request_id(), programme: Some(programme()), public_key: hospital.key.verifying_key().to_bytes().to_vec() };
        let twice = Refusal::from(world.operator().await.programmes().create_programme(twice).await.unwrap_err());
        assert_eq!(twice.reason, "KEY_IN_USE");
        let alias = world.anybody().await.create_alias(&hospital.key).await.unwrap_err();
        assert!(alias.to_string().contains("another caller signs in with this key"), "{alias}");
    }
}
