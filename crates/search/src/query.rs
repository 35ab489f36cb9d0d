//! What is asked, and what is answered.

use std::cmp::Reverse;

use calendar::{Span, Unavailable};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Constraint, SessionTypeId, Tag, Term, TherapistId};

/// What a worker looks for. It has no `Debug`: when somebody has time is nobody's business.
#[derive(Clone)]
pub struct Query<'a> {
    /// What therapists and sessions have to be, in the order in which those removed are counted.
    pub criteria: &'a [Criterion],
    /// Whom to look at; everybody if it is empty.
    pub therapists: &'a [TherapistId],
    /// What to offer; everything if it is empty.
    pub session_types: &'a [SessionTypeId],
    /// Whom the worker has seen before: of equal matches they come first (D4).
    pub seen: &'a [TherapistId],
    /// Where sessions start.
    pub window: Span,
    /// What sessions may not touch, because the worker asks for other times of day.
    pub excluded: &'a [Span],
    /// What the worker's shifts take, as [`calendar::unavailable`] gives it.
    pub unavailable: &'a [Unavailable],
    /// What keeps the worker busy, buffers included.
    pub busy: &'a [Span],
    /// What the worker must not meet: sessions that carry one of these are not adjacent to what is offered (D5).
    pub tags: &'a [Tag],
    /// The worker's own sessions, buffers included, each with whom: these are no hindrance to each other.
    pub own: &'a [(TherapistId, Span)],
    /// A session of the worker that is to be moved, buffers included: with that therapist its time counts as free, and
    /// it does not count against limits (B4). It is not in `busy` either.
    pub moving: Option<(TherapistId, Span)>,
    /// The instant of the question; its day in UTC decides which credentials hold.
    pub now: DateTime<Utc>,
    /// Where the page before ended.
    pub after: Option<Place>,
    /// How many answers a page holds.
    pub limit: usize,
}

/// One thing that is asked of a therapist, or of what they offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// Carries at least one of the terms.
    Any(Vec<Term>),
    /// Carries none of them (D5).
    NoneOf(Vec<Term>),
    /// Specializes in one of what is wanted, or in all of it; the more the better, and so are years in it.
    Specializations {
        /// What is wanted.
        wanted: Vec<Wanted>,
        /// All of them, not one of them.
        all: bool,
    },
    /// Offers a session in one of these modalities, a bit for each.
    Modalities(u8),
    /// Offers a session that lasts exactly this.
    Duration(TimeDelta),
}

/// A specialization that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The entry itself, if anybody carries it: a better answer than a narrower one.
    pub asked: Option<Term>,
    /// All that answer it: itself and the narrower ones (D2).
    pub answers: Vec<Term>,
}

/// The place of an answer among all: the earlier start, the better match, whom the worker knows, who has more of the
/// week left, more years of experience, then ids, so that no two are equal. It is also how a page says where it ended:
/// not for a worker's eyes, since it tells a therapist's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Of the session.
    pub start: DateTime<Utc>,
    /// How many of the specializations wanted are met.
    pub matched: Reverse<u8>,
    /// Whether the worker has seen the therapist before.
    pub seen: Reverse<bool>,
    /// A2: in which quarter of what the therapist takes on in the week of the session they are, from 0: of the strictest
    /// limit of their week, or without any of their open time. It is a class and not a number so that the order tells
    /// little of it (D4): one session more or less seldom changes anything.
    pub load: u8,
    /// The most in a specialization that met one wanted; in any, if none was wanted.
    pub years: Reverse<u8>,
    /// With whom.
    pub therapist: TherapistId,
    /// What.
    pub session_type: SessionTypeId,
}

/// A session that may be held, unless somebody is faster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// With whom, what, and why here.
    pub place: Place,
    /// When.
    pub session: Span,
    /// What of the criteria is met, in their order.
    pub met: Vec<Met>,
}

/// A term that meets what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// The index of the criterion.
    pub criterion: usize,
    /// The index of what was asked in it.
    pub asked: usize,
    /// What the therapist carries.
    pub term: Term,
}

/// A therapist who meets the criteria.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Who.
    pub therapist: TherapistId,
    /// How many of the specializations wanted are met.
    pub matched: u8,
    /// The most in a specialization that met one wanted; in any, if none was wanted.
    pub years: u8,
}

/// When a therapist who meets the criteria has time first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Who it is.
    pub matched: Matched,
    /// Of the first session in the window.
    pub start: DateTime<Utc>,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// By place.
    pub hits: Vec<Hit>,
    /// Where to go on, if there is more.
    pub next: Option<Place>,
    /// For each criterion, how many therapists it removed whom none before it did.
    pub removed: Vec<usize>,
    /// What took time away, and how many therapist-hours (S5).
    pub removals: Vec<(Constraint, usize)>,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_place_survives_its_page_token() {
        let place = Place {
            start: DateTime::UNIX_EPOCH,
            matched: Reverse(2),
            seen: Reverse(true),
            load: 3,
            years: Reverse(12),
            therapist: TherapistId(Uuid::from_u128(u128::MAX)),
            session_type: SessionTypeId(Uuid::from_u128(7)),
        };
        let json = serde_json::to_vec(&place).unwrap();
        assert_eq!(serde_json::from_slice::<Place>(&json).unwrap(), place);
    }

    #[test]
    fn d4_the_start_then_the_match_then_who_is_known_then_the_load_then_years_then_ids() {
        let place = |start, matched, seen, load, years, therapist| Place {
            start: DateTime::UNIX_EPOCH + TimeDelta::minutes(start),
            matched: Reverse(matched),
            seen: Reverse(seen),
            load,
            years: Reverse(years),
            therapist: TherapistId(Uuid::from_u128(therapist)),
            session_type: SessionTypeId(Uuid::nil()),
        };
        let ranked = [
            place(0, 0, false, 3, 0, 9),
            place(5, 2, false, 3, 1, 9),
            place(5, 1, true, 3, 1, 9),
            place(5, 1, false, 0, 1, 9),
            place(5, 1, false, 1, 30, 9),
            place(5, 1, false, 1, 2, 1),
            place(5, 1, false, 1, 2, 2),
        ];
        assert!(ranked.is_sorted_by(|a, b| a < b));
    }
}
