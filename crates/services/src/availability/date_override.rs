//! Local dates that differ from the week (A1).

use api::{google::r#type as gtype, v1};
use calendar::{DateOverride, Limits, OverrideKind, Protected, SettingsError};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, Select,
};
use store::{DateOverrideId, List, TherapistId, date_override};

use super::{
    schedule,
    settings::{self, Saved},
};
use crate::{
    App,
    error::{Error, LimitReason},
    field,
};

/// How many a therapist has at most.
const MOST: u64 = 400;

/// All of them, by date.
pub(super) async fn list(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
) -> Result<Vec<v1::DateOverride>, Error> {
    let by_date = of(therapist).order_by_asc(date_override::Column::Date);
    Ok(by_date.all(db).await?.into_iter().map(show).collect())
}

pub(super) async fn create(
    app: &App,
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    message: v1::DateOverride,
) -> Result<v1::DateOverride, Error> {
    let row = parse(therapist, message)?;
    if of(therapist).filter(date_override::COLUMN.date.eq(row.date)).one(tx).await?.is_some() {
        return Err(Error::DateOverridden);
    }
    if of(therapist).count(tx).await? >= MOST {
        return Err(Error::Limit { reason: LimitReason::DateOverrides, most: MOST });
    }
    check(app, tx, &row).await?;
    Ok(show(row.into_active_model().insert(tx).await?))
}

pub(super) async fn delete(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    id: DateOverrideId,
) -> Result<(), Error> {
    let row = date_override::Entity::find_by_id(id)
        .filter(date_override::COLUMN.therapist_id.eq(therapist))
        .one(tx)
        .await?;
    row.ok_or(Error::NotFound("date override"))?.delete(tx).await?;
    Ok(())
}

fn of(therapist: TherapistId) -> Select<date_override::Entity> {
    date_override::Entity::find().filter(date_override::COLUMN.therapist_id.eq(therapist))
}

/// Whether the hours have room for something that is offered (A3), beside the weekly windows that they may touch.
///
/// A weekly window that has none, since what fitted into it was withdrawn, is no reason to refuse a free day, and
/// neither are limits and protected time that it does not touch.
async fn check(app: &App, tx: &DatabaseTransaction, row: &date_override::Model) -> Result<(), Error> {
    let sessions = settings::sessions(tx, row.therapist_id).await?;
    let mut schedule = schedule::saved_or_empty(app, tx, row.therapist_id).await?;
    schedule.overrides = vec![row.clone().into()];
    (schedule.limits, schedule.protected) = (Limits::default(), Protected::default());
    loop {
        match calendar::check_settings(&schedule, &sessions) {
            Ok(()) => return Ok(()),
            Err(SettingsError::WindowShorterThanSession { window, .. }) => {
                schedule.windows.remove(window);
            }
            Err(error) => return Err(settings::refusal(error, Saved::DateOverride)),
        }
    }
}

fn parse(therapist: TherapistId, message: v1::DateOverride) -> Result<date_override::Model, Error> {
    let v1::DateOverride { id: _, date, kind, hours } = message;
    let DateOverride { date, kind, windows } = parse_day(date, kind, hours, "date_override")?;
    let kind = match kind {
        OverrideKind::Replace => date_override::Kind::Replace,
        OverrideKind::Add => date_override::Kind::Add,
    };
    Ok(date_override::Model {
        id: DateOverrideId::random(),
        therapist_id: therapist,
        date,
        kind,
        windows: List(windows),
    })
}

/// One date's hours, of the message at `path`.
pub(super) fn parse_day(
    date: Option<gtype::Date>,
    kind: i32,
    hours: Vec<v1::LocalHours>,
    path: &str,
) -> Result<DateOverride, Error> {
    let of = |name: &str| format!("{path}.{name}");
    let kind = match v1::DateOverrideKind::try_from(kind) {
        Ok(v1::DateOverrideKind::Replace) => OverrideKind::Replace,
        Ok(v1::DateOverrideKind::Add) => OverrideKind::Add,
        Ok(v1::DateOverrideKind::Unspecified) => return Err(field::required(&of("kind"))),
        Err(_) => return Err(field::malformed(&of("kind"), "a kind of override")),
    };
    if kind == OverrideKind::Add && hours.is_empty() {
        return Err(field::required(&of("hours")));
    }
    Ok(DateOverride {
        date: field::date(field::given(date, &of("date"))?, &of("date"))?,
        kind,
        windows: field::list(hours, 10, &of("hours"), |hours, path| field::hours(Some(hours), path))?,
    })
}

fn show(row: date_override::Model) -> v1::DateOverride {
    let id = row.id.to_string();
    let DateOverride { date, kind, windows } = row.into();
    v1::DateOverride {
        id,
        date: Some(field::to_date(date)),
        kind: print_kind(kind).into(),
        hours: windows.into_iter().map(field::to_hours).collect(),
    }
}

pub(super) fn print_kind(kind: OverrideKind) -> v1::DateOverrideKind {
    match kind {
        OverrideKind::Replace => v1::DateOverrideKind::Replace,
        OverrideKind::Add => v1::DateOverrideKind::Add,
    }
}
