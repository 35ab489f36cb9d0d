//! What hospitals were told (E4).

use sea_orm::{IntoActiveModel, QueryOrder, Select, entity::prelude::*, sea_query::OnConflict};

use crate::{List, Modality, ProgrammeId};

/// What was told of a quarter; never changed.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "report")]
pub struct Model {
    /// Of which programme.
    #[sea_orm(primary_key, auto_increment = false)]
    pub programme_id: ProgrammeId,
    /// In which year, in UTC.
    #[sea_orm(primary_key, auto_increment = false)]
    pub year: i32,
    /// 1 to 4.
    #[sea_orm(primary_key, auto_increment = false)]
    pub quarter: i32,
    /// How many sessions, rounded down; empty where there was not enough activity.
    pub sessions: Option<i32>,
    /// With the last quarter, the same of the whole year for each way to hold a session, or nothing.
    #[sea_orm(column_type = "JsonBinary")]
    pub year_by_modality: List<(Modality, i32)>,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// Writes it down, unless somebody else was faster.
    pub async fn publish(self, tx: &impl ConnectionTrait) -> Result<(), DbErr> {
        let once =
            OnConflict::columns([Column::ProgrammeId, Column::Year, Column::Quarter]).do_nothing().to_owned();
        let insert = Entity::insert(self.into_active_model()).on_conflict(once);
        insert.exec_without_returning(tx).await.map(|_| ())
    }
}

impl Entity {
    /// Of a programme, the newest first.
    pub fn of_programme(programme: ProgrammeId) -> Select<Self> {
        Self::find()
            .filter(COLUMN.programme_id.eq(programme))
            .order_by_desc(Column::Year)
            .order_by_desc(Column::Quarter)
    }
}
