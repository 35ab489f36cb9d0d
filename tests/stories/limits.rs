//! A therapist takes on no more than they said, and only they learn how much that is.

use api::v1;
use client::{Refusal, request_id};
use e2e::{Therapist, World, date, hours_of, minutes, time, timestamp, weekly_windows};
use tonic::Code;

use crate::availability::{on, set};

/// What is said about a schedule.
type Change = fn(&mut v1::Schedule);

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";

e2e::stories! {
    // A1
    async fn a_day_is_counted_on_the_therapists_clock(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        // Thirteen hours ahead of UTC, whose Monday is her Monday's noon to her Tuesday's.
        let ada = world.therapist("Ada", "Pacific/Auckland").await.offers("Mon 09:00-18:00, Tue 09:00-18:00", 50, 0, 10, 60).await;
        set(&ada, |schedule| schedule.day_limits = Some(sessions(2))).await.unwrap();
        let monday_morning = ["20:00", "21:00", "22:00", "23:00"];
        let rest_of_monday = ["00:00", "01:00", "02:00", "03:00", "04:00"];
        assert_eq!(on(&nurse, &ada, "2026-03-22").await, monday_morning);
        assert_eq!(on(&nurse, &ada, "2026-03-23").await[..5], rest_of_monday);

        nurse.books(&ada, "2026-03-22T21:00:00Z").await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await[..5], rest_of_monday);
        let second = nurse.books(&ada, "2026-03-23T02:00:00Z").await.unwrap();
        assert!(on(&nurse, &ada, "2026-03-22").await.is_empty());
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, monday_morning, "her Tuesday, which holds two more");
        let refused = world.worker().await.holds(&ada, "2026-03-23T04:00:00Z").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "SLOT_TAKEN"));
        world.worker().await.books(&ada, "2026-03-23T20:00:00Z").await.unwrap();

        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: second.id };
        nurse.client.bookings().cancel_booking(cancel).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await[..5], rest_of_monday);
    }

    // A1, T3
    async fn weeks_are_counted_from_monday_whatever_the_clock_does_in_them(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Sun 20:00-00:00, Mon 00:00-04:00", 50, 0, 10, 60).await;
        set(&ada, |schedule| schedule.week_limits = Some(sessions(1))).await.unwrap();
        // The last hour of the week in which the clocks go forward, and the first of the next.
        assert_eq!(on(&nurse, &ada, "2026-03-29").await, ["18:00", "19:00", "20:00", "21:00", "22:00", "23:00"]);
        nurse.books(&ada, "2026-03-29T21:00:00Z").await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-29").await, ["22:00", "23:00"]);
        assert!(on(&nurse, &ada, "2026-03-23").await.is_empty(), "the Monday of the same week");
        nurse.books(&ada, "2026-03-29T22:00:00Z").await.unwrap();
        assert!(on(&nurse, &ada, "2026-03-29").await.is_empty());
        assert_eq!(on(&nurse, &ada, "2026-04-05").await, ["22:00", "23:00"], "its Sunday is full, too");
    }

    // A1, A2: what is offered can be held, and what is not offered cannot (T5).
    async fn search_and_booking_agree_on_every_limit(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let settings: [(&str, Change); 5] = [
            ("sessions", |s| s.day_limits = Some(sessions(3))),
            ("minutes", |s| s.day_limits = Some(v1::LoadLimits { max_session_time: Some(minutes(149)), ..Default::default() })),
            ("load", |s| s.week_limits = Some(v1::LoadLimits { max_load: 7, ..Default::default() })),
            ("in a row", |s| s.pacing = Some(v1::Pacing { max_sessions_in_a_row: 1, break_duration: Some(minutes(45)) })),
            ("protected", |s| s.protected_windows = weekly_windows("Mon 11:00-12:00, Mon 11:30-13:00")),
        ];
        let clock = |half: u32| format!("2026-03-23T{:02}:{:02}:00Z", half / 2, half % 2 * 30);
        for (name, change) in settings {
            let ada = world.therapist(name, BERLIN).await.offers("Mon 09:00-17:00, Tue 09:00-12:00", 50, 0, 10, 30).await;
            weighs(&ada, 3).await;
            set(&ada, change).await.unwrap();
            let medic = world.worker().await;
            medic.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
            medic.books(&ada, "2026-03-23T13:30:00Z").await.unwrap();
            let offered = on(&nurse, &ada, "2026-03-23").await;
            let mut held = Vec::new();
            for start in (14..36).map(clock) {
                let worker = world.worker().await;
                let Ok(hold) = worker.holds(&ada, &start).await else { continue };
                held.push(start[11..16].to_owned());
                let release = v1::ReleaseHoldRequest { request_id: request_id(), booking_id: hold.id };
                worker.client.bookings().release_hold(release).await.unwrap();
            }
            assert_eq!(offered, held, "{name}");
            let expected: &[&str] = match name {
                "minutes" | "load" => &[],
                "in a row" => &["11:00", "11:30"],
                "protected" => &["08:00", "12:00", "12:30", "14:30", "15:00"],
                _ => &["08:00", "10:00", "10:30", "11:00", "11:30", "12:00", "12:30", "14:30", "15:00"],
            };
            assert_eq!(offered, expected, "{name}");
        }
    }

    // A2
    async fn so_many_in_a_row_and_then_a_break(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 09:00-17:00", 50, 0, 10, 30).await;
        set(&ada, |s| s.pacing = Some(v1::Pacing { max_sessions_in_a_row: 2, break_duration: Some(minutes(45)) })).await.unwrap();
        for start in ["2026-03-23T09:00:00Z", "2026-03-23T10:00:00Z"] {
            nurse.books(&ada, start).await.unwrap();
        }
        // Over at 10:50: at 11:30 the break would be 40 minutes.
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["12:00", "12:30", "13:00", "13:30", "14:00", "14:30", "15:00"]);
        for (start, reason) in [("2026-03-23T08:00:00Z", "SLOT_TAKEN"), ("2026-03-23T11:30:00Z", "SLOT_TAKEN")] {
            assert_eq!(world.worker().await.holds(&ada, start).await.unwrap_err().reason, reason, "{start}");
        }
        nurse.books(&ada, "2026-03-23T12:00:00Z").await.unwrap();
    }

    // A1, B4
    async fn a_booking_that_moves_does_not_count_against_itself(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 09:00-17:00, Tue 09:00-17:00", 50, 0, 10, 60).await;
        set(&ada, |schedule| (schedule.day_limits, schedule.week_limits) = (Some(sessions(1)), Some(sessions(2)))).await.unwrap();
        let moving = nurse.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        medic.books(&ada, "2026-03-24T09:00:00Z").await.unwrap();
        let move_to = async |start: &str| {
            let request = v1::RescheduleBookingRequest {
                request_id: request_id(),
                booking_id: moving.id.clone(),
                start_time: Some(timestamp(time(start))),
                roster_use: None,
            };
            nurse.client.bookings().reschedule_booking(request).await.map_err(Refusal::from)
        };
        move_to("2026-03-23T14:00:00Z").await.unwrap();
        assert_eq!(move_to("2026-03-24T14:00:00Z").await.unwrap_err().reason, "SLOT_TAKEN", "the day of the other");
    }

    // A1, B1
    async fn a_hold_counts_until_it_expires(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 09:00-17:00", 50, 0, 10, 60).await;
        set(&ada, |schedule| schedule.day_limits = Some(sessions(1))).await.unwrap();
        let held = nurse.holds(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        assert_eq!(medic.holds(&ada, "2026-03-23T14:00:00Z").await.unwrap_err().reason, "SLOT_TAKEN");
        // The hold is among what is counted, and what it becomes was admitted when it was made.
        assert!(load(&ada, "2026-03-23").await.is_empty(), "a hold is the worker's alone");
        world.set_clock("2026-03-20T09:10:00Z");
        medic.books(&ada, "2026-03-23T14:00:00Z").await.unwrap();
        let confirm = v1::ConfirmBookingRequest { request_id: request_id(), booking_id: held.id, book_if_free: true, roster_use: None, payment: None };
        let refused = Refusal::from(nurse.client.bookings().confirm_booking(confirm).await.unwrap_err());
        assert_eq!(refused.reason, "SLOT_TAKEN");
    }

    // A2
    async fn protected_time_is_not_open_whatever_the_windows_say(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 09:00-13:00, Tue 00:00-02:00", 50, 0, 10, 60).await;
        set(&ada, |schedule| {
            schedule.protected_windows = weekly_windows("Mon 10:00-11:00, Mon 23:00-01:00");
            schedule.protected_dates = vec![v1::ProtectedDate {
                date: Some(date("2026-04-06")),
                kind: v1::DateOverrideKind::Replace.into(),
                hours: vec![hours_of("09:00-12:00")],
            }];
        })
        .await
        .unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["08:00", "10:00", "11:00"]);
        assert_eq!(on(&nurse, &ada, "2026-03-24").await, ["00:00"], "from the night before until one in the morning");
        // Berlin is an hour further by then, and the clock change moved nothing on it.
        assert_eq!(on(&nurse, &ada, "2026-03-30").await, ["07:00", "09:00", "10:00", "23:00"]);
        assert_eq!(on(&nurse, &ada, "2026-04-06").await, ["10:00", "22:00", "23:00"]);
        assert_eq!(nurse.holds(&ada, "2026-03-23T09:00:00Z").await.unwrap_err().reason, "OUTSIDE_HOURS");
    }

    // A3
    async fn a_limit_that_nothing_keeps_is_refused_from_either_side(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00").await;
        weighs(&ada, 5).await;
        let refused = set(&ada, |s| s.day_limits = Some(v1::LoadLimits { max_load: 4, ..Default::default() })).await.unwrap_err();
        assert_eq!((refused.reason.as_str(), refused.violations[0].field.as_str()), ("LIMIT_TOO_LOW", "schedule.day_limits.max_load"));
        set(&ada, |s| s.day_limits = Some(v1::LoadLimits { max_load: 5, ..Default::default() })).await.unwrap();
        let heavier = change_type(&ada, |session_type| session_type.load_weight = 6).await.unwrap_err();
        assert_eq!((heavier.reason.as_str(), heavier.violations[0].field.as_str()), ("LIMIT_TOO_LOW", "session_type.load_weight"));
        set(&ada, |s| s.protected_windows = weekly_windows("Mon 09:00-11:00")).await.unwrap();
        let longer = change_type(&ada, |session_type| session_type.duration = Some(minutes(60))).await.unwrap_err();
        assert_eq!((longer.reason.as_str(), longer.violations[0].field.as_str()), ("PROTECTED_TIME_TOO_LONG", "session_type.duration"));
        // A free day is taken, whatever became of the limits of ordinary ones.
        let free = v1::DateOverride { date: Some(date("2026-03-23")), kind: v1::DateOverrideKind::Replace.into(), ..Default::default() };
        let free = v1::CreateDateOverrideRequest { request_id: request_id(), date_override: Some(free) };
        ada.client.availability().create_date_override(free).await.unwrap();
    }

    // A2
    async fn a_therapist_sees_their_own_load(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let ada = world.therapist("Ada", "Pacific/Auckland").await.offers("Mon 09:00-18:00, Sun 09:00-18:00", 50, 0, 10, 60).await;
        let ben = world.therapist("Ben", BERLIN).await.works("Mon 09:00-17:00").await;
        weighs(&ada, 3).await;
        nurse.books(&ada, "2026-03-22T20:00:00Z").await.unwrap();
        medic.books(&ada, "2026-03-22T22:00:00Z").await.unwrap();
        let cancelled = medic.books(&ada, "2026-03-23T03:00:00Z").await.unwrap();
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: cancelled.id };
        medic.client.bookings().cancel_booking(cancel).await.unwrap();
        // Sunday of the same week, and of the one before it.
        nurse.books(&ada, "2026-03-28T20:00:00Z").await.unwrap();
        nurse.books(&ada, "2026-03-21T20:00:00Z").await.unwrap();
        assert_eq!(load(&ada, "2026-03-23").await, ["day 23: 2 of 100 min, 6", "week 23: 3 of 150 min, 9"]);
        assert_eq!(load(&ada, "2026-03-22").await, ["day 22: 1 of 50 min, 3", "week 16: 1 of 50 min, 3"]);
        assert!(load(&ben, "2026-03-23").await.is_empty());
        let weeks = v1::GetLoadRequest { start_date: Some(date("2026-03-22")), end_date: Some(date("2026-03-30")) };
        let answer = ada.client.availability().get_load(weeks).await.unwrap().into_inner();
        assert_eq!((answer.days.len(), answer.weeks.len()), (9, 3));
    }

    // D4
    async fn a_worker_cannot_tell_a_limit_from_a_session(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 09:00-12:00", 50, 0, 10, 60).await;
        let ben = world.therapist("Ben", BERLIN).await.offers("Mon 09:00-12:00", 50, 0, 10, 60).await;
        set(&ada, |schedule| schedule.day_limits = Some(sessions(1))).await.unwrap();
        medic.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        let (one, two) = (world.worker().await, world.worker().await);
        one.books(&ben, "2026-03-23T08:00:00Z").await.unwrap();
        two.books(&ben, "2026-03-23T09:00:00Z").await.unwrap();
        two.books(&ben, "2026-03-23T10:00:00Z").await.unwrap();

        let limited = nurse.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap_err();
        let taken = nurse.holds(&ben, "2026-03-23T10:00:00Z").await.unwrap_err();
        let told = |refusal: &Refusal| format!("{refusal:?}");
        assert_eq!(told(&limited), told(&taken));
        let day = ("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z");
        let (full, busy) = (nurse.searches(&ada, day.0, day.1).await, nurse.searches(&ben, day.0, day.1).await);
        assert_eq!((full.hits.len(), &full.removals), (0, &busy.removals));
        // Nothing of a session type that the public sees has its weight.
        let request = v1::GetTherapistRequest { therapist_id: ada.id.clone() };
        let mut profiles = Vec::new();
        weighs(&ada, 1).await;
        profiles.push(nurse.client.directory().get_therapist(request.clone()).await.unwrap().into_inner());
        weighs(&ada, 77).await;
        profiles.push(nurse.client.directory().get_therapist(request).await.unwrap().into_inner());
        assert!(profiles[0] == profiles[1], "a profile tells of load");
        // The call itself is refused to everybody else.
        let own = v1::GetLoadRequest { start_date: Some(date("2026-03-23")), end_date: Some(date("2026-03-23")) };
        for (client, code) in [
            (nurse.client.clone(), Code::PermissionDenied),
            (world.operator().await, Code::PermissionDenied),
            (world.anybody().await, Code::Unauthenticated),
        ] {
            assert_eq!(client.availability().get_load(own).await.unwrap_err().code(), code);
        }
    }
}

fn sessions(most: i32) -> v1::LoadLimits {
    v1::LoadLimits { max_sessions: most, ..Default::default() }
}

async fn weighs(therapist: &Therapist, weight: i32) {
    change_type(therapist, |session_type| session_type.load_weight = weight).await.unwrap();
}

/// Changes the session type that there is.
async fn change_type(therapist: &Therapist, change: impl Fn(&mut v1::SessionType)) -> Result<(), Refusal> {
    let availability = || therapist.client.availability();
    let types = availability().list_session_types(v1::ListSessionTypesRequest {}).await.unwrap();
    let mut session_type = types.into_inner().session_types.pop().unwrap();
    change(&mut session_type);
    let update =
        v1::UpdateSessionTypeRequest { request_id: request_id(), session_type: Some(session_type.clone()) };
    let updated = availability().update_session_type(update).await?.into_inner();
    assert!(updated.session_type == Some(session_type), "what is saved is what was said");
    Ok(())
}

/// What there is to do on a date and in its week, if anything.
async fn load(therapist: &Therapist, day: &str) -> Vec<String> {
    let request = v1::GetLoadRequest { start_date: Some(date(day)), end_date: Some(date(day)) };
    let answer = therapist.client.availability().get_load(request).await.unwrap().into_inner();
    let days = answer.days.iter().map(|load| ("day", load));
    days.chain(answer.weeks.iter().map(|load| ("week", load)))
        .filter(|(_, load)| load.sessions > 0)
        .map(|(what, v1::Load { start_date, sessions, session_time, load })| {
            let (start, time) = (start_date.unwrap().day, session_time.unwrap().seconds / 60);
            format!("{what} {start}: {sessions} of {time} min, {load}")
        })
        .collect()
}
