//! Passes that were spent.

use sea_orm::{IntoActiveModel, entity::prelude::*, sea_query::OnConflict};

use crate::Opaque;

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

impl Model {
    /// Spends it; false if it was spent before. Whoever spends it at the same time waits for this transaction's end.
    pub async fn spend(self, tx: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let inserted = Entity::insert(self.into_active_model())
            .on_conflict(OnConflict::column(Column::Nullifier).do_nothing().to_owned())
            .exec_without_returning(tx)
            .await?;
        Ok(inserted > 0)
    }
}
