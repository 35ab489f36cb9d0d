//! Rosters in every form they come in (S1), and what is made of their breaks (S3).

use api::v1;
use chrono::TimeDelta;
use client::{Refusal, request_id};
use e2e::{Therapist, Worker, World, date, hours_of, minutes, span, start_of, starts, time, timestamp};
use sea_orm::ConnectionTrait;
use services::feeds::Refreshed;
use tonic::Code;
use tonic_types::StatusExt;
use v1::{import_roster_request::Source, shift_pattern::Repetition};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";
const FEED: &str = "https://rosters.example.org/private/42.ics";

e2e::stories! {
    // S1, T3: the second night is the one in which the clock is put forward, and keeps its times.
    async fn a_cycle_is_a_roster(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let shift = |hours: &str, breaks: &[(i64, i64)]| Some(v1::ShiftHours {
            hours: Some(hours_of(hours)),
            breaks: breaks.iter().map(|(offset, duration)| v1::ShiftBreak { offset: Some(minutes(*offset)), duration: Some(minutes(*duration)) }).collect(),
            ..Default::default()
        });
        let cycle = v1::ShiftCycle {
            days: "D n - -".to_owned(),
            shifts: vec![
                v1::NamedShift { name: "D".to_owned(), shift: shift("07:00-19:00", &[(240, 30)]) },
                v1::NamedShift { name: "N".to_owned(), shift: shift("19:00-07:00", &[(0, 10), (700, 20)]) },
            ],
        };
        let pattern = v1::ShiftPattern { start_date: Some(date("2026-03-27")), repetition: Some(Repetition::Cycle(cycle)) };
        let request = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(Source::Pattern(pattern)),
            time_zone: BERLIN.to_owned(),
            publish_date: Some(date("2026-03-31")),
            on_call: false,
        };
        let taken = nurse.client.roster().import_roster(request).await.unwrap().into_inner();
        assert_eq!((taken.shift_count, taken.night_count, taken.publish_date), (3, 1, Some(date("2026-03-31"))));

        let (day, night) = (v1::ShiftKind::Day.into(), v1::ShiftKind::Night.into());
        let expected = vec![
            v1::Shift {
                span: Some(span("2026-03-27T06:00:00Z", "2026-03-27T18:00:00Z")),
                kind: day,
                breaks: vec![span("2026-03-27T10:00:00Z", "2026-03-27T10:30:00Z")],
            },
            v1::Shift {
                span: Some(span("2026-03-28T18:00:00Z", "2026-03-29T05:00:00Z")),
                kind: night,
                breaks: vec![span("2026-03-28T18:00:00Z", "2026-03-28T18:10:00Z")],
            },
            v1::Shift {
                span: Some(span("2026-03-31T05:00:00Z", "2026-03-31T17:00:00Z")),
                kind: day,
                breaks: vec![span("2026-03-31T09:00:00Z", "2026-03-31T09:30:00Z")],
            },
        ];
        assert!(kept(&nurse).await.shifts == expected);
    }

    // S1
    async fn a_rule_is_a_roster(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let rule = v1::ShiftRule {
            rrule: "FREQ=WEEKLY;BYDAY=MO,TH".to_owned(),
            shift: Some(v1::ShiftHours { hours: Some(hours_of("22:00-06:00")), kind: v1::ShiftKind::OnCall.into(), breaks: Vec::new() }),
        };
        let pattern = v1::ShiftPattern { start_date: Some(date("2026-03-20")), repetition: Some(Repetition::Rule(rule)) };
        let request = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(Source::Pattern(pattern)),
            time_zone: BERLIN.to_owned(),
            publish_date: Some(date("2026-03-27")),
            on_call: false,
        };
        nurse.client.roster().import_roster(request).await.unwrap();
        let roster = kept(&nurse).await;
        let spans: Vec<_> = roster.shifts.iter().map(|shift| shift.span.unwrap()).collect();
        assert!(spans == [span("2026-03-23T21:00:00Z", "2026-03-24T05:00:00Z"), span("2026-03-26T21:00:00Z", "2026-03-27T05:00:00Z")]);
        assert!(roster.shifts.iter().all(|shift| shift.kind() == v1::ShiftKind::OnCall));
        assert_eq!(roster.publish_date, Some(date("2026-03-27")));
    }

    // S3: what was declared is shown, and only that.
    async fn a_list_says_its_breaks(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let shifts = vec![
            v1::Shift {
                span: Some(span("2026-03-23T06:00:00Z", "2026-03-23T14:00:00Z")),
                kind: v1::ShiftKind::Day.into(),
                breaks: vec![span("2026-03-23T13:40:00Z", "2026-03-23T14:00:00Z"), span("2026-03-23T10:00:00Z", "2026-03-23T10:30:00Z")],
            },
            v1::Shift {
                span: Some(span("2026-03-23T14:00:00Z", "2026-03-23T15:00:00Z")),
                kind: v1::ShiftKind::Day.into(),
                breaks: vec![span("2026-03-23T14:00:00Z", "2026-03-23T14:10:00Z")],
            },
        ];
        let request = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(Source::ShiftList(v1::ShiftList { shifts: shifts.clone() })),
            time_zone: BERLIN.to_owned(),
            publish_date: None,
            on_call: false,
        };
        nurse.client.roster().import_roster(request).await.unwrap();
        let mut expected = shifts;
        expected[0].breaks.reverse();
        assert!(kept(&nurse).await.shifts == expected);
    }

    // S1, T5: what travels counts in the search and in the booking alike, and is nowhere afterwards.
    async fn a_roster_that_travels_is_not_stored(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let night = v1::Shift {
            span: Some(span("2026-03-22T20:00:00Z", "2026-03-23T05:30:00Z")),
            kind: v1::ShiftKind::Night.into(),
            breaks: Vec::new(),
        };
        let roster = v1::Roster { shifts: vec![night], publish_date: Some(date("2026-04-30")), time_zone: BERLIN.to_owned() };
        let carried = || Some(v1::RosterUse { roster: Some(roster.clone()), ..Default::default() });

        let found = searched(&nurse, &ada, carried()).await;
        // S2: half an hour home and eight of sleep.
        assert_eq!(starts(&found)[0], "2026-03-23T14:00:00Z");
        assert_eq!(starts(&searched(&nurse, &ada, None).await)[0], "2026-03-23T07:00:00Z");
        let hold = |start: &str| v1::HoldSlotRequest { roster_use: carried(), ..Worker::hold_request(&ada, start) };
        let asleep = nurse.client.bookings().hold_slot(hold("2026-03-23T10:00:00Z")).await.unwrap_err();
        assert_eq!(Refusal::from(asleep).reason, "COLLIDES_WITH_SLEEP");
        let awake = hold("2026-03-23T14:00:00Z");
        let held = nurse.client.bookings().hold_slot(awake.clone()).await.unwrap().into_inner();
        assert!(nurse.client.bookings().hold_slot(awake).await.unwrap().into_inner() == held, "the same again (B3)");
        let booked = nurse.confirms(&held.booking.unwrap()).await.unwrap();
        let moved = |start: &str| v1::RescheduleBookingRequest {
            request_id: request_id(),
            booking_id: booked.id.clone(),
            start_time: Some(timestamp(time(start))),
            roster_use: carried(),
        };
        let asleep = nurse.client.bookings().reschedule_booking(moved("2026-03-23T10:00:00Z")).await.unwrap_err();
        assert_eq!(Refusal::from(asleep).reason, "COLLIDES_WITH_SLEEP");
        nurse.client.bookings().reschedule_booking(moved("2026-03-23T16:00:00Z")).await.unwrap();
        assert_eq!(world.count("select count(*) from roster").await, 0);

        // S3: the largest that may travel fits a request.
        let first = time("2026-03-23T06:00:00Z");
        let shifts = (0..400).map(|day| {
            let at = |minutes| timestamp(first + TimeDelta::days(day) + TimeDelta::minutes(minutes));
            let part = |start, end| v1::Span { start_time: Some(at(start)), end_time: Some(at(end)) };
            v1::Shift {
                span: Some(part(0, 60)),
                kind: v1::ShiftKind::OnCall.into(),
                breaks: (0..6).map(|tenth| part(tenth * 10, tenth * 10 + 5)).collect(),
            }
        });
        let longest = v1::Roster { shifts: shifts.collect(), publish_date: None, time_zone: BERLIN.to_owned() };
        let roster_use = Some(v1::RosterUse { roster: Some(longest), ..Default::default() });
        let request = v1::HoldSlotRequest { roster_use, ..Worker::hold_request(&ada, "2026-03-30T14:00:00Z") };
        nurse.client.bookings().hold_slot(request).await.unwrap();
    }

    // S3, T5: in break mode there are check-ins in breaks and nothing else, for the search and for the booking.
    async fn a_check_in_fits_a_break(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 08:00-20:00", 20, 0, 0, 10).await;
        let nurse = world.worker().await;
        let day = v1::Shift {
            span: Some(span("2026-03-23T06:00:00Z", "2026-03-23T14:00:00Z")),
            kind: v1::ShiftKind::Day.into(),
            breaks: vec![span("2026-03-23T10:00:00Z", "2026-03-23T10:30:00Z"), span("2026-03-23T12:00:00Z", "2026-03-23T12:15:00Z")],
        };
        let request = v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(Source::ShiftList(v1::ShiftList { shifts: vec![day] })),
            time_zone: BERLIN.to_owned(),
            publish_date: Some(date("2026-04-30")),
            on_call: false,
        };
        nurse.client.roster().import_roster(request).await.unwrap();

        let ordinary = searched(&nurse, &ada, None).await;
        assert_eq!(starts(&ordinary)[0], "2026-03-23T14:30:00Z", "only who asks for breaks gets them");
        let breaks_only = || Some(v1::RosterUse { breaks_only: true, ..Default::default() });
        let found = searched(&nurse, &ada, breaks_only()).await;
        assert_eq!(starts(&found), ["2026-03-23T10:00:00Z", "2026-03-23T10:10:00Z"]);
        let removed: Vec<_> = found.removals.iter().map(v1::Removal::constraint).collect();
        assert!(removed.contains(&v1::Constraint::Break) && removed.contains(&v1::Constraint::Shift), "{removed:?}");

        let hold = |start: &str, roster_use| v1::HoldSlotRequest { roster_use, ..Worker::hold_request(&ada, start) };
        for (start, roster_use, reason) in [
            ("2026-03-23T10:00:00Z", None, "COLLIDES_WITH_SHIFT"),
            ("2026-03-23T10:20:00Z", breaks_only(), "OUTSIDE_BREAK"),
            ("2026-03-23T12:00:00Z", breaks_only(), "OUTSIDE_BREAK"),
            ("2026-03-23T11:00:00Z", breaks_only(), "COLLIDES_WITH_SHIFT"),
            ("2026-03-23T14:00:00Z", breaks_only(), "COLLIDES_WITH_COMMUTE"),
            ("2026-03-23T15:00:00Z", breaks_only(), "OUTSIDE_BREAK"),
        ] {
            let refused = nurse.client.bookings().hold_slot(hold(start, roster_use)).await.unwrap_err();
            assert_eq!(Refusal::from(refused).reason, reason, "{start}");
        }
        nurse.client.bookings().hold_slot(hold("2026-03-23T10:10:00Z", breaks_only())).await.unwrap();

        // Whoever has no roster has no break.
        let other = world.worker().await;
        assert!(starts(&searched(&other, &ada, breaks_only()).await).is_empty());
    }

    // S6: offered, and said.
    async fn what_weighs_before_a_shift_is_said(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 08:00-20:00", 60, 0, 0, 60).await;
        let nurse = world.worker().await;
        nurse.works(BERLIN, &[("2026-03-23T17:00:00Z", "2026-03-23T23:00:00Z")], "2026-04-30").await;
        let asked = async |specialization: &str| {
            let request = v1::SearchSlotsRequest {
                filter: Some(v1::TherapistFilter {
                    specializations: vec![specialization.to_owned()],
                    therapist_ids: vec![ada.id.clone()],
                    ..Default::default()
                }),
                window: Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z")),
                page_size: 100,
                ..Default::default()
            };
            let found = nurse.client.slots().search_slots(request).await.unwrap().into_inner();
            let warned = found.hits.iter().filter(|hit| hit.warnings().any(|warning| warning == v1::SlotWarning::BeforeShift));
            let warned: Vec<_> = warned.map(|hit| start_of(hit.slot.as_ref().unwrap().session.as_ref())).collect();
            (starts(&found), warned)
        };
        let (light, none) = asked("burnout").await;
        assert!(none.is_empty(), "{none:?}");
        let (heavy, warned) = asked("trauma").await;
        assert_eq!(heavy, light, "never hidden");
        assert_eq!(warned, ["2026-03-23T12:00:00Z", "2026-03-23T13:00:00Z", "2026-03-23T14:00:00Z", "2026-03-23T15:00:00Z"]);
    }

    // S1: what changes there changes here; what fails there changes nothing.
    async fn a_feed_is_a_roster_that_goes_on(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        world.calendars.publish(FEED, &calendar("20260322T200000Z", "20260323T053000Z"));
        let request = feed(&FEED.replace("https", "webcal"));
        let taken = nurse.client.roster().import_roster(request.clone()).await.unwrap().into_inner();
        assert_eq!((taken.shift_count, taken.night_count, taken.publish_date), (1, 1, Some(date("2026-03-23"))));
        let first = [span("2026-03-22T20:00:00Z", "2026-03-23T05:30:00Z")];
        assert!(spans(&nurse).await == first);
        assert_eq!(world.refresh().await, Refreshed::default(), "nothing is due within the hour");

        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, Refreshed { fetched: 1, failed: 0 }, "it says what it said");
        assert!(spans(&nurse).await == first);

        let second = [span("2026-03-24T20:00:00Z", "2026-03-25T05:30:00Z")];
        world.calendars.publish(FEED, &calendar("20260324T200000Z", "20260325T053000Z"));
        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, Refreshed { fetched: 1, failed: 0 });
        assert!(spans(&nurse).await == second);

        // Whatever it says that is no roster, the last good one stays, and the wait becomes longer.
        for (broken, wait) in [("BEGIN:VCALENDAR", 1), ("<html>", 2), (&calendar("20260325T200000Z", "20260324T053000Z"), 4)] {
            world.calendars.publish(FEED, broken);
            world.pass(TimeDelta::minutes(wait * 45 - 1));
            assert_eq!(world.refresh().await, Refreshed::default());
            world.pass(TimeDelta::minutes(wait * 15 + 1));
            assert_eq!(world.refresh().await, Refreshed { fetched: 0, failed: 1 });
        }
        world.calendars.withdraw(FEED);
        world.pass(TimeDelta::days(1));
        assert_eq!(world.refresh().await, Refreshed { fetched: 0, failed: 1 });
        assert!(spans(&nurse).await == second);

        // B3: the first answer again, though nothing could be fetched now; and a new question is refused.
        world.set_clock("2026-03-20T09:30:00Z");
        assert!(nurse.client.roster().import_roster(request.clone()).await.unwrap().into_inner() == taken);
        let refused = nurse.client.roster().import_roster(feed(FEED)).await.unwrap_err();
        let refused = Refusal::from(refused);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "FEED_UNAVAILABLE"));
        assert!(spans(&nurse).await == second);
    }

    // S8: whoever looks learns that a feed has brought a roster which collides, and since when it brings nothing.
    async fn a_feed_owes_its_worker_what_it_did(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let answer = async || nurse.client.roster().get_roster(v1::GetRosterRequest {}).await.unwrap().into_inner();
        nurse.works(BERLIN, &[("2026-03-26T20:00:00Z", "2026-03-27T05:30:00Z")], "2026-04-30").await;
        assert!(answer().await.feed.is_none(), "it comes from no feed");

        world.calendars.publish(FEED, &calendar("20260326T200000Z", "20260327T053000Z"));
        nurse.client.roster().import_roster(feed(FEED)).await.unwrap();
        let booked = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let first = answer().await;
        assert!(first.collisions.is_empty());
        let state = first.feed.unwrap();
        assert_eq!((state.condition(), state.unavailable_since_time), (v1::FeedCondition::Current, None));
        assert_eq!(state.last_success_time, Some(timestamp(time(FRIDAY))));

        world.calendars.publish(FEED, &calendar("20260322T200000Z", "20260323T053000Z"));
        world.pass(TimeDelta::hours(1));
        world.refresh().await;
        let second = answer().await;
        let told: Vec<_> = second.collisions.iter().map(|one| (one.booking_id.as_str(), one.reason.as_str())).collect();
        assert_eq!(told, [(booked.id.as_str(), "COLLIDES_WITH_SLEEP")]);
        assert_eq!(second.collisions[0].alternative_start_times[0], timestamp(time("2026-03-23T14:00:00Z")));
        assert_eq!(second.feed.unwrap().last_success_time, Some(timestamp(time("2026-03-20T10:00:00Z"))));

        world.calendars.withdraw(FEED);
        for pass in [1, 2] {
            world.pass(TimeDelta::hours(pass));
            assert_eq!(world.refresh().await, Refreshed { fetched: 0, failed: 1 });
            let third = answer().await;
            assert!(third.roster == second.roster && third.collisions == second.collisions);
            let state = third.feed.unwrap();
            assert_eq!(state.condition(), v1::FeedCondition::Unavailable);
            assert_eq!(state.unavailable_since_time, Some(timestamp(time("2026-03-20T11:00:00Z"))));
            assert_eq!(state.last_success_time, Some(timestamp(time("2026-03-20T10:00:00Z"))));
        }
        // Others learn nothing of it.
        let other = world.worker().await.client.roster().get_roster(v1::GetRosterRequest {}).await.unwrap_err();
        assert_eq!(other.code(), Code::NotFound);
    }

    // Nobody makes the server knock at doors all day; what needs no fetch needs no turn.
    async fn a_feed_is_imported_a_few_times_in_a_row(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        world.calendars.publish(FEED, &calendar("20260322T200000Z", "20260323T053000Z"));
        let taken = feed(FEED);
        for _ in 0..6 {
            nurse.client.roster().import_roster(taken.clone()).await.unwrap();
            nurse.client.roster().import_roster(feed("https://10.0.0.1/42.ics")).await.unwrap_err();
        }
        for _ in 0..4 {
            let refused = nurse.client.roster().import_roster(feed("https://rosters.example.org/none.ics")).await.unwrap_err();
            assert_eq!(Refusal::from(refused).reason, "FEED_UNAVAILABLE");
        }
        let again = feed(FEED);
        let refused = nurse.client.roster().import_roster(again.clone()).await.unwrap_err();
        let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert_eq!((refused.code(), Refusal::from(refused).reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_FETCHES"));
        nurse.works(BERLIN, &[("2026-03-26T20:00:00Z", "2026-03-27T05:30:00Z")], "2026-04-30").await;

        world.pass(TimeDelta::from_std(wait).unwrap());
        nurse.client.roster().import_roster(again).await.unwrap();
        nurse.client.roster().import_roster(feed(FEED)).await.unwrap_err();
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(world.count("select count(*) from fetch_turn").await, 0);
    }

    // S1: a feed ends with its roster, with another roster, and with its alias.
    async fn a_feed_ends(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        world.calendars.publish(FEED, &calendar("20260322T200000Z", "20260323T053000Z"));
        let nurse = world.worker().await;
        let begin = async || nurse.client.roster().import_roster(feed(FEED)).await.unwrap();
        let feeds = async || world.count("select count(*) from feed").await;

        begin().await;
        begin().await;
        assert_eq!(feeds().await, 1);
        nurse.works(BERLIN, &[("2026-03-26T20:00:00Z", "2026-03-27T05:30:00Z")], "2026-04-30").await;
        assert_eq!(feeds().await, 0);
        begin().await;
        nurse.client.roster().delete_roster(v1::DeleteRosterRequest { request_id: request_id() }).await.unwrap();
        assert_eq!(feeds().await, 0);
        begin().await;
        nurse.client.alias().erase_alias(v1::EraseAliasRequest {}).await.unwrap();
        assert_eq!(feeds().await, 0);
        world.pass(TimeDelta::hours(1));
        assert_eq!(world.refresh().await, Refreshed::default());
    }

    // Every feed is fetched by one of them.
    async fn several_servers_share_the_feeds(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        world.calendars.publish(FEED, &calendar("20260322T200000Z", "20260323T053000Z"));
        for _ in 0..6 {
            world.worker().await.client.roster().import_roster(feed(FEED)).await.unwrap();
        }
        let other = world.another_server().await;
        world.pass(TimeDelta::hours(1));
        let (here, there) = tokio::join!(world.refresh(), services::feeds::refresh_due(&other));
        assert_eq!(here.fetched + there.unwrap().fetched, 6);
        assert_eq!(world.refresh().await, Refreshed::default());

        // Whoever died with a claim leaves a lease that ends after five minutes.
        world.pass(TimeDelta::hours(1));
        let lease = (world.app.clock.now() + TimeDelta::minutes(5)).timestamp();
        let dies = format!("update feed set next_attempt_at = {lease}");
        world.app.db.read().execute_unprepared(&dies).await.unwrap();
        assert_eq!(world.refresh().await, Refreshed::default());
        world.pass(TimeDelta::minutes(5));
        assert_eq!(world.refresh().await, Refreshed { fetched: 6, failed: 0 });
    }

    // S8, B4: exactly those that collide, each with times that a move accepts.
    async fn a_new_roster_says_what_it_collides_with(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00, Tue 08:00-20:00").await;
        let short = world.therapist("Ben", BERLIN).await.offers("Mon 08:00-20:00", 20, 0, 0, 10).await;
        let nurse = world.worker().await;
        let asleep = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let leaving = nurse.holds(&ada, "2026-03-23T18:00:00Z").await.unwrap();
        nurse.books(&ada, "2026-03-23T16:00:00Z").await.unwrap();
        nurse.books(&ada, "2026-04-13T16:00:00Z").await.unwrap();
        let breather = nurse.books(&short, "2026-03-30T10:00:00Z").await.unwrap();
        let other = world.worker().await;
        other.books(&ada, "2026-03-23T15:00:00Z").await.unwrap();
        other.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        let cancelled = nurse.books(&ada, "2026-03-24T08:00:00Z").await.unwrap();
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: cancelled.id };
        nurse.client.bookings().cancel_booking(cancel).await.unwrap();

        let day = |breaks| v1::Shift { span: Some(span("2026-03-30T06:00:00Z", "2026-03-30T14:00:00Z")), kind: v1::ShiftKind::Day.into(), breaks };
        let nights = [("2026-03-22T20:00:00Z", "2026-03-23T05:30:00Z"), ("2026-03-23T18:30:00Z", "2026-03-24T05:30:00Z")];
        let nights = nights.map(|(start, end)| v1::Shift { span: Some(span(start, end)), ..Default::default() });
        let import = |breaks| v1::ImportRosterRequest {
            request_id: request_id(),
            source: Some(Source::ShiftList(v1::ShiftList { shifts: [nights.to_vec(), vec![day(breaks)]].concat() })),
            time_zone: BERLIN.to_owned(),
            publish_date: Some(date("2026-04-05")),
            on_call: false,
        };
        let pause = vec![span("2026-03-30T10:00:00Z", "2026-03-30T10:30:00Z")];
        let collisions = nurse.client.roster().import_roster(import(pause)).await.unwrap().into_inner().collisions;
        let told: Vec<_> = collisions.iter().map(|one| (one.booking_id.as_str(), one.reason.as_str())).collect();
        assert_eq!(told, [(asleep.id.as_str(), "COLLIDES_WITH_SLEEP"), (leaving.id.as_str(), "COLLIDES_WITH_COMMUTE")]);
        assert_eq!(start_of(collisions[0].session.as_ref()), "2026-03-23T10:00:00Z");

        // The nearest that she has time for, and that nobody has: somebody comes at 15:00, and she herself at 16:00.
        let nearest = ["2026-03-23T14:00:00Z", "2026-03-24T14:00:00Z", "2026-03-24T14:30:00Z"];
        assert_eq!(collisions[0].alternative_start_times, nearest.map(|at| timestamp(time(at))));
        for start_time in collisions[0].alternative_start_times.iter().copied() {
            let request = v1::RescheduleBookingRequest {
                request_id: request_id(),
                booking_id: asleep.id.clone(),
                start_time: Some(start_time),
                roster_use: None,
            };
            nurse.client.bookings().reschedule_booking(request).await.unwrap();
        }

        // Without its break, the check-in collides.
        let collisions = nurse.client.roster().import_roster(import(Vec::new())).await.unwrap().into_inner().collisions;
        let told: Vec<_> = collisions.iter().map(|one| (one.booking_id.as_str(), one.reason.as_str())).collect();
        assert_eq!(told, [(leaving.id.as_str(), "COLLIDES_WITH_COMMUTE"), (breather.id.as_str(), "COLLIDES_WITH_SHIFT")]);
    }
}

pub(crate) fn feed(address: &str) -> v1::ImportRosterRequest {
    v1::ImportRosterRequest {
        request_id: request_id(),
        source: Some(Source::FeedUri(address.to_owned())),
        time_zone: BERLIN.to_owned(),
        publish_date: None,
        on_call: false,
    }
}

fn calendar(start: &str, end: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:{start}\r\nDTEND:{end}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

pub(crate) async fn spans(worker: &Worker) -> Vec<v1::Span> {
    kept(worker).await.shifts.into_iter().filter_map(|shift| shift.span).collect()
}

async fn searched(
    worker: &Worker,
    therapist: &Therapist,
    roster_use: Option<v1::RosterUse>,
) -> v1::SearchSlotsResponse {
    let request = v1::SearchSlotsRequest {
        filter: Some(v1::TherapistFilter { therapist_ids: vec![therapist.id.clone()], ..Default::default() }),
        window: Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z")),
        page_size: 100,
        roster_use,
        ..Default::default()
    };
    worker.client.slots().search_slots(request).await.unwrap().into_inner()
}

async fn kept(worker: &Worker) -> v1::Roster {
    let answer = worker.client.roster().get_roster(v1::GetRosterRequest {}).await.unwrap();
    answer.into_inner().roster.unwrap()
}
