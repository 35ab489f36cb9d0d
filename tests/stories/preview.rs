//! A therapist sees what clients are offered, and why nothing else is.

use api::v1;
use client::request_id;
use e2e::{Therapist, World, date, hours_of, minutes, span, weekly_windows};

use crate::availability::{on, set};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";

e2e::stories! {
    // T5
    async fn every_gap_has_its_reason(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 09:00-17:00, Tue 09:00-12:00", 50, 0, 10, 30).await;
        assert_eq!(
            preview(&ada, "2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z").await,
            ["00:00-08:00 OUTSIDE_HOURS", "15:30-16:00 DOES_NOT_FIT", "16:00-00:00 OUTSIDE_HOURS"]
        );
        let (nurse, medic) = (world.worker().await, world.worker().await);
        nurse.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        // A hold of somebody takes time, too.
        medic.holds(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        take_off(&ada, "2026-03-23T12:30:00Z", "2026-03-23T13:00:00Z").await;
        set(&ada, |schedule| schedule.protected_windows = weekly_windows("Mon 14:00-15:00")).await.unwrap();
        assert_eq!(
            preview(&ada, "2026-03-23T07:30:00Z", "2026-03-23T17:00:00Z").await,
            [
                "07:30-08:00 OUTSIDE_HOURS",
                "08:30-11:00 BOOKED",
                "12:00-13:00 TIME_OFF",
                "13:00-14:00 PROTECTED",
                "15:30-16:00 DOES_NOT_FIT",
                "16:00-17:00 OUTSIDE_HOURS",
            ]
        );
        let whole = v1::DateOverride { date: Some(date("2026-03-23")), kind: v1::DateOverrideKind::Replace.into(), hours: vec![hours_of("09:00-11:00")], ..Default::default() };
        let whole = v1::CreateDateOverrideRequest { request_id: request_id(), date_override: Some(whole) };
        ada.client.availability().create_date_override(whole).await.unwrap();
        assert_eq!(
            preview(&ada, "2026-03-23T09:00:00Z", "2026-03-23T17:00:00Z").await,
            ["09:00-09:30 BOOKED", "09:30-10:00 DOES_NOT_FIT", "10:00-16:00 DATE_OVERRIDE", "16:00-17:00 OUTSIDE_HOURS"]
        );
    }

    // T5, A1, A2
    async fn limits_buffers_notice_and_horizon_are_told_apart(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Mon 09:00-14:00, Wed 09:00-11:00, Fri 09:00-12:00", 50, 20, 0, 15).await;
        let nurse = world.worker().await;
        set(&ada, |schedule| {
            schedule.minimum_notice = Some(minutes(60));
            schedule.horizon = Some(v1::schedule::Horizon::HorizonDays(6));
        })
        .await
        .unwrap();
        // It is ten in the morning, and the window of Friday has another two hours. A session takes twenty minutes before.
        assert_eq!(preview(&ada, "2026-03-20T08:00:00Z", "2026-03-20T11:00:00Z").await, ["08:00-10:00 NOTICE", "10:15-11:00 DOES_NOT_FIT"]);
        assert_eq!(preview(&ada, "2026-03-27T08:00:00Z", "2026-03-27T11:00:00Z").await, ["08:00-11:00 HORIZON"]);
        nurse.books(&ada, "2026-03-23T09:00:00Z").await.unwrap();
        let monday = ("2026-03-23T08:00:00Z", "2026-03-23T13:00:00Z");
        assert_eq!(preview(&ada, monday.0, monday.1).await, ["08:00-08:30 DOES_NOT_FIT", "08:30-10:00 BOOKED", "10:00-10:15 BUFFER", "12:15-13:00 DOES_NOT_FIT"]);
        set(&ada, |s| s.pacing = Some(v1::Pacing { max_sessions_in_a_row: 1, break_duration: Some(minutes(30)) })).await.unwrap();
        assert_eq!(preview(&ada, monday.0, monday.1).await, ["08:00-08:30 DOES_NOT_FIT", "08:30-10:00 BOOKED", "10:00-10:15 BUFFER", "10:15-10:30 IN_A_ROW", "12:15-13:00 DOES_NOT_FIT"]);
        let one = Some(v1::LoadLimits { max_sessions: 1, ..Default::default() });
        set(&ada, |schedule| schedule.day_limits = one).await.unwrap();
        assert_eq!(preview(&ada, monday.0, monday.1).await[3], "10:15-12:15 DAY_FULL");
        set(&ada, |schedule| schedule.week_limits = one).await.unwrap();
        assert_eq!(preview(&ada, "2026-03-25T08:00:00Z", "2026-03-25T10:00:00Z").await, ["08:00-08:30 DOES_NOT_FIT", "08:30-09:15 WEEK_FULL", "09:15-10:00 DOES_NOT_FIT"]);
    }

    // T5: across a clock change, too.
    async fn what_is_shown_is_what_a_search_finds(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let nurse = world.worker().await;
        let ada = world.therapist("Ada", BERLIN).await.offers("Sat 22:00-04:00, Sun 20:00-00:00", 50, 5, 10, 30).await;
        nurse.books(&ada, "2026-03-28T23:00:00Z").await.unwrap();
        set(&ada, |schedule| schedule.week_limits = Some(v1::LoadLimits { max_sessions: 2, ..Default::default() })).await.unwrap();
        for (day, next) in [("2026-03-28", "2026-03-29"), ("2026-03-29", "2026-03-30"), ("2026-04-04", "2026-04-05")] {
            let found = on(&nurse, &ada, day).await;
            assert!(!found.is_empty());
            let (shown, _) = asked(&ada, &format!("{day}T00:00:00Z"), &format!("{next}T00:00:00Z")).await;
            assert_eq!(shown, found, "{day}");
        }
    }

    // D1
    async fn a_therapist_nobody_finds_is_told_so(engine: Engine) {
        let world = World::at(engine, FRIDAY).await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 09:00-17:00").await;
        let ben = world.therapist_like(v1::Therapist { accepts_new_clients: false, ..e2e::profile("Ben", BERLIN) }).await;
        let ben = ben.works("Mon 09:00-17:00").await;
        for (therapist, listed) in [(&ada, true), (&ben, false)] {
            let request = v1::PreviewAvailabilityRequest {
                session_type_id: therapist.session_type_id.clone(),
                window: Some(span("2026-03-23T00:00:00Z", "2026-03-24T00:00:00Z")),
            };
            let answer = therapist.client.availability().preview_availability(request).await.unwrap().into_inner();
            assert_eq!((answer.listed, answer.start_times.is_empty()), (listed, false));
        }
    }
}

/// The gaps of a day, as `from-to REASON` in UTC.
pub(super) async fn preview(therapist: &Therapist, start: &str, end: &str) -> Vec<String> {
    asked(therapist, start, end).await.1
}

/// What is offered and what is not, in times of day in UTC.
pub(super) async fn asked(therapist: &Therapist, start: &str, end: &str) -> (Vec<String>, Vec<String>) {
    let request = v1::PreviewAvailabilityRequest {
        session_type_id: therapist.session_type_id.clone(),
        window: Some(span(start, end)),
    };
    let answer = therapist.client.availability().preview_availability(request).await.unwrap().into_inner();
    let clock = |at: &prost_types::Timestamp| {
        chrono::DateTime::from_timestamp(at.seconds, 0).unwrap().format("%H:%M").to_string()
    };
    let gaps = answer.gaps.iter().map(|gap| {
        let span = gap.span.as_ref().unwrap();
        let ends = [&span.start_time, &span.end_time].map(|at| clock(at.as_ref().unwrap()));
        let reason = gap.reason().as_str_name().trim_start_matches("GAP_REASON_");
        format!("{}-{} {reason}", ends[0], ends[1])
    });
    (answer.start_times.iter().map(clock).collect(), gaps.collect())
}

pub(super) async fn take_off(therapist: &Therapist, start: &str, end: &str) {
    let time_off = Some(v1::TimeOff { id: String::new(), span: Some(span(start, end)) });
    let request = v1::CreateTimeOffRequest { request_id: request_id(), time_off };
    therapist.client.availability().create_time_off(request).await.unwrap();
}
