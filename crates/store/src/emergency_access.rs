//! Contacts that operators may read in an emergency, two of them together.

use sea_orm::{
    DatabaseTransaction, ExprTrait, QueryOrder, QuerySelect, QueryTrait, Select, entity::prelude::*,
    sea_query::Expr,
};

use crate::{
    BookingId, EmergencyAccessId, Instant, OperatorId,
    audit::{self, Action},
};

/// What was asked for. It names no alias: with the booking's goes what leads to a worker.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "emergency_access")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: EmergencyAccessId,
    /// Whose contact.
    pub booking_id: BookingId,
    /// Who asked.
    pub requested_by: OperatorId,
    /// When.
    pub requested_at: Instant,
    /// Who agreed; the database lets it be nobody who asked.
    pub approved_by: Option<OperatorId>,
    /// Until when it can be approved, or, once it is, read.
    pub expires_at: Instant,
    /// When the contact was read; the database lets nobody read it before it is approved.
    pub read_at: Option<Instant>,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// What has not ended, the newest first, after what comes at that place.
    pub fn open(now: Instant, after: Option<(Instant, EmergencyAccessId)>, most: u64) -> Select<Self> {
        let open = Self::find()
            .filter(COLUMN.expires_at.gt(now))
            .order_by_desc(Column::RequestedAt)
            .order_by_desc(Column::Id)
            .limit(most);
        match after {
            None => open,
            Some((at, id)) => {
                open.filter(COLUMN.requested_at.lt(at).or(COLUMN.requested_at.eq(at).and(COLUMN.id.lt(id))))
            }
        }
    }

    /// Agrees for `operator`, if they did not ask themselves, nobody agreed yet and it is not too late; whether it was so.
    pub async fn approve(
        tx: &DatabaseTransaction,
        id: EmergencyAccessId,
        operator: OperatorId,
        now: Instant,
        expires_at: Instant,
    ) -> Result<bool, DbErr> {
        let approved = Self::update_many()
            .col_expr(Column::ApprovedBy, Expr::value(Some(operator)))
            .col_expr(Column::ExpiresAt, Expr::value(expires_at))
            .filter(COLUMN.id.eq(id))
            .filter(COLUMN.requested_by.ne(operator))
            .filter(COLUMN.approved_by.is_null())
            .filter(COLUMN.expires_at.gt(now))
            .exec(tx)
            .await?;
        Ok(approved.rows_affected == 1)
    }

    /// Uses it up for `operator`, if they asked for it, another agreed and the audit log says so, it was not used before and
    /// it is not too late; whether it was so.
    pub async fn read(
        tx: &DatabaseTransaction,
        id: EmergencyAccessId,
        operator: OperatorId,
        now: Instant,
    ) -> Result<bool, DbErr> {
        let agreed = audit::Entity::find()
            .select_only()
            .expr(Expr::value(1))
            .filter(audit::COLUMN.action.eq(Action::ApproveEmergencyAccess))
            .filter(audit::COLUMN.object.eq(id.to_string()))
            .filter(Expr::col((audit::Entity, audit::Column::ActorId)).equals((Entity, Column::ApprovedBy)))
            .into_query();
        let read = Self::update_many()
            .col_expr(Column::ReadAt, Expr::value(Some(now)))
            .filter(COLUMN.id.eq(id))
            .filter(COLUMN.requested_by.eq(operator))
            .filter(COLUMN.approved_by.is_not_null())
            .filter(Expr::exists(agreed))
            .filter(COLUMN.read_at.is_null())
            .filter(COLUMN.expires_at.gt(now))
            .exec(tx)
            .await?;
        Ok(read.rows_affected == 1)
    }
}
