//! What a therapist says about their time is what can be booked, and contradictions are refused.

use api::v1::{self, schedule::Horizon};
use client::{Refusal, request_id};
use e2e::{Therapist, Worker, World, date, hours_of, minutes, span, starts, weekly_windows};
use tonic::Code;

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";

type Change = Box<dyn Fn(&mut v1::Schedule)>;

e2e::stories! {
    // T2
    async fn a_window_runs_over_midnight_and_belongs_to_the_day_it_starts(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 22:00-02:00, Wed 22:00-00:00").await;
        // 50 minutes and ten after, every half hour: the last begins at one in the morning.
        assert_eq!(
            on(&nurse, &ada, "2026-03-23").await,
            ["21:00", "21:30", "22:00", "22:30", "23:00", "23:30"],
            "Monday evening in Berlin, and an hour of Tuesday"
        );
        assert_eq!(on(&nurse, &ada, "2026-03-24").await, ["00:00"]);
        assert_eq!(on(&nurse, &ada, "2026-03-25").await, ["21:00", "21:30", "22:00"]);
        // An end that is the start is a day later.
        set(&ada, |schedule| schedule.windows = weekly_windows("Tue 12:00-12:00")).await.unwrap();
        let whole = on(&nurse, &ada, "2026-03-24").await.len() + on(&nurse, &ada, "2026-03-25").await.len();
        assert_eq!(whole, 2 * 24 - 1);
    }

    // A1
    async fn overrides_replace_add_and_close(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-11:00").await;
        let (replace, add) = (v1::DateOverrideKind::Replace, v1::DateOverrideKind::Add);
        let usual = ["08:00", "08:30", "09:00"];
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, usual);

        let replaced = override_day(&ada, "2026-03-23", replace, &["14:00-15:30"]).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["13:00", "13:30"]);
        // Berlin is an hour further by then.
        override_day(&ada, "2026-03-30", add, &["18:00-19:00"]).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-30").await, ["07:00", "07:30", "08:00", "16:00"]);
        override_day(&ada, "2026-03-24", add, &["10:00-11:00"]).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-24").await, ["09:00"]);
        override_day(&ada, "2026-04-06", replace, &[]).await.unwrap();
        assert!(on(&nurse, &ada, "2026-04-06").await.is_empty());
        assert_eq!(nurse.holds(&ada, "2026-04-06T07:00:00Z").await.unwrap_err().reason, "OUTSIDE_HOURS");

        let refused = override_day(&ada, "2026-03-23", add, &["18:00-19:00"]).await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::AlreadyExists, "DATE_OVERRIDDEN"));
        let all = ada.client.availability().list_date_overrides(v1::ListDateOverridesRequest {}).await.unwrap();
        let dates: Vec<_> = all.into_inner().date_overrides.iter().map(|day| day.date.unwrap().day).collect();
        assert_eq!(dates, [23, 24, 30, 6]);

        let delete = v1::DeleteDateOverrideRequest { request_id: request_id(), date_override_id: replaced };
        ada.client.availability().delete_date_override(delete).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, usual);
    }

    // A1
    async fn time_off_names_what_it_collides_with_and_cancels_nothing(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let ben = world.therapist("Ben", BERLIN).await.works("Mon 08:00-20:00").await;
        let (nurse, medic) = (world.worker().await, world.worker().await);
        let inside = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let at_its_edge = medic.books(&ada, "2026-03-23T08:30:00Z").await.unwrap();
        let behind = nurse.books(&ada, "2026-03-23T14:00:00Z").await.unwrap();
        let cancelled = medic.books(&ada, "2026-03-23T12:00:00Z").await.unwrap();
        let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: cancelled.id };
        medic.client.bookings().cancel_booking(cancel).await.unwrap();
        medic.books(&ben, "2026-03-23T10:00:00Z").await.unwrap();

        // The buffer after the first ends at 09:30, where it begins; the last begins where it ends.
        let off = v1::CreateTimeOffRequest {
            request_id: request_id(),
            time_off: Some(v1::TimeOff {
                id: String::new(),
                span: Some(span("2026-03-23T09:30:00Z", "2026-03-23T14:00:00Z")),
            }),
        };
        let off = ada.client.availability().create_time_off(off).await.unwrap().into_inner();
        assert_eq!(off.colliding_booking_ids, std::slice::from_ref(&inside.id));

        let agenda = ada.agenda("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await;
        let booked: Vec<_> = agenda
            .iter()
            .filter(|entry| entry.state() == v1::BookingState::Booked)
            .map(|entry| entry.booking_id.clone())
            .collect();
        assert_eq!(booked, [at_its_edge.id, inside.id.clone(), behind.id]);
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["07:00", "07:30", "15:00", "15:30", "16:00", "16:30", "17:00", "17:30", "18:00"]);
        let refused = world.worker().await.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap_err();
        assert_eq!(refused.reason, "OUTSIDE_HOURS");

        let delete = v1::DeleteTimeOffRequest { request_id: request_id(), time_off_id: off.time_off.unwrap().id };
        ada.client.availability().delete_time_off(delete).await.unwrap();
        world.worker().await.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap();
    }

    // A1
    async fn notice_and_horizon_bound_what_is_offered(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Sun 09:00-11:00, Mon 22:00-02:00, Tue 09:00-10:00").await;
        set(&ada, |schedule| {
            schedule.minimum_notice = Some(minutes(48 * 60));
            schedule.horizon = Some(Horizon::HorizonDays(3));
        })
        .await
        .unwrap();

        // To the second.
        assert_eq!(on(&nurse, &ada, "2026-03-22").await, ["09:00"]);
        let refused = nurse.holds(&ada, "2026-03-22T08:30:00Z").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "TOO_SOON"));
        assert_eq!(refused.metadata["earliest_time"], "2026-03-22T09:00:00Z");
        world.set_clock("2026-03-20T09:00:01Z");
        assert!(on(&nurse, &ada, "2026-03-22").await.is_empty());

        // Monday is the last local day, in whole; what begins on Tuesday is too far away.
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["21:00", "21:30", "22:00", "22:30"]);
        assert!(on(&nurse, &ada, "2026-03-24").await.is_empty());
        let refused = nurse.holds(&ada, "2026-03-24T08:00:00Z").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (Code::FailedPrecondition, "BEYOND_HORIZON"));
        assert_eq!(refused.metadata["last_date"], "2026-03-23");
        // It is Saturday already where she is.
        world.set_clock("2026-03-20T23:00:00Z");
        assert_eq!(on(&nurse, &ada, "2026-03-24").await, ["00:00", "08:00"]);

        set(&ada, |schedule| schedule.horizon = Some(Horizon::HorizonDate(date("2026-03-30")))).await.unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-30").await, ["20:00", "20:30", "21:00", "21:30"]);
        assert!(on(&nurse, &ada, "2026-03-31").await.is_empty());
    }

    // A1
    async fn while_she_travels_her_hours_are_read_where_she_is(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-11:00").await;
        set(&ada, |schedule| {
            schedule.travels = vec![v1::Travel {
                start_date: Some(date("2026-03-23")),
                end_date: Some(date("2026-03-29")),
                time_zone: "Asia/Kathmandu".to_owned(),
            }];
        })
        .await
        .unwrap();
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["03:15", "03:45", "04:15"]);
        assert_eq!(on(&nurse, &ada, "2026-03-30").await, ["07:00", "07:30", "08:00"]);
        nurse.books(&ada, "2026-03-23T03:45:00Z").await.unwrap();
    }

    // A1, B2
    async fn buffers_stack(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 08:00-13:00", 50, 5, 10, 5).await;
        let first = world.worker().await;
        // The buffer before must fit the window, too.
        assert_eq!(first.holds(&ada, "2026-03-23T07:00:00Z").await.unwrap_err().reason, "OUTSIDE_HOURS");
        first.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        for (start, taken) in [
            ("2026-03-23T10:00:00Z", true),
            ("2026-03-23T08:00:00Z", true),
            ("2026-03-23T10:05:00Z", false),
            ("2026-03-23T07:55:00Z", false),
        ] {
            let result = world.worker().await.books(&ada, start).await.map_err(|refused| refused.reason);
            assert_eq!(result.err().as_deref(), taken.then_some("SLOT_TAKEN"), "{start}");
        }
        // And the one after, which the window ends ten minutes too early for.
        assert_eq!(first.holds(&ada, "2026-03-23T11:05:00Z").await.unwrap_err().reason, "OUTSIDE_HOURS");
    }

    // T4
    async fn the_grid_is_read_on_the_therapists_clock(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", "Asia/Kathmandu").await.offers("Mon 09:00-13:00", 50, 0, 0, 60).await;
        let types = ada.client.availability().list_session_types(v1::ListSessionTypesRequest {}).await.unwrap();
        let mut session_type = types.into_inner().session_types.pop().unwrap();
        session_type.grid_offset = Some(minutes(20));
        let update = v1::UpdateSessionTypeRequest { request_id: request_id(), session_type: Some(session_type) };
        ada.client.availability().update_session_type(update).await.unwrap();

        // 09:20 in Kathmandu is 03:35 UTC.
        assert_eq!(on(&nurse, &ada, "2026-03-23").await, ["03:35", "04:35", "05:35"]);
        for off in ["2026-03-23T03:15:00Z", "2026-03-23T04:00:00Z", "2026-03-23T03:35:30Z"] {
            assert_eq!(nurse.holds(&ada, off).await.unwrap_err().reason, "OFF_GRID", "{off}");
        }
        nurse.holds(&ada, "2026-03-23T03:35:00Z").await.unwrap();
    }

    // A3
    async fn settings_that_contradict_each_other_are_refused_by_name(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-12:00").await;
        let travel = |start: &str, end: &str| v1::Travel {
            start_date: Some(date(start)),
            end_date: Some(date(end)),
            time_zone: "Asia/Tokyo".to_owned(),
        };
        let windows = |week: &'static str| move |schedule: &mut v1::Schedule| schedule.windows = weekly_windows(week);
        let cases: Vec<(Change, &str, &str)> = vec![
            (Box::new(|s| (s.minimum_notice, s.horizon) = (Some(minutes(4 * 1440)), Some(Horizon::HorizonDays(3)))), "NOTICE_BEYOND_HORIZON", "schedule.minimum_notice"),
            (Box::new(|s| (s.minimum_notice, s.horizon) = (Some(minutes(4 * 1440)), Some(Horizon::HorizonDate(date("2026-03-23"))))), "NOTICE_BEYOND_HORIZON", "schedule.minimum_notice"),
            (Box::new(|s| s.horizon = Some(Horizon::HorizonDate(date("2026-03-19")))), "NOTICE_BEYOND_HORIZON", "schedule.minimum_notice"),
            (Box::new(|s| s.minimum_notice = Some(minutes(366 * 1440 + 1))), "OUT_OF_RANGE", "schedule.minimum_notice"),
            (Box::new(|s| s.horizon = Some(Horizon::HorizonDays(731))), "OUT_OF_RANGE", "schedule.horizon_days"),
            (Box::new(|s| s.horizon = Some(Horizon::HorizonDays(0))), "OUT_OF_RANGE", "schedule.horizon_days"),
            (Box::new(|s| s.horizon = None), "REQUIRED", "schedule.horizon_days"),
            (Box::new(windows("Mon 09:00-12:00, Mon 11:00-13:00")), "WINDOWS_OVERLAP", "schedule.windows[1]"),
            (Box::new(windows("Mon 22:00-03:00, Tue 02:00-05:00")), "WINDOWS_OVERLAP", "schedule.windows[1]"),
            (Box::new(windows("Mon 01:00-03:00, Sun 22:00-02:00")), "WINDOWS_OVERLAP", "schedule.windows[0]"),
            (Box::new(windows("Mon 09:00-12:00, Mon 09:00-12:00")), "DUPLICATE", "schedule.windows[1]"),
            (Box::new(windows("Mon 09:00-12:00, Tue 09:00-09:30")), "WINDOW_TOO_SHORT", "schedule.windows[1]"),
            (Box::new(windows("Mon 09:00-23:59")), "END_BEFORE_MIDNIGHT", "schedule.windows[0].hours.end"),
            (Box::new(move |s| s.travels = vec![travel("2026-04-02", "2026-04-01")]), "REVERSED_SPAN", "schedule.travels[0].end_date"),
            (Box::new(move |s| s.travels = vec![travel("2026-04-01", "2026-04-05"), travel("2026-04-05", "2026-04-06")]), "WINDOWS_OVERLAP", "schedule.travels[1]"),
        ];
        let before = world.fingerprint().await;
        for (index, (change, reason, field)) in cases.into_iter().enumerate() {
            let refused = set(&ada, change).await.expect_err(&format!("case {index}"));
            assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument, reason), "case {index}");
            assert_eq!(refused.violations[0].field, field, "case {index}");
        }
        // The same from the other side: what is offered, and single days, must fit the week.
        let types = ada.client.availability().list_session_types(v1::ListSessionTypesRequest {}).await.unwrap();
        let session_type = types.into_inner().session_types.pop().unwrap();
        let longer = v1::SessionType { duration: Some(minutes(171)), ..session_type.clone() };
        let update = v1::UpdateSessionTypeRequest { request_id: request_id(), session_type: Some(longer) };
        let refused = Refusal::from(ada.client.availability().update_session_type(update).await.unwrap_err());
        assert_eq!((refused.reason.as_str(), refused.violations[0].field.as_str()), ("WINDOW_TOO_SHORT", "session_type.duration"));
        for (hours, reason) in [(["10:00-10:59", "12:00-14:00"], "WINDOW_TOO_SHORT"), (["12:00-14:00", "13:00-15:00"], "WINDOWS_OVERLAP")] {
            let refused = override_day(&ada, "2026-03-23", v1::DateOverrideKind::Replace, &hours).await.unwrap_err();
            assert_eq!(refused.reason, reason);
            assert!(refused.violations[0].field.starts_with("date_override.hours["), "{}", refused.violations[0].field);
        }
        let refused = override_day(&ada, "2026-03-23", v1::DateOverrideKind::Add, &[]).await.unwrap_err();
        assert_eq!((refused.reason.as_str(), refused.violations[0].field.as_str()), ("REQUIRED", "date_override.hours"));
        assert!(world.fingerprint().await == before, "a refused setting changed something");

        // Windows that touch are one.
        set(&ada, windows("Mon 09:00-09:30, Mon 09:30-10:00")).await.unwrap();
        assert_eq!(on(&world.worker().await, &ada, "2026-03-23").await, ["08:00"]);
        // What just fits is not a contradiction.
        let exact = v1::SessionType { duration: Some(minutes(50)), ..session_type };
        let update = v1::UpdateSessionTypeRequest { request_id: request_id(), session_type: Some(exact) };
        ada.client.availability().update_session_type(update).await.unwrap();
    }

    async fn a_withdrawn_session_type_is_offered_no_more_and_its_bookings_stay(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let booked = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let delete = v1::DeleteSessionTypeRequest { request_id: request_id(), session_type_id: ada.session_type_id.clone() };
        ada.client.availability().delete_session_type(delete).await.unwrap();
        assert!(on(&nurse, &ada, "2026-03-23").await.is_empty());
        assert_eq!(nurse.holds(&ada, "2026-03-23T12:00:00Z").await.unwrap_err().code, Code::NotFound);
        let request = v1::GetBookingRequest { booking_id: booked.id };
        let seen = nurse.client.bookings().get_booking(request).await.unwrap().into_inner().booking.unwrap();
        assert_eq!(seen.state(), v1::BookingState::Booked);
    }
}

/// What one UTC day offers, as times of day in UTC.
pub(super) async fn on(worker: &Worker, therapist: &Therapist, day: &str) -> Vec<String> {
    let next = day.parse::<chrono::NaiveDate>().unwrap().succ_opt().unwrap();
    let found = worker.searches(therapist, &format!("{day}T00:00:00Z"), &format!("{next}T00:00:00Z")).await;
    starts(&found).iter().map(|start| start[11..16].to_owned()).collect()
}

/// Changes the schedule that is saved.
pub(super) async fn set(therapist: &Therapist, change: impl Fn(&mut v1::Schedule)) -> Result<(), Refusal> {
    let saved = therapist.client.availability().get_schedule(v1::GetScheduleRequest {}).await.unwrap();
    let mut schedule = saved.into_inner().schedule.unwrap();
    change(&mut schedule);
    let request = v1::UpdateScheduleRequest { request_id: request_id(), schedule: Some(schedule.clone()) };
    let answer = therapist.client.availability().update_schedule(request).await?.into_inner();
    assert!(answer.schedule == Some(schedule), "what is saved is what was said");
    Ok(())
}

/// The id of the override made.
pub(super) async fn override_day(
    therapist: &Therapist,
    day: &str,
    kind: v1::DateOverrideKind,
    hours: &[&str],
) -> Result<String, Refusal> {
    let request = v1::CreateDateOverrideRequest {
        request_id: request_id(),
        date_override: Some(v1::DateOverride {
            id: String::new(),
            date: Some(date(day)),
            kind: kind.into(),
            hours: hours.iter().map(|hours| hours_of(hours)).collect(),
        }),
    };
    let made = therapist.client.availability().create_date_override(request).await?.into_inner();
    Ok(made.date_override.unwrap().id)
}
