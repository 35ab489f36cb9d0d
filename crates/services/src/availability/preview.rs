//! What clients are offered, and why nothing else is (T5).

use std::mem::take;

use api::v1::{self, GapReason};
use calendar::{Admission, Admitted, LimitReached, Open, Refusal, Schedule, Span, admit};
use chrono::{DateTime, TimeDelta, Utc};
use store::{
    SessionTypeId, TherapistId,
    booking::{self, Held},
};

use super::schedule;
use crate::{App, directory, error::Error, field, listing::Listing};

pub(super) async fn preview_availability(
    app: &App,
    therapist: TherapistId,
    request: v1::PreviewAvailabilityRequest,
    now: DateTime<Utc>,
) -> Result<v1::PreviewAvailabilityResponse, Error> {
    let v1::PreviewAvailabilityRequest { session_type_id, window } = request;
    let session_type_id: SessionTypeId = field::id(&session_type_id, "session_type_id")?;
    let window = directory::searchable(field::given(window, "window")?, "window")?;

    let db = app.db.read();
    let listing = Listing::load(app, db, &[therapist]).await?.pop().ok_or(Error::NotFound("therapist"))?;
    let session_type = listing.session_type(session_type_id).filter(|session_type| !session_type.withdrawn);
    let rules = session_type.ok_or(Error::NotFound("session type"))?.rules();
    let listed = listing.licensed(now) && listing.therapist.accepts_new_clients;
    let schedule = listing.schedule.unwrap_or_else(schedule::empty);
    let day = TimeDelta::days(1);
    let around = Span::new(window.start() - day, window.end() + day).unwrap_or(window);
    let near = booking::Entity::keeping(therapist, around, now).all(db).await?;
    let counted = booking::Entity::held_by(therapist, schedule.load_range(window), now).all(db).await?;

    // Arithmetic over up to a month of five minutes; it must not keep other calls waiting.
    let explain = move || {
        let held: Vec<Span> = counted.iter().filter_map(Held::session).map(|held| held.span).collect();
        let admission = Admission {
            schedule: &schedule,
            open: &schedule.open(window),
            session: &rules,
            busy: &calendar::union(near.iter().filter_map(booking::Model::busy).collect()),
            sharing: &[],
            load: &schedule.load(counted.iter().filter_map(Held::session)),
            alias_busy: &[],
            unavailable: &[],
            now,
        };
        Preview::of(&admission, window, &held)
    };
    let Preview { starts, gaps } =
        tokio::task::spawn_blocking(explain).await.map_err(|_| Error::Interrupted)?;
    Ok(v1::PreviewAvailabilityResponse {
        start_times: starts.into_iter().map(field::timestamp).collect(),
        gaps: gaps
            .into_iter()
            .map(|(span, reason)| v1::AvailabilityGap {
                span: Some(field::to_span(span)),
                reason: reason.into(),
            })
            .collect(),
        listed,
    })
}

/// The starts that are offered, and the time in which there are none.
struct Preview {
    starts: Vec<DateTime<Utc>>,
    gaps: Vec<(Span, GapReason)>,
}

impl Preview {
    /// `held` are the sessions that keep the therapist busy, without their buffers.
    fn of(admission: &Admission<'_>, window: Span, held: &[Span]) -> Self {
        let causes = Causes::new(admission.schedule, window);
        let hours = causes.hours.spans();
        let mut gaps: Vec<(Span, GapReason)> = Vec::new();
        let closed = calendar::subtract(&[window], hours);
        let by_override = clipped(&closed, causes.week.spans());
        let outside = calendar::subtract(&closed, &by_override);
        gaps.extend(by_override.into_iter().map(|span| (span, GapReason::DateOverride)));
        gaps.extend(outside.into_iter().map(|span| (span, GapReason::OutsideHours)));

        let verdicts: Vec<_> = calendar::candidates(admission, window).collect();
        let mut starts = Vec::new();
        for (index, (start, verdict)) in verdicts.iter().enumerate() {
            let refusal = match verdict {
                Ok(Admitted { session, .. }) => {
                    starts.push(session.start());
                    continue;
                }
                Err(refusal) => *refusal,
            };
            let next = verdicts.get(index + 1).map_or(window.end(), |(next, _)| *next);
            let stretch = hours.iter().find(|stretch| stretch.contains_instant(*start));
            let end = stretch.map_or(next, |stretch| stretch.end().min(next).min(window.end()));
            let reason = causes.reason(admission, *start, refusal, held);
            gaps.extend(Span::new(*start, end).map(|span| (span, reason)));
        }
        gaps.sort_unstable_by_key(|(span, _)| *span);
        gaps.dedup_by(|(span, reason), (before, reason_before)| {
            let whole = Span::new(before.start(), span.end())
                .filter(|_| before.end() == span.start() && reason == reason_before);
            whole.map(|whole| *before = whole).is_some()
        });
        Self { starts, gaps }
    }
}

/// What would be open if less had been said. A reason is what is in the way by itself.
struct Causes {
    /// With nothing that closes hours.
    hours: Open,
    /// The same in an ordinary week, without date overrides.
    week: Open,
    /// With one thing alone that closes hours, in the order in which they are told.
    closing: [(GapReason, Open); 3],
}

impl Causes {
    fn new(schedule: &Schedule, window: Span) -> Self {
        let mut bare = schedule.clone();
        let (time_off, busy_elsewhere) = (take(&mut bare.time_off), take(&mut bare.busy_elsewhere));
        let protected = take(&mut bare.protected);
        Self {
            hours: bare.open(window),
            week: Schedule { overrides: Vec::new(), ..bare.clone() }.open(window),
            closing: [
                (GapReason::TimeOff, Schedule { time_off, ..bare.clone() }.open(window)),
                (GapReason::BusyElsewhere, Schedule { busy_elsewhere, ..bare.clone() }.open(window)),
                (GapReason::Protected, Schedule { protected, ..bare }.open(window)),
            ],
        }
    }

    fn reason(
        &self,
        admission: &Admission<'_>,
        start: DateTime<Utc>,
        refusal: Refusal,
        held: &[Span],
    ) -> GapReason {
        let fits =
            |open: &Open| admit(&Admission { open, ..*admission }, start) != Err(Refusal::OutsideHours);
        match refusal {
            Refusal::TooSoon { .. } => GapReason::Notice,
            Refusal::BeyondHorizon { .. } => GapReason::Horizon,
            Refusal::OutsideHours if fits(&self.hours) => {
                let in_the_way = self.closing.iter().find(|(_, open)| !fits(open));
                in_the_way.map_or(GapReason::Unspecified, |(reason, _)| *reason)
            }
            Refusal::OutsideHours | Refusal::OffGrid => GapReason::DoesNotFit,
            Refusal::Taken => {
                let session = start
                    .checked_add_signed(admission.session.duration)
                    .and_then(|end| Span::new(start, end));
                let overlaps = |session: Span| held.iter().any(|held| held.overlaps(session));
                if session.is_some_and(overlaps) { GapReason::Booked } else { GapReason::Buffer }
            }
            Refusal::Limit(LimitReached::WeekFull { .. }) => GapReason::WeekFull,
            Refusal::Limit(LimitReached::DayFull { .. }) => GapReason::DayFull,
            Refusal::Limit(LimitReached::InARow { .. }) => GapReason::InARow,
            // Nobody asks, and so nobody has tags, shifts or other sessions.
            Refusal::Adjacent | Refusal::AliasBusy | Refusal::Worker(_) => GapReason::Unspecified,
        }
    }
}

/// The parts of `spans` that are inside of `others`, both sorted and disjoint.
fn clipped(spans: &[Span], others: &[Span]) -> Vec<Span> {
    let outside = calendar::subtract(spans, others);
    calendar::subtract(spans, &outside)
}
