//! Against which zone rules the bookings to come were checked, and who is checking them (T6).

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::entity::prelude::*;

use crate::Instant;

/// How the last check went. There is one row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "zone_check")]
pub struct Model {
    /// Always the same.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i32,
    /// The release of the tz database, such as `2026e`; empty before the first check.
    pub version: String,
    /// When the last check ended.
    pub checked_at: Instant,
    /// Who is checking.
    pub claimed_by: Option<Uuid>,
    /// Until when, unless they go on.
    pub claimed_until: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

/// The id of the one row.
const ONLY: i32 = 1;
/// How long a claim holds without being renewed: longer than one booking takes.
const LEASE: TimeDelta = TimeDelta::seconds(10);

impl Entity {
    /// The one row.
    pub async fn last(db: &impl ConnectionTrait) -> Result<Model, DbErr> {
        let row = Self::find_by_id(ONLY).one(db).await?;
        row.ok_or_else(|| DbErr::RecordNotFound("zone_check".to_owned()))
    }

    /// Claims the check for `by`, unless somebody claimed it since `last` was read.
    pub async fn claim(
        db: &impl ConnectionTrait,
        last: &Model,
        by: Uuid,
        now: DateTime<Utc>,
    ) -> Result<bool, DbErr> {
        let claimed = Self::update_many()
            .col_expr(Column::ClaimedBy, by.into())
            .col_expr(Column::ClaimedUntil, Instant::from(now + LEASE).into())
            .filter(COLUMN.version.eq(last.version.as_str()))
            .filter(COLUMN.checked_at.eq(last.checked_at))
            .filter(COLUMN.claimed_until.eq(last.claimed_until))
            .exec(db)
            .await?;
        Ok(claimed.rows_affected == 1)
    }

    /// Holds the claim for longer; false if it is somebody else's by now.
    pub async fn renew(db: &impl ConnectionTrait, by: Uuid, now: DateTime<Utc>) -> Result<bool, DbErr> {
        let renewed = Self::update_many()
            .col_expr(Column::ClaimedUntil, Instant::from(now + LEASE).into())
            .filter(COLUMN.claimed_by.eq(by))
            .exec(db)
            .await?;
        Ok(renewed.rows_affected == 1)
    }

    /// Ends the check; false if it is somebody else's by now.
    pub async fn finish(
        db: &impl ConnectionTrait,
        by: Uuid,
        version: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, DbErr> {
        let finished = Self::update_many()
            .col_expr(Column::Version, version.into())
            .col_expr(Column::CheckedAt, Instant::from(now).into())
            .col_expr(Column::ClaimedBy, Expr::value(None::<Uuid>))
            .col_expr(Column::ClaimedUntil, Instant::from(now).into())
            .filter(COLUMN.claimed_by.eq(by))
            .exec(db)
            .await?;
        Ok(finished.rows_affected == 1)
    }
}
