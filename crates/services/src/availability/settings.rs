//! Whether a change leaves settings that make sense (A3), whichever of them it is that changes.

use calendar::{DateOverride, Measure, Period, Schedule, SessionRules, SettingsError, check_settings};
use chrono::{DateTime, Days, Utc};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use store::{TherapistId, date_override, session_type};

use crate::error::{Error, Violation};

/// What is being saved, and so whose fields a refusal names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saved {
    /// The schedule.
    Schedule,
    /// A session type.
    SessionType,
    /// A date override.
    DateOverride,
}

/// Refuses contradictions, naming the field of what is being saved.
pub(super) fn check(schedule: &Schedule, sessions: &[SessionRules], saved: Saved) -> Result<(), Error> {
    check_settings(schedule, sessions).map_err(|error| refusal(error, saved))
}

/// The refusal that a contradiction is.
pub(super) fn refusal(error: SettingsError, saved: Saved) -> Error {
    Error::invalid(field(&error, saved), Violation::Settings(error))
}

/// What is offered now.
pub(super) async fn sessions(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
) -> Result<Vec<SessionRules>, Error> {
    let offered = session_type::Entity::offered_by(therapist).all(db).await?;
    Ok(offered.iter().map(session_type::Model::rules).collect())
}

/// Date overrides that are not past anywhere: nobody has to mend a day that is over.
pub(super) async fn overrides_to_come(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
    now: DateTime<Utc>,
) -> Result<Vec<DateOverride>, Error> {
    let yesterday = now.date_naive() - Days::new(1);
    let overrides = date_override::Entity::find()
        .filter(date_override::COLUMN.therapist_id.eq(therapist))
        .filter(date_override::COLUMN.date.gte(yesterday))
        .all(db)
        .await?;
    Ok(overrides.into_iter().map(Into::into).collect())
}

/// The path in the request. What contradicts something that is not in it is named by what is.
fn field(error: &SettingsError, saved: Saved) -> String {
    use SettingsError as E;
    let session = |name: &str| format!("session_type.{name}");
    match (error, saved) {
        (E::NoticeBeyondHorizon { .. } | E::NoticeOutOfRange, _) => "schedule.minimum_notice".to_owned(),
        (E::HorizonOutOfRange, _) => "schedule.horizon_days".to_owned(),
        (E::TravelReversed { index }, _) => format!("schedule.travels[{index}].end_date"),
        (E::TravelsOverlap { index }, _) => format!("schedule.travels[{index}]"),
        (E::DurationOutOfRange { .. }, _) => session("duration"),
        (E::BufferOutOfRange { before: true, .. }, _) => session("buffer_before"),
        (E::BufferOutOfRange { before: false, .. }, _) => session("buffer_after"),
        (E::GridIntervalOutOfRange { .. }, _) => session("grid_interval"),
        (E::GridOffsetOutOfRange { .. }, _) => session("grid_offset"),
        (E::LoadWeightOutOfRange { .. }, _)
        | (E::LimitBelowEverySession { measure: Measure::Load, .. }, Saved::SessionType) => {
            session("load_weight")
        }
        (E::InARowOutOfRange, _) => "schedule.pacing.max_sessions_in_a_row".to_owned(),
        (E::BreakOutOfRange, _) => "schedule.pacing.break_duration".to_owned(),
        (E::LimitBelowEverySession { period, measure, .. }, Saved::Schedule) => limit(*period, *measure),
        (E::LimitsExcludeEverySession, Saved::Schedule) => "schedule.day_limits".to_owned(),
        (E::ProtectedCoversEveryWindow, Saved::Schedule) => "schedule.protected_windows".to_owned(),
        (
            E::WindowsOverlap { second: window, .. } | E::WindowShorterThanSession { window, .. },
            Saved::Schedule,
        ) => {
            format!("schedule.windows[{window}]")
        }
        (
            E::OverrideHoursOverlap { window, .. } | E::OverrideShorterThanSession { window, .. },
            Saved::DateOverride,
        ) => {
            format!("date_override.hours[{window}]")
        }
        (E::ReplacedTwice { .. }, _) | (_, Saved::DateOverride) => "date_override.date".to_owned(),
        (_, Saved::Schedule) => "schedule.windows".to_owned(),
        (_, Saved::SessionType) => session("duration"),
    }
}

fn limit(period: Period, measure: Measure) -> String {
    let measure = match measure {
        Measure::Sessions => "max_sessions",
        Measure::Minutes => "max_session_time",
        Measure::Load => "max_load",
    };
    format!("schedule.{period}_limits.{measure}")
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeDelta, Weekday};

    use super::*;

    #[track_caller]
    fn check_field(error: &SettingsError, saved: Saved, expected: &str) {
        assert_eq!(field(error, saved), expected);
    }

    #[test]
    fn a3_a_refusal_names_a_field_of_the_request() {
        use SettingsError as E;
        let date = NaiveDate::MIN;
        let notice = E::NoticeBeyondHorizon { notice: TimeDelta::days(3), days: 1 };
        check_field(&notice, Saved::Schedule, "schedule.minimum_notice");
        check_field(&E::HorizonOutOfRange, Saved::Schedule, "schedule.horizon_days");
        check_field(&E::WindowsOverlap { first: 0, second: 3 }, Saved::Schedule, "schedule.windows[3]");
        check_field(&E::TravelReversed { index: 1 }, Saved::Schedule, "schedule.travels[1].end_date");
        let short = E::WindowShorterThanSession { window: 2, weekday: Weekday::Mon };
        check_field(&short, Saved::Schedule, "schedule.windows[2]");
        check_field(&short, Saved::SessionType, "session_type.duration");
        let short = E::OverrideShorterThanSession { index: 7, window: 1, date };
        check_field(&short, Saved::DateOverride, "date_override.hours[1]");
        check_field(&short, Saved::Schedule, "schedule.windows");
        check_field(&short, Saved::SessionType, "session_type.duration");
        let overlap = E::OverrideHoursOverlap { index: 7, window: 0, date };
        check_field(&overlap, Saved::DateOverride, "date_override.hours[0]");
        let limit = |measure| E::LimitBelowEverySession { period: Period::Week, measure, most: 1, least: 2 };
        check_field(&limit(Measure::Minutes), Saved::Schedule, "schedule.week_limits.max_session_time");
        check_field(&limit(Measure::Minutes), Saved::SessionType, "session_type.duration");
        check_field(&limit(Measure::Load), Saved::SessionType, "session_type.load_weight");
        check_field(&E::LimitsExcludeEverySession, Saved::Schedule, "schedule.day_limits");
        check_field(&E::LimitsExcludeEverySession, Saved::SessionType, "session_type.duration");
        check_field(&E::InARowOutOfRange, Saved::Schedule, "schedule.pacing.max_sessions_in_a_row");
        check_field(&E::BreakOutOfRange, Saved::Schedule, "schedule.pacing.break_duration");
        check_field(&E::ProtectedCoversEveryWindow, Saved::Schedule, "schedule.protected_windows");
        check_field(&E::ProtectedCoversEveryWindow, Saved::SessionType, "session_type.duration");
        check_field(&E::GridOffsetOutOfRange { session: 4 }, Saved::SessionType, "session_type.grid_offset");
        let buffer = E::BufferOutOfRange { session: 0, before: true };
        check_field(&buffer, Saved::SessionType, "session_type.buffer_before");
    }
}
