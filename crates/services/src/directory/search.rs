//! Finds verified therapists, best first (D3, D4).

use std::{cmp::Reverse, collections::HashMap};

use api::v1;
use calendar::Span;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use store::TherapistId;
use uuid::Uuid;

use super::{
    filter::{Candidate, Filter, candidates, crisis_resources, plain_reason, today},
    profile::Sight,
    therapist,
};
use crate::{App, Caller, error::Error, field, page, slots};

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
    let filter = Filter::parse(filter)?;
    let window = window.map(|window| searchable(window, "window")).transpose()?;
    let language = display_language(language_code, "language_code")?;
    let size = page::size(page_size)?;
    let after: Option<Place> = list.position(&page_token)?;

    let _turn = app.searches.try_acquire().map_err(|_| Error::Overloaded)?;
    let mut found = candidates(app, &filter, &language, now).await?.found;
    let mut openings = HashMap::new();
    if let Some(window) = window {
        openings = slots::earliest(app, &found, window, now).await?;
        found.retain(|candidate| openings.contains_key(&candidate.therapist.id));
    }
    let nobody = found.is_empty();
    let mut ranked: Vec<(Place, Candidate)> = found
        .into_iter()
        .map(|candidate| (Place::of(&candidate, openings.get(&candidate.therapist.id)), candidate))
        .filter(|(place, _)| after.as_ref().is_none_or(|after| place > after))
        .collect();
    ranked.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let more = ranked.len() > size;
    ranked.truncate(size);
    let next_page_token = match ranked.last() {
        Some((place, _)) if more => list.token(place)?,
        _ => String::new(),
    };

    let (rows, reasons): (Vec<_>, Vec<_>) =
        ranked.into_iter().map(|(_, Candidate { therapist, reasons, .. })| (therapist, reasons)).unzip();
    let opening_of: Vec<_> = rows.iter().map(|row| openings.get(&row.id).copied()).collect();
    let shown = therapist::complete(app.db.read(), rows, Sight::Public, today(now)).await?;
    let hits = shown.into_iter().zip(reasons).zip(opening_of).map(|((therapist, mut reasons), opening)| {
        reasons.extend(opening.map(|at| {
            let value = at.to_rfc3339_opts(SecondsFormat::Secs, true);
            plain_reason(v1::Criterion::Opening, &value, &language)
        }));
        v1::TherapistHit {
            therapist: Some(therapist),
            reasons,
            earliest_opening_time: opening.map(field::timestamp),
        }
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
    matched: Reverse<usize>,
    opening: Option<i64>,
    years: Reverse<u32>,
    id: Uuid,
}

impl Place {
    fn of(candidate: &Candidate, opening: Option<&DateTime<Utc>>) -> Self {
        let TherapistId(id) = candidate.therapist.id;
        Self {
            matched: Reverse(candidate.matched),
            opening: opening.map(DateTime::timestamp),
            years: Reverse(candidate.years),
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(matched: usize, opening: Option<i64>, years: u32, id: u128) -> Place {
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
