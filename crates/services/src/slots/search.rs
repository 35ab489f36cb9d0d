//! Slots over all therapists that fit, the earliest first (S5).
//!
//! Every therapist who fits is examined for every search: the work grows with their number, with the days asked
//! for, and with what is booked in them.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use api::v1;
use calendar::{Admission, Limits, Load, Refusal, Schedule, SessionRules, Span, WorkerRefusal};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use store::{
    AliasId, TherapistId,
    booking::{self, Held},
    session_type,
};
use uuid::Uuid;

use super::{Asked, Worker};
use crate::{
    App, Caller, availability,
    directory::{self, Candidate},
    error::Error,
    field, page,
    sealed::Safe,
};

/// The place of a slot among all: by its start, then the better match, then by ids, so that no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    start: DateTime<Utc>,
    matched: Reverse<usize>,
    years: Reverse<u32>,
    therapist: Uuid,
    session_type: Uuid,
}

/// A slot, and where to find what is said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    place: Place,
    session: Span,
    candidate: usize,
    session_type: usize,
}

pub(super) async fn search_slots(
    app: &App,
    alias: AliasId,
    request: v1::SearchSlotsRequest,
    now: DateTime<Utc>,
) -> Result<v1::SearchSlotsResponse, Error> {
    let page_size = page::size(request.page_size)?;
    let question = v1::SearchSlotsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let v1::SearchSlotsRequest {
        filter,
        window,
        duration,
        roster_use,
        page_size: _,
        page_token,
        language_code,
    } = request;
    let filter = directory::Filter::parse(filter)?;
    let window = directory::searchable(field::given(window, "window")?, "window")?;
    let language = directory::display_language(language_code, "language_code")?;
    let duration = match duration {
        Some(duration) => Some(field::minutes(Some(duration), "duration")?),
        None => None,
    };
    let list = page::List::new(app, Caller::Alias(alias), "SearchSlots", &question);
    let after: Option<Place> = list.position(&page_token)?;

    let _turn = app.searches.try_acquire().map_err(|_| Error::Overloaded)?;
    let db = app.db.read();
    let safe = Safe::open(app, db, alias).await?;
    let range = around(window);
    let own = booking::Entity::keeping_alias(alias, range, now).all(db).await?;
    let busy = own.iter().filter_map(booking::Model::busy).collect();
    let asked = Asked { range, roster_use: roster_use.into(), busy };
    let worker = Worker::during(app, &safe, asked)?;
    let directory::Candidates { found: mut candidates, removed } =
        directory::candidates(app, &filter, &language, now).await?;
    let mut removals: HashMap<v1::Constraint, usize> = removed.into_iter().collect();
    if let Some(duration) = duration {
        let before = candidates.len();
        for candidate in &mut candidates {
            candidate.session_types.retain(|kind| kind.rules().duration == duration);
        }
        candidates.retain(|candidate| !candidate.session_types.is_empty());
        *removals.entry(v1::Constraint::Duration).or_default() += before - candidates.len();
    }
    let times = Times::load(app, &candidates, window, now).await?;
    let fits_roster = worker.fits_roster;

    // Arithmetic over every therapist; it must not keep other calls waiting.
    let scan = Scan { worker, window, after, page_size, now, removals };
    let work = move || (scan.over(&candidates, &times), candidates, times);
    let (Page { mut found, removals }, candidates, times) =
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::Interrupted)?;

    // One more than the page holds says that there is another.
    let more = found.len() > page_size;
    if more {
        found.pop_last();
    }
    let next_page_token = match found.last() {
        Some(end) if more => list.token(&end.place)?,
        _ => String::new(),
    };
    let crisis_resources = if found.is_empty() || filter.urgent() {
        directory::crisis_resources(filter.country())
    } else {
        Vec::new()
    };
    let hits = found
        .into_iter()
        .filter_map(|found| {
            let candidate = &candidates[found.candidate];
            let (schedule, ..) = times.of(candidate)?;
            Some(hit(&found, candidate, schedule, fits_roster, &language))
        })
        .collect();
    Ok(v1::SearchSlotsResponse {
        hits,
        next_page_token,
        removals: print_removals(removals),
        crisis_resources,
    })
}

/// One search, without the therapists it goes over.
struct Scan {
    worker: Worker,
    window: Span,
    /// Where the page before ended.
    after: Option<Place>,
    page_size: usize,
    now: DateTime<Utc>,
    /// What the filter took away.
    removals: HashMap<v1::Constraint, usize>,
}

/// What a search found.
struct Page {
    /// The earliest, up to one more than the page holds.
    found: BTreeSet<Found>,
    removals: HashMap<v1::Constraint, usize>,
}

impl Scan {
    fn over(self, candidates: &[Candidate], times: &Times) -> Page {
        let Self { worker, window, after, page_size, now, mut removals } = self;
        let mut found = BTreeSet::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let Some((schedule, busy, load)) = times.of(candidate) else { continue };
            let open = schedule.open(window);
            for (session_type, kind) in candidate.session_types.iter().enumerate() {
                let admission = Admission {
                    schedule,
                    open: &open,
                    session: &kind.rules(),
                    busy,
                    load,
                    alias_busy: &worker.busy,
                    unavailable: &worker.unavailable,
                    now,
                };
                for (start, verdict) in calendar::candidates(&admission, window) {
                    let session = match verdict {
                        Ok(admitted) => admitted.session,
                        Err(refusal) => {
                            if let Some(constraint) = constraint(refusal) {
                                *removals.entry(constraint).or_default() += 1;
                            }
                            continue;
                        }
                    };
                    let place = Place {
                        start,
                        matched: Reverse(candidate.matched),
                        years: Reverse(candidate.years),
                        therapist: candidate.therapist.id.0,
                        session_type: kind.id.0,
                    };
                    if after.is_some_and(|after| place <= after) {
                        continue;
                    }
                    found.insert(Found { place, session, candidate: index, session_type });
                    if found.len() > page_size + 1 {
                        found.pop_last();
                    }
                }
            }
        }
        Page { found, removals }
    }
}

/// The first opening of each therapist inside `window`, whoever asks.
pub(crate) async fn earliest(
    app: &App,
    candidates: &[Candidate],
    window: Span,
    now: DateTime<Utc>,
) -> Result<HashMap<TherapistId, DateTime<Utc>>, Error> {
    let therapists = Times::load(app, candidates, window, now).await?;
    let questions: Vec<(TherapistId, Vec<SessionRules>)> = candidates
        .iter()
        .map(|candidate| {
            let rules = candidate.session_types.iter().map(session_type::Model::rules).collect();
            (candidate.therapist.id, rules)
        })
        .collect();
    let scan = move || {
        let mut openings = HashMap::new();
        for (therapist, session_types) in questions {
            let Some((schedule, busy, load)) = therapists.get(therapist) else { continue };
            let open = schedule.open(window);
            let first = session_types
                .iter()
                .filter_map(|session| {
                    let admission = Admission {
                        schedule,
                        open: &open,
                        session,
                        busy,
                        load,
                        alias_busy: &[],
                        unavailable: &[],
                        now,
                    };
                    Some(calendar::slots(&admission, window).next()?.session.start())
                })
                .min();
            openings.extend(first.map(|start| (therapist, start)));
        }
        openings
    };
    tokio::task::spawn_blocking(scan).await.map_err(|_| Error::Interrupted)
}

/// What can touch a session that starts in `window`.
fn around(window: Span) -> Span {
    let day = TimeDelta::days(1);
    Span::new(window.start() - day, window.end() + day).unwrap_or(window)
}

/// When therapists work, and when they are busy.
struct Times {
    schedules: HashMap<TherapistId, Schedule>,
    /// Sorted and disjoint, buffers included.
    busy: HashMap<TherapistId, Vec<Span>>,
    /// Of those who have limits.
    loads: HashMap<TherapistId, Load>,
    unlimited: Load,
}

impl Times {
    async fn load(
        app: &App,
        candidates: &[Candidate],
        window: Span,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let db = app.db.read();
        let ids: Vec<_> = candidates.iter().map(|candidate| candidate.therapist.id).collect();
        let schedules = availability::schedules(app, db, &ids).await?;
        let mut busy: HashMap<TherapistId, Vec<Span>> = HashMap::new();
        for booking in booking::Entity::busy_during(around(window), now).all(db).await? {
            busy.entry(booking.therapist_id).or_default().extend(booking.busy());
        }
        for spans in busy.values_mut() {
            *spans = calendar::union(std::mem::take(spans));
        }
        let loads = loads(app, &schedules, window, now).await?;
        Ok(Self { schedules, busy, loads, unlimited: Load::default() })
    }

    fn get(&self, therapist: TherapistId) -> Option<(&Schedule, &[Span], &Load)> {
        let schedule = self.schedules.get(&therapist)?;
        let busy = self.busy.get(&therapist).map_or(&[][..], Vec::as_slice);
        Some((schedule, busy, self.loads.get(&therapist).unwrap_or(&self.unlimited)))
    }

    fn of(&self, candidate: &Candidate) -> Option<(&Schedule, &[Span], &Load)> {
        self.get(candidate.therapist.id)
    }
}

/// What counts against the limits of those who have any, in one statement; without any, there is none.
async fn loads(
    app: &App,
    schedules: &HashMap<TherapistId, Schedule>,
    window: Span,
    now: DateTime<Utc>,
) -> Result<HashMap<TherapistId, Load>, Error> {
    let limited = || schedules.iter().filter(|(_, schedule)| schedule.limits != Limits::default());
    let ranges = || limited().map(|(_, schedule)| schedule.load_range(window));
    let first = ranges().map(Span::start).min();
    let Some(range) = first.zip(ranges().map(Span::end).max()).and_then(|(start, end)| Span::new(start, end))
    else {
        return Ok(HashMap::new());
    };
    let held = booking::Entity::held_during(range, now).all(app.db.read()).await?;
    let mut held = directory::by_therapist(held, |held| held.therapist_id);
    let load = |(id, schedule): (&TherapistId, &Schedule)| {
        let held = held.remove(id).unwrap_or_default();
        (*id, schedule.load(held.iter().filter_map(Held::session)))
    };
    Ok(limited().map(load).collect())
}

fn hit(
    found: &Found,
    candidate: &Candidate,
    schedule: &Schedule,
    fits_roster: bool,
    language: &str,
) -> v1::SlotHit {
    let kind = &candidate.session_types[found.session_type];
    let mut reasons = candidate.reasons.clone();
    if fits_roster {
        reasons.push(directory::plain_reason(v1::Criterion::Roster, "", language));
    }
    v1::SlotHit {
        slot: Some(v1::Slot {
            therapist_id: candidate.therapist.id.to_string(),
            session_type_id: kind.id.to_string(),
            session: Some(field::to_span(found.session)),
            time_zone: schedule.zone.name().to_owned(),
        }),
        therapist_display_name: candidate.therapist.profile.display_name.clone(),
        modalities: kind.modalities.0.iter().map(|modality| field::to_modality(*modality).into()).collect(),
        reasons,
    }
}

fn print_removals(removals: HashMap<v1::Constraint, usize>) -> Vec<v1::Removal> {
    let mut removals: Vec<_> = removals
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(constraint, count)| v1::Removal {
            constraint: constraint.into(),
            count: i32::try_from(count).unwrap_or(i32::MAX),
        })
        .collect();
    removals.sort_unstable_by_key(|removal| (Reverse(removal.count), removal.constraint));
    removals
}

/// What took a start away, as the worker may be told; what is not open was never there to be taken.
fn constraint(refusal: Refusal) -> Option<v1::Constraint> {
    Some(match refusal {
        Refusal::TooSoon { .. } => v1::Constraint::Notice,
        Refusal::BeyondHorizon { .. } => v1::Constraint::Horizon,
        // How many were taken would tell how busy a therapist is (D4).
        Refusal::OutsideHours | Refusal::OffGrid | Refusal::Taken | Refusal::Limit(_) => return None,
        Refusal::AliasBusy => v1::Constraint::OwnBooking,
        Refusal::Worker(WorkerRefusal::Shift | WorkerRefusal::Break) => v1::Constraint::Shift,
        Refusal::Worker(WorkerRefusal::Commute) => v1::Constraint::Commute,
        Refusal::Worker(WorkerRefusal::Rest) => v1::Constraint::Rest,
        Refusal::Worker(WorkerRefusal::Sleep) => v1::Constraint::Sleep,
        Refusal::Worker(WorkerRefusal::BeyondRoster) => v1::Constraint::BeyondRoster,
    })
}
