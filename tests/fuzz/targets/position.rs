//! Where a page begins, as it is read once its token is opened: behind the seal, where no changed token comes.

#![no_main]

use std::{fmt, sync::LazyLock};

use calendar::{Busy, DayWindow, Horizon, Limits, Protected, Schedule, SessionRules, Span, Window, Zone};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use libfuzzer_sys::fuzz_target;
use search::{Credential, Index, Place, Query, SessionType, SessionTypeId, Therapist, TherapistId};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// The second of January 1970.
const NOW: DateTime<Utc> = DateTime::from_timestamp(86_400, 0).expect("a day after the epoch");
const WEEK: TimeDelta = TimeDelta::days(7);

/// Three who work all the time.
static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::new(NOW);
    (1..=3).for_each(|id| index.upsert(therapist(Uuid::from_u128(id))));
    index
});
/// Every session there is.
static ALL: LazyLock<Vec<Place>> = LazyLock::new(|| after(None));

fuzz_target!(|opened: &[u8]| {
    // What lists go by other than searches: a number, an id, or a time and an id.
    let _ = (read::<i32>(opened), read::<Uuid>(opened), read::<(DateTime<Utc>, Uuid)>(opened));
    if let Some(place) = read::<Place>(opened) {
        // A search goes on behind it: wherever it is, with nothing that was there before; and if it may be where a page
        // ended, with everything.
        let rest = &ALL[ALL.partition_point(|one| *one <= place)..];
        let found = after(Some(place));
        assert!(found.is_sorted() && found.iter().all(|one| rest.binary_search(one).is_ok()));
        let whole = place.start.timestamp().rem_euclid(60) == 0 && place.start.timestamp_subsec_nanos() == 0;
        let ended = place.start >= NOW && whole && place.load < 4;
        assert!(!ended || found == rest);
    }
});

/// What was read, which is written the same way again.
fn read<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(opened: &[u8]) -> Option<T> {
    let position: T = serde_json::from_slice(opened).ok()?;
    let written = serde_json::to_vec(&position).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).ok().as_ref(), Some(&position));
    Some(position)
}

fn after(after: Option<Place>) -> Vec<Place> {
    let page = INDEX.search(&Query {
        criteria: &[],
        therapists: &[],
        session_types: &[],
        seen: &[],
        window: Span::new(NOW, NOW + WEEK).expect("a week is not empty"),
        excluded: &[],
        unavailable: &[],
        busy: &[],
        tags: &[],
        own: &[],
        moving: None,
        now: NOW,
        after,
        limit: 1_000,
    });
    page.hits.into_iter().map(|hit| hit.place).collect()
}

fn therapist(id: Uuid) -> Therapist {
    let hours = DayWindow::new(NaiveTime::MIN, NaiveTime::MIN).expect("from midnight to midnight");
    let windows = (0..7_u8).filter_map(|day| Some(Window { weekday: day.try_into().ok()?, hours })).collect();
    let rules = SessionRules {
        duration: TimeDelta::minutes(50),
        buffer_before: TimeDelta::zero(),
        buffer_after: TimeDelta::zero(),
        grid_interval_minutes: 60,
        grid_offset_minutes: 0,
        load_weight: 1,
    };
    Therapist {
        id: TherapistId(id),
        schedule: Schedule {
            zone: Zone::utc(),
            windows,
            overrides: Vec::new(),
            time_off: Vec::new(),
            busy_elsewhere: Busy::default(),
            travels: Vec::new(),
            notice: TimeDelta::zero(),
            horizon: Horizon::Days(10),
            limits: Limits::default(),
            protected: Protected::default(),
        },
        session_types: vec![SessionType { id: SessionTypeId(id), rules, modalities: 1 }],
        terms: Vec::new(),
        specializations: Vec::new(),
        credentials: vec![Credential { jurisdictions: Vec::new(), until: NaiveDate::MAX }],
        booked: Vec::new(),
        holds: Vec::new(),
    }
}
