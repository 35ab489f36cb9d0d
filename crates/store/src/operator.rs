//! Those who run the service.

use sea_orm::entity::prelude::*;

use crate::{Opaque, OperatorId};

/// An operator.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "operator")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OperatorId,
    /// The Ed25519 key they sign in with.
    #[sea_orm(unique)]
    pub public_key: Opaque,
    /// What other operators call them.
    pub label: String,
}

impl ActiveModelBehavior for ActiveModel {}
