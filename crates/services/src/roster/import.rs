//! A roster from a file, a list, a pattern or a feed (S1).

use api::v1;
use calendar::{Roster, RosterError, ShiftKind, Span, Zone, ical, pattern::Planned};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::OnConflict,
};
use store::{AliasId, FeedId, feed, roster};
use v1::import_roster_request::Source;

use super::{Feed, pattern, shifts};
use crate::{
    App,
    booking::displaced,
    error::{Error, Violation},
    feeds,
    field::{self, given, out_of_range, required},
    once::Once,
    sealed::Safe,
};

/// What is over for longer than this is of no use to anybody, and not kept.
const KEPT_BACK: TimeDelta = TimeDelta::days(60);
/// How far ahead shifts are kept.
const AHEAD: TimeDelta = TimeDelta::days(2 * 365);
/// How many shifts a list may have.
const LISTED: usize = 1_000;
/// Where shifts and the last day may be.
const REACH: &str = "between five years back and two ahead";

/// What a request says.
pub(super) enum Said {
    /// The roster itself.
    Roster(Roster),
    /// Where to fetch it.
    Feed(Feed),
}

/// A roster, and the feed it came from if it did.
pub(super) struct Imported {
    pub(super) roster: Roster,
    pub(super) feed: Option<Feed>,
}

/// Reads the roster, or where it is, out of the request.
pub(super) async fn parse(
    app: &App,
    request: v1::ImportRosterRequest,
    now: DateTime<Utc>,
) -> Result<Said, Error> {
    let v1::ImportRosterRequest { request_id: _, source, time_zone, publish_date, on_call } = request;
    let zone = field::zone(app, &time_zone, "time_zone")?;
    let published = publish_date.map(|date| field::date(date, "publish_date")).transpose()?;
    match source {
        None => Err(required("source")),
        Some(Source::Icalendar(file)) => {
            of_file(app, file, &zone, published, on_call, now).await.map(Said::Roster)
        }
        Some(Source::ShiftList(v1::ShiftList { shifts })) => {
            let planned = shifts::read(shifts, LISTED, &zone, "shift_list.shifts")?;
            let roster = kept(&zone, planned, published, now);
            roster.map(Said::Roster).map_err(|error| refusal(error, "shift_list", "publish_date"))
        }
        Some(Source::Pattern(repeated)) => {
            let last = given(published, "publish_date")?;
            let planned = pattern::read(repeated, &zone, last)?;
            kept(&zone, planned, Some(last), now).map(Said::Roster).map_err(|error| match error {
                // Of a pattern, what is out of reach is where it begins or where it ends.
                RosterError::ShiftOutOfReach { index: 0 } => out_of_range("pattern.start_date", REACH),
                RosterError::ShiftOutOfReach { .. } => out_of_range("publish_date", REACH),
                error => refusal(error, "pattern", "publish_date"),
            })
        }
        Some(Source::FeedUri(address)) => {
            if published.is_some() {
                return Err(out_of_range("publish_date", "empty, since a feed goes on"));
            }
            Feed::read(&address, zone.name(), on_call).map(Said::Feed)
        }
    }
}

/// Keeps the roster and its feed instead of those there were.
pub(super) async fn keep(
    app: &App,
    once: &Once,
    alias: AliasId,
    imported: &Imported,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Imported { roster, feed } = imported;
    let (tx, safe) = (&once.tx, once.safe()?);
    replace(app, tx, safe, roster, now).await?;
    end_feed(tx, alias).await?;
    if let Some(feed) = feed {
        let row = feeds::begun(FeedId::random(), Some(alias), safe.seal_feed(feed)?, now)?;
        row.into_active_model().insert(tx).await?;
    }
    Ok(())
}

/// Nothing is fetched for the alias any more.
pub(crate) async fn end_feed(tx: &DatabaseTransaction, alias: AliasId) -> Result<(), Error> {
    feed::Entity::delete_many().filter(feed::COLUMN.alias_id.eq(alias)).exec(tx).await?;
    Ok(())
}

/// Keeps the roster instead of the one there was, and with it the sessions that the change took the time of.
pub(super) async fn replace(
    app: &App,
    tx: &DatabaseTransaction,
    safe: &Safe,
    roster: &Roster,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let displaced = displaced(app, tx, safe, roster, now).await?;
    let row = roster::Model { alias_id: safe.alias(), sealed: safe.seal_roster(roster, displaced)? };
    let replace =
        OnConflict::column(roster::Column::AliasId).update_column(roster::Column::Sealed).to_owned();
    roster::Entity::insert(row.into_active_model()).on_conflict(replace).exec_without_returning(tx).await?;
    Ok(())
}

/// What was understood.
pub(super) fn summary(roster: &Roster, collisions: Vec<v1::RosterCollision>) -> v1::ImportRosterResponse {
    let count = |count| i32::try_from(count).unwrap_or(i32::MAX);
    let nights = roster.shifts().iter().filter(|shift| shift.kind == ShiftKind::Night).count();
    v1::ImportRosterResponse {
        shift_count: count(roster.shifts().len()),
        night_count: count(nights),
        publish_date: roster.published_until().map(field::to_date),
        collisions,
    }
}

/// Reads an iCalendar file, off the async threads.
pub(super) async fn of_file(
    app: &App,
    file: Vec<u8>,
    zone: &Zone,
    published: Option<NaiveDate>,
    on_call: bool,
    now: DateTime<Utc>,
) -> Result<Roster, Error> {
    let window = Span::new(now - KEPT_BACK, now + AHEAD).ok_or(Error::Interrupted)?;
    let (clock, rules) = (zone.clone(), app.rules.clone());
    let work = move || ical::shifts(&file, &clock, &rules, window, ical::Options { on_call });
    let shifts = tokio::task::spawn_blocking(work)
        .await
        // A parser that panics has met what it cannot read.
        .unwrap_or(Err(ical::IcalError::NotACalendar))
        .map_err(|error| Error::invalid("icalendar", Violation::Icalendar(error)))?;
    Roster::new(zone, shifts, published, now).map_err(|error| refusal(error, "icalendar", "publish_date"))
}

/// The whole list says whether it is a roster, and which day it ends with; what is long over is not kept.
pub(super) fn kept(
    zone: &Zone,
    planned: Planned,
    published: Option<NaiveDate>,
    now: DateTime<Utc>,
) -> Result<Roster, RosterError> {
    let Planned { shifts, mut breaks } = planned;
    let whole = Roster::new(zone, shifts, published, now)?;
    let recent = |span: Span| span.end() > now - KEPT_BACK;
    let shifts = whole.shifts().iter().filter(|shift| recent(shift.span)).copied().collect();
    breaks.retain(|pause| recent(*pause));
    let roster = Roster::new(zone, shifts, whole.published_until(), now)?;
    // A break that is not over belongs to a shift that is not over.
    Ok(roster.with_breaks(breaks).expect("each was read as a part of a shift, and no shift has many"))
}

pub(super) fn refusal(error: RosterError, source: &str, publish_date: &str) -> Error {
    let shift = |index| format!("{source}.shifts[{index}].span");
    match error {
        RosterError::TooManyShifts { .. } => {
            Error::invalid(format!("{source}.shifts"), Violation::TooMany { most: LISTED })
        }
        RosterError::ShiftTooLong { index } => out_of_range(&shift(index), "at most 48 hours long"),
        RosterError::ShiftOutOfReach { index } => out_of_range(&shift(index), REACH),
        RosterError::PublishedUntilOutOfReach => out_of_range(publish_date, REACH),
    }
}

#[cfg(test)]
mod tests {
    use calendar::Shift;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    fn shift(start: &str, end: &str) -> Shift {
        Shift { span: Span::new(at(start), at(end)).unwrap(), kind: ShiftKind::Day }
    }

    /// Each with a break in its first ten minutes.
    fn planned(shifts: &[Shift]) -> Planned {
        let pause = |shift: &Shift| {
            let start = shift.span.start();
            Span::new(start, start + TimeDelta::minutes(10)).unwrap()
        };
        Planned { shifts: shifts.to_vec(), breaks: shifts.iter().map(pause).collect() }
    }

    #[test]
    fn what_is_long_over_is_checked_but_not_kept() {
        let zone = calendar::Rules::compiled_in().zone("Europe/Berlin").unwrap();
        let now = at("2026-03-27T09:00");
        let old = shift("2025-12-01T06:00", "2025-12-01T14:00");
        let new = shift("2026-03-28T06:00", "2026-03-28T14:00");
        let roster = kept(&zone, planned(&[new, old]), None, now).unwrap();
        assert_eq!(roster.shifts(), [new]);
        assert_eq!(roster.breaks(), planned(&[new]).breaks);

        // S4: an old roster ends with its old last day, and does not go on for ever.
        let roster = kept(&zone, planned(&[old]), None, now).unwrap();
        assert!(roster.shifts().is_empty());
        assert_eq!(roster.published_until(), NaiveDate::from_ymd_opt(2025, 12, 1));

        let ancient = shift("2019-12-01T06:00", "2019-12-01T14:00");
        let refused = kept(&zone, planned(&[new, ancient]), None, now).unwrap_err();
        assert_eq!(refused, RosterError::ShiftOutOfReach { index: 1 });
        let long = shift("2026-03-28T06:00", "2026-03-30T06:01");
        assert_eq!(
            kept(&zone, planned(&[long]), None, now).unwrap_err(),
            RosterError::ShiftTooLong { index: 0 }
        );
    }
}
