//! Slots over all therapists that fit, the earliest first (S5), from memory.

use std::{cmp::Reverse, collections::BTreeMap};

use api::v1;
use calendar::{DayWindow, Schedule, Span, WorkerRefusal, Zone};
use chrono::{DateTime, TimeDelta, Utc, Weekday};
use search::{Hit, Index, Page, Place, Query};
use store::{AliasId, BookingId, SessionTypeId, TherapistId, booking, booking::State};

use super::{Asked, RosterUse, Worker};
use crate::{
    App, Caller, availability,
    callers::Own,
    directory::{self, Filter},
    error::Error,
    exclusions, field, page,
};

pub(super) async fn search_slots(
    app: &App,
    alias: AliasId,
    request: v1::SearchSlotsRequest,
    now: DateTime<Utc>,
) -> Result<v1::SearchSlotsResponse, Error> {
    let page_size = page::size(request.page_size)?;
    let question = v1::SearchSlotsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let list = page::List::new(app, Caller::Alias(alias), "SearchSlots", &question);
    let after: Option<Place> = list.position(&request.page_token)?;
    let search = Search::parse(app, request, now)?;
    let mut looking = search.begin(app, alias, now).await?;
    let page = app.mirror.ask(|index| looking.ask(index, after, page_size, now));

    let next_page_token = match &page.next {
        Some(next) => list.token(next)?,
        None => String::new(),
    };
    let filter = &looking.search.filter;
    let crisis_resources = if page.hits.is_empty() || filter.urgent() {
        directory::crisis_resources(filter.country())
    } else {
        Vec::new()
    };
    Ok(v1::SearchSlotsResponse {
        removals: looking.removals(&page),
        hits: page.hits.iter().filter_map(|hit| looking.print(app, hit, now)).collect(),
        next_page_token,
        crisis_resources,
    })
}

/// What is looked for.
pub(super) struct Search {
    filter: Filter,
    window: Span,
    duration: Option<TimeDelta>,
    times_of_day: Vec<DayWindow>,
    roster_use: RosterUse,
    /// A booking whose own time counts as free (B4).
    moving: Option<BookingId>,
    language: String,
}

/// A search by somebody whose time is known.
pub(super) struct Looking {
    search: Search,
    worker: Worker,
    /// The time of a booking that shall move, buffers included.
    moving: Option<(search::TherapistId, Span)>,
    /// The time of all others, and with whom.
    own: Vec<(search::TherapistId, Span)>,
    /// What they must not meet (D5).
    tags: Vec<search::Tag>,
    /// Whom they have had a session with.
    seen: Vec<search::TherapistId>,
    /// Where sessions may not be, since they ask for other times of day.
    excluded: Vec<Span>,
    /// The constraints of the criteria, in their order.
    constraints: Vec<v1::Constraint>,
}

impl Search {
    pub(super) fn parse(
        app: &App,
        request: v1::SearchSlotsRequest,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let v1::SearchSlotsRequest {
            filter,
            window,
            duration,
            roster_use,
            page_size: _,
            page_token: _,
            language_code,
            times_of_day,
            moving_booking_id,
        } = request;
        Ok(Self {
            filter: Filter::parse(&app.keyring, filter)?,
            window: directory::searchable(field::given(window, "window")?, "window")?,
            duration: duration.map(|duration| field::minutes(Some(duration), "duration")).transpose()?,
            times_of_day: field::list(times_of_day, 10, "times_of_day", |hours, path| {
                field::hours(Some(hours), path)
            })?,
            roster_use: RosterUse::read(app, roster_use, now)?,
            moving: match moving_booking_id.as_str() {
                "" => None,
                id => Some(field::id(id, "moving_booking_id")?),
            },
            language: directory::display_language(language_code, "language_code")?,
        })
    }

    /// Looks up when the alias has time, once the mirror has caught up.
    pub(super) async fn begin(
        mut self,
        app: &App,
        alias: AliasId,
        now: DateTime<Utc>,
    ) -> Result<Looking, Error> {
        let own = app.callers.own(app, alias, now).await?;
        let Own { settings, roster, tags, bookings, seen } = &*own;
        let held = |row: &&booking::Model| !row.hold_expired(now);
        let range = around(self.window);
        let moves = |row: &booking::Model| Some(row.id) == self.moving && row.state == State::Booked;
        let moving = bookings.iter().find(|row| moves(row));
        if self.moving.is_some() && moving.is_none_or(|row| row.starts_at <= now.into()) {
            return Err(Error::NotFound("booking"));
        }
        let moving = moving.and_then(|row| Some((search::TherapistId(row.therapist_id.0), row.busy()?)));
        let own = bookings.iter().filter(held).filter(|row| !moves(row)).filter_map(|row| {
            let busy = row.busy().filter(|busy| busy.overlaps(range))?;
            Some((search::TherapistId(row.therapist_id.0), busy))
        });
        let own: Vec<_> = own.collect();
        let busy = own.iter().map(|(_, busy)| *busy).collect();
        let asked = Asked { range, settings, stored: roster.as_ref(), roster_use: &self.roster_use, busy };
        let worker = Worker::during(app, asked)?;
        let excluded = if self.times_of_day.is_empty() {
            Vec::new()
        } else {
            let zone = app.rules.zone(&settings.time_zone).ok_or(Error::Sealed("alias.settings"))?;
            outside(&self.times_of_day, zone, range)
        };
        self.filter = self.filter.without(tags);
        let seen = seen.iter().map(|id| search::TherapistId(id.0)).collect();
        let tags = exclusions::tags(tags);
        Ok(Looking { search: self, worker, moving, own, tags, seen, excluded, constraints: Vec::new() })
    }
}

impl Looking {
    pub(super) fn ask(
        &mut self,
        index: &Index,
        after: Option<Place>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Page {
        let mut asked = self.search.filter.criteria(index);
        asked.extend(
            self.search
                .duration
                .map(|duration| (v1::Constraint::Duration, search::Criterion::Duration(duration))),
        );
        let (constraints, criteria): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        self.constraints = constraints;
        index.search(&Query {
            criteria: &criteria,
            therapists: &self.search.filter.therapists(),
            session_types: &[],
            seen: &self.seen,
            window: self.search.window,
            excluded: &self.excluded,
            unavailable: &self.worker.unavailable,
            busy: &self.worker.busy,
            tags: &self.tags,
            own: &self.own,
            moving: self.moving,
            now,
            after,
            limit,
        })
    }

    /// A hit as the worker sees it, unless its therapist changed since.
    pub(super) fn print(&self, app: &App, hit: &Hit, now: DateTime<Utc>) -> Option<v1::SlotHit> {
        let Search { filter, language, .. } = &self.search;
        let listing = app.listings.get(TherapistId(hit.place.therapist.0))?;
        let kind = listing.session_type(SessionTypeId(hit.place.session_type.0))?;
        let mut reasons = filter.explain(&listing, language, now)?;
        let warnings = self.worker.warnings(hit.session, &kind.rules(), &reasons);
        if self.worker.fits_roster {
            reasons.push(directory::plain_reason(v1::Criterion::Roster, "", language));
        }
        if hit.place.seen.0 {
            reasons.push(directory::plain_reason(v1::Criterion::Continuity, "", language));
        }
        // Of everybody: that it counts is told, how much there is to do is not.
        reasons.push(directory::plain_reason(v1::Criterion::Load, "", language));
        Some(v1::SlotHit {
            slot: Some(v1::Slot {
                therapist_id: listing.therapist.id.to_string(),
                session_type_id: kind.id.to_string(),
                session: Some(field::to_span(hit.session)),
                time_zone: listing.schedule.as_ref()?.zone.name().to_owned(),
            }),
            therapist_display_name: listing.therapist.profile.display_name.clone(),
            modalities: kind
                .modalities
                .0
                .iter()
                .map(|modality| field::to_modality(*modality).into())
                .collect(),
            reasons,
            warnings: warnings.into_iter().map(Into::into).collect(),
        })
    }

    fn removals(&self, page: &Page) -> Vec<v1::Removal> {
        let therapists = self.constraints.iter().copied().zip(page.removed.iter().copied());
        let hours = page.removals.iter().map(|(constraint, count)| (self::constraint(*constraint), *count));
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        for (constraint, count) in therapists.chain(hours).filter(|(_, count)| *count > 0) {
            *counts.entry(constraint.into()).or_default() += count;
        }
        let mut removals: Vec<_> = counts
            .into_iter()
            .map(|(constraint, count)| v1::Removal {
                constraint,
                count: i32::try_from(count).unwrap_or(i32::MAX),
            })
            .collect();
        removals.sort_by_key(|removal| Reverse(removal.count));
        removals
    }
}

/// What can touch a session that starts in `window`.
fn around(window: Span) -> Span {
    let day = TimeDelta::days(1);
    Span::new(window.start() - day, window.end() + day).unwrap_or(window)
}

/// What of `range` is outside these hours of every day on the clock of `zone`.
fn outside(hours: &[DayWindow], zone: Zone, range: Span) -> Vec<Span> {
    const WEEK: [Weekday; 7] =
        [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
    let windows = WEEK
        .into_iter()
        .flat_map(|weekday| hours.iter().map(move |hours| calendar::Window { weekday, hours: *hours }));
    let wanted = Schedule { zone, windows: windows.collect(), ..availability::empty() };
    calendar::subtract(&[range], wanted.open(range).spans())
}

/// What took time away, as the worker may be told.
fn constraint(constraint: search::Constraint) -> v1::Constraint {
    match constraint {
        search::Constraint::Notice => v1::Constraint::Notice,
        search::Constraint::Horizon => v1::Constraint::Horizon,
        search::Constraint::OwnBooking => v1::Constraint::OwnBooking,
        search::Constraint::TimeOfDay => v1::Constraint::TimeOfDay,
        search::Constraint::Worker(WorkerRefusal::Shift) => v1::Constraint::Shift,
        search::Constraint::Worker(WorkerRefusal::Break | WorkerRefusal::OffDuty) => v1::Constraint::Break,
        search::Constraint::Worker(WorkerRefusal::Commute) => v1::Constraint::Commute,
        search::Constraint::Worker(WorkerRefusal::Rest) => v1::Constraint::Rest,
        search::Constraint::Worker(WorkerRefusal::Sleep) => v1::Constraint::Sleep,
        search::Constraint::Worker(WorkerRefusal::BeyondRoster) => v1::Constraint::BeyondRoster,
    }
}
