//! The slow, obvious way: everybody, every start, then filter, sort and take.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use calendar::{
    ADJACENT, Admission, HeldSession, Horizon, Limits, Load, Schedule, SessionRules, Span, WorkerRefusal,
    slots,
};
use chrono::{DateTime, Datelike, Days, TimeDelta, Utc};
use search::{
    Booked, Constraint, Facet, Index, Matched, Opening, Place, Query, SLACK_DAYS, SessionType, Therapist,
    TherapistId,
};

use crate::made::{Ask, Asked, minutes};

/// Every answer in order, and whom each criterion removed.
pub(crate) fn search(
    index: &Index,
    therapists: &[Therapist],
    query: &Query<'_>,
    ask: &Ask,
) -> (Vec<(Place, Span)>, Vec<usize>) {
    assert!(therapists.len() == index.len());
    let mut found = Vec::new();
    let mut removed = vec![0; ask.criteria.len()];
    for therapist in therapists {
        if let Some(first) = judge(therapist, query, ask) {
            if let Err(criterion) = first {
                removed[criterion] += 1;
            }
            continue;
        }
        let (matched, years) = rank(therapist, ask);
        let moving = query.moving.filter(|(moving, _)| *moving == therapist.id).map(|(_, busy)| busy);
        let (busy, load) = taken(therapist, Some(query.now), moving, &therapist.schedule);
        let sharing = sharing(therapist, query, ask);
        for offered in therapist.session_types.iter().filter(|offered| fits(offered, ask, ask.criteria.len()))
        {
            if !query.session_types.is_empty() && !query.session_types.contains(&offered.id) {
                continue;
            }
            let open = therapist.schedule.open(query.window);
            let admission = Admission {
                sharing: &sharing,
                alias_busy: query.busy,
                unavailable: query.unavailable,
                ..alone(&therapist.schedule, &open, &offered.rules, (&busy, &load), query.now)
            };
            for admitted in slots(&admission, query.window) {
                if query.excluded.iter().any(|span| span.overlaps(admitted.session)) {
                    continue;
                }
                let between = |other: &Span| {
                    let before = admitted.session.start() - other.end();
                    before.max(other.start() - admitted.session.end())
                };
                assert!(sharing.iter().all(|other| between(other) >= ADJACENT), "D5");
                let place = Place {
                    start: admitted.session.start(),
                    matched: Reverse(matched),
                    seen: Reverse(query.seen.contains(&therapist.id)),
                    load: quarter(therapist, admitted.session.start(), ask),
                    years: Reverse(years),
                    therapist: therapist.id,
                    session_type: offered.id,
                };
                found.push((place, admitted.session));
            }
        }
    }
    found.sort_unstable();
    (found, removed)
}

/// By therapist.
pub(crate) fn earliest(found: &[(Place, Span)]) -> Vec<Opening> {
    let mut earliest = BTreeMap::new();
    for (place, session) in found {
        let &Place { therapist, matched: Reverse(matched), years: Reverse(years), .. } = place;
        let matched = Matched { therapist, matched, years };
        earliest.entry(therapist).or_insert(Opening { matched, start: session.start() });
    }
    earliest.into_values().collect()
}

/// Everybody who is wanted, the best first.
pub(crate) fn matching(therapists: &[Therapist], query: &Query<'_>, ask: &Ask) -> Vec<Matched> {
    let wanted = therapists.iter().filter(|therapist| judge(therapist, query, ask).is_none());
    let mut ranked: Vec<_> = wanted
        .map(|therapist| {
            let (matched, years) = rank(therapist, ask);
            let seen = query.seen.contains(&therapist.id);
            ((Reverse(matched), Reverse(seen), Reverse(years), therapist.id), (matched, years))
        })
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .map(|((.., therapist), (matched, years))| Matched { therapist, matched, years })
        .collect()
}

/// What took time away, minute by minute.
pub(crate) fn removals(
    therapists: &[Therapist],
    query: &Query<'_>,
    ask: &Ask,
    end: Option<DateTime<Utc>>,
) -> Vec<(Constraint, usize)> {
    let minute = |at: DateTime<Utc>| (at.timestamp() + 59).div_euclid(60);
    let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0).unwrap();
    let from =
        minute(query.window.start().max(query.now).max(query.after.map_or(query.now, |after| after.start)));
    let to = minute(query.window.end());
    let mut counts: BTreeMap<Constraint, usize> = BTreeMap::new();
    if from >= to {
        return Vec::new();
    }
    let openings: Vec<(&Therapist, Vec<i64>)> = therapists
        .iter()
        .filter(|therapist| judge(therapist, query, ask).is_none())
        .map(|therapist| (therapist, opening_hours(therapist, (at(from - 60), at(to + 60)), ask)))
        .collect();
    for hour in from.div_euclid(60)..end.map_or((to + 59).div_euclid(60), |end| minute(end).div_euclid(60)) {
        let (first, last) = (from.max(hour * 60), to.min(hour * 60 + 60));
        let taken: Vec<Option<Constraint>> = (first..last)
            .map(|minute| taken_by(query, Span::new(at(minute), at(minute + 1)).unwrap()))
            .collect();
        let most = taken.iter().flatten().copied().collect::<std::collections::BTreeSet<_>>().into_iter();
        let most = most.max_by_key(|constraint| {
            (taken.iter().filter(|taken| **taken == Some(*constraint)).count(), Reverse(*constraint))
        });
        let whole = if taken.iter().all(Option::is_some) { most } else { None };
        for (Therapist { schedule, .. }, hours) in &openings {
            if !hours.contains(&hour) {
                continue;
            }
            let date = schedule.zone.local(at(first)).date();
            let constraint = if minute(query.now + schedule.notice) >= last {
                Some(Constraint::Notice)
            } else if date > last_date(schedule, query.now) {
                Some(Constraint::Horizon)
            } else {
                whole
            };
            if let Some(constraint) = constraint {
                *counts.entry(constraint).or_default() += 1;
            }
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(constraint, count)| (Reverse(*count), *constraint));
    counts
}

/// The hours with a start that no booked session is in the way of, on days that these leave room, as far as time is
/// laid out.
fn opening_hours(therapist: &Therapist, (from, to): (DateTime<Utc>, DateTime<Utc>), ask: &Ask) -> Vec<i64> {
    let until = until(therapist, ask);
    let schedule = Schedule {
        notice: TimeDelta::zero(),
        horizon: Horizon::Until(chrono::NaiveDate::MAX),
        limits: Limits { pacing: None, ..therapist.schedule.limits },
        ..therapist.schedule.clone()
    };
    let (busy, load) = taken(therapist, None, None, &schedule);
    let mut hours = Vec::new();
    let Some(range) = Span::new(from, to) else { return hours };
    let open = schedule.open(range);
    for offered in &therapist.session_types {
        let admission = alone(&schedule, &open, &offered.rules, (&busy, &load), from - TimeDelta::days(1));
        let inside = slots(&admission, range).filter(|admitted| admitted.busy.end() <= until);
        hours.extend(inside.map(|admitted| admitted.session.start().timestamp().div_euclid(3600)));
    }
    hours
}

/// Up to where time is laid out.
fn until(therapist: &Therapist, ask: &Ask) -> DateTime<Utc> {
    let days = match therapist.schedule.horizon {
        Horizon::Days(days) => i64::from(days),
        Horizon::Until(date) => (date - ask.laid_out.date_naive()).num_days().max(0),
    };
    let day = ask.laid_out.timestamp().div_euclid(86_400) + days + 2 + i64::from(SLACK_DAYS);
    DateTime::from_timestamp(day * 86_400, 0).unwrap()
}

/// In which quarter of its week what is booked is.
fn quarter(therapist: &Therapist, start: DateTime<Utc>, ask: &Ask) -> u8 {
    let monday = start.date_naive() - Days::new(start.weekday().num_days_from_monday().into());
    let monday = monday.and_time(chrono::NaiveTime::MIN).and_utc();
    let week = Span::new(monday, monday + TimeDelta::days(7)).unwrap();
    let held: Vec<&Booked> =
        therapist.booked.iter().filter(|booked| week.contains_instant(booked.time.session.start())).collect();
    let number = |count: usize| i64::try_from(count).unwrap();
    let sessions = number(held.len());
    let minutes = held.iter().map(|booked| booked.time.session.duration().num_minutes()).sum();
    let load = held.iter().map(|booked| i64::from(booked.weight)).sum();
    let caps = therapist.schedule.limits.week;
    let parts = [(sessions, caps.sessions), (minutes, caps.minutes), (load, caps.load)];
    let strictest = parts.into_iter().filter_map(|(taken, most)| Some((taken, i64::from(most?)))).collect();
    let parts: Vec<(i64, i64)> = strictest;
    let of_open = || {
        let whole = |span: Span| {
            let (from, to) = (span.start().timestamp() + 59, span.end().timestamp());
            (to.div_euclid(60) - from.div_euclid(60)).max(0)
        };
        let laid_out = Span::new(week.start(), week.end().min(until(therapist, ask))).unwrap();
        let open = therapist.schedule.open(laid_out);
        let open = open.spans().iter().filter_map(|span| span.intersection(laid_out));
        let open: i64 = open.map(whole).sum();
        let busy = held.iter().map(|booked| minutes_of(booked.time.busy)).sum();
        (busy, open)
    };
    let parts = if parts.is_empty() { vec![of_open()] } else { parts };
    let quarters = parts.into_iter().map(|(taken, most)| (taken * 4 / most.max(1)).min(3));
    u8::try_from(quarters.max().unwrap()).unwrap()
}

fn minutes_of(span: Span) -> i64 {
    let (from, to) = minutes(span);
    to - from
}

/// The sessions of others that carry a tag which must not be met.
fn sharing(therapist: &Therapist, query: &Query<'_>, ask: &Ask) -> Vec<Span> {
    let is = |own: &(TherapistId, Span), session: &Booked| {
        own.0 == therapist.id && minutes(own.1) == minutes(session.time.busy)
    };
    let live = therapist.holds.iter().filter(|hold| hold.expiry > query.now).map(|hold| &hold.booked);
    let others = therapist.booked.iter().chain(live).filter(|session| {
        session.tags.iter().any(|tag| ask.tags.contains(tag))
            && !query.own.iter().chain(&query.moving).any(|own| is(own, session))
    });
    others.map(|session| session.time.session).collect()
}

fn taken_by(query: &Query<'_>, minute: Span) -> Option<Constraint> {
    if query.busy.iter().any(|span| span.overlaps(minute)) {
        return Some(Constraint::OwnBooking);
    }
    let reasons: Vec<WorkerRefusal> =
        query.unavailable.iter().filter(|time| time.span.overlaps(minute)).map(|time| time.reason).collect();
    // A break is open to whatever fits into it.
    let reasons = reasons.into_iter().filter(|reason| *reason != WorkerRefusal::Break);
    let excluded = query.excluded.iter().any(|span| span.overlaps(minute));
    reasons.min().map(Constraint::Worker).or(excluded.then_some(Constraint::TimeOfDay))
}

fn last_date(schedule: &Schedule, now: DateTime<Utc>) -> chrono::NaiveDate {
    match schedule.horizon {
        Horizon::Days(days) => schedule.zone.local(now).date() + chrono::Days::new(days.into()),
        Horizon::Until(date) => date,
    }
}

fn alone<'a>(
    schedule: &'a Schedule,
    open: &'a calendar::Open,
    session: &'a SessionRules,
    (busy, load): (&'a [Span], &'a Load),
    now: DateTime<Utc>,
) -> Admission<'a> {
    Admission { schedule, open, session, busy, sharing: &[], load, alias_busy: &[], unavailable: &[], now }
}

/// What keeps a therapist busy, and what of it limits count.
fn taken(
    therapist: &Therapist,
    now: Option<DateTime<Utc>>,
    moving: Option<Span>,
    schedule: &Schedule,
) -> (Vec<Span>, Load) {
    let live = therapist.holds.iter().filter(|hold| now.is_some_and(|now| hold.expiry > now));
    let known = therapist.booked.iter().chain(live.map(|hold| &hold.booked));
    let known: Vec<&Booked> = known
        .filter(|session| moving.is_none_or(|moving| minutes(session.time.busy) != minutes(moving)))
        .collect();
    let counted =
        known.iter().map(|session| HeldSession { span: session.time.session, load_weight: session.weight });
    (calendar::union(known.iter().map(|session| session.time.busy).collect()), schedule.load(counted))
}

/// Nothing if the therapist is wanted; else the criterion that removed them, if they are there at all.
fn judge(therapist: &Therapist, query: &Query<'_>, ask: &Ask) -> Option<Result<(), usize>> {
    let today = query.now.date_naive();
    let verified = therapist.credentials.iter().any(|credential| credential.until >= today);
    if !verified || (!query.therapists.is_empty() && !query.therapists.contains(&therapist.id)) {
        return Some(Ok(()));
    }
    let carries = |facet: Facet, value: &str| match facet {
        Facet::Jurisdiction => therapist.credentials.iter().any(|credential| {
            credential.until >= today && credential.jurisdictions.iter().any(|code| code == value)
        }),
        Facet::Specialization => therapist.specializations.iter().any(|(slug, _)| slug == value),
        _ => therapist.terms.iter().any(|(had, term)| *had == facet && term == value),
    };
    ask.criteria
        .iter()
        .enumerate()
        .position(|(index, asked)| match asked {
            Asked::Any(facet, values) => !values.iter().any(|value| carries(*facet, value)),
            Asked::NoneOf(facet, values) => values.iter().any(|value| carries(*facet, value)),
            Asked::Specializations(wanted, all) => {
                let met = wanted.iter().filter(|wanted| best(therapist, wanted).is_some()).count();
                if *all { met < wanted.len() } else { met == 0 && !wanted.is_empty() }
            }
            Asked::Modalities(_) | Asked::Duration(_) => {
                !therapist.session_types.iter().any(|offered| fits(offered, ask, index + 1))
            }
        })
        .map(Err)
}

/// Whether the first of the criteria want a session type.
fn fits(offered: &SessionType, ask: &Ask, first: usize) -> bool {
    ask.criteria[..first].iter().all(|asked| match asked {
        Asked::Modalities(wanted) => offered.modalities & wanted != 0,
        Asked::Duration(wanted) => offered.rules.duration == *wanted,
        _ => true,
    })
}

fn best(therapist: &Therapist, (asked, answers): &(String, Vec<String>)) -> Option<u8> {
    let had = therapist.specializations.iter().filter(|(slug, _)| answers.contains(slug));
    had.max_by_key(|(slug, years)| (slug == asked, *years)).map(|(_, years)| *years)
}

fn rank(therapist: &Therapist, ask: &Ask) -> (u8, u8) {
    let wanted: Vec<_> = ask
        .criteria
        .iter()
        .filter_map(|asked| if let Asked::Specializations(wanted, _) = asked { Some(wanted) } else { None })
        .flatten()
        .collect();
    if wanted.is_empty() {
        return (0, therapist.specializations.iter().map(|(_, years)| *years).max().unwrap_or(0));
    }
    let met: Vec<u8> = wanted.iter().filter_map(|wanted| best(therapist, wanted)).collect();
    (u8::try_from(met.len()).unwrap(), met.iter().copied().max().unwrap_or(0))
}
