//! What hospitals are told: once, after a quarter's end, by a job, so that nothing depends on who asks when (E4).
//!
//! What counts was paid for, began in the quarter, and was not cancelled. That does not change once the quarter is over:
//! nobody has to be told a correction.

use std::{pin::pin, time::Duration};

use api::v1;
use calendar::Span;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{DatabaseTransaction, EntityTrait};
use store::{List, Modality, ProgrammeId, booking, programme, report};

use super::{
    period::Period,
    table::{self, Cell, Quarter},
};
use crate::{App, error::Error, field};

/// Reports every hour what is due, until `stop`.
pub async fn run(app: App, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    loop {
        if let Err(error) = publish_due(&app).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "hospitals were not told of the last quarter");
        }
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Reports, once, every quarter that is over and was not reported yet. What is there stays as it is.
pub async fn publish_due(app: &App) -> Result<(), Error> {
    let now = app.clock.now();
    let directory = app.keys.current(app.db.read()).await?;
    for programme in programme::Entity::find().all(app.db.read()).await? {
        let id = pass::ProgrammeId(programme.id.0.into_bytes());
        let of_programme = directory.records().filter(|record| record.programme == id);
        // Before its first passes there is nothing to be told of.
        let Some(first) = of_programme.filter_map(Period::of).map(Period::first).min() else { continue };
        let told = report::Entity::of_programme(programme.id).one(app.db.read()).await?;
        let told = told.map(|report| Quarter { year: report.year, number: report.quarter });
        let mut quarter = told.map_or_else(|| Quarter::of(first), Quarter::next);
        while let Some(span) = span(quarter, quarter).filter(|span| span.end() + AFTER <= now) {
            let tx = app.db.write().await?;
            publish(&tx, &programme, quarter, span).await?;
            tx.commit().await?;
            quarter = quarter.next();
        }
    }
    Ok(())
}

const EVERY: Duration = Duration::from_hours(1);
/// After a quarter, for a clock that is set right.
const AFTER: TimeDelta = TimeDelta::days(1);
/// Every way to hold a session, in the order in which it is told.
const MODALITIES: [Modality; 3] = [Modality::Video, Modality::Audio, Modality::Chat];

async fn publish(
    tx: &DatabaseTransaction,
    programme: &programme::Model,
    quarter: Quarter,
    span: Span,
) -> Result<(), Error> {
    let mut cell = Cell::default();
    for used in booking::Entity::used(programme.id, span).all(tx).await? {
        cell.add(used.alias_id, used.sessions.unsigned_abs());
    }
    let sessions = table::quarter(&cell, programme.eligible_workers);
    let year_by_modality = if quarter.number == Quarter::LAST {
        year(tx, programme, quarter, sessions).await?
    } else {
        Vec::new()
    };
    let Quarter { year, number: quarter } = quarter;
    let year_by_modality = List(year_by_modality);
    let row = report::Model { programme_id: programme.id, year, quarter, sessions, year_by_modality };
    Ok(row.publish(tx).await?)
}

/// How sessions were held in the year of its `last` quarter, if that may be told beside what was told of the others.
async fn year(
    tx: &DatabaseTransaction,
    programme: &programme::Model,
    last: Quarter,
    sessions: Option<i32>,
) -> Result<Vec<(Modality, i32)>, Error> {
    let mut quarters = [None, None, None, sessions];
    for (quarter, number) in quarters.iter_mut().zip(1..Quarter::LAST) {
        let told = report::Entity::find_by_id((programme.id, last.year, number)).one(tx).await?;
        *quarter = told.and_then(|report| report.sessions);
    }
    let Some(span) = span(Quarter { number: 1, ..last }, last) else { return Ok(Vec::new()) };
    let paid = &programme.modalities.0;
    let modalities: Vec<_> =
        MODALITIES.into_iter().filter(|modality| paid.is_empty() || paid.contains(modality)).collect();
    let mut parts: Vec<Cell> = modalities.iter().map(|_| Cell::default()).collect();
    for used in booking::Entity::used(programme.id, span).all(tx).await? {
        let part = modalities.iter().position(|modality| *modality == used.modality);
        if let Some(part) = part.and_then(|index| parts.get_mut(index)) {
            part.add(used.alias_id, used.sessions.unsigned_abs());
        }
    }
    let told = table::year(&parts, quarters).unwrap_or_default();
    Ok(modalities.into_iter().zip(told).collect())
}

fn span(first: Quarter, last: Quarter) -> Option<Span> {
    let (start, end): (DateTime<Utc>, DateTime<Utc>) = (first.start()?, last.next().start()?);
    Span::new(start, end)
}

/// Everything that was told of a programme, the newest first.
pub(super) async fn list(app: &App, programme: ProgrammeId) -> Result<v1::ListReportsResponse, Error> {
    let rows = report::Entity::of_programme(programme).all(app.db.read()).await?;
    Ok(v1::ListReportsResponse {
        csv: csv(&rows).into_bytes(),
        reports: rows.into_iter().map(show).collect(),
    })
}

fn show(report: report::Model) -> v1::Report {
    let report::Model { programme_id: _, year, quarter, sessions, year_by_modality } = report;
    let part = |(modality, sessions)| v1::ModalitySessions {
        modality: field::to_modality(modality).into(),
        sessions,
    };
    let sessions = sessions.unwrap_or_default();
    v1::Report {
        year,
        quarter,
        sessions,
        year_by_modality: year_by_modality.0.into_iter().map(part).collect(),
    }
}

/// As RFC 4180 has it. Every field is a number or a word of ours: none is quoted, and none begins with what a
/// spreadsheet would compute.
fn csv(reports: &[report::Model]) -> String {
    let mut lines = String::from("quarter,sessions,year_video,year_audio,year_chat\r\n");
    for report in reports {
        let sessions = report.sessions.map_or_else(|| NOT_ENOUGH.to_owned(), |sessions| sessions.to_string());
        let mut fields = vec![format!("{}-Q{}", report.year, report.quarter), sessions];
        for wanted in MODALITIES {
            let part = report.year_by_modality.0.iter().find(|(modality, _)| *modality == wanted);
            fields.push(part.map(|(_, sessions)| sessions.to_string()).unwrap_or_default());
        }
        lines.push_str(&fields.join(","));
        lines.push_str("\r\n");
    }
    lines
}

const NOT_ENOUGH: &str = "not enough activity";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::SESSIONS;

    /// Else sessions of many would count as those of one, and of nobody where people are counted.
    #[test]
    fn e4_a_years_first_sessions_are_somebodys_until_it_is_told() {
        // A year is told in the hour after this, unless the server is away.
        for (year, due) in [
            (2026, "2027-01-02T00:00:00Z"),
            (2027, "2028-01-02T00:00:00Z"),
            (2028, "2029-01-02T00:00:00Z"),
            (2029, "2030-01-02T00:00:00Z"),
            (2100, "2101-01-02T00:00:00Z"),
        ] {
            let quarter = |number| Quarter { year, number };
            let span = span(quarter(1), quarter(Quarter::LAST)).unwrap();
            assert_eq!(span.end() + AFTER, due.parse::<DateTime<Utc>>().unwrap(), "{year}");
            let spare = span.start() + SESSIONS - (span.end() + AFTER);
            assert!(spare >= TimeDelta::days(1), "{year}: {spare}");
        }
    }
}
