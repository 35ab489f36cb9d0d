//! The public log of the keys that passes are signed with; `pass` says what an entry is.

use sea_orm::{QueryOrder, Select, entity::prelude::*};

use crate::Opaque;

/// An entry. None is ever changed or deleted.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "key_log")]
pub struct Model {
    /// From 0 on, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i32,
    /// It holds the hash of the one before.
    pub entry: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// What comes after the first `read` entries, in order.
    pub fn after(read: i32) -> Select<Self> {
        Self::find().filter(COLUMN.position.gte(read)).order_by_asc(Column::Position)
    }
}
