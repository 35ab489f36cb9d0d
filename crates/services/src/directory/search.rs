//! Finds verified therapists, best first (D3, D4).

use std::cmp::Reverse;

use api::v1;
use calendar::Span;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use search::{Index, Matched, Opening, Query};
use serde::{Deserialize, Serialize};
use store::TherapistId;
use uuid::Uuid;

use super::{
    filter::{Filter, crisis_resources, plain_reason, today},
    profile::{self, Sight},
};
use crate::{App, Caller, error::Error, field, listing::Listing, page};

/// The longest window that can be searched.
const LONGEST: TimeDelta = TimeDelta::days(31);

pub(crate) async fn search(
    app: &App,
    caller: Caller,
    request: v1::SearchTherapistsRequest,
    now: DateTime<Utc>,
) -> Result<v1::SearchTherapistsResponse, Error> {
    let question = v1::SearchTherapistsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let list = page::List::new(app, caller, "SearchTherapists", &question);
    let v1::SearchTherapistsRequest { filter, window, page_size, page_token, language_code } = request;
    let filter = Filter::parse(&app.keyring, filter)?;
    let window = window.map(|window| searchable(window, "window")).transpose()?;
    let language = display_language(language_code, "language_code")?;
    let size = page::size(page_size)?;
    let after: Option<Place> = list.position(&page_token)?;

    let filter = match caller {
        Caller::Alias(alias) => filter.without(&app.callers.own(app, alias, now).await?.tags),
        Caller::Anonymous | Caller::Therapist(_) | Caller::Operator(_) | Caller::Manager(_) => filter,
    };

    app.mirror.catch_up(now).await?;
    let found = app.mirror.ask(|index| find(index, &filter, window, now));
    let nobody = found.is_empty();
    let mut places: Vec<Place> =
        found.into_iter().filter(|place| after.as_ref().is_none_or(|after| place > after)).collect();
    let more = places.len() > size;
    if more {
        places.select_nth_unstable(size);
        places.truncate(size);
    }
    places.sort_unstable();
    let next_page_token = match places.last() {
        Some(place) if more => list.token(place)?,
        _ => String::new(),
    };
    let hits = places.iter().filter_map(|place| {
        let listing = app.listings.get(TherapistId(place.id))?;
        let mut reasons = filter.explain(&listing, &language, now)?;
        let opening = place.opening.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        reasons.extend(opening.map(|at| {
            let value = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            plain_reason(v1::Criterion::Opening, &value, &language)
        }));
        Some(v1::TherapistHit {
            therapist: Some(shown(&listing, now)),
            reasons,
            earliest_opening_time: opening.map(field::timestamp),
        })
    });
    Ok(v1::SearchTherapistsResponse {
        hits: hits.collect(),
        next_page_token,
        crisis_resources: if nobody || filter.urgent() {
            crisis_resources(filter.country())
        } else {
            Vec::new()
        },
    })
}

/// The profile as anybody may see it.
fn shown(listing: &Listing, now: DateTime<Utc>) -> v1::Therapist {
    let offered: Vec<_> = listing.offered().cloned().collect();
    let (therapist, credentials) = (listing.therapist.clone(), listing.credentials.clone());
    profile::show(therapist, credentials, &offered, Sight::Public, today(now))
}

/// Any time: whoever asks for none is told who is there, not who is free.
fn around(now: DateTime<Utc>) -> Span {
    Span::new(now, now + LONGEST).expect("a month is not empty")
}

/// Where everybody stands who is wanted, and who has an opening in the window if there is one.
fn find(index: &Index, filter: &Filter, window: Option<Span>, now: DateTime<Utc>) -> Vec<Place> {
    let criteria: Vec<_> = filter.criteria(index).into_iter().map(|(_, criterion)| criterion).collect();
    let therapists = filter.therapists();
    let query = Query {
        criteria: &criteria,
        therapists: &therapists,
        session_types: &[],
        seen: &[],
        window: window.unwrap_or_else(|| around(now)),
        excluded: &[],
        unavailable: &[],
        busy: &[],
        tags: &[],
        own: &[],
        moving: None,
        now,
        after: None,
        limit: 0,
    };
    match window {
        Some(_) => index
            .earliest(&query)
            .into_iter()
            .map(|Opening { matched, start }| Place::of(matched, Some(start)))
            .collect(),
        None => index.matching(&query).into_iter().map(|matched| Place::of(matched, None)).collect(),
    }
}

/// A window that is not too long to search.
pub(crate) fn searchable(window: v1::Span, field: &str) -> Result<Span, Error> {
    let span = field::span(Some(window), field)?;
    if span.duration() > LONGEST { Err(field::out_of_range(field, "at most 31 days")) } else { Ok(span) }
}

/// The language of labels; English unless asked.
pub(crate) fn display_language(tag: String, field: &str) -> Result<String, Error> {
    if tag.is_empty() { Ok("en".to_owned()) } else { field::language(tag, field) }
}

/// Where a hit stands: more specializations matched, the earlier opening, more years, the smaller id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place {
    matched: Reverse<u8>,
    opening: Option<i64>,
    years: Reverse<u8>,
    id: Uuid,
}

impl Place {
    fn of(found: Matched, opening: Option<DateTime<Utc>>) -> Self {
        let Matched { therapist, matched, years } = found;
        Self {
            matched: Reverse(matched),
            opening: opening.map(|at| at.timestamp()),
            years: Reverse(years),
            id: therapist.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(matched: u8, opening: Option<i64>, years: u8, id: u128) -> Place {
        Place { matched: Reverse(matched), opening, years: Reverse(years), id: Uuid::from_u128(id) }
    }

    #[test]
    fn d4_matches_then_the_opening_then_years_then_the_id() {
        let ranked = [
            place(2, Some(200), 1, 9),
            place(1, Some(100), 1, 8),
            place(1, Some(100), 1, 9),
            place(1, Some(200), 30, 1),
            place(1, Some(200), 2, 1),
            place(0, Some(50), 60, 0),
        ];
        assert!(ranked.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_place_survives_its_page_token() {
        let place = place(3, None, 12, u128::MAX);
        let json = serde_json::to_vec(&place).unwrap();
        assert_eq!(serde_json::from_slice::<Place>(&json).unwrap(), place);
    }

    #[test]
    fn a_window_is_at_most_31_days() {
        let span = |seconds: i64| v1::Span {
            start_time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            end_time: Some(prost_types::Timestamp { seconds: 1_800_000_000 + seconds, nanos: 0 }),
        };
        assert!(searchable(span(31 * 86_400), "window").is_ok());
        assert!(searchable(span(31 * 86_400 + 1), "window").is_err());
    }
}
