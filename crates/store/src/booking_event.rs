//! What happened to bookings (B8).

use sea_orm::{
    DeriveActiveEnum, EnumIter, FromQueryResult, QuerySelect, QueryTrait, SelectModel, Selector,
    entity::prelude::*,
    sea_query::{InsertStatement, Query, SubQueryStatement},
};

use crate::{BookingId, Instant, booking::State};

/// One change of a booking.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "booking_event")]
pub struct Model {
    /// Of which booking.
    #[sea_orm(primary_key, auto_increment = false)]
    pub booking_id: BookingId,
    /// From 1 on.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i32,
    /// When.
    pub at: Instant,
    /// To what.
    pub state: State,
    /// By whom.
    pub actor: Actor,
    /// It was moved to another time.
    pub rescheduled: bool,
}

impl ActiveModelBehavior for ActiveModel {}

/// Who changed a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "lowercase")]
pub enum Actor {
    /// The worker.
    Alias,
    /// The therapist.
    Therapist,
    /// Somebody who runs the service.
    Operator,
    /// Respite by itself.
    System,
}

/// How often a booking changed, and when it last did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Changes {
    /// Which booking.
    pub booking_id: BookingId,
    /// Of its last change.
    pub sequence: i32,
    /// When that was.
    pub at: Instant,
}

impl Entity {
    /// The changes of each of these bookings.
    pub fn changes(bookings: impl IntoIterator<Item = BookingId>) -> Selector<SelectModel<Changes>> {
        Self::find()
            .select_only()
            .column(Column::BookingId)
            .column_as(COLUMN.sequence.max(), "sequence")
            .column_as(COLUMN.at.max(), "at")
            .filter(COLUMN.booking_id.is_in(bookings))
            .group_by(Column::BookingId)
            .into_model()
    }

    /// What just happened to a booking, whose therapist the transaction has locked, behind what happened before.
    pub fn append(
        booking_id: BookingId,
        at: Instant,
        state: State,
        actor: Actor,
        rescheduled: bool,
    ) -> InsertStatement {
        let next = Self::find()
            .select_only()
            .expr(Expr::cust("coalesce(max(sequence), 0) + 1"))
            .filter(COLUMN.booking_id.eq(booking_id))
            .into_query();
        let row = [
            (Column::BookingId, Expr::value(booking_id)),
            (Column::Sequence, Expr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(next)))),
            (Column::At, Expr::value(at)),
            (Column::State, Expr::value(state)),
            (Column::Actor, Expr::value(actor)),
            (Column::Rescheduled, Expr::value(rescheduled)),
        ];
        let (columns, values): (Vec<_>, Vec<_>) = row.into_iter().unzip();
        Query::insert().into_table(Entity).columns(columns).values_panic(values).to_owned()
    }
}
