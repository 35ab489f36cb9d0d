//! What listing slots costs.

use std::hint::black_box;

use calendar::{
    Admission, Busy, DayWindow, Horizon, Limits, Load, Protected, Roster, Rules, Schedule, SessionRules,
    Shift, ShiftKind, ShiftRules, Span, Window, slots, unavailable, union,
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc, Weekday};
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group!(benches, slots_one_therapist_14_days);
criterion_main!(benches);

/// Office hours, half of them booked, asked for by a worker on alternating nights, across a clock change.
fn slots_one_therapist_14_days(criterion: &mut Criterion) {
    let zone = Rules::compiled_in().zone("Europe/Berlin").expect("a zone that has existed since 1893");
    let now: DateTime<Utc> = "2026-10-19T06:00:00Z".parse().expect("a constant instant");
    let range = Span::new(now, now + TimeDelta::days(14)).expect("two weeks are not empty");
    let hour = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("an hour of the day");
    let weekdays = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];
    let hours = DayWindow::new(hour(9), hour(17)).expect("whole hours");
    let schedule = Schedule {
        zone: zone.clone(),
        windows: weekdays.map(|weekday| Window { weekday, hours }).into(),
        overrides: Vec::new(),
        time_off: Vec::new(),
        busy_elsewhere: Busy::default(),
        protected: Protected::default(),
        travels: Vec::new(),
        notice: TimeDelta::hours(2),
        horizon: Horizon::Days(60),
        limits: Limits::default(),
    };
    let session = SessionRules {
        duration: TimeDelta::minutes(50),
        buffer_before: TimeDelta::zero(),
        buffer_after: TimeDelta::minutes(10),
        grid_interval_minutes: 15,
        grid_offset_minutes: 0,
        load_weight: 1,
    };
    let booked = (0..14 * 12).map(|i| now + TimeDelta::hours(2 * i));
    let busy = union(booked.filter_map(|start| Span::new(start, start + TimeDelta::hours(1))).collect());
    let nights = (0..7).map(|i| now + TimeDelta::hours(14 + 48 * i));
    let shifts = nights
        .filter_map(|start| Span::new(start, start + TimeDelta::hours(10)))
        .map(|span| Shift { span, kind: ShiftKind::Night })
        .collect();
    let roster = Roster::new(&zone, shifts, None, now).expect("seven nights");

    criterion.bench_function("slots_one_therapist_14_days", |bencher| {
        bencher.iter(|| {
            let open = schedule.open(black_box(range));
            let unavailable = unavailable(&roster, &ShiftRules::default(), &zone, range, true);
            let admission = Admission {
                schedule: &schedule,
                open: &open,
                session: &session,
                busy: &busy,
                sharing: &[],
                load: &Load::default(),
                alias_busy: &[],
                unavailable: &unavailable,
                now,
            };
            slots(&admission, range).count()
        });
    });
}
