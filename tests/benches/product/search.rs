//! Slots searched over all therapists, by a worker with a roster; what it costs as the directory grows.

use std::{collections::HashMap, time::Instant};

use api::v1;
use chrono::{DateTime, Days, TimeDelta, Utc};
use client::{Client, Secret, SigningKey, request_id};
use e2e::{date, timestamp};
use sea_orm::{EntityTrait, IntoActiveModel};
use store::{BookingId, Db, Modality, SessionTypeId, TherapistId, booking, session_type};

use crate::{
    Bench, Failed, Line, median,
    process::{Home, Process},
    range,
};

/// The first is told, the last is what its cost is compared with.
const THERAPISTS: [u32; 3] = [1_000, 2_000, 4_000];
const DAYS: i64 = 14;
const SEARCHES: usize = 15;
/// Rows in one statement; SQLite binds 32,766 values at most.
const BATCH: usize = 1_000;

/// Milliseconds at a thousand therapists, against a quarter of those at four thousand.
///
/// A cost that grows linearly makes the two equal, a quadratic one makes the quotient 0.25.
pub(crate) async fn search(bench: &Bench) -> Result<Line, Failed> {
    let now = services::Clock::System.now();
    let mut directories = Vec::new();
    for therapists in THERAPISTS {
        directories.push(Directory::of(bench, therapists, now).await?);
    }
    // By turns, so that what else the machine does meets all of them.
    let mut times = THERAPISTS.map(|_| Vec::new());
    for _ in 0..SEARCHES {
        for (directory, times) in directories.iter().zip(&mut times) {
            let started = Instant::now();
            let found = directory.worker.slots().search_slots(request(now)).await?.into_inner();
            times.push(started.elapsed().as_secs_f64() * 1e3);
            if found.hits.len() != 20 {
                return Err(format!("{} slots were found instead of a page full", found.hits.len()).into());
            }
        }
    }
    let medians = times.each_ref().map(|times| median(times));
    let notes: Vec<_> = THERAPISTS
        .iter()
        .zip(&times)
        .map(|(therapists, times)| format!("{therapists}: {:.0} ms ({})", median(times), range(times, 0)))
        .collect();
    let (value, limit) = (medians[0], medians[2] * f64::from(THERAPISTS[0]) / f64::from(THERAPISTS[2]));
    Ok(Line {
        name: "search_1k_naive",
        value,
        unit: "ms",
        limit,
        ratio: value / limit,
        goal: Some(0.8),
        note: notes.join(", "),
    })
}

/// A server of its own, with so many therapists.
pub(crate) struct Directory {
    /// With a roster.
    pub(crate) worker: Client,
    /// What the worker signs in with.
    pub(crate) key: SigningKey,
    pub(crate) process: Process,
    pub(crate) home: Home,
}

impl Directory {
    pub(crate) async fn of(bench: &Bench, therapists: u32, now: DateTime<Utc>) -> Result<Self, Failed> {
        let home = Home::embedded(bench)?;
        home.run(&["seed", "--therapists", &therapists.to_string()])?;
        let db = Db::connect(&home.database, 1).await?;
        book(&db, now).await?;
        db.close().await?;
        let process = home.serve().await?;
        let anybody = Client::connect(format!("http://{}", process.address)).await?;
        let key = Secret::generate().login_key();
        anybody.create_alias(&key).await?;
        let worker = anybody.login(key.clone()).await?;
        import_nights(&worker, now).await?;
        Ok(Self { worker, key, process, home })
    }
}

pub(crate) fn request(now: DateTime<Utc>) -> v1::SearchSlotsRequest {
    v1::SearchSlotsRequest {
        window: Some(span(now, now + TimeDelta::days(DAYS))),
        page_size: 20,
        ..Default::default()
    }
}

/// Every other night for four weeks.
async fn import_nights(worker: &Client, now: DateTime<Utc>) -> Result<(), Failed> {
    let nights = (0..14).map(|night| {
        let start = now + TimeDelta::hours(14 + 48 * night);
        v1::Shift {
            span: Some(span(start, start + TimeDelta::hours(10))),
            kind: v1::ShiftKind::Unspecified.into(),
            breaks: Vec::new(),
        }
    });
    let published = now.date_naive() + Days::new(28);
    let request = v1::ImportRosterRequest {
        request_id: request_id(),
        source: Some(v1::import_roster_request::Source::ShiftList(v1::ShiftList {
            shifts: nights.collect(),
        })),
        time_zone: "Europe/Berlin".to_owned(),
        publish_date: Some(date(&published.to_string())),
        on_call: false,
    };
    worker.roster().import_roster(request).await?;
    Ok(())
}

/// Books two hours of each day of everybody, whenever they work.
async fn book(db: &Db, now: DateTime<Utc>) -> Result<(), Failed> {
    let mut offers = HashMap::new();
    for offered in session_type::Entity::find().all(db.read()).await? {
        offers.insert(offered.therapist_id, offered.id);
    }
    let noon =
        DateTime::from_timestamp(now.timestamp() / 86_400 * 86_400 + 43_200, 0).ok_or("no such day")?;
    let rows: Vec<_> = offers
        .into_iter()
        .flat_map(|(therapist, session_type)| {
            (0..DAYS).flat_map(move |day| {
                [-3, 3].map(|hours| {
                    row(therapist, session_type, noon + TimeDelta::days(day) + TimeDelta::hours(hours))
                })
            })
        })
        .collect();
    let tx = db.write().await?;
    for batch in rows.chunks(BATCH) {
        let batch = batch.iter().cloned().map(IntoActiveModel::into_active_model);
        booking::Entity::insert_many(batch).exec_without_returning(&tx).await?;
    }
    Ok(tx.commit().await?)
}

fn row(therapist_id: TherapistId, session_type_id: SessionTypeId, start: DateTime<Utc>) -> booking::Model {
    booking::Model {
        id: BookingId::random(),
        therapist_id,
        alias_id: None,
        session_type_id,
        state: booking::State::Booked,
        occupies: true,
        starts_at: start.into(),
        ends_at: (start + TimeDelta::minutes(50)).into(),
        busy_from: start.into(),
        busy_until: (start + TimeDelta::hours(1)).into(),
        local_start: String::new(),
        time_zone: "Europe/Berlin".to_owned(),
        modality: Modality::Video,
        hold_expires_at: None,
        late_cancellation: false,
        programme_id: None,
    }
}

fn span(start: DateTime<Utc>, end: DateTime<Utc>) -> v1::Span {
    v1::Span { start_time: Some(timestamp(start)), end_time: Some(timestamp(end)) }
}
