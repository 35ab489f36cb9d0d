//! What was opened of what is an alias's, for its holder alone.

use sea_orm::{DatabaseTransaction, IntoActiveModel, entity::prelude::*, sea_query::OnConflict};

use crate::{AliasId, Opaque};

/// The log of one alias. No column says how much is in it, or when something was added.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "access_log")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub alias_id: AliasId,
    /// Sealed under the alias's data key, always as long.
    pub sealed: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Puts the log in the place of the one before; the alias's row must be locked.
    pub async fn put(tx: &DatabaseTransaction, row: Model) -> Result<(), DbErr> {
        Self::insert(row.into_active_model())
            .on_conflict(OnConflict::column(Column::AliasId).update_column(Column::Sealed).to_owned())
            .exec_without_returning(tx)
            .await?;
        Ok(())
    }
}
