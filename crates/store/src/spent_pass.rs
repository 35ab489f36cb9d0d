//! Passes that were spent.

use sea_orm::{
    ExprTrait,
    entity::prelude::*,
    sea_query::{Expr, OnConflict, Query},
};

use crate::{Opaque, key_log};

/// A pass that was spent. Nothing here, and nothing elsewhere, says for which booking.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "spent_pass")]
pub struct Model {
    /// Of key and nonce: another form of the same pass is the same.
    #[sea_orm(primary_key, auto_increment = false)]
    pub nullifier: Opaque,
    /// Which key signed it: with the key, the row goes.
    pub key_id: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}

/// What became of an attempt to spend a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// It is spent now.
    Done,
    /// It was spent before.
    Before,
    /// The log of keys has more entries than the pass was judged by; nothing was written.
    LogGrew,
}

impl Model {
    /// Spends it, if the log of keys has no more than `judged_by` entries. Whoever spends it at the same time waits for
    /// this transaction's end.
    pub async fn spend(&self, tx: &impl ConnectionTrait, judged_by: i32) -> Result<Spending, DbErr> {
        let mut later = Query::select();
        later.expr(Expr::value(1)).from(key_log::Entity).and_where(key_log::Column::Position.gte(judged_by));
        let mut row = Query::select();
        row.expr(Expr::value(self.nullifier.clone()))
            .expr(Expr::value(self.key_id.clone()))
            .and_where(Expr::exists(later).not());
        let mut insert = Query::insert();
        insert
            .into_table(Entity)
            .columns([Column::Nullifier, Column::KeyId])
            .select_from(row)
            .map_err(|error| DbErr::Custom(error.to_string()))?
            .on_conflict(OnConflict::column(Column::Nullifier).do_nothing().to_owned());
        if tx.execute(&insert).await?.rows_affected() > 0 {
            return Ok(Spending::Done);
        }
        let grew = key_log::Entity::after(judged_by).one(tx).await?.is_some();
        Ok(if grew { Spending::LogGrew } else { Spending::Before })
    }
}
