//! Sessions that an alias may book without a pass (E2).

use chrono::NaiveDate;
use sea_orm::{QueryOrder, Select, entity::prelude::*};

use crate::{AliasId, CreditId, ProgrammeId};

/// One session.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CreditId,
    /// Whose.
    pub alias_id: AliasId,
    /// Who pays.
    pub programme_id: ProgrammeId,
    /// The first day of the period, in UTC, in which the session must begin.
    pub first_date: NaiveDate,
    /// Its last day.
    pub last_date: NaiveDate,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// What `alias` may still book on `today` or later, by the end of the periods.
    pub fn of_alias(alias: AliasId, today: NaiveDate) -> Select<Self> {
        Self::find()
            .filter(COLUMN.alias_id.eq(alias))
            .filter(COLUMN.last_date.gte(today))
            .order_by_asc(Column::LastDate)
            .order_by_asc(Column::ProgrammeId)
    }

    /// What `alias` may spend on a session of `programme` that begins on `date`.
    pub fn covering(alias: AliasId, programme: ProgrammeId, date: NaiveDate) -> Select<Self> {
        Self::find()
            .filter(COLUMN.alias_id.eq(alias))
            .filter(COLUMN.programme_id.eq(programme))
            .filter(COLUMN.first_date.lte(date))
            .filter(COLUMN.last_date.gte(date))
    }
}
