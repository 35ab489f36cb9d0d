//! Rosters in every form they come in (S1), and what is made of their breaks (S3).

use api::v1;
use client::request_id;
use e2e::{Worker, World, date, hours_of, minutes, span};
use v1::{import_roster_request::Source, shift_pattern::Repetition};

const BERLIN: &str = "Europe/Berlin";
const FRIDAY: &str = "2026-03-20T09:00:00Z";

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
}

async fn kept(worker: &Worker) -> v1::Roster {
    let answer = worker.client.roster().get_roster(v1::GetRosterRequest {}).await.unwrap();
    answer.into_inner().roster.unwrap()
}
