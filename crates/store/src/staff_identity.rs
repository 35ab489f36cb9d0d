//! Whom an identity provider's word signs in, besides their key.

use sea_orm::{DeriveActiveEnum, EnumIter, entity::prelude::*};
use uuid::Uuid;

use crate::{Opaque, access_token::CallerKind};

/// An identity; a member of staff has at most one.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "staff_identity")]
pub struct Model {
    /// Keyed hash of the provider and of what it calls them; neither is kept.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Opaque,
    /// What kind of staff.
    pub staff_kind: StaffKind,
    /// Which one.
    #[sea_orm(unique)]
    pub staff_id: Uuid,
}

impl ActiveModelBehavior for ActiveModel {}

/// Who may be signed in by a provider; the database knows no other kind, and an alias is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum StaffKind {
    /// A therapist.
    Therapist,
    /// Somebody who runs the service.
    Operator,
    /// Who manages a hospital's programme.
    Manager,
}

impl From<StaffKind> for CallerKind {
    fn from(kind: StaffKind) -> Self {
        match kind {
            StaffKind::Therapist => Self::Therapist,
            StaffKind::Operator => Self::Operator,
            StaffKind::Manager => Self::Manager,
        }
    }
}
