//! The index answers what asking [`calendar::slots`] about everybody would.

#![expect(clippy::unwrap_used, reason = "what cannot be made up is a failed test")]

mod made;
mod model;

use calendar::{Rules, Span};
use chrono::{DateTime, TimeDelta, Utc};
use made::{Ask, Change, Made, minutes};
use proptest::prelude::*;
use search::{Booked, Index, Page, Place, Query, Therapist};

/// What the index says, page by page, with what each page says took time away.
fn pages(index: &Index, ask: &Ask, limit: usize) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    let mut after = None;
    loop {
        let page = with_query(index, ask, after, limit, |query| index.search(query));
        after = page.next;
        pages.push(page);
        if after.is_none() {
            return pages;
        }
    }
}

fn with_query<T>(
    index: &Index,
    ask: &Ask,
    after: Option<Place>,
    limit: usize,
    asked: impl FnOnce(&Query<'_>) -> T,
) -> T {
    let zone = Rules::compiled_in().zone("Europe/Berlin").unwrap();
    let unavailable = ask.unavailable(&zone);
    let criteria = ask.criteria(index);
    asked(&Query {
        criteria: &criteria,
        therapists: &ask.therapists,
        session_types: &ask.session_types,
        seen: &ask.seen,
        window: ask.window,
        excluded: &ask.excluded,
        unavailable: &unavailable,
        busy: &ask.busy,
        tags: &ask.tags,
        own: &ask.own,
        moving: ask.moving,
        now: ask.now,
        after,
        limit,
    })
}

fn check(index: &Index, therapists: &[Therapist], ask: &Ask, limit: usize) -> Result<(), TestCaseError> {
    let pages = pages(index, ask, limit);
    let found: Vec<(Place, Span)> =
        pages.iter().flat_map(|page| &page.hits).map(|hit| (hit.place, hit.session)).collect();
    let (expected, removed) =
        with_query(index, ask, None, limit, |query| model::search(index, therapists, query, ask));
    prop_assert_eq!(&found, &expected);
    for page in &pages {
        prop_assert_eq!(&page.removed, &removed);
        prop_assert_eq!(
            page.next.is_some(),
            page.hits.len() == limit
                && page.hits.last().map(|hit| hit.place) != expected.last().map(|end| end.0)
        );
    }
    // The first page and the last are as good as all of them.
    let before_last = pages.len().checked_sub(2).and_then(|index| pages[index].next);
    for (page, after) in [(pages.first(), None), (pages.last(), before_last)] {
        let Some(page) = page else { continue };
        let end = page.next.map(|end| end.start);
        let removals =
            with_query(index, ask, after, limit, |query| model::removals(therapists, query, ask, end));
        prop_assert_eq!(&page.removals, &removals);
    }
    let mut earliest = with_query(index, ask, None, limit, |query| index.earliest(query));
    earliest.sort_unstable_by_key(|opening| opening.matched.therapist);
    prop_assert_eq!(earliest, model::earliest(&expected));
    let matching = with_query(index, ask, None, limit, |query| index.matching(query));
    prop_assert_eq!(
        matching,
        with_query(index, ask, None, limit, |query| model::matching(therapists, query, ask))
    );
    Ok(())
}

fn index(therapists: &[Therapist], now: DateTime<Utc>) -> Index {
    let mut index = Index::new(now);
    for therapist in therapists {
        index.upsert(therapist.clone());
    }
    index
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![1 => 1_usize..6, 3 => 10_usize..100]
}

proptest! {
    #[test]
    fn t5_the_index_finds_what_the_calendar_would_admit(made in made::made(), limit in limit()) {
        let Made { now, therapists, ask, .. } = made;
        check(&index(&therapists, now), &therapists, &ask.about(&therapists), limit)?;
    }

    #[test]
    fn t5_and_so_it_does_after_changes(made in made::made(), limit in limit()) {
        let Made { now, mut therapists, ask, changes } = made;
        let mut index = index(&therapists, now);
        let mut now = now;
        for change in changes {
            change_both(&mut index, &mut therapists, &mut now, change);
        }
        let late = TimeDelta::days(2);
        let ask = Ask { now: ask.now.max(now).min(now + late), laid_out: now, ..ask }.about(&therapists);
        check(&index, &therapists, &ask, limit)?;
        let fresh = self::index(&therapists, now);
        let all = |index| pages(index, &ask, 50).into_iter().flat_map(|page| page.hits).map(|hit| hit.place);
        prop_assert_eq!(all(&index).collect::<Vec<_>>(), all(&fresh).collect::<Vec<_>>());
    }
}

fn change_both(index: &mut Index, therapists: &mut Vec<Therapist>, now: &mut DateTime<Utc>, change: Change) {
    let count = therapists.len();
    match change {
        Change::Upsert(therapist) => {
            therapists.retain(|known| known.id != therapist.id);
            therapists.push((*therapist).clone());
            index.upsert(*therapist);
        }
        Change::Remove(which) if count > 0 => index.remove(therapists.remove(which % count).id),
        Change::Book(which, session) if count > 0 => {
            let therapist = &mut therapists[which % count];
            let same = |known: Span| minutes(known) == minutes(session.time.busy);
            therapist.holds.retain(|hold| !same(hold.booked.time.busy));
            if !therapist.booked.iter().any(|known| same(known.time.busy)) {
                therapist.booked.push(session.clone());
            }
            index.book(therapist.id, &session);
        }
        Change::Hold(which, hold) if count > 0 => {
            let therapist = &mut therapists[which % count];
            let same = |known: Span| minutes(known) == minutes(hold.booked.time.busy);
            if !therapist.booked.iter().any(|known| same(known.time.busy)) {
                therapist.holds.retain(|known| !same(known.booked.time.busy));
                therapist.holds.push(hold.clone());
            }
            index.hold(therapist.id, &hold);
        }
        Change::Release(which, session) if count > 0 => {
            let therapist = &mut therapists[which % count];
            let known = therapist.booked.iter().chain(therapist.holds.iter().map(|hold| &hold.booked));
            let gone = known.clone().nth(session % known.count().max(1));
            let Some(Booked { time: gone, .. }) = gone.cloned() else { return };
            let other = |known: Span| minutes(known) != minutes(gone.busy);
            therapist.booked.retain(|known| other(known.time.busy));
            therapist.holds.retain(|hold| other(hold.booked.time.busy));
            index.release(therapist.id, gone.busy);
        }
        Change::Advance(minutes, most) => {
            *now += TimeDelta::minutes(minutes);
            while !index.advance(*now, most) {}
        }
        _ => {}
    }
}
