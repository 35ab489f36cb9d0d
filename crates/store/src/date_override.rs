//! Changes of single local dates in a schedule.

use calendar::{DayWindow, OverrideKind};
use sea_orm::{DeriveActiveEnum, EnumIter, entity::prelude::*};

use crate::{DateOverrideId, List, TherapistId};

/// A date override; a therapist has at most one per date.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "date_override")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DateOverrideId,
    /// Whose.
    pub therapist_id: TherapistId,
    /// In the zone of that date.
    pub date: Date,
    /// What the windows do.
    pub kind: Kind,
    /// None, with `Replace`, closes the day.
    #[sea_orm(column_type = "JsonBinary")]
    pub windows: List<DayWindow>,
}

impl ActiveModelBehavior for ActiveModel {}

/// What an override does to its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Kind {
    /// Only its windows hold.
    Replace,
    /// Its windows come on top.
    Add,
}

impl From<Model> for calendar::DateOverride {
    fn from(Model { id: _, therapist_id: _, date, kind, windows }: Model) -> Self {
        let kind = match kind {
            Kind::Replace => OverrideKind::Replace,
            Kind::Add => OverrideKind::Add,
        };
        Self { date, kind, windows: windows.0 }
    }
}
